"""Which features discriminate, and in which order they are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karat.errors import InputError
from karat.stats.discriminative import column_share, discriminative_features, rank_features
from tests.reference import qscore as transcription

LAWS = settings(max_examples=60, deadline=None)

count_lists = st.lists(st.integers(0, 12) | st.integers(0, 10**6), min_size=1, max_size=60)
bands = st.tuples(st.integers(0, 100) | st.floats(0, 100), st.integers(0, 100) | st.floats(0, 100)).map(sorted)
overs = st.sampled_from(["active", "all"])


def chosen(share: list[float], **band: object) -> list[int]:
    return np.flatnonzero(discriminative_features(np.array(share), **band)).tolist()  # type: ignore[arg-type]


# Closed forms


def test_the_default_band_goes_from_the_median_to_the_95th_percentile_of_the_active_features() -> None:
    share = [0.0, 0.0, *(k / 100 for k in range(1, 22))]  # percentiles 50, 95 of 0.01 ... 0.21: 0.11 and 0.20
    assert chosen(share) == list(range(12, 22))


@pytest.mark.parametrize("lower", range(101))
def test_both_ends_are_included_wherever_a_percentile_meets_a_feature(lower: int) -> None:
    """Of 101 counts 1, 2, ... 101, the percentile p is the count p + 1."""
    assert chosen(list(range(1, 102)), lower=lower, upper=lower) == [lower]


@pytest.mark.parametrize(("percent", "place", "n"), [(7, 7, 101), (56, 14, 26), (28, 28, 101)])
def test_a_percentile_that_rounding_would_miss_is_met(percent: int, place: int, n: int) -> None:
    assert chosen(list(range(1, n + 1)), lower=percent, upper=100)[0] == place
    assert chosen(list(range(1, n + 1)), lower=0, upper=percent)[-1] == place


def test_between_two_features_the_percentile_is_interpolated() -> None:
    assert chosen([1, 2, 4, 8], lower=50, upper=90) == [2]  # 3 and 6.8
    assert chosen([1, 2, 4, 8], lower=34, upper=100) == [2, 3]  # 2.04 and 8
    assert chosen([1, 2, 4, 8], lower=33, upper=100) == [1, 2, 3]  # 1.99 and 8


def test_tied_features_are_all_in_or_all_out() -> None:
    assert chosen([3, 3, 3, 3]) == [0, 1, 2, 3]
    assert chosen([1, 5, 5, 5, 9]) == [1, 2, 3]
    assert chosen([1, 1, 1, 5, 5, 5, 5, 9, 9]) == [3, 4, 5, 6, 7, 8]


def test_dead_features_count_for_the_percentiles_only_over_all() -> None:
    share = [0, 0, 0, 0, 0, 1, 2, 3, 4]
    assert chosen(share, over="active", upper=100) == [7, 8]  # the median of 1, 2, 3, 4 is 2.5
    assert chosen(share, over="all", upper=100) == [
        5,
        6,
        7,
        8,
    ]  # the median of all is 0, but dead features never are in D
    assert chosen(share, over="all", lower=75, upper=100) == [6, 7, 8]


def test_without_an_active_feature_none_is_discriminative() -> None:
    for over in ("active", "all"):
        assert chosen([0, 0, 0], over=over) == []


def test_a_lone_active_feature_is_discriminative() -> None:
    assert chosen([0, 7, 0]) == [1]
    assert chosen([7]) == [0]


def test_the_full_band_holds_every_active_feature() -> None:
    assert chosen([0.3, 0, 0.1, 1.0], lower=0, upper=100) == [0, 2, 3]


def test_the_mask_is_boolean_and_lists_are_taken() -> None:
    mask = discriminative_features([0.0, 0.5])  # type: ignore[arg-type]
    assert (mask.dtype, mask.tolist()) == (bool, [False, True])


# The transcription and laws


@LAWS
@given(count_lists, bands, overs)
def test_discriminative_features_equal_the_exact_transcription(counts: list[int], band: list[float], over: str) -> None:
    lower, upper = band
    expected = transcription.discriminative(counts, lower, upper, over)
    # Where a percentile is within rounding of a count without meeting it, either answer is right.
    pool = [c for c in counts if c > 0] if over == "active" else counts
    for percent in band if any(counts) else []:
        exact = transcription.percentile(pool, percent)
        if any(0 < abs(exact - c) < 1e-9 * c for c in counts):
            return
    assert set(chosen(counts, lower=lower, upper=upper, over=over)) == expected


@LAWS
@given(count_lists, st.integers(1, 1000))
def test_counts_and_shares_choose_the_same_features(counts: list[int], n: int) -> None:
    share = [count / (max(counts) + n) for count in counts]
    assert chosen(share) == chosen(counts)


@LAWS
@given(count_lists, bands, overs, st.randoms(use_true_random=False))
def test_discriminative_features_move_with_their_columns(
    counts: list[int], band: list[float], over: str, random: object
) -> None:
    order = list(range(len(counts)))
    random.shuffle(order)  # type: ignore[attr-defined]
    lower, upper = band
    shuffled = chosen([counts[j] for j in order], lower=lower, upper=upper, over=over)
    assert sorted(order[j] for j in shuffled) == chosen(counts, lower=lower, upper=upper, over=over)


@LAWS
@given(count_lists, bands, bands)
def test_a_wider_band_holds_the_narrower(counts: list[int], one: list[float], other: list[float]) -> None:
    wide = set(chosen(counts, lower=min(one[0], other[0]), upper=max(one[1], other[1])))
    assert set(chosen(counts, lower=one[0], upper=one[1])) <= wide


# The order in which features are kept


def test_features_are_kept_from_the_most_shared_down_then_the_generic_then_the_dead() -> None:
    share = np.array([5, 0, 100, 3, 20, 0, 8, 99, *([1] * 32)])  # 38 active: the 95th percentile is 31.85, two above it
    assert rank_features(share).tolist() == [4, 6, 0, 3, *range(8, 40), 2, 7, 1, 5]


def test_ties_are_kept_by_column_number() -> None:
    assert rank_features(np.array([2, 2, 1, 2, 1, 0, 0])).tolist() == [0, 1, 3, 2, 4, 5, 6]


def test_dead_features_alone_keep_their_order() -> None:
    assert rank_features(np.zeros(4)).tolist() == [0, 1, 2, 3]


def test_the_upper_percentile_moves_the_generic_group() -> None:
    share = np.array([1, 2, 3, 4, 5])
    assert rank_features(share, upper=100).tolist() == [4, 3, 2, 1, 0]
    assert rank_features(share, upper=50).tolist() == [2, 1, 0, 4, 3]
    assert rank_features(np.arange(102), upper=7)[:8].tolist() == [8, 7, 6, 5, 4, 3, 2, 1]


@LAWS
@given(count_lists, st.sampled_from([50, 75, 90, 95, 100]))
def test_the_order_equals_the_transcription(counts: list[int], upper: int) -> None:
    order = rank_features(np.array(counts), upper=upper)
    assert order.tolist() == transcription.ranked(counts, upper)
    assert order.dtype == np.int64


@LAWS
@given(count_lists)
def test_every_discriminative_feature_is_kept_before_any_other(counts: list[int]) -> None:
    mask = discriminative_features(np.array(counts))
    assert mask[rank_features(np.array(counts))[: mask.sum()]].all()


def test_the_share_of_a_column_in_halves_is_the_larger_of_its_two() -> None:
    share = np.array([0.1, 0.5, 0.0, 0.3, 0.2, 0.0])
    assert column_share(share, halves=True).tolist() == [0.3, 0.5, 0.0]
    assert column_share(share, halves=False).tolist() == share.tolist()


# Error texts


@pytest.mark.parametrize(
    ("lower", "upper"), [(95, 50), (-1, 50), (50, 100.5), (float("nan"), 95), (50, float("nan")), (60, 59.9)]
)
def test_percentiles_that_make_no_band_are_refused(lower: float, upper: float) -> None:
    with pytest.raises(InputError, match=rf"lower={lower} and upper={upper}, but 0 <= lower <= upper <= 100 is needed"):
        discriminative_features(np.ones(3), lower=lower, upper=upper)


def test_an_unknown_set_of_features_is_refused() -> None:
    with pytest.raises(InputError, match=r"over='dead', but 'active' or 'all' is needed"):
        discriminative_features(np.ones(3), over="dead")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "share",
    [np.ones((2, 3)), np.array([0.1, -0.1]), np.array([0.1, np.nan]), np.float64(1)],
    ids=["2-D", "<0", "NaN", "0-D"],
)
def test_what_is_no_vector_of_shares_is_refused(share: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"share has shape \[.*\], but one value of at least 0 a feature is needed"):
        discriminative_features(share)
