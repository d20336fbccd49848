"""Is the nearest neighbour of the same class? Correctness without a probe, and whether a score foretells it."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from .._array import Rows, as_float, as_rows, as_vector
from ..errors import InputError
from .ranking import auroc


def recall_at_1(h: Rows, labels: np.ndarray) -> np.ndarray:
    """Whether the nearest other sample, by cosine similarity, has the same label.

    Args:
        h: [n, d], finite, n >= 2; not centred.
        labels: [n], none missing.

    Returns:
        bool [n]; its mean is R@1. Among several nearest samples the choice is the library's.

    Raises:
        InputError: fewer than two samples, another number of labels, NaN or infinity.

    >>> recall_at_1([[1, 0], [2, 0.1], [0, 1]], ["cat", "cat", "dog"]).tolist()
    [True, True, False]

    Reference: Kirchhof et al., NeurIPS 2023, "URL: A Representation Learning Benchmark for Transferable Uncertainty
    Estimates": R@1; the AUROC of an uncertainty against it is R-AUROC.
    """
    rows = as_rows(h)
    classes = as_vector(labels, "labels", rows.shape[0])
    if len(classes) < 2:
        raise InputError("h has one row, which has no neighbour: at least two are needed")
    whole = as_float(rows[0 : rows.shape[0]])
    if not np.isfinite(whole).all():
        bad = np.flatnonzero(~np.isfinite(whole).all(axis=1))
        raise InputError(f"h contains NaN or infinity, first in row {bad[0]}: remove these samples")
    search = NearestNeighbors(n_neighbors=1, metric="cosine", algorithm="brute").fit(whole)
    nearest = search.kneighbors(return_distance=False)[:, 0]  # of the others: a sample is not its own neighbour
    return np.asarray(classes[nearest] == classes)


def r_auroc(score: np.ndarray, h: Rows, labels: np.ndarray) -> float:
    """Does a score foretell whether a sample's nearest neighbour is of its class? `auroc` of it against `recall_at_1`.

    Args:
        score: [n]; higher = more likely right (an uncertainty negated).
        h: [n, d], finite, n >= 2.
        labels: [n], none missing.

    Returns:
        0 to 1, 0.5 = chance, higher = better; NaN where all neighbours are of the same class, or none is.

    Raises:
        InputError: as for `auroc` and `recall_at_1`.

    >>> r_auroc([3, 2, 1], [[1, 0], [2, 0.1], [0, 1]], ["cat", "cat", "dog"])
    1.0

    Reference: Kirchhof et al., NeurIPS 2023 (URL), R-AUROC.
    """
    return auroc(score, recall_at_1(h, labels))
