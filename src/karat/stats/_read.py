"""A row of a block as floats. Half precision, given as its bits, is widened to float32 (exact) in a scratch row."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from ._compile import compiled


@intrinsic
def _float16(typing_context, bits):
    """The float16 with these bits (int16) as float32: the processor's own conversion, which numba has no name for."""

    def generate(context, builder, signature, arguments):
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.int16), generate


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


@compiled
def _widen_float16(bits, scratch):
    for j in range(bits.size):
        scratch[j] = _float16(bits[j])


@compiled
def _widen_bfloat16(bits, scratch):
    wide = scratch.view(np.int32)
    for j in range(bits.size):
        wide[j] = np.int32(bits[j]) << np.int32(16)


def read(block, i, bfloat16, scratch):  # pragma: no cover (replaced when compiled)
    raise NotImplementedError


@overload(read)
def _read_by_type(block, i, bfloat16, scratch):
    """Row i as floats: the row itself, or half precision widened into the scratch row."""
    if block.dtype != types.int16:
        return lambda block, i, bfloat16, scratch: block[i]

    def widened(block, i, bfloat16, scratch):
        if bfloat16:
            _widen_bfloat16(block[i], scratch)
        else:
            _widen_float16(block[i], scratch)
        return scratch

    return widened


@compiled
def half_bits(value, bfloat16):
    """The bits (int16) of the largest half-precision number that is not above a float32 of at least 0."""
    if bfloat16:
        return np.int16(_float32_bits(value) >> 16)
    bits = _float16_bits(value)
    return np.int16(bits - 1) if _float16(bits) > value else bits
