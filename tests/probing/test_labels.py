"""Labels that are missing, unknown or of another type, and sets that cannot be probed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from karat.embeddings import Embeddings
from karat.errors import InputError, InputTypeError, KaratWarning
from karat.probing import knn_probe, probe

from .mixtures import CORNERS, NAMES, mixture, pair

GOOD = mixture(30, CORNERS, seed=1)


def relabelled(labels: Any) -> Embeddings:
    return Embeddings(GOOD.h, labels=labels)


def with_value(value: float) -> Embeddings:
    h = np.array(GOOD.h)
    h[[4, 9], 2] = value
    return Embeddings(h, ids=[f"img{row}" for row in range(30)], labels=GOOD.labels)  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", [None, float("nan"), "", pd.NA, pd.NaT])
def test_samples_without_a_label_are_left_out(missing: Any) -> None:
    gaps = []
    for emb in (train_and_val := pair(120, CORNERS, names=NAMES)):
        labels = np.array(emb.labels, object)
        labels[::3] = missing
        gaps.append(Embeddings(emb.h, labels=labels))
    kept = [emb[np.arange(emb.n) % 3 != 0] for emb in train_and_val]
    with_gaps, without = probe(*gaps), probe(*kept)
    assert (with_gaps.n_train, with_gaps.n_val) == (80, 40)
    assert with_gaps.columns["id"].tolist() == [row for row in range(60) if row % 3]
    assert (with_gaps.logits == without.logits).all()
    assert with_gaps.columns["label"].tolist() == without.columns["label"].tolist()


def test_missing_numbers_are_left_out() -> None:
    train, val = pair(60, CORNERS)
    labels = np.asarray(val.labels, np.float64)
    labels[:10] = np.nan
    result = probe(train, Embeddings(val.h, labels=labels))
    assert result.n_val == 20
    assert result.columns["label"].tolist() == np.asarray(val.labels)[10:].tolist()


def test_whole_numbers_stored_as_reals_are_classes() -> None:
    train, val = pair(60, CORNERS)
    reals = Embeddings(train.h, labels=np.asarray(train.labels, np.float64))
    assert [repr(name) for name in probe(reals, val).classes] == ["0", "1", "2"]


@pytest.mark.parametrize("gap", ["train", "val"])
def test_numbers_that_a_missing_one_made_text_are_still_the_same_classes(gap: str) -> None:
    """A column of a .csv is text as soon as one entry is empty."""
    sets = dict(zip(("train", "val"), pair(60, CORNERS), strict=True))
    numbers = np.asarray(sets[gap].labels)
    text = Embeddings(sets[gap].h, labels=np.array(["", *map(str, numbers[1:])]))
    gapped = Embeddings(sets[gap].h, labels=np.array([None, *numbers[1:]], object))
    result, expected = (probe(**sets | {gap: emb}) for emb in (text, gapped))
    assert result.classes == (0, 1, 2)
    assert (result.logits == expected.logits).all()
    assert (result.correct == expected.correct).all()


def test_text_that_is_not_written_as_a_number_stays_text() -> None:
    padded = relabelled([f"{label:02}" for label in GOOD.labels])  # type: ignore[union-attr]
    assert probe(padded, padded).classes == ("00", "01", "02")
    with pytest.raises(InputError, match=r"no label of val \(00, 01, 02\) is a class of train \(0, 1, 2\)"):
        probe(GOOD, padded)


def test_truth_values_are_two_classes() -> None:
    halves = relabelled(np.asarray(GOOD.labels) > 0)
    assert probe(halves, halves).classes == (False, True)


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
    assert result.class_accuracy[2] == 0


def test_class_with_one_sample_is_a_class() -> None:
    one = relabelled(np.where(np.arange(30) == 7, 9, GOOD.labels))  # type: ignore[arg-type]
    result = probe(one, GOOD)
    assert result.classes == (0, 1, 2, 9)


@pytest.mark.parametrize("probing", [probe, knn_probe])
@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        (relabelled(None), GOOD, "train has no labels"),
        (GOOD, relabelled(None), "val has no labels"),
        (relabelled(np.array([None] * 30)), GOOD, "train has 30 samples, but none of them has a label"),
        (GOOD, relabelled([""] * 30), "val has 30 samples, but none of them has a label"),
        (relabelled(["cat"] * 30), GOOD, "all 30 labelled samples of train are of class cat"),
        (relabelled(np.linspace(0, 1, 30)), GOOD, r"labels of train are real numbers \(0\.0, \.\.\.\)"),
        (relabelled([np.inf] * 30), GOOD, r"labels of train are real numbers \(inf, \.\.\.\)"),
        (relabelled([b"cat", b"dog"] * 15), GOOD, "labels of train are of type bytes, but text or whole numbers"),
        (GOOD, relabelled(["cat", "dog"] * 15), r"no label of val \(cat, dog\) is a class of train \(0, 1, 2\)"),
        (GOOD, GOOD[:, :4], "train has 6 features, val 4"),
        (with_value(np.nan), GOOD, r"h of train holds NaN or infinity, first in ids img4, img9: remove"),
        (GOOD, with_value(np.inf), r"h of val holds NaN or infinity, first in ids img4, img9: remove"),
    ],
)
def test_embeddings_that_cannot_be_probed_are_refused(
    probing: Any, train: Embeddings, val: Embeddings, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        probing(train, val)


@pytest.mark.parametrize("protocol", ["lbfgs", "dinov2"])
def test_nothing_can_be_held_out_of_classes_with_one_sample(protocol: str) -> None:
    single = relabelled(np.arange(30))
    with pytest.raises(InputError, match="train has 30 labelled samples, one a class"):
        probe(single, GOOD, protocol=protocol)
    assert probe(single, single, strengths=[1.0]).accuracy == 1


def test_sgd_refuses_values_that_are_not_finite() -> None:
    for protocol in ("kalibhat2024", "dinov2"):
        with pytest.raises(InputError, match="h of train holds NaN or infinity, first in ids img4, img9: remove"):
            probe(with_value(np.nan), GOOD, protocol=protocol)


def test_arrays_are_refused() -> None:
    with pytest.raises(InputTypeError, match=r"val is a ndarray, but Embeddings\(h, labels=y\) are needed"):
        probe(GOOD, np.asarray(GOOD.h))  # type: ignore[arg-type]
