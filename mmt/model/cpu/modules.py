"""The modules of a packed network: they take one new event of each piece through the kernels of `mmt.model.cpu.kernels`.

With them a row is bit-identical alone and in any batch, with float32 and with int8 weights. What the kernels do not compute goes
through PyTorch with float32 weights, one piece at a time, because PyTorch's sums depend on the batch. Shapes as in
`mmt.model.network`.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from mmt.model.cache import Cache
from mmt.model.cpu.kernels import block_step, chain_logits, embed, linear, normalise
from mmt.model.cpu.scalars import array_of
from mmt.model.cpu.weights import Array, BlockWeights, ChainWeights, EmbeddingWeights, LinearWeights, NormWeights
from mmt.model.heads import ChainHeads, IndependentHeads
from mmt.model.network import Network


class PackedNetwork(Network):
    """A network that takes one new event of each piece through the kernels, and several through PyTorch, piece by piece."""

    compiled: tuple[EmbeddingWeights, list[BlockWeights], NormWeights] | None = None
    """The weights of the kernels; None if PyTorch computes single events too."""

    def hidden(self, codes: Tensor, mask: Tensor | None = None, *, cache: Cache | None = None) -> Tensor:
        """The residual stream after the last norm, as `Network.hidden`."""
        if cache is not None and len(codes) != len(cache.lengths):
            raise ValueError(f"{len(codes)} pieces were given, but the cache holds {len(cache.lengths)}")
        one_event = codes.dim() == 3 and codes.shape[1] == 1
        if mask is not None or not len(codes):
            return super().hidden(codes, mask, cache=cache)
        if self.compiled is None or cache is None or not one_event or not self._has_room(cache):
            return self._one_by_one(codes, cache)
        embedding, blocks, norm = self.compiled
        seen, keys, values = np.array(cache.lengths), array_of(cache.keys), array_of(cache.values)
        rows, rotation = embed(_rows(codes), seen, embedding)
        for layer, weights in enumerate(blocks):
            rows = block_step(rows, weights, keys[layer], values[layer], seen, rotation, self.config.rotary_values)
        cache.advance(1)
        return torch.from_numpy(normalise(rows, norm))[:, None]

    def new_cache(self, batch: int, capacity: int) -> Cache:
        """An empty cache; with int8 weights its keys and values are bfloat16, half the bytes."""
        dtype = torch.bfloat16 if self.decodes_with == "int8" and self.compiled is not None else None
        return Cache(self.config, batch, capacity=capacity, like=next(self.parameters()), dtype=dtype)

    def _has_room(self, cache: Cache) -> bool:
        return type(cache) is Cache and cache.length < min(self.config.context, cache.capacity)

    def _one_by_one(self, codes: Tensor, cache: Cache | None) -> Tensor:
        """Read each piece alone, because PyTorch's sums depend on the batch."""
        if cache is None:
            return torch.cat([super(PackedNetwork, self).hidden(piece[None]) for piece in codes])
        rows = [cache.row(row, filled=True) for row in range(len(codes))]
        pairs = zip(codes, rows, strict=True)
        hidden = [super(PackedNetwork, self).hidden(piece[None], cache=row) for piece, row in pairs]
        cache.advance(codes.shape[1])
        return torch.cat(hidden)


