"""Two or more encoders on the same images as plain values: numbers side by side, and the samples that moved."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import FileFormatError
from ..records import Comparison, to_dict
from .gallery import SHOWN, Pictures, shortened
from .samples import column
from .tables import better, meaning

PLACES = 12

Json = dict[str, Any]


def comparison_section(comparison: Comparison, pictures: Pictures | None) -> Json:
    """Encoders on the same images, each against the first.

    Returns:
        "names", "widths", "by", "warnings", "pictures" (whether there are images); "metrics": "metric", "meaning",
        "better", "values" (one an encoder); "shifts": "score", "first", "second", "n", "spearman" {value, low, high},
        "lowest" (share of the lowest tenth that is the same); "probes": "first", "second", "n", "accuracy_first",
        "accuracy_second", "difference", "gained", "lost", "p"; "moves": of each other encoder its name "second" and
        "sheets" of `_sheets`; "damaged_table": why there are no moves, or None.
    """
    plain = to_dict(comparison)
    rows, damaged = [], None
    try:
        rows = _moves(comparison, pictures)
    except FileFormatError as error:
        damaged = str(error)
    return {
        "names": [shortened(name) for name in comparison.names],
        "widths": plain["widths"],
        "by": comparison.by,
        "warnings": list(comparison.warnings),
        "pictures": pictures is not None,
        "metrics": [
            {"metric": name, "meaning": meaning(name), "better": better(name), "values": values}
            for name, values in plain["metrics"].items()
        ],
        "shifts": [_named(shift) for shift in plain["shifts"]],
        "probes": [_named(shift) for shift in plain["probes"]],
        "moves": rows,
        "damaged_table": damaged,
    }


def _named(shift: Json) -> Json:
    return {**shift, "first": shortened(shift["first"]), "second": shortened(shift["second"])}


def _moves(comparison: Comparison, pictures: Pictures | None) -> list[Json]:
    """The samples that moved between the first encoder and each other."""
    ids = np.array([str(name) for name in column(comparison, "id").tolist()], object)
    first, *others = comparison.names
    before = column(comparison, f"percentile:{first}", len(ids)).astype(np.float64)
    found = []
    for other in others:
        after = column(comparison, f"percentile:{other}", len(ids)).astype(np.float64)
        change = column(comparison, f"change:{other}", len(ids))
        chosen = _chosen(change, after - before)
        shown = sorted({str(ids[row]) for rows, _ in chosen.values() for row in rows})
        images = {} if pictures is None else pictures(shown, SHOWN)
        sheets = [
            {
                "end": end,
                "n": n,
                "tiles": [_tile(str(ids[row]), float(before[row]), float(after[row]), images) for row in rows],
            }
            for end, (rows, n) in chosen.items()
        ]
        found.append({"second": shortened(other), "sheets": sheets})
    return found


def _chosen(change: np.ndarray, rise: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
    """The rows to show and how many there are of the kind: what the probe gained and lost, what rose and fell most.

    Of more samples gained or lost than there is room for, some at random.
    """
    generator = np.random.default_rng(0)
    found = {}
    for word in ("gained", "lost"):
        rows = generator.permutation(np.flatnonzero(change == word))
        found[word] = (rows[:PLACES], len(rows))
    known = np.flatnonzero(~np.isnan(rise))
    falling = known[np.argsort(-rise[known], kind="stable")]
    rose, fell = falling[rise[falling] > 0], falling[rise[falling] < 0][::-1]
    found |= {"rose": (rose[:PLACES], len(rose)), "fell": (fell[:PLACES], len(fell))}
    return {end: (rows, n) for end, (rows, n) in found.items() if n}


def _tile(name: str, before: float, after: float, images: dict[str, Json]) -> Json:
    known = not np.isnan(after - before)
    return {
        "id": shortened(name),
        "before": before if known else None,
        "after": after if known else None,
        "picture": images.get(name),
    }
