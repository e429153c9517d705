"""A network laid out for decoding on a CPU, where each event is a few rows through all of the weights.

oneDNN reads weights in blocks at the speed of the memory, and adds up each row in one order whatever the batch, so that a
piece is the same, to the last bit, alone and among many. Shapes as in `mmt.model.network`.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from mmt.model.cache import Cache
from mmt.model.heads import ChainHeads
from mmt.model.network import Block, Network, Rotation, rotate

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
    for layer, block in enumerate(packed.blocks):
        if not any(module._forward_hooks or module._forward_pre_hooks for module in block.modules()):
            packed.blocks[layer] = PackedBlock(block)  # type: ignore[arg-type]
    heads = packed.heads
    if isinstance(heads, ChainHeads) and all(isinstance(one, PackedLinear) for one in (*heads.fields, *heads.mix)):
        packed.heads = PackedChain(heads)  # type: ignore[assignment]
    return packed


class PackedLinear(nn.Module):
    """A linear map with its weights in oneDNN's blocks."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.bias = linear.bias
        self.weight = _packed(linear.weight.detach())

    def forward(self, inputs: Tensor) -> Tensor:
        rows = inputs.reshape(-1, inputs.shape[-1])
        return self.of_rows(_two_at_least(rows))[: len(rows)].view(*inputs.shape[:-1], -1)

    def of_rows(self, rows: Tensor, *, gelu: bool = False, added: Tensor | None = None) -> Tensor:
        """The map of two rows or more, behind it the GELU, or something added."""
        if added is not None:
            return torch.ops.mkldnn._linear_pointwise.binary(rows, added, self.weight, self.bias, "add")  # type: ignore[no-any-return]
        after: tuple[str, list[float], str] = ("gelu", [], "none") if gelu else ("none", [], "")
        return torch.ops.mkldnn._linear_pointwise.default(rows, self.weight, self.bias, *after)  # type: ignore[no-any-return]


class PackedBlock(nn.Module):
    """A block that takes one new event of each piece in a few steps, and everything else as it always was."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block
        # Packed by now, which a type checker cannot know.
        self.queries_keys_values = cast(PackedLinear, block.attention.queries_keys_values)
        self.out = cast(PackedLinear, block.attention.out)
        self.expand = cast(PackedLinear, block.feed_forward.expand)
        self.contract = cast(PackedLinear, block.feed_forward.contract)

    def forward(
        self, stream: Tensor, *, rotation: Rotation | None, visible: Tensor | None, cache: Cache | None, layer: int
    ) -> Tensor:
        if cache is None or stream.shape[1] > 1:
            return self.block(stream, rotation=rotation, visible=visible, cache=cache, layer=layer)  # type: ignore[no-any-return]
        return self._one_event(stream[:, 0], rotation, cache, layer)[:, None]

    def _one_event(self, rows: Tensor, rotation: Rotation | None, cache: Cache, layer: int) -> Tensor:
        """What (batch, dim) becomes, each map with what follows it in one step."""
        attention, batch = self.block.attention, len(rows)
        rows = _two_at_least(rows)
        split = self.queries_keys_values.of_rows(_norm(self.block.attention_norm, rows))[:batch]
        queries, keys, values = split.view(batch, 3, attention.heads, 1, attention.head_dim).unbind(1)
        if rotation is not None:
            queries, keys = rotate(queries, rotation), rotate(keys, rotation)
            values = rotate(values, rotation) if attention.rotary_values else values
        attended = cache.attend(layer, queries, keys, values).view(batch, -1)
        rows = self.out.of_rows(_two_at_least(attended), added=rows)
        expanded = self.expand.of_rows(_norm(self.block.feed_forward_norm, rows), gelu=True)
        return self.contract.of_rows(expanded, added=rows)[:batch]


class PackedChain(nn.Module):
    """Chained heads whose embeddings are one table, and which project a hidden state once for all fields of an event."""

    reads_earlier_fields = True

    def __init__(self, heads: ChainHeads) -> None:
        super().__init__()
        self.state, self.fields, self.mix = heads.state, heads.fields, heads.mix
        self.known = torch.cat([cast(Tensor, table.weight) for table in heads.known]).detach()
        sizes = torch.tensor([cast(Tensor, table.weight).shape[0] for table in heads.known], device=self.known.device)
        self.first = sizes.cumsum(0) - sizes
        self._of = self._rows = self._state = torch.empty(0)

    def forward(self, hidden: Tensor, events: Tensor) -> list[Tensor]:
        """The logits of all six fields, as the heads have them."""
        return [self.field(index, hidden, events) for index in range(len(self.fields))]

    def field(self, index: int, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of one field, given the earlier ones of `events`."""
        if self._of is not hidden:
            self._of, self._rows = hidden, _two_at_least(hidden.reshape(-1, hidden.shape[-1]))
            self._state = self.state(self._rows)
        rows = self._rows
        if index:
            earlier = _two_at_least(events[..., :index].reshape(-1, index)) + self.first[:index]
            known = torch.embedding(self.known, earlier).sum(1).add_(self._state)
            mix = cast(PackedLinear, self.mix[index - 1])
            rows = mix.of_rows(nn.functional.gelu(known), added=rows)
        logits = cast(PackedLinear, self.fields[index]).of_rows(rows)
        return logits[: hidden.shape[:-1].numel()].view(*hidden.shape[:-1], -1)


def _norm(norm: nn.LayerNorm, rows: Tensor) -> Tensor:
    return torch.layer_norm(rows, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _two_at_least(rows: Tensor) -> Tensor:
    """One row alone would take another road through oneDNN, and be added up in another order."""
    return torch.cat((rows, rows)) if len(rows) == 1 else rows


def _is_packable(weights: Tensor) -> bool:
    if weights.device.type != "cpu" or weights.dtype != torch.float32 or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    # Not of torch's public names, so a version without them is met with the plain road.
    return all(hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))


def _packed(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
    return packed
