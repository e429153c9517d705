"""Where pieces in writing stand, what binds them all, and what follows from both: which codes the next note may have.

Pieces are rows of a batch that all go on from one prompt. Masks over codes are wide enough for every field. The functions are
compiled, and called by other compiled ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmt.model.compiled import compiled
from mmt.representation.codes import (
    BEAT,
    GIVEN_NOTE,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    PITCH,
    POSITION,
    TYPE,
    Events,
)

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float32]


class Rules(NamedTuple):
    """What binds all pieces alike."""

    known: Mask
    """The codes of a note's five fields, (5, codes): all that a network knows."""
    playable: Mask
    """Which pitch (code) which instrument (code) may play, (codes, codes); (0, 0) where everyone may play everything."""
    may_declare: Mask
    """The instruments that may be declared, (codes,)."""
    use_all: bool
    """Whether everyone who is declared must play."""
    waits_from: int
    """The beat from which who has not played waits."""
    min_beats: int
    endless: bool
    positions: int
    """In a beat."""
    beats: int
    """The last code of a beat."""
    reach: int
    """A given note stands this many beats before its onset."""
    length: int
    """The beat code that start-of-notes gets; 0: no length is told."""


class State(NamedTuple):
    """Where each piece stands."""

    last_type: Events
    last_instrument: Events
    """The last that was declared, or 0."""
    last_beat: Events
    """Of the last note, in the piece; all others are told in the network's window."""
    dropped: Events
    """Beats of the piece before the window."""
    max_beats: Events
    """Notes begin up to this beat."""
    floor: Events
    """(row, 5): the (beat, position, pitch, duration, instrument) that the next note must exceed, in this order."""
    declared: Mask
    """(row, codes)"""
    played: Mask
    """(row, codes)"""


class Turn(NamedTuple):
    """What those who are still to play leave to the others of the next note, (row,) each."""

    missing: Events
    """How many they are; none unless all must play."""
    beat: Events
    position: Events
    """The last moment that is not held back for them."""
    forced: Mask
    """Whether the next note is theirs."""


@compiled()
def turn_of(rules, state, room):  # type: ignore[no-untyped-def]
    """The `Turn` of pieces that have room for so many more notes."""
    count = len(state.floor)
    missing, forced = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    beat, position = np.empty(count, np.int64), np.empty(count, np.int64)
    for row in range(count):
        if rules.use_all:
            for code in range(state.declared.shape[1]):
                missing[row] += state.declared[row, code] and not state.played[row, code]
        moment = state.max_beats[row] * rules.positions - max(missing[row] - 1, 0) - 1
        beat[row], position[row] = moment // rules.positions + 1, moment % rules.positions + 1
        forced[row] = missing[row] >= room
    return missing, beat, position, forced


@compiled()
def find_possible(rules, state, turn, row, field, beat, pitch, forced, possible):  # type: ignore[no-untyped-def]
    """Fill a mask (codes,): which codes a field (0 … 4) of the next note may have, where it has this beat and pitch, as far as
    they come before.

    Where `forced`, only those may play who have not yet played.
    """
    known, playable = rules.known[field], rules.playable
    declared, played = state.declared[row], state.played[row]
    forced = forced and rules.use_all
    for code in range(len(possible)):
        possible[code] = known[code]
    if field == 0:
        for code in range(max(turn.beat[row] + 1, 0), len(possible)):
            possible[code] = False
    elif field == POSITION - BEAT and beat >= turn.beat[row]:
        for code in range(turn.position[row] + 1, len(possible)):
            possible[code] = False
    elif field == PITCH - BEAT and len(playable):
        for code in range(len(possible)):
            able = False
            for player in range(len(possible)):
                able |= playable[code, player] and declared[player] and not (forced and played[player])
            possible[code] &= able
    elif field == INSTRUMENT - BEAT:
        for code in range(len(possible)):
            able = not len(playable) or playable[pitch, code]
            possible[code] &= able and declared[code] and not (forced and played[code])


@compiled()
def take_note(rules, state, events):  # type: ignore[no-untyped-def]
    """Update the state by the event (row, 6) that each piece went on with."""
    for row in range(len(events)):
        kind, instrument = events[row, TYPE], events[row, INSTRUMENT]
        state.last_type[row] = kind
        if kind == INSTRUMENT_EVENT:
            state.last_instrument[row] = instrument
            state.declared[row, instrument] = True
        elif kind == NOTE:
            state.last_beat[row] = events[row, BEAT] + state.dropped[row]
            state.played[row, instrument] = True
            for field in range(state.floor.shape[1]):
                state.floor[row, field] = events[row, BEAT + field]
        elif kind == GIVEN_NOTE:
            # What is written next stands at the same moment as this or later.
            state.last_type[row] = NOTE
            state.last_beat[row] = max(state.last_beat[row], events[row, BEAT] + state.dropped[row])
            state.played[row, instrument] = True
            beat, position = events[row, BEAT] - rules.reach, events[row, POSITION]
            floor = state.floor[row]
            if beat > floor[0] or (beat == floor[0] and position > floor[1]):
                floor[:] = 0
                floor[0], floor[1] = beat, position
