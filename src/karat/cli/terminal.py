"""What a terminal sees besides results: errors, warnings, status lines and progress, all on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text


class Progress(Protocol):
    """What shows how far work is."""

    def __call__(self, done: int, total: int, waiting: float | None = None, /, *, note: str = "") -> None: ...


def complain(message: str) -> None:
    """An error, on one line; a report that comes with it, after an empty line, as it is."""
    sentence, _, report = message.partition("\n\n")
    _print("[bold red]karat:[/] ", sentence)
    if report:
        Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print("", report, sep="\n")


def warn(message: str) -> None:
    """A warning, on one line."""
    _print("[yellow]warning:[/] ", message)


def say(message: str) -> None:
    """A status line."""
    _print("", message, style="dim")


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """What Python calls with a warning: its text, and not the line of code."""
    warn(str(message))


def _print(mark: str, message: str, *, style: str | None = None) -> None:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(mark + escape(" ".join(message.split())), style=style)


class _Rate(ProgressColumn):
    """Units a second, and the share of the time that was spent waiting for data, once they are known."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        waiting = task.fields.get("waiting")
        parts = [] if task.speed is None else [f"{task.speed:,.0f} {self._unit}/s"]
        parts += [] if waiting is None else [f"{waiting:.0%} waiting for data"]
        return Text(", ".join(parts))


@contextmanager
def progress(what: str, *, unit: str | None = None) -> Iterator[Progress]:
    """A progress bar, which is gone when the work is done; says when the kernel is being compiled.

    Args:
        what: what is being done.
        unit: of what is counted, where its rate is to be shown; "B": bytes.
    """
    console = Console(stderr=True)
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        *_counts(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with _compile_notice(), bar:
        task = bar.add_task(what, total=None, note="")

        def show(done: int, total: int, waiting: float | None = None, /, *, note: str = "") -> None:
            bar.update(task, completed=done, total=total, waiting=waiting, note=note)

        yield show


def _counts(unit: str | None) -> list[ProgressColumn]:
    """How much is done, and how fast."""
    if unit == "B":
        return [DownloadColumn(), TransferSpeedColumn()]
    return [MofNCompleteColumn()] if unit is None else [MofNCompleteColumn(), _Rate(unit)]


@contextmanager
def _compile_notice() -> Iterator[None]:
    """Say, once, that numba compiles: the first run on a machine takes seconds longer."""
    if "numba" not in sys.modules:  # nothing that was imported for this verb has a kernel
        yield
        return
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
