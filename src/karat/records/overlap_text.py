"""The records about heatmaps, as terminal tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from ..errors import FileFormatError
from .kinds import Estimate
from .layout import numbers_table, pairs
from .overlaps import CENTRE_PRIOR, Faithfulness, MapOverlap, OrderFaithfulness, Overlap, OverlapDifference

Blocks = list[Table | str]
_MEASURES = {
    "mIoU": "iou",
    "mIoU at the mask's area": "iou_at_area",
    "inside - outside": "mass",
    "pointing game": "pointing",
}


def overlap_blocks(record: Overlap) -> Blocks:
    """The masks, one table of overlaps and one of differences for each kind of mask, and a sentence on each."""
    kinds = dict.fromkeys(row.mask for row in record.measured)
    blocks: Blocks = [_masks_table(record)]
    for kind in kinds:
        blocks += [_overlap_table(record, kind), _difference_table(record, kind), overlap_verdict(record, kind)]
    return blocks


def overlap_verdict(record: Overlap, mask: str) -> str:
    """What the overlap of the first kind of map with a kind of mask means, in a sentence or two; plainly.

    The measure is the mIoU at 0.5. A difference counts where its 95% interval does not hold 0.
    """
    first, prior, others = _claim(record, mask)
    sentences = [_against_prior(first, prior), *_compared_with("They overlap", {row.second: row.iou for row in others})]
    by_place = {row.second: row.iou_at_area for row in [prior, *others]}
    sentences += _compared_with("At the mask's own area, where only the place counts, they overlap", by_place)
    if first.zero_maps:
        sentences.append(_without_zero_maps(first, prior))
    return " ".join(sentences)


def prior_verdict(record: Overlap, mask: str) -> str:
    """Its first part: whether the first kind of map beats the centre prior."""
    first, prior, _ = _claim(record, mask)
    return _against_prior(first, prior)


def beats_prior(record: Overlap, mask: str) -> bool:
    """Whether the first kind of map overlaps a kind of mask more than the centre prior does, beyond chance."""
    return _claim(record, mask)[1].iou.low > 0


def faithfulness_blocks(record: Faithfulness) -> Blocks:
    """One table a quantity, and what it means."""
    blocks: Blocks = []
    for of in dict.fromkeys(row.of for row in record.orders):
        rows = [row for row in record.orders if row.of == of]
        title = f"{of}: area under the curve, {record.n:,} images, baseline {record.baseline}"
        listed = numbers_table(title, "order of pixels", "deletion", "map better by", "insertion", "map better by")
        for row in rows:
            listed.add_row(row.order, *_cells(row))
        blocks += [listed, *(lead_sentence(row) for row in rows[1:])]
    return blocks


def _claim(record: Overlap, mask: str) -> tuple[MapOverlap, OverlapDifference, list[OverlapDifference]]:
    """The first kind of map, how it differs from the centre prior, and how from the other kinds.

    Raises:
        FileFormatError: the record lacks them.
    """
    first = next((row for row in record.measured if row.mask == mask and row.samples == "all"), None)
    if first is None:
        raise FileFormatError(f"the overlap record has no maps of all samples for {mask} masks")
    against = [row for row in record.differences if (row.first, row.mask) == (first.maps, mask)]
    prior = next((row for row in against if row.second == CENTRE_PRIOR), None)
    if prior is None:
        raise FileFormatError(f"the overlap record does not compare {first.maps} with the {CENTRE_PRIOR}")
    return first, prior, [row for row in against if row.second not in (CENTRE_PRIOR, _group(first.maps, "wrong"))]


def _group(maps: str, samples: str) -> str:
    return maps if samples == "all" else f"{maps}, {samples}"


def _masks_table(record: Overlap) -> Table:
    rows = {"images with a map": f"{record.n:,}", "of these without a mask": f"{record.without_mask:,}"}
    rows |= {f"empty {kind} masks, left out": f"{empty:,}" for kind, empty in record.empty_masks.items()}
    rows |= {f"mean area of {kind} masks": f"{area:.1%}" for kind, area in record.mask_area.items()}
    return pairs("masks", rows | {"masks without an image": f"{record.extra_masks:,}"})


def _overlap_table(record: Overlap, mask: str) -> Table:
    listed = numbers_table(f"overlap with {mask} masks", "maps", "n", "zero maps", *_MEASURES)
    for row in record.measured:
        if row.mask == mask:
            measures = (escape(str(getattr(row, field))) for field in _MEASURES.values())
            listed.add_row(escape(_group(row.maps, row.samples)), f"{row.n:,}", f"{row.zero_maps:,}", *measures)
    return listed


def _difference_table(record: Overlap, mask: str) -> Table:
    listed = numbers_table("differences", "minus", "n", *_MEASURES, "n, both not zero", "mIoU of these")
    rows = [row for row in record.differences if row.mask == mask]
    for first in dict.fromkeys(row.first for row in rows):
        listed.add_row(f"[dim]{escape(first)}[/]")
        for row in rows:
            if row.first == first:
                measures = (escape(str(getattr(row, field))) for field in _MEASURES.values())
                both = (f"{row.n_both:,}", escape(str(row.iou_both)))
                listed.add_row(f"  {escape(row.second)}", f"{row.n:,}", *measures, *both)
    return listed


def _against_prior(first: MapOverlap, prior: OverlapDifference) -> str:
    numbers = f"(difference of mIoU {prior.iou})"
    if prior.iou.low > 0:
        return f"The maps of {first.maps} overlap {first.mask} masks more than the centre prior does {numbers}."
    if prior.iou.high < 0:
        return (
            f"The maps of {first.maps} do NOT beat the centre prior on {first.mask} masks: they overlap less than a "
            f"blob in the middle of every image does {numbers}. No claim about the object can rest on this overlap."
        )
    return (
        f"The maps of {first.maps} do NOT beat the centre prior on {first.mask} masks: they cannot be told from a blob "
        f"in the middle of every image {numbers}. No claim about the object can rest on this overlap."
    )


def _compared_with(they: str, differences: Mapping[str, Estimate]) -> list[str]:
    """A sentence for each outcome that occurs, with the names of those that it occurs with."""
    outcomes = {
        "more than": [name for name, found in differences.items() if found.low > 0],
        "less than": [name for name, found in differences.items() if found.high < 0],
        "not measurably other than": [
            name for name, found in differences.items() if not found.low > 0 and not found.high < 0
        ],
    }
    told = [f"{outcome} {', '.join(names)}" for outcome, names in outcomes.items() if names]
    return [f"{they} {'; '.join(told)}."] if told else []


def _without_zero_maps(first: MapOverlap, prior: OverlapDifference) -> str:
    return (
        f"{first.zero_maps:,} of the {first.n:,} maps are zero (the image has no such feature) and count as no "
        f"overlap; on the other {prior.n_both:,} images the difference to the centre prior is {prior.iou_both}."
    )


def _cells(row: OrderFaithfulness) -> list[str]:
    estimates = (row.deletion, row.deletion_lead, row.insertion, row.insertion_lead)
    shown = estimates if row.order != "map" else (row.deletion, "", row.insertion, "")
    return [escape(str(cell)) for cell in shown]


def lead_sentence(row: OrderFaithfulness) -> str:
    """Whether the map's order of pixels is better than another."""
    leads = {"deletion": row.deletion_lead, "insertion": row.insertion_lead}
    words = [f"{name} {_compared(lead.low, lead.high)}" for name, lead in leads.items()]
    return f"Against the {row.order.removeprefix('the ')}, for {row.of}: {', '.join(words)}."


def _compared(low: float, high: float) -> str:
    """Whether the map's order is better, by the interval of its lead."""
    return "is better with the map" if low > 0 else "is worse with the map" if high < 0 else "does not tell them apart"
