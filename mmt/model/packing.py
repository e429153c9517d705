"""A network laid out for decoding on a CPU, where each event is a few rows through all of the weights.

Its blocks and heads are the compiled ones of `mmt.model.kernels`, so that a piece is the same, to the last bit, alone and among
many. So it is with int8 weights too, which are a quarter of the bytes, with keys and values of half as many. What is read at once
(prompts, windows begun anew) is left to PyTorch and its float32 weights, a piece at a time, since its sums depend on how many
there are. Shapes as in `mmt.model.network`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

import numba
import numpy as np
import torch
from torch import Tensor, nn

from mmt.model.bfloat16 import array_of
from mmt.model.cache import Cache
from mmt.model.dropout import Dropout
from mmt.model.heads import ChainHeads, IndependentHeads
from mmt.model.kernels import (
    embed,
    linear,
    normalise,
    take_threads,
    through_block,
    with_known,
)
from mmt.model.network import Attention, Block, FeedForward, Network
from mmt.model.rotation import Rotation, turns_of
from mmt.model.sharing import share
from mmt.model.tiles import Array
from mmt.model.weights import BlockWeights, ChainWeights, Embedding, Map, Norm
from mmt.representation.codes import POSITION


def pack(network: Network) -> Network:
    """A network that computes the same and shares the weights, but takes one event of each piece faster.

    For inference alone, and for as long as the weights stay as they are: those that are read for each event are copies. Where
    the network is to decode with int8, those copies are rounded in the blocks; norms, embeddings and heads are not.

    Raises
    ------
    ValueError
        If int8 is asked for where it cannot be had.

    Examples
    --------
    >>> from mmt.model.config import NetworkConfig
    >>> network = Network(NetworkConfig(dim=32, layers=1, heads=2, head_dim=16)).eval()
    >>> pack(network).norm.weight is network.norm.weight
    True
    """
    weights, narrow = next(network.parameters()), network.decodes_with == "int8"
    if narrow:
        check_int8(weights)
    if weights.device.type != "cpu" or weights.dtype != torch.float32 or numba.config.DISABLE_JIT:
        return network
    take_threads()
    packed = share(network)
    if type(network) is Network:
        packed.__class__ = PackedNetwork
    # Whatever somebody looks into or changes (hooks), or has put in, stays what it is.
    kind: Any = {IndependentHeads: PackedHeads, ChainHeads: PackedChain}.get(type(packed.heads))
    if kind is not None and _is_plain(packed.heads):
        packed.heads = kind(packed.heads)
    for layer, block in enumerate(packed.blocks):
        if _is_plain(block):
            packed.blocks[layer] = PackedBlock(block, narrow=narrow)  # type: ignore[arg-type]
        else:
            _pack_maps(block, narrow=narrow)
    return packed


class PackedNetwork(Network):
    """A network that takes one new event of each piece without PyTorch, where all of it is as we made it."""

    def hidden(self, codes: Tensor, mask: Tensor | None = None, *, cache: Cache | None = None) -> Tensor:
        """The residual stream after the last norm, as `Network.hidden` has it."""
        alone = codes.dim() == 3 and codes.shape[1] == 1
        if cache is None or mask is not None or not alone or not self._is_packed or not self._fits(codes, cache):
            return super().hidden(codes, mask, cache=cache)
        seen, keys, values = np.array(cache.lengths), array_of(cache.keys), array_of(cache.values)
        rows, rotation = embed(_rows(codes), seen, self._embedding)
        for layer, block in enumerate(self.blocks):
            rows = block.step(rows, keys[layer], values[layer], seen, rotation)  # type: ignore[operator]
        cache.advance(1)
        return torch.from_numpy(normalise(rows, self._norm))[:, None]

    def new_cache(self, batch: int, capacity: int) -> Cache:
        """An empty cache; where the network decodes with int8, keys and values are in bfloat16, half the bytes."""
        dtype = torch.bfloat16 if self.decodes_with == "int8" and self._is_packed else None
        return Cache(self.config, batch, capacity=capacity, like=next(self.parameters()), dtype=dtype)

    def _fits(self, codes: Tensor, cache: Cache) -> bool:
        return len(codes) == len(cache.lengths) and cache.length < min(self.config.context, cache.capacity)

    @cached_property
    def _is_packed(self) -> bool:
        rest = (self.embeddings, self.positions, self.dropout, self.norm)
        packed = all(isinstance(block, PackedBlock) for block in self.blocks)
        return packed and all(part is None or _is_plain(part) for part in rest)

    @cached_property
    def _embedding(self) -> Embedding:
        turns, resolution = turns_of(self.config, torch.device("cpu")), self.config.sizes[POSITION] - 1
        return Embedding.of(self.embeddings, self.positions, turns, resolution)

    @cached_property
    def _norm(self) -> Norm:
        return Norm.of(self.norm)


class PackedLinear(nn.Module):
    """A linear map of a block that is not packed as a whole."""

    def __init__(self, linear: nn.Linear, *, narrow: bool) -> None:
        super().__init__()
        self.linear, self.of = linear, Map.of(linear.weight, linear.bias, narrow=narrow)

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.dim() == 3 and inputs.shape[1] > 1:
            return torch.cat([self.linear(piece[None]) for piece in inputs])
        return torch.from_numpy(linear(_rows(inputs), self.of)).view(*inputs.shape[:-1], -1)


def _pack_maps(within: nn.Module, *, narrow: bool) -> None:
    for module in list(within.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and _is_plain(child):
                setattr(module, name, PackedLinear(child, narrow=narrow))


class PackedBlock(nn.Module):
    """A block that takes one new event of each piece in a single step, and more of them a piece after the other."""

    def __init__(self, block: Block, *, narrow: bool = False) -> None:
        super().__init__()
        self.block = block
        attention, forward = block.attention, block.feed_forward

        def of(linear: nn.Linear) -> Map:
            return Map.of(linear.weight, linear.bias, narrow=narrow)

        self.weights = BlockWeights(
            Norm.of(block.attention_norm),
            of(attention.queries_keys_values),
            Norm.of(attention.query_norm),
            Norm.of(attention.key_norm),
            of(attention.out),
            Norm.of(block.feed_forward_norm),
            of(forward.expand),
            of(forward.contract),
        )
        self.turned = attention.rotary_values

    def forward(
        self, stream: Tensor, *, rotation: Rotation | None, visible: Tensor | None, cache: Cache | None, layer: int
    ) -> Tensor:
        if cache is not None and len(stream) != len(cache.lengths):
            raise ValueError(f"{len(stream)} pieces, but a cache of {len(cache.lengths)}")
        if cache is None or stream.shape[1] > 1:
            if visible is not None or (cache is not None and cache.length):
                return self.block(stream, rotation=rotation, visible=visible, cache=cache, layer=layer)  # type: ignore[no-any-return]
            return torch.cat([self._beginning(stream, rotation, cache, layer, row) for row in range(len(stream))])
        still = np.zeros((1, 0), np.float32)
        turning = [part.reshape(-1, part.shape[-1]).numpy() for part in rotation] if rotation else [still, still]
        keys, values = array_of(cache.keys[layer]), array_of(cache.values[layer])
        rows = self.step(_rows(stream), keys, values, np.array(cache.lengths), (turning[0], turning[1]))
        return torch.from_numpy(rows)[:, None]

    def step(self, rows: Array, keys: Array, values: Array, seen: Array, rotation: tuple[Array, Array]) -> Array:
        """What (batch, dim) becomes, see `mmt.model.kernels.through_block`."""
        return through_block(rows, self.weights, keys, values, seen, rotation, self.turned)

    def _beginning(
        self, stream: Tensor, rotation: Rotation | None, cache: Cache | None, layer: int, row: int
    ) -> Tensor:
        """What the plain block makes of one piece from its beginning."""
        if rotation is not None and rotation[0].dim() > 2:
            rotation = rotation[0][row : row + 1], rotation[1][row : row + 1]
        own = None if cache is None else cache.row(row)
        piece = stream[row : row + 1]
        return self.block(piece, rotation=rotation, visible=None, cache=own, layer=layer)  # type: ignore[no-any-return]


class PackedHeads(nn.Module):
    """Independent heads as one map, made once for all fields of an event."""

    reads_earlier_fields = False

    def __init__(self, heads: IndependentHeads) -> None:
        super().__init__()
        fields = cast("list[nn.Linear]", list(heads.fields))
        self.sizes, self.ends = _sizes_of(fields)
        self.whole = _whole([field.weight for field in fields], [field.bias for field in fields])
        # What was read last, and its logits. (In a list: a module is slow to take an attribute.)
        self._last = [(torch.empty(0), torch.empty(0))]

    def forward(self, hidden: Tensor, events: Tensor) -> list[Tensor]:
        """The logits of all six fields."""
        return list(torch.split(self.joined(hidden, events), self.sizes, dim=-1))

    def field(self, index: int, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of one field, given the earlier ones of `events`."""
        return self.joined(hidden, events)[..., self.ends[index] : self.ends[index + 1]]

    def joined(self, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of all six fields, side by side."""
        if self._last[0][0] is not hidden:
            logits = torch.from_numpy(linear(_rows(hidden), self.whole))
            self._last[0] = hidden, logits.view(*hidden.shape[:-1], -1)
        return self._last[0][1]


class PackedChain(nn.Module):
    """Chained heads with what is linear in them made one: what a hidden state says of all fields is one map, made once an
    event, and what is known adds to it by one small map a field; its embeddings are one table.
    """

    reads_earlier_fields = True

    def __init__(self, heads: ChainHeads) -> None:
        super().__init__()
        fields, mixes = cast("list[nn.Linear]", list(heads.fields)), cast("list[nn.Linear]", list(heads.mix))
        self.sizes, self.ends = _sizes_of(fields)
        later = list(zip(fields[1:], mixes, strict=True))
        weights = [field.weight for field in fields]
        biases = [fields[0].bias, *(field(mix.bias) for field, mix in later)]
        # The state is the hidden state itself, or the first outputs.
        self.width = 0
        if isinstance(heads.state, nn.Linear):
            self.width = heads.state.out_features
            weights, biases = [heads.state.weight, *weights], [heads.state.weight.new_zeros(self.width), *biases]
        self.whole = _whole(weights, biases)
        self.known = ChainWeights.of(heads.known, [field.weight @ mix.weight for field, mix in later])
        # What was read last, its state, and what it says by itself.
        self._last = [(torch.empty(0), np.empty(0), np.empty(0))]

    def forward(self, hidden: Tensor, events: Tensor) -> list[Tensor]:
        """The logits of all six fields."""
        return list(torch.split(self.joined(hidden, events), self.sizes, dim=-1))

    def joined(self, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of all six fields, side by side."""
        logits = torch.from_numpy(self._with_known(hidden, events, 1, len(self.sizes)))
        return logits.view(*hidden.shape[:-1], -1)

    def field(self, index: int, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of one field, given the earlier ones of `events`."""
        logits = self._with_known(hidden, events, index, index + 1) if index else self._alone(hidden)[1]
        one = logits[:, self.ends[index] : self.ends[index + 1]]
        return torch.from_numpy(one).view(*hidden.shape[:-1], -1)

    def _alone(self, hidden: Tensor) -> tuple[Array, Array]:
        if self._last[0][0] is not hidden:
            rows = _rows(hidden)
            made = linear(rows, self.whole)
            state = np.ascontiguousarray(made[:, : self.width]) if self.width else rows
            self._last[0] = hidden, state, np.ascontiguousarray(made[:, self.width :])
        return self._last[0][1:]

    def _with_known(self, hidden: Tensor, events: Tensor, first: int, behind: int) -> Array:
        state, alone = self._alone(hidden)
        return with_known(state, _rows(events), self.known, alone, self.ends, first, behind)


def _sizes_of(fields: list[nn.Linear]) -> tuple[list[int], Array]:
    """How many codes each field has; where each one's begin if all are side by side, and the last one's end."""
    sizes = [field.out_features for field in fields]
    return sizes, np.cumsum([0, *sizes])


def _whole(weights: list[Tensor], biases: list[Tensor] | None = None) -> Map:
    """Maps of one input as one."""
    return Map.of(torch.cat(weights), None if biases is None else torch.cat(biases))


def _rows(inputs: Tensor) -> Array:
    """(..., width) as rows, which lie one behind the other."""
    return np.ascontiguousarray(inputs.detach().numpy().reshape(-1, inputs.shape[-1]))


_KNOWN = (
    *(Block, Attention, FeedForward, IndependentHeads, ChainHeads, nn.ModuleList),
    *(nn.Linear, nn.Embedding, nn.LayerNorm, nn.Identity, Dropout),
)


def _is_plain(module: nn.Module) -> bool:
    """Whether it is made of what we know, and nobody looks into it or changes it (hooks)."""
    parts = list(module.modules())
    hooked = any(part._forward_hooks or part._forward_pre_hooks for part in parts)
    return not hooked and all(type(part) in _KNOWN for part in parts)


def check_int8(weights: Tensor) -> None:
    """Refuse what cannot be decoded with int8 weights: what is on another device, or not float32."""
    if weights.device.type != "cpu":
        raise ValueError(
            f"int8 weights are for the CPU, and the model is on {weights.device}; use device='cpu' or float32"
        )
    if weights.dtype != torch.float32:
        raise ValueError(
            f"int8 weights are made of float32 ones, and these are {weights.dtype}; use model.network.float()"
        )
