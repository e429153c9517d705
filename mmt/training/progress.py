"""The bar of a training: its steps, and the losses per note of the latest step and validation."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from tqdm import tqdm


class TrainingBar(Callback):
    """One bar on stderr, of the first process alone. (Lightning's own counts epochs and opens a bar a validation.)"""

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

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _show(self, trainer: lightning.Trainer) -> None:
        assert self.bar is not None
        losses = {name: trainer.callback_metrics.get(f"{name}/loss") for name in ("train", "valid")}
        told = ", ".join(f"{name} {float(loss):.3f}" for name, loss in losses.items() if loss is not None)
        self.bar.set_postfix_str(f"loss a note: {told}" if told else "", refresh=False)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
