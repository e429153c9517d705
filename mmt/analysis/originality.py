"""Does a model copy? The longest run of notes that a piece shares with any piece of a corpus.

A run is a row of notes, one after the other by onset and pitch, of which each step to the next (the interval in semitones
and the time between the onsets) is the same in both. So a copy is found in whatever key, for whatever instrument, and with
whatever durations; at another tempo, or with a note put in or left out, the run breaks there. Runs are sought in each part
(the notes of one instrument) among all parts of the corpus, and in the whole texture (the notes of all instruments) among all
textures. Times are in beats (quarter notes). Drums have no key, and no model writes given notes: both are left out.

How long is long? Repeated notes, scales and broken chords are shared by any two pieces. So besides the longest run there is the
richest, the one with the most different steps; and the same is asked of stretches of real pieces that the model was not trained
on, as long as those that it wrote. A piece stands out where its richest run has more than half again as many different steps
as 95 % of the real stretches; how many of these stand out by the same rule is told beside it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mmt.analysis.metrics import pitched
from mmt.analysis.runs import Rows, Run, follow_run, richest_start
from mmt.analysis.suffixes import Matcher, Places, sort_suffixes
from mmt.corpus.storage import Corpus
from mmt.representation.codes import GIVEN_NOTE, TYPE, Representation
from mmt.representation.decode import check_codes, notes_of_events
from mmt.representation.notes import NoteTable

# How many times as rich as 95 % of the real stretches a run must be to stand out.
_MARGIN = 1.5


@dataclass(frozen=True)
class Finding:
    """The longest run of a piece, in notes, and the richest, in different steps; None where no two notes are shared."""

    part: Run | None
    """The longest in one part."""
    texture: Run | None
    """The longest in the whole texture."""
    richest_part: Run | None
    richest_texture: Run | None


@dataclass(frozen=True)
class Report:
    """What was found of each piece, and of stretches of real pieces of the same lengths."""

    pieces: tuple[Finding, ...]
    real: tuple[Finding, ...]

    def stands_out(self, index: int, *, real: bool = False) -> bool:
        """Whether a piece (or a real stretch) shares a run that is richer than what real pieces share."""
        return any(self.steps(kind, real=real)[index] > self.threshold(kind) for kind in ("part", "texture"))

    def lengths(self, kind: str, *, real: bool = False) -> list[int]:
        """Notes of the longest run of each piece, or real stretch; `kind` is "part" or "texture"."""
        runs = [getattr(finding, kind) for finding in (self.real if real else self.pieces)]
        return [run.notes if run else 0 for run in runs]

    def steps(self, kind: str, *, real: bool = False) -> list[int]:
        """Different steps of the richest run of each piece, or real stretch."""
        runs = [getattr(finding, f"richest_{kind}") for finding in (self.real if real else self.pieces)]
        return [run.different_steps if run else 0 for run in runs]

    def threshold(self, kind: str) -> float:
        """More different steps than this stand out."""
        return _MARGIN * float(np.percentile(self.steps(kind, real=True), 95))

    def __str__(self) -> str:
        lines = []
        for kind, name in (("part", "one part"), ("texture", "the whole texture")):
            for what, values in (("notes of the longest run", self.lengths), ("steps of the richest run", self.steps)):
                ours, theirs = (_spread(values(kind, real=real)) for real in (False, True))
                lines.append(f"{what} shared with the training pieces, in {name}: {ours}; real pieces: {theirs}")
        out = [index for index in range(len(self.pieces)) if self.stands_out(index)]
        real = sum(self.stands_out(index, real=True) for index in range(len(self.real)))
        lines.append(
            f"{len(out)} of {len(self.pieces)} stand out"
            + (
                f" ({', '.join(f'piece {index + 1}' for index in out[:10])}{', …' if len(out) > 10 else ''})"
                if out
                else ""
            )
            + f"; by the same rule {real} of {len(self.real)} real stretches of their lengths"
        )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "length": "whole pieces, without their prompts; real stretches of as many notes",
            "pieces": [asdict(finding) | {"stands_out": self.stands_out(i)} for i, finding in enumerate(self.pieces)],
            "real": [
                asdict(finding) | {"stands_out": self.stands_out(i, real=True)} for i, finding in enumerate(self.real)
            ],
        }


class Index:
    """The notes of a corpus, sorted so that shared runs are found in moments.

    It is written beside the corpus where that can be written to, and read from there the next time.

    Examples
    --------
    >>> import mmt
    >>> index = Index(mmt.Corpus("data/mine", split="train"))  # doctest: +SKIP
    >>> print(index.find(pieces)[0].part)  # doctest: +SKIP
    """

    def __init__(self, corpus: Corpus, *, keep: bool = True, progress: bool = False) -> None:
        """Sort all notes of a corpus (a minute for some millions), or read what was sorted before.

        Parameters
        ----------
        keep : bool
            Whether to look for a sorted index in the corpus' folder, and to write it there.
        """
        self.corpus = corpus
        self._path = corpus.folder / f"originality-{_fingerprint(corpus)}.npz" if keep else None
        self._orders = self._read() or self._sort(progress)

    def find(
        self,
        pieces: Sequence[npt.ArrayLike | NoteTable],
        *,
        first_beats: Sequence[int] | int = 0,
        representation: Representation | None = None,
    ) -> list[Finding]:
        """The longest run that each piece shares with the corpus.

        Parameters
        ----------
        pieces : sequence of array_like of int, (n_i, 6), or of note tables
        first_beats : int or sequence of int
            What begins before this beat of a piece is not compared: a prompt was not written by the model.
        representation : Representation, optional
            Of the pieces; its resolution must be the corpus'. Default: the corpus' own.

        Raises
        ------
        ValueError
            If the resolutions differ, or a piece has codes out of range.
        """
        representation = representation or self.corpus.representation
        if representation.resolution != self.corpus.representation.resolution:
            raise ValueError(
                f"the pieces have {representation.resolution} steps a beat, the corpus {self.corpus.folder} has "
                f"{self.corpus.representation.resolution}; prepare the corpus for the model's representation"
            )
        tables = _compared(pieces, first_beats, representation)
        parts, textures = (self._runs(tables, texture, representation) for texture in (False, True))
        return [
            Finding(part, texture, richest_part, richest_texture)
            for (part, richest_part), (texture, richest_texture) in zip(parts, textures, strict=True)
        ]

    def _runs(
        self, tables: Sequence[NoteTable], texture: bool, representation: Representation
    ) -> list[tuple[Run | None, Run | None]]:
        """The longest and the richest run of each piece."""
        if not tables:
            return []
        ours, theirs = Rows(tables, texture, representation), self._rows(texture)
        matcher = Matcher(theirs.tokens, self._orders["texture" if texture else "parts"])
        matched, places = matcher.longest(ours.tokens, ours.remaining())
        runs: list[tuple[Run | None, Run | None]] = []
        for piece in range(len(tables)):
            of_piece = np.flatnonzero((ours.piece == piece) & (matched > 0))
            if not len(of_piece):
                runs.append((None, None))
                continue
            longest = int(of_piece[matched[of_piece].argmax()])
            richest = richest_start(ours.tokens, of_piece, matched)
            longest_run, richest_run = (
                follow_run(ours, here, theirs, int(places[here]), self.corpus) for here in (longest, richest)
            )
            runs.append((longest_run, richest_run))
        return runs

    def _rows(self, texture: bool) -> Rows:
        corpus = self.corpus
        return Rows([corpus.notes(i) for i in range(len(corpus))], texture, corpus.representation)

    def _sort(self, progress: bool) -> dict[str, Places]:
        orders = {}
        total = sum(piece.length for piece in self.corpus.pieces)
        with tqdm(total=2 * total, desc="Sorting", unit=" notes", disable=not progress) as bar:
            for texture in (False, True):
                orders["texture" if texture else "parts"] = sort_suffixes(self._rows(texture).tokens)
                bar.update(total)
        if self._path is not None:
            _write(self._path, orders)
        return orders

    def _read(self) -> dict[str, Places] | None:
        if self._path is None or not self._path.exists():
            return None
        with np.load(self._path, allow_pickle=False) as file:
            return {name: file[name] for name in ("parts", "texture")}


def compare(
    pieces: Sequence[npt.ArrayLike],
    corpus: str | os.PathLike[str] | Index,
    *,
    first_beats: Sequence[int] | int = 0,
    representation: Representation | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Report:
    """Compare generated pieces with the training pieces of a corpus, and real validation pieces likewise.

    Parameters
    ----------
    pieces : sequence of array_like of int, (n_i, 6)
    corpus : path or Index
        The folder of the corpus that the model was trained on, or the index of its training split.
    first_beats, representation
        As for `Index.find`.
    seed : int
        Of the draw of real stretches: one of each validation piece, as many notes as one of the generated pieces has.

    Raises
    ------
    ValueError
        If there are no pieces, the corpus has no validation pieces to compare with, or as `Index.find`.

    Examples
    --------
    >>> import mmt
    >>> print(compare(mmt.load_model().generate(n=4), "data/mine"))  # doctest: +SKIP
    """
    index = corpus if isinstance(corpus, Index) else Index(Corpus(corpus, split="train"), progress=progress)
    if not len(pieces):
        raise ValueError("there are no pieces to compare; give at least one")
    findings = index.find(pieces, first_beats=first_beats, representation=representation)
    lengths = [len(table) for table in _compared(pieces, first_beats, representation or index.corpus.representation)]
    stretches = list(_real_stretches(Corpus(index.corpus.folder, split="valid"), lengths, seed))
    return Report(tuple(findings), tuple(index.find(stretches)))


def _real_stretches(corpus: Corpus, lengths: Sequence[int], seed: int) -> Iterator[NoteTable]:
    """A stretch of each piece, from the beginning of a beat, of as many notes as one of `lengths` (or what there is)."""
    random = np.random.default_rng(seed)
    for index in range(len(corpus)):
        notes, length = pitched(corpus.notes(index), corpus.representation), int(random.choice(lengths))
        if not len(notes):
            continue
        start = int(random.integers(max(len(notes) - length, 0) + 1))
        start = int(np.searchsorted(notes["beat"], notes["beat"][min(start, len(notes) - 1)]))
        yield notes[start : start + length]


def _of_each(first_beats: Sequence[int] | int, pieces: int) -> list[int]:
    firsts = np.asarray(first_beats)
    if firsts.shape not in ((), (pieces,)):
        raise ValueError(f"there are {pieces} pieces and {firsts.size} first beats; give one for all, or one of each")
    return [int(first) for first in np.broadcast_to(firsts, pieces)]


def _compared(
    pieces: Sequence[npt.ArrayLike | NoteTable], first_beats: Sequence[int] | int, representation: Representation
) -> list[NoteTable]:
    """The notes of each piece that are compared: written, pitched, and no earlier than its first beat."""
    firsts = _of_each(first_beats, len(pieces))
    tables = (pitched(_table(piece, representation), representation) for piece in pieces)
    return [table[table["beat"] >= first] for table, first in zip(tables, firsts, strict=True)]


def _table(piece: npt.ArrayLike | NoteTable, representation: Representation) -> NoteTable:
    array = np.asarray(piece)
    if array.dtype.names:
        return array
    events = check_codes(array, representation)
    return notes_of_events(events[events[:, TYPE] != GIVEN_NOTE], representation)


def _spread(lengths: Sequence[int]) -> str:
    if not lengths:
        return "none"
    middle, high = np.percentile(lengths, [50, 95])
    return f"{middle:.0f} in the middle, 95 % up to {high:.0f}, at most {max(lengths)}"


def _fingerprint(corpus: Corpus) -> str:
    text = ";".join(f"{piece.sha256}:{piece.offset}:{piece.length}" for piece in corpus.pieces)
    return hashlib.sha256(f"1;{corpus.representation.resolution};{text}".encode()).hexdigest()[:12]


def _write(path: Path, orders: dict[str, Places]) -> None:
    """Keep an index where it can be kept; a folder that cannot be written to is no fault."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, **orders)  # type: ignore[arg-type]
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
