"""Copies of a network that share all but its structure."""

from __future__ import annotations

from typing import TypeVar, cast

from torch import nn

AnyModule = TypeVar("AnyModule", bound=nn.Module)

# What torch keeps in every module: its parameters, buffers, children and hooks, by name or number.
_TABLES = [name for name, value in vars(nn.Module()).items() if isinstance(value, dict)]


def share(module: AnyModule) -> AnyModule:
    """A copy in which parts can be replaced and hooks added; weights, hooks so far and everything else are the module's own.

    >>> linear = nn.Linear(2, 2)
    >>> share(linear).weight is linear.weight
    True
    """
    return cast(AnyModule, _share(module, {}))


def _share(module: nn.Module, copies: dict[nn.Module, nn.Module]) -> nn.Module:
    # A module may stand in several places.
    if module not in copies:
        copy = copies[module] = type(module).__new__(type(module))
        copy.__dict__.update(vars(module))
        # What is compiled would still be the module itself.
        copy.__dict__.pop("_compiled_call_impl", None)
        for table in _TABLES:
            copy.__dict__[table] = copy.__dict__[table].copy()
        for name, child in module._modules.items():
            copy._modules[name] = None if child is None else _share(child, copies)
    return copies[module]
