"""What a report says, as plain data: records and images in, one dict of JSON values out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .._version import version
from ..errors import FileFormatError
from ..images import ImageSource
from ..records import (
    SCHEMA,
    Calibration,
    Comparison,
    Compression,
    Evaluation,
    Explanation,
    Faithfulness,
    Finetuning,
    Metrics,
    Overlap,
    ProbeResult,
    Record,
    Scores,
    Selection,
    Study,
)
from .compared import comparison_section
from .compressed import compression_section
from .curves import histogram, share_curve
from .evaluation import evaluation_section
from .gallery import STORED, Pictures, choose, pictures_of, sheets
from .heatmaps import explanation_section
from .labelling import calibration_section, selection_section
from .overlapping import faithfulness_section, overlap_section
from .samples import UNKNOWN, Samples, read_samples
from .seen import features_section, kept_activations
from .studied import study_section
from .summary import probe_name, summary
from .tables import class_table, head_table, health_table, pairs, provenance_table, score_table
from .trained import finetuning_section
from .whole_set import left_out_table, metrics_section

Json = dict[str, Any]
_Kind = TypeVar("_Kind", bound=Record)


def content(
    records: Mapping[str, Record],
    images: ImageSource | None = None,
    *,
    paths: Mapping[str, str] | None = None,
    folder: Path | None = None,
    by: str | None = None,
    title: str = "karat report",
    damaged: Mapping[str, str] | None = None,
) -> Json:
    """Everything that a report shows, before any HTML: the summary, the damaged parts, and one section a subject.

    Args:
        records: name -> record.
        images: pictures of the samples.
        paths: id -> path in `images`; None: the ids are those of `images`.
        folder: the run's, where heatmaps and kept activations lie.
        by: the score that samples are ordered by; None: q_score, or the first score where there is none.
        title: of the page.
        damaged: name of a part that could not be read -> why.

    Returns:
        {"schema", "title", "karat", "summary", "damaged", "notes", "sections", "runs"}, JSON values only; numbers that
        are not defined are None. Each section has "kind", "record" (its name, where there are several of its kind, else
        None) and, where it could not be made, nothing but "damaged": why. What else it has is said where it is made: of
        "evaluation" in `evaluation.evaluation_section`, of "calibration" and "selection" in `labelling`, of
        "explanation" in `heatmaps`, of "overlap" and "faithfulness" in `overlapping`, of "compression" in `compressed`,
        of "metrics" in `whole_set`, of "comparison" in `compared`, of "features" in `seen`, of "finetuning" in
        `trained`, of "study" in `studied`; the others in this module, from `tables`, `curves` and `gallery`. "notes"
        say what was made smaller (`page_size`), "runs" are for several (`writing.page_of`).
    """
    scores, probes = _of(records, Scores), _of(records, ProbeResult)

    @cache
    def samples(name: str) -> Samples:
        return read_samples(scores[name], list(probes.values()), _order(scores[name], by))

    maps = None if folder is None else folder / "maps"
    seen = {name: record for name, record in scores.items() if kept_activations(folder, name)}
    pictures: Pictures | None = None
    if images is not None:
        pictures = partial(_pictures, images, paths)
    sections = [
        *_sections("health", scores, lambda name, record: _health(record)),
        *_sections("distribution", scores, lambda name, record: _distribution(record, samples(name))),
        *_sections("evaluation", _of(records, Evaluation), lambda name, record: evaluation_section(record)),
        *_sections("calibration", _of(records, Calibration), lambda name, record: calibration_section(record)),
        *_sections("gallery", scores, lambda name, record: _gallery(samples(name), pictures)),
        *_sections("selection", _of(records, Selection), lambda name, record: selection_section(record, pictures)),
        *_sections("explanation", _of(records, Explanation), lambda name, record: explanation_section(record, maps)),
        *_sections("overlap", _of(records, Overlap), lambda name, record: overlap_section(record)),
        *_sections("faithfulness", _of(records, Faithfulness), lambda name, record: faithfulness_section(record)),
        *_sections("activation", scores, lambda name, record: _activation(record)),
        *_sections("features", seen, lambda name, record: features_section(record, folder or Path(), pictures)),
        *_sections("compression", _of(records, Compression), lambda name, record: compression_section(record)),
        *_sections("metrics", _of(records, Metrics), lambda name, record: metrics_section(record)),
        *_sections("probe", probes, lambda name, record: _probe(record)),
        *_sections("study", _of(records, Study), lambda name, record: study_section(record)),
        *_sections("finetuning", _of(records, Finetuning), lambda name, record: finetuning_section(record)),
        *_sections("comparison", _of(records, Comparison), lambda name, record: comparison_section(record, pictures)),
    ]
    return {
        "schema": SCHEMA,
        "title": title,
        "karat": version(),
        "summary": summary(records),
        "damaged": [{"part": part, "why": why} for part, why in (damaged or {}).items()],
        "notes": [],
        "sections": [*sections, {"kind": "provenance", "record": None, "records": provenance_table(records)}],
        "runs": [],
    }


def _pictures(images: ImageSource, paths: Mapping[str, str] | None, ids: list[str], stored: int) -> dict[str, Json]:
    return pictures_of(ids, images, paths, stored=stored)


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


def _order(scores: Scores, by: str | None) -> str:
    """The score that the samples of a record are ordered by."""
    for name in (by, "q_score", *scores.names):
        if name in scores.names:
            return str(name)
    raise FileFormatError("this scores record names no score")


def _health(scores: Scores) -> Json:
    return {"warnings": list(scores.health.warnings), "groups": health_table(scores)}


def _distribution(scores: Scores, samples: Samples) -> Json:
    return {
        "unscored": samples.unscored,
        "histogram": histogram(samples),
        "rows": score_table(scores),
        "left_out": left_out_table(scores.left_out),
    }


def _gallery(samples: Samples, pictures: Pictures | None) -> Json:
    rows = choose(samples)
    shown = [str(samples.ids[row]) for chosen in rows.values() for row in chosen]
    judged = samples.verdict[samples.verdict != UNKNOWN]
    return {
        "score": samples.score,
        "n": len(samples),
        "by_rule": int(samples.by_rule.sum()),
        "accuracy": float(judged.mean()) if len(judged) else None,
        "pictures": pictures is not None,
        "sheets": sheets(samples, rows, {} if pictures is None else pictures(shown, STORED)),
    }


def _activation(scores: Scores) -> Json:
    share, discriminative = scores.activation_share, scores.discriminative
    if share.shape != discriminative.shape or not np.all(np.isfinite(share)):
        raise FileFormatError("the activation shares of the scores record are damaged")
    return {"halves": scores.health.halves, **share_curve(share, discriminative)}


def _probe(probe: ProbeResult) -> Json:
    head = {key: round(value, 4) if isinstance(value, float) else value for key, value in probe.head.items()}
    table: Json = {"rows": None, "damaged_table": None}
    try:
        table["rows"] = class_table(probe)
    except FileFormatError as error:
        table["damaged_table"] = str(error)
    return {
        "name": probe_name(probe),
        "accuracy": probe.accuracy,
        "top5": probe.top5,
        "n_train": probe.n_train,
        "n_val": probe.n_val,
        "classes": len(probe.classes),
        "head": pairs(head),
        "heads": head_table(probe),
        **table,
    }
