"""Small records and images for the tests of the report, made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from karat.records import (
    Calibration,
    ClassEvaluation,
    Comparison,
    Compression,
    Curve,
    CurvePoint,
    Epoch,
    Estimate,
    Evaluation,
    Explanation,
    Faithfulness,
    Finetuning,
    Health,
    MapOverlap,
    Metrics,
    OrderFaithfulness,
    Overlap,
    OverlapDifference,
    PairedTest,
    ProbeResult,
    ProbeShift,
    Provenance,
    Record,
    ReliabilityBin,
    ScoreEvaluation,
    Scores,
    ScoreShift,
    Selection,
    Study,
    StudyArm,
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
    return ScoreEvaluation(score, labelled, Estimate(*auroc), *[other] * 5, coverage, risk, other)


def evaluation(*rows: ScoreEvaluation) -> Evaluation:
    rows = rows or (
        row("random", (0.49, 0.45, 0.53)),
        row("q_score", (0.58, 0.55, 0.61)),
        row("softmax_confidence", (0.79, 0.77, 0.81), labelled=True),
    )
    return Evaluation(provenance("evaluate"), n=120, accuracy=0.6, rows=rows)


def judged() -> Evaluation:
    """An evaluation with paired tests, classes and a warning."""
    rows = (
        row("knn_similarity", (0.66, 0.62, 0.70)),
        row("q_score", (0.58, 0.55, 0.61)),
        row("random", (0.49, 0.45, 0.53)),
        row("softmax_confidence", (0.79, 0.77, 0.81), labelled=True),
    )
    tests = (
        PairedTest("knn_similarity", "q_score", Estimate(0.08, 0.04, 0.12), 0.001, 0.002),
        PairedTest("random", "q_score", Estimate(-0.09, -0.14, -0.04), 0.0001, 0.0003),
        PairedTest("random", "knn_similarity", Estimate(-0.01, -0.03, 0.01), 0.4, 0.4),
    )
    inside = {"q_score": 0.57, "knn_similarity": 0.61, "softmax_confidence": 0.77}
    classes = (
        ClassEvaluation("cat", 70, 20, 5 / 7, inside),
        ClassEvaluation("frog", 50, 28, 0.44, dict.fromkeys(inside, math.nan)),
    )
    warning = "1 of 2 classes have fewer than 5 right or 5 wrong samples (frog): their AUROC is not given"
    return Evaluation(provenance("evaluate"), 120, 0.6, rows, tests, classes, (warning,))


def compression(**changes: Any) -> Compression:
    """10 of 40 features kept: better than random subsets, no better than PCA, worse than all features."""
    accuracy = {
        ("karat", 0.1): 0.5, ("random", 0.1): 0.4, ("pca", 0.1): 0.52,
        ("karat", 0.25): 0.55, ("random", 0.25): 0.45, ("pca", 0.25): 0.56,
        ("all_features", 1.0): 0.6,
    }  # fmt: skip
    curve = tuple(
        CurvePoint(method, keep, round(40 * keep), Estimate(value, value - 0.02, value + 0.02))
        for (method, keep), value in accuracy.items()
    )
    tests = (
        PairedTest("karat", "random", Estimate(0.1, 0.07, 0.13), 0.001, 0.003),
        PairedTest("karat", "pca", Estimate(-0.01, -0.03, 0.01), 0.3, 0.3),
        PairedTest("karat", "all_features", Estimate(-0.05, -0.08, -0.02), 0.004, 0.008),
    )
    record = {
        "provenance": provenance("compress"), "n": 300, "d": 40, "keep": 0.25, "k": 10, "epsilon": 4.0, "halves": False,
        "mask": np.arange(40) < 10, "order": np.arange(40), "share": np.r_[np.linspace(0.5, 0.1, 35), np.zeros(5)],
        "curve": curve, "tests": tests, "warnings": ("few samples",),
        "verdict": "10 of 40 features: the selection is better than random; no better than pca.",
    }  # fmt: skip
    return Compression(**{**record, **changes})


def calibration(**changes: Any) -> Calibration:
    bins = (
        ReliabilityBin(40, 0.125, Estimate(0.1, 0.04, 0.23)),
        ReliabilityBin(40, 0.25, Estimate(0.275, 0.16, 0.43)),
        ReliabilityBin(40, 0.5, Estimate(0.525, 0.38, 0.67)),
    )
    record = {
        "provenance": provenance("calibrate"), "n": 120, "n_labelled": 110, "using": ("q_score", "random"),
        "method": "isotonic", "error_rate": 0.3, "ece": Estimate(0.025, 0.01, 0.06), "ece_by_chance": 0.05,
        "brier": Estimate(0.19, 0.16, 0.22), "brier_of_base_rate": 0.21, "auroc": Estimate(0.68, 0.6, 0.75),
        "reliability": bins,
        "columns": {"id": np.arange(120), "p_wrong": np.zeros(120), "labelled": np.ones(120, bool)},
    }  # fmt: skip
    return Calibration(**{**record, **changes})


def selection(budget: int = 30, **changes: Any) -> Selection:
    """The samples "s000", "s001", ..., which are those of `scores`, and more."""
    rows = np.arange(budget)
    columns = {
        "id": np.array([f"s{row:03d}" for row in rows]),
        "q_score": rows / 1000,
        "percentile": (rows + 1) / 1000,
        "distance": np.where(rows == 0, np.nan, 2 - rows / 1000),
        "reason": np.array([f"q_score in the lowest {row / 10 + 0.1:.1f}%" for row in rows]),
    }
    record = {
        "provenance": provenance("select"), "n": 1000, "budget": budget, "strategy": "mixed", "by": "q_score",
        "columns": columns,
    }  # fmt: skip
    return Selection(**{**record, **changes})


def comparison(**changes: Any) -> Comparison:
    """Two encoders on 120 samples: 30 gained, 6 lost; the percentile of sample i is i/120 with the first, 1 - that with
    the second, and not known of the last."""
    rise = np.arange(120) / 120
    change = np.array(["gained"] * 30 + ["lost"] * 6 + ["right"] * 50 + ["wrong"] * 30 + [""] * 4)
    columns = {
        "id": np.array([f"s{row:03d}" for row in range(120)]),
        "percentile:old": rise,
        "percentile:new": np.r_[1 - rise[:-1], np.nan],
        "change:new": change,
    }
    record = {
        "provenance": provenance("compare"), "names": ("old", "new"), "widths": (40.0, math.nan),
        "metrics": {"effective_rank": (17.2, 21.7), "alpha": (1.5, math.nan)},
        "shifts": (ScoreShift("q_score", "old", "new", 119, Estimate(-0.97, -0.99, -0.95), 0.0),),
        "probes": (ProbeShift("old", "new", 116, 0.5, 0.7, Estimate(0.2, 0.1, 0.3), 30, 6, 0.0004),),
        "by": "q_score", "columns": columns, "warnings": ("new has no embeddings",),
    }  # fmt: skip
    return Comparison(**{**record, **changes})


def explanation(**changes: Any) -> Explanation:
    """Maps of the 6 lowest and 6 highest of 120 samples."""
    columns = {"row": np.arange(12), "id": np.array([f"s{row:03d}" for row in range(12)])}
    record = {
        "provenance": provenance("explain"), "encoder": "small", "method": "gradcam", "layer": "head", "exact": True,
        "height": 16, "width": 16, "epsilon": 4.0, "d": 40, "discriminative_features": 18, "n": 120, "n_mapped": 12,
        "n_empty": 36, "n_zero_maps": 0, "columns": columns, "warnings": ("36 of 120 images have nothing to show",),
    }  # fmt: skip
    return Explanation(**{**record, **changes})


def around(value: float) -> Estimate:
    return Estimate(value, value - 0.02, value + 0.02)


def overlap(prior: float = 0.44, **changes: Any) -> Overlap:
    """120 images; the maps of D have an mIoU of 0.25, the others as they are listed, the centre prior that given."""
    rows = {"D": 0.25, "not D": 0.17, "random init": 0.24, "centre prior": prior, "random map": 0.31}
    measured = [
        MapOverlap(name, "core", "all", 110, 9 if name == "D" else 0, *[around(value)] * 3, around(0.7))
        for name, value in rows.items()
    ]
    measured += [MapOverlap("D", "core", samples, 55, 4, *[around(0.2)] * 4) for samples in ("correct", "wrong")]
    differences = [
        OverlapDifference("D", name, "core", 110, *[around(0.25 - value)] * 4, 101, around(0.28 - value))
        for name, value in rows.items()
        if name != "D"
    ]
    differences.append(OverlapDifference("D, correct", "D, wrong", "core", 110, *[around(0.01)] * 4, 101, around(0.02)))
    record = {
        "provenance": provenance("mask_overlap"), "n": 120, "without_mask": 7, "extra_masks": 2,
        "empty_masks": {"core": 3}, "mask_area": {"core": 0.4}, "measured": tuple(measured),
        "differences": tuple(differences), "warnings": ("few images",),
    }  # fmt: skip
    return Overlap(**{**record, **changes})


def faithfulness(**changes: Any) -> Faithfulness:
    """The map's order is better than a random one and no better than the middle outwards, for both quantities."""
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    lead = {"map": 0.0, "random order": 0.1, "centre prior": 0.01}
    orders = tuple(
        OrderFaithfulness(
            order, of, around(0.4 + better), around(0.6 - better), around(better), around(better),
            tuple(1 - share for share in shares), shares,
        )
        for of in ("q_score", "cosine")
        for order, better in lead.items()
    )  # fmt: skip
    record = {
        "provenance": provenance("faithfulness"), "n": 120, "zero_maps": 5, "baseline": "blur", "shares": shares,
        "orders": orders, "warnings": ("few images",),
    }  # fmt: skip
    return Faithfulness(**{**record, **changes})


