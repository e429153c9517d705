"""Numbers of 16 bits, which Numba does not know: the upper half of a float32, in arrays of int16."""

from __future__ import annotations

from typing import Any

import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from mmt.model.tiles import Array

_WHOLE, _HALF, _NUMBER = ir.IntType(32), ir.IntType(16), ir.FloatType()


def array_of(tensor: Tensor) -> Array:
    """A tensor as compiled functions take it; of bfloat16 it is one of int16, in the same place."""
    array: Array = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


@intrinsic
def widened(_, number):  # type: ignore[no-untyped-def]
    """A number of such an array as float32; one that is float32 stays as it is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if isinstance(number, types.Float):
            return arguments[0]
        return builder.bitcast(builder.shl(builder.zext(arguments[0], _WHOLE), ir.Constant(_WHOLE, 16)), _NUMBER)

    return types.float32(number), generate


@intrinsic
def narrowed(_, number, array):  # type: ignore[no-untyped-def]
    """A float32 as an array holds it: rounded to the nearest, or, where the array is one of float32, as it is."""
    kind = array.dtype

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if isinstance(kind, types.Float):
            return arguments[0]
        bits, sixteen = builder.bitcast(arguments[0], _WHOLE), ir.Constant(_WHOLE, 16)
        # Half of a last place, and less by one where the number is even: so ties go to the even one.
        odd = builder.and_(builder.lshr(bits, sixteen), ir.Constant(_WHOLE, 1))
        rounded = builder.add(bits, builder.add(odd, ir.Constant(_WHOLE, 0x7FFF)))
        return builder.trunc(builder.lshr(rounded, sixteen), _HALF)

    return kind(number, array), generate
