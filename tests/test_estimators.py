"""karat's scikit-learn face: the conventions in full, and the numbers of karat.stats."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

import karat
from karat import DiscriminativeFeatures, QScorer
from karat.errors import InputError, InputTypeError, KaratError
from karat.stats import fit_reference, q_score
from tests.reference import qscore as slow

N, D = 60, 40
RNG = np.random.default_rng(0)
H = np.round(RNG.exponential(size=(N, D)) ** 2 * np.linspace(0.2, 2, D) * 64) / 64
OTHERS = np.round(RNG.exponential(size=(50, D)) ** 2 * 64) / 64

# scikit-learn's checks use a few features only: an epsilon of 1 can be exceeded, the default would be warned of.
CHECKED = [
    QScorer(epsilon=1),
    QScorer(epsilon=1, halves=True),
    QScorer(epsilon=1, halves=False),
    QScorer(epsilon=1, normalize=True),
    QScorer(epsilon=1, over="all", lower=0, upper=100),
    QScorer(epsilon=1, threads=2),
    DiscriminativeFeatures(epsilon=1),
    DiscriminativeFeatures(keep=1.0, epsilon=1, halves=False),
    DiscriminativeFeatures(keep=0.5, epsilon=1, halves=True, normalize=True),
    DiscriminativeFeatures(keep=None, epsilon=0, lower=0, upper=100),
    DiscriminativeFeatures(keep=None, epsilon=0, lower=0, upper=100, halves=True),
]


@parametrize_with_checks(CHECKED)
@pytest.mark.filterwarnings("ignore::karat.errors.KaratWarning")
@pytest.mark.filterwarnings("ignore:No features were selected:UserWarning")
def test_every_check_of_scikit_learn_passes(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", [QScorer(), QScorer(epsilon="auto"), DiscriminativeFeatures()])
def test_no_check_is_expected_to_fail_with_the_default_parameters_either(estimator: BaseEstimator) -> None:
    results = check_estimator(estimator, expected_failed_checks={}, on_fail="warn")
    skipped = {result["check_name"] for result in results if result["status"] == "skipped"}
    assert {result["status"] for result in results} <= {"passed", "skipped"}
    assert skipped <= {"check_array_api_input"}  # needs SCIPY_ARRAY_API


@pytest.mark.parametrize(
    "parameters",
    [
        {"epsilon": 2.0},
        {"epsilon": 1.0, "lower": 20.0, "upper": 60.0, "over": "all"},
        {"epsilon": 2.0, "normalize": True},
        {"epsilon": 2.0, "halves": True},
        {"epsilon": "auto", "seed": 3},
    ],
)
def test_scores_equal_stats(parameters: dict[str, Any]) -> None:
    scorer = QScorer(**parameters).fit(OTHERS)
    np.testing.assert_array_equal(scorer.score_samples(H), q_score(H, reference=OTHERS, **parameters))
    reference = fit_reference(OTHERS, **parameters)
    np.testing.assert_array_equal(scorer.share_, reference.share)
    np.testing.assert_array_equal(scorer.discriminative_, reference.discriminative)
    assert scorer.epsilon_ == reference.epsilon
    assert scorer.n_features_in_ == D


@pytest.mark.parametrize("estimator", [QScorer, DiscriminativeFeatures])
def test_every_parameter_reaches_the_fit(estimator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {"epsilon": 1.5, "lower": 40, "upper": 90, "over": "all", "normalize": True, "halves": True}
    parameters |= {"seed": 7, "threads": 2}
    given: list[dict[str, Any]] = []

    def seen(rows: Any, **parameters: Any) -> Any:
        given.append(parameters)
        return fit_reference(rows, **parameters)

    monkeypatch.setattr("karat.estimators.fit_reference", seen)
    estimator(**parameters).fit(H)
    (used,) = given
    assert {name: used[name] for name in parameters} == parameters


def test_scores_equal_the_transcription() -> None:
    exact = slow.q_score(H[:20], OTHERS[:30], epsilon=2)
    np.testing.assert_allclose(QScorer(epsilon=2).fit(OTHERS[:30]).score_samples(H[:20]), exact.q_score, rtol=1e-9)


def test_signed_features_are_split_and_stay_so_for_other_samples() -> None:
    scorer = QScorer(epsilon=2).fit(OTHERS - 1)
    assert scorer.reference_.halves and scorer.share_.shape == scorer.discriminative_.shape == (2 * D,)
    np.testing.assert_array_equal(scorer.score_samples(H), q_score(H, reference=OTHERS - 1, epsilon=2))  # none negative


@pytest.mark.parametrize("keep", [0.001, 0.25, 0.6, 1.0, None])
@pytest.mark.parametrize("shift", [0, 1], ids=["non-negative", "signed"])
def test_features_are_kept_in_the_order_of_the_transcription(keep: float | None, shift: int) -> None:
    h = H - shift
    selector = DiscriminativeFeatures(keep=keep, epsilon=2, upper=90).fit(h)
    exact = slow.q_score(h, epsilon=2, upper=90)
    assert exact.halves == bool(shift)
    counts = [max(exact.counts[j::D]) for j in range(D)]  # a column counts as its larger half
    order = slow.ranked(counts, 90)
    assert selector.order_.tolist() == order
    np.testing.assert_allclose(selector.share_, np.array(counts) / N)
    if keep is None:
        expected = {j % D for j in exact.discriminative}
    else:
        expected = set(order[: {0.001: 1, 0.25: 10, 0.6: 24, 1.0: 40}[keep]])
    assert set(selector.get_support(indices=True)) == expected
    np.testing.assert_array_equal(selector.transform(h), h[:, sorted(expected)])
    np.testing.assert_array_equal(selector.get_support(), selector.support_)


def test_a_set_without_active_features_selects_none_and_says_so() -> None:
    selector = DiscriminativeFeatures(keep=None, epsilon=6).fit(np.random.default_rng(0).uniform(size=(50, 38)))
    assert not selector.support_.any()
    with pytest.warns(UserWarning, match="No features were selected"):
        assert selector.transform(np.ones((2, 38))).shape == (2, 0)


@pytest.mark.parametrize("keep", [0, -0.5, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(keep: float) -> None:
    with pytest.raises(InputError, match="a share above 0 and at most 1 is needed, or None"):
        DiscriminativeFeatures(keep=keep, epsilon=2).fit(H)


@pytest.mark.parametrize("estimator", [QScorer(epsilon=2, seed=4, lower=40), DiscriminativeFeatures(0.3, epsilon=2)])
def test_parameters_survive_cloning_and_fits_survive_pickling(estimator: Any) -> None:
    assert clone(estimator).get_params() == estimator.get_params()
    fitted = clone(estimator).fit(H)
    with pytest.raises(NotFittedError):
        (estimator.score_samples if isinstance(estimator, QScorer) else estimator.transform)(H)
    again = pickle.loads(pickle.dumps(fitted))
    if isinstance(estimator, QScorer):
        np.testing.assert_array_equal(again.score_samples(OTHERS), fitted.score_samples(OTHERS))
    else:
        np.testing.assert_array_equal(again.transform(OTHERS), fitted.transform(OTHERS))


def test_names_of_columns_are_kept_and_must_stay_the_same() -> None:
    frame = pd.DataFrame(H, columns=[f"neuron {j}" for j in range(D)])
    selector = DiscriminativeFeatures(keep=0.25, epsilon=2).fit(frame)
    names = [f"neuron {j}" for j in selector.get_support(indices=True)]
    assert selector.get_feature_names_out().tolist() == names
    assert selector.feature_names_in_.tolist() == list(frame)
    assert selector.set_output(transform="pandas").transform(frame).columns.tolist() == names
    scorer = QScorer(epsilon=2).fit(frame)
    np.testing.assert_array_equal(scorer.score_samples(frame), QScorer(epsilon=2).fit(H).score_samples(H))
    with pytest.raises(ValueError, match="feature names"):
        scorer.score_samples(frame[frame.columns[::-1]])


def test_a_selector_works_in_a_pipeline() -> None:
    y = np.arange(N) % 2
    h = H + 10 * (y[:, None] == np.arange(D) % 2)
    pipeline = make_pipeline(DiscriminativeFeatures(keep=0.5, epsilon=1), LogisticRegression(max_iter=1000)).fit(h, y)
    assert pipeline[-1].n_features_in_ == 20
    assert pipeline.score(h, y) == 1


@pytest.mark.parametrize(
    ("convert", "tolerance"),
    [
        (lambda h: h.astype(np.float32), 1e-6),
        (lambda h: h.astype(">f8"), 0),
        (np.asfortranarray, 0),
        (lambda h: h.tolist(), 0),
        (lambda h: h.astype(object), 0),
        (lambda h: torch.tensor(h), 0),
        (lambda h: torch.tensor(h, requires_grad=True), 0),
        (lambda h: torch.tensor(h).float(), 1e-6),
        (lambda h: torch.tensor(h).bfloat16(), 1e-2),
        (lambda h: h.astype(ml_dtypes.bfloat16), 1e-2),
        (lambda h: h.astype(np.float16), 1e-2),
    ],
)
def test_any_matrix_can_be_fitted_and_scored(convert: Callable[[np.ndarray], Any], tolerance: float) -> None:
    h = np.round(H)  # so that each precision has the same numbers
    exact = q_score(h, epsilon=2)
    found = QScorer(epsilon=2).fit(convert(h)).score_samples(convert(h))
    np.testing.assert_allclose(found, exact, rtol=tolerance)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, bool])
def test_integers_and_booleans_are_scored_as_numbers(dtype: Any) -> None:
    h = (H > 2).astype(dtype) if dtype is bool else np.minimum(H, 100).astype(dtype)
    exact = q_score(h.astype(np.float64), epsilon=1)
    np.testing.assert_array_equal(QScorer(epsilon=1).fit(h).score_samples(h), exact)


def test_a_memory_map_is_not_read_before_the_pass(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "h.npy", H)
    mapped = np.load(tmp_path / "h.npy", mmap_mode="r")
    given: list[Any] = []

    def seen(rows: Any, **parameters: Any) -> Any:
        given.append(rows)
        return fit_reference(rows, **parameters)

    monkeypatch.setattr("karat.estimators.fit_reference", seen)
    QScorer(epsilon=2).fit(mapped)
    assert np.shares_memory(given[0], mapped)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_refused(bad: float) -> None:
    h = H.copy()
    h[7, 2] = bad
    with pytest.raises(InputError, match="NaN or infinity, first in rows 7"):
        QScorer(epsilon=2).fit(h)
    with pytest.raises(InputError, match="NaN or infinity, first in rows 7"):
        QScorer(epsilon=2).fit(H).score_samples(h)
    with pytest.raises(InputError, match="NaN or infinity, first in rows 7"):
        DiscriminativeFeatures(epsilon=2).fit(h)


@pytest.mark.parametrize(
    ("h", "error"),
    [
        ([["a", "b"]], InputTypeError),
        (np.array([["a", "b"]]), InputTypeError),
        (H[0], ValueError),
        (H[:, :, None], ValueError),
        (H[:0], ValueError),
        (H + 1j, ValueError),
        (torch.tensor(H).to_sparse(), InputTypeError),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(h: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        QScorer(epsilon=2).fit(h)


def test_another_number_of_features_is_refused() -> None:
    with pytest.raises(ValueError, match=f"X has {D - 1} features, but QScorer is expecting {D}"):
        QScorer(epsilon=2).fit(H).score_samples(H[:, 1:])


@pytest.mark.parametrize("parameters", [{"epsilon": -1}, {"lower": 70, "upper": 60}, {"halves": "x"}, {"over": "x"}])
def test_parameters_are_checked_when_fitted(parameters: dict[str, Any]) -> None:
    with pytest.raises(KaratError):
        QScorer(**parameters).fit(H)


def test_fitting_again_forgets_the_first_fit() -> None:
    scorer = QScorer(epsilon=2).fit(OTHERS[:, :30]).fit(H)
    assert scorer.n_features_in_ == D
    np.testing.assert_array_equal(scorer.score_samples(H), karat.stats.q_score(H, epsilon=2))
