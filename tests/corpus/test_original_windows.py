"""Windows and batches of the original code, with its known errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import mmt
from mmt.corpus.original_windows import OriginalTrainingBatches, OriginalValidationBatches, original_window
from mmt.corpus.storage import Corpus
from mmt.corpus.windows import Limits
from mmt.representation.codes import BEAT, END_OF_SONG, NOTE, PAPER, PITCH, TYPE
from mmt.representation.notes import NOTE_DTYPE, NoteTable, note_table, raw_notes

PIECES = sorted(Path("data/tiny").glob("*.mid"))
TINY = PIECES[0]


def table_of(path: Path) -> NoteTable:
    return note_table(raw_notes(mmt.read(path)))[0]


def test_original_windows_end_with_end_of_song_inside_a_piece() -> None:
    notes = table_of(TINY)
    beats = int(notes["beat"][-1]) + 1
    whole = original_window(notes, Limits(10_000, beats), PAPER)
    assert np.array_equal(whole, mmt.encode(mmt.read(TINY)))
    for window in (
        original_window(notes, Limits(10_000, 8), PAPER),
        original_window(notes, Limits(10_000, 8), PAPER, 0.5),
        original_window(notes, Limits(40, 8), PAPER, 0.999),
    ):
        assert window[-1, TYPE] == END_OF_SONG
        assert window[:, BEAT].max() <= 8
        assert mmt.is_valid(window)
    cut = original_window(notes, Limits(40, beats), PAPER)
    assert np.array_equal(cut[:-1], whole[:39])


def test_original_random_starts_never_reach_the_last_window() -> None:
    notes = np.array([(beat, 0, 60 + beat, 12, 1) for beat in range(10)], NOTE_DTYPE)
    latest = original_window(notes, Limits(100, 4), PAPER, np.nextafter(1, 0))
    # The latest window has beats 5 … 8 of 0 … 9: the last beat is never seen.
    assert latest[latest[:, TYPE] == NOTE, PITCH].tolist() == [66, 67, 68, 69]


def test_original_pitch_shift_clips() -> None:
    notes = np.array([(0, 0, 1, 12, 1), (1, 0, 60, 12, 1)], NOTE_DTYPE)
    window = original_window(notes, Limits(100, 4), PAPER, shift=-5)
    assert window[window[:, TYPE] == NOTE, PITCH].tolist() == [1, 56]


def test_a_window_without_notes_is_replaced_by_the_beginning() -> None:
    notes = np.array([(0, 0, 60, 12, 1), (90, 0, 60, 12, 1)], NOTE_DTYPE)
    assert mmt.is_valid(original_window(notes, Limits(100, 4), PAPER, 0.5))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Four pieces in a folder of the original code; the last is the first, a semitone higher."""
    folder = tmp_path_factory.mktemp("authors")
    (folder / "notes").mkdir()
    tables = [table_of(path) for path in PIECES]
    programs = np.array([instrument.program for instrument in PAPER.instruments])
    for number, (table, up) in enumerate(zip([*tables, tables[0]], (0, 0, 0, 1), strict=True)):
        columns = [table["beat"], table["position"], table["pitch"] + up, table["duration"]]
        np.save(folder / "notes" / f"{number}.npy", np.stack([*columns, programs[table["instrument"] - 1]], axis=1))
    (folder / "train-names.txt").write_text("0\n1\n2\n3\n")
    return Corpus(folder)


def test_each_epoch_shows_every_piece_once_in_a_new_order(corpus: Corpus) -> None:
    whole = Limits(10_000, 10_000)
    batches = OriginalTrainingBatches(corpus, whole, batch_size=3, count=8, pitch_shift=(0, 0), seed=1)
    assert [len(batches[index].codes) for index in range(len(batches))] == [3, 1] * 4
    pieces = [piece.tobytes() for piece in corpus]
    rounds = []
    for around in range(4):
        parts = [batches[2 * around], batches[2 * around + 1]]
        rows = [row[:length] for part in parts for row, length in zip(part.codes, part.lengths.tolist(), strict=True)]
        rounds.append([pieces.index(row.numpy().tobytes()) for row in rows])
    assert all(sorted(order) == [0, 1, 2, 3] for order in rounds)
    assert len({tuple(order) for order in rounds}) > 1


def test_a_batch_depends_only_on_the_seed_and_its_index(corpus: Corpus) -> None:
    def batch(seed: int, index: int) -> torch.Tensor:
        limits = Limits(64, 16)
        return OriginalTrainingBatches(corpus, limits, batch_size=3, count=9, pitch_shift=(-5, 6), seed=seed)[
            index
        ].codes

    assert torch.equal(batch(1, 4), batch(1, 4))
    assert not torch.equal(batch(1, 4)[:, :20], batch(2, 4)[:, :20])
    # A corpus of one piece gives that piece each time, with other transpositions and starts.
    one = Corpus(corpus.folder, exclude=["1", "2", "3"])
    batches = OriginalTrainingBatches(one, Limits(64, 16), batch_size=1, count=8, pitch_shift=(-5, 6))
    assert len({tuple(batches[index].codes[0, :20].flatten().tolist()) for index in range(8)}) > 4


def test_every_window_ends_and_padding_is_zero(corpus: Corpus) -> None:
    batches = OriginalTrainingBatches(corpus, Limits(64, 16), batch_size=4, count=5, pitch_shift=(-5, 6))
    for index in range(5):
        batch = batches[index]
        for row, length in zip(batch.codes, batch.lengths.tolist(), strict=True):
            assert row[length - 1, TYPE] == END_OF_SONG
            assert not row[length:].any()


def test_validation_is_the_beginning_of_every_piece_in_order(corpus: Corpus) -> None:
    batches = OriginalValidationBatches(corpus, Limits(64, 16), batch_size=3)
    rows = [row[:length] for index in range(len(batches)) for row, length in
            zip(batches[index].codes, batches[index].lengths.tolist(), strict=True)]  # fmt: skip
    assert len(rows) == len(corpus)
    for row, piece in zip(rows, corpus, strict=True):
        notes = piece[piece[:, TYPE] == NOTE]
        ours = row[row[:, TYPE] == NOTE].numpy()
        assert np.array_equal(ours, notes[: len(ours)])
