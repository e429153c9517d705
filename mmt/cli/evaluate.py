"""mmt-evaluate: what models write, beside real pieces; how likely real pieces are to them; and whether they copy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmt.cli.common import UsageError, add_habits, parser, run, telling_what_is_kept, wants_progress

_EXAMPLES = """examples:
  mmt-evaluate --corpus data/mine -o evaluation
  mmt-evaluate --checkpoint runs/a/best runs/b/best --corpus data/mine --originality -o evaluation
  mmt-evaluate --corpus data/mine --split test -n 100 --mode unconditional --sampling paper -o evaluation
An evaluation that was stopped goes on where it was: give the same command again.
"""
_MODES = ("unconditional", "instrument-informed", "4-beat", "16-beat")


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(_parser(), _evaluate, given)


def _parser() -> argparse.ArgumentParser:
    arguments = parser(
        "mmt-evaluate",
        "Measure what models write in each way to begin, beside real pieces, and how likely real pieces are to them.",
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
        help="whose pieces are the truth and give the prompts",
    )
    arguments.add_argument("-n", type=int, default=50, help="how many pieces of each mode")
    arguments.add_argument(
        "--mode", action="append", choices=_MODES, help="only this way to begin; give it again for more (default: all)"
    )
    arguments.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same figures (but for the speed)"
    )
    arguments.add_argument("--max-events", type=int, help="of each piece (default: the smallest context of the models)")
    arguments.add_argument(
        "--sampling", choices=["default", "paper"], default="default", help="paper: the authors' setting"
    )
    arguments.add_argument(
        "--likelihood", action=argparse.BooleanOptionalAction, default=True, help="measure the loss on the split"
    )
    arguments.add_argument(
        "--stride",
        type=int,
        help="by how many notes the windows of the loss move on (default: a quarter of the context)",
    )
    arguments.add_argument(
        "--originality",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="compare with the corpus' training split: for models that were trained on it",
    )
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    add_habits(arguments)
    return arguments


def _evaluate(chosen: argparse.Namespace) -> None:
    if chosen.n < 1:
        raise UsageError(f"-n is {chosen.n}; ask for at least 1 piece")
    if not 0 <= chosen.seed < 2**63:
        raise UsageError(f"--seed is {chosen.seed}; give a number from 0 to 2**63 - 1")
    from mmt.analysis.evaluation import REPORT, evaluate_models
    from mmt.analysis.modes import MODES

    if (chosen.output / REPORT).exists() and not chosen.overwrite:
        raise FileExistsError(f"{chosen.output / REPORT} exists already; name another folder, or give --overwrite")
    modes = MODES if chosen.mode is None else [mode for mode in MODES if mode.split(" ")[0] in chosen.mode]
    with telling_what_is_kept(f"what was done is kept in {chosen.output}, and the same command goes on"):
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
            device=chosen.device,
            progress=wants_progress(chosen),
        )
    if not chosen.quiet:
        print(found)
        pictures = " and pictures" if any(chosen.output.glob("*.png")) else ""
        print(f"{chosen.output}: {REPORT}, table.md, table.csv, pieces.csv{pictures}")
