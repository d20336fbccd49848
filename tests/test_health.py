"""Health of a set of scores: exact counts, and warnings that come when they should and only then."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import karat
from karat import health
from karat.health import WatchedRows
from karat.records import Health
from karat.stats.reference import fit_reference

N, D = 300, 60


def healthy(n: int = N, d: int = D, seed: int = 0) -> np.ndarray:
    """A few features of each sample stand out; none is dead."""
    rng = np.random.default_rng(seed)
    h = rng.exponential(size=(n, d))
    rows = np.arange(n)[:, None]
    h[rows, (rows * 7 + np.arange(4) * 13) % d] += 10
    return h


def health_of(h: np.ndarray, **parameters: Any) -> Health:
    return karat.score(h, **{"epsilon": 2, **parameters}).health


def watched(h: np.ndarray, rows_at_once: int = 7) -> WatchedRows:
    rows = WatchedRows(h)
    for start in range(0, len(h), rows_at_once):
        rows[start : start + rows_at_once]
    return rows


def test_a_healthy_set_has_no_warning() -> None:
    found = health_of(healthy())
    assert found.warnings == ()
    assert (found.n, found.d, found.bad_rows, found.duplicate_rows, found.dead_features) == (N, D, 0, 0, 0)


def test_shares_of_zeros_and_negatives_are_exact() -> None:
    h = healthy().astype(np.float32)
    h[:50, :30] = 0
    h[50:52, :3] = -1
    h[2, 0] = -0.0  # a zero, and not negative
    found = health_of(h, halves=False)
    assert found.zero_share == 50 * 30 / (N * D)
    assert found.negative_share == 6 / (N * D)
    assert not found.halves
    h[0] = np.nan
    dropped, rest = health_of(h, halves=False, on_bad_rows="drop"), health_of(h[1:], halves=False)
    for name in ("mean_active", "mean_discriminative", "empty_share", "constant_rows", "zero_rows"):
        assert getattr(dropped, name) == pytest.approx(getattr(rest, name)), name
    assert dropped.zero_share == pytest.approx(49 * 30 / ((N - 1) * D))
    assert dropped.negative_share == pytest.approx(6 / ((N - 1) * D))


@pytest.mark.parametrize("share", [0.0005, 0.002])
def test_more_than_a_thousandth_of_negatives_means_signed(share: float) -> None:
    h = healthy()
    h.reshape(-1)[: round(share * h.size)] *= -1
    assert health_of(h).halves == (share > 0.001)


# Each warning: the data that call for it, and its words.


def collapsed() -> np.ndarray:
    return 100 + 0.1 * healthy()


def nothing_stands_out() -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 2, (N, D))


def mostly_empty() -> np.ndarray:
    h = np.random.default_rng(0).uniform(1, 2, (N, D))
    h[: N // 2] = healthy()[: N // 2]
    return h


def few_alive() -> np.ndarray:
    h = np.random.default_rng(0).uniform(size=(N, D))
    rows = np.arange(N)
    for step in (0, 5, 11):
        h[rows, (rows + step) % 20] += 10
    return h


def repeated() -> np.ndarray:
    h = healthy()
    h[1:5] = h[0]
    return h


def constant_rows() -> np.ndarray:
    h = healthy()
    h[3], h[70], h[71] = 0, 0.1, 1e-30
    return h


def not_finite() -> np.ndarray:
    h = healthy()
    h[[4, 9]] = np.nan
    return h


WARNINGS = {
    "the representation has collapsed": (collapsed, {}),
    "no feature exceeds epsilon = 5 standard deviations in any reference sample": (nothing_stands_out, {"epsilon": 5}),
    "49% of the samples have no highly active discriminative feature": (mostly_empty, {"lower": 0, "upper": 100}),
    "40 of 60 features are never highly active": (few_alive, {}),
    "4 of the first 300 rows repeat an earlier row": (repeated, {}),
    "3 of the rows are constant (1 of them zero)": (constant_rows, {}),
    "the reference has only 99 samples": (lambda: healthy(99), {}),
    "2 rows hold NaN or infinity and got null scores": (not_finite, {"on_bad_rows": "drop"}),
}


@pytest.mark.parametrize("words", WARNINGS)
def test_each_warning_comes_for_data_that_call_for_it_and_alone(words: str) -> None:
    make, parameters = WARNINGS[words]
    warnings = health_of(make(), **parameters).warnings
    assert len(warnings) == 1 and words in warnings[0]


def test_a_band_that_holds_no_feature_is_not_called_a_lack_of_active_ones() -> None:
    h = np.random.default_rng(0).uniform(1, 2, (N, D))
    h[:200, 0], h[150:180, 1] = 20, 20  # two active features: the median of their shares lies between them
    found = karat.score(h, epsilon=4)
    assert np.count_nonzero(found.activation_share) == 2
    (warning, *_) = found.health.warnings
    assert "2 features are highly active, but the share of none lies between the 50th and 95th percentile" in warning
    assert "no feature exceeds" not in "".join(found.health.warnings)


def test_one_bad_row_is_a_row() -> None:
    h = healthy()
    h[4, 0] = np.inf
    assert health_of(h, on_bad_rows="drop").warnings == ("1 row holds NaN or infinity and got null scores.",)


def test_warnings_stand_at_their_bounds() -> None:
    def of(**changes: Any) -> tuple[str, ...]:
        base = {"n": 100, "d": D, "zero_share": 0.0, "negative_share": 0.0, "halves": False, "dead_features": 0,
                "discriminative_features": 9, "mean_active": 3.0, "mean_discriminative": 2.0, "empty_share": 0.0,
                "constant_rows": 0, "zero_rows": 0, "duplicate_rows": 0, "duplicates_checked": 100, "spread": 0.5,
                "bad_rows": 0}  # fmt: skip
        return health.warnings_of(Health(**{**base, **changes}), reference)

    reference = fit_reference(healthy(100), epsilon=2)
    assert of() == ()
    for at, above in [
        ({"empty_share": 0.2}, {"empty_share": 0.201}),
        ({"dead_features": 30}, {"dead_features": 31}),
        ({"duplicate_rows": 1}, {"duplicate_rows": 2}),
        ({"spread": 0.01}, {"spread": 0.0099}),
        ({"spread": 0.0, "n": 1}, {"spread": 0.0, "n": 2}),
    ]:
        assert of(**at) == (), at
        assert len(of(**above)) == 1, above


def test_the_most_serious_warning_comes_first() -> None:
    h = 100 + nothing_stands_out()
    h[:20] = 100
    warnings = health_of(h, epsilon=6).warnings
    for words, warning in zip(["collapsed", "no feature exceeds", "repeat", "constant"], warnings, strict=True):
        assert words in warning


# Repeated rows


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=60),
    st.sampled_from([np.float16, ml_dtypes.bfloat16, np.float32, np.float64]),
    st.integers(1, 60),
)
def test_repeated_rows_are_counted_exactly(kinds: list[int], dtype: Any, rows_at_once: int) -> None:
    distinct = np.random.default_rng(0).normal(size=(6, 5)).astype(dtype)
    rows = watched(distinct[kinds], rows_at_once)
    assert rows.duplicates() == (len(kinds) - len(set(kinds)), len(kinds))


def test_rows_are_equal_byte_for_byte() -> None:
    h = np.array([[0.0, 1.0], [-0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, np.nextafter(1, 2)]])
    assert watched(h).duplicates() == (1, 5)


def test_repeated_rows_are_looked_for_among_the_first_million_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert health.DUPLICATE_ROWS == 1_000_000
    monkeypatch.setattr(health, "DUPLICATE_ROWS", 250)
    h = healthy()
    h[100] = h[0]
    h[251:260] = h[1]
    found = health_of(h)
    assert (found.duplicate_rows, found.duplicates_checked) == (1, 250)
    h[249] = h[1]
    assert health_of(h).duplicate_rows == 2


# Spread


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 50, 5001])
def test_identical_rows_have_no_spread(dtype: Any, n: int) -> None:
    h = np.tile(healthy(1, 30).astype(dtype), (n, 1))
    assert watched(h, 1000).spread() == pytest.approx(0, abs=1e-7)


def test_rows_that_differ_in_length_only_have_no_spread() -> None:
    h = healthy(1, 30) * np.geomspace(1e-200, 1e200, 50)[:, None]
    assert watched(h).spread() == pytest.approx(0, abs=1e-7)


def test_random_directions_have_a_spread_of_one() -> None:
    h = np.random.default_rng(0).normal(size=(4000, 100)) * np.geomspace(1e-3, 1e3, 4000)[:, None]
    assert watched(h, 1000).spread() == pytest.approx(1, abs=0.01)


def test_one_hot_rows_have_the_spread_of_their_columns() -> None:
    d = 25  # each column is 1 in one of d rows: deviation sqrt(1/d - 1/d^2)
    assert watched(np.eye(d)).spread() == pytest.approx(np.sqrt(d * (1 / d - 1 / d**2)))


def test_the_spread_rests_on_evenly_spaced_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SPREAD_ROWS", 10)
    h = healthy(95, 8)
    unit = h[::10] / np.linalg.norm(h[::10], axis=1, keepdims=True)
    for rows_at_once in (1, 7, 10, 95):
        assert watched(h, rows_at_once).spread() == pytest.approx(np.sqrt(8) * unit.std(axis=0).mean())


def test_zero_rows_and_rows_that_are_not_finite_do_not_break_the_spread() -> None:
    h = np.eye(4)
    h[1] = 0
    assert 0 < watched(h).spread() < 1
    h[1] = np.nan
    assert watched(h).spread() == pytest.approx(watched(np.delete(h, 1, axis=0)).spread())
    assert watched(np.full((3, 4), np.inf)).spread() == 0


@pytest.mark.parametrize("rows_at_once", [7, N])
def test_the_lowest_ids_are_in_order_with_ties_by_row(rows_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("karat.stats.digest._CHUNK_BYTES", rows_at_once * D * 8)
    h = healthy()
    h[[200, 3, 90]] = h[100]
    h[[200, 3, 90, 100]] *= 0.5  # four samples with the same low score
    scores = karat.score(karat.Embeddings(h, ids=np.arange(N) + 1000), epsilon=2)
    rows = np.argsort(np.where(scores.n_discriminative > 0, scores.q_score, np.inf), kind="stable")[:10]
    assert scores.lowest == tuple((1000 + int(row), float(scores.q_score[row])) for row in rows)
    assert [name for name, _ in scores.lowest][:4] == [1003, 1090, 1100, 1200]


def test_samples_without_discriminative_features_are_not_among_the_lowest() -> None:
    h = mostly_empty()
    scores = karat.score(h, epsilon=2, lower=0, upper=100)
    assert len(scores.lowest) == 10
    assert all(value > 0 for _, value in scores.lowest)
    assert karat.score(nothing_stands_out(), epsilon=5).lowest == ()
