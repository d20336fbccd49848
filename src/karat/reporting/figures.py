"""The figures of scores: how they are distributed, and how well they tell right from wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .drawing import COLORS, DASH_DOT, DASHED, DOTTED, LETTER, SERIES, SOLID, Json, altair, bare, chart, series, svg


def histogram(data: Json, *, width: int) -> str:
    """Bars of one group, or the outlines of two, from `curves.histogram`."""
    alt = altair()
    edges, groups = data["edges"], data["groups"]
    x = alt.X("low:Q", title=data["score"], scale=alt.Scale(domain=[edges[0], edges[-1]], nice=False))
    x = x.axis(grid=False, tickCount=6, format="~g")
    y = alt.Y("share:Q", title="share of samples", axis=bare(format="~%", tickCount=4), stack=False)
    if len(groups) == 1:
        bins = zip(edges[:-1], edges[1:], groups[0]["shares"], strict=True)
        binned = chart([{"low": low, "high": high, "share": share} for low, high, share in bins])
        bars = binned.mark_bar(color=COLORS["right"], opacity=0.75, binSpacing=1)
        return svg(bars.encode(x=x.bin("binned"), x2="high:Q", y=y), width, 240)
    steps = [
        {"low": low, "share": share, "series": group["name"]}
        for group in groups
        for low, share in zip(edges, [*group["shares"], group["shares"][-1]], strict=True)
    ]
    names = [group["name"] for group in groups]
    base = chart(steps).encode(x=x, y=y, **series(names, names, [SOLID, DASHED]))
    area = base.mark_area(interpolate="step-after", fillOpacity=0.14, strokeOpacity=0)
    return svg(area + base.mark_line(interpolate="step-after", strokeWidth=2), width, 240)


def auroc_intervals(rows: Sequence[Json], *, width: int) -> str:
    """A dot and its interval for each score, from the rows of `tables.evaluation_table`; the dashed line is a coin."""
    alt = altair()
    points = [
        {"score": row["score"], "series": "with labels" if row["labelled"] else "without labels", **row["auroc"]}
        for row in rows
    ]
    ends = [0.5, *(point[end] for point in points for end in ("value", "low", "high") if point[end] is not None)]
    domain = [max(0.0, min(ends) - 0.02), min(1.0, max(ends) + 0.02)]
    scale, axis = alt.Scale(domain=domain, nice=False, zero=False), alt.Axis(grid=False, tickCount=width // 110)
    room = min(width / 2.4, LETTER * max(len(point["score"]) for point in points))
    names = bare(labelColor=COLORS["ink"], labelLimit=room, minExtent=room, grid=True, gridDash=[1, 4])
    y = alt.Y("score:N", sort=[point["score"] for point in points], title=None, axis=names)
    kinds = ["without labels", "with labels"]
    base = chart(points).encode(y=y, **series(kinds, ["right", "ceiling"]))
    shape = alt.Shape("series:N", scale=alt.Scale(domain=kinds, range=["circle", "diamond"]))
    dots = base.mark_point(filled=True, size=80, opacity=1)
    dots = dots.encode(x=alt.X("value:Q", title="AUROC", scale=scale, axis=axis), shape=shape)
    lines = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=scale), x2="high:Q")
    coin = chart([{"coin": 0.5}]).mark_rule(color=COLORS["ink"], strokeDash=[4, 3])
    return svg(coin.encode(x=alt.X("coin:Q", scale=scale)) + lines + dots, width, 28 * len(points))


def risk_coverage(curves: Sequence[Json], *, width: int) -> str:
    """Error rate among the samples that are kept, from `curves.risk_curves`."""
    alt = altair()
    points = [
        {"series": curve["score"], "coverage": coverage, "risk": risk}
        for curve in curves
        for coverage, risk in zip(curve["coverage"], curve["risk"], strict=True)
    ]
    colors, dashes = zip(*(_style(curve, index) for index, curve in enumerate(curves)), strict=True)
    names = [curve["score"] for curve in curves]
    x = alt.X("coverage:Q", title="share kept, highest scores first")
    y = alt.Y("risk:Q", title="error rate among them", axis=bare(format="~%", tickCount=5))
    told = series(names, colors, dashes, columns=2 if width < 400 else 4)
    lines = chart(points).mark_line(strokeWidth=2)
    return svg(lines.encode(x=x.axis(grid=False, format="~%", tickCount=5), y=y, **told), width, 260)


def _style(curve: Json, index: int) -> tuple[str, list[int]]:
    """Colour and dashes of a curve."""
    if curve["labelled"]:
        return "ceiling", DASH_DOT
    if curve["score"] == "random":
        return "muted", DOTTED
    return ("right", SOLID) if index == 0 else ("third", DASHED)


def share_curve(data: Json, *, width: int) -> str:
    """Activation share of the features in rising order, the band of discriminative ones marked."""
    alt = altair()
    points = [{"rank": rank, "share": share} for rank, share in zip(data["rank"], data["share"], strict=True)]
    scale, axis = alt.Scale(domain=[0, data["features"] + 1], nice=False), alt.Axis(grid=False, tickCount=5)
    x = alt.X("rank:Q", title="features, by rising activation share", scale=scale, axis=axis)
    y = alt.Y("share:Q", title="activation share", axis=bare(format="~%", tickCount=4))
    line = chart(points).mark_line(color=COLORS["right"], strokeWidth=2, interpolate="monotone").encode(x=x, y=y)
    if data["band"] is None:
        return svg(line, width, 240)
    first, last = data["band"]
    limits = chart([{"first": first - 0.5, "last": last + 0.5, "middle": (first + last) / 2}])
    band = limits.mark_rect(color=COLORS["band"]).encode(x=alt.X("first:Q", scale=scale), x2="last:Q")
    name = limits.mark_text(text="discriminative", color=COLORS["ink"], baseline="top", dy=6, fontSize=12)
    return svg(band + line + name.encode(x=alt.X("middle:Q", scale=scale), y=alt.value(0)), width, 240)


def spectrum(data: Json, *, width: int) -> str:
    """Share of the variance along each principal direction, from `spectra.spectrum_curve`; both axes logarithmic."""
    line = chart(_directions(data)).mark_line(color=COLORS["right"], strokeWidth=2).encode(**_spectral_axes())
    if data["fitted"] is None:
        return svg(line, width, 260)
    first, last = data["fitted"]
    limits = chart([{"first": first, "last": last, "middle": (first * last) ** 0.5}])
    x = {name: _ranks(f"{name}:Q") for name in ("first", "middle")}
    band = limits.mark_rect(color=COLORS["band"]).encode(x=x["first"], x2="last:Q")
    name = limits.mark_text(text="α is fitted here", color=COLORS["ink"], baseline="top", dy=6, fontSize=12)
    return svg(band + line + name.encode(x=x["middle"], y=altair().value(0)), width, 260)


def spectra(curves: Sequence[Json], *, width: int) -> str:
    """The spectra of several runs over each other, from `side_by_side.spectra`."""
    points = [{"series": curve["name"], **point} for curve in curves for point in _directions(curve)]
    names = [curve["name"] for curve in curves]
    colors, dashes = zip(*(SERIES[index % len(SERIES)] for index in range(len(names))), strict=True)
    told = series(names, colors, dashes, columns=1 if width < 400 else 3)
    return svg(chart(points).mark_line(strokeWidth=2).encode(**_spectral_axes(), **told), width, 260)


def _directions(data: Json) -> list[Json]:
    return [{"rank": rank, "share": share} for rank, share in zip(data["rank"], data["share"], strict=True)]


def _ranks(field: str) -> Any:
    alt = altair()
    x = alt.X(field, title="direction, by falling variance", scale=alt.Scale(type="log", nice=False))
    return x.axis(grid=False, values=[10**power for power in range(8)], format=",d")


def _spectral_axes() -> dict[str, Any]:
    """Both axes logarithmic, with a line at each power of ten; a share is a percentage as long as that is short."""
    alt = altair()
    y = alt.Y("share:Q", title="share of the variance", scale=alt.Scale(type="log", nice=False))
    shown = "datum.value < 0.0001 ? format(datum.value, '~e') : format(datum.value, '~p')"
    powers = [10.0**power for power in range(-20, 1)]
    return {"x": _ranks("rank:Q"), "y": y.axis(domain=False, ticks=False, values=powers, labelExpr=shown)}
