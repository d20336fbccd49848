"""Records as text: the tables that a terminal, `print` and `str` show, made from a record's plain form."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_MEASURES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "auprc_error": "AUPRC-error",
    "fpr95": "FPR@95",
    "aurc": "AURC",
    "augrc": "AUGRC",
}


def text(content: Mapping[str, Any], *, width: int = 110) -> str:
    """A record's plain form (`to_dict`) as text without colours."""
    console = Console(file=io.StringIO(), width=width, highlight=False, no_color=True)
    for table in tables(content):
        console.print(table)
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined] # a StringIO


def tables(content: Mapping[str, Any]) -> list[Table]:
    """A record's plain form (`to_dict`) as tables."""
    match content["kind"]:
        case "scores":
            return [_health(content), _summary(content["summary"]), _lowest(content)]
        case "metrics":
            return [_pairs("metrics", {name: _number(value) for name, value in content["values"].items()})]
        case "probe":
            return [_probe(content)]
        case _:
            return [_evaluation(content)]


def verdict(health: Mapping[str, Any]) -> str:
    """What to make of the scores, in a sentence."""
    if health["warnings"]:
        return "Read the warnings first: these scores may not be informative."
    return (
        f"{1 - health['empty_share']:.1%} of the samples have a Q-Score that rests on discriminative features. "
        "Higher is better; compare samples of this encoder only."
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _estimate(estimate: Mapping[str, float | None]) -> str:
    if estimate["value"] is None:
        return "-"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _columns(title: str, names: tuple[str, ...]) -> Table:
    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    return table


def _pairs(title: str, rows: Mapping[str, str]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(escape(name), escape(value))
    return table


def _health(content: Mapping[str, Any]) -> Table:
    h = content["health"]
    return _pairs(
        "health",
        {
            "samples x features": f"{h['n']:,} x {h['d']:,}",
            "zero entries": f"{h['zero_share']:.1%}",
            "negative entries": f"{h['negative_share']:.2%}" + (" (signed: split in halves)" if h["halves"] else ""),
            "epsilon": f"{content['epsilon']:g}",
            "discriminative features |D|": f"{h['discriminative_features']:,}",
            "dead features": f"{h['dead_features']:,}",
            "mean |L|, |L ∩ D|": f"{h['mean_active']:.2f}, {h['mean_discriminative']:.2f}",
            "samples with empty L ∩ D": f"{h['empty_share']:.1%}",
            "repeated rows": f"{h['duplicate_rows']:,} of the first {h['duplicates_checked']:,}",
            "spread (0 = collapsed)": f"{h['spread']:.3f}",
        },
    )


def _summary(summary: Mapping[str, Mapping[str, float | None]]) -> Table:
    table = _columns("scores", ("mean", "std", "min", "5%", "median", "95%", "max"))
    for name, values in summary.items():
        table.add_row(escape(name), *(_number(value) for value in values.values()))
    return table


def _lowest(content: Mapping[str, Any]) -> Table:
    table = Table(title=verdict(content["health"]), title_justify="left", box=None, pad_edge=False, header_style="dim")
    if content["lowest"]:
        table.add_column("look at these first")
        table.add_column("q_score", justify="right")
    for name, value in content["lowest"]:
        table.add_row(escape(str(name)), _number(value))
    return table


def _probe(content: Mapping[str, Any]) -> Table:
    head = {key: f"{value:g}" if isinstance(value, float) else str(value) for key, value in content["head"].items()}
    rows = {
        "accuracy": f"{content['accuracy']:.1%}",
        "train": f"{content['n_train']:,}",
        "val": f"{content['n_val']:,}",
    }
    return _pairs("linear probe", rows | {"classes": str(len(content["classes"]))} | head)


def _evaluation(content: Mapping[str, Any]) -> Table:
    title = (
        f"do the scores predict the probe's errors? {content['n']:,} samples, "
        f"accuracy (base rate of AUPRC) {content['accuracy']:.3f}"
    )
    table = _columns(title, tuple(_MEASURES.values()))
    labelled = False
    for row in content["rows"]:
        if row["labelled"] and not labelled:
            table.add_section()
        labelled = row["labelled"]
        name = row["score"] + (" (labels)" if labelled else "")
        table.add_row(escape(name), *(_estimate(row[measure]) for measure in _MEASURES))
    return table
