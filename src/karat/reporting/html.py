"""From the plain data of a report to one HTML page: templates, figures, numbers as people read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .._optional import require
from . import figures, formats, training_figures, verdict_figures

# A figure is drawn twice, for wide and for narrow windows; the style sheet shows one of them.
_WIDTHS = {"wide": 720, "narrow": 330}
# Small multiples are small in every window.
_SMALL = {"small": 210}
# Two that stand side by side where there is room.
_HALF = {"half": 340}

_DRAWINGS = (
    figures.histogram, figures.auroc_intervals, figures.risk_coverage, figures.share_curve, figures.spectrum,
    figures.spectra, verdict_figures.keep_curve, verdict_figures.reliability, training_figures.study_accuracies,
    training_figures.study_differences,
)  # fmt: skip
_SMALL_DRAWINGS = (verdict_figures.convergence, training_figures.epoch_curve)
_FORMATS = (
    formats.number, formats.decimal, formats.share, formats.count, formats.signed, formats.p_value, formats.sentence,
)  # fmt: skip

Json = dict[str, Any]


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
    environment.filters |= {shown.__name__: shown for shown in _FORMATS}
    environment.globals |= {drawing.__name__: _at(drawing, _WIDTHS) for drawing in _DRAWINGS}
    environment.globals |= {drawing.__name__: _at(drawing, _SMALL) for drawing in _SMALL_DRAWINGS}
    environment.globals["order_curves"] = _at(verdict_figures.order_curves, _HALF)
    return str(environment.get_template("report.html.j2").render(page=page))


def _at(draw: Callable[..., str], widths: Mapping[str, int]) -> Callable[..., str]:
    """A figure as the page calls it: drawn once a width."""
    markup = require("markupsafe", "a report").Markup

    def drawn(data: Any) -> str:
        return markup("").join(
            markup('<div class="{}">').format(name) + markup(draw(data, width=width)) + markup("</div>")
            for name, width in widths.items()
        )

    return drawn
