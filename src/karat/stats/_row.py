"""What one look at a row tells: its moments, its largest entry, which entries exceed a threshold.

Sums, deviations and the threshold are float64. A float32 row is compared with the largest float32 that is not above the
threshold, which decides exactly as the comparison in float64 would. `@overload` gives a function its body by the type
of the row, when it is compiled.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from ._compile import compiled
from ._entry import HALVES, as_float, bits_below, ordered_16

# A float64 row whose absolute sum lies outside is rescaled by a power of two: squares neither under- nor overflow.
TINY, HUGE = 1e-120, 1e150
# A float32 row is summed a second time where its variance is below this share of the squared distance of its mean from
# its first entry: of 16 digits 12 would be left.
FAR = 1e-4
# So many entries are counted in 16 bits.
_LANE = (1 << 16) - 1


@compiled
def sums(x, scale):
    """Sum, absolute sum, and the numbers of negative and of zero entries."""
    total = 0.0
    absolute = 0.0
    negative = 0
    zero = 0
    for j in range(x.size):
        v = np.float64(as_float(x[j])) * scale
        total += v
        absolute += abs(v)
        negative += v < 0
        zero += v == 0
    return total, absolute, negative, zero


@compiled
def _largest_integer(bits):
    top = bits[0]
    for j in range(bits.size):
        top = max(top, bits[j])
    return top


def largest_of(x):  # pragma: no cover (replaced when compiled)
    raise NotImplementedError


@overload(largest_of)
def _largest_by_type(x):
    """The largest entry of a finite row. The bits of floats >= 0 are in order as integers, whose maximum vectorises."""
    integer = {types.float32: np.int32, types.float64: np.int64}.get(x.dtype, np.int16)
    given = {types.float32: np.float32, types.float64: np.float64, types.int16: np.int16}.get(x.dtype, np.uint16)

    def largest(x):
        top = np.empty(1, integer)
        top[0] = _largest_integer(x.view(integer))
        if top[0] >= 0:
            return np.float64(as_float(top.view(given)[0]))
        best = as_float(x[0])  # every entry is negative
        for j in range(x.size):
            if as_float(x[j]) > best:
                best = as_float(x[j])
        return np.float64(best)

    return largest


@compiled
def _largest_absolute(x):
    largest = 0.0
    for j in range(x.size):
        if abs(x[j]) > largest:
            largest = abs(x[j])
    return largest


@compiled
def all_finite(x):
    for j in range(x.size):  # noqa: SIM110 (numba compiles no generator)
        if not np.isfinite(x[j]):
            return False
    return True


@compiled
def scale_of(x, absolute):
    """1, or the power of two that brings an extreme float64 row near 1; 0 if the row is not finite."""
    if TINY < absolute < HUGE or absolute == 0:
        return 1.0
    if not all_finite(x):
        return 0.0
    exponent = math.frexp(_largest_absolute(x))[1]
    return math.ldexp(1.0, min(max(-exponent, -1000), 1000))


@compiled
def _sign_and_zeros_32(bits):
    lowest = np.int32(0)
    zeros = np.int32(0)
    for j in range(bits.size):
        lowest = min(lowest, bits[j])
        zeros = np.int32(zeros + np.int32(bits[j] == 0))
    return lowest < 0, np.int64(zeros)


@compiled
def _sign_and_zeros_16(bits):
    lowest = np.int16(0)
    zeros = np.uint16(0)
    for j in range(bits.size):
        lowest = min(lowest, bits[j])
        zeros = np.uint16(zeros + np.uint16(bits[j] == 0))
    return lowest < 0, np.int64(zeros)


def _sign_and_zeros(x):  # pragma: no cover (replaced when compiled)
    raise NotImplementedError


@overload(_sign_and_zeros)
def _sign_and_zeros_by_type(x):
    """Whether a sign bit is set (-0.0 has one), and how many entries are 0.0; counted in lanes of the type's width."""
    if x.dtype not in HALVES:
        return lambda x: _sign_and_zeros_32(x.view(np.int32))

    def of_half(x):
        signed, zeros = False, 0
        for first in range(0, x.size, _LANE):
            some_signed, some = _sign_and_zeros_16(ordered_16(x[first : first + _LANE]))
            signed, zeros = signed or some_signed, zeros + some
        return signed, zeros

    return of_half


