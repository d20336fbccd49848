"""karat demo"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .. import demo as demonstration
from ..records.text import blocks_of
from . import inputs, results, terminal


def demo(
    *,
    out: Annotated[Path, Parameter(name=("-o", "--out"), metavar="RUN", help="Run folder to write.")] = Path(
        "karat-demo"
    ),
    seed: inputs.Seed = 0,
    overwrite: inputs.Overwrite = False,
) -> None:
    with terminal.progress("extracting", unit="images") as progress:
        found = demonstration.demo(out, seed=seed, overwrite=overwrite, progress=progress)
    for warning in found.scores.health.warnings:
        terminal.warn(warning)
    records = (found.scores, found.metrics, found.probe, found.evaluation)
    results.print_tables(*(block for record in records for block in blocks_of(record)))
    terminal.say(f"open {found.report} to look at the worst and the best images")
