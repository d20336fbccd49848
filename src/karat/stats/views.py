"""How views of one image lie to each other and to those of other images; a view is an augmented copy."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, Protocol, runtime_checkable

import numpy as np
from scipy.linalg import LinAlgError, eigh

from .._array import FLOATS, as_float, untensor
from ..errors import InputError, InputTypeError
from .moments import Moments, power_of_two
from .spectrum import effective_rank_of

# One block of images in float64 takes this many bytes.
_BLOCK_BYTES = 1 << 25


@runtime_checkable
class Views(Protocol):
    """v views of each of n images: slices of images give arrays [m, v, d]."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def __getitem__(self, images: slice, /) -> np.ndarray: ...


def alignment(views: Any, *, power: float = 2.0) -> float:
    """How far apart the views of one image are: the mean of ||u_a - u_b||^power over pairs of views and images.

    u are the rows of length 1. All pairs of views of an image count alike; those with a view of zeros, which has no
    direction, are left out.

    Args:
        views: [n images, v >= 2 views, d], finite.
        power: alpha in the paper, above 0; 2 there.

    Returns:
        0 (views of one image point the same way) to 2^power; 2 for unrelated directions and power 2. Lower = more
        invariant; alone it is no merit, as a collapsed encoder has 0: read it beside `uniformity`. NaN where no pair
        is left.

    Raises:
        InputError: not three dimensions, fewer than two views, NaN or infinity, power <= 0.

    >>> alignment([[[1.0, 0.0], [-2.0, 0.0]], [[1.0, 0.0], [3.0, 0.0]]])
    2.0

    Reference: Wang & Isola, ICML 2020, section 4.1.1.
    """
    given = as_views(views)
    if not (np.isfinite(power) and power > 0):
        raise InputError(f"power is {power}, but a number above 0 is needed (2 in the paper)")
    total, pairs = 0.0, 0
    for block in _blocks(given):
        rows, present = _directions(block)
        for a, b in combinations(range(block.shape[1]), 2):
            both = present[:, a] & present[:, b]
            distance = np.linalg.norm(rows[both, a] - rows[both, b], axis=1)
            total += float((distance**power).sum())
            pairs += int(both.sum())
    return total / pairs if pairs else float("nan")


def lidar(views: Any, *, delta: float = 1e-4, epsilon: float = 1e-7) -> float:
    """How many directions tell images apart, once what differs between views of one image is whitened (LiDAR).

    exp(-sum_k p_k ln p_k), p_k = lambda_k / sum_l lambda_l + epsilon, natural logarithm, over the d eigenvalues of
    S_w^(-1/2) S_b S_w^(-1/2). S_b is the covariance of the images' means (over n - 1), S_w = W + delta I, W the
    covariance of the views about their image's mean (over n (v - 1)). The paper gives no number for delta; 1e-4 is the
    one public implementations use. As delta has the unit of h squared, scaling h changes the result where W is small.

    Args:
        views: [n >= 2 images, v >= 2 views, d], finite; read once. Memory and time: d^2 and d^3, and n v d^2.
        delta: above 0.
        epsilon: added to each p_k, at least 0.

    Returns:
        About 1 to about min(n - 1, d); 0.0 by rule where all images have the same mean. Higher = more directions that
        survive augmentation. Compare at the same number of images and views (ten or more views; more images than d).

    Raises:
        InputError: not three dimensions, fewer than two images or views, NaN or infinity, parameters out of range, or
            a delta that is lost beside W.

    >>> import numpy as np
    >>> images = np.eye(4)[:, None, :] + 0.1 * np.array([1, -1])[None, :, None] * np.ones(4)
    >>> round(lidar(images), 3)
    3.0

    Reference: Thilak et al., ICLR 2024, "LiDAR", equations 1 and 2.
    """
    given = as_views(views)
    if not (np.isfinite(delta) and delta > 0):
        raise InputError(f"delta is {delta}, but a number above 0 is needed: it makes the scatter of views invertible")
    if not (np.isfinite(epsilon) and epsilon >= 0):
        raise InputError(f"epsilon is {epsilon}, but a number of at least 0 is needed")
    n, v, d = given.shape
    if n < 2:
        raise InputError("views has one image, but two or more are needed: LiDAR is about how images differ")
    between, within = _scatter(given)
    unit = max(within.unit, power_of_two(delta**0.5))
    spread = within.scatter * (within.unit / unit) ** 2 / (n * (v - 1))
    spread[np.diag_indices(d)] += delta / unit**2
    try:
        eigenvalues = eigh(between.scatter, spread, eigvals_only=True)  # their shares are all that counts
    except LinAlgError as error:
        raise InputError(
            f"delta is {delta}, which is lost beside the scatter of the views (entries of up to {within.unit:g}): "
            "give a larger delta, or scale the views down"
        ) from error
    return effective_rank_of(np.maximum(eigenvalues[::-1], 0), epsilon=epsilon)


def as_views(views: Any) -> Views:
    """Check that `views` is [n images, v >= 2 views, d], without copying it.

    Raises:
        InputTypeError: no array of numbers.
        InputError: other dimensions, fewer than two views.
    """
    array = untensor(views, "views")
    if not isinstance(array, Views):
        try:
            array = np.asarray(array)
        except ValueError as error:
            raise InputTypeError(
                "views is no array [n images, v views, d]: images have different numbers of views"
            ) from error
    shape = tuple(array.shape)
    if len(shape) != 3 or 0 in shape:
        raise InputError(f"views has shape {list(shape)}, but [n images, v views, d features] is needed")
    if shape[1] < 2:
        raise InputError("views has one view of each image, but two or more are needed")
    return array


def _blocks(views: Views) -> Iterator[np.ndarray]:
    """Blocks of images in order, float [m, v, d].

    Raises:
        InputTypeError: no real numbers.
        InputError: NaN or infinity.
    """
    n, v, d = views.shape
    size = max(1, _BLOCK_BYTES // (8 * v * d))
    for start in range(0, n, size):
        taken = np.asarray(views[start : min(start + size, n)])
        if taken.dtype not in FLOATS and taken.dtype.kind not in "fiub":
            raise InputTypeError(f"views has dtype {taken.dtype}, but real numbers are needed")
        block = as_float(taken)
        finite = np.isfinite(block).all(axis=(1, 2))
        if not finite.all():
            raise InputError(
                f"views contains NaN or infinity, first in image {start + int(np.flatnonzero(~finite)[0])}: "
                "remove these images"
            )
        yield block


def _directions(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Views at length 1, float64 [m, v, d], zeros where a view is zero; and which are not, [m, v]."""
    peak = np.abs(block).max(axis=2, keepdims=True).astype(np.float64)
    rows = block / np.where(peak > 0, peak, 1)  # so that no square overflows or vanishes
    return rows / np.maximum(np.linalg.norm(rows, axis=2, keepdims=True), 1), peak[..., 0] > 0


def _scatter(views: Views) -> tuple[Moments, Moments]:
    """The moments of the images' means, and those of the views about their image's mean."""
    parts: list[Moments] = []
    for block in _blocks(views):
        means = block.mean(axis=1, keepdims=True, dtype=np.float64)
        found = [Moments.of(means[:, 0]), Moments.of((block - means).reshape(-1, block.shape[2]))]
        parts = [a + b for a, b in zip(parts, found, strict=True)] if parts else found
    return parts[0], parts[1]
