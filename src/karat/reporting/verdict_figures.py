"""The figures of what judges: convergence, the cost of dropping features, reliability, deletion and insertion."""

from __future__ import annotations

from typing import Any

from .drawing import COLORS, DASH_DOT, DASHED, DOTTED, LETTER, SHORT, SOLID, Json, altair, bare, chart, series, svg

# In the order of the record, which begins with karat's own selection.
_STYLES = [("right", SOLID), ("muted", DOTTED), ("third", DASHED), ("ceiling", DASH_DOT), ("wrong", SHORT)]
# The map, a random order, from the middle outwards.
_ORDER_STYLES = [("right", SOLID), ("muted", DOTTED), ("third", DASHED)]
# Intervals at the same share stand side by side, this far apart.
_APART = 0.006


def convergence(data: Json, *, width: int) -> str:
    """A metric on growing subsets, from `whole_set.convergence_table`; each step on the axis doubles them."""
    alt = altair()
    points = [{"n": n, "value": value} for n, value in zip(data["n"], data["values"], strict=True)]
    ends = alt.Axis(values=[data["n"][0], data["n"][-1]], grid=False, format=",d", labelFlush=True)
    x = alt.X("n:Q", title=None, scale=alt.Scale(type="log", base=2, nice=False), axis=ends)
    y = alt.Y(
        "value:Q", title=None, scale=alt.Scale(zero=False), axis=bare(tickCount=3, format=".4~r", minExtent=6 * LETTER)
    )
    line = chart(points).mark_line(color=COLORS["right"], strokeWidth=2, point={"size": 25, "color": COLORS["right"]})
    return svg(line.encode(x=x, y=y), width, 90)


def keep_curve(data: Json, *, width: int) -> str:
    """Accuracy against the share of features kept, from `compressed.keep_curve`; the rule is that of all features."""
    alt = altair()
    names = [each["method"] for each in data["methods"]]
    styles = [_STYLES[index % len(_STYLES)] for index in range(len(names))]
    points = [
        {"series": each["method"], **point, "place": point["keep"] + _APART * (index - (len(names) - 1) / 2)}
        for index, each in enumerate(data["methods"])
        for point in each["points"]
    ]
    told = series(names, *zip(*styles, strict=True), columns=2 if width < 400 else len(names))
    x = alt.X("place:Q", title="share of the features kept", scale=alt.Scale(domain=[0, 1], nice=False))
    x = x.axis(grid=False, format="~%", tickCount=5)
    scale = alt.Scale(zero=False)
    y = alt.Y("value:Q", title="accuracy of a linear probe", axis=bare(format="~%", tickCount=5), scale=scale)
    base = chart(points).encode(x=x, **told)
    lines = base.mark_line(strokeWidth=2).encode(y=y)
    rules = base.mark_rule(strokeWidth=1.2)
    drawn = rules.encode(y=alt.Y("low:Q", scale=scale), y2="high:Q", strokeDash=alt.value(SOLID)) + lines
    if data["whole"] is not None:
        rule = chart([data["whole"]]).mark_rule(color=COLORS["ink"], strokeDash=[4, 3])
        drawn = rule.encode(y=alt.Y("value:Q", scale=scale)) + drawn
    return svg(drawn, width, 300)


def reliability(bins: list[Json], *, width: int) -> str:
    """Observed against predicted P(misclassified), from the bins of a calibration; the dashed line is calibrated."""
    alt = altair()
    points = [{"predicted": each["predicted"], **each["observed"]} for each in bins]
    ends = [value for point in points for value in point.values() if value is not None]
    top = min(1.0, 1.05 * max(ends, default=1.0)) or 1.0
    scale = alt.Scale(domain=[0, top], nice=False)

    def axes(y: str) -> dict[str, Any]:
        across = alt.X("predicted:Q", title="predicted P(misclassified)", scale=scale)
        up = alt.Y(y, title="observed share misclassified", scale=scale, axis=bare(format="~%", tickCount=5))
        return {"x": across.axis(grid=False, format="~%", tickCount=5), "y": up}

    ideal = chart([{"predicted": 0, "value": 0}, {"predicted": top, "value": top}])
    ideal = ideal.mark_line(color=COLORS["ink"], strokeDash=[4, 3], strokeWidth=1).encode(**axes("value:Q"))
    base = chart(points)
    rules = base.mark_rule(color=COLORS["right"], strokeWidth=2).encode(**axes("low:Q"), y2="high:Q")
    dots = base.mark_point(color=COLORS["right"], filled=True, size=70, opacity=1).encode(**axes("value:Q"))
    return svg(ideal + rules + dots, width, 280)


def order_curves(data: Json, *, width: int) -> str:
    """What is watched as pixels are taken away, or put back, in several orders, from `overlapping`."""
    alt = altair()
    names = [each["order"] for each in data["series"]]
    styles = [_ORDER_STYLES[index % len(_ORDER_STYLES)] for index in range(len(names))]
    points = [
        {"series": each["order"], "share": share, "value": value}
        for each in data["series"]
        for share, value in zip(each["share"], each["value"], strict=True)
    ]
    done = {"deletion": "taken away", "insertion": "put back"}[data["mode"]]
    x = alt.X("share:Q", title=f"share of the pixels {done}", scale=alt.Scale(domain=[0, 1], nice=False))
    x = x.axis(grid=False, format="~%", tickCount=5)
    y = alt.Y("value:Q", title=data["of"], axis=bare(tickCount=4, format="~g"), scale=alt.Scale(zero=True))
    lines = chart(points).mark_line(strokeWidth=2)
    return svg(lines.encode(x=x, y=y, **series(names, *zip(*styles, strict=True), columns=3)), width, 200)
