"""Patching between two pieces that differ in one thing: activations, and direct paths from one head to another.

Both functions measure one prediction,

    m = log p(field of event `event` is `code` | earlier events, its true earlier fields in `base`)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmt.analysis.inside.recording import read_places
from mmt.analysis.intervals import Floats
from mmt.analysis.pieces import field_numbers
from mmt.model.inside import Edits, Step, edited
from mmt.model.inside.places import all_places, is_by_key
from mmt.sampling.model import Model, check_model
from mmt.sampling.next_event import readable_events

_KINDS = ("queries", "keys", "values")


@dataclass(frozen=True)
class Patching:
    """The measure of plain runs and of patched ones, see `patch_activations` and `patch_paths`."""

    base: float
    source: float
    patched: Floats

    @property
    def share(self) -> Floats:
        """(patched - base) / (source - base): 0 where a patch changes nothing, 1 where it gives the result of the source."""
        if self.source == self.base:
            raise ValueError("base and source have the same measure, so there is no share; take another event or field")
        return (self.patched - self.base) / (self.source - self.base)


@torch.inference_mode()
def patch_activations(
    model: Model,
    base: npt.ArrayLike,
    source: npt.ArrayLike,
    places: Sequence[str],
    *,
    field: str,
    code: int | None = None,
    event: int = -1,
    heads: Sequence[int] | None = None,
    batch_size: int = 16,
) -> Patching:
    """Patch activations of one piece into the run of another, one place and event at a time, and measure a prediction.

    `patched[i, t]` is m (see the docstring of the module) while the network reads `base`, with the activations of event t at
    places[i] replaced by those from reading `source`. (Activation patching, or causal tracing: Meng et al. 2022.)

    Parameters
    ----------
    model : Model
    base, source : array_like of int, (n, 6)
        Two pieces of the same number of events, which differ in one thing.
    places : sequence of str
        Any but scores, pattern and logits.
    field, event : str, int
        What is predicted; negative events count from the end.
    code : int, optional
        Default: what `base` has there.
    heads : sequence of int, optional
        Replace those of these heads only, at places with an axis of heads.
    batch_size : int
        The number of events that are patched at once, which bounds the memory.

    Returns
    -------
    Patching
        `patched` is (places, events before `event`); `source` is m while the network reads `source`.
    """
    codes, other, measure = _pair(model, base, source, field, code, event)
    known = all_places(model.network)
    for place in places:
        if place not in known or is_by_key(place) or place.startswith("logits."):
            raise ValueError(
                f"{place!r} cannot be patched; choose among mmt.inside.places but scores, pattern and logits"
            )
    found = read_places(model, other, places)
    patched = np.empty((len(places), codes.shape[1]))
    for row, place in enumerate(places):
        for first in range(0, codes.shape[1], batch_size):
            chosen = torch.arange(first, min(codes.shape[1], first + batch_size), device=codes.device)
            step = Step(place, _replace_one(found[place], chosen, heads, place), "patch")
            network = edited(model.network, Edits((step,)))
            patched[row, chosen.cpu()] = measure(network.hidden(codes.expand(len(chosen), -1, -1)))
    plain, foreign = (float(measure(model.network.hidden(of))[0]) for of in (codes, other))
    return Patching(plain, foreign, patched)


@torch.inference_mode()
def patch_paths(
    model: Model,
    base: npt.ArrayLike,
    source: npt.ArrayLike,
    senders: Sequence[tuple[int, int]],
    receivers: Sequence[tuple[int, int] | tuple[int, int, str] | str],
    *,
    field: str,
    code: int | None = None,
    event: int = -1,
) -> Patching:
    """Patch the direct path from one head to another, and measure a prediction (path patching: Wang et al. 2022).

    With o and o' the output of a sender in the residual stream while the network reads `base` and `source`, the receiver reads
    x + o' - o instead of the residual stream x of `base`, at all events; everything else reads x, and what follows from the
    receiver's new output is computed. The measure is that of `patch_activations`.

    Parameters
    ----------
    model, base, source, field, code, event
        As for `patch_activations`.
    senders : sequence of (layer, head)
    receivers : sequence of (layer, head), (layer, head, "queries", "keys" or "values"), or "logits"
        "logits" reads the residual stream after the last layer.

    Returns
    -------
    Patching
        `patched` is (senders, receivers); NaN where the receiver is not in a later layer.
    """
    codes, other, measure = _pair(model, base, source, field, code, event)
    places = sorted({f"layers.{layer}.head_outputs" for layer, _ in senders})
    ours, theirs = (read_places(model, of, places) for of in (codes, other))
    patched = np.full((len(senders), len(receivers)), np.nan)
    for row, (layer, head) in enumerate(senders):
        place = f"layers.{layer}.head_outputs"
        if not 0 <= head < ours[place].shape[2]:
            raise ValueError(f"{place} has no head {head}; it has {ours[place].shape[2]}, counted from 0")
        moved = (theirs[place] - ours[place])[:, :, head]
        for column, receiver in enumerate(receivers):
            step = _receiving(model, layer, receiver, moved)
            if step is not None:
                patched[row, column] = measure(edited(model.network, Edits((step,))).hidden(codes))[0]
    plain, foreign = (float(measure(model.network.hidden(of))[0]) for of in (codes, other))
    return Patching(plain, foreign, patched)


def codes_to_predict(model: Model, events: npt.ArrayLike) -> Tensor:
    """The events of a piece on the model's device, (1, n, 6); raises a `ValueError` if there are fewer than two."""
    check_model(model)
    piece = readable_events(model.network.config, events, model.representation)
    if len(piece) < 2:
        raise ValueError("the piece has one event; give two or more, since an event is predicted from those before it")
    return torch.from_numpy(piece)[None].to(model.device)


