"""The Q-Score regulariser: two terms that one adds to any self-supervised loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, distributed, nn

from ..errors import InputError
from ..stats.activations import check_epsilon
from ..stats.discriminative import Over, check_band, discriminative_features
from ..torch_stats.activations import features_of, highly_activating
from ..torch_stats.qscore import q_of


class QScoreRegularizer(nn.Module):
    """Raise the Q-Score of badly represented samples, shrink features that are active on everything. To be minimised:

        -lambda1 * (1 / N) * sum_i 1[Q_i < alpha] Q_i  +  lambda2 * sum_j 1[||H_j||_1 > beta] ||H_j||_1

    N: rows of h in the batch; H_j: its column j; alpha: mean of Q over the batch; beta: mean of the column
    norms. L_i, D, alpha and beta are constants: gradient flows through h_ij - mu_i and the column norms only. In an
    initialised process group N, alpha, beta and the norms are those of the global batch, the value is the same on every
    process, and the gradients are those that DistributedDataParallel, which averages them, turns into the global one.
    Everything is computed in float32 (float64 stays), under autocast too. lambda1 = lambda2 = 0 adds an exact 0 without
    gradient.

    D is a buffer: a mask fixed before the first step. The module counts the activations it sees in training mode;
    `refresh()` (ours: once an epoch) makes the discriminative features of these counts the new D.

    Args:
        lambda1: weight of the Q-Score term, at least 0.
        lambda2: weight of the column norms, at least 0.
        epsilon: threshold of L_i in standard deviations, at least 0.
        discriminative: D as a mask, [d]; of length 2d the features are split in halves around `means`
            (`QScorer().fit(h).discriminative_` is such a mask).
        means: column means of the reference, [d], for halves (`QScorer().fit(h).reference_.means`).
        lower, upper, over: the band that `refresh` takes D from (see `karat.stats.discriminative_features`).

    Raises:
        InputError: a negative weight or epsilon, a mask that is none, means without halves or the other way round.

    >>> h = torch.zeros(2, 20, requires_grad=True)
    >>> reg = QScoreRegularizer(discriminative=torch.ones(20, dtype=torch.bool))
    >>> loss = reg(h)  # loss = ssl_loss + reg(h)

    Reference: Kalibhat et al., AAAI 2024, equation of the regularised objective. Means over views, `refresh` and the
    global batch are ours.
    """

    discriminative: Tensor
    means: Tensor | None
    counts: Tensor

    def __init__(
        self,
        lambda1: float = 1e-4,
        lambda2: float = 1e-4,
        *,
        epsilon: float = 4.0,
        discriminative: Tensor | np.ndarray,
        means: Tensor | np.ndarray | None = None,
        lower: float = 50,
        upper: float = 95,
        over: Over = "active",
    ) -> None:
        super().__init__()
        check_band(lower, upper, over)
        self.lambda1, self.lambda2 = _weight(lambda1, "lambda1"), _weight(lambda2, "lambda2")
        self.epsilon = check_epsilon(epsilon)
        self.lower, self.upper, self.over = lower, upper, over
        mask = torch.as_tensor(discriminative).detach().clone()
        if mask.ndim != 1 or mask.dtype != torch.bool or not len(mask):
            raise InputError(
                f"discriminative is {mask.dtype} {list(mask.shape)}, but a mask, bool [d] or [2d], is needed"
            )
        stored = None if means is None else torch.as_tensor(means).detach().double().clone()
        if stored is not None and list(stored.shape) != [len(mask) / 2]:
            raise InputError(
                f"means has shape {list(stored.shape)}, but discriminative has {len(mask)} entries: "
                "halves need one mean for two of these"
            )
        self.register_buffer("discriminative", mask)
        self.register_buffer("means", stored)
        # No buffer: DistributedDataParallel overwrites those of what it wraps with the first process's.
        self.counts = torch.zeros(len(mask), dtype=torch.int64, device=mask.device)

    def forward(self, *views: Tensor) -> Tensor:
        """The two terms of h, averaged over the views that are given.

        Args:
            views: h of each full-resolution view that carries gradient, [n, d] each.

        Returns:
            A scalar, float32 or float64; finite wherever the features are.

        Raises:
            InputError: no view, or features of another number than D.
        """
        return self.terms(*views).sum()

    def terms(self, *views: Tensor) -> Tensor:
        """The two terms apart, [2]: that of the Q-Scores (at most 0), and that of the column norms; as `forward`."""
        if not views:
            raise InputError("no view was given, but h [n, d] of at least one is needed")
        return torch.stack([self._of_view(h) for h in views]).mean(dim=0)

    @torch.no_grad()
    def refresh(self) -> None:
        """Make D anew from the activations counted since the last time, over all processes, and count from 0 again.

        Where nothing was counted, D stays.
        """
        counts = _summed(self.counts)
        if counts.any():
            mask = discriminative_features(counts.cpu().numpy(), lower=self.lower, upper=self.upper, over=self.over)
            self.discriminative.copy_(torch.from_numpy(mask))
        self.counts.zero_()

    def get_extra_state(self) -> dict[str, Tensor]:
        """What a state_dict holds besides D: the counts."""
        return {"counts": self.counts}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Counts of a state_dict."""
        self.counts.copy_(state["counts"])

    def extra_repr(self) -> str:
        return f"lambda1={self.lambda1:g}, lambda2={self.lambda2:g}, epsilon={self.epsilon:g}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call] # device and dtype of the buffers
        self.counts = fn(self.counts)
        return self

    def _of_view(self, h: Tensor) -> Tensor:
        columns = len(self.discriminative) // (1 if self.means is None else 2)
        if h.ndim != 2 or h.shape[1] != columns or not len(h):
            raise InputError(
                f"h has shape {list(h.shape)}, but [n, {columns}] is needed: D was fitted on so many features"
            )
        if self.lambda1 == 0 and self.lambda2 == 0 and not self.training:
            return h.new_zeros(2, dtype=torch.float32)
        with torch.autocast(h.device.type, enabled=False):
            features = features_of(h, means=self.means)
            active = highly_activating(features, epsilon=self.epsilon)
            if self.training:
                self.counts += active.sum(dim=0)
            if self.lambda1 == 0 and self.lambda2 == 0:
                return features.new_zeros(2)
            return torch.stack([self._badly_represented(features, active), self._always_active(features_of(h))])

    def _badly_represented(self, features: Tensor, active: Tensor) -> Tensor:
        """-lambda1 * (1 / N) * sum_i 1[Q_i < alpha] Q_i"""
        q, _ = q_of(features, active & self.discriminative)  # [n]
        fixed = q.detach()
        total, n = _summed(torch.stack([fixed.double().sum(), fixed.new_tensor(len(q), dtype=torch.float64)]))
        low = fixed.double() < total / n
        return _global(-self.lambda1 * torch.where(low, q, 0).sum() / n.to(q.dtype))

    def _always_active(self, h: Tensor) -> Tensor:
        """lambda2 * sum_j 1[||H_j||_1 > beta] ||H_j||_1"""
        norms = h.abs().sum(dim=0)  # [n, d] -> [d]
        whole = _summed(norms.detach().double())
        return _global(self.lambda2 * torch.where(whole > whole.mean(), norms, 0).sum())


