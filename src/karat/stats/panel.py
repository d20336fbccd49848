"""Several metrics at once, from work that is done once: one Gram matrix, one decomposition for each centring."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field

import numpy as np

from .._array import Rows
from .geometry import coherence_of, self_clustering, uniformity
from .learnability import clid_of, cluster_learnability, intrinsic_dimension
from .moments import Gram
from .spectrum import (
    alpha_of,
    condition_of,
    effective_rank_of,
    participation_ratio_of,
    roots_of,
    singular_values_of,
    stable_rank_of,
)
from .views import Views, alignment, lidar

Values = dict[str, float]
Names = Container[str]

_OF_SIGMA: dict[str, Callable[[np.ndarray], float]] = {
    "effective_rank": effective_rank_of,
    "stable_rank": stable_rank_of,
    "condition": condition_of,
}
_OF_CENTRED_SIGMA: dict[str, Callable[[np.ndarray], float]] = {
    "alpha": alpha_of,
    "nesum": stable_rank_of,
    "participation_ratio": participation_ratio_of,
}
PAIR_METRICS = ("uniformity", "self_clustering", "intrinsic_dimension", "cluster_learnability", "clid")
# Why a metric can be NaN.
UNDEFINED = {
    "alpha": "fewer than two eigenvalues of the covariance above 0 have ranks 11 to 100",
    "condition": "h is zero",
    "coherence": "h is zero",
    "uniformity": "fewer than two rows are not zero",
    "self_clustering": "there is one feature only, or fewer than two rows are not zero",
    "intrinsic_dimension": "fewer than three rows differ, or all are equally far apart",
    "cluster_learnability": "fewer than two rows are not zero",
    "clid": "intrinsic_dimension or cluster_learnability is undefined",
    "alignment": "no image has two views that are not zero",
}


@dataclass(frozen=True)
class Spectral:
    """Metrics of the whole spectrum.

    Attributes:
        values: by name.
        rank: of h, uncentred; None where no metric needed it.
        shares: of the variance along each principal direction, falling, [min(n, d)]: eigenvalues of the covariance over
            their sum, all 0 where the rows are the same; empty where no metric needed them.
    """

    values: Values
    rank: int | None
    shares: np.ndarray = field(default_factory=lambda: np.zeros(0))


def spectral_metrics(h: Rows, names: Names) -> Spectral:
    """Those of `names` that come from the singular values of h, from one Gram matrix; coherence reads h again.

    Raises:
        InputError: NaN or infinity.
    """
    plain, centred = (
        [name for name in _OF_SIGMA if name in names],
        [name for name in _OF_CENTRED_SIGMA if name in names],
    )
    if not (plain or centred or "coherence" in names):
        return Spectral({}, None)
    gram = Gram.of(h)
    values: Values = {}
    sigma = None
    if "coherence" in names:
        squares, vectors = np.linalg.eigh(gram.uncentred)
        sigma = roots_of(squares[::-1])
        values["coherence"] = coherence_of(h, gram.unit, sigma, vectors[:, ::-1])
    elif plain:
        sigma = singular_values_of(gram.uncentred)
    if sigma is not None:
        values |= {name: _OF_SIGMA[name](sigma) for name in plain}
    shares = np.zeros(0)
    if centred:
        centred_sigma = singular_values_of(gram.centred)
        values |= {name: _OF_CENTRED_SIGMA[name](centred_sigma) for name in centred}
        shares = _shares(centred_sigma)
    return Spectral(values, None if sigma is None else int(np.count_nonzero(sigma)), shares)


def _shares(sigma: np.ndarray) -> np.ndarray:
    """The squares of falling numbers, over their sum."""
    if not sigma.any():
        return np.zeros(len(sigma))
    squares = (sigma / sigma[0]) ** 2
    return squares / squares.sum()


def pair_metrics(h: np.ndarray, names: Names, *, seed: int) -> Values:
    """Those of `names` that look at all pairs of rows of h [n, d], which a large set gives a sample of.

    Raises:
        InputError: NaN or infinity.
    """
    values: Values = {}
    if "uniformity" in names:
        values["uniformity"] = uniformity(h)
    if "self_clustering" in names:
        values["self_clustering"] = self_clustering(h)
    if "intrinsic_dimension" in names or "clid" in names:
        values["intrinsic_dimension"] = intrinsic_dimension(h)
    if "cluster_learnability" in names or "clid" in names:
        values["cluster_learnability"] = cluster_learnability(h, seed=seed)
    if "clid" in names:
        values["clid"] = clid_of(values["cluster_learnability"], values["intrinsic_dimension"], h.shape[1])
    return {name: value for name, value in values.items() if name in names}


def view_metrics(views: Views, names: Names) -> Values:
    """Those of `names` that are of views [n images, v views, d].

    Raises:
        InputError: fewer than two images, NaN or infinity.
    """
    values: Values = {}
    if "alignment" in names:
        values["alignment"] = alignment(views)
    if "lidar" in names:
        values["lidar"] = lidar(views)
    return values
