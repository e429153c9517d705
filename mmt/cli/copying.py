"""--originality: does what was just written copy the music that the model was trained on?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmt.cli.common import UsageError, wants_progress

if TYPE_CHECKING:
    from mmt.representation.codes import Events, Representation


def add_originality(arguments: argparse.ArgumentParser) -> None:
    """The two arguments that ask for it."""
    asked = arguments.add_argument_group("originality")
    asked.add_argument(
        "--originality",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="tell the longest runs of notes that the new music shares with the model's training pieces",
    )
    asked.add_argument(
        "--corpus",
        type=Path,
        help="with --originality: the prepared corpus that the model was trained on "
        "(that of the model that mmt ships: its card and data/README.md say how to prepare it)",
    )


def check_originality(chosen: argparse.Namespace) -> None:
    """Refuse one argument without the other, and what is no corpus, before anything is written."""
    if chosen.originality and chosen.corpus is None:
        raise UsageError(
            "--originality needs --corpus: the prepared corpus that the model was trained on; no model carries its own "
            "(data/README.md says how to prepare that of the shipped one)"
        )
    if chosen.corpus is not None and not chosen.originality:
        raise UsageError("--corpus goes with --originality")
    if chosen.corpus is not None:
        from mmt.corpus.storage import Corpus

        for split in ("train", "valid"):
            Corpus(chosen.corpus, split=split)


def tell_originality(
    chosen: argparse.Namespace, pieces: Sequence[Events], prompt: Events | None, representation: Representation
) -> None:
    """Print what the new notes of each piece share with the corpus; what the prompt holds is not new."""
    if chosen.quiet:
        return
    from mmt.analysis.originality import compare

    given = {tuple(row) for row in prompt.tolist()} if prompt is not None else set()
    new = [events[[tuple(row) not in given for row in events.tolist()]] for events in pieces]
    report = compare(
        new, chosen.corpus, representation=representation, seed=chosen.seed or 0, progress=wants_progress(chosen)
    )
    for number, finding in enumerate(report.pieces, start=1):
        runs = {"longest": finding.part, "longest of the texture": finding.texture, "richest": finding.richest_texture}
        for name, run in runs.items():
            print(f"piece {number}, {name}: {run or 'no two notes'}")
    print(report)
