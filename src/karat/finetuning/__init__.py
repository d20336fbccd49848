"""Make an encoder better: its own objective plus the Q-Score terms."""

from .finetune import Finetuned, finetune
from .recipes import METHODS, Recipe, recipe_of
from .regularizer import LassoRegularizer, QScoreRegularizer
from .study import study

__all__ = [
    "METHODS",
    "Finetuned",
    "LassoRegularizer",
    "QScoreRegularizer",
    "Recipe",
    "finetune",
    "recipe_of",
    "study",
]
