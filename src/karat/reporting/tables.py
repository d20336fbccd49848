"""The tables of a report, as rows of plain values."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..catalog import ROWS
from ..records import Evaluation, Health, Metrics, ProbeResult, Provenance, Record, ScoreEvaluation, Scores, to_dict
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
    return [{"score": name, "meaning": _meaning(name), **plain.get(name, {})} for name in scores.names]


def evaluation_table(evaluation: Evaluation) -> Json:
    """The measures of each score without labels, best AUROC first; those with labels; and what chance gives."""
    plain = {row["score"]: row for row in to_dict(evaluation)["rows"]}
    rows = sorted(evaluation.rows, key=_rank)
    right, wrong = evaluation.accuracy, 1 - evaluation.accuracy
    areas = {"auroc": 0.5, "auprc": right, "auprc_error": wrong, "aurc": wrong, "augrc": wrong / 2}
    return {
        "rivals": [_measures(plain[row.score], row) for row in rows if not row.labelled],
        "ceiling": [_measures(plain[row.score], row) for row in rows if row.labelled],
        "chance": {**areas, "fpr95": 0.95},
    }


def _rank(row: ScoreEvaluation) -> tuple[bool, float]:
    value = row.auroc.value
    return value != value, -value


def _measures(plain: Json, row: ScoreEvaluation) -> Json:
    kept = {key: value for key, value in plain.items() if key not in ("coverage", "risk")}
    return kept | {"meaning": _meaning(row.score), "chance": row.auroc.low <= 0.5}


def metric_table(metrics: Metrics) -> list[Json]:
    """One row a metric of the whole set."""
    plain = to_dict(metrics)["values"]
    words = {1: "higher is better", -1: "lower is better"}
    return [
        {
            "metric": name,
            "value": value,
            "meaning": _meaning(name),
            "better": words.get(ROWS[name].direction) if name in ROWS else None,
            "source": ROWS[name].source if name in ROWS else None,
        }
        for name, value in plain.items()
    ]


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


def _meaning(name: str) -> str:
    return ROWS[name].meaning if name in ROWS else ""
