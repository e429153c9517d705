"""Causal attention for training on a CPU: a block of queries at a time, with matrix products alone.

PyTorch's fused attention on a CPU reaches a fraction of its matrix products' speed in bfloat16 (`benchmarks/training.md`), and
has no dropout. Here a block of queries sees the keys up to its own end only. Without dropout the weights are kept for the
backward pass, half of a matrix a head; with dropout they are computed again, with the same ones dropped. Shapes: queries, keys,
values (batch, head, length, head_dim).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mmt.model.dropout import noise

# Queries in a block: the weights of a window's heads stay in the processor's cache.
_BLOCK = 128


def attend_in_blocks(queries: Tensor, keys: Tensor, values: Tensor, dropout: float = 0.0) -> Tensor:
    """What causal `scaled_dot_product_attention` with `dropout_p` computes, in less time on a CPU."""
    # In the values' precision, as the fused attention does it: autocast would take the softmax in another.
    with torch.autocast(values.device.type, enabled=False):
        return _Attention.apply(queries.to(values.dtype), keys.to(values.dtype), values, dropout)  # type: ignore[no-any-return, no-untyped-call]


class _Attention(torch.autograd.Function):
    """A window at a time; products are of three dimensions, (head, rows, columns), and of tensors that are contiguous."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, dropout: float) -> Tensor:
        ctx.dropout, ctx.seed = dropout, int(torch.randint(2**62, ())) if dropout else 0
        scaled, keys, values = queries * queries.shape[-1] ** -0.5, keys.contiguous(), values.contiguous()
        # The heads of an event lie side by side, as the linear map that follows expects them.
        attended = torch.empty_like(values.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)
        kept: list[Tensor] = []
        for window, block, seen, weights, grown in _blocks(scaled, keys, dropout, ctx.seed):
            attended[window, :, block] = (weights if grown is None else weights * grown) @ values[window, :, seen]
            if grown is None:
                kept.append(weights)
        ctx.save_for_backward(scaled, keys, values, *kept)
        return attended

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        scaled, keys, values, *kept = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_queries, of_keys, of_values = torch.empty_like(scaled), torch.zeros_like(keys), torch.zeros_like(values)
        for window, block, seen, weights, grown in _blocks(scaled, keys, ctx.dropout, ctx.seed, kept):
            own = gradient[window, :, block]
            of_values[window, :, seen] += (weights if grown is None else weights * grown).mT @ own
            of_weights = own @ values[window, :, seen].mT
            if grown is not None:
                of_weights *= grown
            of_scores = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            of_queries[window, :, block] = of_scores @ keys[window, :, seen]
            of_keys[window, :, seen] += of_scores.mT @ scaled[window, :, block]
        return of_queries.mul_(scaled.shape[-1] ** -0.5), of_keys, of_values, None


def _blocks(
    scaled: Tensor, keys: Tensor, dropout: float, seed: int, kept: list[Tensor] | None = None
) -> Iterator[tuple[int, slice, slice, Tensor, Tensor | None]]:
    """Window, queries, the keys that they see, their weights, and what these are multiplied by (0 where one is dropped).

    Weights that were kept are not computed again.
    """
    random = torch.Generator(scaled.device).manual_seed(seed) if dropout else None
    later = torch.ones(_BLOCK, _BLOCK, dtype=torch.bool, device=scaled.device).triu(1)
    length, known = scaled.shape[2], iter(kept or ())
    for window in range(len(scaled)):
        for first in range(0, length, _BLOCK):
            behind = min(first + _BLOCK, length)
            block, seen = slice(first, behind), slice(0, behind)
            if kept:
                yield window, block, seen, next(known), None
                continue
            scores = scaled[window, :, block] @ keys[window, :, seen].mT
            scores[..., first:].masked_fill_(later[: behind - first, : behind - first], -torch.inf)
            grown = noise(scores, dropout, random) if dropout else None
            yield window, block, seen, scores.softmax(dim=-1), grown
