"""A network laid out for decoding on a CPU, where each event is a few rows through all of the weights.

oneDNN reads weights in blocks at the speed of the memory, and adds up each row in one order whatever the batch, so that a
piece is the same, to the last bit, alone and among many. So it is with int8 weights too, which are a quarter of the bytes:
each row is quantised by a range of its own. Shapes as in `mmt.model.network`.
"""

from __future__ import annotations

import warnings
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmt.model.cache import Cache
from mmt.model.dropout import Dropout
from mmt.model.heads import ChainHeads, IndependentHeads
from mmt.model.network import Attention, Block, FeedForward, Network, Rotation
from mmt.model.sharing import share

# The number of rows that the blocks are made for; any number of rows may be multiplied.
_ROWS = 64
# Codes of what is multiplied with int8 weights, so many on either side of zero. A processor without VNNI adds two products
# in sixteen bits, which hold them exactly if one factor has seven.
_LEVELS = 127 if getattr(torch.cpu, "_is_vnni_supported", bool)() else 63
# The least range of a row: one of zeros has none.
_LEAST = 1e-30


def pack(network: Network) -> Network:
    """A network that computes the same and shares the weights, but has its linear maps packed where that is faster.

    For inference alone, and for as long as the weights stay as they are: the packed ones are copies. Where the network is to
    decode with int8, those in the blocks are rounded; norms, embeddings and heads are not.

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
    narrow = network.decodes_with == "int8"
    if narrow:
        check_int8(next(network.parameters()))
    if not _is_packable(next(network.parameters())):
        return network
    packed = share(network)
    # Whatever somebody looks into or changes (hooks), or has put in, stays what it is.
    kind: Any = {IndependentHeads: PackedHeads, ChainHeads: PackedChain}.get(type(packed.heads))
    if kind is not None and _is_plain(packed.heads):
        packed.heads = kind(packed.heads)
    if narrow:
        _replace_maps(packed.blocks, NarrowLinear)
    _replace_maps(packed, PackedLinear)
    for layer, block in enumerate(packed.blocks):
        if _is_plain(block):
            packed.blocks[layer] = PackedBlock(block)  # type: ignore[arg-type]
    return packed


class PackedLinear(nn.Module):
    """A linear map with its weights in oneDNN's blocks."""

    # One row alone would take another road through oneDNN, and be added up in another order.
    least_rows = 2

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.bias = linear.bias
        self.weight = _packed(linear.weight.detach())

    def forward(self, inputs: Tensor) -> Tensor:
        rows = inputs.reshape(-1, inputs.shape[-1])
        return self.of_rows(_at_least(self.least_rows, rows))[: len(rows)].view(*inputs.shape[:-1], -1)

    def of_rows(self, rows: Tensor, *, gelu: bool = False, added: Tensor | None = None) -> Tensor:
        """The map of two rows or more, behind it the GELU, or something added."""
        if added is not None:
            return torch.ops.mkldnn._linear_pointwise.binary(rows, added, self.weight, self.bias, "add")  # type: ignore[no-any-return]
        after: tuple[str, list[float], str] = ("gelu", [], "none") if gelu else ("none", [], "")
        return torch.ops.mkldnn._linear_pointwise.default(rows, self.weight, self.bias, *after)  # type: ignore[no-any-return]


class NarrowLinear(nn.Module):
    """A linear map with int8 weights, each row of them in a range of its own, as is each row that it maps.

    A row does not feel its neighbours: its range is its own, and integers add up exactly in any order.
    """

    least_rows = 1

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.bias = linear.bias if linear.bias is not None else torch.zeros(linear.out_features)
        self.weight = _narrowed(linear.weight.detach())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.of_rows(inputs.reshape(-1, inputs.shape[-1])).view(*inputs.shape[:-1], -1)

    def of_rows(self, rows: Tensor, *, gelu: bool = False, added: Tensor | None = None) -> Tensor:
        """The map of rows, behind it the GELU, or something added."""
        most = rows.abs().amax(1, keepdim=True).clamp_min_(_LEAST)
        products = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default(
            rows / most, 1 / _LEVELS, _LEVELS + 1, self.weight
        )
        mapped = torch.addcmul(self.bias, products, most)
        if added is not None:
            return mapped.add_(added)
        return nn.functional.gelu(mapped) if gelu else mapped


