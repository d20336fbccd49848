"""Where features look: heatmaps, masks, and whether the one lies on the other."""

from .controls import centre_prior, random_maps, reinitialised
from .explain import explain
from .faithfulness import faithfulness
from .feature_groups import feature_groups
from .features import FeaturePage, feature_pages, redundant_groups
from .heatmaps import feature_maps, sample_maps
from .map_files import read_maps
from .mask_overlap import mask_overlap
from .masks import align_masks, open_masks

__all__ = [
    "FeaturePage",
    "align_masks",
    "centre_prior",
    "explain",
    "faithfulness",
    "feature_groups",
    "feature_maps",
    "feature_pages",
    "mask_overlap",
    "open_masks",
    "random_maps",
    "read_maps",
    "redundant_groups",
    "reinitialised",
    "sample_maps",
]
