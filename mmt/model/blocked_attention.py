"""Causal attention for training on a CPU, computed by matrix products of one block of queries at a time.

PyTorch's fused attention on a CPU reaches a fraction of the speed of its matrix products in bfloat16 (`benchmarks/training.md`).
Here each block of queries is multiplied only with the keys up to its end, and the attention weights, half a matrix a head, are
kept for the backward pass. Shapes: queries, keys, values (batch, head, length, head_dim).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

# Queries in a block: the attention weights of a window then fit the processor's cache.
_BLOCK = 128


def is_on_plain_cpu(inputs: Tensor) -> bool:
    """Whether operations on a tensor run eagerly on a CPU."""
    return inputs.device.type == "cpu" and not torch.compiler.is_compiling()


def attend_in_blocks(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal `scaled_dot_product_attention`, faster on a CPU."""
    # In the precision of the values, like the fused attention; autocast would change that of the softmax.
    with torch.autocast(values.device.type, enabled=False):
        return _Attention.apply(queries.to(values.dtype), keys.to(values.dtype), values)  # type: ignore[no-any-return, no-untyped-call]


class _Attention(torch.autograd.Function):
    """One window at a time, because products of contiguous (head, rows, columns) tensors are fastest."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        scaled, keys, values = queries * queries.shape[-1] ** -0.5, keys.contiguous(), values.contiguous()
        # In memory (batch, length, head, head_dim), as the next linear map reads it.
        attended = torch.empty_like(values.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)
        later = torch.ones(_BLOCK, _BLOCK, dtype=torch.bool, device=scaled.device).triu(1)
        kept: list[Tensor] = []
        for window, block, seen in _blocks(scaled):
            scores, size = scaled[window, :, block] @ keys[window, :, seen].mT, block.stop - block.start
            scores[..., block].masked_fill_(later[:size, :size], -torch.inf)
            kept.append(scores.softmax(dim=-1))
            attended[window, :, block] = kept[-1] @ values[window, :, seen]
        ctx.save_for_backward(scaled, keys, values, *kept)
        return attended

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scaled, keys, values, *kept = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_queries, of_keys, of_values = torch.empty_like(scaled), torch.zeros_like(keys), torch.zeros_like(values)
        for (window, block, seen), weights in zip(_blocks(scaled), kept, strict=True):
            own = gradient[window, :, block]
            of_values[window, :, seen] += weights.mT @ own
            of_weights = own @ values[window, :, seen].mT
            of_scores = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            of_queries[window, :, block] = of_scores @ keys[window, :, seen]
            of_keys[window, :, seen] += of_scores.mT @ scaled[window, :, block]
        return of_queries.mul_(scaled.shape[-1] ** -0.5), of_keys, of_values


def _blocks(queries: Tensor) -> Iterator[tuple[int, slice, slice]]:
    """Yield the window, the queries and the visible keys of each block."""
    length = queries.shape[2]
    for window in range(len(queries)):
        for first in range(0, length, _BLOCK):
            stop = min(first + _BLOCK, length)
            yield window, slice(first, stop), slice(0, stop)
