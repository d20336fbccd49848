"""The one pass: moments, highly activating features, counts, and the digest of what was read."""

from __future__ import annotations

import dataclasses
import math
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from karat.errors import InputError, InputTypeError
from karat.stats import digest as chunks_of_rows
from karat.stats._blocks import column_means
from karat.stats.activations import Activations, concatenate, highly_activating, refuse_bad, scan
from karat.stats.digest import Digest, chunk_rows, digest_rows
from karat.stats.threads import thread_count
from tests.reference import qscore as transcription
from tests.stats.matrices import (
    BFLOAT16,
    EXTREME,
    FLOATS,
    FOREIGN,
    LAYOUTS,
    ORDINARY,
    cast,
    clear_cut,
    epsilons,
    matrices,
    ordinary_matrices,
    seeds,
)

LAWS = settings(max_examples=50, deadline=None)
FIELDS = [field.name for field in dataclasses.fields(Activations)]
PER_ROW = ("center", "spread", "mean", "std", "l1", "l2", "largest")


def members(found: Activations) -> list[set[int]]:
    """L_i as sets; no feature twice."""
    rows = [found.column[start:end].tolist() for start, end in zip(found.indptr, found.indptr[1:], strict=False)]
    assert all(len(row) == len(set(row)) for row in rows)
    return [set(row) for row in rows]


def assert_identical(found: Activations, expected: Activations) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def digest_of(h: np.ndarray, threads: int = 1) -> str:
    digest = Digest(h.shape, h.dtype)
    for _ in scan(h, epsilon=2.0, keep=False, threads=threads, digest=digest):
        pass
    return digest.hexdigest()


# Closed forms


def test_a_row_of_one_five_among_four_zeros_has_mean_1_and_spread_2() -> None:
    found = highly_activating(np.array([[0.0, 5.0, 0.0, 0.0, 0.0]]), epsilon=1.5)
    assert (found.mean[0], found.std[0], found.l1[0], found.l2[0], found.largest[0]) == (1, 2, 5, 5, 5)
    assert (found.center[0], found.spread[0]) == (1, 2)
    assert (found.column.tolist(), found.value.tolist(), found.indptr.tolist()) == ([1], [5.0], [0, 1])
    assert (found.counts.tolist(), found.zeros, found.negatives) == ([0, 1, 0, 0, 0], 4, 0)


def test_moments_of_a_signed_row_are_those_of_the_row() -> None:
    found = highly_activating(np.array([[-3.0, 1.0, -1.0, 3.0], [0.0, -0.0, -2.0, -2.0]]), epsilon=1)
    assert found.mean.tolist() == [0, -1]
    assert found.std.tolist() == [math.sqrt(5), 1]
    assert found.l1.tolist() == [8, 4]
    np.testing.assert_allclose(found.l2, [math.sqrt(20), math.sqrt(8)], rtol=1e-15)
    assert found.largest.tolist() == [3, 0]
    assert (found.zeros, found.negatives) == (2, 4)
    assert members(found) == [{3}, set()]


def test_entries_are_listed_row_by_row_in_the_order_of_the_columns() -> None:
    h = np.zeros((3, 40), np.float32)
    h[0, [39, 2, 17]] = 1
    h[2, [8, 7]] = 2, 3
    found = highly_activating(h, epsilon=2)
    assert found.indptr.tolist() == [0, 3, 3, 5]
    assert found.column.tolist() == [2, 17, 39, 7, 8]
    assert found.value.tolist() == [1, 1, 1, 3, 2]
    assert found.row.tolist() == [0, 0, 0, 2, 2]
    assert (found.column.dtype, found.indptr.dtype, found.counts.dtype) == (np.int32, np.int64, np.int64)


