"""Expressive and learnable: the intrinsic dimension of the rows, and how well neighbours predict their clusters."""

from __future__ import annotations

import warnings

import numpy as np

from .._array import Rows, as_rows
from ..errors import InputError
from ._blocks import finite_blocks
from .geometry import directions
from .moments import power_of_two


def intrinsic_dimension(h: Rows, *, discard: float = 0.1) -> float:
    """The dimension of the surface that the rows lie on, from distances to their two nearest neighbours (TwoNN).

    mu_i = r_i2 / r_i1, Euclidean distances to the second and the first neighbour; in rising order F(mu_(i)) = i / n.
    The result is the slope of the line through the origin fitted to (ln mu_(i), -ln(1 - F(mu_(i)))) by least squares,
    without the largest `discard` of the mu (the last point, where F = 1, is never used). Rows that repeat an earlier
    one are left out first: their nearest distance is 0. Rows are neither centred nor normalised.

    Args:
        h: [n, d], finite. Takes n^2 d products and a copy in float64: give a sample of a large set, and compare samples
            of one size, as the estimate grows with n.
        discard: share of the rows with the largest mu, at least 0 and below 1; 0.1 in the paper.

    Returns:
        Above 0; higher = more expressive. NaN where it is undefined: fewer than three different rows, or two neighbours
        at the same distance everywhere.

    Raises:
        InputError: not a matrix, NaN or infinity, discard out of range.

    >>> import numpy as np
    >>> line = np.random.default_rng(0).random(500)[:, None] * np.ones(8)
    >>> round(intrinsic_dimension(line), 1)
    1.0

    Reference: Facco et al., Scientific Reports 2017, "Estimating the intrinsic dimension of datasets by a minimal
    neighborhood information".
    """
    if not 0 <= discard < 1:
        raise InputError(f"discard is {discard}, but a share of at least 0 and below 1 is needed (0.1 in the paper)")
    rows = np.unique(_whole(h), axis=0)
    n = len(rows)
    if n < 3:
        return float("nan")
    kept = max(1, min(n - 1, int((1 - discard) * n)))
    growth = np.sort(_log_ratios(rows))[:kept]
    missing = -np.log1p(-np.arange(1, kept + 1) / n)
    squares = float(growth @ growth)
    return float(growth @ missing) / squares if squares > 0 else float("nan")


def cluster_learnability(h: Rows, *, clusters: int | None = None, neighbors: int = 1, seed: int = 0) -> float:
    """How well nearest neighbours predict which cluster a row is in: accuracy on a held-out half (CL).

    Rows are brought to length 1 (cosine distance), not centred, and clustered by k-means; a k-nearest-neighbour vote of
    one half, drawn at random, predicts the clusters of the other. (The first arXiv version predicted each row from
    those before it instead.) Rows of zeros have no direction and are left out.

    Args:
        h: [n, d], finite. Takes n^2 d / 4 products, and k-means: give a sample of a large set.
        clusters: of k-means; None: sqrt(n), rounded. At most as many as there are different directions are made.
        neighbors: that vote; 1 in the paper.
        seed: of k-means and of the halves.

    Returns:
        0 to 1; higher = easier to learn. 1 where all rows point the same way: read it beside the intrinsic dimension,
        as `clid` does. NaN where fewer than two rows have a direction.

    Raises:
        InputError: not a matrix, NaN or infinity, parameters out of range.

    >>> import numpy as np
    >>> cluster_learnability(np.repeat(np.eye(4), 25, axis=0))
    1.0

    Reference: Lu et al., TMLR 2023, "Using representation expressiveness and learnability to evaluate self-supervised
    learning methods".
    """
    if neighbors < 1 or (clusters is not None and clusters < 1):
        raise InputError(f"neighbors is {neighbors} and clusters {clusters}, but at least 1 of each is needed")
    rows = directions(_whole(h))
    n = len(rows)
    if n < 2:
        return float("nan")
    rng = np.random.default_rng(seed)
    cluster = _clusters(rows, round(n**0.5) if clusters is None else clusters, int(rng.integers(2**31)))
    order = rng.permutation(n)
    return _neighbour_accuracy(rows, cluster, order[: n // 2], order[n // 2 :], neighbors)


def clid(h: Rows, *, clusters: int | None = None, neighbors: int = 1, discard: float = 0.1, seed: int = 0) -> float:
    """Learnable and expressive at once: cluster_learnability + intrinsic_dimension / d (CLID).

    The two terms have to be brought to one scale. Over many encoders each can be standardised; one set has no others,
    so the dimension is taken as a share of d (ours). Compare encoders of one width, or combine the terms yourself.

    Args:
        h: [n, d], finite.
        clusters, neighbors, seed: see `cluster_learnability`.
        discard: see `intrinsic_dimension`.

    Returns:
        Above 0, seldom above 2; higher = better. NaN where one of the two is undefined.

    Raises:
        InputError: not a matrix, NaN or infinity, parameters out of range.

    >>> import numpy as np
    >>> round(clid(np.random.default_rng(0).normal(size=(300, 2))), 1)
    2.1

    Reference: Lu et al., TMLR 2023.
    """
    rows = as_rows(h)
    learnable = cluster_learnability(rows, clusters=clusters, neighbors=neighbors, seed=seed)
    return clid_of(learnable, intrinsic_dimension(rows, discard=discard), rows.shape[1])


def clid_of(learnability: float, dimension: float, d: int) -> float:
    """`clid` from its two terms."""
    return learnability + dimension / d


def _whole(h: Rows) -> np.ndarray:
    """All rows in memory, float64 [n, d]."""
    return np.concatenate([block.astype(np.float64) for _, block in finite_blocks(as_rows(h), name="h")])


def _log_ratios(rows: np.ndarray) -> np.ndarray:
    """ln(r_2 / r_1) of each of n >= 3 different rows, [n]."""
    from sklearn.neighbors import NearestNeighbors

    rows = rows / power_of_two(float(np.abs(rows).max()))  # so that no square overflows or vanishes
    search = NearestNeighbors(n_neighbors=min(3, len(rows) - 1), algorithm="brute").fit(rows - rows.mean(axis=0))
    near = search.kneighbors(return_distance=False)  # [n, 3], no row its own neighbour
    # The search takes differences of squares; these are exact enough for rows that lie close together.
    distance = np.sort([np.linalg.norm(rows[near[:, k]] - rows, axis=1) for k in range(near.shape[1])], axis=0)
    return np.log(distance[1] / distance[0])


def _clusters(rows: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """The k-means cluster of each row, [n]."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    different = len(np.unique(rows, axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # where rows differ by rounding: fewer clusters are made
        return KMeans(min(clusters, different), n_init=1, random_state=seed).fit_predict(rows)


def _neighbour_accuracy(
    rows: np.ndarray, cluster: np.ndarray, known: np.ndarray, asked: np.ndarray, neighbors: int
) -> float:
    """How often the vote of the nearest of the known rows is right about the asked ones."""
    from sklearn.neighbors import KNeighborsClassifier

    voters = KNeighborsClassifier(min(neighbors, len(known)), algorithm="brute").fit(rows[known], cluster[known])
    return float((voters.predict(rows[asked]) == cluster[asked]).mean())
