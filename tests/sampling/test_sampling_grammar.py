"""Grammar masks against the definition in `mmt.representation.grammar`, by enumeration of all small pieces."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from mmt.representation.codes import (
    BEAT,
    END_OF_SONG,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    START_OF_NOTES,
    START_OF_SONG,
    TYPE,
    Representation,
)
from mmt.representation.grammar import is_valid
from mmt.representation.instruments import Instrument
from mmt.sampling.grammar import Bounds, StrictGrammar
from mmt.sampling.paper_grammar import PaperGrammar

# Two beats of two positions, two pitches, one duration, two instruments: 16 notes.
SIZES = (5, 3, 3, 3, 2, 3)
REPRESENTATION = Representation(2, 2, (1,), (Instrument("low", 0, (0,)), Instrument("high", 1, (1,))))
ROOM = 7

Event = tuple[int, ...]
Piece = tuple[Event, ...]

START, BEGIN, END = ((kind, 0, 0, 0, 0, 0) for kind in (START_OF_SONG, START_OF_NOTES, END_OF_SONG))
EVERYTHING: list[Event] = list(itertools.product(*(range(size) for size in SIZES)))


def every_piece(room: int = ROOM) -> list[Piece]:
    """All pieces of at most `room` events, found by checking every candidate against the definition."""
    listed = [(INSTRUMENT_EVENT, 0, 0, 0, 0, code) for code in (1, 2)]
    notes = [event for event in EVERYTHING if event[TYPE] == NOTE and min(event) > 0]
    assert len(notes) == 16
    lists = [(a,) for a in listed] + list(itertools.product(listed, repeat=2))
    pieces: list[Piece] = []
    for instruments in lists:
        # Only valid beginnings are extended, since every prefix of a piece is a valid beginning.
        beginnings: list[Piece] = [(START, *instruments, BEGIN)]
        while beginnings:
            beginnings = [
                (*piece, note)
                for piece in beginnings
                for note in notes
                if len(piece) + 2 <= room and is_valid(np.array([*piece, note, END]), representation=REPRESENTATION)
            ]
            pieces += [(*piece, END) for piece in beginnings]
    return pieces


PIECES = every_piece()


def continuations(pieces: Sequence[Piece], prefix: Piece) -> set[Event]:
    return {piece[len(prefix)] for piece in pieces if len(piece) > len(prefix) and piece[: len(prefix)] == prefix}


def prefixes(pieces: Sequence[Piece], shortest: int = 1) -> list[Piece]:
    return sorted({piece[:length] for piece in pieces for length in range(shortest, len(piece))})


def permitted(prefix: Piece, bounds: Bounds, grammar: type[StrictGrammar] | type[PaperGrammar]) -> set[Event]:
    """The events all of whose fields are allowed, each after those before it."""
    rules = grammar([np.array(prefix)] * len(EVERYTHING), SIZES, bounds)
    events, generator = torch.tensor(EVERYTHING), torch.Generator().manual_seed(len(prefix))
    if isinstance(rules, StrictGrammar):
        rules.look_ahead(torch.randn(len(events), sum(SIZES), generator=generator).numpy())
    passes = torch.ones(len(events), dtype=torch.bool)
    for field, size in enumerate(SIZES):
        known = events.clone()
        known[:, field:] = 0
        unknown = torch.randn(len(events), size, generator=generator).numpy()
        logits = torch.from_numpy(rules.allow(unknown, field, known.numpy()))
        assert not logits.isnan().any()
        choice = logits.gather(1, events[:, field, None]).squeeze(1)
        # If the earlier fields are permitted, at least one code of this field is.
        assert (logits[passes] > -torch.inf).any(dim=1).all()
        passes &= choice > -torch.inf
    return {tuple(event) for event in events[passes].tolist()}


def test_the_enumeration_of_all_pieces_is_complete() -> None:
    choose = [[1, 8, 28, 56, 70], [1, 16, 120, 560]]
    # One instrument: 8 notes and room for 3; two: 16 notes and room for 2.
    assert len(PIECES) == 2 * sum(choose[0][1:4]) + sum(choose[1][1:3])


def sample(items: list[Piece], most: int) -> list[Piece]:
    if len(items) <= most:
        return items
    chosen = np.random.default_rng(0).choice(len(items), most, replace=False)
    return [items[index] for index in sorted(chosen.tolist())]


def test_exactly_the_events_that_can_be_completed_are_permitted() -> None:
    for prefix in sample(prefixes(PIECES), 150):
        assert permitted(prefix, Bounds(ROOM, 2), StrictGrammar) == continuations(PIECES, prefix), prefix


@pytest.mark.parametrize("room", [5, 6])
def test_the_piece_is_closed_at_a_limit_of_events(room: int) -> None:
    pieces = [piece for piece in PIECES if len(piece) <= room]
    for prefix in sample(prefixes(pieces), 60):
        assert permitted(prefix, Bounds(room, 2), StrictGrammar) == continuations(pieces, prefix), prefix


def beats_of(piece: Piece) -> int:
    return max(event[BEAT] for event in piece)


def test_notes_begin_before_max_beats() -> None:
    pieces = [piece for piece in PIECES if beats_of(piece) <= 1]
    for prefix in sample(prefixes(pieces), 60):
        assert permitted(prefix, Bounds(ROOM, 1), StrictGrammar) == continuations(pieces, prefix), prefix


def test_a_continuation_adds_nothing_before_its_first_beat() -> None:
    inside = [piece for piece in PIECES if beats_of(piece) <= 1]
    for prefix in sample([piece[:-1] for piece in inside] + [(START, (1, 0, 0, 0, 0, 1), BEGIN)], 60):
        pieces = [p for p in PIECES if all(event[BEAT] != 1 for event in p[len(prefix) :])]
        for max_beats in (1, 2) if prefix[-1][TYPE] == NOTE else (2,):
            allowed = [piece for piece in pieces if max_beats == 2 or piece == (*prefix, END)]
            bounds = Bounds(ROOM, max_beats, first_beat=1)
            assert permitted(prefix, bounds, StrictGrammar) == continuations(allowed, prefix), (prefix, max_beats)


def test_the_end_is_forbidden_before_min_beats_while_a_note_can_follow() -> None:
    for prefix in sample([p for p in prefixes(PIECES) if p[-1][TYPE] == NOTE], 80):
        everything = continuations(PIECES, prefix)
        early = beats_of(prefix) < 2 and everything != {END}
        assert permitted(prefix, Bounds(ROOM, 2, 2), StrictGrammar) == (everything - {END} if early else everything)


def test_endless_forbids_the_end_until_the_last_beat() -> None:
    for prefix in sample([p for p in prefixes(PIECES) if p[-1][TYPE] == NOTE], 80):
        everything = continuations(PIECES, prefix)
        going = beats_of(prefix) < 2 and everything != {END}
        bounds = Bounds(ROOM, 2, endless=True)
        assert permitted(prefix, bounds, StrictGrammar) == (everything - {END} if going else everything)


def test_advancing_through_a_prompt_equals_giving_it_at_once() -> None:
    for piece in sample(PIECES, 100):
        rules = StrictGrammar([np.array(piece[:1])], SIZES, Bounds(ROOM, 2))
        for event in piece[1:-1]:
            rules.advance(np.array([event]))
        other = StrictGrammar([np.array(piece[:-1])], SIZES, Bounds(ROOM, 2))
        assert rules.length == other.length
        for name, part in rules.state._asdict().items():
            # The bonus of instruments that do not play grows from the end of the prompt.
            assert name in ("waits_from", "notes") or np.array_equal(part, getattr(other.state, name)), name


def test_rows_are_kept_in_the_given_order() -> None:
    prefixes_ = [piece[:4] for piece in PIECES if len(piece) > 5 and piece[3][TYPE] == NOTE][:9]
    rules = StrictGrammar([np.array(prefixes_[0][:1])] * 9, SIZES, Bounds(ROOM, 2))
    for place in range(1, 4):
        rules.advance(np.array([prefix[place] for prefix in prefixes_]))
    rows = [7, 2]
    rules.keep(np.array(rows))
    for place, row in enumerate(rows):
        alone = StrictGrammar([np.array(prefixes_[row])], SIZES, Bounds(ROOM, 2))
        for name, part in rules.state._asdict().items():
            assert name in ("waits_from", "notes") or np.array_equal(part[place], getattr(alone.state, name)[0]), name


# The paper's grammar.


def paper_law(prefix: Piece, bounds: Bounds) -> set[Event]:
    """Type and beat never fall, fields that the type uses are not 0, and all others are 0."""
    if len(prefix) == bounds.max_events - 1:
        return {END}

    def follows(event: Event) -> bool:
        kind = event[TYPE]
        used = {INSTRUMENT_EVENT: [INSTRUMENT], NOTE: range(BEAT, INSTRUMENT + 1)}.get(kind, [])
        if kind < max(prefix[-1][TYPE], 1) or any(
            (code > 0) != (field in used) for field, code in enumerate(event) if field
        ):
            return False
        earliest = max(beats_of(prefix), bounds.first_beat + 1)
        return kind != NOTE or earliest <= event[BEAT] <= bounds.max_beats

    following = {event for event in EVERYTHING if follows(event)}
    early = beats_of(prefix) < bounds.min_beats or bounds.endless
    notes_left = any(event[TYPE] == NOTE for event in following)
    return following - {END} if early and notes_left else following


@pytest.mark.parametrize(
    "bounds",
    [Bounds(7, 2), Bounds(5, 2), Bounds(7, 1), Bounds(7, 2, 2), Bounds(7, 2, endless=True), Bounds(7, 2, first_beat=1)],
)
def test_the_paper_grammar_permits_exactly_its_events(bounds: Bounds) -> None:
    fitting = [p for p in prefixes(PIECES) if len(p) < bounds.max_events and beats_of(p) <= bounds.max_beats]
    for prefix in sample(fitting, 60):
        assert permitted(prefix, bounds, PaperGrammar) == paper_law(prefix, bounds), prefix


def test_the_paper_grammar_adds_nothing_before_the_first_beat() -> None:
    prompt = (START, (1, 0, 0, 0, 0, 1), BEGIN, (3, 1, 1, 1, 1, 1))
    for bounds in (Bounds(7, 1, first_beat=1), Bounds(7, 1, 1, first_beat=1), Bounds(7, 1, first_beat=1, endless=True)):
        assert permitted(prompt, bounds, PaperGrammar) == {END}


# The weights of lookahead.


def joint(rules: StrictGrammar, logits: list[Tensor]) -> Tensor:
    """The probability of every event, drawn field by field from these logits by the rules."""
    events = torch.tensor(EVERYTHING)
    rules.look_ahead(torch.cat(logits, dim=1).expand(len(events), -1).numpy())
    total = torch.zeros(len(events), dtype=torch.float64)
    for field in range(6):
        known = events.clone()
        known[:, field:] = 0
        # After impossible fields, a field has no distribution.
        allowed = rules.allow(logits[field].expand(len(events), -1).numpy(), field, known.numpy())
        shares = torch.from_numpy(allowed).double().log_softmax(-1).nan_to_num(-1e9)
        total += shares.gather(1, events[:, field, None]).squeeze(1)
    return total.exp()


@pytest.mark.parametrize("seed", range(5))
def test_a_note_follows_the_networks_distribution_among_notes_that_may_follow(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = [2 * torch.randn(1, size, generator=generator) for size in SIZES]
    for prefix in sample([p for p in prefixes(PIECES) if p[-1][TYPE] == NOTE and len(p) < ROOM - 1], 12):
        rules = StrictGrammar([np.array(prefix)] * len(EVERYTHING), SIZES, Bounds(ROOM, 2))
        drawn = joint(rules, logits)
        greater = [event in continuations(PIECES, prefix) and event[TYPE] == NOTE for event in EVERYTHING]
        if not any(greater):
            continue
        asked = torch.zeros(len(EVERYTHING), dtype=torch.float64)
        for place, event in enumerate(EVERYTHING):
            if greater[place]:
                asked[place] = sum(logits[field][0, event[field]].double() for field in range(1, 6)).exp()
        torch.testing.assert_close(
            drawn[greater] / drawn[greater].sum(), asked[greater] / asked.sum(), rtol=1e-4, atol=1e-7
        )
        assert drawn.sum().item() == pytest.approx(1, abs=1e-6)


def test_at_the_last_beat_the_probability_of_notes_that_cannot_follow_goes_to_the_end() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(1, size, generator=generator) for size in SIZES]
    # After the last position, only a higher pitch can follow.
    prefix = (START, (1, 0, 0, 0, 0, 1), BEGIN, (3, 2, 2, 1, 1, 1))
    rules = StrictGrammar([np.array(prefix)] * len(EVERYTHING), SIZES, Bounds(ROOM, 2))
    drawn = joint(rules, logits)
    kinds = logits[TYPE][0, [NOTE, END_OF_SONG]].double().softmax(0)
    shares = [logits[field][0, 1:].double().softmax(0) for field in range(1, 5)]
    fits = kinds[0] * shares[0][1] * shares[1][1] * shares[2][1]
    assert drawn[EVERYTHING.index((3, 2, 2, 2, 1, 1))].item() == pytest.approx(fits.item(), rel=1e-5)
    assert drawn[EVERYTHING.index(END)].item() == pytest.approx(1 - fits.item(), rel=1e-5)
