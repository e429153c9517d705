"""Means, shares and quotients of sums over pieces, with confidence intervals in the range of what is measured.

Intervals are Student's, on a scale without bounds: the logarithm of a positive quantity, the logit of one between two bounds, and
back (delta method). With few pieces they cover more often than the bootstrap, which is too narrow: see the coverage tests in
`tests/analysis/test_intervals.py`. Values are float64. NaN is an undefined value and does not enter a mean.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmt.representation.arguments import finite

LEVEL = 0.95
# The smallest number of pieces whose intervals can be trusted.
ENOUGH = 30

Floats = npt.NDArray[np.float64]


class FewPiecesWarning(UserWarning):
    """An interval is of so few pieces that it may miss the true value more often than its level says."""


@dataclass(frozen=True)
class Mean:
    """A mean over pieces and its 95 % interval; None where too few values are defined."""

    mean: float | None
    low: float | None
    high: float | None
    defined: int
    """Number of pieces with a value; the mean is over these."""
    undefined: int
    """Number of pieces without a value."""

    def __str__(self) -> str:
        return self.text()

    def text(self, scale: float = 1.0, digits: int = 2) -> str:
        """Format as "2.78 ± 0.05", or "2.78 [2.70, 2.81]" if the interval is asymmetric; values times `scale`."""
        if self.mean is None:
            return "undefined"
        text = f"{scale * self.mean:.{digits}f}"
        if self.low is not None and self.high is not None:
            below, above = (scale * abs(edge - self.mean) for edge in (self.low, self.high))
            if abs(below - above) > 0.5 * 10.0**-digits:
                text += f" [{scale * self.low:.{digits}f}, {scale * self.high:.{digits}f}]"
            else:
                text += f" ± {above:.{digits}f}"
        return text + (f" ({self.defined} of {self.defined + self.undefined})" if self.undefined else "")

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, for JSON."""
        return dict(self.__dict__)


def mean_of(values: npt.ArrayLike, low: float = -math.inf, high: float = math.inf) -> Mean:
    """The mean of the defined values, which lie from `low` to `high`, with an interval in this range.

    >>> print(mean_of([1.0, 2.0, 3.0, float("nan")]).text())
    2.00 ± 2.48 (3 of 4)
    >>> print(mean_of([1.0, 2.0, 3.0], low=0.0).text())
    2.00 [0.58, 6.93]
    """
    known, undefined = _defined(values)
    if not len(known):
        return Mean(None, None, None, 0, undefined)
    mean, count = float(known.mean()), len(known)
    if count == 1:
        return Mean(mean, None, None, 1, undefined)
    from scipy.stats import sem, t

    if mean in (low, high):
        # All values are at a bound. Wilson's interval, as if each were 0 or 1: no quantity in the range varies more.
        if math.isinf(low + high):
            return Mean(mean, None, None, count, undefined)
        below, above = (low + (high - low) * end for end in _wilson(count * (mean == high), count))
    else:
        half = t.ppf((1 + LEVEL) / 2, count - 1) * sem(known)
        below, above = (float(end) for end in interval_within(mean, half, low, high))
    return Mean(mean, below, above, count, undefined)


def share_of(values: npt.ArrayLike) -> Mean:
    """The share of ones among the defined values, each 0 or 1, with Wilson's score interval.

    >>> print(share_of([1, 1, 1, 0]).text(100, 0))
    75 [30, 95]
    """
    known, undefined = _defined(values)
    if not len(known):
        return Mean(None, None, None, 0, undefined)
    return Mean(float(known.mean()), *_wilson(int(known.sum()), len(known)), len(known), undefined)


def _wilson(ones: int, count: int) -> tuple[float, float]:
    """Wilson's score interval of a share."""
    from scipy.stats import binomtest

    found = binomtest(ones, count).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)


def jackknife_interval(
    value: npt.ArrayLike,
    left_out: npt.ArrayLike,
    weights: npt.ArrayLike,
    *,
    level: float = LEVEL,
    low: float = -math.inf,
    high: float = math.inf,
) -> tuple[Floats, Floats]:
    """The interval of a quotient of sums over pieces, by the delete-one jackknife.

    The degrees of freedom are the effective number of pieces (Kish 1965) minus 1: few, if some pieces outweigh the others.

    Parameters
    ----------
    value : array_like, (…)
        The quotient.
    left_out : array_like, (pieces, …)
        The quotient without each piece; there are at least two.
    weights : array_like, (pieces,)
        What each piece adds to the denominator.
    level : float
        In (0, 1).
    low, high : float
        The range of the quotient.
    """
    from scipy.stats import t

    others, sizes = np.asarray(left_out, np.float64), np.asarray(weights, np.float64)
    spread = np.sqrt((len(others) - 1) * others.var(axis=0))
    effective = sizes.sum() ** 2 / (sizes**2).sum()
    half = t.ppf((1 + level) / 2, max(effective - 1, 1)) * spread
    return interval_within(value, half, low, high)


def interval_within(value: npt.ArrayLike, half: npt.ArrayLike, low: float, high: float) -> tuple[Floats, Floats]:
    """The interval value ± half, taken to a scale on which the range from `low` to `high` has no bounds, and back.

    >>> low, high = interval_within(0.875, 0.398, 0, 1)
    >>> f"{low:.3f} to {high:.3f}"
    '0.155 to 0.996'
    """
    from scipy.special import expit, logit

    middle, step = np.asarray(value, np.float64), np.asarray(half, np.float64)
    # At a bound, where the scale is infinite, the interval is the value.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if math.isinf(low):
            ends = middle - step, middle + step
        elif math.isinf(high):
            factor = np.exp(step / (middle - low))
            ends = low + (middle - low) / factor, low + (middle - low) * factor
        else:
            share = (middle - low) / (high - low)
            place, apart = logit(share), step / (high - low) / (share * (1 - share))
            ends = low + (high - low) * expit(place - apart), low + (high - low) * expit(place + apart)
    inside = (step > 0) & (middle > low) & (middle < high)
    below, above = (np.where(inside, end, middle) for end in ends)
    return below, above


def check_level(level: float) -> None:
    """Raise a `ValueError` unless the level of confidence is between 0 and 1."""
    if not 0 < finite("level", level) < 1:
        raise ValueError(f"level is {level}; it must be between 0 and 1")


def warn_of_few(pieces: int) -> None:
    """Warn that the intervals of fewer than 30 pieces are rough."""
    if pieces < ENOUGH:
        warnings.warn(
            f"{pieces} pieces are few: their intervals may miss the true value more often than the level says; "
            f"use {ENOUGH} or more",
            FewPiecesWarning,
            stacklevel=3,
        )


def _defined(values: npt.ArrayLike) -> tuple[Floats, int]:
    array = np.asarray(values, np.float64)
    known = array[~np.isnan(array)]
    return known, len(array) - len(known)
