"""Corpora in memory, and training batches of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmt.corpus.augmentation import Augmentation
from mmt.corpus.storage import Corpus, Piece
from mmt.corpus.windows import Batch, Limits, TrainingBatches
from mmt.representation.codes import PAPER, Events, Representation
from mmt.representation.notes import NOTE_DTYPE, NoteTable

LIMITS = Limits(events=40, beats=16)


class Tables(Corpus):
    """A corpus of note tables in memory."""

    def __init__(self, *tables: NoteTable, representation: Representation = PAPER) -> None:
        self.folder, self.representation = Path("in memory"), representation
        self._notes = np.concatenate(tables)
        ends = np.cumsum([len(table) for table in tables])
        self.pieces = [
            Piece(str(place), int(end) - len(table), len(table), int(table["beat"].max()) + 1, "", "train", "", "", "")
            for place, (table, end) in enumerate(zip(tables, ends, strict=True))
        ]


def melody(count: int, instrument: int = 1, pitch: int = 60) -> NoteTable:
    """A note a beat, each of another length, so that it can be told from the others."""
    table = np.zeros(count, NOTE_DTYPE)
    table["beat"], table["pitch"], table["instrument"] = np.arange(count), pitch, instrument
    table["duration"] = np.asarray(PAPER.durations)[np.arange(count) % 32]
    return table


def rows_of(batch: Batch) -> list[Events]:
    return [codes[:length].numpy() for codes, length in zip(batch.codes, batch.lengths.tolist(), strict=True)]


def training(corpus: Corpus, **arguments: object) -> TrainingBatches:
    options = {"batch_size": 3, "steps": 100, "augmentation": Augmentation(), "pool": 4} | arguments
    return TrainingBatches(corpus, LIMITS, **options)  # type: ignore[arg-type]
