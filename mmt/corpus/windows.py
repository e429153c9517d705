"""Windows of pieces, and the batches of windows that a network is trained and validated on.

A window begins at a beat of its piece, which becomes beat 0, and holds as many of the following notes as fit into the
network's context and beats. It ends with an end-of-song only if it reaches the end of the piece. This corrects the paper
(section 4.1): every part of a piece can be reached, and a truncated window has no end-of-song. Windows with given notes
are cut by `cut_augmented_window`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

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
    """The largest size of a window."""

    events: int
    """Number of events: the network's context."""
    beats: int
    """Number of beats in which notes may begin: the network's beat codes, less one."""


@dataclass
class Batch:
    """A batch of windows: codes (batch, length, 6), padded with 0, and the length of each window (batch,)."""

    codes: Tensor
    lengths: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        return Batch(self.codes.to(device, non_blocking=True), self.lengths.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from which copies to a GPU are faster."""
        return Batch(self.codes.pin_memory(), self.lengths.pin_memory())


def cut_window(
    notes: NoteTable, start: int, limits: Limits, representation: Representation, shift: int = 0
) -> tuple[Events, int]:
    """The window of a piece that begins at the beat of the note with index `start`.

    It is transposed by `shift` semitones, except for drums; the caller keeps it within the range of pitches.

    Returns
    -------
    events : ndarray of int64, (n, 6), n at most `limits.events`
    stop : int
        Index of the first note after the window.
    """
    first_beat = notes["beat"][start]
    first = int(np.searchsorted(notes["beat"], first_beat))
    # Start-of-song, start-of-notes and at least one instrument take three events.
    stop = int(np.searchsorted(notes["beat"], first_beat + limits.beats))
    stop = min(stop, first + limits.events - 3)
    instruments = len(np.unique(notes["instrument"][first:stop]))
    complete = stop == len(notes) and 3 + instruments + stop - first <= limits.events
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
    """The window of a piece that begins at the beat of note `start`, with given notes and substituted instruments.

    Written and given notes are in canonical order; as many as fit are kept, until `TAIL` beats after the region. The last
    event is only a target, never an input. It is therefore the next written event after the kept ones, even if given notes
    lie between: a note, or end-of-song, which here means that nothing more is written. It is omitted if that note is beyond
    the network's beats.

    Parameters
    ----------
    notes, start, limits, shift
        As for `cut_window`.
    region : Region
        The notes to be written, in beats of the piece, from the window's first beat on. Default: all notes.
    substitutes : callable, optional
        Maps the transposed notes of the window to the substitute of each instrument code, (256,).
    """
    rows, more = _rows_of_region(notes, start, limits, representation.reach, region)
    window = _moved(notes[rows], int(notes["beat"][start]), shift, representation)
    if substitutes is not None:
        window["instrument"] = substitutes(window)[window["instrument"]]
    merged = events_of_notes(window, representation, end=False, given=region.given(notes[rows]))
    opening = int(np.argmax(merged[:, TYPE] == START_OF_NOTES)) + 1
    # Room for the events before the notes, and for a last event, whose instrument may be a new one.
    room = max(limits.events - opening - 1, 0)
    kept, left = merged[opening : opening + room], merged[opening + room :]
    following = left[left[:, TYPE] == NOTE][:1]
    return frame(np.concatenate([kept, following]), end=not len(following) and not more)


def _rows_of_region(
    notes: NoteTable, start: int, limits: Limits, reach: int, region: Region
) -> tuple[npt.NDArray[np.int64], bool]:
    """Indices of the notes of a window with a region, and whether written notes follow them."""
    beats = np.ascontiguousarray(notes["beat"])
    first, inside, end = np.searchsorted(beats, (beats[start], beats[start] + limits.beats, region.stop)).tolist()
    # Given notes are sorted `reach` beats before their onset.
    last = int(beats[min(first + limits.events, len(beats)) - 1])
    stop = min(int(np.searchsorted(beats, min(last + 1, region.stop + TAIL) + reach)), inside)
    following = stop + np.flatnonzero(~region.given(notes[stop : min(inside, end)]))[:1]
    more = len(following) > 0 or not region.given(notes[inside:end]).all()
    return np.concatenate([np.arange(first, stop), following]), more


def _moved(notes: NoteTable, first_beat: int, shift: int, representation: Representation) -> NoteTable:
    """A copy of notes with beats relative to `first_beat`, transposed except for the drums."""
    moved = notes.copy()
    moved["beat"] -= first_beat
    shifts = np.where(moved["instrument"] == representation.drums_code, 0, shift)
    moved["pitch"] = moved["pitch"].astype(np.int16) + shifts
    return moved


class TrainingBatches(torch.utils.data.Dataset[Batch]):
    """All batches of a training, as a function of the seed and the step.

    Batches therefore do not depend on when a training is stopped and resumed, nor on the process that loads them. Windows
    of similar length share a step: the windows of `pool` steps are drawn together and sorted by length. A step can be split
    into `parts` batches (devices, accumulated gradients): batches i * parts … i * parts + parts - 1 form step i. The windows
    of a step depend only on their total number, not on how they are split.
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
        """`weights` are the factors of `piece_weights`; `representation` is by default that of the corpus."""
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
        # Each part takes every n-th window: parts are of similar length, so that devices do not wait for each other.
        return collate([self._window(*row) for row in self._pool_order[place][part :: self.parts].tolist()])

    def _draw_pool(self, pool: int) -> list[npt.NDArray[np.int64]]:
        """The arguments of `_window` for all windows of a pool: one array (parts * batch_size, 7) per step."""
        random = np.random.default_rng((self.seed, pool))
        count = self.pool * self.parts * self.batch_size
        pieces = np.searchsorted(self._shares, random.random(count), side="right").clip(max=len(self._shares) - 1)
        lengths = self._lengths[pieces]
        # Beats are estimated from the piece's average density.
        spared = np.minimum(self.augmentation.min_beats * self._density[pieces], lengths)
        starts = (random.random(count) * (lengths - spared)).astype(np.int64)
        starts[random.random(count) < self.augmentation.start_share] = 0
        shifts = random.integers(self.augmentation.pitch_shift[0], self.augmentation.pitch_shift[1] + 1, count)
        remaining = np.minimum(lengths - starts, self.limits.events)
        # A separate stream, so that the draws above are the same with and without regions.
        plan = plan_windows(np.random.default_rng((self.seed, pool, 1)), self.augmentation, remaining)
        expected = expected_notes(plan, remaining, self._density[pieces], self.representation.reach)
        # Group windows of similar length, then shuffle the steps.
        order = np.argsort(expected, kind="stable").reshape(self.pool, self.parts * self.batch_size)
        rows = np.column_stack([pieces, starts, shifts, plan])
        return [rows[order[place]] for place in random.permutation(self.pool)]

    def _window(self, piece: int, start: int, shift: int, seed: int, kind: int, place: int, beats: int) -> Events:
        augmentation, representation = self.augmentation, self.representation
        # Slices of a memory map are slow.
        notes = np.asarray(self.corpus.notes(piece))
        shift = fitting_shift(notes, shift, augmentation.pitch_shift, representation.drums_code)
        random = np.random.default_rng(seed)
        with_length, substituted = random.random(2) < (augmentation.length_share, augmentation.substitution_share)
        region = NOTHING_GIVEN
        if kind:
            inside = notes[start : start + self.limits.events]
            inside = inside[inside["beat"] < notes["beat"][start] + self.limits.beats]
            region = draw_region(random, inside, kind, place, beats)
        substitutes = partial(self._substitution.draw, random) if substituted else None
        if kind or substituted:
            events = cut_augmented_window(
                notes, start, self.limits, representation, shift, region=region, substitutes=substitutes
            )
        else:
            events = cut_window(notes, start, self.limits, representation, shift)[0]
        if with_length:
            length = 1 + int(notes["beat"][-1]) - int(notes["beat"][start])
            events[events[:, TYPE] == START_OF_NOTES, BEAT] = representation.length_code(length)
        return events


class ValidationBatches(torch.utils.data.Dataset[Batch]):
    """Consecutive windows that cover every piece of a split, in batches of similar length; always the same.

    A beat that was cut in two is repeated at the start of the next window, so a few notes are seen twice. If one beat alone
    exceeds a window, the notes that do not fit are left out.

    `windows` is the number of windows in the batches, and `all_windows` that of the whole split.
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
        """At most `windows` windows, spread evenly over the split (default all); `representation` as for `TrainingBatches`."""
        tables = map(corpus.notes, range(len(corpus)))
        known = representation or corpus.representation
        events = [window for notes in tables for window in cover(notes, limits, known)]
        self.all_windows = len(events)
        if windows is not None and windows < len(events):
            events = [events[place] for place in np.linspace(0, len(events) - 1, windows).round().astype(int)]
        self.windows = len(events)
        events.sort(key=len)
        self._batches = [events[first : first + batch_size] for first in range(0, len(events), batch_size)]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch:
        return collate(self._batches[index])


def cover(notes: NoteTable, limits: Limits, representation: Representation) -> Iterator[Events]:
    """Consecutive windows that cover a piece, see `ValidationBatches`."""
    start = 0
    while start < len(notes):
        events, stop = cut_window(notes, start, limits, representation)
        yield events
        if stop == len(notes):
            return
        # Repeat a beat that was cut in two, unless it fills a whole window.
        beat = notes["beat"][stop]
        again = int(np.searchsorted(notes["beat"], beat))
        start = again if again > start else int(np.searchsorted(notes["beat"], beat, side="right"))


def collate(windows: Sequence[Events]) -> Batch:
    """Combine windows of any lengths into one batch, padded with 0."""
    codes = pad_sequence([torch.from_numpy(np.array(window, np.int64)) for window in windows], batch_first=True)
    return Batch(codes, torch.tensor([len(window) for window in windows]))
