"""The activation shares of a run's features, as shares of a picture's width and height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..reporting.curves import share_curve
from .features import Feature

Kind = Literal["discriminative", "generic", "rare", "dead"]
# Every feature is of one kind; in the order that pages list them in.
KINDS: dict[Kind, str] = {
    "discriminative": "in D: the Q-Score rests on these",
    "generic": "active in more samples than those of D",
    "rare": "active in fewer samples than those of D",
    "dead": "highly active in no sample",
}


@dataclass(frozen=True)
class Band:
    """Where the discriminative features lie.

    Attributes:
        low, high: the least and the greatest activation share of them.
        begin, width: among all features by rising share, in percent of the picture's width.
        low_y, high_y: of `low` and `high`, in percent of its height, from the top.
    """

    low: float
    high: float
    begin: float
    width: float
    low_y: float
    high_y: float


@dataclass(frozen=True)
class ShareFigure:
    """Activation shares in rising order.

    Attributes:
        line: the points of the curve in a box of 100 by 100, as SVG has them.
        highest: the greatest share, near the top of the picture.
        features: how many there are.
        band: where D lies; None where it is empty.
        marked: (x, y) in percent of the one feature that is looked at; None: none is.
    """

    line: str
    highest: float
    features: int
    band: Band | None
    marked: tuple[float, float] | None


def share_figure(features: Sequence[Feature], marked: Feature | None = None) -> ShareFigure:
    """The figure of all features, with one of them marked."""
    share = np.array([feature.share for feature in features])
    member = np.array([feature.in_D for feature in features])
    data = share_curve(share, member)
    highest = float(share.max(initial=0))

    def x(rank: float) -> float:
        return round(100 * (rank - 0.5) / len(share), 3)

    def y(value: float) -> float:
        return round(100 - 96 * value / (highest or 1), 3)

    points = zip(data["rank"], data["share"], strict=True)
    band = None
    if data["band"] is not None:
        first, last = data["band"]
        low, high = float(share[member].min()), float(share[member].max())
        band = Band(low, high, x(first - 0.5), round(100 * (last - first + 1) / len(share), 3), y(low), y(high))
    place = None if marked is None else (x(len(share) + 1 - marked.rank), y(marked.share))
    return ShareFigure(" ".join(f"{x(rank)},{y(value)}" for rank, value in points), highest, len(share), band, place)


def kinds_of(features: Sequence[Feature]) -> list[Kind]:
    """The kind of each feature."""
    band = [feature.share for feature in features if feature.in_D]
    highest = max(band, default=1.0)
    return [_kind(feature, highest) for feature in features]


def _kind(feature: Feature, highest: float) -> Kind:
    if feature.in_D:
        return "discriminative"
    if feature.share == 0:
        return "dead"
    return "generic" if feature.share > highest else "rare"
