"""Tables and sentences for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

# A table that is not shown in a terminal is as wide as it has to be.
PIPED_WIDTH = 1000


def print_blocks(console: Console, blocks: Sequence[Table | str]) -> None:
    """Print tables and sentences with an empty line between them."""
    for number, block in enumerate(blocks):
        if number:
            console.print()
        console.print(escape(block) if isinstance(block, str) else block)


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


def numbers_table(title: str, first: str, *columns: str) -> Table:
    """A table whose first column holds names, and the others numbers."""
    numbers = table(title)
    numbers.add_column(first, no_wrap=True)
    for name in columns:
        numbers.add_column(name, justify="right")
    return numbers


def pairs(title: str, rows: Mapping[str, str]) -> Table:
    """Names and values, without a header."""
    listed = table(title)
    listed.show_header = False
    listed.add_column(style="dim")
    listed.add_column(justify="right")
    for name, value in rows.items():
        listed.add_row(escape(name), escape(value))
    return listed
