"""A training in two phases: short windows at first, where attention costs less, and then those that fill the context."""

from __future__ import annotations

import torch

from mmt.corpus.windows import Batch, TrainingBatches


class PhasedBatches(torch.utils.data.Dataset[Batch]):
    """The batches of `first` for the first steps, those of `later` from then on; each as it is without the other."""

    def __init__(self, first: TrainingBatches, later: TrainingBatches, *, steps: int) -> None:
        self.first, self.later, self._count = first, later, steps * later.parts

    def __len__(self) -> int:
        return len(self.later)

    def __getitem__(self, index: int) -> Batch:
        return (self.first if index < self._count else self.later)[index]
