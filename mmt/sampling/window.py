"""The network's window on the pieces that are being written: all of a piece while it fits, then a part of it.

Windows are (batch, events, 6) codes whose beats are counted from the window's start, as in training. They are kept on the
host; only the network may be on another device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmt.model.cache import Cache
from mmt.model.network import Network
from mmt.representation.codes import BEAT, GIVEN_NOTE, NOTE, START_OF_NOTES, TYPE, Events, is_note
from mmt.sampling.grammar import Bounds

# The share of its room for notes, and of its beats, that a window keeps when it moves (measured: benchmarks/endless.md).
KEPT = 0.5
# A window moves before it reaches this last share of its beats, so that a beat code remains for a note after empty beats.
_LAST_BEATS = 0.25


class AnchoredWindow:
    """Keeps the instruments and the last beats of a piece that no longer fits.

    Beats are then counted from the first one that was kept. The network knows such windows, from the middle of pieces, from its
    training. The window of each piece moves independently of the others.
    """

    def __init__(self, network: Network, batch: int, bounds: Bounds) -> None:
        self.network, self.bounds, config = network, bounds, network.config
        self.context, self.beats = config.context, config.sizes[BEAT] - 1
        self.codes = np.zeros((batch, self.context, len(config.sizes)), np.int64)
        self.cache = network.new_cache(batch, min(bounds.max_events, self.context))
        self.dropped = np.zeros(batch, np.int64)
        """The number of beats of each piece before its window, (batch,)."""

    def read(self, latest: Events | Sequence[Events]) -> tuple[Tensor, Events | None]:
        """Read the latest event of each piece (batch, 1, 6), or first its prompt (n_i, 6).

        Returns the hidden state after it, (batch, dim), and, if windows moved, by how many beats, (batch,).
        """
        if not self.cache.length:
            events, moved = self._open(list(latest))
        else:
            events, moved = self._move(np.asarray(latest))
        self.codes[np.arange(len(events)), self.cache.lengths] = events[:, 0]
        if moved is not None:
            self.dropped = self.dropped + moved
        return _hidden_after(self.network, events, self.cache), moved

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these pieces of the batch, in this order."""
        self.codes, self.dropped = self.codes[rows], self.dropped[rows]
        self.cache.keep(rows)

    def _open(self, prompts: Sequence[Events]) -> tuple[Events, Events | None]:
        """Read all of each prompt but its last event; returns the last events and the dropped beats."""
        moved = np.zeros(len(prompts), np.int64)
        last = np.zeros((len(prompts), 1, self.codes.shape[2]), np.int64)
        for row, prompt in enumerate(prompts):
            if row and prompt is prompts[0]:
                self.cache.copy(0, row)
                self.codes[row], last[row], moved[row] = self.codes[0], last[0], moved[0]
                continue
            window, beat = prompt, max(places_of(prompt[-1:], self.bounds.reach)[0], self.bounds.first_beat)
            if len(window) > self.context or self._is_late(beat, 0):
                beat = max(beat, self.bounds.first_beat + 1)
                window, moved[row] = anchor(window, self.context, self.beats, beat, reach=self.bounds.reach)
            last[row] = self._fill(row, window, int(moved[row]))
        return last, moved if moved.any() else None

    def _move(self, events: Events) -> tuple[Events, Events | None]:
        """Move the windows that are full; returns the events (batch, 1, 6) in their windows, and the dropped beats."""
        beats = places_of(events[:, 0], self.bounds.reach)
        lengths = self.cache.lengths
        rows = [row for row, beat in enumerate(beats) if lengths[row] == self.context or self._is_late(beat, row)]
        if not rows:
            return events, None
        events, moved = events.copy(), np.zeros_like(self.dropped)
        for row in rows:
            seen = np.concatenate([self.codes[row, : self.cache.lengths[row]], events[row]])
            window, moved[row] = anchor(seen, self.context, self.beats, reach=self.bounds.reach)
            events[row, 0] = self._fill(row, window, int(self.dropped[row] + moved[row]))
        return events, moved

    def _fill(self, row: int, window: Events, dropped: int) -> Events:
        """Replace a row by a window that begins after `dropped` beats; returns its last event (6,), which is still to be read."""
        if dropped:
            self.tell_length(window, dropped)
        self.cache.first_beats[row] = dropped
        self.codes[row, : len(window)] = window
        if len(window) > 1:
            _hidden_after(self.network, window[None, :-1], self.cache.row(row))
        self.cache.lengths[row] = len(window) - 1
        last: Events = window[-1]
        return last

    def tell_length(self, window: Events, dropped: int) -> None:
        """Set the length code of the window's start-of-notes to the beats that remain from the window's first beat on."""
        if self.bounds.length:
            left = max(self.bounds.length - dropped, 1)
            window[window[:, TYPE] == START_OF_NOTES, BEAT] = min(1 + left, self.beats)

    def _is_late(self, beat: int, row: int) -> bool:
        """Whether a beat is so close to the network's last beat that the window must move."""
        if beat <= self.beats - max(1, int(_LAST_BEATS * self.beats), self.bounds.reach):
            return False
        return self.bounds.max_beats + self.bounds.reach - int(self.dropped[row]) > self.beats


