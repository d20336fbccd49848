"""Generated samples whose best possible classifier is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from karat.embeddings import Embeddings

CORNERS = 4.0 * np.eye(3, 6)  # three well separated means
NAMES = ["ant", "bee", "cow"]


def mixture(n: int, means: np.ndarray, seed: int, names: Sequence[Any] | None = None) -> Embeddings:
    """n samples of equally likely Gaussians with unit covariance around `means` [k, d]."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, len(means), n)
    h = means[y] + generator.standard_normal((n, means.shape[1]))
    return Embeddings(h.astype(np.float32), labels=y if names is None else np.array(names)[y])


def pair(n: int, means: np.ndarray, **changes: Any) -> tuple[Embeddings, Embeddings]:
    """A training set of n samples and half as many to judge on."""
    return mixture(n, means, seed=1, **changes), mixture(n // 2, means, seed=2, **changes)


def two(distance: float, d: int = 8) -> np.ndarray:
    """Two means at `distance`, in no direction of the axes."""
    return np.stack([np.zeros(d), np.full(d, distance / math.sqrt(d))])


def around(k: int, d: int, seed: int = 0) -> np.ndarray:
    """k means that overlap."""
    return 1.2 * np.random.default_rng(seed).standard_normal((k, d))


def standardised(train: Embeddings, val: Embeddings) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64, by the mean and standard deviation of the first."""
    x, x_val = np.float64(train.h[:]), np.float64(val.h[:])
    return (x - x.mean(axis=0)) / x.std(axis=0), (x_val - x.mean(axis=0)) / x.std(axis=0)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    share: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return share