@pytest.mark.parametrize("dtype", FLOATS + FOREIGN[:8], ids=str)
@pytest.mark.parametrize(("epsilon", "large"), [(2, 5), (3, 10), (4, 17)])
def test_an_entry_exactly_at_the_threshold_is_not_highly_activating(dtype: np.dtype, epsilon: int, large: int) -> None:
    """One entry in `large` has that value and the rest are 0: mean 1, spread epsilon, threshold exactly `large`."""
    h = np.zeros((1, 4 * large), dtype)
    h[0, ::large] = large
    found = highly_activating(h, epsilon=epsilon)
    assert (found.mean[0], found.std[0], found.column.tolist()) == (1, epsilon, [])
    assert highly_activating(h, epsilon=epsilon - 1e-14).column.tolist() == list(range(0, 4 * large, large))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_next_number_above_the_threshold_is_highly_activating(dtype: np.dtype) -> None:
    h = np.zeros((1, 170), dtype)
    h[0, ::17] = 17
    h.view(f"u{dtype.itemsize}")[0, 34] += 1
    assert 17 < float(h[0, 34]) < 17.2
    assert highly_activating(h, epsilon=4).column.tolist() == [34]


@pytest.mark.parametrize("dtype", [np.dtype(np.float16), BFLOAT16], ids=str)
def test_every_number_in_half_precision_counts_as_in_single(dtype: np.dtype) -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    every = every[np.isfinite(every.astype(np.float32))]
    some = np.random.default_rng(0).choice(every, (1500, 40))
    for h in (every[None], every[None, every >= 0], some, np.abs(some), -np.abs(some)):
        for epsilon in (0.0, 0.6, 1.7, 4.0):
            half, single = (highly_activating(m, epsilon=epsilon) for m in (h, h.astype(np.float32)))
            for name in FIELDS:  # moments are summed by other machine code: equal but for the last bit
                rtol = 1e-14 if name in PER_ROW else 0
                np.testing.assert_allclose(getattr(half, name), getattr(single, name), rtol=rtol, err_msg=name)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_zeros_and_signs_are_counted_in_rows_wider_than_16_bits_count(dtype: np.dtype) -> None:
    h = np.zeros((2, 200_000), dtype)
    h[0, ::2] = 1
    h[1, -1] = -1
    found = highly_activating(h, epsilon=4)
    assert (found.zeros, found.negatives, found.l1.tolist()) == (100_000 + 199_999, 1, [100_000, 1])


@pytest.mark.parametrize(("epsilon", "d"), [(1, 2), (2, 5), (3, 10), (4, 17), (5, 26)])
def test_rounding_lets_nothing_exceed_the_largest_deviation_there_can_be(epsilon: int, d: int) -> None:
    values = np.random.default_rng(0).random(200)
    h = np.zeros((200, d))
    h[np.arange(200), np.arange(200) % d] = values
    for matrix in (h, h.astype(np.float32)):
        assert len(highly_activating(matrix, epsilon=epsilon).column) == 0
    assert len(highly_activating(h, epsilon=epsilon - 0.01).column) == 200


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_constant_rows_select_nothing_at_any_epsilon(dtype: np.dtype) -> None:
    for d in (*range(1, 40), 63, 64, 65, 511, 1000, 2049):
        h = np.repeat(np.array([[0.1], [0.3], [-0.7], [1e4], [0.0], [-0.0], [3e-5]]), d, axis=1).astype(dtype)
        for epsilon in (0, 0.5, 4):
            found = highly_activating(h, epsilon=epsilon)
            assert len(found.column) == 0
            assert not found.std.any()
            np.testing.assert_array_equal(found.mean, h[:, 0].astype(float))
            np.testing.assert_array_equal(found.largest, h[:, 0].astype(float))


def test_a_float32_row_with_half_its_entries_at_1e_25_is_selected_in_float64() -> None:
    h = np.zeros((1, 2048), np.float32)
    h[0, ::2] = 1e-25
    assert len(highly_activating(h, epsilon=4).column) == 0
    found = highly_activating(h, epsilon=0.9)
    assert found.column.tolist() == list(range(0, 2048, 2))
    assert found.std[0] == pytest.approx(float(np.float32(1e-25)) / 2, rel=1e-12)


