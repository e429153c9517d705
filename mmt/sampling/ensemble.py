"""Who plays in pieces in writing, and who may play the next note: declared instruments, their pitches, and their turns.

Masks over codes are (batch, codes), wide enough for every field.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmt.representation.codes import INSTRUMENT, INSTRUMENT_EVENT, NOTE, TYPE, Events
from mmt.sampling.controls import Controls

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float32]

# An instrument that has not played becomes likelier with every beat that it waits, by so much (nats a beat).
_PATIENCE = 0.25


class Ensemble:
    """The instruments of a batch of pieces that all go on from one prompt.

    `declared` and `played` are (batch, codes). `controlled` is false where nothing but the declared instruments binds.
    """

    def __init__(self, prompt: Events, batch: int, codes: Events, controls: Controls) -> None:
        self.codes, self.use_all = codes, controls.use_all
        self.controlled = controls.use_all or controls.playable is not None
        self.declared = np.zeros((batch, len(codes)), bool)
        self.played = np.zeros_like(self.declared)
        self.declared[:, prompt[prompt[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT]] = True
        self.played[:, prompt[prompt[:, TYPE] == NOTE, INSTRUMENT]] = True
        self.playable: Numbers | None = None
        # The instruments that may be declared.
        self.open = codes > 0
        if controls.playable is not None:
            pitches, instruments = controls.playable.shape
            self.playable = np.zeros((len(codes), len(codes)), np.float32)
            self.playable[:pitches, :instruments] = controls.playable
            self.open = self.open & self.playable.any(axis=0)

    def advance(self, event: Events) -> None:
        """Take note of the event (batch, 6) that each piece went on with."""
        named = self.codes == event[:, INSTRUMENT, None]
        self.declared |= named & (event[:, TYPE, None] == INSTRUMENT_EVENT)
        self.played |= named & (event[:, TYPE, None] == NOTE)

    def keep(self, rows: Events) -> None:
        """Keep only these pieces of the batch (indices), in this order."""
        self.declared, self.played = self.declared[rows], self.played[rows]

    @property
    def missing(self) -> Events:
        """How many instruments are still to play, (batch,): none unless all must."""
        if not self.use_all:
            return np.zeros(len(self.declared), np.int64)
        missing: Events = (self.declared & ~self.played).sum(axis=1)
        return missing

    def players(self, forced: Mask) -> Mask:
        """Who may play the next note: where `forced` (batch,), only those who have not yet played."""
        if not self.use_all:
            return self.declared
        return self.declared & ~(self.played & forced[:, None])

    def pitches(self, players: Mask) -> Mask:
        """What at least one of the players may play."""
        if self.playable is None:
            return self.codes > 0
        return players.astype(np.float32) @ self.playable.T > 0

    def who_plays(self, players: Mask, pitch: Events) -> Mask:
        """Which of the players may play the pitch of each piece, (batch,)."""
        if self.playable is None:
            return players
        return players & (self.playable[pitch] > 0)

    def longing(self, waited: Events) -> Numbers | float:
        """What to add to the logits of instruments that have waited for so many beats, (batch,)."""
        if not self.use_all:
            return 0.0
        longing = _PATIENCE * waited[:, None] * (self.declared & ~self.played)
        return longing.astype(np.float32)
