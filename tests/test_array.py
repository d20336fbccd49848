"""What counts as a matrix, and what it becomes for the kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from karat._array import BFLOAT16, Rows, as_block, as_float, as_rows, as_vector
from karat.errors import InputError, InputTypeError, KaratError

MATRIX = np.array([[0.0, 1.5, -2.0], [3.0, 0.25, 1e3]])


class Readable:
    """Rows that are no array: shape, dtype and slices are all there is."""

    shape, dtype = MATRIX.shape, MATRIX.dtype

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        return MATRIX[rows]


def whole(h: Rows) -> np.ndarray:
    return as_block(h[0 : h.shape[0]])


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (MATRIX, np.float64),
        (MATRIX.astype(np.float32), np.float32),
        (MATRIX.astype(np.float16), np.float16),
        (MATRIX.astype(BFLOAT16), BFLOAT16),
        (MATRIX.astype(">f8"), np.float64),
        (MATRIX.astype(">f4"), np.float32),
        (MATRIX.astype(np.longdouble), np.float64),
        (np.asfortranarray(MATRIX), np.float64),
        (MATRIX.tolist(), np.float64),
        (tuple(map(tuple, MATRIX)), np.float64),
        (pd.DataFrame(MATRIX, columns=list("abc")), np.float64),
        (pd.DataFrame(MATRIX.astype(np.float32)), np.float32),
        (torch.tensor(MATRIX), np.float64),
        (torch.tensor(MATRIX, dtype=torch.float32), np.float32),
        (torch.tensor(MATRIX, dtype=torch.float16), np.float16),
        (torch.tensor(MATRIX, dtype=torch.bfloat16), BFLOAT16),
        (torch.tensor(MATRIX, requires_grad=True), np.float64),
        (torch.tensor(MATRIX, dtype=torch.bfloat16, requires_grad=True), BFLOAT16),
        (torch.tensor(MATRIX.T.copy()).T, np.float64),
        (torch.tensor(MATRIX.T.copy(), dtype=torch.bfloat16).T, BFLOAT16),
        (torch.imag(torch.complex(torch.zeros(2, 3), -torch.tensor(MATRIX).float()).conj()), np.float32),
        (Readable(), np.float64),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_real_matrices_of_any_kind_keep_their_numbers(given: Any, dtype: type) -> None:
    rows = as_rows(given)
    assert rows.shape == (2, 3)
    block = whole(rows)
    assert block.dtype == np.dtype(dtype) and block.dtype.isnative and block.flags.c_contiguous
    np.testing.assert_array_equal(block.astype(np.float64), MATRIX.astype(dtype).astype(np.float64))


@pytest.mark.parametrize(
    "given",
    [
        np.array([[1, 0, 2]]),
        np.array([[1, 0, 2]], np.uint8),
        np.array([[1, 0, 2]], ">i2"),
        [[1, 0, 2]],
        pd.DataFrame({"a": [1], "b": [0], "c": [2.0]}),
        torch.tensor([[1, 0, 2]]),
    ],
    ids=["int64", "uint8", "big-endian", "list", "mixed frame", "tensor"],
)
def test_integers_become_float64_block_by_block(given: Any) -> None:
    block = whole(as_rows(given))
    assert block.dtype == np.float64
    assert block.tolist() == [[1, 0, 2]]


@pytest.mark.parametrize("given", [np.array([[True, False]]), torch.tensor([[True, False]]), [[True, False]]])
def test_booleans_become_zeros_and_ones(given: Any) -> None:
    assert whole(as_rows(given)).tolist() == [[1, 0]]


def test_an_array_or_a_memory_map_is_not_copied(tmp_path: Path) -> None:
    np.save(tmp_path / "h.npy", MATRIX)
    mapped = np.load(tmp_path / "h.npy", mmap_mode="r")
    assert as_rows(MATRIX) is MATRIX
    assert as_rows(mapped) is mapped
    assert as_block(MATRIX[1:]).base is MATRIX
    tensor = torch.tensor(MATRIX, dtype=torch.bfloat16)
    assert as_rows(tensor).__array_interface__["data"][0] == tensor.data_ptr()


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        (np.ones(3), r"shape \[3\].*one sample is a row: h\[None, :\]"),
        ([], r"shape \[0\]"),
        (np.ones((2, 3, 4)), r"shape \[2, 3, 4\].*flatten or pool"),
        (np.float64(1), r"shape \[\]"),
        (3.0, r"shape \[\]"),
        (np.ones((0, 3)), r"shape \[0, 3\]: at least one sample and one feature"),
        (np.ones((3, 0)), r"shape \[3, 0\]: at least one sample and one feature"),
        ([[]], r"shape \[1, 0\]"),
        (pd.DataFrame({"a": []}), r"shape \[0, 1\]"),
        (pd.Series([1.0, 2.0]), r"shape \[2\]"),
        (torch.ones(3), r"shape \[3\]"),
        (torch.tensor(1.0), r"shape \[\]"),
    ],
)
def test_a_shape_that_is_no_matrix_is_refused_by_name(given: Any, needed: str) -> None:
    with pytest.raises(InputError, match=f"^embeddings has {needed}"):
        as_rows(given, "embeddings")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([[1, 2], [3]], "is no matrix: its rows have different lengths"),
        ([["a", "b"]], "has dtype <U1, but real numbers are needed"),
        (np.array([[b"a"]]), "has dtype |S1, but real"),
        (MATRIX.astype(complex), "has dtype complex128, but real"),
        (MATRIX.astype(object), "has dtype object, but real"),
        (np.array([["2020-01-01"]], "M8[D]"), "real numbers are needed"),
        (np.zeros((2, 2), "f4,f4"), "real numbers are needed"),
        (MATRIX.astype(ml_dtypes.float8_e4m3fn), "has dtype float8_e4m3fn"),
        (None, "is a NoneType of objects"),
        ({"a": 1}, "is a dict of objects"),
        ([[2**80, 1]], "is a list of objects"),
        (pd.DataFrame({"a": [1.0], "b": ["x"]}), "is a DataFrame of objects"),
        (scipy.sparse.csr_matrix(MATRIX), r"is a sparse matrix.*embeddings\.toarray\(\)"),
        (scipy.sparse.coo_array(MATRIX), "is a sparse matrix"),
        (torch.tensor(MATRIX).to_sparse(), r"is a torch\.float64 tensor that no array can hold: .*Sparse"),
        (torch.tensor(MATRIX, dtype=torch.bfloat16).to_sparse(), r"is a torch\.bfloat16 tensor"),
        (torch.tensor(MATRIX).to(torch.float8_e4m3fn), r"is a torch\.float8_e4m3fn tensor"),
        (torch.empty(2, 2, device="meta"), r"is a torch\.float32 tensor"),
        (torch.ones(2, 2, dtype=torch.complex64).conj(), "has dtype complex64"),
        (np.ma.masked_array(MATRIX, MATRIX > 1), r"is a masked array.*embeddings\.filled\(np\.nan\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_holds_no_real_numbers_is_refused_by_name(given: Any, why: str) -> None:
    with pytest.raises(InputTypeError, match=f"^embeddings .*{why}"):
        as_rows(given, "embeddings")


def test_half_precision_is_widened_to_float32_and_the_rest_keeps_its_width() -> None:
    for half in (np.float16, BFLOAT16):
        wide = as_float(MATRIX.astype(half))
        assert wide.dtype == np.float32
        np.testing.assert_array_equal(wide, MATRIX.astype(half).astype(np.float32))
    assert as_float(MATRIX.astype(np.float32)).dtype == np.float32
    assert as_float(MATRIX).dtype == np.float64
    assert as_float(np.array([[1, 2]])).dtype == np.float64


@given(
    hnp.arrays(
        st.sampled_from(["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "i1", ">i4", "u2", "?"]),
        hnp.array_shapes(min_dims=2, max_dims=2),
        elements={"allow_nan": True, "allow_infinity": True},
    ),
    st.booleans(),
    st.integers(1, 3),
)
def test_a_block_has_the_same_numbers_whatever_its_layout(h: np.ndarray, transposed: bool, step: int) -> None:
    rows = (h.T if transposed else h)[:, ::step]
    block = as_block(rows)
    assert block.flags.c_contiguous and block.dtype.isnative
    assert block.dtype in (np.float16, np.float32, np.float64)
    np.testing.assert_array_equal(block.astype(np.float64), rows.astype(np.float64))


@pytest.mark.parametrize(
    "given", [[1, 2], (1, 2), np.array([1, 2]), pd.Series([1, 2]), torch.tensor([1, 2]), pd.Index([1, 2])]
)
def test_a_vector_comes_from_anything_with_one_value_a_sample(given: Any) -> None:
    vector = as_vector(given, "labels", 2)
    assert isinstance(vector, np.ndarray) and vector.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([1, 2, 3], "has 3 entries, but there are 2 samples"),
        ([], "has 0 entries"),
        ([[1, 2]], r"has shape \[1, 2\], but one value a sample"),
        (7, r"has shape \[\]"),
        ([[1], [1, 2]], "different lengths"),
        (torch.ones(2, 2).to_sparse(), "tensor that no array can hold"),
    ],
)
def test_a_vector_of_another_shape_or_length_is_refused_by_name(given: Any, why: str) -> None:
    with pytest.raises(KaratError, match=f"^labels .*{why}"):
        as_vector(given, "labels", 2)
