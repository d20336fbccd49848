"""Matrices to try the statistics on: awkward values, element types and memory layouts."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from tests.reference import qscore as transcription

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = (np.dtype("float16"), BFLOAT16, np.dtype("float32"), np.dtype("float64"))
FOREIGN = tuple(np.dtype(name) for name in (">f2", ">f4", ">f8", "int8", "int32", ">i2", "uint16", "int64", "bool"))

# Values of the usual magnitude, which every type can hold: [n, d] from a generator.
ORDINARY: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "sparse": lambda rng, n, d: np.maximum(rng.standard_t(3, (n, d)), 0),
    "positive": lambda rng, n, d: rng.exponential(size=(n, d)),
    "signed": lambda rng, n, d: rng.standard_t(3, (n, d)),
    "collapsed": lambda rng, n, d: np.repeat(rng.exponential(size=(1, d)), n, axis=0),
    "duplicated": lambda rng, n, d: rng.exponential(size=(n, d))[rng.integers(0, n, n)],
    "shifted": lambda rng, n, d: 1e4 + rng.standard_t(3, (n, d)),
    "constant rows": lambda rng, n, d: np.repeat(rng.integers(0, 9, (n, 1)) / 10, d, axis=1),
    "zeros": lambda rng, n, d: np.zeros((n, d)),
    "negative zeros": lambda rng, n, d: np.where(rng.random((n, d)) < 0.5, -0.0, rng.exponential(size=(n, d))),
    "almost dead": lambda rng, n, d: (rng.random((n, d)) < 0.03) * rng.exponential(size=(n, d)),
}
# Powers of ten that only some types can hold; squares of most of them under- or overflow.
EXTREME: dict[float, tuple[np.dtype, ...]] = {
    1e-45: (np.dtype(np.float32),),
    1e-25: (np.dtype(np.float32), np.dtype(np.float64), BFLOAT16),
    1e-200: (np.dtype(np.float64),),
    1e-310: (np.dtype(np.float64),),
    1e25: (np.dtype(np.float32), np.dtype(np.float64), BFLOAT16),
    1e30: (np.dtype(np.float32), np.dtype(np.float64), BFLOAT16),
    1e200: (np.dtype(np.float64),),
}


def _spread_out(h: np.ndarray) -> np.ndarray:
    """Every second row and third column of something larger."""
    n, d = h.shape
    larger = np.full((2 * n, 3 * d), 77, h.dtype)
    larger[::2, ::3] = h
    return larger[::2, ::3]


def _read_only(h: np.ndarray) -> np.ndarray:
    copy = h.copy()
    copy.flags.writeable = False
    return copy


def _unaligned(h: np.ndarray) -> np.ndarray:
    return np.frombuffer(b"\0" + h.tobytes(), h.dtype, offset=1).reshape(h.shape)


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": np.ndarray.copy,
    "read-only": _read_only,
    "Fortran": lambda h: np.array(h, order="F"),
    "strided": _spread_out,
    "rows reversed": lambda h: h[::-1].copy()[::-1],
    "columns reversed": lambda h: h[:, ::-1].copy()[:, ::-1],
    "repeated row": lambda h: np.broadcast_to(h[:1], h.shape) if (h == h[:1]).all() else h,
    "unaligned": _unaligned,
}


def cast(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values as another type; whole numbers keep some of the variety."""
    if dtype.kind == "b":
        return values > np.median(values)
    if dtype.kind == "u":
        return np.rint(np.abs(10 * values)).clip(max=60_000).astype(dtype)
    if dtype.kind == "i":
        return np.rint(10 * values).clip(-120, 120).astype(dtype)
    return values.astype(dtype)


def extreme(scale: float, dtype: np.dtype, rng: np.random.Generator, n: int, d: int, *, signed: bool) -> np.ndarray:
    """Entries of about this size; in float32 1e-45 is the smallest number, so that these are small multiples of it."""
    values = rng.standard_t(3, (n, d)) if signed else rng.exponential(size=(n, d))
    values = np.clip(values, -50, 50)
    with np.errstate(under="ignore"):
        return ((np.rint(5 * values) if scale == 1e-45 else values) * scale).astype(dtype)


def clear_cut(
    h: np.ndarray,
    *tried: float,
    reference: np.ndarray | None = None,
    normalize: bool = False,
    halves: bool | str = False,
) -> bool:
    """No entry is so near a threshold, and no row so near the column means of halves, that rounding may decide."""
    rows, fitted, split = transcription.prepare(h, reference, normalize, halves)
    both = h.astype(float) if reference is None else np.vstack([h.astype(float), reference.astype(float)])
    size = 1.0 if normalize else float(np.abs(both).max())
    near_means = split and any(max(row) <= 1e-9 * size for row in [*rows, *fitted])
    if near_means and not (both == both[0]).all():
        return False
    return all(transcription.closest_call(row, tried) > 1e-9 for row in [*rows, *fitted])


sizes = st.sampled_from([(1, 1), (1, 30), (14, 1), (16, 5), (24, 12), (5, 40), (9, 17), (12, 33)])
seeds = st.integers(0, 2**32 - 1)
epsilons = st.sampled_from([0.0, 0.7, 1.3, 2.0, 3.0, 4.0])


@st.composite
def ordinary_matrices(draw: st.DrawFn, dtypes: tuple[np.dtype, ...] = FLOATS + FOREIGN) -> np.ndarray:
    (n, d), rng = draw(sizes), np.random.default_rng(draw(seeds))
    values = ORDINARY[draw(st.sampled_from(list(ORDINARY)))](rng, n, d)
    return LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))](cast(values, draw(st.sampled_from(dtypes))))


@st.composite
def extreme_matrices(draw: st.DrawFn) -> np.ndarray:
    (n, d), rng = draw(sizes), np.random.default_rng(draw(seeds))
    scale = draw(st.sampled_from(list(EXTREME)))
    return extreme(scale, draw(st.sampled_from(EXTREME[scale])), rng, n, d, signed=draw(st.booleans()))


matrices = st.one_of(ordinary_matrices(), extreme_matrices())
