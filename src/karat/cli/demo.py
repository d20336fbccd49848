"""karat demo"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .. import demo as demonstration
from . import inputs, terminal


def demo(
    *,
    out: Annotated[Path, Parameter(name=("-o", "--out"), help="Run folder to write.")] = Path("karat-demo"),
    seed: inputs.Seed = 0,
    overwrite: terminal.Overwrite = False,
) -> None:
    """The whole story on bundled real images: features, scores, a probe, what predicts its errors, and a report."""
    with terminal.progress("extracting") as progress:
        found = demonstration.demo(out, seed=seed, overwrite=overwrite, progress=progress)
    for warning in found.scores.health.warnings:
        terminal.warn(warning)
    for record in (found.scores, found.metrics, found.probe, found.evaluation):
        terminal.show(record, as_json=False)
    terminal.say(f"open {found.report} to look at the worst and the best images")
