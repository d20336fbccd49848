"""Metrics of a whole set as plain values: what each means, what is missing, whether it has converged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..catalog import ROWS
from ..records import Curve, Metrics, to_dict
from .spectra import spectrum_curve
from .tables import better, defined, meaning

Json = dict[str, Any]


def metrics_section(metrics: Metrics) -> Json:
    """Numbers of the whole set.

    Returns:
        "n", "d", "warnings"; "rows": "metric", "value", "meaning", "better", "source"; "left_out" of `left_out_table`;
        "spectrum" of `spectra.spectrum_curve`; "curves" of `convergence_table`.
    """
    return {
        "n": metrics.n,
        "d": metrics.d,
        "warnings": list(metrics.warnings),
        "rows": metric_table(metrics),
        "left_out": left_out_table(metrics.left_out),
        "spectrum": spectrum_curve(metrics.spectrum),
        "curves": convergence_table(metrics.curves),
    }


def metric_table(metrics: Metrics) -> list[Json]:
    """One row a metric of the whole set."""
    plain = to_dict(metrics)["values"]
    return [
        {
            "metric": name,
            "value": value,
            "meaning": meaning(name),
            "better": better(name),
            "source": ROWS[name].source if name in ROWS else None,
        }
        for name, value in plain.items()
    ]


def left_out_table(left_out: Mapping[str, str]) -> list[Json]:
    """What was not computed: "names", and what they need, "why"."""
    names: dict[str, list[str]] = {}
    for name, need in left_out.items():
        names.setdefault(need, []).append(name)
    return [{"names": found, "why": need} for need, found in names.items()]


def convergence_table(curves: Mapping[str, Curve]) -> list[Json]:
    """Each metric on growing subsets: "metric", "of" (what is counted), "n", "values", and "change".

    The change is that of the last step, as a share of the last value; None where it is not defined.
    """
    return [
        {
            "metric": name,
            "of": curve.of,
            "n": list(curve.n),
            "values": [defined(value) for value in curve.values],
            "change": _change(curve),
        }
        for name, curve in curves.items()
    ]


def _change(curve: Curve) -> float | None:
    if len(curve.values) < 2 or curve.values[-1] == 0:
        return None
    before, last = curve.values[-2:]
    return defined((last - before) / abs(last))
