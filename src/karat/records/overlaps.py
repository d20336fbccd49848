"""The kinds of records about heatmaps: do they lie on the object, and does the encoder need what they show?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .kinds import Estimate, Printed, Provenance

# The controls that every table of overlaps has. They know nothing of the image; the first knows how large masks are.
CENTRE_PRIOR = "centre prior"
RANDOM_MAP = "random map"
# What the maps of a randomly initialised encoder are called.
RANDOM_INIT = "random init"


@dataclass(frozen=True)
class MapOverlap:
    """How much one kind of map overlaps one kind of mask.

    Attributes:
        maps: which maps: "D", "not D", "centre prior", ...
        mask: "core" or "spurious".
        samples: "all", "correct" or "wrong".
        n: images, each with a mask that is not empty.
        zero_maps: how many of their maps are zero everywhere. They count, as an IoU of 0.
        iou: mean over images of the IoU of map and mask, both binarised at 0.5; 0 to 1, higher = more overlap.
        iou_at_area: mean IoU with the pixels of highest value, as many as the mask has; 0 to 1.
        mass: mean of the map inside the mask minus outside; -1 to 1.
        pointing: share of images whose highest value lies in the mask; 0 to 1.
    """

    maps: str
    mask: str
    samples: str
    n: int
    zero_maps: int
    iou: Estimate
    iou_at_area: Estimate
    mass: Estimate
    pointing: Estimate


@dataclass(frozen=True)
class OverlapDifference:
    """The first minus the second, on the same images (correct minus wrong: on other images).

    Attributes:
        first, second: which maps, or for one kind of map "D, correct" and "D, wrong".
        mask: "core" or "spurious".
        n: images.
        iou, iou_at_area, mass, pointing: differences of the means that `MapOverlap` tells.
        n_both, iou_both: the same images less those where either map is zero, and the difference of their IoU.
    """

    first: str
    second: str
    mask: str
    n: int
    iou: Estimate
    iou_at_area: Estimate
    mass: Estimate
    pointing: Estimate
    n_both: int
    iou_both: Estimate


@dataclass(frozen=True)
class Overlap(Printed):
    """Do heatmaps lie on the object? With the controls that give the numbers a meaning.

    Attributes:
        n: images with a map.
        without_mask, extra_masks: images that no mask belongs to, masks that belong to none of the images.
        empty_masks: "core" or "spurious" -> images whose mask is empty; they are left out.
        mask_area: "core" or "spurious" -> mean share of the image that lies in the mask.
        measured: one row a kind of map, kind of mask and group of samples.
        differences: of the first kind of map to every other.
        warnings: sentences: what is missing, and what not to trust.
    """

    kind: ClassVar[str] = "overlap"
    provenance: Provenance
    n: int
    without_mask: int
    extra_masks: int
    empty_masks: dict[str, int]
    mask_area: dict[str, float]
    measured: tuple[MapOverlap, ...]
    differences: tuple[OverlapDifference, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class OrderFaithfulness:
    """What happens when pixels are taken away, or put back, in one order.

    Attributes:
        order: "map", "random order" or "centre prior".
        of: what is watched: "q_score", or "cosine" (of h with the h of the whole image).
        deletion: mean area under the curve while pixels are taken away; lower = the order finds what matters.
        insertion: the same while they are put back; higher = better.
        deletion_lead, insertion_lead: how far the map's order is better (above 0) than this one, on the same images.
        deletion_curve, insertion_curve: means at each share of `Faithfulness.shares`.
    """

    order: str
    of: str
    deletion: Estimate
    insertion: Estimate
    deletion_lead: Estimate
    insertion_lead: Estimate
    deletion_curve: tuple[float, ...]
    insertion_curve: tuple[float, ...]


@dataclass(frozen=True)
class Faithfulness(Printed):
    """Does the encoder need what the maps show? Deletion and insertion curves.

    Attributes:
        n: images.
        zero_maps: how many of their maps are zero everywhere; their order is random.
        baseline: what stands where a pixel was taken away: "blur" or "mean".
        shares: of the pixels changed at each step, from 0 to 1.
        orders: one row an order and a quantity.
        warnings: sentences: what not to trust.
    """

    kind: ClassVar[str] = "faithfulness"
    provenance: Provenance
    n: int
    zero_maps: int
    baseline: str
    shares: tuple[float, ...]
    orders: tuple[OrderFaithfulness, ...]
    warnings: tuple[str, ...] = ()
