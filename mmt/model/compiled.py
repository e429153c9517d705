"""Compiled functions: Numba compiles them at their first call, which takes seconds, and caches them on disk if it can."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import torch
from numba.core.caching import FunctionCache
from numba.core.event import Listener, install_listener
from tqdm import tqdm

NOTICE = "Compiling for this processor, which takes ten to twenty seconds; only once."

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
    # Wrappers for calls from C take time to compile, and are not used.
    options = {"parallel": parallel, "fastmath": fast, "error_model": "numpy", "no_cfunc_wrapper": True}

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
def compiling(*, notice: bool = True) -> Iterator[None]:
    """If something is compiled within the context, print a notice on stderr if wanted, and share the work with a second process.

    The second process compiles the functions of sampling (`mmt.sampling.warm_up`) and writes them to the cache on disk, while
    this process compiles those of the network.
    """
    with install_listener("numba:compile", listener := _CompilationListener(notice)):
        try:
            yield
        finally:
            if listener.second is not None:
                listener.second.kill()
                listener.second.wait()


class _CompilationListener(Listener):  # type: ignore[misc]
    is_told = is_shared = False  # once per process

    def __init__(self, notice: bool) -> None:
        self.notice = notice
        self.second: subprocess.Popen[bytes] | None = None

    def on_start(self, event: Any) -> None:
        if self.notice and not _CompilationListener.is_told:
            _CompilationListener.is_told = True
            tqdm.write(NOTICE, file=sys.stderr)
        # Without a cache, as for functions of the user, this process could not use what another one compiles.
        cached = isinstance(getattr(event.data["dispatcher"], "_cache", None), FunctionCache)
        if cached and not _CompilationListener.is_shared:
            _CompilationListener.is_shared = True
            self.second = _start_second_process()

    def on_end(self, event: object) -> None:
        pass


def _start_second_process() -> subprocess.Popen[bytes] | None:
    """The process, or None if there is no second core for it, or no Python to start."""
    # A frozen program, or one that embeds Python, may be the executable itself.
    is_python = "python" in Path(sys.executable or "").name.lower() and not hasattr(sys, "frozen")
    if torch.get_num_threads() == 1 or not is_python:
        return None
    # -P: a file in the working folder may be named like a module. (-I includes -P.)
    command = [sys.executable, "-I" if sys.flags.isolated else "-P", "-m", "mmt.sampling.warm_up"]
    silent = subprocess.DEVNULL
    no_window = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # on Windows, a program without a console would open one
    with suppress(OSError):
        return subprocess.Popen(command, stdin=silent, stdout=silent, stderr=silent, creationflags=no_window)
    return None
