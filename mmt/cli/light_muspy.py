"""Import muspy's classes without the libraries of its other formats and its plots, which a command does not use.

They take over a second. Only commands do this, since it fills `sys.modules`. What was left out is imported when it is first used.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

# What `muspy.music` imports, for annotations and for methods that mmt does not call.
_LATER = ("muspy.outputs", "muspy.visualization", "music21.stream", "pretty_midi", "pypianoroll")


def import_muspy_lightly() -> None:
    """Put a muspy with its classes into `sys.modules`; its other names import all of muspy when they are first used."""
    spec = importlib.util.find_spec("muspy")
    if "muspy" in sys.modules or spec is None or spec.loader is None:
        return
    muspy, loader = importlib.util.module_from_spec(spec), spec.loader
    left_out = [name for name in _LATER if name not in sys.modules]
    sys.modules |= {"muspy": muspy} | {name: _later(name) for name in left_out}
    try:
        for name in ("muspy.base", "muspy.classes", "muspy.music"):
            module = importlib.import_module(name)
            vars(muspy).update({public: getattr(module, public) for public in module.__all__})
    finally:
        for name in left_out:
            del sys.modules[name]

    def load(name: str) -> Any:
        if name.startswith("__") or "__getattr__" not in vars(muspy):
            raise AttributeError(name)
        del muspy.__getattr__
        loader.exec_module(muspy)
        return getattr(muspy, name)

    muspy.__getattr__ = load  # type: ignore[method-assign]


def _later(module: str) -> ModuleType:
    """A module whose functions import the real module when they are called."""

    def function(name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *inputs, **named: getattr(importlib.import_module(module), name)(*inputs, **named)

    stand_in = ModuleType(module)
    stand_in.__getattr__ = function  # type: ignore[method-assign]
    return stand_in
