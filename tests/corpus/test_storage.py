"""Opening a corpus and its splits, and errors for folders that are not a corpus."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_corpora import tiny_tables, write_corpus

from mmt.corpus.storage import Corpus
from mmt.representation.codes import Representation
from mmt.representation.grammar import is_valid


def test_the_hash_of_a_corpus_depends_on_its_notes_and_representation(tmp_path: Path) -> None:
    tables = {name: ("train" if name < "g" else "valid", notes) for name, notes in tiny_tables().items()}
    corpus = Corpus(write_corpus(tmp_path / "one", tables))
    assert corpus.sha256 == Corpus(write_corpus(tmp_path / "same", tables)).sha256
    moved = {name: (split, notes.copy()) for name, (split, notes) in tables.items()}
    next(iter(moved.values()))[1]["pitch"][0] += 1
    others = [
        corpus.subset([0]),
        Corpus(tmp_path / "one", split="valid"),
        Corpus(write_corpus(tmp_path / "moved", moved)),
        Corpus(write_corpus(tmp_path / "other", tables, Representation.slides())),
    ]
    assert len({corpus.sha256, *(other.sha256 for other in others)}) == 5


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


def test_a_slice_is_a_list_of_pieces(corpus: Corpus) -> None:
    for found, place in zip(corpus[-2:], range(len(corpus) - 2, len(corpus)), strict=True):
        np.testing.assert_array_equal(found, corpus[place])


def test_a_subset_holds_the_chosen_pieces_in_order_and_leaves_the_corpus_as_it_was(corpus: Corpus) -> None:
    before = list(corpus.pieces)
    chosen = corpus.subset([2, 0, 2])
    assert [piece.name for piece in chosen.pieces] == [before[2].name, before[0].name, before[2].name]
    for events, place in zip(chosen, (2, 0, 2), strict=True):
        np.testing.assert_array_equal(events, corpus[place])
    assert corpus.pieces == before


def test_notes_are_mapped_not_read(corpus: Corpus) -> None:
    assert isinstance(corpus.notes(0).base, np.memmap) or isinstance(corpus.notes(0), np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        corpus.notes(0)["pitch"][0] = 1


@pytest.fixture
def copy(corpus: Corpus, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus.folder, tmp_path / "copy"))


def test_a_folder_without_a_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"is not a prepared corpus \(it has no corpus.json\); make one with mmt-prepare"
    ):
        Corpus(tmp_path)


def test_another_version_is_refused(copy: Path) -> None:
    description = json.loads((copy / "corpus.json").read_text())
    (copy / "corpus.json").write_text(json.dumps(description | {"format_version": 2}))
    with pytest.raises(ValueError, match="format version 2; this mmt reads 1: prepare it again"):
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


def test_truncated_notes_and_other_dtypes_are_refused(copy: Path) -> None:
    notes = np.load(copy / "notes.npy")
    np.save(copy / "notes.npy", notes[:-1])
    with pytest.raises(ValueError, match=f"has {len(notes) - 1} notes, its pieces need {len(notes)}"):
        Corpus(copy)
    np.save(copy / "notes.npy", np.zeros(10))
    with pytest.raises(ValueError, match="does not hold notes of this format"):
        Corpus(copy)


@pytest.fixture
def labelled(copy: Path) -> Path:
    """The four pieces, each with its own origin; the second is in the validation split."""
    lines = (copy / "pieces.csv").read_text().splitlines()
    origins = [
        {"source": "here", "licence": "CC0-1.0", "composer": "Lied, Ada"},
        {"source": "here", "licence": "CC-BY-4.0", "composer": "Bird, Bo"},
        {"source": "there", "licence": "CC-BY-4.0", "composer": "Lied, Ada"},
        {"source": "there", "licence": "", "composer": ""},
    ]
    rows = list(csv.DictReader(lines))
    for place, (row, origin) in enumerate(zip(rows, origins, strict=True)):
        row |= {**origin, "name": f"{place}.mid", "split": "valid" if place == 1 else "train"}
    with (copy / "pieces.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return copy


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ([], "0123"),
        (["there"], "01"),
        (["CC-BY-*"], "03"),
        (["lied*"], "13"),
        (["[23].mid"], "01"),
        (["here", "3.mid"], "2"),
    ],
)
def test_a_name_source_licence_or_composer_can_be_left_out(labelled: Path, exclude: list[str], left: str) -> None:
    corpus = Corpus(labelled, exclude=exclude)
    assert [piece.name for piece in corpus.pieces] == [f"{place}.mid" for place in left]
    whole = Corpus(labelled)
    for place, piece in enumerate(corpus.pieces):
        np.testing.assert_array_equal(corpus[place], whole[whole.pieces.index(piece)])


def test_a_pattern_must_match_a_piece_of_any_split(labelled: Path) -> None:
    assert len(Corpus(labelled, split="valid", exclude=["there"])) == 1
    with pytest.raises(ValueError, match=r"'lied' excludes nothing: no name, .* matches it; '\*lied\*' matches a part"):
        Corpus(labelled, exclude=["here", "lied"])
    with pytest.raises(ValueError, match=r"'\[lied\]' excludes nothing.*'\*\[\[\]lied\]\*'"):
        Corpus(labelled, exclude=["[lied]"])
    with pytest.raises(ValueError, match="'CC2' excludes nothing"):
        Corpus(labelled, split="train", exclude=["CC2"])
    with pytest.raises(ValueError, match="has no piece left in its valid split"):
        Corpus(labelled, split="valid", exclude=["here"])
    with pytest.raises(ValueError, match=r"has no piece left$"):
        Corpus(labelled, exclude=["*here"])


def test_a_corpus_without_composers_opens(copy: Path) -> None:
    rows = [row | {"composer": ""} for row in csv.DictReader((copy / "pieces.csv").read_text().splitlines())]
    with (copy / "pieces.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [name for name in rows[0] if name != "composer"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    assert {piece.composer for piece in Corpus(copy).pieces} == {""}
