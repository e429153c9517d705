"""How fast MIDI files are read, against muspy: `python benchmarks/reading.py FOLDER_OR_ZIP`, written to reading.md beside it.

Every reader reads every file, in turns, in one run of one process: the ratios hold where the times do not.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import muspy

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


def table(seconds: dict[str, float], files: int) -> str:
    first = next(iter(seconds.values()))
    lines = [
        "# Reading MIDI files",
        "",
        f"{files:,} files, drawn at random, each read by all readers, one thread. Made by `benchmarks/reading.py`.",
        "",
        "| reader | ms per file | times as fast |",
        "|---|---:|---:|",
    ]
    lines += [f"| {name} | {1000 * s / files:.1f} | {first / s:.1f} |" for name, s in seconds.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, help="a folder or zip archive of MIDI files")
    parser.add_argument("-n", type=int, default=400, help="how many files to read (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = arguments.files
        if source.suffix == ".zip":
            zipfile.ZipFile(source).extractall(folder)
            source = Path(folder)
        paths = sorted(source.rglob("*.mid"))
        paths = random.Random(0).sample(paths, min(arguments.n, len(paths)))
        measure(paths[:5])  # imports and caches
        result = table(measure(paths), len(paths))
    Path(__file__).with_suffix(".md").write_text(result, encoding="utf-8")
    print(result)


if __name__ == "__main__":
    main()
