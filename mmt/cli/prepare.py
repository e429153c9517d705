"""mmt-prepare: prepare a corpus of music files for training."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmt.cli.common import UsageError, add_habits, is_override, parser, run, telling_what_is_kept, wants_progress

if TYPE_CHECKING:
    from mmt.representation.codes import Representation

_EXAMPLES = """examples:
  mmt-prepare ~/Music/midi -o data/mine
  mmt-prepare collection.tar.gz extra.mid --min-beats 16 --duplicates notes -o data/all
  mmt-prepare music/ --recipe default representation.drums=true -o data/drums     for mmt-train default representation.drums=true
  mmt-prepare music/ --checkpoint runs/mine/best -o data/more                     for a model
  mmt-prepare lakh/ --backend dask --scheduler tcp://head:8786 -o data/lakh

To continue a stopped preparation, run the same command again.
"""

# Flags that are arguments of `prepare` of the same name.
_AS_GIVEN = (
    *("min_notes", "min_beats", "max_beats", "min_instruments", "max_drums", "duplicates", "exclude"),
    *("work_column", "work_pattern", "draw_rest", "seed", "jobs", "backend", "scheduler", "time_limit", "overwrite"),
)


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(_parser(), _prepare, given)


def _parser() -> argparse.ArgumentParser:
    arguments = parser(
        "mmt-prepare", "Read music files and write their notes into a corpus folder for training.", _EXAMPLES
    )
    arguments.add_argument(
        "sources",
        nargs="+",
        help="files, folders (read recursively), zip and tar archives of MIDI, MusicXML, ABC, muspy's JSON or YAML; then, as for "
        "mmt-train, overrides of the representation: representation.drums=true",
    )
    arguments.add_argument("-o", "--output", type=Path, required=True, help="the corpus folder to write")
    source = arguments.add_mutually_exclusive_group()
    source.add_argument(
        "--recipe",
        metavar="NAME_OR_FILE",
        help="the recipe whose representation is used: its time grid, its instruments, and whether it has drums (default: the "
        "paper's, without drums)",
    )
    source.add_argument(
        "--checkpoint", metavar="MODEL", help="the model whose representation is used: default, or a checkpoint folder"
    )
    _add_filters(arguments.add_argument_group("filters"))
    _add_splits(arguments.add_argument_group("splits"))
    _add_work(arguments.add_argument_group("processing"))
    add_habits(arguments)
    return arguments


def _add_filters(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--min-notes", type=int, default=1, help="skip pieces with fewer usable notes")
    group.add_argument("--min-beats", type=int, default=1, help="skip shorter pieces")
    group.add_argument("--max-beats", type=int, help="skip longer pieces (default: no limit)")
    group.add_argument("--min-instruments", type=int, default=1, help="skip pieces with fewer instruments")
    group.add_argument(
        "--max-drums",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="skip pieces with a larger share of drum notes; 0: skip all pieces with drums",
    )
    group.add_argument(
        "--duplicates",
        choices=("keep", "files", "notes"),
        default="keep",
        help="files: keep only the first of equal files; notes: also of pieces with equal notes, transposed or not",
    )
    group.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="skip files whose name, or whose source, licence or composer in a manifest, matches this pattern ('*' for "
        "anything); may be repeated",
    )


def _add_splits(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--valid", type=float, default=0.05, help="share of the works for validation")
    group.add_argument("--test", type=float, default=0.05, help="share of the works for testing")
    group.add_argument(
        "--work-column",
        default="work",
        metavar="COLUMN",
        help="the column of a manifest with the work of each file; files of a work stay in one split (without the column, each "
        "file is a work)",
    )
    group.add_argument(
        "--work-pattern",
        metavar="REGEX",
        help="pattern for that column or, without one, for file names; the first group that matches is the work",
    )
    group.add_argument(
        "--works",
        type=Path,
        metavar="FILE",
        help="CSV table with the columns `name` and `work`: further works of the files",
    )
    group.add_argument("--seed", type=int, default=0, help="seed of the draw of validation and test works")
    for split, rest in (("train", "then files in no list are skipped"), ("valid", ""), ("test", "")):
        group.add_argument(
            f"--{split}-names",
            type=Path,
            metavar="FILE",
            help=f"names of the files of this split, one per line, instead of a draw{rest and '; ' + rest}",
        )
    group.add_argument(
        "--draw-rest",
        action="store_true",
        help="draw the splits of all works with no file in a list; a file in a list puts its whole work into that split",
    )


def _add_work(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--jobs", type=int, default=-1, help="number of processes; -1: one per core")
    group.add_argument(
        "--time-limit",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="maximum time per file, after which it is skipped",
    )
    group.add_argument(
        "--backend",
        choices=("threading", "loky", "dask"),
        help="the joblib backend that reads the files; dask is a cluster (default: threads of this machine)",
    )
    group.add_argument("--scheduler", metavar="ADDRESS", help="address of the cluster")


def _representation(chosen: argparse.Namespace, overrides: list[str]) -> Representation:
    """The representation of the recipe or model that was named, by default the paper's, with single entries changed."""
    from mmt.training.recipe import load_recipe
    from mmt.training.starting_weights import read_base

    if other := [part for part in overrides if not part.startswith("representation.")]:
        raise UsageError(f"{other[0]} is not an entry of the representation; only these change a corpus")
    if chosen.checkpoint is None:
        return load_recipe(chosen.recipe or "paper", overrides).representation
    if overrides:
        raise UsageError(f"{overrides[0]} would change the representation of {chosen.checkpoint}; give a --recipe")
    return read_base(chosen.checkpoint).representation


def _prepare(chosen: argparse.Namespace) -> None:
    from mmt.corpus.prepare import prepare
    from mmt.corpus.splits import SPLITS, read_names, read_works

    overrides = [part for part in chosen.sources if is_override(part)]
    representation = _representation(chosen, overrides)
    lists = {split: getattr(chosen, f"{split}_names") for split in SPLITS}
    with telling_what_is_kept("finished files are kept; run the same command to continue"):
        outcome = prepare(
            [Path(part) for part in chosen.sources if part not in overrides],
            chosen.output,
            representation=representation,
            works=read_works(chosen.works) if chosen.works else None,
            shares={"valid": chosen.valid, "test": chosen.test},
            splits={split: read_names(file) for split, file in lists.items() if file} or None,
            progress=wants_progress(chosen),
            **{name: getattr(chosen, name) for name in _AS_GIVEN},
        )
    if not chosen.quiet:
        print(f"{chosen.output}: {outcome}")


if __name__ == "__main__":
    raise SystemExit(main())
