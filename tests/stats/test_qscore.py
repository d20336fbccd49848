"""Both forms of the Q-Score: of one set, of one set against another, of awkward rows, and from many threads."""

from __future__ import annotations

import math
import multiprocessing
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from karat.errors import InputError, InputTypeError, KaratWarning
from karat.stats import digest as chunks_of_rows
from karat.stats.activations import highly_activating, scan
from karat.stats.qscore import QScores, check_features, max_z_of, q_of, q_score, q_score_v1, score_chunks, v1_of
from karat.stats.reference import fit_reference
from tests.reference import qscore as transcription
from tests.stats.matrices import (
    BFLOAT16,
    FLOATS,
    LAYOUTS,
    ORDINARY,
    cast,
    clear_cut,
    epsilons,
    matrices,
    ordinary_matrices,
    seeds,
)

LAWS = settings(max_examples=40, deadline=None)
SLOPPY = 1e-9  # of the largest value: float64 sums in another order


def quietly(h: object, **parameters: Any) -> np.ndarray:
    """Q-Scores where it does not matter that d is too small for epsilon."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KaratWarning)
        return q_score(h, **parameters)


def all_of(h: np.ndarray, **parameters: Any) -> QScores:
    """Q, |L_i| and |L_i ∩ D| of a set that is its own reference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KaratWarning)
        parts = [scores for _, scores in score_chunks(h, fit_reference(h, **parameters))]
    return QScores(*(np.concatenate([getattr(part, name) for part in parts]) for name in QScores.__annotations__))


def assert_scores_equal(scores: np.ndarray, expected: np.ndarray, size: float) -> None:
    np.testing.assert_allclose(scores, expected, rtol=SLOPPY, atol=1e-12 * size + 2e-323)


def largest(h: np.ndarray) -> float:
    return float(np.abs(h.astype(float)).max())


# Closed forms


def test_q_is_the_mean_of_what_the_discriminative_features_have_above_the_mean() -> None:
    """Column 0 is active in all four rows, 1 in two, 2 in one: the median count is 2, the 95th percentile 3.8."""
    h = np.zeros((4, 40))
    h[:, 0], h[[0, 1], 1], h[2, 2] = 4, (8, 6), 4
    mean = h.mean(axis=1)
    assert q_score(h, epsilon=2).tolist() == [8 - mean[0], 6 - mean[1], 0, 0]
    wide = q_score(h, epsilon=2, lower=0, upper=100)
    assert wide.tolist() == [6 - mean[0], 5 - mean[1], 4 - mean[2], 4 - mean[3]]


def test_q_of_one_of_twenty_is_its_distance_from_the_mean() -> None:
    assert q_score(2 * np.eye(20)).tolist() == [1.9] * 20


def test_normalised_q_is_that_of_the_row_of_length_one() -> None:
    h = np.zeros((2, 50))
    h[:, [3, 7]] = [[3, 4], [30, 40]]
    expected = ((0.6 + 0.8) / 2) - 1.4 / 50
    assert q_score(h, epsilon=2, normalize=True).tolist() == [pytest.approx(expected, rel=1e-15)] * 2


def test_q_of_signed_features_is_that_of_their_halves() -> None:
    """Means 0, so that row i has the entries +-10 and nothing else; mu is 10 / 40 over the 40 halves."""
    h = np.zeros((2, 20))
    h[0, 4], h[1, 4] = 10, -10
    assert q_score(h).tolist() == [9.75, 9.75]
    scores = all_of(h)
    assert (scores.active.tolist(), scores.discriminative.tolist()) == ([1, 1], [1, 1])
    assert q_score(h, halves=False).tolist() == [9.5, 0]


def test_v1_is_the_largest_deviation_over_the_l1_norm_of_the_normalised_row() -> None:
    h = np.array([[3.0, 4.0, 0.0, 0.0], [-3.0, 4.0, 0.0, -1.0]])
    first = (0.8 - 0.35) / math.sqrt(0.25 - 0.35**2) / 1.4  # 0.6, 0.8: mean 0.35, mean square 0.25
    second = (4 / math.sqrt(26)) / math.sqrt(0.25) / (8 / math.sqrt(26))  # mean 0, mean square 0.25
    np.testing.assert_allclose(q_score_v1(h), [first, second], rtol=1e-14)


