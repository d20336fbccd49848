"""Feature pages: what each feature is highly activated by, from kept activations alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from .._array import as_rows
from ..errors import FileFormatError, InputError
from ..records.tables import Columns
from .redundancy import correlated_columns, grouped, moments_of_sparse, signed_correlation

CORRELATION = 0.95


@dataclass(frozen=True)
class FeaturePage:
    """One feature.

    Attributes:
        feature: its number; d + j is the negative half of feature j where features were split.
        share: activation share A_j of the reference, from 0 to 1.
        discriminative: whether it is in D.
        ids: images that activate it most, the strongest first; only those that activate it highly are known.
        rows: their rows in the scores.
        values: h_ij there.
        redundant_with: features whose activations correlate with its own above the bound, and theirs.
    """

    feature: int
    share: float
    discriminative: bool
    ids: np.ndarray
    rows: np.ndarray
    values: np.ndarray
    redundant_with: tuple[int, ...] = ()


def feature_pages(
    run: str | os.PathLike[str],
    *,
    features: Sequence[int] | None = None,
    top: int = 9,
    correlation: float = CORRELATION,
    embeddings: Any = None,
) -> list[FeaturePage]:
    """The pages of some features, from what `karat.score(..., keep_activations=True)` wrote: no encoder is run.

    Args:
        run: the folder with scores.parquet, activations/ and features.parquet.
        features: which; None: the discriminative ones, by falling share.
        top: images on a page, at most.
        correlation: features above it are redundant, from 0 to 1.
        embeddings: h of the same images: then columns of h are correlated (of a negative half the negated column), not
            the sparse activations, in which what is not highly activated counts as 0.

    Raises:
        FileFormatError: a file is missing or damaged.
        InputError: a feature that there is not, or a bound out of range.
    """
    if top < 1 or not 0 < correlation <= 1:
        raise InputError(f"top={top}, correlation={correlation}: at least 1, and a number above 0 up to 1, are needed")
    folder = Path(run)
    table = Columns(folder / "features.parquet")
    share, discriminative = np.asarray(table["share"], np.float64), np.asarray(table["in_D"], bool)
    ids = Columns(folder / "scores.parquet")["id"]
    kept = read_activations(folder, features=len(share))
    if kept.shape[0] != len(ids):
        raise FileFormatError(
            f"{folder / 'activations'} has {kept.shape[0]} rows, but scores.parquet has {len(ids)}: score again"
        )
    if features is None:
        members = np.flatnonzero(discriminative)
        shown = members[np.argsort(-share[members], kind="stable")]
    else:
        shown = _checked(features, len(share))
    redundant = redundant_groups(kept, correlation=correlation, embeddings=embeddings)
    columns = kept.tocsc()
    return [_page(int(j), columns, ids, share, discriminative, redundant, top) for j in shown]


def read_activations(run: str | os.PathLike[str], *, features: int) -> sparse.csr_array:
    """The kept activations of all samples, [n, features]: h_ij where j is in L_i, and nothing elsewhere.

    Args:
        run: the folder that holds activations/part-*.npz.
        features: how many there are (twice as many, where they were split in halves).

    Raises:
        FileFormatError: a file is missing or damaged.
    """
    folder = Path(run) / "activations"
    files = sorted(folder.glob("part-*.npz"))
    if not files:
        raise FileFormatError(f"{folder} holds no part-*.npz: score with --keep-activations")
    return sparse.vstack([_part(file, features) for file in files], format="csr")


def restricted(kept: sparse.csr_array, mask: np.ndarray) -> sparse.csr_array:
    """The entries of some features only, a mask [features]."""
    inside = mask[kept.indices]
    indptr = np.concatenate([[0], np.cumsum(inside)])[kept.indptr]
    return sparse.csr_array((kept.data[inside], kept.indices[inside], indptr), shape=kept.shape)


def top_images(kept: sparse.csc_array, feature: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and values of the largest activations of a feature, the largest first; of equal ones the first row first."""
    start, stop = kept.indptr[feature : feature + 2]
    rows, values = kept.indices[start:stop], kept.data[start:stop]
    order = np.lexsort((rows, -values))[:count]
    return rows[order].astype(np.int64), values[order]


def redundant_groups(
    kept: sparse.csr_array, *, correlation: float = CORRELATION, embeddings: Any = None
) -> list[tuple[int, ...]]:
    """Groups of features that say the same: each correlates with another of its group above the bound.

    Args:
        kept: activations [n, features].
        correlation: the bound (Pearson).
        embeddings: h [n, d] of the same rows; see `feature_pages`.

    Returns:
        Groups of two or more, each rising, in the order of their first features. Features that no image activates
        highly are in none.

    Raises:
        InputError: embeddings of another number of rows, or of features.
    """
    active = np.flatnonzero(np.diff(kept.tocsc().indptr))
    if embeddings is None:
        pairs = correlated_columns(moments_of_sparse(kept[:, active]), above=correlation)
    else:
        h = as_rows(getattr(embeddings, "h", embeddings), "embeddings")
        if h.shape[0] != kept.shape[0] or kept.shape[1] not in (h.shape[1], 2 * h.shape[1]):
            raise InputError(
                f"embeddings is [{h.shape[0]}, {h.shape[1]}], but activations are {list(kept.shape)}: "
                "the same images and features are needed"
            )
        pairs = signed_correlation(h, active, above=correlation)
    return [tuple(active[list(group)].tolist()) for group in grouped(pairs, len(active))]


def _part(file: Path, features: int) -> sparse.csr_array:
    try:
        with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            indptr, column, value = (arrays[name] for name in ("indptr", "col", "value"))
        part = sparse.csr_array((value, column, indptr), shape=(len(indptr) - 1, features))
        part.check_format(full_check=True)
    except Exception as error:  # a broken zip or .npy raises nearly anything
        raise FileFormatError(f"{file} is damaged ({error}): score again with --keep-activations") from error
    return part


def _page(
    feature: int,
    kept: sparse.csc_array,
    ids: np.ndarray,
    share: np.ndarray,
    discriminative: np.ndarray,
    groups: list[tuple[int, ...]],
    top: int,
) -> FeaturePage:
    rows, values = top_images(kept, feature, top)
    group = next((group for group in groups if feature in group), ())
    others = tuple(other for other in group if other != feature)
    return FeaturePage(feature, float(share[feature]), bool(discriminative[feature]), ids[rows], rows, values, others)


def _checked(features: Sequence[int], count: int) -> np.ndarray:
    chosen = np.asarray(features)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not np.all((chosen >= 0) & (chosen < count)):
        raise InputError(f"features={features!r}, but numbers from 0 to {count - 1} are needed")
    return chosen
