"""Speed of encoding notes as events, compared with a plain loop: `python benchmarks/encoding.py` writes encoding.md.

All functions make the same events of the same 10,000 random notes, in turns, in one process, so that the ratios depend little
on the machine. From `muspy.Music`, most of the time goes into its objects; a corpus has note tables, without objects.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import muspy
import numpy as np
from common import fastest, write_page

import mmt
from mmt.analysis.report import table
from mmt.representation.codes import NOTE, PAPER
from mmt.representation.encode import events_of_notes
from mmt.representation.notes import note_table, raw_notes

NOTES, ROUNDS = 10_000, 30


def plain_encode(music: muspy.Music) -> list[tuple[int, ...]]:
    """Encode by the definition, one note at a time."""
    found = set()
    for track in music.tracks:
        code = next((c for c, i in enumerate(PAPER.instruments, 1) if track.program in i.programs), 0)
        if track.is_drum or not code:
            continue
        for note in track.notes:
            onset = round(note.time * PAPER.resolution / music.resolution)
            steps = max(round((note.time + note.duration) * PAPER.resolution / music.resolution) - onset, 1)
            duration = min(range(len(PAPER.durations)), key=lambda i: abs(PAPER.durations[i] - steps))
            beat, position = divmod(onset, PAPER.resolution)
            found.add((NOTE, beat + 1, position + 1, note.pitch + 1, duration + 1, code))
    codes = sorted({note[5] for note in found})
    listed = [(1, 0, 0, 0, 0, code) for code in codes]
    return [(0,) * 6, *listed, (2, 0, 0, 0, 0, 0), *sorted(found), (4, 0, 0, 0, 0, 0)]


def random_music() -> muspy.Music:
    random = np.random.default_rng(0)
    tracks = []
    for program in (40, 40, 41, 42):
        columns = (random.integers(*limits, NOTES // 4) for limits in ((0, 480 * 1000), (30, 90), (30, 1000)))
        notes = [muspy.Note(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
        tracks.append(muspy.Track(program, notes=notes))
    return muspy.Music(resolution=480, tracks=tracks)


def main() -> None:
    music = random_music()
    notes, _ = note_table(raw_notes(music))
    functions: dict[str, Callable[[], Any]] = {
        "plain Python loop, from muspy.Music": lambda: plain_encode(music),
        "mmt.encode, from muspy.Music": lambda: mmt.encode(music),
        "events_of_notes, from a note table": lambda: events_of_notes(notes),
    }
    expected = plain_encode(music)
    assert all([tuple(row) for row in np.asarray(encode()).tolist()] == expected for encode in functions.values())
    seconds = fastest(functions, ROUNDS)
    slowest = next(iter(seconds.values()))
    rows = [[name, f"{1000 * s:.1f}", f"{slowest / s:.1f}"] for name, s in seconds.items()]
    write_page(
        Path(__file__).with_suffix(".md"),
        "# Encoding",
        f"{NOTES:,} notes, the best of {ROUNDS} interleaved rounds, one thread. Made by `benchmarks/encoding.py`.",
        table([["way", "ms", "times as fast"], *rows]),
    )


if __name__ == "__main__":
    main()
