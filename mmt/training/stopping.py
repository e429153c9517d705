"""Stopping and resuming a training: signals let it finish its step and save its state, from which a later call resumes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Self

import lightning
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import Callback

from mmt.model.checkpoint import CONFIG, read_training
from mmt.model.tensor_files import load_tensors
from mmt.training.recipe import Recipe, load_recipe

RESUME = "resume.ckpt"

# Entries that are part of the optimizer's state: a resumed training would ignore a change of them.
_FIXED = ("name", "learning_rate", "betas", "weight_decay", "lora_rank")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_REQUEUE = signal.SIGUSR1


class TrainingStopped(KeyboardInterrupt):
    """A training was stopped by the signal `signal`; the message says what was kept."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


class StopHere(Exception):  # noqa: N818 (not an error, but Lightning ends a training at once only for an exception)
    """Leave Lightning's loops now: the step is finished and its state is saved."""


class StopSignals(Callback):
    """Records a signal that asks to stop, or SLURM's signal to requeue the job; a second Ctrl-C stops at once.

    Lightning's own handlers act in the middle of a step: one ends the process, the other saves a state that counts one batch
    too many, which shifts all later validations by a step. A context manager; the signal handlers are restored on exit.
    """

    def __init__(self) -> None:
        self.received = 0
        self.begun = False
        self.asked_to_requeue = False
        self._requeue: Any = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        # Only the main thread of a program may set signal handlers.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in (*_SIGNALS, _REQUEUE)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.begun = True
        if not self._before:
            return
        for number in _SIGNALS:
            signal.signal(number, self._note)
        # In a SLURM job, Lightning has set a handler for this signal before.
        if isinstance(trainer._accelerator_connector.cluster_environment, SLURMEnvironment):
            self._requeue = signal.signal(_REQUEUE, self._note_requeue)

    def requeue(self) -> None:
        """Call Lightning's handler: save the state and ask SLURM to requeue the job."""
        self.asked_to_requeue = False
        if callable(self._requeue):
            self._requeue(_REQUEUE, None)

    def _note_requeue(self, number: int, _: FrameType | None) -> None:
        self.asked_to_requeue = True

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = number
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)


def state_file(output: Path) -> Path:
    """The file from which a run would resume; a file that Lightning wrote for SLURM is always the newer one."""
    numbers = {path: path.stem.removeprefix("hpc_ckpt_") for path in output.glob("hpc_ckpt_*.ckpt")}
    requeued = [path for path, number in numbers.items() if number.isdecimal()]
    return max(requeued, key=lambda path: (len(numbers[path]), numbers[path]), default=output / RESUME)


def steps_done(state: Path) -> int:
    """The number of steps of a saved state; a `ValueError` if the file contains anything but numbers and tensors."""
    if not state.is_file():
        raise ValueError(f"{state} is not a file")
    try:
        step = load_tensors(state)["global_step"]
        if type(step) is not int or not 0 <= step < 2**63:
            raise ValueError("the step is not a number of steps")
        return step
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{state} is not the saved state of a training, or it contains code, which is not run; "
            "begin a new run from its best checkpoint (--from)"
        ) from error


def raise_stopped(error: BaseException, trainer: lightning.Trainer, output: Path, signals: StopSignals) -> NoReturn:
    """Raise `TrainingStopped` with a message that says what is kept; processes other than the first exit."""
    # Lightning turns a second Ctrl-C, which stops at once, into a SystemExit.
    if isinstance(error, SystemExit) and not isinstance(error.__context__, KeyboardInterrupt):
        raise error
    if not trainer.is_global_zero:
        raise SystemExit(0) from error
    state = state_file(output)
    said = "nothing was saved"
    if state.exists():
        said = f"the state of step {steps_done(state)} is kept in {output}; continue with --resume (resume=True)"
    raise TrainingStopped(said, signals.received or signal.SIGINT) from error


def check_resumable(recipe: Recipe, data: Mapping[str, Any], former: Path, checkpoint: Path) -> None:
    """Raise a `ValueError` if the recipe or the corpus of a run changed in a way that its state does not allow.

    The length, the schedule and the devices of a training may change; the network, the data and the optimizer may not. `data`
    are from `mmt.training.card.describe`; `former` is the recipe file of the run, `checkpoint` its last checkpoint, which may be
    missing: the data are then not compared.
    """
    # Not `to_dict`, which omits options of the representation that are off.
    before, now = asdict(load_recipe(former)), asdict(recipe)
    for section, names in (
        ("representation", now["representation"]),
        ("network", [name for name in now["network"] if name != "dropout"]),
        ("optimizer", _FIXED),
        ("data", ("exclude",)),
    ):
        for name in names:
            if before[section][name] != now[section][name]:
                raise ValueError(
                    f"{section}.{name} is {now[section][name]}, and was {before[section][name]} when {former.parent} began; "
                    "it cannot change when resuming: leave it out, or begin a new run from its best (--from)"
                )
    if before["seed"] != now["seed"]:
        raise ValueError(f"seed is {now['seed']}, and was {before['seed']} when {former.parent} began; leave it out")
    if (checkpoint / CONFIG).exists():
        _check_same_data(data, checkpoint, former.parent)


def _check_same_data(data: Mapping[str, Any], checkpoint: Path, run: Path) -> None:
    try:
        before = read_training(checkpoint)["data"]
        pieces, notes = int(before["pieces"]), int(before["notes"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{checkpoint / CONFIG} does not describe its training data ({error})") from error
    advice = "resume with the same corpus, or begin a new run from its best (--from)"
    if (pieces, notes) != (data["pieces"], data["notes"]):
        raise ValueError(
            f"{run} has learned from {pieces:,} pieces of {notes:,} notes, and this corpus has {data['pieces']:,} of "
            f"{data['notes']:,}; {advice}"
        )
    # Checkpoints of earlier versions have no hash.
    if before.get("sha256", data["sha256"]) != data["sha256"]:
        raise ValueError(f"{run} has learned from other notes than this corpus has; {advice}")