def test_float32_data_shifted_by_1e4_keep_float64_moments() -> None:
    h = (1e4 + np.random.default_rng(0).standard_normal((5, 3000))).astype(np.float32)
    found, wide = highly_activating(h, epsilon=2), h.astype(np.longdouble)
    np.testing.assert_allclose(found.mean, wide.mean(axis=1).astype(float), rtol=1e-15)
    np.testing.assert_allclose(found.std, wide.std(axis=1).astype(float), rtol=1e-10)


@pytest.mark.parametrize("first", [1e3, 3e4, 1e6])
def test_a_first_entry_far_from_the_others_costs_no_digits(first: float) -> None:
    h = np.random.default_rng(0).random((1, 50_000)).astype(np.float32)
    h[0, 0] = first
    found, wide = highly_activating(h), h.astype(np.longdouble)
    assert found.mean[0] == pytest.approx(float(wide.mean()), rel=1e-14)
    assert found.std[0] == pytest.approx(float(wide.std()), rel=1e-14)


def test_more_entries_than_there_is_room_for_at_first_are_all_kept() -> None:
    h = np.random.default_rng(0).random((70, 3001))
    found = highly_activating(h, epsilon=0, threads=1)
    rows, columns = np.nonzero(h > h.mean(axis=1, keepdims=True))
    assert len(columns) > 3 * (1 << 15)
    np.testing.assert_array_equal(found.row, rows)
    np.testing.assert_array_equal(found.column, columns)
    np.testing.assert_array_equal(found.value, h[rows, columns])
    np.testing.assert_array_equal(found.counts, np.bincount(columns, minlength=3001))


# The transcription


@LAWS
@given(matrices, epsilons)
def test_activations_equal_the_exact_transcription(h: np.ndarray, epsilon: float) -> None:
    assume(clear_cut(h, epsilon))
    found, rows = highly_activating(h, epsilon=epsilon), transcription.exact(h)
    expected = [transcription.highly_activating(row, epsilon) for row in rows]
    assert members(found) == expected
    assert found.counts.tolist() == [sum(j in mine for mine in expected) for j in range(h.shape[1])]
    assert found.value.tolist() == [float(rows[i][j]) for i, mine in enumerate(expected) for j in sorted(mine)]
    assert found.zeros == sum(x == 0 for row in rows for x in row)
    assert found.negatives == sum(x < 0 for row in rows for x in row)
    for i, row in enumerate(rows):
        mu, variance = transcription.moments(row)
        near = {"rel": 1e-9, "abs": 1e-13 * float(max(map(abs, row))) + 2e-323}
        assert found.mean[i] == found.center[i] == pytest.approx(float(mu), **near)
        deviation = float(transcription.root(variance)) if variance else 0.0
        assert found.std[i] == found.spread[i] == pytest.approx(deviation, **near)
        assert found.l1[i] == pytest.approx(float(sum(map(abs, row))), **near)
        square = sum(x**2 for x in row)
        assert found.l2[i] == pytest.approx(float(transcription.root(square)) if square else 0.0, **near)
        assert found.largest[i] == float(max(row))


@LAWS
@given(matrices, epsilons, st.booleans())
def test_normalised_activations_are_those_of_the_row_divided_by_its_norm(
    h: np.ndarray, epsilon: float, signed: bool
) -> None:
    means = np.zeros(h.shape[1]) if signed else None
    rows = [transcription.normalized(row) for row in transcription.exact(h)]
    if signed:
        rows = [transcription.split(row, [0] * h.shape[1]) for row in rows]
    assume(all(transcription.closest_call(row, [epsilon]) > 1e-9 for row in rows))
    found = concatenate(list(scan(h, epsilon=epsilon, normalize=True, means=means)))
    expected = [transcription.highly_activating(row, epsilon) for row in rows]
    assert members(found) == expected
    values = {(i, j): float(rows[i][j]) for i, mine in enumerate(expected) for j in mine}
    for i, j, value in zip(found.row, found.column, found.value, strict=True):
        assert value == pytest.approx(values[i, j], rel=1e-9)
    np.testing.assert_allclose(
        found.center, [float(transcription.moments(row)[0]) for row in rows], rtol=1e-9, atol=1e-13
    )


