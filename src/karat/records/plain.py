"""Records to plain JSON values and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from ..errors import FileFormatError
from .kinds import (
    Columns,
    Estimate,
    Evaluation,
    Health,
    Metrics,
    ProbeResult,
    Provenance,
    Record,
    ScoreEvaluation,
    Scores,
    Summary,
)

SCHEMA = 1
_KINDS: dict[str, type[Record]] = {cls.kind: cls for cls in (Scores, Metrics, ProbeResult, Evaluation)}


def to_dict(record: Record) -> dict[str, Any]:
    """A record as plain JSON: kind, schema and fields. Columns (one value a sample) stay in their own file."""
    content = {f.name: _plain(getattr(record, f.name)) for f in fields(record) if f.name != "columns"}
    return {"kind": record.kind, "schema": SCHEMA, **content}


def from_dict(content: Mapping[str, Any], columns: Columns | None = None) -> Record:
    """The record that `to_dict` made `content` from; its columns are given apart.

    Raises:
        FileFormatError: not a record, of an unknown kind, written by a newer karat, or with a part missing.
    """
    kind = content.get("kind") if isinstance(content, Mapping) else None
    cls = _KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise FileFormatError(
            f"this is no record of karat: its kind is {kind!r}, known are {', '.join(sorted(_KINDS))}"
        )
    if content.get("schema") != SCHEMA:
        raise FileFormatError(
            f"this {kind} record has schema {content.get('schema')}, this karat reads {SCHEMA}: upgrade karat"
        )
    names = [f.name for f in fields(cls)]
    missing = [name for name in names if name != "columns" and name not in content]
    if missing:
        raise FileFormatError(f"this {kind} record is damaged: it lacks {', '.join(missing)}")
    try:
        values = {name: _restore(name, content[name]) for name in names if name != "columns"}
        if "columns" in names:
            values["columns"] = {} if columns is None else columns
        return cls(**values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # a part of another form
        raise FileFormatError(f"this {kind} record is damaged: {error}") from error


def _plain(value: Any) -> Any:
    """JSON values only: arrays and tuples become lists, NaN becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _restore(name: str, value: Any) -> Any:
    """A field from its plain form."""
    return _RESTORE[name](value) if name in _RESTORE else value


def _restore_row(row: Mapping[str, Any]) -> ScoreEvaluation:
    estimates = {key: Estimate(**_numbers(item)) for key, item in row.items() if isinstance(item, Mapping)}
    return ScoreEvaluation(**{**row, **estimates, "coverage": tuple(row["coverage"]), "risk": tuple(row["risk"])})


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    """null is NaN again."""
    return {key: math.nan if value is None else value for key, value in values.items()}


_RESTORE: dict[str, Callable[[Any], Any]] = {
    "provenance": lambda value: Provenance(**value),
    "health": lambda value: Health(**{**value, "warnings": tuple(value["warnings"])}),
    "summary": lambda value: {key: Summary(**_numbers(item)) for key, item in value.items()},
    "rows": lambda value: tuple(_restore_row(row) for row in value),
    "names": tuple,
    "classes": tuple,
    "lowest": lambda value: tuple((key, number) for key, number in value),
    "activation_share": lambda value: np.asarray(value, np.float64),
    "discriminative": lambda value: np.asarray(value, bool),
    "values": _numbers,
    "warnings": tuple,
}
