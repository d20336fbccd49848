"""What a terminal sees: tables on stdout, progress and warnings on stderr, JSON for machines, requirements for CI."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any, TextIO

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ..errors import InputError, KaratWarning
from ..records import Evaluation, Metrics, ProbeResult, Record, Scores, to_dict

_REQUIREMENT = re.compile(r"\s*([\w.]+)\s*(>=|<=|==|>|<)\s*([-+\w.]+)\s*")
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
}

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the record as JSON instead of a table.")]
Require = Annotated[
    list[str] | None,
    Parameter(
        name="--require",
        negative="",
        help="Fail with status 3 unless this holds, e.g. 'empty_share<=0.2'; can be repeated.",
    ),
]
Overwrite = Annotated[bool, Parameter(name="--overwrite", negative="", help="Replace outputs that exist.")]


class RequirementFailed(Exception):
    """A --require that does not hold."""


def complain(message: str) -> None:
    """One line on stderr."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]karat:[/] {escape(message)}")


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: Any = None,
) -> None:
    """karat's own warnings as a line on stderr; those of libraries are not the user's business."""
    if issubclass(category, KaratWarning):
        warn(str(message))


def warn(message: str) -> None:
    """A warning on stderr."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[yellow]warning:[/] {escape(message)}")


def say(message: str) -> None:
    """A status line on stderr."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[dim]{escape(message)}[/]")


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, which is gone when the work is done; says when the kernel is being compiled."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with _compile_notice(), bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _compile_notice() -> Iterator[None]:
    """Say, once, that numba compiles: the first run on a machine takes seconds longer."""
    from numba.core import event

    class Notice(event.Listener):  # type: ignore[misc] # numba is untyped
        said = False

        def on_start(self, event: Any) -> None:
            if not self.said:
                say("compiling the kernel for this machine (once, some seconds) ...")
            self.said = True

        def on_end(self, event: Any) -> None:
            pass

    notice = Notice()
    event.register("numba:compile", notice)
    try:
        yield
    finally:
        event.unregister("numba:compile", notice)


def show(record: Record, *, as_json: bool, require: Sequence[str] | None = None) -> None:
    """Print a record as JSON or as its table, then check what is required of it.

    Raises:
        RequirementFailed: a requirement does not hold.
        InputError: a requirement that cannot be read or names no number of the record.
    """
    if as_json:
        print(json.dumps(to_dict(record), indent=1, allow_nan=False))
    else:
        console = Console(highlight=False)
        for table in tables_of(record):
            console.print(table)
    for text in require or ():
        check(text, numbers_of(record))
    sys.stdout.flush()


def check(requirement: str, numbers: dict[str, float]) -> None:
    """Hold one requirement, such as "effective_rank>=30", against the numbers of a record.

    Raises:
        RequirementFailed: it does not hold.
        InputError: it cannot be read, or names no number.
    """
    match = _REQUIREMENT.fullmatch(requirement)
    try:
        name, comparison, bound = match.groups() if match else ("", "", "")
        limit = float(bound)
    except ValueError as error:
        raise InputError(
            f"--require {requirement!r} cannot be read: NAME>=NUMBER is needed (or <=, >, <, ==)"
        ) from error
    if name not in numbers:
        raise InputError(
            f"--require {requirement!r}: there is no {name!r} here; there are {', '.join(sorted(numbers))}"
        )
    if not _COMPARISONS[comparison](numbers[name], limit):
        raise RequirementFailed(f"required {requirement}, but {name} is {numbers[name]:.6g}")


def numbers_of(record: Record) -> dict[str, float]:
    """The numbers that --require can name."""
    match record:
        case Metrics():
            return dict(record.values)
        case Scores():
            health = {k: float(v) for k, v in asdict(record.health).items() if isinstance(v, (int, float))}
            means = {f"{name}.{key}": v for name, s in record.summary.items() for key, v in asdict(s).items()}
            return health | means
        case ProbeResult():
            return {"accuracy": record.accuracy, "n_train": record.n_train, "n_val": record.n_val}
        case Evaluation():
            measures = ("auroc", "auprc", "auprc_error", "fpr95", "aurc", "augrc")
            rows = {f"{row.score}.{m}": getattr(row, m).value for row in record.rows for m in measures}
            return {"accuracy": record.accuracy} | rows


def tables_of(record: Record) -> list[Table]:
    """A record as terminal tables."""
    match record:
        case Scores():
            return [_health_table(record), _summary_table(record), _lowest_table(record)]
        case Metrics():
            return [_pairs("metrics", {name: f"{value:.6g}" for name, value in record.values.items()})]
        case ProbeResult():
            head = {key: f"{value:g}" if isinstance(value, float) else str(value) for key, value in record.head.items()}
            rows = {"accuracy": f"{record.accuracy:.1%}", "train": f"{record.n_train:,}", "val": f"{record.n_val:,}"}
            return [_pairs("linear probe", rows | {"classes": str(len(record.classes))} | head)]
        case Evaluation():
            return [_evaluation_table(record)]


def _pairs(title: str, rows: dict[str, str]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(escape(name), escape(value))
    return table


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
    table = Table(title="scores", title_justify="left", box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    for name in ("mean", "std", "min", "5%", "median", "95%", "max"):
        table.add_column(name, justify="right")
    for name, summary in record.summary.items():
        table.add_row(name, *(f"{value:.4g}" for value in asdict(summary).values()))
    return table


def _lowest_table(record: Scores) -> Table:
    table = Table(title=verdict(record), title_justify="left", box=None, pad_edge=False, header_style="dim")
    if record.lowest:
        table.add_column("look at these first")
        table.add_column("q_score", justify="right")
    for name, value in record.lowest:
        table.add_row(escape(str(name)), f"{value:.4g}")
    return table


def verdict(record: Scores) -> str:
    """What to make of the scores, in a sentence."""
    h = record.health
    if h.warnings:
        return "Read the warnings first: these scores may not be informative."
    return (
        f"{1 - h.empty_share:.1%} of the samples have a Q-Score that rests on discriminative features. "
        "Higher is better; compare samples of this encoder only."
    )


def _evaluation_table(record: Evaluation) -> Table:
    table = Table(
        title="do the scores predict the probe's errors? "
        f"{record.n:,} samples, accuracy (base rate of AUPRC) {record.accuracy:.3f}",
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    table.add_column("")
    for name in ("AUROC", "AUPRC", "AUPRC-error", "FPR@95", "AURC", "AUGRC"):
        table.add_column(name, justify="right")
    labelled = False
    for row in record.rows:
        if row.labelled and not labelled:
            table.add_section()
        labelled = row.labelled
        estimates = (row.auroc, row.auprc, row.auprc_error, row.fpr95, row.aurc, row.augrc)
        table.add_row(row.score + (" (labels)" if labelled else ""), *(escape(str(estimate)) for estimate in estimates))
    return table
