"""Suffix arrays of token sequences and the longest matches in them, compared with plain loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pydivsufsort import divsufsort

from mmt.analysis.runs import longest_matches

sequences = st.integers(1, 5).flatmap(lambda top: st.lists(st.integers(-1, top), min_size=1, max_size=80))


@given(sequences)
def test_suffixes_are_sorted(sequence: list[int]) -> None:
    assert divsufsort(np.array(sequence)).tolist() == sorted(range(len(sequence)), key=lambda place: sequence[place:])


@given(sequences, st.lists(st.integers(-1, 6), min_size=1, max_size=40))
@settings(deadline=None)  # the first example compiles
def test_no_match_is_longer_than_the_one_found(sequence: list[int], other: list[int]) -> None:
    tokens, query = np.array(sequence), np.array(other)
    matched, places = longest_matches(tokens, divsufsort(tokens), query, np.arange(len(query), 0, -1))
    for here, (length, there) in enumerate(zip(matched.tolist(), places.tolist(), strict=True)):
        assert other[here : here + length] == sequence[there : there + length]
        longer = other[here : here + length + 1]
        assert len(longer) == length or all(sequence[i : i + length + 1] != longer for i in range(len(sequence)))


def test_matches_are_no_longer_than_allowed() -> None:
    tokens = np.array([1, 2, 3, 4, 5])
    matched, places = longest_matches(tokens, divsufsort(tokens), np.array([2, 3, 4]), np.array([2, 0, 1]))
    assert (matched.tolist(), places[[0, 2]].tolist()) == ([2, 0, 1], [1, 3])


def test_tokens_may_have_any_size() -> None:
    tokens = np.array([2**40, 5, 2**40 + 1, 2**40, 5, 2**40 + 2])
    assert divsufsort(tokens).tolist() == sorted(range(6), key=lambda place: tokens[place:].tolist())
