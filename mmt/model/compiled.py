"""Functions that Numba compiles at their first call, in seconds, and keeps on disk where that can be written."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

# Numba looks whether the file of a function has changed, but not those of the functions that it calls.
_MADE_OF = zlib.crc32(b"".join((Path(__file__).parent / name).read_bytes() for name in ("tiles.py", "kernels.py")))


def compiled(*, parallel: bool = False, fast: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function; `parallel` its `prange` loops over threads, `fast` its sums in whatever order is fastest."""
    options = {"parallel": parallel, "fastmath": fast, "error_model": "numpy"}

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__qualname__ += f"_{_MADE_OF:08x}"  # of which the name on disk is made
        try:
            return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
        except RuntimeError:  # there is nowhere to keep it
            return numba.njit(**options)(function)  # type: ignore[no-any-return]

    return decorate
