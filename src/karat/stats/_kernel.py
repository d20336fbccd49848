"""The compiled inner loops: one row at a time, everything that one look at it can tell.

The row is read from memory once; the loops after the first run in the processor's cache. Sums, deviations and the
threshold are float64. A float32 row is compared with the largest float32 that is not above the threshold, which
decides exactly as the comparison in float64 would. Half precision is widened to float32 (exact) in a scratch row.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from ._compile import compiled

TWO_112 = np.float32(2.0**112)  # float16 has an exponent bias of 15, float32 of 127
# A float64 row whose absolute sum lies outside is rescaled by a power of two: squares neither under- nor overflow.
TINY, HUGE = 1e-120, 1e150

# Columns of the per-row results.
CENTER, SPREAD, MEAN, STD, L1, L2, LARGEST = range(7)
# Places of the per-call tallies.
ZEROS, NEGATIVES, BAD = range(3)


@compiled
def _widen_bfloat16(bits, scratch):
    wide = scratch.view(np.uint32)
    for j in range(bits.size):
        wide[j] = np.uint32(bits[j]) << np.uint32(16)


@compiled
def _widen_float16(bits, scratch):
    """Bits to their float32 places, then the exponent's bias; a row with NaN or Inf gets a NaN."""
    signed = bits.view(np.int16)
    wide = scratch.view(np.int32)
    for j in range(bits.size):
        wide[j] = (np.int32(signed[j]) << np.int32(13)) & np.int32(-0x70002000)
    for j in range(bits.size):
        scratch[j] *= TWO_112
    worst = np.uint16(0)
    for j in range(bits.size):
        worst = max(worst, np.uint16(bits[j] & np.uint16(0x7FFF)))
    if worst >= 0x7C00:
        scratch[0] = np.nan


def _read(block, i, bfloat16, scratch):  # pragma: no cover (replaced when compiled)
    raise NotImplementedError


@overload(_read)
def _read_typed(block, i, bfloat16, scratch):
    """Row i as floats: the row itself, or half precision (its bits as uint16) widened into the scratch row."""
    if block.dtype != types.uint16:
        return lambda block, i, bfloat16, scratch: block[i]

    def widened(block, i, bfloat16, scratch):
        if bfloat16:
            _widen_bfloat16(block[i], scratch)
        else:
            _widen_float16(block[i], scratch)
        return scratch

    return widened


@compiled
def _sums(x, scale):
    """Sum, absolute sum, and the numbers of negative and of zero entries."""
    total = 0.0
    absolute = 0.0
    negative = 0
    zero = 0
    for j in range(x.size):
        v = np.float64(x[j]) * scale
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


def _largest(x):  # pragma: no cover (replaced when compiled)
    raise NotImplementedError


@overload(_largest)
def _largest_typed(x):
    """The largest entry of a finite row. The bits of floats >= 0 are in order as integers, whose maximum vectorises."""
    integer, floating = (np.int32, np.float32) if x.dtype == types.float32 else (np.int64, np.float64)

    def largest(x):
        bits = x.view(integer)
        top = np.empty(1, integer)
        top[0] = _largest_integer(bits)
        if top[0] >= 0:
            return np.float64(top.view(floating)[0])
        best = x[0]  # every entry is negative
        for j in range(x.size):
            if x[j] > best:
                best = x[j]
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
def _all_finite(x):
    for j in range(x.size):
        if not np.isfinite(x[j]):
            return False
    return True


@compiled
def _scale_of(x, absolute):
    """1, or the power of two that brings an extreme float64 row near 1; 0 if the row is not finite."""
    if TINY < absolute < HUGE or absolute == 0:
        return 1.0
    if not _all_finite(x):
        return 0.0
    exponent = math.frexp(_largest_absolute(x))[1]
    return math.ldexp(1.0, min(max(-exponent, -1000), 1000))


@compiled
def _may_be_negative(x):
    """Whether a sign bit is set in a float32 row (-0.0 has one)."""
    bits = x.view(np.int32)
    lowest = np.int32(0)
    for j in range(bits.size):
        lowest = min(lowest, bits[j])
    return lowest < 0


@compiled
def _zeros(x):
    """How many entries of a float32 row are zero, counted in float32 lanes (exact for d up to 2**24)."""
    zeros = np.float32(0)
    for j in range(x.size):
        zeros += np.float32(1) if x[j] == 0 else np.float32(0)
    return np.int64(zeros)


@compiled
def _total(x, scale, shift):
    """Sum of scale * x_j - shift."""
    total = 0.0
    for j in range(x.size):
        total += np.float64(x[j]) * scale - shift
    return total


