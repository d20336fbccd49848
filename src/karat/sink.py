"""Where score columns go: to memory, or to a file, Parquet row group by row group; and their distributions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from .records import Scores, Summary
from .records.files import write
from .records.tables import Columns, TableWriter

# Rows in a row group of the file; samples that the quantiles of a summary rest on.
GROUP_ROWS, SUMMARY_ROWS = 1 << 16, 100_000


class Sink:
    """Columns given block by block, in memory (no path) or in a file that appears when all is done.

    Args:
        path: of the file, or None. Parquet is written as blocks come; the columns of other formats wait in memory.
        whole: columns that are known from the first row to the last (see `TableWriter`).
    """

    def __init__(self, path: Path | None, whole: Mapping[str, np.ndarray]) -> None:
        self._path = path
        self._writer = TableWriter(path, whole) if path is not None and path.suffix == ".parquet" else None
        self._blocks: list[Mapping[str, np.ndarray]] = []
        self._rows = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._writer is not None:
            self._stack.enter_context(self._writer)
        return self

    def append(self, columns: Mapping[str, np.ndarray]) -> None:
        """Add rows; each call has the same columns."""
        self._blocks.append(columns)
        self._rows += len(columns["id"])
        if self._writer is not None and self._rows >= GROUP_ROWS:
            self._flush(self._writer)

    def finish(self, record: Scores) -> Scores:
        """The record with its columns."""
        if self._writer is None or self._path is None:
            whole = replace(record, columns=self._joined())
            if self._path is not None:
                write(self._path, whole)
            return whole
        if self._blocks:
            self._flush(self._writer)
        self._writer.finish(record)
        self._stack.close()  # now the file is there
        return replace(record, columns=Columns(self._path))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _joined(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate([block[name] for block in self._blocks]) for name in self._blocks[0]}

    def _flush(self, writer: TableWriter) -> None:
        writer.append(self._joined())
        self._blocks, self._rows = [], 0


class Distribution:
    """Mean, deviation and range of all values, quantiles of SUMMARY_ROWS evenly spaced ones; NaN is left out."""

    def __init__(self, n: int) -> None:
        self._step = -(-n // SUMMARY_ROWS)
        self._n, self._mean, self._std = 0, 0.0, 0.0
        self._low, self._high = math.inf, -math.inf
        self._sample: list[np.ndarray] = []

    def add(self, start: int, values: np.ndarray) -> None:
        """Add the values of samples start, start + 1, ..."""
        self._sample.append(values[-start % self._step :: self._step].copy())
        values = values[np.isfinite(values)]
        if len(values) == 0:
            return
        peak = float(np.abs(values).max()) or 1.0  # so that no sum overflows, and no square overflows or vanishes
        mean, std = peak * float((values / peak).mean()), peak * float((values / peak).std())
        total = self._n + len(values)
        old, new, shift = self._n / total, len(values) / total, mean - self._mean
        self._std = math.hypot(self._std * math.sqrt(old), std * math.sqrt(new), shift * math.sqrt(old * new))
        self._mean += shift * new
        self._n = total
        self._low, self._high = min(self._low, float(values.min())), max(self._high, float(values.max()))

    def summary(self) -> Summary:
        """The distribution; NaN everywhere where there was no value."""
        sample = np.concatenate(self._sample)
        sample = sample[np.isfinite(sample)]
        if self._n == 0 or len(sample) == 0:
            return Summary(*[math.nan] * 7)
        p05, median, p95 = np.percentile(sample, [5, 50, 95]).tolist()
        return Summary(self._mean, self._std, self._low, p05, median, p95, self._high)
