"""mmt-attention: attention statistics of a model over a corpus, as tables, arrays and plots."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mmt.cli.common import add_habits, parser, run, telling_what_is_kept, wants_progress

_EXAMPLES = """examples:
  mmt-attention --corpus data/mine --split test -o out/attention
  mmt-attention --checkpoint runs/mine/best --corpus data/mine -n 100 -o out/attention --format pdf
"""


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(_parser(), _study, given)


def _parser() -> argparse.ArgumentParser:
    arguments = parser(
        "mmt-attention",
        "Compute what each layer and head attends to over a corpus (paper, section 4.4): by beat, position, pitch, duration, "
        "instrument and type, relative to two baselines and three null models, with confidence intervals.",
        _EXAMPLES,
    )
    arguments.add_argument("--checkpoint", type=Path, help="a checkpoint folder (default: the model that mmt ships)")
    arguments.add_argument("--corpus", type=Path, required=True, help="the folder of the corpus")
    arguments.add_argument("--split", default="test", help="train, valid, test, or all")
    arguments.add_argument("-n", type=int, help="number of pieces, drawn with --seed (default: all)")
    arguments.add_argument("-o", "--output", type=Path, required=True, help="the folder to write")
    arguments.add_argument("--level", type=float, default=0.95, help="level of the confidence intervals over pieces")
    arguments.add_argument("--format", default="png", help="format of the plots: png, svg or pdf")
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    arguments.add_argument("--seed", type=int, default=0, help="seed of the draw of pieces")
    add_habits(arguments)
    return arguments


def _study(chosen: argparse.Namespace) -> None:
    from mmt.analysis.attention.report import study_corpus
    from mmt.analysis.intervals import FewPiecesWarning

    if not chosen.quiet:
        warnings.filterwarnings("always", category=FewPiecesWarning)
    with telling_what_is_kept():
        written = study_corpus(
            chosen.output,
            chosen.corpus,
            checkpoint=chosen.checkpoint,
            split=None if chosen.split == "all" else chosen.split,
            n=chosen.n,
            seed=chosen.seed,
            level=chosen.level,
            format=chosen.format,
            device=chosen.device,
            overwrite=chosen.overwrite,
            progress=wants_progress(chosen),
            say=None if chosen.quiet else partial(print, flush=True),
        )
    if not chosen.quiet:
        print(f"{chosen.output}: {', '.join(written)}")


if __name__ == "__main__":
    raise SystemExit(main())