@compiled
def _squares(x, scale, mean):
    """Sum of the squared deviations of scale * x_j."""
    squares = 0.0
    for j in range(x.size):
        deviation = np.float64(x[j]) * scale - mean
        squares += deviation * deviation
    return squares


def _moments(x):  # pragma: no cover (replaced when compiled)
    raise NotImplementedError


@overload(_moments)
def _moments_typed(x):
    """scale, mean, std, absolute sum (all of scale * x), negatives, zeros; scale 0 if the row is not finite."""
    if x.dtype == types.float32:

        def moments(x):  # float64 sums of float32 are exact enough for a mean that needs no correction
            total = _total(x, 1.0, 0.0)
            if not np.isfinite(total):
                return 0.0, np.nan, np.nan, np.nan, 0, 0
            mean = total / x.size
            std = math.sqrt(_squares(x, 1.0, mean) / x.size)
            if _may_be_negative(x):
                _, absolute, negative, zero = _sums(x, 1.0)
                return 1.0, mean, std, absolute, negative, zero
            return 1.0, mean, std, total, 0, _zeros(x)

        return moments

    def moments(x):  # float64: rescaled where needed, and the rounding of the mean is corrected
        total, absolute, negative, zero = _sums(x, 1.0)
        scale = _scale_of(x, absolute)
        if scale == 0.0:
            return 0.0, np.nan, np.nan, np.nan, 0, 0
        if scale != 1.0:
            total, absolute, _, _ = _sums(x, scale)
        mean = total / x.size
        mean += _total(x, scale, mean) / x.size
        return scale, mean, math.sqrt(_squares(x, scale, mean) / x.size), absolute, negative, zero

    return moments


def _rescaled(x, scale, copy):  # pragma: no cover (replaced when compiled)
    raise NotImplementedError


@overload(_rescaled)
def _rescaled_typed(x, scale, copy):
    """scale * x: the row itself where the scale is 1 (that of a float32 row always is), else in the copy."""
    if x.dtype == types.float32:
        return lambda x, scale, copy: x

    def rescaled(x, scale, copy):
        if scale == 1.0:
            return x
        for j in range(x.size):
            copy[j] = x[j] * scale
        return copy

    return rescaled


def _flag_above(x, threshold, flags):  # pragma: no cover (replaced when compiled)
    raise NotImplementedError


@overload(_flag_above)
def _flag_above_typed(x, threshold, flags):
    """flags[j] = 1 where x_j > threshold (strictly, as in float64)."""
    if x.dtype == types.float32:

        def flag(x, threshold, flags):
            below = np.float32(threshold)
            if np.float64(below) > threshold:
                below = np.nextafter(below, np.float32(-np.inf))
            for j in range(x.size):
                flags[j] = x[j] > below

        return flag

    def flag(x, threshold, flags):
        for j in range(x.size):
            flags[j] = x[j] > threshold

    return flag


@compiled
def _collect(x, factor, flags, words, used, columns, values, counts):
    """Append the flagged entries of a row (times factor); returns how many entries there are now."""
    for w in range(words.size):
        word = words[w]
        while word != 0:
            lowest = word & (~word + np.uint64(1))  # 256**k: the product's top byte is k
            j = 8 * w + np.int64((lowest * np.uint64(0x0001020304050607)) >> np.uint64(56))
            columns[used] = j
            values[used] = x[j] * factor
            counts[j] += 1
            used += 1
            word &= word - np.uint64(1)
    return used


@compiled
def _factor(normalize, scale, norm):
    """What turns the rescaled row into the features: L2-normalised, or as they were given."""
    return 1.0 / norm if normalize and norm > 0 else 1.0 / scale


@compiled
def _store(rows, i, center, spread, mean, std, l1, l2):
    rows[i, CENTER] = center
    rows[i, SPREAD] = spread
    rows[i, MEAN] = mean
    rows[i, STD] = std
    rows[i, L1] = l1
    rows[i, L2] = l2
    rows[i, LARGEST] = np.nan


