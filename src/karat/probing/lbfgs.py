"""Multinomial logistic regression by preconditioned L-BFGS, over blocks of rows on any device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import OptimizeResult, minimize
from threadpoolctl import threadpool_limits

from .devices import Device
from .samples import Blocks
from .softmax import softmax_error

MAX_ITERATIONS = 1000
# The gradient's norm, as a share of its sampling error, at which the search ends; where that takes no time, the second.
TOLERANCE, CLOSE = 0.01, 0.001
# Wider training sets are not preconditioned: the factor of their Gram matrix would take longer than it saves.
_WIDEST = 8192
# Multiplications of a change of variables, up to which threads gain nothing.
_LONG = 10**10
_ROWS_PER_COLUMN = 4  # of a sample that tells the Gram matrix well enough


@dataclass(frozen=True)
class Solution:
    """What a search ended at.

    Attributes:
        weight: W, float64 [d, k].
        bias: b, float64 [k].
        converged: whether the gradient became small enough.
        evaluations: how often the training set was looked at.
    """

    weight: np.ndarray
    bias: np.ndarray
    converged: bool
    evaluations: int


def solve(
    parts: Sequence[Blocks],
    k: int,
    *,
    strength: float,
    gram: np.ndarray,
    start: Solution | None = None,
    tolerance: float,
    max_iterations: int = MAX_ITERATIONS,
) -> Solution:
    """The W and b that minimise ||W||^2 / 2 + C * sum_i -log softmax(x_i W + b)[y_i].

    L-BFGS on W' = L^T W, where L L^T = c * gram + 1 / (C n) is the Hessian by one class at equal probabilities,
    c = (k - 1) / k^2: then directions of small and of large variance converge alike. The search ends when the norm of
    the gradient by (W', b') is `tolerance` times its sampling error, sqrt(d * mean_i ||p_i - onehot(y_i)||^2 / (c n)),
    or when single precision shows no progress.

    Args:
        parts: the training set, in one part or several.
        k: classes.
        strength: C.
        gram: what `gram_of` says of it.
        start: where the search begins (default: at 0).
        tolerance: see above.
        max_iterations: at which a search that has not converged ends.
    """
    objective = _Objective(parts, k, strength, _Scale(gram, (k - 1) / k**2, 1 / (strength * sum(map(len, parts)))))
    origin = objective.parameters(start)
    known = [objective(origin)]
    unit = objective.norm or 1.0  # the first step of L-BFGS has length 1: in this unit it is the gradient

    def scaled(position: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = known.pop() if known else objective(unit * position)
        return value, unit * gradient

    def end(intermediate_result: OptimizeResult) -> None:
        if objective.small(tolerance):
            raise StopIteration

    # Beside its look at the training set a step is short: NumPy's and SciPy's threads would wait busily for each other.
    long = objective.d**2 * k >= _LONG
    with threadpool_limits(parts[0].device.threads if long else 1, "blas"):
        found = minimize(
            scaled,
            origin / unit,
            jac=True,
            method="L-BFGS-B",
            callback=end,
            options={"maxiter": max_iterations, "ftol": 1e-9, "gtol": 0, "maxls": 20, "maxcor": 5},
        )
    weight, bias = objective.head(unit * found.x)
    return Solution(weight, bias, found.status == 0 or objective.small(tolerance), objective.evaluations)


def gram_of(part: Blocks) -> np.ndarray:
    """X^T X / n from evenly spaced rows of standardised columns, float64 [d, d]; [[1]] of very wide ones."""
    if part.d > _WIDEST:
        return np.ones((1, 1))
    step = max(1, len(part) // (_ROWS_PER_COLUMN * part.d))
    xp = part.device.xp
    rows = xp.concatenate([xp.asarray(x[::step], copy=True) for x, _ in part])  # a view would keep its whole block
    return part.device.fetch(rows.T @ rows).astype(np.float64) / len(rows)


class _Scale:
    """The change of variables W' = L^T W, L L^T = weight * gram + ridge."""

    def __init__(self, gram: np.ndarray, weight: float, ridge: float) -> None:
        # The smallest multiple of its trace keeps rounding from making the matrix indefinite.
        floor = 1e-10 * weight * float(np.trace(gram)) / len(gram)
        self._factor = cholesky(weight * gram + (ridge + floor) * np.eye(len(gram)), lower=True, overwrite_a=True)

    def forward(self, weight: np.ndarray) -> np.ndarray:
        """W -> W'."""
        return weight * self._factor if len(self._factor) == 1 else self._factor.T @ weight

    def back(self, scaled: np.ndarray) -> np.ndarray:
        """W' -> W."""
        return self._solved(scaled, "T")

    def gradient(self, gradient: np.ndarray) -> np.ndarray:
        """The gradient by W -> that by W'."""
        return self._solved(gradient, "N")

    def _solved(self, values: np.ndarray, transposed: str) -> np.ndarray:
        if len(self._factor) == 1:
            return values / self._factor
        return solve_triangular(self._factor, values, trans=transposed, lower=True, check_finite=False)


