"""mmt-convert: convert a checkpoint of the original code to a checkpoint folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmt.cli.common import Flags, add_flags, parser, run

_EXAMPLES = """examples:
  mmt-convert exp/sod/ape -o checkpoints/sod-ape
  mmt-convert best_model.pt --arguments train-args.json -o checkpoints/sod-rpe
then: mmt-generate --checkpoint checkpoints/sod-ape -o piece.mid
"""
_FLAGS: Flags = {
    "--arguments FILE": (Path, None, "the train-args.json of a .pt file (default: the one in the run folder)"),
    "-o --output": (Path, ..., "the checkpoint folder to write"),
}


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(_parser(), _convert, given)


def _parser() -> argparse.ArgumentParser:
    arguments = parser(
        "mmt-convert",
        "Convert a checkpoint of the original code to a checkpoint folder with the same outputs.",
        _EXAMPLES,
    )
    arguments.add_argument("run", type=Path, help="a run folder of the original code, or a .pt file of its weights")
    add_flags(arguments, _FLAGS)
    return arguments


def _convert(chosen: argparse.Namespace) -> None:
    from mmt.model.original_checkpoint import convert_original_run

    folder = convert_original_run(chosen.run, chosen.output, chosen.arguments, overwrite=chosen.overwrite)
    if not chosen.quiet:
        print(f"{folder}: try mmt-generate --checkpoint {folder} -o piece.mid")


if __name__ == "__main__":
    raise SystemExit(main())
