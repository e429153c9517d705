"""Differences of two sets of pieces: t-tests where values vary, exact tests where none do, and what is left out."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from mmt.analysis.differences import Differences, Effect, compare_scores, picture
from mmt.analysis.metrics import LAGS, METRICS, Scores

METRIC = "polyphony"


def scores(values: list[float]) -> Scores:
    """Pieces of which only one metric is defined."""
    undefined = np.full(len(values), np.nan)
    return Scores(
        {name: np.array(values) if name == METRIC else undefined for name in METRICS},
        "whole pieces",
        np.full((len(values), LAGS), np.nan),
    )


def compared(ours: list[float], theirs: list[float], prompts: list[int] | None = None) -> Differences:
    told = None if prompts is None else {"mode": prompts}
    return compare_scores({"mode": scores(ours)}, {"mode": scores(theirs)}, prompts=told)


def effect(ours: list[float], theirs: list[float], prompts: list[int] | None = None) -> Effect:
    (found,) = compared(ours, theirs, prompts).effects
    return found


@pytest.mark.parametrize(("ours", "theirs"), [(4, 4), (5, 8), (40, 30)])
def test_two_constant_sets_that_differ_stand(ours: int, theirs: int) -> None:
    found = effect([0.1] * ours, [0.7] * theirs)
    assert found.stands
    assert found.difference == pytest.approx(-0.6)
    assert found.effect == pytest.approx(-2)
    assert (found.low, found.high, found.effect_low, found.effect_high) == (None,) * 4


@pytest.mark.parametrize(("ours", "theirs"), [(3, 3), (3, 4), (4, 4), (5, 3)])
def test_p_of_constant_sets_is_that_of_all_permutations(ours: int, theirs: int) -> None:
    values = np.array([1.0] * ours + [2.0] * theirs)
    count = extreme = 0
    for chosen in itertools.combinations(range(ours + theirs), ours):
        mine = np.isin(np.arange(ours + theirs), chosen)
        count += 1
        extreme += math.isclose(abs(values[mine].mean() - values[~mine].mean()), 1.0)
    assert effect([1.0] * ours, [2.0] * theirs).p == pytest.approx(extreme / count)


@pytest.mark.parametrize("count", [3, 5, 6, 12])
def test_p_of_constant_differences_of_pairs_is_that_of_all_signs(count: int) -> None:
    signs = np.array(list(itertools.product([-1, 1], repeat=count)))
    expected = (abs(signs.mean(axis=1)) == 1).mean()
    # The sets vary, and each pair differs by the same amount, up to rounding.
    theirs = [0.1 * number for number in range(count)]
    found = effect([value + 0.3 for value in theirs], theirs, list(range(count)))
    assert found.p == pytest.approx(expected)
    assert found.stands == (count > 5)


def test_pieces_of_one_prompt_count_once() -> None:
    found = effect([2.0] * 12, [1.0] * 12, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
    assert (found.count, found.p, found.stands) == (3, 0.25, False)


def test_a_varying_set_against_a_constant_one_is_tested_by_t() -> None:
    """The second set has no standard deviation; the effect is in that of both sets."""
    from scipy.stats import ttest_1samp

    ours = [1.0, 1.1, 0.9, 1.2, 0.8]
    found = effect(ours, [3.0] * 6)
    assert found.p == pytest.approx(ttest_1samp(ours, 3.0).pvalue)
    assert found.low < found.difference < found.high < 0
    # Two sets of equal size, one of them constant.
    both = np.concatenate([ours, [3.0] * 5])
    assert found.effect == pytest.approx(-2.0 / both.std())


@pytest.mark.parametrize("prompts", [None, [0, 1, 2, 3, 4]])
def test_sets_of_one_value_have_no_difference(prompts: list[int] | None) -> None:
    """The mean of three times 0.1 is not exactly 0.1; that is no difference."""
    assert compared([0.1] * 5, [0.1] * 5, prompts).effects == ()
    assert compared([0.1] * 3, [0.1] * 7).effects == ()
    assert compared([0.0] * 3, [0.0] * 3).effects == ()


def test_too_few_values_are_left_out() -> None:
    nan = float("nan")
    assert compared([1.0, 1.0, nan], [2.0, 2.0, 2.0]).effects == ()
    assert compared([nan] * 3, [nan] * 3).effects == ()
    assert compared([nan] * 3, [nan] * 3, [0, 1, 2]).effects == ()


def test_a_difference_without_interval_is_told_in_text_json_and_picture() -> None:
    found = compared([1.0] * 5, [2.0] * 5)
    assert "1 of 1 differences stand" in str(found)
    assert "-1.00 (no value varies), corrected p = 0.0079" in str(found)
    (row,) = json.loads(json.dumps(found.to_dict(), allow_nan=False))["effects"]
    assert (row["low"], row["stands"]) == (None, True)
    assert picture(found).startswith(b"\x89PNG")


def test_the_interval_of_a_difference_of_shares_is_in_its_range() -> None:
    """Student's interval reaches above 1."""
    ours, theirs = (
        Scores(
            {name: np.array(values if name == "instruments_used" else [np.nan] * 4) for name in METRICS},
            "whole pieces",
            np.full((4, LAGS), np.nan),
        )
        for values in ([1.0, 1.0, 0.4, 1.0], [0.0, 0.1, 0.0, 0.5])
    )
    (found,) = compare_scores({"mode": ours}, {"mode": theirs}).effects
    assert found.low is not None
    assert found.high == 1.0
    assert -1 <= found.low <= found.difference
