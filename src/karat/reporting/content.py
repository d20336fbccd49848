"""What a report says, as plain data: records and images in, one dict of JSON values out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

import numpy as np

from .._version import version
from ..errors import FileFormatError, InputError
from ..images import ImageSource
from ..records import SCHEMA, Evaluation, Metrics, ProbeResult, Record, Scores
from .curves import histogram, risk_curves, share_curve
from .gallery import choose, pictures_of, sheets
from .samples import UNKNOWN, Samples, read_samples
from .summary import summary
from .tables import class_table, evaluation_table, health_table, metric_table, pairs, provenance_table, score_table

Json = dict[str, Any]
_Kind = TypeVar("_Kind", bound=Record)


def content(
    records: Mapping[str, Record],
    images: ImageSource | None = None,
    *,
    paths: Mapping[str, str] | None = None,
    by: str | None = None,
    title: str = "karat report",
    damaged: Mapping[str, str] | None = None,
) -> Json:
    """Everything that a report shows, before any HTML: the summary, the damaged parts, and one section a subject.

    Args:
        records: name -> record.
        images: pictures of the samples.
        paths: id -> path in `images`; None: the ids are those of `images`.
        by: the score that samples are ordered by; None: q_score, or the first score where there is none.
        title: of the page.
        damaged: name of a part that could not be read -> why.

    Returns:
        {"schema", "title", "karat", "summary", "damaged", "sections"}, JSON values only; numbers that are not defined
        are None. Each section has "kind", "record" (its name, where there are several of its kind, else None) and,
        where it could not be made, nothing but "damaged": why.

    Raises:
        InputError: no scores record has the score `by`.
    """
    scores, probes = _of(records, Scores), _of(records, ProbeResult)
    _check(by, scores)

    @cache
    def samples(name: str) -> Samples:
        return read_samples(scores[name], list(probes.values()), _order(scores[name], by))

    sections = [
        *_sections("health", scores, lambda name, record: _health(record)),
        *_sections("distribution", scores, lambda name, record: _distribution(record, samples(name))),
        *_sections("evaluation", _of(records, Evaluation), lambda name, record: _evaluation(record)),
        *_sections("gallery", scores, lambda name, record: _gallery(samples(name), images, paths)),
        *_sections("activation", scores, lambda name, record: _activation(record)),
        *_sections("metrics", _of(records, Metrics), lambda name, record: _metrics(record)),
        *_sections("probe", probes, lambda name, record: _probe(record)),
    ]
    return {
        "schema": SCHEMA,
        "title": title,
        "karat": version(),
        "summary": summary(records),
        "damaged": [{"part": part, "why": why} for part, why in (damaged or {}).items()],
        "sections": [*sections, {"kind": "provenance", "record": None, "records": provenance_table(records)}],
    }


def _of(records: Mapping[str, Record], kind: type[_Kind]) -> dict[str, _Kind]:
    return {name: record for name, record in records.items() if isinstance(record, kind)}


def _sections(kind: str, records: Mapping[str, _Kind], build: Callable[[str, _Kind], Json]) -> Iterator[Json]:
    """One section a record, or a placeholder that says why there is none."""
    for name, record in records.items():
        try:
            body = build(name, record)
        except FileFormatError as error:
            body = {"damaged": str(error)}
        yield {"kind": kind, "record": name if len(records) > 1 else None, **body}


def _check(by: str | None, scores: Mapping[str, Scores]) -> None:
    known = dict.fromkeys(name for record in scores.values() for name in record.names)
    if by is not None and by not in known:
        raise InputError(f"by={by!r} is no score of this report: {', '.join(known) or 'it has none'}")


def _order(scores: Scores, by: str | None) -> str:
    """The score that the samples of a record are ordered by."""
    for name in (by, "q_score", *scores.names):
        if name in scores.names:
            return str(name)
    raise FileFormatError("this scores record names no score")


def _health(scores: Scores) -> Json:
    return {"warnings": list(scores.health.warnings), "groups": health_table(scores)}


def _distribution(scores: Scores, samples: Samples) -> Json:
    return {"unscored": samples.unscored, "histogram": histogram(samples), "rows": score_table(scores)}


def _evaluation(evaluation: Evaluation) -> Json:
    table = evaluation_table(evaluation)
    return {"n": evaluation.n, "accuracy": evaluation.accuracy, **table, "curves": risk_curves(evaluation)}


def _gallery(samples: Samples, images: ImageSource | None, paths: Mapping[str, str] | None) -> Json:
    rows = choose(samples)
    shown = [str(samples.ids[row]) for chosen in rows.values() for row in chosen]
    judged = samples.verdict[samples.verdict != UNKNOWN]
    return {
        "score": samples.score,
        "n": len(samples),
        "by_rule": int(samples.by_rule.sum()),
        "accuracy": float(judged.mean()) if len(judged) else None,
        "pictures": images is not None,
        "sheets": sheets(samples, rows, pictures_of(shown, images, paths) if images is not None else {}),
    }


def _activation(scores: Scores) -> Json:
    share, discriminative = scores.activation_share, scores.discriminative
    if share.shape != discriminative.shape or not np.all(np.isfinite(share)):
        raise FileFormatError("the activation shares of the scores record are damaged")
    return {"halves": scores.health.halves, **share_curve(share, discriminative)}


def _metrics(metrics: Metrics) -> Json:
    return {"n": metrics.n, "d": metrics.d, "rows": metric_table(metrics)}


def _probe(probe: ProbeResult) -> Json:
    found = {"accuracy": probe.accuracy, "n_train": probe.n_train, "n_val": probe.n_val}
    head = {key: round(value, 4) if isinstance(value, float) else value for key, value in probe.head.items()}
    table: Json = {"rows": None, "damaged_table": None}
    try:
        table["rows"] = class_table(probe)
    except FileFormatError as error:
        table["damaged_table"] = str(error)
    return {**found, "classes": len(probe.classes), "head": pairs(head), **table}
