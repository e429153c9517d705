"""Originality of generated pieces: the longest run of notes that each shares with any piece of a corpus.

A run is a sequence of notes by onset and pitch in which each step to the next note (the interval in semitones and the time
between the onsets) is the same in both pieces. So copies are found in any key, for any instrument and with any durations;
at another tempo, or where a note is inserted or missing, the run breaks. Runs are searched in each part (the notes of one
instrument) among all parts of the corpus, and in the texture (the notes of all instruments) among all textures. Times are in
beats (quarter notes). Drums and given notes are left out: drums have no key, and no model writes given notes.

Any two pieces share repeated notes, scales and broken chords. So besides the longest run there is the richest run, the one
with the most different steps, and both are also measured for stretches of real pieces that the model was not trained on, as
long as the generated pieces. A piece stands out if its richest run has more than 1.5 times as many different steps as 95 % of
the real stretches; the number of real stretches that stand out by the same rule is reported beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mmt.analysis.note_metrics import pitched
from mmt.analysis.runs import NoteSequences, Run, SortedSequences
from mmt.corpus.storage import Corpus
from mmt.representation.arguments import described
from mmt.representation.codes import GIVEN_NOTE, TYPE, Events, Representation, check_several
from mmt.representation.decode import check_codes, notes_of_events
from mmt.representation.notes import NoteTable

# A run stands out if it has this many times the different steps of 95 % of the real stretches.
_MARGIN = 1.5


@dataclass(frozen=True)
class Finding:
    """The longest run of a piece (most notes) and the richest (most different steps); None where no two notes are shared."""

    part: Run | None
    """The longest in one part."""
    texture: Run | None
    """The longest in the whole texture."""
    richest_part: Run | None
    richest_texture: Run | None

    def __str__(self) -> str:
        runs = {"longest": self.part, "longest of the texture": self.texture, "richest": self.richest_texture}
        return "\n".join(f"{name}: {run or 'no two notes'}" for name, run in runs.items())


@dataclass(frozen=True)
class Comparison:
    """The findings of generated pieces, and of stretches of real pieces of the same lengths."""

    pieces: tuple[Finding, ...]
    real: tuple[Finding, ...]

    def stands_out(self, index: int, *, real: bool = False) -> bool:
        """Whether the richest run of a piece (or real stretch) is above the threshold."""
        return any(self.steps(kind, real=real)[index] > self.threshold(kind) for kind in ("part", "texture"))

    def lengths(self, kind: str, *, real: bool = False) -> list[int]:
        """Number of notes in the longest run of each piece, or real stretch; `kind` is "part" or "texture"."""
        return [run.notes if run else 0 for run in self._runs(kind, real)]

    def steps(self, kind: str, *, real: bool = False) -> list[int]:
        """Number of different steps in the richest run of each piece, or real stretch."""
        return [run.different_steps if run else 0 for run in self._runs(f"richest_{kind}", real)]

    def _runs(self, name: str, real: bool) -> list[Run | None]:
        return [getattr(finding, name) for finding in (self.real if real else self.pieces)]

    def threshold(self, kind: str) -> float:
        """The number of different steps above which a run stands out."""
        return _MARGIN * float(np.percentile(self.steps(kind, real=True), 95))

    def __str__(self) -> str:
        lines = []
        for kind, name in (("part", "one part"), ("texture", "the whole texture")):
            for what, values in (("notes of the longest run", self.lengths), ("steps of the richest run", self.steps)):
                ours, theirs = (_spread(values(kind, real=real)) for real in (False, True))
                lines.append(f"{what} shared with the training pieces, in {name}: {ours}; real pieces: {theirs}")
        out = [index for index in range(len(self.pieces)) if self.stands_out(index)]
        real = sum(self.stands_out(index, real=True) for index in range(len(self.real)))
        names = ", ".join(f"piece {index + 1}" for index in out[:10]) + (", …" if len(out) > 10 else "")
        lines.append(
            f"{len(out)} of {len(self.pieces)} stand out{f' ({names})' if out else ''}; "
            f"by the same rule {real} of {len(self.real)} real stretches of their lengths"
        )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        pieces, real = (
            [asdict(finding) | {"stands_out": self.stands_out(i, real=real)} for i, finding in enumerate(found)]
            for real, found in ((False, self.pieces), (True, self.real))
        )
        length = "whole pieces, without their prompts; real stretches of as many notes"
        return {"length": length, "pieces": pieces, "real": real}


class Index:
    """The notes of a corpus in sorted order, for a fast search of shared runs.

    Parameters
    ----------
    corpus : Corpus
        Sorting takes about a second per million notes.
    progress : bool
        Whether to show a progress bar.

    Examples
    --------
    >>> import mmt
    >>> index = Index(mmt.Corpus("data/mine", split="train"))  # doctest: +SKIP
    >>> print(index.find(pieces)[0].part)  # doctest: +SKIP
    """

    def __init__(self, corpus: Corpus, *, progress: bool = False) -> None:
        if not isinstance(corpus, Corpus):
            raise ValueError(f"corpus is {described(corpus)}; give mmt.Corpus(folder, split='train')")
        self.corpus = corpus
        kinds = tqdm((False, True), desc="Sorting the corpus", disable=not progress)
        self._sorted = [(texture, SortedSequences(corpus, texture)) for texture in kinds]

    def find(
        self,
        pieces: Sequence[npt.ArrayLike | NoteTable],
        *,
        first_beats: Sequence[int] | int = 0,
        representation: Representation | None = None,
    ) -> list[Finding]:
        """The longest and the richest run that each piece shares with the corpus.

        Parameters
        ----------
        pieces : sequence of array_like of int, (n_i, 6), or of note tables
        first_beats : int or sequence of int
            Notes before this beat of a piece are not compared: a prompt was not written by the model.
        representation : Representation, optional
            Of the pieces; it must have the resolution of the corpus. Default: the corpus's own.

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
        if not any(getattr(getattr(piece, "dtype", None), "names", None) for piece in pieces):
            check_several(pieces)
        tables = _compared(pieces, first_beats, representation)
        if not tables:
            return []
        parts, textures = (
            corpus.runs(NoteSequences(tables, texture, representation), len(tables)) for texture, corpus in self._sorted
        )
        return [
            Finding(part, texture, richest_part, richest_texture)
            for (part, richest_part), (texture, richest_texture) in zip(parts, textures, strict=True)
        ]


