"""Null models of attention, simultaneous bands, and a permutation test between two models.

A null model keeps part of what a head does and evens out the rest. "moments" permutes the notes that begin together: attention
between two moments stays, which of their notes it goes to does not. "events" keeps a head's mean weight at each distance in
events, "beats" at each distance in beats. Expected values are exact: nothing is drawn. Only written notes count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from mmt.analysis.attention.pairs import Sums, differences, sum_pairs
from mmt.analysis.attention.statistics import Relative, shares
from mmt.analysis.intervals import check_level, warn_of_few
from mmt.representation.codes import BEAT, FIELDS, NOTE, POSITION, TYPE, Events

Null = Literal["moments", "events", "beats"]
NULLS: tuple[Null, ...] = get_args(Null)
# Without those of which nothing remains: "moments" explains all of beat and position, "beats" all of beat.
COMPARED = tuple(
    (field, null)
    for field in FIELDS[1:]
    for null in NULLS
    if (field, null) not in {("beat", "moments"), ("position", "moments"), ("beat", "beats")}
)
_DRAWS, _AT_ONCE = 2000, 50


@dataclass(frozen=True)
class Contrast:
    """Attention by code difference, measured and expected under a null model; both sum to the same for each piece and head."""

    field: str
    null: str
    differences: npt.NDArray[np.int64]
    """Key's code - query's code, (K,)."""
    attention: Sums
    """Measured attention, (piece, layer, head, K)."""
    expected: Sums
    """Attention expected under the null model, (piece, layer, head, K)."""

    @property
    def pieces(self) -> int:
        """Number of pieces with a pair; the others have no part in the comparison."""
        return int(self.attention.any(axis=(1, 2, 3)).sum())

    @property
    def gain(self) -> Sums:
        """Share of attention minus the expected share, (layer, head, K); sums to 0 over differences."""
        return _gain(self.attention.sum(axis=0), self.expected.sum(axis=0))

    def merged(self) -> Contrast:
        """All heads of a layer as one; the head axis keeps length 1."""
        attention, expected = (sums.sum(axis=2, keepdims=True) for sums in (self.attention, self.expected))
        return replace(self, attention=attention, expected=expected)

    def bands(self, level: float = 0.95, *, seed: int = 0) -> tuple[Sums, Sums]:
        """Bands that hold for all differences, layers and heads at once, at this level.

        Jackknife standard errors, and the quantile of the greatest of all studentised errors from a Gaussian multiplier
        bootstrap over pieces, widened to Student's t at the effective number of pieces.

        Returns
        -------
        low, high : ndarray, (layer, head, K)
            Equal to the gain where it does not vary. A difference survives the null where `low > 0`.

        Raises
        ------
        ValueError
            If the level is not in (0, 1), or there are fewer than two pieces with pairs.

        Warns
        -----
        FewPiecesWarning
            If there are fewer than 30 pieces.
        """
        ends = self.interval(level, seed=seed)
        warn_of_few(self.pieces)
        return ends

    def interval(self, level: float, *, seed: int = 0) -> tuple[Sums, Sums]:
        """`bands`, without the warning of few pieces."""
        from scipy.stats import norm, t

        check_level(level)
        used = self.attention.any(axis=(1, 2, 3))
        attention, expected = self.attention[used], self.expected[used]
        count = len(attention)
        if count < 2:
            raise ValueError(f"{count} piece has no band; give at least two pieces")
        left_out = _gain(attention.sum(axis=0) - attention, expected.sum(axis=0) - expected)
        errors = (left_out - left_out.mean(axis=0)).reshape(count, -1) * ((count - 1) / count) ** 0.5
        spread = np.sqrt((errors**2).sum(axis=0))
        varies = spread > 1e-12
        drawn = np.random.default_rng(seed).standard_normal((_DRAWS, count))
        scaled = errors[:, varies] / spread[varies]
        parts = [np.abs(rows @ scaled).max(axis=1, initial=0) for rows in np.split(drawn, _DRAWS // _AT_ONCE)]
        greatest = np.concatenate(parts)
        sizes = attention.sum(axis=(1, 2, 3))
        effective = sizes.sum() ** 2 / (sizes**2).sum()
        factor = t.isf(norm.sf(np.quantile(greatest, level)), max(effective - 1, 1))
        half = np.where(varies, factor * spread, 0).reshape(left_out.shape[1:])
        return self.gain - half, self.gain + half


def permutation_test(first: Relative, second: Relative, *, draws: int = 9999, seed: int = 0) -> tuple[Sums, Sums]:
    """Test where two models differ in their attention to a field, all heads of all layers merged.

    Under the null hypothesis the two are exchangeable within each piece. Each draw swaps them in a random half of the pieces;
    the p-value is of the greatest standardised difference over all code differences, so it holds for all of them at once.

    Parameters
    ----------
    first, second : Relative
        Of the same field and the same pieces, in the same order.
    draws : int
        Number of random swaps.
    seed : int
        Of the swaps.

    Returns
    -------
    difference, p : ndarray, (K,)
        Gamma of the first minus that of the second, and its adjusted p-value, at least 1 / (draws + 1).

    Raises
    ------
    ValueError
        If the two are not of the same field and pieces.
    """
    same = first.field == second.field and np.array_equal(first.differences, second.differences)
    if not same or not np.array_equal(first.pairs, second.pairs):
        raise ValueError("the statistics are not of the same field and pieces; measure both models on the same pieces")
    ours, theirs = (np.asarray(each.attention.sum(axis=(1, 2))) for each in (first, second))
    observed = _gain(ours.sum(axis=0), theirs.sum(axis=0))
    swapped = np.random.default_rng(seed).integers(0, 2, (draws, len(ours))).astype(np.float64)
    change = swapped @ (theirs - ours)
    drawn = _gain(ours.sum(axis=0) + change, theirs.sum(axis=0) - change)
    scale = np.sqrt((drawn**2).mean(axis=0))
    scale[scale < 1e-12] = np.inf
    # Rounding must not make a draw that equals the observed value count as smaller.
    greatest = np.sort((np.abs(drawn) / scale).max(axis=1) * (1 + 1e-9))
    reached = draws - np.searchsorted(greatest, np.abs(observed) / scale)
    return observed, (1 + reached) / (draws + 1)


class Expectation:
    """Sums by code difference that null models expect of a head, for the notes of one window."""

    def __init__(self, events: Events, sizes: Sequence[int], wanted: Iterable[tuple[str, str]]) -> None:
        written = np.flatnonzero(events[:, TYPE] == NOTE)
        notes = events[written]
        count = len(notes)
        self._written, self._earlier = written, np.arange(count)
        begins = np.any(np.diff(notes[:, [BEAT, POSITION]], axis=0, prepend=-1) != 0, axis=1)
        self._moment = np.cumsum(begins) - 1
        # A permutation makes each note of a moment a key of the others.
        self._end = np.searchsorted(self._moment, self._moment, side="right")
        self._codes: dict[tuple[str, str], tuple[Any, int, int]] = {}
        for field, null in wanted:
            steps = differences(FIELDS.index(field), sizes[FIELDS.index(field)])
            self._codes[field, null] = notes[:, FIELDS.index(field)], -int(steps[0]), len(steps)
        nulls = {null for _, null in self._codes}
        ones = np.ones((len(events), len(events), 1), np.float32)
        distances = {"events": written, "beats": notes[:, BEAT]}
        used = {unit: distance for unit, distance in distances.items() if count and unit in nulls}
        self._distances = {unit: (distance, int(np.ptp(distance)) + 1) for unit, distance in used.items()}
        self._counts = {unit: np.maximum(sums, 1) for unit, sums in self._by_distance(ones).items()}
        self._joint = {key: self._joint_counts(ones, *key) for key in self._codes if key[1] in self._distances}
        self._moments = [key for key in self._codes if key[1] == "moments"] if count else []
        self._block_counts = np.maximum(self._by_block(ones), 1) if self._moments else np.zeros(0)

    def sums(self, weights: npt.NDArray[np.floating[Any]]) -> dict[tuple[str, str], Sums]:
        """The expected sums (K, head) by field and null model, of weights (query, key, head)."""
        found = {key: np.zeros((size, weights.shape[2])) for key, (_, _, size) in self._codes.items()}
        shares = {unit: sums / self._counts[unit] for unit, sums in self._by_distance(weights).items()}
        found |= {key: joint.T @ shares[key[1]] for key, joint in self._joint.items()}
        return found | self._of_moments(weights) if self._moments else found

    def _of_moments(self, weights: Any) -> dict[tuple[str, str], Sums]:
        # Weights of later keys are 0, so that both orders of a simultaneous pair share the weight of one.
        means = self._by_block(weights) / self._block_counts
        each, offsets, sizes = zip(*(self._codes[key] for key in self._moments), strict=True)
        codes = np.stack(each)
        sums = sum_pairs(sizes, means, self._moment, np.array(offsets)[:, None] - codes, codes, self._end)
        return dict(zip(self._moments, sums, strict=True))

    def _by_distance(self, weights: Any) -> dict[str, Sums]:
        """Sums at each distance, (D, head), by its unit."""
        if not self._distances:
            return {}
        each, counts = zip(*self._distances.values(), strict=True)
        distances = np.stack(each)
        sums = sum_pairs(counts, weights, self._written, distances, -distances, self._earlier)
        return dict(zip(self._distances, sums, strict=True))

    def _joint_counts(self, ones: Any, field: str, unit: str) -> Sums:
        """The number of pairs at each distance and code difference, (D, K)."""
        (distance, count), (codes, offset, size) = self._distances[unit], self._codes[field, unit]
        rows, columns = distance * size - codes + offset, codes - distance * size
        (sums,) = sum_pairs([count * size], ones, self._written, rows[None], columns[None], self._earlier)
        return sums.reshape(count, size)

    def _by_block(self, weights: Any) -> Sums:
        """Sums of each moment's queries over each moment's keys, (moments, moments, head)."""
        moments = int(self._moment[-1]) + 1
        rows, columns = self._moment[None] * moments, self._moment[None]
        (sums,) = sum_pairs([moments * moments], weights, self._written, rows, columns, self._end)
        return sums.reshape(moments, moments, weights.shape[2])


def _gain(measured: Sums, expected: Sums) -> Sums:
    """The difference of two shares; 0 where there is no attention."""
    return np.asarray(np.nan_to_num(shares(measured)) - np.nan_to_num(shares(expected)))
