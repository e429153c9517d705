"""mmt-prepare: prepare a corpus of music files for training."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmt.cli.common import (
    Flags,
    UsageError,
    add_flags,
    is_override,
    parser,
    run,
    telling_what_is_kept,
    values_of,
    wants_progress,
)

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

_OUTPUT: Flags = {"-o --output": (Path, ..., "the corpus folder to write")}
_REPRESENTATION: Flags = {
    "--recipe NAME_OR_FILE": (str, None, "the recipe whose representation is used: its time grid, its instruments, and "
        "whether it has drums (default: the paper's, without drums)"),
    "--checkpoint MODEL": (str, None, "the model whose representation is used: default, or a checkpoint folder"),
}  # fmt: skip
_FILTERS: Flags = {
    "--min-notes": (int, 1, "skip pieces with fewer usable notes"),
    "--min-beats": (int, 1, "skip shorter pieces"),
    "--max-beats": (int, None, "skip longer pieces (default: no limit)"),
    "--min-instruments": (int, 1, "skip pieces with fewer instruments"),
    "--max-drums SHARE": (float, 1.0, "skip pieces with a larger share of drum notes; 0: skip all pieces with drums"),
    "--duplicates": (("keep", "files", "notes"), "keep", "files: keep only the first of equal files; notes: also of pieces "
        "with equal notes, transposed or not"),
    "--exclude PATTERN": ([], [], "skip files whose name, or whose source, licence or composer in a manifest, matches this "
        "pattern ('*' for anything); may be repeated"),
}  # fmt: skip
_NAMES = "names of the files of this split, one per line, instead of a draw"
_SPLITS: Flags = {
    "--valid": (float, 0.05, "share of the works for validation"),
    "--test": (float, 0.05, "share of the works for testing"),
    "--work-column COLUMN": (str, "work", "the column of a manifest with the work of each file; files of a work stay in "
        "one split (without the column, each file is a work)"),
    "--work-pattern REGEX": (str, None, "pattern for that column or, without one, for file names; the first group that "
        "matches is the work"),
    "--works FILE": (Path, None, "CSV table with the columns `name` and `work`: further works of the files"),
    "--seed": (int, 0, "seed of the draw of validation and test works"),
    "--train-names FILE": (Path, None, f"{_NAMES}; then files in no list are skipped"),
    "--valid-names FILE": (Path, None, _NAMES),
    "--test-names FILE": (Path, None, _NAMES),
}  # fmt: skip
_PROCESSING: Flags = {
    "--jobs": (int, -1, "number of processes; -1: one per core"),
    "--time-limit SECONDS": (float, 60.0, "maximum time per file, after which it is skipped"),
    "--backend": (("threading", "loky", "dask"), None, "the joblib backend that reads the files; dask is a cluster "
        "(default: threads of this machine)"),
    "--scheduler ADDRESS": (str, None, "address of the cluster"),
}  # fmt: skip


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
    add_flags(arguments, _OUTPUT)
    add_flags(arguments.add_mutually_exclusive_group(), _REPRESENTATION)
    add_flags(arguments.add_argument_group("filters"), _FILTERS)
    splits = arguments.add_argument_group("splits")
    add_flags(splits, _SPLITS)
    rest = "draw the splits of all works with no file in a list; a file in a list puts its whole work into that split"
    splits.add_argument("--draw-rest", action="store_true", help=rest)
    add_flags(arguments.add_argument_group("processing"), _PROCESSING)
    return arguments


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
            shares={"valid": chosen.valid, "test": chosen.test},
            splits={split: read_names(file) for split, file in lists.items() if file} or None,
            draw_rest=chosen.draw_rest,
            works=read_works(chosen.works) if chosen.works else None,
            overwrite=chosen.overwrite,
            progress=wants_progress(chosen),
            **values_of(chosen, [*_FILTERS, "--work-column", "--work-pattern", "--seed", *_PROCESSING]),
        )
    if not chosen.quiet:
        print(f"{chosen.output}: {outcome}")


if __name__ == "__main__":
    raise SystemExit(main())
