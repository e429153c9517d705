"""The queue of jobs and the one thread in which the model works.

A job is a function that the thread calls. It adds messages, which clients can read from the first one on, at any time. A job can
be stopped at any moment: it checks between two events, and an exception interrupts longer calls of the library.
"""

from __future__ import annotations

import ctypes
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Full, Queue
from typing import Any, TypeVar

from mmt.music.atomic import FULL
from mmt.studio.memory import return_free_memory

Result = TypeVar("Result")

MOST_WAITING = 16
FULL_DISK = "the disk is full; free some space and try again"
_MOST_KEPT = 16
"""Finished jobs that can still be asked for."""


class Stopped(BaseException):
    """The job was stopped. Not an `Exception`, so that no handler on the way takes it for an error."""


class BusyError(RuntimeError):
    """Too many jobs are waiting."""


@dataclass
class Job:
    """A task of the model, and its messages."""

    piece: str
    run: Callable[[Job], None]
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    about: dict[str, Any] = field(default_factory=dict)
    """The request, as clients get it."""
    status: str = "waiting"
    """waiting, running, done, stopped or failed."""
    is_stopped: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_interruptible: bool = False
    over: threading.Event = field(default_factory=threading.Event)
    """Set when the job is over."""

    @property
    def is_over(self) -> bool:
        return self.status in ("done", "stopped", "failed")

    def say(self, **message: Any) -> None:
        """Add a message for clients."""
        self.messages.append(message)

    def check(self) -> None:
        """Raise `Stopped` if the job is to stop."""
        if self.is_stopped:
            raise Stopped

    def interruptibly(self, function: Callable[[], Result]) -> Result:
        """Call a function that does not check whether the job is to stop; `Stopped` interrupts it."""
        with self.lock:
            self.check()
            self.is_interruptible = True
        try:
            return function()
        finally:
            with self.lock:
                self.is_interruptible = False


_Task = Job | tuple[Callable[[], Any], Future[Any]]


class Worker:
    """The thread and its queue. `setup` runs first, before any job."""

    def __init__(self, setup: Callable[[], None]) -> None:
        self._queue: Queue[_Task | None] = Queue(MOST_WAITING)
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._running: Job | None = None
        self._setup = setup
        self.is_ready = False
        self.trouble = ""
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def submit(self, piece: str, run: Callable[[Job], None], about: dict[str, Any] | None = None) -> Job:
        """Queue a job. Each piece has one job at a time: an earlier one is stopped."""
        if (earlier := self.job_of(piece)) is not None:
            self.stop(earlier)
        job = Job(piece, run, about=about or {})
        with self._lock:
            self._put(job)
            self._jobs[job.id] = job
            over = [one for one in self._jobs.values() if one.is_over]
            for one in over[: max(len(over) - _MOST_KEPT, 0)]:
                del self._jobs[one.id]
        return job

    def call(self, function: Callable[[], Any], time_limit: float) -> Any:
        """Call a short function in the thread, and return its answer; a `TimeoutError` after `time_limit` seconds."""
        future: Future[Any] = Future()
        self._put((function, future))
        return future.result(time_limit)

    def _put(self, task: _Task) -> None:
        try:
            self._queue.put_nowait(task)
        except Full:
            raise BusyError("too many requests wait for the model; try again in a moment") from None

    def get(self, job_id: str) -> Job:
        """A job; a `KeyError` if there is none."""
        return self._jobs[job_id]

    def job_of(self, piece: str) -> Job | None:
        """The job of a piece that is waiting or running."""
        with self._lock:
            return next((one for one in self._jobs.values() if one.piece == piece and not one.is_over), None)

    def stop(self, job: Job) -> None:
        """Stop a job; it is over soon after."""
        with self._lock:
            if job.status == "waiting":
                job.status = "stopped"
                job.say(type="stopped")
                job.over.set()
            with job.lock:
                job.is_stopped = True
                if job.is_interruptible and self._thread.ident is not None:
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(self._thread.ident), ctypes.py_object(Stopped)
                    )

    def end(self) -> None:
        """Stop everything and wait for the thread."""
        for job in list(self._jobs.values()):
            if not job.is_over:
                self.stop(job)
        try:
            self._queue.put(None, timeout=1)
        except Full:
            return
        # A thread that is inside native code when Python ends makes the process abort.
        self._thread.join(timeout=10)

    def _work(self) -> None:
        try:
            self._setup()
            self.is_ready = True
        except Exception as error:  # no caller can catch it in this thread; `status` of the API reports it
            self.trouble = f"the model could not be loaded: {error}"
        while True:
            try:
                task = self._queue.get()
                if task is None:
                    return
                if isinstance(task, Job):
                    self._run(task)
                else:
                    _call(*task)
                del task  # with the arrays of its job or answer
                return_free_memory()
            except Stopped:  # it came after the job had ended
                continue

    def _run(self, job: Job) -> None:
        with self._lock:
            if job.is_over:
                return
            job.status, self._running = "running", job
        status, text = "failed", ""
        try:
            job.run(job)
            status = "done"
        except Stopped:
            status = "stopped"
        except ValueError as error:
            text = " ".join(str(error).split())
        except Exception as error:
            is_full = getattr(error, "errno", None) in FULL
            text = FULL_DISK if is_full else f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        # The interruption may arrive as late as here.
        while self._running is job:
            try:
                self._finish(job, status, text)
            except Stopped:
                continue

    def _finish(self, job: Job, status: str, text: str) -> None:
        with self._lock:
            if not job.is_over:
                job.say(type=status, text=text)
                job.status = status
                job.over.set()
            self._running = None


def _call(function: Callable[[], Any], future: Future[Any]) -> None:
    try:
        future.set_result(function())
    except Exception as error:
        future.set_exception(error)
