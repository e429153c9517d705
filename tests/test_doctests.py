"""The examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import mmt

MODULES = ["mmt", *sorted(module.name for module in pkgutil.walk_packages(mmt.__path__, "mmt."))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory) -> None:
    # A missing module outside mmt belongs to an extra that is not installed.
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "mmt":
            raise
        pytest.skip(f"needs {error.name}")
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0, "see the output above"


def test_an_examples_heading_is_followed_by_an_example() -> None:
    """An example that a formatter has joined into a paragraph is not run, and no other test notices."""
    finder = doctest.DocTestFinder()
    for name in MODULES:
        for found in finder.find(importlib.import_module(name)):
            assert "Examples --" not in (found.docstring or ""), f"{found.name}: its example has run together"
