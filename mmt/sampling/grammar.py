"""Grammar masks: which codes of each field the next event may have, so that every network writes valid pieces.

Logits are NumPy arrays on the host, and the masks are compiled: a call costs a third of a call of PyTorch.

The fields of an event are drawn in the order of the codes, and each drawn field narrows the next ones. `StrictGrammar` keeps the
rules that `mmt.representation.grammar` checks. Forbidden codes get the logit minus infinity; at least one code is always allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmt.model.compiled import compiled
from mmt.representation.codes import (
    BEAT,
    DURATION,
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
from mmt.sampling.lookahead import Lookahead, look_ahead, share_with_end
from mmt.sampling.state import Numbers, Rules, State, Turn, find_possible, take_note, turn_of


@dataclass(frozen=True)
class Bounds:
    """The limits of a piece that is being written."""

    max_events: int
    """Maximum number of events of the whole piece, end-of-song included."""
    max_beats: int
    """Notes begin in the first `max_beats` beats."""
    min_beats: int = 0
    """No end while the piece has fewer beats and a note can follow."""
    first_beat: int = 0
    """No note is added before this beat."""
    endless: bool = False
    """No end while a note can follow."""
    controls: Controls = field(default_factory=Controls)
    """Which instruments may play which pitches, and whether all must play."""
    context: int | None = None
    """The number of events in the network's window if the piece may outgrow it: the instruments leave room for notes there."""
    reach: int = 0
    """A given note is placed this many beats before its onset; 0 if the piece has none."""
    length: int = 0
    """The length of the piece in beats that the model reads; 0: none."""
    least_notes: int = 1
    """With `controls.use_all`: the notes that each declared instrument must play."""
    max_rest: int = 0
    """Silences are shorter than this many beats, at least 2; 0: of any length. Only for pieces without given notes."""
    durations: tuple[int, ...] = ()
    """The durations in steps, by code from 1 on; needed for `max_rest`."""


