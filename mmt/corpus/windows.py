"""Windows of pieces, and batches of them: what a network is trained and validated on.

A window begins at a beat of its piece, which becomes its beat 0, and holds as many of the following notes as fit into
the network's context and beats. It has an end-of-song only where the piece has its end. (Paper, section 4.1, put
right: every part of a piece can be reached, and a window that is cut off has no end.) Windows with given notes are cut by
`cut_augmented_window`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmt.corpus.augmentation import (
    NOTHING_GIVEN,
    TAIL,
    Augmentation,
    Region,
    draw_region,
    expected_notes,
    fitting_shift,
    piece_weights,
    plan_windows,
)
from mmt.corpus.storage import Corpus
from mmt.corpus.substitution import Substitution
from mmt.representation.codes import BEAT, NOTE, START_OF_NOTES, TYPE, Events, Representation
from mmt.representation.encode import events_of_notes, frame
from mmt.representation.notes import NoteTable


@dataclass(frozen=True)
class Limits:
    """How much a window may hold."""

    events: int
    """At most this many events: the network's context."""
    beats: int
    """Notes begin in the first so many beats: the network's beat codes, less one."""


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
        Transposition in semitones; the caller keeps it within the range. Drums stay.

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
    window = _moved(notes[first:stop], int(first_beat), shift, representation)
    return events_of_notes(window, representation, end=complete), stop


def cut_augmented_window(
    notes: NoteTable,
    start: int,
    limits: Limits,
    representation: Representation,
    shift: int = 0,
    *,
    region: Region = NOTHING_GIVEN,
    substitutes: Callable[[NoteTable], npt.NDArray[np.uint8]] | None = None,
) -> Events:
    """The window of a piece that begins with the beat of its note `start`, with given notes and substituted instruments.

    Written and given notes stand in canonical order, and as many of them as fit are kept, until `TAIL` beats after the
    region. The last event is only predicted, never read. So it is the next written event after those that are kept, even if
    given notes stand between: a note, or end-of-song, which says here that nothing more is written. It is left out if that
    note is beyond the network's beats.

    Parameters
    ----------
    notes, start, limits, shift
        As for `cut_window`.
    region : Region
        What is to be written, in beats of the piece, not before the window's first beat. Default: everything.
    substitutes : callable, optional
        From the notes of the window, transposed, to the instrument that plays for each code, (256,).

    Returns
    -------
    ndarray of int64, (n, 6), n at most `limits.events`
    """
    rows, more = _rows_of_region(notes, start, limits, representation.reach, region)
    window = _moved(notes[rows], int(notes["beat"][start]), shift, representation)
    if substitutes is not None:
        window["instrument"] = substitutes(window)[window["instrument"]]
    merged = events_of_notes(window, representation, end=False, given=region.given(notes[rows]))
    opening = int(np.argmax(merged[:, TYPE] == START_OF_NOTES)) + 1
    # The opening, and a place for the last event, which may be of an instrument that does not play before.
    room = max(limits.events - opening - 1, 0)
    kept, left = merged[opening : opening + room], merged[opening + room :]
    following = left[left[:, TYPE] == NOTE][:1]
    return frame(np.concatenate([kept, following]), end=not len(following) and not more)


def _rows_of_region(
    notes: NoteTable, start: int, limits: Limits, reach: int, region: Region
) -> tuple[npt.NDArray[np.int64], bool]:
    """Indices of the notes among which a window with a region is cut, and whether written notes come after them."""
    beats = np.ascontiguousarray(notes["beat"])
    first, inside = np.searchsorted(beats, (beats[start], beats[start] + limits.beats)).tolist()
    # A given note stands `reach` beats before its onset.
    last = int(beats[min(first + limits.events, len(beats)) - 1])
    stop = int(np.searchsorted(beats, min(last + 1, region.stop + TAIL) + reach))
    stop = min(stop, inside)
    end = int(np.searchsorted(beats, region.stop))
    following = stop + np.flatnonzero(~region.given(notes[stop : min(inside, end)]))[:1]
    more = len(following) > 0 or not region.given(notes[inside:end]).all()
    return np.concatenate([np.arange(first, stop), following]), more


