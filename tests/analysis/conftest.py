"""Fixtures of the analysis tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_corpora import tiny_tables, write_corpus


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pieces of data/tiny as a corpus; the last two are the validation split."""
    tables = tiny_tables()
    splits = ["train"] * (len(tables) - 2) + ["valid"] * 2
    made = {name: (split, notes) for (name, notes), split in zip(tables.items(), splits, strict=True)}
    return write_corpus(tmp_path_factory.mktemp("tiny") / "corpus", made)
