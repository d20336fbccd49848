"""Small records and images for the tests of the report, made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from karat.records import (
    Estimate,
    Evaluation,
    Health,
    Metrics,
    ProbeResult,
    Provenance,
    ScoreEvaluation,
    Scores,
    Summary,
)

CLASSES = ("bird", "cat", "frog")


def provenance(function: str) -> Provenance:
    return Provenance(function, {"epsilon": 4.0, "seed": 0}, {"embeddings": "0123456789abcdef" * 2}, "0.1.0")


def health(n: int, d: int, **changes: Any) -> Health:
    values = {
        "n": n, "d": d, "zero_share": 0.25, "negative_share": 0.0, "halves": False, "dead_features": 3,
        "discriminative_features": 20, "mean_active": 2.5, "mean_discriminative": 1.25, "empty_share": 0.3,
        "constant_rows": 0, "zero_rows": 0, "duplicate_rows": 1, "duplicates_checked": n, "spread": 0.6, "bad_rows": 0,
        "warnings": ("30% of the samples have no highly active discriminative feature.",),
    }  # fmt: skip
    return Health(**{**values, **changes})


def scores(n: int = 120, d: int = 40, *, zeros: float = 0.3, **changes: Any) -> Scores:
    """Scores of n samples "s000", "s001", ...; the first `zeros` of them have a Q-Score of 0 by rule."""
    generator = np.random.default_rng(0)
    q_score = generator.uniform(0.1, 1, n)
    q_score[: round(zeros * n)] = 0
    columns = {
        "id": np.array([f"s{row:03d}" for row in range(n)]),
        "label": np.array([CLASSES[row % 3] for row in range(n)]),
        "q_score": q_score,
        "random": generator.random(n),
    }
    share = np.sort(generator.random(d)) ** 3
    share[:3] = 0
    band = (np.arange(d) >= d // 2) & (np.arange(d) < d - 2)
    record = {
        "provenance": provenance("score"), "names": ("q_score", "random"), "epsilon": 4.0, "health": health(n, d),
        "summary": {name: Summary(0.5, 0.2, 0.0, 0.1, 0.5, 0.9, 1.0) for name in ("q_score", "random")},
        "columns": columns, "activation_share": share, "discriminative": band,
    }  # fmt: skip
    return Scores(**{**record, **changes})


def probe(n: int = 120, **changes: Any) -> ProbeResult:
    """A probe that is wrong on every third sample, which it takes for a cat; its rows are in falling order of id."""
    rows = np.arange(n)[::-1]
    labels = np.array([CLASSES[row % 3] for row in rows])
    prediction = np.where(rows % 3 == 0, "cat", labels)
    columns = {
        "id": np.array([f"s{row:03d}" for row in rows]), "label": labels, "prediction": prediction,
        "correct": prediction == labels, "logits": np.zeros((n, 3), np.float32),
    }  # fmt: skip
    record = {
        "provenance": provenance("probe"), "accuracy": 2 / 3, "n_train": 300, "n_val": n, "classes": CLASSES,
        "head": {"C": 0.01, "held_out_accuracy": 0.654321}, "columns": columns,
    }  # fmt: skip
    return ProbeResult(**{**record, **changes})


def row(score: str, auroc: tuple[float, float, float], *, labelled: bool = False) -> ScoreEvaluation:
    """A row of an evaluation with accuracy 0.6, whose error rate falls from 40% to 30% as fewer samples are kept."""
    other = Estimate(0.5, 0.4, 0.6)
    coverage = tuple(point / 100 for point in range(1, 101))
    risk = tuple(0.3 + 0.1 * point for point in coverage)
    return ScoreEvaluation(score, labelled, Estimate(*auroc), other, other, other, other, other, coverage, risk)


def evaluation(*rows: ScoreEvaluation) -> Evaluation:
    rows = rows or (
        row("random", (0.49, 0.45, 0.53)),
        row("q_score", (0.58, 0.55, 0.61)),
        row("softmax_confidence", (0.79, 0.77, 0.81), labelled=True),
    )
    return Evaluation(provenance("evaluate"), n=120, accuracy=0.6, rows=rows)


def metrics() -> Metrics:
    return Metrics(
        provenance("measure"), n=120, d=40, values={"mean_q": 0.41, "empty_share": 0.3, "effective_rank": 17.2}
    )


def images(path: Path, n: int = 120, side: int = 16) -> Path:
    """An .npz of n noise images with the ids of `scores`."""
    pixels = np.random.default_rng(1).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    np.savez(path, images=pixels, ids=np.array([f"s{row:03d}" for row in range(n)]))
    return path
