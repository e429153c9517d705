"""A corpus folder from a stranger is opened, or refused with one line that names its file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmt.corpus.prepare import prepare
from mmt.corpus.splits import read_names, read_works
from mmt.corpus.storage import Corpus
from mmt.representation.notes import NOTE_DTYPE


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "corpus"
    prepare(sorted(tiny.glob("*.mid"))[:3], folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "corpus"))


def refused(folder: Path) -> str:
    with pytest.raises((ValueError, OSError)) as caught:
        list(Corpus(folder))
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    assert len(message) < 1000
    return message


@pytest.mark.parametrize("column", ["name", "offset", "length", "beats", "instruments", "split", "source", "sha256"])
def test_a_missing_column_is_named(folder: Path, column: str) -> None:
    path = folder / "pieces.csv"
    path.write_text(path.read_text().replace(column, "other", 1))
    assert f"has no column {column!r}" in refused(folder)


@pytest.mark.parametrize("column", ["offset", "length", "beats"])
@pytest.mark.parametrize("value", ["-1", "", "x", "1.5", "9" * 30, "9" * 5000])
def test_a_number_out_of_range_is_refused(folder: Path, column: str, value: str) -> None:
    path = folder / "pieces.csv"
    head, row, *rest = path.read_text().splitlines()
    cells = row.split(",")
    cells[head.split(",").index(column)] = value
    path.write_text("\n".join([head, ",".join(cells), *rest]))
    refused(folder)


@pytest.mark.parametrize(
    "content", [b"", b"\0\0", b"\xff\xfe", b"name,offset\n", b'"' + b"x" * 200_000, b"name,offset,length,beats\na"]
)
def test_an_invalid_pieces_table_is_refused(folder: Path, content: bytes) -> None:
    (folder / "pieces.csv").write_bytes(content)
    refused(folder)


def test_an_unknown_split_is_refused(folder: Path) -> None:
    path = folder / "pieces.csv"
    path.write_text(path.read_text().replace(",train,", ",other,"))
    assert "there is no split 'other'" in refused(folder)


def save(path: Path, array: Any) -> None:
    np.save(path, array, allow_pickle=True)


@pytest.mark.parametrize(
    "array",
    [
        np.empty(0, NOTE_DTYPE),
        np.empty((3000, 2), NOTE_DTYPE),
        np.zeros((3000, 5), np.int64),
        np.array([{"a": 1}], object),
        np.array(7),
    ],
)
def test_notes_of_another_dtype_or_shape_are_refused(folder: Path, array: Any) -> None:
    save(folder / "notes.npy", array)
    refused(folder)


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\3\4",
        b"\x93NUMPY",
        header("-" * 9000 + "1"),
        header("(" * 9000),
        header("{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,)}"),
        header("{'descr': '<i8', 'fortran_order': False, 'shape': (-1,)}"),
        header("__import__('os').system('true')"),
    ],
)
def test_an_invalid_array_of_notes_is_refused(folder: Path, content: bytes) -> None:
    (folder / "notes.npy").write_bytes(content)
    refused(folder)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("beat", -1),
        ("position", 12),
        ("pitch", 128),
        ("duration", 0),
        ("duration", -5),
        ("instrument", 0),
        ("instrument", 65),
    ],
)
def test_a_note_out_of_range_is_refused_when_its_piece_is_read(folder: Path, column: str, value: int) -> None:
    notes = np.load(folder / "notes.npy")
    notes[column][100] = value
    save(folder / "notes.npy", notes)
    assert f"the {column} of a note of" in refused(folder)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "[" * 100_000, '{"format_version": 1}', '{"format_version": 1, "representation": 5}']
)
def test_an_invalid_description_is_refused(folder: Path, content: str) -> None:
    (folder / "corpus.json").write_text(content)
    refused(folder)


def original(folder: Path, name: str = "a", **files: bytes) -> Path:
    (folder / "notes").mkdir(parents=True)
    (folder / "train-names.txt").write_text(f"{name}\n")
    np.save(folder / "notes" / "a.npy", np.array([[0, 0, 60, 12, 40]]))
    for file, content in files.items():
        (folder / "notes" / file.replace("_", ".")).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "b/../../secret"])
def test_names_of_the_original_code_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "secret.npy", np.array([[0, 0, 60, 12, 40]]))
    assert len(Corpus(original(tmp_path / "good"))) == 1
    assert "outside the folder" in refused(original(tmp_path / "data", name))


def test_a_file_that_is_listed_often_is_read_once(tmp_path: Path) -> None:
    folder = original(tmp_path / "data")
    (folder / "train-names.txt").write_text("a\n./a\na \n" * 100)
    assert len(Corpus(folder)) == 1


@pytest.mark.parametrize(
    "files",
    [
        {"encoding_json": b'{"resolution": "x"}'},
        {"encoding_json": b'{"resolution": 1e99}'},
        {"encoding_json": b"[" * 100_000},
        {"a_npy": header("{'descr': '<i8', 'fortran_order': False, 'shape': (100000000000, 5)}")},
        {"a_npy": header("-" * 9000 + "1")},
    ],
)
def test_hostile_folders_of_the_original_code_are_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    refused(original(tmp_path / "data", **files))


def test_numbers_of_the_original_code_do_not_wrap(tmp_path: Path) -> None:
    folder = original(tmp_path / "data")
    np.save(folder / "notes" / "a.npy", np.array([[2**62, 0, 60, 12, 40]]))
    assert "not between" in refused(folder)


def test_lists_and_tables_that_are_not_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"\xff\n")
    with pytest.raises(ValueError, match="list is not a list of names in UTF-8"):
        read_names(tmp_path / "list")
    with pytest.raises(ValueError, match="list is not a CSV table in UTF-8"):
        read_works(tmp_path / "list")


def test_a_well_formed_corpus_opens(folder: Path) -> None:
    description = json.loads((folder / "corpus.json").read_text())
    assert description["format_version"] == 1
    assert len(list(Corpus(folder))) == 3
