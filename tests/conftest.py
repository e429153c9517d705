"""Fixtures and settings of all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# The time of an example depends on the machine, not on the code.
settings.register_profile("mmt", deadline=None)
settings.load_profile("mmt")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of music and references beside the checkout, which is not part of the project."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the folder {folder}")
    return folder


@pytest.fixture(scope="session")
def train_zip(shared: Path) -> Path:
    """The archive of 2,611 MIDI files."""
    return shared / "data" / "train.zip"
