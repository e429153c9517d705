"""Logs of a training: csv always, TensorBoard if it is installed, Weights & Biases on request; and the progress bar."""

from __future__ import annotations

import logging
import netrc
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from tqdm import tqdm

from mmt.music.atomic import FULL, naming
from mmt.representation.codes import FIELDS
from mmt.training.recipe import Recipe

_COLUMNS = sorted(["epoch", "step", "train/loss", "train/rate", *(f"valid/{name}" for name in ("loss", *FIELDS))])
_WANDB_HOST = "api.wandb.ai"


def loggers(recipe: Recipe, output: Path, done: int) -> list[Logger]:
    """The loggers of a training that starts or resumes after step `done`; they write nothing before the first value."""
    version = log_folder(output, done).name
    # Each row is written at once, so that a training that is killed keeps the rows of the steps before its saved state.
    found: list[Logger] = [_CsvLog(output, "log", version=version, flush_logs_every_n_steps=1)]
    if find_spec("tensorboard") is not None:
        found.append(_TensorBoardLog(output, "log", version=version))
    else:
        logging.getLogger(__name__).warning("TensorBoard is not installed: the log is csv alone")
    if recipe.trainer.wandb:
        found.append(_wandb(recipe, output))
    return found


class _NamingFolder:
    """Part of a logger: an error of a full disk names the folder of the log."""

    log_dir: str

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        with naming(Path(self.log_dir)):
            super().log_metrics(metrics, step)  # type: ignore[misc]  # of the logger

    @rank_zero_only
    def save(self) -> None:
        with naming(Path(self.log_dir)):
            super().save()  # type: ignore[misc]  # of the logger


class _CsvLog(_NamingFolder, CSVLogger):
    """A log that has all columns from its first row on, so that rows are only ever appended to the file."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        if not self.experiment.metrics_keys:
            self.experiment.metrics_keys.extend(_COLUMNS)
        super().log_metrics(metrics, step)


class _TensorBoardLog(_NamingFolder, TensorBoardLogger):
    """TensorBoard's log, whose thread leaves errors to the next call of these methods."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        with naming(Path(self.log_dir)):
            super().finalize(status)


def log_folder(output: Path, done: int) -> Path:
    """The log folder of a training that starts or resumes after step `done`."""
    return output / "log" / f"from-step-{done}"


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide the hints of Lightning and PyTorch about devices, data loaders and each other, unless they log at DEBUG level.

    A full disk ends the training with a message, so its traceback in the thread of a log is hidden too.
    """
    sources = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [source.level for source in sources]
    with warnings.catch_warnings():
        # Lightning calls a deprecated function of PyTorch; and cutting windows needs no worker processes.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated")
        warnings.filterwarnings("ignore", r"The '(train|val)_dataloader' does not have many workers")
        for source in sources:
            if not source.isEnabledFor(logging.DEBUG):
                source.setLevel(logging.ERROR)
        hook = threading.excepthook
        threading.excepthook = lambda raised: None if getattr(raised.exc_value, "errno", 0) in FULL else hook(raised)
        try:
            yield
        finally:
            threading.excepthook = hook
            for source, level in zip(sources, levels, strict=True):
                source.setLevel(level)


class TrainingBar(Callback):
    """A progress bar on stderr, of the first process only: steps, and the latest training and validation loss per note.

    (Lightning's own bar counts epochs, and opens another bar for each validation.)
    """

    def __init__(self) -> None:
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.is_global_zero:
            self.bar = tqdm(total=trainer.max_steps, initial=trainer.global_step, desc="Training", unit=" steps")

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, place: int
    ) -> None:
        if self.bar is not None:
            self._show(trainer)
            self.bar.update(trainer.global_step - self.bar.n)

    def on_validation_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if self.bar is not None:
            self.bar.set_description("Validating")

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if self.bar is not None:
            self.bar.set_description("Training", refresh=False)
            self._show(trainer)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    on_exception = on_train_end

    def _show(self, trainer: lightning.Trainer) -> None:
        assert self.bar is not None
        losses = {name: trainer.callback_metrics.get(f"{name}/loss") for name in ("train", "valid")}
        text = ", ".join(f"{name} {float(loss):.3f}" for name, loss in losses.items() if loss is not None)
        self.bar.set_postfix_str(f"loss a note: {text}" if text else "", refresh=False)


def _wandb(recipe: Recipe, output: Path) -> Logger:
    # Weights & Biases needs soundfile to log sound.
    if find_spec("wandb") is None or find_spec("soundfile") is None:
        raise ValueError(
            "trainer.wandb needs the packages wandb and soundfile: pip install wandb soundfile, or leave the entry false"
        )
    settings: dict[str, Any] = {"project": "mmt", "name": output.name, "save_dir": output, "config": recipe.to_dict()}
    # Without a login, wandb would ask for a key and wait. Offline, it logs to the run folder.
    return WandbLogger(**settings, offline="WANDB_MODE" not in os.environ and not _logged_in())


def _logged_in() -> bool:
    if "WANDB_API_KEY" in os.environ:
        return True
    try:
        return netrc.netrc().authenticators(_WANDB_HOST) is not None
    except (OSError, netrc.NetrcParseError):
        return False
