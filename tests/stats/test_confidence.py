"""How sure a probe is of its answer, from its logits."""

from __future__ import annotations

import math
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from karat.errors import InputError
from karat.stats import _blocks
from karat.stats.confidence import cross_entropy, softmax_confidence, softmax_entropy, softmax_margin
from tests.reference import confidence as reference

MEASURES = [softmax_confidence, softmax_entropy, softmax_margin]
TRANSCRIPTIONS = [
    (softmax_confidence, reference.confidence),
    (softmax_entropy, reference.entropy),
    (softmax_margin, reference.margin),
]
Measure = Callable[[np.ndarray], np.ndarray]
some_logits = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6), elements=st.floats(-20, 20)
)


@pytest.mark.parametrize("x", [0.0, 0.3, 2.0, 9.0])
def test_two_classes_follow_the_logistic_curve(x: float) -> None:
    p = 1 / (1 + math.exp(-x))
    logits = np.array([[x, 0.0], [1.0, 1.0 + x]])
    assert softmax_confidence(logits) == pytest.approx([p, p])
    assert softmax_margin(logits) == pytest.approx([math.tanh(x / 2)] * 2)
    assert softmax_entropy(logits) == pytest.approx([-p * math.log(p) - (1 - p) * math.log(1 - p)] * 2)


def test_equal_logits_are_as_unsure_as_can_be() -> None:
    logits = np.full((3, 7), 2.5)
    assert softmax_confidence(logits) == pytest.approx([1 / 7] * 3)
    assert softmax_entropy(logits) == pytest.approx([math.log(7)] * 3)
    assert softmax_margin(logits) == pytest.approx([0] * 3)


@pytest.mark.parametrize(("measure", "slow"), TRANSCRIPTIONS)
@given(logits=some_logits)
@settings(max_examples=50)
def test_measures_equal_their_transcriptions(measure: Measure, slow: Callable[..., float], logits: np.ndarray) -> None:
    assert measure(logits) == pytest.approx([slow(row) for row in logits.tolist()], rel=1e-12, abs=1e-15)


def test_margin_of_many_classes_is_that_of_the_two_largest() -> None:
    logits = np.random.default_rng(1).normal(size=(20, 1000))
    assert softmax_margin(logits) == pytest.approx([reference.margin(row) for row in logits.tolist()], rel=1e-10)


@pytest.mark.parametrize("size", [1e3, 1e8, 1e300])
def test_large_logits_overflow_nowhere(size: float) -> None:
    logits = np.array([[size, -size, 0.0], [-size, size, size]])
    assert softmax_confidence(logits).tolist() == [1.0, 0.5]
    assert softmax_margin(logits).tolist() == [1.0, 0.0]
    assert softmax_entropy(logits) == pytest.approx([0.0, math.log(2)])


@pytest.mark.parametrize("measure", MEASURES)
@given(logits=some_logits, shift=st.floats(-1e3, 1e3), random=st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_a_common_shift_and_the_order_of_the_classes_change_nothing(
    measure: Measure, logits: np.ndarray, shift: float, random: object
) -> None:
    order = random.sample(range(logits.shape[1]), logits.shape[1])  # type: ignore[attr-defined]
    assert measure(logits[:, order] + shift) == pytest.approx(measure(logits), rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("measure", MEASURES)
def test_rows_are_measured_one_by_one_whatever_the_blocks(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(0).normal(size=(11, 4))
    alone = np.concatenate([measure(row[None]) for row in logits])
    monkeypatch.setattr(_blocks, "_BLOCK_BYTES", 3 * 4 * 8)
    assert measure(logits).tolist() == alone.tolist()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.int8])
def test_the_softmax_is_in_float64_whatever_the_type_of_the_logits(dtype: type) -> None:
    logits = np.array([[3, 1, 0], [2, 5, 4]], dtype)
    for measure, slow in TRANSCRIPTIONS:
        found = measure(logits)
        assert found.dtype == np.float64
        assert found == pytest.approx([slow([3, 1, 0]), slow([2, 5, 4])], rel=1e-14)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((5, 1)), r"logits has shape \[5, 1\], but at least two classes"),
        (np.zeros(5), r"logits has shape \[5\]"),
        (np.zeros((0, 3)), r"logits has shape \[0, 3\]"),
        (np.array([[0, 1], [np.nan, 1]]), "logits contains NaN or infinity, first in rows 1:"),
        (np.array([[np.inf, 1], [0, 1], [0, -np.inf]]), "logits contains NaN or infinity, first in rows 0, 2:"),
    ],
)
def test_bad_logits_are_refused(measure: Measure, logits: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure(logits)


def test_cross_entropy_equals_its_transcription() -> None:
    logits = np.random.default_rng(0).normal(size=(20, 4)) * 5
    target = np.arange(20) % 4
    exact = [math.log(sum(math.exp(z) for z in row)) - row[c] for row, c in zip(logits.tolist(), target, strict=True)]
    np.testing.assert_allclose(cross_entropy(logits, target), exact)


def test_the_loss_of_an_unknown_class_is_infinite_and_of_a_sure_answer_0() -> None:
    assert cross_entropy([[1000, 0], [1000, 0], [1000, 0]], [0, 1, -1]).tolist() == [0, 1000, math.inf]


@pytest.mark.parametrize("target", [[0, 2], [0, -2], [0.0, 1.0], [0]])
def test_targets_that_are_no_columns_are_refused(target: list[float]) -> None:
    with pytest.raises(InputError, match="target"):
        cross_entropy([[0, 0], [1, 0]], target)
