"""`pack` gives a network the compiled decoder, if it is exactly a network that the decoder knows; else PyTorch decodes.

The compiled decoder (`mmt.model.cpu.modules`) repeats what `mmt.model.network` and `mmt.model.heads` compute, so it may only
replace modules that are exactly as they define them: no subclass, no hook, no replaced method, no other module in their place.
As a last check, `pack` compares the hidden states and logits of a few events with those of PyTorch.
"""

from __future__ import annotations

import warnings
from types import FunctionType
from weakref import WeakSet

import numba
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from mmt.model.cpu.kernels import match_threads
from mmt.model.cpu.modules import HeadsOneByOne, PackedChain, PackedHeads, PackedNetwork
from mmt.model.cpu.weights import BlockWeights, EmbeddingWeights, NormWeights
from mmt.model.dropout import Dropout
from mmt.model.heads import ChainHeads, IndependentHeads
from mmt.model.network import Attention, Block, FeedForward, Network, network_without_weights
from mmt.model.positions import frequencies_of
from mmt.model.sharing import share
from mmt.representation.codes import POSITION


def pack(network: Network) -> Network:
    """A network that computes the same from the same weights, but decodes faster on a CPU, and each piece the same in any batch.

    For inference only, and only while the weights, hooks and modules stay as they are: the compiled decoder reads copies. If the
    network decodes with int8, the copies of the blocks' weights are rounded; norms, embeddings and heads are not. A network that
    is not float32 on the CPU is returned unchanged. If the compiled decoder does not know a part of the network, PyTorch decodes
    all of it with float32 weights, one piece at a time.

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
    if type(network) is not Network or not all(_is_float32_on_cpu(weight) for weight in weights):
        return network
    plain, packed = share(network), share(network)
    plain.__class__ = packed.__class__ = PackedNetwork
    plain.heads = HeadsOneByOne(plain.heads)  # type: ignore[assignment]
    if numba.config.DISABLE_JIT or not _is_known(network):
        return plain
    match_threads()
    assert isinstance(packed, PackedNetwork)
    _compile(packed, int8=int8)
    if network not in _compared and not _agree(network, packed, 0.25 if int8 else 0.01):
        warnings.warn(
            "the compiled decoder does not compute what this network computes; PyTorch decodes, which is slower. "
            "If you changed mmt/model/network.py or heads.py, change mmt/model/cpu/ too",
            stacklevel=2,
        )
        return plain
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


def _compile(packed: PackedNetwork, *, int8: bool) -> None:
    frequencies, resolution = frequencies_of(packed.config, torch.device("cpu")), packed.config.sizes[POSITION] - 1
    packed.compiled = (
        EmbeddingWeights.of(packed.embeddings, packed.positions, frequencies, resolution),  # type: ignore[arg-type]
        [BlockWeights.of(block, int8=int8) for block in packed.blocks],  # type: ignore[arg-type]
        NormWeights.of(packed.norm),
    )
    heads = packed.heads
    packed.heads = PackedChain(heads) if isinstance(heads, ChainHeads) else PackedHeads(heads)  # type: ignore[assignment]


_KNOWN: tuple[type[nn.Module], ...] = (
    *(Network, Block, Attention, FeedForward, IndependentHeads, ChainHeads, Dropout),
    *(nn.Linear, nn.Embedding, nn.LayerNorm, nn.Identity, nn.ModuleList),
)
# Methods of known classes at import, to notice if one is replaced later.
_METHODS = {
    kind: {name: method for name, method in vars(kind).items() if isinstance(method, FunctionType)} for kind in _KNOWN
}


def _is_known(network: Network) -> bool:
    """Whether a network has exactly the modules, shapes and settings that its configuration says, all of known types.

    The compiled code does not check bounds, so the shapes count too.
    """
    expected, found = network_without_weights(network.config), dict(network.named_modules(remove_duplicate=False))
    pairs = sum(len(part) for part in frequencies_of(network.config, torch.device("cpu")))
    return (
        2 * pairs <= network.config.head_dim
        and found.keys() == dict(expected.named_modules()).keys()
        and all(_is_plain(found[name], module) for name, module in expected.named_modules())
    )


def _is_plain(module: nn.Module, expected: nn.Module) -> bool:
    """Whether a module is as expected: of the same known type, with the same settings and shapes, and without hooks."""
    hooks = (
        *(module._forward_hooks, module._forward_pre_hooks),
        *(torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks),
    )
    return (
        type(module) in _KNOWN
        and type(module) is type(expected)
        and _settings(module) == _settings(expected)
        and not any(hooks)
        and not _replaced_methods(module)
    )


def _settings(module: nn.Module) -> dict[str, object]:
    """The attributes of a module, and the shapes of its own parameters."""
    ignored = ("training", "decodes_with")
    settings = {name: value for name, value in vars(module).items() if name[0] != "_" and name not in ignored}
    shapes = {name: None if weight is None else tuple(weight.shape) for name, weight in module._parameters.items()}
    return settings | shapes


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
    # On the CPU, whatever PyTorch's default device is.
    codes = torch.arange(1, length + 1, device="cpu")[:, None] % torch.tensor(network.config.sizes, device="cpu")
    cache = packed.new_cache(1, length)
    found = torch.cat([packed.hidden(event[None, None], cache=cache) for event in codes], dim=1)
    pairs = [(found, plain.hidden(codes[None]))]
    pairs += zip(packed.heads(found, codes[None]), plain.heads(found, codes[None]), strict=True)
    return all(bool((one - other).norm() <= tolerance * other.norm()) for one, other in pairs)
