"""Several runs in one report: what each says of itself, and their numbers beside each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ..errors import FileFormatError
from ..records import Comparison, Estimate, Evaluation, Finetuning, Metrics, ProbeResult, Record, Scores
from .leaders import best, informative, leading
from .samples import column, names
from .spectra import spectrum_curve
from .tables import better, defined, meaning
from .trained import changes

# In the unit of h, which two encoders do not share (as in karat.compare).
IN_UNITS = ("mean_q", "std_q")

Json = dict[str, Any]
Records = Mapping[str, Record]
_Kind = TypeVar("_Kind", bound=Record)


def runs_section(runs: Mapping[str, Records]) -> Json:
    """Numbers of several runs beside each other; nothing is tested here, `karat.compare` does that.

    Returns:
        "names"; "same": whether their scores are of the same samples (None where that is not known); "rows": "name",
        "meaning", "better", "unit" (count, share, decimal, number) and "cells", one a run: None or "value", "low",
        "high" (None without an interval) and "note"; "spectra": of each run that has one its "name" and
        `spectra.spectrum_curve`.
    """
    known = [_first(records, Metrics) for records in runs.values()]
    curves = {
        name: spectrum_curve(metrics.spectrum) for name, metrics in zip(runs, known, strict=True) if metrics is not None
    }
    return {
        "names": list(runs),
        "same": same_samples(runs),
        "rows": [row for row in (*_rows(runs), *_metric_rows(known)) if any(row["cells"])],
        "spectra": [{"name": name, **curve} for name, curve in curves.items() if curve is not None],
    }


def runs_summary(runs: Mapping[str, Records], summaries: Mapping[str, Json]) -> Json:
    """Headline, findings, warnings and next steps over several runs, from the summary of each."""
    judged = [found for records in runs.values() if (found := _first(records, Evaluation)) is not None]
    headline = f"{len(runs)} runs side by side"
    if judged:
        good = sum((row := leading(evaluation)) is not None and informative(row) for evaluation in judged)
        headline += f": the score is informative in {good} of the {len(judged)} that were judged"
    return {
        "tone": "unknown",
        "headline": f"{headline}.",
        "findings": [f"{name}: {found['headline']}" for name, found in summaries.items()] + _leaders(runs),
        "warnings": [f"{name}: {line}" for name, found in summaries.items() for line in found["warnings"]],
        "next_steps": _next_steps(runs),
    }


def same_samples(runs: Mapping[str, Records]) -> bool | None:
    """Whether the scores of all runs are of the same ids; None where two of them are not known."""
    found = []
    for records in runs.values():
        scores = _first(records, Scores)
        try:
            if scores is not None:
                found.append(frozenset(names(column(scores, "id"))))
        except FileFormatError:
            continue  # its own section says so
    return len(set(found)) == 1 if len(found) > 1 else None


def _first(records: Records, kind: type[_Kind]) -> _Kind | None:
    return next((record for record in records.values() if isinstance(record, kind)), None)


def _rows(runs: Mapping[str, Records]) -> list[Json]:
    return [
        _row("samples", "that were scored", "count", runs, Scores, lambda scores: _cell(scores.health.n)),
        _row("features", "columns of h", "count", runs, Scores, lambda scores: _cell(scores.health.d)),
        _row("probe accuracy", "higher is better", "share", runs, ProbeResult, lambda probe: _cell(probe.accuracy)),
        _row("AUROC", "of q_score: does it tell right from wrong?", "decimal", runs, Evaluation, _leading),
        _row("best AUROC", "of a score without labels", "decimal", runs, Evaluation, _best),
        _row("ceiling", "AUROC of the best score with labels", "decimal", runs, Evaluation, _ceiling),
        _row("zero by rule", "samples without a discriminative feature", "share", runs, Scores, _empty),
        _row("linear accuracy", "after the training; higher is better", "share", runs, Finetuning, _tuned),
    ]


def _row(
    name: str,
    words: str,
    unit: str,
    runs: Mapping[str, Records],
    kind: type[_Kind],
    cell_of: Callable[[_Kind], Json | None],
) -> Json:
    found = [_first(records, kind) for records in runs.values()]
    cells = [None if record is None else cell_of(record) for record in found]
    return {"name": name, "code": False, "meaning": words, "better": None, "unit": unit, "cells": cells}


def _metric_rows(known: Sequence[Metrics | None]) -> list[Json]:
    measured = dict.fromkeys(name for metrics in known if metrics is not None for name in metrics.values)
    return [
        {
            "name": name,
            "code": True,
            "meaning": meaning(name),
            "better": better(name),
            "unit": "number",
            "cells": [
                None if found is None or name not in found.values else _cell(found.values[name]) for found in known
            ],
        }
        for name in measured
        if name not in IN_UNITS and name != "empty_share"
    ]


def _cell(value: float, note: str = "") -> Json | None:
    return None if math.isnan(value) else {"value": value, "low": None, "high": None, "note": note}


def _interval(estimate: Estimate, note: str = "") -> Json:
    return {key: defined(value) for key, value in vars(estimate).items()} | {"note": note}


def _leading(evaluation: Evaluation) -> Json | None:
    row = leading(evaluation)
    return None if row is None else _interval(row.auroc, "" if row.score == "q_score" else row.score)


def _best(evaluation: Evaluation) -> Json | None:
    row = best(evaluation, labelled=False)
    return None if row is None else _interval(row.auroc, row.score)


def _ceiling(evaluation: Evaluation) -> Json | None:
    row = best(evaluation, labelled=True)
    return None if row is None else _interval(row.auroc, row.score)


def _empty(scores: Scores) -> Json | None:
    return _cell(scores.health.empty_share)


def _tuned(training: Finetuning) -> Json | None:
    found = next((change for change in changes(training) if change["name"] == "linear_accuracy"), None)
    return None if found is None else _cell(found["after"], f"{found['before']:.1%} before")


def _leaders(runs: Mapping[str, Records]) -> list[str]:
    """Which run the probe likes best, where more than one has a probe."""
    probes = {name: found for name, records in runs.items() if (found := _first(records, ProbeResult)) is not None}
    if len(probes) < 2:
        return []
    rising = sorted(probes.items(), key=lambda item: item[1].accuracy)
    (last, worst), (first, top) = rising[0], rising[-1]
    if worst.accuracy == top.accuracy:
        return [f"The probe is equally often right on all of them ({top.accuracy:.1%})."]
    told = (
        f"The probe is most often right on {first} ({top.accuracy:.1%}), least often on {last} ({worst.accuracy:.1%})"
    )
    return [f"{told}; whether that is more than chance, karat compare tests."]


def _next_steps(runs: Mapping[str, Records]) -> list[str]:
    if any(_first(records, Comparison) is not None for records in runs.values()):
        return []
    if same_samples(runs) is False:
        return ["These runs score different samples: score the same ones with each encoder before comparing them."]
    return [
        "To test what differs on the same samples, and to see which of them moved: karat compare RUN RUN ... -o RUN."
    ]
