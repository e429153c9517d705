"""A network laid out for decoding on a CPU, where each event is a few rows through all of the weights.

oneDNN reads weights in blocks at the speed of the memory, and adds up each row in one order whatever the batch, so that a
piece is the same, to the last bit, alone and among many. Shapes as in `mmt.model.network`.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from mmt.model.network import Network

# The number of rows that the blocks are made for; any number of rows may be multiplied.
_ROWS = 64


def pack(network: Network) -> Network:
    """A network that computes the same and shares the weights, but has its linear maps packed where that is faster.

    For inference alone, and for as long as the weights stay as they are: the packed ones are copies.

    Examples
    --------
    >>> from mmt.model.config import NetworkConfig
    >>> network = Network(NetworkConfig(dim=32, layers=1, heads=2, head_dim=16)).eval()
    >>> pack(network).norm.weight is network.norm.weight
    True
    """
    if not _is_packable(next(network.parameters())):
        return network
    packed = copy.deepcopy(network, {id(parameter): parameter for parameter in network.parameters()})
    for module in packed.modules():
        for name, child in module.named_children():
            # One that somebody looks into or changes (hooks) stays what it is.
            if type(child) is nn.Linear and not child._forward_hooks and not child._forward_pre_hooks:
                setattr(module, name, PackedLinear(child))
    return packed


class PackedLinear(nn.Module):
    """A linear map with its weights in oneDNN's blocks."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.bias = linear.bias
        self.weight = _packed(linear.weight.detach())

    def forward(self, inputs: Tensor) -> Tensor:
        rows = inputs.reshape(-1, inputs.shape[-1])
        if len(rows) == 1:
            # One row alone would take another road, and be added up in another order.
            return _linear(torch.cat((rows, rows)), self.weight, self.bias)[:1].view(*inputs.shape[:-1], -1)
        return _linear(rows, self.weight, self.bias).view(*inputs.shape[:-1], -1)


def _is_packable(weights: Tensor) -> bool:
    if weights.device.type != "cpu" or weights.dtype != torch.float32 or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    # Not of torch's public names, so a version without them is met with the plain road.
    return all(hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))


def _packed(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
    return packed


def _linear(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return out
