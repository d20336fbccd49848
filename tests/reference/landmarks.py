"""Scores among landmarks, by loops over the formulas; eigenvectors are NumPy's, of whole matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tests.reference.neighbors import cosine, nearest

Row = list[float]


@dataclass(frozen=True)
class Components:
    mean: Row
    axes: list[Row]
    variance: Row

    def coordinates(self, sample: np.ndarray) -> Row:
        return [
            math.fsum((float(x) - m) * a for x, m, a in zip(sample, self.mean, axis, strict=True)) for axis in self.axes
        ]

    def whitened(self, sample: np.ndarray, power: float) -> Row:
        return [z / v**power for z, v in zip(self.coordinates(sample), self.variance, strict=True)]


def components(reference: np.ndarray, dimensions: int = 64) -> Components:
    n, d = reference.shape
    mean = [math.fsum(column) / n for column in reference.T.tolist()]
    covariance = np.zeros((d, d))
    for row in reference.tolist():
        for a in range(d):
            for b in range(d):
                covariance[a, b] += (row[a] - mean[a]) * (row[b] - mean[b]) / (n - 1)
    values, vectors = np.linalg.eigh(covariance)
    falling = [j for j in np.argsort(values)[::-1] if values[j] > 1e-9 * values.max()][:dimensions]
    return Components(mean, [vectors[:, j].tolist() for j in falling], [float(values[j]) for j in falling])


def mahalanobis_distance(h: np.ndarray, reference: np.ndarray, dimensions: int = 64) -> Row:
    fitted = components(reference, dimensions)
    return [math.hypot(*fitted.whitened(sample, 0.5)) for sample in h]


class Space:
    """Samples and landmarks after half-whitening."""

    def __init__(self, h: np.ndarray, reference: np.ndarray | None, dimensions: int = 64) -> None:
        fitted = components(h if reference is None else reference, dimensions)
        self.samples = [fitted.whitened(sample, 0.375) for sample in h]
        self.landmarks = self.samples if reference is None else [fitted.whitened(row, 0.375) for row in reference]
        self.own = reference is None

    def nearest(self, i: int, k: int) -> list[tuple[float, int]]:
        return nearest(self.samples[i], self.landmarks, k, skip=i if self.own else -1)


def whitened_similarity(space: Space, k: int) -> Row:
    return [math.fsum(value for value, _ in space.nearest(i, k)) / k for i in range(len(space.samples))]


def neighbor_coherence(space: Space, k: int) -> Row:
    found = []
    for i in range(len(space.samples)):
        near = [space.landmarks[j] for _, j in space.nearest(i, k)]
        pairs = [cosine(near[a], near[b]) for a in range(k) for b in range(a + 1, k)]
        found.append(math.fsum(pairs) / len(pairs))
    return found


def graph_spectral_norm(space: Space, k: int, count: int, temperature: float) -> Row:
    s = len(space.landmarks)
    weights = np.zeros((s, s))
    for i in range(s):
        for value, j in nearest(space.landmarks[i], space.landmarks, k, skip=i):
            weights[i, j] = math.exp((value - 1) / temperature)
    weights = (weights + weights.T) / 2
    degree = [math.fsum(row) for row in weights.tolist()]
    values, vectors = np.linalg.eigh(
        [[weights[i, j] / math.sqrt(degree[i] * degree[j]) for j in range(s)] for i in range(s)]
    )
    leading = [c for c in np.argsort(values)[::-1][1 : count + 1] if values[c] > 0.1]  # the first one is left out
    norms = []
    for i in range(len(space.samples)):
        near = [(math.exp((value - 1) / temperature), j) for value, j in space.nearest(i, k)]
        own = math.fsum(weight for weight, _ in near)
        placed = [
            math.fsum(weight * vectors[j, c] / math.sqrt(degree[j] * own) for weight, j in near) / values[c]
            for c in leading
        ]
        norms.append(math.sqrt(s) * math.hypot(*placed))
    return norms


def vote_entropy(space: Space, k: int, labels: list[list[int]]) -> Row:
    """labels: the cluster of each landmark, in each clustering."""
    found = []
    for i in range(len(space.samples)):
        near = [j for _, j in space.nearest(i, k)]
        entropies = []
        for label in labels:
            votes = [sum(label[j] == c for j in near) / k for c in set(label)]
            entropy = -math.fsum(p * math.log(p) for p in votes if p > 0)
            entropies.append(entropy / math.log(min(k, len(set(label)))))
        found.append(math.fsum(entropies) / len(entropies))
    return found


def cluster_margin(space: Space, label: list[int]) -> Row:
    """label: the cluster of each landmark."""
    unit = [unit_row(row) for row in space.landmarks]
    centers = []
    for c in sorted(set(label)):
        members = [row for row, own in zip(unit, label, strict=True) if own == c]
        centers.append([math.fsum(column) / len(members) for column in zip(*members, strict=True)])
    margins = []
    for sample in space.samples:
        first, second, *_ = sorted(math.dist(unit_row(sample), center) for center in centers)
        margins.append(second - first)
    return margins


def unit_row(row: Row) -> Row:
    length = math.hypot(*row)
    return [x / length if length > 0 else 0.0 for x in row]
