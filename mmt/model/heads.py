"""From the residual stream to logits: how the six fields of the next event are predicted.

Hidden states are (..., dim): the residual stream after the last norm. Events are (..., 6) codes, of which a head may read
only the fields before its own. Logits are (..., size).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor, nn

from mmt.model.config import Heads
from mmt.representation.codes import GIVEN_NOTE, TYPE


def next_written(codes: Tensor) -> Tensor:
    """The target of each event but the last: the next event that is no given note.

    Sampling draws the next written event at every place, also where a given note comes next: if the drawn note sorts after
    that given note, it inserts the given note and draws again. So the target before a given note is the written event after
    it. Left out there, a network would learn only from places where a written note came first.

    Parameters
    ----------
    codes : Tensor of int64, (batch, length, 6)

    Returns
    -------
    Tensor of int64, (batch, length - 1, 6)
        `codes[:, 1:]` where there are no given notes. Where no written event follows, the last event of the row; it does not
        count (see `counted_targets`).

    Examples
    --------
    >>> next_written(torch.tensor([[[2], [5], [3], [4]]]).expand(1, 4, 6))[0, :, 0].tolist()
    [3, 3, 4]
    """
    places = next_written_places(codes).clamp(max=codes.shape[1] - 1)
    return codes.gather(1, places[..., None].expand(-1, -1, codes.shape[2]))


def next_written_places(codes: Tensor) -> Tensor:
    """Where the target of each event but the last stands in its row, (batch, length - 1); the length if there is none."""
    length = codes.shape[1]
    if length < 2:
        return codes.new_empty((len(codes), 0))
    places = torch.arange(1, length, device=codes.device)
    places = places.where(codes[:, 1:, TYPE] != GIVEN_NOTE, length)
    return places.flip(1).cummin(1).values.flip(1)


class IndependentHeads(nn.Module):
    """One linear head per field, independent of each other given the past (paper, section 3.2)."""

    reads_earlier_fields = False

    def __init__(self, dim: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.fields = nn.ModuleList(nn.Linear(dim, size) for size in sizes)

    def forward(self, hidden: Tensor, events: Tensor) -> list[Tensor]:
        """The logits of all six fields; `events` are of no interest here."""
        return [self.field(index, hidden, events) for index in range(len(self.fields))]

    def field(self, index: int, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of one field."""
        return self.fields[index](hidden)  # type: ignore[no-any-return]


class ChainHeads(nn.Module):
    """Each head reads the earlier fields of the event that it predicts, in the order of the codes.

    What is known is embedded, added to the hidden state and goes through one layer back onto it. That layer begins at zero:
    the heads are independent until training makes them know each other. Where they are `mixed`, it is a projection of the
    hidden state that what is known is added to. (The paper names their independence as its weak point, 4.2; Nested Music
    Transformer, ISMIR 2024, compares ways to lift it; `benchmarks/heads.md` is our comparison.)
    """

    reads_earlier_fields = True

    def __init__(self, dim: int, sizes: Sequence[int], *, mixed: bool = False) -> None:
        super().__init__()
        self.state = nn.Linear(dim, dim, bias=False) if mixed else nn.Identity()
        self.known = nn.ModuleList(nn.Embedding(size, dim) for size in sizes[:-1])
        self.mix = nn.ModuleList(nn.Linear(dim, dim) for _ in sizes[1:])
        self.fields = nn.ModuleList(nn.Linear(dim, size) for size in sizes)
        for embedding in self.known:
            nn.init.normal_(embedding.weight, std=1.0 if mixed else (2 / dim) ** 0.5)  # type: ignore[arg-type]
        for mix in self.mix:
            nn.init.zeros_(mix.weight)  # type: ignore[arg-type]
            nn.init.zeros_(mix.bias)  # type: ignore[arg-type]

    def forward(self, hidden: Tensor, events: Tensor) -> list[Tensor]:
        """The logits of all six fields, each for the event whose earlier fields are those of `events`."""
        logits, known = [self.fields[0](hidden)], self.state(hidden)
        for index, mix in enumerate(self.mix, start=1):
            # In the precision of the state, which autocast may have lowered.
            known = known + self.known[index - 1](events[..., index - 1]).to(known.dtype)
            logits.append(self.fields[index](hidden + mix(F.gelu(known))))
        return logits

    def field(self, index: int, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of one field, given the earlier ones of `events`."""
        if index == 0:
            return self.fields[0](hidden)  # type: ignore[no-any-return]
        codes = events[..., :index].unbind(-1)
        known = self.state(hidden) + torch.stack([e(c) for e, c in zip(self.known, codes, strict=False)]).sum(0)
        return self.fields[index](hidden + self.mix[index - 1](F.gelu(known)))  # type: ignore[no-any-return]


HEADS: dict[Heads, Callable[[int, Sequence[int]], IndependentHeads | ChainHeads]] = {
    "independent": IndependentHeads,
    "chain": ChainHeads,
    "mixed": partial(ChainHeads, mixed=True),
}
