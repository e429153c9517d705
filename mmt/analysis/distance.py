"""Kernel distance (MMD) between generated and real pieces over features of each piece, with a bootstrap interval.

The squared maximum mean discrepancy (Gretton et al. 2012, A kernel two-sample test, JMLR 13, equation 3) with a Gaussian kernel:
0 if both sets have the same distribution of the features together. The estimate is unbiased, so that it does not depend on the
number of pieces; it can be a little below 0. A feature is `FEATURES`, standardised by the mean and the standard deviation of the
real pieces; an undefined value counts as the mean. The kernel's width is the median distance between real pieces.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmt.analysis.intervals import LEVEL, Floats
from mmt.analysis.metrics import Scores

FEATURES = (
    "pitch_class_entropy", "scale_consistency", "groove_consistency_corrected", "notes_per_beat", "polyphony", "instruments",
    "instrument_evenness", "longest_silence", "repetition",
)  # fmt: skip
DRAWS = 400
# Standardised values end here, so that one extreme piece does not decide.
_FARTHEST = 4.0


@dataclass(frozen=True)
class KernelDistance:
    """The squared kernel distance of two sets of pieces, and its bootstrap interval."""

    value: float
    low: float
    high: float
    floor: float
    """The 95 % quantile of the distance between two random halves of the real pieces: a smaller distance may be chance."""
    generated: int
    """Number of pieces."""
    real: int
    length: str

    def __str__(self) -> str:
        return (
            f"kernel distance {self.value:.4f} [{self.low:.4f}, {self.high:.4f}] of {self.generated:,} generated and "
            f"{self.real:,} real pieces, {self.length}; halves of the real pieces stay below {self.floor:.4f}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"features": list(FEATURES)}


def kernel_distance(generated: Scores, real: Scores, *, seed: int = 0) -> KernelDistance:
    """The squared kernel distance of generated and real pieces over `FEATURES`, with a 95 % bootstrap interval over pieces.

    Parameters
    ----------
    generated, real : Scores
        From `mmt.metrics.evaluate`, at least 2 and 4 pieces, measured over the same length.
    seed : int
        Of the bootstrap.

    Examples
    --------
    >>> import mmt
    >>> pieces = mmt.new_model("tiny", seed=0).generate(n=12, seed=1, max_events=64)
    >>> found = kernel_distance(mmt.metrics.evaluate(pieces[:4]), mmt.metrics.evaluate(pieces[4:]))
    >>> found.low <= found.value <= found.high
    True
    """
    from scipy.spatial.distance import cdist, pdist

    if generated.length != real.length:
        raise ValueError(f"generated pieces were measured over {generated.length}, real ones over {real.length}")
    if len(generated) < 2 or len(real) < 4:
        raise ValueError(f"{len(generated)} generated and {len(real)} real pieces are too few; give at least 2 and 4")
    ours, theirs = _standardised(generated, real), _standardised(real, real)
    both, count = np.concatenate([ours, theirs]), len(ours)
    width = float(np.median(pdist(theirs))) or 1.0
    # The Gaussian kernel of all pairs of pieces, (n, n).
    kernel: Floats = np.exp(-cdist(both, both, "sqeuclidean") / (2 * width**2))
    random = np.random.default_rng(seed)
    is_real = (np.arange(len(kernel)) >= count).astype(np.float64)
    value = _squared(kernel, 1 - is_real, is_real)
    draws = [_squared(kernel, _resampled(random, 1 - is_real), _resampled(random, is_real)) for _ in range(DRAWS)]
    # Resampled sets are more apart than the sets themselves, by the noise of the draw: the interval is centred.
    spread = float(np.std(draws)) * 1.96
    halves = []
    for _ in range(DRAWS):
        first = np.zeros(len(kernel))
        first[count + random.permutation(len(theirs))[: len(theirs) // 2]] = 1
        halves.append(_squared(kernel, first, is_real - first))
    floor = float(np.quantile(halves, LEVEL))
    return KernelDistance(value, value - spread, value + spread, floor, count, len(theirs), generated.length)


def _standardised(scores: Scores, real: Scores) -> Floats:
    """The features of a set, (pieces, features), in standard deviations from the real pieces' mean."""
    columns = []
    for name in FEATURES:
        known = real.values[name][~np.isnan(real.values[name])]
        if len(known):
            values = (scores.values[name] - known.mean()) / (float(known.std()) or 1.0)
            columns.append(np.clip(np.nan_to_num(values), -_FARTHEST, _FARTHEST))
    return np.stack(columns, axis=1)


def _resampled(random: np.random.Generator, chosen: Floats) -> Floats:
    """How often each piece of a set is drawn in one bootstrap draw, (n,); 0 for the pieces that are not `chosen`."""
    places = np.flatnonzero(chosen)
    drawn = places[random.integers(len(places), size=len(places))]
    return np.bincount(drawn, minlength=len(chosen)).astype(np.float64)


def _squared(kernel: Floats, ours: Floats, theirs: Floats) -> float:
    """The squared distance of two sets given by weights (n,). A piece is never compared with itself, even if drawn twice."""

    def within(weights: Floats) -> float:
        pairs = weights.sum() ** 2 - (weights**2).sum()
        # The diagonal holds the kernel of each piece with itself.
        return float((weights @ kernel @ weights - (weights**2 * kernel.diagonal()).sum()) / pairs) if pairs else 0.0

    across = float(ours @ kernel @ theirs / (ours.sum() * theirs.sum()))
    return within(ours) + within(theirs) - 2 * across
