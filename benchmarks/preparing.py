"""Speed of preparing a corpus, compared with the original code.

    python benchmarks/preparing.py FOLDER_OR_ZIP     writes preparing.md

The original code reads each file with `muspy.read_midi`, calls `adjust_resolution`, loops over all notes in Python, and saves
an array for each piece. Ours is one call of `mmt.prepare` with one job, from the files to the finished corpus with hashes,
splits and report. Both run in one process on the same files, so that the ratio depends little on the machine. The CPU
seconds of all processes are counted.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import muspy
import numpy as np
from common import midi_files, write_page

import mmt
from mmt.analysis.report import table
from mmt.corpus.isolated import end_idle


def original_way(files: list[Path], folder: Path) -> int:
    """Prepare like the original code; return the number of notes written."""
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
    """Prepare with `mmt.prepare`; return the number of notes written."""
    return mmt.prepare(files, folder / "corpus", jobs=1).notes.kept


def seconds(way: Callable[[list[Path], Path], int], files: list[Path]) -> tuple[float, float, int]:
    """CPU seconds of all processes, seconds on the clock, and notes."""
    end_idle()
    with tempfile.TemporaryDirectory() as folder:
        before, begun = os.times(), time.perf_counter()
        notes = way(files, Path(folder))
        end_idle()  # the CPU seconds of a process are known when it has ended
        elapsed, after = time.perf_counter() - begun, os.times()
    return sum(after[:4]) - sum(before[:4]), elapsed, notes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, help="a folder or zip archive of MIDI files")
    parser.add_argument("-n", type=int, default=800, help="number of files (default: %(default)s)")
    arguments = parser.parse_args()
    with midi_files(arguments.files, arguments.n) as paths:
        for way in (original_way, our_way):  # imports and caches
            seconds(way, paths[:5])
        theirs, ours = (seconds(way, paths) for way in (original_way, our_way))
    files = len(paths)
    rows = [
        ["way", "CPU ms per file", "ms per file", "notes written", "times as fast (CPU)", "times as fast (elapsed)"]
    ]
    for name, (cpu, clock, notes) in (("muspy.read_midi, adjust_resolution, a loop", theirs), ("mmt.prepare", ours)):
        times = [f"{1000 * cpu / files:.2f}", f"{1000 * clock / files:.2f}"]
        rows.append([name, *times, f"{notes:,}", f"{theirs[0] / cpu:.1f}", f"{theirs[1] / clock:.1f}"])
    write_page(
        Path(__file__).with_suffix(".md"),
        "# Preparing a corpus",
        f"{files:,} MIDI files, drawn at random; one core. Made by `benchmarks/preparing.py`, which describes the original way.",
        table(rows),
    )


if __name__ == "__main__":
    main()
