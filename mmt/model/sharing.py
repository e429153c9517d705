"""Copy the module tree of a network without copying its weights."""

from __future__ import annotations

from typing import TypeVar, cast

from torch import nn

AnyModule = TypeVar("AnyModule", bound=nn.Module)

# The dictionaries of every module: parameters, buffers, children and hooks.
_TABLES = [name for name, value in vars(nn.Module()).items() if isinstance(value, dict)]


def share(module: AnyModule) -> AnyModule:
    """A copy in which modules can be replaced and hooks added; weights and all other attributes are shared with the original.

    >>> linear = nn.Linear(2, 2)
    >>> share(linear).weight is linear.weight
    True
    """
    return cast(AnyModule, _share(module, {}))


def _share(module: nn.Module, copies: dict[nn.Module, nn.Module]) -> nn.Module:
    # A module may occur more than once. (copy.copy refuses modules with parametrizations.)
    if module not in copies:
        copy = copies[module] = type(module).__new__(type(module))
        copy.__dict__.update(vars(module))
        # The compiled call would still call the original.
        copy.__dict__.pop("_compiled_call_impl", None)
        for table in _TABLES:
            copy.__dict__[table] = copy.__dict__[table].copy()
        for name, child in module._modules.items():
            copy._modules[name] = None if child is None else _share(child, copies)
    return copies[module]
