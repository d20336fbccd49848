"""Mathematics on arrays: no I/O, no logging, no state, no torch. `karat.stats.<name>(h)` gives each quantity alone.

Names are loaded from their modules when they are first used, so that importing karat compiles and imports nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .activations import Activations as Activations
    from .activations import highly_activating as highly_activating
    from .confidence import softmax_confidence as softmax_confidence
    from .confidence import softmax_entropy as softmax_entropy
    from .confidence import softmax_margin as softmax_margin
    from .discriminative import discriminative_features as discriminative_features
    from .discriminative import rank_features as rank_features
    from .epsilon import choose_epsilon as choose_epsilon
    from .neighbors import knn_similarity as knn_similarity
    from .qscore import q_score as q_score
    from .qscore import q_score_v1 as q_score_v1
    from .ranking import augrc as augrc
    from .ranking import auprc as auprc
    from .ranking import auprc_error as auprc_error
    from .ranking import aurc as aurc
    from .ranking import auroc as auroc
    from .ranking import fpr95 as fpr95
    from .ranking import risk_coverage as risk_coverage
    from .reference import Counts as Counts
    from .reference import Reference as Reference
    from .reference import fit_reference as fit_reference
    from .spectrum import effective_rank as effective_rank

_MODULES = {
    "activations": ("Activations", "highly_activating"),
    "confidence": ("softmax_confidence", "softmax_entropy", "softmax_margin"),
    "discriminative": ("discriminative_features", "rank_features"),
    "epsilon": ("choose_epsilon",),
    "neighbors": ("knn_similarity",),
    "qscore": ("q_score", "q_score_v1"),
    "ranking": ("augrc", "auprc", "auprc_error", "aurc", "auroc", "fpr95", "risk_coverage"),
    "reference": ("Counts", "Reference", "fit_reference"),
    "spectrum": ("effective_rank",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"karat.stats has no {name!r}: {', '.join(__all__)}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return list(__all__)
