"""Records to plain JSON values and back."""

from __future__ import annotations

import builtins
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, cast, get_args, get_origin, get_type_hints

import numpy as np

from ..errors import FileFormatError
from .kinds import Columns
from .known import KINDS, Record

SCHEMA = 1


def to_dict(record: Record) -> dict[str, Any]:
    """A record as plain JSON: kind, schema and fields. Columns (one value a sample) stay in their own file."""
    content = {f.name: _plain(getattr(record, f.name)) for f in fields(record) if f.name != "columns"}
    return {"kind": record.kind, "schema": SCHEMA, **content}


def from_dict(content: Mapping[str, Any], columns: Columns | None = None) -> Record:
    """The record that `to_dict` made `content` from; its columns are given apart.

    A field that an older karat did not write has its default: not known, or none.

    Raises:
        FileFormatError: not a record, of an unknown kind, written by a newer karat, or with a part missing.
    """
    kind = content.get("kind") if isinstance(content, Mapping) else None
    cls = KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise FileFormatError(f"this is no record of karat: its kind is {kind!r}, known are {', '.join(sorted(KINDS))}")
    if content.get("schema") != SCHEMA:
        raise FileFormatError(
            f"this {kind} record has schema {content.get('schema')}, this karat reads {SCHEMA}: upgrade karat"
        )
    try:
        return cls(**_restore_fields(cls, {**content, "columns": {} if columns is None else columns}))
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # a part is missing or of another form
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


def _restore_fields(cls: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record, or of a part of one. A field with a default may be missing: it is younger than the file.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: another field is missing, or one is of another form.
    """
    missing = [name for name in _needed(cls) if name not in content]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    return {name: _restore(content[name], hint) for name, hint in _hints(cls).items() if name in content}


def _restore(value: Any, hint: Any) -> Any:
    """A value of a field from its plain form, by the field's type.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: of another form.
    """
    if is_dataclass(hint):
        cls = cast(Any, hint)
        return cls(**_restore_fields(cls, value))
    match get_origin(hint), get_args(hint):
        case builtins.tuple, (kind, builtins.Ellipsis):
            return tuple(_restore(item, kind) for item in value)
        case builtins.tuple, kinds:
            return tuple(_restore(item, kind) for item, kind in zip(value, kinds, strict=True))
        case builtins.dict, (_, kind):
            return {key: _restore(item, kind) for key, item in value.items()}
    if hint is float:
        return math.nan if value is None else float(value)
    if hint is np.ndarray:
        return _restore_array(value)
    return value


def _restore_array(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype.kind not in "bif":
        raise TypeError(f"{value!r:.40} is no list of numbers")
    return array


@cache
def _hints(cls: Any) -> dict[str, Any]:
    """The fields of a record, or of a part of one, with their types."""
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields(cls)}


@cache
def _needed(cls: Any) -> list[str]:
    """The fields without a default."""
    return [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
