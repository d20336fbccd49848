"""Embeddings and the matrices that are read slice by slice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karat.embeddings import Embeddings, Shards, Streamed, Window, as_embeddings
from karat.errors import InputError, InputTypeError

N, D = 23, 5
MATRIX = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
STARTS = [0, 6, 6, 15]  # the second chunk is empty


class Decoder:
    """Gives MATRIX in blocks of up to 4 rows and remembers which it gave."""

    def __init__(self, seconds: float = 0) -> None:
        self.decoded: list[int] = []
        self.seconds = seconds

    def blocks_from(self, number: int) -> Iterator[np.ndarray]:
        for start, stop in zip(STARTS[number:], [*STARTS[number + 1 :], N], strict=True):
            for first in range(start, stop, 4):
                self.decoded.append(first)
                time.sleep(self.seconds)
                yield MATRIX[first : min(first + 4, stop)]

    def rows(self) -> Streamed:
        return Streamed((N, D), MATRIX.dtype, starts=STARTS, blocks_from=self.blocks_from)


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The same matrix in every form that rows can have."""
    path = tmp_path_factory.mktemp("forms") / "h.npy"
    np.save(path, MATRIX)
    return {
        "array": MATRIX,
        "map": np.load(path, mmap_mode="r"),
        "shards": Shards(np.split(MATRIX, [1, 9, 10])),
        "streamed": Decoder().rows(),
        "window": Window(
            Shards([np.zeros((3, D + 1), np.float32), np.pad(MATRIX, ((0, 2), (1, 0)))]), 3, 3 + N, slice(1, None)
        ),
    }


def slices(size: int) -> st.SearchStrategy[slice]:
    ends = st.none() | st.integers(-size - 2, size + 2)
    return st.builds(slice, ends, ends, st.none() | st.sampled_from([1, 2, -1, -3]))


def indices(size: int) -> st.SearchStrategy[object]:
    integers = st.lists(st.integers(-size, size - 1), min_size=1, max_size=12).map(np.array)
    masks = st.lists(st.booleans(), min_size=size, max_size=size).map(np.array)
    return slices(size) | integers | masks


@pytest.mark.parametrize("form", ["array", "map", "shards", "streamed", "window"])
@settings(deadline=None)
@given(rows=indices(N), columns=st.just(slice(None)) | indices(D))
def test_taking_rows_and_columns_equals_numpy(
    forms: dict[str, object], form: str, rows: object, columns: object
) -> None:
    expected = MATRIX[rows][:, columns]
    names, kinds = np.array([f"image-{row}" for row in range(N)]), np.arange(N) % 3
    embeddings = Embeddings(forms[form], ids=names, labels=kinds, extra={"path": names})
    if expected.size == 0:
        with pytest.raises(InputError, match="at least one sample and one feature"):
            embeddings[rows, columns]
        return
    taken = embeddings[rows, columns]
    np.testing.assert_array_equal(taken.h[:], expected)
    np.testing.assert_array_equal(np.concatenate([block for _, block in taken.blocks(rows=3)]), expected)
    assert (len(taken), taken.d, taken.dtype) == (*expected.shape, np.float32)
    assert taken.ids.tolist() == taken.extra["path"].tolist() == names[rows].tolist()
    assert taken.labels.tolist() == kinds[rows].tolist()


@settings(deadline=None)
@given(st.lists(st.integers(0, N), max_size=6).map(sorted), st.integers(1, N + 1))
def test_blocks_do_not_depend_on_the_shards(cuts: list[int], rows: int) -> None:
    parts = np.split(MATRIX, cuts)
    sharded = Embeddings(Shards(parts))
    for (start, block), (first, expected) in zip(
        sharded.blocks(rows=rows), Embeddings(MATRIX).blocks(rows=rows), strict=True
    ):
        assert start == first
        np.testing.assert_array_equal(block, expected)


def test_a_streamed_pass_decodes_each_block_once() -> None:
    decoder = Decoder()
    rows = decoder.rows()
    rows[:1]  # a look at the first row costs no second decoding
    for start in range(0, N, 3):
        np.testing.assert_array_equal(rows[start : min(start + 3, N)], MATRIX[start : min(start + 3, N)])
    assert decoder.decoded == [0, 4, 6, 10, 14, 15, 19]


def test_streamed_rows_can_be_entered_at_a_later_chunk() -> None:
    decoder = Decoder()
    np.testing.assert_array_equal(decoder.rows()[16:18], MATRIX[16:18])
    assert decoder.decoded == [15]


def test_streamed_rows_are_right_for_several_threads_at_once() -> None:
    decoder = Decoder(seconds=1e-4)
    rows = decoder.rows()
    starts = np.random.default_rng(0).integers(0, N - 5, 200).tolist()
    with ThreadPoolExecutor(4) as pool:
        blocks = list(pool.map(lambda start: rows[start : start + 5], starts))
    for start, block in zip(starts, blocks, strict=True):
        np.testing.assert_array_equal(block, MATRIX[start : start + 5])


def test_streamed_rows_fail_again_where_they_failed() -> None:
    def blocks_from(number: int) -> Iterator[np.ndarray]:
        yield MATRIX[:4]
        raise InputError("row 4 is damaged")

    rows = Streamed((N, D), MATRIX.dtype, starts=[0], blocks_from=blocks_from)
    for _ in range(2):
        with pytest.raises(InputError, match="row 4 is damaged"):
            rows[3:6]
        np.testing.assert_array_equal(rows[:4], MATRIX[:4])


