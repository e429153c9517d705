"""mmt-evaluate: metrics of generated and real pieces, the loss on real pieces, and originality."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmt.cli.common import UsageError, add_habits, parser, run, telling_what_is_kept, wants_progress

_EXAMPLES = """examples:
  mmt-evaluate --corpus data/mine -o evaluation
  mmt-evaluate --checkpoint runs/a/best runs/b/best --corpus data/mine --originality -o evaluation
  mmt-evaluate --corpus data/mine --split test -n 100 --mode unconditional --sampling paper -o evaluation
To continue a stopped evaluation, run the same command again.
"""
_MODES = ("unconditional", "instrument-informed", "4-beat", "16-beat")


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(_parser(), _evaluate, given)


def _parser() -> argparse.ArgumentParser:
    arguments = parser(
        "mmt-evaluate",
        "Compute metrics of the pieces that models generate in each mode and of real pieces, and the loss on real pieces.",
        _EXAMPLES,
    )
    arguments.add_argument("--corpus", type=Path, required=True, help="the folder of a prepared corpus")
    arguments.add_argument("-o", "--output", type=Path, required=True, help="the folder to write")
    arguments.add_argument(
        "--checkpoint", type=Path, nargs="+", help="checkpoint folders, one or more (default: the model that mmt ships)"
    )
    arguments.add_argument(
        "--split",
        default="valid",
        choices=["train", "valid", "test"],
        help="the split that real pieces and prompts are taken from",
    )
    arguments.add_argument(
        "--pieces",
        type=Path,
        help="a file with names of pieces, one a line: real pieces and prompts are only these of the split",
    )
    arguments.add_argument("-n", type=int, default=512, help="number of pieces per mode")
    arguments.add_argument(
        "--mode", action="append", choices=_MODES, help="only this mode; repeat the flag for more (default: all)"
    )
    arguments.add_argument("--seed", type=int, default=0, help="the same seed gives the same results, except the speed")
    arguments.add_argument(
        "--max-events",
        type=int,
        help="maximum number of events per piece (default: the smallest context of the models)",
    )
    arguments.add_argument(
        "--sampling", choices=["default", "paper"], default="default", help="paper: the authors' setting"
    )
    arguments.add_argument(
        "--likelihood", action=argparse.BooleanOptionalAction, default=True, help="measure the loss on the split"
    )
    arguments.add_argument(
        "--stride",
        type=int,
        help="number of notes by which the windows of the loss advance (default: a quarter of the context)",
    )
    arguments.add_argument(
        "--originality",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="find runs of notes shared with the corpus's training split, for models trained on it",
    )
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    add_habits(arguments)
    return arguments


def _evaluate(chosen: argparse.Namespace) -> None:
    if chosen.n < 1:
        raise UsageError(f"-n is {chosen.n}; it must be at least 1 piece")
    if not 0 <= chosen.seed < 2**63:
        raise UsageError(f"--seed is {chosen.seed}; it must be 0 to 2**63 - 1")
    from mmt.analysis.evaluation import REPORT, evaluate_models
    from mmt.analysis.modes import MODES

    if (chosen.output / REPORT).exists() and not chosen.overwrite:
        raise FileExistsError(f"{chosen.output / REPORT} exists already; name another folder, or give --overwrite")
    modes = MODES if chosen.mode is None else [mode for mode in MODES if mode.split(" ")[0] in chosen.mode]
    with telling_what_is_kept(f"finished parts are kept in {chosen.output}; run the same command to continue"):
        found = evaluate_models(
            chosen.checkpoint or [None],
            chosen.corpus,
            chosen.output,
            split=chosen.split,
            n=chosen.n,
            modes=modes,
            seed=chosen.seed,
            max_events=chosen.max_events,
            sampling=chosen.sampling,
            with_likelihood=chosen.likelihood,
            with_originality=chosen.originality,
            stride=chosen.stride,
            only=None if chosen.pieces is None else chosen.pieces.read_text(encoding="utf-8").split("\n"),
            device=chosen.device,
            progress=wants_progress(chosen),
        )
    if not chosen.quiet:
        print(found)
        pictures = " and pictures" if any(chosen.output.glob("*.png")) else ""
        print(f"{chosen.output}: report.md, details.md, {REPORT}, table.csv, pieces.csv{pictures}")


if __name__ == "__main__":
    raise SystemExit(main())
