"""Note tables, corpora in memory, and training batches of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from strategies import pieces
from torch.utils.data import Dataset

from mmt.corpus.augmentation import Augmentation
from mmt.corpus.pieces import Piece
from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Batch, Limits, TrainingBatches
from mmt.representation.codes import PAPER, Events, Representation
from mmt.representation.decode import notes_of_events
from mmt.representation.notes import NOTE_DTYPE, NoteTable

LIMITS = Limits(events=40, beats=16)
ALL = Representation(beats=64, drums=True, given=True, length=True, reach=4)


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
    """One note per beat, each with its own duration, so that notes can be identified."""
    table = np.zeros(count, NOTE_DTYPE)
    table["beat"], table["pitch"], table["instrument"] = np.arange(count), pitch, instrument
    table["duration"] = np.asarray(PAPER.durations)[np.arange(count) % 32]
    return table


def rows_of(batch: Batch) -> list[Events]:
    return [codes[:length].numpy() for codes, length in zip(batch.codes, batch.lengths.tolist(), strict=True)]


def all_rows(batches: Dataset[Batch]) -> list[Events]:
    """The windows of all batches."""
    return [events for index in range(len(batches)) for events in rows_of(batches[index])]  # type: ignore[arg-type]


def training(corpus: Corpus, **arguments: object) -> TrainingBatches:
    options = {"batch_size": 3, "steps": 100, "augmentation": Augmentation(), "pool": 4} | arguments
    return TrainingBatches(corpus, LIMITS, **options)  # type: ignore[arg-type]


def note_tables(representation: Representation) -> st.SearchStrategy[NoteTable]:
    """Note tables of up to six instruments and the drums: few notes, which shrink, or many, some parts of them sparse."""

    def few_instruments(piece: Events) -> NoteTable:
        table = notes_of_events(piece, representation)
        table["instrument"] = np.array([1, 25, 27, 41, 59, representation.drums_code])[table["instrument"] % 6]
        table["pitch"] = table["pitch"].clip(12, 115)
        return np.unique(table)

    def many_notes(seed: int) -> NoteTable:
        random = np.random.default_rng(seed)
        table = np.zeros(random.integers(60, 200), NOTE_DTYPE)
        table["beat"], table["position"] = random.integers(0, 80, len(table)), random.integers(0, 12, len(table))
        table["pitch"], table["duration"] = random.integers(12, 116, len(table)), random.choice([1, 12, 48], len(table))
        table["instrument"] = random.choice([1, 1, 1, 1, 25, 25, 41, representation.drums_code], len(table))
        table["instrument"][random.integers(len(table))] = 59
        return np.unique(table)

    return st.one_of(pieces(representation, max_notes=60).map(few_instruments), st.integers(0, 2**20).map(many_notes))
