from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from limited import full_disk

from mmt.studio import pieces
from mmt.studio.pieces import ConflictError, Piece, Store

EMPTY = np.array([[0] * 6, [4, 0, 0, 0, 0, 0]])


def numbered(number: int) -> np.ndarray:
    return np.array([[0] * 6, [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0], [3, 1, 1, number, 12, 25], [4, 0, 0, 0, 0, 0]])


def new_piece(store: Store) -> Piece:
    return store.create(EMPTY, {"what": "begun"}, title="A", parts=["violin"])


def test_versions_survive_a_restart(tmp_path: Path) -> None:
    piece = new_piece(Store(tmp_path))
    piece.add(numbered(60), {"what": "written"}, title="<b>B</b>", tempo=72.0)
    piece.set_alternative(1, numbered(61), {"what": "rewritten"})
    again = Store(tmp_path).get(piece.id)
    assert (again.version.title, again.version.tempo, again.current) == ("<b>B</b>", 72.0, 1)
    assert (again.events() == numbered(60)).all()
    assert (again.alternative(1) == numbered(61)).all()
    assert (again.events(0) == EMPTY).all()


def test_a_new_version_after_undo_removes_the_undone_ones(tmp_path: Path) -> None:
    piece = new_piece(Store(tmp_path))
    for pitch in (60, 61, 62):
        piece.add(numbered(pitch), {"what": "edited"})
    piece.go(1)
    assert piece.events()[3, 3] == 60
    piece.add(numbered(70), {"what": "edited"})
    assert [piece.events(place)[-2, 3] for place in range(1, 3)] == [60, 70]
    assert len(list(piece.folder.glob("version-*.npy"))) == len(piece.versions) == 3


def test_the_number_of_versions_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MOST_VERSIONS", 3)
    piece = new_piece(Store(tmp_path))
    for pitch in range(60, 70):
        piece.add(numbered(pitch), {"what": "edited"})
    assert [piece.events(place)[3, 3] for place in range(3)] == [67, 68, 69]
    assert len(list(piece.folder.glob("version-*.npy"))) == 3


def test_a_change_of_an_older_state_is_refused(tmp_path: Path) -> None:
    piece = new_piece(Store(tmp_path))
    before = piece.revision
    piece.add(numbered(60), {"what": "edited"})
    with pytest.raises(ConflictError, match="another tab"):
        piece.check(before)


def test_a_broken_folder_is_ignored_and_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good, bad = new_piece(store), new_piece(store)
    (bad.folder / "piece.json").write_text("{")
    (store.folder / "notes").mkdir()
    assert [one.id for one in Store(tmp_path).latest()] == [good.id]
    assert bad.folder.is_dir()


def test_files_can_be_read_by_their_owner_only(tmp_path: Path) -> None:
    piece = new_piece(Store(tmp_path))
    assert all(path.stat().st_mode & 0o077 == 0 for path in piece.folder.iterdir())


def test_the_number_of_pieces_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MOST_PIECES", 2)
    store = Store(tmp_path)
    new_piece(store)
    second = new_piece(store)
    with pytest.raises(ValueError, match="delete some"):
        new_piece(store)
    store.delete(second.id)
    new_piece(store)


@pytest.mark.parametrize("room", [0, 200])
def test_a_full_disk_changes_neither_the_history_nor_its_files(tmp_path: Path, room: int) -> None:
    store = Store(tmp_path)
    piece = new_piece(store)
    for pitch in (60, 61):
        piece.add(numbered(pitch), {"what": "edited"})
    piece.go(1)
    before, files = vars(piece).copy(), sorted(path.name for path in piece.folder.iterdir())
    with full_disk(room):
        for change in (
            lambda: piece.add(numbered(62), {"what": "edited"}),
            lambda: piece.go(0),
            lambda: new_piece(store),
        ):
            with pytest.raises(OSError, match="cannot write "):
                change()
    assert vars(piece) == before
    assert sorted(path.name for path in piece.folder.iterdir()) == files
    assert [path.name for path in store.folder.iterdir()] == [piece.id]
    again = Store(tmp_path).get(piece.id)
    assert [again.events(place)[-2, 3] for place in range(1, 3)] == [60, 61]


def test_a_full_disk_keeps_the_alternatives(tmp_path: Path) -> None:
    piece = new_piece(Store(tmp_path))
    piece.set_alternative(1, numbered(61), {"what": "rewritten"})
    with full_disk(0), pytest.raises(OSError, match="cannot write "):
        piece.drop_alternatives()
    for known in (piece, Store(tmp_path).get(piece.id)):
        assert (known.alternative(1) == numbered(61)).all()
