"""Where samples stand in two runs, as dots or, where there are many, as squares of a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from .compared import Compared

# Up to so many samples each is a dot; of more, squares of a grid say how many there are.
DOTS, GRID = 1500, 40


@dataclass(frozen=True)
class Dot:
    """One sample, in a picture that is 100 wide and 100 high; `change` is "gained", "lost" or ""."""

    id: str
    x: float
    y: float
    change: str


@dataclass(frozen=True)
class Square:
    """A square of the grid: its corner, and how full it is, from 0 to 1."""

    x: float
    y: float
    full: float


@dataclass(frozen=True)
class ScatterFigure:
    """A scatter plot: the first run to the right, the second upwards.

    Attributes:
        dots: the samples, or of many those that moved most.
        squares: of a grid, where there are many samples.
        side: of a square.
    """

    dots: tuple[Dot, ...]
    squares: tuple[Square, ...]
    side: float = 100 / GRID


def scatter_figure(pair: Compared) -> ScatterFigure:
    """The figure of two runs, of the samples that have a score in both."""
    rows = np.flatnonzero(~np.isnan(pair.before + pair.after))
    if len(rows) <= DOTS:
        return ScatterFigure(_dots(pair, rows), ())
    moved = [rows for rows, _ in pair.ends(6).values()]
    shown = np.unique(np.concatenate(moved)) if moved else np.zeros(0, np.intp)
    return ScatterFigure(_dots(pair, np.intersect1d(shown, rows)), _squares(pair.before[rows], pair.after[rows]))


def _dots(pair: Compared, rows: np.ndarray) -> tuple[Dot, ...]:
    """The samples of some rows, those whose verdict changed on top."""
    change = np.where(np.isin(pair.change[rows], ["gained", "lost"]), pair.change[rows], "")
    x, y = np.round(100 * pair.before[rows], 2), np.round(100 - 100 * pair.after[rows], 2)
    columns = (pair.ids.take(pa.array(rows)).to_pylist(), x.tolist(), y.tolist(), change.tolist())
    dots = [Dot(id, right, down, word) for id, right, down, word in zip(*columns, strict=True)]
    return tuple(sorted(dots, key=lambda dot: dot.change != ""))


def _squares(before: np.ndarray, after: np.ndarray) -> tuple[Square, ...]:
    counts, _, _ = np.histogram2d(before, after, bins=GRID, range=[[0, 1], [0, 1]])
    full = np.sqrt(counts / counts.max())  # so that single samples can be seen beside full squares
    side = 100 / GRID
    return tuple(
        Square(round(side * column, 3), round(100 - side * (row + 1), 3), round(float(full[column, row]), 3))
        for column, row in zip(*np.nonzero(counts), strict=True)
    )
