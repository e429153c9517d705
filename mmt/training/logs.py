"""Where the figures of a training go: csv always, TensorBoard where its package is, Weights & Biases if asked."""

from __future__ import annotations

import logging
import netrc
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from mmt.training.recipe import Recipe

_WANDB_HOST = "api.wandb.ai"


def loggers(recipe: Recipe, output: Path, done: int) -> list[Logger]:
    """The loggers of a training that begins or goes on behind step `done`; nothing is written before it logs.

    Raises
    ------
    ValueError
        If the recipe asks for Weights & Biases and its package is missing.
    """
    version = log_folder(output, done).name
    found: list[Logger] = [CSVLogger(output, "log", version=version, flush_logs_every_n_steps=50)]
    if find_spec("tensorboard") is not None:
        found.append(TensorBoardLogger(output, "log", version=version))
    else:
        logging.getLogger(__name__).warning("TensorBoard is not installed: the log is csv alone")
    if recipe.trainer.wandb:
        found.append(_wandb(recipe, output))
    return found


def log_folder(output: Path, done: int) -> Path:
    """Where the figures of a training that begins or goes on behind step `done` are."""
    return output / "log" / f"from-step-{done}"


@contextmanager
def hushed() -> Iterator[None]:
    """What Lightning and torch have to tell of devices, tips and each other is not told meanwhile, unless one debugs."""
    talkers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [talker.level for talker in talkers]
    with warnings.catch_warnings():
        # Lightning asks PyTorch a question that PyTorch wants asked otherwise; and reading notes needs no other processes.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated")
        warnings.filterwarnings("ignore", r"The '(train|val)_dataloader' does not have many workers")
        for talker in talkers:
            if not talker.isEnabledFor(logging.DEBUG):
                talker.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for talker, level in zip(talkers, levels, strict=True):
                talker.setLevel(level)


def _wandb(recipe: Recipe, output: Path) -> Logger:
    # It asks for soundfile to log a sound.
    if find_spec("wandb") is None or find_spec("soundfile") is None:
        raise ValueError(
            "trainer.wandb needs the packages wandb and soundfile: pip install wandb soundfile, or leave the entry false"
        )
    settings: dict[str, Any] = {"project": "mmt", "name": output.name, "save_dir": output, "config": recipe.to_dict()}
    # A machine that is not logged in would be asked for a key, and wait: what is logged stays in the folder of the run.
    return WandbLogger(**settings, offline="WANDB_MODE" not in os.environ and not _logged_in())


def _logged_in() -> bool:
    if "WANDB_API_KEY" in os.environ:
        return True
    try:
        return netrc.netrc().authenticators(_WANDB_HOST) is not None
    except (OSError, netrc.NetrcParseError):
        return False
