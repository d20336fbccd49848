"""The settings of the eight objectives: the papers' for ImageNet, and what is common for small images."""

from .choosing import METHODS, recipe_of
from .kinds import Recipe, ViewSettings

__all__ = ["METHODS", "Recipe", "ViewSettings", "recipe_of"]
