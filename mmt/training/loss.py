"""The training loss: cross-entropy in nats over the codes that carry information.

A target counts if it carries information: the type for every event but the first, the instrument for instrument events and
notes, the other four fields for notes; padding never counts. The grammar is not used. The loss per note is the sum of all
counted nats divided by the number of target notes; models are compared by it.

Given notes are inputs, never targets: the target at every position is the next written event (`next_written`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor

from mmt.model.heads import next_written, next_written_places
from mmt.representation.codes import FIELDS, INSTRUMENT, INSTRUMENT_EVENT, NOTE, TYPE

_UNCOUNTED = -100


@dataclass(frozen=True)
class Losses:
    """Summed losses: nats and number of counted targets per field, each (6,), and number of target notes, ()."""

    nats: Tensor
    targets: Tensor
    notes: Tensor

    @property
    def per_field(self) -> Tensor:
        """Mean nats per counted target of each field, (6,)."""
        return self.nats / self.targets.clamp(min=1)

    @property
    def per_note(self) -> Tensor:
        """All counted nats divided by the number of notes, ()."""
        return self.nats.sum() / self.notes.clamp(min=1)

    def __add__(self, other: Losses) -> Losses:
        return Losses(self.nats + other.nats, self.targets + other.targets, self.notes + other.notes)


def counted_targets(codes: Tensor, lengths: Tensor) -> Tensor:
    """The target of each event but the last, (batch, length - 1, 6); -100 for codes that do not count.

    Targets of codes (batch, length, 6) are those of `next_written`; positions that no written event follows have no target. A
    row has `lengths` (batch,) events and then padding. Its last event is only a target, never an input, so
    `mmt.corpus.windows.cut_augmented_window` puts the next written event there, or end-of-song if nothing more is written.
    """
    targets = next_written(codes)
    types = targets[..., TYPE]
    inside = next_written_places(codes) < lengths[:, None]
    note = inside & (types == NOTE)
    counts = note[..., None].expand(targets.shape).clone()
    counts[..., TYPE] = inside
    counts[..., INSTRUMENT] = note | (inside & (types == INSTRUMENT_EVENT))
    return targets.masked_fill(~counts, _UNCOUNTED)


def losses(logits: Sequence[Tensor], codes: Tensor, lengths: Tensor) -> Losses:
    """The summed losses of a batch, from the network's logits (batch, length - 1, size) of each field for `codes[:, :-1]`."""
    targets = counted_targets(codes, lengths)
    nats = [
        F.cross_entropy(
            logits[field].flatten(0, 1).float(), targets[..., field].flatten(), reduction="sum", ignore_index=_UNCOUNTED
        )
        for field in range(len(FIELDS))
    ]
    counted = targets != _UNCOUNTED
    notes = counted[..., TYPE] & (targets[..., TYPE] == NOTE)
    return Losses(torch.stack(nats), counted.sum(dim=(0, 1)), notes.sum())


def original_losses(logits: Sequence[Tensor], codes: Tensor) -> Losses:
    """The loss of the original code: the mean of each field over all positions, including padding and zeros.

    Their loss is the sum of the six means, averaged over the batches of a split. Here, a batch counts as one target of each
    field and as one note, so that `per_note` is their figure. The network needs the mask, since its output at padding
    counts.
    """
    means = [
        F.cross_entropy(logits[field].flatten(0, 1).float(), codes[:, 1:, field].flatten())
        for field in range(len(FIELDS))
    ]
    one = torch.ones((), device=codes.device)
    return Losses(torch.stack(means), one.expand(len(FIELDS)), one)
