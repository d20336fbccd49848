"""Figures as SVG text: altair draws, vl-convert renders, offline. The colours are the page's CSS variables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .._optional import require

# Vega wants colours, not CSS variables: each of these stands for one, and is replaced in the SVG.
_VARIABLES = {
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
    "labelColor": _VARIABLES["muted"], "titleColor": _VARIABLES["muted"], "domainColor": _VARIABLES["line"],
    "tickColor": _VARIABLES["line"], "gridColor": _VARIABLES["line"], "labelFontSize": 12, "titleFontSize": 12,
    "titleFontWeight": "normal", "titlePadding": 8, "titleLimit": 220, "labelPadding": 4, "tickSize": 4,
}  # fmt: skip
_LEGEND = {
    "orient": "top", "title": None, "labelColor": _VARIABLES["ink"], "labelFontSize": 12, "labelLimit": 120,
    "columnPadding": 18, "rowPadding": 4, "offset": 10,
}  # fmt: skip
_LINES = {"symbolType": "stroke", "symbolSize": 400, "symbolStrokeWidth": 2.5}
_SOLID, _DASHED, _DOTTED, _DASH_DOT = [1, 0], [7, 4], [2, 3], [8, 3, 2, 3]
# Width of a letter at 12 px in a wide font: the renderer's own font may be narrower than the reader's.
_LETTER = 7.4

Json = dict[str, Any]


def histogram(data: Json, *, width: int) -> str:
    """Bars of one group, or the outlines of two, from `curves.histogram`."""
    alt = _altair()
    edges, groups = data["edges"], data["groups"]
    x = alt.X("low:Q", title=data["score"], scale=alt.Scale(domain=[edges[0], edges[-1]], nice=False))
    x = x.axis(grid=False, tickCount=6, format="~g")
    y = alt.Y("share:Q", title="share of samples", axis=_bare(format="~%", tickCount=4), stack=False)
    if len(groups) == 1:
        bins = zip(edges[:-1], edges[1:], groups[0]["shares"], strict=True)
        chart = _chart([{"low": low, "high": high, "share": share} for low, high, share in bins])
        bars = chart.mark_bar(color=_VARIABLES["right"], opacity=0.75, binSpacing=1)
        return _svg(bars.encode(x=x.bin("binned"), x2="high:Q", y=y), width, 240)
    steps = [
        {"low": low, "share": share, "series": group["name"]}
        for group in groups
        for low, share in zip(edges, [*group["shares"], group["shares"][-1]], strict=True)
    ]
    names = [group["name"] for group in groups]
    base = _chart(steps).encode(x=x, y=y, **_series(names, names, [_SOLID, _DASHED]))
    area = base.mark_area(interpolate="step-after", fillOpacity=0.14, strokeOpacity=0)
    return _svg(area + base.mark_line(interpolate="step-after", strokeWidth=2), width, 240)


def auroc_intervals(rows: Sequence[Json], *, width: int) -> str:
    """A dot and its interval for each score, from the rows of `tables.evaluation_table`; the dashed line is a coin."""
    alt = _altair()
    points = [
        {"score": row["score"], "series": "with labels" if row["labelled"] else "without labels", **row["auroc"]}
        for row in rows
    ]
    ends = [0.5, *(point[end] for point in points for end in ("value", "low", "high") if point[end] is not None)]
    domain = [max(0.0, min(ends) - 0.02), min(1.0, max(ends) + 0.02)]
    scale, axis = alt.Scale(domain=domain, nice=False, zero=False), alt.Axis(grid=False, tickCount=width // 110)
    room = min(width / 3, _LETTER * max(len(point["score"]) for point in points))
    names = _bare(labelColor=_VARIABLES["ink"], labelLimit=room, minExtent=room, grid=True, gridDash=[1, 4])
    y = alt.Y("score:N", sort=[point["score"] for point in points], title=None, axis=names)
    kinds = ["without labels", "with labels"]
    base = _chart(points).encode(y=y, **_series(kinds, ["right", "ceiling"]))
    shape = alt.Shape("series:N", scale=alt.Scale(domain=kinds, range=["circle", "diamond"]))
    dots = base.mark_point(filled=True, size=80, opacity=1)
    dots = dots.encode(x=alt.X("value:Q", title="AUROC", scale=scale, axis=axis), shape=shape)
    lines = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=scale), x2="high:Q")
    coin = _chart([{"coin": 0.5}]).mark_rule(color=_VARIABLES["ink"], strokeDash=[4, 3])
    return _svg(coin.encode(x=alt.X("coin:Q", scale=scale)) + lines + dots, width, 28 * len(points))


def risk_coverage(curves: Sequence[Json], *, width: int) -> str:
    """Error rate among the samples that are kept, from `curves.risk_curves`."""
    alt = _altair()
    points = [
        {"series": curve["score"], "coverage": coverage, "risk": risk}
        for curve in curves
        for coverage, risk in zip(curve["coverage"], curve["risk"], strict=True)
    ]
    colors, dashes = zip(*(_style(curve, index) for index, curve in enumerate(curves)), strict=True)
    names = [curve["score"] for curve in curves]
    x = alt.X("coverage:Q", title="share kept, highest scores first")
    y = alt.Y("risk:Q", title="error rate among them", axis=_bare(format="~%", tickCount=5))
    series = _series(names, colors, dashes, columns=2 if width < 400 else 4)
    lines = _chart(points).mark_line(strokeWidth=2)
    return _svg(lines.encode(x=x.axis(grid=False, format="~%", tickCount=5), y=y, **series), width, 260)


def _style(curve: Json, index: int) -> tuple[str, list[int]]:
    """Colour and dashes of a curve."""
    if curve["labelled"]:
        return "ceiling", _DASH_DOT
    if curve["score"] == "random":
        return "muted", _DOTTED
    return ("right", _SOLID) if index == 0 else ("third", _DASHED)


def share_curve(data: Json, *, width: int) -> str:
    """Activation share of the features in rising order, the band of discriminative ones marked."""
    alt = _altair()
    points = [{"rank": rank, "share": share} for rank, share in zip(data["rank"], data["share"], strict=True)]
    scale, axis = alt.Scale(domain=[0, data["features"] + 1], nice=False), alt.Axis(grid=False, tickCount=5)
    x = alt.X("rank:Q", title="features, by rising activation share", scale=scale, axis=axis)
    y = alt.Y("share:Q", title="activation share", axis=_bare(format="~%", tickCount=4))
    line = _chart(points).mark_line(color=_VARIABLES["right"], strokeWidth=2, interpolate="monotone").encode(x=x, y=y)
    if data["band"] is None:
        return _svg(line, width, 240)
    first, last = data["band"]
    limits = _chart([{"first": first - 0.5, "last": last + 0.5, "middle": (first + last) / 2}])
    band = limits.mark_rect(color=_VARIABLES["band"]).encode(x=alt.X("first:Q", scale=scale), x2="last:Q")
    name = limits.mark_text(text="discriminative", color=_VARIABLES["ink"], baseline="top", dy=6, fontSize=12)
    return _svg(band + line + name.encode(x=alt.X("middle:Q", scale=scale), y=alt.value(0)), width, 240)


def _altair() -> Any:
    return require("altair", "a report")


def _chart(values: Sequence[Json]) -> Any:
    alt = _altair()
    return alt.Chart(alt.Data(values=list(values)))


def _bare(**options: Any) -> Any:
    """An axis without its line and ticks."""
    return _altair().Axis(domain=False, ticks=False, **options)


def _series(
    names: Sequence[str], colors: Sequence[str], dashes: Sequence[Sequence[int]] | None = None, *, columns: int = 4
) -> Json:
    """The encodings by which the series of a chart differ: colour and, for lines, dashes."""
    alt = _altair()
    legend = alt.Legend(columns=columns, **({} if dashes is None else _LINES))
    scale = alt.Scale(domain=list(names), range=[_VARIABLES[name] for name in colors])
    found = {"color": alt.Color("series:N", scale=scale, legend=legend)}
    if dashes is not None:
        scale = alt.Scale(domain=list(names), range=list(dashes))
        found["strokeDash"] = alt.StrokeDash("series:N", scale=scale, legend=legend)
    return found


def _svg(chart: Any, width: int, height: int) -> str:
    """A chart as SVG, `width` wide in all; the page that holds it gives the colours and may scale it."""
    sized = chart.properties(width=width, height=height, autosize={"type": "fit-x", "contains": "padding"})
    themed = sized.configure(
        aria=False, background="transparent", font="system-ui, sans-serif", padding=2, axis=_AXIS, legend=_LEGEND,
        view={"stroke": None},
    )  # fmt: skip
    svg = require("vl_convert", "a report").vegalite_to_svg(themed.to_dict(), allowed_base_urls=[])
    start, body = svg[: svg.index(">")], svg[svg.index(">") + 1 :]
    for variable, color in _VARIABLES.items():
        body = body.replace(f'"{color}"', f'"var(--{variable})"')
    box = re.search(r'viewBox="[\d. ]+"', start)
    return f'<svg class="chart" {box[0] if box else ""} focusable="false">{body}'
