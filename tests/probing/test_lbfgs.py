"""probe by L-BFGS: the stated minimum, scikit-learn's, the Bayes accuracy, and the choice of the penalty."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from karat.embeddings import Embeddings
from karat.probing import lbfgs, probe, sweeps
from karat.probing.labelled import held_out
from karat.probing.protocols import PROTOCOLS

from .mixtures import CORNERS, around, mixture, pair, softmax, standardised, two


def normal_cdf(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def minimum_by_hand(x: np.ndarray, y: np.ndarray, x_val: np.ndarray, strength: float) -> np.ndarray:
    """Class probabilities [m, k] at the minimum of the objective in probe's docstring, spelled out."""
    k, d = int(y.max()) + 1, x.shape[1]

    def probabilities(parameters: np.ndarray, rows: np.ndarray) -> np.ndarray:
        weight, bias = parameters[: k * d].reshape(k, d), parameters[k * d :]
        return softmax(rows @ weight.T + bias)

    def objective(parameters: np.ndarray) -> float:
        chosen = probabilities(parameters, x)[np.arange(len(y)), y]
        return float(0.5 * (parameters[: k * d] ** 2).sum() - strength * np.log(chosen).sum())

    found = minimize(objective, np.zeros(k * d + k), tol=1e-10, options={"maxiter": 2000})
    return probabilities(found.x, x_val)


def test_logits_are_those_of_the_stated_minimum() -> None:
    means = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]])
    train, val = pair(60, means)
    result = probe(train, val)
    x, x_val = standardised(train, val)
    expected = minimum_by_hand(x, np.asarray(train.labels), x_val, result.head["C"])
    np.testing.assert_allclose(softmax(result.logits), expected, atol=2e-3)


@pytest.mark.parametrize(("n", "d"), [(400, 12), (60, 150)], ids=["n > d", "n < d"])
@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
def test_probabilities_are_those_of_scikit_learn(n: int, d: int, strength: float) -> None:
    train, val = pair(n, around(5, d))
    x, x_val = standardised(train, val)
    model = LogisticRegression(C=strength, tol=1e-9, max_iter=10_000).fit(x, train.labels)
    result = probe(train, val, strengths=[strength])
    np.testing.assert_allclose(softmax(result.logits), model.predict_proba(x_val), atol=5e-3)
    assert result.head["converged"]


def test_of_two_classes_a_penalty_is_that_of_scikit_learn_at_twice_c() -> None:
    """There the logit has one vector w, here two, w / 2 and -w / 2, with half the squared length in all."""
    train, val = pair(300, two(2))
    x, x_val = standardised(train, val)
    model = LogisticRegression(C=0.2, tol=1e-9).fit(x, train.labels)
    found = softmax(probe(train, val, strengths=[0.1]).logits)
    np.testing.assert_allclose(found, model.predict_proba(x_val), atol=2e-3)


def test_correlated_columns_of_very_different_variance_do_not_hinder() -> None:
    """The singular values of the standardised columns span four orders of magnitude."""
    generator = np.random.default_rng(0)
    mix = generator.standard_normal((20, 20)) * np.geomspace(1, 1e-4, 20)[:, None]
    train, val = (Embeddings(np.float64(emb.h[:]) @ mix, labels=emb.labels) for emb in pair(2000, around(4, 20)))
    result = probe(train, val, strengths=[1.0])
    x, x_val = standardised(train, val)
    model = LogisticRegression(C=1.0, tol=1e-9, solver="newton-cg", max_iter=1000).fit(x, train.labels)
    np.testing.assert_allclose(softmax(result.logits), model.predict_proba(x_val), atol=5e-3)
    assert result.head["evaluations"] < 60


def test_training_set_wider_than_is_preconditioned_has_the_same_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    train, val = pair(200, around(4, 30))
    expected = probe(train, val, strengths=[0.1])
    monkeypatch.setattr(lbfgs, "_WIDEST", 29)
    plain = probe(train, val, strengths=[0.1])
    assert plain.head["evaluations"] != expected.head["evaluations"]
    np.testing.assert_allclose(softmax(plain.logits), softmax(expected.logits), atol=2e-3)


@pytest.mark.parametrize("distance", [1.0, 2.0, 4.0])
def test_accuracy_reaches_that_of_bayes_for_two_gaussians(distance: float) -> None:
    """Bayes is right with probability Phi(distance / 2); 10,000 samples tell it to 0.015 (three standard errors)."""
    result = probe(mixture(5000, two(distance), seed=1), mixture(10_000, two(distance), seed=2))
    assert abs(result.accuracy - normal_cdf(distance / 2)) < 0.015
    assert result.head["converged"]


def test_confidence_is_calibrated_for_two_gaussians() -> None:
    """log p1 / p0 is linear with slope `distance` along the line between the means: so are the logits."""
    distance = 2.0
    train, val = mixture(20_000, two(distance), seed=1), mixture(2000, two(distance), seed=2)
    logits = probe(train, val).logits
    along = np.asarray(val.h) @ np.full(8, 1 / math.sqrt(8))
    slope = np.polyfit(along, logits[:, 1] - logits[:, 0], 1)[0]
    assert abs(slope - distance) < 0.15


