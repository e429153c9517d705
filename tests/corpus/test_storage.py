"""Opening a corpus: its splits, and what is wrong with a folder that is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmt.corpus.storage import Corpus
from mmt.representation.grammar import is_valid


def test_splits_divide_a_corpus(corpus: Corpus) -> None:
    parts = [Corpus(corpus.folder, split=split) for split in ("train", "valid", "test")]
    assert sum(map(len, parts)) == len(corpus)
    names = [piece.name for part in parts for piece in part.pieces]
    assert sorted(names) == sorted(piece.name for piece in corpus.pieces)
    by_name = {piece.name: corpus[place] for place, piece in enumerate(corpus.pieces)}
    for part in parts:
        for piece, events in zip(part.pieces, part, strict=True):
            assert is_valid(events)
            np.testing.assert_array_equal(events, by_name[piece.name])


def test_notes_are_mapped_not_read(corpus: Corpus) -> None:
    assert isinstance(corpus.notes(0).base, np.memmap) or isinstance(corpus.notes(0), np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        corpus.notes(0)["pitch"][0] = 1


@pytest.fixture
def copy(corpus: Corpus, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus.folder, tmp_path / "copy"))


def test_no_corpus_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is no prepared corpus \(it has no corpus.json\); make one with mmt-prepare"):
        Corpus(tmp_path)


def test_another_version_is_refused(copy: Path) -> None:
    description = json.loads((copy / "corpus.json").read_text())
    (copy / "corpus.json").write_text(json.dumps(description | {"format_version": 2}))
    with pytest.raises(ValueError, match="format version 2; this mmt reads 1: prepare it anew"):
        Corpus(copy)


def test_an_empty_split_and_an_unknown_one_are_refused(copy: Path) -> None:
    rows = (copy / "pieces.csv").read_text().replace(",test,", ",train,")
    (copy / "pieces.csv").write_text(rows)
    with pytest.raises(ValueError, match="has no piece in its test split; prepare it of more works"):
        Corpus(copy, split="test")
    with pytest.raises(ValueError, match="split 'validation' is unknown; choose one of train, valid, test"):
        Corpus(copy, split="validation")
    (copy / "pieces.csv").write_text(rows.splitlines()[0] + "\n")
    with pytest.raises(ValueError, match="has no piece"):
        Corpus(copy)


def test_notes_that_are_cut_off_or_of_another_kind_are_refused(copy: Path) -> None:
    notes = np.load(copy / "notes.npy")
    np.save(copy / "notes.npy", notes[:-1])
    with pytest.raises(ValueError, match=f"has {len(notes) - 1} notes, its pieces need {len(notes)}"):
        Corpus(copy)
    np.save(copy / "notes.npy", np.zeros(10))
    with pytest.raises(ValueError, match="holds no notes of this format"):
        Corpus(copy)
