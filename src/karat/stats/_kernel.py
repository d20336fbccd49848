"""The compiled loops over the rows of a block. A row is read from memory once; later looks find it in the cache."""

from __future__ import annotations

import math

import numpy as np

from ._compile import compiled, compiled_as_written
from ._entry import as_float
from ._row import flag_above, largest_of, moments, rescaled, scale_of

# Columns of the per-row results.
CENTER, SPREAD, MEAN, STD, L1, L2, LARGEST = range(7)
# Places of the per-call tallies.
ZEROS, NEGATIVES, BAD = range(3)


@compiled
def _collect(x, factor, flags, words, used, columns, values, counts):
    """Append the flagged entries of a row (times factor); returns how many entries there are now."""
    for w in range(words.size):
        word = words[w]
        while word != 0:
            lowest = word & (~word + np.uint64(1))  # 256**k: the product's top byte is k
            j = 8 * w + np.int64((lowest * np.uint64(0x0001020304050607)) >> np.uint64(56))
            columns[used] = j
            values[used] = as_float(x[j]) * factor
            counts[j] += 1
            used += 1
            word &= word - np.uint64(1)
    return used


@compiled_as_written
def _norm(d, mean, std):
    return math.sqrt(d * (std * std + mean * mean))


@compiled_as_written
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
def scan(block, first, epsilon, normalize, keep, rows, ends, columns, values, counts, tallies):
    """Rows first.. of a block [m, d]: moments, highly activating entries, activation counts.

    block is float32, float64, or the bits of half precision: int16 of float16, uint16 of bfloat16. Fills
    rows [m, 7], ends [m] (entries up to and with row i), columns and values, and adds to counts [d] and tallies [3].
    With keep false, entries are counted and forgotten. Returns the row at which the room for entries ran short (m when
    all is done).
    """
    m, d = block.shape
    copy = np.empty(d, np.float64)
    flags = np.zeros((d + 7) // 8 * 8, np.uint8)
    words = flags.view(np.uint64)
    used = 0
    for i in range(first, m):
        if used + d > columns.size:
            return i
        x = block[i]
        scale, mean, std, absolute, negative, zero = moments(x)
        if scale == 0.0:
            rows[i, :] = np.nan
            tallies[BAD] += 1
            ends[i] = used
            continue
        tallies[NEGATIVES] += negative
        tallies[ZEROS] += zero
        x = rescaled(x, scale, copy)
        flag_above(x, mean + epsilon * std, flags)
        norm = _norm(d, mean, std)
        factor = _factor(normalize, scale, norm)
        before = used
        used = _collect(x, factor, flags, words, used, columns, values, counts)
        _store(rows, i, mean * factor, std * factor, mean / scale, std / scale, absolute / scale, norm / scale)
        if keep:
            rows[i, LARGEST] = largest_of(x) / scale
        else:
            used = before
        ends[i] = used
    return m


@compiled_as_written
def _split(x, factor, means, halves):
    """halves[j] = factor * x_j - means[j]."""
    for j in range(x.size):
        halves[j] = np.float64(as_float(x[j])) * factor - means[j]


@compiled_as_written
def _add(x, factor, shift, totals):
    """totals[j] += factor * x_j - shift[j]."""
    for j in range(x.size):
        totals[j] += np.float64(as_float(x[j])) * factor - shift[j]


@compiled
def _absolute_sum(halves, scale):
    """Multiply by the scale, in place; the sum of the absolute values."""
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
def scan_halves(means, block, first, epsilon, normalize, keep, rows, ends, columns, values, counts, tallies):
    """As `scan`, of the 2d half-features max(h - means, 0) and max(means - h, 0); counts is [2d].

    The moments in rows are those of the row itself; CENTER and SPREAD those of its half-features.
    """
    m, d = block.shape
    copy = np.empty(d, np.float64)
    halves = np.empty(d, np.float64)
    used = 0
    for i in range(first, m):
        if used + d > columns.size:
            return i
        x = block[i]
        scale, mean, std, absolute, negative, zero = moments(x)
        if scale == 0.0:
            rows[i, :] = np.nan
            tallies[BAD] += 1
            ends[i] = used
            continue
        tallies[NEGATIVES] += negative
        tallies[ZEROS] += zero
        norm = _norm(d, mean, std)
        _split(rescaled(x, scale, copy), _factor(normalize, scale, norm), means, halves)
        total = _absolute_sum(halves, 1.0)
        power = scale_of(halves, total)
        if power != 1.0:
            total = _absolute_sum(halves, power)
        center = total / (2 * d)
        spread = _split_std(halves, center)
        threshold = center + epsilon * spread
        before = used
        for j in range(d):
            if abs(halves[j]) > threshold:
                column = j if halves[j] > 0 else j + d
                columns[used] = column
                values[used] = abs(halves[j]) / power
                counts[column] += 1
                used += 1
        _store(rows, i, center / power, spread / power, mean / scale, std / scale, absolute / scale, norm / scale)
        if keep:
            rows[i, LARGEST] = largest_of(x)
        else:
            used = before
        ends[i] = used
    return m


@compiled
def add_columns(block, normalize, shift, totals):
    """Add the finite rows of a block (L2-normalised where asked) minus shift to totals, [d]; returns how many."""
    d = block.shape[1]
    copy = np.empty(d, np.float64)
    added = 0
    for i in range(block.shape[0]):
        x = block[i]
        scale, mean, std, _, _, _ = moments(x)
        if scale == 0.0:
            continue
        factor = _factor(normalize, scale, _norm(d, mean, std))
        _add(rescaled(x, scale, copy), factor, shift, totals)
        added += 1
    return added
