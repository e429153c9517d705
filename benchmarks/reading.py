"""Speed of reading MIDI files, compared with muspy: `python benchmarks/reading.py FOLDER_OR_ZIP` writes reading.md.

All readers read each file in turn, in one process, so that the ratios depend little on the machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import muspy
from common import midi_files, write_page

from mmt.analysis.report import table
from mmt.music.reading.midi import read_midi, read_midi_notes

READERS: dict[str, Callable[[Path], Any]] = {
    "muspy.read_midi": muspy.read_midi,
    "mmt.read": read_midi,
    "read_midi_notes (for a corpus)": read_midi_notes,
}


def measure(paths: list[Path]) -> dict[str, float]:
    """Seconds that each reader takes for all files."""
    seconds = dict.fromkeys(READERS, 0.0)
    for path in paths:
        for name, reader in READERS.items():
            begun = time.perf_counter()
            reader(path)
            seconds[name] += time.perf_counter() - begun
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, help="a folder or zip archive of MIDI files")
    parser.add_argument("-n", type=int, default=400, help="number of files (default: %(default)s)")
    arguments = parser.parse_args()
    with midi_files(arguments.files, arguments.n) as paths:
        measure(paths[:5])  # imports and caches
        seconds = measure(paths)
    first = next(iter(seconds.values()))
    rows = [[name, f"{1000 * s / len(paths):.1f}", f"{first / s:.1f}"] for name, s in seconds.items()]
    write_page(
        Path(__file__).with_suffix(".md"),
        "# Reading MIDI files",
        f"{len(paths):,} files, drawn at random, each read by all readers, one thread. Made by `benchmarks/reading.py`.",
        table([["reader", "ms per file", "times as fast"], *rows]),
    )


if __name__ == "__main__":
    main()
