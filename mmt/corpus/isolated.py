"""Call a function on each item in a separate process, with a time limit, so that a crash or a hang loses one item only.

A native reader can corrupt memory, exhaust it or hang on a broken file. Then its process is killed, and a new one
continues with the next item. Otherwise a process is reused for thousands of items.

multiprocessing, concurrent.futures and pebble do not fit: they cannot start a process inside Dask's daemonic workers, and
they import the user's main module again.
"""

from __future__ import annotations

import atexit
import faulthandler
import math
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# The child first receives the parent's sys.path, so that both import the same modules.
_BOOT = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from mmt.corpus.isolated import serve; serve()"
)
_READY = "ready"
# The exit status of a process that faulthandler's timer ended.
_TIMED_OUT = 1
# An idle process ends by itself after this many seconds.
_IDLE = 60
# Seconds that a process may take to exit after its last answer.
_EXIT_TIME = 1.0
# The timer is restarted after this fraction of the time limit only, since that takes longer than reading a short file.
_SLACK = 0.1
# Bytes of address space of the process: libraries reserve one gigabyte of it, and a large score takes as much.
_MEMORY = 8 * 2**30
# Capacity of the pipes in bytes, so that neither side waits for the other at every item.
_PIPE_SIZE = 2**20


@dataclass(frozen=True)
class Lost:
    """The reason why an item has no answer."""

    reason: str


@dataclass(frozen=True)
class _Raised:
    """The error of the system that an item ended with."""

    error: OSError


def call_each(function: Callable[[Item], Answer], items: Sequence[Item], *, time_limit: float) -> list[Answer | Lost]:
    """Call `function` on each item in another process; return the answers in order.

    The function is importable, or a `functools.partial` of one; items and answers can be pickled. Each item has `time_limit`
    seconds, exceeded by up to 10 %. An item that took too long, or at which the process died twice, is `Lost`: a single
    death may have another cause, such as a lack of memory. A `RuntimeError` says that the process cannot be started; an `OSError`
    of `function` is raised after all items.

    >>> from operator import neg
    >>> call_each(neg, [1, 2, 3], time_limit=60)
    [-1, -2, -3]
    """
    answers: list[Answer | Lost] = []
    deaths = 0
    while len(answers) < len(items):
        process = _idle_process() or _Process()
        begun = time.monotonic()
        try:
            process.send((function, items[len(answers) :], time_limit))
            process.receive()  # confirms the items; the time limit excludes the imports that the function needs
            begun = time.monotonic()
            while len(answers) < len(items):
                answers.append(process.receive())
                begun, deaths = time.monotonic(), 0
        except (EOFError, OSError, pickle.UnpicklingError):
            elapsed = time.monotonic() - begun
            status = process.end(_EXIT_TIME)
            late = status == _TIMED_OUT and elapsed >= time_limit
            deaths += 1
            if late or deaths == 2:
                answers.append(Lost(f"took longer than {time_limit:g} s" if late else f"its reader {_death(status)}"))
                deaths = 0
        except BaseException:
            process.end()
            raise
        else:
            _idle.append(process)
    for answer in answers:
        if isinstance(answer, _Raised):
            raise answer.error
    return answers


def end_idle() -> None:
    """End the idle processes, which would end by themselves after a minute."""
    while _idle:
        _idle.pop().end()


def serve() -> None:
    """The main loop of the other process: receive items and send answers until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C stops the parent, and then this process
    _limit_memory()
    # Readers may print: keep the pipe for answers, and redirect stdout.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    devnull = open(os.devnull, "w")  # noqa: SIM115 (stays open until the process ends)
    os.dup2(devnull.fileno(), sys.stdout.fileno())
    _send(answers, _READY)
    while True:
        # faulthandler's timer is a C thread, so it works while a native reader holds the GIL.
        faulthandler.dump_traceback_later(_IDLE, exit=True, file=devnull)
        try:
            function, items, time_limit = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        _send(answers, _READY)
        started = -math.inf
        for item in items:
            if (now := time.monotonic()) - started > _SLACK * time_limit:
                faulthandler.dump_traceback_later((1 + _SLACK) * time_limit, exit=True, file=devnull)
                started = now
            try:
                answer = function(item)
            except OSError as error:
                answer = _Raised(error)
            _send(answers, answer)


def _limit_memory() -> None:
    """Let a reader that takes too much memory fail, before the system runs out of it and ends another process."""
    with suppress(ImportError, OSError, ValueError):  # not on Windows; or there is a lower limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _idle_process() -> _Process | None:
    while _idle:
        process = _idle.pop()
        if process.is_alive():
            return process
        process.end()
    return None


def _send(pipe: Any, message: object) -> None:
    pickle.dump(message, pipe, pickle.HIGHEST_PROTOCOL)
    pipe.flush()


class _Process:
    """A process that runs `serve`, with pipes in both directions."""

    def __init__(self) -> None:
        atexit.unregister(end_idle)
        atexit.register(end_idle)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE_SIZE,
        )
        try:
            self.send(sys.path)
            assert self.receive() == _READY
        except (EOFError, OSError) as error:
            status = self.end(_EXIT_TIME)
            raise RuntimeError(
                f"the process that reads files {_death(status)} at once; "
                f"see whether '{sys.executable} -c \"import mmt.corpus.isolated\"' works"
            ) from error

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: object) -> None:
        _send(self._process.stdin, message)

    def receive(self) -> Any:
        return pickle.load(self._process.stdout)  # type: ignore[arg-type]  # it is a pipe

    def end(self, timeout: float = 0.0) -> int:
        """Kill the process if it does not exit within `timeout` seconds; return its status, negative for a signal."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # unsent data are discarded
                pipe.close()  # type: ignore[union-attr]  # both are pipes
        return status


def _death(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


_idle: list[_Process] = []
