"""What happens beside the steps of a training: checkpoint folders are written, and progress is shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.callbacks import Checkpoint as StateSaver
from lightning.pytorch.trainer.states import TrainerFn

from mmt.model.checkpoint import Checkpoint, write_checkpoint
from mmt.representation.codes import FIELDS
from mmt.training.module import TrainingModule


class WriteCheckpoints(Callback):
    """After each validation: `last`, and `best` where the loss per note on the validation split is the lowest so far."""

    def __init__(self, folder: Path, data: Mapping[str, Any]) -> None:
        self.folder, self.data = folder, dict(data)
        self.best = float("inf")

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero or "valid/loss" not in trainer.callback_metrics:
            return
        assert isinstance(module, TrainingModule)
        validation = {name: round(float(trainer.callback_metrics[f"valid/{name}"]), 4) for name in ("loss", *FIELDS)}
        recipe = module.recipe
        training = {
            "recipe": {
                name: part for name, part in recipe.to_dict().items() if name not in ("representation", "network")
            },
            "steps": trainer.global_step,
            "validation": validation,
            "data": self.data,
            "torch": str(torch.__version__),
        }
        checkpoint = Checkpoint(module.network, recipe.representation, recipe.sampling, training)
        card = model_card(checkpoint)
        write_checkpoint(self.folder / "last", checkpoint, card=card)
        if validation["loss"] < self.best:
            self.best = validation["loss"]
            write_checkpoint(self.folder / "best", checkpoint, card=card)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]


class SaveState(StateSaver):
    """After each validation: the whole state of the training, from which it can go on.

    Lightning calls this kind of callback last, so what validation changed in the others (the best loss, the patience that
    is left) is in it. Lightning's own ModelCheckpoint saves by steps before validation, or warns of a folder in use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            trainer.save_checkpoint(self.path, weights_only=False)


def model_card(checkpoint: Checkpoint) -> str:
    """A plain model card, made of what is known when a checkpoint is written."""
    training, network = checkpoint.training, checkpoint.network
    validation = training["validation"]
    size = sum(parameter.numel() for parameter in network.parameters())
    lines = [
        "# Model card",
        "",
        f"A Multitrack Music Transformer of {size:,} parameters, trained for {training['steps']:,} steps.",
        "",
        f"Loss on the validation split: {validation['loss']:.3f} nats per note. Mean nats per counted target of each field:",
        "",
        "| " + " | ".join(FIELDS) + " |",
        "|" + "---|" * len(FIELDS),
        "| " + " | ".join(f"{validation[name]:.3f}" for name in FIELDS) + " |",
        "",
        "## Data",
        "",
        f"{training['data']['pieces']:,} pieces, {training['data']['notes']:,} notes in the training split, under:",
        "",
        *(f"- {licence or 'not stated'}: {count:,} pieces" for licence, count in training["data"]["licences"].items()),
        "",
    ]
    return "\n".join(lines)
