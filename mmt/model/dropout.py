"""Dropout for a CPU in a third of the time of PyTorch's, which draws one random number for each element.

Here 64 random bits serve four elements. On other devices, and in compiled graphs, PyTorch's own dropout is used.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor, nn

# Random bits for each element: the share is rounded to a multiple of 1 / 65,536.
_BITS, _DTYPE = 16, torch.int16


class Dropout(nn.Module):
    """In training, set each element to 0 with probability `share`, and scale the others to keep the mean."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, inputs: Tensor) -> Tensor:
        return drop(inputs, self.share) if self.training else inputs


def drop(inputs: Tensor, share: float) -> Tensor:
    """`torch.nn.functional.dropout` in training, with PyTorch's global generator."""
    if not share:
        return inputs
    if not is_on_plain_cpu(inputs):
        return F.dropout(inputs, share)
    return inputs * noise(inputs, share)


def is_on_plain_cpu(inputs: Tensor) -> bool:
    """Whether operations on a tensor run eagerly on a CPU."""
    return inputs.device.type == "cpu" and not torch.compiler.is_compiling()


def noise(inputs: Tensor, share: float, random: torch.Generator | None = None) -> Tensor:
    """The factors of dropout, in the shape and type of `inputs`: 0 or 1 / (1 - share)."""
    values = 2**_BITS
    dropped = min(round(share * values), values - 1)
    bits = torch.empty(-(-inputs.numel() * _BITS // 64), dtype=torch.int64).random_(-(2**63), None, generator=random)
    own = bits.view(_DTYPE)[: inputs.numel()].view(inputs.shape)
    # Written in the type of the inputs, which is faster than converting booleans.
    kept = torch.ge(own, dropped - values // 2, out=torch.empty(inputs.shape, dtype=inputs.dtype))
    return kept.mul_(values / (values - dropped))
