"""The edits that are used most: ablation (zero, mean, resample), directions and patching."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmt.model.inside.conditions import at, where
from mmt.model.inside.edits import Edits, Step
from mmt.model.inside.places import is_by_key
from mmt.model.reading import Context
from mmt.representation.arguments import described, finite, whole

Head = tuple[int, int]
"""(layer, head)"""
_HEAD_AXIS = {"attention_inputs": 3, "scores": 1, "pattern": 1}
_HEAD_AXIS |= dict.fromkeys(("queries", "keys", "values", "heads", "head_outputs"), 2)


def ablate(*heads: Head) -> Edits:
    """An edit that sets the outputs of attention heads to 0; each head is a (layer, head).

    >>> ablate((2, 0), (2, 3), (3, 1)).places
    ['layers.2.heads', 'layers.3.heads']
    """
    if not heads:
        raise ValueError("no head was given; give each as (layer, head)")
    by_place: dict[str, set[int]] = {}
    for pair in heads:
        layer, head = head_of(pair, "ablate((0, 1)), ablate((0, 1), (2, 3))")
        by_place.setdefault(f"layers.{layer}.heads", set()).add(head)
    steps = (fill_heads(place, sorted(chosen), 0.0, f"ablate {sorted(chosen)}") for place, chosen in by_place.items())
    return Edits(tuple(steps))


def add(place: str, direction: npt.ArrayLike | Tensor, strength: float = 1.0) -> Edits:
    """An edit that adds `strength * direction` to the activations of every event at a place.

    The direction is (dim,), or as wide as the place: (head_dim,) at `heads`, where it is added to every head.

    >>> from mmt.model.config import NetworkConfig
    >>> from mmt.model.inside import edited
    >>> from mmt.model.network import Network
    >>> network = Network(NetworkConfig(dim=32, layers=1, heads=2, head_dim=16)).eval()
    >>> codes = torch.zeros(1, 3, 6, dtype=torch.long)
    >>> moved = edited(network, add("final", torch.ones(32), 0.5)).hidden(codes) - network.hidden(codes)
    >>> bool(torch.isclose(moved, torch.tensor(0.5), atol=1e-6).all())
    True
    """
    # A copy: the edit stays the same when the caller's array changes.
    vector, strength = numbers_of("direction", direction), finite("strength", strength)
    return _along(place, vector, lambda x, u: x + strength * u, f"add {float(strength)!r} times {_digest(vector)}")


def project_out(place: str, direction: npt.ArrayLike | Tensor) -> Edits:
    """An edit that removes a direction from the activations of every event: directional ablation (Arditi et al. 2024).

    x' = x - (x · u) u with u = direction / norm(direction). The direction is (dim,), or as wide as the place.

    Raises
    ------
    ValueError
        If the direction is not a vector, or is zero.

    Examples
    --------
    >>> edit = project_out("layers.2.stream", torch.ones(256))
    """
    vector = numbers_of("direction", direction).double()
    if vector.dim() != 1 or not vector.norm() > 0:
        raise ValueError(
            f"the direction at {place} has the shape {tuple(vector.shape)} and norm {vector.norm():g}; give a vector, not 0"
        )
    unit = vector / vector.norm()
    return _along(place, unit, lambda x, u: x - (x @ u)[..., None] * u, f"project out {_digest(unit)}")


def replace(place: str, values: npt.ArrayLike | Tensor, *, heads: Sequence[int] | None = None) -> Edits:
    """An edit that replaces the activations of every event by the same values: mean ablation, if these are means.

    Parameters
    ----------
    place : str
        Any place but scores and pattern.
    values : array_like
        Of the shape of one event's activations: (dim,), (head, head_dim), …; or one that broadcasts to it, such as 0.0.
    heads : sequence of int, optional
        Replace those of these heads only, at places with an axis of heads.

    Examples
    --------
    >>> mean = np.zeros((4, 64))  # the mean over events of mmt.activations(...)["layers.2.heads"]
    >>> edit = replace("layers.2.heads", mean, heads=[0])
    """
    kept = numbers_of("values", values)
    return _substitute(place, lambda context: kept, heads, f"replace by {_digest(kept)}")


def patch(
    place: str,
    values: npt.ArrayLike | Tensor,
    *,
    heads: Sequence[int] | None = None,
    events: Sequence[int] | None = None,
) -> Edits:
    """An edit that replaces the activations at each place of the window by those of another run, as from `mmt.activations`.

    Parameters
    ----------
    place, heads
        As for `replace`.
    values : array_like, (n, …)
        Row i replaces the activations of event i; events from n on stay as they are.
    events : sequence of int, optional
        Patch these events only. Default: all.
    """
    kept = numbers_of("values", values)
    if not kept.dim():
        raise ValueError("values is a single number; give a row for each event, or use replace")
    condition = at((None, len(kept))) if events is None else at(list(events)) & at((None, len(kept)))

    def of_event(context: Context) -> Tensor:
        rows: Tensor = kept.to(context.codes.device)[context.places.clamp(max=len(kept) - 1)]
        return rows

    return where(_substitute(place, of_event, heads, f"patch {_digest(kept)}"), condition)


def resample(
    place: str, samples: npt.ArrayLike | Tensor, *, seed: int = 0, heads: Sequence[int] | None = None
) -> Edits:
    """An edit that replaces the activations of each event by a row of `samples`, drawn at random: resample ablation.

    The draw is fixed by the seed and the event's place in the window, so that every pass, with a cache or without, has the same.

    Parameters
    ----------
    place, heads
        As for `replace`.
    samples : array_like, (n, …)
        Activations of other events, as from `mmt.activations` of a corpus.
    """
    kept = numbers_of("samples", samples)
    if not kept.dim() or not len(kept):
        raise ValueError("there are no samples; give the activations of at least one event")

    def of_event(context: Context) -> Tensor:
        last = int(context.places.max()) + 1
        drawn = torch.as_tensor(np.random.default_rng(seed).integers(len(kept), size=last))
        rows: Tensor = kept.to(context.codes.device)[drawn.to(context.codes.device)[context.places]]
        return rows

    return _substitute(place, of_event, heads, f"resample {seed} {_digest(kept)}")


def _along(place: str, direction: Tensor, function: Callable[[Tensor, Tensor], Tensor], described: str) -> Edits:
    """An edit that applies a function of the activations and of a direction, which must be as wide as they are."""

    def change(activations: Tensor) -> Tensor:
        if direction.shape != activations.shape[-1:]:
            raise ValueError(
                f"the direction at {place} has the shape {tuple(direction.shape)}; expected ({activations.shape[-1]},)"
            )
        return function(activations, direction.to(activations))

    return Edits((Step(place, change, f"{place}: {described}"),))


def _substitute(place: str, values: Callable[[Context], Tensor], heads: Sequence[int] | None, described: str) -> Edits:
    if is_by_key(place):
        raise ValueError(f"{place} has an axis of keys; use knock_out, or a function: {{{place!r}: function}}")

    def change(activations: Tensor, context: Context) -> Tensor:
        new = values(context).to(activations)
        try:
            new = new.expand(activations.shape)
        except RuntimeError:
            raise ValueError(
                f"the values at {place} have the shape {tuple(new.shape)}; expected what broadcasts to {tuple(activations.shape)}"
            ) from None
        return (
            new.clone() if heads is None else torch.where(_mask_of_heads(place, heads, activations), new, activations)
        )

    heads = None if heads is None else heads_of(heads)
    where_ = "" if heads is None else f" in heads {sorted(heads)}"
    return Edits((Step(place, change, f"{place}: {described}{where_}", tuple(heads or ())),))


def fill_heads(place: str, heads: Sequence[int] | None, value: float, described: str) -> Step:
    """A step that sets the activations of some heads to a value; None: of all heads."""

    def change(activations: Tensor) -> Tensor:
        return activations.masked_fill(_mask_of_heads(place, heads, activations), value)

    return Step(place, change, f"{place}: {described}", tuple(heads or ()))


def _mask_of_heads(place: str, heads: Sequence[int] | None, activations: Tensor) -> Tensor:
    """True for activations of these heads, a shape that broadcasts to `activations`."""
    axis = _HEAD_AXIS.get(place.rpartition(".")[2])
    if heads is None:
        return torch.ones([1] * activations.dim(), dtype=torch.bool, device=activations.device)
    if axis is None:
        raise ValueError(f"{place} has no axis of heads; leave out heads")
    count = activations.shape[axis]
    if bad := [head for head in heads if not 0 <= head < count]:
        raise ValueError(f"{place} has no head {bad[0]}; it has {count}, counted from 0")
    chosen = torch.zeros(count, dtype=torch.bool, device=activations.device)
    chosen[list(heads)] = True
    shape = [1] * activations.dim()
    shape[axis] = count
    return chosen.view(shape)


def head_of(pair: Head, example: str) -> Head:
    """The layer and the head of a pair; raises a `ValueError` for anything else."""
    try:
        layer, head = map(operator.index, pair)
    except (TypeError, ValueError):
        raise ValueError(f"{pair!r} is not a head; give each head as a pair (layer, head): {example}") from None
    return layer, head


def heads_of(heads: Sequence[int]) -> list[int]:
    """The numbers of heads; raises a `ValueError` for anything else."""
    if isinstance(heads, str) or not isinstance(heads, Iterable):
        raise ValueError(f"heads is {described(heads)}; give a list of numbers: heads=[0, 2]")
    numbers = [whole("a head", head) for head in heads]
    if not numbers:
        raise ValueError("heads is empty; give at least one, or leave it out for all")
    return numbers


def numbers_of(name: str, values: npt.ArrayLike | Tensor) -> Tensor:
    """The numbers as a tensor of their own, so that an edit stays the same when the caller's array changes."""
    try:
        if isinstance(values, np.ndarray):  # PyTorch takes neither negative strides nor another order of bytes
            values = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
        numbers = torch.as_tensor(values).detach().clone()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} is {described(values)}; give an array or a tensor of numbers") from None
    if not numbers.isfinite().all():
        raise ValueError(f"{name} has numbers that are not finite")
    return numbers


def _digest(values: Tensor) -> str:
    return hashlib.sha256(values.double().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]
