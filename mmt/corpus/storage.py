"""A prepared corpus on disk: `notes.npy` (memory-mapped), `pieces.csv`, `report.json`, `corpus.json`.

`notes.npy` holds the note tables (dtype `NOTE_DTYPE`) of all pieces, concatenated. Each row of `pieces.csv` gives the
offset, the length and the origin of a piece.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, fields
from fnmatch import translate
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, overload

import numpy as np

from mmt.corpus.original_folder import is_original_folder, read_original_folder
from mmt.corpus.splits import SPLITS
from mmt.music.bounded import LARGEST_JSON, map_array, parse_json, read_file, read_table
from mmt.representation.codes import PITCHES, Events, Representation
from mmt.representation.encode import events_of_notes
from mmt.representation.notes import NOTE_DTYPE, LeftOutWarning, NoteTable
from mmt.representation.origin import remember

FORMAT_VERSION = 1
# The largest beat, duration or number of notes: such numbers are 32-bit integers.
_MOST = 2**31 - 1
# Of the table of pieces: rows and bytes.
_MOST_PIECES, _LARGEST_TABLE = 20_000_000, 2**32
NOTES, PIECES, REPORT, CORPUS = "notes.npy", "pieces.csv", "report.json", "corpus.json"


@dataclass(frozen=True)
class Piece:
    """A row of `pieces.csv`: the place of a piece's notes in `notes.npy`, and its origin."""

    name: str
    """Path below the source that was given."""
    offset: int
    """Index of its first note in `notes.npy`."""
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
    """SHA-256 of the file that it was read from, in hexadecimal."""
    composer: str = ""


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
            return [self[place] for place in range(*index.indices(len(self)))]
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

    def notes(self, index: int) -> NoteTable:
        """The note table of piece `index`, a view of the memory map.

        Raises
        ------
        ValueError
            If a number in it is out of range.
        """
        piece = self.pieces[index]
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
        """The corpus of some pieces, in the given order; it shares the notes with this one.

        Parameters
        ----------
        indices : iterable of int
            Indices of pieces, as in `corpus[i]`; an index may be given more than once.

        Examples
        --------
        >>> short = corpus.subset(i for i, piece in enumerate(corpus.pieces) if piece.beats < 64)  # doctest: +SKIP
        """
        chosen = copy(self)
        chosen.pieces = [self.pieces[index] for index in indices]
        return chosen


class Patterns:
    """Patterns that select pieces (`*` matches anything, case is ignored); each must match at least one piece.

    >>> patterns = Patterns(["*chopin*"])
    >>> patterns.match("mazurka.mid", "Chopin, Frédéric"), patterns.match("mazurka.mid", "")
    (True, False)
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._matchers = {pattern: re.compile(translate(pattern), re.IGNORECASE).match for pattern in patterns}
        self._unused = dict.fromkeys(patterns)

    def match(self, *texts: str) -> bool:
        """Whether a pattern matches one of the texts: the name, source, licence and composer of a piece."""
        used = [pattern for pattern, matches in self._matchers.items() if any(map(matches, texts))]
        for pattern in used:
            self._unused.pop(pattern, None)
        return bool(used)

    def check(self, where: str, verb: str = "excludes", hint: str = "") -> None:
        """Raise a `ValueError` if a pattern has matched nothing so far.

        The message says what the patterns do (`verb`), where they were searched, and what else to try (`hint`).
        """
        for pattern in self._unused:
            near = "" if "*" in pattern else f"; {f'*{glob.escape(pattern)}*'!r} matches a part of one"
            raise ValueError(
                f"{pattern!r} {verb} nothing: no name, source, licence or composer in {where} matches it{near}{hint}"
            )


@cache
def _limits(representation: Representation) -> dict[str, tuple[int, int]]:
    """The least and the largest number of each column of a note table."""
    return {
        "beat": (0, _MOST),
        "position": (0, representation.resolution - 1),
        "pitch": (0, PITCHES - 1),
        "duration": (1, _MOST),
        "instrument": (1, len(representation.names)),
    }


def _open_folder(folder: Path) -> tuple[Representation, NoteTable, list[Piece]]:
    description = _description(folder)
    try:
        representation = Representation.from_dict(description["representation"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / CORPUS} is corrupt: {error}; prepare the corpus again") from error
    notes = map_array(folder / NOTES)
    if notes.dtype != NOTE_DTYPE or notes.ndim != 1:
        raise ValueError(f"{folder / NOTES} does not hold notes of this format; prepare the corpus again")
    return representation, notes, _read_pieces(folder / PIECES)


def _open_original_folder(folder: Path) -> tuple[Representation, NoteTable, list[Piece]]:
    found = read_original_folder(folder)
    messages = [str(found.report)] if found.report.dropped.total() else []
    if found.skipped:
        name, reason = next(iter(found.skipped.items()))
        total = len(found.skipped) + len(found.pieces)
        messages.insert(0, f"{len(found.skipped)} of {total} pieces skipped; the first, {name}: {reason}")
    if messages:
        warnings.warn(f"{folder}: {'; '.join(messages)}", LeftOutWarning, stacklevel=3)
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
    """Write `pieces.csv`; the pieces are consumed one by one."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Piece)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(vars, pieces))


def write_description(path: Path, representation: Representation) -> None:
    """Write `corpus.json`."""
    description = {"format_version": FORMAT_VERSION, "representation": representation.to_dict()}
    path.write_text(json.dumps(description, indent=1) + "\n")


def _read_pieces(path: Path) -> list[Piece]:
    names = [field.name for field in fields(Piece)]
    rows = read_table(read_file(path, _LARGEST_TABLE), str(path), names[:-1], names[-1:], limit=_MOST_PIECES)
    pieces = []
    for line, row in enumerate(rows, start=2):
        values: dict[str, Any] = dict(zip(names, row, strict=True))
        try:
            numbers = {name: int(values[name]) for name in ("offset", "length", "beats")}
        except ValueError as error:
            raise ValueError(f"{path} is corrupt in row {line}: {error}; prepare the corpus again") from error
        if numbers["offset"] < 0 or not all(1 <= numbers[name] <= _MOST for name in ("length", "beats")):
            raise ValueError(f"{path} is corrupt in row {line}: {numbers} is out of range; prepare the corpus again")
        if values["split"] not in SPLITS:
            raise ValueError(f"{path} is corrupt in row {line}: there is no split {values['split'][:40]!r}")
        pieces.append(Piece(**values | numbers))
    return pieces


def _description(folder: Path) -> dict[str, Any]:
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
    return description
