"""knn_probe: a naive twin, scikit-learn, blocks, and the ends of its parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from karat.embeddings import Embeddings
from karat.errors import InputError, InputTypeError, KaratWarning
from karat.probing import knn, knn_probe

from ..reference.probes import knn_shares
from .mixtures import CORNERS, NAMES, around, pair, softmax

TRAIN, VAL = pair(300, around(7, 10))


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (20, 0.07), (20, 1.0), (300, 0.5)])
def test_shares_are_those_of_the_sorted_neighbours(k: int, temperature: float) -> None:
    result = knn_probe(TRAIN, VAL, k=k, temperature=temperature)
    labels = np.asarray(TRAIN.labels)
    expected = knn_shares(np.float64(TRAIN.h[:]), labels, np.float64(VAL.h[:]), 7, k=k, temperature=temperature)
    np.testing.assert_allclose(softmax(result.logits), expected, atol=1e-5)
    assert (result.columns["prediction"] == expected.argmax(axis=1)).all()


@pytest.mark.parametrize(("k", "temperature"), [(5, 0.07), (20, 0.2), (20, math.inf)])
def test_shares_are_those_of_scikit_learn(k: int, temperature: float) -> None:
    model = KNeighborsClassifier(k, metric="cosine", weights=lambda far: np.exp((1 - far) / temperature))
    expected = model.fit(TRAIN.h, TRAIN.labels).predict_proba(VAL.h)
    np.testing.assert_allclose(softmax(knn_probe(TRAIN, VAL, k=k, temperature=temperature).logits), expected, atol=1e-5)


@settings(max_examples=25)
@given(
    rows=st.integers(9, 160), candidates=st.integers(9, 310), votes=st.integers(1, 2000), k=st.sampled_from([1, 3, 20])
)
def test_blocks_change_nothing(rows: int, candidates: int, votes: int, k: int) -> None:
    expected = knn_probe(TRAIN, VAL, k=k)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("_ROWS", rows), ("_CANDIDATES", candidates), ("_VOTES", votes)):
            patch.setattr(knn, name, value)
        np.testing.assert_allclose(knn_probe(TRAIN, VAL, k=k).logits, expected.logits, atol=1e-4)


def test_length_of_a_row_does_not_matter() -> None:
    factors = np.geomspace(1e-200, 1e200, 300)[:, None]
    scaled = Embeddings(np.float64(TRAIN.h[:]) * factors, labels=TRAIN.labels)
    np.testing.assert_allclose(knn_probe(scaled, VAL).logits, knn_probe(TRAIN, VAL).logits, atol=1e-4)


def test_small_temperature_lets_the_nearest_decide() -> None:
    nearest = knn_probe(TRAIN, VAL, k=1).columns["prediction"]
    cold = knn_probe(TRAIN, VAL, k=20, temperature=1e-6)
    assert (cold.columns["prediction"] == nearest).all()
    assert np.isfinite(cold.logits).all()


def test_class_without_a_vote_has_a_logit_of_minus_thirty() -> None:
    logits = knn_probe(TRAIN, VAL, k=1).logits
    assert (np.sort(logits, axis=1) == [*[knn.NO_VOTE] * 6, 0]).all()
    assert knn.NO_VOTE == -30


def test_row_of_zeros_is_as_near_to_all() -> None:
    """All of its 300 neighbours vote alike: the shares are those of the classes."""
    zero = Embeddings(np.zeros((1, 10)), labels=[0])
    shares = softmax(knn_probe(TRAIN, zero, k=300).logits)[0]
    np.testing.assert_allclose(shares, np.bincount(np.asarray(TRAIN.labels)) / 300, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_type_of_h_changes_shares_by_rounding_only(dtype: type) -> None:
    train, val = (Embeddings(np.asarray(emb.h, dtype), labels=emb.labels) for emb in (TRAIN, VAL))
    difference = softmax(knn_probe(train, val).logits) - softmax(knn_probe(TRAIN, VAL).logits)
    assert np.quantile(np.abs(difference), 0.95) < 1e-2


def test_samples_without_a_label_do_not_vote_and_are_not_judged() -> None:
    gaps = []
    for emb in (TRAIN, VAL):
        labels = np.array(emb.labels, object)
        labels[::3] = None
        gaps.append(Embeddings(emb.h, labels=labels))
    kept = [emb[np.arange(emb.n) % 3 != 0] for emb in (TRAIN, VAL)]
    result = knn_probe(*gaps)
    assert (result.n_train, result.n_val) == (200, 100)
    np.testing.assert_allclose(result.logits, knn_probe(*kept).logits, atol=1e-4)


def test_names_are_predicted_and_settings_recorded() -> None:
    result = knn_probe(*pair(60, CORNERS, names=NAMES), k=5)
    assert set(result.columns["prediction"]) <= set(NAMES)
    assert (result.correct == (result.columns["prediction"] == result.columns["label"])).all()
    assert result.accuracy == result.correct.mean() > 0.9
    assert result.head == {"k": 5, "temperature": 0.07}
    assert result.provenance.function == "knn_probe"
    assert set(result.provenance.parameters) == {"k", "temperature", "device", "threads"}


def test_equal_input_gives_equal_bytes() -> None:
    assert knn_probe(TRAIN, VAL).logits.tobytes() == knn_probe(TRAIN, VAL).logits.tobytes()


def test_class_that_does_not_vote_counts_as_wrong() -> None:
    known = TRAIN[np.asarray(TRAIN.labels) != 6]
    with pytest.warns(KaratWarning, match=r"samples of val are of classes that train does not have \(6\)"):
        result = knn_probe(known, VAL)
    assert not result.correct[np.asarray(VAL.labels) == 6].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 301}, "k is 301, but train has 300 labelled samples: the largest possible k is 300"),
        ({"k": 0}, "k is 0, but a whole number of at least 1 is needed"),
        ({"k": 2.5}, r"k is 2\.5, but a whole number"),
        ({"temperature": 0}, "temperature is 0, but a number above 0 is needed"),
        ({"temperature": math.nan}, "temperature is nan, but a number above 0"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        knn_probe(TRAIN, VAL, **changes)


def test_neighbours_are_counted_among_the_labelled() -> None:
    labels = np.array(TRAIN.labels, object)
    labels[10:] = None
    with pytest.raises(InputError, match="k is 20, but train has 10 labelled samples"):
        knn_probe(Embeddings(TRAIN.h, labels=labels), VAL)


def test_numpy_integers_are_whole_numbers() -> None:
    assert knn_probe(TRAIN, VAL, k=np.int64(5)).head == {"k": 5, "temperature": 0.07}


def test_arrays_and_bad_values_are_refused() -> None:
    with pytest.raises(InputTypeError, match="train is a ndarray"):
        knn_probe(TRAIN.h, VAL)  # type: ignore[arg-type]
    h = np.array(VAL.h)
    h[3, 2] = np.nan
    with pytest.raises(InputError, match="h of val holds NaN or infinity, first in ids 3: remove"):
        knn_probe(TRAIN, Embeddings(h, labels=VAL.labels))
