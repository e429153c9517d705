"""Data loaders of a training: the batches that its recipe describes, divided among devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning
from torch.utils.data import ConcatDataset, DataLoader, Sampler, Subset

from mmt.corpus.original_windows import OriginalTrainingBatches, OriginalValidationBatches
from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Batch, Limits, TrainingBatches, ValidationBatches
from mmt.training.recipe import Recipe

Loaders = tuple[DataLoader[Batch], DataLoader[Batch]]
"""The loaders of the training batches and of the validation batches."""


def loaders_of(recipe: Recipe, training: Corpus, validation: Corpus, trainer: lightning.Trainer) -> Loaders:
    """The loaders of a training, for the devices of a trainer."""
    data, context, beats = recipe.data, recipe.network.context, recipe.representation.beats
    parts = recipe.trainer.accumulate * trainer.world_size
    train_batches: TrainingBatches | ConcatDataset[Batch] | OriginalTrainingBatches
    valid_batches: ValidationBatches | OriginalValidationBatches
    if recipe.compat == "authors":
        limits, count, shift = Limits(context, beats), recipe.trainer.max_steps * parts, data.augmentation.pitch_shift
        train_batches = OriginalTrainingBatches(
            training, limits, batch_size=data.batch_size, count=count, pitch_shift=shift, seed=recipe.seed
        )
        valid_batches = OriginalValidationBatches(validation, limits, batch_size=data.batch_size)
    else:
        train_batches = _training_batches(recipe, training, parts)
        valid_batches = ValidationBatches(
            validation, Limits(context + 1, beats), batch_size=data.batch_size, windows=data.validation_windows,
            representation=recipe.representation,
        )  # fmt: skip
    options: dict[str, Any] = {"batch_size": None, "num_workers": data.workers, "persistent_workers": data.workers > 0}
    return (
        DataLoader(train_batches, sampler=DeviceSampler(len(train_batches), trainer, each_step=parts), **options),
        DataLoader(valid_batches, sampler=DeviceSampler(len(valid_batches), trainer), **options),
    )


def _training_batches(recipe: Recipe, training: Corpus, parts: int) -> TrainingBatches | ConcatDataset[Batch]:
    whole = _windows(recipe, training, parts, recipe.network.context)
    if recipe.data.short_windows is None:
        return whole
    # Short windows come first, since attention costs less. Each batch is the one at its index in either set.
    events, steps = recipe.data.short_windows
    short, count = _windows(recipe, training, parts, events), min(steps * parts, len(whole))
    return ConcatDataset([Subset(short, range(count)), Subset(whole, range(count, len(whole)))])


def _windows(recipe: Recipe, training: Corpus, parts: int, events: int) -> TrainingBatches:
    """Batches of windows of at most `events` events; shorter windows make larger batches, with the same number of events."""
    return TrainingBatches(
        training,
        # The last event of a window is only a target.
        Limits(events + 1, recipe.representation.beats),
        batch_size=recipe.data.batch_size * recipe.network.context // events,
        steps=recipe.trainer.max_steps,
        augmentation=recipe.data.augmentation,
        weights=recipe.data.weights,
        representation=recipe.representation,
        seed=recipe.seed,
        parts=parts,
    )


class DeviceSampler(Sampler[int]):
    """The indices of a device's batches: every n-th for n devices. (Lightning's sampler would shuffle and repeat batches.)

    With `each_step` batches per step, the batches of finished steps are skipped. The number of finished steps is read when
    iteration begins, after Lightning has loaded the state that it resumes from.
    """

    def __init__(self, count: int, trainer: lightning.Trainer, *, each_step: int = 0) -> None:
        self.count, self.trainer, self.each_step = count, trainer, each_step

    def __iter__(self) -> Iterator[int]:
        # Every device needs a batch, or the others wait for it: with fewer batches than devices, some repeat one.
        first = self.trainer.global_rank % self.count + self.each_step * self.trainer.global_step
        return iter(range(first, self.count, self.trainer.world_size))

    def __len__(self) -> int:
        """The number of batches of the whole training, since Lightning counts finished batches too."""
        return len(range(self.trainer.global_rank % self.count, self.count, self.trainer.world_size))
