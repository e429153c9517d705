"""The modules of a packed network: they take one new event of each piece through the kernels of `mmt.model.cpu.kernels`.

With them a row is bit-identical alone and in any batch, with float32 and with int8 weights. Several events at once (prompts, or a
window that is read again) go through PyTorch with float32 weights, one piece at a time, because PyTorch's sums depend on the
batch. Shapes as in `mmt.model.network`.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)
from torch import Tensor, nn

from mmt.model.cache import Cache
from mmt.model.cpu.kernels import attend, block_step, chain_logits, embed, linear, normalise
from mmt.model.cpu.scalars import array_of
from mmt.model.cpu.weights import Array, BlockWeights, ChainWeights, EmbeddingWeights, LinearWeights, NormWeights
from mmt.model.heads import ChainHeads, IndependentHeads
from mmt.model.network import Block, Network
from mmt.model.positions import Rotation
from mmt.model.reading import Reading
from mmt.model.sharing import share


class PackedNetwork(Network):
    """A network that takes single events through the kernels, if they support all of its parts."""

    compiled: tuple[EmbeddingWeights, NormWeights] | None = None
    """The embedding and the last norm; None if PyTorch must compute them, or one of the blocks."""

    def hidden(self, codes: Tensor, mask: Tensor | None = None, *, cache: Cache | None = None) -> Tensor:
        """The residual stream after the last norm, as `Network.hidden`."""
        one_event = codes.dim() == 3 and codes.shape[1] == 1
        if self.compiled is None or not one_event or mask is not None or not self._has_room(codes, cache):
            return super().hidden(codes, mask, cache=cache)
        assert cache is not None
        embedding, norm = self.compiled
        seen, keys, values = np.array(cache.lengths), array_of(cache.keys), array_of(cache.values)
        if self.reading is not None:
            self.reading.begin(codes, cache.places(1), cache)
        rows, rotation = embed(_rows(codes), seen, embedding)
        rows = _edited(self.dropout, rows)
        for layer, block in enumerate(self.blocks):
            if isinstance(block, PackedBlock):
                rows = block.step(rows, keys[layer], values[layer], seen, rotation)
            else:
                rows = _step_in_pytorch(block, rows, rotation, cache, layer)
        cache.advance(1)
        return torch.from_numpy(_edited(self.norm, normalise(rows, norm)))[:, None]

    def new_cache(self, batch: int, capacity: int) -> Cache:
        """An empty cache; with int8 weights its keys and values are bfloat16, half the bytes."""
        dtype = torch.bfloat16 if self.decodes_with == "int8" and self.compiled is not None else None
        return Cache(self.config, batch, capacity=capacity, like=next(self.parameters()), dtype=dtype)

    def _has_room(self, codes: Tensor, cache: Cache | None) -> bool:
        if type(cache) is not Cache or len(codes) != len(cache.lengths):
            return False
        return cache.length < min(self.config.context, cache.capacity)


class PackedLinear(nn.Linear):
    """A linear map inside a block that is not packed as a whole."""

    packed: LinearWeights

    @classmethod
    def of(cls, plain: nn.Linear, *, int8: bool) -> PackedLinear:
        """A linear map with the parameters of another one."""
        shared = share(plain)
        shared.__class__ = cls
        assert isinstance(shared, cls)
        shared.packed = LinearWeights.of(plain.weight, plain.bias, int8=int8)
        return shared

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.dim() == 3 and inputs.shape[1] > 1:
            return torch.cat([super(PackedLinear, self).forward(piece[None]) for piece in inputs])
        return torch.from_numpy(linear(_rows(inputs), self.packed)).view(*inputs.shape[:-1], -1)


class PackedBlock(nn.Module):
    """A block that takes one new event of each piece through a kernel, and several events through PyTorch, piece by piece.

    Edits (`mmt.inside`) of its output need the kernel's result only; for edits at the places inside that `pack` allows, the
    kernel's parts run one by one.
    """

    def __init__(self, block: Block, *, int8: bool = False, reading: Reading | None = None) -> None:
        super().__init__()
        self.block, self.reading = block, reading
        self.edited = any(module._forward_hooks for module in block.modules())
        self.edited_inside = any(module._forward_hooks for module in block.modules() if module is not block)
        attention, feed_forward = block.attention, block.feed_forward

        def of(linear: nn.Linear) -> LinearWeights:
            return LinearWeights.of(linear.weight, linear.bias, int8=int8)

        self.weights = BlockWeights(
            NormWeights.of(block.attention_norm),
            of(attention.queries_keys_values),
            NormWeights.of(attention.query_norm),
            NormWeights.of(attention.key_norm),
            of(attention.out),
            NormWeights.of(block.feed_forward_norm),
            of(feed_forward.expand),
            of(feed_forward.contract),
        )
        self.rotary_values = attention.rotary_values

    def forward(
        self, stream: Tensor, *, rotation: Rotation | None, visible: Tensor | None, cache: Cache | None, layer: int
    ) -> Tensor:
        if cache is not None and len(stream) != len(cache.lengths):
            raise ValueError(f"{len(stream)} pieces were given, but the cache holds {len(cache.lengths)}")
        if visible is None and (cache is None or (stream.shape[1] > 1 and not cache.length)):
            return torch.cat([self._prefill(stream, rotation, cache, layer, row) for row in range(len(stream))])
        if visible is None and type(cache) is Cache and stream.shape[1] == 1:
            angles = self._angles(rotation, len(stream))
            if angles is not None:
                keys, values = array_of(cache.keys[layer]), array_of(cache.values[layer])
                rows = self.step(_rows(stream), keys, values, np.array(cache.lengths), angles)
                return torch.from_numpy(rows)[:, None]
        return self.block(stream, rotation=rotation, visible=visible, cache=cache, layer=layer)  # type: ignore[no-any-return]

    def step(self, rows: Array, keys: Array, values: Array, seen: Array, rotation: tuple[Array, Array]) -> Array:
        """Take rows (batch, dim) through the block, see `mmt.model.cpu.kernels.block_step`."""
        if self.edited_inside:
            return self._step_in_parts(rows, keys, values, seen, rotation)
        rows = block_step(rows, self.weights, keys, values, seen, rotation, self.rotary_values)
        return _edited(self.block, rows) if self.edited else rows

    def _step_in_parts(
        self, rows: Array, keys: Array, values: Array, seen: Array, rotation: tuple[Array, Array]
    ) -> Array:
        """As `step`, with the edits inside the block."""
        weights, block = self.weights, self.block
        attention, feed_forward = block.attention, block.feed_forward
        split = linear(normalise(rows, weights.attention_norm), weights.queries_keys_values)
        attended = attend(split, weights, keys, values, seen, rotation, self.rotary_values)
        attended = _edited(attention.by_head, attended, attention.heads, attention.head_dim)
        rows = rows + _edited(attention, linear(attended, weights.out))
        read = normalise(_edited(block.feed_forward_inputs, rows), weights.feed_forward_norm)
        neurons = _edited(feed_forward.neurons, linear(read, weights.expand, then_gelu=True))
        rows = rows + _edited(feed_forward, linear(neurons, weights.contract))
        return _edited(block, rows)

    def _angles(self, rotation: Rotation | None, batch: int) -> tuple[Array, Array] | None:
        """Cosine and sine as the kernel reads them, (batch or 1, rotary dims); None if the rotation has another form."""
        if rotation is None:
            return np.zeros((1, 0), np.float32), np.zeros((1, 0), np.float32)
        size = self.block.attention.head_dim
        for part in rotation:
            dims = part.shape[-1]
            if part.dtype != torch.float32 or part.numel() not in (dims, batch * dims) or dims > size or dims % 2:
                return None
            if tuple(part.shape[:-1]) not in ((1,), (1, 1, 1), (batch, 1, 1)):
                return None
        cosine, sine = (_rows(part) for part in rotation)
        return cosine, sine

    def _prefill(self, stream: Tensor, rotation: Rotation | None, cache: Cache | None, layer: int, row: int) -> Tensor:
        """Take the first events of one piece through the PyTorch block."""
        if rotation is not None and rotation[0].dim() > 2:
            rotation = rotation[0][row : row + 1], rotation[1][row : row + 1]
        own = None if cache is None else cache.row(row)
        piece = stream[row : row + 1]
        with nullcontext() if self.reading is None else self.reading.only(row):
            return self.block(piece, rotation=rotation, visible=None, cache=own, layer=layer)  # type: ignore[no-any-return]


class PackedHeads(nn.Module):
    """Heads with their linear parts merged.

    The part of the logits that depends only on the hidden state is one linear map, applied once an event. With chained heads, the
    earlier fields add one small linear map a field; their embeddings are one table.
    """

    def __init__(self, heads: IndependentHeads | ChainHeads) -> None:
        super().__init__()
        self.reads_earlier_fields = heads.reads_earlier_fields
        fields = cast("list[nn.Linear]", list(heads.fields))
        self.sizes = [field.out_features for field in fields]
        self.ends = np.cumsum([0, *self.sizes])
        """Offsets of the fields in the concatenated logits, (7,)."""
        self.edited = {index: field for index, field in enumerate(fields) if field._forward_hooks}
        weights, biases = [field.weight for field in fields], [_bias(field) for field in fields]
        # The state of chained heads is the hidden state itself, or the first `width` outputs of the map.
        self.width, self.known = 0, None
        if isinstance(heads, ChainHeads):
            later = list(zip(fields[1:], cast("list[nn.Linear]", list(heads.mix)), strict=True))
            biases[1:] = [F.linear(_bias(mix), field.weight, field.bias) for field, mix in later]
            self.known = ChainWeights.of(heads.known, [field.weight @ mix.weight for field, mix in later])
            if isinstance(heads.state, nn.Linear):
                self.width = heads.state.out_features
                weights, biases = [heads.state.weight, *weights], [heads.state.weight.new_zeros(self.width), *biases]
        self.weights = LinearWeights.of(torch.cat(weights), torch.cat(biases))
        # The latest hidden state, its state, and the part of its logits that does not depend on earlier fields. (In a list,
        # because setting an attribute of a module is slow.)
        self._last = [(torch.empty(0), np.empty(0), np.empty(0))]

    def forward(self, hidden: Tensor, events: Tensor) -> list[Tensor]:
        """The logits of all six fields; chained heads read the earlier fields of `events`."""
        return list(torch.split(self.joined(hidden, events), self.sizes, dim=-1))

    def joined(self, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of all six fields, concatenated."""
        logits = torch.from_numpy(self._logits(hidden, events, 0, len(self.sizes))).view(*hidden.shape[:-1], -1)
        if self.edited:
            logits = logits.clone()
            for index, field in self.edited.items():
                here = slice(int(self.ends[index]), int(self.ends[index + 1]))
                logits[..., here] = _after(field, logits[..., here])
        return logits

    def field(self, index: int, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of one field."""
        logits = self._logits(hidden, events, index, index + 1)[:, self.ends[index] : self.ends[index + 1]]
        one = torch.from_numpy(logits).view(*hidden.shape[:-1], -1)
        return _after(self.edited[index], one) if index in self.edited else one

    def _logits(self, hidden: Tensor, events: Tensor, first: int, stop: int) -> Array:
        """Logits (row, code) that are those of the heads in the fields `first` to `stop` - 1."""
        if self._last[0][0] is not hidden:
            rows = _rows(hidden)
            outputs = linear(rows, self.weights)
            state = np.ascontiguousarray(outputs[:, : self.width]) if self.width else rows
            self._last[0] = hidden, state, np.ascontiguousarray(outputs[:, self.width :])
        state, independent = self._last[0][1:]
        if self.known is None or stop == 1:
            return independent
        return chain_logits(state, _rows(events), self.known, independent, self.ends, first, stop)


def _step_in_pytorch(block: nn.Module, rows: Array, rotation: tuple[Array, Array], cache: Cache, layer: int) -> Array:
    """Take rows (batch, dim) through a block with edits that no kernel supports."""
    cosine, sine = (torch.from_numpy(part)[:, None, None] for part in rotation)
    turned = (cosine, sine) if cosine.shape[-1] else None
    stream = block(torch.from_numpy(rows)[:, None], rotation=turned, visible=None, cache=cache, layer=layer)
    return _rows(stream)


def _edited(module: nn.Module, rows: Array, *shape: int) -> Array:
    """The output of a module after its edits; rows (batch, width) are shown to them as (batch, 1, …)."""
    if not module._forward_hooks:
        return rows
    return _rows(_after(module, torch.from_numpy(rows).view(len(rows), 1, *(shape or (-1,)))).flatten(1))


def _after(module: nn.Module, output: Tensor) -> Tensor:
    """The output after the module's hooks, which are edits."""
    for hook in module._forward_hooks.values():
        output = hook(module, (), output)
    return output


def _bias(linear: nn.Linear) -> Tensor:
    bias: Tensor | None = linear.bias
    return linear.weight.new_zeros(linear.out_features) if bias is None else bias


def _rows(inputs: Any) -> Array:
    """A tensor (..., width) as a contiguous array (row, width)."""
    return np.ascontiguousarray(inputs.detach().numpy().reshape(-1, inputs.shape[-1]))
