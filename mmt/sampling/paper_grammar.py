"""The grammar of the original code, which is looser than ours: type and beat never fall.

The fields of a note are never 0; other events have only the fields of their type.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmt.representation.codes import (
    BEAT,
    END_OF_SONG,
    GIVEN_NOTE,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    PITCH,
    START_OF_NOTES,
    TYPE,
    Events,
)
from mmt.sampling.grammar import Bounds
from mmt.sampling.state import Mask, Numbers
from mmt.sampling.window import places_of


class PaperGrammar:
    """The grammar, for a batch of pieces, each of which continues a prompt; its calls are those of `StrictGrammar`."""

    def __init__(self, prompts: Sequence[Events], sizes: tuple[int, ...], bounds: Bounds) -> None:
        self.sizes, self.bounds = sizes, bounds
        table = bounds.controls.playable
        self.playable = np.ones((sizes[PITCH], sizes[INSTRUMENT]), bool) if table is None else table
        self.length = np.array([len(one) for one in prompts])
        last = np.array([one[-1, TYPE] for one in prompts])
        self.last_type = np.where(last == GIVEN_NOTE, NOTE, last)
        self.last_beat = np.array([max(places_of(one, bounds.reach)) for one in prompts])
        # Beats before the network's window. `last_beat` is counted from the start of the piece.
        self.dropped = np.zeros_like(self.last_type)

    def advance(self, event: Events) -> None:
        """Update the state by the next event of each piece, (batch, 6)."""
        given = event[:, TYPE] == GIVEN_NOTE
        self.last_type = np.where(given, NOTE, event[:, TYPE])
        beat = event[:, BEAT] + self.dropped - np.where(given, self.bounds.reach, 0)
        self.last_beat = np.maximum(self.last_beat, np.where(self.last_type == NOTE, beat, 0))
        self.length = self.length + 1

    def drop_beats(self, dropped: Events) -> None:
        """Note that the window of each piece now starts `dropped` (batch,) beats later."""
        self.dropped = self.dropped + dropped

    def _type_mask(self) -> Mask:
        """The types that the next event of each piece may have, (batch, types)."""
        codes = np.arange(self.sizes[TYPE])
        may: Mask = (codes >= self.last_type[:, None]) & (codes > 0) & (codes != GIVEN_NOTE)
        early = (self.last_beat < self.bounds.min_beats) | self.bounds.endless
        may[:, END_OF_SONG] &= ~early
        full = (self.length >= self.bounds.max_events - 1) | (self.bounds.first_beat >= self.bounds.max_beats)
        done = (self.last_type == NOTE) & (self.last_beat > self.bounds.max_beats)
        may[done] = codes == END_OF_SONG
        may[full] = codes == END_OF_SONG
        if self.bounds.context is not None:
            # A window full of instruments cannot move on to notes.
            may[(self.last_type < NOTE) & (self.length >= self.bounds.context - 1)] = codes == END_OF_SONG
        return may

    def _mask(self, field: int, event: Events) -> Mask:
        """The codes that a field after the type may have, (batch, codes), given the earlier fields of the event (batch, 6)."""
        codes = np.arange(self.sizes[field])
        used = used_by_note = event[:, TYPE] == NOTE
        if field == INSTRUMENT:
            used = used | (event[:, TYPE] == INSTRUMENT_EVENT)
        allowed = np.broadcast_to(codes > 0, (len(event), len(codes)))
        if field == BEAT:
            top = np.minimum(self.bounds.max_beats - self.dropped, self.sizes[BEAT] - 1)
            floor = np.minimum(np.maximum(self.last_beat, self.bounds.first_beat + 1) - self.dropped, top)
            allowed = allowed & (codes >= floor[:, None]) & (codes <= top[:, None])
        elif field == PITCH:
            allowed = allowed & self.playable.any(axis=1)
        elif field == INSTRUMENT:
            # An instrument event may name any instrument that has a pitch.
            able = np.where(used_by_note[:, None], self.playable[event[:, PITCH]], self.playable.any(axis=0))
            allowed = allowed & able
        other = np.zeros(len(event), np.int64)
        if field == BEAT and self.bounds.length:
            told = min(1 + self.bounds.length, self.sizes[BEAT] - 1)
            other = np.where(event[:, TYPE] == START_OF_NOTES, told, 0)
        return np.where(used[:, None], allowed, codes == other[:, None])

    def allow(self, logits: Numbers, field: int, event: Events) -> Numbers:
        """The logits of a field (batch, size) with forbidden codes at minus infinity."""
        mask = self._type_mask() if field == TYPE else self._mask(field, event)
        return np.where(mask, logits, np.float32(-np.inf))

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these pieces of the batch, in this order."""
        self.last_type, self.last_beat = self.last_type[rows], self.last_beat[rows]
        self.dropped, self.length = self.dropped[rows], self.length[rows]
