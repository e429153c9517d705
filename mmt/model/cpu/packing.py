"""`pack` gives a network the compiled decoder for the parts that the decoder supports; PyTorch computes all other parts.

The compiled decoder (`mmt.model.cpu.modules`) repeats what `mmt.model.network` and `mmt.model.heads` compute, so it may only
replace a module that is exactly as they define it: no subclass, no hook, no replaced method, no other module in one of its slots.
As a last check, `pack` compares the hidden states and logits of a few events with those of PyTorch.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from types import FunctionType
from weakref import WeakSet

import numba
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from mmt.model.attention import Attention
from mmt.model.compiled import match_threads
from mmt.model.config import NetworkConfig
from mmt.model.cpu.modules import PackedBlock, PackedHeads, PackedLinear, PackedNetwork
from mmt.model.cpu.weights import EmbeddingWeights, NormWeights
from mmt.model.heads import ChainHeads, IndependentHeads
from mmt.model.network import Block, FeedForward, Network
from mmt.model.positions import frequencies_of
from mmt.model.sharing import share
from mmt.representation.codes import POSITION


def pack(network: Network) -> Network:
    """A network that computes the same from the same weights, but decodes faster on a CPU.

    For inference only, and only while the weights, hooks and modules stay as they are: the compiled decoder reads copies. If the
    network decodes with int8, the copies of the blocks' weights are rounded; norms, embeddings and heads are not. A network that
    is not float32 on the CPU is returned unchanged. PyTorch computes the modules that the compiled decoder does not support.

    Raises
    ------
    ValueError
        If the network decodes with int8, but is not float32 on the CPU.

    Examples
    --------
    >>> from mmt.model.config import NetworkConfig
    >>> network = Network(NetworkConfig(dim=32, layers=1, heads=2, head_dim=16)).eval()
    >>> pack(network).norm.weight is network.norm.weight
    True
    """
    weights, int8 = list(network.parameters()), network.decodes_with == "int8"
    if int8:
        for weight in weights:
            check_int8(weight)
    if numba.config.DISABLE_JIT or not all(_is_float32_on_cpu(weight) for weight in weights):
        return network
    match_threads()
    packed = share(network)
    _pack_heads(packed)
    # An edit calls functions of the user, which must not get what `_agree` reads.
    plain = network.reading is None
    known = True
    for layer, block in enumerate(packed.blocks):
        if _is_known_block(block, network.config, _EDITABLE):
            packed.blocks[layer] = PackedBlock(block, int8=int8, reading=network.reading)  # type: ignore[arg-type]
        else:
            known = known and not plain and _is_known_block(block, network.config, set(_BLOCK))
            _pack_linear(block, int8=int8)
    if type(network) is Network and not _replaced_methods(network):
        packed.__class__ = PackedNetwork
        if known and _has_known_embedding(packed):
            _pack_embedding(packed)
            if plain and network not in _compared and not _agree(network, packed, 0.25 if int8 else 0.01):
                warnings.warn(
                    "the compiled decoder does not compute what this network computes; PyTorch decodes, which is slower. "
                    "If you changed mmt/model/network.py, attention.py or heads.py, change mmt/model/cpu/ too",
                    stacklevel=2,
                )
                return network
            _compared.add(network)
    return packed


def check_int8(weights: Tensor) -> None:
    """Raise a `ValueError` if weights cannot be rounded to int8: they must be float32 on the CPU."""
    if weights.device.type != "cpu":
        raise ValueError(
            f"int8 weights are for the CPU, and the model is on {weights.device}; use device='cpu' or float32"
        )
    if weights.dtype != torch.float32:
        raise ValueError(
            f"int8 weights are made from float32, and these are {weights.dtype}; use model.network.float()"
        )


def _is_float32_on_cpu(weight: Tensor) -> bool:
    # Subclasses of Tensor may have their own arithmetic.
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and type(weight) in (Tensor, nn.Parameter)


def _pack_heads(packed: Network) -> None:
    heads = packed.heads
    fields: _Parts = {f"fields.{field}": (nn.Linear,) for field in range(len(packed.config.sizes))}
    independent: _Parts = {"": (IndependentHeads,), "fields": (nn.ModuleList,), **fields}
    chain: _Parts = {"": (ChainHeads,), "state": (nn.Identity, nn.Linear), **fields}
    for field in range(len(packed.config.sizes) - 1):
        chain |= {f"known.{field}": (nn.Embedding,), f"mix.{field}": (nn.Linear,)}
    is_chain = _has_parts(heads, chain, fields) and getattr(heads.state, "bias", None) is None
    if is_chain or _has_parts(heads, independent, fields):
        packed.heads = PackedHeads(heads)  # type: ignore[assignment]


def _pack_linear(within: nn.Module, *, int8: bool) -> None:
    for module in list(within.modules()):
        for name, child in list(module.named_children()):
            if _is_plain(child, (nn.Linear,)):
                setattr(module, name, PackedLinear.of(child, int8=int8))  # type: ignore[arg-type]


def _pack_embedding(packed: Network) -> None:
    frequencies, resolution = frequencies_of(packed.config, torch.device("cpu")), packed.config.sizes[POSITION] - 1
    table = packed.positions
    assert table is None or isinstance(table, nn.Embedding)
    packed.compiled = (  # type: ignore[assignment]
        EmbeddingWeights.of(packed.embeddings, table, frequencies, resolution),
        NormWeights.of(packed.norm),
    )


# Which modules the compiled decoder supports.

_Parts = dict[str, tuple[type[nn.Module], ...]]
_NORMS = (nn.LayerNorm, nn.Identity)
_BLOCK: _Parts = {
    "": (Block,),
    "attention_inputs": (nn.Identity,),
    "attention_norm": _NORMS,
    "attention": (Attention,),
    "attention.queries_keys_values": (nn.Linear,),
    "attention.query_norm": _NORMS,
    "attention.key_norm": _NORMS,
    **{
        f"attention.{name}": (nn.Identity,)
        for name in ("queries", "keys", "values", "scores", "pattern", "by_head", "head_outputs")
    },
    "attention.out": (nn.Linear,),
    "feed_forward_inputs": (nn.Identity,),
    "feed_forward_norm": _NORMS,
    "feed_forward": (FeedForward,),
    "feed_forward.expand": (nn.Linear,),
    "feed_forward.neurons": (nn.Identity,),
    "feed_forward.dropout": (nn.Dropout, nn.Identity),
    "feed_forward.contract": (nn.Linear,),
}
# Paths in a block at which the compiled decoder stops for edits.
_EDITABLE = ("", "attention", "attention.by_head", "feed_forward_inputs", "feed_forward", "feed_forward.neurons")
_KNOWN: tuple[type[nn.Module], ...] = (
    *(Network, Block, Attention, FeedForward, IndependentHeads, ChainHeads),
    *(nn.Linear, nn.Embedding, nn.LayerNorm, nn.Identity, nn.Dropout, nn.ModuleList),
)
# Methods of known classes at import, to notice if one is replaced later.
_METHODS = {
    kind: {name: method for name, method in vars(kind).items() if isinstance(method, FunctionType)} for kind in _KNOWN
}


def _is_known_block(block: nn.Module, config: NetworkConfig, editable: Collection[str]) -> bool:
    """Whether the decoder supports all of a block, except the edits at the paths `editable`."""
    if not _has_parts(block, _BLOCK, editable):
        return False
    assert isinstance(block, Block)
    attention, feed_forward = block.attention, block.feed_forward
    width, wide = config.heads * config.head_dim, feed_forward.expand.out_features
    # Compiled code does not check bounds.
    shapes = {
        attention.queries_keys_values: (3 * width, config.dim),
        attention.out: (config.dim, width),
        feed_forward.expand: (wide, config.dim),
        feed_forward.contract: (config.dim, wide),
    }
    norms = {
        block.attention_norm: config.dim,
        block.feed_forward_norm: config.dim,
        attention.query_norm: config.head_dim,
        attention.key_norm: config.head_dim,
    }
    return (
        (attention.heads, attention.head_dim) == (config.heads, config.head_dim)
        and all(tuple(linear.weight.shape) == shape for linear, shape in shapes.items())
        and all(_norm_width(norm, width) == (width,) for norm, width in norms.items())
    )


def _has_known_embedding(network: Network) -> bool:
    """Whether the decoder supports the parts outside of blocks and heads."""
    config = network.config
    fields = {f"embeddings.{field}": (nn.Embedding,) for field in range(len(config.sizes))}
    if not _has_parts(network, {"dropout": (nn.Dropout, nn.Identity), "norm": _NORMS, **fields}, ("dropout", "norm")):
        return False
    tables, limits = [*network.embeddings], [*config.sizes]
    if network.positions is not None:
        if not _is_plain(network.positions, (nn.Embedding,)):
            return False
        tables, limits = [*tables, network.positions], [*limits, config.context]
    pairs = sum(len(part) for part in frequencies_of(config, torch.device("cpu")))
    return (
        2 * pairs <= config.head_dim
        and _norm_width(network.norm, config.dim) == (config.dim,)
        and len(network.embeddings) == len(config.sizes)
        and all(tuple(table.weight.shape) == (size, config.dim) for table, size in zip(tables, limits, strict=True))
        and all(table.max_norm is None for table in tables)
    )


def _norm_width(norm: nn.Module, width: int) -> tuple[int, ...]:
    return tuple(norm.normalized_shape) if isinstance(norm, nn.LayerNorm) else (width,)


def _has_parts(
    module: nn.Module, parts: Mapping[str, tuple[type[nn.Module], ...]], editable: Collection[str] = ()
) -> bool:
    """Whether a module has a plain module of one of the given types at each path; those at `editable` may have edits."""
    found = dict(module.named_modules(remove_duplicate=False))
    return all(path in found and _is_plain(found[path], kinds, edits=path in editable) for path, kinds in parts.items())


def _is_plain(module: nn.Module, kinds: tuple[type[nn.Module], ...], *, edits: bool = False) -> bool:
    """Whether a module is exactly of one of these types, without replaced methods and without hooks (or only `mmt.inside`'s)."""
    own = [hook for hook in module._forward_hooks.values() if not (edits and hasattr(hook, "identity"))]
    hooks = (
        *(own, module._forward_pre_hooks),
        *(torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks),
    )
    return type(module) in kinds and not any(hooks) and not _replaced_methods(module)


def _replaced_methods(module: nn.Module) -> bool:
    """Whether a method of a known class was replaced, in the class or in the module alone."""
    kind = type(module)
    on_instance = any(callable(getattr(kind, name, None)) for name in vars(module))
    return on_instance or any(vars(kind).get(name) is not method for name, method in _METHODS[kind].items())


# Networks whose packed form was compared with PyTorch.
_compared: WeakSet[nn.Module] = WeakSet()


@torch.inference_mode()
def _agree(network: Network, packed: Network, tolerance: float) -> bool:
    """Whether both compute the same hidden states and logits of a few events, to a share `tolerance` of their norm."""
    plain, length = share(network).eval(), min(4, network.config.context)
    # On the CPU, for any default device of PyTorch.
    codes = torch.arange(1, length + 1, device="cpu")[:, None] % torch.tensor(network.config.sizes, device="cpu")
    cache = packed.new_cache(1, length)
    found = torch.cat([packed.hidden(event[None, None], cache=cache) for event in codes], dim=1)
    pairs = [(found, plain.hidden(codes[None]))]
    pairs += zip(packed.heads(found, codes[None]), plain.heads(found, codes[None]), strict=True)
    return all(bool((one - other).norm() <= tolerance * other.norm()) for one, other in pairs)
