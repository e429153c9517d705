"""Steering: directions of recorded activations, and what an edit changes in the music that is written (effect and damage).

A direction is (dim,), as wide as the place. `mmt.inside.add(place, direction, strength)` steers with it, `mmt.inside.ramp`
changes the strength over beats, `towards` sets it by what has been written so far, and `mmt.inside.project_out(place, direction)`
removes the direction. An attribute is a function from a piece, events (n, 6), to a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmt.analysis import event_losses
from mmt.analysis.inside.labels import is_pitched
from mmt.analysis.inside.store import ActivationStore
from mmt.analysis.intervals import Floats, Mean, mean_of, share_of
from mmt.model.inside import Context, Edit, Edits, scale
from mmt.representation.codes import BEAT, NOTE, PAPER, PITCH, TYPE, Events, Representation
from mmt.sampling.model import Model

Attribute = Callable[[Events], float]
_BLOCK = 4096


def difference_of_means(store: ActivationStore, place: str, high: npt.ArrayLike, low: npt.ArrayLike) -> Floats:
    """The difference-in-means direction: the mean activation of some rows minus that of others.

    Parameters
    ----------
    store : ActivationStore
        From `mmt.activations(…, output=folder)`.
    place : str
        One that was recorded.
    high, low : array_like of bool, (rows,); or of int, (m,)
        The rows of each class. With one value for each piece, `(values > 0)[store.labels("piece")]` selects the rows of pieces.

    Returns
    -------
    ndarray, (…)
        Of the shape of one activation. `mmt.inside.add(place, direction, 1.0)` moves by the whole difference.

    Raises
    ------
    ValueError
        If a class has no rows, or a mask has another length than the store.
    """
    return _mean(store, place, high, "high") - _mean(store, place, low, "low")


def orthogonalise(direction: npt.ArrayLike, *others: npt.ArrayLike) -> Floats:
    """The part of a direction that is orthogonal to all others: d - Q Qᵀ d, with Q an orthonormal basis of the others.

    Raises
    ------
    ValueError
        If shapes differ, or nothing is left of the direction.

    Examples
    --------
    >>> abs(orthogonalise([3.0, 2.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0])).round(3)
    array([0., 0., 1.])
    """
    vector = np.asarray(direction, np.float64)
    shapes = [np.shape(other) for other in others]
    if vector.ndim != 1 or any(shape != vector.shape for shape in shapes):
        raise ValueError(f"directions have the shapes {[vector.shape, *shapes]}; give vectors of one length")
    span = np.array(others, np.float64).reshape(len(others), len(vector))
    # Singular vectors, because other directions may depend on each other.
    _, sizes, basis = np.linalg.svd(span, full_matrices=False)
    basis = basis[sizes > 1e-10 * sizes.max(initial=0.0)]
    left: Floats = vector - basis.T @ (basis @ vector)
    if np.linalg.norm(left) <= 1e-8 * np.linalg.norm(vector):
        raise ValueError("the direction lies in the span of the others, nothing is left; give other directions")
    return left


def towards(
    edit: Edit,
    attribute: Attribute,
    target: float,
    unit: float,
    *,
    start: float = 1.0,
    gain: float = 4.0,
    most: float = 3.0,
    name: str = "",
) -> Edits:
    """The edit with a strength that depends on how far the piece is from a target so far: proportional control.

    With a_t the attribute of the events up to event t, the strength there is

        s_t = min(max(start + gain (target - a_t) / unit, 0), most)

    and s_t = min(start, most) where a_t is undefined (NaN), as before the first note. Prokopiou et al. (2026, arXiv 2606.18790)
    show for this model that feedback needs less strength than a constant push.

    Parameters
    ----------
    edit : Edits, or mapping from places to functions
        Such as `mmt.inside.add(place, direction)`.
    attribute : function
        From the events that the network sees, (t + 1, 6), to a number, such as `note_density`.
    target : float
        Where the strength is `start`; the attribute settles near it if `start` is what it takes to stay there.
    unit : float
        By how much the edit at strength 1 should change the attribute, such as the difference of its means between the two
        classes of a difference-in-means direction; negative if the edit lowers it.
    start, gain, most : float
        See the formula; at least 0.
    name : str
        Identifies the attribute, so that equal edits have equal fingerprints. Default: the name of the function.

    Raises
    ------
    ValueError
        If `unit` is 0, or `start`, `gain` or `most` is negative.

    Examples
    --------
    >>> import mmt
    >>> higher = towards(mmt.inside.add("layers.1.stream", np.ones(32)), register, target=72, unit=8)
    >>> pieces = mmt.new_model("tiny", seed=0).generate(seed=1, max_events=20, edit=higher)
    """
    if not unit or min(start, gain, most) < 0:
        given = f"unit is {unit} and start, gain, most are {start}, {gain}, {most}"
        raise ValueError(f"{given}; unit must not be 0, and the others not negative")

    def strength(context: Context) -> Tensor:
        keys, places = context.keys.cpu().numpy(), context.places.tolist()
        values = [[attribute(keys[row, : end + 1]) for end in ends] for row, ends in enumerate(places)]
        found = start + gain * (target - np.array(values, np.float64)) / unit
        return torch.from_numpy(np.where(np.isnan(found), start, found).clip(0, most))

    named = name or getattr(attribute, "__name__", repr(attribute))
    return scale(edit, strength, name=f"{named} towards {target}, {unit}, {start}, {gain}, {most}")


def note_density(events: Events) -> float:
    """Notes per beat, from the beat of the first note to that of the last.

    Examples
    --------
    >>> note_density(np.array([[3, 1, 1, 61, 12, 1], [3, 1, 7, 63, 12, 1], [3, 2, 1, 65, 12, 1]]))
    1.5
    """
    beats = events[events[:, TYPE] == NOTE, BEAT]
    return len(beats) / float(beats.max() - beats.min() + 1) if len(beats) else math.nan


def register(events: Events, representation: Representation = PAPER) -> float:
    """Mean MIDI pitch of all notes but drums.

    Examples
    --------
    >>> register(np.array([[3, 1, 1, 61, 12, 1], [3, 1, 7, 63, 12, 1], [3, 2, 1, 65, 12, 1]]))
    62.0
    """
    pitches = events[is_pitched(events, representation), PITCH]
    return float(pitches.mean() - 1) if len(pitches) else math.nan


@dataclass(frozen=True)
class Effect:
    """What an edit changes in the pieces that are written; piece i of both lists belongs together. See `compare`."""

    plain: dict[str, Floats]
    """Each attribute of each piece of the plain model, (pieces,)."""
    steered: dict[str, Floats]
    """The same of the edited model."""
    nats: tuple[Floats, Floats]
    """Mean nats of the notes of each piece under the plain model: plain pieces, steered pieces, each (pieces,)."""

    def change(self, name: str) -> Mean:
        """The mean change of an attribute, steered minus plain, with its interval over pieces."""
        return mean_of(self.steered[name] - self.plain[name])

    @property
    def damage(self) -> Mean:
        """By how many nats per note steered pieces are less likely under the plain model than its own pieces."""
        return mean_of(self.nats[1] - self.nats[0])

    def share_reached(self, targets: Mapping[str, tuple[float, float]]) -> Mean:
        """The share of steered pieces whose attributes all lie in their targets (lowest, highest), bounds included."""
        return _share_reached(self.steered, targets)

    def share_before(self, targets: Mapping[str, tuple[float, float]]) -> Mean:
        """The share of plain pieces that lie in the targets: what is reached by chance."""
        return _share_reached(self.plain, targets)

    def table(self) -> str:
        """The attributes and the nats before and after, a line for each. Where no value is below 0, intervals end there."""
        rows = []
        for name in self.plain:
            values = self.plain[name], self.steered[name]
            least = 0.0 if all(np.nanmin(one, initial=0.0) >= 0 for one in values) else -math.inf
            before, after = (mean_of(one, least) for one in values)
            rows.append(f"{name:16} {before!s:>24} -> {after!s:>24}, change {self.change(name)}")
        before, after = (mean_of(one, 0.0) for one in self.nats)
        return "\n".join([*rows, f"{'nats per note':16} {before!s:>24} -> {after!s:>24}, damage {self.damage}"])


def compare(
    model: Model, plain: Sequence[Events], steered: Sequence[Events], attributes: Mapping[str, Attribute]
) -> Effect:
    """Measure what an edit changes: attributes of the pieces that are written, and their likelihood under the plain model.

    Parameters
    ----------
    model : Model
        The plain model, without the edit.
    plain, steered : sequence of array of int, (n, 6)
        Pieces of the plain and of the edited model, from the same prompts and seeds.
    attributes : mapping from names to functions
        Such as `note_density` and `register`.

    Raises
    ------
    ValueError
        If the numbers of pieces differ or are 0.

    Examples
    --------
    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> edit = mmt.inside.add("layers.0.stream", np.ones(32), 2.0)
    >>> plain, steered = (model.generate(n=3, seed=1, max_events=20, edit=one) for one in (None, edit))
    >>> effect = compare(model, plain, steered, {"density": note_density, "register": register})
    >>> effect.share_reached({"register": (0, 127)}).mean
    1.0
    """
    if len(plain) != len(steered) or not len(plain):
        raise ValueError(
            f"there are {len(plain)} plain and {len(steered)} steered pieces; give as many of each, from the same seeds"
        )

    def measured(pieces: Sequence[Events]) -> tuple[dict[str, Floats], Floats]:
        values = {name: np.array([of(piece) for piece in pieces], np.float64) for name, of in attributes.items()}
        losses = event_losses.events(model, list(pieces))
        return values, np.array([one.per_event[one.events[:, TYPE] == NOTE].mean() for one in losses])

    (values, nats), (steered_values, steered_nats) = measured(plain), measured(steered)
    return Effect(values, steered_values, (nats, steered_nats))


def _share_reached(values: Mapping[str, Floats], targets: Mapping[str, tuple[float, float]]) -> Mean:
    if not targets or (unknown := [name for name in targets if name not in values]):
        raise ValueError(f"targets has {unknown[:1] if targets else 'no attribute'}; choose among {', '.join(values)}")
    inside = [(values[name] >= low) & (values[name] <= high) for name, (low, high) in targets.items()]
    return share_of(np.all(inside, axis=0))


def _mean(store: ActivationStore, place: str, rows: npt.ArrayLike, name: str) -> Floats:
    """The mean of some rows in float64, read block by block."""
    chosen = np.asarray(rows)
    if chosen.dtype == bool:
        if chosen.shape != (len(store),):
            raise ValueError(f"{name} is a mask of shape {chosen.shape}; the store has {len(store)} rows")
        chosen = np.flatnonzero(chosen)
    if not len(chosen):
        raise ValueError(f"{name} has no rows; give at least one")
    total = sum(
        store.read(place, chosen[start : start + _BLOCK]).astype(np.float64).sum(0)
        for start in range(0, len(chosen), _BLOCK)
    )
    return np.asarray(total / len(chosen))
