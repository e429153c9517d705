"""The Lightning module: training steps, validation, optimizer and schedule."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from mmt.corpus.windows import Batch
from mmt.model.heads import next_written
from mmt.model.network import Network, network_without_weights
from mmt.representation.codes import FIELDS
from mmt.training.loss import Losses, losses, original_losses
from mmt.training.low_rank import add_low_rank
from mmt.training.optimizers import optimizer_of
from mmt.training.recipe import Recipe


class TrainingModule(lightning.LightningModule):
    """Trains a network on the loss per note.

    The loss of a step is the sum of the nats of all its windows divided by their number of notes, for any number of devices
    and accumulated batches: each batch sums nats, and the gradient of the step is divided by the notes of all batches.

    Logs `train/loss` (per note, of the step), `train/rate` (the learning rate), and at validation `valid/loss` (per note)
    and `valid/FIELD` (mean over the counted targets of the field), each over all events of the split.
    """

    def __init__(self, recipe: Recipe, weights: Mapping[str, Tensor] | None = None) -> None:
        """`weights` is a state dict that initialises the network. Default: random weights."""
        super().__init__()
        self.recipe = recipe
        self.network = Network(recipe.network)
        if weights is not None:
            self.network.load_state_dict(weights)
        if recipe.optimizer.lora_rank is not None:
            add_low_rank(self.network, recipe.optimizer.lora_rank)
        if recipe.trainer.compile:
            # Compiling in place keeps the names of the tensors.
            self.network.compile()
        # An arbitrary constant that keeps gradients about as large as those of the mean over notes.
        self._loss_scale = float(recipe.data.batch_size * recipe.network.context)
        self._trained: Losses | None = None
        self._validated: Losses | None = None

    def trained_network(self) -> Network:
        """A plain network with the current weights, in eval mode; low-rank additions are merged into the weights."""
        network = network_without_weights(self.recipe.network)
        # Attributes, unlike the entries of the state dict, include low-rank additions.
        weights = {name: attrgetter(name)(self.network).detach() for name in network.state_dict()}
        network.load_state_dict(weights, assign=True)
        return network.eval()

    def on_train_batch_start(self, batch: Batch, step: int) -> None:
        if self.recipe.network.dropout:
            # Dropout has a random stream for each step, so that a resumed training is the same as an uninterrupted one.
            place = self.trainer.global_step, step % self.recipe.trainer.accumulate, self.global_rank
            torch.manual_seed(int(np.random.SeedSequence((self.recipe.seed, *place)).generate_state(1)[0]))

    def training_step(self, batch: Batch, step: int) -> Tensor:
        found = self._losses(batch)
        seen = Losses(*(part.detach() for part in vars(found).values()))
        self._trained = seen if self._trained is None else self._trained + seen
        return found.nats.sum() / self._loss_scale

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        total, self._trained = self._over_devices(self._trained), None
        # Lightning has averaged over the batches of the step, and over devices.
        batches = self.recipe.trainer.accumulate * self.trainer.world_size
        scale = self._loss_scale * batches / total.notes.clamp(min=1)
        for parameter in self.network.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(scale)
        self.log("train/loss", total.per_note, prog_bar=True)
        self.log("train/rate", optimizer.param_groups[0]["lr"])

    def validation_step(self, batch: Batch, step: int) -> None:
        found = self._losses(batch)
        self._validated = found if self._validated is None else self._validated + found

    def on_validation_epoch_end(self) -> None:
        if self._validated is None:
            return
        total, self._validated = self._over_devices(self._validated), None
        self.log("valid/loss", total.per_note, prog_bar=True, sync_dist=True)
        for name, loss in zip(FIELDS, total.per_field, strict=True):
            self.log(f"valid/{name}", loss, sync_dist=True)

    def _over_devices(self, found: Losses | None) -> Losses:
        """Sum over devices, so that every event has the same weight."""
        assert found is not None
        return Losses(*(self.trainer.strategy.reduce(part.float(), reduce_op="sum") for part in vars(found).values()))

    def _losses(self, batch: Batch) -> Losses:
        if self.recipe.compat == "authors":
            places = torch.arange(batch.codes.shape[1] - 1, device=batch.codes.device)
            logits = self.network(batch.codes[:, :-1], places < batch.lengths[:, None], targets=batch.codes[:, 1:])
            return original_losses(logits, batch.codes)
        # No mask is needed: padding follows the events, so causal attention never reads it, and its targets do not count.
        logits = self.network(batch.codes[:, :-1], targets=next_written(batch.codes))
        return losses(logits, batch.codes, batch.lengths)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        # Lightning refuses to clip for fused optimizers, since gradients may be scaled; only 16-mixed scales them.
        if self.trainer.precision == "16-mixed":
            self.clip_gradients(optimizer, self.recipe.optimizer.clip, "norm")
        else:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimizer.clip)

    def configure_optimizers(self) -> Any:
        chosen = self.recipe.optimizer
        optimizer = optimizer_of(self.network, chosen, fused=self.trainer.precision != "16-mixed")
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, chosen.share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
