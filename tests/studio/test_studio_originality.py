"""Originality in the studio: a studio with the corpus of data/tiny, in which Franz's song is a training piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from small_corpora import write_tiny_corpus
from studio_client import TOKEN, Studio, studio_of

from mmt.analysis.originality import compare
from mmt.sampling.model import Model

SONG = "franz_fuer_einen.mid"


@pytest.fixture(scope="module")
def checking(shipped_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("studio")
    for made in studio_of(shipped_model, folder):
        made.context.corpus = write_tiny_corpus(folder / "corpus")
        yield made


def check(studio: Studio, piece: Any) -> Any:
    return studio.post(f"pieces/{piece['id']}/originality")


def with_notes(studio: Studio, piece: Any, rows: list[list[int]]) -> Any:
    """The piece with further notes, added by hand."""
    return studio.post(f"pieces/{piece['id']}/notes", revision=piece["revision"], add=rows)


def test_a_copy_of_a_training_piece_in_another_key_stands_out(checking: Studio) -> None:
    song = checking.open(SONG)["score"]["notes"]
    empty = checking.get(f"pieces/{checking.new('piano', 'voice')}")
    copied = with_notes(checking, empty, [[onset, length, pitch + 2, code] for onset, length, pitch, code in song])
    found = check(checking, copied)
    assert found["stands_out"]
    assert "as in franz_fuer_einen" in found["text"]
    assert "transposed by +2" in found["text"]
    assert "compared: all notes" in found["text"]


def test_notes_of_the_opened_file_are_left_out_once_there_are_others(checking: Studio) -> None:
    opened = checking.open(SONG)
    assert check(checking, opened)["stands_out"]
    row = opened["score"]["notes"][-1]
    added = with_notes(checking, opened, [[row[0] + 12 * step, 7, 60 + step * step, row[3]] for step in (2, 3, 5)])
    found = check(checking, added)
    assert not found["stands_out"]
    assert "compared: 3 notes" in found["text"]


def test_the_version_that_is_shown_is_compared(checking: Studio) -> None:
    song = checking.open(SONG)["score"]["notes"]
    piece = checking.get(f"pieces/{checking.new('piano')}")
    plain = with_notes(checking, piece, [[0, 12, 60, song[0][3]]])
    copied = with_notes(checking, plain, song)
    assert check(checking, copied)["stands_out"]
    checking.post(f"pieces/{piece['id']}/go", version=copied["current"] - 1)
    assert not check(checking, piece)["stands_out"]


def test_it_tells_what_the_library_finds(checking: Studio) -> None:
    opened = checking.open(SONG)
    piece, corpus = checking.context.store.get(opened["id"]), checking.context.corpus
    assert corpus is not None
    found = compare([piece.events()], corpus, representation=checking.context.representation)
    assert str(found.pieces[0]) in check(checking, opened)["text"]


def test_an_empty_piece_is_not_compared(checking: Studio) -> None:
    piece = checking.new("piano")
    response = checking.client.post(f"/{TOKEN}/api/pieces/{piece}/originality")
    assert response.status_code == 400
    assert "no notes yet" in response.json()["error"]
