"""The tables of a report, as rows of plain values."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..catalog import ROWS
from ..records import Health, ProbeResult, Provenance, Record, Scores, to_dict
from .gallery import shortened
from .samples import column, names

MOST_CLASSES = 30

Json = dict[str, Any]
_HealthRow = tuple[str, float, str, str]


def health_table(scores: Scores) -> list[Json]:
    """Groups of rows: "name", "value", "unit" (count, share, number, yes) and "meaning"."""
    health = scores.health
    groups = {
        "Samples": _sample_rows(health),
        "Features": _feature_rows(health),
        "High activations": _activation_rows(health, scores.epsilon, len(scores.discriminative)),
    }
    keys = ("name", "value", "unit", "meaning")
    return [
        {"group": group, "rows": [dict(zip(keys, row, strict=True)) for row in rows]} for group, rows in groups.items()
    ]


def _sample_rows(health: Health) -> list[_HealthRow]:
    first = f"{health.duplicates_checked:,}"
    return [
        ("samples", health.n, "count", "rows of h that were scored"),
        ("left out", health.bad_rows, "count", "rows with NaN or infinity; they have no score"),
        ("repeated", health.duplicate_rows, "count", f"equal to an earlier row, of the first {first}"),
        ("constant", health.constant_rows, "count", "rows whose features are all equal; they score 0"),
        ("zero", health.zero_rows, "count", "constant rows that are all zero"),
    ]


def _feature_rows(health: Health) -> list[_HealthRow]:
    return [
        ("features", health.d, "count", "columns of h"),
        ("zeros", health.zero_share, "share", "of all entries; many after a ReLU"),
        ("negative", health.negative_share, "share", "of all entries; none after a ReLU"),
        (
            "split in halves",
            health.halves,
            "yes",
            "signed columns are centred and split by sign into two features each",
        ),
        ("spread", health.spread, "number", "of the directions of the rows: 0 is collapsed, 0.1 to 1 is usual"),
    ]


def _activation_rows(health: Health, epsilon: float, features: int) -> list[_HealthRow]:
    found, mean = health.discriminative_features, health.mean_discriminative
    return [
        ("threshold ε", epsilon, "number", "highly active is what exceeds the sample's mean by ε standard deviations"),
        ("dead features", health.dead_features, "count", f"of {features:,}: never highly active in the reference"),
        ("discriminative features", found, "count", "|D|: highly active in neither too few nor too many samples"),
        ("highly active", health.mean_active, "number", "features a sample has on average, |L|"),
        ("of these discriminative", mean, "number", "on average, |L ∩ D|: the Q-Score rests on these"),
        ("without any", health.empty_share, "share", "of the samples have no such feature: their Q-Score is 0 by rule"),
    ]


def score_table(scores: Scores) -> list[Json]:
    """One row a score: its meaning and its distribution."""
    plain = to_dict(scores)["summary"]
    return [{"score": name, "meaning": meaning(name), **plain.get(name, {})} for name in scores.names]


def class_table(probe: ProbeResult) -> list[Json] | None:
    """Each class with its accuracy and its most frequent mistake, the worst first; None where there are more than 30.

    Raises:
        FileFormatError: the probe's table is missing or damaged.
    """
    labels = np.asarray(names(column(probe, "label")))
    predictions = np.asarray(names(column(probe, "prediction", len(labels))))
    correct = column(probe, "correct", len(labels)).astype(bool)
    classes = np.unique(labels)
    if len(classes) > MOST_CLASSES:
        return None
    rows = [_class_row(name, correct[labels == name], predictions[labels == name]) for name in classes.tolist()]
    return sorted(rows, key=lambda row: row["accuracy"])


def _class_row(name: str, correct: np.ndarray, predictions: np.ndarray) -> Json:
    mistakes = Counter(predictions[~correct].tolist()).most_common(1)
    return {
        "label": shortened(name),
        "n": len(correct),
        "accuracy": float(correct.mean()),
        "mistake": shortened(mistakes[0][0]) if mistakes else None,
        "mistakes": mistakes[0][1] if mistakes else 0,
    }


def head_table(probe: ProbeResult) -> Json | None:
    """The settings of every head that was trained, and what it reached: "names" and "rows"; None where there is one."""
    if len(probe.heads) < 2:
        return None
    names = list(dict.fromkeys(key for head in probe.heads for key in head))
    return {
        "names": [key.replace("_", " ") for key in names],
        "rows": [[_cell(head.get(key)) for key in names] for head in probe.heads],
    }


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else _text(value)


def provenance_table(records: Mapping[str, Record]) -> list[Json]:
    """How each record was made."""
    return [{"name": name, "kind": record.kind, **_provenance(record.provenance)} for name, record in records.items()]


def _provenance(provenance: Provenance) -> Json:
    return {
        "function": provenance.function,
        "karat": provenance.karat,
        "parameters": pairs(provenance.parameters),
        "inputs": pairs(provenance.inputs),
    }


def pairs(values: Mapping[str, Any]) -> list[Json]:
    """Names and values, the values as text."""
    return [{"name": str(key), "value": _text(value)} for key, value in values.items()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def meaning(name: str) -> str:
    """What a score or metric of the catalogue means."""
    return ROWS[name].meaning if name in ROWS else ""


def better(name: str) -> str | None:
    """Which way a score or metric is better, in words."""
    words = {1: "higher is better", -1: "lower is better"}
    return words.get(ROWS[name].direction) if name in ROWS else None


def defined(value: float) -> float | None:
    """None in the place of NaN and infinity, which JSON lacks."""
    return value if math.isfinite(value) else None
