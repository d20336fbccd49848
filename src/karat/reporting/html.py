"""report: one self-contained HTML file from a run or from records."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._files import refuse_existing, write_bytes
from .._optional import require
from ..errors import InputError, InputTypeError
from ..images import ImageSource, open_images
from ..records import Record
from ..runs import Run, load_record, open_run
from . import figures, verdict_figures
from .content import content

# A figure is drawn twice, for wide and for narrow windows; the style sheet shows one of them.
_WIDTHS = {"wide": 720, "narrow": 330}
# Small multiples are small in every window.
_SMALL = {"small": 210}
# Two that stand side by side where there is room.
_HALF = {"half": 340}

_DRAWINGS = (
    figures.histogram, figures.auroc_intervals, figures.risk_coverage, figures.share_curve, verdict_figures.keep_curve,
    verdict_figures.reliability,
)  # fmt: skip

Json = dict[str, Any]


def report(
    source: str | os.PathLike[str] | Record | Iterable[Record],
    out: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | np.ndarray | ImageSource | None = None,
    by: str | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write what records say as one HTML file: a summary in plain words, tables, figures and pictures.

    The file opens from disk, asks nothing of the network, runs no script, and holds its pictures. A part of a run that
    is missing or damaged is named in its place. Equal input gives equal bytes.

    Args:
        source: a run's folder, the file of one record (scores.parquet), a record, or several records.
        out: the HTML file.
        images: where the samples' pictures are (see `karat.images.open_images`), by id; None: where the run says.
        by: the score that samples are ordered by; None: q_score, or the first score where there is none.
        title: of the page; None: the run's name.
        overwrite: replace `out` where it exists.

    Returns:
        The path of the file.

    Raises:
        InputError: no records, an unknown score, or `images` that cannot be opened.
        InputTypeError: a source that is no path and holds something else than records.
        FileFormatError: no run or record at that path.
        OutputExistsError: `out` exists and `overwrite` is false.
        MissingDependencyError: the extra `report` is not installed.

    >>> from tempfile import TemporaryDirectory
    >>> from karat.records import Metrics, Provenance
    >>> metrics = Metrics(Provenance("measure", {}, {}, "0.1.0"), n=120, d=40, values={"effective_rank": 17.2})
    >>> with TemporaryDirectory() as folder:
    ...     report(metrics, f"{folder}/report.html").name
    'report.html'
    """
    target = Path(out)
    refuse_existing(target, overwrite=overwrite)
    run = _run(source)
    damaged = dict(run.damaged)
    pictures, paths = None if images is None else open_images(images), None
    if pictures is None and run.images is not None:
        try:
            pictures, paths = open_images(_inside(run.path, run.images.source)), run.images.paths
        except InputError as error:
            damaged["images"] = str(error)
    named = {part: why.replace(f"{run.path}{os.sep}", "") for part, why in damaged.items()}
    maps = None if run.path == Path() else run.path / "maps"
    page = content(run.records, pictures, paths=paths, maps=maps, by=by, title=title or _title(run), damaged=named)
    write_bytes(target, render(page).encode("utf-8", "replace"))
    return target


def render(page: Json) -> str:
    """The HTML page of what `content` returns."""
    jinja2 = require("jinja2", "a report")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number, "decimal": _decimal, "share": _share, "count": _count, "signed": _signed, "p": _p,
        "sentence": _sentence,
    }  # fmt: skip
    environment.globals |= {drawing.__name__: _at(drawing, _WIDTHS) for drawing in _DRAWINGS}
    environment.globals["order_curves"] = _at(verdict_figures.order_curves, _HALF)
    environment.globals["convergence"] = _at(verdict_figures.convergence, _SMALL)
    return str(environment.get_template("report.html.j2").render(page=page))


def _run(source: str | os.PathLike[str] | Record | Iterable[Record]) -> Run:
    """Any source as a run; one that lies in no folder has the path "."."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        run = Run(Path(), {(record := load_record(path)).kind: record}) if path.is_file() else open_run(path)
        if not run.records and not run.damaged:
            raise InputError(f"{path} is a run without records: add some with karat score, probe or evaluate")
        return run
    records = [source] if isinstance(source, Record) else source
    if not isinstance(records, Iterable):
        raise InputTypeError(f"source is a {type(source).__name__}, but a run's folder or records are needed")
    named: dict[str, Record] = {}
    for record in records:
        if not isinstance(record, Record):
            raise InputTypeError(f"source holds a {type(record).__name__}, but only records can be reported")
        same = sum(other.kind == record.kind for other in named.values())
        named[f"{record.kind}-{same + 1}" if same else record.kind] = record
    if not named:
        raise InputError("source is empty, but at least one record is needed")
    return Run(Path(), named)


def _title(run: Run) -> str:
    return "karat report" if run.path == Path() else run.path.resolve().name


def _inside(folder: Path, source: str) -> Path:
    """A run's image source: inside its folder, or where it says."""
    return folder / source if (folder / source).exists() else Path(source)


def _at(draw: Callable[..., str], widths: Mapping[str, int]) -> Callable[..., str]:
    """A figure as the page calls it: drawn once a width."""
    markup = require("markupsafe", "a report").Markup

    def drawn(data: Any) -> str:
        return markup("").join(
            markup('<div class="{}">').format(name) + markup(draw(data, width=width)) + markup("</div>")
            for name, width in widths.items()
        )

    return drawn


def _number(value: float | None) -> str:
    """Three figures; whole numbers, and those from 1000 on, without decimals.

    >>> _number(0.55), _number(4.0), _number(12345.6), _number(None)
    ('0.550', '4', '12,346', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3g}"
    return f"{value:#.3g}".rstrip(".")


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}".replace("-", "−")


def _share(value: float | None) -> str:
    """A share as a percentage.

    >>> _share(0.4412), _share(0.00001), _share(0)
    ('44.1%', '<0.1%', '0%')
    """
    if value is None or math.isnan(value):
        return "-"
    if value in (0, 1):
        return f"{value:.0%}"
    return "<0.1%" if value < 0.0005 else ">99.9%" if value >= 0.9995 else f"{value:.1%}"


def _count(value: int) -> str:
    return f"{value:,}"


def _signed(value: float | None) -> str:
    """A difference, with a true minus sign.

    >>> _signed(0.0312), _signed(-0.2), _signed(None)
    ('+0.031', '−0.200', '-')
    """
    return "-" if value is None else f"{value:+.3f}".replace("-", "−")


def _p(value: float | None) -> str:
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _sentence(text: str) -> str:
    """A warning, with the full stop that some lack.

    >>> _sentence("few samples"), _sentence("Why?")
    ('few samples.', 'Why?')
    """
    return text if text.endswith((".", "!", "?")) else f"{text}."
