"""Ways to fewer features: columns by an order, columns at random, and new ones made of all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.decomposition import PCA
from sklearn.random_projection import SparseRandomProjection

Reduction = Callable[[np.ndarray, int], np.ndarray]  # [n, d], k -> [n, k]


def first_columns(order: np.ndarray) -> Reduction:
    """The first k columns of an order, [d]; they stay in the order of the matrix."""
    return lambda h, k: h[:, np.sort(order[:k])]


def controls(h: np.ndarray, *, seeds: int, seed: int) -> dict[str, list[Reduction]]:
    """What a selection of k columns has to beat, at the same k; fitted on h, without labels.

    * random: k columns drawn without replacement, `seeds` times; of one draw the columns for a smaller k are among
      those for a larger.
    * variance: the columns of highest variance; ties by column number.
    * pca: the first k principal components (centred, not whitened); where n < k, all n.
    * sparse_projection: k random sums of few columns, one in sqrt(d) with a weight of +1 or -1.

    Args:
        h: [n, d], finite.
        seeds: random subsets.
        seed: of these and of the projection.

    Returns:
        name -> one reduction, or several random ones.

    Reference: Li, Hastie & Church, KDD 2006 (very sparse random projections), as scikit-learn has them.
    """
    pca = PCA(svd_solver="covariance_eigh").fit(h.astype(np.float64))
    variance = h.var(axis=0, dtype=np.float64)
    orders = [np.random.default_rng([seed, number]).permutation(h.shape[1]) for number in range(seeds)]

    def projected(x: np.ndarray, k: int) -> np.ndarray:
        return SparseRandomProjection(k, random_state=seed).fit_transform(x)

    return {
        "random": [first_columns(order) for order in orders],
        "variance": [first_columns(np.argsort(-variance, kind="stable"))],
        "pca": [lambda x, k: pca.transform(x)[:, :k]],
        "sparse_projection": [projected],
    }
