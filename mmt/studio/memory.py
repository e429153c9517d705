"""Give free memory back to the system, so that a studio that runs for days does not grow.

The C library keeps the memory that NumPy and PyTorch have freed for the next arrays. After many arrays of different sizes this
was a quarter of all memory.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


def release_free_memory() -> None:
    """Return the free pages of all heaps to the system; it takes some milliseconds. Without glibc it does nothing."""
    if (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # TypeError: on Windows
        return None
