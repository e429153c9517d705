"""What may come next: masks over the codes of each field, so that whatever a network says, a valid piece is written.

All of it is on the host, compiled or in NumPy, a call of which costs a third of one of PyTorch's; logits are plain numbers.

The fields of an event are chosen in the order of the codes; each choice narrows what the next field may be.
`StrictGrammar` is the law of `mmt.representation.grammar` told from inside. What may not be drawn gets the logit minus
infinity; at least one code always may.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from mmt.representation.codes import (
    BEAT,
    DURATION,
    END_OF_SONG,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    PITCH,
    POSITION,
    START_OF_NOTES,
    TYPE,
    Events,
)
from mmt.sampling.controls import Controls
from mmt.sampling.ensemble import Ensemble, Mask, Numbers
from mmt.sampling.foresight import MOST, foresee

_NEVER, _FREE = np.float32(-np.inf), np.float32(0)


@dataclass(frozen=True)
class Bounds:
    """The limits of a piece in writing."""

    max_events: int
    """Of the whole piece, end included."""
    max_beats: int
    """Notes begin in the first so many beats."""
    min_beats: int = 0
    """No end while the piece has fewer beats and a note can follow."""
    first_beat: int = 0
    """No note is added before this beat."""
    endless: bool = False
    """No end while a note can follow."""
    controls: Controls = field(default_factory=Controls)
    """Who may play what, and whether everyone must."""
    context: int | None = None
    """Where the piece goes on past a window of so many events: its instruments leave room for notes there."""


# Asks the network, for an event (batch, 6) whose fields are taken as known: six tempered logits (batch, size).
Ask = Callable[[Events], list[Numbers]]


class Grammar(Protocol):
    """What the decoding loop asks of a grammar: foresight, then what it allows field by field; and it is told the outcome."""

    def foresee(self, ask: Ask) -> None: ...

    def allow(self, logits: Numbers, field: int, event: Events) -> Numbers: ...

    def advance(self, event: Events) -> None: ...

    def drop_beats(self, dropped: Events) -> None: ...

    def keep(self, rows: Events) -> None: ...


class StrictGrammar:
    """The rules for a batch of pieces that all go on from one prompt.

    `floor` (batch, 5) is what the next note must exceed in the order of (beat, position, pitch, duration, instrument):
    the last note, or the moment before the first that is allowed. While the fields chosen so far repeat the floor, the
    next may not fall, and may repeat it only if a later one can grow.

    Where everyone must play, the end waits for it, and each instrument that has not played has one of the last moments (or
    of the last events that there is room for) to itself: no note of another may take it.
    """

    def __init__(self, prompt: Events, batch: int, sizes: tuple[int, ...], bounds: Bounds) -> None:
        self.sizes, self.bounds = sizes, bounds
        self.codes = np.arange(max(sizes[BEAT:]))
        # The codes of a note's five fields (5, codes): all that a network knows.
        self.known = (self.codes > 0) & (self.codes < np.array(sizes[BEAT:])[:, None])
        self.ensemble = Ensemble(prompt, batch, self.codes, bounds.controls)
        may_declare = self.ensemble.open & (self.codes < sizes[INSTRUMENT])
        self.may_declare, self.last_open = may_declare, int(may_declare.nonzero()[0].max())

        types, notes = prompt[:, TYPE], prompt[prompt[:, TYPE] == NOTE]
        named = prompt[types == INSTRUMENT_EVENT, INSTRUMENT].tolist()
        self.length = len(prompt)
        self.last_type = np.full(batch, types[-1])
        self.last_instrument = np.full_like(self.last_type, max(named, default=0))
        self.last_beat = np.full_like(self.last_type, notes[-1, BEAT] if len(notes) else 0)
        self.first_beat = max(int(self.last_beat[0]), bounds.first_beat)
        # Beats of the piece before the network's window, in whose codes the floor and the most beats are told.
        self.dropped = np.zeros_like(self.last_type)
        self.max_beats = np.full_like(self.last_type, bounds.max_beats)
        self.floor = np.tile(floor_of(prompt, sizes, bounds), (batch, 1))

    def advance(self, event: Events) -> None:
        """Take note of the event (batch, 6) that each piece went on with."""
        types = event[:, TYPE]
        named, note = types == INSTRUMENT_EVENT, types == NOTE
        self.ensemble.advance(event)
        self.last_instrument = np.where(named, event[:, INSTRUMENT], self.last_instrument)
        self.floor = np.where(note[:, None], event[:, BEAT:], self.floor)
        self.last_beat = np.where(note, event[:, BEAT] + self.dropped, self.last_beat)
        self.last_type = types
        self.length += 1

    def drop_beats(self, dropped: Events) -> None:
        """Take note that each piece's window now begins so many beats (batch,) later than it did."""
        self.dropped = self.dropped + dropped
        self.max_beats = self.max_beats - dropped
        self.floor = np.concatenate([self.floor[:, :1] - dropped[:, None], self.floor[:, 1:]], axis=1)

    def foresee(self, ask: Ask) -> None:
        """Learn how likely the next note is to be a greater one, before its fields are drawn one after the other.

        Masks alone would draw a beat that repeats the last note's, since a higher position may follow, and then be left
        with positions that the network thinks impossible. With these log-probabilities as weights, an event is drawn
        as the network has it, under the condition that it is a valid one.
        """
        self._look_ahead()
        batch, known = len(self.floor), self._known_behind_floor()
        logits = ask(np.concatenate([np.full((batch, 1), NOTE), self.floor], axis=1))
        wanted = np.zeros((batch, 5, len(self.codes)), np.float32)
        for place, one in enumerate(logits[BEAT:]):
            wanted[:, place, : one.shape[1]] = one
        wanted[:, INSTRUMENT - BEAT] += self.longing
        self.foresight = foresee(wanted, known, self.floor, self.last_moment[0], self.max_beats)
        # At the last beat, whatever the network wants and cannot have is to go on to the next one.
        rest = np.log1p(-np.minimum(np.exp(self.foresight.greater), MOST))
        self.leaves = np.where(self._at_limit(), rest, self.foresight.beyond)

    def _look_ahead(self) -> None:
        """What those who are still to play leave to the others: the last moment, and whether the next note is theirs."""
        missing, positions = self.ensemble.missing, self.sizes[POSITION] - 1
        moment = self.max_beats * positions - np.maximum(missing - 1, 0) - 1
        self.missing = missing
        self.last_moment = moment // positions + 1, moment % positions + 1
        self.forced = missing >= self.bounds.max_events - self.length - 1
        self.longing = self.ensemble.longing(np.maximum(self.last_beat - self.first_beat, 0))

    def _known_behind_floor(self) -> Mask:
        """Codes that the next note may have if the fields before repeat the floor's, in whatever order, (batch, 5, codes)."""
        known = np.tile(self.known, (len(self.floor), 1, 1))
        players = self.ensemble.players(self.forced)
        if self.ensemble.controlled:
            known[:, POSITION - BEAT] &= self._in_time(self.floor[:, 0])
            known[:, PITCH - BEAT] &= self.ensemble.pitches(players)
        known[:, INSTRUMENT - BEAT] &= self.ensemble.who_plays(players, self.floor[:, PITCH - BEAT])
        return known

    def _in_time(self, beat: Events) -> Mask:
        """The positions of a beat (batch,) up to the last moment."""
        within: Mask = (beat < self.last_moment[0])[:, None] | (self.codes <= self.last_moment[1][:, None])
        return within

    def allow(self, logits: Numbers, field: int, event: Events) -> Numbers:
        """The logits of a field (batch, size) with what the grammar forbids at minus infinity, and weighed by foresight.

        `event` (batch, 6) holds the fields that were chosen before this one.
        """
        if field == TYPE:
            return np.where(self.type_mask(), self._end_at_limit(logits), _NEVER)
        place, types = field - BEAT, event[:, TYPE, None]
        tied = (event[:, BEAT:field] == self.floor[:, :place]).all(axis=1, keepdims=True)
        weights = np.where(tied, self.foresight.tied[:, place], self._free_weights(field, event))
        if field == INSTRUMENT:
            weights = weights + self.longing
        if not (types == NOTE).all():
            other = np.broadcast_to(self.codes == 0, weights.shape)
            if field == INSTRUMENT:
                may = self.may_declare & (self.codes > self.last_instrument[:, None])
                other = np.where(types == INSTRUMENT_EVENT, may, other)
            weights = np.where(types == NOTE, weights, np.where(other, _FREE, _NEVER))
        allowed: Numbers = logits + weights[:, : logits.shape[1]]
        return allowed

    def _free_weights(self, field: int, event: Events) -> Numbers:
        """What to add to a field's logits (batch, codes) once an earlier field exceeds the floor's."""
        if not self.ensemble.controlled or field in (BEAT, DURATION):
            free: Numbers = self.foresight.free[:, field - BEAT]
            return free
        beat, position = self.last_moment
        if field == POSITION:
            may = self._in_time(event[:, BEAT])
        else:
            at_last = (self.missing > 0) & (event[:, BEAT] == beat) & (event[:, POSITION] == position)
            players = self.ensemble.players(self.forced | at_last)
            who = self.ensemble
            may = who.pitches(players) if field == PITCH else who.who_plays(players, event[:, PITCH])
        return np.where(may & self.known[field - BEAT], _FREE, _NEVER)

    def type_mask(self) -> Mask:
        """Which types may come next, (batch, 5)."""
        room, last = self.bounds.max_events - self.length, self.last_type
        may = np.zeros((len(last), self.sizes[TYPE]), bool)
        # Behind an instrument there must be room for start-of-notes, a note (of everyone who must play) and the end.
        more = (self.missing + 1) if self.bounds.controls.use_all else np.ones_like(last)
        moments = self.max_beats * (self.sizes[POSITION] - 1) - moment_of(self.floor, self.sizes)
        may[:, INSTRUMENT_EVENT] = (last < START_OF_NOTES) & (self.last_instrument < self.last_open)
        may[:, INSTRUMENT_EVENT] &= self._window_has_room() & (room > 2 + more) & ((moments >= more) | (more == 1))
        may[:, START_OF_NOTES] = last == INSTRUMENT_EVENT
        follows = (last == NOTE) & self.foresight.can_follow & (room > 1)
        may[:, NOTE] = (last == START_OF_NOTES) | follows
        early = (self.last_beat < self.bounds.min_beats) | (self.bounds.endless & ~self._at_limit())
        may[:, END_OF_SONG] = (last == NOTE) & ~(follows & (early | (self.missing > 0)))
        return may

    def _window_has_room(self) -> bool:
        return self.bounds.context is None or self.bounds.context - self.length > 3

    def _end_at_limit(self, logits: Numbers) -> Numbers:
        """Give the share of notes that would leave the last beat to the end: a piece closes where it would go on."""
        note, end = logits[:, NOTE], logits[:, END_OF_SONG]
        shares = logits.copy()
        shares[:, NOTE] = note + np.log1p(-np.minimum(np.exp(self.leaves), MOST))
        shares[:, END_OF_SONG] = np.logaddexp(end, note + self.leaves)
        return shares

    def _at_limit(self) -> Mask:
        reached: Mask = self.floor[:, 0] >= np.minimum(self.max_beats, self.sizes[BEAT] - 1)
        return reached

    def keep(self, rows: Events) -> None:
        """Keep only these pieces of the batch (indices), in this order."""
        for name in ("last_type", "last_instrument", "last_beat", "floor", "dropped", "max_beats"):
            setattr(self, name, getattr(self, name)[rows])
        self.ensemble.keep(rows)


def floor_of(prompt: Events, sizes: tuple[int, ...], bounds: Bounds) -> Events:
    """What the first new note must exceed, (5,): the last note, or the moment before the first that is allowed."""
    notes = prompt[prompt[:, TYPE] == NOTE]
    if len(notes) and notes[-1, BEAT] > bounds.first_beat:
        return np.array(notes[-1, BEAT:])
    if bounds.first_beat < bounds.max_beats:
        return np.array([bounds.first_beat + 1, 0, 0, 0, 0])
    return np.array([bounds.max_beats, *(size - 1 for size in sizes[POSITION:])])  # no note can follow


def moment_of(floor: Events, sizes: tuple[int, ...]) -> Any:
    """The number of a floor's (…, 5) moment in the piece, counted in positions."""
    return (floor[..., 0] - 1) * (sizes[POSITION] - 1) + floor[..., 1]