@LAWS
@given(matrices, epsilons, seeds)
def test_halves_are_the_two_sides_of_each_centred_column(h: np.ndarray, epsilon: float, seed: int) -> None:
    size = float(np.abs(h.astype(float)).max())
    means = np.random.default_rng(seed).uniform(-1, 1, h.shape[1]) * size
    rows = [transcription.split(row, transcription.exact(means[None])[0]) for row in transcription.exact(h)]
    assume(all(transcription.closest_call(row, [epsilon]) > 1e-9 for row in rows))
    found = concatenate(list(scan(h, epsilon=epsilon, means=means)))
    expected = [transcription.highly_activating(row, epsilon) for row in rows]
    assert members(found) == expected
    assert found.counts.tolist() == [sum(j in mine for mine in expected) for j in range(2 * h.shape[1])]
    for i, row in enumerate(rows):
        mu, variance = transcription.moments(row)
        near = {"rel": 1e-9, "abs": 1e-13 * size + 2e-323}
        assert found.center[i] == pytest.approx(float(mu), **near)
        assert found.spread[i] == pytest.approx(float(transcription.root(variance)) if variance else 0.0, **near)
    for i, j, value in zip(found.row, found.column, found.value, strict=True):
        assert value == pytest.approx(float(rows[i][j]), rel=1e-9, abs=1e-13 * size + 2e-323)


@LAWS
@given(matrices, st.booleans())
def test_column_means_are_those_of_the_rows(h: np.ndarray, normalize: bool) -> None:
    rows = transcription.exact(h)
    rows = [transcription.normalized(row) for row in rows] if normalize else rows
    expected = [float(sum(column) / len(rows)) for column in zip(*rows, strict=True)]
    size = 1.0 if normalize else float(np.abs(h.astype(float)).max())
    np.testing.assert_allclose(column_means(h, normalize=normalize), expected, rtol=1e-9, atol=1e-13 * size + 2e-323)


# Laws


@LAWS
@given(ordinary_matrices(dtypes=FLOATS), epsilons, st.sampled_from(list(LAYOUTS)))
def test_the_memory_layout_changes_no_bit(h: np.ndarray, epsilon: float, layout: str) -> None:
    plain = np.ascontiguousarray(h)
    assert_identical(
        highly_activating(LAYOUTS[layout](plain), epsilon=epsilon), highly_activating(plain, epsilon=epsilon)
    )


@LAWS
@given(ordinary_matrices(dtypes=FOREIGN), epsilons)
def test_foreign_types_count_as_the_numbers_that_they_hold(h: np.ndarray, epsilon: float) -> None:
    native = h.astype(h.dtype.newbyteorder("=") if h.dtype.kind == "f" else np.float64)
    assert_identical(highly_activating(h, epsilon=epsilon), highly_activating(native, epsilon=epsilon))


@LAWS
@given(matrices, epsilons, seeds)
def test_rows_do_not_look_at_each_other(h: np.ndarray, epsilon: float, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(h))
    found, shuffled = highly_activating(h, epsilon=epsilon), highly_activating(h[order], epsilon=epsilon)
    for name in PER_ROW:
        np.testing.assert_array_equal(getattr(shuffled, name), getattr(found, name)[order], err_msg=name)
    assert members(shuffled) == [members(found)[i] for i in order]
    np.testing.assert_array_equal(shuffled.counts, found.counts)


@LAWS
@given(matrices, epsilons, seeds)
def test_activations_move_with_their_columns(h: np.ndarray, epsilon: float, seed: int) -> None:
    assume(clear_cut(h, epsilon))
    order = np.random.default_rng(seed).permutation(h.shape[1])
    found, shuffled = highly_activating(h, epsilon=epsilon), highly_activating(h[:, order], epsilon=epsilon)
    assert [{int(order[j]) for j in mine} for mine in members(shuffled)] == members(found)
    np.testing.assert_array_equal(shuffled.counts, found.counts[order])


