"""Given notes in the decoding loop: notes that are fixed in advance, which the network reads at their moment.

A given note is placed `reach` beats before its onset (see `mmt.representation.encode.canonical`). The network is trained to
predict the next written event at every place, so sampling is exact: if the drawn event would come after the next given
note, the given note is inserted and the event is drawn again, with the given note known.

Held parts play only given notes. A drawn note of a held part is discarded, and the next event is drawn after it. So the
other parts keep the rates that the network has for them, regardless of what it expects of the held parts (thinning of a point
process).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import BEAT, END_OF_SONG, GIVEN_NOTE, INSTRUMENT, NOTE, POSITION, TYPE, Events
from mmt.sampling.grammar import Bounds


class GivenNotes:
    """The given notes of a batch of pieces that continue one prompt; each piece has its own place among them."""

    def __init__(
        self,
        prompt: Events,
        notes: Events | None,
        held: Collection[int],
        batch: int,
        sizes: Sequence[int],
        bounds: Bounds,
    ) -> None:
        """`notes` (n, 6) are the given notes that are still to be inserted, in canonical order; their beats are the piece's.

        `held` are the instrument codes of held parts.
        """
        self.held = frozenset(held)
        self.notes = np.zeros((0, len(sizes)), np.int64) if notes is None else np.asarray(notes)
        self.positions = sizes[POSITION] - 1
        self.moments = self._moments(self.notes) - bounds.reach * self.positions
        read = np.asarray(prompt)[prompt[:, TYPE] == GIVEN_NOTE]
        self.known = {tuple(note) for note in np.concatenate([read, self.notes])[:, BEAT:].tolist()}
        self.next = np.zeros(batch, np.int64)

    def insert(self, events: Events, dropped: Events, only: npt.NDArray[np.bool_] | None = None) -> Events:
        """Replace drawn events (batch, 6) that come after their piece's next given note by that note.

        `dropped` (batch,) are the beats before each piece's window; `only` (batch,) are the pieces to look at.
        """
        due = self.next < len(self.notes)
        if not due.any():
            return events
        place = np.minimum(self.next, len(self.notes) - 1)
        late = self._moments(events) + dropped * self.positions >= self.moments[place]
        due &= (events[:, TYPE] == END_OF_SONG) | ((events[:, TYPE] == NOTE) & late)
        if only is not None:
            due &= only
        given = self.notes[place]
        given[:, BEAT] -= dropped
        self.next = self.next + due
        return np.where(due[:, None], given, events)

    def discarded(self, events: Events, dropped: Events) -> npt.NDArray[np.bool_]:
        """Which written notes of the events (batch, 6) are of a held part, or are given as well, (batch,)."""
        if not self.known and not self.held:
            return np.zeros(len(events), np.bool_)
        written = events[:, TYPE] == NOTE
        return np.array(
            [
                note and (row[INSTRUMENT] in self.held or (row[BEAT] + beats, *row[BEAT + 1 :]) in self.known)
                for row, beats, note in zip(events.tolist(), dropped.tolist(), written.tolist(), strict=True)
            ]
        )

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these pieces of the batch, in this order."""
        self.next = self.next[rows]

    def _moments(self, events: Events) -> Events:
        moments: Events = events[:, BEAT] * self.positions + events[:, POSITION]
        return moments
