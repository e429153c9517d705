"""A data folder of the original code opens as a corpus."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mmt
from mmt.corpus.storage import Corpus
from mmt.representation.codes import PAPER
from mmt.representation.notes import LeftOutWarning, NoteTable, note_table, raw_notes

TINY = sorted(Path("data/tiny").glob("*.mid"))


def table_of(path: Path) -> NoteTable:
    return note_table(raw_notes(mmt.read(path)))[0]


def rows_of(table: NoteTable) -> np.ndarray:
    """Notes as the original code stores them, with programs instead of instruments."""
    programs = np.array([instrument.program for instrument in PAPER.instruments])[table["instrument"] - 1]
    return np.stack([table["beat"], table["position"], table["pitch"], table["duration"], programs], axis=1).astype(int)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three real pieces: arrays, a table with a header in its own folder, and one with every kind of note that is left out."""
    notes = tmp_path / "processed" / "notes"
    (notes / "songs").mkdir(parents=True)
    first, second, third = (rows_of(table_of(path)) for path in TINY)
    np.save(notes / "No. 1.npy", first)
    header = "beat,position,pitch,duration,program"
    np.savetxt(notes / "songs" / "two.csv", second, fmt="%d", delimiter=",", header=header, comments="")
    # Sorted by program, with duplicates, durations of 0, and programs without an instrument.
    mess = np.concatenate([third, third[:3], third[:5] * [1, 1, 1, 1, 0] + [0, 0, 0, 0, 120]])
    np.save(notes / "three.npy", mess[np.argsort(mess[:, 4], kind="stable")])
    (notes / "encoding.json").write_text(json.dumps({"resolution": 12, "max_beat": 1024}))
    (notes.parent / "train-names.txt").write_text("No. 1\nsongs/two\n")
    (notes.parent / "valid-names.txt").write_text("three\n\n")
    (notes.parent / "test-names.txt").write_text("")
    return notes.parent


messy = pytest.mark.filterwarnings("ignore::mmt.representation.notes.LeftOutWarning")


@messy
def test_an_original_folder_opens_as_a_corpus(folder: Path) -> None:
    corpus = Corpus(folder)
    assert [(piece.name, piece.split) for piece in corpus.pieces] == [
        ("No. 1", "train"), ("songs/two", "train"), ("three", "valid"),
    ]  # fmt: skip
    for events, path in zip(corpus, TINY, strict=True):
        assert np.array_equal(events, mmt.encode(mmt.read(path)))
    assert [piece.name for piece in Corpus(folder, split="valid").pieces] == ["three"]
    assert [piece.name for piece in Corpus(folder, split="train", exclude=["songs/*"]).pieces] == ["No. 1"]
    with pytest.raises(ValueError, match="no piece in its test split"):
        Corpus(folder, split="test")


@messy
def test_a_duration_of_zero_becomes_one_step(folder: Path) -> None:
    rows = np.load(folder / "notes" / "three.npy")
    rows[:, 3] = 0
    np.save(folder / "notes" / "three.npy", rows)
    assert (Corpus(folder, split="valid").notes(0)["duration"] == 1).all()


@messy
def test_the_resolution_is_read_from_the_encoding(folder: Path) -> None:
    (folder / "notes" / "encoding.json").write_text('{"resolution": 24}')
    corpus = Corpus(folder)
    assert corpus.representation == mmt.Representation.slides()
    assert np.array_equal(corpus.notes(0)["position"], table_of(TINY[0])["position"])


def test_dropped_notes_raise_a_warning(folder: Path) -> None:
    said = "3,124 of 3,132 notes kept; left out: 5 notes of programs without an instrument, 3 doubled notes"
    with pytest.warns(LeftOutWarning, match=f"processed: {said}"):
        Corpus(folder)


def test_missing_and_broken_pieces_are_skipped_with_a_warning(folder: Path) -> None:
    (folder / "notes" / "No. 1.npy").write_bytes(b"no array")
    (folder / "notes" / "three.npy").unlink()
    with pytest.warns(LeftOutWarning, match=r"2 of 3 pieces skipped; the first, No\. 1: "):
        corpus = Corpus(folder)
    assert [piece.name for piece in corpus.pieces] == ["songs/two"]
    (folder / "notes" / "songs" / "two.csv").write_text("beat,position\n0,0\n")
    with pytest.raises(ValueError, match="none of 3 pieces is usable; the first, "):
        Corpus(folder)
    (folder / "notes" / "encoding.json").write_text("[]")
    with pytest.raises(ValueError, match="corrupt: it is not JSON with a resolution"):
        Corpus(folder)
