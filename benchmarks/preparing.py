"""How fast a corpus is prepared, against the original way: `python benchmarks/preparing.py FOLDER_OR_ZIP`.

The result is written to preparing.md beside it.

The original way reads each file with `muspy.read_midi`, calls `adjust_resolution`, walks through all notes in a Python loop, and
saves an array for each piece. Ours is one call of `mmt.prepare` with one job, from the files to the finished corpus: with
hashes, splits and report. Both take the same files in turns, half of them at a time, in one run: the ratio holds where
the times do not. CPU seconds of all processes are counted, since this is about the work of one core.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import tempfile
import time
import zipfile
from pathlib import Path

import muspy
import numpy as np

import mmt
from mmt.corpus.isolated import end_idle

PARTS = 1


def original_way(files: list[Path], folder: Path) -> int:
    """Notes that were written."""
    written = 0
    for number, file in enumerate(files):
        music = muspy.read_midi(file)
        music.adjust_resolution(12)
        notes = []
        for track in music.tracks:
            if track.is_drum:
                continue
            for note in track.notes:
                beat, position = divmod(note.time, 12)
                notes.append((beat, position, note.pitch, note.duration, track.program))
        notes.sort()
        np.save(folder / f"{number}.npy", np.array(notes))
        written += len(notes)
    return written


def our_way(files: list[Path], folder: Path) -> int:
    """Notes that were written."""
    return mmt.prepare(files, folder / "corpus", jobs=1).notes.kept


def seconds(way: object, files: list[Path]) -> tuple[float, float, int]:
    """(CPU seconds of all processes, seconds on the clock, notes)"""
    end_idle()
    with tempfile.TemporaryDirectory() as folder:
        before, begun = os.times(), time.perf_counter()
        notes = way(files, Path(folder))  # type: ignore[operator]
        end_idle()  # what another process has used is known when it has ended
        elapsed, after = time.perf_counter() - begun, os.times()
    return sum(after[:4]) - sum(before[:4]), elapsed, notes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, help="a folder or zip archive of MIDI files")
    parser.add_argument("-n", type=int, default=800, help="how many files (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = arguments.files
        if source.suffix == ".zip":
            zipfile.ZipFile(source).extractall(folder)
            source = Path(folder)
        paths = sorted(source.rglob("*.mid"))
        paths = random.Random(0).sample(paths, min(arguments.n, len(paths)))
        for way in (original_way, our_way):  # imports and caches
            seconds(way, paths[:5])
        size = math.ceil(len(paths) / PARTS)
        runs = [
            [seconds(way, paths[first : first + size]) for way in (original_way, our_way)]
            for first in range(0, len(paths), size)
        ]
    result = table(runs, len(paths))
    Path(__file__).with_suffix(".md").write_text(result, encoding="utf-8")
    print(result)


def table(runs: list[list[tuple[float, float, int]]], files: int) -> str:
    (cpu, clock, notes), ours = np.array(runs).sum(axis=0)
    ratios = [first[0] / second[0] for first, second in runs]
    return "\n".join(
        [
            "# Preparing a corpus",
            "",
            f"{files:,} MIDI files, drawn at random, read in {len(runs)} part{'s' * (len(runs) > 1)} by both ways; one core.",
            "Made by `benchmarks/preparing.py`, which says what the original way is.",
            "",
            "| way | CPU ms per file | ms per file | notes written | times as fast (CPU) | times as fast (elapsed) |",
            "|---|---:|---:|---:|---:|---:|",
            f"| muspy.read_midi, adjust_resolution, a loop | {1000 * cpu / files:.2f} | {1000 * clock / files:.2f} "
            f"| {notes:,.0f} | 1.0 | 1.0 |",
            f"| mmt.prepare | {1000 * ours[0] / files:.2f} | {1000 * ours[1] / files:.2f} | {ours[2]:,.0f} "
            f"| {cpu / ours[0]:.1f} | {clock / ours[1]:.1f} |",
            "",
            f"By part {min(ratios):.1f} to {max(ratios):.1f} times as fast (CPU), including the start of a process.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