class PackedBlock(nn.Module):
    """A block that takes one new event of each piece in a few steps, and everything else as it always was."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block
        # Packed by now, which a type checker cannot know.
        self.queries_keys_values = cast(PackedLinear | NarrowLinear, block.attention.queries_keys_values)
        self.out = cast(PackedLinear | NarrowLinear, block.attention.out)
        self.expand = cast(PackedLinear | NarrowLinear, block.feed_forward.expand)
        self.contract = cast(PackedLinear | NarrowLinear, block.feed_forward.contract)
        self.least_rows = self.out.least_rows

    def forward(
        self, stream: Tensor, *, rotation: Rotation | None, visible: Tensor | None, cache: Cache | None, layer: int
    ) -> Tensor:
        if cache is None or stream.shape[1] > 1:
            return self.block(stream, rotation=rotation, visible=visible, cache=cache, layer=layer)  # type: ignore[no-any-return]
        return self._one_event(stream[:, 0], rotation, cache, layer)[:, None]

    def _one_event(self, rows: Tensor, rotation: Rotation | None, cache: Cache, layer: int) -> Tensor:
        """What (batch, dim) becomes, each map with what follows it in one step."""
        attention, batch = self.block.attention, len(rows)
        rows = _at_least(self.least_rows, rows)
        split = self.queries_keys_values.of_rows(_norm(self.block.attention_norm, rows))[:batch]
        queries, keys, values = split.view(batch, 3, attention.heads, 1, attention.head_dim).unbind(1)
        placed = attention.placed(queries, keys, values, rotation)
        attended = cache.attend(layer, *placed).view(batch, -1)
        rows = self.out.of_rows(_at_least(self.least_rows, attended), added=rows)
        expanded = self.expand.of_rows(_norm(self.block.feed_forward_norm, rows), gelu=True)
        return self.contract.of_rows(expanded, added=rows)[:batch]


class PackedHeads(nn.Module):
    """Independent heads as one map, made once for all fields of an event."""

    reads_earlier_fields = False

    def __init__(self, heads: IndependentHeads) -> None:
        super().__init__()
        fields = cast("list[nn.Linear]", list(heads.fields))
        self.sizes = [field.out_features for field in fields]
        self.whole = _linear([field.weight for field in fields], [field.bias for field in fields])
        self._of, self._logits = torch.empty(0), list[Tensor]()

    def forward(self, hidden: Tensor, events: Tensor) -> list[Tensor]:
        """The logits of all six fields."""
        if self._of is not hidden:
            self._of, self._logits = hidden, list(self.whole(hidden).split(self.sizes, dim=-1))
        return self._logits

    def field(self, index: int, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of one field."""
        return self(hidden, events)[index]  # type: ignore[no-any-return]


class PackedChain(nn.Module):
    """Chained heads with what is linear in them made one: what a hidden state says of all fields is one map, made once an
    event, and what is known adds to it by one small map a field; its embeddings are one table.
    """

    reads_earlier_fields = True

    def __init__(self, heads: ChainHeads) -> None:
        super().__init__()
        fields, mixes = cast("list[nn.Linear]", list(heads.fields)), cast("list[nn.Linear]", list(heads.mix))
        self.sizes = [field.out_features for field in fields]
        self.state = heads.state
        biases = [fields[0].bias, *(field(mix.bias) for field, mix in zip(fields[1:], mixes, strict=True))]
        self.alone = _linear([field.weight for field in fields], biases)
        self.of_known = nn.ModuleList(
            _linear([field.weight @ mix.weight]) for field, mix in zip(fields[1:], mixes, strict=True)
        )
        self.known = torch.cat([cast(Tensor, table.weight) for table in heads.known]).detach()
        sizes = torch.tensor(self.sizes[:-1], device=self.known.device)
        self.first = sizes.cumsum(0) - sizes
        self._of = self._state = torch.empty(0)
        self._alone = list[Tensor]()

    def forward(self, hidden: Tensor, events: Tensor) -> list[Tensor]:
        """The logits of all six fields, as the heads have them."""
        self._project(hidden)
        earlier = (events[..., :-1] + self.first).movedim(-1, 0)
        known = nn.functional.gelu(torch.embedding(self.known, earlier).cumsum(0).add_(self._state))
        by_known = (of_one(one) for of_one, one in zip(self.of_known, known, strict=True))
        return [self._alone[0], *(alone + more for alone, more in zip(self._alone[1:], by_known, strict=True))]

    def field(self, index: int, hidden: Tensor, events: Tensor) -> Tensor:
        """The logits of one field, given the earlier ones of `events`."""
        self._project(hidden)
        if index == 0:
            return self._alone[0]
        known = torch.embedding(self.known, events[..., :index] + self.first[:index]).sum(-2).add_(self._state)
        return self._alone[index] + self.of_known[index - 1](nn.functional.gelu(known))  # type: ignore[no-any-return]

    def _project(self, hidden: Tensor) -> None:
        if self._of is not hidden:
            self._of, self._state = hidden, self.state(hidden)
            self._alone = list(self.alone(hidden).split(self.sizes, dim=-1))


