"""Distributions: agreement of equal and different sets, known distances, the noise floor, the picture, errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import gaussian_kde, norm

import mmt
from mmt.analysis import distributions
from mmt.analysis.distributions import agreement, compare_distributions, picture
from mmt.representation.decode import notes_of_events
from mmt.representation.encode import events_of_notes
from mmt.representation.notes import NOTE_DTYPE


def song(seed: int, *, low: int = 60, position: int = 0, beats: int = 20) -> np.ndarray:
    """A melody in C within an octave, one note a beat."""
    random = np.random.default_rng(seed)
    notes = np.empty(beats, NOTE_DTYPE)
    notes["beat"], notes["position"] = np.arange(beats), position
    notes["pitch"] = low + random.choice([0, 2, 4, 5, 7, 9, 11], beats, p=random.dirichlet(np.full(7, 2)))
    notes["duration"], notes["instrument"] = 12, 1
    return events_of_notes(notes)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributions, "SPLITS", 12)


def test_similar_pieces_stay_within_the_noise_floor() -> None:
    """Songs of the same kind stay within the noise floor (with some tolerance); songs off the beat do not."""
    real = [song(seed) for seed in range(60)]
    alike = compare_distributions([song(seed) for seed in range(100, 125)], real)
    for feature in alike.features:
        assert feature.agreement.overlap >= feature.floor_low.overlap - 0.1, feature.name
    other = compare_distributions([song(seed, position=6) for seed in range(100, 125)], real)
    found = {feature.name: feature for feature in other.features}
    assert found["positions in the beat"].agreement.overlap < 0.05
    assert found["positions in the beat"].floor.overlap > 0.9
    assert found["positions in the beat"].agreement.divergence > 1
    assert found["pitch class entropy"].agreement.overlap > 0.8


def test_overlap_of_normal_samples_matches_theory() -> None:
    """Distances within N(0, 1) follow |N(0, 2)|, distances to N(4, 1) follow |N(4, 2)|."""
    random = np.random.default_rng(0)
    found = agreement(random.normal(4, 1, 400), random.normal(0, 1, 400))
    grid = np.linspace(0, 12, 4000)
    spread = 2**0.5
    within = 2 * norm.pdf(grid, 0, spread)
    between = norm.pdf(grid, 4, spread) + norm.pdf(grid, -4, spread)
    overlap = np.minimum(within, between).sum() * (grid[1] - grid[0])
    assert found.overlap == pytest.approx(overlap, abs=0.06)
    assert found.wasserstein == pytest.approx(4, abs=0.15)


def test_densities_match_scipy_with_every_pair_once() -> None:
    """Few pieces, so that counting a pair twice, or a piece with itself, would show."""
    ours, theirs = np.array([0.0, 3.0, 4.0, 9.0]), np.array([1.0, 2.0, 6.0, 7.0, 12.0])
    inter = np.abs(ours[:, None] - theirs[None]).ravel()
    intra = np.array([abs(a - b) for place, a in enumerate(theirs) for b in theirs[:place]])
    grid = np.linspace(-0.25 * 11, 1.25 * 11, 4000)
    # scipy scales the bandwidth by the standard deviation with n - 1.
    within, between = (
        gaussian_kde(d, bw_method=len(d) ** -0.2 * d.std() / d.std(ddof=1))(grid) for d in (intra, inter)
    )
    expected = np.minimum(within / within.sum(), between / between.sum()).sum()
    assert agreement(ours, theirs).overlap == pytest.approx(expected, abs=0.01)
    divergence = (between / between.sum() * np.log(between * within.sum() / (within * between.sum()))).sum()
    assert agreement(ours, theirs).divergence == pytest.approx(divergence, abs=0.01)


def test_noise_floor_splits_the_real_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many real pieces as were generated against all others; no piece is in both sets."""
    seen: list[tuple[set[float], set[float]]] = []
    plain = distributions.agreement

    def recording(ours: np.ndarray, theirs: np.ndarray) -> distributions.Agreement:
        seen.append((set(ours.tolist()), set(theirs.tolist())))
        return plain(ours, theirs)

    monkeypatch.setattr(distributions, "agreement", recording)
    distributions._compare("place", np.arange(100.0, 107.0), np.arange(20.0), seed=0)
    *draws, (ours, theirs) = seen
    assert (len(ours), len(theirs)) == (7, 20)
    assert len(draws) == 12
    for drawn, rest in draws:
        assert len(drawn) == 7
        assert drawn | rest == set(range(20))
        assert not drawn & rest


