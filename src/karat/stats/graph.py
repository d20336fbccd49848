"""The graph of a reference's nearest neighbours: which of its leading communities a sample belongs to, how clearly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, eigsh

from .._array import Rows, as_rows
from ..errors import InputError
from ._blocks import each_row
from .landmarks import NEIGHBORS, Landmarks, Nearest
from .neighbors import BLOCK
from .projection import DIMENSIONS

COMPONENTS = 10
TEMPERATURE = 0.1
# Eigenvectors of smaller eigenvalues are left out: their extension would be divided by almost nothing.
_LEAST_EIGENVALUE = 0.1
# Up to so many landmarks all eigenvectors are computed.
_DENSE = 512


def graph_spectral_norm(
    h: Rows,
    *,
    reference: Rows | None = None,
    k: int = NEIGHBORS,
    components: int = COMPONENTS,
    temperature: float = TEMPERATURE,
    dimensions: int = DIMENSIONS,
    seed: int = 0,
) -> np.ndarray:
    """How clearly each sample belongs to one of the leading communities of the reference (ours).

    In the half-whitened space of `whitened_similarity`: A_ij = exp((cos_ij - 1) / temperature) where landmark j is
    among the k nearest of i, else 0; W = (A + A^T) / 2, D its row sums, N = D^(-1/2) W D^(-1/2). Of N the first
    eigenvector, which is known (sqrt(D)), is taken out; v_c are the `components` next ones, those of eigenvalues
    lambda_c > 0.1. A sample x with weights a_j to its k nearest landmarks is placed at (Nystrom's extension)

        f_c(x) = (1 / lambda_c) sum_j a_j v_cj / sqrt(D_j sum_l a_l),        and its score is sqrt(s) ||f(x)||,

    with s landmarks: their mean square is about 1 in each component. A sample in the middle of a community has a large
    norm, one between several, or far from all, a small one.

    Args:
        h, reference, k, dimensions: see `whitened_similarity`.
        components: eigenvectors after the first, fewer than there are landmarks.
        temperature: above 0.
        seed: of the sample, and of the start of the eigenvector search.

    Returns:
        float64 [n], at least 0; higher = more clearly in one community; 0 by rule where the reference's rows are all
        the same.

    Raises:
        InputError: shapes that do not fit, NaN or infinity, parameters out of range.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> groups = np.repeat(np.eye(3), 20, axis=0) + 0.01 * rng.normal(size=(60, 3))
    >>> norms = graph_spectral_norm([[1.0, 0, 0], [1, 1, 1]], reference=groups, k=5, components=2)
    >>> bool(norms[0] > norms[1])
    True

    Reference: von Luxburg, Statistics and Computing 2007 (normalised adjacency); Bengio et al., NIPS 2003 (extension).
    """
    rows = as_rows(h)
    landmarks = Landmarks.on(rows, reference, dimensions=dimensions, seed=seed)
    graph = Communities.of(landmarks, k=k, components=components, temperature=temperature, seed=seed)

    def norm(samples: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return graph.norm(landmarks.nearest(landmarks.place(samples), numbers, k=k))

    return each_row(rows, norm, size=BLOCK)


@dataclass(frozen=True)
class Communities:
    """What it takes to place a sample among the leading eigenvectors of the landmarks' graph.

    Attributes:
        vectors: v_cj / (lambda_c sqrt(D_j)) sqrt(s), [s, c]; c = 0 where the reference's rows are all the same.
        temperature: of the weights.
    """

    vectors: np.ndarray
    temperature: float

    @classmethod
    def of(
        cls,
        landmarks: Landmarks,
        *,
        k: int = NEIGHBORS,
        components: int = COMPONENTS,
        temperature: float = TEMPERATURE,
        seed: int = 0,
    ) -> Communities:
        """Build the graph and decompose it.

        Raises:
            InputError: parameters out of range.
        """
        s = len(landmarks.unit)
        if not 0 < temperature < np.inf:
            raise InputError(f"temperature is {temperature}, but a number above 0 is needed")
        if not 1 <= components < s:
            raise InputError(f"components is {components}, but a number from 1 to below the {s} landmarks is needed")
        near = _neighbors(landmarks, k)
        if landmarks.alike:
            return cls(np.empty((s, 0)), temperature)
        weights = np.exp((near.similarity.astype(np.float64) - 1) / temperature)
        adjacency = csr_array((weights.ravel(), near.place.ravel(), np.arange(0, s * k + 1, k)), shape=(s, s))
        adjacency = (adjacency + adjacency.T) / 2
        degree = np.asarray(adjacency.sum(axis=1))
        values, vectors = _leading(adjacency, degree, components, seed)
        kept = values > _LEAST_EIGENVALUE
        scaled = vectors[:, kept] / values[kept] / np.sqrt(degree)[:, None]
        return cls(scaled * np.sqrt(s), temperature)

    def norm(self, near: Nearest) -> np.ndarray:
        """The norm of the extension of samples to the eigenvectors, float64 [m]."""
        weights = np.exp((near.similarity.astype(np.float64) - 1) / self.temperature)  # [m, k]
        placed = np.einsum("mk,mkc->mc", weights, self.vectors[near.place])
        return np.linalg.norm(placed, axis=1) / np.sqrt(weights.sum(axis=1))


def _neighbors(landmarks: Landmarks, k: int) -> Nearest:
    """The landmarks nearest to each landmark, itself left out."""
    among = Landmarks(landmarks.projection, landmarks.unit, own=True)
    numbers = landmarks.projection.numbers
    parts = [
        among.nearest(landmarks.unit[start : start + BLOCK], numbers[start : start + BLOCK], k=k)
        for start in range(0, len(numbers), BLOCK)
    ]
    return Nearest(np.concatenate([part.similarity for part in parts]), np.concatenate([part.place for part in parts]))


def _leading(adjacency: csr_array, degree: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues of N and their vectors [s, c], after the first, sqrt(degree), is taken out."""
    s = len(degree)
    root = np.sqrt(degree)
    first = root / np.linalg.norm(root)
    if s <= _DENSE:
        matrix = adjacency.toarray() / root / root[:, None] - np.outer(first, first)
        values, vectors = eigh(matrix, subset_by_index=(s - count, s - 1))
        return values, vectors

    def product(x: np.ndarray) -> np.ndarray:
        x = x.ravel()
        return adjacency @ (x / root) / root - first * (first @ x)

    start = np.random.default_rng(seed).standard_normal(s)
    values, vectors = eigsh(LinearOperator((s, s), matvec=product, dtype=np.float64), k=count, which="LA", v0=start)
    return values, vectors
