"""The tables of all encoders, as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from stages import LABELLED, SEEDS, calibrations, records
from subjects import TITLES

from karat import runs
from karat.records import Comparison, Estimate, Evaluation, ScoreEvaluation
from karat.stats.ranking import intervals

MEASURES = ("auroc", "auprc", "auprc_error", "fpr95", "aurc", "augrc", "spearman", "r_auroc")


def tables(folder: Path, names: Sequence[str], *, train: int, test: int, seed: int) -> str:
    """A page: what was judged, and every table."""
    parts = [
        "# Judging: all tables\n\n"
        "Made by `python benchmarks/judging DATA`; [Evidence](evidence.md) says what they come to. CIFAR-10 as JPEG "
        f"files: {train:,} training images and {test:,} test images, drawn with seed {seed}; four augmented views of "
        "each test image. Brackets are 95% bootstrap intervals over the test images.\n",
        *_accuracy(folder, names),
        *_auroc(folder, names),
        *_tests(folder, names),
        *_metrics(folder, names),
        *_compression(folder, names),
        *_calibration(folder, names),
        *_labelling(folder, names),
        *_comparison(folder),
        *_classes(folder, names[0]),
        *(line for name in names for line in _all_measures(folder, name)),
    ]
    return "\n".join(parts) + "\n"


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> Iterator[str]:
    yield f"## {title}\n"
    if note:
        yield note + "\n"
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _cell(estimate: Estimate, *, digits: int = 3, bold: bool = False) -> str:
    if np.isnan(estimate.value):
        return "–"
    value = f"{estimate.value:.{digits}f}"
    return f"{f'**{value}**' if bold else value} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _titles(names: Sequence[str]) -> list[str]:
    return [TITLES[name] for name in names]


def _accuracy(folder: Path, names: Sequence[str]) -> Iterator[str]:
    rows = []
    for name in names:
        scores, probes, *_ = records(folder / name)
        health, paper = scores["scores"].health, scores["scores_4"].health
        rows.append([
            TITLES[name],
            str(health.d),
            "yes" if health.halves else "no",
            f"{probes['probe'].accuracy:.1%}",
            f"{probes['knn_probe'].accuracy:.1%}",
            f"{paper.empty_share:.1%}",
            f"{scores['scores'].epsilon:g}",
            f"{health.empty_share:.1%}",
        ])  # fmt: skip
    head = ["encoder", "features", "halves", "linear", "kNN", "empty at 4", "epsilon auto", "empty at auto"]
    yield from _table("Encoders", head, rows, "*empty*: samples without a highly active discriminative feature.")


def _rows(evaluation: Evaluation) -> dict[str, ScoreEvaluation]:
    return {row.score: row for row in evaluation.rows}


def _auroc(folder: Path, names: Sequence[str]) -> Iterator[str]:
    found = []
    for name in names:
        _, _, evaluations, *_ = records(folder / name)
        rows = _rows(evaluations["evaluation"])
        found.append({"q_score at epsilon 4": _rows(evaluations["evaluation_4"])["q_score"], **rows})
    order = sorted({score for rows in found for score in rows}, key=lambda score: _place(score, found))
    best = [max((r.auroc.value for r in rows.values() if not r.labelled), default=1.0) for rows in found]
    cells = [
        [score]
        + [
            _cell(rows[score].auroc, bold=rows[score].auroc.value == top) if score in rows else "–"
            for rows, top in zip(found, best, strict=True)
        ]
        for score in order
    ]
    yield from _table(
        "Does a score predict the probe's errors? AUROC of “the probe is right”",
        ["score", *_titles(names)],
        cells,
        "0.5: chance. Bold: the best without labels; the softmax rows use all labels. Every score is turned so that "
        "high is good. Epsilon is `auto` where it is not said.",
    )


def _place(score: str, found: Sequence[dict[str, ScoreEvaluation]]) -> tuple[bool, float]:
    """Those without labels first, each group by its mean."""
    rows = [of[score] for of in found if score in of]
    return rows[0].labelled, -float(np.mean([row.auroc.value for row in rows]))


def _tests(folder: Path, names: Sequence[str]) -> Iterator[str]:
    rows = []
    for name in names:
        _, _, evaluations, *_ = records(folder / name)
        tests = [test for test in evaluations["evaluation"].tests if "q_score" in (test.first, test.second)]
        for test in sorted(tests, key=lambda test: -test.difference.value):
            if test.sign:
                rows.append([TITLES[name], test.first, test.second, _cell(test.difference), f"{test.p_holm:.2g}"])
    head = ["encoder", "first", "second", "difference in AUROC", "p (Holm)"]
    yield from _table(
        "Which scores differ from the Q-Score?",
        head,
        rows,
        "Paired bootstrap on the same images, epsilon `auto`; only differences that are significant after Holm's "
        "correction.",
    )


def _metrics(folder: Path, names: Sequence[str]) -> Iterator[str]:
    found = [records(folder / name)[3] for name in names]
    order = list(dict.fromkeys(key for metrics in found for key in metrics.values))

    def cell(metrics: object, key: str) -> str:
        value = metrics.values.get(key, np.nan)  # type: ignore[attr-defined]
        curve = metrics.curves.get(key)  # type: ignore[attr-defined]
        half = f" ({curve.values[-2]:.4g})" if curve is not None and len(curve.values) > 1 else ""
        return "–" if np.isnan(value) else f"{value:.4g}{half}"

    rows = [[key, *(cell(metrics, key) for metrics in found)] for key in order]
    yield from _table(
        "Metrics of the whole representation",
        ["metric", *_titles(names)],
        rows,
        "On all test images; in brackets on a random half of them, which says whether the number has converged.",
    )


def _compression(folder: Path, names: Sequence[str]) -> Iterator[str]:
    found = {name: records(folder / name)[4] for name in names}
    rows = []
    for name, compression in found.items():
        points = {point.method: point for point in compression.curve if point.keep in (compression.keep, 1.0)}
        methods = ("karat", "random", "variance", "pca", "sparse_projection", "all_features")
        rows.append([TITLES[name], str(compression.k), *(_percent(points[m].accuracy) for m in methods)])
    head = ["encoder", "features kept", "karat", "random", "variance", "PCA", "sparse projection", "all features"]
    yield from _table("Compression: linear accuracy with 60% of the features", head, rows)
    for name, compression in found.items():
        yield f"* {TITLES[name]}: {compression.verdict}"
    yield ""
    for name, compression in found.items():
        keeps = sorted({point.keep for point in compression.curve})
        methods = list(dict.fromkeys(point.method for point in compression.curve))
        at = {(point.method, point.keep): _percent(point.accuracy) for point in compression.curve}
        rows = [[m, *(at.get((m, keep), "–") for keep in keeps)] for m in methods]
        yield from _table(f"Compression curve: {TITLES[name]}", ["features", *(f"{keep:.0%}" for keep in keeps)], rows)


def _percent(estimate: Estimate) -> str:
    return f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


def _calibration(folder: Path, names: Sequence[str]) -> Iterator[str]:
    rows = []
    for name in names:
        _, probes, *_ = records(folder / name)
        probe = probes["probe"]
        right = dict(zip(probe.ids.tolist(), probe.correct.tolist(), strict=True))
        for using, calibration in calibrations(folder / name).items():
            rest = ~calibration.columns["labelled"] & ~np.isnan(calibration.p_wrong)
            wrong = ~np.array([right[id_] for id_ in calibration.ids.tolist()])
            unseen = Estimate(*intervals(calibration.p_wrong[rest], wrong[rest])["auroc"])
            rows.append([
                TITLES[name],
                using,
                _cell(calibration.ece),
                f"{calibration.ece_by_chance:.3f}",
                _cell(calibration.brier),
                f"{calibration.brier_of_base_rate:.3f}",
                _cell(unseen),
            ])  # fmt: skip
    head = [
        "encoder",
        "using",
        "calibration error",
        "of a perfect one",
        "Brier",
        "of the base rate",
        "AUROC on the rest",
    ]
    yield from _table(
        f"Calibration: P(misclassified) from {LABELLED} known outcomes",
        head,
        rows,
        "Logistic regression; error and Brier score cross-fitted on the known ones, AUROC on all images whose outcome "
        "was not shown.",
    )


def _labelling(folder: Path, names: Sequence[str]) -> Iterator[str]:
    found = {name: json.loads((folder / name / "labelling.json").read_text()) for name in names}
    rows = []
    for choice in next(iter(found.values())):
        cells = []
        for name in names:
            tries = np.array(found[name][choice])
            spread = f" [{tries.min():.1%}, {tries.max():.1%}]" if len(tries) > 1 else ""
            cells.append(f"{tries.mean():.1%}{spread}")
        rows.append([choice, *cells])
    yield from _table(
        f"Which {LABELLED} training images to label? Accuracy of a probe trained on them",
        ["choice", *_titles(names)],
        rows,
        f"Random: mean and range of {SEEDS} draws.",
    )


def _comparison(folder: Path) -> Iterator[str]:
    record = runs.open_run(folder / "all").records["comparison"]
    assert isinstance(record, Comparison)
    rows = [
        [
            TITLES[shift.second],
            f"{shift.accuracy_second:.1%}",
            _cell(shift.difference),
            str(shift.gained),
            str(shift.lost),
            f"{shift.p:.2g}",
        ]
        for shift in record.probes
    ]
    head = ["encoder", "linear", "difference in accuracy", "gained", "lost", "p (McNemar)"]
    yield from _table(f"Beside {TITLES[record.names[0]]}, on the same images", head, rows)
    rows = [
        [TITLES[shift.second], shift.score, _cell(shift.spearman), f"{shift.lowest:.2f}"]
        for shift in record.shifts
        if shift.score in ("q_score", "knn_similarity", "graph_spectral_norm", "view_agreement")
    ]
    yield from _table(
        f"Do scores agree with those of {TITLES[record.names[0]]}?",
        ["encoder", "score", "Spearman", "shared lowest tenth (chance: 0.1)"],
        rows,
    )


def _classes(folder: Path, name: str) -> Iterator[str]:
    evaluation = records(folder / name)[2]["evaluation"]
    shown = ("q_score", "knn_similarity", "graph_spectral_norm", "softmax_confidence")
    rows = [
        [each.label, str(each.n), f"{each.accuracy:.1%}", *(f"{each.auroc.get(s, np.nan):.3f}" for s in shown)]
        for each in evaluation.classes
    ]
    yield from _table(f"Class by class: AUROC, {TITLES[name]}", ["class", "n", "accuracy", *shown], rows)


def _all_measures(folder: Path, name: str) -> Iterator[str]:
    evaluation = records(folder / name)[2]["evaluation"]
    rows = [[row.score, *(_cell(getattr(row, measure)) for measure in MEASURES)] for row in evaluation.rows]
    yield from _table(
        f"All measures: {TITLES[name]}",
        ["score", *MEASURES],
        rows,
        f"Base rate of AUPRC: {evaluation.accuracy:.3f}; of AUPRC (error): {1 - evaluation.accuracy:.3f}.",
    )
