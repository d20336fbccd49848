"""Mathematics on arrays: no I/O, no logging, no state, no torch. `karat.stats.<name>(h)` gives each quantity alone.

Names are loaded from their modules when they are first used, so that importing karat compiles and imports nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .activations import Activations as Activations
    from .activations import highly_activating as highly_activating
    from .agreement import view_agreement as view_agreement
    from .agreement import view_similarity as view_similarity
    from .bootstrap import holm as holm
    from .clustering import cluster_margin as cluster_margin
    from .clustering import vote_entropy as vote_entropy
    from .confidence import cross_entropy as cross_entropy
    from .confidence import softmax_confidence as softmax_confidence
    from .confidence import softmax_entropy as softmax_entropy
    from .confidence import softmax_margin as softmax_margin
    from .correlation import spearman as spearman
    from .covering import farthest_first as farthest_first
    from .density import mahalanobis_distance as mahalanobis_distance
    from .density import mixture_likelihood as mixture_likelihood
    from .discriminative import discriminative_features as discriminative_features
    from .discriminative import rank_features as rank_features
    from .ensemble import ensemble_distance as ensemble_distance
    from .ensemble import ensemble_likelihood as ensemble_likelihood
    from .ensemble import ensemble_variance as ensemble_variance
    from .ensemble import neighborhood_consistency as neighborhood_consistency
    from .epsilon import choose_epsilon as choose_epsilon
    from .geometry import coherence as coherence
    from .geometry import self_clustering as self_clustering
    from .geometry import uniformity as uniformity
    from .graph import graph_spectral_norm as graph_spectral_norm
    from .landmarks import neighbor_coherence as neighbor_coherence
    from .landmarks import whitened_similarity as whitened_similarity
    from .learnability import clid as clid
    from .learnability import cluster_learnability as cluster_learnability
    from .learnability import intrinsic_dimension as intrinsic_dimension
    from .moments import Moments as Moments
    from .moments import column_moments as column_moments
    from .neighbors import knn_distance as knn_distance
    from .neighbors import knn_similarity as knn_similarity
    from .profile import feature_entropy as feature_entropy
    from .profile import l1_norm as l1_norm
    from .profile import l2_norm as l2_norm
    from .profile import max_z as max_z
    from .profile import sparsity as sparsity
    from .qscore import n_active as n_active
    from .qscore import n_discriminative as n_discriminative
    from .qscore import q_score as q_score
    from .qscore import q_score_v1 as q_score_v1
    from .ranking import augrc as augrc
    from .ranking import auprc as auprc
    from .ranking import auprc_error as auprc_error
    from .ranking import aurc as aurc
    from .ranking import auroc as auroc
    from .ranking import fpr95 as fpr95
    from .ranking import risk_coverage as risk_coverage
    from .recall import r_auroc as r_auroc
    from .recall import recall_at_1 as recall_at_1
    from .reference import Counts as Counts
    from .reference import Reference as Reference
    from .reference import fit_reference as fit_reference
    from .reliability import calibration_error as calibration_error
    from .reliability import calibration_error_by_chance as calibration_error_by_chance
    from .reliability import reliability_curve as reliability_curve
    from .shifts import lowest_overlap as lowest_overlap
    from .shifts import mcnemar as mcnemar
    from .spectrum import alpha as alpha
    from .spectrum import condition as condition
    from .spectrum import effective_rank as effective_rank
    from .spectrum import nesum as nesum
    from .spectrum import participation_ratio as participation_ratio
    from .spectrum import singular_values as singular_values
    from .spectrum import stable_rank as stable_rank
    from .views import alignment as alignment
    from .views import lidar as lidar

_MODULES = {
    "activations": ("Activations", "highly_activating"),
    "agreement": ("view_agreement", "view_similarity"),
    "bootstrap": ("holm",),
    "clustering": ("cluster_margin", "vote_entropy"),
    "confidence": ("cross_entropy", "softmax_confidence", "softmax_entropy", "softmax_margin"),
    "correlation": ("spearman",),
    "covering": ("farthest_first",),
    "density": ("mahalanobis_distance", "mixture_likelihood"),
    "discriminative": ("discriminative_features", "rank_features"),
    "ensemble": ("ensemble_distance", "ensemble_likelihood", "ensemble_variance", "neighborhood_consistency"),
    "epsilon": ("choose_epsilon",),
    "geometry": ("coherence", "self_clustering", "uniformity"),
    "graph": ("graph_spectral_norm",),
    "landmarks": ("neighbor_coherence", "whitened_similarity"),
    "learnability": ("clid", "cluster_learnability", "intrinsic_dimension"),
    "moments": ("Moments", "column_moments"),
    "neighbors": ("knn_distance", "knn_similarity"),
    "profile": ("feature_entropy", "l1_norm", "l2_norm", "max_z", "sparsity"),
    "qscore": ("n_active", "n_discriminative", "q_score", "q_score_v1"),
    "ranking": ("augrc", "auprc", "auprc_error", "aurc", "auroc", "fpr95", "risk_coverage"),
    "recall": ("r_auroc", "recall_at_1"),
    "reference": ("Counts", "Reference", "fit_reference"),
    "reliability": ("calibration_error", "calibration_error_by_chance", "reliability_curve"),
    "shifts": ("lowest_overlap", "mcnemar"),
    "spectrum": (
        "alpha",
        "condition",
        "effective_rank",
        "nesum",
        "participation_ratio",
        "singular_values",
        "stable_rank",
    ),
    "views": ("alignment", "lidar"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"karat.stats has no {name!r}: {', '.join(__all__)}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return list(__all__)
