"""A studio with the shipped model, as an application in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from studio_client import Studio

from mmt.sampling.model import Model, load_model
from mmt.studio.context import Context
from mmt.studio.pieces import Store


def studio_of(model: Model, folder: Path) -> Iterator[Studio]:
    """A studio with a model, until the test is over."""
    context = Context(model, Store(folder))
    while not context.worker.is_ready:
        assert not context.worker.trouble
        time.sleep(0.02)
    yield Studio(context)
    context.worker.end()


@pytest.fixture(scope="session")
def shipped_model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def studio(shipped_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    yield from studio_of(shipped_model, tmp_path_factory.mktemp("studio"))
