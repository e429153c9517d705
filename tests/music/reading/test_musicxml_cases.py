"""MusicXML scores after public reports, with their right notes; some are kept beside the checkout."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from mmt.music.reading.musicxml import read_musicxml
from mmt.music.reading.part_names import program_of

NEAR = 1 / 50
"""Beats by which onsets and durations may differ."""

Note = tuple[float, float | None, int, int | str | None]
"""onset, duration, pitch, program (D for drums); None: any"""


def has(found: list[Note], expected: Note) -> Note | None:
    """The first note that matches the expected one, or None."""
    onset, duration, pitch, program = expected
    for note in found:
        is_near = abs(note[0] - onset) <= NEAR and (duration is None or abs((note[1] or 0) - duration) <= NEAR)
        if is_near and note[2] == pitch and program in (None, note[3]):
            return note
    return None


def test_scores_after_public_reports_have_their_expected_notes(shared: Path) -> None:
    folder = shared / "cases" / "music"
    if not folder.is_dir():
        pytest.skip(f"needs the folder {folder}")
    cases: dict[str, list[Note]] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    names = [name for name in cases if name.endswith(("xml", "mxl"))]
    assert len(names) == 43
    wrong = []
    for name in names:
        music = read_musicxml(folder / name)
        found: list[Note] = [
            (n.time / music.resolution, n.duration / music.resolution, n.pitch, "D" if track.is_drum else track.program)
            for track in music.tracks
            for n in track.notes
        ]
        is_right = len(found) == len(cases[name])
        for expected in cases[name]:
            note = has(found, expected)
            if note is None:
                is_right = False
            else:
                found.remove(note)
        wrong += [] if is_right else [name]
    assert not wrong


def test_scores_after_public_reports_have_their_signatures_and_tempo(shared: Path) -> None:
    folder = shared / "cases" / "music"
    if not folder.is_dir():
        pytest.skip(f"needs the folder {folder}")
    for name, expected in (("comp", (5, 8)), ("x15_compound_time", (7, 8))):
        (signature,) = read_musicxml(folder / f"{name}.musicxml").time_signatures
        assert (signature.numerator, signature.denominator) == expected
    (tempo,) = read_musicxml(folder / "ca_tempo.musicxml").tempos
    assert tempo.qpm == 72


def test_usual_part_names_give_their_programs(shared: Path) -> None:
    path = shared / "cases" / "part_names.csv"
    if not path.is_file():
        pytest.skip(f"needs the file {path}")
    with path.open(encoding="utf-8", newline="") as file:
        names = [(row["name"], int(row["program"])) for row in csv.DictReader(file)]
    assert [(name, program) for name, program in names if program_of("", "", name, None, sung=False) != program] == []
