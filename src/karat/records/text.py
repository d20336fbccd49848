"""Records as text: the tables that a terminal, `print` and `str` show."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .kinds import Evaluation, Metrics, ProbeResult, Record, ScoreEvaluation, Scores

# A table that is not shown in a terminal is as wide as it has to be.
PIPED_WIDTH = 1000


def text_of(record: Record) -> str:
    """A record as text, without colours; its warnings, which a terminal has apart, at the end."""
    output = io.StringIO()
    found = record.health.warnings if isinstance(record, Scores) else getattr(record, "warnings", ())
    warnings = [f"warning: {warning}" for warning in found]
    console = Console(file=output, width=PIPED_WIDTH, highlight=False, no_color=True, soft_wrap=True)
    print_blocks(console, [*blocks_of(record), *warnings])
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())


def print_blocks(console: Console, blocks: Sequence[Table | str]) -> None:
    """Print tables and sentences with an empty line between them."""
    for number, block in enumerate(blocks):
        if number:
            console.print()
        console.print(escape(block) if isinstance(block, str) else block)


def blocks_of(record: Record) -> list[Table | str]:
    """A record as terminal tables and sentences."""
    match record:
        case Scores():
            lowest = [_lowest_table(record)] if record.lowest else []
            return [_health_table(record), _summary_table(record), *lowest, verdict(record)]
        case Metrics():
            return [_pairs("metrics", {name: f"{value:.6g}" for name, value in record.values.items()})]
        case ProbeResult():
            return [_probe_table(record)]
        case Evaluation():
            return [_evaluation_sentence(record), _evaluation_table(record)]


def table(title: str, *columns: str) -> Table:
    """A table without rules, as wide as its title or wider."""
    return Table(
        *columns,
        title=title or None,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        min_width=len(title),
        box=None,
        pad_edge=False,
    )


def verdict(record: Scores) -> str:
    """What to make of the scores, in a sentence."""
    if record.health.warnings:
        return "Read the warnings first: these scores may not be informative."
    return (
        f"{1 - record.health.empty_share:.1%} of the samples have a Q-Score that rests on discriminative features. "
        "Higher is better; compare samples of this encoder only."
    )


def _pairs(title: str, rows: dict[str, str]) -> Table:
    pairs = table(title)
    pairs.show_header = False
    pairs.add_column(style="dim")
    pairs.add_column(justify="right")
    for name, value in rows.items():
        pairs.add_row(escape(name), escape(value))
    return pairs


def _health_table(record: Scores) -> Table:
    h = record.health
    return _pairs(
        "health",
        {
            "samples x features": f"{h.n:,} x {h.d:,}",
            "zero entries": f"{h.zero_share:.1%}",
            "negative entries": f"{h.negative_share:.2%}" + (" (signed: split in halves)" if h.halves else ""),
            "epsilon": f"{record.epsilon:g}",
            "discriminative features |D|": f"{h.discriminative_features:,}",
            "dead features": f"{h.dead_features:,}",
            "mean |L|, |L ∩ D|": f"{h.mean_active:.2f}, {h.mean_discriminative:.2f}",
            "samples with empty L ∩ D": f"{h.empty_share:.1%}",
            "repeated rows": f"{h.duplicate_rows:,} of the first {h.duplicates_checked:,}",
            "spread (0 = collapsed)": f"{h.spread:.3f}",
        },
    )


def _summary_table(record: Scores) -> Table:
    summary = table("scores", "")
    for name in ("mean", "std", "min", "5%", "median", "95%", "max"):
        summary.add_column(name, justify="right")
    for name, distribution in record.summary.items():
        summary.add_row(name, *(f"{value:.4g}" for value in asdict(distribution).values()))
    return summary


def _lowest_table(record: Scores) -> Table:
    lowest = table("look at these first", "id")
    lowest.add_column("q_score", justify="right")
    for name, value in record.lowest:
        lowest.add_row(escape(str(name)), f"{value:.4g}")
    return lowest


def _probe_table(record: ProbeResult) -> Table:
    head = {
        key.replace("_", " "): f"{value:.4g}" if isinstance(value, float) else str(value)
        for key, value in record.head.items()
    }
    return _pairs(
        "linear probe",
        {
            "accuracy": f"{record.accuracy:.1%}",
            "training samples": f"{record.n_train:,}",
            "validation samples": f"{record.n_val:,}",
            "classes": f"{len(record.classes):,}",
            **head,
        },
    )


def _evaluation_sentence(record: Evaluation) -> str:
    return (
        f"Do the scores predict the probe's errors? {record.n:,} samples, accuracy (the base rate of AUPRC) "
        f"{record.accuracy:.3f}; chance is an AUROC of 0.5; 95% intervals in brackets."
    )


def _evaluation_table(record: Evaluation) -> Table:
    evaluation = table("")
    evaluation.add_column("without labels", no_wrap=True)
    for name in ("AUROC", "AUPRC", "AUPRC error", "FPR@95", "AURC", "AUGRC"):
        evaluation.add_column(name, justify="right")
    for row in record.rows:
        if not row.labelled:
            evaluation.add_row(*_cells(row))
    evaluation.add_row("[dim]with labels[/]")
    for row in record.rows:
        if row.labelled:
            evaluation.add_row(*_cells(row))
    return evaluation


def _cells(row: ScoreEvaluation) -> list[str]:
    estimates = (row.auroc, row.auprc, row.auprc_error, row.fpr95, row.aurc, row.augrc)
    return [row.score, *(escape(str(estimate)) for estimate in estimates)]