def test_v1_of_constant_and_zero_rows_is_zero() -> None:
    for d in (1, 2, 7, 512, 2049):
        for value in (0.0, -0.0, 0.1, -0.7, 1e-310, 1e200):
            h = np.full((2, d), value)
            assert q_score_v1(h).tolist() == [0, 0]
            with np.errstate(over="ignore", under="ignore"):
                assert q_score_v1(h.astype(np.float32) if abs(value) < 1e38 else h).tolist() == [0, 0]


def test_v1_never_uses_halves() -> None:
    h = np.random.default_rng(0).standard_normal((20, 30))
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    by_hand = (unit.max(axis=1) - unit.mean(axis=1)) / unit.std(axis=1) / np.abs(unit).sum(axis=1)
    np.testing.assert_allclose(q_score_v1(h), by_hand, rtol=1e-12)
    (split,) = scan(h, epsilon=1.0, means=h.mean(axis=0))
    np.testing.assert_allclose(v1_of(split), by_hand, rtol=1e-12)


def test_the_largest_deviation_is_that_of_the_row_as_given() -> None:
    h = np.array([[0.0, 5, 0, 0, 0], [3, 3, 3, 3, 3], [-1, -1, -1, -1, -6]])
    assert max_z_of(highly_activating(h, epsilon=1)).tolist() == [2, 0, 0.5]


def test_scores_count_the_active_and_the_discriminative_features_of_each_sample() -> None:
    h = np.zeros((3, 40))
    h[0, [1, 2, 3]], h[1, [2, 3]], h[2, 3] = 1, 1, 1
    scores = all_of(h, epsilon=2, upper=100)  # shares 1/3, 2/3, 1: the median is 2/3
    assert scores.active.tolist() == [3, 2, 1]
    assert scores.discriminative.tolist() == [2, 2, 1]
    np.testing.assert_allclose(scores.q_score, [1 - 3 / 40, 1 - 2 / 40, 1 - 1 / 40], rtol=1e-15)


# Degenerate input


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("epsilon", [0, 0.5, 4])
@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_constant_rows_score_zero(dtype: np.dtype, epsilon: float, halves: bool, normalize: bool) -> None:
    for value in (0.1, -0.7, 0.0, 1e4):
        h = np.full((6, 100), value).astype(dtype)
        scores = all_of(h, epsilon=epsilon, halves=halves, normalize=normalize)
        assert not (scores.q_score.any() or scores.active.any() or scores.discriminative.any())


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("values", ["sparse", "signed", "shifted"])
def test_identical_rows_have_no_halves(dtype: np.dtype, normalize: bool, values: str) -> None:
    """Each is its column's mean exactly, whatever their number."""
    for n, d in ((1, 33), (2, 64), (7, 100), (1000, 30)):
        h = cast(np.repeat(ORDINARY[values](np.random.default_rng(n), 1, d), n, axis=0), dtype)
        scores = all_of(h, epsilon=0.5, halves=True, normalize=normalize)
        assert not (scores.q_score.any() or scores.active.any())


def test_without_an_active_feature_every_q_is_zero_and_it_is_said() -> None:
    rows = np.tile([0.0, 1.0], (4, 20))  # deviations of exactly 1
    for h, d, epsilon in ((np.zeros((4, 30)), 30, 4), (rows, 40, 1)):
        with pytest.warns(
            KaratWarning, match=f"none of {d} features is discriminative at epsilon = {epsilon}, so every"
        ):
            assert q_score(h, epsilon=epsilon).tolist() == [0] * 4


def test_one_column_and_one_row_are_scored() -> None:
    assert quietly(np.array([[1.0], [2.0]])).tolist() == [0, 0]
    assert q_score_v1(np.array([[1.0], [2.0]])).tolist() == [0, 0]
    assert q_score(np.eye(20)[:1]).tolist() == [0.95]


