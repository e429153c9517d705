"""A training that is stopped at any point resumes to the same weights, bit for bit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from limited import full_disk

from mmt.cli import train as command
from mmt.training.module import TrainingModule
from mmt.training.stopping import TrainingStopped
from mmt.training.train import train
from runs import (
    assert_resumes_to_the_same_weights,
    assert_same_weights,
    before_each_step,
    interrupted_at,
    logged,
    quiet_lightning,
    tiny,
    validation_losses,
)

pytestmark = quiet_lightning
DROPOUT = "network.dropout=0.2"


@contextmanager
def signalled_at(step: int, number: int, times: int = 1) -> Iterator[None]:
    """Send a signal to the training process during a step."""

    def send(module: TrainingModule) -> None:
        if module.trainer.global_step == step:
            for _ in range(times):
                os.kill(os.getpid(), number)

    with before_each_step(send):
        yield


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed training of twelve steps with dropout, validated every four."""
    output = tmp_path_factory.mktemp("whole") / "run"
    train(tiny(DROPOUT), corpus, output)
    return output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
# In the first step, between validations, in the step before a validation, and in the last step.
@pytest.mark.parametrize("step", [0, 5, 7, 11])
def test_a_signal_stops_a_training_after_its_step(
    whole: Path, corpus: Path, tmp_path: Path, number: signal.Signals, step: int
) -> None:
    before = signal.getsignal(number)
    with (
        signalled_at(step, number),
        pytest.raises(TrainingStopped, match=f"the state of step {step + 1} is kept") as stopped,
    ):
        train(tiny(DROPOUT), corpus, tmp_path / "run")
    assert stopped.value.signal == number
    assert signal.getsignal(number) == before
    assert_resumes_to_the_same_weights(tiny(DROPOUT), corpus, tmp_path / "run", whole)
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("step", [0, 4, 5, 7, 10])
def test_a_stopped_training_logs_every_step_once(whole: Path, corpus: Path, tmp_path: Path, step: int) -> None:
    with signalled_at(step, signal.SIGTERM), pytest.raises(TrainingStopped):
        train(tiny(DROPOUT), corpus, tmp_path / "run")
    train(tiny(DROPOUT), corpus, tmp_path / "run", resume=True)
    for name in ("train/loss", "train/rate", "valid/loss"):
        assert logged(tmp_path / "run", name) == logged(whole, name)


def test_a_stop_at_a_last_step_without_validation_is_reported(corpus: Path, tmp_path: Path) -> None:
    recipe = tiny("trainer.max_steps=6")
    with signalled_at(5, signal.SIGTERM), pytest.raises(TrainingStopped, match="the state of step 6 is kept"):
        train(recipe, corpus, tmp_path / "run")
    train(recipe, corpus, tmp_path / "whole")
    assert logged(tmp_path / "run", "train/loss") == logged(tmp_path / "whole", "train/loss")


def test_a_step_of_accumulated_batches_is_finished_before_a_stop(corpus: Path, tmp_path: Path) -> None:
    recipe = tiny("trainer.accumulate=3", DROPOUT)
    train(recipe, corpus, tmp_path / "whole")
    with signalled_at(5, signal.SIGTERM), pytest.raises(TrainingStopped, match="the state of step 6 is kept"):
        train(recipe, corpus, tmp_path / "run")
    assert_resumes_to_the_same_weights(recipe, corpus, tmp_path / "run", tmp_path / "whole")


