"""Which features of a sample are shown: the discriminative ones, and the others that they are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._array import as_rows
from ..stats.qscore import score_chunks
from ..stats.reference import Reference

DISCRIMINATIVE, OTHERS, RANDOM = "D", "not D", "random features"


def feature_groups(h: Any, reference: Reference, *, seed: int = 0, threads: int | None = None) -> dict[str, list[Any]]:
    """Three lists of features for each sample, for `sample_maps(features=...)`.

    * "D": L_i ∩ D, the highly activated discriminative features.
    * "not D": L_i without D, the highly activated others.
    * "random features": as many as the first, drawn from all features that are positive in the sample (of signed
      features, which are split, the positive halves of the centred ones).

    Args:
        h: [n, d].
        reference: what D is.
        seed: of the drawing.
        threads: how many to use (default: KARAT_NUM_THREADS, else all).

    Returns:
        Name -> n int64 arrays, rising; an empty one where a sample has no such feature.

    >>> from karat.stats import fit_reference
    >>> h = np.zeros((2, 20)); h[0, 3] = h[1, 5] = 2
    >>> [features.tolist() for features in feature_groups(h, fit_reference(h))["D"]]
    [[3], [5]]
    """
    rows = as_rows(h)
    rng = np.random.default_rng(seed)
    groups: dict[str, list[Any]] = {DISCRIMINATIVE: [], OTHERS: [], RANDOM: []}
    start = 0
    for found, _ in score_chunks(rows, reference, threads=threads):
        values = np.asarray(rows[start : start + len(found)], np.float64)
        for i in range(len(found)):
            active = np.sort(found.column[found.indptr[i] : found.indptr[i + 1]]).astype(np.int64)
            inside = reference.discriminative[active]
            positive = np.flatnonzero(_halves(values[i], reference) > 0)
            drawn = rng.choice(positive, min(int(inside.sum()), len(positive)), replace=False)
            for name, features in zip(groups, (active[inside], active[~inside], np.sort(drawn)), strict=True):
                groups[name].append(features)
        start += len(found)
    return groups


def _halves(h: np.ndarray, reference: Reference) -> np.ndarray:
    """One sample's features as they are counted: [d], or [2d] where they were centred and split."""
    if reference.means is None:
        return h
    norm = np.linalg.norm(h) if reference.normalize else 1.0
    centred = h / (norm or 1.0) - reference.means
    return np.concatenate([centred, -centred])
