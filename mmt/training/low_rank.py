"""Low-rank adaptation (LoRA): a trained linear map stays, and a product of two thin matrices that is added to it learns.

A map (out, in) of rank r learns r * (out + in) numbers in place of out * in. (Hu et al., LoRA, ICLR 2022, section 4.1.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

# The paper's alpha / r, which it leaves at a constant: how much faster than the whole map the product learns.
_SCALE = 2.0


class LowRank(nn.Module):
    """A weight (out, in) plus `up` (out, rank) times `down` (rank, in). It begins as the weight alone: `up` is zero."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.down = nn.Parameter(torch.randn(rank, inputs) * inputs**-0.5)
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + _SCALE * self.up @ self.down


def add_low_rank(network: nn.Module, rank: int) -> None:
    """Let low-rank additions to a network's linear maps learn, and nothing else; the network computes what it did.

    A rank of more than a map's smaller side would add nothing: that side is its rank then.
    """
    network.requires_grad_(False)
    for module in [module for module in network.modules() if isinstance(module, nn.Linear)]:
        addition = LowRank(module.weight, min(rank, *module.weight.shape))
        parametrize.register_parametrization(module, "weight", addition)
