"""The rows of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_PAPER = "Kalibhat et al., AAAI 2024 (arXiv 2203.01881)"
_TSITSULIN = "Tsitsulin et al., 2023 (arXiv 2305.16562)"
_WANG_ISOLA = "Wang & Isola, ICML 2020"
_PARK = "Park et al., UAI 2024"
_LU = "Lu et al., TMLR 2023 (CLID)"


@dataclass(frozen=True)
class CatalogRow:
    """A score of a sample, a metric of a whole set, or a measure of how well a score predicts what is right.

    Attributes:
        name: the column or key it is stored under.
        kind: "score", "metric" or "measure".
        meaning: one line.
        function: where it is computed.
        low, high: its range; None where there is no bound.
        direction: +1 where higher means better, -1 where lower does, 0 where neither is claimed.
        needs: what it is computed from: "h", "views", the "ensemble" of other encoders; a "probe" or its "logits";
            "labels"; "scores".
        source: the paper, or "ours".
    """

    name: str
    kind: Literal["score", "metric", "measure"]
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
        "q_score_halves", "score", "q_score of features centred and split in halves, whatever their sign",
        "karat.stats.q_score", 0, None, +1, ("h",), "ours",
    ),
    CatalogRow(
        "n_active", "score", "|L|: highly activating features", "karat.stats.n_active", 0, None, +1, ("h",), _PAPER
    ),
    CatalogRow(
        "n_discriminative", "score", "|L ∩ D|: discriminative ones among them", "karat.stats.n_discriminative",
        0, None, +1, ("h",), _PAPER,
    ),
    CatalogRow(
        "max_z", "score", "largest feature in standard deviations above the sample's mean", "karat.stats.max_z",
        0, None, +1, ("h",), _PAPER,
    ),
    CatalogRow("l1_norm", "score", "sum of |h|", "karat.stats.l1_norm", 0, None, +1, ("h",), "baseline"),
    CatalogRow("l2_norm", "score", "Euclidean norm of h", "karat.stats.l2_norm", 0, None, +1, ("h",), "baseline"),
    CatalogRow(
        "sparsity", "score", "on how few features h rests: 1 a single one, 0 all alike", "karat.stats.sparsity",
        0, 1, +1, ("h",), "Hoyer, JMLR 2004",
    ),
    CatalogRow(
        "feature_entropy", "score", "entropy of |h| / sum |h|, nats", "karat.stats.feature_entropy",
        0, None, -1, ("h",), "baseline",
    ),
    CatalogRow(
        "knn_similarity", "score", "mean centred cosine to the 20 nearest reference rows", "karat.stats.knn_similarity",
        -1, 1, +1, ("h",), "baseline",
    ),
    CatalogRow(
        "knn_distance", "score", "1 - centred cosine to the 20th nearest reference row", "karat.stats.knn_distance",
        0, 2, -1, ("h",), "Sun et al., ICML 2022",
    ),
    CatalogRow(
        "whitened_similarity", "score", "mean cosine to the 20 nearest landmarks, half-whitened",
        "karat.stats.whitened_similarity", -1, 1, +1, ("h",), "ours",
    ),
    CatalogRow(
        "neighbor_coherence", "score", "mean cosine between the 20 nearest landmarks",
        "karat.stats.neighbor_coherence", -1, 1, +1, ("h",), "ours",
    ),
    CatalogRow(
        "graph_spectral_norm", "score", "how clearly in a leading community of the neighbours' graph",
        "karat.stats.graph_spectral_norm", 0, None, +1, ("h",), "ours",
    ),
    CatalogRow(
        "vote_entropy", "score", "disagreement of the neighbours on their cluster", "karat.stats.vote_entropy",
        0, 1, -1, ("h",), "ours",
    ),
    CatalogRow(
        "cluster_margin", "score", "distance to the second nearest minus nearest of 20 cluster centres",
        "karat.stats.cluster_margin", 0, 2, +1, ("h",), "baseline",
    ),
    CatalogRow(
        "mahalanobis_distance", "score", "distance to the reference's mean in 64 whitened components",
        "karat.stats.mahalanobis_distance", 0, None, -1, ("h",), "Lee et al., NeurIPS 2018",
    ),
    CatalogRow(
        "mixture_likelihood", "score", "log-likelihood in a Gaussian mixture of the reference",
        "karat.stats.mixture_likelihood", None, None, +1, ("h",), _PARK,
    ),
    CatalogRow(
        "neighborhood_consistency", "score", "overlap of the neighbours in the spaces of several encoders",
        "karat.stats.neighborhood_consistency", 0, 1, +1, ("h", "ensemble"), _PARK,
    ),
    CatalogRow(
        "ensemble_distance", "score", "mean distance to the neighbours over several encoders",
        "karat.stats.ensemble_distance", 0, 2, -1, ("h", "ensemble"), _PARK,
    ),
    CatalogRow(
        "ensemble_variance", "score", "variance of the L2-normalised features between encoders",
        "karat.stats.ensemble_variance", 0, 1, -1, ("h", "ensemble"), _PARK,
    ),
    CatalogRow(
        "ensemble_likelihood", "score", "mean mixture_likelihood over several encoders",
        "karat.stats.ensemble_likelihood", None, None, +1, ("h", "ensemble"), _PARK,
    ),
    CatalogRow(
        "view_agreement", "score", "mean cosine between the augmented views of a sample",
        "karat.stats.view_agreement", -1, 1, +1, ("views",), _WANG_ISOLA,
    ),
    CatalogRow(
        "view_similarity", "score", "mean cosine of the augmented views of a sample to the sample",
        "karat.stats.view_similarity", -1, 1, +1, ("h", "views"), "baseline",
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
    CatalogRow("std_q", "metric", "deviation of the Q-Scores", "karat.stats.q_score", 0, None, 0, ("h",), _PAPER),
    CatalogRow(
        "empty_share", "metric", "share of samples without a highly active discriminative feature",
        "karat.stats.highly_activating", 0, 1, -1, ("h",), "ours",
    ),
    CatalogRow(
        "effective_rank", "metric", "exp of the entropy of the singular values", "karat.stats.effective_rank",
        0, None, +1, ("h",), "Garrido et al., ICML 2023 (RankMe)",
    ),
    CatalogRow(
        "stable_rank", "metric", "sum of the squared singular values over the largest", "karat.stats.stable_rank",
        0, None, +1, ("h",), _TSITSULIN,
    ),
    CatalogRow(
        "condition", "metric", "largest singular value over the smallest above 0", "karat.stats.condition",
        1, None, -1, ("h",), _TSITSULIN,
    ),
    CatalogRow(
        "coherence", "metric", "largest leverage of a row, in units of the mean", "karat.stats.coherence",
        1, None, -1, ("h",), _TSITSULIN,
    ),
    CatalogRow(
        "alpha", "metric", "decay exponent of the covariance's eigenvalues; 1 is good", "karat.stats.alpha",
        None, None, 0, ("h",), "Agrawal et al., NeurIPS 2022 (alpha-ReQ)",
    ),
    CatalogRow(
        "nesum", "metric", "sum of the covariance's eigenvalues over the largest", "karat.stats.nesum",
        0, None, +1, ("h",), "He & Ozay, ICML 2022",
    ),
    CatalogRow(
        "participation_ratio", "metric", "how many directions carry the variance", "karat.stats.participation_ratio",
        0, None, +1, ("h",), "Gao et al., 2017",
    ),
    CatalogRow(
        "uniformity", "metric", "ln of the mean Gaussian potential between directions", "karat.stats.uniformity",
        -8, 0, -1, ("h",), _WANG_ISOLA,
    ),
    CatalogRow(
        "self_clustering", "metric", "mean squared cosine: 0 as on an even sphere, 1 collapsed",
        "karat.stats.self_clustering", -1, 1, -1, ("h",), _TSITSULIN,
    ),
    CatalogRow(
        "intrinsic_dimension", "metric", "dimension of the surface the rows lie on", "karat.stats.intrinsic_dimension",
        0, None, +1, ("h",), "Facco et al., Scientific Reports 2017 (TwoNN)",
    ),
    CatalogRow(
        "cluster_learnability", "metric", "how well neighbours predict k-means clusters",
        "karat.stats.cluster_learnability", 0, 1, +1, ("h",), _LU,
    ),
    CatalogRow(
        "clid", "metric", "cluster_learnability + intrinsic_dimension / d", "karat.stats.clid",
        0, None, +1, ("h",), _LU,
    ),
    CatalogRow(
        "alignment", "metric", "mean squared distance between views of one image", "karat.stats.alignment",
        0, 4, -1, ("views",), _WANG_ISOLA,
    ),
    CatalogRow(
        "lidar", "metric", "directions that tell images apart beside those that views change", "karat.stats.lidar",
        0, None, +1, ("views",), "Thilak et al., ICLR 2024",
    ),
    CatalogRow(
        "auroc", "measure", "chance that a right sample scores higher than a wrong one", "karat.stats.auroc",
        0, 1, +1, ("scores", "probe"), "Hanley & McNeil, Radiology 1982",
    ),
    CatalogRow(
        "auprc", "measure", "average precision of finding the right samples", "karat.stats.auprc",
        0, 1, +1, ("scores", "probe"), "baseline",
    ),
    CatalogRow(
        "auprc_error", "measure", "average precision of finding the errors", "karat.stats.auprc_error",
        0, 1, +1, ("scores", "probe"), "baseline",
    ),
    CatalogRow(
        "fpr95", "measure", "right samples flagged when 95% of the errors are", "karat.stats.fpr95",
        0, 1, -1, ("scores", "probe"), "baseline",
    ),
    CatalogRow(
        "aurc", "measure", "area under the risk-coverage curve", "karat.stats.aurc",
        0, 1, -1, ("scores", "probe"), "Geifman et al., ICLR 2019",
    ),
    CatalogRow(
        "augrc", "measure", "area under the generalised risk-coverage curve", "karat.stats.augrc",
        0, 0.5, -1, ("scores", "probe"), "Traub et al., NeurIPS 2024",
    ),
    CatalogRow(
        "r_auroc", "measure", "auroc with 'the nearest neighbour is of the same class' for right",
        "karat.stats.r_auroc", 0, 1, +1, ("scores", "h", "labels"), "Kirchhof et al., NeurIPS 2023 (URL)",
    ),
)  # fmt: skip
