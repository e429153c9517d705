"""The places inside a network at which one can look and change what passes: the residual stream, attention, feed-forward.

| place | what passes there |
|---|---|
| `embedding` | the residual stream that enters the first layer |
| `layers.I.heads` | what the heads of layer I have attended to, (batch, length, head, head_dim), before they are joined |
| `layers.I.attention` | what attention adds to the residual stream |
| `layers.I.feed_forward` | what the feed-forward adds to it |
| `layers.I.stream` | the residual stream after layer I |
| `final` | the residual stream after the last norm, from which the heads predict |

Layers and heads count from 0. All but `heads` are (batch, length, dim). An edit maps places to functions: each takes what passes
there and returns what shall pass instead, of the same shape. While a piece is written, a function sees the prompt first and
then one event at a time (length 1), so it should treat every event by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from mmt.model.network import Network
from mmt.model.sharing import share

Edit = Mapping[str, Callable[[Tensor], Tensor]]


def places(network: Network | Any) -> list[str]:
    """The names of all places of a network (or of a model's), in the order in which they are passed.

    Examples
    --------
    >>> from mmt.model.config import NetworkConfig
    >>> places(Network(NetworkConfig(dim=32, layers=1, heads=2, head_dim=16)))[:3]
    ['embedding', 'layers.0.heads', 'layers.0.attention']
    """
    return list(_modules(getattr(network, "network", network)))


def edited(network: Network, edit: Edit) -> Network:
    """A network that shares the weights of another one, with changes at some places.

    Parameters
    ----------
    network : Network
        It stays as it is.
    edit : mapping from places to functions

    Raises
    ------
    ValueError
        If there is no such place; later, if a function changes the shape of what passes.

    Examples
    --------
    >>> from mmt.model.config import NetworkConfig
    >>> network = Network(NetworkConfig(dim=32, layers=1, heads=2, head_dim=16)).eval()
    >>> louder = edited(network, {"final": lambda stream: 2 * stream})
    >>> codes = torch.zeros(1, 3, 6, dtype=torch.long)
    >>> bool((louder.hidden(codes) == 2 * network.hidden(codes)).all())
    True
    """
    changed = share(network)
    modules = _modules(changed)
    for place, function in edit.items():
        if place not in modules:
            raise ValueError(f"there is no place {place!r} in this network; there are {', '.join(modules)}")
        modules[place].register_forward_hook(_hook(place, function))
    return changed


def ablate(*heads: tuple[int, int]) -> Edit:
    """The edit that silences heads, each a (layer, head): what they attended to becomes 0.

    Examples
    --------
    >>> list(ablate((2, 0), (2, 3), (3, 1)))
    ['layers.2.heads', 'layers.3.heads']
    """
    if not heads:
        raise ValueError("no head to silence was given; name each by (layer, head)")
    by_layer: dict[int, list[int]] = {}
    for layer, head in heads:
        by_layer.setdefault(layer, []).append(head)
    return {f"layers.{layer}.heads": _silence(layer, of_layer) for layer, of_layer in by_layer.items()}


def add(place: str, direction: npt.ArrayLike | Tensor, strength: float = 1.0) -> Edit:
    """The edit that adds a direction, times a strength, to every event at a place.

    The direction is as long as what passes there: (dim,), or (head_dim,) at `heads`, where it is added to every head.

    Examples
    --------
    >>> add("layers.0.stream", torch.ones(4), 0.5)["layers.0.stream"](torch.zeros(1, 1, 4)).tolist()
    [[[0.5, 0.5, 0.5, 0.5]]]
    """
    vector = torch.as_tensor(direction)

    def shift(passing: Tensor) -> Tensor:
        if vector.shape != passing.shape[-1:]:
            raise ValueError(
                f"the direction at {place} has the shape {tuple(vector.shape)}; what passes there has {passing.shape[-1]} numbers"
            )
        return passing + strength * vector.to(passing)

    return {place: shift}


def _modules(network: Network) -> dict[str, nn.Module]:
    """The module of each place: what it puts out passes there."""
    modules: dict[str, Any] = {"embedding": network.dropout}
    for layer, block in enumerate(network.blocks):
        parts = {"heads": "attention.by_head", "attention": "attention", "feed_forward": "feed_forward", "stream": ""}
        modules |= {f"layers.{layer}.{name}": block.get_submodule(path) for name, path in parts.items()}
    return modules | {"final": network.norm}


def _hook(place: str, function: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def change(module: nn.Module, inputs: Any, passing: Tensor) -> Tensor:
        changed = function(passing)
        if not isinstance(changed, Tensor) or changed.shape != passing.shape:
            given = f"a tensor {tuple(changed.shape)}" if isinstance(changed, Tensor) else type(changed).__name__
            raise ValueError(
                f"the edit at {place} made {given} of a tensor {tuple(passing.shape)}; it must keep the shape"
            )
        return changed

    return change


def _silence(layer: int, heads: list[int]) -> Callable[[Tensor], Tensor]:
    def silence(passing: Tensor) -> Tensor:
        for head in heads:
            if not 0 <= head < passing.shape[2]:
                raise ValueError(f"layer {layer} has no head {head}; it has {passing.shape[2]}, counted from 0")
        kept = torch.ones(passing.shape[2], 1, dtype=passing.dtype, device=passing.device)
        kept[heads] = 0
        return passing * kept

    return silence
