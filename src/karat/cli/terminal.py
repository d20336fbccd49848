"""What a terminal sees besides results: errors, warnings, status lines and progress, all on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def complain(message: str) -> None:
    """An error, on one line."""
    _print("[bold red]karat:[/] ", message)


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


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, which is gone when the work is done; says when the kernel is being compiled."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with _compile_notice(), bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


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
