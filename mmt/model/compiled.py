"""Functions that Numba compiles at their first call, in seconds, and keeps on disk where that can be written."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.event import Listener, install_listener

# Numba looks whether the file of a function has changed, but not at what else goes into it.
SOURCES = (
    *("model/bfloat16.py", "model/compiled.py", "model/elementwise.py", "model/tiles.py", "model/weights.py"),
    *("representation/codes.py", "sampling/lookahead.py", "sampling/state.py"),
)


def compiled(*, parallel: bool = False, fast: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function; `parallel` its `prange` loops over threads, `fast` its sums in whatever order is fastest."""
    options = {"parallel": parallel, "fastmath": fast, "error_model": "numpy"}

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            function.__qualname__ += _made_of()  # of which the name on disk is made
            return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
        except (OSError, RuntimeError):  # there is nowhere to keep it, or there are no sources
            return numba.njit(**options)(function)  # type: ignore[no-any-return]

    return decorate


@cache
def _made_of() -> str:
    package = Path(__file__).parent.parent
    return f"_{zlib.crc32(b''.join((package / name).read_bytes() for name in SOURCES)):08x}"


@contextmanager
def telling_of_compiling(tell: Callable[[str], object], otherwise: str) -> Iterator[None]:
    """Within, tell what is going on when something is compiled, which may take half a minute, and `otherwise` after that."""
    with install_listener("numba:compile", _Teller(tell, otherwise)):
        yield


class _Teller(Listener):  # type: ignore[misc]
    def __init__(self, tell: Callable[[str], object], otherwise: str) -> None:
        self.tell, self.otherwise = tell, otherwise

    def on_start(self, event: object) -> None:
        self.tell("Compiling, once")

    def on_end(self, event: object) -> None:
        self.tell(self.otherwise)
