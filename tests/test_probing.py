"""probe: the stated minimum, the Bayes accuracy, missing and unseen labels, refusals."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from karat import probing
from karat.embeddings import Embeddings
from karat.errors import InputError, InputTypeError, KaratWarning
from karat.probing import probe
from karat.records import from_dict, to_dict


def mixture(n: int, means: np.ndarray, seed: int, names: Sequence[Any] | None = None) -> Embeddings:
    """n samples of equally likely Gaussians with unit covariance around `means` [k, d]."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, len(means), n)
    h = means[y] + generator.standard_normal((n, means.shape[1]))
    return Embeddings(h.astype(np.float32), labels=y if names is None else np.array(names)[y])


def normal_cdf(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def two(distance: float, d: int = 8) -> np.ndarray:
    """Two means at `distance`, in no direction of the axes."""
    return np.stack([np.zeros(d), np.full(d, distance / math.sqrt(d))])


CORNERS = 4.0 * np.eye(3, 6)  # three well separated means


def minimum_by_hand(x: np.ndarray, y: np.ndarray, x_val: np.ndarray, strength: float) -> np.ndarray:
    """Class probabilities [m, k] at the minimum of the objective in probe's docstring, spelled out."""
    mean, std = x.mean(axis=0), x.std(axis=0)
    k, d = int(y.max()) + 1, x.shape[1]

    def probabilities(parameters: np.ndarray, rows: np.ndarray) -> np.ndarray:
        weight, bias = parameters[: k * d].reshape(k, d), parameters[k * d :]
        logits = ((rows - mean) / std) @ weight.T + bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        share: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
        return share

    def objective(parameters: np.ndarray) -> float:
        chosen = probabilities(parameters, x)[np.arange(len(y)), y]
        return float(0.5 * (parameters[: k * d] ** 2).sum() - strength * np.log(chosen).sum())

    found = minimize(objective, np.zeros(k * d + k), tol=1e-10, options={"maxiter": 2000})
    return probabilities(found.x, x_val)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    share: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return share


def test_logits_are_those_of_the_stated_minimum() -> None:
    means = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]])
    train, val = mixture(60, means, seed=1), mixture(30, means, seed=2)
    result = probe(train, val)
    expected = minimum_by_hand(np.float64(train.h[:]), train.labels, np.float64(val.h[:]), result.head["C"])  # type: ignore[arg-type]
    np.testing.assert_allclose(softmax(result.logits), expected, atol=2e-3)


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


def test_accuracy_is_the_mean_of_correct_and_predictions_are_the_largest_logits() -> None:
    result = probe(mixture(300, CORNERS / 3, seed=1), mixture(200, CORNERS / 3, seed=2))
    columns = result.columns
    assert 0.5 < result.accuracy < 1
    assert result.accuracy == np.mean(result.correct)
    assert result.logits.shape == (200, 3)
    assert result.logits.dtype == np.float32
    assert (np.array(result.classes)[result.logits.argmax(axis=1)] == columns["prediction"]).all()
    assert (result.correct == (columns["prediction"] == columns["label"])).all()
    assert (result.n_train, result.n_val) == (300, 200)


def test_two_classes_give_two_logits_of_opposite_sign() -> None:
    result = probe(mixture(100, two(2), seed=1), mixture(50, two(2), seed=2))
    assert result.logits.shape == (50, 2)
    assert (result.logits[:, 0] == -result.logits[:, 1]).all()


def test_names_and_numbers_of_classes_give_the_same_probe() -> None:
    numbers = probe(mixture(300, CORNERS, seed=1), mixture(200, CORNERS, seed=2))
    names = ["ant", "bee", "cow"]
    named = probe(mixture(300, CORNERS, seed=1, names=names), mixture(200, CORNERS, seed=2, names=names))
    assert numbers.classes == (0, 1, 2)
    assert named.classes == ("ant", "bee", "cow")
    assert (named.logits == numbers.logits).all()
    assert (named.columns["prediction"] == np.array(names)[numbers.columns["prediction"]]).all()


def test_whole_numbers_stored_as_reals_are_classes() -> None:
    train, val = mixture(60, CORNERS, seed=1), mixture(30, CORNERS, seed=2)
    reals = Embeddings(train.h, labels=np.asarray(train.labels, np.float64))
    assert [repr(name) for name in probe(reals, val).classes] == ["0", "1", "2"]


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


def test_equal_input_gives_equal_bytes_and_the_seed_is_recorded() -> None:
    train, val = mixture(300, CORNERS / 3, seed=1), mixture(100, CORNERS / 3, seed=2)
    first, second = probe(train, val, seed=3), probe(train, val, seed=3)
    assert first == second
    assert first.logits.tobytes() == second.logits.tobytes()
    assert first.provenance.parameters["seed"] == 3
    assert first.provenance.function == "probe"
    assert set(first.provenance.inputs) == {"train", "val"}
    assert first.provenance.inputs["train"] != first.provenance.inputs["val"]


def test_seed_draws_another_held_out_slice() -> None:
    train, val = mixture(300, CORNERS / 3, seed=1), mixture(100, CORNERS / 3, seed=2)
    losses = {probe(train, val, seed=seed).head["held_out_log_loss"] for seed in range(3)}
    assert len(losses) == 3


