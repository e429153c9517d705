"""The table of a corpus, `pieces.csv`: a row for each piece, with its place in `notes.npy` and its origin."""

from __future__ import annotations

import csv
import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from fnmatch import translate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmt.corpus.splits import SPLITS
from mmt.music.bounded import brief, read_file, read_table
from mmt.representation.arguments import described
from mmt.representation.codes import Representation
from mmt.representation.notes import NoteTable

if TYPE_CHECKING:
    from mmt.corpus.sources import Source

# The largest number of notes or beats of a piece: such numbers are 32-bit integers.
MOST = 2**31 - 1
# Limits of the table: rows and bytes.
_MOST_PIECES, _LARGEST_TABLE = 20_000_000, 2**32


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


def names_of_instruments(notes: NoteTable, representation: Representation) -> str:
    """The instruments that play in a note table, as in `Piece.instruments`."""
    return " ".join(representation.names[code - 1] for code in np.flatnonzero(np.bincount(notes["instrument"])))


def write_pieces(path: Path, pieces: Iterable[Piece]) -> None:
    """Write `pieces.csv`; the pieces are consumed one by one."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Piece)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(vars, pieces))


def read_pieces(path: Path) -> list[Piece]:
    """Read `pieces.csv`; a row that is corrupt is a `ValueError`."""
    names = [field.name for field in fields(Piece)]
    rows = read_table(read_file(path, _LARGEST_TABLE), str(path), names[:-1], names[-1:], limit=_MOST_PIECES)
    pieces = []
    for line, row in enumerate(rows, start=2):
        values: dict[str, Any] = dict(zip(names, row, strict=True))
        try:
            numbers = {name: int(values[name]) for name in ("offset", "length", "beats")}
            if numbers["offset"] < 0 or not all(1 <= numbers[name] <= MOST for name in ("length", "beats")):
                raise ValueError(f"{numbers} is out of range")
            if values["split"] not in SPLITS:
                raise ValueError(f"there is no split {values['split'][:40]!r}")
        except ValueError as error:
            raise ValueError(f"{path} is corrupt in row {line}: {brief(error)}; prepare the corpus again") from error
        pieces.append(Piece(**values | numbers))
    return pieces


class Patterns:
    """Patterns that select pieces (`*` matches anything, case is ignored); each must match at least one piece.

    >>> from mmt.corpus.sources import Source
    >>> patterns = Patterns(["*chopin*"])
    >>> [patterns.match(Source("mazurka.mid", "", "", composer=name)) for name in ("Chopin, Frédéric", "")]
    [True, False]
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        if isinstance(patterns, str) or not isinstance(patterns, Iterable):
            raise ValueError(f"exclude is {described(patterns)}; give a list of patterns: ['*Chopin*']")
        patterns = list(patterns)
        for pattern in patterns:
            if not isinstance(pattern, str):
                raise ValueError(f"a pattern is {described(pattern)}; give a text: '*Chopin*'")
        self._matchers = {pattern: re.compile(translate(pattern), re.IGNORECASE).match for pattern in patterns}
        self._unused = dict.fromkeys(patterns)

    def match(self, piece: Piece | Source) -> bool:
        """Whether a pattern matches the name, source, licence or composer of a piece."""
        texts = piece.name, piece.source, piece.licence, piece.composer
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
