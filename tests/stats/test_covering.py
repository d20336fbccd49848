"""Few samples that cover many."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from karat.errors import InputError
from karat.stats.covering import farthest_first
from tests.reference import covering as slow

H = np.random.default_rng(0).normal(size=(40, 5))


def test_rows_and_distances_equal_the_transcription() -> None:
    rows, distances = farthest_first(H, 12)
    chosen, exact = slow.farthest_first(H.tolist(), 12)
    assert rows.tolist() == chosen
    np.testing.assert_allclose(distances, exact, rtol=1e-5)


def test_fewer_are_the_first_of_more() -> None:
    assert farthest_first(H, 5)[0].tolist() == farthest_first(H, 12)[0].tolist()[:5]


def test_distances_never_rise() -> None:
    assert np.all(np.diff(farthest_first(H, 40)[1][1:]) <= 1e-6)


def test_all_rows_are_chosen_once_even_where_they_repeat() -> None:
    assert sorted(farthest_first(np.repeat(H[:5], 3, axis=0), 15)[0].tolist()) == list(range(15))
    assert sorted(farthest_first(np.ones((6, 3)), 6)[0].tolist()) == list(range(6))


def test_each_of_a_few_clusters_is_found_before_any_is_visited_twice() -> None:
    rng = np.random.default_rng(1)
    centres = np.eye(6)[:4] * 10
    h = np.repeat(centres, 25, axis=0) + rng.normal(size=(100, 6)) / 10
    assert sorted(row // 25 for row in farthest_first(h, 4)[0].tolist()) == [0, 1, 2, 3]


def test_no_sample_is_farther_than_twice_the_best_radius() -> None:
    h = H[:12]
    unit = slow.centred_directions(h.tolist())

    def radius(chosen: tuple[int, ...]) -> float:
        return max(min(slow.distance(row, unit[j]) for j in chosen) for row in unit)

    best = min(radius(chosen) for chosen in combinations(range(12), 3))
    assert radius(tuple(farthest_first(h, 3)[0].tolist())) <= 2 * best


@pytest.mark.parametrize("count", [0, 41, -1])
def test_a_count_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(InputError, match=f"count is {count}, but h has 40 rows"):
        farthest_first(H, count)


def test_rows_that_are_not_finite_are_refused() -> None:
    h = H.copy()
    h[7, 1] = math.nan
    with pytest.raises(InputError, match="NaN or infinity, first in rows 7"):
        farthest_first(h, 3)
