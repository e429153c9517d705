"""Conditions and schedules: apply an edit to some events only, or with a strength that depends on the event.

With x the activations of an event, e(x) what an edit makes of them, and s the strength for that event:

    x' = x + s (e(x) - x)

`where` has s = 1 where a condition holds, and 0 elsewhere; `scale` and `ramp` have any s. At `scores` and `pattern` the condition
is on the query, and another may be given for the key.

A condition is on the event that is read. The event that is predicted there is the next one.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmt.model.inside.edits import Edit, Edits, Step, combine, with_context
from mmt.model.inside.places import is_by_key
from mmt.model.reading import Context
from mmt.representation.codes import INSTRUMENT, PAPER, PITCH, Representation

Span = tuple[int | None, int | None]
"""(first, stop), `stop` excluded; None is no bound."""


@dataclass(frozen=True)
class Condition:
    """Which events, as a function from a context to bool (batch, length); joined by `&` and `|`, inverted by `~`."""

    holds: Callable[[Context], Tensor]
    identity: str

    def __and__(self, other: Condition) -> Condition:
        identity = f"({self.identity} & {other.identity})"
        return Condition(lambda context: self.holds(context) & other.holds(context), identity)

    def __or__(self, other: Condition) -> Condition:
        identity = f"({self.identity} | {other.identity})"
        return Condition(lambda context: self.holds(context) | other.holds(context), identity)

    def __invert__(self) -> Condition:
        return Condition(lambda context: ~self.holds(context), f"~{self.identity}")


def notes(
    instruments: str | Sequence[str] | None = None,
    *,
    beats: Span = (None, None),
    pitches: Span = (None, None),
    representation: Representation = PAPER,
) -> Condition:
    """The condition that an event is a note, of some instruments, beats and pitches.

    Parameters
    ----------
    instruments : str or sequence of str, optional
        Names as in `representation.names`. Default: all.
    beats : (first, stop)
        Beats from 0, `stop` excluded; None is no bound.
    pitches : (lowest, stop)
        MIDI numbers, `stop` excluded.

    Raises
    ------
    ValueError
        If the representation has no instrument of that name.

    Examples
    --------
    >>> from mmt.model.inside import add, where
    >>> edit = where(add("layers.2.stream", torch.ones(256)), notes("cello", beats=(16, None)))
    """
    names = [instruments] if isinstance(instruments, str) else instruments
    if unknown := [name for name in names or [] if name not in representation.names]:
        raise ValueError(f"{unknown[0]!r} is not an instrument; choose among {', '.join(representation.names)}")
    codes = None if names is None else torch.tensor([1 + representation.names.index(name) for name in names])

    def holds(context: Context) -> Tensor:
        found = (context.beats >= 0) & _within(context.beats, beats) & _within(context.codes[..., PITCH] - 1, pitches)
        if codes is not None:
            found = found & torch.isin(context.codes[..., INSTRUMENT], codes.to(context.codes.device))
        return found

    return Condition(holds, f"notes {None if codes is None else codes.tolist()} {beats} {pitches}")


def at(places: Span | Sequence[int]) -> Condition:
    """The condition that an event is at some places of the window: a (first, stop) span as a tuple, or a list of indices.

    >>> from mmt.model.inside import ablate, where
    >>> edit = where(ablate((2, 0)), at([5, 9])) & where(ablate((2, 1)), at((16, None)))
    """
    if isinstance(places, tuple):
        if len(places) != 2:
            raise ValueError(f"places is {places}; give a span (first, stop), or a list of indices")
        span: Span = places
        return Condition(lambda context: _within(context.places, span), f"at {places}")
    wanted = torch.as_tensor(places).clone()
    return Condition(
        lambda context: torch.isin(context.places, wanted.to(context.places.device)), f"at {wanted.tolist()}"
    )


def where(edit: Edit, condition: Condition, *, keys: Condition | None = None) -> Edits:
    """The edit, applied only to events for which the condition holds.

    Parameters
    ----------
    condition : Condition
        From `notes` or `at`, or `Condition(function, name)` with a function from a `Context` to bool (batch, length).
    keys : Condition, optional
        At `scores` and `pattern`: a second condition, on the event that is attended to.

    Raises
    ------
    ValueError
        If `keys` is given for another place.
    """
    if not isinstance(condition, Condition):
        raise ValueError(
            f"condition is {condition!r}; give mmt.inside.notes(…), mmt.inside.at(…), or several joined by & and |"
        )
    described = f"where {condition.identity}" + (f" to keys {keys.identity}" if keys else "")
    return _weighted(edit, condition.holds, described, keys)


def scale(edit: Edit, strength: float | Callable[[Context], Tensor], *, name: str = "") -> Edits:
    """The edit with another strength: 0 leaves the activations as they are, 1 is the edit, 2 goes twice as far.

    Parameters
    ----------
    strength : float, or function from a `Context` to a tensor (batch, length)
    name : str
        Identifies the function, so that equal edits have equal fingerprints.
    """
    if callable(strength):
        return _weighted(edit, strength, f"scale by {name or secrets.token_hex(8)}", None)
    number = float(strength)
    return _weighted(edit, lambda context: torch.full(context.shape, number), f"scale by {number!r}", None)


def ramp(edit: Edit, beats: tuple[float, float], strengths: tuple[float, float] = (0.0, 1.0)) -> Edits:
    """The edit with a strength that changes linearly from one beat to another, and is constant before and after them.

    s(b) = s0 + (s1 - s0) min(max((b - b0) / (b1 - b0), 0), 1), with beats (b0, b1) and strengths (s0, s1). Events that are not
    notes count as beat 0.

    Raises
    ------
    ValueError
        If the second beat is not after the first.

    Examples
    --------
    >>> from mmt.model.inside import add
    >>> edit = ramp(add("layers.2.stream", torch.ones(256), 4.0), beats=(16, 32))
    """
    (first, last), (low, high) = beats, strengths
    if not last > first:
        raise ValueError(f"beats is {beats}; the second must be after the first")

    def strength(context: Context) -> Tensor:
        share = ((context.beats.clamp(min=0) - first) / (last - first)).clamp(0, 1)
        return low + (high - low) * share

    return _weighted(edit, strength, f"ramp {float(first)} {float(last)} {float(low)} {float(high)}", None)


def _weighted(edit: Edit, strength: Callable[[Context], Tensor], described: str, keys: Condition | None) -> Edits:
    steps = []
    for step in combine(edit).steps:
        if keys is not None and not is_by_key(step.place):
            raise ValueError(f"keys is given, and the place {step.place} has none; it is for scores and pattern")
        function = _weighted_function(step, strength, keys)
        steps.append(step._replace(function=function, identity=f"{step.identity}, {described}"))
    return Edits(tuple(steps))


def _weighted_function(
    step: Step, strength: Callable[[Context], Tensor], keys: Condition | None
) -> Callable[[Tensor, Context], Tensor]:
    call = with_context(step.function, step.place)

    def change(activations: Tensor, context: Context) -> Tensor:
        of_event = strength(context).to(activations.device)
        if not of_event.any():
            return activations
        if is_by_key(step.place):
            of_event = of_event[:, None, :, None]
            if keys is not None:
                of_event = of_event * keys.holds(context.at_keys(activations.shape[-1]))[:, None, None, :]
        else:
            of_event = of_event.view(*of_event.shape, *[1] * (activations.dim() - 2))
        changed = call(activations, context)
        if of_event.dtype == torch.bool:
            return torch.where(of_event, changed, activations)
        of_event = of_event.to(activations.dtype)
        # Scores may be minus infinity before and after.
        moved = (of_event != 0) & (changed != activations)
        return torch.where(moved, activations + of_event * (changed - activations), activations)

    return change


def _within(values: Tensor, span: Span) -> Tensor:
    first = -math.inf if span[0] is None else span[0]
    stop = math.inf if span[1] is None else span[1]
    return (values >= first) & (values < stop)