def _linear(weights: list[Tensor], biases: list[Tensor] | None = None) -> nn.Linear:
    """Maps of one input as one, still to be packed."""
    weight = torch.cat(weights).detach()
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=biases is not None, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    if biases is not None:
        linear.bias = nn.Parameter(torch.cat(biases).detach(), requires_grad=False)
    return linear


def _norm(norm: nn.LayerNorm, rows: Tensor) -> Tensor:
    return torch.layer_norm(rows, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _at_least(least: int, rows: Tensor) -> Tensor:
    return torch.cat((rows, rows)) if len(rows) < least else rows


def _replace_maps(within: nn.Module, kind: type[PackedLinear | NarrowLinear]) -> None:
    for module in within.modules():
        for name, child in module.named_children():
            if type(child) is nn.Linear and _is_plain(child):
                setattr(module, name, kind(child))


_KNOWN = (
    *(Block, Attention, FeedForward, IndependentHeads, ChainHeads, nn.ModuleList),
    *(nn.Linear, PackedLinear, NarrowLinear, nn.Embedding, nn.LayerNorm, nn.Identity, Dropout),
)


def _is_plain(module: nn.Module) -> bool:
    """Whether it is made of what we know, and nobody looks into it or changes it (hooks)."""
    parts = list(module.modules())
    hooked = any(part._forward_hooks or part._forward_pre_hooks for part in parts)
    return not hooked and all(type(part) in _KNOWN for part in parts)


def check_int8(weights: Tensor) -> None:
    """Refuse what cannot be decoded with int8 weights: another device, processor or build of torch."""
    if weights.device.type != "cpu":
        raise ValueError(
            f"int8 weights are for the CPU, and the model is on {weights.device}; use device='cpu' or float32"
        )
    if weights.dtype != torch.float32:
        raise ValueError(
            f"int8 weights are made of float32 ones, and these are {weights.dtype}; use model.network.float()"
        )
    # x86 is fbgemm with its own choice of the kernel; the operator is not of torch's public names.
    names = ("linear_prepack", "linear_with_input_q_dq_qweight_dq_output_fp32")
    has_operator = hasattr(torch, "quantize_per_channel") and all(hasattr(torch.ops.quantized, name) for name in names)
    if _engine() not in ("x86", "fbgemm") or not has_operator or not _is_packable(weights):
        raise ValueError("int8 weights need an x86 processor and a torch with fbgemm; use float32 here")


def _engine() -> str:
    return str(torch.backends.quantized.engine)


def _is_packable(weights: Tensor) -> bool:
    if weights.device.type != "cpu" or weights.dtype != torch.float32 or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    # Not of torch's public names, so a version without them is met with the plain road.
    return all(hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))


def _packed(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
    return packed


def _narrowed(weight: Tensor) -> torch.ScriptObject:
    ranges = weight.abs().amax(dim=1).clamp(min=_LEAST).double() / 127
    with warnings.catch_warnings():
        # Quantised tensors are to leave torch. Packing depends on them; `check_int8` says so in a line once they are gone.
        warnings.filterwarnings("ignore", message=r".*quantized tensor creation functions", category=UserWarning)
        small = torch.quantize_per_channel(weight, ranges, torch.zeros(len(weight), dtype=torch.long), 0, torch.qint8)
    packed: torch.ScriptObject = torch.ops.quantized.linear_prepack(small, None)
    return packed
