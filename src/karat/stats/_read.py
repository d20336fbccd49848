"""A row of a block as floats. Half precision is widened to float32 (exact) in a scratch row."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from ._compile import compiled

# A float16 whose bits are moved to their float32 places: the exponent's bias is 127 there, not 15.
FLOAT16_UNIT = 2.0**-112


@compiled
def _widen_bfloat16(bits, scratch):
    wide = scratch.view(np.uint32)
    for j in range(bits.size):
        wide[j] = np.uint32(bits[j]) << np.uint32(16)


@compiled
def _widen_float16(bits, scratch):
    """Bits to their float32 places, which is FLOAT16_UNIT times the number; a row with NaN or Inf gets a NaN."""
    signed = bits.view(np.int16)
    wide = scratch.view(np.int32)
    for j in range(bits.size):
        wide[j] = (np.int32(signed[j]) << np.int32(13)) & np.int32(-0x70002000)
    worst = np.uint16(0)
    for j in range(bits.size):
        worst = max(worst, np.uint16(bits[j] & np.uint16(0x7FFF)))
    if worst >= 0x7C00:
        scratch[0] = np.nan


def read(block, i, unit, scratch):  # pragma: no cover (replaced when compiled)
    raise NotImplementedError


@overload(read)
def _read_by_type(block, i, unit, scratch):
    """Row i times unit as floats: the row itself, or half precision (its bits, uint16) widened into the scratch row."""
    if block.dtype != types.uint16:
        return lambda block, i, unit, scratch: block[i]

    def widened(block, i, unit, scratch):
        if unit == 1.0:  # bfloat16
            _widen_bfloat16(block[i], scratch)
        else:
            _widen_float16(block[i], scratch)
        return scratch

    return widened
