"""Windows and batches as the original code makes them, its traps included, so that its losses can be compared with.

Each window ends with an end-of-song, whether its piece ends there or not; a training window never reaches the last beat of
a piece that is longer than it; a transposition that leaves the range is clipped; and validation looks at beginnings alone.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Batch, Limits, collate
from mmt.representation.codes import PITCHES, Events, Representation
from mmt.representation.encode import events_of_notes
from mmt.representation.notes import NoteTable


class OriginalTrainingBatches(torch.utils.data.Dataset[Batch]):
    """The batches of a whole training: every piece once, in another order each time round, `batch_size` at a time.

    As in `TrainingBatches`, what a batch holds follows from `seed` and its number alone.
    """

    def __init__(
        self,
        corpus: Corpus,
        limits: Limits,
        *,
        batch_size: int,
        count: int,
        pitch_shift: tuple[int, int],
        seed: int = 0,
    ) -> None:
        self.corpus, self.limits, self.batch_size, self.count = corpus, limits, batch_size, count
        self.pitch_shift, self.seed = pitch_shift, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Batch:
        # The last batch of a round is what is left.
        around, place = divmod(index, math.ceil(len(self.corpus) / self.batch_size))
        order = np.random.default_rng((self.seed, 0, around)).permutation(len(self.corpus))
        pieces = order[place * self.batch_size : (place + 1) * self.batch_size].tolist()
        random = np.random.default_rng((self.seed, 1, index))
        shifts = random.integers(self.pitch_shift[0], self.pitch_shift[1] + 1, len(pieces)).tolist()
        starts = random.random(len(pieces)).tolist()
        return collate([self._window(*row) for row in zip(pieces, starts, shifts, strict=True)])

    def _window(self, piece: int, start: float, shift: int) -> Events:
        return original_window(self.corpus.notes(piece), self.limits, self.corpus.representation, start, shift)


class OriginalValidationBatches(torch.utils.data.Dataset[Batch]):
    """The beginning of every piece of a split, in the order of the corpus."""

    def __init__(self, corpus: Corpus, limits: Limits, *, batch_size: int) -> None:
        self.corpus, self.limits, self.batch_size = corpus, limits, batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.corpus) / self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        pieces = range(index * self.batch_size, min((index + 1) * self.batch_size, len(self.corpus)))
        return collate(
            [original_window(self.corpus.notes(piece), self.limits, self.corpus.representation) for piece in pieces]
        )


def original_window(
    notes: NoteTable, limits: Limits, representation: Representation, start: float | None = None, shift: int = 0
) -> Events:
    """A window as the original code cuts it: always closed with an end-of-song, whether the piece ends there or not.

    Parameters
    ----------
    notes : note table of the whole piece
    limits : Limits
        At most so many events, the end included, and so many beats.
    start : float, optional
        From [0, 1): where a window of a longer piece begins, as a share of the beats that the original code can draw, which
        leave the last one out. Default: at the beginning.
    shift : int
        Transposition in semitones; what would leave the range of pitches is put on its border.
    """
    count, beats = int(notes["beat"][-1]) + 1, limits.beats
    first = int((start or 0.0) * (count - beats)) if count > beats else 0
    inside = (notes["beat"] >= first) & (notes["beat"] < first + beats)
    if not inside.any():
        first, inside = 0, notes["beat"] < beats
    window = notes[inside].copy()
    window["beat"] -= first
    window["pitch"] = np.clip(window["pitch"].astype(np.int16) + shift, 0, PITCHES - 1)
    codes = events_of_notes(window, representation)
    return codes if len(codes) <= limits.events else np.concatenate([codes[: limits.events - 1], codes[-1:]])
