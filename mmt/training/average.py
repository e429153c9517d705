"""An exponential moving average (EMA) of the weights, kept in float32.

Validation, checkpoints and samples use the average, the training steps do not. At any time, the average is as good as
weights after a decay of the learning rate. (Polyak and Juditsky 1992; Izmailov et al. 2018.) Lightning's `WeightAveraging`
puts the training's weights back before checkpoints are written, and keeps the average in the precision of the weights.
"""

from __future__ import annotations

from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from mmt.training.module import TrainingModule


class AverageWeights(Callback):
    """Averages the weights that learn, step by step, and puts the average into the network during each validation.

    After step n the average moves to the weights by 1 - min(`decay`, (1 + n) / (10 + n)) of their distance: quickly at first, so
    that the initial weights are soon forgotten. It must come after callbacks that read the network at the end of a validation.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        """Steps that are in the average."""
        self.average: dict[str, Tensor] | None = None
        """The average of each weight that learns, in float32; none before the first step."""
        self._seen = 0
        self._own: dict[str, Tensor] = {}

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        weights = _learned(module)
        # An average loaded from a saved state is on the CPU.
        found = weights if self.average is None else self.average
        self.average = {
            name: found[name].detach().to(tensor.device, torch.float32, copy=True) for name, tensor in weights.items()
        }
        self._seen = trainer.global_step

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, place: int
    ) -> None:
        # A step may take several batches.
        if trainer.global_step == self._seen:
            return
        assert self.average is not None
        self._seen = trainer.global_step
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        weights = [tensor.detach().float() for tensor in _learned(module).values()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)
        self.steps += 1

    @torch.no_grad()
    def on_validation_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if self.average is None:
            return
        for name, weights in _learned(module).items():
            self._own[name] = weights.clone()
            weights.copy_(self.average[name])

    @torch.no_grad()
    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        for name, weights in _learned(module).items():
            if name in self._own:
                weights.copy_(self._own.pop(name))

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "average": self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps, self.average = state_dict["steps"], state_dict["average"]


def _learned(module: lightning.LightningModule) -> dict[str, Tensor]:
    assert isinstance(module, TrainingModule)
    return {name: weights for name, weights in module.network.named_parameters() if weights.requires_grad}
