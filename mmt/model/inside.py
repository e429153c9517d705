"""Interventions: named places inside a network, and edits that change the activations there during a forward pass.

| place | activations |
|---|---|
| `embedding` | the residual stream that enters the first layer |
| `layers.I.heads` | the outputs of the attention heads of layer I, (batch, length, head, head_dim), before they are joined |
| `layers.I.attention` | the output of attention, which is added to the residual stream |
| `layers.I.feed_forward` | the output of the feed-forward layer, which is added to it |
| `layers.I.stream` | the residual stream after layer I |
| `final` | the residual stream after the last norm, from which the heads predict |

Layers and heads count from 0. All but `heads` are (batch, length, dim). An edit is what `ablate` and `add` return, several of
them joined by `combine`, or a mapping from places to functions: each takes the activations and returns new ones of the same
shape. During generation, a function sees the prompt first and then one event at a time (length 1), so it should treat each
event independently.
"""

from __future__ import annotations

import hashlib
import operator
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy.typing as npt
import torch
from torch import Tensor, nn

from mmt.model.network import Network
from mmt.model.sharing import share


class Step(NamedTuple):
    """One function at one place."""

    place: str
    function: Callable[[Tensor], Tensor]
    identity: str
    """Equal for steps that do the same; random for a function of the user, which cannot be compared."""


@dataclass(frozen=True)
class Edits:
    """Functions at places, applied in this order; `a & b` joins two edits (see `combine`)."""

    steps: tuple[Step, ...]

    @property
    def places(self) -> list[str]:
        """The places that are changed, each once."""
        return list(dict.fromkeys(step.place for step in self.steps))

    def __and__(self, other: Edit) -> Edits:
        return combine(self, other)

    def __rand__(self, other: Edit) -> Edits:
        return combine(other, self)

    # A union of dictionaries keeps one function per place, so edits are none: | joins as & does, and {**edit} raises.
    __or__, __ror__ = __and__, __rand__

    def keys(self) -> NoReturn:
        """Refuse `{**edit}` and `dict(edit)`, which would keep one function per place."""
        raise ValueError("an edit cannot be unpacked into a dict; join edits by mmt.inside.combine(a, b), or a & b")


Edit = Edits | Mapping[str, Callable[[Tensor], Tensor]]


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
    edit : Edits, or mapping from places to functions

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
    for step in combine(edit).steps:
        if step.place not in modules:
            raise ValueError(f"unknown place {step.place!r}; this network has {', '.join(modules)}")
        modules[step.place].register_forward_hook(_hook(step))
    return changed


def edits_of(network: Network) -> list[str]:
    """What identifies each edit of a network, "place: change"; empty for a plain network. Other hooks are not edits."""
    hooks = (hook for module in network.modules() for hook in module._forward_hooks.values())
    return [hook.identity for hook in hooks if hasattr(hook, "identity")]


def combine(*edits: Edit) -> Edits:
    """Join edits: all of their functions are applied, at the same place in the order given.

    Examples
    --------
    >>> both = combine(ablate((0, 0)), ablate((0, 1)), {"final": lambda stream: 2 * stream})
    >>> both.places, len(both.steps)
    (['layers.0.heads', 'final'], 3)
    """
    steps: list[Step] = []
    for edit in edits:
        if isinstance(edit, Edits):
            steps += edit.steps
            continue
        if not isinstance(edit, Mapping):
            raise ValueError(
                f"an edit is {edit!r}; give mmt.inside.ablate(…), mmt.inside.add(…), or {{place: function}}, such as "
                '{"final": function}'
            )
        for place, function in edit.items():
            if not callable(function):
                raise ValueError(
                    f"the edit at {place} is {function!r}; give a function that takes and returns a tensor"
                )
            steps.append(Step(place, function, f"{place}: function {secrets.token_hex(8)}"))
    return Edits(tuple(steps))


def ablate(*heads: tuple[int, int]) -> Edits:
    """An edit that sets the outputs of attention heads to 0; each head is a (layer, head).

    Examples
    --------
    >>> ablate((2, 0), (2, 3), (3, 1)).places
    ['layers.2.heads', 'layers.3.heads']
    """
    if not heads:
        raise ValueError("no head was given; give each as (layer, head)")
    by_layer: dict[int, set[int]] = {}
    for pair in heads:
        try:
            layer, head = map(operator.index, pair)
        except (TypeError, ValueError):
            raise ValueError(
                f"{pair!r} is not a head; give each head as a pair (layer, head): ablate((0, 1)), ablate((0, 1), (2, 3))"
            ) from None
        by_layer.setdefault(layer, set()).add(head)
    return Edits(
        tuple(
            Step(f"layers.{layer}.heads", _silence(layer, of_layer), f"layers.{layer}.heads: ablate {of_layer}")
            for layer, of_layer in ((layer, sorted(of_layer)) for layer, of_layer in by_layer.items())
        )
    )


def add(place: str, direction: npt.ArrayLike | Tensor, strength: float = 1.0) -> Edits:
    """An edit that adds `strength * direction` to the activations of every event at a place.

    The direction is (dim,), or (head_dim,) at `heads`, where it is added to every head.

    Examples
    --------
    >>> from mmt.model.config import NetworkConfig
    >>> network = Network(NetworkConfig(dim=32, layers=1, heads=2, head_dim=16)).eval()
    >>> codes = torch.zeros(1, 3, 6, dtype=torch.long)
    >>> moved = edited(network, add("final", torch.ones(32), 0.5)).hidden(codes) - network.hidden(codes)
    >>> bool(torch.isclose(moved, torch.tensor(0.5), atol=1e-6).all())
    True
    """
    # A copy: the edit stays the same when the caller's array changes.
    vector = torch.as_tensor(direction).detach().clone()

    def shift(activations: Tensor) -> Tensor:
        if vector.shape != activations.shape[-1:]:
            raise ValueError(
                f"the direction at {place} has the shape {tuple(vector.shape)}; expected ({activations.shape[-1]},)"
            )
        return activations + strength * vector.to(activations)

    digest = hashlib.sha256(vector.double().cpu().numpy().tobytes()).hexdigest()[:16]
    return Edits((Step(place, shift, f"{place}: add {float(strength)!r} times {digest}"),))


def _modules(network: Network) -> dict[str, nn.Module]:
    """The module of each place, whose output are the activations."""
    modules: dict[str, Any] = {"embedding": network.dropout}
    for layer, block in enumerate(network.blocks):
        parts = {"heads": "attention.by_head", "attention": "attention", "feed_forward": "feed_forward", "stream": ""}
        modules |= {f"layers.{layer}.{name}": block.get_submodule(path) for name, path in parts.items()}
    return modules | {"final": network.norm}


def _hook(step: Step) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    place, function, identity = step

    def change(module: nn.Module, inputs: Any, activations: Tensor) -> Tensor:
        changed = function(activations)
        if not isinstance(changed, Tensor) or changed.shape != activations.shape:
            given = f"a tensor {tuple(changed.shape)}" if isinstance(changed, Tensor) else type(changed).__name__
            raise ValueError(
                f"the edit at {place} returned {given} for a tensor {tuple(activations.shape)}; it must keep the shape"
            )
        return changed

    change.identity = identity  # type: ignore[attr-defined]
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