def test_two_classes_give_two_logits_of_opposite_sign_up_to_rounding() -> None:
    """The gradients by both are p - y and y - p, but for the rounding of p in single precision."""
    result = probe(mixture(100, two(2), seed=1), mixture(50, two(2), seed=2))
    assert result.logits.shape == (50, 2)
    np.testing.assert_allclose(result.logits[:, 0], -result.logits[:, 1], rtol=1e-5, atol=1e-6)


def test_columns_are_standardised() -> None:
    train, val = mixture(300, CORNERS, seed=1), mixture(100, CORNERS, seed=2)
    scale, shift = np.array([1e-3, 1.0, 1e3, 1.0, 10.0, 1.0]), np.array([0.0, 1e4, 0.0, -5.0, 0.0, 0.0])
    moved = [Embeddings(np.float64(emb.h[:]) * scale + shift, labels=emb.labels) for emb in (train, val)]
    np.testing.assert_allclose(probe(*moved).logits, probe(train, val).logits, atol=5e-3)


def test_constant_and_dead_features_change_nothing() -> None:
    train, val = mixture(300, CORNERS, seed=1), mixture(100, CORNERS, seed=2)
    wider = [
        Embeddings(np.hstack([emb.h, np.zeros((emb.n, 2)), np.full((emb.n, 1), 7.0)]), labels=emb.labels)
        for emb in (train, val)
    ]
    np.testing.assert_allclose(probe(*wider).logits, probe(train, val).logits, atol=5e-3)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_type_of_h_changes_logits_by_rounding_only(dtype: type) -> None:
    train, val = mixture(300, CORNERS, seed=1), mixture(100, CORNERS, seed=2)
    other = [Embeddings(np.asarray(emb.h, dtype), labels=emb.labels) for emb in (train, val)]
    np.testing.assert_allclose(softmax(probe(*other).logits), softmax(probe(train, val).logits), atol=1e-2)


# the choice of the penalty


def test_strongest_penalty_is_chosen_for_labels_without_meaning() -> None:
    generator = np.random.default_rng(0)
    noise = Embeddings(generator.standard_normal((200, 100)), labels=generator.integers(0, 2, 200))
    assert probe(noise, noise).head["C"] == 1e-4


def test_weakest_penalty_is_chosen_for_classes_far_apart() -> None:
    result = probe(mixture(100, 5 * CORNERS, seed=1), mixture(50, 5 * CORNERS, seed=2))
    assert result.head["C"] == 1.0
    assert result.head["held_out_accuracy"] == result.accuracy == 1.0


def test_search_ends_where_the_held_out_loss_rises_and_the_lowest_is_chosen() -> None:
    result = probe(*pair(300, around(6, 40) / 5))
    losses = [head["held_out_log_loss"] for head in result.heads]
    assert [head["C"] for head in result.heads] == list(PROTOCOLS["lbfgs"].strengths[: len(losses)])  # type: ignore[union-attr]
    assert 2 < len(losses) < 9
    assert losses == [*sorted(losses[:-1], reverse=True), losses[-1]]
    assert losses[-1] > losses[-2] == result.head["held_out_log_loss"]


def test_a_head_that_is_right_more_often_by_more_than_chance_goes_before_a_lower_loss() -> None:
    """Of 400 samples, 0.80 is told to 0.02: 0.785 is as good and has the lower loss, 0.77 is not."""
    heads = [{"held_out_accuracy": a, "held_out_log_loss": b} for a, b in ((0.8, 1.0), (0.785, 0.9), (0.77, 0.5))]
    assert sweeps._chosen(heads, 400) == 1
    assert sweeps._chosen(heads, 100) == 2
    assert sweeps._chosen(heads, 4000) == 0


def test_a_head_started_from_the_one_before_ends_where_it_would_from_zero() -> None:
    train, val = pair(400, around(5, 12))
    swept, alone = probe(train, val), probe(train, val, strengths=[probe(train, val).head["C"]])
    np.testing.assert_allclose(softmax(swept.logits), softmax(alone.logits), atol=2e-3)
    assert "held_out_accuracy" not in alone.head


def test_held_out_accuracy_is_that_of_a_probe_on_the_rest() -> None:
    train, _ = pair(400, around(5, 12))
    out = held_out(np.asarray(train.labels), seed=0)
    head = probe(train, train).heads[1]
    again = probe(train[np.flatnonzero(~out)], train[np.flatnonzero(out)], strengths=[head["C"]])
    assert abs(again.accuracy - head["held_out_accuracy"]) < 2 / out.sum()


def test_held_out_slice_takes_a_fifth_of_each_class_and_leaves_one() -> None:
    y = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3, 4], [100, 10, 4, 2, 1]))
    assert np.bincount(y[held_out(y, seed=0)], minlength=5).tolist() == [20, 2, 1, 1, 0]


def test_seed_draws_another_held_out_slice() -> None:
    train, val = pair(300, CORNERS / 3)
    losses = {probe(train, val, seed=seed).head["held_out_log_loss"] for seed in range(3)}
    assert len(losses) == 3


def test_search_that_does_not_converge_is_recorded_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    short: Any = partial(lbfgs.solve, max_iterations=2)
    monkeypatch.setattr(sweeps, "solve", short)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        assert not probe(*pair(60, CORNERS)).head["converged"]
