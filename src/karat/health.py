"""What makes the scores of a set trustworthy or not, from what one pass over it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import xxhash

from ._array import Rows, as_block, as_float
from .records import Health
from .stats.activations import Activations
from .stats.qscore import QScores
from .stats.reference import Reference

# Repeated rows are looked for among this many, collapse on this many evenly spaced ones.
DUPLICATE_ROWS = 1_000_000
SPREAD_ROWS = 2_000
# Lowest scores that are remembered.
LOWEST = 10
# Bounds of the warnings (ours).
EMPTY_SHARE, DUPLICATE_SHARE, DEAD_SHARE, COLLAPSED_SPREAD, FEW_SAMPLES = 0.2, 0.01, 0.5, 0.01, 100

Progress = Callable[[int, int], None]


class WatchedRows:
    """Rows that are looked at as they are read: fingerprints for repeated rows, a sample for collapse, progress."""

    def __init__(self, h: Rows, progress: Progress | None = None) -> None:
        self._h = h
        self._progress = progress
        self.shape = h.shape
        self.dtype = np.dtype(h.dtype)
        self._fingerprints = np.zeros(min(h.shape[0], DUPLICATE_ROWS), np.uint64)
        self._step = -(-h.shape[0] // SPREAD_ROWS)
        self._sample: dict[int, np.ndarray] = {}

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        block = as_block(self._h[rows])
        start, stop = rows.start, rows.start + len(block)
        hashed = block[: max(0, len(self._fingerprints) - start)]
        self._fingerprints[start : start + len(hashed)] = [
            xxhash.xxh3_64_intdigest(row) for row in hashed.view(np.uint8)
        ]
        for row in range(-(-start // self._step) * self._step, stop, self._step):
            self._sample[row] = block[row - start].copy()
        if self._progress is not None:
            self._progress(stop, self.shape[0])
        return block

    def duplicates(self) -> tuple[int, int]:
        """Rows that repeat an earlier one byte for byte, and among how many it was looked."""
        ordered = np.sort(self._fingerprints)
        return int((ordered[1:] == ordered[:-1]).sum()), len(ordered)

    def spread(self) -> float:
        """sqrt(d) times the mean column deviation of L2-normalised rows: 0 = collapsed (Chen & He, CVPR 2021)."""
        rows = as_float(np.stack([self._sample[row] for row in sorted(self._sample)])).astype(np.float64)
        rows = rows[np.isfinite(rows).all(axis=1)]
        if len(rows) == 0:
            return 0.0
        rows /= np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        unit = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
        return float(np.sqrt(rows.shape[1]) * unit.std(axis=0).mean())


class Tally:
    """Counts over the samples of a pass."""

    def __init__(self) -> None:
        self._n = self._bad = self._zeros = self._negatives = 0
        self._active = self._discriminative = self._empty = self._constant = self._zero = 0
        self._lowest: list[tuple[float, int, Any]] = []

    def add(self, found: Activations, scores: QScores, ids: np.ndarray) -> None:
        """Count one chunk."""
        scored = np.flatnonzero(scores.discriminative > 0)
        least = scored[np.argsort(scores.q_score[scored], kind="stable")[:LOWEST]]
        new = [(float(scores.q_score[row]), self._n + int(row), ids[row : row + 1].tolist()[0]) for row in least]
        self._lowest = sorted(self._lowest + new, key=lambda entry: entry[:2])[:LOWEST]
        good = ~found.bad
        self._n += len(found)
        self._bad += int(found.bad.sum())
        self._zeros += found.zeros
        self._negatives += found.negatives
        self._active += int(scores.active[good].sum())
        self._discriminative += int(scores.discriminative[good].sum())
        self._empty += int((scores.discriminative[good] == 0).sum())
        self._constant += int((found.std[good] == 0).sum())
        self._zero += int((found.l1[good] == 0).sum())

    @property
    def lowest(self) -> tuple[tuple[Any, float], ...]:
        """(id, q_score) of the lowest scores among the samples that have discriminative features."""
        return tuple((name, value) for value, _, name in self._lowest)

    def health(self, rows: WatchedRows, reference: Reference) -> Health:
        """The health of the samples counted, with its warnings."""
        duplicates, checked = rows.duplicates()
        n, entries = max(self._n - self._bad, 1), max(self._n - self._bad, 1) * reference.d
        found = Health(
            n=self._n,
            d=reference.d,
            zero_share=self._zeros / entries,
            negative_share=self._negatives / entries,
            halves=reference.halves,
            dead_features=int((reference.counts.activations == 0).sum()),
            discriminative_features=int(reference.discriminative.sum()),
            mean_active=self._active / n,
            mean_discriminative=self._discriminative / n,
            empty_share=self._empty / n,
            constant_rows=self._constant,
            zero_rows=self._zero,
            duplicate_rows=duplicates,
            duplicates_checked=checked,
            spread=rows.spread(),
            bad_rows=self._bad,
        )
        return replace(found, warnings=warnings_of(found, reference))


def warnings_of(health: Health, reference: Reference) -> tuple[str, ...]:
    """What is wrong, and what to do: one sentence each, the most serious first."""
    return (*_warn_of_features(health, reference), *_warn_of_rows(health, reference))


def _warn_of_features(health: Health, reference: Reference) -> Iterator[str]:
    if health.spread < COLLAPSED_SPREAD and health.n > 1:
        yield (
            f"the representation has collapsed: all samples point the same way (spread {health.spread:.2g}; a healthy "
            "one has 0.1 to 1). No score means anything; check the encoder and its preprocessing."
        )
    auto = "" if reference.chosen else "use epsilon='auto' (--epsilon auto)"
    active = np.count_nonzero(reference.counts.activations)
    if active and health.discriminative_features == 0:
        yield (
            f"{active:,} features are highly active, but the share of none lies between the {reference.lower:g}th and "
            f"{reference.upper:g}th percentile, so every Q-Score is 0: widen the band (--lower, --upper)"
            f"{f', or {auto}' * bool(auto)}."
        )
    elif health.discriminative_features == 0:
        yield (
            f"no feature exceeds epsilon = {reference.epsilon:g} standard deviations in any reference sample, so every "
            f"Q-Score is 0: {auto or 'use another score (--scores all)'}."
        )
    elif health.empty_share > EMPTY_SHARE:
        yield (
            f"{health.empty_share:.0%} of the samples have no highly active discriminative feature; their Q-Score is 0 "
            f"by rule and says nothing about them: {f'{auto}, or ' * bool(auto)}use another score (--scores all)."
        )
    features = len(reference.discriminative)
    if DEAD_SHARE * features < health.dead_features < features:
        yield (
            f"{health.dead_features:,} of {features:,} features are never highly active: the Q-Score rests on some of "
            f"the other {features - health.dead_features:,}."
        )


def _warn_of_rows(health: Health, reference: Reference) -> Iterator[str]:
    if health.duplicate_rows > DUPLICATE_SHARE * health.duplicates_checked:
        yield (
            f"{health.duplicate_rows:,} of the first {health.duplicates_checked:,} rows repeat an earlier row: "
            "look for repeated images, or for an encoder that maps many images to one point."
        )
    if health.constant_rows:
        yield (
            f"{health.constant_rows:,} of the rows are constant ({health.zero_rows:,} of them zero) and have scores of "
            "0: check these images and the layer that was taken."
        )
    if reference.counts.n < FEW_SAMPLES:
        yield (
            f"the reference has only {reference.counts.n} samples, so activation shares are coarse: give a larger one "
            "(--reference)."
        )
    if health.bad_rows:
        rows = "row holds" if health.bad_rows == 1 else "rows hold"
        yield f"{health.bad_rows:,} {rows} NaN or infinity and got null scores."