@LAWS
@given(ordinary_matrices(dtypes=FLOATS), epsilons, st.integers(-3, 3))
def test_scaling_by_a_power_of_two_changes_no_selection(h: np.ndarray, epsilon: float, power: int) -> None:
    factor = 2.0 ** (power if h.dtype.itemsize == 2 else 300 * power if h.dtype == np.float64 else 20 * power)
    with np.errstate(over="ignore", under="ignore"):
        scaled = (h.astype(float) * factor).astype(h.dtype)
    assume(np.array_equal(scaled.astype(float) / factor, h.astype(float)))
    found, larger = highly_activating(h, epsilon=epsilon), highly_activating(scaled, epsilon=epsilon)
    np.testing.assert_array_equal(larger.column, found.column)
    np.testing.assert_array_equal(larger.indptr, found.indptr)
    for name in ("value", *PER_ROW):
        np.testing.assert_array_equal(getattr(larger, name), getattr(found, name) * factor, err_msg=name)


@LAWS
@given(matrices, epsilons)
def test_a_higher_threshold_selects_among_those_of_a_lower(h: np.ndarray, epsilon: float) -> None:
    fewer, more = highly_activating(h, epsilon=epsilon + 0.5), highly_activating(h, epsilon=epsilon)
    assert all(few <= many for few, many in zip(members(fewer), members(more), strict=True))
    assert max(np.diff(more.indptr)) <= h.shape[1] / (1 + epsilon**2) + 1e-9  # Cantelli


def test_no_input_is_modified() -> None:
    h = np.random.default_rng(0).standard_normal((6, 30))
    before, means = h.copy(), np.full(30, 0.1)
    for _ in scan(h, epsilon=1.0, normalize=True, means=means):
        pass
    column_means(h, normalize=True)
    np.testing.assert_array_equal(h, before)
    assert (means == 0.1).all()


# Chunks and threads


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("halves", [False, True])
def test_chunks_and_threads_change_no_bit(dtype: np.dtype, halves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    h = cast(ORDINARY["signed"](np.random.default_rng(0), 211, 30), dtype)
    means = column_means(h) if halves else None

    def passed(threads: int) -> Activations:
        return concatenate(list(scan(h, epsilon=1.5, means=means, threads=threads)))

    whole = passed(1)
    monkeypatch.setattr(chunks_of_rows, "_CHUNK_BYTES", 10 * 30 * dtype.itemsize)
    assert chunk_rows(h) == 10
    for threads in (1, 2, 3):
        assert_identical(passed(threads), whole)


def test_counts_alone_are_the_same_as_with_the_entries() -> None:
    h = np.random.default_rng(0).standard_normal((50, 40))
    for means in (None, np.zeros(40)):
        kept, counted = (next(scan(h, epsilon=1.0, means=means, keep=keep)) for keep in (True, False))
        np.testing.assert_array_equal(counted.counts, kept.counts)
        assert (counted.zeros, counted.negatives, len(counted.column)) == (kept.zeros, kept.negatives, 0)
        np.testing.assert_array_equal(counted.center, kept.center)


def test_a_pass_that_is_left_early_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_of_rows, "_CHUNK_BYTES", 1)
    chunks = scan(np.random.default_rng(0).random((100, 10)), epsilon=1.0, threads=3)
    assert len(next(chunks)) == 1
    chunks.close()  # type: ignore[attr-defined]
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("karat-kernel")]


def test_an_error_of_a_chunk_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    class Torn:
        shape, dtype = (30, 10), np.dtype(np.float64)

        def __getitem__(self, rows: slice) -> np.ndarray:
            if rows.start >= 20:
                raise OSError("the disk went away")
            return np.ones((rows.stop - rows.start, 10))

    monkeypatch.setattr(chunks_of_rows, "_CHUNK_BYTES", 800)
    for threads in (1, 2):
        with pytest.raises(OSError, match="the disk went away"):
            list(scan(Torn(), epsilon=1.0, threads=threads))


