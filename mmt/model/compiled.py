"""Compiled functions: Numba compiles them at their first call, which takes seconds, and caches them on disk if it can."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import torch
from numba.core.event import Listener, install_listener
from tqdm import tqdm

NOTICE = "Compiling for this processor, which takes a quarter of a minute; only once."

# The process that called `match_threads` first.
_process: int | None = None
# Numba recompiles when the file of a function changes, but not when a function that it inlines from another file does.
SOURCES = (
    *("model/compiled.py", "model/cpu/scalars.py", "model/cpu/weights.py"),
    *("representation/codes.py", "sampling/lookahead.py", "sampling/state.py"),
)


def compiled(
    *, parallel: bool = False, fast: bool | set[str] = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function.

    `parallel` runs its `prange` loops on threads; `fast` allows sums in any order, or what the given fast-math flags of LLVM do.
    """
    options = {"parallel": parallel, "fastmath": fast, "error_model": "numpy"}

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            function.__qualname__ += _hash_of_sources()  # the cache file is named after it
            return _with_careful_cache(numba.njit(cache=True, **options)(function))  # type: ignore[no-any-return]
        except (OSError, RuntimeError):  # no writable cache folder, or no source files
            return numba.njit(**options)(function)  # type: ignore[no-any-return]

    return decorate


def _with_careful_cache(dispatcher: Any) -> Any:
    """Let a full disk prevent caching only: Numba would raise the error of its cache."""
    if numba.config.DISABLE_JIT:  # it returns the function itself
        return dispatcher
    save = dispatcher._cache.save_overload

    def save_if_possible(*arguments: Any) -> None:
        with suppress(OSError):
            save(*arguments)

    dispatcher._cache.save_overload = save_if_possible
    return dispatcher


@cache
def _hash_of_sources() -> str:
    package = Path(__file__).parent.parent
    return f"_{zlib.crc32(b''.join((package / name).read_bytes() for name in SOURCES)):08x}"


def match_threads() -> None:
    """Let Numba use as many threads as PyTorch does; without this, Numba changes PyTorch's number when it starts."""
    global _process
    # In a process that was forked after the first computation, GNU's OpenMP would end it, or block forever.
    if _process not in (None, os.getpid()) and numba.threading_layer() == "omp":
        raise RuntimeError(
            "this process was forked after music had been generated, and a fork has no threads; start "
            'processes by multiprocessing.get_context("spawn"), or fork before generating the first piece'
        )
    _process = os.getpid()
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    torch.set_num_threads(threads)


@contextmanager
def telling_of_compiling(wanted: bool = True) -> Iterator[None]:
    """Print a notice on stderr, once per process, if something is compiled within the context."""
    if not wanted:
        yield
        return
    with install_listener("numba:compile", _CompilationListener()):
        yield


class _CompilationListener(Listener):  # type: ignore[misc]
    told = False

    def on_start(self, event: object) -> None:
        if not _CompilationListener.told:
            tqdm.write(NOTICE, file=sys.stderr)
        _CompilationListener.told = True

    def on_end(self, event: object) -> None:
        pass
