"""Records as text: the tables that a terminal, `print` and `str` show."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .explanation_text import explanation_blocks
from .explanations import Explanation
from .kinds import Metrics, ProbeResult, Scores
from .known import Record
from .layout import PIPED_WIDTH, numbers_table, pairs, print_blocks, table
from .overlap_text import faithfulness_blocks, overlap_blocks
from .overlaps import Faithfulness, Overlap
from .study import Study
from .study_text import study_blocks
from .training import Finetuning
from .training_text import training_blocks
from .verdict_text import verdict_blocks


def text_of(record: Record) -> str:
    """A record as text, without colours; its warnings, which a terminal has apart, at the end."""
    output = io.StringIO()
    warnings = [f"warning: {warning}" for warning in warnings_of(record)]
    console = Console(file=output, width=PIPED_WIDTH, highlight=False, no_color=True, soft_wrap=True)
    print_blocks(console, [*blocks_of(record), *warnings])
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())


def warnings_of(record: Record) -> tuple[str, ...]:
    """What not to trust of a record."""
    return record.health.warnings if isinstance(record, Scores) else getattr(record, "warnings", ())


def blocks_of(record: Record) -> list[Table | str]:
    """A record as terminal tables and sentences."""
    match record:
        case Scores():
            lowest = [_lowest_table(record)] if record.lowest else []
            left_out = [_left_out(record)] if record.left_out else []
            return [_health_table(record), _summary_table(record), *left_out, *lowest, verdict(record)]
        case Metrics():
            left_out = [_left_out(record)] if record.left_out else []
            return [_curves_table(record) if record.curves else _metrics_table(record), *left_out]
        case ProbeResult():
            return _probe_blocks(record)
        case Finetuning():
            return training_blocks(record)
        case Study():
            return study_blocks(record)
        case Explanation():
            return explanation_blocks(record)
        case Overlap():
            return overlap_blocks(record)
        case Faithfulness():
            return faithfulness_blocks(record)
        case _:
            return verdict_blocks(record)


def verdict(record: Scores) -> str:
    """What to make of the scores, in a sentence."""
    if record.health.warnings:
        return "Read the warnings first: these scores may not be informative."
    return (
        f"{1 - record.health.empty_share:.1%} of the samples have a Q-Score that rests on discriminative features. "
        "Higher is better; compare samples of this encoder only."
    )


def _health_table(record: Scores) -> Table:
    h = record.health
    return pairs(
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


def _metrics_table(record: Metrics) -> Table:
    return pairs("metrics", {name: f"{value:.6g}" for name, value in record.values.items()})


def _curves_table(record: Metrics) -> Table:
    """Each metric against the size of the subset, below those sizes; the last value is that of the whole set."""
    groups: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for name, curve in record.curves.items():
        groups.setdefault((curve.of, curve.n), []).append(name)
    most = max(len(n) for _, n in groups)
    curves = numbers_table("metrics", "", *[""] * most)
    curves.show_header = False
    for (of, n), names in groups.items():
        curves.add_row(of, *_cells(most, [f"{size:,}" for size in n]), style="dim")
        for name in names:
            curves.add_row(escape(name), *_cells(most, [f"{value:.6g}" for value in record.curves[name].values]))
    return curves


def _cells(columns: int, texts: list[str]) -> list[str]:
    """The last cells of a row."""
    return [""] * (columns - len(texts)) + texts


def _left_out(record: Scores | Metrics) -> str:
    names: dict[str, list[str]] = {}
    for name, need in record.left_out.items():
        names.setdefault(need, []).append(name)
    return "left out: " + "; ".join(f"{', '.join(found)} ({need})" for need, found in names.items())


def _probe_blocks(record: ProbeResult) -> list[Table | str]:
    heads = [_heads_table(record)] if len(record.heads) > 1 else []
    classes = [_classes_table(record)] if len(record.classes) > 2 and "label" in record.columns else []
    return [_probe_table(record), *heads, *classes]


def _probe_table(record: ProbeResult) -> Table:
    top5 = {} if record.top5 is None else {"among the first five": f"{record.top5:.1%}"}
    return pairs(
        "kNN probe" if record.provenance.function == "knn_probe" else "linear probe",
        {
            "accuracy": f"{record.accuracy:.1%}",
            **top5,
            "training samples": f"{record.n_train:,}",
            "validation samples": f"{record.n_val:,}",
            "classes": f"{len(record.classes):,}",
            **{key.replace("_", " "): _setting(value) for key, value in record.head.items()},
        },
    )


def _heads_table(record: ProbeResult) -> Table:
    heads = table("heads")
    for key in record.heads[0]:
        heads.add_column(escape(key.replace("_", " ")), justify="right")
    for head in record.heads:
        heads.add_row(*(escape(_setting(value)) for value in head.values()))
    return heads


def _classes_table(record: ProbeResult) -> Table:
    """The classes that the probe tells worst."""
    worst = numbers_table("worst classes", "", "accuracy")
    for name, accuracy in sorted(record.class_accuracy.items(), key=lambda item: item[1])[:5]:
        worst.add_row(escape(str(name)), f"{accuracy:.1%}")
    return worst


def _setting(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
