"""What may come next: masks over the codes of each field, so that whatever a network says, a valid piece is written.

The fields of an event are chosen in the order of the codes; each choice narrows what the next field may be.
`StrictGrammar` is the law of `mmt.representation.grammar` told from inside; `PaperGrammar` is the authors' looser
rule: type and beat never fall. What may not be drawn gets the logit minus infinity; at least one code always may.
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
    """The rules for a batch of pieces that all go on from one prompt.

    `floor` (batch, 5) is what the next note must exceed in the order of (beat, position, pitch, duration, instrument):
    the last note, or the moment before the first that is allowed. While the fields chosen so far repeat the floor, the
    next may not fall, and may repeat it only if a later one can grow.
    """

    def __init__(
        self, prompt: Events, batch: int, sizes: tuple[int, ...], bounds: Bounds, device: torch.device
    ) -> None:
        self.sizes, self.bounds = sizes, bounds
        self.codes = torch.arange(max(sizes[BEAT:]), device=device)
        tops = torch.tensor([size - 1 for size in sizes[BEAT:]], device=device)[:, None]
        # The codes of a note's five fields (5, codes): all that a network knows, and those within the bounds.
        self.known = (self.codes > 0) & (self.codes <= tops)
        tops[0] = bounds.max_beats
        self.bounded = self.known & (self.codes <= tops)

        types, notes = prompt[:, TYPE], prompt[prompt[:, TYPE] == NOTE]
        named = prompt[types == INSTRUMENT_EVENT, INSTRUMENT].tolist()
        self.length = len(prompt)
        self.last_type = torch.full((batch,), int(types[-1]), device=device)
        self.last_instrument = torch.full_like(self.last_type, max(named, default=0))
        self.last_beat = torch.full_like(self.last_type, int(notes[-1, BEAT]) if len(notes) else 0)
        self.declared = torch.zeros(batch, len(self.codes), dtype=torch.bool, device=device)
        self.declared[:, named] = True
        self.floor = torch.zeros(batch, 5, dtype=torch.long, device=device)
        if len(notes) and notes[-1, BEAT] > bounds.first_beat:
            self.floor[:] = torch.from_numpy(notes[-1, BEAT:].copy())
        elif bounds.first_beat < bounds.max_beats:
            self.floor[:, 0] = bounds.first_beat + 1
        else:
            self.floor[:] = tops[:, 0]  # no note can follow

    def advance(self, event: Tensor) -> None:
        """Take note of the event (batch, 6) that each piece went on with."""
        types = event[:, TYPE]
        named, note = types == INSTRUMENT_EVENT, types == NOTE
        self.declared |= named[:, None] & (self.codes == event[:, INSTRUMENT, None])
        self.last_instrument = torch.where(named, event[:, INSTRUMENT], self.last_instrument)
        self.floor = torch.where(note[:, None], event[:, BEAT:], self.floor)
        self.last_beat = torch.where(note, event[:, BEAT], self.last_beat)
        self.last_type = types
        self.length += 1

    def foresee(self, ask: Ask) -> None:
        """Learn how likely the next note is to be a greater one, before its fields are drawn one after the other.

        Masks alone would draw a beat that repeats the last note's, since a higher position may follow, and then be left
        with positions that the network thinks impossible. With these log-probabilities as weights, an event is drawn
        as the network has it, under the condition that it is a valid one.
        """
        logits = ask(F.pad(self.floor, (1, 0), value=NOTE))
        fields = [F.pad(field, (0, len(self.codes) - field.shape[1])) for field in logits[BEAT:]]
        declared = F.pad(self.declared[:, None], (0, 0, 4, 0), value=True)
        floor = self.floor[..., None]
        inside, higher = self.bounded & declared, self.codes > floor
        greater = inside & higher
        # Log-probabilities, (batch, 5, codes); before the first instrument none can be had.
        shares = torch.stack(fields, dim=1).masked_fill(~(self.known & declared), -torch.inf).log_softmax(dim=-1)
        shares = shares.nan_to_num(nan=-torch.inf, neginf=-torch.inf)
        above = shares.masked_fill(~greater, -torch.inf).logsumexp(dim=-1).unbind(1)
        repeats = shares.gather(-1, floor).squeeze(-1).unbind(1)
        # From the last field to the first: how likely the fields from this one on are to exceed the floor's, if all
        # before repeat them. Behind the last there is nothing to exceed it with.
        exceeds = [torch.full_like(above[0], -torch.inf)]
        for place in reversed(range(5)):
            exceeds.insert(0, torch.logaddexp(above[place], repeats[place] + exceeds[0]))
        self.note_can_follow = greater.flatten(1).any(dim=1)
        self._weigh_codes(inside, greater, torch.stack(exceeds[1:], dim=1))
        # At the last beat, whatever the network wants and cannot have is to go on to the next one.
        rest = torch.log1p(-exceeds[0].exp().clamp(max=1 - 1e-6))
        beyond = shares[:, 0].masked_fill(self.bounded[0], -torch.inf).logsumexp(dim=-1)
        self.leaves = torch.where(self._at_limit(), rest, beyond)

    def _weigh_codes(self, inside: Tensor, greater: Tensor, exceeds: Tensor) -> None:
        """What to add to a note's logits: `free` of the floor, or `tied` to it, (batch, 5, codes) each."""
        nothing = torch.zeros(inside.shape, device=inside.device)
        floor = self.floor[..., None]
        repeat = exceeds[..., None].masked_fill(~inside.gather(-1, floor), -torch.inf)
        self.free = nothing.masked_fill(~inside, -torch.inf)
        self.tied = nothing.masked_fill(~greater, -torch.inf).scatter(-1, floor, repeat)

    def allow(self, logits: Tensor, field: int, event: Tensor) -> Tensor:
        """The logits of a field (batch, size) with what the grammar forbids at minus infinity, and weighed by foresight.

        `event` (batch, 6) holds the fields that were chosen before this one.
        """
        if field == TYPE:
            return self._end_at_limit(logits).masked_fill(~self.type_mask(), -torch.inf)
        place, types = field - BEAT, event[:, TYPE, None]
        tied = (event[:, BEAT:field] == self.floor[:, :place]).all(dim=1, keepdim=True)
        weights = torch.where(tied, self.tied[:, place], self.free[:, place])
        other = self.codes == 0
        if field == INSTRUMENT:
            other = torch.where(types == INSTRUMENT_EVENT, self.codes > self.last_instrument[:, None], other)
        weights = torch.where(types == NOTE, weights, torch.where(other, 0.0, -torch.inf))
        return logits + weights[:, : logits.shape[1]]

    def type_mask(self) -> Tensor:
        """Which types may come next, (batch, 5)."""
        room, last = self.bounds.max_events - self.length, self.last_type
        may = torch.zeros(len(last), self.sizes[TYPE], dtype=torch.bool, device=last.device)
        # Behind an instrument there must be room for start-of-notes, a note and the end.
        if room > 3:
            may[:, INSTRUMENT_EVENT] = (last < START_OF_NOTES) & (self.last_instrument < self.sizes[INSTRUMENT] - 1)
        may[:, START_OF_NOTES] = last == INSTRUMENT_EVENT
        follows = (last == NOTE) & self.note_can_follow & (room > 1)
        may[:, NOTE] = (last == START_OF_NOTES) | follows
        early = (self.last_beat < self.bounds.min_beats) | (self.bounds.endless & ~self._at_limit())
        may[:, END_OF_SONG] = (last == NOTE) & ~(follows & early)
        return may

    def _end_at_limit(self, logits: Tensor) -> Tensor:
        """Give the share of notes that would leave the last beat to the end: a piece closes where it would go on."""
        note, end = logits[:, NOTE], logits[:, END_OF_SONG]
        shares = logits.clone()
        shares[:, NOTE] = note + torch.log1p(-self.leaves.exp().clamp(max=1 - 1e-6))
        shares[:, END_OF_SONG] = torch.logaddexp(end, note + self.leaves)
        return shares

    def _at_limit(self) -> Tensor:
        return self.floor[:, 0] >= self.bounds.max_beats

    def keep(self, rows: Tensor) -> None:
        """Keep only these pieces of the batch (indices), in this order."""
        for name in ("last_type", "last_instrument", "last_beat", "declared", "floor"):
            setattr(self, name, getattr(self, name)[rows])


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
        full = self.length >= self.bounds.max_events - 1
        if full or self.bounds.first_beat >= self.bounds.max_beats:
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
