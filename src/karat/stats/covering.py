"""Few samples that cover many: farthest-first traversal."""

from __future__ import annotations

import numpy as np

from .._array import Rows, as_rows
from ..errors import InputError
from ._blocks import column_means, finite_blocks
from .neighbors import unit_rows


def farthest_first(h: Rows, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose samples one after the other, each the farthest from all those chosen before (k-center greedy).

    Distances are Euclidean between centred rows of length 1 (sqrt(2 - 2 cos), from 0 to 2); a row that is zero after
    centring stays zero. The first is the one nearest to the mean of these rows. The largest distance of any sample to
    its nearest chosen one is at most twice that of the best choice of as many (Gonzalez 1985).

    Args:
        h: [n, d], finite; held in memory as float32. Time grows with n * d * count.
        count: from 1 to n.

    Returns:
        (rows, distances): the chosen rows in order, int64 [count], and the distance of each to the nearest one chosen
        before it, float64 [count], never rising after the second; NaN for the first. Of equally far ones the first row.

    Raises:
        InputError: a count out of range, NaN or infinity.

    >>> rows, distances = farthest_first(np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]), 3)
    >>> rows.tolist(), distances.round(2).tolist()
    ([0, 1, 2], [nan, 2.0, 1.41])

    Reference: Gonzalez, Theoretical Computer Science 1985; Sener & Savarese, ICLR 2018 (core-set selection).
    """
    rows = as_rows(h)
    n = rows.shape[0]
    if not 1 <= count <= n:
        raise InputError(f"count is {count}, but h has {n} rows: a number from 1 to {n} is needed")
    means = column_means(rows)
    unit = np.concatenate([unit_rows(block, means) for _, block in finite_blocks(rows, name="h")])
    lengths = np.einsum("ij,ij->i", unit, unit)  # 1, or 0 of a row of zeros

    def squares(centre: np.ndarray) -> np.ndarray:
        return np.maximum(lengths - 2 * (unit @ centre) + centre @ centre, 0)  # [n]

    chosen, distances = [int(np.argmin(squares(unit.mean(axis=0))))], [np.nan]
    nearest = squares(unit[chosen[0]])
    while len(chosen) < count:
        nearest[chosen[-1]] = -1  # it is not chosen again, even where all others repeat it
        chosen.append(int(np.argmax(nearest)))
        distances.append(float(np.sqrt(nearest[chosen[-1]])))
        np.minimum(nearest, squares(unit[chosen[-1]]), out=nearest)
    return np.array(chosen), np.array(distances)
