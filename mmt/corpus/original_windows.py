"""Windows and batches of the original code, with its known errors, so that losses can be compared with it.

Every window ends with an end-of-song, also in the middle of a piece; a training window never reaches the last beat of a
longer piece; pitches are clipped when transposed out of range; and validation uses the beginnings of pieces only.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch

from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Batch, Limits, collate
from mmt.representation.codes import PITCHES, Events, Representation
from mmt.representation.encode import events_of_notes
from mmt.representation.notes import NoteTable


@dataclass(eq=False)
class OriginalTrainingBatches(torch.utils.data.Dataset[Batch]):
    """All batches of a training: each epoch shows every piece once, in a new order.

    As in `TrainingBatches`, a batch depends on `seed` and its index only.
    """

    corpus: Corpus
    limits: Limits
    _: KW_ONLY
    batch_size: int
    count: int
    pitch_shift: tuple[int, int]
    seed: int = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Batch:
        # The last batch of an epoch may be smaller.
        epoch, place = divmod(index, math.ceil(len(self.corpus) / self.batch_size))
        order = np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.corpus))
        pieces = order[place * self.batch_size : (place + 1) * self.batch_size].tolist()
        random = np.random.default_rng((self.seed, 1, index))
        shifts = random.integers(self.pitch_shift[0], self.pitch_shift[1] + 1, len(pieces)).tolist()
        starts = random.random(len(pieces)).tolist()
        return collate(
            [
                original_window(self.corpus.notes(piece), self.limits, self.corpus.representation, start, shift)
                for piece, start, shift in zip(pieces, starts, shifts, strict=True)
            ]
        )


@dataclass(eq=False)
class OriginalValidationBatches(torch.utils.data.Dataset[Batch]):
    """The beginning of every piece of a split, in the order of the corpus."""

    corpus: Corpus
    limits: Limits
    _: KW_ONLY
    batch_size: int

    def __len__(self) -> int:
        return math.ceil(len(self.corpus) / self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        pieces = range(index * self.batch_size, min((index + 1) * self.batch_size, len(self.corpus)))
        notes = map(self.corpus.notes, pieces)
        return collate([original_window(one, self.limits, self.corpus.representation) for one in notes])


def original_window(
    notes: NoteTable, limits: Limits, representation: Representation, start: float = 0.0, shift: int = 0
) -> Events:
    """A window as the original code cuts it: it always ends with an end-of-song, which `limits` include.

    `start`, in [0, 1), is the start of the window in a longer piece, as a fraction of the possible start beats of the original
    code, which exclude the last one. Pitches are transposed by `shift` semitones and clipped to the MIDI range.
    """
    count, beats = int(notes["beat"][-1]) + 1, limits.beats
    first = int(start * (count - beats)) if count > beats else 0
    inside = (notes["beat"] >= first) & (notes["beat"] < first + beats)
    if not inside.any():
        first, inside = 0, notes["beat"] < beats
    window = notes[inside].copy()
    window["beat"] -= first
    window["pitch"] = np.clip(window["pitch"].astype(np.int16) + shift, 0, PITCHES - 1)
    codes = events_of_notes(window, representation)
    return codes if len(codes) <= limits.events else np.concatenate([codes[: limits.events - 1], codes[-1:]])
