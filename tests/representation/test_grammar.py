"""The strict grammar accepts exactly the valid pieces, and its errors name the row and the rule."""

from __future__ import annotations

import muspy
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import pieces

from mmt.representation.codes import INSTRUMENT, NOTE, PAPER, TYPE, Events
from mmt.representation.grammar import check_piece, is_valid

S, N, E = [0] * 6, [2, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0, 0]
V, C = [1, 0, 0, 0, 0, 25], [1, 0, 0, 0, 0, 27]
A, B = [3, 1, 1, 61, 12, 25], [3, 2, 1, 61, 12, 25]


def by_definition(events: Events) -> bool:
    """The definition of a valid piece in plain Python."""
    rows = [tuple(row) for row in events.tolist()]
    opening = [row for row in rows if row[TYPE] == 1]
    notes = [row for row in rows if row[TYPE] == NOTE]
    listed = [row[INSTRUMENT] for row in opening]
    return (
        rows == [(0,) * 6, *((1, 0, 0, 0, 0, code) for code in listed), (2, *[0] * 5), *notes, (4, *[0] * 5)]
        and len(listed) > 0
        and len(notes) > 0
        and all(1 <= code <= 64 for code in listed)
        and listed == sorted(set(listed))
        and notes == sorted(set(notes))
        and all(note[INSTRUMENT] in listed for note in notes)
        and all(
            code >= 1 and (field == 1 or code < PAPER.sizes[field])
            for note in notes
            for field, code in enumerate(note)
            if field
        )
    )


@given(pieces())
def test_every_piece_is_valid_and_returned_unchanged(piece: Events) -> None:
    np.testing.assert_array_equal(check_piece(piece.astype(np.int32)), piece)
    assert is_valid(piece)


@given(pieces(), st.data())
def test_every_beginning_is_valid_only_as_a_beginning(piece: Events, data: st.DataObject) -> None:
    beginning = piece[: data.draw(st.integers(1, len(piece) - 1))]
    check_piece(beginning, complete=False)
    with pytest.raises(ValueError, match=f"row {len(beginning)}: the piece has no end-of-song"):
        check_piece(beginning)


@given(pieces(max_notes=6), st.data())
def test_a_piece_with_one_changed_code_is_valid_exactly_if_the_definition_says_so(
    piece: Events, data: st.DataObject
) -> None:
    row, field = data.draw(st.integers(0, len(piece) - 1)), data.draw(st.integers(0, 5))
    piece[row, field] = data.draw(st.one_of(st.integers(0, 5), st.integers(-1, PAPER.sizes[field] + 1)))
    assert is_valid(piece) == by_definition(piece)


def test_music_is_refused() -> None:
    with pytest.raises(ValueError, match=r"events were expected, not a muspy\.Music; give mmt\.encode\(music\)"):
        is_valid(muspy.Music())  # type: ignore[arg-type]


@given(pieces(max_notes=6), st.data())
def test_rows_in_another_order_are_invalid(piece: Events, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(piece))))
    assume(list(order) != list(range(len(piece))))
    assert not is_valid(piece[list(order)])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "row 0: a piece begins with start-of-song"),
        ([V, N, A, E], "row 0: a piece begins with start-of-song"),
        ([S, S, V, N, A, E], "row 1: start-of-song cannot follow start-of-song"),
        ([S, N, A, E], "row 1: start-of-notes cannot follow start-of-song"),
        ([S, V, A, E], "row 2: note cannot follow instrument"),
        ([S, V, N, E], "row 3: end-of-song cannot follow start-of-notes"),
        ([S, V, N, A, V, E], "row 4: instrument cannot follow note"),
        ([S, V, N, A, E, E], "row 5: end-of-song cannot follow end-of-song"),
        ([S, C, V, N, A, E], "row 2: instruments must ascend without repeats, but 25 follows 27"),
        ([S, V, V, N, A, E], "row 2: instruments must ascend without repeats, but 25 follows 25"),
        ([S, C, N, A, E], "row 3: a note of instrument code 25, which is not declared"),
        ([S, V, N, B, A, E], "row 4: the note is not greater than the previous one"),
        ([S, V, N, A, A, E], "row 4: the note is not greater than the previous one"),
        ([S, [1, 2, 0, 0, 0, 25], N, A, E], "row 1: instrument must have code 0 in its unused fields"),
        ([S, V, N, A, [4, 0, 0, 0, 0, 1]], "row 4: end-of-song must have code 0"),
        ([S, V, N, A], "row 4: the piece has no end-of-song"),
    ],
)
def test_errors_name_the_row_and_the_rule(rows: list[list[int]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_piece(np.array(rows, np.int64).reshape(-1, 6))
