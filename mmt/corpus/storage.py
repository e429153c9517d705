"""A prepared corpus on disk: `notes.npy` (memory-mapped), `pieces.csv`, `report.json`, `corpus.json`.

`notes.npy` holds the note tables (dtype `NOTE_DTYPE`) of all pieces one behind the other; a row of `pieces.csv` says
where a piece begins, how long it is, and where it comes from.
"""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any, overload

import numpy as np

from mmt.corpus.original_folder import is_original_folder, read_original_folder
from mmt.corpus.patterns import Patterns
from mmt.corpus.splits import SPLITS
from mmt.representation.codes import Events, Representation
from mmt.representation.encode import events_of_notes
from mmt.representation.notes import NOTE_DTYPE, LeftOutWarning, NoteTable

FORMAT_VERSION = 1
NOTES, PIECES, REPORT, CORPUS = "notes.npy", "pieces.csv", "report.json", "corpus.json"


@dataclass(frozen=True)
class Piece:
    """A row of `pieces.csv`: where a piece's notes lie, and where it comes from."""

    name: str
    offset: int
    length: int
    """Number of notes."""
    beats: int
    """1 + the beat of the last onset."""
    instruments: str
    """Names, separated by spaces."""
    split: str
    source: str
    licence: str
    sha256: str
    """Of the file that it was read from."""
    composer: str = ""


class Corpus:
    """A prepared corpus, or one of its splits: a sequence of pieces.

    `corpus[i]` is piece i as events (n, 6); `corpus.notes(i)` its note table, a view of the memory map.
    """

    def __init__(self, folder: str | PathLike[str], *, split: str | None = None, exclude: Sequence[str] = ()) -> None:
        """Open a folder that `mmt-prepare` made, or one that the original code prepared (which is read into memory).

        Parameters
        ----------
        folder : path
        split : str, optional
            Only the pieces of "train", "valid" or "test".
        exclude : sequence of str
            Patterns (`*` for anything, capitals or not); a piece whose name, source, licence or composer matches one is
            left out. Each must match a piece of the corpus, in whatever split.

        Raises
        ------
        ValueError
            If the folder is no corpus, of another format version, or has no piece left; if a pattern matches nothing.
        """
        self.folder = Path(folder)
        if not (self.folder / CORPUS).exists() and is_original_folder(self.folder):
            self.representation, self._notes, pieces = _open_original_folder(self.folder)
        else:
            self.representation, self._notes, pieces = _open_folder(self.folder)
        if split is not None and split not in SPLITS:
            raise ValueError(f"split {split!r} is unknown; choose one of {', '.join(SPLITS)}")
        patterns = Patterns(exclude)
        left_out = [patterns.match(piece.name, piece.source, piece.licence, piece.composer) for piece in pieces]
        patterns.check(str(self.folder / PIECES))
        self.pieces = [
            piece for piece, out in zip(pieces, left_out, strict=True) if split in (None, piece.split) and not out
        ]
        if not self.pieces:
            where = (
                f" in its {split} split; prepare it of more works, or take another split (--split, all for all)"
                if split
                else ""
            )
            raise ValueError(f"{self.folder} has no piece{' left' if exclude else ''}{where}")
        if (end := max(piece.offset + piece.length for piece in pieces)) > len(self._notes):
            raise ValueError(
                f"{self.folder / NOTES} has {len(self._notes)} notes, its pieces need {end}; prepare it anew"
            )

    def __len__(self) -> int:
        return len(self.pieces)

    @overload
    def __getitem__(self, index: int) -> Events: ...
    @overload
    def __getitem__(self, index: slice) -> list[Events]: ...
    def __getitem__(self, index: int | slice) -> Events | list[Events]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        return events_of_notes(self.notes(index), self.representation)

    def __iter__(self) -> Iterator[Events]:
        return (self[index] for index in range(len(self)))

    def notes(self, index: int) -> NoteTable:
        """The note table of piece `index`."""
        piece = self.pieces[index]
        notes: NoteTable = self._notes[piece.offset : piece.offset + piece.length]
        return notes


def _open_folder(folder: Path) -> tuple[Representation, NoteTable, list[Piece]]:
    representation = Representation.from_dict(_description(folder)["representation"])
    notes = np.load(folder / NOTES, mmap_mode="r")
    if notes.dtype != NOTE_DTYPE:
        raise ValueError(f"{folder / NOTES} holds no notes of this format; prepare the corpus anew")
    return representation, notes, _read_pieces(folder / PIECES)


def _open_original_folder(folder: Path) -> tuple[Representation, NoteTable, list[Piece]]:
    found = read_original_folder(folder)
    said = [str(found.report)] if found.report.dropped.total() else []
    if found.skipped:
        name, reason = next(iter(found.skipped.items()))
        total = len(found.skipped) + len(found.pieces)
        said.insert(0, f"{len(found.skipped)} of {total} pieces skipped; the first, {name}: {reason}")
    if said:
        warnings.warn(f"{folder}: {'; '.join(said)}", LeftOutWarning, stacklevel=3)
    ends = np.cumsum([len(piece.notes) for piece in found.pieces])
    rows = [
        Piece(
            name=piece.name,
            offset=int(end) - len(piece.notes),
            length=len(piece.notes),
            beats=1 + int(piece.notes["beat"].max()),
            instruments=" ".join(found.representation.names[code - 1] for code in np.unique(piece.notes["instrument"])),
            split=piece.split,
            source=folder.name,
            licence="",
            sha256=piece.sha256,
        )
        for piece, end in zip(found.pieces, ends, strict=True)
    ]
    return found.representation, np.concatenate([piece.notes for piece in found.pieces]), rows


def write_pieces(path: Path, pieces: Iterable[Piece]) -> None:
    """Write `pieces.csv`, piece by piece."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Piece)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(vars, pieces))


def write_description(path: Path, representation: Representation) -> None:
    """Write `corpus.json`."""
    description = {"format_version": FORMAT_VERSION, "representation": representation.to_dict()}
    path.write_text(json.dumps(description, indent=1) + "\n")


def _read_pieces(path: Path) -> list[Piece]:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Piece(**{**row, **{name: int(row[name]) for name in ("offset", "length", "beats")}})  # type: ignore[arg-type]
            for row in csv.DictReader(file)
        ]


def _description(folder: Path) -> dict[str, Any]:
    path = folder / CORPUS
    if not path.exists():
        raise ValueError(f"{folder} is no prepared corpus (it has no {CORPUS}); make one with mmt-prepare")
    description: dict[str, Any] = json.loads(path.read_text())
    if description.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{folder} is a corpus of format version {description.get('format_version')}; "
            f"this mmt reads {FORMAT_VERSION}: prepare it anew"
        )
    return description
