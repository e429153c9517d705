"""A run folder from a stranger cannot run code, and one run has one training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from mmt.music.atomic import locked
from mmt.training.stopping import state_file, steps_done
from mmt.training.train import _clear, check_room, train
from runs import quiet_lightning, tiny

pytestmark = quiet_lightning


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of eight steps, to resume."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    train(tiny("trainer.max_steps=8", "trainer.samples=false"), corpus, folder)
    return folder


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def resume(run: Path, corpus: Path) -> str:
    with pytest.raises((ValueError, OSError)) as caught:
        train(tiny("trainer.samples=false"), corpus, run, resume=True)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    return message


@pytest.mark.parametrize("place", ["resume.ckpt", "hpc_ckpt_7.ckpt"])
@pytest.mark.parametrize("within", [False, True])
def test_a_state_that_would_run_code_is_refused(
    run: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, within: bool
) -> None:
    state = torch.load(run / "resume.ckpt", weights_only=True)
    monkeypatch.setattr("mmt.training.train.state_file", lambda _: tmp_path / place)
    torch.save(
        state | {"callbacks": Trap(tmp_path / "sprung")} if within else Trap(tmp_path / "sprung"), tmp_path / place
    )
    message = resume(run, corpus)
    assert "contains code, which is not run" in message
    # Lightning loads it too: the first check is not all that prevents it.
    monkeypatch.setattr("mmt.training.train.steps_done", lambda _: 8)
    assert "is not the state of this training" in resume(run, corpus)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"state_dict": {}},
        {"state_dict": 7},
        {"optimizer_states": [{}]},
        {"callbacks": {"WriteCheckpoints": 5}},
        {"global_step": "many"},
        {"global_step": None},
        {"global_step": -1},
        {"global_step": 1.5},
        {"global_step": 2**64},
        {"pytorch-lightning_version": 3},
    ],
)
def test_a_state_of_something_else_is_refused(
    run: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    state = torch.load(run / "resume.ckpt", weights_only=True)
    torch.save(state | change, tmp_path / "resume.ckpt")
    monkeypatch.setattr("mmt.training.train.state_file", lambda _: tmp_path / "resume.ckpt")
    assert str(tmp_path / "resume.ckpt") in resume(run, corpus)


def test_a_second_training_of_a_run_is_refused(run: Path, corpus: Path) -> None:
    with locked(run.with_name(".run-lock"), ""):
        assert "another training of" in resume(run, corpus)
        with pytest.raises(BlockingIOError, match="another training of"):
            train(tiny(), corpus, run, overwrite=True)
    assert (run / "resume.ckpt").exists()
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_a_run_that_was_killed_while_it_was_removed_can_be_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    check_room(run, overwrite=False)
    names = ["best", "last", "logs", "metrics.csv", "recipe.yaml", "resume.ckpt", "samples"]
    for killed_after in range(len(names)):
        for name in names:
            (run / name).touch()
        removed = []

        def unlink(path: Path, removed: list[Path] = removed, killed_after: int = killed_after) -> None:
            if len(removed) == killed_after:
                raise KeyboardInterrupt
            removed.append(path)
            os.remove(path)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", unlink)
            with pytest.raises(KeyboardInterrupt):
                _clear(run)
        check_room(run, overwrite=True)


def test_states_for_slurm_are_found_by_their_number(tmp_path: Path) -> None:
    for name in ("hpc_ckpt_9.ckpt", "hpc_ckpt_10.ckpt", "hpc_ckpt_x.ckpt", "hpc_ckpt_.ckpt"):
        (tmp_path / name).touch()
    assert state_file(tmp_path).name == "hpc_ckpt_10.ckpt"


def test_a_pipe_is_no_state(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "resume.ckpt")
    with pytest.raises(ValueError, match="is not a file"):
        steps_done(tmp_path / "resume.ckpt")


def test_overwriting_a_run_keeps_hidden_files_its_corpus_and_what_links_lead_to(tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    for folder in (run / ".git", run / "corpus", run / "best", elsewhere):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    (run / "recipe.yaml").touch()
    (run / "logs").symlink_to(elsewhere)
    check_room(run, overwrite=True)
    _clear(run)
    assert sorted(path.name for path in run.iterdir()) == [".git", "corpus"]
    assert all((folder / "file").exists() for folder in (run / ".git", run / "corpus", elsewhere))