class LassoRegularizer(nn.Module):
    """The control: weight * sum_j ||H_j||_1 over all columns of h, an L1 penalty on the features. To be minimised.

    It is the second term of `QScoreRegularizer` without its threshold, and treats views and processes as that does.

    Args:
        weight: at least 0.
    """

    def __init__(self, weight: float = 1e-4) -> None:
        super().__init__()
        self.weight = _weight(weight, "weight")

    def forward(self, *views: Tensor) -> Tensor:
        """The penalty of h [n, d], averaged over the views that are given."""
        if not views:
            raise InputError("no view was given, but h [n, d] of at least one is needed")
        if self.weight == 0:
            return views[0].new_zeros((), dtype=torch.float32)
        with torch.autocast(views[0].device.type, enabled=False):
            return torch.stack([_global(self.weight * features_of(h).abs().sum()) for h in views]).mean()

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}"


def _weight(value: Any, name: str) -> float:
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise InputError(f"{name} is {value!r}, but a number of at least 0 is needed")
    return float(value)


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _summed(value: Tensor) -> Tensor:
    """The sum over all processes, without gradient."""
    if not _together():
        return value
    total = value.clone()
    distributed.all_reduce(total)
    return total


def _global(part: Tensor) -> Tensor:
    """A sum over the global batch from each process's part of it.

    The value is that of the whole; the gradient is that of the part times the number of processes, by which
    DistributedDataParallel divides.
    """
    if not _together():
        return part
    return _summed(part.detach()) + distributed.get_world_size() * (part - part.detach())
