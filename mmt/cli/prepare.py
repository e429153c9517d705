"""mmt-prepare: make a corpus of music files, to train on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmt.cli.common import add_habits, parser, run, wants_progress

_EXAMPLES = """examples:
  mmt-prepare ~/Music/midi -o data/mine
  mmt-prepare collection.zip extra.mid --jobs 4 -o data/all
"""


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(_parser(), _prepare, given)


def _parser() -> argparse.ArgumentParser:
    arguments = parser(
        "mmt-prepare", "Read music files once, and write their notes into one folder to train on.", _EXAMPLES
    )
    arguments.add_argument(
        "sources",
        nargs="+",
        type=Path,
        help="files, folders (with all below them) and zip archives of MIDI, MusicXML, ABC, …",
    )
    arguments.add_argument("-o", "--output", type=Path, required=True, help="the folder to make")
    arguments.add_argument("--min-notes", type=int, default=1, help="skip pieces with fewer usable notes")
    arguments.add_argument("--valid", type=float, default=0.05, help="share of the works to validate on")
    arguments.add_argument("--test", type=float, default=0.05, help="share of the works to test on")
    arguments.add_argument(
        "--work-pattern",
        metavar="REGEX",
        help="its first group, in a file's name, is the work of which the file is a version; "
        "versions of a work stay together (default: a manifest's column `work`, else each file is a work)",
    )
    arguments.add_argument("--seed", type=int, default=0, help="of the draw of validation and test works")
    arguments.add_argument("--jobs", type=int, default=-1, help="processes; -1: one for each core")
    add_habits(arguments)
    return arguments


def _prepare(chosen: argparse.Namespace) -> None:
    from mmt.corpus.prepare import prepare

    outcome = prepare(
        chosen.sources,
        chosen.output,
        min_notes=chosen.min_notes,
        work_pattern=chosen.work_pattern,
        shares={"valid": chosen.valid, "test": chosen.test},
        seed=chosen.seed,
        jobs=chosen.jobs,
        overwrite=chosen.overwrite,
        progress=wants_progress(chosen),
    )
    if not chosen.quiet:
        print(f"{chosen.output}: {outcome}")
