"""The state of pieces that are being written, the rules for all of them, and which codes the next note may have.

Pieces are rows of a batch. Masks over codes are as wide as the largest field. Other compiled functions call these.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmt.model.compiled import compiled
from mmt.representation.codes import (
    BEAT,
    DURATION,
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
    """The rules for all pieces of a batch."""

    known: Mask
    """The codes of a note's five fields that the network has, (5, codes)."""
    playable: Mask
    """Which instrument code may play which pitch code, (pitch codes, instrument codes); (0, 0) if all may play everything."""
    may_declare: Mask
    """The instruments that may be declared, (codes,)."""
    least_notes: int
    """The notes that each declared instrument must play; 0: none."""
    max_rest: int
    """Silences are shorter than this many beats; 0: of any length."""
    durations: Events
    """The durations in steps, (duration codes,); unused if `max_rest` is 0."""
    min_beats: int
    endless: bool
    positions: int
    """Positions in a beat."""
    beats: int
    """The last beat code."""
    reach: int
    """A given note is placed this many beats before its onset."""
    length: int
    """The beat code of start-of-notes; 0: no length is given."""


class State(NamedTuple):
    """The state of each piece; arrays have one row for each piece."""

    last_type: Events
    last_instrument: Events
    """The code of the last declared instrument, or 0."""
    last_beat: Events
    """The beat code of the last note, counted in the piece; all other beats are counted in the network's window."""
    waits_from: Events
    """The beat from which the bonus of an instrument that still owes notes grows."""
    notes: Events
    """(row, codes): how many notes each instrument has got since the prompt."""
    dropped: Events
    """Beats of the piece before the window."""
    max_beats: Events
    """The last beat code in which a note may begin."""
    floor: Events
    """(row, 5): the (beat, position, pitch, duration, instrument) that the next note must exceed, in this order."""
    declared: Mask
    """(row, codes)"""
    owed: Events
    """(row, codes): how many notes each instrument must still play."""
    sounds_until: Events
    """The last moment at which a note sounds, in positions from the start of the piece."""


class Turn(NamedTuple):
    """Limits of the next note; arrays are (row,)."""

    missing: Events
    """The number of notes that are owed."""
    beat: Events
    position: Events
    """The last moment that is not reserved for instruments that owe notes."""
    forced: Mask
    """Whether the next note must be of one of them."""
    latest: Events
    """The last beat in which it may begin without too long a silence."""


@compiled()
def turn_of(rules, state, room):  # type: ignore[no-untyped-def]
    """The fields of `Turn` for pieces with room for `room` (row,) more notes."""
    count = len(state.floor)
    missing, forced = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    beat, position = np.empty(count, np.int64), np.empty(count, np.int64)
    latest = np.full(count, rules.known.shape[1])
    for row in range(count):
        missing[row] = state.owed[row].sum()
        if rules.max_rest:
            latest[row] = state.sounds_until[row] // rules.positions + rules.max_rest - state.dropped[row]
        moment = state.max_beats[row] * rules.positions - max(missing[row] - 1, 0) - 1
        beat[row], position[row] = moment // rules.positions + 1, moment % rules.positions + 1
        forced[row] = missing[row] >= room[row]
    return missing, beat, position, forced, latest


@compiled()
def find_possible(rules, state, turn, row, field, beat, pitch, forced, possible):  # type: ignore[no-untyped-def]
    """Fill a mask (codes,) with the codes that a field (0 … 4) of the next note may have, given its beat and pitch so far.

    If `forced`, only instruments that owe notes are allowed.
    """
    known, playable = rules.known[field], rules.playable
    declared, owed = state.declared[row], state.owed[row]
    for code in range(len(possible)):
        possible[code] = known[code]
    if field == 0:
        for code in range(max(min(turn.beat[row], turn.latest[row]) + 1, 0), len(possible)):
            possible[code] = False
    elif field == POSITION - BEAT and beat >= turn.beat[row]:
        for code in range(turn.position[row] + 1, len(possible)):
            possible[code] = False
    elif field == PITCH - BEAT and len(playable):
        for code in range(len(possible)):
            able = False
            for player in range(len(possible)):
                able |= playable[code, player] and declared[player] and (owed[player] > 0 or not forced)
            possible[code] &= able
    elif field == INSTRUMENT - BEAT:
        for code in range(len(possible)):
            able = not len(playable) or playable[pitch, code]
            possible[code] &= able and declared[code] and (owed[code] > 0 or not forced)


@compiled()
def take_note(rules, state, events):  # type: ignore[no-untyped-def]
    """Update the state by the next event of each piece, (row, 6)."""
    for row in range(len(events)):
        kind, instrument = events[row, TYPE], events[row, INSTRUMENT]
        state.last_type[row] = kind
        if kind == INSTRUMENT_EVENT:
            state.last_instrument[row] = instrument
            state.declared[row, instrument] = True
            state.owed[row, instrument] = rules.least_notes
        elif kind == NOTE:
            state.last_beat[row] = events[row, BEAT] + state.dropped[row]
            state.owed[row, instrument] = max(state.owed[row, instrument] - 1, 0)
            state.notes[row, instrument] += 1
            if rules.max_rest:
                moment = (state.last_beat[row] - 1) * rules.positions + events[row, POSITION] - 1
                offset = moment + rules.durations[events[row, DURATION]]
                state.sounds_until[row] = max(state.sounds_until[row], offset)
            for field in range(state.floor.shape[1]):
                state.floor[row, field] = events[row, BEAT + field]
        elif kind == GIVEN_NOTE:
            # The next event is at the same moment or later.
            state.last_type[row] = NOTE
            state.last_beat[row] = max(state.last_beat[row], events[row, BEAT] + state.dropped[row])
            state.owed[row, instrument] = max(state.owed[row, instrument] - 1, 0)
            state.notes[row, instrument] += 1
            beat, position = events[row, BEAT] - rules.reach, events[row, POSITION]
            floor = state.floor[row]
            if beat > floor[0] or (beat == floor[0] and position > floor[1]):
                floor[:] = 0
                floor[0], floor[1] = beat, position
