"""Whether heatmaps lie on the object, and whether the encoder needs what they show, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..records import Estimate, Faithfulness, MapOverlap, OrderFaithfulness, Overlap, OverlapDifference
from ..records.overlap_text import beats_prior, lead_sentence, overlap_verdict
from ..records.overlaps import CENTRE_PRIOR, RANDOM_INIT, RANDOM_MAP
from .gallery import shortened
from .tables import defined

MEASURES = ("iou", "iou_at_area", "mass", "pointing")
CONTROLS = (CENTRE_PRIOR, RANDOM_INIT, RANDOM_MAP)
_MEANINGS = {
    "D": "the discriminative features of each image",
    "not D": "its other highly activated features",
    "random features": "as many features, drawn at random",
    "before": "an earlier encoder, by its own discriminative features",
    CENTRE_PRIOR: "a blob in the middle of every image",
    RANDOM_INIT: "the same network with random weights",
    RANDOM_MAP: "noise",
}

Json = dict[str, Any]


def overlap_section(overlap: Overlap) -> Json:
    """How far heatmaps lie on masks, beside all controls.

    Returns:
        "n", "without_mask", "extra_masks", "warnings"; "kinds": of each kind of mask its name "mask", "area" (mean
        share of the image), "empty" (masks left out), "verdict" (sentences), "beats_prior"; "rows": "maps", "meaning",
        "samples", "control", "n", "zero_maps" and the four MEASURES; "differences": "first", "second", "n", "n_both"
        and the four, with "iou_both". A measure has "value", "low", "high"; a difference also "sign": 1 or -1 where its
        interval leaves out 0, else 0.
    """
    masks = dict.fromkeys(row.mask for row in overlap.measured)
    return {
        "n": overlap.n,
        "without_mask": overlap.without_mask,
        "extra_masks": overlap.extra_masks,
        "warnings": list(overlap.warnings),
        "kinds": [_kind(overlap, mask) for mask in masks],
    }


def _kind(overlap: Overlap, mask: str) -> Json:
    return {
        "mask": shortened(mask),
        "area": overlap.mask_area.get(mask),
        "empty": overlap.empty_masks.get(mask, 0),
        "verdict": overlap_verdict(overlap, mask),
        "beats_prior": beats_prior(overlap, mask),
        "rows": [_row(row) for row in overlap.measured if row.mask == mask],
        "differences": [_difference(row) for row in overlap.differences if row.mask == mask],
    }


def _row(row: MapOverlap) -> Json:
    return {
        "maps": shortened(row.maps),
        "meaning": _MEANINGS.get(row.maps, "") if row.samples == "all" else "",
        "samples": shortened(row.samples),
        "control": row.maps in CONTROLS,
        "n": row.n,
        "zero_maps": row.zero_maps,
        **{measure: _estimate(getattr(row, measure)) for measure in MEASURES},
    }


def _difference(row: OverlapDifference) -> Json:
    return {
        "first": shortened(row.first),
        "second": shortened(row.second),
        "n": row.n,
        "n_both": row.n_both,
        **{measure: _signed(getattr(row, measure)) for measure in (*MEASURES, "iou_both")},
    }


def faithfulness_section(faithfulness: Faithfulness) -> Json:
    """What happens to the Q-Score and to h as pixels are taken away, or put back, in the order of a map.

    Returns:
        "n", "zero_maps", "baseline", "warnings"; "quantities": what is watched, each its name "of", "curves" (each
        "of", "mode", and "series" of "order", "share", "value"), "rows" ("order" and the areas "deletion", "insertion",
        with "deletion_lead", "insertion_lead" that are None for the map itself) and "sentences".
    """
    watched = dict.fromkeys(row.of for row in faithfulness.orders)
    return {
        "n": faithfulness.n,
        "zero_maps": faithfulness.zero_maps,
        "baseline": shortened(faithfulness.baseline),
        "warnings": list(faithfulness.warnings),
        "quantities": [
            _quantity(faithfulness, of, [row for row in faithfulness.orders if row.of == of]) for of in watched
        ],
    }


def _quantity(faithfulness: Faithfulness, of: str, orders: Sequence[OrderFaithfulness]) -> Json:
    return {
        "of": shortened(of),
        "curves": [
            {
                "of": shortened(of),
                "mode": mode,
                "series": [
                    {
                        "order": shortened(row.order),
                        "share": list(faithfulness.shares),
                        "value": [defined(value) for value in getattr(row, f"{mode}_curve")],
                    }
                    for row in orders
                ],
            }
            for mode in ("deletion", "insertion")
        ],
        "rows": [_order(row, first=number == 0) for number, row in enumerate(orders)],
        "sentences": [lead_sentence(row) for row in orders[1:]],
    }


def _order(row: OrderFaithfulness, *, first: bool) -> Json:
    return {
        "order": shortened(row.order),
        "deletion": _estimate(row.deletion),
        "insertion": _estimate(row.insertion),
        "deletion_lead": None if first else _signed(row.deletion_lead),
        "insertion_lead": None if first else _signed(row.insertion_lead),
    }


def _estimate(estimate: Estimate) -> Json:
    return {key: defined(value) for key, value in vars(estimate).items()}


def _signed(estimate: Estimate) -> Json:
    """A difference, and whether it can be told from none."""
    return {**_estimate(estimate), "sign": int(estimate.low > 0) - int(estimate.high < 0)}
