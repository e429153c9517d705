"""mmt-attention: attention statistics of a model over a corpus, as tables, arrays and plots."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mmt.cli.common import DEVICE, Flags, add_flags, parser, run, telling_what_is_kept, wants_progress

_EXAMPLES = """examples:
  mmt-attention --corpus data/mine --split test -o out/attention
  mmt-attention --checkpoint runs/mine/best --corpus data/mine -n 100 -o out/attention --format pdf
"""
_FLAGS: Flags = {
    "--checkpoint": (Path, None, "a checkpoint folder (default: the model that mmt ships)"),
    "--corpus": (Path, ..., "the folder of the corpus"),
    "--split": (str, "test", "train, valid, test, or all"),
    "-n": (int, None, "number of pieces, drawn with --seed (default: all)"),
    "-o --output": (Path, ..., "the folder to write"),
    "--level": (float, 0.95, "level of the confidence intervals over pieces"),
    "--format": (str, "png", "format of the plots: png, svg or pdf"),
    **DEVICE,
    "--seed": (int, 0, "seed of the draw of pieces"),
}


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
    add_flags(arguments, _FLAGS)
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
