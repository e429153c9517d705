"""Interventions: named places inside a network, and edits that change the activations there during a forward pass.

| place | activations |
|---|---|
| `embedding` | the residual stream that enters the first layer |
| `layers.I.heads` | the outputs of the attention heads of layer I, (batch, length, head, head_dim), before they are joined |
| `layers.I.attention` | the output of attention, which is added to the residual stream |
| `layers.I.feed_forward` | the output of the feed-forward layer, which is added to it |
| `layers.I.stream` | the residual stream after layer I |
| `final` | the residual stream after the last norm, from which the heads predict |

Layers and heads count from 0. All but `heads` are (batch, length, dim). An edit maps places to functions; each takes the
activations and returns new ones of the same shape. During generation, a function sees the prompt first and then one event at a
time (length 1), so it should treat each event independently.
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
    """The names of all places of a network, or of a model's network, in the order of the forward pass.

    Examples
    --------
    >>> from mmt.model.config import NetworkConfig
    >>> places(Network(NetworkConfig(dim=32, layers=1, heads=2, head_dim=16)))[:3]
    ['embedding', 'layers.0.heads', 'layers.0.attention']
    """
    return list(_modules(getattr(network, "network", network)))


def edited(network: Network, edit: Edit) -> Network:
    """A network that shares the weights of another one, but changes activations at some places.

    Parameters
    ----------
    network : Network
        It is not changed.
    edit : mapping from places to functions

    Raises
    ------
    ValueError
        If a place does not exist; in the forward pass, if a function changes the shape.

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
            raise ValueError(f"unknown place {place!r}; this network has {', '.join(modules)}")
        modules[place].register_forward_hook(_hook(place, function))
    return changed


def ablate(*heads: tuple[int, int]) -> Edit:
    """An edit that sets the outputs of attention heads to 0; each head is a (layer, head).

    Examples
    --------
    >>> list(ablate((2, 0), (2, 3), (3, 1)))
    ['layers.2.heads', 'layers.3.heads']
    """
    if not heads:
        raise ValueError("no head was given; give each as (layer, head)")
    by_layer: dict[int, list[int]] = {}
    for layer, head in heads:
        by_layer.setdefault(layer, []).append(head)
    return {f"layers.{layer}.heads": _silence(layer, of_layer) for layer, of_layer in by_layer.items()}


def add(place: str, direction: npt.ArrayLike | Tensor, strength: float = 1.0) -> Edit:
    """An edit that adds `strength * direction` to the activations of every event at a place.

    The direction is (dim,), or (head_dim,) at `heads`, where it is added to every head.

    Examples
    --------
    >>> add("layers.0.stream", torch.ones(4), 0.5)["layers.0.stream"](torch.zeros(1, 1, 4)).tolist()
    [[[0.5, 0.5, 0.5, 0.5]]]
    """
    vector = torch.as_tensor(direction)

    def shift(activations: Tensor) -> Tensor:
        if vector.shape != activations.shape[-1:]:
            raise ValueError(
                f"the direction at {place} has the shape {tuple(vector.shape)}; expected ({activations.shape[-1]},)"
            )
        return activations + strength * vector.to(activations)

    return {place: shift}


def _modules(network: Network) -> dict[str, nn.Module]:
    """The module of each place, whose output are the activations."""
    modules: dict[str, Any] = {"embedding": network.dropout}
    for layer, block in enumerate(network.blocks):
        parts = {"heads": "attention.by_head", "attention": "attention", "feed_forward": "feed_forward", "stream": ""}
        modules |= {f"layers.{layer}.{name}": block.get_submodule(path) for name, path in parts.items()}
    return modules | {"final": network.norm}


def _hook(place: str, function: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def change(module: nn.Module, inputs: Any, activations: Tensor) -> Tensor:
        changed = function(activations)
        if not isinstance(changed, Tensor) or changed.shape != activations.shape:
            given = f"a tensor {tuple(changed.shape)}" if isinstance(changed, Tensor) else type(changed).__name__
            raise ValueError(
                f"the edit at {place} returned {given} for a tensor {tuple(activations.shape)}; it must keep the shape"
            )
        return changed

    return change


def _silence(layer: int, heads: list[int]) -> Callable[[Tensor], Tensor]:
    def silence(activations: Tensor) -> Tensor:
        for head in heads:
            if not 0 <= head < activations.shape[2]:
                raise ValueError(f"layer {layer} has no head {head}; it has {activations.shape[2]}, counted from 0")
        kept = torch.ones(activations.shape[2], 1, dtype=activations.dtype, device=activations.device)
        kept[heads] = 0
        return activations * kept

    return silence