def test_rows_of_a_map_stay_on_disk(forms: dict[str, object]) -> None:
    embeddings = Embeddings(forms["map"])
    assert embeddings.h is forms["map"]
    assert np.shares_memory(embeddings[5:9].h, forms["map"])
    assert isinstance(embeddings[5:9, [0, 2]].h, Window)


def test_nothing_is_copied_on_creation() -> None:
    assert Embeddings(MATRIX).h is MATRIX
    assert Embeddings(Shards([MATRIX])).h[2:4].base is MATRIX


def test_lazy_rows_become_an_array_where_numpy_asks_for_one() -> None:
    np.testing.assert_array_equal(np.asarray(Shards([MATRIX[:4], MATRIX[4:]])), MATRIX)


def test_lazy_rows_have_no_step() -> None:
    with pytest.raises(InputError, match="step is 2"):
        Shards([MATRIX])[::2]


def test_shards_must_be_alike() -> None:
    with pytest.raises(InputError, match=r"shard 1 has 5 features of float64, but shard 0 has 5 of float32"):
        Shards([MATRIX, MATRIX.astype(float)])
    with pytest.raises(InputError, match=r"shard 2 has 4 features of float32, but shard 0 has 5 of float32"):
        Shards([MATRIX, MATRIX, MATRIX[:, :4]])
    with pytest.raises(InputError, match="no shards"):
        Shards([])


def test_the_row_number_is_the_id_and_stays_with_the_row() -> None:
    embeddings = Embeddings(MATRIX)
    assert embeddings.ids is None
    assert embeddings.sample_ids.tolist() == list(range(N))
    assert embeddings[:, 1:].ids is None
    assert embeddings[20:][[-1, 0]].sample_ids.tolist() == [22, 20]


def test_ids_are_strings_or_integers_and_may_repeat() -> None:
    assert Embeddings(MATRIX[:3], ids=[7, 7, 1]).sample_ids.tolist() == [7, 7, 1]
    assert Embeddings(MATRIX[:2], ids=np.array(["a", "b"], dtype=object)).ids.tolist() == ["a", "b"]
    assert Embeddings(MATRIX[:2], ids=np.array(["a", "b"], dtype=np.dtypes.StringDType())).ids.tolist() == ["a", "b"]
    with pytest.raises(InputTypeError, match="ids has dtype float64"):
        Embeddings(MATRIX[:2], ids=[0.5, 1.0])
    with pytest.raises(InputTypeError, match="the id of row 1 is None"):
        Embeddings(MATRIX[:2], ids=["a", None])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"ids": ["a"]}, "ids has 1 entries, but there are 23 samples"),
        ({"labels": np.zeros((N, 2))}, r"labels has shape \[23, 2\]"),
        ({"extra": {"path": ["a", "b"]}}, r"extra\['path'\] has 2 entries"),
        ({"extra": {"label": np.zeros(N)}}, "a column 'label', but id, label, row, h are taken"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Embeddings(MATRIX, **columns)


@pytest.mark.parametrize(
    ("index", "error", "words"),
    [
        (3, InputTypeError, "rows 3 cannot be taken"),
        ([0.5], InputTypeError, "a slice, an array of integers or a mask"),
        ([0, 23], InputError, "there are 23 rows, but number 23"),
        ((slice(None), [-6]), InputError, "there are 5 columns, but number -6"),
        (np.ones(4, bool), InputError, "the mask of rows has 4 entries, but there are 23 rows"),
        ((0, 0, 0), InputError, "two dimensions"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(index: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Embeddings(MATRIX)[index]


def test_small_integer_types_reach_every_row() -> None:
    h = np.arange(200.0)[:, None]
    assert Embeddings(h)[np.array([-128, 127], np.int8)].h.tolist() == [[72], [127]]
    assert Embeddings(h)[np.array([199], np.uint8)].h.tolist() == [[199]]


def test_embeddings_pass_through_and_matrices_are_wrapped() -> None:
    embeddings = Embeddings(MATRIX)
    assert as_embeddings(embeddings) is embeddings
    assert as_embeddings([[1, 2], [3, 4]]).h.tolist() == [[1, 2], [3, 4]]
    assert as_embeddings(MATRIX.astype(ml_dtypes.bfloat16)).dtype == ml_dtypes.bfloat16
    with pytest.raises(InputTypeError, match=r"reference is the path 'train.npy'.*karat\.load"):
        as_embeddings("train.npy", "reference")
    with pytest.raises(InputError, match=r"reference has shape \[3\]"):
        as_embeddings([1, 2, 3], "reference")


def test_a_tensor_is_taken_without_a_copy() -> None:
    import torch

    tensor = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3)
    embeddings = as_embeddings(tensor)
    assert embeddings.dtype == ml_dtypes.bfloat16
    tensor[0, 0] = 5
    assert embeddings.h[:].astype(float).tolist() == [[5, 1, 2], [3, 4, 5]]


def test_the_printed_form_names_what_is_there() -> None:
    embeddings = Embeddings(MATRIX, labels=np.zeros(N), extra={"path": np.arange(N)})
    assert repr(embeddings) == "Embeddings(n=23, d=5, dtype=float32, labels, path)"