def measured() -> Metrics:
    """Metrics with convergence curves, a metric that is not defined and one that was left out."""
    curves = {
        "effective_rank": Curve((30, 60, 120), (12.0, 16.0, 17.2)),
        "alpha": Curve((30, 60, 120), (math.nan, math.nan, math.nan)),
        "lidar": Curve((7, 14), (5.0, 5.0), "images"),
    }
    values = {"effective_rank": 17.2, "alpha": math.nan, "lidar": 5.0}
    why = ("alpha is not defined: the features are constant",)
    spectrum = tuple((2.0 ** -np.arange(1.0, 31.0)).tolist())
    return Metrics(provenance("measure"), 120, 40, values, why, {"coherence": "time", "clid": "time"}, curves, spectrum)


def finetuning(epochs: int = 3, **changes: Any) -> Finetuning:
    """The loss is 8 / epoch, the norm term 1 / epoch, the Q term -1 / epoch; accuracy rises by 1% each."""
    history = [Epoch(0, *[math.nan] * 6, {"linear_accuracy": 0.6, "mean_q": 0.25, "discriminative_features": 9.0})]
    history += [
        Epoch(
            epoch, 8 / epoch, 8 / epoch, -1 / epoch, 1 / epoch, 0.9, 0.01,
            {"linear_accuracy": 0.6 + epoch / 100, "mean_q": 0.25 * epoch, "discriminative_features": 9.0 + epoch},
        )
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip
    asked = {"lambda1": 1e-4, "lambda2": 2e-4, "lasso": 0.0, "epsilon": 4.0, "seed": 7, "schedule": "cosine"}
    record = {
        "provenance": Provenance("finetune", asked, {"images": "0123" * 8}, "0.1.0"), "method": "simclr",
        "encoder": "small", "from_scratch": False, "recipe": {"optimizer": "sgd", "lr": 0.01, "batch_size": 64},
        "steps": 12 * epochs, "n_train": 800, "n_val": 100, "history": tuple(history), "weights_digest": "89ab" * 8,
        "warnings": ("few images",),
    }  # fmt: skip
    return Finetuning(**{**record, **changes})


def study(lead: float = 0.05, **changes: Any) -> Study:
    """Four arms; the Q-Score's is better than each other by `lead`, which is significant unless it is 0."""
    accuracy = {"baseline": 0.6, "lambda0": 0.6, "lasso": 0.6, "q_score": 0.6 + lead}
    arms = tuple(
        StudyArm(
            name, *((1e-4, 1e-4) if name == "q_score" else (0.0, 0.0)), 1e-3 if name == "lasso" else 0.0,
            (value - 0.01, value, value + 0.01), around(value), around(value - 0.1), around(0.58), around(0.4),
            around(0.3), {} if name == "baseline" else {**dict.fromkeys(
                ("compressed_accuracy", "auroc", "mean_q", "empty_share"), around(0.0)
            ), "linear_accuracy": around(value - 0.6)},
        )
        for name, value in accuracy.items()
    )  # fmt: skip
    p = 0.4 if lead == 0 else 0.001
    tests = tuple(PairedTest("q_score", name, around(lead), p, p) for name in ("baseline", "lambda0", "lasso"))
    record = {
        "provenance": provenance("study"), "method": "simclr", "encoder": "small", "heads": "kept", "seeds": (0, 1, 2),
        "recipe": {"optimizer": "sgd", "lr": 0.01}, "steps": 36, "n_train": 800, "n_val": 200, "d": 40, "epsilon": 4.0,
        "keep": 0.6, "arms": arms, "tests": tests, "verdict": "Does it beat the same with lambda = 0? As it is told.",
        "warnings": ("few seeds",),
    }  # fmt: skip
    return Study(**{**record, **changes})


def hostile(record: Record, text: str) -> Record:
    """A record that judges, or metrics, with this text wherever it has some."""
    record = replace(record, warnings=(text,))
    match record:
        case Evaluation():
            rows = tuple(replace(row, score=row.score + text) for row in record.rows)
            tests = tuple(replace(test, first=text + test.first, second=text) for test in record.tests)
            return replace(record, rows=rows, tests=tests, classes=(replace(record.classes[0], label=text),))
        case Metrics():
            curves = {text: replace(record.curves["lidar"], of=text)}
            return replace(record, values={text: 1.0}, left_out={text: text}, curves=curves)
        case Finetuning():
            history = tuple(replace(entry, metrics={text: float(entry.epoch)}) for entry in record.history)
            return replace(record, method=text, encoder=text, recipe={text: text}, heads=text, history=history)
        case Study():
            arms = (*record.arms, replace(record.arms[-1], name=text))
            tests = (*record.tests, replace(record.tests[-1], first=text, second=text))
            return replace(record, method=text, encoder=text, recipe={text: text}, verdict=text, arms=arms, tests=tests)
        case Compression():
            curve = tuple(replace(point, method=point.method + text) for point in record.curve)
            tests = tuple(replace(test, second=text) for test in record.tests)
            return replace(record, curve=curve, tests=tests, verdict=text)
        case Calibration():
            return replace(record, using=(text,), method=text)
        case Selection():
            columns = {**record.columns, "id": np.array([text] * 30), "reason": np.array([text] * 30)}
            return replace(record, by=text, strategy=text, columns={**columns, text: np.arange(30)})
        case Explanation():
            return replace(record, encoder=text, method=text, layer=text, exact=False)
        case Overlap():
            named = [replace(row, maps=row.maps + text if row.maps == "D" else row.maps) for row in record.measured]
            others = [replace(row, first=row.first.replace("D", "D" + text)) for row in record.differences]
            return replace(record, measured=tuple(named), differences=tuple(others))
        case Faithfulness():
            orders = tuple(replace(row, order=row.order + text, of=row.of + text) for row in record.orders)
            return replace(record, orders=orders, baseline=text)
        case _:
            named = {"first": text, "second": text + "2"}
            columns = {"id": np.array([text] * 120), f"percentile:{text}": np.arange(120)}
            columns |= {
                f"percentile:{text}2": np.arange(120)[::-1],
                f"change:{text}2": record.columns["change:new"],
            }
            return replace(
                record, names=(text, text + "2"), by=text, columns=columns, metrics={text: (1.0, 2.0)},
                shifts=(replace(record.shifts[0], score=text, **named),),
                probes=(replace(record.probes[0], **named),),
            )  # fmt: skip


def metrics() -> Metrics:
    return Metrics(
        provenance("measure"), n=120, d=40, values={"mean_q": 0.41, "empty_share": 0.3, "effective_rank": 17.2}
    )


def images(path: Path, n: int = 120, side: int = 16) -> Path:
    """An .npz of n noise images with the ids of `scores`."""
    pixels = np.random.default_rng(1).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    np.savez(path, images=pixels, ids=np.array([f"s{row:03d}" for row in range(n)]))
    return path
