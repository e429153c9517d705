"""The sorted suffixes and longest matches, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmt.analysis import suffixes
from mmt.analysis.suffixes import Matcher, sort_suffixes

rows = st.integers(1, 5).flatmap(lambda top: st.lists(st.integers(-1, top), min_size=1, max_size=80))


@given(rows)
def test_suffixes_stand_in_ascending_order(row: list[int]) -> None:
    assert sort_suffixes(np.array(row)).tolist() == sorted(range(len(row)), key=lambda place: row[place:])


@given(rows, st.lists(st.integers(-1, 6), min_size=1, max_size=40))
def test_the_longest_match_is_found(row: list[int], other: list[int]) -> None:
    tokens, query = np.array(row), np.array(other)
    matched, places = Matcher(tokens, sort_suffixes(tokens)).longest(query, np.arange(len(query), 0, -1))
    for here, (length, there) in enumerate(zip(matched.tolist(), places.tolist(), strict=True)):
        assert other[here : here + length] == row[there : there + length]
        longer = other[here : here + length + 1]
        assert len(longer) == length or all(row[i : i + length + 1] != longer for i in range(len(row)))


def test_no_more_is_matched_than_may_be() -> None:
    tokens = np.array([1, 2, 3, 4, 5])
    matched, places = Matcher(tokens, sort_suffixes(tokens)).longest(np.array([2, 3, 4]), np.array([2, 0, 1]))
    assert (matched.tolist(), places[[0, 2]].tolist()) == ([2, 0, 1], [1, 3])


def test_repeats_beyond_the_depth_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suffixes, "DEPTH", 8)
    random = np.random.default_rng(0)
    motif = random.integers(0, 5, 100)
    tokens = np.concatenate([motif, [7], motif, [8]])
    matched, _ = Matcher(tokens, sort_suffixes(tokens)).longest(motif, np.arange(100, 0, -1))
    assert matched[0] == 100


def test_numbers_of_all_sizes() -> None:
    tokens = np.array([2**40, 5, 2**40 + 1, 2**40, 5, 2**40 + 2])
    order = sort_suffixes(tokens)
    assert order.tolist() == sorted(range(6), key=lambda place: tokens[place:].tolist())
