"""Causal attention some of whose weights are dropped, for training on a CPU: a block of queries at a time.

PyTorch's fused attention knows no dropout on a CPU: it would hold every matrix of weights, several times over, until the
backward pass. Here a block of queries sees the keys up to its own end alone, and its weights are computed again, with the
same ones dropped, when the backward pass needs them. Shapes: queries, keys, values (batch, head, length, head_dim).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# Queries in a block: their weights stay in the processor's cache.
_BLOCK = 128


def attend_with_dropout(queries: Tensor, keys: Tensor, values: Tensor, dropout: float) -> Tensor:
    """What causal `scaled_dot_product_attention` with `dropout_p` computes, in less time and memory on a CPU."""
    blocks = [
        checkpoint(
            _attend_block,
            queries[:, :, first : first + _BLOCK],
            keys[:, :, : first + _BLOCK],
            values[:, :, : first + _BLOCK],
            dropout,
            use_reentrant=False,
        )
        for first in range(0, queries.shape[2], _BLOCK)
    ]
    return torch.cat(blocks, dim=2)


def _attend_block(queries: Tensor, keys: Tensor, values: Tensor, dropout: float) -> Tensor:
    """The last queries of a piece attend to its keys, each to those up to its own."""
    scores = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
    rows, columns = scores.shape[-2:]
    later = torch.ones(rows, columns, dtype=torch.bool, device=scores.device).triu(1 + columns - rows)
    weights = scores.masked_fill(later, -torch.inf).softmax(dim=-1)
    return F.dropout(weights, dropout).to(values.dtype) @ values