def test_a_second_ctrl_c_stops_at_once(corpus: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with signalled_at(6, signal.SIGINT, times=2), pytest.raises(TrainingStopped, match="the state of step 4 is kept"):
        train(tiny(), corpus, tmp_path / "run")
    with signalled_at(2, signal.SIGINT, times=2), pytest.raises(TrainingStopped, match="nothing was saved"):
        train(tiny(), corpus, tmp_path / "other")
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize(("every", "stop", "kept"), [(3, 7, 6), (5, 7, 5), (100, 11, 8)])
def test_the_state_is_saved_between_validations_too(
    whole: Path, corpus: Path, tmp_path: Path, every: int, stop: int, kept: int
) -> None:
    recipe = tiny(DROPOUT, f"trainer.save_every={every}")
    with interrupted_at(stop):
        train(recipe, corpus, tmp_path / "run")
    with signalled_at(kept, signal.SIGTERM), pytest.raises(TrainingStopped, match=f"the state of step {kept + 1} "):
        train(recipe, corpus, tmp_path / "run", resume=True)
    assert_resumes_to_the_same_weights(recipe, corpus, tmp_path / "run", whole)


def test_a_killed_training_resumes(whole: Path, corpus: Path, tmp_path: Path) -> None:
    code = f"""
import os, signal, mmt
from mmt.training.module import TrainingModule
start = TrainingModule.on_train_batch_start
def die(self, *arguments):
    if self.trainer.global_step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    start(self, *arguments)
TrainingModule.on_train_batch_start = die
changes = ["trainer.max_steps=12", "trainer.validate_every=4", "data.batch_size=2", "{DROPOUT}", "trainer.save_every=3"]
mmt.train(mmt.load_recipe("tiny", changes), {str(corpus)!r}, {str(tmp_path / "run")!r})
"""
    killed = subprocess.run([sys.executable, "-c", code], timeout=300, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    train(tiny(DROPOUT, "trainer.save_every=3"), corpus, tmp_path / "run", resume=True)
    assert_same_weights(whole / "last", tmp_path / "run" / "last")


def test_a_requeued_slurm_job_resumes(
    whole: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = {"NTASKS": "1", "JOB_NAME": "train", "JOB_ID": "1", "PROCID": "0", "LOCALID": "0", "NODELIST": "here"}
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    (tmp_path / "scontrol").write_text("#!/bin/sh\n")
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before = signal.getsignal(signal.SIGUSR1)
    with signalled_at(5, signal.SIGUSR1), interrupted_at(6):
        train(tiny(DROPOUT), corpus, tmp_path / "run")
    assert signal.getsignal(signal.SIGUSR1) == before
    assert (tmp_path / "run" / "hpc_ckpt_1.ckpt").exists()
    # SLURM runs the same command again.
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    train(tiny(DROPOUT), corpus, tmp_path / "run")
    assert_same_weights(whole / "last", tmp_path / "run" / "last")
    assert validation_losses(tmp_path / "run") == validation_losses(whole)
    # Older than the saved state, so it must not be taken for the newest.
    assert not list((tmp_path / "run").glob("hpc_ckpt*"))


# Too little room for the weights; enough for the weights, but not for the state.
@pytest.mark.parametrize("size", [60_000, 400_000])
def test_a_full_disk_leaves_no_partial_file(whole: Path, corpus: Path, tmp_path: Path, size: int) -> None:
    with signalled_at(6, signal.SIGTERM), pytest.raises(TrainingStopped):
        train(tiny(DROPOUT), corpus, tmp_path / "run")
    kept = sorted(path.name for path in (tmp_path / "run").iterdir())
    sizes = [(tmp_path / "run" / name).stat().st_size for name in ("resume.ckpt", "best/model.safetensors")]
    assert sizes[1] > 60_000
    assert sizes[0] > 400_000 > sizes[1]
    with full_disk(size), pytest.raises(OSError, match="File too large"):
        train(tiny(DROPOUT), corpus, tmp_path / "run", resume=True)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == kept
    assert_resumes_to_the_same_weights(tiny(DROPOUT), corpus, tmp_path / "run", whole)


def test_the_command_reports_what_was_kept_in_one_line(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["tiny", "--corpus", str(corpus), "-o", str(tmp_path / "run"), "trainer.max_steps=6"]
    with signalled_at(2, signal.SIGINT):
        assert command.main(arguments) == 130
    said = capsys.readouterr().err.strip().splitlines()
    assert said == [
        f"mmt-train: stopped: the state of step 3 is kept in {tmp_path / 'run'}; continue with --resume (resume=True)"
    ]
    with signalled_at(4, signal.SIGTERM):
        assert command.main([*arguments, "--resume"]) == 143
    shutil.rmtree(tmp_path / "run" / "log")
    assert command.main([*arguments, "--resume"]) == 0
