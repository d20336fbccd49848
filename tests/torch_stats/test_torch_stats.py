"""The torch twin against the slow transcription and the NumPy functions."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from karat import stats
from karat.errors import InputError, InputTypeError, KaratWarning
from karat.torch_stats import fit_reference, highly_activating, q_score, row_moments
from tests.reference import qscore as transcription
from tests.stats.matrices import ORDINARY

FINITE = {name: make for name, make in ORDINARY.items() if name not in ("zeros", "constant rows")}


def _ignoring_empty(function, *arguments, **options):  # type: ignore[no-untyped-def]
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KaratWarning)
        return function(*arguments, **options)


@pytest.mark.parametrize("kind", ORDINARY)
@pytest.mark.parametrize("epsilon", [2, 3, 4])
def test_q_score_is_that_of_the_slow_transcription(kind: str, epsilon: float) -> None:
    h = ORDINARY[kind](np.random.default_rng(0), 60, 40)
    expected = transcription.q_score(h, epsilon=epsilon)
    found = _ignoring_empty(q_score, torch.from_numpy(h), epsilon=epsilon)
    np.testing.assert_allclose(found.numpy(), expected.q_score, rtol=1e-6, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(sorted(FINITE)),
    dtype=st.sampled_from(["float16", "bfloat16", "float32", "float64"]),
    epsilon=st.sampled_from([0.5, 1.0, 2.0, 4.0, "auto"]),
    normalize=st.booleans(),
    halves=st.sampled_from(["auto", True, False]),
    over=st.sampled_from(["active", "all"]),
    seed=st.integers(0, 2**16),
)
def test_every_option_gives_what_the_numpy_function_gives(
    kind: str, dtype: str, epsilon: float, normalize: bool, halves: bool | str, over: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    numbers = FINITE[kind](rng, 90, 33).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    tensor = torch.from_numpy(numbers.astype(np.float64)).to(getattr(torch, dtype))
    options = {"epsilon": epsilon, "normalize": normalize, "halves": halves, "over": over}
    expected = _ignoring_empty(stats.q_score, numbers, **options)
    found = _ignoring_empty(q_score, tensor, **options)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-9 * (1 + np.abs(expected).max()))


def test_another_set_is_scored_with_the_reference_and_its_means() -> None:
    rng = np.random.default_rng(1)
    reference, h = rng.standard_t(3, (200, 24)), 3 + rng.standard_t(3, (50, 24))
    found = q_score(torch.from_numpy(h), reference=torch.from_numpy(reference), epsilon=2)
    expected = transcription.q_score(h, reference, epsilon=2)
    assert expected.halves
    np.testing.assert_allclose(found.numpy(), expected.q_score, rtol=1e-6, atol=1e-12)


def test_the_reference_fitted_on_a_tensor_equals_that_of_the_array() -> None:
    h = np.random.default_rng(2).standard_t(3, (300, 30))
    ours, theirs = fit_reference(torch.from_numpy(h), epsilon=2), stats.fit_reference(h, epsilon=2)
    np.testing.assert_array_equal(ours.counts.activations, theirs.counts.activations)
    np.testing.assert_array_equal(ours.discriminative, theirs.discriminative)
    np.testing.assert_allclose(ours.means, theirs.means, rtol=1e-12)
    assert (ours.counts.n, ours.counts.zeros, ours.counts.negatives) == (
        300,
        theirs.counts.zeros,
        theirs.counts.negatives,
    )


def test_an_entry_on_the_threshold_is_not_above_it_and_the_next_number_is() -> None:
    h = torch.zeros(1, 170)
    h[0, ::17] = 17
    assert not highly_activating(h, epsilon=4).any()
    h[0, 34] = torch.nextafter(h[0, 34], torch.tensor(99.0))
    assert highly_activating(h, epsilon=4).nonzero().tolist() == [[0, 34]]


@pytest.mark.parametrize("value", [0.1, -0.7, 1e4, 1e30, 1e-45])
def test_a_constant_row_has_no_deviation_and_selects_nothing(value: float) -> None:
    h = torch.full((3, 2049), value)
    mean, std = row_moments(h)
    assert mean.tolist() == h[:, 0].double().tolist()
    assert not std.any()
    assert not highly_activating(h, epsilon=0).any()


@pytest.mark.parametrize("size", [1e-200, 1e-25, 1e25, 1e150])
def test_extreme_rows_select_what_the_same_rows_near_one_select(size: float) -> None:
    h = torch.from_numpy(np.random.default_rng(3).standard_t(3, (20, 64)))
    scale = 2.0 ** round(np.log2(size))
    assert torch.equal(highly_activating(h * scale, epsilon=2), highly_activating(h, epsilon=2))
    mean, std = row_moments(h * scale)
    np.testing.assert_allclose(std.numpy() / scale, h.std(dim=1, correction=0).numpy(), rtol=1e-12)
    np.testing.assert_allclose(mean.numpy() / scale, h.mean(dim=1).numpy(), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    ("h", "error", "text"),
    [
        (np.zeros((3, 4)), InputTypeError, "ndarray, but a torch tensor"),
        (torch.zeros(3, 4, dtype=torch.complex64), InputTypeError, "complex64"),
        (torch.zeros(4), InputError, r"\[4\], but a matrix"),
        (torch.zeros(0, 4), InputError, r"\[0, 4\]"),
        (torch.tensor([[1.0, 2.0], [float("nan"), 1.0]]), InputError, "NaN or infinity, first in rows 1"),
    ],
)
def test_what_is_no_finite_matrix_is_refused(h: torch.Tensor, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        q_score(h)


def test_a_reference_of_another_width_is_refused() -> None:
    with pytest.raises(InputError, match="30 features, but the reference has 20"):
        q_score(torch.rand(9, 30), reference=torch.rand(9, 20))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_scores_on_a_gpu_are_those_on_the_cpu_and_stay_there() -> None:
    h = torch.from_numpy(np.random.default_rng(4).standard_t(3, (500, 128)))
    found = q_score(h.cuda(), epsilon=2)
    assert found.is_cuda
    np.testing.assert_allclose(found.cpu().numpy(), q_score(h, epsilon=2).numpy(), rtol=1e-9)