def test_result_goes_to_a_dictionary_and_back() -> None:
    result = probe(mixture(60, CORNERS, seed=1), mixture(30, CORNERS, seed=2))
    assert from_dict(to_dict(result), result.columns) == result


# regularisation


def test_strongest_penalty_is_chosen_for_labels_without_meaning() -> None:
    generator = np.random.default_rng(0)
    noise = Embeddings(generator.standard_normal((200, 100)), labels=generator.integers(0, 2, 200))
    assert probe(noise, noise).head["C"] == 1e-4


def test_weakest_penalty_is_chosen_for_classes_far_apart() -> None:
    result = probe(mixture(100, 5 * CORNERS, seed=1), mixture(50, 5 * CORNERS, seed=2))
    assert result.head["C"] == 1.0
    assert result.head["held_out_accuracy"] == result.accuracy == 1.0


def test_held_out_slice_takes_a_fifth_of_each_class_and_leaves_one() -> None:
    y = np.repeat([0, 1, 2, 3, 4], [100, 10, 4, 2, 1])
    out = probing._held_out(np.random.default_rng(0).permutation(y), seed=0)
    shuffled = np.random.default_rng(0).permutation(y)
    assert np.bincount(shuffled[out], minlength=5).tolist() == [20, 2, 1, 1, 0]


def test_search_that_does_not_converge_is_recorded_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "MAX_ITERATIONS", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        assert not probe(mixture(60, CORNERS, seed=1), mixture(30, CORNERS, seed=2)).head["converged"]


# labels that are missing or unknown


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_samples_without_a_label_are_left_out(missing: Any) -> None:
    names = ["ant", "bee", "cow"]
    train, val = mixture(120, CORNERS, seed=1, names=names), mixture(60, CORNERS, seed=2, names=names)
    gaps = []
    for emb in (train, val):
        labels = np.array(emb.labels, object)
        labels[::3] = missing
        gaps.append(Embeddings(emb.h, labels=labels))
    kept = [emb[np.arange(emb.n) % 3 != 0] for emb in (train, val)]
    with_gaps, without = probe(*gaps), probe(*kept)
    assert (with_gaps.n_train, with_gaps.n_val) == (80, 40)
    assert with_gaps.columns["id"].tolist() == [row for row in range(60) if row % 3]
    assert (with_gaps.logits == without.logits).all()
    assert with_gaps.columns["label"].tolist() == without.columns["label"].tolist()


def test_missing_numbers_are_left_out() -> None:
    train, val = mixture(60, CORNERS, seed=1), mixture(30, CORNERS, seed=2)
    labels = np.asarray(val.labels, np.float64)
    labels[:10] = np.nan
    result = probe(train, Embeddings(val.h, labels=labels))
    assert result.n_val == 20
    assert result.columns["label"].tolist() == np.asarray(val.labels)[10:].tolist()


def test_class_that_training_never_saw_counts_as_wrong_and_is_named() -> None:
    train, val = mixture(90, CORNERS[:2], seed=1), mixture(90, CORNERS, seed=2)
    unseen = np.asarray(val.labels) == 2
    with pytest.warns(
        KaratWarning, match=rf"{unseen.sum()} of 90 samples of val are of classes .* \(2\): they count as"
    ):
        result = probe(train, val)
    assert not result.correct[unseen].any()
    assert result.n_val == 90
    assert result.classes == (0, 1)
    assert result.accuracy < 1 - unseen.mean() + 1e-9


# refusals


GOOD = mixture(30, CORNERS, seed=1)


def relabelled(labels: Any) -> Embeddings:
    return Embeddings(GOOD.h, labels=labels)


def with_value(value: float) -> Embeddings:
    h = np.array(GOOD.h)
    h[[4, 9], 2] = value
    return Embeddings(h, ids=[f"img{row}" for row in range(30)], labels=GOOD.labels)


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        (relabelled(None), GOOD, "train has no labels"),
        (GOOD, relabelled(None), "val has no labels"),
        (relabelled(np.array([None] * 30)), GOOD, "train has 30 samples, but none of them has a label"),
        (GOOD, relabelled([""] * 30), "val has 30 samples, but none of them has a label"),
        (relabelled(["cat"] * 30), GOOD, "all 30 labelled samples of train are of class cat"),
        (relabelled(np.arange(30)), GOOD, "train has 30 labelled samples, one a class"),
        (relabelled(np.linspace(0, 1, 30)), GOOD, r"labels of train are real numbers \(0\.0, \.\.\.\)"),
        (GOOD, relabelled(["cat", "dog"] * 15), r"no label of val \(cat, dog\) is a class of train \(0, 1, 2\)"),
        (GOOD, GOOD[:, :4], "train has 6 features, val 4"),
        (with_value(np.nan), GOOD, r"h of train holds NaN or infinity, first in ids img4, img9: remove"),
        (GOOD, with_value(np.inf), r"h of val holds NaN or infinity, first in ids img4, img9: remove"),
    ],
)
def test_embeddings_that_cannot_be_probed_are_refused(train: Embeddings, val: Embeddings, message: str) -> None:
    with pytest.raises(InputError, match=message):
        probe(train, val)


def test_arrays_are_refused() -> None:
    with pytest.raises(InputTypeError, match=r"val is a ndarray, but Embeddings\(h, labels=y\) are needed"):
        probe(GOOD, np.asarray(GOOD.h))  # type: ignore[arg-type]
