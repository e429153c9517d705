"""Ties and grace notes."""

from __future__ import annotations

from pathlib import Path

import pytest
from scores import attributes, beats, grace, note, part, read, time

START, STOP = '<tie type="start"/>', '<tie type="stop"/>'
BACK = "<backup><duration>{}</duration></backup>"
Beats = list[tuple[float, float, int]]


def sounding(folder: Path, *measures: str) -> Beats:
    first, *others = measures
    return beats(read(folder, part(attributes(2, time("4")) + first, *others)))


def test_a_tie_does_not_skip_a_struck_note(tmp_path: Path) -> None:
    assert sounding(tmp_path, note("C", 8, START), note("C", 8), note("C", 8, STOP)) == [
        (0, 4, 60),
        (4, 4, 60),
        (8, 4, 60),
    ]
    struck = note("C", 4, START) + note("C", 2, "<voice>2</voice>") + note("C", 2, STOP)
    assert sounding(tmp_path, struck) == [(0, 2, 60), (2, 1, 60), (3, 1, 60)]


def test_a_tie_continues_over_the_same_pitch_in_another_voice(tmp_path: Path) -> None:
    first = note("C", 8, START) + BACK.format(4) + note("C", 2, "<voice>2</voice>")
    assert sounding(tmp_path, first, note("C", 8, STOP)) == [(0, 8, 60), (2, 1, 60)]


def test_ties_without_an_end_or_a_beginning_lose_no_note(tmp_path: Path) -> None:
    assert sounding(tmp_path, note("C", 8, START), note("C", 8)) == [(0, 4, 60), (4, 4, 60)]
    assert sounding(tmp_path, note("C", 8), note("C", 8, STOP)) == [(0, 4, 60), (4, 4, 60)]


def test_many_tied_notes_in_a_chord_are_joined(tmp_path: Path) -> None:
    chords = [
        "".join(note("C", 8, tie, before="<chord/>" * (k > 0)) for k in range(2000))
        for tie in (START, STOP + START, STOP)
    ]
    assert sounding(tmp_path, *chords) == [(0, 12, 60)] * 2000


def test_a_grace_note_tied_to_its_note_is_one_note(tmp_path: Path) -> None:
    measure = note("C", 2) + grace("D", START) + note("D", 2, STOP, octave=5)
    assert sounding(tmp_path, measure) == [(0, 1, 60), (0.875, 1.125, 74)]
    chord = note("C", 2) + grace("D", START) + grace("F", START)
    chord += note("D", 2, STOP, octave=5) + note("F", 2, STOP, octave=5, before="<chord/>")
    assert sounding(tmp_path, chord) == [(0, 1, 60), (0.75, 1.25, 74), (0.875, 1.125, 77)]


def test_grace_notes_at_the_beginning_sound_one_after_the_other(tmp_path: Path) -> None:
    assert sounding(tmp_path, grace("D") + note("C", 2)) == [(0, 0.125, 74), (0.125, 0.875, 60)]
    assert sounding(tmp_path, grace("D") + grace("E") + note("C", 8)) == [
        (0, 0.125, 74),
        (0.125, 0.125, 76),
        (0.25, 3.75, 60),
    ]


@pytest.mark.parametrize("before", ["", note("A", 2), note("A", 1) + note("G", 1)])
@pytest.mark.parametrize("count", [1, 2, 5, 10, 20])
def test_a_run_of_grace_notes_sounds_in_order_between_its_neighbours(tmp_path: Path, before: str, count: int) -> None:
    run = "".join(grace(step) for step in ("DEFGAB" * 4)[:count])
    found = sounding(tmp_path, before + run + note("C", 6 if before else 8), note("E", 8))
    onsets = [onset for onset, _, _ in found]
    assert len(set(onsets)) == len(onsets) == before.count("<note>") + count + 2
    assert [pitch for _, _, pitch in found][-2:] == [60, 64]
    if before:
        assert onsets[-2] == 1
    assert onsets[-1] == 4


def test_grace_notes_at_the_end_of_a_measure_end_with_it(tmp_path: Path) -> None:
    assert sounding(tmp_path, note("C", 8) + grace("D") + grace("E"), note("F", 8)) == [
        (0, 4, 60), (3.75, 0.125, 74), (3.875, 0.125, 76), (4, 4, 65)
    ]  # fmt: skip


def test_grace_notes_come_before_the_note_of_their_voice(tmp_path: Path) -> None:
    second = BACK.format(8) + grace("E", "<voice>2</voice>") + note("F", 8, "<voice>2</voice>")
    assert sounding(tmp_path, note("A", 8, "<voice>1</voice>") + second) == [
        (0, 0.125, 76),
        (0, 4, 69),
        (0.125, 3.875, 65),
    ]


def test_a_chord_of_grace_notes_is_one(tmp_path: Path) -> None:
    measure = note("C", 2) + grace("D") + grace("F", before="<chord/>") + note("E", 2)
    assert sounding(tmp_path, measure)[1:3] == [(0.875, 0.125, 74), (0.875, 0.125, 77)]
