"""Which scores can be computed from what was given, with which settings, and what the others need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..catalog import ROWS, score_names
from ..errors import InputError

# scores="all" leaves out what compares more pairs of rows than this: it would take hours.
MOST_PAIRS = 10**10
# The one pass over h gives these; the others take another.
ONE_PASS = (
    "q_score",
    "q_score_v1",
    "n_active",
    "n_discriminative",
    "max_z",
    "l1_norm",
    "l2_norm",
    "sparsity",
    "random",
)

_SPACE: dict[str, Any] = {"dimensions": 64, "fitted_rows": 10_000}
_ANCHORS: dict[str, Any] = {"k": 100, "anchors": 5_000, "center": True}
# The arguments that karat.stats.NAME gets, which are its defaults; they are recorded.
SETTINGS: dict[str, dict[str, Any]] = {
    "knn_similarity": {"k": 20, "center": True},
    "knn_distance": {"k": 20, "center": True},
    "whitened_similarity": {"k": 20, **_SPACE},
    "neighbor_coherence": {"k": 20, **_SPACE},
    "graph_spectral_norm": {"k": 20, "components": 10, "temperature": 0.1, **_SPACE},
    "vote_entropy": {"k": 20, "clusters": [10, 20, 50, 100], **_SPACE},
    "cluster_margin": {"clusters": 20, **_SPACE},
    "mahalanobis_distance": _SPACE,
    "mixture_likelihood": {"components": 10, **_SPACE},
    "neighborhood_consistency": _ANCHORS,
    "ensemble_distance": _ANCHORS,
    "ensemble_likelihood": {"components": 10, **_SPACE},
    "view_agreement": {"center": True},
    "view_similarity": {"center": True},
}
_NEARBY = ("knn_similarity", "knn_distance")
PLACED = ("whitened_similarity", "neighbor_coherence", "graph_spectral_norm", "vote_entropy", "cluster_margin")
_ANCHORED = ("neighborhood_consistency", "ensemble_distance")
_OPTIONS = {"views": "augmented views of the samples: --views", "ensemble": "other encoders' embeddings: --ensemble"}


@dataclass(frozen=True)
class Given:
    """What there is to compute scores from.

    Attributes:
        n: samples.
        reference: rows of the reference.
        own: whether the samples are their own reference.
        views: whether there are augmented views.
        widths: features of each encoder, that of the samples first.
    """

    n: int
    reference: int
    own: bool
    views: bool
    widths: tuple[int, ...]


def possible(scores: str | Sequence[str], given: Given) -> tuple[tuple[str, ...], dict[str, str]]:
    """The scores asked for, in the catalogue's order; and those that "all" leaves out, with what they need.

    Raises:
        InputError: an unknown name, one whose needs are not met, or views or an ensemble that no score needs.
        InputTypeError: no name and no list.
    """
    names = score_names(scores)
    everything = isinstance(scores, str) and scores == "all"
    lacking = {name: need for name in names if (need := _lack(name, given))}
    if lacking and not everything:
        name, need = next(iter(lacking.items()))
        raise InputError(f"the score {name!r} needs {need}")
    for part, there in (("views", given.views), ("ensemble", len(given.widths) > 1)):
        if there and not any(part in ROWS[name].needs for name in names):
            raise InputError(
                f"{part} is given, but none of {', '.join(names)} needs it: leave it out, or choose other scores "
                "('all', karat catalog)"
            )
    if everything:
        lacking |= {name: f"time: {pairs:.0e} pairs" for name in names if (pairs := _pairs(name, given)) > MOST_PAIRS}
    return tuple(name for name in names if name not in lacking), lacking


def _lack(name: str, given: Given) -> str | None:
    """What a score needs that was not given."""
    needs = ROWS[name].needs
    if "views" in needs and not given.views:
        return _OPTIONS["views"]
    if "ensemble" in needs and len(given.widths) == 1:
        return _OPTIONS["ensemble"]
    if name == "ensemble_variance" and len(set(given.widths)) > 1:
        return "encoders with equal numbers of features"
    rows, least = _rows(name, given)
    whose = "samples" if given.own or "ensemble" in needs else "reference samples"
    return f"{least:,} or more {whose}" if rows < least else None


def _rows(name: str, given: Given) -> tuple[int, int]:
    """The rows that a score is fitted on or compares with, and how many it needs."""
    settings = SETTINGS.get(name, {})
    if "ensemble" in ROWS[name].needs:
        rows, widest, own = given.n, max(given.widths), True
    else:
        rows, widest, own = given.reference, given.widths[0], given.own
    least = settings["k"] + own if "k" in settings else 1
    if "clusters" in settings:
        clusters = settings["clusters"]
        least = max(least, *clusters) if isinstance(clusters, list) else clusters
    if name in ("mixture_likelihood", "ensemble_likelihood"):  # two samples for each parameter of a mean
        least = 2 * settings["components"] * min(settings["dimensions"], widest)
    return rows, least


def _pairs(name: str, given: Given) -> int:
    """How many pairs of rows a score compares."""
    if name in _NEARBY:
        return given.n * given.reference
    if name in PLACED:
        return given.n * min(given.reference, SETTINGS[name]["fitted_rows"])
    if name in _ANCHORED:
        return given.n * len(given.widths) * min(given.n, SETTINGS[name]["anchors"])
    return 0
