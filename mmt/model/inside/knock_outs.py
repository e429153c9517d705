"""Edits that cut edges: attention from some events to others, and the direct path from one head to a later one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmt.model.inside.changes import Head, fill_heads, head_of, heads_of
from mmt.model.inside.conditions import Condition, where
from mmt.model.inside.edits import Edits, Step
from mmt.model.reading import Context

_EVERYTHING = Condition(lambda context: torch.ones(context.shape, dtype=torch.bool, device=context.codes.device), "all")


def knock_out(
    layer: int,
    heads: Sequence[int] | None = None,
    *,
    queries: Condition | None = None,
    keys: Condition | None = None,
    renormalise: bool = True,
) -> Edits:
    """An edit that cuts edges of attention: from some events (keys) to others (queries), in some heads of a layer.

    Parameters
    ----------
    heads : sequence of int, optional
        Default: all heads of the layer.
    queries, keys : Condition, optional
        The edges from each such key to each such query are cut. Default: all.
    renormalise : bool
        True: scores are minus infinity, so that the other weights of a query still sum to 1; a query without keys gets zeros.
        False: the weights are 0, and the others stay as they are.

    Examples
    --------
    >>> from mmt.model.inside import notes
    >>> edit = knock_out(2, queries=notes("violin"), keys=notes("cello"))
    """
    name, value = ("scores", -torch.inf) if renormalise else ("pattern", 0.0)
    heads = None if heads is None else heads_of(heads)
    step = fill_heads(f"layers.{layer}.{name}", heads, value, f"knock out {sorted(heads) if heads else 'all'}")
    return where(Edits((step,)), queries or _EVERYTHING, keys=keys)


def knock_out_path(source: Head, target: Head, inputs: Sequence[str] = ("queries", "keys", "values")) -> Edits:
    """An edit that cuts the direct path from one head to a later one: the later head does not read what the other has written.

    With x the residual stream and o the head output of `source`, the queries, keys and values of `target` are computed from
    x - o; everything else reads x.

    Parameters
    ----------
    source, target : (layer, head)
        The layer of `source` is the lower one.
    inputs : sequence of "queries", "keys", "values"
        Which of them are computed from x - o.

    Raises
    ------
    ValueError
        If the target is not in a higher layer, or `inputs` has another name.
    """
    (lower, sender), (higher, receiver) = (head_of(pair, "knock_out_path((0, 1), (2, 3))") for pair in (source, target))
    if lower >= higher:
        raise ValueError(f"{target} cannot read {source}; give a head of a higher layer as the target")
    kinds = ["queries", "keys", "values"]
    if unknown := [name for name in inputs if name not in kinds]:
        raise ValueError(f"inputs has {unknown[0]!r}; choose among {', '.join(kinds)}")
    chosen = [kinds.index(name) for name in inputs]

    def keep(outputs: Tensor, context: Context) -> Tensor:
        context.memory[key] = outputs[:, :, sender]
        return outputs

    def cut(read: Tensor, context: Context) -> Tensor:
        changed = read.clone()
        for kind in chosen:
            changed[:, :, kind, receiver] -= context.memory[key]
        return changed

    key = ("path", lower, sender)
    places = f"layers.{lower}.head_outputs", f"layers.{higher}.attention_inputs"
    described = f"knock out path {source} to {target} {sorted(chosen)}"
    steps = zip(places, (keep, cut), (sender, receiver), strict=True)
    return Edits(tuple(Step(place, step, f"{place}: {described}", (head,)) for place, step, head in steps))
