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


def loaders_of(
    recipe: Recipe, training: Corpus, validation: Corpus, trainer: lightning.Trainer
) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
    """The loaders of the training batches and of the validation batches, for the devices of a trainer."""
    data, parts = recipe.data, recipe.trainer.accumulate * trainer.world_size
    batches, checks = _batches(recipe, training, validation, parts)
    options: dict[str, Any] = {"batch_size": None, "num_workers": data.workers, "persistent_workers": data.workers > 0}
    return (
        DataLoader(batches, sampler=DeviceSampler(len(batches), trainer, each_step=parts), **options),
        DataLoader(checks, sampler=DeviceSampler(len(checks), trainer), **options),
    )


def _batches(
    recipe: Recipe, training: Corpus, validation: Corpus, parts: int
) -> tuple[
    TrainingBatches | ConcatDataset[Batch] | OriginalTrainingBatches, ValidationBatches | OriginalValidationBatches
]:
    data, context, beats = recipe.data, recipe.network.context, recipe.representation.beats
    if recipe.compat == "authors":
        limits, count = Limits(context, beats), recipe.trainer.max_steps * parts
        shift = data.augmentation.pitch_shift
        return (
            OriginalTrainingBatches(
                training, limits, batch_size=data.batch_size, count=count, pitch_shift=shift, seed=recipe.seed
            ),
            OriginalValidationBatches(validation, limits, batch_size=data.batch_size),
        )
    checks = ValidationBatches(
        validation,
        Limits(context + 1, beats),
        batch_size=data.batch_size,
        windows=data.validation_windows,
        representation=recipe.representation,
    )
    whole = _windows(recipe, training, parts, context)
    if data.short_windows is None:
        return whole, checks
    # Short windows come first, since attention costs less. Each batch is the one at its index in either set.
    events, steps = data.short_windows
    short, count = _windows(recipe, training, parts, events), min(steps * parts, len(whole))
    return ConcatDataset([Subset(short, range(count)), Subset(whole, range(count, len(whole)))]), checks


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