def _pair(
    model: Model, base: npt.ArrayLike, source: npt.ArrayLike, field: str, code: int | None, event: int
) -> tuple[Tensor, Tensor, Callable[[Tensor], Floats]]:
    """The events of both pieces before the predicted one, and the measure of hidden states (batch, n, dim)."""
    ours, theirs = codes_to_predict(model, base), codes_to_predict(model, source)
    if ours.shape != theirs.shape:
        raise ValueError(f"base has {ours.shape[1]} events and source {theirs.shape[1]}; give pieces of equal length")
    length, (number,) = ours.shape[1], field_numbers(field)
    place = event + length if event < 0 else event
    if not 1 <= place < length:
        raise ValueError(f"event is {event}; choose one from 1 to {length - 1}, which has events before it")
    target = ours[0, place]
    wanted = int(target[number]) if code is None else code
    if not 0 <= wanted < model.network.config.sizes[number]:
        raise ValueError(f"code is {code}; {field} has the codes 0 to {model.network.config.sizes[number] - 1}")

    def measure(hidden: Tensor) -> Floats:
        logits = model.network.heads(hidden[:, -1], target.expand(len(hidden), -1))[number]
        return np.asarray(logits.double().log_softmax(-1)[:, wanted].cpu())

    return ours[:, :place], theirs[:, :place], measure


def _replace_one(values: Tensor, chosen: Tensor, heads: Sequence[int] | None, place: str) -> Callable[[Tensor], Tensor]:
    """A function that replaces the activations of event chosen[row] in each row of the batch."""
    kind = place.rpartition(".")[2]
    # The axis of heads, after the batch and the events.
    axis = 3 if kind == "attention_inputs" else 2
    if heads is not None and kind not in (*_KINDS, "heads", "head_outputs", "attention_inputs"):
        raise ValueError(f"{place} has no axis of heads; leave out heads")

    def change(activations: Tensor) -> Tensor:
        changed, rows = activations.clone(), torch.arange(len(chosen), device=chosen.device)
        new = values[0, chosen]
        if heads is not None:
            kept = changed[rows, chosen]
            index = torch.as_tensor(list(heads), device=chosen.device)
            # The axis of events is gone.
            new = kept.index_copy(axis - 1, index, new.index_select(axis - 1, index))
        changed[rows, chosen] = new
        return changed

    return change


def _receiving(model: Model, layer: int, receiver: Any, moved: Tensor) -> Step | None:
    """What adds `moved` (1, n, dim) to what the receiver reads; None if it is not in a later layer."""
    config = model.network.config
    if receiver == "logits":
        return Step(f"layers.{config.layers - 1}.stream", lambda stream: stream + moved, "patch")
    higher, head, *kind = receiver if isinstance(receiver, tuple) else (-1, -1)
    if not (0 <= higher < config.layers and 0 <= head < config.heads and set(kind) <= set(_KINDS)):
        raise ValueError(f'{receiver!r} is no receiver; give (layer, head), (layer, head, "values"), … or "logits"')
    if higher <= layer:
        return None
    kinds = [index for index, name in enumerate(_KINDS) if not kind or name in kind]

    def change(read: Tensor) -> Tensor:
        changed = read.clone()
        for one in kinds:
            changed[:, :, one, head] += moved
        return changed

    return Step(f"layers.{higher}.attention_inputs", change, "patch")
