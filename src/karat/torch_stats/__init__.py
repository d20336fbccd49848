"""The torch twin of the scores in `karat.stats`: on any device, and differentiable where the regulariser needs it."""

from .activations import features_of, highly_activating, row_moments
from .qscore import q_of, q_score
from .reference import count_activations, fit_reference

__all__ = [
    "count_activations",
    "features_of",
    "fit_reference",
    "highly_activating",
    "q_of",
    "q_score",
    "row_moments",
]
