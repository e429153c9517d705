"""From the residual stream to logits: how the six fields of the next event are predicted."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class IndependentHeads(nn.Module):
    """One linear head per field, independent of each other given the past (paper, section 3.2)."""

    def __init__(self, dim: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.fields = nn.ModuleList(nn.Linear(dim, size) for size in sizes)

    def forward(self, hidden: Tensor) -> list[Tensor]:
        """Six logits (batch, length, size) of the residual stream (batch, length, dim)."""
        return [head(hidden) for head in self.fields]
