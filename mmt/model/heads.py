"""Output heads: from hidden states to the logits of the six fields of the next event. `HEADS` lists them.

Hidden states (..., dim) are the residual stream after the last norm. Events are (..., 6) codes; the head of a field may read
only the fields before it. Logits are (..., size).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor, nn

from mmt.representation.codes import GIVEN_NOTE, TYPE


def next_written(codes: Tensor) -> Tensor:
    """The targets of all events but the last: for each, the next event that is not a given note.

    Sampling draws the next written event at every place, also before a given note: if the drawn note sorts after the given
    note, sampling inserts the given note and draws again. So the target before a given note is the written event after it.
    Without these targets, a network would learn only from places where a written note came first.

    For codes (batch, length, 6), the targets are (batch, length - 1, 6): `codes[:, 1:]` if there are no given notes. Where no
    written event follows, the target is the last event of the row, which the loss ignores (see `counted_targets`).

    >>> next_written(torch.tensor([[[2], [5], [3], [4]]]).expand(1, 4, 6))[0, :, 0].tolist()
    [3, 3, 4]
    """
    places = next_written_places(codes).clamp(max=codes.shape[1] - 1)
    return codes.gather(1, places[..., None].expand(-1, -1, codes.shape[2]))


def next_written_places(codes: Tensor) -> Tensor:
    """The indices of the targets in their rows, (batch, length - 1); the row's length if there is no target."""
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
        """The logits of all six fields; `events` are not read."""
        return [self.field(index, hidden, events) for index in range(len(self.fields))]

    def field(self, index: int, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of one field."""
        return self.fields[index](hidden)  # type: ignore[no-any-return]


class ChainHeads(nn.Module):
    """Heads that each read the earlier fields of the event that they predict, in the order of the codes.

    The earlier fields are embedded, added to the hidden state, and passed through one layer back onto it. That layer is
    initialised to zero, so the heads start independent. With `mixed`, the embeddings are added to a projection of the hidden
    state. (The paper names independent heads as its weak point, 4.2; Nested Music Transformer, ISMIR 2024, compares
    alternatives; `benchmarks/heads.md` is our comparison.)
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
        for parameter in self.mix.parameters():
            nn.init.zeros_(parameter)

    def forward(self, hidden: Tensor, events: Tensor) -> list[Tensor]:
        """The logits of all six fields, each given the earlier fields of `events`."""
        logits, known = [self.fields[0](hidden)], self.state(hidden)
        for index, mix in enumerate(self.mix, start=1):
            # Autocast may have lowered the precision of the state.
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


HEADS: dict[str, Callable[[int, Sequence[int]], IndependentHeads | ChainHeads]] = {
    "independent": IndependentHeads,
    "chain": ChainHeads,
    "mixed": partial(ChainHeads, mixed=True),
}
"""The values of `NetworkConfig.output`. Add an entry to add heads, see `docs/extend.md`."""
