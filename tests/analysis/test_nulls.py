"""Null models of attention against plain loops and drawn permutations; bands and the permutation test."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from scipy import stats

import mmt
from mmt.analysis.attention.nulls import Contrast
from mmt.analysis.attention.statistics import Relative
from mmt.representation.codes import BEAT, FIELDS, GIVEN_NOTE, NOTE, PITCH, POSITION, TYPE
from mmt.sampling.model import Model

pytestmark = pytest.mark.filterwarnings("ignore::mmt.analysis.intervals.FewPiecesWarning")
# Two chords of three and two notes between single notes.
NOTES = np.array([
    [3, 1, 1, 50, 12, 25], [3, 1, 1, 54, 6, 27], [3, 1, 1, 57, 12, 27], [3, 1, 7, 60, 6, 25], [3, 2, 1, 52, 12, 25],
    [3, 2, 1, 59, 3, 27], [3, 4, 4, 50, 6, 25], [3, 5, 1, 61, 6, 25],
])  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Model:
    return mmt.new_model("tiny", seed=3)


@pytest.mark.parametrize("null", ["events", "beats"])
def test_distance_null_matches_a_plain_loop(model: Model, null: str) -> None:
    found = mmt.attention.contrast(model, NOTES, "pitch", null)
    for layer, heads in enumerate(mmt.attention.weights(model, NOTES)):
        for head, weights in enumerate(heads):
            at, expected = defaultdict(list), defaultdict(float)
            pairs = [(s, t) for s in range(len(NOTES)) for t in range(s)]
            for s, t in pairs:
                at[s - t if null == "events" else NOTES[s, BEAT] - NOTES[t, BEAT]].append(float(weights[s, t]))
            for s, t in pairs:
                values = at[s - t if null == "events" else NOTES[s, BEAT] - NOTES[t, BEAT]]
                expected[int(NOTES[t, PITCH] - NOTES[s, PITCH])] += sum(values) / len(values)
            wanted = [expected[k] for k in found.differences.tolist()]
            np.testing.assert_allclose(found.expected[0, layer, head], wanted, atol=1e-6)


def test_moments_null_is_the_mean_over_all_permutations(model: Model) -> None:
    """All 3! · 2! orders of the two chords' codes, with the weights in place."""
    from itertools import permutations

    found = mmt.attention.contrast(model, NOTES, "pitch", "moments")
    weights = np.array(mmt.attention.weights(model, NOTES), np.float64)
    total, orders = np.zeros_like(found.expected[0]), 0
    for first in permutations([0, 1, 2]):
        for second in permutations([4, 5]):
            pitch = NOTES[[*first, 3, *second, 6, 7], PITCH]
            orders += 1
            for s in range(len(NOTES)):
                for t in range(s):
                    total[:, :, pitch[t] - pitch[s] - found.differences[0]] += weights[:, :, s, t]
    np.testing.assert_allclose(found.expected[0], total / orders, atol=1e-6)


@pytest.mark.parametrize(("field", "null"), [("beat", "moments"), ("position", "moments"), ("beat", "beats")])
def test_a_null_model_that_keeps_the_field_has_zero_gain(model: Model, field: str, null: str) -> None:
    np.testing.assert_allclose(mmt.attention.contrast(model, NOTES, field, null).gain, 0, atol=1e-12)


def test_attention_measured_with_nulls_equals_that_of_relative(model: Model) -> None:
    for field in FIELDS[1:]:
        measured = mmt.attention.relative(model, NOTES, field).attention
        for null in ("moments", "events", "beats"):
            found = mmt.attention.contrast(model, NOTES, field, null)
            np.testing.assert_allclose(found.attention, measured, atol=1e-9)
            np.testing.assert_allclose(found.expected.sum(-1), measured.sum(-1), atol=1e-9)
    assert BEAT < POSITION


def test_merged_heads_are_a_head_that_attends_like_all_of_them(model: Model) -> None:
    found = mmt.attention.contrast(model, NOTES, "pitch", "events").merged()
    assert found.gain.shape == (2, 1, 255)
    weights = mmt.attention.weights(model, NOTES)
    for layer in range(2):
        pairs = [(s, t) for s in range(len(NOTES)) for t in range(s) if NOTES[t, PITCH] == NOTES[s, PITCH]]
        total = sum(float(weights[layer][:, s, t].sum()) for s, t in pairs)
        assert found.attention[0, layer, 0, found.differences == 0] == pytest.approx(total)


