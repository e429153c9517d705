"""Functions of single numbers for compiled steps, without branches, so that many are computed at a time."""

from __future__ import annotations

import numpy as np

from mmt.model.compiled import compiled

_LOG2_E, _LN_2 = np.float32(1.4426950408889634), (np.float32(0.693359375), np.float32(-2.12194440054690583e-4))
_FACTORIALS = tuple(np.float32(1 / f) for f in (2, 6, 24, 120, 720, 5040))


@compiled(fast=True)
def exp(x):  # type: ignore[no-untyped-def]
    """e to a power of at most 0, to a few units in the last place."""
    x = max(x, np.float32(-80))  # below that, products would be slow, being too small to be normal
    twos = np.floor(x * _LOG2_E + np.float32(0.5))
    rest = x - twos * _LN_2[0] - twos * _LN_2[1]
    series = _FACTORIALS[5]
    for term in (4, 3, 2, 1, 0):
        series = series * rest + _FACTORIALS[term]
    series = (series * rest + np.float32(1)) * rest + np.float32(1)
    return series * np.int32((np.int32(twos) + 127) << 23).view(np.float32)


# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: to 1.5e-7.
_STEP = np.float32(0.3275911)
_ERFC = tuple(np.float32(a) for a in (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429))


@compiled(fast=True)
def gelu(x):  # type: ignore[no-untyped-def]
    """The exact one, by the error function."""
    size = abs(x) * np.float32(0.7071067811865476)
    t = np.float32(1) / (np.float32(1) + _STEP * size)
    series = ((((_ERFC[4] * t + _ERFC[3]) * t + _ERFC[2]) * t + _ERFC[1]) * t + _ERFC[0]) * t
    beyond = np.float32(0.5) * series * exp(-size * size)
    return x * (np.float32(1) - beyond if x > 0 else beyond)
