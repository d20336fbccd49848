"""One row a score, metric and measure: its name, where it is computed, its range, which way is better, its source."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError, InputTypeError
from .rows import CATALOG, CatalogRow

__all__ = [
    "CATALOG",
    "DEFAULT_SCORES",
    "LABELLED_SCORES",
    "LABEL_FREE_SCORES",
    "METRICS",
    "ROWS",
    "CatalogRow",
    "direction_of",
    "metric_names",
    "metrics_left_out",
    "score_names",
]

ROWS = {row.name: row for row in CATALOG}
LABEL_FREE_SCORES = tuple(row.name for row in CATALOG if row.kind == "score" and not row.labelled)
LABELLED_SCORES = tuple(row.name for row in CATALOG if row.kind == "score" and row.labelled)
METRICS = tuple(row.name for row in CATALOG if row.kind == "metric")
# These take a second pass over the rows, or k-means.
_SLOW_METRICS = ("coherence", "intrinsic_dimension", "cluster_learnability", "clid")
DEFAULT_SCORES = ("q_score", "q_score_v1", "n_active", "n_discriminative")


def direction_of(name: str) -> int:
    """-1 for a score whose low values are good, else 1 (also where neither is claimed, or the name is not known).

    >>> direction_of("softmax_entropy"), direction_of("q_score")
    (-1, 1)
    """
    return -1 if name in ROWS and ROWS[name].direction < 0 else 1


def score_names(scores: str | Sequence[str]) -> tuple[str, ...]:
    """The label-free scores that "all", a name or several names stand for, in the catalogue's order.

    Raises:
        InputError: an unknown name, or one that needs labels.
        InputTypeError: no name and no list.

    >>> score_names(["random", "q_score"])
    ('q_score', 'random')
    """
    if isinstance(scores, str) and scores == "all":
        return LABEL_FREE_SCORES
    try:
        names = (scores,) if isinstance(scores, str) else tuple(scores)
    except TypeError as error:
        raise InputTypeError(f"scores is {scores!r}, but 'all', a name or several names are needed") from error
    for name in names:
        if name in LABELLED_SCORES:
            raise InputError(f"the score {name!r} needs labels: karat evaluate computes it from a probe")
        if name not in LABEL_FREE_SCORES:
            raise InputError(f"there is no score {name!r}: choose 'all' or from {', '.join(LABEL_FREE_SCORES)}")
    if not names:
        raise InputError(f"scores is empty: choose 'all' or from {', '.join(LABEL_FREE_SCORES)}")
    return tuple(name for name in LABEL_FREE_SCORES if name in names)


def metric_names(metrics: str | Sequence[str], *, views: bool) -> tuple[str, ...]:
    """The metrics that "quick", "all", a name or several names stand for, in the catalogue's order.

    Args:
        metrics: "all": those whose needs are met; "quick": without those that take a second pass or k-means; or names.
        views: whether there are views.

    Raises:
        InputError: an unknown name, one that needs views where there are none, or views that none needs.
        InputTypeError: no name and no list.

    >>> metric_names(["lidar", "alpha"], views=True)
    ('alpha', 'lidar')
    """
    if isinstance(metrics, str) and metrics in ("quick", "all"):
        possible = (name for name in METRICS if views or "views" not in ROWS[name].needs)
        return tuple(name for name in possible if metrics == "all" or name not in _SLOW_METRICS)
    try:
        names = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    except TypeError as error:
        raise InputTypeError(f"metrics is {metrics!r}, but 'quick', 'all', a name or several are needed") from error
    for name in names:
        if name not in METRICS:
            raise InputError(f"there is no metric {name!r}: choose 'quick', 'all' or from {', '.join(METRICS)}")
        if "views" in ROWS[name].needs and not views:
            raise InputError(f"the metric {name!r} needs views of the images: give views (--views)")
    if not names:
        raise InputError(f"metrics is empty: choose 'quick', 'all' or from {', '.join(METRICS)}")
    if views and not any("views" in ROWS[name].needs for name in names):
        raise InputError(f"views are given, but none of {', '.join(names)} needs them")
    return tuple(name for name in METRICS if name in names)


def metrics_left_out(metrics: str | Sequence[str], *, views: bool) -> dict[str, str]:
    """What "quick" or "all" leave out, and what each needs; nothing where names were given.

    >>> metrics_left_out("all", views=False)["lidar"]
    'views: --views'
    """
    if not (isinstance(metrics, str) and metrics in ("quick", "all")):
        return {}
    given = metric_names(metrics, views=views)
    missing = [name for name in METRICS if name not in given]
    return {name: "more time: --metrics all" if name in _SLOW_METRICS else "views: --views" for name in missing}
