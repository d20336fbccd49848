"""What moved between two encoders."""

from __future__ import annotations

import math
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karat.errors import InputError
from karat.stats.shifts import lowest_overlap, mcnemar

verdicts = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


@given(verdicts)
def test_mcnemar_is_the_binomial_tail_of_the_changed_samples(pairs: list[tuple[bool, bool]]) -> None:
    first, second = zip(*pairs, strict=True)
    gained, lost = sum(b > a for a, b in pairs), sum(a > b for a, b in pairs)
    changed = gained + lost
    tail = sum(comb(changed, k) for k in range(min(gained, lost) + 1)) / 2**changed
    found = mcnemar(first, second)
    assert (found.gained, found.lost) == (gained, lost)
    assert found.p == pytest.approx(min(1, 2 * tail))


def test_two_equal_classifiers_do_not_differ() -> None:
    assert mcnemar([True, False], [True, False]) == (0, 0, 1.0)


def test_the_lowest_of_equal_orders_are_the_same_and_of_opposite_ones_are_not() -> None:
    values = np.arange(50.0)
    assert lowest_overlap(values, values**2) == 1
    assert lowest_overlap(values, -values) == 0
    assert lowest_overlap(values, -values, share=1) == 1


def test_by_chance_the_overlap_is_the_share() -> None:
    rng = np.random.default_rng(0)
    found = [lowest_overlap(*rng.normal(size=(2, 200)), share=0.25) for _ in range(200)]
    assert np.mean(found) == pytest.approx(0.25, abs=0.01)


def test_samples_tied_at_the_border_count_in_part() -> None:
    # Of five zeros two would be taken by lot, each with a chance of 2/5: two of them are the lowest of the other.
    tied = [0, 0, 0, 0, 0, 1, 2, 3, 4, 5]
    other = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert lowest_overlap(tied, other, share=0.2) == pytest.approx(2 / 5)
    assert lowest_overlap([7] * 10, other, share=0.2) == pytest.approx(0.2)


@pytest.mark.parametrize("share", [0, 1.01, -1, math.nan])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="share is"):
        lowest_overlap([1, 2], [1, 2], share=share)


def test_different_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="second has 1 entries"):
        lowest_overlap([1, 2], [1])
    with pytest.raises(InputError, match="second has 1 entries"):
        mcnemar([1, 0], [1])
