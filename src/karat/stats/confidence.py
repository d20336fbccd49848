"""How sure a probe is of its answer, and how wrong it is, from its logits: both used labels to train the probe."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import entr, log_softmax, softmax

from .._array import Rows, as_rows, as_vector
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


def cross_entropy(logits: Rows, target: np.ndarray) -> np.ndarray:
    """Loss of each sample: -ln p_c with p = softmax(logits) and c its class, in float64.

    Args:
        logits: [n, k], finite, k >= 2 classes.
        target: [n], each sample's class as a column of the logits; -1 for a class that they do not have.

    Returns:
        float64 [n], at least 0, lower = better; infinite where the target is -1.

    Raises:
        InputError: fewer than two classes, NaN or infinity, targets out of range.

    >>> cross_entropy([[0, 0], [0, 0]], [1, -1]).round(4).tolist()
    [0.6931, inf]
    """
    rows = _check(logits)
    classes = as_vector(target, "target", rows.shape[0])
    if classes.dtype.kind not in "iu" or np.any((classes < -1) | (classes >= rows.shape[1])):
        raise InputError(f"target holds others than the whole numbers from -1 to {rows.shape[1] - 1}")
    loss = np.full(rows.shape[0], np.inf)
    known = classes >= 0
    for start, block in finite_blocks(rows, name="logits"):
        part = slice(start, start + len(block))
        log_p = log_softmax(block.astype(np.float64), axis=1)
        picked = np.take_along_axis(log_p, np.maximum(classes[part], 0)[:, None], axis=1)[:, 0]
        loss[part] = np.where(known[part], -picked, np.inf)
    return loss


def _each_row(logits: Rows, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`measure` of the softmax probabilities, block by block: [n, k] -> [n]."""
    rows = _check(logits)
    blocks = finite_blocks(rows, name="logits")
    return np.concatenate([measure(softmax(block.astype(np.float64), axis=1)) for _, block in blocks])


def _check(logits: Rows) -> Rows:
    rows = as_rows(logits, "logits")
    if rows.shape[1] < 2:
        raise InputError(f"logits has shape {list(rows.shape)}, but at least two classes (columns) are needed")
    return rows
