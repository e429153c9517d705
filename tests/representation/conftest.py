"""Fixtures of the representation tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def reference(shared: Path) -> Path:
    """The folder of tables and tensors of the original code."""
    return shared / "reference"


@pytest.fixture(scope="session")
def facts(reference: Path) -> dict[str, Any]:
    """The authors' tables: presets, instruments, programs."""
    content: dict[str, Any] = json.loads((reference / "representation.json").read_text())
    return content
