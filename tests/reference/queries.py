"""What a query finds, by plain loops over rows of plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cmp_to_key
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def found(rows: Rows, query: Any, tagged: Sequence[str] = ()) -> list[int]:
    """The numbers of the rows that a query finds, in its order."""
    kept = [number for number, row in enumerate(rows) if _fits(row, query, tagged)]

    def compare(a: int, b: int) -> int:
        x, y = rows[a][query.sort], rows[b][query.sort]
        if x is None or y is None:
            return (x is None) - (y is None) or a - b
        if x != y:
            return (1 if x > y else -1) * (-1 if query.descending else 1)
        return a - b

    return sorted(kept, key=cmp_to_key(compare))


def binned(values: Sequence[float | None], edges: Sequence[float]) -> tuple[list[int], int]:
    """Values in each bin, its lower edge included (of the last both), and how many are in none."""
    counts, missing = [0] * (len(edges) - 1), 0
    for value in values:
        if value is None or not math.isfinite(value):
            missing += 1
            continue
        place = sum(value >= edge for edge in edges[1:-1])
        counts[place] += 1
    return counts, missing


def _fits(row: Mapping[str, Any], query: Any, tagged: Sequence[str]) -> bool:
    for column, low, high in query.ranges:
        value = row[column]
        if value is None or (low is not None and value < low) or (high is not None and value > high):
            return False
    if query.label is not None and row["label"] != query.label:
        return False
    if query.correct is not None and row["correct"] is not query.correct:
        return False
    if query.tag is not None and row["id"] not in tagged:
        return False
    texts = [row["id"], row["label"], row["prediction"], row["note"]]
    return any(query.text.lower() in text.lower() for text in texts if text is not None)