def test_a_memory_map_is_read_as_its_array(tmp_path: Path) -> None:
    h = np.random.default_rng(0).random((20, 30)).astype(np.float16)
    np.save(tmp_path / "h.npy", h)
    assert_identical(
        highly_activating(np.load(tmp_path / "h.npy", mmap_mode="r"), epsilon=2), highly_activating(h, epsilon=2)
    )


def test_lists_are_matrices_too() -> None:
    assert highly_activating([[0, 5, 0, 0, 0]], epsilon=1.5).column.tolist() == [1]


@pytest.mark.parametrize("given", [1, 3, np.int64(2), "4"])
def test_threads_are_as_many_as_asked_for(given: int | str, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(given, str):
        monkeypatch.setenv("KARAT_NUM_THREADS", given)
    assert thread_count(None if isinstance(given, str) else given) == int(given)


def test_the_argument_goes_before_the_variable_and_the_variable_before_the_processors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(11)), raising=False)
    monkeypatch.setenv("KARAT_NUM_THREADS", "5")
    assert (thread_count(2), thread_count()) == (2, 5)
    monkeypatch.setenv("KARAT_NUM_THREADS", "")
    assert thread_count() == 11


@pytest.mark.parametrize("threads", [0, -1, 2.5, 2.0, float("inf"), float("nan"), "2x", [1]])
def test_threads_that_are_no_positive_whole_number_are_refused(threads: object) -> None:
    with pytest.raises(InputError, match=r"threads is .*, but a whole number of at least 1 is needed"):
        highly_activating(np.ones((2, 3)), threads=threads)  # type: ignore[arg-type]


@pytest.mark.parametrize("variable", ["0", "-2", "two", "1.5"])
def test_a_thread_variable_that_is_no_positive_whole_number_is_refused(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KARAT_NUM_THREADS", variable)
    with pytest.raises(InputError, match=f"KARAT_NUM_THREADS is '{variable}', but a whole number"):
        highly_activating(np.ones((2, 3)))


# The digest


@pytest.mark.parametrize("dtype", FLOATS + FOREIGN, ids=str)
def test_the_digest_does_not_depend_on_threads_or_layout(dtype: np.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_of_rows, "_CHUNK_BYTES", 10 * 30 * dtype.itemsize)
    h = cast(ORDINARY["positive"](np.random.default_rng(0), 95, 30), dtype)
    digests = {digest_of(h, threads) for threads in (1, 2, 3)} | {digest_of(layout(h)) for layout in LAYOUTS.values()}
    digests |= {digest_rows(h)}
    assert len(digests) == 1
    assert len(digests.pop()) == 32


@LAWS
@given(ordinary_matrices(dtypes=FLOATS), st.data())
def test_the_digest_changes_with_any_bit(h: np.ndarray, data: st.DataObject) -> None:
    raw = bytearray(np.ascontiguousarray(h).tobytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    changed = np.frombuffer(raw, h.dtype).reshape(h.shape)
    assert digest_of(changed) != digest_of(h)


def test_the_digest_changes_with_type_shape_and_order() -> None:
    h = np.arange(24, dtype=np.float32).reshape(4, 6)
    others = [h.reshape(6, 4), h.astype(np.float64), h.view(np.int32), h[::-1], h[:3], h.astype(np.float16)]
    assert len({digest_of(matrix) for matrix in [h, *others, h.astype(BFLOAT16)]}) == 8
    assert digest_of(h.astype(">f4")) == digest_of(h)
    same_numbers = [h.astype(dtype) for dtype in (np.float64, np.int64, np.int32, np.uint8, np.int8)]
    same_bits = [h.astype(np.float16), h.astype(np.float16).view(BFLOAT16)]
    assert len({digest_of(matrix) for matrix in [*same_numbers, *same_bits]}) == 7


# Rows that are not finite


@pytest.mark.parametrize("dtype", [*FLOATS, np.dtype(">f4")], ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 12, 16])
def test_one_value_that_is_not_finite_spoils_its_row_alone(dtype: np.dtype, value: float, place: int) -> None:
    h = cast(ORDINARY["positive"](np.random.default_rng(0), 6, 17), dtype)
    clean = highly_activating(np.delete(h, 2, axis=0), epsilon=1)
    h[2, place] = value
    for means in (None, np.zeros(17)):
        (found,) = scan(h, epsilon=1.0, means=means)
        assert found.bad.tolist() == [False, False, True, False, False, False]
        assert all(np.isnan(getattr(found, name)[2]) for name in PER_ROW)
        assert (found.counts[:17] == clean.counts).all() or means is not None
        assert (found.zeros, found.negatives) == (clean.zeros, clean.negatives)
        assert len(members(found)[2]) == 0
    np.testing.assert_array_equal(column_means(h), column_means(np.delete(h, 2, axis=0)))
    with pytest.raises(InputError, match=r"NaN or infinity, first in rows 2: remove"):
        highly_activating(h)


def test_opposite_infinities_do_not_cancel() -> None:
    h = np.ones((1, 20))
    h[0, :2] = np.inf, -np.inf
    for matrix in (h, h.astype(np.float32), h.astype(np.float16), h.astype(BFLOAT16)):
        with pytest.raises(InputError, match="rows 0"):
            highly_activating(matrix)


def test_finite_rows_whose_sum_overflows_are_finite() -> None:
    h = np.zeros((2, 100))
    h[0, :50], h[1] = 1.5e308, 1.7e308
    found = highly_activating(h, epsilon=0.5)
    assert members(found) == [set(range(50)), set()]
    assert found.mean.tolist() == [pytest.approx(0.75e308, rel=1e-15), pytest.approx(1.7e308, rel=1e-15)]


def test_the_first_bad_rows_are_named_by_number_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_of_rows, "_CHUNK_BYTES", 10 * 4 * 8)
    h = np.ones((40, 4))
    h[[23, 27, 35]] = np.nan
    with pytest.raises(InputError, match=r"first in rows 23, 27: remove these samples"):
        highly_activating(h, threads=2)


