"""How figures become SVG text: altair draws, vl-convert renders, offline. The colours are the page's CSS variables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .._optional import require

# Vega wants colours, not CSS variables: each of these stands for one, and is replaced in the SVG.
COLORS = {
    "ink": "#000001",
    "muted": "#000002",
    "line": "#000003",
    "right": "#000004",
    "wrong": "#000005",
    "third": "#000006",
    "ceiling": "#000007",
    "band": "#000008",
}
_AXIS = {
    "labelColor": COLORS["muted"], "titleColor": COLORS["muted"], "domainColor": COLORS["line"],
    "tickColor": COLORS["line"], "gridColor": COLORS["line"], "labelFontSize": 12, "titleFontSize": 12,
    "titleFontWeight": "normal", "titlePadding": 8, "titleLimit": 220, "labelPadding": 4, "tickSize": 4,
}  # fmt: skip
_LEGEND = {
    "orient": "top", "title": None, "labelColor": COLORS["ink"], "labelFontSize": 12, "labelLimit": 120,
    "columnPadding": 18, "rowPadding": 4, "offset": 10,
}  # fmt: skip
_LINES = {"symbolType": "stroke", "symbolSize": 400, "symbolStrokeWidth": 2.5}
SOLID, DASHED, DOTTED, DASH_DOT, SHORT = [1, 0], [7, 4], [2, 3], [8, 3, 2, 3], [4, 2]
# The colour and dashes of each of several series; no two of the first fifteen are alike.
SERIES = [
    (color, dash) for dash in (SOLID, DASHED, DOTTED) for color in ("right", "wrong", "third", "ceiling", "muted")
]
_TAG, _ROLES, _LONG = re.compile("<[^>]*>"), re.compile(r' (?:role|class|aria-\w+)="[^"]*"'), re.compile(r"\d+\.\d{3,}")
# Width of a letter at 12 px in a wide font: the renderer's own font may be narrower than the reader's.
LETTER = 7.4

Json = dict[str, Any]


def altair() -> Any:
    return require("altair", "a report")


def chart(values: Sequence[Json]) -> Any:
    alt = altair()
    return alt.Chart(alt.Data(values=list(values)))


def bare(**options: Any) -> Any:
    """An axis without its line and ticks."""
    return altair().Axis(domain=False, ticks=False, **options)


def series(
    names: Sequence[str], colors: Sequence[str], dashes: Sequence[Sequence[int]] | None = None, *, columns: int = 4
) -> Json:
    """The encodings by which the series of a chart differ: colour and, for lines, dashes."""
    alt = altair()
    legend = alt.Legend(columns=columns, **({} if dashes is None else _LINES))
    scale = alt.Scale(domain=list(names), range=[COLORS[name] for name in colors])
    found = {"color": alt.Color("series:N", scale=scale, legend=legend)}
    if dashes is not None:
        scale = alt.Scale(domain=list(names), range=list(dashes))
        found["strokeDash"] = alt.StrokeDash("series:N", scale=scale, legend=legend)
    return found


def svg(drawn: Any, width: int, height: int) -> str:
    """A chart as SVG, `width` wide in all; the page that holds it gives the colours and may scale it."""
    sized = drawn.properties(width=width, height=height, autosize={"type": "fit-x", "contains": "padding"})
    themed = sized.configure(
        aria=False, background="transparent", font="system-ui, sans-serif", padding=2, axis=_AXIS, legend=_LEGEND,
        view={"stroke": None},
    )  # fmt: skip
    text = require("vl_convert", "a report").vegalite_to_svg(themed.to_dict(), allowed_base_urls=[])
    start, body = text[: text.index(">")], text[text.index(">") + 1 :]
    for variable, color in COLORS.items():
        body = body.replace(f'"{color}"', f'"var(--{variable})"')
    box = re.search(r'viewBox="[\d. ]+"', start)
    return f'<svg class="chart" {box[0] if box else ""} focusable="false">{_TAG.sub(_plain, body)}'


def _plain(tag: re.Match[str]) -> str:
    """A tag without roles, which say nothing beside the figure's own words, and with numbers of two decimals."""
    return _LONG.sub(lambda number: f"{float(number[0]):.2f}", _ROLES.sub("", tag[0]))
