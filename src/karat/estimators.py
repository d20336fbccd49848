"""karat for scikit-learn: the Q-Score as an outlier-style scorer, discriminative features as a feature selector."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ._array import Rows, as_rows, untensor
from .errors import InputError
from .stats.activations import refuse_bad
from .stats.discriminative import Over, column_share, keep_first, rank_features
from .stats.halves import Halves
from .stats.qscore import score_chunks
from .stats.reference import Reference, fit_reference, warn_if_all_zero


class _OnReference(BaseEstimator):
    """Parameters and fit that both estimators share."""

    def __init__(
        self,
        *,
        epsilon: float | Literal["auto"] = 4.0,
        lower: float = 50,
        upper: float = 95,
        over: Over = "active",
        normalize: bool = False,
        halves: Halves = "auto",
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        self.epsilon = epsilon
        self.lower = lower
        self.upper = upper
        self.over = over
        self.normalize = normalize
        self.halves = halves
        self.seed = seed
        self.threads = threads

    def _fit_reference(self, X: Any) -> Reference:
        rows = _validated(self, X, reset=True)
        return fit_reference(
            rows,
            epsilon=self.epsilon,
            lower=self.lower,
            upper=self.upper,
            over=self.over,
            normalize=self.normalize,
            halves=self.halves,
            seed=self.seed,
            threads=self.threads,
            hashed=False,
        )


class QScorer(_OnReference):
    """Q-Score with scikit-learn's conventions: fit the discriminative features on a reference, score any samples.

    Finite values are checked inside the one pass over the data; scikit-learn's own check would cost a whole read.

    Args:
        epsilon, lower, upper, over, normalize, halves, seed: see `karat.stats.fit_reference`.
        threads: how many to use (default: KARAT_NUM_THREADS, else all).

    Attributes:
        reference_: the fitted `Reference`: counts, means of signed features, parameters.
        share_: activation share of each feature, [d] (or [2d] with halves).
        discriminative_: D as a mask of the same length.
        epsilon_: the threshold used.
        n_features_in_: d.

    >>> import numpy as np
    >>> h = np.random.default_rng(0).exponential(size=(200, 64)) ** 2
    >>> QScorer(epsilon=3).fit(h).score_samples(h[:5]).shape
    (5,)

    Reference: Kalibhat et al., AAAI 2024.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the discriminative features on X [n, d]; y is not used."""
        self.reference_ = self._fit_reference(X)
        warn_if_all_zero(self.reference_)
        self.share_ = self.reference_.share
        self.discriminative_ = self.reference_.discriminative
        self.epsilon_ = self.reference_.epsilon
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Q-Score of each row of X [n, d]: float64 [n], at least 0, higher = better represented.

        Raises:
            InputError: another d, or rows that are not finite.
        """
        check_is_fitted(self)
        rows = _validated(self, X, reset=False)
        parts, start = [], 0
        for found, scores in score_chunks(rows, self.reference_, threads=self.threads):
            refuse_bad(found.bad, start)
            parts.append(scores.q_score)
            start += len(found)
        return np.concatenate(parts)


class DiscriminativeFeatures(SelectorMixin, _OnReference):
    """Select features without labels, by how many samples activate them highly.

    Args:
        keep: share of the features to keep, in the order of `karat.stats.rank_features`; None: the discriminative ones
            (of signed features, the columns of which either half is).
        epsilon, lower, upper, over, normalize, halves, seed, threads: see `QScorer`.

    Attributes:
        reference_: the fitted `Reference`.
        share_: activation share of each column, [d]; of signed features the larger of the two halves.
        order_: columns, the most worth keeping first, [d].
        support_: the selected columns as a mask, [d].

    >>> import numpy as np
    >>> h = np.random.default_rng(0).exponential(size=(200, 64)) ** 2
    >>> DiscriminativeFeatures(keep=0.25, epsilon=3).fit_transform(h).shape
    (200, 16)

    Reference: Kalibhat et al., AAAI 2024 (compression by up to 40%).
    """

    def __init__(
        self,
        keep: float | None = 0.6,
        *,
        epsilon: float | Literal["auto"] = 4.0,
        lower: float = 50,
        upper: float = 95,
        over: Over = "active",
        normalize: bool = False,
        halves: Halves = "auto",
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        super().__init__(
            epsilon=epsilon,
            lower=lower,
            upper=upper,
            over=over,
            normalize=normalize,
            halves=halves,
            seed=seed,
            threads=threads,
        )
        self.keep = keep

    def fit(self, X: Any, y: Any = None) -> Self:
        """Rank and select the features of X [n, d]; y is not used.

        Raises:
            InputError: `keep` out of range, or unusable X.
        """
        if self.keep is not None and not 0 < self.keep <= 1:
            raise InputError(f"keep is {self.keep}, but a share above 0 and at most 1 is needed, or None")
        self.reference_ = self._fit_reference(X)
        halves = self.reference_.halves
        self.share_ = column_share(self.reference_.share, halves=halves)
        self.order_ = rank_features(self.share_, upper=self.upper)
        if self.keep is None:
            mask = self.reference_.discriminative
            self.support_ = np.logical_or(*mask.reshape(2, -1)) if halves else mask
        else:
            self.support_ = keep_first(self.order_, self.keep)
        return self

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self)
        return self.support_


def _validated(estimator: BaseEstimator, X: Any, *, reset: bool) -> Rows:
    """scikit-learn's checks of shape and feature names, karat's of the type; values are checked in the kernel."""
    given = untensor(X, "X")
    checked = validate_data(estimator, given, reset=reset, dtype=None, ensure_all_finite=False)
    if checked.dtype == object:
        checked = checked.astype(np.float64)
    return as_rows(checked, "X")
