"""Windows of pieces, and batches of them: what a network is trained and validated on.

A window begins at a beat of its piece, which becomes its beat 0, and holds as many of the following notes as fit into
the network's context and beats. It has an end-of-song only where the piece has its end. (Paper, section 4.1, put
right: every part of a piece can be reached, and a window that is cut off has no end.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmt.corpus.storage import Corpus
from mmt.representation.codes import PITCHES, Events, Representation
from mmt.representation.encode import events_of_notes
from mmt.representation.notes import NoteTable


@dataclass(frozen=True)
class Limits:
    """How much a window may hold."""

    events: int
    """At most this many events: the network's context."""
    beats: int
    """Notes begin in the first so many beats: the network's beat codes, less one."""


@dataclass(frozen=True)
class Augmentation:
    """How the windows of a training step are drawn. The defaults are the paper's."""

    pitch_shift: tuple[int, int] = (-5, 6)
    """Lowest and highest transposition in semitones, drawn evenly; never beyond the range of MIDI pitches."""
    start_share: float = 0.0
    """The share of windows that begin where their piece begins; the others begin at any beat."""
    length_exponent: float = 0.0
    """A piece is drawn in proportion to its number of notes to this power: 0 evenly, 1 as long as it is."""

    def __post_init__(self) -> None:
        if not -PITCHES < self.pitch_shift[0] <= 0 <= self.pitch_shift[1] < PITCHES:
            raise ValueError(
                f"pitch_shift is {self.pitch_shift}; give a lowest of at most 0 and a highest of at least 0 semitones"
            )
        for name in ("start_share", "length_exponent"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be between 0 and 1")


@dataclass
class Batch:
    """Windows of several pieces: codes (batch, length, 6), 0 behind each window's end, and their lengths (batch,)."""

    codes: Tensor
    lengths: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(self.codes.to(device, non_blocking=True), self.lengths.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same in page-locked memory, from which a GPU copies faster."""
        return Batch(self.codes.pin_memory(), self.lengths.pin_memory())


def cut_window(
    notes: NoteTable, start: int, limits: Limits, representation: Representation, shift: int = 0
) -> tuple[Events, int]:
    """The window of a piece that begins with the beat of its note `start`.

    Parameters
    ----------
    notes : note table of the whole piece
    start : int
        Index of a note; the window begins with the first note of its beat.
    shift : int
        Transposition in semitones; the caller keeps it within the range.

    Returns
    -------
    events : ndarray of int64, (n, 6), n at most `limits.events`
    stop : int
        Index of the first note after the window.
    """
    first_beat = notes["beat"][start]
    first = int(np.searchsorted(notes["beat"], first_beat))
    # Start-of-song and start-of-notes always, and at least one instrument, take their places.
    stop = int(np.searchsorted(notes["beat"], first_beat + limits.beats))
    stop = min(stop, first + limits.events - 3)
    instruments = len(np.unique(notes["instrument"][first:stop]))
    if (complete := stop == len(notes)) and 3 + instruments + stop - first > limits.events:
        complete = False
    stop = min(stop, first + limits.events - 2 - instruments)
    window = notes[first:stop].copy()
    window["beat"] -= first_beat
    window["pitch"] = window["pitch"].astype(np.int16) + shift
    return events_of_notes(window, representation, end=complete), stop


class TrainingBatches(torch.utils.data.Dataset[Batch]):
    """The batches of a whole training: those of step i are drawn from its own random stream (seed, i).

    So the order of the data is the same wherever and however often a training is stopped, and whoever loads it. Windows of
    like length share a step: the windows of `pool` steps are drawn together and sorted by length. A step may be dealt out
    to `parts` batches (several devices, accumulated gradients): batches i * parts … i * parts + parts - 1 are step i, and
    what a step sees depends on the number of its windows alone.
    """

    def __init__(
        self,
        corpus: Corpus,
        limits: Limits,
        *,
        batch_size: int,
        steps: int,
        augmentation: Augmentation,
        seed: int = 0,
        parts: int = 1,
        pool: int = 32,
    ) -> None:
        self.corpus, self.limits, self.augmentation = corpus, limits, augmentation
        self.batch_size, self.steps, self.seed, self.parts, self.pool = batch_size, steps, seed, parts, pool
        self._lengths = np.array([piece.length for piece in corpus.pieces])
        weights = self._lengths.astype(float) ** augmentation.length_exponent
        self._shares = np.cumsum(weights / weights.sum())
        self._pool_index = -1
        self._pool_order: list[npt.NDArray[np.int64]] = []

    def __len__(self) -> int:
        return self.steps * self.parts

    def __getitem__(self, index: int) -> Batch:
        step, part = divmod(index, self.parts)
        pool, place = divmod(step, self.pool)
        if pool != self._pool_index:
            self._pool_order, self._pool_index = self._draw_pool(pool), pool
        # Every n-th of n parts: they stay alike in length, and no device waits for another.
        return collate([self._window(*row) for row in self._pool_order[place][part :: self.parts].tolist()])

    def _draw_pool(self, pool: int) -> list[npt.NDArray[np.int64]]:
        """Piece, start and shift of each window of the pool's steps: one array (parts * batch_size, 3) a step."""
        random = np.random.default_rng((self.seed, pool))
        count = self.pool * self.parts * self.batch_size
        pieces = np.searchsorted(self._shares, random.random(count), side="right").clip(max=len(self._shares) - 1)
        lengths = self._lengths[pieces]
        starts = (random.random(count) * lengths).astype(np.int64)
        starts[random.random(count) < self.augmentation.start_share] = 0
        shifts = random.integers(self.augmentation.pitch_shift[0], self.augmentation.pitch_shift[1] + 1, count)
        remaining = np.minimum(lengths - starts, self.limits.events)
        # Like lengths together; the steps themselves in random order again.
        order = np.argsort(remaining, kind="stable").reshape(self.pool, self.parts * self.batch_size)
        rows = np.stack([pieces, starts, shifts], axis=1)
        return [rows[order[place]] for place in random.permutation(self.pool)]

    def _window(self, piece: int, start: int, shift: int) -> Events:
        notes = self.corpus.notes(piece)
        lowest, highest = int(notes["pitch"].min()), int(notes["pitch"].max())
        # A shift that would leave the range is taken the other way round the circle of allowed ones.
        low, high = (
            max(self.augmentation.pitch_shift[0], -lowest),
            min(self.augmentation.pitch_shift[1], PITCHES - 1 - highest),
        )
        shift = low + (shift - low) % (high - low + 1)
        return cut_window(notes, start, self.limits, self.corpus.representation, shift)[0]


class ValidationBatches(torch.utils.data.Dataset[Batch]):
    """Consecutive windows that cover every piece of a split, in batches of like length; the same each time.

    A beat that was cut in two begins the next window, so a few notes are seen twice; where a beat alone is more than a
    window, what does not fit is left out.
    """

    def __init__(self, corpus: Corpus, limits: Limits, *, batch_size: int, windows: int | None = None) -> None:
        """At most `windows` windows, spread evenly over the split; default all."""
        tables = map(corpus.notes, range(len(corpus)))
        events = [window for notes in tables for window in cover(notes, limits, corpus.representation)]
        if windows is not None and windows < len(events):
            events = [events[place] for place in np.linspace(0, len(events) - 1, windows).round().astype(int)]
        events.sort(key=len)
        self._batches = [events[first : first + batch_size] for first in range(0, len(events), batch_size)]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch:
        return collate(self._batches[index])


def cover(notes: NoteTable, limits: Limits, representation: Representation) -> Iterator[Events]:
    """Windows, one behind the other, that cover a piece, as `ValidationBatches` has them."""
    start = 0
    while start < len(notes):
        events, stop = cut_window(notes, start, limits, representation)
        yield events
        if stop == len(notes):
            return
        # A beat that was cut in two begins the next window, unless it alone fills more than one.
        beat = notes["beat"][stop]
        again = int(np.searchsorted(notes["beat"], beat))
        start = again if again > start else int(np.searchsorted(notes["beat"], beat, side="right"))


def collate(windows: Sequence[Events]) -> Batch:
    """Windows of any lengths as one batch, 0 behind each window's end."""
    lengths = [len(window) for window in windows]
    codes = np.zeros((len(windows), max(lengths), 6), np.int64)
    for row, window in enumerate(windows):
        codes[row, : len(window)] = window
    return Batch(torch.from_numpy(codes), torch.tensor(lengths))
