"""Runs of notes that two pieces share, found with a suffix array.

Notes are put in sequences: the notes of one instrument (a part), or all notes of a piece (its texture), by onset and pitch. A
token (int64) stands for the step from each note to the next of its sequence, the interval in semitones and the time between
the onsets, or is `_END` at a sequence's last note. Positions are indices into the tokens and the notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydivsufsort import divsufsort

from mmt.analysis.note_metrics import onsets, pitched
from mmt.corpus.storage import Corpus
from mmt.model.compiled import compiled
from mmt.representation.codes import Representation
from mmt.representation.notes import NoteTable

Ints = npt.NDArray[np.int64]

TEXTURE = "whole texture"
_END = -1


@dataclass(frozen=True)
class Run:
    """A run of notes that a piece shares with a piece of the corpus, and its position in both."""

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
    """Name of the piece in the corpus."""
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


class NoteSequences:
    """The parts, or the textures, of pieces one after the other: their pitched notes and the steps between them."""

    def __init__(self, tables: Sequence[NoteTable], texture: bool, representation: Representation) -> None:
        tables = [pitched(table, representation) for table in tables]
        notes = np.concatenate(tables)
        piece = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        onset, pitch = onsets(notes, representation.resolution), notes["pitch"].astype(np.int16)
        sequence = piece if texture else piece * 256 + notes["instrument"]
        order = np.lexsort((pitch, onset, sequence))
        sequence, onset, pitch = sequence[order], onset[order], pitch[order]
        # Notes of one onset and pitch (of two instruments, or of two durations) count once.
        new = np.ones(len(sequence), bool)
        new[1:] = (np.diff(sequence) != 0) | (np.diff(onset) != 0) | (np.diff(pitch) != 0)
        sequence, self.onset, self.pitch = sequence[new], onset[new], pitch[new]
        self.piece, self.representation = piece[order][new].astype(np.int32), representation
        self.instrument = None if texture else notes["instrument"][order][new]
        last = np.append(np.diff(sequence) != 0, True) if len(sequence) else np.zeros(0, bool)
        self.tokens: Ints = np.full(len(sequence), _END, np.int64)
        self.tokens[:-1] = np.diff(self.onset) * 256 + np.diff(self.pitch) + 128
        self.tokens[last] = _END

    def remaining(self) -> Ints:
        """Number of steps after each note in its sequence, (n,)."""
        ends = np.flatnonzero(self.tokens == _END)
        positions = np.arange(len(self.tokens))
        return np.asarray(ends[np.searchsorted(ends, positions)] - positions)

    def part(self, position: int) -> str:
        """The instrument of a note, or "whole texture"."""
        return TEXTURE if self.instrument is None else self.representation.names[self.instrument[position] - 1]

    def beat(self, position: int) -> float:
        """The beat of a note's onset, to a thousandth."""
        return round(float(self.onset[position] / self.representation.resolution), 3)


class SortedSequences:
    """The sequences of a corpus and their suffix array."""

    def __init__(self, corpus: Corpus, texture: bool) -> None:
        self._corpus = corpus
        self._notes = NoteSequences([corpus.notes(i) for i in range(len(corpus))], texture, corpus.representation)
        self._order = divsufsort(self._notes.tokens) if len(self._notes.tokens) else np.zeros(0, np.int32)

    def runs(self, sequences: NoteSequences, pieces: int) -> list[tuple[Run | None, Run | None]]:
        """The longest run that each piece shares with the corpus, and the run with the most different steps."""
        matched, positions = longest_matches(self._notes.tokens, self._order, sequences.tokens, sequences.remaining())

        def run(start: int) -> Run:
            return self._run(sequences, start, int(positions[start]), int(matched[start]))

        runs: list[tuple[Run | None, Run | None]] = [(None, None)] * pieces
        for piece in range(pieces):
            starts = np.flatnonzero((sequences.piece == piece) & (matched > 0))
            if len(starts):
                longest = int(starts[matched[starts].argmax()])
                runs[piece] = run(longest), run(_richest(sequences.tokens, starts, matched))
        return runs

    def _run(self, ours: NoteSequences, here: int, there: int, steps: int) -> Run:
        theirs = self._notes
        end = here + steps
        return Run(
            notes=steps + 1,
            beats=round(float((ours.onset[end] - ours.onset[here]) / ours.representation.resolution), 3),
            different_steps=len(np.unique(ours.tokens[here:end])),
            part=ours.part(here),
            beat=ours.beat(here),
            piece=self._corpus.pieces[theirs.piece[there]].name,
            piece_part=theirs.part(there),
            piece_beat=theirs.beat(there),
            transposition=int(ours.pitch[here] - theirs.pitch[there]),
        )


@compiled()
def longest_matches(tokens: Ints, order: npt.NDArray[np.int32], query: Ints, lengths: Ints) -> tuple[Ints, Ints]:
    """For each position of a query, the longest match in the indexed tokens, by binary search in their suffix array.

    `lengths` (n,) limits how many tokens of the query (n,) may match from each position on. Returns the number of tokens that
    match, and the position in `tokens` of such a match, both (n,).
    """
    matched, positions = np.zeros(len(query), np.int64), np.zeros(len(query), np.int64)
    for here in range(len(query)):
        low, high = 0, len(order)
        while low < high:
            middle = (low + high) // 2
            there = order[middle]
            limit = min(lengths[here], len(tokens) - there)
            match = 0
            while match < limit and query[here + match] == tokens[there + match]:
                match += 1
            # The longest match is next to where the query would be inserted; the search passes both neighbours.
            if match > matched[here]:
                matched[here], positions[here] = match, there
            ended = there + match == len(tokens)
            if match < lengths[here] and (ended or tokens[there + match] < query[here + match]):
                low = middle + 1
            else:
                high = middle
    return matched, positions


def _richest(tokens: Ints, starts: Ints, matched: Ints) -> int:
    """Of the runs that begin at `starts`, the one with the most different steps."""
    # A run that is the rest of another has no more different steps. Longer ones first, until none can have more.
    whole = starts[(starts == 0) | (matched[starts] >= matched[starts - 1])]
    best, most = int(whole[0]), 0
    for start in whole[np.argsort(-matched[whole], kind="stable")].tolist():
        if matched[start] <= most:
            break
        if (different := len(np.unique(tokens[start : start + matched[start]]))) > most:
            best, most = start, different
    return best
