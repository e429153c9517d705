"""Matrix product of rows and blocked weights, one tile (a few rows by a few blocks) at a time.

The sums of a tile stay in registers. Numba alone does not achieve this, so a tile is written as LLVM instructions. Every sum
runs from the first input to the last, whatever the tile: results do not depend on the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from mmt.model.compiled import compiled

Array = npt.NDArray[Any]

LANES, GROUP = 16, 4
"""Outputs of a block of weights, and blocks of a group."""

# Asked once, at import: the tile shapes are constants of the compiled functions.
_WIDE = bool(binding.get_host_cpu_features().get("avx512f"))


def _tile(rows: int, blocks: int) -> Callable[..., Any]:
    """Make the function that multiplies `rows` rows by `blocks` blocks of weights.

    The function takes pointers to the first row, weight and sum, the number of inputs, and the distance between rows of sums.
    """
    number, index = ir.FloatType(), ir.IntType(64)
    vector = ir.VectorType(number, LANES)
    whole = ir.VectorType(ir.IntType(32), LANES)

    def constant(value: int) -> Any:
        return ir.Constant(index, value)

    @intrinsic
    def tile(_, row, weight, total, inputs, apart):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            row, weight, total, inputs, apart = arguments
            _widen_registers(builder)
            function = ir.FunctionType(vector, [vector] * 3)
            add_product = cgutils.get_or_insert_function(builder.module, function, f"llvm.fma.v{LANES}f32")
            before = builder.block
            loop, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
            builder.branch(loop)
            builder.position_at_end(loop)
            place = builder.phi(index)
            sums = [[builder.phi(vector) for _ in range(blocks)] for _ in range(rows)]
            here = []
            for block in range(blocks):
                start = builder.add(builder.mul(constant(block * LANES), inputs), builder.mul(place, constant(LANES)))
                narrow = isinstance(signature.args[1].dtype, types.Integer)
                kind = ir.VectorType(ir.IntType(8), LANES) if narrow else vector
                loaded = builder.load(_at(builder, weight, start, kind), align=1 if narrow else 4)
                here.append(builder.sitofp(builder.sext(loaded, whole), vector) if narrow else loaded)
            added = []
            for r in range(rows):
                one = builder.load(builder.gep(row, [builder.add(builder.mul(constant(r), inputs), place)]))
                nothing = ir.Constant(vector, ir.Undefined)
                first = builder.insert_element(nothing, one, ir.Constant(ir.IntType(32), 0))
                many = builder.shuffle_vector(first, nothing, ir.Constant(whole, [0] * LANES))
                added.append([builder.call(add_product, [many, w, s]) for w, s in zip(here, sums[r], strict=True)])
            following = builder.add(place, constant(1))
            place.add_incoming(constant(0), before)
            place.add_incoming(following, loop)
            for r in range(rows):
                for s, more in zip(sums[r], added[r], strict=True):
                    s.add_incoming(ir.Constant(vector, [0.0] * LANES), before)
                    s.add_incoming(more, loop)
            builder.cbranch(builder.icmp_signed("<", following, inputs), loop, after)
            builder.position_at_end(after)
            for r in range(rows):
                for block in range(blocks):
                    start = builder.add(builder.mul(constant(r), apart), constant(block * LANES))
                    builder.store(added[r][block], _at(builder, total, start, vector), align=4)
            return context.get_dummy_value()

        return types.void(row, weight, total, types.intp, types.intp), generate

    return tile  # type: ignore[no-any-return]


@intrinsic
def use_wide_vectors(_):  # type: ignore[no-untyped-def]
    """Let the calling function use 512-bit vectors with AVX-512; by default LLVM uses 256 bits."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        _widen_registers(builder)
        return context.get_dummy_value()

    return types.void(), generate


def _widen_registers(builder: Any) -> None:
    if _WIDE:
        for name in ("prefer-vector-width", "min-legal-vector-width"):
            set.add(builder.function.attributes, f'"{name}"="512"')


def _at(builder: Any, start: Any, place: Any, kind: Any) -> Any:
    return builder.bitcast(builder.gep(start, [place]), kind.as_pointer())


@intrinsic
def _pointer(_, array, place):  # type: ignore[no-untyped-def]
    """A pointer to element `place` of a contiguous array, counted from 0."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        start = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.gep(start, [arguments[1]])

    return types.CPointer(array.dtype)(array, types.intp), generate


# The largest tile whose sums fit the registers.
_ROWS, _BLOCKS = (8, 2) if _WIDE else (4, 1)
_many, _two, _one = _tile(_ROWS, _BLOCKS), _tile(2, GROUP), _tile(1, GROUP)


@compiled()
def add_products(rows, weight, sums, row, block):  # type: ignore[no-untyped-def]
    """Compute the sums of the next few rows (row, input), from `row`, for the group of blocks that starts at `block`.

    Weights are (block, input, 16), sums (row, output). Returns the number of rows that were computed.
    """
    inputs, lanes, left, apart = weight.shape[1], weight.shape[2], len(rows) - row, sums.shape[1]
    here, of = _pointer(rows, row * inputs), _pointer(weight, block * inputs * lanes)
    to = _pointer(sums, row * apart + block * lanes)
    if left >= _ROWS:
        for more in range(0, GROUP, _BLOCKS):
            of = _pointer(weight, (block + more) * inputs * lanes)
            _many(here, of, _pointer(sums, row * apart + (block + more) * lanes), inputs, apart)
        return _ROWS
    if left >= 2:
        _two(here, of, to, inputs, apart)
        return 2
    _one(here, of, to, inputs, apart)
    return 1
