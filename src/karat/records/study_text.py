"""The record of a study, as terminal tables and sentences."""

from __future__ import annotations

import math

from rich.markup import escape
from rich.table import Table

from .kinds import Estimate
from .layout import numbers_table, pairs
from .study import MEASURES, Study

# How the arms are called where people read of them.
ARM_TITLES = {
    "baseline": "no fine-tuning",
    "lambda0": "fine-tuned, lambda = 0",
    "lasso": "fine-tuned with Lasso",
    "q_score": "fine-tuned with Q-Score",
}


def study_blocks(record: Study) -> list[Table | str]:
    """A study as tables, and its verdict."""
    return [_budget(record), _arms(record), _tests(record), record.verdict]


def measures_of(record: Study) -> dict[str, str]:
    """Measure -> its title in this study."""
    return {**MEASURES, "compressed_accuracy": f"accuracy at {record.keep:.0%} of the features"}


def _budget(record: Study) -> Table:
    recipe = record.recipe
    rows = {
        "method": record.method,
        "encoder": f"{record.encoder}, {record.d:,} features",
        "heads": record.heads,
        "images": f"{record.n_train:,} to train on, {record.n_val:,} to judge on",
        "seeds": ", ".join(map(str, record.seeds)),
        "epochs, steps": f"{recipe['epochs']:,}, {record.steps:,}",
        "learning rate": f"{recipe['lr']:g} ({recipe['optimizer']})",
        "batch": f"{recipe['batch_size']:,}",
        "epsilon": f"{record.epsilon:g}",
        **{arm.name: _weights(arm.lambda1, arm.lambda2, arm.lasso) for arm in record.arms if arm.name != "baseline"},
    }
    return pairs("study", rows)


def _weights(lambda1: float, lambda2: float, lasso: float) -> str:
    return f"Lasso {lasso:g}" if lasso else f"lambda1, lambda2 = {lambda1:g}, {lambda2:g}"


def _arms(record: Study) -> Table:
    """Measure by measure: each arm, and how it differs from the baseline."""
    listed = numbers_table("", "", "", "change by fine-tuning")
    for measure, title in measures_of(record).items():
        listed.add_row(f"[dim]{title}[/]")
        for arm in record.arms:
            change = _cell(arm.changes[measure], sign="+") if arm.changes else ""
            listed.add_row(f"  {ARM_TITLES[arm.name]}", _cell(getattr(arm, measure)), change)
    return listed


def _tests(record: Study) -> Table:
    listed = numbers_table("differences of linear accuracy", "", "against", "points", "p (Holm)")
    for test in record.tests:
        p = "-" if test.p_holm != test.p_holm else "< 0.001" if test.p_holm < 0.001 else f"{test.p_holm:.3f}"
        points = Estimate(*(100 * getattr(test.difference, end) for end in ("value", "low", "high")))
        listed.add_row(test.first, test.second, _cell(points, sign="+", digits=2), p)
    return listed


def _cell(estimate: Estimate, *, sign: str = "", digits: int = 4) -> str:
    if math.isnan(estimate.value):
        return "-"
    value, low, high = (f"{end:{sign}.{digits}f}" for end in (estimate.value, estimate.low, estimate.high))
    return escape(f"{value} [{low}, {high}]")