def places_of(events: Events, reach: int) -> list[int]:
    """The beat codes of the places of events (n, 6): `reach` before the onset of a given note; 0 for events other than notes."""
    beats = events[:, BEAT] - np.where(events[:, TYPE] == GIVEN_NOTE, reach, 0)
    places: list[int] = np.where(is_note(events), beats, 0).tolist()
    return places


def anchor(window: Events, context: int, beats: int, beat: int | None = None, *, reach: int = 0) -> tuple[Events, int]:
    """A shorter window on the same piece, and by how many beats it begins later.

    It has the instruments and the last beats of `window` (n, 6), so that it is `KEPT` of a full one, of `context` events and
    `beats` beats. The piece continues at the beat of code `beat` (default: that of its last event): the window does not start
    later, even if all notes that are kept are given notes of later beats. Its beats are counted from the first that is kept, or
    from `beat`.
    """
    header, notes = window[window[:, TYPE] < NOTE], window[window[:, TYPE] >= NOTE]
    beat = max(places_of(window[-1:], reach)[0], beat or 1)
    most = max(1, int(KEPT * (context - len(header))))
    # Given notes are placed before their onset, so beats need not ascend.
    ascending = np.sort(notes[:, BEAT])
    first = int(np.searchsorted(ascending, beat - max(1, int(KEPT * beats)) + 1))
    kept = notes[notes[:, BEAT] >= ascending[first]] if first < len(notes) else notes[:0]
    if len(kept) > most:
        # Keep whole beats. If that would keep too little because the last beats have many notes, cut a beat.
        whole = int(np.searchsorted(ascending, ascending[-most - 1], side="right"))
        kept = notes[notes[:, BEAT] >= ascending[whole]] if len(notes) - whole > most // 2 else kept[-most:]
    kept = kept.copy()
    dropped = int(kept[:, BEAT].min(initial=beat)) - 1
    kept[:, BEAT] -= dropped
    return np.concatenate([header, kept]), dropped


class SlidingWindow:
    """The last events of each piece, as many as the context holds; beats are counted from the start of the piece.

    While the pieces fit, each event costs one step with the cache. After that, each new event shifts the positions of all
    others, so the whole window is read again for each event, as in the original code.
    """

    def __init__(self, network: Network, batch: int, bounds: Bounds) -> None:
        self.network, self.context = network, network.config.context
        self.codes = np.zeros((batch, 0, len(network.config.sizes)), np.int64)
        self.dropped = np.zeros(batch, np.int64)
        self.cache: Cache | None = network.new_cache(batch, min(bounds.max_events, self.context))

    def read(self, latest: Events | Sequence[Events]) -> tuple[Tensor, Events | None]:
        latest = np.asarray(latest)
        self.codes = np.concatenate([self.codes, latest], axis=1)
        if self.codes.shape[1] > self.context:
            self.codes, self.cache = self.codes[:, -self.context :], None
        return _hidden_after(self.network, self.codes if self.cache is None else latest, self.cache), None

    def keep(self, rows: Sequence[int]) -> None:
        self.codes, self.dropped = self.codes[rows], self.dropped[rows]
        if self.cache is not None:
            self.cache.keep(rows)


def _hidden_after(network: Network, events: Events, cache: Cache | None) -> Tensor:
    """The hidden state (batch, dim) after the last of the events (batch, n, 6) on the host."""
    device = next(network.parameters()).device
    return network.hidden(torch.from_numpy(events).to(device), cache=cache)[:, -1]
