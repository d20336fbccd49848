"""karat report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .. import reporting
from . import inputs, terminal


def report(
    run: Annotated[Path, Parameter(help="Run folder, or one record: a scores file, RUN/records/NAME.json.")],
    /,
    *,
    out: Annotated[Path, Parameter(name=("-o", "--out"), metavar="FILE", help="HTML file to write.")] = Path(
        "report.html"
    ),
    images: Annotated[
        str | None,
        Parameter(metavar="IMAGES", help="Folder or .npz with the samples' images, if the run does not say."),
    ] = None,
    by: Annotated[
        str | None, Parameter(metavar="SCORE", help="Score that samples are ordered by; by default q_score.")
    ] = None,
    title: Annotated[
        str | None, Parameter(metavar="TEXT", help="Heading of the page; by default the run's name.")
    ] = None,
    overwrite: inputs.Overwrite = False,
) -> None:
    written = reporting.report(run, out, images=images, by=by, title=title, overwrite=overwrite)
    terminal.say(f"-> {written}")
