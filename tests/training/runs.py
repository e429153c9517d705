"""Helpers of the training tests: a tiny recipe, and functions that read the results of a run."""

from __future__ import annotations

import csv
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from mmt.training.module import TrainingModule
from mmt.training.recipe import Recipe, load_recipe

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
def interrupted_at(step: int) -> Iterator[None]:
    """Stop any training at the beginning of a step, like an error."""
    start = TrainingModule.on_train_batch_start

    def stop(self: TrainingModule, *arguments: object) -> None:
        if self.trainer.global_step == step:
            raise RuntimeError("the power fails")
        start(self, *arguments)  # type: ignore[arg-type]

    TrainingModule.on_train_batch_start = stop  # type: ignore[assignment,method-assign]
    try:
        with pytest.raises(RuntimeError, match="the power fails"):
            yield
    finally:
        TrainingModule.on_train_batch_start = start  # type: ignore[method-assign]
