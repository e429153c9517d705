"""Keep the memory of a studio that runs for days from growing.

The C library (glibc) keeps the memory of freed arrays for later ones, and is less ready to return it the larger the arrays were.
Sound and attention weights are large.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

_MMAP_THRESHOLD = -3
"""The option of `mallopt` with this name."""
_LARGE = 128 * 1024
"""Bytes: glibc's own first value of the threshold, which it raises up to 32 MiB while a program runs."""


def return_large_arrays() -> None:
    """Let each large array have pages of its own, which return to the system when it is freed. Without glibc: nothing."""
    if (libc := _glibc()) is not None:
        libc.mallopt(_MMAP_THRESHOLD, _LARGE)


def return_free_memory() -> None:
    """Return the free pages of all heaps to the system; it takes some milliseconds. Without glibc: nothing."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> Any:
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):  # TypeError: on Windows
        return None
    return libc if hasattr(libc, "gnu_get_libc_version") else None