@compiled
def _sums_from(x, shift):
    """Sum of x_j - shift, and of its square."""
    total = 0.0
    squares = 0.0
    for j in range(x.size):
        deviation = np.float64(as_float(x[j])) - shift
        total += deviation
        squares += deviation * deviation
    return total, squares


@compiled
def _total(x, scale, shift):
    """Sum of scale * x_j - shift."""
    total = 0.0
    for j in range(x.size):
        total += np.float64(as_float(x[j])) * scale - shift
    return total


@compiled
def _squares(x, scale, mean):
    """Sum of the squared deviations of scale * x_j."""
    squares = 0.0
    for j in range(x.size):
        deviation = np.float64(as_float(x[j])) * scale - mean
        squares += deviation * deviation
    return squares


def moments(x):  # pragma: no cover (replaced when compiled)
    raise NotImplementedError


@overload(moments)
def _moments_by_type(x):
    """scale, mean, std, absolute sum (all of scale * x), negatives, zeros; scale 0 if the row is not finite."""
    if x.dtype != types.float64:

        def row_moments(x):
            # From the first entry on; a second time only where that one lies far from the others.
            start = np.float64(as_float(x[0]))
            total, squares = _sums_from(x, start)
            if not np.isfinite(total):
                return 0.0, np.nan, np.nan, np.nan, 0, 0
            shift = total / x.size
            mean = start + shift
            variance = squares / x.size - shift * shift
            if variance < FAR * shift * shift:
                mean = _total(x, 1.0, 0.0) / x.size
                variance = _squares(x, 1.0, mean) / x.size
            signed, zero = _sign_and_zeros(x)
            if signed:
                _, absolute, negative, zero = sums(x, 1.0)
                return 1.0, mean, math.sqrt(variance), absolute, negative, zero
            return 1.0, mean, math.sqrt(variance), mean * x.size, 0, zero

        return row_moments

    def row_moments_64(x):
        # float64: rescaled where needed, and the rounding of the mean is corrected.
        total, absolute, negative, zero = sums(x, 1.0)
        scale = scale_of(x, absolute)
        if scale == 0.0:
            return 0.0, np.nan, np.nan, np.nan, 0, 0
        if scale != 1.0:
            total, absolute, _, _ = sums(x, scale)
        mean = total / x.size
        mean += _total(x, scale, mean) / x.size
        return scale, mean, math.sqrt(_squares(x, scale, mean) / x.size), absolute, negative, zero

    return row_moments_64


def rescaled(x, scale, copy):  # pragma: no cover (replaced when compiled)
    raise NotImplementedError


@overload(rescaled)
def _rescaled_by_type(x, scale, copy):
    """scale * x: the row itself where the scale is 1 (that of a narrower row always is), else in the copy."""
    if x.dtype != types.float64:
        return lambda x, scale, copy: x

    def in_copy(x, scale, copy):
        if scale == 1.0:
            return x
        for j in range(x.size):
            copy[j] = x[j] * scale
        return copy

    return in_copy


@compiled
def _flag_above(x, below, flags):
    for j in range(x.size):
        flags[j] = as_float(x[j]) > below


@compiled
def _flag_bits_above(bits, below, flags):
    for j in range(bits.size):
        flags[j] = bits[j] > below


def flag_above(x, threshold, flags):  # pragma: no cover (replaced when compiled)
    raise NotImplementedError


@overload(flag_above)
def _flag_above_by_type(x, threshold, flags):
    """flags[j] = 1 where x_j > threshold (strictly, as in float64).

    Half precision is compared by its bits, which are in order as integers where the threshold is not negative.
    """
    if x.dtype == types.float64:
        return lambda x, threshold, flags: _flag_above(x, threshold, flags)
    half = x.dtype in HALVES

    def flag_narrow(x, threshold, flags):
        below = np.float32(threshold)
        if np.float64(below) > threshold:
            below = np.nextafter(below, np.float32(-np.inf))
        if half and below >= 0:
            _flag_bits_above(ordered_16(x), bits_below(x, below), flags)
        else:
            _flag_above(x, below, flags)

    return flag_narrow