def test_too_few_features_score_zero_and_warn() -> None:
    h = np.random.default_rng(0).random((50, 1)) * np.eye(17)[np.arange(50) % 17]
    with pytest.warns(KaratWarning, match=r"with 17 features nothing can exceed epsilon = 4 .* below 4\.00"):
        assert not q_score(h).any()


# The transcription


@LAWS
@given(matrices, epsilons, st.sampled_from(["auto", True, False]), st.booleans(), st.sampled_from(["active", "all"]))
def test_q_equals_the_exact_transcription(
    h: np.ndarray, epsilon: float, halves: bool | str, normalize: bool, over: str
) -> None:
    assume(clear_cut(h, epsilon, normalize=normalize, halves=halves))
    parameters = {"epsilon": epsilon, "halves": halves, "normalize": normalize, "over": over}
    expected, scores = transcription.q_score(h, **parameters), all_of(h, **parameters)  # type: ignore[arg-type]
    assert_scores_equal(scores.q_score, expected.q_score, 1.0 if normalize else largest(h))
    np.testing.assert_array_equal(scores.active, expected.active)
    np.testing.assert_array_equal(scores.discriminative, expected.inside)
    np.testing.assert_array_equal(quietly(h, **parameters), scores.q_score)


@LAWS
@given(
    st.sampled_from(list(ORDINARY)),
    st.sampled_from(list(ORDINARY)),
    seeds,
    st.sampled_from(FLOATS),
    epsilons,
    st.sampled_from(["auto", True, False]),
    st.booleans(),
)
def test_q_against_another_set_equals_the_exact_transcription(
    mine: str, other: str, seed: int, dtype: np.dtype, epsilon: float, halves: bool | str, normalize: bool
) -> None:
    rng = np.random.default_rng(seed)
    h, reference = cast(ORDINARY[mine](rng, 8, 20), dtype), ORDINARY[other](rng, 15, 20)
    assume(clear_cut(h, epsilon, reference=reference, normalize=normalize, halves=halves))
    parameters = {"epsilon": epsilon, "halves": halves, "normalize": normalize}
    expected = transcription.q_score(h, reference, **parameters)  # type: ignore[arg-type]
    scores = quietly(h, reference=reference, **parameters)
    assert_scores_equal(scores, expected.q_score, max(largest(h), largest(reference)))


@LAWS
@given(matrices)
def test_v1_equals_the_exact_transcription(h: np.ndarray) -> None:
    np.testing.assert_allclose(q_score_v1(h), transcription.q_score_v1(h), rtol=SLOPPY)


@LAWS
@given(ordinary_matrices(dtypes=FLOATS), st.sampled_from([0.7, 2.0, 3.0]), st.booleans(), st.booleans())
def test_the_vectorised_transcription_equals_the_exact_one(
    h: np.ndarray, epsilon: float, halves: bool, normalize: bool
) -> None:
    """Which ties it to the formulas for the large sets below."""
    assume(clear_cut(h, epsilon, normalize=normalize, halves=halves))
    exact = transcription.q_score(h, epsilon=epsilon, halves=halves, normalize=normalize)
    vectorised = transcription.q_score_of_many(h, epsilon=epsilon, halves=halves, normalize=normalize)
    assert_scores_equal(vectorised.q_score, exact.q_score, 1.0 if normalize else largest(h))
    np.testing.assert_array_equal(vectorised.active, exact.active)
    np.testing.assert_array_equal(vectorised.inside, exact.inside)
    assert vectorised.discriminative == exact.discriminative


@pytest.mark.parametrize("values", ["sparse", "signed"])
@pytest.mark.parametrize("dtype", [np.dtype(np.float32), np.dtype(np.float16)], ids=str)
def test_ten_thousand_samples_of_512_features_equal_the_transcription(values: str, dtype: np.dtype) -> None:
    rng = np.random.default_rng(0)
    h = (ORDINARY[values](rng, 10_000, 512) * rng.gamma(2, 1, 512)).clip(-1e4, 1e4).astype(dtype)
    for epsilon in (2, 3, 4):
        expected = transcription.q_score_of_many(h, epsilon=epsilon, halves=values == "signed")
        assert len(expected.discriminative) > 100
        assert expected.q_score.any()
        scores = all_of(h, epsilon=epsilon)
        np.testing.assert_allclose(scores.q_score, expected.q_score, rtol=1e-6)
        np.testing.assert_array_equal(scores.active, expected.active)
        np.testing.assert_array_equal(scores.discriminative, expected.inside)


