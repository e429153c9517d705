"""Null models of attention, simultaneous bands, and a permutation test between two models.

A null model keeps part of what a head does and evens out the rest. "moments" permutes the notes that begin together: attention
between two moments stays, which of their notes it goes to does not. "events" keeps a head's mean weight at each distance in
events, "beats" at each distance in beats. Expected values are exact: nothing is drawn. Only written notes count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mmt.analysis.attention.measurement import layer_weights
from mmt.analysis.attention.pairs import Sums, differences
from mmt.analysis.attention.statistics import Relative
from mmt.analysis.intervals import warn_of_few
from mmt.analysis.pieces import Pieces, field_numbers, pieces_to_study, windows_of
from mmt.representation.codes import BEAT, NOTE, POSITION, TYPE, Events
from mmt.sampling.model import Model

Null = Literal["moments", "events", "beats"]
_DRAWS = 2000


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
    def gain(self) -> Sums:
        """Share of attention minus the expected share, (layer, head, K); sums to 0 over differences."""
        return _gain(self.attention.sum(axis=0), self.expected.sum(axis=0))

    def merged(self) -> Contrast:
        """All heads of a layer as one; the head axis keeps length 1."""
        parts = (sums.sum(axis=2, keepdims=True) for sums in (self.attention, self.expected))
        return Contrast(self.field, self.null, self.differences, *parts)

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
        from scipy.stats import norm, t

        if not 0 < level < 1:
            raise ValueError(f"level is {level}; it must be between 0 and 1")
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
        greatest = np.array([np.abs(row @ scaled).max(initial=0) for row in drawn])
        sizes = attention.sum(axis=(1, 2, 3))
        effective = sizes.sum() ** 2 / (sizes**2).sum()
        factor = t.isf(norm.sf(np.quantile(greatest, level)), max(effective - 1, 1))
        half = np.where(varies, factor * spread, 0).reshape(left_out.shape[1:])
        warn_of_few(count)
        return self.gain - half, self.gain + half


def contrast(model: Model, pieces: Pieces, field: str, null: Null, *, progress: bool = False) -> Contrast:
    """Measure a field's attention against a null model.

    Parameters
    ----------
    model : Model
    pieces : array_like of int (n, 6), several of them, or a Corpus
    field : "beat", "position", "pitch", "duration" or "instrument"
    null : "moments", "events" or "beats"
        What is kept, see above. "moments" explains all of beat and position, "beats" all of beat.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    ValueError
        If there is no such field or null model, or a piece cannot be read.

    Examples
    --------
    >>> import mmt
    >>> model = mmt.new_model("tiny", seed=0)
    >>> notes = [[3, 1, 1, 61, 12, 25], [3, 2, 1, 65, 12, 25], [3, 2, 1, 68, 12, 25]]
    >>> contrast(model, np.array(notes), "pitch", "moments").gain.shape
    (2, 2, 255)
    """
    (number,) = field_numbers(field) if field else (TYPE,)
    if number == TYPE:
        raise ValueError(
            f"field is {field!r}; null models are of notes: choose beat, position, pitch, duration or instrument"
        )
    if null not in get_args(Null):
        raise ValueError(f"null is {null!r}; choose one of {', '.join(get_args(Null))}")
    config = model.network.config
    steps = differences(number, config.sizes[number])
    count, arrays = pieces_to_study(model, pieces)
    measured, expected = (np.zeros((count, config.layers, config.heads, len(steps))) for _ in range(2))
    for piece, events in enumerate(tqdm(arrays, total=count, unit=" pieces", desc=null, disable=not progress)):
        for window in windows_of(model, events):
            written = window[:, TYPE] == NOTE
            notes = window[written]
            if len(notes) < 2:
                continue
            sums = _Moments(notes, number, steps) if null == "moments" else _Distances(notes, number, steps, null)
            for layer, weights in enumerate(layer_weights(model, window)):
                for head, each in enumerate(weights[:, written][:, :, written]):
                    first, second = sums(each.astype(np.float64))
                    measured[piece, layer, head] += first
                    expected[piece, layer, head] += second
    return Contrast(field, null, steps, measured, expected)


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
    if not same or first.pairs.shape != second.pairs.shape or not np.array_equal(first.pairs, second.pairs):
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


class _Distances:
    """Sums by code difference, measured and with each head's mean weight at a distance, of the notes of one window."""

    def __init__(self, notes: Events, field: int, steps: npt.NDArray[np.int64], unit: str) -> None:
        self._earlier = np.tri(len(notes), k=-1, dtype=bool)
        query, key = np.nonzero(self._earlier)
        self._code = notes[key, field] - notes[query, field] - steps[0]
        _, self._distance = np.unique(
            query - key if unit == "events" else notes[query, BEAT] - notes[key, BEAT], return_inverse=True
        )
        self._counts = np.bincount(self._distance)
        self._codes = len(steps)
        joint = self._distance * len(steps) + self._code
        self._joint = np.bincount(joint, minlength=len(self._counts) * len(steps)).reshape(-1, len(steps))

    def __call__(self, weights: Sums) -> tuple[Sums, Sums]:
        given = weights[self._earlier]
        profile = np.bincount(self._distance, given) / self._counts
        measured: Sums = np.bincount(self._code, given, minlength=self._codes).astype(np.float64)
        return measured, profile @ self._joint


class _Moments:
    """Sums by code difference, measured and expected when the codes of simultaneous notes are permuted, of one window."""

    def __init__(self, notes: Events, field: int, steps: npt.NDArray[np.int64]) -> None:
        _, moment = np.unique(notes[:, [BEAT, POSITION]], axis=0, return_inverse=True)
        moment = moment.reshape(-1)
        # Ordered pairs of two notes that a permutation may make a query and a key: an earlier moment, or the same one.
        self._query, self._key = np.nonzero((moment[:, None] >= moment) & ~np.eye(len(notes), dtype=bool))
        _, self._block = np.unique(moment[self._query] * len(notes) + moment[self._key], return_inverse=True)
        self._counts = np.bincount(self._block)
        self._code = notes[self._key, field] - notes[self._query, field] - steps[0]
        self._codes = len(steps)

    def __call__(self, weights: Sums) -> tuple[Sums, Sums]:
        # Weights of later keys are 0, so that both orders of a simultaneous pair share the weight of one.
        given = weights[self._query, self._key]
        mean = np.bincount(self._block, given) / self._counts
        return tuple(  # type: ignore[return-value]
            np.bincount(self._code, each, minlength=self._codes) for each in (given, mean[self._block])
        )


def _gain(measured: Sums, expected: Sums) -> Sums:
    shares: list[Any] = []
    for sums in (measured, expected):
        total = sums.sum(axis=-1, keepdims=True)
        shares.append(np.divide(sums, total, out=np.zeros_like(sums), where=total > 0))
    return np.asarray(shares[0] - shares[1])
