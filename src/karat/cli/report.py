"""karat report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import CycloptsError, Parameter

from .. import reporting
from . import inputs, terminal


def report(
    *run: Annotated[
        Path,
        Parameter(help="Run folders, several for one page, or single records: a scores file, RUN/records/NAME.json."),
    ],
    out: Annotated[
        Path | None,
        Parameter(name=("-o", "--out"), metavar="FILE", help="File to write; by default report.html, .md or .json."),
    ] = None,
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
    format: Annotated[
        Literal["html", "md", "json"] | None,
        Parameter(help="One HTML page, Markdown with a folder of figures, or the plain data; by default as FILE ends."),
    ] = None,
    overwrite: inputs.Overwrite = False,
) -> None:
    if not run:
        raise CycloptsError(msg="karat report needs a run, but none was given")
    target = out or Path(f"report.{format or 'html'}")
    written = reporting.report(run, target, images=images, by=by, title=title, format=format, overwrite=overwrite)
    terminal.say(f"-> {written}")
