"""Several encoders of the same samples: do they agree on who is near whom, and what does each say of a sample?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations

import numpy as np

from .._array import Rows, as_float, as_rows
from ..errors import InputError, InputTypeError
from ._blocks import column_means, sampled_rows
from .density import COMPONENTS, Mixture
from .landmarks import Nearest, nearest
from .neighbors import BLOCK, mean_similarity, unit_rows
from .projection import DIMENSIONS, Projection

NEIGHBORS = 100
ANCHORS = 5_000


def neighborhood_consistency(
    ensemble: Sequence[Rows], *, k: int = NEIGHBORS, anchors: int = ANCHORS, center: bool = True, seed: int = 0
) -> np.ndarray:
    """Whether several encoders agree on the neighbours of a sample (NC).

    NC_i = mean over pairs of encoders a < b of |N_a(i) ∩ N_b(i)| / |N_a(i) ∪ N_b(i)|, N_e(i) = the k anchors most
    similar to sample i by cosine in the space of encoder e. The anchors are a seeded sample of the samples themselves,
    the same for all encoders; no sample is its own neighbour.

    Args:
        ensemble: h of each encoder, [n, d_e], finite, two or more; row i is the same sample in all.
        k: neighbours, below the number of anchors.
        anchors: at most so many; with k, the paper's.
        center: subtract each encoder's column means (the paper does not).
        seed: of the sample of anchors.

    Returns:
        float64 [n], from 0 (no neighbour in common) to 1 (the same neighbours everywhere); higher = more reliable.

    Raises:
        InputError: fewer than two encoders, different numbers of rows, NaN or infinity, k out of range.

    >>> import numpy as np
    >>> h = np.random.default_rng(0).normal(size=(30, 4))
    >>> neighborhood_consistency([h, 2 * h + 1], k=5).min().item()
    1.0

    Reference: Park, Wang, Ardeshir & Azizan, UAI 2024, "Quantifying Representation Reliability in Self-Supervised
    Learning Models". The paper writes 1 / M^2 before the sum over pairs; the mean, as in the code they publish, has the
    same order and ends at 1.
    """
    members = Members.of(ensemble)
    fitted = Anchors.of(members, k=k, limit=anchors, center=center, seed=seed)
    return _each(members, lambda rows, numbers: consistency_of(fitted(rows, numbers)))


def ensemble_distance(
    ensemble: Sequence[Rows], *, k: int = NEIGHBORS, anchors: int = ANCHORS, center: bool = True, seed: int = 0
) -> np.ndarray:
    """How far a sample is from its k nearest anchors: the mean of 1 - cos over them and over encoders (AvgDist).

    Args:
        ensemble, k, anchors, center, seed: see `neighborhood_consistency`.

    Returns:
        float64 [n], from 0 to 2; lower = in denser neighbourhoods.

    Raises:
        InputError: as for `neighborhood_consistency`.

    >>> import numpy as np
    >>> h = np.repeat(np.eye(2), 3, axis=0)
    >>> ensemble_distance([h, h], k=2).round(6).max().item()
    0.0

    Reference: Park et al., UAI 2024 ("ens-AvgDist"); they do not centre.
    """
    members = Members.of(ensemble)
    fitted = Anchors.of(members, k=k, limit=anchors, center=center, seed=seed)
    return _each(members, lambda rows, numbers: distance_of(fitted(rows, numbers)))


def ensemble_variance(ensemble: Sequence[Rows]) -> np.ndarray:
    """How much a sample's features vary between encoders (FV): variance over encoders, summed over features.

    v_i = sum_j var_e u_eij (divided by the number of encoders), u_ei = h_ei / ||h_ei||. Encoders that differ by a
    rotation alone vary too: the paper's point in measuring neighbours instead.

    Args:
        ensemble: h of each encoder, [n, d], finite, two or more with the same number of features.

    Returns:
        float64 [n], from 0 to 1; lower = more alike.

    Raises:
        InputError: as for `neighborhood_consistency`, or encoders with different numbers of features.

    >>> ensemble_variance([[[1.0, 0.0]], [[-2.0, 0.0]]]).tolist()
    [1.0]

    Reference: Park et al., UAI 2024 ("FV").
    """
    members = Members.of(ensemble)
    widths = [member.shape[1] for member in members.rows]
    if len(set(widths)) > 1:
        raise InputError(f"the encoders have {widths} features, but their variance needs as many in each")
    return _each(members, lambda rows, _: variance_of(rows))


def ensemble_likelihood(
    ensemble: Sequence[Rows], *, components: int = COMPONENTS, dimensions: int = DIMENSIONS, seed: int = 0
) -> np.ndarray:
    """How typical a sample is, over several encoders: the mean of its `mixture_likelihood` in the space of each.

    Args:
        ensemble: see `neighborhood_consistency`.
        components, dimensions, seed: see `mixture_likelihood`.

    Returns:
        float64 [n]; higher = more typical.

    Raises:
        InputError: as for `neighborhood_consistency`, or fewer samples than components.

    >>> import numpy as np
    >>> h = np.random.default_rng(0).normal(size=(50, 2))
    >>> ensemble_likelihood([h, h], components=1).shape
    (50,)

    Reference: Park et al., UAI 2024 ("ens-LL").
    """
    members = Members.of(ensemble)
    fitted = mixtures_of(members, components=components, dimensions=dimensions, seed=seed)
    return _each(members, lambda rows, _: likelihood_of(fitted, rows))


@dataclass(frozen=True)
class Members:
    """The same samples in the space of each encoder: row i is sample i in all.

    Attributes:
        rows: of each, [n, d_e].
        names: of each, for messages.
        drop: pass over samples that are not finite in all.
    """

    rows: tuple[Rows, ...]
    names: tuple[str, ...]
    drop: bool = False

    @classmethod
    def of(cls, ensemble: Sequence[Rows]) -> Members:
        """Two matrices or more with as many rows.

        Raises:
            InputTypeError: one matrix, where several are needed.
            InputError: fewer than two, or different numbers of rows.
        """
        if isinstance(ensemble, np.ndarray) and ensemble.ndim == 2:
            raise InputTypeError("ensemble is one matrix, but one of each encoder is needed: [h1, h2, ...]")
        names = tuple(f"ensemble[{e}]" for e in range(len(ensemble)))
        rows = tuple(as_rows(member, name) for member, name in zip(ensemble, names, strict=True))
        if len(rows) < 2:
            raise InputError(f"ensemble has {len(rows)} encoders, but at least two are needed")
        sizes = [member.shape[0] for member in rows]
        if len(set(sizes)) > 1:
            raise InputError(f"the encoders have {sizes} rows, but row i must be the same sample in all")
        return cls(rows, names)

    def __call__(self, numbers: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """The samples among `numbers` (rising) that are finite in all, and their rows in each, [m, d_e].

        Raises:
            InputError: rows that are not finite, unless they are to be dropped.
        """
        first, last = int(numbers[0]), int(numbers[-1])
        rows = [as_float(member[first : last + 1])[numbers - first] for member in self.rows]
        finite = np.ones(len(numbers), bool)
        for name, block in zip(self.names, rows, strict=True):
            good = np.isfinite(block).all(axis=1)
            if not good.all() and not self.drop:
                bad = ", ".join(map(str, numbers[~good][:5]))
                raise InputError(f"{name} contains NaN or infinity, first in rows {bad}: remove these samples")
            finite &= good
        return numbers[finite], [block[finite] for block in rows]

    def sampled(self, limit: int, seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """At most `limit` samples that are finite in all, and their rows in each, float64.

        Raises:
            InputError: rows that are not finite, unless they are to be dropped.
        """
        drawn = [
            sampled_rows(member, limit, seed=seed, name=name, drop=self.drop)
            for member, name in zip(self.rows, self.names, strict=True)
        ]
        numbers = reduce(np.intersect1d, (found for found, _ in drawn))
        return numbers, [rows[np.isin(found, numbers)] for found, rows in drawn]


@dataclass(frozen=True)
class Anchors:
    """The same samples in the space of each encoder.

    Attributes:
        numbers: which samples, rising, [s].
        means: of each encoder's columns (0 where they are not centred).
        unit: of each encoder, centred rows of length 1, float32 [s, d_e].
        k: neighbours.
    """

    numbers: np.ndarray
    means: tuple[np.ndarray, ...]
    unit: tuple[np.ndarray, ...]
    k: int

    @classmethod
    def of(
        cls,
        members: Members,
        *,
        k: int = NEIGHBORS,
        limit: int = ANCHORS,
        center: bool = True,
        seed: int = 0,
    ) -> Anchors:
        """Draw at most `limit` samples; holds them in float32, of every encoder.

        Raises:
            InputError: k or limit out of range, rows that are not finite (unless they are to be dropped).
        """
        if limit < 2:
            raise InputError(f"anchors is {limit}, but at least two are needed")
        numbers, drawn = members.sampled(limit, seed)
        if not 1 <= k < len(numbers):
            raise InputError(
                f"k is {k}, but a number from 1 to {len(numbers) - 1}, below the {len(numbers)} anchors, is needed"
            )
        means = tuple(column_means(rows) if center else np.zeros(rows.shape[1]) for rows in members.rows)
        unit = tuple(unit_rows(rows, mean) for rows, mean in zip(drawn, means, strict=True))
        return cls(numbers, means, unit, k)

    def __call__(self, rows: Sequence[np.ndarray], numbers: np.ndarray) -> list[Nearest]:
        """The anchors nearest to samples `numbers` [m] in the space of each encoder, whose rows are [m, d_e]."""
        return [
            nearest(unit_rows(samples, mean), [(self.numbers, unit)], self.k, without=numbers)
            for samples, mean, unit in zip(rows, self.means, self.unit, strict=True)
        ]


def mixtures_of(
    members: Members, *, components: int = COMPONENTS, dimensions: int = DIMENSIONS, seed: int = 0
) -> list[Mixture]:
    """A mixture in the space of each encoder."""
    return [
        Mixture.of(
            Projection.of(rows, dimensions=dimensions, seed=seed, name=name, drop=members.drop),
            components=components,
            seed=seed,
        )
        for rows, name in zip(members.rows, members.names, strict=True)
    ]


def consistency_of(near: Sequence[Nearest]) -> np.ndarray:
    """Mean overlap of the neighbours over pairs of encoders, float64 [m]."""
    places = [found.place for found in near]
    return np.mean([_overlap(a, b) for a, b in combinations(places, 2)], axis=0)


def distance_of(near: Sequence[Nearest]) -> np.ndarray:
    """Mean distance to the neighbours over encoders, float64 [m]."""
    return 1 - np.mean([mean_similarity(found.similarity) for found in near], axis=0)


def variance_of(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Variance of the rows of length 1 over encoders, summed over features, float64 [m]."""
    return np.var([unit_rows(samples) for samples in rows], axis=0, dtype=np.float64).sum(axis=1)


def likelihood_of(mixtures: Sequence[Mixture], rows: Sequence[np.ndarray]) -> np.ndarray:
    """Mean log-likelihood over encoders, float64 [m]."""
    return np.mean([mixture(samples) for mixture, samples in zip(mixtures, rows, strict=True)], axis=0)


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|A ∩ B| / |A ∪ B| of sets of k numbers in each row: [m, k], [m, k] -> [m]."""
    both = np.sort(np.hstack([a, b]), axis=1)
    common = (both[:, 1:] == both[:, :-1]).sum(axis=1)
    return common / (both.shape[1] - common)


def _each(members: Members, measure: Callable[[list[np.ndarray], np.ndarray], np.ndarray]) -> np.ndarray:
    """One number a sample, measured block by block, float64 [n].

    Raises:
        InputError: rows that are not finite.
    """
    return np.concatenate([measure(rows, numbers) for numbers, rows in _blocks(members)])


def _blocks(members: Members) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    n = members.rows[0].shape[0]
    for start in range(0, n, BLOCK):
        yield members(np.arange(start, min(start + BLOCK, n)))