class _Objective:
    """The mean loss plus ||W||^2 / (2 C n), and its gradient, by the scaled parameters in one vector.

    Attributes:
        norm, sampling_error: of the last gradient.
        evaluations: how many there were.
    """

    def __init__(self, parts: Sequence[Blocks], k: int, strength: float, scale: _Scale) -> None:
        self._parts, self._scale, self._bias_scale = parts, scale, np.sqrt((k - 1) / k**2)
        self.n, self.d, self.k = sum(map(len, parts)), parts[0].d, k
        self._ridge = 1 / (strength * self.n)
        self.norm, self.sampling_error, self.evaluations = np.inf, 0.0, 0

    def small(self, tolerance: float) -> bool:
        """Whether the last gradient was."""
        return self.norm <= tolerance * self.sampling_error

    def parameters(self, head: Solution | None) -> np.ndarray:
        """W and b -> the vector, float64 [d * k + k]."""
        if head is None:
            return np.zeros(self.d * self.k + self.k)
        return np.concatenate([self._scale.forward(head.weight).ravel(), head.bias * self._bias_scale])

    def head(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The vector -> W [d, k] and b [k]."""
        scaled, bias = np.split(parameters, [self.d * self.k])
        return self._scale.back(scaled.reshape(self.d, self.k)), bias / self._bias_scale

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = self.head(parameters)
        sums = self._summed(weight.astype(np.float32), bias.astype(np.float32))
        by_weight, by_bias = (sums.device.fetch(each).astype(np.float64) for each in (sums.by_weight, sums.by_bias))
        by_scaled = self._scale.gradient(by_weight / self.n + self._ridge * weight)
        gradient = np.concatenate([by_scaled.ravel(), by_bias / self.n / self._bias_scale])
        self.norm, self.evaluations = float(np.linalg.norm(gradient)), self.evaluations + 1
        self.sampling_error = float(np.sqrt(self.d * sums.squares) / self.n / self._bias_scale)
        return sums.loss / self.n + self._ridge / 2 * float(np.vdot(weight, weight)), gradient

    def _summed(self, weight: np.ndarray, bias: np.ndarray) -> _Sums:
        """Over the whole training set."""
        device = self._parts[0].device
        w, b = device.put(weight), device.put(bias)
        whole, *others = (_Sums(device, w, b) for _ in range(device.workers))
        device.share(chain.from_iterable(self._parts), [whole.add, *(other.add for other in others)])
        for other in others:
            whole.merge(other)
        return whole


class _Sums:
    """What one worker adds up over its blocks.

    Attributes:
        loss: of the samples.
        squares: ||p_i - onehot(y_i)||^2.
        by_weight, by_bias: the loss's gradients by W and b, on the device, float32 [d, k] and [k].
    """

    def __init__(self, device: Device, weight: Any, bias: Any) -> None:
        self.device, self._weight, self._bias = device, weight, bias
        self.loss, self.squares = 0.0, 0.0
        self.by_weight, self.by_bias = device.xp.zeros_like(weight), device.xp.zeros_like(bias)

    def add(self, block: tuple[Any, Any]) -> None:
        xp, (x, y) = self.device.xp, block
        error = x @ self._weight  # [m, d] @ [d, k] -> [m, k]
        error += self._bias
        losses = softmax_error(xp, error[:, None, :], y)
        self.loss += float(self.device.fetch(losses).sum(dtype=np.float64))
        self.squares += float(xp.sum(error * error))
        self.by_weight += x.T @ error
        self.by_bias += xp.sum(error, axis=0)

    def merge(self, other: _Sums) -> None:
        self.loss += other.loss
        self.squares += other.squares
        self.by_weight += other.by_weight
        self.by_bias += other.by_bias
