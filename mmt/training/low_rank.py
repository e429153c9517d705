"""Low-rank adaptation (LoRA): freeze linear maps, and train a product of two thin matrices that is added to each.

With rank r, a map (out, in) has r * (out + in) trainable numbers instead of out * in. (Hu et al., LoRA, ICLR 2022,
section 4.1.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

# The paper's alpha / r, a constant scale of the product.
_SCALE = 2.0


class LowRank(nn.Module):
    """A weight (out, in) plus `up` (out, rank) times `down` (rank, in); `up` is initialised to zero."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.down = nn.Parameter(torch.randn(rank, inputs) * inputs**-0.5)
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + _SCALE * self.up @ self.down


def add_low_rank(network: nn.Module, rank: int) -> None:
    """Freeze a network and add trainable low-rank additions to its linear maps; its output does not change.

    The rank of a map is at most its smaller dimension.
    """
    network.requires_grad_(False)
    for module in [module for module in network.modules() if isinstance(module, nn.Linear)]:
        addition = LowRank(module.weight, min(rank, *module.weight.shape))
        parametrize.register_parametrization(module, "weight", addition)