# Laws


@LAWS
@given(matrices, epsilons, st.booleans(), seeds)
def test_q_moves_with_its_rows(h: np.ndarray, epsilon: float, normalize: bool, seed: int) -> None:
    """Not a bit changes where features are taken as they are; the means of halves may round otherwise."""
    order = np.random.default_rng(seed).permutation(len(h))
    one, other = (quietly(m, epsilon=epsilon, normalize=normalize, halves=False) for m in (h, h[order]))
    np.testing.assert_array_equal(other, one[order])
    np.testing.assert_array_equal(q_score_v1(h[order]), q_score_v1(h)[order])


@LAWS
@given(matrices, epsilons, st.booleans(), st.booleans(), seeds)
def test_q_does_not_depend_on_the_order_of_rows_and_columns(
    h: np.ndarray, epsilon: float, normalize: bool, halves: bool, seed: int
) -> None:
    assume(clear_cut(h, epsilon, normalize=normalize, halves=halves))
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(h)), rng.permutation(h.shape[1])
    parameters = {"epsilon": epsilon, "normalize": normalize, "halves": halves}
    one, other = quietly(h, **parameters), quietly(h[rows][:, columns], **parameters)
    assert_scores_equal(other, one[rows], 1.0 if normalize else largest(h))


@LAWS
@given(ordinary_matrices(dtypes=FLOATS), epsilons, st.integers(-3, 3), st.booleans())
def test_scaling_by_a_power_of_two_scales_q_exactly(h: np.ndarray, epsilon: float, power: int, halves: bool) -> None:
    factor = 2.0 ** (power if h.dtype.itemsize == 2 else 300 * power if h.dtype == np.float64 else 20 * power)
    with np.errstate(over="ignore", under="ignore"):
        scaled = (h.astype(float) * factor).astype(h.dtype)
    assume(np.array_equal(scaled.astype(float) / factor, h.astype(float)))
    one, other = (quietly(m, epsilon=epsilon, halves=halves) for m in (h, scaled))
    np.testing.assert_array_equal(other, one * factor)


@LAWS
@given(ordinary_matrices(dtypes=(np.dtype(np.float64),)), epsilons, st.booleans(), seeds)
def test_normalised_q_does_not_depend_on_the_scale_of_the_rows(
    h: np.ndarray, epsilon: float, halves: bool, seed: int
) -> None:
    assume(clear_cut(h, epsilon, normalize=True, halves=halves))
    scale = 10 ** np.random.default_rng(seed).uniform(-150, 150, (len(h), 1))
    one, other = (quietly(m, epsilon=epsilon, normalize=True, halves=halves) for m in (h, h * scale))
    assert_scores_equal(other, one, 1.0)


@LAWS
@given(ordinary_matrices(dtypes=(np.dtype(np.float64),)), st.floats(1e-6, 1e6))
def test_v1_does_not_depend_on_the_scale(h: np.ndarray, scale: float) -> None:
    np.testing.assert_allclose(q_score_v1(scale * h), q_score_v1(h), rtol=1e-7)


