"""What a probe takes a sample for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .. import runs
from ..errors import FileFormatError
from ..records import ProbeResult
from .opened import OpenedRun
from .table import Table

_BATCH = 4096


@dataclass(frozen=True)
class Verdict:
    """A probe's verdict on one sample.

    Attributes:
        probe: the record's name.
        label: what the sample is; None where unknown.
        prediction: what the probe takes it for.
        correct: whether they are the same.
        top: (class, probability from 0 to 1), the most probable first; empty where the logits cannot be read.
    """

    probe: str
    label: str | None
    prediction: str | None
    correct: bool | None
    top: tuple[tuple[str, float], ...]


def verdict(run: OpenedRun, id: str, *, top: int = 5) -> Verdict | None:
    """The verdict of the run's first probe that has judged this sample; None where none has.

    Probabilities are the softmax of the logits (of a kNN probe: the shares of the votes).
    """
    for name in run.of_kind(ProbeResult):
        table, record = run.table(name), run.records[name]
        if table is None or not isinstance(record, ProbeResult):
            continue
        try:
            row = table.row_of(id)
            if row is not None:
                label, prediction, correct = (_value(table, said, row) for said in ("label", "prediction", "correct"))
                return Verdict(name, label, prediction, correct, _top(run, name, row, record.classes, top))
        except FileFormatError:
            continue  # the samples' columns say so
    return None


def _value(table: Table, column: str, row: int) -> Any:
    return None if table.kind(column) is None else table.column(column)[row].as_py()


@lru_cache(maxsize=1000)
def _top(run: OpenedRun, probe: str, row: int, classes: tuple[Any, ...], count: int) -> tuple[tuple[str, float], ...]:
    logits = _logits(run, probe, row)
    if logits is None or logits.shape != (len(classes),) or not np.isfinite(logits).all():
        return ()
    weights = np.exp(logits - logits.max())
    first = np.argsort(-weights, kind="stable")[:count]
    return tuple(zip([str(classes[j]) for j in first], (weights / weights.sum())[first].tolist(), strict=True))


def _logits(run: OpenedRun, probe: str, row: int) -> np.ndarray | None:
    """One row of the logits, float64 [k]; its row group is decoded no further than to it, and not kept."""
    try:
        file = pq.ParquetFile(runs.columns_path(run.path, probe))
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row >= rows:
                row -= rows
                continue
            for batch in file.iter_batches(_BATCH, row_groups=[group], columns=["logits"]):
                if row < len(batch):
                    return np.asarray(batch.column(0)[row].as_py(), np.float64)
                row -= len(batch)
    except (OSError, pa.ArrowException, ValueError, TypeError, LookupError):
        return None
    return None
