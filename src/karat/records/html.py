"""Records as HTML for notebooks: the tables that a terminal shows, escaped, without script or style sheet."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from rich.control import strip_control_codes
from rich.table import Table
from rich.text import Text

from .known import Record
from .text import blocks_of, warnings_of


def html_of(record: Record) -> str:
    """A record as accessible tables and paragraphs; its warnings at the end."""
    parts = [_table(block) if isinstance(block, Table) else f"<p>{_escaped(block)}</p>" for block in blocks_of(record)]
    parts += [f"<p><strong>warning:</strong> {_escaped(warning)}</p>" for warning in warnings_of(record)]
    return f"<div>{''.join(parts)}</div>"


def _table(block: Table) -> str:
    """A terminal table: its title is the caption, its first column names the rows."""
    caption = f'<caption style="text-align: left"><strong>{_plain(block.title)}</strong></caption>'
    head = f"<thead><tr>{''.join(_header(block))}</tr></thead>" if block.show_header else ""
    rows = "".join(f"<tr>{''.join(cells)}</tr>" for cells in _rows(block))
    return f"<table>{caption if block.title else ''}{head}<tbody>{rows}</tbody></table>"


def _header(block: Table) -> Iterator[str]:
    for column in block.columns:
        yield f'<th scope="col" style="text-align: {column.justify}">{_plain(column.header)}</th>'


def _rows(block: Table) -> Iterator[list[str]]:
    columns = [list(column.cells) for column in block.columns]
    for first, *others in zip(*columns, strict=True):
        styled = zip(others, block.columns[1:], strict=True)
        cells = [f'<td style="text-align: {column.justify}">{_plain(cell)}</td>' for cell, column in styled]
        yield [f'<th scope="row" style="text-align: left">{_plain(first)}</th>', *cells]


def _plain(cell: object) -> str:
    """The text of a cell, which is written in rich's markup."""
    return _escaped(Text.from_markup(cell).plain if isinstance(cell, str) else str(cell or ""))


def _escaped(text: str) -> str:
    return escape(strip_control_codes(text))
