"""How likely a sample is where the reference lies, along the reference's main directions."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from .._array import Rows, as_rows
from ..errors import InputError
from ._blocks import each_row
from .projection import DIMENSIONS, Projection

COMPONENTS = 10
# Added to each variance of a mixture, in units of the reference's own.
_LEAST_VARIANCE = 1e-3
_ITERATIONS = 50


def mahalanobis_distance(
    h: Rows, *, reference: Rows | None = None, dimensions: int = DIMENSIONS, seed: int = 0
) -> np.ndarray:
    """How far each sample is from the centre of the reference, each direction in units of its spread.

    d_i = sqrt(sum over p of z_ip^2), z_ip = (h_i - m) . a_p / sigma_p, with mean m, principal axes a_p and deviations
    sigma_p (over n - 1) of a seeded sample of at most 10,000 reference rows. What a sample has outside these axes does
    not count. Axes with less than 1e-9 of the first one's variance are left out.

    Args:
        h: [n, d], finite.
        reference: [m, d], finite; None: h itself.
        dimensions: principal axes, at most as many as there are; from 1024 features on they are found by a seeded
            randomised decomposition.
        seed: of the sample.

    Returns:
        float64 [n], at least 0; lower = nearer to the centre; 0 by rule where the reference's rows are all the same.

    Raises:
        InputError: shapes that do not fit, NaN or infinity.

    >>> import numpy as np
    >>> square = np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    >>> mahalanobis_distance([[0.0, 0.0], [2.0, 0.0]], reference=square).round(4).tolist()
    [0.0, 1.7321]

    Reference: Lee et al., NeurIPS 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples", which
    has one centre for each class: without labels there is one for all.
    """
    rows = as_rows(h)
    projection = _projection(rows, reference, dimensions, seed)
    return each_row(rows, lambda samples, _: distance_of(projection, samples))


def mixture_likelihood(
    h: Rows,
    *,
    reference: Rows | None = None,
    components: int = COMPONENTS,
    dimensions: int = DIMENSIONS,
    seed: int = 0,
) -> np.ndarray:
    """How dense the reference is where each sample lies: its log-likelihood under a Gaussian mixture, in nats.

    ln sum_c w_c N(z_i; mu_c, Sigma_c), full covariances, fitted by scikit-learn (k-means start, at most 50 iterations)
    to the whitened principal coordinates z of `mahalanobis_distance`, with 1e-3 added to each variance. As z has no
    unit, scaling h changes nothing.

    Args:
        h: [n, d], finite.
        reference: [m, d], finite; None: h itself, whose samples are then part of what the mixture was fitted to.
        components: of the mixture.
        dimensions, seed: see `mahalanobis_distance`; the seed is also that of the k-means.

    Returns:
        float64 [n]; higher = more typical; 0 by rule where the reference's rows are all the same.

    Raises:
        InputError: shapes that do not fit, NaN or infinity, fewer reference rows than components.

    >>> import numpy as np
    >>> line = np.linspace(-1, 1, 101)[:, None]
    >>> found = mixture_likelihood([[0.0], [9.0]], reference=line, components=1)
    >>> bool(found[0] > found[1])
    True

    Reference: Park et al., UAI 2024 ("LL"), with scikit-learn's mixture on h itself, or on the sphere.
    """
    rows = as_rows(h)
    mixture = Mixture.of(_projection(rows, reference, dimensions, seed), components=components, seed=seed)
    return each_row(rows, lambda samples, _: mixture(samples))


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture fitted to a projection's sample; None where the sample has no direction."""

    projection: Projection
    fitted: GaussianMixture | None

    @classmethod
    def of(cls, projection: Projection, *, components: int = COMPONENTS, seed: int = 0) -> Mixture:
        """Fit on one thread, so that sums have one order.

        Raises:
            InputError: components out of range.
        """
        rows = len(projection.sample)
        if not 1 <= components <= rows:
            raise InputError(f"components is {components}, but a number from 1 to the {rows} reference rows is needed")
        if not len(projection.variance):
            return cls(projection, None)
        mixture = GaussianMixture(components, reg_covar=_LEAST_VARIANCE, max_iter=_ITERATIONS, random_state=seed)
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the likelihood is that of what was reached
            return cls(projection, mixture.fit(projection.whitened(projection.sample)))

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """The log-likelihood of finite samples: [m, d] -> float64 [m]."""
        coordinates = self.projection(samples)
        if self.fitted is None or not len(samples):
            return np.zeros(len(samples))
        return np.asarray(self.fitted.score_samples(self.projection.whitened(coordinates)))


def distance_of(projection: Projection, samples: np.ndarray) -> np.ndarray:
    """The Mahalanobis distance of finite samples: [m, d] -> float64 [m]."""
    return np.linalg.norm(projection.whitened(projection(samples)), axis=1)


def _projection(h: Rows, reference: Rows | None, dimensions: int, seed: int) -> Projection:
    name = "h" if reference is None else "reference"
    return Projection.of(h if reference is None else reference, dimensions=dimensions, seed=seed, name=name)
