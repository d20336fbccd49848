"""Features of a run: how often each is active, what a sample activates, and which samples activate a feature most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..errors import FileFormatError, InputError
from ..records.tables import Columns
from .bounded import Bounded
from .opened import OpenedRun

_PAIRS = 200_000  # (id, value) that are kept


@dataclass(frozen=True)
class Feature:
    """One feature.

    Attributes:
        column: its number; d + j is the negative half of feature j where features were split.
        share: activation share, from 0 to 1.
        in_D: whether it is discriminative.
        rank: its place by falling share, from 1.
    """

    column: int
    share: float
    in_D: bool  # noqa: N815 (the name of the column on disk)
    rank: int


@dataclass(frozen=True)
class _Part:
    """A file of kept activations, whose rows begin at row `start` of the scores."""

    path: Path
    start: int
    indptr: np.ndarray

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Columns and values of all entries."""
        column, value = _arrays(self.path, "col", "value")
        if not len(column) == len(value) == self.indptr[-1]:
            raise FileFormatError(f"activations/{self.path.name} is damaged: its arrays do not fit together")
        return column, value


class Features:
    """The features of a run, from what `karat score --keep-activations` wrote; empty where it was not asked for.

    Files are read one after the other, never all at once.
    """

    def __init__(self, run: OpenedRun) -> None:
        self._run = run
        self._why: dict[str, None] = {}
        self._tops: Bounded[list[tuple[str, float]]] = Bounded(_PAIRS)

    @property
    def problems(self) -> list[str]:
        """Sentences: what is missing or damaged; they grow as files are read."""
        return list(self._why)

    @cached_property
    def table(self) -> tuple[Feature, ...]:
        """All features, by column."""
        file = self._run.path / "features.parquet"
        if not file.is_file():
            return ()
        try:
            columns = Columns(file)
            share, inside = np.asarray(columns["share"], np.float64), np.asarray(columns["in_D"], bool)
        except (FileFormatError, KeyError, ValueError) as error:
            self._say(f"features.parquet cannot be read: {error}")
            return ()
        rank = np.empty(len(share), np.int64)
        rank[np.argsort(-share, kind="stable")] = np.arange(1, len(share) + 1)
        rows = zip(share.tolist(), inside.tolist(), rank.tolist(), strict=True)
        return tuple(Feature(number, *row) for number, row in enumerate(rows))

    def of_sample(self, id: str) -> list[tuple[int, float, bool]]:
        """(feature, value, in D) of what a sample activates highly, the largest value first."""
        try:
            row = self._row_of(id)
            part = next((part for part in self._parts if part.start <= row < part.start + len(part.indptr) - 1), None)
            if part is None:
                return []
            column, value = part.read()
        except FileFormatError as error:
            self._say(str(error))
            return []
        start, stop = part.indptr[row - part.start : row - part.start + 2]
        column, value = column[start:stop], value[start:stop]
        order = np.lexsort((column, -value))
        pairs = zip(column[order].tolist(), value[order].tolist(), strict=True)
        return [(j, h, self.table[j].in_D) for j, h in pairs if 0 <= j < len(self.table)]

    def samples_of(self, feature: int, *, limit: int = 60) -> list[tuple[str, float]]:
        """(id, value) of the samples that activate a feature most, the largest value first, of equal ones the first.

        Only samples that activate it highly are known.

        Raises:
            InputError: there is no such feature.
        """
        return self.tops([feature], limit=limit)[feature]

    def tops(self, features: Sequence[int], *, limit: int) -> dict[int, list[tuple[str, float]]]:
        """`samples_of` several features, from one pass over the files.

        Raises:
            InputError: a feature that there is not.
        """
        for feature in features:
            if not 0 <= feature < len(self.table):
                raise InputError(f"there is no feature {feature}: there are {len(self.table)}, numbered from 0")
        found = {feature: self._tops.get((feature, limit)) for feature in features}
        missing = [feature for feature, top in found.items() if top is None]
        for feature, top in self._read_tops(missing, limit).items():
            self._tops.put((feature, limit), top, len(top))
            found[feature] = top
        return {feature: top or [] for feature, top in found.items()}

    def _read_tops(self, features: Sequence[int], limit: int) -> dict[int, list[tuple[str, float]]]:
        best = {feature: (np.empty(0, np.int64), np.empty(0)) for feature in features}
        for part in self._parts if features else ():
            try:
                column, value = part.read()
            except FileFormatError as error:
                self._say(f"{error}; its samples are left out")
                continue
            places = np.flatnonzero(np.isin(column, features))
            for feature in np.unique(column[places]).tolist():
                own = places[column[places] == feature]
                rows, values = best[feature]
                rows = np.concatenate([rows, part.start + np.searchsorted(part.indptr, own, side="right") - 1])
                values = np.concatenate([values, value[own]])
                top = np.lexsort((rows, -values))[:limit]
                best[feature] = rows[top], values[top]
        ids = self._ids()
        return {
            feature: []
            if ids is None
            else list(zip(ids.take(pa.array(rows)).to_pylist(), values.tolist(), strict=True))
            for feature, (rows, values) in best.items()
        }

    @cached_property
    def _parts(self) -> tuple[_Part, ...]:
        """The files of activations in order; none where they do not fit the scores."""
        ids, parts, start = self._ids(), [], 0
        files = sorted((self._run.path / "activations").glob("part-*.npz")) if ids is not None else []
        try:
            for file in files:
                (indptr,) = _arrays(file, "indptr")
                parts.append(_Part(file, start, indptr))
                start += len(indptr) - 1
        except FileFormatError as error:
            return self._none(str(error))
        if parts and ids is not None and start != len(ids):
            return self._none(f"activations/ has {start} rows, but scores.parquet has {len(ids)}: score again")
        return tuple(parts)

    def _none(self, why: str) -> tuple[_Part, ...]:
        self._say(why)
        return ()

    def _row_of(self, id: str) -> int:
        """The row of a sample in the scores; -1 where it is not there."""
        table = self._run.table("scores")
        row = None if table is None else table.row_of(id)
        return -1 if row is None else row

    def _ids(self) -> pa.ChunkedArray | None:
        table = self._run.table("scores")
        try:
            return None if table is None else table.column("id")
        except FileFormatError as error:
            self._say(str(error))
            return None

    def _say(self, why: str) -> None:
        self._why[f"{why}."] = None


def _arrays(file: Path, *names: str) -> list[np.ndarray]:
    """Some arrays of a file of activations, each one-dimensional.

    Raises:
        FileFormatError: it is damaged.
    """
    try:
        with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as stored:
            arrays = [stored[name] for name in names]
        indptr = arrays[0] if names[0] == "indptr" else None
        if any(array.ndim != 1 for array in arrays):
            raise ValueError("its arrays have other shapes")
        if indptr is not None and (len(indptr) < 1 or indptr[0] != 0 or np.any(np.diff(indptr) < 0)):
            raise ValueError("its rows do not follow each other")
    except Exception as error:  # a broken zip or .npy raises nearly anything
        raise FileFormatError(f"activations/{file.name} is damaged ({error})") from error
    return arrays
