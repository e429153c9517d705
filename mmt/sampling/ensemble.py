"""Who plays in pieces in writing, and who may play the next note: declared instruments, their pitches, and their turns.

Masks over codes are (batch, codes), wide enough for every field.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmt.representation.codes import INSTRUMENT, INSTRUMENT_EVENT, NOTE, TYPE, Events
from mmt.sampling.controls import Controls

# An instrument that has not played becomes likelier with every beat that it waits, by so much (nats a beat).
_PATIENCE = 0.25


class Ensemble:
    """The instruments of a batch of pieces that all go on from one prompt.

    `declared` and `played` are (batch, codes). `controlled` is false where nothing but the declared instruments binds.
    """

    def __init__(self, prompt: Events, batch: int, codes: Tensor, controls: Controls) -> None:
        self.codes, self.use_all = codes, controls.use_all
        self.controlled = controls.use_all or controls.playable is not None
        self.declared = torch.zeros(batch, len(codes), dtype=torch.bool, device=codes.device)
        self.played = torch.zeros_like(self.declared)
        self.declared[:, prompt[prompt[:, TYPE] == INSTRUMENT_EVENT, INSTRUMENT]] = True
        self.played[:, prompt[prompt[:, TYPE] == NOTE, INSTRUMENT]] = True
        self.playable: Tensor | None = None
        # The instruments that may be declared.
        self.open = codes > 0
        if controls.playable is not None:
            table = torch.from_numpy(controls.playable).to(codes.device)
            pitches, instruments = table.shape
            self.playable = torch.zeros(len(codes), len(codes), device=codes.device)
            self.playable[:pitches, :instruments] = table.float()
            self.open = self.open & self.playable.any(dim=0)

    def advance(self, event: Tensor) -> None:
        """Take note of the event (batch, 6) that each piece went on with."""
        named = self.codes == event[:, INSTRUMENT, None]
        self.declared |= named & (event[:, TYPE, None] == INSTRUMENT_EVENT)
        self.played |= named & (event[:, TYPE, None] == NOTE)

    def keep(self, rows: Tensor) -> None:
        """Keep only these pieces of the batch (indices), in this order."""
        self.declared, self.played = self.declared[rows], self.played[rows]

    @property
    def missing(self) -> Tensor:
        """How many instruments are still to play, (batch,): none unless all must."""
        if not self.use_all:
            return torch.zeros(len(self.declared), dtype=torch.long, device=self.codes.device)
        return (self.declared & ~self.played).sum(dim=1)

    def players(self, forced: Tensor) -> Tensor:
        """Who may play the next note: where `forced` (batch,), only those who have not yet played."""
        if not self.use_all:
            return self.declared
        return self.declared & ~(self.played & forced[:, None])

    def pitches(self, players: Tensor) -> Tensor:
        """What at least one of the players may play."""
        if self.playable is None:
            return self.codes > 0
        return players.float() @ self.playable.T > 0

    def who_plays(self, players: Tensor, pitch: Tensor) -> Tensor:
        """Which of the players may play the pitch of each piece, (batch,)."""
        if self.playable is None:
            return players
        return players & (self.playable[pitch] > 0)

    def longing(self, waited: Tensor) -> Tensor | float:
        """What to add to the logits of instruments that have waited for so many beats, (batch,)."""
        if not self.use_all:
            return 0.0
        return _PATIENCE * waited[:, None] * (self.declared & ~self.played)
