"""Highly activating features: the one pass over h that everything else is computed from."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from numbers import Real

import numpy as np
import xxhash

from .._array import Rows, as_block, as_rows
from ..errors import InputError
from . import _kernel
from ._blocks import as_bits
from .digest import Digest, chunk_rows
from .threads import thread_count

_PER_ROW = {
    "center": _kernel.CENTER,
    "spread": _kernel.SPREAD,
    "mean": _kernel.MEAN,
    "std": _kernel.STD,
    "l1": _kernel.L1,
    "l2": _kernel.L2,
    "largest": _kernel.LARGEST,
}


@dataclass(frozen=True)
class Activations:
    """The highly activating entries of m samples as CSR, with each sample's moments.

    Attributes:
        indptr: int64 [m + 1]; the entries of sample i are indptr[i] : indptr[i + 1].
        column: int32, the features of L_i (j - is d + j where signed features were split in halves).
        value: h_ij there (of the half-feature; of the normalised row where `normalize` was asked for).
        center, spread: mu_i and sigma_i over all features (halves; of the normalised row), [m].
        mean, std, l1, l2, largest: moments of the row as it was given, [m]; NaN for a row that is not finite.
        counts: int64 [d] (or [2d]): how many of the m samples have the feature in L_i.
        zeros, negatives: entries of h that are zero, negative.
    """

    indptr: np.ndarray
    column: np.ndarray
    value: np.ndarray
    center: np.ndarray
    spread: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    l1: np.ndarray
    l2: np.ndarray
    largest: np.ndarray
    counts: np.ndarray
    zeros: int
    negatives: int

    def __len__(self) -> int:
        return len(self.center)

    @property
    def row(self) -> np.ndarray:
        """The sample of each entry, int64."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    @property
    def bad(self) -> np.ndarray:
        """Which rows hold NaN or Inf, bool [m]."""
        return np.isnan(self.center)


def highly_activating(h: Rows, *, epsilon: float = 4.0, threads: int | None = None) -> Activations:
    """The highly activating features of each sample: L_i = { j : h_ij > mu_i + epsilon * sigma_i }.

    mu_i and sigma_i are mean and standard deviation (ddof = 0) of sample i over its own d features; the comparison is
    strict and in float64 whatever the type of h. By Cantelli's inequality |L_i| <= d / (1 + epsilon**2).

    Args:
        h: [n, d], real.
        epsilon: threshold in standard deviations, at least 0.
        threads: how many to use (default: KARAT_NUM_THREADS, else all).

    Returns:
        All n samples, as one `Activations`.

    Raises:
        InputError: a wrong shape, a negative epsilon, or rows that are not finite (the first are named).

    >>> import numpy as np
    >>> h = np.zeros((1, 20)); h[0, 7] = 1
    >>> highly_activating(h, epsilon=4).column
    array([7], dtype=int32)

    Reference: Kalibhat et al., AAAI 2024, section "Highly activating features".
    """
    rows = as_rows(h)
    parts = list(scan(rows, epsilon=check_epsilon(epsilon), threads=threads))
    start = 0
    for part in parts:
        refuse_bad(part.bad, start)
        start += len(part)
    return concatenate(parts)