@LAWS
@given(ordinary_matrices(), epsilons)
def test_halves_that_are_refused_score_the_features_as_they_are(h: np.ndarray, epsilon: float) -> None:
    found = highly_activating(h, epsilon=epsilon)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KaratWarning)
        reference = fit_reference(h, epsilon=epsilon, halves=False)
    np.testing.assert_array_equal(
        quietly(h, epsilon=epsilon, halves=False), q_of(found, reference.discriminative).q_score
    )


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("halves", [False, True])
def test_the_memory_layout_changes_no_bit_of_q(layout: str, halves: bool) -> None:
    h = ORDINARY["signed"](np.random.default_rng(0), 40, 30).astype(np.float32)
    laid_out = LAYOUTS[layout](h)
    one, other = (q_score(m, epsilon=1.5, halves=halves) for m in (h, laid_out))
    np.testing.assert_array_equal(other, one)
    np.testing.assert_array_equal(q_score_v1(laid_out), q_score_v1(h))


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_threads_change_no_bit_of_q(halves: bool, normalize: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    h = ORDINARY["signed"](np.random.default_rng(0), 211, 30)
    monkeypatch.setattr(chunks_of_rows, "_CHUNK_BYTES", 10 * 30 * 8)
    scores = [q_score(h, epsilon=1.5, halves=halves, normalize=normalize, threads=threads) for threads in (1, 2, 3)]
    np.testing.assert_array_equal(scores[1], scores[0])
    np.testing.assert_array_equal(scores[2], scores[0])
    np.testing.assert_array_equal(q_score_v1(h, threads=3), q_score_v1(h, threads=1))


# One set against another


def test_a_set_is_scored_with_the_features_and_halves_of_its_reference() -> None:
    """The reference is signed, around means of 0 to 5; the other set has no negative entry."""
    rng = np.random.default_rng(0)
    reference, h = rng.standard_t(3, (200, 30)) + np.linspace(0, 5, 30), rng.exponential(size=(20, 30))
    fitted = fit_reference(reference, epsilon=1.5)
    assert fitted.halves
    expected = transcription.q_score(h, reference, epsilon=1.5)
    assert_scores_equal(q_score(h, reference=reference, epsilon=1.5), expected.q_score, largest(h))
    (found, scores), *rest = score_chunks(h, fitted)
    assert not rest
    np.testing.assert_array_equal(scores.active, expected.active)
    assert found.column.max() >= 30
    one_by_one = [next(score_chunks(row[None], fitted))[1].q_score[0] for row in h]
    np.testing.assert_array_equal(scores.q_score, one_by_one)


def test_a_signed_set_is_taken_as_it_is_where_the_reference_is_not_signed() -> None:
    rng = np.random.default_rng(0)
    reference, h = rng.exponential(size=(100, 30)), rng.standard_t(3, (20, 30))
    (found, _), *_ = score_chunks(h, fit_reference(reference, epsilon=1.5))
    assert found.counts.shape == (30,)
    expected = transcription.q_score(h, reference, epsilon=1.5)
    assert not expected.halves
    assert_scores_equal(q_score(h, reference=reference, epsilon=1.5), expected.q_score, largest(h))


def test_a_set_is_its_own_reference_by_default() -> None:
    h = ORDINARY["signed"](np.random.default_rng(0), 40, 30)
    np.testing.assert_array_equal(q_score(h, epsilon=1.5), q_score(h, reference=h, epsilon=1.5))


def test_epsilon_auto_scores_with_the_epsilon_chosen_on_the_reference() -> None:
    rng = np.random.default_rng(0)
    h, reference = rng.exponential(size=(10, 30)), rng.exponential(size=(100, 30))
    epsilon = transcription.choose_epsilon(reference)
    assert epsilon < 4
    np.testing.assert_array_equal(
        q_score(h, reference=reference, epsilon="auto"), q_score(h, reference=reference, epsilon=epsilon)
    )


# Rows that are not finite


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_refused_by_number(dtype: np.dtype, value: float) -> None:
    h = np.ones((9, 20), dtype)
    h[[4, 7], 3] = value
    for score in (q_score, q_score_v1, highly_activating):
        with pytest.raises(InputError, match=r"Input h contains NaN or infinity, first in rows 4, 7: remove these"):
            score(h)
    with pytest.raises(InputError, match="Input h contains NaN or infinity, first in rows 4, 7"):
        q_score(h, reference=np.eye(20))
    with pytest.raises(InputError, match="Input reference contains NaN or infinity, first in rows 4, 7"):
        q_score(np.eye(20), reference=h)


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_with_a_fitted_reference_rows_that_are_not_finite_score_nan(halves: bool, normalize: bool) -> None:
    h = ORDINARY["signed"](np.random.default_rng(0), 12, 30)
    reference = fit_reference(h, epsilon=1.5, halves=halves, normalize=normalize)
    clean = next(score_chunks(h, reference))[1].q_score
    h[3, 0], h[8, 29] = np.nan, -np.inf
    found, scores = next(score_chunks(h, reference))
    assert np.flatnonzero(np.isnan(scores.q_score)).tolist() == [3, 8]
    assert scores.active[[3, 8]].tolist() == scores.discriminative[[3, 8]].tolist() == [0, 0]
    np.testing.assert_array_equal(np.delete(scores.q_score, [3, 8]), np.delete(clean, [3, 8]))
    assert np.flatnonzero(np.isnan(v1_of(found))).tolist() == [3, 8]
    assert np.flatnonzero(np.isnan(max_z_of(found))).tolist() == [3, 8]


# Error texts


def test_another_number_of_features_than_the_references_is_refused() -> None:
    text = "h has 30 features, but the reference has 20: both must come from the same encoder and layer"
    with pytest.raises(InputError, match=text):
        q_score(np.ones((3, 30)), reference=np.eye(20))
    with pytest.raises(InputError, match=text):
        check_features(30, fit_reference(np.eye(20)))
    assert check_features(20, fit_reference(np.eye(20))) is None


@pytest.mark.parametrize(
    "reference", [np.ones(3), np.ones((0, 3)), "h", [[1, 2], [3]]], ids=["1-D", "empty", "text", "ragged"]
)
def test_what_is_wrong_with_the_reference_is_said_of_the_reference(reference: object) -> None:
    with pytest.raises((InputError, InputTypeError), match=r"^reference "):
        q_score(np.ones((2, 3)), reference=reference)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"epsilon": -0.5}, "epsilon is -0.5"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"lower": 60, "upper": 40}, "lower=60 and upper=40"),
        ({"over": "some"}, "over='some'"),
        ({"halves": "no"}, "halves='no'"),
        ({"threads": 1.5}, "threads is 1.5"),
    ],
    ids=str,
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        q_score(np.eye(30), **wrong)


