"""A training that is stopped from outside: Ctrl-C and the signal that ends processes let it finish its step and keep it."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingStopped(KeyboardInterrupt):
    """A training was stopped by a signal, `signal`; the message says what was kept."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


class StopHere(Exception):  # noqa: N818 (no error, but Lightning lets an exception alone end a training at once)
    """The step is done and its state is saved: leave Lightning's loops now."""


class StopSignals(Callback):
    """Notes the first signal that asks to stop; a second one of the same kind has its usual effect, at once.

    Lightning's own handler would end the process after any batch, whether its step is done or not. On SLURM, Lightning's
    signal to queue the job anew stays as it is.
    """

    def __init__(self) -> None:
        self.received = 0
        self._usual: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        # Only the main thread of a program may say what a signal does.
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._usual[number] = signal.signal(number, self._note)

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.forget()

    def forget(self) -> None:
        """Give the signals their usual effect again."""
        while self._usual:
            signal.signal(*self._usual.popitem())

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = number
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
