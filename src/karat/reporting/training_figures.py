"""The figures of trainings: what changes over the epochs, and what the arms of a study come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .drawing import COLORS, LETTER, Json, altair, bare, chart, svg


def epoch_curve(data: Json, *, width: int) -> str:
    """A quantity over the epochs, from `trained.finetuning_section`; the dashed line is what it was before."""
    alt = altair()
    points = [{"epoch": epoch, "value": value} for epoch, value in zip(data["epoch"], data["values"], strict=True)]
    ends = sorted({data["epoch"][0], data["epoch"][-1]})
    axis = alt.Axis(values=ends, grid=False, format="d", labelFlush=True)
    x = alt.X("epoch:Q", title=None, scale=alt.Scale(domain=[ends[0], ends[-1]], nice=False), axis=axis)
    form = "~%" if data["unit"] == "share" else ".3~g"
    y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False), axis=_room(tickCount=3, format=form))
    few = {"point": {"size": 25, "color": COLORS["right"]}} if len(points) <= 12 else {}
    drawn = chart(points).mark_line(color=COLORS["right"], strokeWidth=2, **few).encode(x=x, y=y)
    if data["before"] is not None:
        rule = chart([{"value": data["before"]}]).mark_rule(color=COLORS["muted"], strokeDash=[4, 3])
        drawn = rule.encode(y=y) + drawn
    return svg(drawn, width, 90)


def study_accuracies(arms: Sequence[Json], *, width: int) -> str:
    """Linear accuracy of each arm with its interval, and each seed as a small ring."""
    names = [arm["title"] for arm in arms]
    means = [{"arm": arm["title"], **arm["accuracy"]} for arm in arms]
    seeds = [{"arm": arm["title"], "value": value} for arm in arms for value in arm["accuracies"]]
    x = _across("linear accuracy", _ticks(width, "~%"))
    rings = chart(seeds).mark_point(color=COLORS["muted"], size=28, strokeWidth=1.3, yOffset=9)
    drawn = _whiskers(means, names, x, width) + rings.encode(x=x("value:Q"), y=_arms(names, width))
    return svg(drawn, width, 34 * len(names))


def study_differences(tests: Sequence[Json], *, width: int) -> str:
    """How much more accurate the Q-Score's arm is than each other, with intervals; the dashed line is no difference."""
    points = [
        {"arm": test["second"], **{end: test["difference"][end] for end in ("value", "low", "high")}} for test in tests
    ]
    names = [point["arm"] for point in points]
    x = _across("difference of linear accuracy", _ticks(width, "+~%"))
    zero = chart([{"value": 0}]).mark_rule(color=COLORS["ink"], strokeDash=[4, 3]).encode(x=x("value:Q"))
    return svg(zero + _whiskers(points, names, x, width), width, 34 * len(names))


def _across(title: str, axis: Any) -> Callable[[str], Any]:
    """The horizontal axis, the same for every layer."""
    alt = altair()
    return lambda field: alt.X(field, title=title, scale=alt.Scale(zero=False, padding=10), axis=axis)


def _ticks(width: int, form: str) -> Any:
    return altair().Axis(grid=True, tickCount=max(3, width // 150), format=form, labelOverlap=True)


def _arms(names: Sequence[str], width: int) -> Any:
    room = min(width / 2.2, LETTER * max(len(name) for name in names))
    return altair().Y(
        "arm:N", sort=list(names), title=None, axis=bare(labelColor=COLORS["ink"], labelLimit=room, minExtent=room)
    )


def _whiskers(points: Sequence[Json], names: Sequence[str], x: Callable[[str], Any], width: int) -> Any:
    base = chart(points).encode(y=_arms(names, width))
    rules = base.mark_rule(color=COLORS["right"], strokeWidth=2).encode(x=x("low:Q"), x2="high:Q")
    return rules + base.mark_point(color=COLORS["right"], filled=True, size=80, opacity=1).encode(x=x("value:Q"))


def _room(**options: Any) -> Any:
    """An axis whose labels have the same room in every small figure."""
    return bare(minExtent=6 * LETTER, **options)
