"""Views of one image are found together, however their rows lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from karat.embeddings import Embeddings, Shards
from karat.errors import InputError, InputTypeError
from karat.views import view_set

# Row i of image j, view k holds 100 j + 10 k + column.
GIVEN = 100.0 * np.arange(4)[:, None, None] + 10.0 * np.arange(3)[None, :, None] + np.arange(2)
ROWS, IDS = GIVEN.reshape(12, 2), np.repeat(["a", "b", "c", "d"], 3)
NUMBERS = np.tile([0, 1, 2], 4)


def shuffled(seed: int, **extra: np.ndarray) -> Embeddings:
    """The same rows in another order."""
    order = np.random.default_rng(seed).permutation(12)
    return Embeddings(ROWS[order], ids=IDS[order], extra={name: values[order] for name, values in extra.items()})


def test_an_array_is_as_it_was_given() -> None:
    found = view_set(GIVEN, d=2)
    assert found.shape == (4, 3, 2)
    np.testing.assert_array_equal(found[0:4], GIVEN)
    np.testing.assert_array_equal(found[1:3], GIVEN[1:3])
    np.testing.assert_array_equal(found.take(np.array([3, 0]))[0:2], GIVEN[[3, 0]])


@pytest.mark.parametrize("seed", range(4))
def test_rows_of_one_id_are_the_views_of_one_image_in_the_order_of_their_numbers(seed: int) -> None:
    found = view_set(shuffled(seed, view=NUMBERS), d=2)
    np.testing.assert_array_equal(found[0:4], GIVEN)
    np.testing.assert_array_equal(found[2:9], GIVEN[2:])


def test_without_numbers_views_keep_the_order_of_their_rows() -> None:
    emb = shuffled(0)
    found = view_set(emb, d=2)
    for image, name in enumerate("abcd"):
        np.testing.assert_array_equal(found[image : image + 1][0], emb.h[emb.ids == name])


@pytest.mark.parametrize("kind", ["memory map", "shards", "integers"])
def test_views_on_disk_are_read_where_they_lie(kind: str, tmp_path: Any) -> None:
    if kind == "memory map":
        np.save(tmp_path / "h.npy", ROWS)
        emb = Embeddings(np.load(tmp_path / "h.npy", mmap_mode="r"), ids=IDS, extra={"view": NUMBERS})
    elif kind == "shards":
        emb = Embeddings(Shards([ROWS[:5], ROWS[5:]]), ids=IDS, extra={"view": NUMBERS})
    else:
        emb = Embeddings(ROWS, ids=np.repeat(np.arange(4), 3), extra={"view": np.tile(["x", "y", "z"], 4)})
    np.testing.assert_array_equal(view_set(emb, d=2)[0:4], GIVEN)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (Embeddings(ROWS), "views has no ids, but rows of one id are the views of one image"),
        (Embeddings(ROWS, ids=np.arange(12)), "views has one row of each of 12 ids"),
        (
            Embeddings(ROWS[:10], ids=IDS[:10]),
            r"views has 3 rows of most ids, but another number of 1: d \(1\): each image",
        ),
        (
            Embeddings(
                np.ones((18, 2)), ids=[f"{i:02}" for i in range(6)] + [f"x{i}" for i in range(4) for _ in "abc"]
            ),
            r"views has 1 rows of most ids, but another number of 4: x0 \(3\), x1 \(3\), x2 \(3\), x3 \(3\): each",
        ),
        (Embeddings(ROWS, ids=IDS, extra={"view": np.tile([0, 1, 1], 4)}), "the same view twice of 4 ids, first of a:"),
        (GIVEN[:, :1], "views has one view of each image"),
        (ROWS, r"views has shape \[12, 2\]"),
        (GIVEN[:, :, :1], "views has 1 features, but h has 2: both must come from the same encoder"),
        (Embeddings(ROWS[:, :1], ids=IDS), "views has 1 features, but h has 2"),
    ],
)
def test_what_are_no_views_is_refused(views: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        view_set(views, d=2)


def test_many_ids_with_another_number_of_views_are_not_all_listed() -> None:
    ids = np.concatenate([np.repeat(np.arange(20), 2), np.arange(7)])
    with pytest.raises(
        InputError, match=r"another number of 7: 0 \(3\), 1 \(3\), 2 \(3\), 3 \(3\), 4 \(3\), \.\.\.: each"
    ):
        view_set(Embeddings(np.ones((47, 2)), ids=ids), d=2)


def test_images_with_different_numbers_of_views_are_no_array() -> None:
    with pytest.raises(InputTypeError, match="images have different numbers of views"):
        view_set([[[1.0], [2.0]], [[1.0]]], d=1)