def test_bad_rows_are_named_by_id_and_no_more_than_five() -> None:
    bad, ids = np.ones(7, bool), np.array([f"cat_{i}" for i in range(10)])
    with pytest.raises(InputError, match=r"first in ids cat_3, cat_4, cat_5, cat_6, cat_7 \.\.\.: remove"):
        refuse_bad(bad, 3, ids)
    assert refuse_bad(np.zeros(7, bool)) is None


# Error texts


@pytest.mark.parametrize("epsilon", [-0.1, float("nan"), float("inf"), "4", None])
def test_an_epsilon_that_is_no_number_of_at_least_0_is_refused(epsilon: object) -> None:
    with pytest.raises(InputError, match=r"epsilon is .*, but a number of at least 0 is needed"):
        highly_activating(np.ones((2, 3)), epsilon=epsilon)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("h", "error", "text"),
    [
        (np.ones(3), InputError, r"h has shape \[3\], but a matrix .* is needed: one sample is a row: h\[None, :\]"),
        (np.ones((2, 3, 4)), InputError, r"h has shape \[2, 3, 4\], .* flatten or pool"),
        (np.ones((0, 3)), InputError, r"h has shape \[0, 3\]: at least one sample and one feature"),
        (np.ones((3, 0)), InputError, r"h has shape \[3, 0\]: at least one sample and one feature"),
        (np.ones((2, 2), complex), InputTypeError, "h has dtype complex128, but real numbers are needed"),
        (np.array([["a", "b"]]), InputTypeError, "h has dtype <U1, but real numbers are needed"),
        ([[1.0], [1.0, 2.0]], InputTypeError, "its rows have different lengths"),
    ],
    ids=["1-D", "3-D", "no rows", "no columns", "complex", "strings", "ragged"],
)
def test_what_is_no_matrix_of_numbers_is_refused(h: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        highly_activating(h)  # type: ignore[arg-type]


def test_every_extreme_size_is_tried_in_some_type() -> None:
    assert {1e-45, 1e-25, 1e-200, 1e-310, 1e25, 1e30, 1e200} == set(EXTREME)
