"""An entry of a row as a float. Half precision comes as its bits and is widened on the way, which is exact.

The type of the bits says which half it is: int16 for float16, uint16 for bfloat16.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from ._compile import compiled

FLOAT16, BFLOAT16 = types.int16, types.uint16
HALVES = (FLOAT16, BFLOAT16)


@intrinsic
def as_float(typing_context, entry):
    """float64 as it is; float32 as it is; the bits of half precision as float32, by the processor's own conversion."""

    def as_it_is(context, builder, signature, arguments):
        return arguments[0]

    def from_float16(context, builder, signature, arguments):
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    def from_bfloat16(context, builder, signature, arguments):
        bits = builder.shl(builder.zext(arguments[0], ir.IntType(32)), ir.Constant(ir.IntType(32), 16))
        return builder.bitcast(bits, ir.FloatType())

    if entry == FLOAT16:
        return types.float32(FLOAT16), from_float16
    if entry == BFLOAT16:
        return types.float32(BFLOAT16), from_bfloat16
    return entry(entry), as_it_is


@intrinsic
def _float16_bits(typing_context, value):
    """The bits (int16) of the float16 nearest to a float32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16))

    return types.int16(types.float32), generate


@intrinsic
def _float32_bits(typing_context, value):
    """The bits (int32) of a float32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


def bits_below(bits, value):  # pragma: no cover (replaced when compiled)
    raise NotImplementedError


@overload(bits_below)
def _bits_below_by_type(bits, value):
    """The bits (int16) of the largest half-precision number, of the type of a row's bits, not above a float32 >= 0."""
    if bits.dtype == BFLOAT16:
        return lambda bits, value: np.int16(_float32_bits(value) >> 16)

    def of_float16(bits, value):
        nearest = _float16_bits(value)
        return np.int16(nearest - 1) if as_float(nearest) > value else nearest

    return of_float16


@compiled
def ordered_16(bits):
    """The bits as int16: of numbers of at least 0, in the order of the numbers."""
    return bits.view(np.int16)
