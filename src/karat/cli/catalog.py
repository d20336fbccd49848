"""karat catalog"""

from __future__ import annotations

import json as json_module
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from ..catalog import CATALOG
from . import terminal

_DIRECTIONS = {1: "higher", -1: "lower", 0: "-"}


def catalog(*, json: terminal.Json = False) -> None:
    """List every score and metric: what it means, which way is better, what it needs, where it is from."""
    if json:
        print(json_module.dumps([asdict(row) for row in CATALOG], indent=1))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("name", "kind", "meaning", "better", "needs", "source"):
        table.add_column(name)
    for row in CATALOG:
        table.add_row(row.name, row.kind, row.meaning, _DIRECTIONS[row.direction], ", ".join(row.needs), row.source)
    Console(highlight=False).print(table)