def test_v1_refuses_what_is_no_matrix() -> None:
    with pytest.raises(InputError, match=r"h has shape \[4\], but a matrix"):
        q_score_v1(np.ones(4))


# Many callers at once


def test_calls_from_eight_threads_give_the_numbers_of_calls_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_of_rows, "_CHUNK_BYTES", 1 << 12)
    rng = np.random.default_rng(0)
    sets = [cast(ORDINARY["signed"](rng, 100 + k, 40 + k), FLOATS[k % 4]) for k in range(8)]
    parameters: list[dict[str, Any]] = [
        {"epsilon": 1.5, "halves": k % 3 != 0, "normalize": k % 2 == 0, "threads": 1 + k % 3} for k in range(8)
    ]
    expected = [q_score(h, **given) for h, given in zip(sets, parameters, strict=True)]
    start = threading.Barrier(8)

    def call(k: int) -> list[np.ndarray]:
        start.wait()
        return [q_score(sets[k], **parameters[k]) for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        for k, repeated in enumerate(pool.map(call, range(8))):
            for scores in repeated:
                np.testing.assert_array_equal(scores, expected[k])


def _score_in_child(h: np.ndarray, end: Connection) -> None:
    end.send(q_score(h, epsilon=1.5, threads=2))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_scores_after_its_parent_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_of_rows, "_CHUNK_BYTES", 1 << 12)
    h = ORDINARY["signed"](np.random.default_rng(0), 200, 40)
    expected = q_score(h, epsilon=1.5, threads=2)
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_score_in_child, args=(h, sender))
    child.start()
    try:
        assert receiver.poll(60)
        np.testing.assert_array_equal(receiver.recv(), expected)
    finally:
        child.kill()
        child.join()


def test_bfloat16_scores_as_the_numbers_that_it_holds() -> None:
    h = ORDINARY["sparse"](np.random.default_rng(0), 50, 60).astype(BFLOAT16)
    np.testing.assert_array_equal(q_score(h, epsilon=2), q_score(h.astype(np.float32), epsilon=2))
