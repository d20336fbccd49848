"""Q-Score: how far a sample's discriminative features stand out, in both published forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .._array import as_rows
from ..errors import InputError
from .activations import Activations, refuse_bad, scan
from .discriminative import Over
from .halves import Halves
from .profile import each_sample, max_z_of
from .reference import Reference, fit_reference, warn_if_all_zero


@dataclass(frozen=True)
class QScores:
    """Q-Scores of m samples with what they were computed from, each [m].

    Attributes:
        q_score: the AAAI 2024 form, at least 0; 0 where no discriminative feature is highly activated.
        active: |L_i|.
        discriminative: |L_i ∩ D|.
    """

    q_score: np.ndarray
    active: np.ndarray
    discriminative: np.ndarray


def q_score(
    h: Any,
    *,
    reference: Any = None,
    epsilon: float | Literal["auto"] = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    normalize: bool = False,
    halves: Halves = "auto",
    seed: int = 0,
    threads: int | None = None,
) -> np.ndarray:
    """Q-Score of each sample, the AAAI 2024 form: Q_i = (1 / |L_i ∩ D|) * sum over L_i ∩ D of (h_ij - mu_i).

    L_i are the highly activating features of sample i (`activations`), D the discriminative features of the reference
    (`discriminative_features`). Q_i = 0 where L_i ∩ D is empty (ours).

    Args:
        h: [n, d], the encoder's output.
        reference: [m, d], the set that D is fitted on; None: h itself.
        epsilon, lower, upper, over, normalize, halves, seed: see `fit_reference`.
        threads: how many to use (default: KARAT_NUM_THREADS, else all).

    Returns:
        float64 [n], at least 0; higher = better represented. It has the unit of h: compare samples of one encoder.

    Raises:
        InputError: wrong shapes, another d than the reference's, rows that are not finite, parameters out of range.

    Warns:
        KaratWarning: no feature is discriminative, so that every score is 0.

    >>> import numpy as np
    >>> h = np.zeros((2, 20)); h[0, 3] = h[1, 5] = 2
    >>> q_score(h).tolist()
    [1.9, 1.9]

    Reference: Kalibhat et al., AAAI 2024, definition of Q-Score.
    """
    fitted = _fitted(h, reference, epsilon, lower, upper, over, normalize, halves, seed, threads)
    warn_if_all_zero(fitted)
    return _each_score(h, fitted, threads, lambda scores: scores.q_score)


def n_active(
    h: Any,
    *,
    reference: Any = None,
    epsilon: float | Literal["auto"] = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    normalize: bool = False,
    halves: Halves = "auto",
    seed: int = 0,
    threads: int | None = None,
) -> np.ndarray:
    """|L_i|: how many features of each sample are highly active.

    The reference decides on halves and their means only, and on epsilon="auto".

    Args:
        h, reference, epsilon, lower, upper, over, normalize, halves, seed, threads: see `q_score`.

    Returns:
        float64 [n], whole numbers from 0 to d / (1 + epsilon**2) (2d with halves); higher = more features stand out.

    Raises:
        InputError: as for `q_score`.

    >>> import numpy as np
    >>> h = np.zeros((2, 20)); h[0, 3] = h[1, 5] = 2
    >>> n_active(h).tolist()
    [1.0, 1.0]

    Reference: Kalibhat et al., AAAI 2024.
    """
    fitted = _fitted(h, reference, epsilon, lower, upper, over, normalize, halves, seed, threads)
    return _each_score(h, fitted, threads, lambda scores: scores.active)


def n_discriminative(
    h: Any,
    *,
    reference: Any = None,
    epsilon: float | Literal["auto"] = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    normalize: bool = False,
    halves: Halves = "auto",
    seed: int = 0,
    threads: int | None = None,
) -> np.ndarray:
    """|L_i ∩ D|: how many discriminative features of each sample are highly active.

    Args:
        h, reference, epsilon, lower, upper, over, normalize, halves, seed, threads: see `q_score`.

    Returns:
        float64 [n], whole numbers from 0 to |L_i|; higher = more of the features that tell samples apart.

    Raises:
        InputError: as for `q_score`.

    >>> import numpy as np
    >>> h = np.zeros((2, 20)); h[0, 3] = h[1, 5] = 2
    >>> n_discriminative(h).tolist()
    [1.0, 1.0]

    Reference: Kalibhat et al., AAAI 2024.
    """
    fitted = _fitted(h, reference, epsilon, lower, upper, over, normalize, halves, seed, threads)
    return _each_score(h, fitted, threads, lambda scores: scores.discriminative)


def q_score_v1(h: Any, *, threads: int | None = None) -> np.ndarray:
    """Q-Score of the first arXiv version: Q_i = ((max_j h_ij - mu_i) / sigma_i) / ||h_i||_1, on L2-normalised rows.

    Public code that cites the paper computes this one. It has no reference, no threshold, and never uses halves.

    Args:
        h: [n, d].
        threads: how many to use.

    Returns:
        float64 [n], at least 0; higher = better represented; 0 where sigma_i = 0 (ours).

    Raises:
        InputError: a wrong shape, or rows that are not finite.

    >>> import numpy as np
    >>> q_score_v1(np.array([[0.0, 0.0, 0.0, 2.0], [1.0, 1.0, 1.0, 1.0]])).round(4).tolist()
    [1.7321, 0.0]

    Reference: Kalibhat et al., arXiv 2203.01881v1.
    """
    return each_sample(h, v1_of, threads=threads)


def score_chunks(
    h: Any, reference: Reference, *, threads: int | None = None, digest: Any = None
) -> Iterator[tuple[Activations, QScores]]:
    """Score h with a fitted reference, chunk by chunk; rows that are not finite get NaN.

    Raises:
        InputError: h has another number of features than the reference.
    """
    check_features(h.shape[1], reference)
    for found in scan(
        h,
        epsilon=reference.epsilon,
        means=reference.means,
        normalize=reference.normalize,
        threads=threads,
        digest=digest,
    ):
        yield found, q_of(found, reference.discriminative)


def q_of(found: Activations, discriminative: np.ndarray) -> QScores:
    """Q-Scores from activations and the mask of D; NaN for rows that are not finite."""
    row = found.row
    inside = discriminative[found.column]
    row_inside = row[inside]
    number = np.bincount(row_inside, minlength=len(found))
    above = np.bincount(row_inside, weights=found.value[inside] - found.center[row_inside], minlength=len(found))
    q = above / np.maximum(number, 1)
    q[found.bad] = np.nan
    return QScores(q, np.diff(found.indptr), number)


def v1_of(found: Activations) -> np.ndarray:
    """q_score_v1 from the moments of the rows; NaN for rows that are not finite."""
    return np.divide(max_z_of(found) * found.l2, found.l1, out=np.where(found.bad, np.nan, 0.0), where=found.std > 0)


def _fitted(
    h: Any,
    reference: Any,
    epsilon: float | Literal["auto"],
    lower: float,
    upper: float,
    over: Over,
    normalize: bool,
    halves: Halves,
    seed: int,
    threads: int | None,
) -> Reference:
    """The discriminative features of the reference, or of h itself."""
    return fit_reference(
        as_rows(h) if reference is None else as_rows(reference, "reference"),
        epsilon=epsilon,
        lower=lower,
        upper=upper,
        over=over,
        normalize=normalize,
        halves=halves,
        seed=seed,
        threads=threads,
        hashed=False,
        name="h" if reference is None else "reference",
    )


def _each_score(h: Any, reference: Reference, threads: int | None, pick: Callable[[QScores], np.ndarray]) -> np.ndarray:
    """One number of the Q-Scores of each sample, float64 [n].

    Raises:
        InputError: rows that are not finite.
    """
    parts, start = [], 0
    for found, scores in score_chunks(as_rows(h), reference, threads=threads):
        refuse_bad(found.bad, start)
        parts.append(pick(scores))
        start += len(found)
    return np.concatenate(parts).astype(np.float64)


def check_features(d: int, reference: Reference) -> None:
    """Refuse rows with another number of features than the reference.

    Raises:
        InputError: with both numbers.
    """
    if d != reference.d:
        raise InputError(
            f"h has {d} features, but the reference has {reference.d}: both must come from the same encoder and layer"
        )
