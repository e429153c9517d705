"""mmt-train: train a model on a prepared corpus with a recipe, or fine-tune a model on your own files."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from mmt.cli.common import Flags, UsageError, add_flags, is_override, parser, run, telling_what_is_kept, wants_progress

_EXAMPLES = """examples:
  mmt-train --fine-tune default my_midis/                     your own files, from preparation to a model
  mmt-train --fine-tune default my_midis/ more.zip --lora -o runs/mine
  mmt-train default --corpus data/mine -o runs/mine           from scratch, on a prepared corpus
  mmt-train default --corpus data/mine -o runs/mine --resume
  mmt-train configs/paper.yaml --corpus data/mine -o runs/paper trainer.devices=2 trainer.strategy=ddp
  torchrun --nproc-per-node 2 $(which mmt-train) paper --corpus … -o … trainer.devices=2 trainer.strategy=ddp
  srun mmt-train paper --corpus … -o … trainer.devices=4 trainer.num_nodes=2 trainer.strategy=ddp    (continues when requeued)
then: mmt-generate --checkpoint runs/mine/best -o piece.mid
"""

_RUN: Flags = {
    "--corpus": (Path, None, "the folder of the corpus"),
    "-o --output": (Path, None, "the folder of the run (with --fine-tune: runs/NAME if not given)"),
    "--fine-tune BASE": (str, None, "fine-tune this model: default, a checkpoint folder, or a run folder of the original "
        "code"),
}  # fmt: skip
_SETTINGS: Flags = {
    "--exclude PATTERN": ([], [], "leave out pieces whose name, source, licence or composer matches this pattern, such as "
        "'*Chopin*'; may be repeated"),
    "--seed": (int, None, "seed (default: the recipe's)"),
    "--device": (str, "auto", "auto, cpu, cuda or mps; short for trainer.accelerator=…"),
    "--resume": (bool, False, "continue a stopped run"),
}  # fmt: skip
_LORA_RANK = 8
_BEFORE = "the training had not begun; run the same command to start it again"
# Environment variables with the rank of a process, set by torchrun, Lightning or SLURM.
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(_parser(), _run, given)


def _parser() -> argparse.ArgumentParser:
    arguments = parser("mmt-train", "Train a model, or fine-tune a trained one on your own music.", _EXAMPLES)
    arguments.add_argument(
        "recipe",
        nargs="+",
        metavar="RECIPE | SOURCES",
        help="the name of a recipe (paper, default, full, tiny), or a YAML file; with --fine-tune: files, folders and archives "
        "of music, or a corpus; then overrides of the recipe, SECTION.ENTRY=VALUE",
    )
    add_flags(arguments, _RUN)
    rank = f"train only low-rank additions to the weights (of rank {_LORA_RANK} if none is given)"
    arguments.add_argument("--lora", nargs="?", type=int, const=_LORA_RANK, metavar="RANK", help=rank)
    base = "start from the weights of this model, which must fit the recipe"
    arguments.add_argument("--from", dest="start_from", metavar="BASE", help=base)
    add_flags(arguments, _SETTINGS)
    return arguments


def _run(chosen: argparse.Namespace) -> None:
    # Only the process of rank 0 prints.
    chosen.quiet = chosen.quiet or any(os.environ.get(name, "0") != "0" for name in _RANKS)
    overrides = [part for part in chosen.recipe if is_override(part)]
    named = [part for part in chosen.recipe if part not in overrides]
    if chosen.seed is not None:
        overrides.append(f"seed={chosen.seed}")
    if chosen.device != "auto":
        overrides.append(f"trainer.accelerator={'gpu' if chosen.device == 'cuda' else chosen.device}")
    if chosen.fine_tune is None:
        _train(chosen, named, overrides)
    else:
        _fine_tune(chosen, named, overrides)


def _train(chosen: argparse.Namespace, named: list[str], overrides: list[str]) -> None:
    from mmt.model.checkpoint import read_checkpoint
    from mmt.training.recipe import load_recipe
    from mmt.training.train import train

    _show_logs(chosen)
    if len(named) != 1:
        raise UsageError(
            f"one recipe is needed, not {len(named)}: {' '.join(named) or 'none'}; an override is SECTION.ENTRY=VALUE"
        )
    for name in ("corpus", "output"):
        if getattr(chosen, name) is None:
            raise UsageError(f"--{name} is needed, unless you --fine-tune")
    if chosen.lora is not None:
        overrides.append(f"optimizer.lora_rank={chosen.lora}")
    if chosen.exclude:
        # A JSON list of strings is valid YAML.
        overrides.append(f"data.exclude={json.dumps(chosen.exclude)}")
    with telling_what_is_kept(_BEFORE):
        best = train(
            load_recipe(named[0], overrides),
            chosen.corpus,
            chosen.output,
            start_from=chosen.start_from,
            resume=chosen.resume,
            overwrite=chosen.overwrite,
            progress=wants_progress(chosen),
        )
    if read_checkpoint(best).training["steps"]:
        _say(chosen, f"{best}: the best checkpoint", best)
    else:
        _say(chosen, f"no step improved on {chosen.start_from}: {best} is a copy of it", None)


def _fine_tune(chosen: argparse.Namespace, named: list[str], overrides: list[str]) -> None:
    from mmt.training.fine_tune import fine_tune

    _show_logs(chosen)
    if chosen.start_from is not None:
        raise UsageError("--from and --fine-tune both name a model to begin with; give one")
    sources = [*([chosen.corpus] if chosen.corpus is not None else []), *map(Path, named)]
    with telling_what_is_kept(_BEFORE):
        done = fine_tune(
            chosen.fine_tune,
            sources,
            chosen.output,
            lora_rank=chosen.lora,
            overrides=overrides,
            exclude=chosen.exclude,
            seed=chosen.seed or 0,
            jobs=-1,
            resume=chosen.resume,
            overwrite=chosen.overwrite,
            progress=wants_progress(chosen),
            say=None if chosen.quiet else print,
        )
    _say(chosen, str(done), done.checkpoint if done.steps else None)


def _show_logs(chosen: argparse.Namespace) -> None:
    """With --debug, show what Lightning logs; call this after lightning is imported, which sets the levels of its logs."""
    if chosen.debug:
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.DEBUG)


def _say(chosen: argparse.Namespace, what: str, trained: Path | None) -> None:
    if not chosen.quiet:
        print(what)
        if trained is not None:
            print(f"try it: mmt-generate --checkpoint {shlex.quote(str(trained))} -o piece.mid")


if __name__ == "__main__":
    raise SystemExit(main())