def test_equal_constant_values_agree_fully() -> None:
    assert agreement(np.ones(5), np.ones(9)) == distributions.Agreement(1.0, 0.0, 0.0)
    histogram = np.tile([0.5, 0.5], (6, 1))
    assert agreement(histogram, histogram) == distributions.Agreement(1.0, 0.0, None)


def test_result_is_reproducible_and_names_the_length() -> None:
    real, ours = [song(seed) for seed in range(20)], [song(seed) for seed in range(50, 60)]
    first, again, other = (compare_distributions(ours, real, seed=seed, beats=8) for seed in (1, 1, 2))
    assert first.to_dict() == again.to_dict() != other.to_dict()
    assert first.length == "the first 8 beats"
    assert compare_distributions(ours, real, beats=None).length == "whole pieces"
    told = json.loads(json.dumps(first.to_dict(), allow_nan=False))
    assert told["features"]["duration codes"]["agreement"]["overlap"] == 1
    assert "real against real" in str(first)


def test_undefined_values_are_counted() -> None:
    """A piece with one onset has neither gaps between onsets nor groove."""
    real = [song(seed) for seed in range(20)]
    found = compare_distributions([*(song(seed) for seed in range(50, 56)), song(0, beats=1)], real)
    undefined = {feature.name: feature.undefined for feature in found.features}
    assert undefined["steps between onsets"] == (1, 0)
    assert undefined["groove consistency"] == (1, 0)
    assert undefined["pitch classes"] == (0, 0)


def test_features_of_too_few_pieces_are_left_out_and_listed() -> None:
    real = [song(seed) for seed in range(20)]
    found = compare_distributions([song(seed, beats=1) for seed in range(6)], real)
    assert set(found.left_out) == {"groove consistency", "mean interval", "steps between onsets"}
    assert not set(found.left_out) & {feature.name for feature in found.features}
    assert "too few pieces have: groove consistency, mean interval" in str(found)
    assert found.to_dict()["left_out"] == list(found.left_out)


def test_picture_is_a_png() -> None:
    found = compare_distributions([song(seed) for seed in range(9)], [song(seed) for seed in range(20, 40)])
    assert picture(found).startswith(b"\x89PNG")


def test_too_few_pieces_raise() -> None:
    with pytest.raises(ValueError, match="2 generated and 20 real pieces with notes are too few"):
        compare_distributions([song(0), song(1)], [song(seed) for seed in range(20)])


def test_features_of_pitch_ignore_drums() -> None:
    drums = mmt.Representation(drums=True)

    def with_drums(events: np.ndarray, key: int) -> np.ndarray:
        notes = notes_of_events(events)
        hits = notes.copy()
        hits["pitch"], hits["instrument"] = key, drums.drums_code
        return events_of_notes(np.concatenate([notes, hits]), drums)

    songs = [song(seed) for seed in range(20)]
    plain = compare_distributions(songs[:8], songs[8:], representation=drums)
    both = [with_drums(events, 30 + seed) for seed, events in enumerate(songs)]
    found = compare_distributions(both[:8], both[8:], representation=drums)
    names = ("pitch class entropy", "scale consistency", "polyphony", "pitch range", "mean interval", "pitch classes")
    for name in names:
        (ours,), (theirs,) = ([f for f in each.features if f.name == name] for each in (found, plain))
        np.testing.assert_array_equal(ours.real, theirs.real, err_msg=name)
    # A piece with only drums has no value for them.
    hits = notes_of_events(songs[0])
    hits["instrument"] = drums.drums_code
    found = compare_distributions([events_of_notes(hits, drums), *both[:7]], both[8:], representation=drums)
    assert {f.name for f in found.features if f.undefined == (1, 0)} == set(names)
