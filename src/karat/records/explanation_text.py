"""The record of an explanation, as a terminal table and a sentence."""

from __future__ import annotations

from rich.table import Table

from .explanations import Explanation
from .layout import pairs


def explanation_blocks(record: Explanation) -> list[Table | str]:
    """What was drawn, and what could not be."""
    exact = ", exact: h is its mean" if record.exact else ""
    where = "the pixels" if record.layer is None else f"{record.layer}{exact}"
    listed = pairs(
        "heatmaps",
        {
            "images": f"{record.n:,}",
            "with a map": f"{record.n_mapped:,}",
            "method": record.method,
            "taken from": where,
            "size": f"{record.height} x {record.width}",
            "epsilon": f"{record.epsilon:g}",
            "features d, |D|": f"{record.d:,}, {record.discriminative_features:,}",
            "without discriminative feature": f"{record.n_empty:,}",
            "maps that are zero": f"{record.n_zero_maps:,}",
        },
    )
    return [listed, "A map shows where the features of an image come from; whether that is the object, masks tell."]
