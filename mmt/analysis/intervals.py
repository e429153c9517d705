"""Means and shares over pieces with 95 % confidence intervals, and bootstrap samples of the pieces.

Values are float64. NaN is an undefined value and does not enter a mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEVEL = 0.95

Floats = npt.NDArray[np.float64]


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


def mean_of(values: npt.ArrayLike) -> Mean:
    """The mean of the defined values, with Student's t interval.

    >>> print(mean_of([1.0, 2.0, 3.0, float("nan")]).text())
    2.00 ± 2.48 (3 of 4)
    """
    known, undefined = _defined(values)
    if not len(known):
        return Mean(None, None, None, 0, undefined)
    mean = float(known.mean())
    if len(known) == 1:
        return Mean(mean, None, None, 1, undefined)
    from scipy.stats import sem, t

    half = float(t.ppf((1 + LEVEL) / 2, len(known) - 1) * sem(known))
    return Mean(mean, mean - half, mean + half, len(known), undefined)


def share_of(values: npt.ArrayLike) -> Mean:
    """The share of ones among the defined values, each 0 or 1, with Wilson's score interval.

    >>> print(share_of([1, 1, 1, 0]).text(100, 0))
    75 [30, 95]
    """
    known, undefined = _defined(values)
    if not len(known):
        return Mean(None, None, None, 0, undefined)
    from scipy.stats import binomtest

    found = binomtest(int(known.sum()), len(known)).proportion_ci(LEVEL, method="wilson")
    return Mean(float(known.mean()), float(found.low), float(found.high), len(known), undefined)


def resampled_counts(pieces: int, seed: int = 0, draws: int = 10_000) -> npt.NDArray[np.int64]:
    """How often each piece is in each bootstrap sample, (draws, pieces)."""
    return np.random.default_rng(seed).multinomial(pieces, np.full(pieces, 1 / pieces), size=draws)


def percentile_interval(draws: npt.ArrayLike) -> tuple[float, float]:
    """The middle 95 % of bootstrap draws."""
    low, high = np.nanpercentile(np.asarray(draws, np.float64), [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def _defined(values: npt.ArrayLike) -> tuple[Floats, int]:
    array = np.asarray(values, np.float64)
    known = array[~np.isnan(array)]
    return known, len(array) - len(known)
