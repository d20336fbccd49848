"""The records that judge, as terminal tables and sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from .labelling import Calibration, Selection
from .layout import numbers_table, pairs
from .verdicts import Comparison, Compression, Evaluation, PairedTest, ProbeShift, ScoreEvaluation

Blocks = list[Table | str]
# Classes and chosen samples shown; the record has them all.
_SHOWN = 10
_MEASURES = {
    "AUROC": "auroc",
    "AUPRC": "auprc",
    "AUPRC error": "auprc_error",
    "FPR@95": "fpr95",
    "AURC": "aurc",
    "AUGRC": "augrc",
    "Spearman (loss)": "spearman",
    "R-AUROC": "r_auroc",
}
# Not every evaluation has these.
_OPTIONAL = ("spearman", "r_auroc")


def verdict_blocks(record: Evaluation | Compression | Calibration | Selection | Comparison) -> Blocks:
    """A record that judges, as tables and sentences."""
    match record:
        case Evaluation():
            return [
                _evaluation_sentence(record),
                _evaluation_table(record),
                *(_test_blocks(record) if record.tests else []),
                *([_class_table(record)] if record.classes else []),
            ]
        case Compression():
            return [_compression_table(record), *(_curve_blocks(record) if record.curve else []), record.verdict]
        case Calibration():
            return [_calibration_table(record), _reliability_table(record)]
        case Selection():
            return [_selection_table(record)]
        case Comparison():
            return _comparison_blocks(record)


def _evaluation_sentence(record: Evaluation) -> str:
    correlation = "-1 is the best correlation with the loss; " if "spearman" in _measures(record).values() else ""
    return (
        f"Do the scores predict the probe's errors? {record.n:,} samples, accuracy (the base rate of AUPRC) "
        f"{record.accuracy:.3f}; chance is an AUROC of 0.5; {correlation}95% intervals in brackets."
    )


def _evaluation_table(record: Evaluation) -> Table:
    measures = _measures(record)
    evaluation = numbers_table("", "without labels", *measures)
    for labelled in (False, True):
        if labelled:
            evaluation.add_row("[dim]with labels[/]")
        for row in record.rows:
            if row.labelled is labelled:
                evaluation.add_row(*_cells(row, measures))
    return evaluation


def _measures(record: Evaluation) -> dict[str, str]:
    """The columns: without those that are known of no score."""
    unknown = {field for field in _OPTIONAL if all(math.isnan(getattr(row, field).value) for row in record.rows)}
    return {name: field for name, field in _MEASURES.items() if field not in unknown}


def _cells(row: ScoreEvaluation, measures: Mapping[str, str]) -> list[str]:
    return [row.score, *(escape(str(getattr(row, field))) for field in measures.values())]


def _test_blocks(record: Evaluation) -> Blocks:
    """One row a score, one pair of columns for each score that it is tested against."""
    against = list(dict.fromkeys(test.second for test in record.tests))
    tests = {(test.first, test.second): test for test in record.tests}
    listed = numbers_table(
        "differences of AUROC", "", *(name for second in against for name in (f"to {second}", "p (Holm)"))
    )
    for first in dict.fromkeys(test.first for test in record.tests):
        found = (tests.get((first, second)) for second in against)
        listed.add_row(first, *(cell for test in found for cell in _difference(test)))
    told = (
        f"{len(record.tests)} tests on the same samples, by a paired bootstrap; p is corrected for all of them (Holm)."
    )
    if len(against) > 1:
        told += f" {against[-1]} is the best on these very samples, so its lead is a little too large."
    return [listed, told]


def _difference(test: PairedTest | None) -> tuple[str, str]:
    return ("", "") if test is None else (escape(str(test.difference)), _p(test.p_holm))


def _p(p: float) -> str:
    return "-" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _number(value: float, digits: int = 3) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _class_table(record: Evaluation) -> Table:
    """The classes of lowest accuracy, with the AUROC inside each of q_score and the best score without labels."""
    scores = list(dict.fromkeys(test.second for test in record.tests))
    worst = sorted(record.classes, key=lambda row: row.accuracy)[:_SHOWN]
    title = f"the {len(worst)} of {len(record.classes):,} classes with the lowest accuracy"
    listed = numbers_table(title, "class", "n", "errors", "accuracy", *(f"AUROC of {name}" for name in scores))
    for row in worst:
        inside = (_number(row.auroc[name]) for name in scores)
        listed.add_row(escape(str(row.label)), f"{row.n:,}", f"{row.errors:,}", f"{row.accuracy:.3f}", *inside)
    return listed


def _compression_table(record: Compression) -> Table:
    rows = {
        "features kept": f"{record.k:,} of {record.d:,} ({record.keep:.0%})",
        "samples": f"{record.n:,}",
        "epsilon": f"{record.epsilon:g}",
        "features split in halves": "yes" if record.halves else "no",
        "dead features": f"{int((record.share == 0).sum()):,}",
    }
    return pairs("compression", rows)


def _curve_blocks(record: Compression) -> Blocks:
    methods = list(dict.fromkeys(point.method for point in record.curve))
    accuracy = {(point.method, point.keep): str(point.accuracy) for point in record.curve}
    curve = numbers_table("accuracy of a linear probe", "keep", "features", *methods)
    for keep, k in sorted({(point.keep, point.k) for point in record.curve}):
        cells = (escape(accuracy.get((method, keep), "")) for method in methods)
        curve.add_row(f"{keep:.0%}", f"{k:,}", *cells)
    tests = numbers_table(f"karat's selection at {record.keep:.0%}", "against", "difference", "p (Holm)")
    for test in record.tests:
        tests.add_row(test.second, *_difference(test))
    return [curve, tests]


def _calibration_table(record: Calibration) -> Table:
    rows = {
        "scores": ", ".join(record.using),
        "method": record.method,
        "samples": f"{record.n:,}",
        "labelled samples": f"{record.n_labelled:,}",
        "misclassified among them": f"{record.error_rate:.1%}",
        "expected calibration error": str(record.ece),
        "the same by chance alone": f"{record.ece_by_chance:.3f}",
        "Brier score": str(record.brier),
        "Brier score of the error rate": f"{record.brier_of_base_rate:.3f}",
        "AUROC of P(misclassified)": str(record.auroc),
    }
    return pairs("calibration", rows)


def _reliability_table(record: Calibration) -> Table:
    listed = numbers_table("reliability", "samples", "predicted P(wrong)", "observed")
    for each in record.reliability:
        listed.add_row(f"{each.n:,}", f"{each.predicted:.3f}", escape(str(each.observed)))
    return listed


def _selection_table(record: Selection) -> Table:
    title = f"{record.budget:,} of {record.n:,} samples to label"
    if record.budget > _SHOWN:
        title += f", the first {_SHOWN}"
    listed = numbers_table(title, "id", record.by)
    listed.add_column("why")
    columns = (record.columns.get(name, ()) for name in ("id", record.by, "reason"))
    for name, value, reason in list(zip(*columns, strict=True))[:_SHOWN]:
        listed.add_row(escape(str(name)), f"{value:.4g}", escape(str(reason)))
    return listed


def _comparison_blocks(record: Comparison) -> Blocks:
    return [
        *([_metric_table(record)] if record.metrics else []),
        *([_shift_table(record)] if record.shifts else []),
        *([_probe_table(record)] if record.probes else []),
        *(sentence for shift in record.probes for sentence in _changes(record, shift)),
    ]


def _metric_table(record: Comparison) -> Table:
    listed = numbers_table("metrics", "", *(escape(name) for name in record.names))
    listed.add_row("features", *("-" if math.isnan(width) else f"{width:,.0f}" for width in record.widths))
    for name, values in record.metrics.items():
        listed.add_row(name, *("-" if math.isnan(value) else f"{value:.6g}" for value in values))
    return listed


def _shift_table(record: Comparison) -> Table:
    listed = numbers_table(
        "do the encoders order the samples alike?", "score", "between", "samples", "Spearman", "same lowest tenth"
    )
    for shift in record.shifts:
        between = escape(f"{shift.first}, {shift.second}")
        listed.add_row(shift.score, between, f"{shift.n:,}", escape(str(shift.spearman)), f"{shift.lowest:.1%}")
    return listed


def _probe_table(record: Comparison) -> Table:
    listed = numbers_table(
        "probes", "between", "samples", "accuracy", "", "difference", "gained", "lost", "p (McNemar)"
    )
    for shift in record.probes:
        listed.add_row(
            escape(f"{shift.first}, {shift.second}"),
            f"{shift.n:,}",
            f"{shift.accuracy_first:.3f}",
            f"{shift.accuracy_second:.3f}",
            escape(str(shift.difference)),
            f"{shift.gained:,}",
            f"{shift.lost:,}",
            _p(shift.p),
        )
    return listed


def _changes(record: Comparison, shift: ProbeShift) -> list[str]:
    """The first few samples that a pair of probes judges differently."""
    change = record.columns.get(f"change:{shift.second}")
    if change is None:
        return []
    only = {"lost": shift.first, "gained": shift.second}
    ids = {verdict: record.ids[change == verdict] for verdict in only}
    return [
        f"Right with {name} only: {', '.join(map(str, ids[verdict][:_SHOWN]))}"
        f"{' ...' if len(ids[verdict]) > _SHOWN else ''}"
        for verdict, name in only.items()
        if len(ids[verdict])
    ]
