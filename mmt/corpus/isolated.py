"""Calls that may hang or crash: a function is called on one item after the other in a process of its own, which may die.

A native reader that meets a broken file can write outside its memory, eat all of it, or never come back. Here that
costs the one item: its process is ended, and a new one goes on with the next. In the good case a process serves for
thousands of items, and waits a while for more.
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

# The parent's path comes first, so that both import the same modules.
_BOOT = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from mmt.corpus.isolated import serve; serve()"
)
_READY = "ready"
# The status with which Python's timer ends a process.
_LATE = 1
# Seconds after which a process that is given nothing to do ends by itself.
_IDLE = 60
# Seconds that a process whose answers have ended may take to end as well.
_LAST_BREATH = 1.0
# The share of the time limit for which the timer of one item serves for the next ones as well.
_SLACK = 0.1
# Bytes that a pipe holds, so that neither side waits for the other at every item.
_PIPE = 2**20


@dataclass(frozen=True)
class Lost:
    """In place of an answer: why there is none."""

    reason: str


def call_each(function: Callable[[Item], Answer], items: Sequence[Item], *, time_limit: float) -> list[Answer | Lost]:
    """`function` of each item, called in another process.

    Parameters
    ----------
    function : callable
        Importable, or a `functools.partial` of what is; items and answers can be pickled.
    items : sequence
    time_limit : float
        Seconds for each item, or up to a tenth more.

    Returns
    -------
    list
        An answer for each item; `Lost` for one that took too long, or with which the process died twice (once may be
        another's fault, as where memory is short).

    Raises
    ------
    RuntimeError
        If no such process can be started.

    Examples
    --------
    >>> from operator import neg
    >>> call_each(neg, [1, 2, 3], time_limit=60)
    [-1, -2, -3]
    """
    answers: list[Answer | Lost] = []
    deaths = 0
    while len(answers) < len(items):
        process = _waiting() or _Process()
        begun = time.monotonic()
        try:
            process.send((function, items[len(answers) :], time_limit))
            process.receive()  # that they have come; importing what the function needs is not counted
            begun = time.monotonic()
            while len(answers) < len(items):
                answers.append(process.receive())
                begun, deaths = time.monotonic(), 0
        except (EOFError, OSError, pickle.UnpicklingError):
            elapsed = time.monotonic() - begun
            status = process.end(_LAST_BREATH)
            late = status == _LATE and elapsed >= time_limit
            deaths += 1
            if late or deaths == 2:
                answers.append(Lost(f"took longer than {time_limit:g} s" if late else f"its reader {_death(status)}"))
                deaths = 0
        except BaseException:
            process.end()
            raise
        else:
            _idle.append(process)
    return answers


def end_idle() -> None:
    """End the processes that wait for more items, as they would by themselves after a minute."""
    while _idle:
        _idle.pop().end()


def serve() -> None:
    """What the other process does: call functions until there is nothing more to come."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end is ours
    # Readers may print; answers have a way of their own.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    nowhere = open(os.devnull, "w")  # noqa: SIM115 (open as long as the process lives)
    os.dup2(nowhere.fileno(), sys.stdout.fileno())
    _answer(answers, _READY)
    while True:
        # This timer of Python's is a thread in C: it works where a native reader holds the interpreter's lock.
        faulthandler.dump_traceback_later(_IDLE, exit=True, file=nowhere)
        try:
            function, items, time_limit = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        _answer(answers, _READY)
        started = -math.inf
        for item in items:
            # Starting the timer takes longer than some items do, so a little of the limit may have gone already.
            if (now := time.monotonic()) - started > _SLACK * time_limit:
                faulthandler.dump_traceback_later((1 + _SLACK) * time_limit, exit=True, file=nowhere)
                started = now
            _answer(answers, function(item))


def _waiting() -> _Process | None:
    while _idle:
        process = _idle.pop()
        if process.is_alive():
            return process
        process.end()
    return None


def _answer(answers: Any, answer: object) -> None:
    pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
    answers.flush()


class _Process:
    """Another process, and the way there and back."""

    def __init__(self) -> None:
        atexit.unregister(end_idle)
        atexit.register(end_idle)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE,
        )
        try:
            self.send(sys.path)
            assert self.receive() == _READY
        except (EOFError, OSError) as error:
            status = self.end(_LAST_BREATH)
            raise RuntimeError(
                f"the process that reads files {_death(status)} at once; "
                f"see whether '{sys.executable} -c \"import mmt.corpus.isolated\"' works"
            ) from error

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: object) -> None:
        assert self._process.stdin is not None
        pickle.dump(message, self._process.stdin, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()

    def receive(self) -> Any:
        return pickle.load(self._process.stdout)  # type: ignore[arg-type]  # it is a pipe

    def end(self, patience: float = 0.0) -> int:
        """End it, if it has not ended within `patience` seconds; returns its status, negative for a signal."""
        try:
            status = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what could not be sent is of no use any more
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
