"""karat report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .. import reporting
from . import terminal


def report(
    run: Path,
    *,
    out: Annotated[Path, Parameter(name=("-o", "--out"), help="HTML file to write.")] = Path("report.html"),
    images: Annotated[str | None, Parameter(help="Where the images are, if the run does not say.")] = None,
    title: Annotated[str | None, Parameter(help="Heading of the page.")] = None,
    overwrite: terminal.Overwrite = False,
) -> None:
    """Draw a RUN as one self-contained page."""
    written = reporting.report(run, out, images=images, title=title, overwrite=overwrite)
    terminal.say(f"-> {written}")