class HeadsOneByOne(nn.Module):
    """Heads of any kind, applied to each piece alone, because PyTorch's sums depend on the batch."""

    def __init__(self, heads: nn.Module) -> None:
        super().__init__()
        self.heads = heads
        self.reads_earlier_fields: bool = heads.reads_earlier_fields  # type: ignore[assignment]

    def forward(self, hidden: Tensor, events: Tensor) -> list[Tensor]:
        """The logits of all six fields."""
        rows = [self.heads(hidden[row : row + 1], events[row : row + 1]) for row in range(len(hidden))]
        return [torch.cat(field) for field in zip(*rows, strict=True)]

    def field(self, index: int, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of one field, given the earlier ones of `events`."""
        field: Any = self.heads.field
        return torch.cat([field(index, hidden[row : row + 1], events[row : row + 1]) for row in range(len(hidden))])


class PackedHeads(nn.Module):
    """Independent heads as one linear map, which is applied once for all fields of an event."""

    reads_earlier_fields = False

    def __init__(self, heads: IndependentHeads) -> None:
        super().__init__()
        fields = cast("list[nn.Linear]", list(heads.fields))
        self.sizes, self.ends = _sizes_of(fields)
        self.weights = _joined([field.weight for field in fields], [_bias(field) for field in fields])
        # The latest hidden state and its logits. (In a list, because setting an attribute of a module is slow.)
        self._last = [(torch.empty(0), torch.empty(0))]

    def forward(self, hidden: Tensor, events: Tensor) -> list[Tensor]:
        """The logits of all six fields."""
        return list(torch.split(self.joined(hidden, events), self.sizes, dim=-1))

    def field(self, index: int, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of one field; `events` are not read."""
        return self.joined(hidden, events)[..., self.ends[index] : self.ends[index + 1]]

    def joined(self, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of all six fields, concatenated."""
        if self._last[0][0] is not hidden:
            logits = torch.from_numpy(linear(_rows(hidden), self.weights))
            self._last[0] = hidden, logits.view(*hidden.shape[:-1], -1)
        return self._last[0][1]


class PackedChain(nn.Module):
    """Chained heads with their linear parts merged.

    The part of the logits that depends only on the hidden state is one linear map, applied once an event. The earlier fields add
    one small linear map a field; their embeddings are one table.
    """

    reads_earlier_fields = True

    def __init__(self, heads: ChainHeads) -> None:
        super().__init__()
        fields, mixes = cast("list[nn.Linear]", list(heads.fields)), cast("list[nn.Linear]", list(heads.mix))
        self.sizes, self.ends = _sizes_of(fields)
        later = list(zip(fields[1:], mixes, strict=True))
        weights = [field.weight for field in fields]
        biases = [_bias(fields[0]), *(field(_bias(mix)) for field, mix in later)]
        # The state is the hidden state itself, or the first `width` outputs of the map.
        self.width = 0
        if isinstance(heads.state, nn.Linear):
            self.width = heads.state.out_features
            weights, biases = [heads.state.weight, *weights], [heads.state.weight.new_zeros(self.width), *biases]
        self.weights = _joined(weights, biases)
        self.known = ChainWeights.of(heads.known, [field.weight @ mix.weight for field, mix in later])
        # The latest hidden state, its state, and the part of its logits that does not depend on earlier fields.
        self._last = [(torch.empty(0), np.empty(0), np.empty(0))]

    def forward(self, hidden: Tensor, events: Tensor) -> list[Tensor]:
        """The logits of all six fields, each given the earlier fields of `events`."""
        return list(torch.split(self.joined(hidden, events), self.sizes, dim=-1))

    def joined(self, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of all six fields, concatenated."""
        logits = torch.from_numpy(self._given_earlier_fields(hidden, events, 1, len(self.sizes)))
        return logits.view(*hidden.shape[:-1], -1)

    def field(self, index: int, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of one field, given the earlier fields of `events`."""
        logits = self._given_earlier_fields(hidden, events, index, index + 1) if index else self._independent(hidden)[1]
        one = logits[:, self.ends[index] : self.ends[index + 1]]
        return torch.from_numpy(one).view(*hidden.shape[:-1], -1)

    def _independent(self, hidden: Tensor) -> tuple[Array, Array]:
        if self._last[0][0] is not hidden:
            rows = _rows(hidden)
            outputs = linear(rows, self.weights)
            state = np.ascontiguousarray(outputs[:, : self.width]) if self.width else rows
            self._last[0] = hidden, state, np.ascontiguousarray(outputs[:, self.width :])
        return self._last[0][1:]

    def _given_earlier_fields(self, hidden: Tensor, events: Tensor, first: int, stop: int) -> Array:
        state, independent = self._independent(hidden)
        return chain_logits(state, _rows(events), self.known, independent, self.ends, first, stop)


def _sizes_of(fields: list[nn.Linear]) -> tuple[list[int], Array]:
    """The number of codes of each field, and the offsets of the fields in the concatenated logits, (7,)."""
    sizes = [field.out_features for field in fields]
    return sizes, np.cumsum([0, *sizes])


def _bias(linear: nn.Linear) -> Tensor:
    bias: Tensor | None = linear.bias
    return linear.weight.new_zeros(linear.out_features) if bias is None else bias


def _joined(weights: list[Tensor], biases: list[Tensor]) -> LinearWeights:
    """Several linear maps of one input as one map."""
    return LinearWeights.of(torch.cat(weights), torch.cat(biases))


def _rows(inputs: Any) -> Array:
    """A tensor (..., width) as a contiguous array (row, width)."""
    return np.ascontiguousarray(inputs.detach().numpy().reshape(-1, inputs.shape[-1]))
