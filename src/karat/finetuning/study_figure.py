"""The figure of a study, as an SVG that stands alone."""

from __future__ import annotations

from typing import Any

from .._optional import require
from ..records import Study
from ..records.study_text import ARM_TITLES

PURPOSE = "the figure of a study"
_MAIN, _INK, _MUTED = "#2160a8", "#222222", "#8a8a8a"
_WIDTH, _ROW = 420, 30


def study_figure(record: Study) -> str:
    """Linear accuracy of each arm, with every seed as a dot, and below how much better the Q-Score is than each other.

    Raises:
        MissingDependencyError: the extra `report` is not installed.
    """
    alt = require("altair", PURPOSE)
    drawn = alt.vconcat(_accuracies(alt, record), _differences(alt, record)).resolve_scale(color="independent")
    themed = drawn.configure(font="system-ui, sans-serif", background="white").configure_view(stroke=None)
    svg: str = require("vl_convert", PURPOSE).vegalite_to_svg(themed.to_dict(), allowed_base_urls=[])
    return svg


def _accuracies(alt: Any, record: Study) -> Any:
    titles = [ARM_TITLES[arm.name] for arm in record.arms]
    seeds = [
        {"arm": ARM_TITLES[arm.name], "accuracy": 100 * accuracy} for arm in record.arms for accuracy in arm.accuracies
    ]
    means = [_interval(ARM_TITLES[arm.name], arm.linear_accuracy) for arm in record.arms]
    title = f"linear accuracy of {record.encoder}, % ({len(record.seeds)} seeds; 95% intervals)"
    y = alt.Y("arm:N", sort=titles, title=None, axis=_names(alt))
    x = _x(alt, "accuracy:Q", title)
    dots = alt.Chart(alt.Data(values=seeds)).mark_point(color=_MUTED, size=30, yOffset=8).encode(x=x, y=y)
    return (_whiskers(alt, means, title, y) + dots).properties(width=_WIDTH, height=_ROW * len(titles))


def _differences(alt: Any, record: Study) -> Any:
    tests = [test for test in record.tests if test.first == "q_score"]
    points = [_interval(f"against {ARM_TITLES[test.second]}", test.difference) for test in tests]
    title = "linear accuracy with the Q-Score minus that of the other, points"
    y = alt.Y("arm:N", sort=[point["arm"] for point in points], title=None, axis=_names(alt))
    zero = alt.Chart(alt.Data(values=[{"accuracy": 0}])).mark_rule(color=_INK, strokeDash=[4, 3])
    drawn = zero.encode(x=_x(alt, "accuracy:Q", title)) + _whiskers(alt, points, title, y)
    return drawn.properties(width=_WIDTH, height=_ROW * len(points))


def _interval(name: str, estimate: Any) -> dict[str, Any]:
    ends = {"accuracy": estimate.value, "low": estimate.low, "high": estimate.high}
    return {"arm": name} | {end: 100 * value for end, value in ends.items()}


def _whiskers(alt: Any, points: list[dict[str, Any]], title: str, y: Any) -> Any:
    base = alt.Chart(alt.Data(values=points)).encode(y=y)
    rules = base.mark_rule(color=_MAIN, strokeWidth=2).encode(x=_x(alt, "low:Q", title), x2="high:Q")
    return rules + base.mark_point(color=_MAIN, filled=True, size=90, opacity=1).encode(x=_x(alt, "accuracy:Q", title))


def _x(alt: Any, field: str, title: str) -> Any:
    return alt.X(field, title=title, scale=alt.Scale(zero=False, padding=12)).axis(tickCount=6, gridColor="#e4e4e4")


def _names(alt: Any) -> Any:
    return alt.Axis(domain=False, ticks=False, labelLimit=240, labelFontSize=12, minExtent=200)
