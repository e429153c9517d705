"""Causal attention some of whose weights are dropped, for training on a CPU: a block of queries at a time.

PyTorch's fused attention knows no dropout on a CPU: it would hold every matrix of weights, several times over, until the
backward pass. Here a block of queries sees the keys up to its own end alone, and its weights are computed again, with the
same ones dropped, when the backward pass needs them. Shapes: queries, keys, values (batch, head, length, head_dim).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mmt.model.dropout import noise

# Queries in a block: their weights stay in the processor's cache.
_BLOCK = 128


def attend_with_dropout(queries: Tensor, keys: Tensor, values: Tensor, dropout: float) -> Tensor:
    """What causal `scaled_dot_product_attention` with `dropout_p` computes, in less time and memory on a CPU."""
    # In the values' precision, as the fused attention does it: autocast would take the softmax in another.
    with torch.autocast(values.device.type, enabled=False):
        return _Attention.apply(queries.to(values.dtype), keys.to(values.dtype), values, dropout)  # type: ignore[no-any-return, no-untyped-call]


class _Attention(torch.autograd.Function):
    """Nothing but its arguments and its result is kept, and nothing that is computed on the way lies between them for long."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, dropout: float) -> Tensor:
        ctx.dropout, ctx.seed = dropout, int(torch.randint(2**62, ()))
        # The heads of an event lie side by side, as the linear map that follows wants them.
        attended = torch.empty_like(values.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)
        for block, seen, weights, grown in _blocks(queries, keys, dropout, ctx.seed):
            attended[:, :, block] = weights.mul_(grown) @ values[:, :, seen]
        ctx.save_for_backward(queries, keys, values, attended)
        return attended

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        queries, keys, values, attended = ctx.saved_tensors
        of_queries, of_keys, of_values = (torch.zeros_like(tensor) for tensor in (queries, keys, values))
        scale = queries.shape[-1] ** -0.5
        for block, seen, weights, grown in _blocks(queries, keys, ctx.dropout, ctx.seed):
            own = gradient[:, :, block]
            of_values[:, :, seen] += (weights * grown).transpose(-1, -2) @ own
            # The softmax's gradient, whose row sums are those of what came out times its gradient.
            sums = (own * attended[:, :, block]).sum(dim=-1, keepdim=True)
            of_scores = (own @ values[:, :, seen].transpose(-1, -2)).mul_(grown).sub_(sums).mul_(weights)
            of_scores *= scale
            of_queries[:, :, block] = of_scores @ keys[:, :, seen]
            of_keys[:, :, seen] += of_scores.transpose(-1, -2) @ queries[:, :, block]
        return of_queries, of_keys, of_values, None


def _blocks(queries: Tensor, keys: Tensor, dropout: float, seed: int) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """Some queries, the keys that they see, their weights, and what each of these is multiplied by: 0 where it is dropped."""
    random = torch.Generator(queries.device).manual_seed(seed)
    length = queries.shape[2]
    for first in range(0, length, _BLOCK):
        block, seen = slice(first, min(first + _BLOCK, length)), slice(0, min(first + _BLOCK, length))
        scores = (queries[:, :, block] * queries.shape[-1] ** -0.5) @ keys[:, :, seen].transpose(-1, -2)
        own = scores[..., first:]
        own.masked_fill_(torch.ones(own.shape[-2:], dtype=torch.bool, device=own.device).triu(1), -torch.inf)
        yield block, seen, scores.softmax(dim=-1), noise(scores, dropout, random)
