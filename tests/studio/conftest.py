"""A studio with the shipped model, as an application in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from studio_client import Studio, studio_of

from mmt.sampling.model import Model, load_model


@pytest.fixture(scope="session")
def shipped_model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def studio(shipped_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    yield from studio_of(shipped_model, tmp_path_factory.mktemp("studio"))
