"""Intervals: they stay in the range of the measured quantity, and have about their nominal coverage."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmt
from mmt.analysis.intervals import jackknife_interval, mean_of, share_of
from mmt.analysis.likelihood import Likelihood, compare
from mmt.analysis.metrics import METRICS

shares = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))


@given(st.lists(shares, min_size=1, max_size=8))
def test_the_interval_of_shares_is_within_0_and_1(values: list[float]) -> None:
    found = mean_of(values, 0.0, 1.0)
    if len(values) == 1:
        assert found.low is found.high is None
        return
    assert 0 <= found.low <= found.mean + 1e-12
    assert found.mean - 1e-12 <= found.high <= 1


@given(st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=8))
def test_the_interval_of_positive_values_is_positive(values: list[float]) -> None:
    found = mean_of(values, low=0.0)
    assert 0 < found.low <= found.mean * (1 + 1e-12)
    assert found.mean * (1 - 1e-12) <= found.high < math.inf


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20), st.floats(-10, 10), st.floats(0.1, 10))
def test_an_interval_without_bounds_shifts_and_scales_with_the_values(
    values: list[float], shift: float, by: float
) -> None:
    one, other = mean_of(values), mean_of(by * np.array(values) + shift)
    np.testing.assert_allclose([other.low, other.high], [by * one.low + shift, by * one.high + shift], atol=1e-6)


def test_values_that_are_all_at_a_bound_have_the_interval_of_a_share() -> None:
    """Four pieces that use all of their instruments do not prove that all pieces do."""
    assert mean_of([1, 1, 1, 1], 0.0, 1.0) == share_of([1, 1, 1, 1])
    assert mean_of([0, 0], 0.0, 1.0) == share_of([0, 0])
    found = mean_of([0, 0], 0.0, 2.0)
    assert found.high == pytest.approx(2 * share_of([0, 0]).high)
    assert mean_of([0, 0], low=0.0).high is None


Draw = Callable[[np.random.Generator, int], np.ndarray]
QUANTITIES: dict[str, tuple[Draw, float, float]] = {
    # How pieces are drawn, the true mean, the upper bound (the lower one is 0).
    "scale consistency": (lambda random, n: random.beta(20, 2, n), 20 / 22, 1.0),
    "groove": (lambda random, n: random.beta(8, 1, n), 8 / 9, 1.0),
    "instruments used": (
        lambda random, n: np.where(random.random(n) < 0.7, 1, random.choice([0.5, 0.75], n)),
        0.8875,
        1.0,
    ),
    "seconds": (lambda random, n: random.gamma(2, 30, n), 60, math.inf),
    "notes": (lambda random, n: random.lognormal(0, 0.5, n), math.exp(0.125), math.inf),
}


@pytest.mark.parametrize("count", [4, 10, 30])
@pytest.mark.parametrize("name", QUANTITIES)
def test_intervals_of_means_have_their_nominal_coverage(name: str, count: int) -> None:
    draw, truth, high = QUANTITIES[name]
    random = np.random.default_rng(0)
    found = [mean_of(draw(random, count), 0.0, high) for _ in range(1000)]
    assert np.mean([one.low <= truth <= one.high for one in found]) > 0.915


def test_intervals_of_shares_have_their_nominal_coverage() -> None:
    coins = np.random.default_rng(0).random((1000, 20)) < 0.9
    found = [share_of(row) for row in coins.astype(float)]
    assert 0.93 < np.mean([one.low <= 0.9 <= one.high for one in found]) < 0.985


@pytest.mark.parametrize("count", [5, 30])
def test_intervals_of_a_loss_have_their_nominal_coverage(count: int) -> None:
    """Nats per note of pieces of very different lengths."""

    def draw(random: np.random.Generator, pieces: int) -> Likelihood:
        notes = random.lognormal(6, 0.7, pieces).astype(np.int64) + 1
        nats = np.zeros((pieces, 6))
        nats[:, 3] = notes * random.gamma(20, 0.1, pieces)
        return Likelihood(tuple(map(str, range(pieces))), nats, np.ones((pieces, 6), np.int64), notes, 1, 0)

    random, covered = np.random.default_rng(1), []
    for _ in range(600):
        low, high = draw(random, count).interval
        covered.append(low <= 2.0 <= high)
    assert 0.915 < np.mean(covered) < 0.99


def test_one_piece_has_no_interval() -> None:
    one = Likelihood(("a",), np.ones((1, 6)), np.ones((1, 6), np.int64), np.array([3]), 1, 0)
    assert one.interval is None
    assert one.to_dict()["interval"] is None
    assert str(one).startswith("2.0000 nats per note over 1 whole pieces")
    assert (compare(one, one).low, compare(one, one).high) == (None, None)
    assert "+0.0000 nats per note, paired" in str(compare(one, one))


def test_an_interval_is_wider_where_one_piece_outweighs_the_others() -> None:
    left_out = np.array([0.4, 0.5, 0.6])
    even = jackknife_interval(0.5, left_out, [1, 1, 1])
    uneven = jackknife_interval(0.5, left_out, [10, 1, 1])
    assert uneven[0] < even[0] < 0.5 < even[1] < uneven[1]


def test_every_metric_stays_in_its_range() -> None:
    pieces = mmt.new_model("tiny", seed=0).generate(n=3, seed=1, max_events=48)
    scores = mmt.metrics.evaluate(pieces)
    for name, metric in METRICS.items():
        found = scores[name]
        if found.low is not None and found.high is not None:
            assert 0 <= found.low <= found.high <= (1 if metric.percent else metric.highest), name
    assert "(rough: of fewer than 30 pieces)" in str(scores)
