"""A training that is stopped from outside: Ctrl-C and the signal that ends processes let it finish its step and keep it."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

import lightning
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import Callback

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_REQUEUE = signal.SIGUSR1


class TrainingStopped(KeyboardInterrupt):
    """A training was stopped by a signal, `signal`; the message says what was kept."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


class StopHere(Exception):  # noqa: N818 (no error, but Lightning lets an exception alone end a training at once)
    """The step is done and its state is saved: leave Lightning's loops now."""


class StopSignals(Callback):
    """Notes a signal that asks to stop, or SLURM's to queue the job anew; a second Ctrl-C is not waited for.

    Lightning's own handlers act at once, in the middle of a step: one ends the process, the other saves a state that counts
    a batch too many, and all later validations come one step early. A context: behind it the signals are what they were.
    """

    def __init__(self) -> None:
        self.received = 0
        self.asked_to_requeue = False
        self._requeue: Any = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        # Only the main thread of a program may say what a signal does.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in (*_SIGNALS, _REQUEUE)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if not self._before:
            return
        for number in _SIGNALS:
            signal.signal(number, self._note)
        # Where SLURM runs the job, Lightning has set this one before.
        if isinstance(trainer._accelerator_connector.cluster_environment, SLURMEnvironment):
            self._requeue = signal.signal(_REQUEUE, self._note_requeue)

    def requeue(self) -> None:
        """What Lightning does at that signal: save the state, and have SLURM queue the job anew."""
        self.asked_to_requeue = False
        if callable(self._requeue):
            self._requeue(_REQUEUE, None)

    def _note_requeue(self, number: int, _: FrameType | None) -> None:
        self.asked_to_requeue = True

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = number
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
