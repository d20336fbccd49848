"""karat catalog"""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from ..catalog import CATALOG
from ..records.layout import table
from . import results

_BETTER = {1: "higher", -1: "lower", 0: ""}


def catalog(
    *, json: Annotated[bool, Parameter(show_default=False, help="Print the catalogue as JSON, not as a table.")] = False
) -> None:
    if json:
        print(json_module.dumps([asdict(row) for row in CATALOG], indent=1))
        return
    listed = table("")
    for name in ("name", "kind", "better"):
        listed.add_column(name, no_wrap=True)
    for name in ("meaning", "needs", "source"):
        listed.add_column(name)
    for row in CATALOG:
        listed.add_row(row.name, row.kind, _BETTER[row.direction], row.meaning, ", ".join(row.needs), row.source)
    results.print_tables(listed)
