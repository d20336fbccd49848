"""Two runs on the same images: where each sample stands in both, and what moved. No metric is measured here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .. import runs
from ..catalog import direction_of
from ..errors import FileFormatError, InputError
from ..records import ProbeResult, Scores
from ..stats.correlation import spearman
from ..stats.ranking import share_not_higher
from ..stats.shifts import lowest_overlap, mcnemar
from .opened import OpenedRun, open_run
from .table import Table

Ends = Mapping[str, tuple[np.ndarray, int]]


@dataclass(frozen=True)
class Probes:
    """What the probes of both runs say of the samples that both judged; see `karat.stats.mcnemar`."""

    n: int
    accuracy: tuple[float, float]
    gained: int
    lost: int
    p: float


@dataclass(frozen=True, eq=False)
class Compared:
    """Two runs, the one that is explored first.

    Attributes:
        names: of both.
        by: the score that samples are placed by.
        scores: those that both have.
        ids: of the samples that both have, [n].
        before, after: the share of them that score no better in the first and the second run, [n]; NaN: no score.
        change: "gained", "lost", "right", "wrong" or "" (not judged by both probes), [n].
        spearman: rank correlation of the score between the two; NaN where it is not defined.
        lowest: share of the lowest tenth of one that is in the lowest tenth of the other.
        probes: None where one run has none.
        left_out: samples of the first run that the second lacks.
    """

    names: tuple[str, str]
    by: str
    scores: tuple[str, ...]
    ids: pa.Array
    before: np.ndarray
    after: np.ndarray
    change: np.ndarray
    spearman: float
    lowest: float
    probes: Probes | None
    left_out: int

    def ends(self, places: int) -> Ends:
        """The rows that moved most, at most so many of each kind, and how many there are of the kind.

        "rose" and "fell" in rank; "gained" and "lost" by the probe, those that moved most in rank first.
        """
        rise = self.after - self.before
        size = np.where(np.isnan(rise), 0, np.abs(rise))
        members = {
            "rose": rise > 0,
            "fell": rise < 0,
            "gained": self.change == "gained",
            "lost": self.change == "lost",
        }
        found = {}
        for end, mask in members.items():
            rows = np.flatnonzero(mask)
            if len(rows):
                found[end] = (rows[np.argsort(-size[rows], kind="stable")[:places]], len(rows))
        return found


def others_of(run: OpenedRun) -> list[str]:
    """The names of the runs beside a run, which it can be compared with."""
    here = run.path.resolve()
    try:
        beside = sorted(folder.name for folder in here.parent.iterdir() if folder != here and runs.is_run(folder))
    except OSError:
        return []
    return beside


def compared(run: OpenedRun, other: str, by: str | None = None) -> Compared:
    """A run and another beside it. What has been compared is kept until one of them changes.

    Args:
        run: the first.
        other: the name of the second, one of `others_of`: it is looked up there, and is no path.
        by: a score that both have; None: q_score, or the first where they lack it.

    Raises:
        InputError: there is no such run, or the two have no sample or score in common.
        FileFormatError: a part of them is damaged.
    """
    if other not in others_of(run):
        raise InputError(f"there is no run {other!r} beside this one")
    here = run.path.resolve()
    second = here.parent / other
    return _compared(here, second, by, (run.state, open_run(second).state))


@lru_cache(maxsize=2)
def _compared(here: Path, beside: Path, by: str | None, states: object) -> Compared:
    """The runs in two folders, as long as both are in these states."""
    first, second = open_run(here), open_run(beside)
    scores = _common(first, second)
    if by is not None and by not in scores:
        raise InputError(f"by is {by!r}, but a score that both runs have is needed: {', '.join(scores)}")
    name = by or ("q_score" if "q_score" in scores else scores[0])
    own, others = _ids(first), _ids(second)
    place = pc.index_in(own, value_set=others)
    shared = pc.is_valid(place)
    ids, rows = own.filter(shared).combine_chunks(), place.filter(shared)
    if not len(ids):
        raise InputError(
            f"{first.title} and {second.title} have no sample in common "
            f"({own[0].as_py()} ...; {others[0].as_py()} ...): samples join by id"
        )
    before = _places(name, _scores_of(first).column(name).filter(shared))
    after = _places(name, _scores_of(second).column(name).take(rows))
    both = ~np.isnan(before + after)
    verdicts = _verdicts(first, ids), _verdicts(second, ids)
    return Compared(
        names=(first.title, second.title),
        by=name,
        scores=scores,
        ids=ids,
        before=before,
        after=after,
        change=_changes(*verdicts),
        spearman=spearman(before[both], after[both]) if both.any() else math.nan,
        lowest=lowest_overlap(before[both], after[both]) if both.any() else math.nan,
        probes=_probes(*verdicts),
        left_out=len(own) - len(ids),
    )


def _common(first: OpenedRun, second: OpenedRun) -> tuple[str, ...]:
    """The scores of both, in the order of the first.

    Raises:
        InputError: there is none.
    """
    records = [run.records.get(run.scores or "") for run in (first, second)]
    own, others = (record.names if isinstance(record, Scores) else () for record in records)
    found = tuple(name for name in own if name in others)
    if not found:
        raise InputError(
            f"{first.title} and {second.title} have no score in common, by which samples could be compared"
        )
    return found


def _scores_of(run: OpenedRun) -> Table:
    table = None if run.scores is None else run.table(run.scores)
    if table is None:
        raise InputError(f"{run.title} has no scores, by which samples could be compared")
    return table


def _ids(run: OpenedRun) -> pa.ChunkedArray:
    """The ids of a run's scores.

    Raises:
        InputError: one that is there twice.
    """
    ids = _scores_of(run).column("id")
    different = pc.count_distinct(ids).as_py()
    if different < len(ids):
        raise InputError(f"{len(ids) - different:,} ids of {run.title} occur more than once: samples join by id")
    return ids


def _places(name: str, values: pa.ChunkedArray) -> np.ndarray:
    """The share of samples that are no better, [n]; NaN without a score."""
    return share_not_higher(direction_of(name) * values.to_numpy().astype(np.float64))


def _verdicts(run: OpenedRun, ids: pa.Array) -> np.ndarray:
    """Whether the probe of a run is right, int8 [n]: 1, 0, or -1 where it did not judge."""
    table = next((found for name in run.of_kind(ProbeResult) if (found := run.table(name)) is not None), None)
    if table is None or table.kind("correct") != "flag":
        return np.full(len(ids), -1, np.int8)
    try:
        correct = table.column("correct").take(pc.index_in(ids, value_set=table.column("id")))
    except FileFormatError:  # its run's own pages say so
        return np.full(len(ids), -1, np.int8)
    return pc.fill_null(correct.cast(pa.int8()), -1).to_numpy()


def _changes(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """ "gained", "lost", "right" or "wrong" (with both), or "" where one of them did not judge, [n]."""
    words = np.array([["wrong", "gained", ""], ["lost", "right", ""], ["", "", ""]])
    return words[before, after]  # -1 is the last


def _probes(before: np.ndarray, after: np.ndarray) -> Probes | None:
    judged = (before >= 0) & (after >= 0)
    if not judged.any():
        return None
    first, second = before[judged] == 1, after[judged] == 1
    found = mcnemar(first, second)
    return Probes(int(judged.sum()), (float(first.mean()), float(second.mean())), found.gained, found.lost, found.p)
