"""Samples by falling score, equal scores together: how many right and wrong ones, in the set or in its resamples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from .._array import FLOATS, as_vector
from ..errors import InputError, InputTypeError
from .bootstrap import draws


@dataclass(frozen=True)
class TieGroups:
    """Numbers of right and of wrong samples in each of g tie groups, the highest score first, in b resamples at once.

    Attributes:
        right, wrong: in the group, float64 [b, g] (whole numbers); a group may be empty.
        right_kept, wrong_kept: in the group and all groups of higher score, [b, g].
    """

    right: np.ndarray
    wrong: np.ndarray
    right_kept: np.ndarray
    wrong_kept: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray) -> Self:
        """From the numbers of right and of wrong samples, [b, 2, g]."""
        kept = numbers.cumsum(axis=2, dtype=np.float64)
        return cls(numbers[:, 0].astype(np.float64), numbers[:, 1].astype(np.float64), kept[:, 0], kept[:, 1])

    @cached_property
    def kept(self) -> np.ndarray:
        """Samples in the group and all groups of higher score, [b, g]."""
        return self.right_kept + self.wrong_kept

    @cached_property
    def right_flagged(self) -> np.ndarray:
        """Right samples in the group and all groups of lower score, [b, g]."""
        return self.all_right[:, None] - self.right_kept + self.right

    @cached_property
    def wrong_flagged(self) -> np.ndarray:
        """Wrong samples in the group and all groups of lower score, [b, g]."""
        return self.all_wrong[:, None] - self.wrong_kept + self.wrong

    @property
    def all_right(self) -> np.ndarray:
        """Right samples, [b]."""
        return self.right_kept[:, -1]

    @property
    def all_wrong(self) -> np.ndarray:
        """Wrong samples, [b]."""
        return self.wrong_kept[:, -1]

    @property
    def n(self) -> int:
        """Samples in each resample."""
        return int(self.kept[0, -1])


@dataclass(frozen=True)
class RankedSamples:
    """Where each sample counts.

    Attributes:
        cell: number of the sample's tie group, plus `groups` where the sample is wrong; [n].
        groups: distinct scores.
    """

    cell: np.ndarray
    groups: int

    @classmethod
    def of(cls, score: Any, correct: Any) -> Self:
        """Check and sort.

        Raises:
            InputError: no samples, different lengths, NaN, `correct` with other values than true and false.
            InputTypeError: scores that are no real numbers.
        """
        scores = check_score(score)
        right = check_correct(correct, len(scores))
        distinct, rank = np.unique(scores, return_inverse=True)  # rising
        groups = len(distinct)
        return cls(groups - 1 - rank + np.where(right, 0, groups), groups)

    def once(self) -> TieGroups:
        """The samples as they are, b = 1."""
        return self._count(self.cell[None])

    def resampled(self, resamples: int, seed: int) -> Iterator[TieGroups]:
        """Bootstrap resamples, a block at a time; the draws do not depend on the size of the blocks."""
        for drawn in draws(len(self.cell), resamples, seed):
            yield self._count(self.cell[drawn])

    def _count(self, cells: np.ndarray) -> TieGroups:
        b, width = len(cells), 2 * self.groups
        offset = width * np.arange(b)[:, None]
        counts = np.bincount((cells + offset).ravel(), minlength=b * width)  # [b, n] -> [b * 2g]
        return TieGroups.of(counts.reshape(b, 2, self.groups))


def check_score(score: Any, name: str = "score", n: int | None = None) -> np.ndarray:
    """Scores as float64 [n].

    Raises:
        InputError: no samples, another length, NaN.
        InputTypeError: no real numbers.
    """
    values = as_vector(score, name, n)
    if values.dtype not in FLOATS and values.dtype.kind not in "fiub":
        raise InputTypeError(f"{name} has dtype {values.dtype}, but real numbers are needed")
    if len(values) == 0:
        raise InputError(f"{name} is empty, but at least one sample is needed")
    values = values.astype(np.float64)
    unknown = np.flatnonzero(np.isnan(values))
    if len(unknown):
        raise InputError(
            f"{name} is NaN in {len(unknown)} of {len(values)} samples, first in rows "
            f"{', '.join(map(str, unknown[:5]))}{' ...' if len(unknown) > 5 else ''}: leave them out everywhere"
        )
    return values


def check_correct(correct: Any, n: int, name: str = "correct") -> np.ndarray:
    """True and false (or 1 and 0) as bool [n].

    Raises:
        InputError: another length, or other values.
    """
    values = as_vector(correct, name, n)
    if values.dtype == bool:
        return values
    neither = np.flatnonzero((values != 0) & (values != 1))
    if len(neither):
        raise InputError(
            f"{name} holds {values[neither[0]]} in row {neither[0]}, but each sample must be true or false (1 or 0)"
        )
    return values == 1
