"""Metrics for torchmetrics: of the features of all batches and processes, equal to what karat says of the set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .._optional import require
from ..errors import InputError
from ..stats.activations import check_epsilon
from ..stats.discriminative import Over, check_band, discriminative_features
from ..stats.epsilon import warn_if_unreachable
from ..stats.halves import is_signed
from ..stats.spectrum import effective_rank_of, singular_values_of
from ..torch_stats.activations import checked, features_of, highly_activating, row_moments
from ..torch_stats.qscore import q_of

if TYPE_CHECKING:
    from torchmetrics import Metric
else:
    Metric = require("torchmetrics", "karat.integrations.torchmetrics").Metric


class EffectiveRank(Metric):
    """How many directions h uses: `karat.stats.effective_rank` (RankMe) of all rows of all batches and processes.

    exp(-sum_k p_k ln p_k), p_k = sigma_k / sum_l sigma_l + 1e-7, over the min(n, d) singular values of h; uncentred.

    The state is the number of rows and h^T h [d, d] in float64, which add up; `compute` takes its eigenvalues on the
    CPU (d = 2048: seconds).

    Args:
        dim: d, the features of h.
        kwargs: of `torchmetrics.Metric`.

    Raises:
        InputError: a `dim` below 1.

    >>> metric = EffectiveRank(5)
    >>> metric.update(torch.eye(5)[:2])
    >>> metric.update(torch.eye(5)[2:])
    >>> round(metric.compute().item(), 4)
    5.0

    Reference: Garrido et al., ICML 2023, "RankMe", equation 1.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    rows: Tensor
    gram: Tensor

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(dim, int) or dim < 1:
            raise InputError(f"dim is {dim!r}, but the number of features of h is needed, a whole number of at least 1")
        self.dim = dim
        self.add_state("rows", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("gram", torch.zeros(dim, dim, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, h: Tensor) -> None:
        """Add the rows of a batch.

        Args:
            h: [n, d], finite.

        Raises:
            InputError: another number of features than `dim`, NaN or infinity.
            InputTypeError: no tensor.
        """
        rows = checked(h).double()
        if rows.shape[1] != self.dim:
            raise InputError(f"h has {rows.shape[1]} features, but the metric was made for dim={self.dim}")
        self.rows = self.rows + len(rows)
        # Not in place: `module.to(dtype)` takes a state, while it is 0, to half precision; the sum is float64 again.
        self.gram = self.gram + rows.T @ rows  # [n, d] -> [d, d]

    def compute(self) -> Tensor:
        """About 1 to about min(n, d), float64; higher = more directions are used. 0 where h is zero.

        Raises:
            InputError: no row was given.
        """
        n = _number(self.rows)
        sigma = singular_values_of(self.gram.cpu().numpy())[: min(n, self.dim)]
        return self.gram.new_tensor(effective_rank_of(sigma))


class QScoreMetric(Metric):
    """Mean Q-Score, and the share of samples without a discriminative feature, of all batches and processes.

    Both are those that `karat.measure` gives for the whole set: `mean_q` and `empty_share`. With a mask D is fixed, and
    the state is three numbers. Without one D comes from the activations of the set itself, as it does in `karat.score`;
    then the highly activating entries are kept until `compute`: at most d / (1 + epsilon^2) a row, usually far fewer
    (`compute_on_cpu=True` keeps them off the GPU).

    Q has the unit of h: to compare epochs whose features grow or shrink, set `normalize`. In a MetricCollection that
    holds several of these with different settings, pass `compute_groups=False`: torchmetrics takes metrics for the same
    whose states are equal after the first batch.

    Args:
        epsilon: threshold of L_i in standard deviations, at least 0.
        discriminative: D as a mask, bool [d], or [2d] with `means`; None: from the set itself.
        means: column means [d] of the reference, around which signed features are split in halves (those of the
            normalised rows with `normalize`); `karat.stats.fit_reference(h)` has a mask and means.
        lower, upper, over: the band that D is taken from where no mask is given (see `discriminative_features`).
        normalize: L2-normalise the rows first.
        kwargs: of `torchmetrics.Metric`.

    Raises:
        InputError: a parameter out of range, a mask that is none, a mask and means that do not go together.

    >>> h = torch.zeros(2, 20); h[0, 3] = h[1, 5] = 2
    >>> metric = QScoreMetric()
    >>> metric.update(h[:1])
    >>> metric.update(h[1:])
    >>> {name: round(value.item(), 4) for name, value in metric.compute().items()}
    {'mean_q': 1.9, 'empty_share': 0.0}

    Reference: Kalibhat et al., AAAI 2024, definition of Q-Score.
    """

    is_differentiable = False
    full_state_update = False

    rows: Tensor
    total: Tensor
    empty: Tensor
    width: Tensor
    negatives: Tensor
    number: list[Tensor] | Tensor
    column: list[Tensor] | Tensor
    above: list[Tensor] | Tensor

    def __init__(
        self,
        *,
        epsilon: float = 4.0,
        discriminative: Tensor | np.ndarray | None = None,
        means: Tensor | np.ndarray | None = None,
        lower: float = 50,
        upper: float = 95,
        over: Over = "active",
        normalize: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_band(lower, upper, over)
        self.epsilon, self.lower, self.upper, self.over = check_epsilon(epsilon), lower, upper, over
        self.normalize = normalize
        # No buffers: these would lose their digits with the weights where a whole model is made half precision.
        self.means = None if means is None else _vector(means, "means").double()
        self.discriminative = None if discriminative is None else _mask(discriminative, self.means)
        if self.discriminative is not None:
            warn_if_unreachable(len(self.discriminative), self.epsilon)
        self.add_state("rows", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("width", torch.tensor(0), dist_reduce_fx="max")
        if self.discriminative is not None:
            self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state("empty", torch.tensor(0), dist_reduce_fx="sum")
            return
        self.add_state("negatives", torch.tensor(0), dist_reduce_fx="sum")
        for name in _ENTRIES:
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, h: Tensor) -> None:
        """Add the rows of a batch.

        Args:
            h: [n, d], finite.

        Raises:
            InputError: another number of features than the mask, the means or an earlier batch has; NaN or infinity.
            InputTypeError: no tensor.
        """
        rows = checked(h).double()
        self._check_width(rows.shape[1])
        features = features_of(rows, means=self.means, normalize=self.normalize)
        active = highly_activating(features, epsilon=self.epsilon)  # bool [n, d] or [n, 2d]
        self.rows = self.rows + len(rows)
        self.width = torch.full_like(self.width, features.shape[1])
        if self.discriminative is None:
            self.negatives = self.negatives + (rows < 0).sum()
            self._keep(features, active)
            return
        q, number = q_of(features, active & self.discriminative.to(rows.device))
        self.total = self.total + q.sum()
        self.empty = self.empty + (number == 0).sum()

    def compute(self) -> dict[str, Tensor]:
        """`mean_q`, at least 0, higher = better represented; `empty_share`, 0 to 1, lower = more samples have a score.

        Raises:
            InputError: no row was given; without a mask and means: signed features, which must be split in halves.
        """
        n = _number(self.rows)
        if self.discriminative is not None:
            return {"mean_q": self.total / n, "empty_share": self.empty.double() / n}
        q, number = self._scores()
        values = {"mean_q": q.mean(), "empty_share": (number == 0).mean()}
        return {
            name: torch.tensor(value, dtype=torch.float64, device=self.rows.device) for name, value in values.items()
        }

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """As torchmetrics has it; a process without a batch takes part with no entries, of the right type."""
        if self.discriminative is None:
            for name, dtype in _ENTRIES.items():
                if not len(getattr(self, name)):
                    setattr(self, name, [torch.zeros(0, dtype=dtype, device=self.rows.device)])
        super().sync(*args, **kwargs)

    def _check_width(self, d: int) -> None:
        halves = 1 if self.means is None else 2
        known = {
            "the mask": None if self.discriminative is None else len(self.discriminative) // halves,
            "means": None if self.means is None else len(self.means),
            "an earlier batch": int(self.width) // halves or None,
        }
        for name, number in known.items():
            if number not in (None, d):
                raise InputError(f"h has {d} features, but {name} {number}: all must come from the same encoder")

    def _keep(self, features: Tensor, active: Tensor) -> None:
        """The highly activating entries as sparse rows: how many a row has, their columns, and h_ij - mu_i."""
        row, column = active.nonzero(as_tuple=True)
        center, _ = row_moments(features)
        self.number.append(active.sum(dim=1))  # type: ignore[union-attr]
        self.column.append(column)  # type: ignore[union-attr]
        self.above.append(features[row, column] - center[row])  # type: ignore[union-attr]

    def _scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Q_i [n] and |L_i ∩ D| [n] with D from the entries themselves."""
        n, width = int(self.rows), int(self.width)
        if self.means is None and is_signed(int(self.negatives), n, width):
            raise InputError(
                f"{int(self.negatives) / (n * width):.1%} of the entries of h are negative: signed features are split "
                "in halves around the column means of a reference: give these as means= "
                "(karat.stats.fit_reference(h).means)"
            )
        warn_if_unreachable(width, self.epsilon)
        entries, column, above = (_joined(getattr(self, name)) for name in _ENTRIES)
        counts = np.bincount(column, minlength=width)
        mask = discriminative_features(counts, lower=self.lower, upper=self.upper, over=self.over)
        inside = mask[column]
        row = np.repeat(np.arange(n), entries)[inside]
        number = np.bincount(row, minlength=n)
        return np.bincount(row, above[inside], minlength=n) / np.maximum(number, 1), number


# States of a QScoreMetric without a mask.
_ENTRIES = {"number": torch.int64, "column": torch.int64, "above": torch.float64}


def _joined(state: list[Tensor] | Tensor) -> np.ndarray:
    """A list state as one array; torchmetrics makes it one tensor when it has gathered it."""
    return (state if isinstance(state, Tensor) else torch.cat(state)).cpu().numpy()


def _number(rows: Tensor) -> int:
    if not rows:
        raise InputError("no row was given: call update(h) with the features of a batch before compute()")
    return int(rows)


def _vector(values: Tensor | np.ndarray, name: str) -> Tensor:
    vector = torch.as_tensor(values).detach().cpu().clone()
    if vector.ndim != 1 or not len(vector):
        raise InputError(f"{name} has shape {list(vector.shape)}, but a vector is needed")
    return vector


def _mask(values: Tensor | np.ndarray, means: Tensor | None) -> Tensor:
    mask = _vector(values, "discriminative")
    if mask.dtype != torch.bool:
        raise InputError(f"discriminative is {mask.dtype}, but a mask, bool [d] or [2d], is needed")
    if means is not None and len(mask) != 2 * len(means):
        raise InputError(
            f"discriminative has {len(mask)} entries, but means has {len(means)}: "
            "halves need two of the one for one of the other"
        )
    return mask
