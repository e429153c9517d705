"""The three kinds of prompts: nothing, instruments, beats of a piece."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import pieces

import mmt
from mmt.representation.codes import BEAT, END_OF_SONG, INSTRUMENT, INSTRUMENT_EVENT, NOTE, PAPER, TYPE, Events
from mmt.representation.grammar import check_piece
from mmt.representation.prompt import Prompt, tidy

S, N, E = [0] * 6, [2, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0, 0]
V, C = [1, 0, 0, 0, 0, 25], [1, 0, 0, 0, 0, 27]
A, B = [3, 3, 1, 61, 12, 25], [3, 4, 1, 61, 12, 25]
LATE = [S, V, C, N, A, B, E]  # its first two beats are empty


def test_start_is_only_start_of_song() -> None:
    assert mmt.prompt.start().tolist() == [S]
    assert mmt.prompt.start().first_beat == 0


@given(st.lists(st.integers(1, 64), min_size=1, max_size=64, unique=True))
def test_instruments_are_in_the_order_of_their_codes(codes: list[int]) -> None:
    prompt = mmt.prompt.instruments(*(PAPER.names[code - 1] for code in codes))
    check_piece(prompt, complete=False)
    assert prompt[prompt[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT].tolist() == sorted(codes)
    assert prompt[-1].tolist() == N


def test_instruments_are_found_by_name_general_midi_name_or_number() -> None:
    wanted = mmt.prompt.instruments("violin", "piano", "french-horn").tolist()
    assert mmt.prompt.instruments("Acoustic Grand Piano", 60, "40").tolist() == wanted
    assert mmt.prompt.instruments(np.int64(60), "VIOLIN", "Electric grand piano").tolist() == wanted
    assert mmt.prompt.instruments(["violin", 0, "french-horn"]).tolist() == wanted


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "no instrument was named"),
        (([],), "no instrument was named"),
        (("violin", "violin"), r"instrument violin is named twice \('violin'\); name each once"),
        (("piano", 1), r"instrument piano is named twice \('piano' and 1\)"),
        (("violin", "violla"), r"unknown instrument 'violla'; did you mean viola"),
    ],
)
def test_wrong_instruments_are_refused(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mmt.prompt.instruments(*names)


@given(pieces(beats=6), st.data())
def test_beats_keeps_all_instruments_and_the_notes_of_the_first_beats(piece: Events, data: st.DataObject) -> None:
    length = int(piece[-2, BEAT])
    beats = data.draw(st.integers(1, length))
    prompt = mmt.prompt.beats(piece, beats)
    kept = [row for row in piece.tolist() if row[TYPE] < NOTE or (row[TYPE] == NOTE and row[BEAT] <= beats)]
    assert prompt.tolist() == kept
    assert prompt.first_beat == beats
    with pytest.raises(ValueError, match=f"beats is {length + 1}, but the piece has {length} beats"):
        mmt.prompt.beats(piece, length + 1)


@given(pieces(beats=6))
def test_without_a_number_of_beats_the_prompt_is_the_piece_without_its_end(piece: Events) -> None:
    prompt = mmt.prompt.beats(piece)
    assert prompt.tolist() == piece[:-1].tolist()
    assert prompt.first_beat == 0
    # A piece without an end gives the same.
    assert mmt.prompt.beats(piece[:-1]).tolist() == prompt.tolist()


def test_empty_first_beats_give_the_instruments_and_the_first_beat() -> None:
    prompt = mmt.prompt.beats(LATE, 2)
    assert prompt.tolist() == [S, V, C, N]
    assert prompt.first_beat == 2


@pytest.mark.parametrize("beats", [0, -1])
def test_fewer_than_one_beat_is_refused(beats: int) -> None:
    with pytest.raises(ValueError, match=f"beats is {beats}; give at least 1"):
        mmt.prompt.beats(LATE, beats)


@pytest.mark.parametrize("rows", [[S], [S, V], [S, V, N]])
def test_a_piece_without_notes_cannot_be_continued(rows: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="no notes to continue"):
        mmt.prompt.beats(rows, 1)


@given(pieces(), st.randoms(use_true_random=False))
def test_notes_out_of_order_are_sorted_and_duplicates_removed(piece: Events, shuffler: random.Random) -> None:
    opening = piece[piece[:, TYPE] == INSTRUMENT_EVENT].tolist() * 2
    notes = piece[piece[:, TYPE] == NOTE].tolist() * 2
    shuffler.shuffle(opening)
    shuffler.shuffle(notes)
    assert tidy([S, *opening, N, *notes]).tolist() == piece[:-1].tolist()
    assert mmt.prompt.beats([S, *opening, N, *notes, E]).tolist() == piece[:-1].tolist()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([V, N, A], "a piece begins with start-of-song"),
        ([S, V, A], "note cannot follow instrument"),
        ([S, C, N, A], "not declared"),
        ([S, V, N, A, C], "instrument cannot follow note"),
        ([S, V, N, N], "start-of-notes cannot follow start-of-notes"),
        ([S, [1, 1, 0, 0, 0, 25]], "must have code 0"),
        ([S, V, N, [3, 1, 0, 61, 12, 25]], "row 3: a note with position code 0"),
        ([S, [1, 0, 0, 0, 0, 99]], "row 1: an instrument event with instrument code 99"),
        ([[0.0] * 6], "must be integers"),
    ],
)
def test_a_prompt_that_breaks_another_rule_is_refused(rows: list[list[int]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tidy(rows)


def test_tidy_keeps_the_first_beat_and_slices_drop_it() -> None:
    prompt = mmt.prompt.beats(LATE, 3)
    assert tidy(prompt).first_beat == 3
    assert prompt[:2].first_beat == 0
    assert isinstance(prompt, Prompt)


def test_arguments_are_not_mutated() -> None:
    rows = np.array(LATE)[[0, 2, 1, 3, 5, 4, 6]]
    before = rows.copy()
    assert (mmt.prompt.beats(rows)[:, TYPE] != END_OF_SONG).all()
    np.testing.assert_array_equal(rows, before)
