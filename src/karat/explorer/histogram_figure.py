"""A histogram as shares of a picture's width and height."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .samples import Histogram

# About so many numbers stand below it.
_TICKS = 5
# Of a bin's width, how much its bar takes.
_FILLED = 0.86


@dataclass(frozen=True)
class Bar:
    """A box in a picture that is 100 wide and 100 high."""

    kind: Literal["all", "right", "wrong"]
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class HistogramFigure:
    """What is drawn.

    Attributes:
        bars: upwards what the probe gets right and downwards what it gets wrong, or everything upwards.
        low, high: where the axis begins and ends.
        ticks: (number, its place in percent).
        chosen: (begin, width) in percent of the range that is held to; None: all.
        waist: where upwards and downwards meet, in percent of the height; None where no probe has judged.
        missing: samples that are in no bin.
    """

    bars: tuple[Bar, ...]
    low: float
    high: float
    ticks: tuple[tuple[float, float], ...]
    chosen: tuple[float, float] | None
    waist: float | None
    missing: int


def figure_of(
    histogram: Histogram, wrong: np.ndarray | None = None, low: float | None = None, high: float | None = None
) -> HistogramFigure:
    """The figure of a histogram.

    Args:
        histogram: of all samples, and where a probe has judged of those that it gets right.
        wrong: [bins] of those that it gets wrong; needed where it has judged.
        low, high: the range that is chosen; None: no bound.
    """
    edges, counts = np.asarray(histogram.edges, np.float64), np.asarray(histogram.counts, np.float64)
    begin, end = float(edges[0]), float(edges[-1])
    places = _places(edges, begin, end)
    if histogram.correct is None or wrong is None:
        waist, bars = 100.0, _bars("all", places, counts, 100 / max(counts.max(initial=0), 1), waist=100)
    else:
        right = np.asarray(histogram.correct, np.float64)
        scale = 100 / max(right.max(initial=0) + wrong.max(initial=0), 1)
        waist = scale * float(right.max(initial=0))
        bars = _bars("right", places, right, scale, waist=waist) + _bars("wrong", places, wrong, scale, waist=waist)
    return HistogramFigure(
        bars=bars,
        low=begin,
        high=end,
        ticks=_ticks(begin, end),
        chosen=_chosen(begin, end, low, high),
        waist=None if wrong is None else waist,
        missing=histogram.missing,
    )


def _bars(
    kind: Literal["all", "right", "wrong"], places: np.ndarray, counts: np.ndarray, scale: float, *, waist: float
) -> tuple[Bar, ...]:
    """The bars of the bins that hold something, up from the waist or ("wrong") down from it."""
    heights = counts * scale
    tops = np.full_like(heights, waist) if kind == "wrong" else waist - heights
    widths = np.diff(places) * _FILLED
    lefts = places[:-1] + np.diff(places) * (1 - _FILLED) / 2
    return tuple(
        Bar(kind, *(round(float(number), 3) for number in box))
        for box in zip(lefts, tops, widths, heights, strict=True)
        if box[3] > 0
    )


def _places(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Where values lie on the axis, in percent."""
    return 100 * np.clip((values - low) / ((high - low) or 1), 0, 1)


def _chosen(begin: float, end: float, low: float | None, high: float | None) -> tuple[float, float] | None:
    if low is None and high is None:
        return None
    left, right = _places(np.array([begin if low is None else low, end if high is None else high]), begin, end)
    return round(float(left), 3), round(max(0.0, float(right - left)), 3)


def _ticks(low: float, high: float) -> tuple[tuple[float, float], ...]:
    """Round numbers from `low` to `high`, and their places.

    >>> [value for value, _ in _ticks(0.1, 1.4)]
    [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4]
    """
    if not high > low:
        return ((low, 50.0),)
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.7)
    numbers = np.arange(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1) * step
    rounded = np.array([float(f"{number:.12g}") for number in numbers])
    return tuple(zip(rounded.tolist(), _places(rounded, low, high).round(3).tolist(), strict=True))
