"""One row a score and a metric: what it is called, where it is computed, its range, which way is better, its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .errors import InputError, InputTypeError

_PAPER = "Kalibhat et al., AAAI 2024 (arXiv 2203.01881)"


@dataclass(frozen=True)
class CatalogRow:
    """A score of a sample, or a metric of a whole set.

    Attributes:
        name: the column or key it is stored under.
        kind: "score" or "metric".
        meaning: one line.
        function: where it is computed.
        low, high: its range; None where there is no bound.
        direction: +1 where higher means better represented, -1 where lower does, 0 where neither is claimed.
        needs: what it is computed from.
        source: the paper, or "ours".
    """

    name: str
    kind: Literal["score", "metric"]
    meaning: str
    function: str
    low: float | None
    high: float | None
    direction: int
    needs: tuple[str, ...]
    source: str

    @property
    def labelled(self) -> bool:
        """Whether it uses labels: then it is a ceiling for the others, not a rival."""
        return "labels" in self.needs


CATALOG: tuple[CatalogRow, ...] = (
    CatalogRow(
        "q_score", "score", "how far the discriminative features stand out", "karat.stats.q_score",
        0, None, +1, ("h",), _PAPER,
    ),
    CatalogRow(
        "q_score_v1", "score", "max z-score over the L1 norm, on L2-normalised rows", "karat.stats.q_score_v1",
        0, None, +1, ("h",), "Kalibhat et al., arXiv 2203.01881v1",
    ),
    CatalogRow(
        "n_active", "score", "|L|: highly activating features", "karat.stats.highly_activating",
        0, None, +1, ("h",), _PAPER,
    ),
    CatalogRow(
        "n_discriminative", "score", "|L ∩ D|: discriminative ones among them", "karat.stats.highly_activating",
        0, None, +1, ("h",), _PAPER,
    ),
    CatalogRow(
        "max_z", "score", "largest feature in standard deviations above the sample's mean",
        "karat.stats.highly_activating",
        0, None, +1, ("h",), _PAPER,
    ),
    CatalogRow("l1_norm", "score", "sum of |h|", "karat.stats.highly_activating", 0, None, +1, ("h",), "baseline"),
    CatalogRow(
        "l2_norm", "score", "Euclidean norm of h", "karat.stats.highly_activating",
        0, None, +1, ("h",), "baseline",
    ),
    CatalogRow(
        "knn_similarity", "score", "mean centred cosine to the 20 nearest reference rows", "karat.stats.knn_similarity",
        -1, 1, +1, ("h",), "baseline",
    ),
    CatalogRow("random", "score", "a seeded random number: what chance looks like", "numpy", 0, 1, +1, (), "control"),
    CatalogRow(
        "softmax_confidence", "score", "largest class probability of the probe", "karat.stats.softmax_confidence",
        0, 1, +1, ("logits", "labels"), "Hendrycks & Gimpel, ICLR 2017",
    ),
    CatalogRow(
        "softmax_entropy", "score", "entropy of the probe's class probabilities, nats", "karat.stats.softmax_entropy",
        0, None, -1, ("logits", "labels"), "baseline",
    ),
    CatalogRow(
        "softmax_margin", "score", "first minus second class probability of the probe", "karat.stats.softmax_margin",
        0, 1, +1, ("logits", "labels"), "baseline",
    ),
    CatalogRow("mean_q", "metric", "mean Q-Score", "karat.stats.q_score", 0, None, +1, ("h",), _PAPER),
    CatalogRow(
        "empty_share", "metric", "share of samples without a highly active discriminative feature",
        "karat.stats.highly_activating", 0, 1, -1, ("h",), "ours",
    ),
    CatalogRow(
        "effective_rank", "metric", "exp of the entropy of the singular values", "karat.stats.effective_rank",
        1, None, +1, ("h",), "Garrido et al., ICML 2023 (RankMe)",
    ),
)  # fmt: skip

ROWS = {row.name: row for row in CATALOG}
LABEL_FREE_SCORES = tuple(row.name for row in CATALOG if row.kind == "score" and not row.labelled)
LABELLED_SCORES = tuple(row.name for row in CATALOG if row.kind == "score" and row.labelled)
DEFAULT_SCORES = ("q_score", "q_score_v1", "n_active", "n_discriminative")


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
