"""Helpers of the training tests: a tiny recipe, and functions that read the results of a run."""

from __future__ import annotations

import csv
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from mmt.training.module import TrainingModule
from mmt.training.recipe import Recipe, load_recipe
from mmt.training.train import train

quiet_lightning = [
    # Lightning calls a function of PyTorch that is deprecated.
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"),
    # Advice on settings that does not apply to a test with twelve pieces.
    pytest.mark.filterwarnings("ignore:The '(train|val)_dataloader' does not have many workers"),
]


def tiny(*changes: str) -> Recipe:
    return load_recipe("tiny", ["trainer.max_steps=12", "trainer.validate_every=4", "data.batch_size=2", *changes])


def weights(folder: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(folder / "model.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def log(run: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for file in sorted((run / "log").rglob("metrics.csv"), key=lambda file: int(file.parent.name.split("-")[-1])):
        rows += csv.DictReader(file.read_text().splitlines())
    return rows


def logged(run: Path, name: str) -> list[float]:
    return [float(row[name]) for row in log(run) if row[name]]


def validation_losses(run: Path) -> list[float]:
    return logged(run, "valid/loss")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def before_each_step(act: Callable[[TrainingModule], None]) -> Iterator[None]:
    """Call a function before each batch of any training in the context."""
    start = TrainingModule.on_train_batch_start

    def watched(self: TrainingModule, *arguments: object) -> None:
        act(self)
        start(self, *arguments)  # type: ignore[arg-type]

    TrainingModule.on_train_batch_start = watched  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        TrainingModule.on_train_batch_start = start  # type: ignore[method-assign]


@contextmanager
def interrupted_at(step: int) -> Iterator[None]:
    """Stop any training at the beginning of a step, like an error."""

    def stop(module: TrainingModule) -> None:
        if module.trainer.global_step == step:
            raise RuntimeError("the power fails")

    with before_each_step(stop), pytest.raises(RuntimeError, match="the power fails"):
        yield


def assert_resumes_to_the_same_weights(recipe: Recipe, corpus: Path, run: Path, whole: Path) -> None:
    """A stopped training resumes to the checkpoints of an undisturbed one, and logs each validation once."""
    assert train(recipe, corpus, run, resume=True) == run / "best"
    for name in ("best", "last"):
        assert_same_weights(whole / name, run / name)
    assert validation_losses(run) == validation_losses(whole)
