"""Causal attention for training on a CPU, computed by matrix products of one block of queries at a time.

PyTorch's fused attention on a CPU reaches a fraction of the speed of its matrix products in bfloat16 (`benchmarks/training.md`),
and has no dropout. Here each block of queries is multiplied only with the keys up to its end. Without dropout, the attention
weights are kept for the backward pass, half a matrix a head; with dropout, they are recomputed with the same dropout. Shapes:
queries, keys, values (batch, head, length, head_dim).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mmt.model.dropout import noise

# Queries in a block: the attention weights of a window then fit the processor's cache.
_BLOCK = 128


def attend_in_blocks(queries: Tensor, keys: Tensor, values: Tensor, dropout: float = 0.0) -> Tensor:
    """Causal `scaled_dot_product_attention` with `dropout_p`, faster on a CPU."""
    # In the precision of the values, like the fused attention; autocast would change that of the softmax.
    with torch.autocast(values.device.type, enabled=False):
        return _Attention.apply(queries.to(values.dtype), keys.to(values.dtype), values, dropout)  # type: ignore[no-any-return, no-untyped-call]


class _Attention(torch.autograd.Function):
    """One window at a time, because products of contiguous (head, rows, columns) tensors are fastest."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, dropout: float) -> Tensor:
        ctx.dropout, ctx.seed = dropout, int(torch.randint(2**62, ())) if dropout else 0
        scaled, keys, values = queries * queries.shape[-1] ** -0.5, keys.contiguous(), values.contiguous()
        # In memory (batch, length, head, head_dim), as the next linear map reads it.
        attended = torch.empty_like(values.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)
        kept: list[Tensor] = []
        for window, block, seen, weights, factors in _blocks(scaled, keys, dropout, ctx.seed):
            attended[window, :, block] = (weights if factors is None else weights * factors) @ values[window, :, seen]
            if factors is None:
                kept.append(weights)
        ctx.save_for_backward(scaled, keys, values, *kept)
        return attended

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        scaled, keys, values, *kept = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_queries, of_keys, of_values = torch.empty_like(scaled), torch.zeros_like(keys), torch.zeros_like(values)
        for window, block, seen, weights, factors in _blocks(scaled, keys, ctx.dropout, ctx.seed, kept):
            own = gradient[window, :, block]
            of_values[window, :, seen] += (weights if factors is None else weights * factors).mT @ own
            of_weights = own @ values[window, :, seen].mT
            if factors is not None:
                of_weights *= factors
            of_scores = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            of_queries[window, :, block] = of_scores @ keys[window, :, seen]
            of_keys[window, :, seen] += of_scores.mT @ scaled[window, :, block]
        return of_queries.mul_(scaled.shape[-1] ** -0.5), of_keys, of_values, None


def _blocks(
    scaled: Tensor, keys: Tensor, dropout: float, seed: int, kept: list[Tensor] | None = None
) -> Iterator[tuple[int, slice, slice, Tensor, Tensor | None]]:
    """Yield for each block its window, queries, visible keys, attention weights, and the factors of dropout or None.

    Weights that were kept are not recomputed.
    """
    random = torch.Generator(scaled.device).manual_seed(seed) if dropout else None
    later = torch.ones(_BLOCK, _BLOCK, dtype=torch.bool, device=scaled.device).triu(1)
    length, known = scaled.shape[2], iter(kept or ())
    for window in range(len(scaled)):
        for first in range(0, length, _BLOCK):
            stop = min(first + _BLOCK, length)
            block, seen = slice(first, stop), slice(0, stop)
            if kept:
                yield window, block, seen, next(known), None
                continue
            scores = scaled[window, :, block] @ keys[window, :, seen].mT
            scores[..., first:].masked_fill_(later[: stop - first, : stop - first], -torch.inf)
            factors = noise(scores, dropout, random) if dropout else None
            yield window, block, seen, scores.softmax(dim=-1), factors