def scan(
    h: Rows,
    *,
    epsilon: float,
    means: np.ndarray | None = None,
    normalize: bool = False,
    keep: bool = True,
    threads: int | None = None,
    digest: Digest | None = None,
) -> Iterator[Activations]:
    """The activations of h chunk by chunk, in the order of the rows; memory does not grow with n.

    Args:
        h: [n, d].
        epsilon: threshold in standard deviations.
        means: [d], split the features in halves around these; None: take them as they are.
        normalize: L2-normalise each row first (all-zero rows stay zero).
        keep: with False only the counts, zeros and negatives are wanted.
        digest: filled with the digest of each chunk, inside the same pass.
    """
    size = chunk_rows(h)
    count = min(thread_count(threads), -(-h.shape[0] // size))
    work = partial(_scan_chunk, epsilon=epsilon, means=means, normalize=normalize, keep=keep, hashed=digest is not None)
    pending: deque[Future[tuple[Activations, bytes]]] = deque()

    def finish(result: tuple[Activations, bytes]) -> Activations:
        if digest is not None:
            digest.add(result[1])
        return result[0]

    chunks = (h[start : min(start + size, h.shape[0])] for start in range(0, h.shape[0], size))
    if count == 1:
        yield from (finish(work(chunk)) for chunk in chunks)
        return
    with ThreadPoolExecutor(count, "karat-kernel") as pool:
        try:
            for chunk in chunks:
                pending.append(pool.submit(work, chunk))
                if len(pending) > 2 * count:
                    yield finish(pending.popleft().result())
            while pending:
                yield finish(pending.popleft().result())
        finally:
            for future in pending:
                future.cancel()


def concatenate(parts: list[Activations]) -> Activations:
    """Activations of consecutive samples as one."""
    offsets = np.cumsum([0] + [len(part.column) for part in parts])
    indptr = [parts[0].indptr[:1]] + [part.indptr[1:] + offset for part, offset in zip(parts, offsets, strict=False)]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("column", "value", *_PER_ROW)}
    return Activations(
        indptr=np.concatenate(indptr),
        **joined,
        counts=np.sum([part.counts for part in parts], axis=0),
        zeros=sum(part.zeros for part in parts),
        negatives=sum(part.negatives for part in parts),
    )


def check_epsilon(epsilon: float) -> float:
    """epsilon as a float.

    Raises:
        InputError: negative or not finite.
    """
    if not isinstance(epsilon, Real) or not np.isfinite(epsilon) or epsilon < 0:
        raise InputError(f"epsilon is {epsilon!r}, but a number of at least 0 is needed (the paper uses 4)")
    return float(epsilon)


def reachable(features: int, epsilon: float) -> bool:
    """Whether one of d features can exceed mu + epsilon * sigma: its deviation is at most sqrt(d - 1) sigma."""
    return features > epsilon**2 + 1


def refuse_bad(bad: np.ndarray, start: int = 0, ids: np.ndarray | None = None, name: str = "h") -> None:
    """Refuse rows that hold NaN or Inf.

    Raises:
        InputError: names the first rows (or ids).
    """
    if bad.any():
        first = [int(start + row) if ids is None else ids[start + row] for row in np.flatnonzero(bad)[:5]]
        raise InputError(
            f"Input {name} contains NaN or infinity, first in {'rows' if ids is None else 'ids'} "
            f"{', '.join(map(str, first))}{' ...' if bad.sum() > 5 else ''}: "
            "remove these samples, or give them null scores (karat score --on-bad-rows drop)"
        )


def _scan_chunk(
    chunk: np.ndarray, *, epsilon: float, means: np.ndarray | None, normalize: bool, keep: bool, hashed: bool
) -> tuple[Activations, bytes]:
    """The activations of one chunk, and its xxh3-128 where asked."""
    block = as_block(chunk)
    bits = as_bits(block)
    m, d = bits.shape
    exact = block.dtype == np.float64 or normalize or means is not None
    rows, ends = np.empty((m, 7)), np.empty(m, np.int64)
    counts, tallies = np.zeros(d if means is None else 2 * d, np.int64), np.zeros(3, np.int64)
    if not reachable(len(counts), epsilon):
        epsilon = np.inf  # where the largest deviation meets the threshold exactly, rounding could select it
    columns = np.empty(max(1 << 15, 2 * d) if keep else d, np.int32)
    values = np.empty(len(columns), np.float64 if exact else np.float32)
    kernel = _kernel.scan if means is None else partial(_kernel.scan_halves, means)
    kept_columns, kept_values, done, offset = [], [], 0, 0
    while done < m:
        last = kernel(bits, done, epsilon, normalize, keep, rows, ends, columns, values, counts, tallies)
        used = int(ends[last - 1])
        ends[done:last] += offset
        kept_columns.append(columns[:used].copy())
        kept_values.append(values[:used].copy())
        done, offset = last, offset + used
    found = Activations(
        indptr=np.concatenate([np.zeros(1, np.int64), ends]),
        column=np.concatenate(kept_columns),
        value=np.concatenate(kept_values),
        **{name: rows[:, place] for name, place in _PER_ROW.items()},
        counts=counts,
        zeros=int(tallies[_kernel.ZEROS]),
        negatives=int(tallies[_kernel.NEGATIVES]),
    )
    return found, xxhash.xxh3_128_digest(block.view(np.uint8).data) if hashed else b""
