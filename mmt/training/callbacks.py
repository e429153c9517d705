"""Callbacks that write checkpoint folders and save the state from which a training resumes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.callbacks import Checkpoint as StateSaver
from lightning.pytorch.trainer.states import TrainerFn

from mmt.corpus.windows import ValidationBatches
from mmt.model.checkpoint import Checkpoint, write_checkpoint
from mmt.music.atomic import naming
from mmt.representation.codes import FIELDS
from mmt.training.card import model_card
from mmt.training.module import TrainingModule
from mmt.training.stopping import StopHere, StopSignals


class WriteCheckpoints(Callback):
    """Writes checkpoint `last` after each validation, and `best` if its validation loss per note is the lowest so far.

    `before` is the validation loss of the initial model if it was trained before, else None.
    """

    def __init__(self, folder: Path, data: Mapping[str, Any]) -> None:
        self.folder, self.data = folder, dict(data)
        self.best = float("inf")
        self.before: float | None = None

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if not trainer.is_global_zero or "valid/loss" not in trainer.callback_metrics:
            return
        assert isinstance(module, TrainingModule)
        validation = {name: round(float(trainer.callback_metrics[f"valid/{name}"]), 4) for name in ("loss", *FIELDS)}
        if trainer.global_step == 0:
            self.before = validation["loss"]
        recipe, settings = module.recipe, module.recipe.to_dict()
        training = {
            "recipe": {name: settings[name] for name in settings if name not in ("representation", "network")},
            "steps": trainer.global_step,
            "validation": validation,
            "validated_on": _validated_on(trainer),
            "before": self.before,
            "data": self.data,
            "seed": recipe.seed,
        }
        checkpoint = Checkpoint(module.trained_network(), recipe.representation, recipe.sampling, training)
        card = model_card(checkpoint)
        write_checkpoint(self.folder / "last", checkpoint, card=card)
        if validation["loss"] < self.best:
            self.best = validation["loss"]
            write_checkpoint(self.folder / "best", checkpoint, card=card)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "before": self.before}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.before = state_dict["best"], state_dict["before"]


def _validated_on(trainer: lightning.Trainer) -> dict[str, int] | None:
    """The number of windows that the validation losses are of, and that of the whole split."""
    batches = trainer.val_dataloaders.dataset  # type: ignore[union-attr]
    if not isinstance(batches, ValidationBatches):
        return None
    return {"windows": batches.windows, "all_windows": batches.all_windows}


class SaveState(StateSaver):
    """Saves the training state every `every` steps, after each validation, and when a signal asks to stop.

    Lightning calls this type of callback last, so the state includes what validation changed in the others (the best loss,
    the remaining patience). Lightning's own ModelCheckpoint saves before a validation, or warns that the folder is in use.
    """

    def __init__(self, path: Path, every: int, signals: StopSignals) -> None:
        self.path, self.every, self.signals = path, every, signals
        self._stops = False

    def stop_if_asked(self, *_: Any, **__: Any) -> None:
        """Leave Lightning's loops if the last saving found a signal to stop."""
        if self._stops:
            raise StopHere

    on_train_batch_start = on_train_end = stop_if_asked

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, place: int
    ) -> None:
        assert isinstance(module, TrainingModule)
        chosen, step = module.recipe.trainer, trainer.global_step
        # Stop only after the last batch of a step; if a validation follows, after the validation.
        if (place + 1) % chosen.accumulate or step % chosen.validate_every == 0:
            return
        # Lightning logs the step only after this: stop when the next one begins, or the log would lack the last step.
        self._save_if_due(trainer, due=step % self.every == 0 or step == chosen.max_steps)

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._save_if_due(trainer, due=True)
            self.stop_if_asked()

    def _save_if_due(self, trainer: lightning.Trainer, *, due: bool) -> None:
        """Save the state if it is due or a signal asks to stop. All processes of a training agree on this."""
        agree = trainer.strategy.reduce_boolean_decision
        self._stops = agree(bool(self.signals.received), all=False)
        if due or self._stops:
            self._save(trainer)
        if agree(self.signals.asked_to_requeue, all=False):
            self.signals.requeue()

    def _save(self, trainer: lightning.Trainer) -> None:
        partial = self.path.with_name(f".{self.path.name}-new")
        try:
            with naming(self.path):
                trainer.save_checkpoint(partial, weights_only=False)
            if trainer.is_global_zero:
                os.replace(partial, self.path)
                # Delete states that Lightning saved for SLURM: they are older now, and would be preferred.
                for older in self.path.parent.glob("hpc_ckpt_*.ckpt"):
                    older.unlink()
        finally:
            if trainer.is_global_zero:
                partial.unlink(missing_ok=True)