def test_given_notes_do_not_count_but_take_a_place_among_the_events() -> None:
    model = mmt.load_model()
    given = NOTES.copy()
    given[[1, 3], TYPE] = GIVEN_NOTE
    given[[1, 3], BEAT] += model.representation.reach  # they are read ahead of their time
    at, expected = defaultdict(list), defaultdict(float)
    weights = mmt.attention.weights(model, given)[0][0]
    pairs = [(s, t) for s in range(len(given)) for t in range(s) if given[s, TYPE] == given[t, TYPE] == NOTE]
    for s, t in pairs:
        at[s - t].append(float(weights[s, t]))
    for s, t in pairs:
        expected[int(given[t, PITCH] - given[s, PITCH])] += sum(at[s - t]) / len(at[s - t])
    for null in ("moments", "events", "beats"):
        found = mmt.attention.contrast(model, given, "pitch", null)
        assert found.expected[0, 0, 0].sum() == pytest.approx(sum(float(weights[s, t]) for s, t in pairs), abs=1e-6)
        if null == "events":
            wanted = [expected[k] for k in found.differences.tolist()]
            np.testing.assert_allclose(found.expected[0, 0, 0], wanted, atol=1e-6)


def test_pieces_without_pairs_do_not_change_bands_and_the_seed_does() -> None:
    sums = np.random.default_rng(0).dirichlet([6, 6, 6], (12, 1, 1))
    empty = np.concatenate([sums, np.zeros((5, 1, 1, 3))])
    few, more = (
        Contrast("pitch", "events", np.arange(3), each, each.mean(-1, keepdims=True) + 0 * each)
        for each in (sums, empty)
    )
    np.testing.assert_array_equal(few.bands(), more.bands())
    np.testing.assert_array_equal(few.bands(seed=1), few.bands(seed=1))
    assert not np.array_equal(few.bands(seed=1), few.bands(seed=2))


def test_a_band_of_one_number_is_students_interval_at_the_effective_number_of_pieces() -> None:
    """Two differences, whose gains are opposite, so that the greatest error is that of one number."""
    sums = np.random.default_rng(0).dirichlet([6, 6], (12, 1, 1)) * np.array([6, *[1] * 11])[:, None, None, None]
    low, high = Contrast(
        "pitch", "events", np.arange(2), sums, np.ones_like(sums) * sums.mean(-1, keepdims=True)
    ).bands()
    left_out = [np.delete(sums, n, axis=0).sum(axis=0)[0, 0] for n in range(12)]
    shares = [one[0] / one.sum() for one in left_out]
    spread, effective = np.sqrt(11 * np.var(shares)), 17**2 / (36 + 11)
    assert (high - low)[0, 0, 0] / 2 == pytest.approx(stats.t.ppf(0.975, effective - 1) * spread, rel=0.08)


def test_simultaneous_bands_have_their_nominal_coverage() -> None:
    random, covered, apart = np.random.default_rng(0), [], []
    for _ in range(150):
        sums = random.dirichlet([6, 6, 6, 6, 6], (40, 2, 3))
        found = Contrast("pitch", "events", np.arange(5), sums, np.full_like(sums, 0.2))
        low, high = found.bands(0.9)
        covered.append(((low <= 0) & (high >= 0)).all())
        apart.append((high - low).mean())
    assert 0.82 < np.mean(covered) < 0.97


def test_permutation_test_finds_a_true_difference_and_no_other() -> None:
    def drawn(random: np.random.Generator, more: float) -> Relative:
        sums = random.dirichlet([6 + more, 6, 6, 6], (40, 1, 1))
        return Relative("pitch", np.arange(4), sums, np.ones((40, 4)), np.ones((40, 4)))

    random, false = np.random.default_rng(1), []
    for _ in range(1000):
        _, p = mmt.attention.permutation_test(drawn(random, 0), drawn(random, 0), draws=199)
        false.append(p.min() <= 0.1)
    assert 0.07 < np.mean(false) < 0.13
    _, p = mmt.attention.permutation_test(drawn(random, 60), drawn(random, 0), draws=99)
    assert p.min() == 1 / 100  # never 0: the observed swap is one of them
    difference, p = mmt.attention.permutation_test(drawn(random, 6), drawn(random, 0), draws=999)
    assert p.argmin() == 0
    assert p[0] <= 0.01
    assert difference[0] > 0


def test_wrong_arguments_raise(model: Model) -> None:
    with pytest.raises(ValueError, match="null models are of notes"):
        mmt.attention.contrast(model, NOTES, "type", "events")
    with pytest.raises(ValueError, match="null is 'bars'; choose one of moments, events, beats"):
        mmt.attention.contrast(model, NOTES, "pitch", "bars")
    found = mmt.attention.contrast(model, NOTES, "pitch", "events")
    with pytest.raises(ValueError, match="give at least two pieces"):
        found.bands()
    with pytest.raises(ValueError, match="level is 95"):
        found.bands(95)
    one, other = (mmt.attention.relative(model, NOTES, field) for field in ("pitch", "beat"))
    with pytest.raises(ValueError, match="same field and pieces"):
        mmt.attention.permutation_test(one, other)
