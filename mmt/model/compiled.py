"""Functions that Numba compiles at their first call, in seconds, and keeps on disk where that can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(*, parallel: bool = False, fast: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function; `parallel` its `prange` loops over threads, `fast` its sums in whatever order is fastest."""
    options = {"parallel": parallel, "fastmath": fast, "error_model": "numpy"}

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
        except RuntimeError:  # there is nowhere to keep it
            return numba.njit(**options)(function)  # type: ignore[no-any-return]

    return decorate
