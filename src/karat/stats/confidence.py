"""How sure a probe is of its answer, from its logits: scores that used labels, when the probe was trained."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import entr, softmax

from .._array import Rows, as_rows
from ..errors import InputError
from ._blocks import finite_blocks


def softmax_confidence(logits: Rows) -> np.ndarray:
    """Probability of the predicted class: max_c p_c with p = softmax(logits), in float64.

    Args:
        logits: [n, k], finite, k >= 2 classes.

    Returns:
        float64 [n], from 1/k to 1; higher = surer.

    Raises:
        InputError: fewer than two classes, NaN or infinity.

    >>> softmax_confidence([[0, 0], [1000, 0]]).tolist()
    [0.5, 1.0]

    Reference: Hendrycks & Gimpel, ICLR 2017, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples".
    """
    return _each_row(logits, lambda p: p.max(axis=1))


def softmax_entropy(logits: Rows) -> np.ndarray:
    """Entropy of the predicted distribution: -sum_c p_c ln p_c with p = softmax(logits), in nats, in float64.

    Args:
        logits: [n, k], finite, k >= 2 classes.

    Returns:
        float64 [n], from 0 to ln k; lower = surer (negate it where a score has to rise with certainty).

    Raises:
        InputError: fewer than two classes, NaN or infinity.

    >>> softmax_entropy([[0, 0], [1000, 0]]).round(4).tolist()
    [0.6931, 0.0]
    """
    return _each_row(logits, lambda p: entr(p).sum(axis=1))


def softmax_margin(logits: Rows) -> np.ndarray:
    """Lead of the predicted class: largest minus second largest probability of softmax(logits), in float64.

    Args:
        logits: [n, k], finite, k >= 2 classes.

    Returns:
        float64 [n], from 0 to 1; higher = surer.

    Raises:
        InputError: fewer than two classes, NaN or infinity.

    >>> softmax_margin([[0, 0], [1000, 0]]).tolist()
    [0.0, 1.0]
    """

    def lead(p: np.ndarray) -> np.ndarray:
        top = np.partition(p, -2, axis=1)[:, -2:]  # [m, k] -> [m, 2]
        return top[:, 1] - top[:, 0]

    return _each_row(logits, lead)


def _each_row(logits: Rows, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`measure` of the softmax probabilities, block by block: [n, k] -> [n]."""
    rows = as_rows(logits, "logits")
    if rows.shape[1] < 2:
        raise InputError(f"logits has shape {list(rows.shape)}, but at least two classes (columns) are needed")
    blocks = finite_blocks(rows, name="logits")
    return np.concatenate([measure(softmax(block.astype(np.float64), axis=1)) for _, block in blocks])
