"""Records on stdout: as tables for people, as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from ..records import Record, to_dict
from ..records.layout import PIPED_WIDTH, print_blocks
from ..records.text import blocks_of
from .requirements import check

Json = Annotated[bool, Parameter(name="--json", show_default=False, help="Print the record as JSON, not as a table.")]


def show(record: Record, *, as_json: bool, require: Sequence[str] | None = None) -> None:
    """Print a record as JSON or as tables, then check what is required of it.

    Raises:
        RequirementFailed: a requirement does not hold.
        CycloptsError: a requirement that names no number of the record.
    """
    if as_json:
        print(json.dumps(to_dict(record), indent=1, allow_nan=False))
    else:
        print_tables(*blocks_of(record))
    check(require or (), record)


def print_tables(*blocks: Table | str) -> None:
    """Print tables and sentences; what is piped or written to a file is as wide as it has to be."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    print_blocks(console, blocks)
