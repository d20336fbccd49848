"""Clusters of a reference: how clearly a sample belongs to one, and whether its neighbours agree on which."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import entr
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from .._array import Rows, as_rows
from ..errors import InputError
from ._blocks import each_row
from .landmarks import NEIGHBORS, Landmarks, Nearest
from .neighbors import BLOCK
from .projection import DIMENSIONS

CLUSTERS = 20
VOTES = (10, 20, 50, 100)


def cluster_margin(
    h: Rows,
    *,
    reference: Rows | None = None,
    clusters: int = CLUSTERS,
    dimensions: int = DIMENSIONS,
    seed: int = 0,
) -> np.ndarray:
    """How clearly each sample belongs to one cluster: distance to the second nearest centre minus that to the nearest.

    Euclidean distances to the centres of k-means (scikit-learn, one seeded start) on the landmarks, in the space of
    `whitened_similarity`: half-whitened, all rows of length 1.

    Args:
        h: [n, d], finite.
        reference: [m, d], finite; None: h itself.
        clusters: at least 2, at most as many as there are landmarks (10,000 or the reference's rows).
        dimensions: principal axes.
        seed: of the sample and of the k-means.

    Returns:
        float64 [n], from 0 to 2; higher = more clearly in one cluster; 0 by rule where the reference's rows are all the
        same.

    Raises:
        InputError: shapes that do not fit, NaN or infinity, a number of clusters out of range.

    >>> import numpy as np
    >>> two = np.array([[1.0, 0.01], [1.0, -0.01], [-1.0, 0.01], [-1.0, -0.01]])
    >>> cluster_margin([[5.0, 0.0], [0.0, 0.0]], reference=two, clusters=2, dimensions=1).round(3).tolist()
    [2.0, 0.0]
    """
    rows = as_rows(h)
    landmarks = Landmarks.on(rows, reference, dimensions=dimensions, seed=seed)
    fitted = Clustering.of(landmarks, clusters=clusters, seed=seed)
    return each_row(rows, lambda samples, _: fitted.margin(landmarks.place(samples)))


def vote_entropy(
    h: Rows,
    *,
    reference: Rows | None = None,
    k: int = NEIGHBORS,
    clusters: Sequence[int] = VOTES,
    dimensions: int = DIMENSIONS,
    seed: int = 0,
) -> np.ndarray:
    """How much a sample's neighbours disagree on its cluster: the entropy of their votes, over several clusterings.

    e_i = mean over clusterings of -sum_c p_c ln p_c / ln min(k, clusters), p_c = share of the k nearest landmarks that
    k-means puts in cluster c; everything in the half-whitened space of `whitened_similarity`.

    Args:
        h, reference, k, dimensions: see `whitened_similarity`.
        clusters: of each clustering, at least 2, at most as many as there are landmarks.
        seed: of the sample and of the k-means.

    Returns:
        float64 [n], from 0 (all neighbours in one cluster, in every clustering) to 1 (all in different ones); lower =
        more clearly in one group; 0 by rule where the reference's rows are all the same.

    Raises:
        InputError: shapes that do not fit, NaN or infinity, k below 2, a number out of range, or no clustering.

    >>> import numpy as np
    >>> groups = np.repeat(np.eye(3), 5, axis=0)
    >>> vote_entropy(groups, k=4, clusters=[3]).round(6).max().item()
    0.0
    """
    rows = as_rows(h)
    landmarks = Landmarks.on(rows, reference, dimensions=dimensions, seed=seed)
    if k < 2:
        raise InputError(f"k is {k}, but one neighbour cannot disagree: at least two are needed")
    if not len(clusters):
        raise InputError("clusters is empty, but at least one number of clusters is needed")
    fitted = [Clustering.of(landmarks, clusters=number, seed=seed) for number in clusters]

    def entropy(samples: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        near = landmarks.nearest(landmarks.place(samples), numbers, k=k)
        return disagreement(fitted, near)

    return each_row(rows, entropy, size=BLOCK)


@dataclass(frozen=True)
class Clustering:
    """k-means of landmarks.

    Attributes:
        centers: [c, p]; p = 0 where the reference's rows are all the same.
        label: the cluster of each landmark, int32 [s].
    """

    centers: np.ndarray
    label: np.ndarray

    @classmethod
    def of(cls, landmarks: Landmarks, *, clusters: int, seed: int = 0) -> Clustering:
        """Fit on one thread, so that sums have one order.

        Raises:
            InputError: clusters out of range.
        """
        rows = len(landmarks.unit)
        if not 2 <= clusters <= rows:
            raise InputError(f"clusters is {clusters}, but a number from 2 to the {rows} reference rows is needed")
        if landmarks.alike:
            return cls(np.empty((clusters, 0)), np.zeros(rows, np.int32))
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters
            found = KMeans(clusters, n_init=1, random_state=seed).fit(landmarks.unit)
        return cls(found.cluster_centers_.astype(np.float64), found.labels_)

    def margin(self, placed: np.ndarray) -> np.ndarray:
        """Distance to the second nearest minus that to the nearest centre: [m, p] -> float64 [m]."""
        squared = np.square(placed, dtype=np.float64).sum(axis=1, keepdims=True) + np.square(self.centers).sum(axis=1)
        squared -= 2 * placed @ self.centers.T  # [m, p] @ [p, c] -> [m, c]
        two = np.sqrt(np.maximum(np.partition(squared, 1, axis=1)[:, :2], 0))
        return two[:, 1] - two[:, 0]

    def votes(self, near: Nearest) -> np.ndarray:
        """The entropy of the neighbours' clusters in units of the largest possible, [m]."""
        k = near.place.shape[1]
        label = np.sort(self.label[near.place], axis=1)  # [m, k]
        first = np.ones(label.shape, bool)
        first[:, 1:] = label[:, 1:] != label[:, :-1]
        run = np.cumsum(first, axis=1) - 1 + k * np.arange(len(label))[:, None]
        votes = np.bincount(run.ravel(), minlength=k * len(label)).reshape(label.shape)
        return entr(votes / k).sum(axis=1) / np.log(min(k, len(self.centers)))


def disagreement(clusterings: Sequence[Clustering], near: Nearest) -> np.ndarray:
    """Mean entropy of the neighbours' votes over several clusterings, float64 [m]."""
    return np.clip(np.mean([fitted.votes(near) for fitted in clusterings], axis=0), 0, 1)