@compiled
def scan(block, bfloat16, first, epsilon, normalize, keep, rows, ends, columns, values, counts, tallies):
    """Rows first.. of a block [m, d]: moments, highly activating entries, activation counts.

    block is float32, float64, or the bits of half precision as uint16. Fills rows [m, 7], ends [m] (entries up to and
    with row i), columns and values, and adds to counts [d] and tallies [3]. With keep false, entries are counted and
    forgotten. Returns the row at which the room for entries ran short (m when all is done).
    """
    m, d = block.shape
    scratch = np.empty(d, np.float32)
    rescaled = np.empty(d, np.float64)
    flags = np.zeros((d + 7) // 8 * 8, np.uint8)
    words = flags.view(np.uint64)
    used = 0
    for i in range(first, m):
        if used + d > columns.size:
            return i
        x = _read(block, i, bfloat16, scratch)
        scale, mean, std, absolute, negative, zero = _moments(x)
        if scale == 0.0:
            rows[i, :] = np.nan
            tallies[BAD] += 1
            ends[i] = used
            continue
        tallies[NEGATIVES] += negative
        tallies[ZEROS] += zero
        x = _rescaled(x, scale, rescaled)
        _flag_above(x, mean + epsilon * std, flags)
        norm = math.sqrt(d * (std * std + mean * mean))
        factor = _factor(normalize, scale, norm)
        before = used
        used = _collect(x, factor, flags, words, used, columns, values, counts)
        _store(rows, i, mean * factor, std * factor, mean / scale, std / scale, absolute / scale, norm / scale)
        if keep:
            rows[i, LARGEST] = _largest(x) / scale
        else:
            used = before
        ends[i] = used
    return m


@compiled
def _split(x, factor, means, halves):
    """halves[j] = factor * x_j - means[j]; returns the sum of the absolute values."""
    total = 0.0
    for j in range(x.size):
        v = np.float64(x[j]) * factor - means[j]
        halves[j] = v
        total += abs(v)
    return total


@compiled
def _rescale(halves, scale):
    """Multiply by the scale, in place; returns the sum of the absolute values."""
    total = 0.0
    for j in range(halves.size):
        halves[j] *= scale
        total += abs(halves[j])
    return total


@compiled
def _split_std(halves, mean):
    """Standard deviation over the 2d half-features: of each pair one is |c| and the other 0."""
    squares = 0.0
    for j in range(halves.size):
        deviation = abs(halves[j]) - mean
        squares += deviation * deviation + mean * mean
    return math.sqrt(squares / (2 * halves.size))


@compiled
def scan_halves(block, bfloat16, first, epsilon, normalize, keep, means, rows, ends, columns, values, counts, tallies):
    """As `scan`, of the 2d half-features max(h - means, 0) and max(means - h, 0); counts is [2d].

    The moments in rows are those of the row itself; CENTER and SPREAD those of its half-features.
    """
    m, d = block.shape
    scratch = np.empty(d, np.float32)
    rescaled = np.empty(d, np.float64)
    halves = np.empty(d, np.float64)
    used = 0
    for i in range(first, m):
        if used + d > columns.size:
            return i
        x = _read(block, i, bfloat16, scratch)
        scale, mean, std, absolute, negative, zero = _moments(x)
        if scale == 0.0:
            rows[i, :] = np.nan
            tallies[BAD] += 1
            ends[i] = used
            continue
        tallies[NEGATIVES] += negative
        tallies[ZEROS] += zero
        norm = math.sqrt(d * (std * std + mean * mean))
        total = _split(_rescaled(x, scale, rescaled), _factor(normalize, scale, norm), means, halves)
        unit = _scale_of(halves, total)
        if unit != 1.0:
            total = _rescale(halves, unit)
        center = total / (2 * d)
        spread = _split_std(halves, center)
        threshold = center + epsilon * spread
        before = used
        for j in range(d):
            if abs(halves[j]) > threshold:
                column = j if halves[j] > 0 else j + d
                columns[used] = column
                values[used] = abs(halves[j]) / unit
                counts[column] += 1
                used += 1
        _store(rows, i, center / unit, spread / unit, mean / scale, std / scale, absolute / scale, norm / scale)
        if keep:
            rows[i, LARGEST] = _largest(x)
        else:
            used = before
        ends[i] = used
    return m


@compiled
def add_columns(block, bfloat16, normalize, sums):
    """Add the rows of a block (L2-normalised where asked) to the column sums [d]; returns the finite rows added."""
    m, d = block.shape
    scratch = np.empty(d, np.float32)
    rescaled = np.empty(d, np.float64)
    added = 0
    for i in range(m):
        x = _read(block, i, bfloat16, scratch)
        factor = 1.0
        total, _, _, _ = _sums(x, 1.0)
        if not np.isfinite(total) and not _all_finite(x):
            continue
        if normalize:
            scale, mean, std, _, _, _ = _moments(x)
            factor = _factor(True, scale, math.sqrt(d * (std * std + mean * mean)))
            x = _rescaled(x, scale, rescaled)
        for j in range(d):
            sums[j] += x[j] * factor
        added += 1
    return added
