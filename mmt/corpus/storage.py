"""A prepared corpus on disk: `notes.npy` (memory-mapped), `pieces.csv`, `report.json`, `corpus.json`.

`notes.npy` holds the note tables (dtype `NOTE_DTYPE`) of all pieces, concatenated. Each row of `pieces.csv` gives the
offset, the length and the origin of a piece.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, overload

import numpy as np

from mmt.corpus.original_folder import is_original_folder, read_original_folder
from mmt.corpus.pieces import MOST, Patterns, Piece, read_pieces
from mmt.corpus.splits import SPLITS
from mmt.music.bounded import LARGEST_JSON, brief, map_array, parse_json, read_file
from mmt.representation.arguments import described, path_of, whole
from mmt.representation.codes import PITCHES, Events, Representation
from mmt.representation.encode import events_of_notes
from mmt.representation.notes import NOTE_DTYPE, NoteTable
from mmt.representation.origin import remember

FORMAT_VERSION = 1
NOTES, PIECES, REPORT, CORPUS = "notes.npy", "pieces.csv", "report.json", "corpus.json"


class Corpus:
    """A prepared corpus, or one of its splits: a sequence of pieces.

    `corpus[i]` is piece i as events (n, 6); `corpus.notes(i)` its note table, a view of the memory map.
    """

    def __init__(self, folder: str | PathLike[str], *, split: str | None = None, exclude: Sequence[str] = ()) -> None:
        """Open a folder written by `mmt-prepare`, or one prepared by the original code (which is read into memory).

        Parameters
        ----------
        folder : path
        split : str, optional
            "train", "valid" or "test". Default: all pieces.
        exclude : sequence of str
            Patterns (`*` matches anything, case is ignored). Pieces whose name, source, licence or composer matches one
            are left out. Each pattern must match at least one piece of the corpus, of any split.

        Raises
        ------
        ValueError
            If the folder is not a corpus, has another format version or no pieces left, or if a pattern matches nothing.
        """
        self.folder = path_of("folder", folder, "give the folder of a prepared corpus")
        if not (self.folder / CORPUS).exists() and is_original_folder(self.folder):
            self.representation, self._notes, pieces = read_original_folder(self.folder)
        else:
            self.representation, self._notes, pieces = _open_folder(self.folder)
        if split is not None and split not in SPLITS:
            raise ValueError(f"split {split!r} is unknown; choose one of {', '.join(SPLITS)}")
        patterns = Patterns(exclude)
        left = [piece for piece in pieces if not patterns.match(piece)]
        patterns.check(str(self.folder / PIECES))
        self.pieces = [piece for piece in left if split in (None, piece.split)]
        if not self.pieces:
            where = f" in its {split} split; prepare it of more works, or take another split (--split, all for all)"
            raise ValueError(f"{self.folder} has no piece{' left' if exclude else ''}{where if split else ''}")
        if (end := max(piece.offset + piece.length for piece in pieces)) > len(self._notes):
            raise ValueError(
                f"{self.folder / NOTES} has {len(self._notes)} notes, its pieces need {end}; prepare it again"
            )

    def __len__(self) -> int:
        return len(self.pieces)

    @overload
    def __getitem__(self, index: int) -> Events: ...
    @overload
    def __getitem__(self, index: slice) -> list[Events]: ...
    def __getitem__(self, index: int | slice) -> Events | list[Events]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        return remember(events_of_notes(self.notes(index), self.representation), self.representation)

    def __iter__(self) -> Iterator[Events]:
        return (self[index] for index in range(len(self)))

    @property
    def sha256(self) -> str:
        """A hash of the notes of all pieces, in their order, and of the representation; in hexadecimal."""
        digest = hashlib.sha256(json.dumps(self.representation.to_dict(), sort_keys=True).encode())
        for index in range(len(self)):
            notes = np.ascontiguousarray(self.notes(index))
            digest.update(len(notes).to_bytes(8, "little") + notes.tobytes())
        return digest.hexdigest()

    def sha256_of(self, index: int) -> str:
        """A hash of the notes of piece `index`, in hexadecimal. (`pieces[index].sha256` is that of its file.)"""
        return hashlib.sha256(self.notes(index).tobytes()).hexdigest()

    def notes(self, index: int) -> NoteTable:
        """The note table of piece `index`, a view of the memory map.

        A `ValueError` refuses a number that is out of range.
        """
        piece = self.pieces[self._place(index)]
        notes: NoteTable = self._notes[piece.offset : piece.offset + piece.length]
        for name, (least, most) in _limits(self.representation).items():
            column = notes[name]
            if column.min() < least or column.max() > most:
                raise ValueError(
                    f"{self.folder / NOTES} is corrupt: the {name} of a note of {piece.name!r} is not {least} to {most}; "
                    "prepare it again"
                )
        return notes

    def subset(self, indices: Iterable[int]) -> Corpus:
        """The corpus of the pieces with these indices, in the given order, also repeatedly; it shares the notes with this one.

        Examples
        --------
        >>> short = corpus.subset(i for i, piece in enumerate(corpus.pieces) if piece.beats < 64)  # doctest: +SKIP
        """
        chosen = copy(self)
        if isinstance(indices, str) or not isinstance(indices, Iterable):
            raise ValueError(f"indices is {described(indices)}; give a list of indices of pieces")
        chosen.pieces = [self.pieces[self._place(index)] for index in indices]
        if not chosen.pieces:
            raise ValueError("no indices were given; give at least one")
        return chosen

    def _place(self, index: int) -> int:
        """The index of a piece, checked. An index that is too large is an `IndexError`, as of a list."""
        if not -len(self) <= whole("index", index) < len(self):
            raise IndexError(f"index is {index}; {self.folder} has {len(self)} pieces here")
        return index


@cache
def _limits(representation: Representation) -> dict[str, tuple[int, int]]:
    """The least and the largest number of each column of a note table."""
    return {
        "beat": (0, MOST),
        "position": (0, representation.resolution - 1),
        "pitch": (0, PITCHES - 1),
        "duration": (1, MOST),
        "instrument": (1, len(representation.names)),
    }


def _open_folder(folder: Path) -> tuple[Representation, NoteTable, list[Piece]]:
    path = folder / CORPUS
    if not path.exists():
        raise ValueError(f"{folder} is not a prepared corpus (it has no {CORPUS}); make one with mmt-prepare")
    content = read_file(path, LARGEST_JSON)
    try:
        description: dict[str, Any] = parse_json(content)
        version = description["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is corrupt: JSON with a format_version was expected; prepare it again") from error
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{folder} is a corpus of format version {str(version)[:40]}; "
            f"this mmt reads {FORMAT_VERSION}: prepare it again"
        )
    try:
        representation = Representation.from_dict(description["representation"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is corrupt: {brief(error)}; prepare the corpus again") from error
    notes = map_array(folder / NOTES)
    if notes.dtype != NOTE_DTYPE or notes.ndim != 1:
        raise ValueError(f"{folder / NOTES} does not hold notes of this format; prepare the corpus again")
    return representation, notes, read_pieces(folder / PIECES)


def write_description(path: Path, representation: Representation) -> None:
    """Write `corpus.json`."""
    description = {"format_version": FORMAT_VERSION, "representation": representation.to_dict()}
    path.write_text(json.dumps(description, indent=1) + "\n")
