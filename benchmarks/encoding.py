"""How fast notes become events, against a plain loop: `python benchmarks/encoding.py`, written to encoding.md beside it.

Both roads make the same events of the same 10,000 made-up notes, in turns, in one run of one process: the ratio holds
where the times do not. From `muspy.Music`, most of the time goes into walking through its objects; from a note table, as
a corpus has it, nothing is walked through.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import muspy
import numpy as np

import mmt
from mmt.representation.codes import NOTE, PAPER
from mmt.representation.encode import events_of_notes
from mmt.representation.notes import note_table, raw_notes

NOTES, ROUNDS = 10_000, 30


def plain_encode(music: muspy.Music) -> list[tuple[int, ...]]:
    """The definition, a note at a time."""
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


def made_up_music() -> muspy.Music:
    random = np.random.default_rng(0)
    tracks = [
        muspy.Track(
            program,
            notes=[
                muspy.Note(int(t), int(p), int(d))
                for t, p, d in zip(
                    random.integers(0, 480 * 1000, NOTES // 4),
                    random.integers(30, 90, NOTES // 4),
                    random.integers(30, 1000, NOTES // 4),
                    strict=True,
                )
            ],
        )
        for program in (40, 40, 41, 42)
    ]
    return muspy.Music(resolution=480, tracks=tracks)


def seconds_of(road: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    road()
    return time.perf_counter() - begun


def main() -> None:
    music = made_up_music()
    table, _ = note_table(raw_notes(music))
    roads: dict[str, Callable[[], Any]] = {
        "plain Python loop, from muspy.Music": lambda: plain_encode(music),
        "mmt.encode, from muspy.Music": lambda: mmt.encode(music),
        "events_of_notes, from a note table": lambda: events_of_notes(table),
    }
    expected = plain_encode(music)
    assert all([tuple(row) for row in np.asarray(road()).tolist()] == expected for road in roads.values())
    # In turns, so that a busy moment of the machine meets all of them.
    seconds = dict.fromkeys(roads, float("inf"))
    for _ in range(ROUNDS):
        for name, road in roads.items():
            seconds[name] = min(seconds[name], seconds_of(road))
    slowest = next(iter(seconds.values()))
    lines = [
        "# Encoding",
        "",
        f"{NOTES:,} notes, the best of {ROUNDS} interleaved rounds, one thread. Made by `benchmarks/encoding.py`.",
        "",
        "| way | ms | times as fast |",
        "|---|---:|---:|",
        *(f"| {name} | {1000 * s:.1f} | {slowest / s:.1f} |" for name, s in seconds.items()),
    ]
    result = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(result, encoding="utf-8")
    print(result)


if __name__ == "__main__":
    main()
