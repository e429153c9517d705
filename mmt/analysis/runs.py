"""Rows of notes and the runs that two of them share: notes, the steps between them, and where they stand in a piece.

A step is an interval in semitones and the time between two onsets; tokens (n,) hold the step from each note to the next of its
row (a part, or a piece's whole texture), as one number, or `_SEPARATOR` at a row's last note. Places index the notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmt.analysis.metrics import onsets, pitched
from mmt.analysis.suffixes import Tokens
from mmt.corpus.storage import Corpus
from mmt.representation.codes import Representation
from mmt.representation.notes import NoteTable

TEXTURE = "whole texture"
_SEPARATOR = -1


@dataclass(frozen=True)
class Run:
    """A row of notes that a piece shares with a piece of the corpus, and where it stands in both."""

    notes: int
    beats: float
    """From its first onset to its last."""
    different_steps: int
    """1 for a repeated note, few for scales and trills, many for a melody."""
    part: str
    """Of the piece: an instrument, or "whole texture"."""
    beat: float
    """Of the piece, where the run begins."""
    piece: str
    """The name of the piece in the corpus."""
    piece_part: str
    piece_beat: float
    transposition: int
    """Semitones from the piece in the corpus up to this one."""

    def __str__(self) -> str:
        moved = f", transposed by {self.transposition:+d}" if self.transposition else ""
        return (
            f"{self.notes} notes over {self.beats:g} beats, {self.different_steps} different "
            f"step{'s' * (self.different_steps != 1)} ({self.part}, from beat {self.beat:g}) as in {self.piece} "
            f"({self.piece_part}, from beat {self.piece_beat:g}{moved})"
        )


class Rows:
    """The parts, or the textures, of pieces, one after the other: for each pitched note its place, and the step to the next."""

    def __init__(self, tables: Sequence[NoteTable], texture: bool, representation: Representation) -> None:
        tables = [pitched(table, representation) for table in tables]
        notes = np.concatenate(tables)
        piece = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        onset, pitch = onsets(notes, representation.resolution), notes["pitch"].astype(np.int16)
        row = piece if texture else piece * 256 + notes["instrument"]
        order = np.lexsort((pitch, onset, row))
        row, onset, pitch = row[order], onset[order], pitch[order]
        # A pitch that begins twice at one time (in two instruments, or with two durations) is one note here.
        new = np.ones(len(row), bool)
        new[1:] = (np.diff(row) != 0) | (np.diff(onset) != 0) | (np.diff(pitch) != 0)
        row, self.onset, self.pitch = row[new], onset[new], pitch[new]
        self.piece, self.resolution = piece[order][new].astype(np.int32), representation.resolution
        self.instrument = None if texture else notes["instrument"][order][new]
        self._last = np.append(np.diff(row) != 0, True) if len(row) else np.zeros(0, bool)
        self.tokens: Tokens = np.full(len(row), _SEPARATOR, np.int64)
        self.tokens[:-1] = np.diff(self.onset) * 256 + np.diff(self.pitch) + 128
        self.tokens[self._last] = _SEPARATOR

    def remaining(self) -> npt.NDArray[np.int64]:
        """How many steps follow each note in its row."""
        ends = np.flatnonzero(self._last)
        following: npt.NDArray[np.int64] = ends[np.searchsorted(ends, np.arange(len(self.tokens)))]
        return following - np.arange(len(self.tokens))

    def part(self, place: int, representation: Representation) -> str:
        """The name of the part that a note stands in."""
        return TEXTURE if self.instrument is None else representation.names[self.instrument[place] - 1]

    def beat(self, place: int) -> float:
        """The beat of a note's onset, to a thousandth."""
        return round(float(self.onset[place] / self.resolution), 3)


def richest_start(tokens: Tokens, starts: npt.NDArray[np.int64], matched: npt.NDArray[np.int64]) -> int:
    """Of runs that begin at `starts`, the one with the most different steps."""
    # A run that is another's, less its beginning, is poorer; longer ones first, until none can be richer.
    whole = starts[(starts == 0) | (matched[starts] >= matched[starts - 1])]
    best, most = int(whole[0]), 0
    for start in whole[np.argsort(-matched[whole], kind="stable")].tolist():
        if matched[start] <= most:
            break
        if (different := len(np.unique(tokens[start : start + matched[start]]))) > most:
            best, most = start, different
    return best


def follow_run(ours: Rows, here: int, theirs: Rows, there: int, corpus: Corpus) -> Run | None:
    """The run that begins at these two notes, followed note by note."""
    steps = min(int(ours.remaining()[here]), len(theirs.tokens) - there)
    # Hashes have found it; the notes have the last word.
    same = ours.tokens[here : here + steps] == theirs.tokens[there : there + steps]
    length = int(same.argmin()) if not same.all() else steps
    if not length:
        return None
    return Run(
        notes=length + 1,
        beats=round(float((ours.onset[here + length] - ours.onset[here]) / ours.resolution), 3),
        different_steps=len(np.unique(ours.tokens[here : here + length])),
        part=ours.part(here, corpus.representation),
        beat=ours.beat(here),
        piece=corpus.pieces[theirs.piece[there]].name,
        piece_part=theirs.part(there, corpus.representation),
        piece_beat=theirs.beat(there),
        transposition=int(ours.pitch[here] - theirs.pitch[there]),
    )
