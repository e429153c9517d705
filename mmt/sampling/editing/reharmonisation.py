"""Reharmonise a part of a piece: keep its rhythm and all other parts, and draw its pitches."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mmt.representation.codes import BEAT, DURATION, INSTRUMENT, NOTE, PITCH, POSITION, Events
from mmt.sampling.decoding import Heads
from mmt.sampling.editing.constrained_decoding import Codes, log_likelihood, rows_in_window, write_constrained
from mmt.sampling.editing.parts import EditOptions, check_plays, settings_of, split
from mmt.sampling.filters import Filters, Numbers, draw
from mmt.sampling.model import Model


def reharmonise(
    model: Model,
    piece: npt.ArrayLike,
    instrument: str | int,
    **options: Unpack[EditOptions],
) -> list[Events]:
    """Draw new pitches for one instrument of a piece; its rhythm and all other parts stay.

    The new part fits the earlier notes nearly as well as the old one did. But the model does not see what the other parts play
    next, and those, written for the old pitches, fit the new part little better than they fit random ones
    (`benchmarks/editing.md`).

    Parameters
    ----------
    piece : array_like of int, (n, 6)
    instrument : str or int
        An instrument that plays in the piece.
    **options
        See `mmt.sampling.editing.parts.EditOptions`.

    Raises
    ------
    ValueError
        If the instrument does not play in the piece, or the controls leave it fewer pitches than it plays at once.

    Examples
    --------
    >>> from mmt.representation.prompt import instruments
    >>> from mmt.sampling.model import new_model
    >>> model = new_model("tiny", seed=0)
    >>> piece = model.generate(instruments("violin", "cello"), seed=2, max_events=16, use_all=True)[0]
    >>> len(reharmonise(model, piece, "cello", seed=0, scale="C major")[0]) == len(piece)
    True
    """
    header, notes = split(model, piece)
    representation = model.representation
    code = representation.find_instrument(instrument)
    if code == representation.drums_code:
        raise ValueError("drums have no pitches to draw; name another instrument, or use rewrite")
    own = notes[:, INSTRUMENT] == code
    check_plays(notes, code, representation)
    streams, filters, controls, progress = settings_of(model, options)
    controls.check_instruments([code], representation, no_others=True)
    pitches = np.arange(1, representation.sizes[PITCH])
    pitches = pitches if controls.playable is None else np.flatnonzero(controls.playable[:, code])
    most = max(len(moment.durations) for moment in _moments(notes, own).values())
    if len(pitches) < most:
        raise ValueError(
            f"{representation.names[code - 1]} plays {most} notes at once, but {controls.given} leaves it {len(pitches)} pitches"
        )
    writers = [Harmoniser(_moments(notes, own), code, pitches, filters) for _ in streams]
    beats = int(notes[-1, BEAT])
    return write_constrained(model, header, writers, streams, notes=len(notes), beats=beats, progress=progress)


@dataclass
class Moment:
    """The notes that begin at one beat and position."""

    held: list[Codes]
    """(pitch, duration, instrument) of the held notes, ascending."""
    durations: list[int]
    """The durations of the notes whose pitches are to be drawn."""


def _moments(notes: Events, free: npt.NDArray[np.bool_]) -> dict[tuple[int, int], Moment]:
    """The moments of a piece by beat and position; `free` (notes,) is true for notes whose pitches are to be drawn."""
    moments: dict[tuple[int, int], Moment] = {}
    for note, is_free in zip(notes.tolist(), free.tolist(), strict=True):
        moment = moments.setdefault((note[BEAT], note[POSITION]), Moment([], []))
        if is_free:
            moment.durations.append(note[DURATION])
        else:
            moment.held.append(tuple(note[PITCH:]))
    return moments


class Harmoniser:
    """A `Writer` that keeps the rhythm of one part and all notes of the others, and draws the pitches of that part.

    The next event is either the next held note or a note of the part that sorts before it. One of these candidates is drawn.
    Its weight is the network's likelihood of its pitch, times that of its duration and instrument, which are fixed.
    """

    def __init__(
        self, moments: dict[tuple[int, int], Moment], instrument: int, pitches: npt.NDArray[np.int64], filters: Filters
    ) -> None:
        """`moments` ascend by (beat, position) and are used up; the `instrument` code may have the `pitches` codes."""
        self.moments = deque(moments.items())
        self.instrument, self.pitches, self.filters = instrument, pitches, filters
        # The last note of the moment, which the next one must exceed.
        self.floor: Codes = (0, 0, 0)

    def __call__(self, heads: Heads, hidden: Tensor, dropped: int, random: np.random.Generator) -> Codes | None:
        while self.moments and not (self.moments[0][1].held or self.moments[0][1].durations):
            self.moments.popleft()
            self.floor = (0, 0, 0)
        if not self.moments:
            return None
        when, moment = self.moments[0]
        candidates = self._candidates(moment)
        chosen = candidates[0]
        if len(candidates) > 1:
            events = rows_in_window([(NOTE, *when, *one) for one in candidates], dropped, heads, hidden)
            weights = self._weights(events, heads, hidden)
            chosen = candidates[int(draw(weights, random.random(1, dtype=np.float32))[0])]
        if moment.held and chosen == moment.held[0]:
            moment.held.pop(0)
        else:
            moment.durations.remove(chosen[1])
        self.floor = chosen
        return (NOTE, *when, *chosen)

    def _candidates(self, moment: Moment) -> list[Codes]:
        """The possible next notes, (pitch, duration, instrument) each, after which the rest of the part still has room."""
        ceiling = moment.held[0] if moment.held else (1_000, 0, 0)
        candidates: list[Codes] = [
            note
            for duration in sorted(set(moment.durations))
            for pitch in self.pitches.tolist()
            if self.floor < (note := (pitch, duration, self.instrument)) < ceiling
            and self._room_above(note, _without(moment.durations, duration)) >= len(moment.durations) - 1
        ]
        if moment.held and self._room_above(ceiling, moment.durations) >= len(moment.durations):
            candidates.append(ceiling)
        return candidates

    def _room_above(self, note: Codes, durations: list[int]) -> int:
        """The number of pitches that notes of these durations may have if they must sort after `note`."""
        shortest = min(durations, default=0)
        same = (self.pitches == note[0]).any() and (shortest, self.instrument) > note[1:]
        return int((self.pitches > note[0]).sum()) + int(same)

    def _weights(self, events: Tensor, heads: Heads, hidden: Tensor) -> Numbers:
        """The filtered log-likelihoods of the candidates, (1, candidates); events are (candidates, 6)."""
        # Temperature applies to the drawn pitch, not to the fixed fields.
        weights = sum(
            log_likelihood(heads, hidden, events, field) / (self.filters.temperature[field] if field == PITCH else 1.0)
            for field in (PITCH, DURATION, INSTRUMENT)
        )
        assert isinstance(weights, Tensor)
        return self.filters.apply(weights[None].cpu().numpy(), PITCH)


def _without(items: list[int], item: int) -> list[int]:
    """A copy of the list without the first occurrence of an item."""
    left = list(items)
    left.remove(item)
    return left
