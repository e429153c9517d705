"""Functions of single numbers for compiled code: exp and GELU without branches, and conversion to and from bfloat16.

Numba has no bfloat16. Arrays of it are viewed as int16: the upper half of each float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from mmt.model.compiled import compiled
from mmt.model.cpu.weights import Array

_LOG2_E, _LN_2 = np.float32(1.4426950408889634), (np.float32(0.693359375), np.float32(-2.12194440054690583e-4))
_FACTORIALS = tuple(np.float32(1 / f) for f in (2, 6, 24, 120, 720, 5040))


@compiled(fast=True)
def exp(x):  # type: ignore[no-untyped-def]
    """The exponential of x <= 0, to a few units in the last place."""
    x = max(x, np.float32(-80))  # products of smaller results would be subnormal, which is slow
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
    """The exact GELU, by the error function."""
    size = abs(x) * np.float32(0.7071067811865476)
    t = np.float32(1) / (np.float32(1) + _STEP * size)
    series = ((((_ERFC[4] * t + _ERFC[3]) * t + _ERFC[2]) * t + _ERFC[1]) * t + _ERFC[0]) * t
    tail = np.float32(0.5) * series * exp(-size * size)
    return x * (np.float32(1) - tail if x > 0 else tail)


_INT32, _INT16, _FLOAT = ir.IntType(32), ir.IntType(16), ir.FloatType()


def array_of(tensor: Tensor) -> Array:
    """The NumPy array of a tensor, without a copy; a bfloat16 tensor becomes an int16 array."""
    array: Array = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


@intrinsic
def widened(_, number):  # type: ignore[no-untyped-def]
    """Convert a bfloat16 number (an int16) to float32; a float32 number is returned unchanged."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if isinstance(number, types.Float):
            return arguments[0]
        return builder.bitcast(builder.shl(builder.zext(arguments[0], _INT32), ir.Constant(_INT32, 16)), _FLOAT)

    return types.float32(number), generate


@intrinsic
def narrowed(_, number, array):  # type: ignore[no-untyped-def]
    """Convert a float32 number to the type of an array: rounded to the nearest bfloat16 (an int16), or unchanged."""
    kind = array.dtype

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if isinstance(kind, types.Float):
            return arguments[0]
        bits, sixteen = builder.bitcast(arguments[0], _INT32), ir.Constant(_INT32, 16)
        # Half a unit in the last place, one less if the number is even: ties go to even.
        odd = builder.and_(builder.lshr(bits, sixteen), ir.Constant(_INT32, 1))
        rounded = builder.add(bits, builder.add(odd, ir.Constant(_INT32, 0x7FFF)))
        return builder.trunc(builder.lshr(rounded, sixteen), _INT16)

    return kind(number, array), generate
