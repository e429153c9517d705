"""What may come next: masks over the codes of each field, so that whatever a network says, a valid piece is written.

The fields of an event are chosen in the order of the codes; each choice narrows what the next field may be.
`StrictGrammar` is the law of `mmt.representation.grammar` told from inside; `PaperGrammar` is the authors' looser
rule: type and beat never fall. Masks are (batch, size), true where a code may be drawn; at least one always may.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor

from mmt.representation.codes import (
    BEAT,
    END_OF_SONG,
    INSTRUMENT,
    INSTRUMENT_EVENT,
    NOTE,
    START_OF_NOTES,
    TYPE,
    Events,
)


@dataclass(frozen=True)
class Bounds:
    """The limits of a piece in writing."""

    max_events: int
    """Of the whole piece, end included."""
    max_beats: int
    """Notes begin in the first so many beats."""
    min_beats: int = 0
    """No end while the piece has fewer beats and a note can follow."""
    first_beat: int = 0
    """No note is added before this beat."""
    endless: bool = False
    """No end while a note can follow."""


# Asks the network, for an event (batch, 6) whose fields are taken as known: six tempered logits (batch, size).
Ask = Callable[[Tensor], list[Tensor]]


class Grammar(Protocol):
    """What the decoding loop asks of a grammar: foresight, then what it allows field by field; and it is told the outcome."""

    def foresee(self, ask: Ask) -> None: ...

    def allow(self, logits: Tensor, field: int, event: Tensor) -> Tensor: ...

    def advance(self, event: Tensor) -> None: ...

    def keep(self, rows: Tensor) -> None: ...


class StrictGrammar:
    """The masks of a batch of pieces that all go on from one prompt.

    `floor` (batch, 5) is what the next note must exceed in the order of (beat, position, pitch, duration, instrument):
    the last note, or the moment before the first that is allowed.
    """

    def __init__(
        self, prompt: Events, batch: int, sizes: tuple[int, ...], bounds: Bounds, device: torch.device
    ) -> None:
        self.sizes, self.bounds, self.device = sizes, bounds, device
        self.length = 0
        self.last_type = torch.zeros(batch, dtype=torch.long, device=device)
        self.last_instrument = torch.zeros_like(self.last_type)
        self.last_beat = torch.zeros_like(self.last_type)
        self.declared = torch.zeros(batch, sizes[INSTRUMENT], dtype=torch.bool, device=device)
        self.floor = torch.zeros(batch, 5, dtype=torch.long, device=device)
        self.floor[:, 0] = bounds.first_beat + 1
        for event in torch.from_numpy(prompt.copy()).to(device):
            self.advance(event.expand(batch, 6))

    def advance(self, event: Tensor) -> None:
        """Take note of the event (batch, 6) that each piece went on with."""
        types = event[:, TYPE]
        named = (types == INSTRUMENT_EVENT)[:, None]
        self.declared |= named & (self._codes(INSTRUMENT) == event[:, INSTRUMENT, None])
        self.last_instrument = torch.where(types == INSTRUMENT_EVENT, event[:, INSTRUMENT], self.last_instrument)
        # A prompt's notes lie before its first_beat and leave the floor where it is.
        raised = (types == NOTE) & (event[:, BEAT] >= self.floor[:, 0])
        self.floor = torch.where(raised[:, None], event[:, BEAT:], self.floor)
        self.last_beat = torch.where(types == NOTE, event[:, BEAT], self.last_beat)
        self.last_type = types
        self.length += 1

    def type_mask(self) -> Tensor:
        """Which types may come next, (batch, 5)."""
        room = self.bounds.max_events - self.length
        last, may = (
            self.last_type,
            torch.zeros(len(self.last_type), self.sizes[TYPE], dtype=torch.bool, device=self.device),
        )
        # Behind an instrument there must be room for start-of-notes, a note and the end.
        may[:, INSTRUMENT_EVENT] = (
            (last < START_OF_NOTES) & (self.last_instrument < self.sizes[INSTRUMENT] - 1) & (room > 3)
        )
        may[:, START_OF_NOTES] = last == INSTRUMENT_EVENT
        note = (last == START_OF_NOTES) | ((last == NOTE) & self._grows()[:, 0] & (room > 1))
        may[:, NOTE] = note
        early = (self.last_beat < self.bounds.min_beats) | (self.bounds.endless & ~self._at_limit())
        may[:, END_OF_SONG] = (last == NOTE) & ~(note & early)
        return may

    def mask(self, field: int, event: Tensor) -> Tensor:
        """Which codes of a field may follow the fields of the new event (batch, 6) that were chosen before it."""
        codes = self._codes(field)
        note = (event[:, TYPE] == NOTE)[:, None]
        if field == INSTRUMENT:
            listed = (event[:, TYPE] == INSTRUMENT_EVENT)[:, None]
            allowed = (note & self.declared & (codes > 0)) | (listed & (codes > self.last_instrument[:, None]))
        else:
            listed = torch.zeros_like(note)
            allowed = note & (codes > 0)
        if field == BEAT:
            allowed = allowed & (codes <= self.bounds.max_beats)
        place = field - BEAT
        floor = self.floor[:, place, None]
        # While the earlier fields repeat the floor, this one may not fall, and may repeat it only if a later one can grow.
        tied = (event[:, BEAT:field] == self.floor[:, :place]).all(dim=1, keepdim=True)
        grows = self._grows()[:, place + 1, None]
        allowed = allowed & (listed | ~tied | (codes > floor) | ((codes == floor) & grows))
        return allowed | (~note & ~listed & (codes == 0))

    def foresee(self, ask: Ask) -> None:
        """Learn how likely the next note is to be a greater one, before its fields are drawn one after the other.

        Masks alone would draw a beat that repeats the last note's, since a higher position may follow, and then be left
        with positions that the network thinks impossible. With these log-probabilities as weights, an event is drawn
        as the network has it, under the condition that it is a valid one.
        """
        floor = F.pad(self.floor, (1, 0), value=NOTE)
        logits = ask(floor)
        # exceeds[field]: that the fields from this one on exceed the floor, if all before repeat it.
        self.exceeds = {INSTRUMENT + 1: torch.full_like(logits[TYPE][:, 0], -torch.inf)}
        for field in range(INSTRUMENT, TYPE, -1):
            codes = self._codes(field)
            known = self.declared & (codes > 0) if field == INSTRUMENT else codes > 0
            shares = logits[field].masked_fill(~known, -torch.inf).log_softmax(dim=-1)
            inside = codes <= self.bounds.max_beats if field == BEAT else known
            above = shares.masked_fill(~inside | (codes <= floor[:, field, None]), -torch.inf).logsumexp(dim=-1)
            repeats = shares.gather(-1, floor[:, field, None]).squeeze(-1) + self.exceeds[field + 1]
            self.exceeds[field] = torch.logaddexp(above, repeats)
            if field == BEAT:
                beyond = shares.masked_fill(codes <= self.bounds.max_beats, -torch.inf).logsumexp(dim=-1)
        # At the last beat, whatever the network wants and cannot have is to go on to the next one.
        rest = torch.log1p(-self.exceeds[BEAT].exp().clamp(max=1 - 1e-6))
        self.leaves = torch.where(self._at_limit(), rest, beyond)

    def allow(self, logits: Tensor, field: int, event: Tensor) -> Tensor:
        """The logits of a field (batch, size) with what the grammar forbids at minus infinity, and weighed by foresight."""
        if field == TYPE:
            return self._end_at_limit(logits).masked_fill(~self.type_mask(), -torch.inf)
        place = field - BEAT
        tied = (event[:, TYPE] == NOTE) & (event[:, BEAT:field] == self.floor[:, :place]).all(dim=1)
        repeats = tied[:, None] & (self._codes(field) == self.floor[:, place, None])
        weighed = torch.where(repeats, logits + self.exceeds[field + 1][:, None], logits)
        return weighed.masked_fill(~self.mask(field, event), -torch.inf)

    def _end_at_limit(self, logits: Tensor) -> Tensor:
        """Give the share of notes that would leave the last beat to the end: a piece closes where it would go on."""
        shares = logits.log_softmax(dim=-1).clone()
        note, end = shares[:, NOTE].clone(), shares[:, END_OF_SONG].clone()
        shares[:, NOTE] = note + torch.log1p(-self.leaves.exp().clamp(max=1 - 1e-6))
        shares[:, END_OF_SONG] = torch.logaddexp(end, note + self.leaves)
        return shares

    def _at_limit(self) -> Tensor:
        return self.floor[:, 0] >= self.bounds.max_beats

    def keep(self, rows: Tensor) -> None:
        """Keep only these pieces of the batch (indices), in this order."""
        for name in ("last_type", "last_instrument", "last_beat", "declared", "floor"):
            setattr(self, name, getattr(self, name)[rows])

    def _grows(self) -> Tensor:
        """Whether the fields from each place on can exceed the floor, (batch, 6): beat …, position …, …, nothing."""
        tops = torch.tensor([self.bounds.max_beats, *(size - 1 for size in self.sizes[BEAT + 1 :])], device=self.device)
        higher = self.floor < tops
        higher[:, -1] = (self.declared & (self._codes(INSTRUMENT) > self.floor[:, -1:])).any(dim=1)
        nothing = torch.zeros_like(higher[:, :1])
        return torch.cat([higher.flip(1).cummax(dim=1).values.flip(1), nothing], dim=1)

    def _codes(self, field: int) -> Tensor:
        return torch.arange(self.sizes[field], device=self.device)


class PaperGrammar:
    """The authors' rule: type and beat never fall; a note has no field 0, other events only what is theirs."""

    def __init__(
        self, prompt: Events, batch: int, sizes: tuple[int, ...], bounds: Bounds, device: torch.device
    ) -> None:
        self.sizes, self.bounds, self.device = sizes, bounds, device
        self.length = len(prompt)
        last = torch.from_numpy(prompt[-1].copy()).to(device)
        self.last_type = last[TYPE].expand(batch).clone()
        self.last_beat = torch.full_like(self.last_type, int(prompt[:, BEAT].max()))

    def advance(self, event: Tensor) -> None:
        self.last_type = event[:, TYPE]
        self.last_beat = torch.maximum(self.last_beat, event[:, BEAT])
        self.length += 1

    def type_mask(self) -> Tensor:
        codes = torch.arange(self.sizes[TYPE], device=self.device)
        may = (codes >= self.last_type[:, None]) & (codes > 0)
        early = (self.last_beat < self.bounds.min_beats) | self.bounds.endless
        may[:, END_OF_SONG] &= ~early
        if self.length >= self.bounds.max_events - 1:
            may[:, :END_OF_SONG] = False
            may[:, END_OF_SONG] = True
        return may

    def mask(self, field: int, event: Tensor) -> Tensor:
        codes = torch.arange(self.sizes[field], device=self.device)
        used = event[:, TYPE] == NOTE
        if field == INSTRUMENT:
            used = used | (event[:, TYPE] == INSTRUMENT_EVENT)
        allowed = (codes > 0).expand(len(event), -1)
        if field == BEAT:
            floor = self.last_beat.clamp(min=self.bounds.first_beat + 1, max=self.bounds.max_beats)
            allowed = allowed & (codes >= floor[:, None]) & (codes <= self.bounds.max_beats)
        return torch.where(used[:, None], allowed, codes == 0)

    def foresee(self, ask: Ask) -> None:
        """Looks at nothing: each field is drawn by itself."""

    def allow(self, logits: Tensor, field: int, event: Tensor) -> Tensor:
        mask = self.type_mask() if field == TYPE else self.mask(field, event)
        return logits.masked_fill(~mask, -torch.inf)

    def keep(self, rows: Tensor) -> None:
        self.last_type, self.last_beat = self.last_type[rows], self.last_beat[rows]
