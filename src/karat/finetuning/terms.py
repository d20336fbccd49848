"""What is added to the objective: the Q-Score terms, a Lasso, or nothing; and D from a full pass over the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, distributed, nn

from ..stats.discriminative import Over, discriminative_features
from ..stats.epsilon import warn_if_unreachable
from ..stats.halves import Halves, checked_halves, is_signed
from ..torch_stats import count_activations
from .regularizer import LassoRegularizer, QScoreRegularizer

Refresh = Literal["counts", "pass"]
# A pass: h [m, d] of this process's share of the images, batch by batch, in evaluation mode.
Pass = Callable[[], Iterator[Tensor]]


@dataclass(frozen=True)
class Weights:
    """What is added to the objective, and how.

    Attributes:
        lambda1, lambda2: of the Q-Score terms.
        lasso: of the control, which stands in their place.
        epsilon, lower, upper, over, halves: of D.
        refresh: when D is made anew: each epoch from the activations counted in it, or from a full pass; or never.
    """

    lambda1: float
    lambda2: float
    lasso: float
    epsilon: float
    lower: float
    upper: float
    over: Over
    halves: Halves
    refresh: Refresh | None


class Terms(nn.Module):
    """The two terms of a regulariser as one tensor [2], of a Lasso its penalty as the second; zeros without either.

    Args:
        weights: of the terms.
        look: a full pass over the images, for D.
    """

    def __init__(self, weights: Weights, look: Pass) -> None:
        super().__init__()
        self.weights, self._look = weights, look
        self.lasso = LassoRegularizer(weights.lasso) if weights.lasso else None
        self.q_score = self._fitted() if weights.lambda1 or weights.lambda2 else None

    def forward(self, h: list[Tensor]) -> Tensor:
        """The terms of h [n, d] of each full-resolution view that carries gradient."""
        if self.q_score is not None:
            return self.q_score.terms(*h)
        terms = h[0].new_zeros(2, dtype=torch.float32)
        return terms if self.lasso is None else torch.stack([terms[0], self.lasso(*h)])

    @property
    def discriminative(self) -> int | None:
        """|D|; None where no term needs it."""
        return None if self.q_score is None else int(self.q_score.discriminative.sum())

    def refresh(self) -> None:
        """Make D anew, as was asked."""
        if self.q_score is None or self.weights.refresh is None:
            return
        if self.weights.refresh == "counts":
            self.q_score.refresh()
            return
        counts, _ = _counted(self._look, self.weights.epsilon, self.q_score.means)
        self.q_score.discriminative.copy_(torch.from_numpy(self._band(counts)))

    def _fitted(self) -> QScoreRegularizer:
        """The regulariser with D of a first pass; signed features take a second one, around their means."""
        asked = self.weights
        counts, sums = _counted(self._look, asked.epsilon, None)
        halves = checked_halves(asked.halves)
        split = is_signed(sums.negatives, sums.n, len(counts)) if halves == "auto" else halves
        means = sums.means if split else None
        if split:
            counts, _ = _counted(self._look, asked.epsilon, means)
        warn_if_unreachable(len(counts), asked.epsilon, chosen=False)
        return QScoreRegularizer(
            asked.lambda1,
            asked.lambda2,
            epsilon=asked.epsilon,
            discriminative=self._band(counts),
            means=means,
            lower=asked.lower,
            upper=asked.upper,
            over=asked.over,
        )

    def _band(self, counts: np.ndarray) -> np.ndarray:
        asked = self.weights
        return discriminative_features(counts, lower=asked.lower, upper=asked.upper, over=asked.over)


@dataclass(frozen=True)
class _Sums:
    """Of all rows of all processes: how many, how many entries are negative, and the means of the columns."""

    n: int
    negatives: int
    means: Tensor


def _counted(look: Pass, epsilon: float, means: Tensor | None) -> tuple[np.ndarray, _Sums]:
    """How many rows activate each feature highly, int64 [d] or [2d], over all processes."""
    activations: Tensor | None = None
    sums: Tensor | None = None  # columns, then n and the negative entries
    for h in look():
        counts = count_activations(h, epsilon=epsilon, means=means)
        ends = h.new_tensor([counts.n, counts.negatives], dtype=torch.float64)
        part = torch.cat([h.double().sum(dim=0), ends])
        active = torch.from_numpy(counts.activations).to(h.device)
        activations = active if activations is None else activations + active
        sums = part if sums is None else sums + part
    assert activations is not None and sums is not None  # every process has an image or more
    for total in (activations, sums):
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(total)
    n, negatives = int(sums[-2]), int(sums[-1])
    return activations.cpu().numpy(), _Sums(n, negatives, sums[:-2] / n)