class StrictGrammar:
    """The strict grammar, for a batch of pieces, each of which continues a prompt.

    Calls for each event: `floor_notes` and `look_ahead`, `allow` for each field, and `advance` with the drawn event.

    The next note must exceed the floor in the order of (beat, position, pitch, duration, instrument). The floor is the last
    note, or the moment before the first allowed one. While the fields drawn so far repeat the floor's, the next field must not
    be lower, and may repeat it only if a later field can be higher.

    With `use_all`, the piece cannot end while an instrument owes notes. For each note that is owed, one of the last moments (and
    one of the last events that there is room for) is reserved: no other instrument can play there. Instruments below a fair share
    get a bonus, see `mmt.sampling.lookahead.share_bonus`.

    With `max_rest`, no note can begin `max_rest` beats or more after the end of the last one that sounds.
    """

    def __init__(self, prompts: Sequence[Events], sizes: tuple[int, ...], bounds: Bounds) -> None:
        self.bounds = bounds
        self.length = np.array([len(one) for one in prompts])
        """Number of events of each piece, (batch,)."""
        self.ends = np.cumsum([0, *sizes])
        """Offsets of the fields in the concatenated logits, (7,)."""
        self.rules = _rules_of(sizes, bounds)
        states = [_state_of(one, sizes, bounds) for one in prompts]
        self.state = State._make(np.concatenate(parts) for parts in zip(*states, strict=True))

    def advance(self, event: Events) -> None:
        """Update the state by the next event of each piece, (batch, 6)."""
        take_note(self.rules, self.state, event)
        self.length = self.length + 1

    def pass_by(self, row: int, note: Events) -> None:
        """Raise the floor of a piece to a discarded note, given by its fields from the beat on, (5,)."""
        self.state.floor[row], self.state.last_type[row] = note, NOTE

    def drop_beats(self, dropped: Events) -> None:
        """Note that the window of each piece now starts `dropped` (batch,) beats later."""
        self.state.dropped[:] += dropped
        self.state.max_beats[:] -= dropped
        # A floor before the window becomes beat 0, which is below all codes of notes.
        self.state.floor[:, 0] = np.maximum(self.state.floor[:, 0] - dropped, 0)

    def floor_notes(self) -> Events:
        """The note that the next one must exceed, (batch, 6)."""
        floor = self.state.floor
        return np.concatenate([np.full((len(floor), 1), NOTE), floor], axis=1)

    def look_ahead(self, logits: Numbers) -> None:
        """Compute the probability that the next note exceeds the floor, before its fields are drawn.

        Masks alone could draw the beat of the last note, because a higher position is allowed, and then be left with positions
        that the network finds impossible. With these log-probabilities as weights, an event is drawn from the network's
        distribution under the condition that it is valid.

        `logits` (batch, codes of all fields) are tempered, and those of a field are given the earlier fields of `floor_notes`.
        """
        self.turn = Turn(*turn_of(self.rules, self.state, self.bounds.max_events - self.length - 1))
        logits = np.ascontiguousarray(logits)
        self.lookahead = Lookahead(*look_ahead(logits, self.ends, self.rules, self.state, self.turn))

    def allow(self, logits: Numbers, field: int, event: Events) -> Numbers:
        """The logits of a field (batch, size), with forbidden codes at minus infinity and weighted by the lookahead.

        `event` (batch, 6) holds the fields that were drawn before this one.
        """
        logits = np.ascontiguousarray(logits)
        if field == TYPE:
            room, context = self.bounds.max_events - self.length, self.bounds.context
            window_has_room = np.full(len(room), True) if context is None else context - self.length > 3
            return _allow_types(logits, self.rules, self.state, self.turn, self.lookahead, room, window_has_room)  # type: ignore[no-any-return]
        return _allow(logits, field - BEAT, event, self.rules, self.state, self.turn, self.lookahead)  # type: ignore[no-any-return]

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these pieces of the batch, in this order."""
        self.state = State._make(part[rows] for part in self.state)
        self.length = self.length[rows]


def _rules_of(sizes: tuple[int, ...], bounds: Bounds) -> Rules:
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
        least_notes=bounds.least_notes if bounds.controls.use_all else 0,
        max_rest=bounds.max_rest,
        durations=np.array([0, *bounds.durations]),
        min_beats=bounds.min_beats,
        endless=bool(bounds.endless),
        positions=sizes[POSITION] - 1,
        beats=sizes[BEAT] - 1,
        reach=bounds.reach,
        length=min(1 + bounds.length, sizes[BEAT] - 1) if bounds.length else 0,
    )


def _state_of(prompt: Events, sizes: tuple[int, ...], bounds: Bounds) -> State:
    """The state of one piece after its prompt."""
    types, codes = prompt[:, TYPE], max(sizes[BEAT:])
    named, notes = prompt[types == INSTRUMENT_EVENT, INSTRUMENT], prompt[is_note(prompt)]
    last_beat = notes[:, BEAT].max(initial=0)
    state = State(
        last_type=np.full(1, NOTE if types[-1] == GIVEN_NOTE else types[-1]),
        last_instrument=np.full(1, named.max(initial=0)),
        last_beat=np.full(1, last_beat),
        waits_from=np.full(1, max(last_beat, bounds.first_beat)),
        notes=np.zeros((1, codes), np.int64),
        dropped=np.zeros(1, np.int64),
        max_beats=np.full(1, bounds.max_beats),
        floor=floor_of(prompt, sizes, bounds)[None],
        declared=np.zeros((1, codes), bool),
        owed=np.zeros((1, codes), np.int64),
        sounds_until=np.full(1, bounds.first_beat * (sizes[POSITION] - 1)),
    )
    state.declared[:, named] = True
    if bounds.controls.use_all:
        state.owed[0, named] = bounds.least_notes
        state.owed[0] = np.maximum(state.owed[0] - np.bincount(notes[:, INSTRUMENT], minlength=codes), 0)
    if bounds.max_rest and len(notes):
        offsets = moment_of(notes[:, BEAT:], sizes) - 1 + np.array([0, *bounds.durations])[notes[:, DURATION]]
        state.sounds_until[0] = max(state.sounds_until[0], offsets.max())
    return state


@compiled()
def _allow_types(logits, rules, state, turn, lookahead, room, window_has_room):  # type: ignore[no-untyped-def]
    allowed = np.full_like(logits, -np.inf)
    for row in range(len(logits)):
        last, missing, limit = state.last_type[row], turn.missing[row], state.max_beats[row]
        # After an instrument there must be room for start-of-notes, the notes that are then owed (or one), and the end.
        more = missing + max(rules.least_notes, 1)
        moments = limit * rules.positions - (state.floor[row, 0] - 1) * rules.positions - state.floor[row, 1]
        others = rules.may_declare[state.last_instrument[row] + 1 :].any()
        has_room = window_has_room[row] and room[row] > 2 + more and (moments >= more or more == 1)
        if last < START_OF_NOTES and others and has_room:
            allowed[row, INSTRUMENT_EVENT] = logits[row, INSTRUMENT_EVENT]
        if last == INSTRUMENT_EVENT:
            allowed[row, START_OF_NOTES] = logits[row, START_OF_NOTES]
        note, end = share_with_end(logits[row, NOTE], logits[row, END_OF_SONG], lookahead.leaves[row])
        follows = last == NOTE and lookahead.can_follow[row] and room[row] > 1
        if last == START_OF_NOTES or follows:
            allowed[row, NOTE] = note
        at_limit = state.floor[row, 0] >= min(limit, rules.beats)
        early = state.last_beat[row] < rules.min_beats or (rules.endless and not at_limit)
        if last == NOTE and not (follows and (early or missing > 0)):
            allowed[row, END_OF_SONG] = end
    return allowed


@compiled()
def _allow(logits, field, events, rules, state, turn, lookahead):  # type: ignore[no-untyped-def]
    """The allowed logits of a field after the type (0 … 4 from the beat on); events other than notes have few such fields."""
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
    """The floor that the first new note must exceed, (5,): the last note, or the moment before the first allowed one."""
    notes, given = prompt[prompt[:, TYPE] == NOTE], prompt[prompt[:, TYPE] == GIVEN_NOTE]
    if len(notes) and notes[-1, BEAT] > bounds.first_beat:
        floor = notes[-1, BEAT:].tolist()
    elif bounds.first_beat < bounds.max_beats:
        floor = [bounds.first_beat + 1, 0, 0, 0, 0]
    else:
        floor = [bounds.max_beats, *(size - 1 for size in sizes[POSITION:])]  # no note can follow
    if len(given):
        # The next note comes at the moment of the last given note or later.
        moment = [int(given[-1, BEAT]) - bounds.reach, int(given[-1, POSITION])]
        floor = [*moment, 0, 0, 0] if moment > floor[:2] else floor
    return np.array(floor)


def moment_of(floor: Events, sizes: tuple[int, ...]) -> Any:
    """The moment of a floor (…, 5): the number of positions from the start of the piece."""
    return (floor[..., 0] - 1) * (sizes[POSITION] - 1) + floor[..., 1]