def compare(
    pieces: Sequence[npt.ArrayLike],
    corpus: str | os.PathLike[str] | Index,
    *,
    first_beats: Sequence[int] | int = 0,
    representation: Representation | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Comparison:
    """Compare generated pieces with the training pieces of a corpus, and stretches of its validation pieces likewise.

    Parameters
    ----------
    pieces, first_beats, representation
        As for `Index.find`.
    corpus : path or Index
        The folder of the corpus that the model was trained on, or the index of its training split.
    seed : int
        Of the draw of real stretches: one from each validation piece, with as many notes as a generated piece.
    progress : bool
        Whether to show a progress bar while the corpus is sorted.

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
    if isinstance(pieces, Iterator):
        pieces = list(pieces)
    check_several(pieces)
    if not len(pieces):
        raise ValueError("there are no pieces to compare; give at least one")
    findings = index.find(pieces, first_beats=first_beats, representation=representation)
    lengths = [len(table) for table in _compared(pieces, first_beats, representation or index.corpus.representation)]
    stretches = list(_real_stretches(Corpus(index.corpus.folder, split="valid"), lengths, seed))
    return Comparison(tuple(findings), tuple(index.find(stretches)))


def without_prompt(events: Events, prompt: Events) -> Events:
    """The events of a piece that are not in its prompt: what was written after it, or in it."""
    given = {tuple(row) for row in prompt.tolist()}
    return np.asarray(events[[tuple(row) not in given for row in events.tolist()]])


def _real_stretches(corpus: Corpus, lengths: Sequence[int], seed: int) -> Iterator[NoteTable]:
    """A stretch of each piece, from the beginning of a beat, with one of `lengths` as its number of notes (or fewer)."""
    random = np.random.default_rng(seed)
    for index in range(len(corpus)):
        notes, length = pitched(corpus.notes(index), corpus.representation), int(random.choice(lengths))
        if not len(notes):
            continue
        start = int(random.integers(max(len(notes) - length, 0) + 1))
        start = int(np.searchsorted(notes["beat"], notes["beat"][min(start, len(notes) - 1)]))
        yield notes[start : start + length]


def _compared(
    pieces: Sequence[npt.ArrayLike | NoteTable], first_beats: Sequence[int] | int, representation: Representation
) -> list[NoteTable]:
    """The notes of each piece that are compared: written, pitched, and no earlier than its first beat."""
    firsts = np.asarray(first_beats)
    if firsts.shape not in ((), (len(pieces),)):
        raise ValueError(
            f"there are {len(pieces)} pieces and {firsts.size} first beats; give one for all or one per piece"
        )
    found = []
    for piece, first in zip(pieces, np.broadcast_to(firsts, len(pieces)), strict=True):
        table = np.asarray(piece)
        if not table.dtype.names:
            events = check_codes(table, representation)
            table = notes_of_events(events[events[:, TYPE] != GIVEN_NOTE], representation)
        found.append(pitched(table[table["beat"] >= first], representation))
    return found


def _spread(lengths: Sequence[int]) -> str:
    if not lengths:
        return "none"
    middle, high = np.percentile(lengths, [50, 95])
    return f"median {middle:.0f}, 95th percentile {high:.0f}, maximum {max(lengths)}"
