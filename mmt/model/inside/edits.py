"""Edits: functions at places of a network that change the activations there during a forward pass.

An edit is what `ablate`, `add`, … return, several of them joined by `combine` or `&`, or a mapping from places to functions. A
function takes the activations and returns new ones of the same shape. If it has a second parameter without a default, or one
named `context`, it also gets the `Context`: the events that are being read. It must treat each event independently of the others
in `activations`, since generation reads one at a time; what is kept in `context.memory` lasts for one forward pass.
"""

from __future__ import annotations

import difflib
import inspect
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from torch import Tensor, nn

from mmt.model.inside.places import all_places, is_by_key
from mmt.model.network import Network
from mmt.model.reading import Context, Reading
from mmt.model.sharing import share
from mmt.representation.arguments import described

Function = Callable[..., Tensor]
"""Takes activations, or activations and a context."""


class Step(NamedTuple):
    """One function at one place."""

    place: str
    function: Function
    identity: str
    """Equal for steps that do the same; random for a function of the user, which cannot be compared."""
    heads: tuple[int, ...] = ()
    """The heads that it names, which `edited` checks."""


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

    # Not a dictionary: {**a, **b} would keep one function per place and lose the other. `|` joins as `&` does.
    __or__, __ror__ = __and__, __rand__

    def keys(self) -> NoReturn:
        """Refuse `{**edit}` and `dict(edit)`, which would keep one function per place."""
        raise ValueError("an edit cannot be unpacked into a dict; join edits by mmt.inside.combine(a, b), or a & b")


Edit = Edits | Mapping[str, Function]


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
    >>> import torch
    >>> from mmt.model.config import NetworkConfig
    >>> network = Network(NetworkConfig(dim=32, layers=1, heads=2, head_dim=16)).eval()
    >>> louder = edited(network, {"final": lambda stream: 2 * stream})
    >>> codes = torch.zeros(1, 3, 6, dtype=torch.long)
    >>> bool((louder.hidden(codes) == 2 * network.hidden(codes)).all())
    True
    """
    changed = share(network)
    known = all_places(changed)
    if changed.reading is None:
        changed.reading = Reading()
    for step in combine(edit).steps:
        if step.place not in known:
            raise ValueError(unknown_place(step.place, changed))
        if wrong := [head for head in step.heads if not 0 <= head < changed.config.heads]:
            raise ValueError(f"{step.place} has no head {wrong[0]}; it has {changed.config.heads}, counted from 0")
        changed.get_submodule(known[step.place]).register_forward_hook(_hook(step, changed.reading))
    return changed


def edits_of(network: Network) -> list[str]:
    """What identifies each edit of a network, "place: change"; empty for a plain network. Other hooks are not edits."""
    hooks = (hook for module in network.modules() for hook in module._forward_hooks.values())
    return [hook.identity for hook in hooks if hasattr(hook, "identity")]


def combine(*edits: Edit) -> Edits:
    """Join edits: all of their functions are applied, at the same place in the order given.

    >>> from mmt.model.inside import ablate
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
                f"an edit is {described(edit)}; give mmt.inside.ablate(…), mmt.inside.add(…), or {{place: function}}, such as "
                '{"final": function}'
            )
        for place, function in edit.items():
            if not callable(function):
                raise ValueError(
                    f"the edit at {place} is {function!r}; give a function that takes and returns a tensor"
                )
            steps.append(Step(place, function, f"{place}: function {secrets.token_hex(8)}"))
    return Edits(tuple(steps))


def unknown_place(place: str, network: Network) -> str:
    """What is wrong with the name of a place."""
    layers, known = network.config.layers, [*all_places(network)]
    named = re.fullmatch(r"layers\.(-?[0-9]{1,9})\.[^.]+", str(place))
    if named and not 0 <= int(named[1]) < layers:
        return f"{place}: the network has no layer {named[1]}; it has {layers}, counted from 0"
    near = difflib.get_close_matches(str(place)[:80], known, n=1)
    offer = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown place {described(place)}; {offer}mmt.inside.places(model) lists all {len(known)}"


def takes_context(function: Function) -> bool:
    """Whether a function has a second parameter without a default, or one named `context`."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False  # a builtin without a signature
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    needed = [one for one in positional if one.default is one.empty]
    return len(needed) > 1 or any(one.name == "context" for one in parameters)


def with_context(function: Function, place: str) -> Callable[[Tensor, Context | None], Tensor]:
    """Wrap a function so that it takes activations and a context, which must be of the same events."""
    if not takes_context(function):
        return lambda activations, _: function(activations)
    axis = 2 if is_by_key(place) else 1

    def call(activations: Tensor, context: Context | None) -> Tensor:
        events = activations.shape[0], activations.shape[axis]
        if context is not None and place.startswith("logits.") and events == (context.shape[0], 1):
            context = context.last()
        if context is None or context.shape != events:
            raise ValueError(
                f"the edit at {place} needs the events that are read, and this call computes logits without them; apply it in "
                "generate(…), stream(…), network(…) or mmt.activations"
            )
        return function(activations, context)

    return call


def _hook(step: Step, reading: Reading) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    name, call = step.place, with_context(step.function, step.place)
    needs_context = takes_context(step.function) or name.startswith("logits.")

    def change(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        context = reading.context if needs_context else None
        activations = output if output.dim() > 2 else _logits_by_event(output, context)
        changed = call(activations, context)
        if not isinstance(changed, Tensor) or changed.shape != activations.shape:
            given = f"a tensor {tuple(changed.shape)}" if isinstance(changed, Tensor) else type(changed).__name__
            raise ValueError(
                f"the edit at {name} returned {given} for a tensor {tuple(activations.shape)}; it must keep the shape"
            )
        return changed.view_as(output)

    change.identity = step.identity  # type: ignore[attr-defined]
    return change


def _logits_by_event(logits: Tensor, context: Context | None) -> Tensor:
    """Logits (rows, size) as (batch, length, size)."""
    # The decoding loop has one hidden state per piece; an analysis of one piece, one per event.
    of_one_piece = context is not None and context.shape == (1, len(logits))
    return logits[None] if of_one_piece else logits[:, None]
