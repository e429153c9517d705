"""The note table: on the grid, in order, without duplicates, every duration at least one step."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import raw_rows

from mmt.representation.codes import PAPER
from mmt.representation.notes import RawNotes, note_table


def raw(rows: list[tuple[int, int, int, int, bool]], resolution: int) -> RawNotes:
    onset, duration, pitch, program, is_drum = np.array(rows, np.int64).reshape(-1, 5).T
    return RawNotes(resolution, onset, duration, pitch, program, is_drum.astype(bool))


@given(st.sampled_from([1, 24, 220, 480]).flatmap(lambda r: st.tuples(st.just(r), raw_rows(r))))
def test_a_table_is_on_the_grid_in_order_and_without_duplicates(
    case: tuple[int, list[tuple[int, int, int, int, bool]]],
) -> None:
    resolution, rows = case
    table, report = note_table(raw(rows, resolution))
    expected = set()
    for onset, duration, pitch, program, is_drum in rows:
        code = int(PAPER.instrument_codes(np.array([program]))[0])
        if code and not is_drum:
            first, last = (round(time * PAPER.resolution / resolution) for time in (onset, onset + duration))
            expected.add((*divmod(first, PAPER.resolution), pitch, max(last - first, 1), code))
    assert table.tolist() == sorted(expected)
    assert (report.notes, report.kept) == (len(rows), len(expected))
    assert report.dropped.total() == len(rows) - len(expected)


def test_music_without_notes_gives_an_empty_table() -> None:
    table, report = note_table(raw([], 480), beats=3)
    assert len(table) == 0
    assert str(report) == "0 of 0 notes kept"


def test_unknown_velocities_are_not_counted() -> None:
    assert note_table(raw([(0, 480, 60, 0, False)], 480))[1].changed == {}
