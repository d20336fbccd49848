"""Scores that the one pass over h does not give, block by block, so many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from .._array import as_float
from ..health import Progress
from ..stats._blocks import block_rows
from ..stats.neighbors import BLOCK
from .families import Sources, Values, families
from .needs import ONE_PASS


class Panel:
    """Scores of the samples in order; NaN for samples that are not finite, or lack a view or an encoder.

    Args:
        sources: of the scores.
        names: of the scores; the panel has those that the one pass does not give.
        progress: called with (rows done, rows in all).
    """

    def __init__(self, sources: Sources, names: Sequence[str], *, progress: Progress | None = None) -> None:
        self.names = frozenset(names) - {*ONE_PASS, *(("q_score_halves",) if sources.fitted.halves else ())}
        self._h = sources.h
        self._progress = progress
        self._families = list(families(sources, self.names))
        self._size = min(BLOCK, block_rows(sources.h))
        self._read = 0
        self._held: Values = {name: np.empty(0) for name in self.names}

    def take(self, m: int) -> Values:
        """The scores of the next m samples, by name."""
        while self.names and len(next(iter(self._held.values()))) < m:
            block = self._next_block()
            self._held = {name: np.concatenate([values, block[name]]) for name, values in self._held.items()}
        taken = {name: values[:m] for name, values in self._held.items()}
        self._held = {name: values[m:] for name, values in self._held.items()}
        return taken

    def _next_block(self) -> Values:
        stop = min(self._read + self._size, self._h.shape[0])
        rows = as_float(self._h[self._read : stop])
        finite = np.isfinite(rows).all(axis=1)
        columns = {name: np.full(len(rows), np.nan) for name in self.names}
        if finite.any():
            rows, numbers = rows[finite], self._read + np.flatnonzero(finite)
            for name, values in chain.from_iterable(family(rows, numbers).items() for family in self._families):
                columns[name][finite] = values
        self._read = stop
        if self._progress is not None:
            self._progress(stop, self._h.shape[0])
        return columns