def _moved(notes: NoteTable, first_beat: int, shift: int, representation: Representation) -> NoteTable:
    """A copy of notes whose beats count from the window's first beat, transposed but for the drums."""
    moved = notes.copy()
    moved["beat"] -= first_beat
    shifts = np.where(moved["instrument"] == representation.drums_code, 0, shift)
    moved["pitch"] = moved["pitch"].astype(np.int16) + shifts
    return moved


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
        weights: Mapping[str, float] | None = None,
        representation: Representation | None = None,
        seed: int = 0,
        parts: int = 1,
        pool: int = 32,
    ) -> None:
        """`weights`: factors by which pieces are drawn more often, see `piece_weights`; `representation`: default the corpus'."""
        self.corpus, self.limits, self.augmentation = corpus, limits, augmentation
        self.representation = representation or corpus.representation
        augmentation.check_fits(self.representation)
        self.batch_size, self.steps, self.seed, self.parts, self.pool = batch_size, steps, seed, parts, pool
        self._lengths = np.array([piece.length for piece in corpus.pieces])
        self._density = self._lengths / np.array([piece.beats for piece in corpus.pieces])
        drawn = piece_weights(corpus, augmentation.length_exponent, weights or {})
        self._shares = np.cumsum(drawn / drawn.sum())
        self._substitution = Substitution(self.representation)
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

    def shares_by_source(self) -> dict[str, float]:
        """The share of windows that come from each source of the corpus; they add up to 1."""
        shares: dict[str, float] = {}
        for piece, share in zip(self.corpus.pieces, np.diff(self._shares, prepend=0.0).tolist(), strict=True):
            shares[piece.source] = shares.get(piece.source, 0.0) + share
        return shares

    def _draw_pool(self, pool: int) -> list[npt.NDArray[np.int64]]:
        """The arguments of `_window` for each window of the pool's steps: one array (parts * batch_size, 7) a step."""
        random = np.random.default_rng((self.seed, pool))
        count = self.pool * self.parts * self.batch_size
        pieces = np.searchsorted(self._shares, random.random(count), side="right").clip(max=len(self._shares) - 1)
        lengths = self._lengths[pieces]
        starts = (random.random(count) * lengths).astype(np.int64)
        starts[random.random(count) < self.augmentation.start_share] = 0
        shifts = random.integers(self.augmentation.pitch_shift[0], self.augmentation.pitch_shift[1] + 1, count)
        remaining = np.minimum(lengths - starts, self.limits.events)
        # A stream of its own: what is drawn above stays the same with and without regions.
        plan = plan_windows(np.random.default_rng((self.seed, pool, 1)), self.augmentation, remaining)
        expected = expected_notes(plan, remaining, self._density[pieces], self.representation.reach)
        # Like lengths together; the steps themselves in random order again.
        order = np.argsort(expected, kind="stable").reshape(self.pool, self.parts * self.batch_size)
        rows = np.stack([pieces, starts, shifts, plan.seeds, plan.kinds, plan.places, plan.beats], axis=1)
        return [rows[order[place]] for place in random.permutation(self.pool)]

    def _window(self, piece: int, start: int, shift: int, seed: int, kind: int, place: int, beats: int) -> Events:
        augmentation, representation = self.augmentation, self.representation
        # Slices of a memory map are slow.
        notes = np.asarray(self.corpus.notes(piece))
        shift = fitting_shift(notes, shift, augmentation.pitch_shift, representation.drums_code)
        random = np.random.default_rng(seed)
        told, substituted = random.random(2) < (augmentation.length_share, augmentation.substitution_share)
        region = NOTHING_GIVEN
        if kind:
            stretch = notes[start : start + self.limits.events]
            stretch = stretch[stretch["beat"] < notes["beat"][start] + self.limits.beats]
            region = draw_region(random, stretch, kind, place, beats)
        substitutes = partial(self._substitution.draw, random) if substituted else None
        if kind or substituted:
            events = cut_augmented_window(
                notes, start, self.limits, representation, shift, region=region, substitutes=substitutes
            )
        else:
            events = cut_window(notes, start, self.limits, representation, shift)[0]
        if told:
            length = 1 + int(notes["beat"][-1]) - int(notes["beat"][start])
            events[events[:, TYPE] == START_OF_NOTES, BEAT] = representation.length_code(length)
        return events


class ValidationBatches(torch.utils.data.Dataset[Batch]):
    """Consecutive windows that cover every piece of a split, in batches of like length; the same each time.

    A beat that was cut in two begins the next window, so a few notes are seen twice; where a beat alone is more than a
    window, what does not fit is left out.
    """

    def __init__(
        self,
        corpus: Corpus,
        limits: Limits,
        *,
        batch_size: int,
        windows: int | None = None,
        representation: Representation | None = None,
    ) -> None:
        """At most `windows` windows, spread evenly over the split; default all. `representation`: default the corpus'."""
        tables = map(corpus.notes, range(len(corpus)))
        known = representation or corpus.representation
        events = [window for notes in tables for window in cover(notes, limits, known)]
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
