"""What may come next: masks over the codes of each field, so that whatever a network says, a valid piece is written.

All of it is on the host, compiled or in NumPy, a call of which costs a third of one of PyTorch's; logits are plain numbers.

The fields of an event are chosen in the order of the codes; each choice narrows what the next field may be.
`StrictGrammar` is the law of `mmt.representation.grammar` told from inside. What may not be drawn gets the logit minus
infinity; at least one code always may.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from mmt.model.compiled import compiled
from mmt.representation.codes import (
    BEAT,
    END_OF_SONG,
    GIVEN_NOTE,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    PITCH,
    POSITION,
    START_OF_NOTES,
    TYPE,
    Events,
    is_note,
)
from mmt.sampling.controls import Controls
from mmt.sampling.lookahead import look_ahead, share_with_end
from mmt.sampling.state import Numbers, Rules, State, Turn, find_possible, take_note, turn_of


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
    reach: int = 0
    """A given note stands this many beats before its onset; 0 where the piece has none."""
    length: int = 0
    """How many beats the piece is told to have; 0: not told."""


# Asks the network, for an event (batch, 6) whose fields are taken as known: the tempered logits of all fields side by side.
Ask = Callable[[Events], Numbers]


class Grammar(Protocol):
    """What the decoding loop asks of a grammar: lookahead, then what it allows field by field; and it is told the outcome."""

    ends: Events
    """Where each field's codes begin when all are side by side, and the last one's end."""

    def look_ahead(self, ask: Ask) -> None: ...

    def allow(self, logits: Numbers, field: int, event: Events) -> Numbers: ...

    def advance(self, event: Events) -> None: ...

    def drop_beats(self, dropped: Events) -> None: ...

    def keep(self, rows: Sequence[int]) -> None: ...


class StrictGrammar:
    """The rules for a batch of pieces that all go on from one prompt.

    The floor is what the next note must exceed in the order of (beat, position, pitch, duration, instrument): the last note, or
    the moment before the first that is allowed. While the fields chosen so far repeat the floor, the next may not fall, and may
    repeat it only if a later one can grow.

    Where everyone must play, the end waits for it, and each instrument that has not played has one of the last moments (or
    of the last events that there is room for) to itself: no note of another may take it.
    """

    def __init__(self, prompt: Events, batch: int, sizes: tuple[int, ...], bounds: Bounds) -> None:
        self.bounds, self.length = bounds, len(prompt)
        self.ends = np.cumsum([0, *sizes])
        self.rules = _rules_of(prompt, sizes, bounds)
        self.state = _state_of(prompt, batch, sizes, bounds)

    def advance(self, event: Events) -> None:
        """Take note of the event (batch, 6) that each piece went on with."""
        take_note(self.rules, self.state, event)
        self.length += 1

    def pass_by(self, row: int, note: Events) -> None:
        """Let time pass in a piece without a note, as if this one (5,) had been its last."""
        self.state.floor[row], self.state.last_type[row] = note, NOTE

    def drop_beats(self, dropped: Events) -> None:
        """Take note that each piece's window now begins so many beats (batch,) later than it did."""
        self.state.dropped[:] += dropped
        self.state.max_beats[:] -= dropped
        # Before the window is before all that it can hold.
        self.state.floor[:, 0] = np.maximum(self.state.floor[:, 0] - dropped, 0)

    def look_ahead(self, ask: Ask) -> None:
        """Learn how likely the next note is to be a greater one, before its fields are drawn one after the other.

        Masks alone would draw a beat that repeats the last note's, since a higher position may follow, and then be left
        with positions that the network thinks impossible. With these log-probabilities as weights, an event is drawn
        as the network has it, under the condition that it is a valid one.
        """
        floor = self.state.floor
        logits = ask(np.concatenate([np.full((len(floor), 1), NOTE), floor], axis=1))
        self.turn = Turn(*turn_of(self.rules, self.state, self.bounds.max_events - self.length - 1))
        self.lookahead = look_ahead(logits, self.ends, self.rules, self.state, self.turn)

    def allow(self, logits: Numbers, field: int, event: Events) -> Numbers:
        """The logits of a field (batch, size) with what the grammar forbids at minus infinity, and weighed by lookahead.

        `event` (batch, 6) holds the fields that were chosen before this one.
        """
        logits = np.ascontiguousarray(logits)
        if field == TYPE:
            room, context = self.bounds.max_events - self.length, self.bounds.context
            window_has_room = context is None or context - self.length > 3
            return _allow_types(logits, self.rules, self.state, self.turn, self.lookahead, room, window_has_room)  # type: ignore[no-any-return]
        return _allow(logits, field - BEAT, event, self.rules, self.state, self.turn, self.lookahead)  # type: ignore[no-any-return]

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these pieces of the batch, in this order."""
        self.state = State._make(part[rows] for part in self.state)


def _rules_of(prompt: Events, sizes: tuple[int, ...], bounds: Bounds) -> Rules:
    codes, table = np.arange(max(sizes[BEAT:])), bounds.controls.playable
    may_declare, playable = (codes > 0) & (codes < sizes[INSTRUMENT]), np.zeros((0, 0), bool)
    if table is not None:
        playable = np.zeros((len(codes), len(codes)), bool)
        playable[: len(table), : table.shape[1]] = table
        may_declare &= playable.any(axis=0)
    return Rules(
        known=(codes > 0) & (codes < np.array(sizes[BEAT:])[:, None]),
        playable=playable,
        may_declare=may_declare,
        use_all=bool(bounds.controls.use_all),
        waits_from=max(_last_beat(prompt), bounds.first_beat),
        min_beats=bounds.min_beats,
        endless=bool(bounds.endless),
        positions=sizes[POSITION] - 1,
        beats=sizes[BEAT] - 1,
        reach=bounds.reach,
        length=min(1 + bounds.length, sizes[BEAT] - 1) if bounds.length else 0,
    )


def _state_of(prompt: Events, batch: int, sizes: tuple[int, ...], bounds: Bounds) -> State:
    types, codes = prompt[:, TYPE], max(sizes[BEAT:])
    named, notes = prompt[types == INSTRUMENT_EVENT, INSTRUMENT], prompt[is_note(prompt)]
    state = State(
        last_type=np.full(batch, NOTE if types[-1] == GIVEN_NOTE else types[-1]),
        last_instrument=np.full(batch, named.max(initial=0)),
        last_beat=np.full(batch, _last_beat(prompt)),
        dropped=np.zeros(batch, np.int64),
        max_beats=np.full(batch, bounds.max_beats),
        floor=np.tile(floor_of(prompt, sizes, bounds), (batch, 1)),
        declared=np.zeros((batch, codes), bool),
        played=np.zeros((batch, codes), bool),
    )
    state.declared[:, named] = True
    state.played[:, notes[:, INSTRUMENT]] = True
    return state


def _last_beat(prompt: Events) -> int:
    """The beat code of the last note; 0 without one."""
    return int(prompt[is_note(prompt), BEAT].max(initial=0))


@compiled()
def _allow_types(logits, rules, state, turn, lookahead, room, window_has_room):  # type: ignore[no-untyped-def]
    allowed = np.full_like(logits, -np.inf)
    for row in range(len(logits)):
        last, missing, limit = state.last_type[row], turn.missing[row], state.max_beats[row]
        # Behind an instrument there must be room for start-of-notes, a note (of everyone who must play) and the end.
        more = missing + 1
        moments = limit * rules.positions - (state.floor[row, 0] - 1) * rules.positions - state.floor[row, 1]
        others = rules.may_declare[state.last_instrument[row] + 1 :].any()
        has_room = window_has_room and room > 2 + more and (moments >= more or more == 1)
        if last < START_OF_NOTES and others and has_room:
            allowed[row, INSTRUMENT_EVENT] = logits[row, INSTRUMENT_EVENT]
        if last == INSTRUMENT_EVENT:
            allowed[row, START_OF_NOTES] = logits[row, START_OF_NOTES]
        note, end = share_with_end(logits[row, NOTE], logits[row, END_OF_SONG], lookahead.leaves[row])
        follows = last == NOTE and lookahead.can_follow[row] and room > 1
        if last == START_OF_NOTES or follows:
            allowed[row, NOTE] = note
        at_limit = state.floor[row, 0] >= min(limit, rules.beats)
        early = state.last_beat[row] < rules.min_beats or (rules.endless and not at_limit)
        if last == NOTE and not (follows and (early or missing > 0)):
            allowed[row, END_OF_SONG] = end
    return allowed


@compiled()
def _allow(logits, field, events, rules, state, turn, lookahead):  # type: ignore[no-untyped-def]
    """Of a field (0 … 4) of a note, or of another event, which has none but an instrument's own."""
    allowed, possible = np.full_like(logits, -np.inf), np.empty(rules.known.shape[1], np.bool_)
    for row in range(len(logits)):
        kind, beat, position = events[row, TYPE], events[row, BEAT], events[row, POSITION]
        if kind != NOTE:
            if field == INSTRUMENT - BEAT and kind == INSTRUMENT_EVENT:
                for code in range(state.last_instrument[row] + 1, logits.shape[1]):
                    if rules.may_declare[code]:
                        allowed[row, code] = logits[row, code]
            elif field == 0 and kind == START_OF_NOTES:
                allowed[row, rules.length] = logits[row, rules.length]
            else:
                allowed[row, 0] = logits[row, 0]
            continue
        tied = True
        for before in range(field):
            tied = tied and events[row, BEAT + before] == state.floor[row, before]
        at_last = turn.missing[row] > 0 and beat == turn.beat[row] and position == turn.position[row]
        forced, floor = turn.forced[row] or (at_last and not tied), state.floor[row, field]
        find_possible(rules, state, turn, row, field, beat, events[row, PITCH], forced, possible)
        for code in range(floor + 1 if tied else 0, logits.shape[1]):
            if possible[code]:
                allowed[row, code] = logits[row, code]
        if tied and 0 <= floor < logits.shape[1]:
            allowed[row, floor] = logits[row, floor] + lookahead.repeats[row, field]
        if field == INSTRUMENT - BEAT:
            for code in range(logits.shape[1]):
                allowed[row, code] += lookahead.instrument_bonus[row, code]
    return allowed


def floor_of(prompt: Events, sizes: tuple[int, ...], bounds: Bounds) -> Events:
    """What the first new note must exceed, (5,): the last note, or the moment before the first that is allowed."""
    notes, given = prompt[prompt[:, TYPE] == NOTE], prompt[prompt[:, TYPE] == GIVEN_NOTE]
    if len(notes) and notes[-1, BEAT] > bounds.first_beat:
        floor = notes[-1, BEAT:].tolist()
    elif bounds.first_beat < bounds.max_beats:
        floor = [bounds.first_beat + 1, 0, 0, 0, 0]
    else:
        floor = [bounds.max_beats, *(size - 1 for size in sizes[POSITION:])]  # no note can follow
    if len(given):
        # What is written next stands at the moment of the last given note or later.
        moment = [int(given[-1, BEAT]) - bounds.reach, int(given[-1, POSITION])]
        floor = [*moment, 0, 0, 0] if moment > floor[:2] else floor
    return np.array(floor)


def moment_of(floor: Events, sizes: tuple[int, ...]) -> Any:
    """The number of a floor's (…, 5) moment in the piece, counted in positions."""
    return (floor[..., 0] - 1) * (sizes[POSITION] - 1) + floor[..., 1]
