"""Causal multi-head self-attention, with modules for hooks at which its activations can be read and edited.

Shapes: inputs (batch, length, dim); queries, keys and values (batch, head, length, head_dim); scores and weights (batch, head,
query, key).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor, nn

from mmt.model.cache import Cache
from mmt.model.config import NetworkConfig
from mmt.model.positions import Rotation, rotate
from mmt.representation.arguments import described

# Queries in a block of `attend_in_blocks`: the attention weights of a window then fit the processor's cache.
_BLOCK = 128


class Attention(nn.Module):
    """Causal multi-head self-attention, without bias on queries, keys and values."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.heads, self.head_dim, self.dropout = config.heads, config.head_dim, config.dropout
        self.rotary_values = config.rotary_values
        width = config.heads * config.head_dim
        self.queries_keys_values = nn.Linear(config.dim, 3 * width, bias=False)
        self.query_norm, self.key_norm = (
            nn.LayerNorm(config.head_dim, bias=False) if config.qk_norm else nn.Identity() for _ in range(2)
        )
        # For hooks, see `mmt.model.inside`.
        self.queries, self.keys, self.values, self.scores, self.pattern = (nn.Identity() for _ in range(5))
        self.by_head, self.head_outputs = nn.Identity(), nn.Identity()
        self.out = nn.Linear(width, config.dim)

    def forward(
        self, inputs: Tensor, *, rotation: Rotation | None, visible: Tensor | None, cache: Cache | None, layer: int
    ) -> Tensor:
        """Attend; inputs are (batch, length, dim), or (batch, length, 3, head, dim): for each head's queries, keys, values."""
        batch, length = inputs.shape[:2]
        queries, keys, values = self.project(inputs, rotation)
        if is_used(self.scores) or is_used(self.pattern):
            # Scores and weights that can be read and edited.
            if cache is not None:
                attended = cache.attend_by(layer, queries, keys, values, self._weigh)
            else:
                weights = self._weigh(self._scores(queries, keys, visible), length)
                attended = F.dropout(weights, self.dropout, self.training) @ values
        elif cache is not None:
            attended = cache.attend(layer, queries, keys, values)
        elif self.training and not self.dropout and visible is None and is_on_plain_cpu(queries):
            attended = attend_in_blocks(queries, keys, values)
        else:
            attended = F.scaled_dot_product_attention(
                queries,
                keys,
                values,
                attn_mask=None if visible is None else _hidden_bias(visible, queries.dtype),
                dropout_p=self.dropout if self.training else 0.0,
                is_causal=visible is None and length > 1,
            )
        by_head = self.by_head(attended.transpose(1, 2))
        if is_used(self.head_outputs):
            weight = self.out.weight.view(-1, self.heads, self.head_dim)
            summed: Tensor = self.head_outputs(_by_piece("blhd,ohd->blho", by_head, weight)).sum(2)
            return summed if self.out.bias is None else summed + self.out.bias
        return self.out(by_head.reshape(batch, length, -1))  # type: ignore[no-any-return]

    def weights(self, inputs: Tensor, rotation: Rotation | None) -> Tensor:
        """The attention weights, (batch, head, query, key); 0 for keys after the query."""
        queries, keys, _ = self.project(inputs, rotation)
        return self._weigh(self._scores(queries, keys, None), keys.shape[2])

    def _scores(self, queries: Tensor, keys: Tensor, visible: Tensor | None) -> Tensor:
        # In place, since at long contexts new memory takes more time than the arithmetic.
        scores: Tensor = (queries @ keys.transpose(-1, -2)).mul_(self.head_dim**-0.5)
        if visible is not None:
            return scores + _hidden_bias(visible, scores.dtype)
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        return scores.masked_fill_(later, -torch.inf)

    def _weigh(self, scores: Tensor, keys: int) -> Tensor:
        """Weights of scores (batch, head, query, room), of which the first `keys` are scores; 0 for queries that see no key."""
        if not (is_used(self.scores) or is_used(self.pattern)):
            return scores.softmax(dim=-1)
        extra = (0, scores.shape[-1] - keys)
        # An edit cannot show a query what comes later.
        hidden = scores[..., :keys] <= torch.finfo(scores.dtype).min
        if is_used(self.scores):
            edited = self.scores(scores[..., :keys]).where(~hidden, scores[..., :keys])
            scores = F.pad(edited, extra, value=-torch.inf)
            blind = (scores == -torch.inf).all(-1, keepdim=True)
            weights = scores.masked_fill(blind, 0).softmax(dim=-1).masked_fill(blind, 0)
        else:
            weights = scores.softmax(dim=-1)
        if is_used(self.pattern):
            weights = F.pad(self.pattern(weights[..., :keys]).masked_fill(hidden, 0), extra)
        return weights

    def project(self, inputs: Tensor, rotation: Rotation | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (batch, head, length, head_dim) of inputs as for `forward`, normalised and rotated."""
        if inputs.dim() == 5:
            weight = self.queries_keys_values.weight.view(3, self.heads, self.head_dim, -1)
            split = _by_piece("blchi,chdi->blchd", inputs, weight)
        else:
            split = self.queries_keys_values(inputs).view(*inputs.shape[:2], 3, self.heads, self.head_dim)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        queries, keys = self.query_norm(queries), self.key_norm(keys)
        if rotation is not None:
            queries, keys = rotate(queries, rotation), rotate(keys, rotation)
            values = rotate(values, rotation) if self.rotary_values else values
        # Edits see them as (batch, length, head, head_dim).
        queries = self.queries(queries.transpose(1, 2)).transpose(1, 2)
        keys = self.keys(keys.transpose(1, 2)).transpose(1, 2)
        values = self.values(values.transpose(1, 2)).transpose(1, 2)
        return queries, keys, values


def is_used(module: nn.Module) -> bool:
    """Whether a module that is there for hooks has one, or was replaced."""
    return type(module) is not nn.Identity or bool(module._forward_hooks or module._forward_pre_hooks)


def visible_keys(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The keys that each query may see, (batch, 1, query, key): its own event and earlier ones, without padding.

    A `ValueError` unless the mask is bool and has the shape (batch, length).
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != shape:
        kind = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else described(mask)
        raise ValueError(f"mask is {kind}; it must be torch.bool (batch, length), {tuple(shape)}")
    length = mask.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    return (causal & mask[:, None, :] & mask[:, :, None])[:, None]


def _hidden_bias(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """The bias of attention scores: 0 for visible keys, else the lowest finite number.

    Not minus infinity, so that a query without visible keys attends evenly to all. Padding then gives the same finite numbers as
    in the original code, whose loss counts it.
    """
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(~visible, torch.finfo(dtype).min)


def _by_piece(equation: str, pieces: Tensor, weight: Tensor) -> Tensor:
    """`einsum` of pieces (batch, …) and a weight, one piece at a time, so that a piece is bit-identical in any batch."""
    return torch.cat([torch.einsum(equation, piece[None], weight) for piece in pieces])


def is_on_plain_cpu(inputs: Tensor) -> bool:
    """Whether operations on a tensor run eagerly on a CPU."""
    return inputs.device.type == "cpu" and not torch.compiler.is_compiling()


def attend_in_blocks(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal `scaled_dot_product_attention` for training on a CPU, by matrix products of one block of queries at a time.

    PyTorch's fused attention on a CPU reaches a fraction of the speed of its matrix products in bfloat16
    (`benchmarks/training.md`). Here each block of queries is multiplied only with the keys up to its end, and the attention
    weights, half a matrix a head, are kept for the backward pass.
    """
    # In the precision of the values, like the fused attention; autocast would change that of the softmax.
    with torch.autocast(values.device.type, enabled=False):
        return _BlockedAttention.apply(queries.to(values.dtype), keys.to(values.dtype), values)  # type: ignore[no-any-return, no-untyped-call]


class _BlockedAttention(torch.autograd.Function):
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
