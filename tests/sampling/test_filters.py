"""Filters against a plain reference, one row and one code at a time; draws follow the probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmt.representation.codes import FIELDS, PITCH
from mmt.sampling.filters import Filters, Numbers, draw, keep_min_p, keep_top_k, keep_top_p, paper_top_k

# Few values, so that there are ties; minus infinity marks masked codes.
ROW = st.lists(st.sampled_from([-math.inf, -2.0, -0.5, 0.0, 0.25, 1.0, 3.0]), min_size=1, max_size=12).filter(
    lambda row: max(row) > -math.inf
)


def probabilities(row: list[float]) -> list[float]:
    weights = [math.exp(logit - max(row)) for logit in row]
    return [weight / sum(weights) for weight in weights]


def by_likelihood(row: list[float]) -> list[int]:
    return sorted(range(len(row)), key=lambda code: (-row[code], code))


def kept(logits: Numbers) -> list[int]:
    return [code for code, logit in enumerate(logits[0].tolist()) if logit > -math.inf]


def possible(row: list[float], codes: list[int]) -> list[int]:
    return sorted(code for code in codes if row[code] > -math.inf)


@given(ROW, st.integers(1, 14))
def test_top_k(row: list[float], k: int) -> None:
    assert kept(keep_top_k(np.array([row]), k)) == possible(row, by_likelihood(row)[:k])


@given(ROW, st.sampled_from([0.01, 0.123, 0.3, 0.456, 0.71, 0.9, 0.987]))
def test_top_p(row: list[float], p: float) -> None:
    chosen, mass = [], 0.0
    for code in by_likelihood(row):
        if mass >= p:
            break
        chosen.append(code)
        mass += probabilities(row)[code]
    assert kept(keep_top_p(np.array([row], np.float64), p)) == possible(row, chosen)


@given(ROW, st.sampled_from([0.03, 0.1, 0.45, 0.9, 1.0]))
def test_min_p(row: list[float], share: float) -> None:
    best = max(probabilities(row))
    chosen = [code for code, probability in enumerate(probabilities(row)) if probability >= share * best]
    assert kept(keep_min_p(np.array([row], np.float64), share)) == possible(row, chosen)


def test_top_k_keeps_the_lower_of_equal_codes() -> None:
    logits = np.zeros((1, 1000), np.float32)
    assert kept(keep_top_k(logits, 3)) == [0, 1, 2]
    assert kept(keep_top_p(logits.astype(np.float64), 0.0035)) == [0, 1, 2, 3]


def test_min_p_keeps_codes_that_tie_with_the_likeliest() -> None:
    assert kept(keep_min_p(np.array([[2.0, 5.0, 5.0]]), 1.0)) == [1, 2]


@given(ROW, st.integers(1, 12), st.sampled_from([0.2, 0.7]), st.sampled_from([0.1, 0.6]))
def test_filters_keep_logits_unchanged_and_always_keep_the_likeliest_code(
    row: list[float], k: int, p: float, share: float
) -> None:
    logits = np.array([row])
    filtered = Filters.of(top_k=k, top_p=p, min_p=share).apply(logits, PITCH)
    codes = kept(filtered)
    assert by_likelihood(row)[0] in codes
    assert np.array_equal(filtered[0, codes], logits[0, codes])
    assert np.array_equal(logits, np.array([row]))


@given(st.lists(ROW, min_size=2, max_size=4), st.integers(1, 5))
def test_rows_are_filtered_independently(rows: list[list[float]], k: int) -> None:
    width = max(map(len, rows))
    logits = np.array([row + [-math.inf] * (width - len(row)) for row in rows])
    filters = Filters.of(top_k=k, top_p=0.6, min_p=0.1)
    together = filters.apply(logits, PITCH)
    for row in range(len(rows)):
        assert np.array_equal(together[row], filters.apply(logits[row : row + 1], PITCH)[0])


def test_filters_apply_in_the_order_top_k_top_p_min_p() -> None:
    logits = np.log([[0.4, 0.3, 0.2, 0.1]])
    # Among the two likeliest (4/7, 3/7) the first alone exceeds half; among all four it does not.
    assert kept(Filters.of(top_k=2, top_p=0.5).apply(logits, PITCH)) == [0]
    assert kept(Filters.of(top_p=0.5).apply(logits, PITCH)) == [0, 1]


def test_filters_are_off_by_default() -> None:
    logits = np.random.default_rng(0).standard_normal((3, 9), np.float32)
    for filters in (Filters(), Filters.of(), Filters.of(top_p=1, min_p=0), Filters.of(top_k=9)):
        assert np.array_equal(filters.apply(logits, PITCH), logits)
    assert Filters.of() == Filters()


def test_temperature_divides_the_logits_of_its_field() -> None:
    logits = [torch.full((1, 3), 6.0) for _ in FIELDS]
    filters = Filters.of(temperature={"beat": 2, "pitch": 0.5})
    tempered = [filters.temper(one, field) for field, one in enumerate(logits)]
    assert [field[0, 0].item() for field in tempered] == [6, 3, 6, 12, 6, 6]
    assert Filters.of(temperature=2).temperature == (2,) * 6


def test_logits_that_are_not_finite_are_replaced() -> None:
    numbers = Filters().temper(torch.tensor([[math.nan, math.inf, -math.inf, 1.0]]), PITCH)
    assert np.isfinite(numbers).all()
    assert numbers[0, [0, 3]].tolist() == [0, 1]


def test_a_mapping_changes_only_the_fields_that_it_names() -> None:
    filters = Filters.of(top_k={"pitch": 3}, top_p={"beat": 0.5, "type": None}, min_p={})
    assert filters.top_k == (None, None, None, 3, None, None)
    assert filters.top_p == (None, 0.5, None, None, None, None)
    assert filters.min_p == (None,) * 6


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"temperature": 0}, "temperature is 0; it must be above 0"),
        ({"temperature": -1.0}, r"temperature is -1\.0; it must be above 0"),
        ({"temperature": math.inf}, "temperature is inf; it must be above 0"),
        ({"temperature": math.nan}, "temperature is nan; it must be above 0"),
        ({"temperature": "hot"}, "temperature is 'hot'; give a number, or numbers by field"),
        (
            {"temperature": {"tempo": 1}},
            "temperature: unknown field 'tempo'; the fields are type, beat, position, pitch",
        ),
        ({"top_k": 0}, "top_k is 0; it must be a whole number of at least 1"),
        ({"top_k": 1.5}, r"top_k is 1\.5; it must be a whole number of at least 1"),
        ({"top_k": math.inf}, "top_k is inf; it must be a whole number of at least 1"),
        ({"top_k": math.nan}, "top_k is nan; it must be a whole number of at least 1"),
        ({"top_p": 0}, "top_p is 0; it must be above 0 and at most 1"),
        ({"top_p": 1.01}, r"top_p is 1\.01; it must be above 0 and at most 1"),
        ({"top_p": {"pitch": [0.5]}}, r"top_p is \[0\.5\]; give a number, or numbers by field"),
        ({"min_p": -0.1}, r"min_p is -0\.1; it must be at least 0 and at most 1"),
        ({"min_p": {"beat": 2}}, "min_p is 2; it must be at least 0 and at most 1"),
    ],
)
def test_filters_out_of_range_are_refused(given_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Filters.of(**given_)


def test_numpy_numbers_are_accepted() -> None:
    filters = Filters.of(np.float32(0.5), np.int64(3), np.float64(0.5), {"beat": np.float32(0.25)})  # type: ignore[dict-item]
    assert filters == Filters.of(0.5, 3, 0.5, {"beat": 0.25})


def test_the_top_k_of_the_original_code_is_a_tenth_of_the_codes_rounded_up() -> None:
    assert list(paper_top_k((5, 257, 13, 129, 33, 65)).values()) == [1, 26, 2, 13, 4, 7]
    assert Filters.of(top_k=paper_top_k((5, 257, 13, 129, 33, 65))).top_k == (1, 26, 2, 13, 4, 7)


def test_draws_follow_the_probabilities() -> None:
    logits = np.array([[0.3, -math.inf, 2.0, -1.0, 0.0, 1.2]])
    count = 100_000
    uniform = np.random.default_rng(0).random(count, dtype=np.float32)
    counts = np.bincount(draw(np.tile(logits, (count, 1)), uniform), minlength=6)
    expected = count * np.array(probabilities(logits[0].tolist()))
    possible_codes = expected > 0
    assert counts[~possible_codes].sum() == 0
    chi_square = ((counts - expected)[possible_codes] ** 2 / expected[possible_codes]).sum()
    # The 99.9 % quantile at 4 degrees of freedom; the draws are fixed, so this cannot fail by chance.
    assert chi_square < 18.47


@given(ROW, st.sampled_from([0.0, 2.0**-24, 0.25, 0.5, 0.75, 1 - 2.0**-24]))
def test_a_draw_is_the_inverse_of_the_cumulative_probability(row: list[float], uniform: float) -> None:
    code = int(draw(np.array([row]), np.array([uniform]))[0])
    assert row[code] > -math.inf
    before = sum(probabilities(row)[:code])
    assert before - 1e-9 <= uniform <= before + probabilities(row)[code] + 1e-9


def test_rounding_never_draws_a_nearly_impossible_code() -> None:
    logits = np.array([[-1e4, 0.0, -1e4, -math.inf, -3e38]])
    for uniform in (0.0, 0.5, 1 - 2.0**-24):
        assert draw(logits, np.array([uniform])).tolist() == [1]


def test_the_same_row_gives_the_same_code_in_any_batch() -> None:
    random = np.random.default_rng(1)
    logits, uniform = random.standard_normal((200, 130), np.float32), random.random(200, np.float32)
    together = draw(logits, uniform)
    assert together.tolist() == [int(draw(logits[row, None], uniform[row, None])[0]) for row in range(200)]
