"""Means with 95 % intervals: how far a figure taken on some pieces can be trusted for all such pieces.

Values are float64; NaN is a value that is undefined, and never enters a mean. Intervals are of the mean, with pieces as
what varies.
"""

from __future__ import annotations

import math
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
    """How many pieces have a value; the mean is over these."""
    undefined: int
    """How many have none."""

    def __str__(self) -> str:
        return self.text()

    def text(self, scale: float = 1.0, digits: int = 2) -> str:
        """As "2.78 ± 0.05", or "2.78 [2.70, 2.81]" where the interval is lopsided; times `scale`."""
        if self.mean is None:
            return "undefined"
        text = f"{scale * self.mean:.{digits}f}"
        if self.low is not None and self.high is not None:
            below, above = (scale * abs(edge - self.mean) for edge in (self.low, self.high))
            lopsided = abs(below - above) > 0.5 * 10.0**-digits
            text += (
                f" [{scale * self.low:.{digits}f}, {scale * self.high:.{digits}f}]"
                if lopsided
                else f" ± {above:.{digits}f}"
            )
        return text + (f" ({self.defined} of {self.defined + self.undefined})" if self.undefined else "")

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, for JSON."""
        return dict(self.__dict__)


def mean_of(values: npt.ArrayLike) -> Mean:
    """The mean of the defined values, with Student's interval.

    >>> print(mean_of([1.0, 2.0, 3.0, float("nan")]).text())
    2.00 ± 2.48 (3 of 4)
    """
    known, undefined = _defined(values)
    if not len(known):
        return Mean(None, None, None, 0, undefined)
    mean = float(known.mean())
    if len(known) == 1:
        return Mean(mean, None, None, 1, undefined)
    from scipy.stats import t

    half = float(t.ppf((1 + LEVEL) / 2, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
    return Mean(mean, mean - half, mean + half, len(known), undefined)


def share_of(values: npt.ArrayLike) -> Mean:
    """The share of ones among the defined values, each 0 or 1, with Wilson's interval, which stays within 0 and 1.

    >>> print(share_of([1, 1, 1, 0]).text(100, 0))
    75 [30, 95]
    """
    known, undefined = _defined(values)
    count = len(known)
    if not count:
        return Mean(None, None, None, 0, undefined)
    z, share = 1.959963984540054, float(known.mean())
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return Mean(share, max(middle - half, 0.0), min(middle + half, 1.0), count, undefined)


def resampled_counts(pieces: int, seed: int = 0, draws: int = 10_000) -> npt.NDArray[np.int64]:
    """How often each piece is in each bootstrap sample, (draws, pieces); the same for one seed."""
    return np.random.default_rng(seed).multinomial(pieces, np.full(pieces, 1 / pieces), size=draws)


def percentile_interval(draws: npt.ArrayLike) -> tuple[float, float]:
    """The middle 95 % of bootstrap draws."""
    low, high = np.nanpercentile(np.asarray(draws, np.float64), [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def _defined(values: npt.ArrayLike) -> tuple[Floats, int]:
    array = np.asarray(values, np.float64)
    known = array[~np.isnan(array)]
    return known, len(array) - len(known)
