"""Agreement of views, one pair at a time."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from tests.reference.neighbors import centred, column_means, cosine


def view_agreement(views: np.ndarray, *, center: bool) -> list[float]:
    means = column_means(views.reshape(-1, views.shape[2]), center=center)
    found = []
    for sample in views:
        pairs = [cosine(a, b) for a, b in combinations(centred(sample, means), 2)]
        found.append(math.fsum(pairs) / len(pairs))
    return found


def view_similarity(h: np.ndarray, views: np.ndarray, *, center: bool) -> list[float]:
    means = column_means(views.reshape(-1, views.shape[2]), center=center)
    found = []
    for own, sample in zip(centred(h, means), views, strict=True):
        found.append(math.fsum(cosine(own, view) for view in centred(sample, means)) / len(sample))
    return found
