"""mmt-train: train a model on a prepared corpus, by a recipe."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from mmt.cli.common import add_habits, parser, run, wants_progress

_EXAMPLES = """examples:
  mmt-train default --corpus data/mine -o runs/mine
  mmt-train configs/paper.yaml --corpus data/mine -o runs/paper trainer.devices=2 trainer.strategy=ddp
  mmt-train default --corpus data/mine -o runs/mine --resume
then: mmt-generate --checkpoint runs/mine/best -o piece.mid
"""


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(_parser(), _train, given)


def _parser() -> argparse.ArgumentParser:
    arguments = parser("mmt-train", "Train a model on a corpus that mmt-prepare made.", _EXAMPLES)
    arguments.add_argument("recipe", help="the name of a recipe (paper, default, tiny), or a YAML file")
    arguments.add_argument(
        "overrides", nargs="*", metavar="SECTION.ENTRY=VALUE", help="entries of the recipe to change"
    )
    arguments.add_argument("--corpus", type=Path, required=True, help="the folder of the corpus")
    arguments.add_argument("-o", "--output", type=Path, required=True, help="the folder of the run")
    arguments.add_argument(
        "--from",
        dest="start_from",
        metavar="CHECKPOINT",
        type=Path,
        help="begin with the weights of this checkpoint folder",
    )
    arguments.add_argument("--seed", type=int, help="in place of the recipe's")
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda or mps; short for trainer.accelerator=…")
    arguments.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=False, help="go on with the run that was stopped"
    )
    add_habits(arguments)
    return arguments


def _train(chosen: argparse.Namespace) -> None:
    from mmt.training.recipe import load_recipe
    from mmt.training.train import train

    # What Lightning has to tell of devices and tips is not what a musician waits for.
    logging.getLogger("lightning.pytorch").setLevel(logging.INFO if chosen.debug else logging.ERROR)
    overrides = list(chosen.overrides)
    if chosen.seed is not None:
        overrides.append(f"seed={chosen.seed}")
    if chosen.device != "auto":
        overrides.append(f"trainer.accelerator={'gpu' if chosen.device == 'cuda' else chosen.device}")
    recipe = load_recipe(chosen.recipe, overrides)
    best = train(
        recipe,
        chosen.corpus,
        chosen.output,
        start_from=chosen.start_from,
        resume=chosen.resume,
        overwrite=chosen.overwrite,
        progress=wants_progress(chosen),
    )
    if not chosen.quiet:
        print(f"{best}: the best checkpoint; try mmt-generate --checkpoint {best} -o piece.mid")
