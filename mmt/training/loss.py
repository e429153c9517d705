"""The loss: nats of every code that carries information, and of nothing else.

A target counts where it says something: the type at every event but the first, the instrument at instrument events
and notes, the other four fields at notes; never padding. Nothing is known of the grammar here. Loss per note is all
counted nats over the number of targets that are notes: models are compared by it.

Given notes are read, never a target: at every place the target is the next written event (`next_written`).
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
    """Summed losses of some events: nats and counted targets per field, each (6,), and the targets that are notes, ()."""

    nats: Tensor
    targets: Tensor
    notes: Tensor

    @property
    def per_field(self) -> Tensor:
        """Mean nats per counted target of each field, (6,)."""
        return self.nats / self.targets.clamp(min=1)

    @property
    def per_note(self) -> Tensor:
        """All counted nats over the number of notes, ()."""
        return self.nats.sum() / self.notes.clamp(min=1)

    def __add__(self, other: Losses) -> Losses:
        return Losses(self.nats + other.nats, self.targets + other.targets, self.notes + other.notes)


def counted_targets(codes: Tensor, lengths: Tensor) -> Tensor:
    """What each event but the last is to predict: (batch, length - 1, 6), -100 where a target does not count.

    Targets are those of `next_written`. A place after which a row has no written event has no target. The last event of a
    row is only predicted, never read, so `mmt.corpus.windows.cut_augmented_window` puts the next written event there,
    end-of-song if nothing more is written.

    Parameters
    ----------
    codes : Tensor of int64, (batch, length, 6)
    lengths : Tensor of int64, (batch,)
        Events of each row; what is behind is padding.
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
    """The summed losses of a batch.

    Parameters
    ----------
    logits : six Tensor, (batch, length - 1, size)
        Of the events before each target: the network's answer to `codes[:, :-1]`.
    codes, lengths
        As for `counted_targets`.
    """
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
    """The loss of a batch as the original code takes it: each field's mean over all places, padding and zeros included.

    Their loss is the sum of the six means, and a split's is the mean over its batches; so a batch counts here as one
    target of each field and as one note, and `per_note` is their figure. The network must have been given the mask, since
    what it says at padding is counted.

    Parameters
    ----------
    logits, codes
        As for `losses`.
    """
    means = [
        F.cross_entropy(logits[field].flatten(0, 1).float(), codes[:, 1:, field].flatten())
        for field in range(len(FIELDS))
    ]
    one = torch.ones((), device=codes.device)
    return Losses(torch.stack(means), one.expand(len(FIELDS)), one)
