"""The authors' looser rule of what may come next: type and beat never fall."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mmt.representation.codes import BEAT, END_OF_SONG, INSTRUMENT, INSTRUMENT_EVENT, NOTE, PITCH, TYPE, Events
from mmt.sampling.grammar import Ask, Bounds


class PaperGrammar:
    """The authors' rule: type and beat never fall; a note has no field 0, other events only what is theirs."""

    def __init__(
        self, prompt: Events, batch: int, sizes: tuple[int, ...], bounds: Bounds, device: torch.device
    ) -> None:
        self.sizes, self.bounds, self.device = sizes, bounds, device
        table = bounds.controls.playable
        self.playable = torch.from_numpy(np.ones((sizes[PITCH], sizes[INSTRUMENT]), bool) if table is None else table)
        self.playable = self.playable.to(device)
        self.length = len(prompt)
        last = torch.from_numpy(prompt[-1].copy()).to(device)
        self.last_type = last[TYPE].expand(batch).clone()
        self.last_beat = torch.full_like(self.last_type, int(prompt[:, BEAT].max()))
        # Beats of the piece before the network's window; the last beat is counted in the piece.
        self.dropped = torch.zeros_like(self.last_type)

    def advance(self, event: Tensor) -> None:
        self.last_type = event[:, TYPE]
        self.last_beat = torch.maximum(
            self.last_beat, torch.where(event[:, TYPE] == NOTE, event[:, BEAT] + self.dropped, 0)
        )
        self.length += 1

    def drop_beats(self, dropped: Tensor) -> None:
        """Take note that each piece's window now begins so many beats (batch,) later than it did."""
        self.dropped = self.dropped + dropped

    def type_mask(self) -> Tensor:
        codes = torch.arange(self.sizes[TYPE], device=self.device)
        may = (codes >= self.last_type[:, None]) & (codes > 0)
        early = (self.last_beat < self.bounds.min_beats) | self.bounds.endless
        may[:, END_OF_SONG] &= ~early
        full = self.length >= self.bounds.max_events - 1
        if full or self.bounds.first_beat >= self.bounds.max_beats:
            may[:, :END_OF_SONG] = False
            may[:, END_OF_SONG] = True
        if self.bounds.context is not None and self.length >= self.bounds.context - 1:
            # A window full of instruments cannot move on to notes.
            may = torch.where((self.last_type < NOTE)[:, None], codes == END_OF_SONG, may)
        return may

    def mask(self, field: int, event: Tensor) -> Tensor:
        codes = torch.arange(self.sizes[field], device=self.device)
        used = used_by_note = event[:, TYPE] == NOTE
        if field == INSTRUMENT:
            used = used | (event[:, TYPE] == INSTRUMENT_EVENT)
        allowed = (codes > 0).expand(len(event), -1)
        if field == BEAT:
            top = (self.bounds.max_beats - self.dropped).clamp(max=self.sizes[BEAT] - 1)
            floor = torch.minimum(self.last_beat.clamp(min=self.bounds.first_beat + 1) - self.dropped, top)
            allowed = allowed & (codes >= floor[:, None]) & (codes <= top[:, None])
        elif field == PITCH:
            allowed = allowed & self.playable.any(dim=1)
        elif field == INSTRUMENT:
            # Of an instrument event, whoever has a pitch at all.
            able = torch.where(used_by_note[:, None], self.playable[event[:, PITCH]], self.playable.any(dim=0))
            allowed = allowed & able
        return torch.where(used[:, None], allowed, codes == 0)

    def foresee(self, ask: Ask) -> None:
        """Looks at nothing: each field is drawn by itself."""

    def allow(self, logits: Tensor, field: int, event: Tensor) -> Tensor:
        mask = self.type_mask() if field == TYPE else self.mask(field, event)
        return logits.nan_to_num(nan=0.0).masked_fill(~mask, -torch.inf)

    def keep(self, rows: Tensor) -> None:
        self.last_type, self.last_beat = self.last_type[rows], self.last_beat[rows]
        self.dropped = self.dropped[rows]
