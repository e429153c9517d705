"""Every test that the page on differences from the original code names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "differences.md"
ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| (?!the same|theirs|-)", line)]


def test_the_page_has_rows() -> None:
    assert len(ROWS) > 25


@pytest.mark.parametrize("row", ROWS, ids=[row[2:40] for row in ROWS])
def test_every_row_names_a_test_that_exists(row: str) -> None:
    named = re.findall(r"\[`(test_\w+)`\]\(([^)]+)\)", row.split(" | ")[-1])
    assert named
    for name, link in named:
        assert f"def {name}(" in (PAGE.parent / link).read_text(encoding="utf-8"), f"{link} has no {name}"
