"""The flags --originality and --corpus of mmt-generate: do the generated pieces copy the training music?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmt.cli.common import UsageError, add_switch, wants_progress

if TYPE_CHECKING:
    from mmt.representation.codes import Events, Representation


def add_originality(arguments: argparse.ArgumentParser) -> None:
    """Add the two flags to a parser."""
    asked = arguments.add_argument_group("originality")
    meaning = "print the longest runs of notes that the new music shares with the model's training pieces"
    add_switch(asked, "--originality", meaning)
    asked.add_argument(
        "--corpus",
        type=Path,
        help="with --originality: the prepared corpus that the model was trained on "
        "(for the model that mmt ships, its card and data/README.md say how to prepare it)",
    )


def check_originality(chosen: argparse.Namespace) -> None:
    """Raise an error, before anything is written, for one flag without the other or a folder that is not a corpus."""
    if chosen.originality and chosen.corpus is None:
        raise UsageError(
            "--originality needs --corpus, the prepared corpus that the model was trained on; for the model that mmt ships, "
            "data/README.md says how to prepare it"
        )
    if chosen.corpus is not None and not chosen.originality:
        raise UsageError("--corpus goes with --originality")
    check_corpus(chosen.corpus)


def check_corpus(folder: Path | None) -> None:
    """Raise an error if a folder was given that is not a corpus with training and validation pieces."""
    if folder is not None:
        from mmt.corpus.storage import Corpus

        for split in ("train", "valid"):
            Corpus(folder, split=split)


def print_originality(
    chosen: argparse.Namespace, pieces: Sequence[Events], prompt: Events | None, representation: Representation
) -> None:
    """Print the runs that the notes of each piece after the prompt share with the corpus."""
    if chosen.quiet:
        return
    from mmt.analysis.originality import compare, without_prompt

    new = pieces if prompt is None else [without_prompt(events, prompt) for events in pieces]
    found = compare(
        new, chosen.corpus, representation=representation, seed=chosen.seed or 0, progress=wants_progress(chosen)
    )
    for number, finding in enumerate(found.pieces, start=1):
        for line in str(finding).splitlines():
            print(f"piece {number}, {line}")
    print(found)
