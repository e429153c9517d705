"""The network as Lightning trains it: steps, validation, optimizer and schedule."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from mmt.corpus.windows import Batch
from mmt.model.network import Network
from mmt.representation.codes import FIELDS
from mmt.training.loss import Losses, losses
from mmt.training.recipe import Recipe


class TrainingModule(lightning.LightningModule):
    """Trains a network by the loss per note.

    Logged: `train/loss` (per note, of the step), and at validation `valid/loss` (per note) and `valid/FIELD` (mean
    over the field's counted targets), each over all events of the split.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.network = Network(recipe.network)
        self._forward = torch.compile(self.network) if recipe.trainer.compile else self.network
        self._validated: Losses | None = None

    def on_train_batch_start(self, batch: Batch, step: int) -> None:
        if self.recipe.network.dropout:
            # Each step drops by a stream of its own, so that a training that was stopped goes on as it would have.
            place = self.trainer.global_step, step % self.recipe.trainer.accumulate, self.global_rank
            torch.manual_seed(int(np.random.SeedSequence((self.recipe.seed, *place)).generate_state(1)[0]))

    def training_step(self, batch: Batch, step: int) -> Tensor:
        found = self._losses(batch)
        self.log("train/loss", found.per_note, prog_bar=True)
        return found.per_note

    def validation_step(self, batch: Batch, step: int) -> None:
        found = self._losses(batch)
        self._validated = found if self._validated is None else self._validated + found

    def on_validation_epoch_end(self) -> None:
        found = self._validated
        self._validated = None
        if found is None:
            return
        # Sums, not means, go between devices: every event weighs the same wherever it was seen.
        total = Losses(*(self.trainer.strategy.reduce(part.float(), reduce_op="sum") for part in _parts(found)))
        self.log("valid/loss", total.per_note, prog_bar=True, sync_dist=True)
        for name, loss in zip(FIELDS, total.per_field, strict=True):
            self.log(f"valid/{name}", loss, sync_dist=True)

    def _losses(self, batch: Batch) -> Losses:
        # No mask: padding stands behind the events, where nothing causal can see it, and its targets do not count.
        return losses(self._forward(batch.codes[:, :-1], targets=batch.codes[:, 1:]), batch.codes, batch.lengths)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        # Lightning refuses to clip for a fused optimizer, for fear of scaled gradients; only 16-mixed scales them.
        if self.trainer.precision == "16-mixed":
            self.clip_gradients(optimizer, self.recipe.optimizer.clip, "norm")
        else:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimizer.clip)

    def configure_optimizers(self) -> Any:
        chosen = self.recipe.optimizer
        matrices = [
            p for name, p in self.network.named_parameters() if p.ndim > 1 and not name.startswith(("embed", "pos"))
        ]
        decayed = {id(parameter) for parameter in matrices}
        others = [p for p in self.network.parameters() if id(p) not in decayed]
        groups = [{"params": matrices, "weight_decay": chosen.weight_decay}, {"params": others, "weight_decay": 0.0}]
        kind = torch.optim.AdamW if chosen.name == "adamw" else torch.optim.Adam
        optimizer = kind(
            groups, lr=chosen.learning_rate, betas=chosen.betas, fused=self.trainer.precision != "16-mixed"
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, chosen.share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _parts(found: Losses) -> tuple[Tensor, Tensor, Tensor]:
    return found.nats, found.targets, found.notes
