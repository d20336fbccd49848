"""The reference set: counts that add up, halves of signed features, and the choice of epsilon."""

from __future__ import annotations

import dataclasses
import functools
import operator
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from karat.errors import InputError, KaratWarning
from karat.stats import digest as chunks_of_rows
from karat.stats import epsilon as module
from karat.stats._blocks import column_means
from karat.stats.activations import Activations, scan
from karat.stats.discriminative import discriminative_features
from karat.stats.epsilon import choose_epsilon
from karat.stats.qscore import score_chunks
from karat.stats.reference import Counts, Reference, fit_reference
from tests.reference import qscore as transcription
from tests.stats.matrices import (
    BFLOAT16,
    FLOATS,
    LAYOUTS,
    ORDINARY,
    cast,
    clear_cut,
    epsilons,
    matrices,
    ordinary_matrices,
    seeds,
)

LAWS = settings(max_examples=40, deadline=None)


class Recorder:
    """A spool that keeps what it is given, and a note of each clearing."""

    def __init__(self) -> None:
        self.found: list[Activations] = []
        self.cleared: list[int] = []

    def append(self, found: Activations) -> None:
        self.found.append(found)

    def clear(self) -> None:
        self.cleared.append(sum(map(len, self.found)))
        self.found = []


class ReadRows:
    """Rows that note which of them were read."""

    def __init__(self, h: np.ndarray) -> None:
        self.h, self.shape, self.dtype = h, h.shape, h.dtype
        self.read: set[int] = set()

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        self.read.update(range(*rows.indices(len(self.h))))
        return self.h[rows]


def quietly(function: object, *args: object, **settings: object) -> object:
    """A call whose warnings are no matter of the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KaratWarning)
        return function(*args, **settings)  # type: ignore[operator]


def with_negatives(n: int, d: int, negatives: int) -> np.ndarray:
    h = np.random.default_rng(0).exponential(size=n * d) + 0.1
    h[np.random.default_rng(1).choice(n * d, negatives, replace=False)] *= -1
    return h.reshape(n, d)


def scores_of(h: np.ndarray, reference: Reference) -> np.ndarray:
    return np.concatenate([scores.q_score for _, scores in score_chunks(h, reference)])


# Closed forms


def test_shares_of_four_rows_and_their_band_are_as_counted_by_hand() -> None:
    h = np.zeros((4, 20))
    for row, columns in enumerate([[0, 1], [0, 1], [0, 2], [0]]):
        h[row, columns] = 1
    reference = fit_reference(h, epsilon=2)
    assert reference.share[:4].tolist() == [1, 0.5, 0.25, 0]
    assert np.flatnonzero(reference.discriminative).tolist() == [1]  # the median is 0.5, the 95th percentile 0.95
    assert (reference.counts.n, reference.d, reference.counts.zeros, reference.counts.negatives) == (4, 20, 73, 0)
    assert (reference.means, reference.halves) == (None, False)


def test_a_reference_knows_how_it_was_fitted() -> None:
    reference = fit_reference(
        np.eye(40), epsilon=3, lower=10, upper=90, over="all", normalize=True, halves=False, seed=7, threads=1
    )
    made_with = (reference.epsilon, reference.lower, reference.upper, reference.over, reference.normalize)
    assert made_with == (3.0, 10, 90, "all", True)


def test_signed_features_are_split_around_the_means_of_the_set() -> None:
    h = np.full((4, 20), [1.0])
    h[0, 3], h[1, 5] = 41, -39  # columns 3 and 5: means 11 and -9, two halves each
    reference = fit_reference(h, epsilon=3.5)
    assert reference.halves
    assert reference.means[[0, 3, 5]].tolist() == [1, 11, -9]  # type: ignore[index]
    # Away from the means, in 40 halves: row 0 is 30 in 3+ and 10 in 5+, row 1 is 10 in 3- and 30 in 5-, where only the
    # 30 exceed 1 + 3.5 sqrt(24); rows 2 and 3 are 10 in 3- and in 5+, which both exceed 0.5 + 3.5 sqrt(4.75).
    expected = np.zeros(40)
    expected[[3, 5, 23, 25]] = 1, 2, 2, 1
    np.testing.assert_array_equal(reference.counts.activations, expected)


# Merging


@LAWS
@given(
    ordinary_matrices(dtypes=FLOATS).filter(lambda h: len(h) >= 7), epsilons, st.sampled_from([1, 2, 7]), st.booleans()
)
def test_shards_merge_to_the_same_share_features_and_scores(
    h: np.ndarray, epsilon: float, shards: int, halves: bool
) -> None:
    whole = quietly(fit_reference, h, epsilon=epsilon, halves=halves)
    parts = np.array_split(h, shards)
    counts = [Counts.of(next(scan(part, epsilon=epsilon, means=whole.means))) for part in parts]
    merged = functools.reduce(operator.add, counts)
    np.testing.assert_array_equal(merged.activations, whole.counts.activations)
    assert (merged.n, merged.zeros, merged.negatives) == (whole.counts.n, whole.counts.zeros, whole.counts.negatives)
    np.testing.assert_array_equal(discriminative_features(merged.activations), whole.discriminative)
    again = dataclasses.replace(whole, counts=merged, discriminative=discriminative_features(merged.activations))
    np.testing.assert_array_equal(again.share, whole.share)
    by_shard = np.concatenate([scores_of(part, again) for part in parts])
    np.testing.assert_array_equal(by_shard, scores_of(h, whole))


def test_counts_add_in_any_grouping() -> None:
    a, b, c = (Counts(n, np.array([n, 2 * n]), 3 * n, 4 * n) for n in (1, 10, 100))
    for total in ((a + b) + c, a + (b + c), (c + a) + b):
        assert (total.n, total.activations.tolist(), total.zeros, total.negatives) == (111, [111, 222], 333, 444)


def test_rows_that_are_not_finite_are_in_no_count() -> None:
    h = np.zeros((3, 30))
    h[:, 4], h[1, 9] = 1, np.nan
    counts = Counts.of(next(scan(h, epsilon=3.0)))
    assert (counts.n, counts.activations[4], counts.zeros) == (2, 2, 58)


# The transcription


@LAWS
@given(matrices, epsilons, st.sampled_from(["auto", True, False]), st.booleans(), st.sampled_from(["active", "all"]))
def test_a_reference_equals_the_exact_transcription(
    h: np.ndarray, epsilon: float, halves: bool | str, normalize: bool, over: str
) -> None:
    assume(clear_cut(h, epsilon, normalize=normalize, halves=halves))
    expected = transcription.q_score(h, epsilon=epsilon, halves=halves, normalize=normalize, over=over)
    fitted = quietly(fit_reference, h, epsilon=epsilon, halves=halves, normalize=normalize, over=over)
    assert fitted.counts.activations.tolist() == expected.counts
    assert set(np.flatnonzero(fitted.discriminative)) == expected.discriminative
    assert (fitted.halves, fitted.d, fitted.counts.n) == (expected.halves, h.shape[1], len(h))


# Halves


@pytest.mark.parametrize(("n", "d"), [(10, 100), (50, 40), (1160, 200), (7, 3000)])
def test_halves_begin_just_above_one_negative_entry_in_a_thousand(n: int, d: int) -> None:
    negatives = n * d // 1000
    assert not fit_reference(with_negatives(n, d, negatives), epsilon=2).halves
    assert fit_reference(with_negatives(n, d, negatives + 1), epsilon=2).halves


@pytest.mark.parametrize("dtype", [*FLOATS, np.dtype("int32")], ids=str)
def test_negative_zeros_are_not_negative(dtype: np.dtype) -> None:
    h = cast(np.where(np.eye(30) > 0, 2.0, -0.0), dtype)
    assert not fit_reference(h, epsilon=2).halves


def test_halves_can_be_asked_for_or_refused() -> None:
    signed, unsigned = with_negatives(20, 30, 100), with_negatives(20, 30, 0)
    assert fit_reference(unsigned, epsilon=2, halves=True).halves
    assert not fit_reference(signed, epsilon=2, halves=False).halves
    assert len(fit_reference(unsigned, epsilon=2, halves=True).discriminative) == 60
    np.testing.assert_allclose(
        fit_reference(unsigned, epsilon=2, halves=np.True_).means, unsigned.mean(axis=0), rtol=1e-12
    )


@pytest.mark.parametrize("normalize", [False, True])
def test_a_set_that_turns_out_signed_is_counted_anew_from_the_first_row(
    normalize: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 rows in chunks of 10; the first 5 chunks hold no negative entry."""
    h = with_negatives(100, 40, 0)
    h[50:] -= 1
    monkeypatch.setattr(chunks_of_rows, "_CHUNK_BYTES", 10 * 40 * 8)
    for threads in (1, 2):
        spool = Recorder()
        fitted = fit_reference(h, epsilon=1.5, normalize=normalize, spool=spool, threads=threads)
        asked = fit_reference(h, epsilon=1.5, normalize=normalize, halves=True)
        assert spool.cleared == [50]  # what the first pass had appended
        assert [len(found) for found in spool.found] == [10] * 10
        second = np.concatenate([found.column for found in spool.found])
        np.testing.assert_array_equal(np.bincount(second, minlength=80), fitted.counts.activations)
        np.testing.assert_array_equal(fitted.counts.activations, asked.counts.activations)
        np.testing.assert_array_equal(fitted.means, asked.means)
        assert (fitted.digest, fitted.counts.n) == (asked.digest, 100)


def test_an_unsigned_set_is_read_once_and_spooled_once() -> None:
    spool, h = Recorder(), with_negatives(30, 40, 0)
    fitted = fit_reference(h, epsilon=2, spool=spool)
    assert (spool.cleared, sum(map(len, spool.found))) == ([], 30)
    counted = fit_reference(h, epsilon=2)
    np.testing.assert_array_equal(fitted.counts.activations, counted.counts.activations)
    rows = ReadRows(h)
    fit_reference(rows, epsilon=2)
    assert rows.read == set(range(30))


def test_few_negatives_are_too_many_once_bad_rows_are_dropped() -> None:
    """2 negative entries in 2,000 are not signed, 2 in the 1,000 of the finite rows are."""
    h = with_negatives(20, 100, 0)
    h[10:, 0] = np.nan
    h[0, :2] *= -1
    spool = Recorder()
    assert fit_reference(h, epsilon=2, drop_bad=True, spool=spool).halves
    assert spool.cleared == [20]


# The digest


def test_the_digest_of_a_reference_depends_on_the_numbers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_of_rows, "_CHUNK_BYTES", 10 * 40 * 4)
    h = with_negatives(95, 40, 0).astype(np.float32)
    digests = {fit_reference(layout(h), epsilon=2, threads=2).digest for layout in LAYOUTS.values()}
    digests |= {fit_reference(h, epsilon=epsilon, threads=threads).digest for epsilon in (1, 3) for threads in (1, 3)}
    digests |= {fit_reference(h, epsilon=2, normalize=True, halves=True).digest}
    assert len(digests) == 1
    assert fit_reference(h, epsilon=2, hashed=False).digest == ""
    assert fit_reference(h.astype(np.float64), epsilon=2).digest not in digests
    assert fit_reference(h.astype(BFLOAT16), epsilon=2).digest not in digests


# Rows that are not finite


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("halves", [False, True])
def test_dropped_rows_change_nothing_for_the_others(dtype: np.dtype, halves: bool) -> None:
    h = cast(ORDINARY["signed"](np.random.default_rng(0), 40, 30), dtype)
    expected = fit_reference(h, epsilon=1.5, halves=halves)
    spoiled = np.insert(h, [0, 7, 40], np.array([[np.nan], [np.inf], [-np.inf]], dtype), axis=0)
    fitted = fit_reference(spoiled, epsilon=1.5, halves=halves, drop_bad=True)
    np.testing.assert_array_equal(fitted.counts.activations, expected.counts.activations)
    np.testing.assert_array_equal(fitted.discriminative, expected.discriminative)
    np.testing.assert_array_equal(fitted.share, expected.share)
    assert fitted.counts.n == 40
    scores = scores_of(spoiled, fitted)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [0, 8, 42]
    np.testing.assert_array_equal(np.delete(scores, [0, 8, 42]), scores_of(h, expected))


def test_bad_rows_are_refused_by_number_or_by_id() -> None:
    h = np.ones((5, 30))
    h[[1, 3], 4] = np.nan
    with pytest.raises(InputError, match=r"NaN or infinity, first in rows 1, 3: remove these samples"):
        fit_reference(h)
    with pytest.raises(InputError, match=r"NaN or infinity, first in ids b, d: remove these samples"):
        fit_reference(h, ids=np.array(list("abcde")))


@pytest.mark.parametrize("settings_of_the_fit", [{}, {"epsilon": "auto"}, {"halves": True}], ids=str)
def test_a_set_without_a_finite_row_is_refused(settings_of_the_fit: dict[str, object]) -> None:
    with pytest.raises(InputError, match="all 3 rows of h contain NaN or infinity: nothing is left to score"):
        fit_reference(np.full((3, 30), np.inf), drop_bad=True, **settings_of_the_fit)  # type: ignore[arg-type]


def test_an_error_in_a_signed_set_is_the_only_one_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_of_rows, "_CHUNK_BYTES", 10 * 40 * 8)
    h = -np.ones((30, 40))
    h[25, 2] = np.nan
    with pytest.raises(InputError, match="rows 25") as caught:
        fit_reference(h, epsilon=2)
    assert caught.value.__context__ is None


# Warnings and errors


@pytest.mark.parametrize(("d", "halves", "largest"), [(17, False, "4.00"), (8, True, "3.87"), (2, False, "1.00")])
def test_too_few_features_warn_with_the_largest_useful_epsilon(d: int, halves: bool, largest: str) -> None:
    h = np.random.default_rng(0).random((5, d))
    features = 2 * d if halves else d
    with pytest.warns(
        KaratWarning, match=rf"with {features} features nothing can exceed epsilon = 4 .* epsilon below {largest}"
    ):
        reference = fit_reference(h, halves=halves)
    assert not reference.discriminative.any()


@pytest.mark.parametrize(
    ("d", "epsilon", "advice"),
    [
        (1, 4, "is 0: more features are needed"),
        (2, 4, "is 0: choose epsilon below 1.00"),
        (5, 4, "is 0: choose epsilon below 2.00, or epsilon='auto'"),
        (2, "auto", "is 0: choose epsilon below 1.00"),
    ],
)
def test_the_advice_is_one_that_can_help(d: int, epsilon: float | str, advice: str) -> None:
    """Of two features none exceeds 1, the lowest epsilon that "auto" tries."""
    with pytest.warns(KaratWarning) as caught:
        reference = fit_reference(np.eye(d), epsilon=epsilon)  # type: ignore[arg-type]
    assert str(caught[0].message).endswith(advice)
    assert reference.chosen is (epsilon == "auto")


def test_one_feature_more_does_not_warn() -> None:
    h = np.zeros((3, 18))
    h[:, 5] = 1
    assert fit_reference(h, epsilon=4).discriminative[5]
    assert fit_reference(with_negatives(4, 9, 10), epsilon=4).halves


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"epsilon": -1}, "epsilon is -1, but a number of at least 0 is needed"),
        ({"epsilon": float("nan")}, "epsilon is nan, but a number of at least 0"),
        ({"epsilon": "best"}, "epsilon is 'best', but a number of at least 0"),
        ({"lower": 96}, "lower=96 and upper=95, but 0 <= lower <= upper <= 100"),
        ({"upper": 101}, "lower=50 and upper=101, but 0 <= lower <= upper <= 100"),
        ({"over": "dead"}, "over='dead', but 'active' or 'all' is needed"),
        ({"halves": "yes"}, "halves='yes', but 'auto', True or False is needed"),
        ({"halves": None}, "halves=None, but 'auto', True or False is needed"),
        ({"threads": 0}, "threads is 0, but a whole number of at least 1"),
    ],
    ids=str,
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        fit_reference(np.eye(30), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [({"lower": 96}, "lower=96"), ({"over": "dead"}, "over='dead'"), ({"halves": "yes"}, "halves='yes'")],
)
def test_the_choice_of_epsilon_refuses_the_same(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        choose_epsilon(np.eye(30), **wrong)  # type: ignore[arg-type]


# The choice of epsilon


def rows_that_reach(reach: dict[float, int], d: int = 400) -> np.ndarray:
    """For each share of ones: so many rows with that share of ones, whose deviation is sqrt(1 / share - 1)."""
    rows = [np.arange(d) < round(share * d) for share, n in reach.items() for _ in range(n)]
    return np.array(rows, float)


@pytest.mark.parametrize(
    ("share", "epsilon"),
    [(1 / 20, 4.0), (1 / 16, 3.5), (1 / 11, 3.0), (1 / 9, 2.5), (1 / 6, 2.0), (1 / 4, 1.5), (1 / 3, 1.0)],
)
def test_epsilon_is_the_largest_that_a_sample_can_reach(share: float, epsilon: float) -> None:
    """All rows alike: their ones are active and equally shared, so in D. Deviations: sqrt(19) = 4.36, sqrt(15) ..."""
    assert choose_epsilon(rows_that_reach({share: 10}, d=3960)) == epsilon


def alone(n: int, d: int) -> np.ndarray:
    """Rows with one entry each, all in different columns: none is empty at epsilon 4, all columns are in D."""
    return np.eye(d)[:n]


def test_five_percent_of_empty_samples_are_few_enough() -> None:
    late = (np.arange(30) >= 24) / 1.0  # 6 of 30: sqrt(4) = 2, so that it is filled below 2 only
    h = np.vstack([alone(19, 30), late])
    assert choose_epsilon(h) == 4.0
    assert choose_epsilon(np.vstack([h, late])) == 1.5


def test_where_no_epsilon_satisfies_the_one_with_the_fewest_empty_is_taken_and_of_these_the_largest() -> None:
    late = (np.arange(30) >= 24) / 1.0
    assert choose_epsilon(np.vstack([alone(9, 30), np.zeros((3, 30))])) == 4.0
    assert choose_epsilon(np.vstack([alone(9, 30), late, np.zeros((3, 30))])) == 1.5


def test_epsilon_is_not_chosen_where_only_rounding_reaches_it() -> None:
    """One entry of 17: the deviation is exactly 4, never above; of 10, exactly 3. Some round up."""
    for value in np.random.default_rng(0).random(30):
        for d, epsilon in ((17, 3.5), (10, 2.5), (5, 1.5)):
            assert choose_epsilon(value * np.eye(d)) == epsilon


@settings(max_examples=25, deadline=None)
@given(
    seeds,
    st.sampled_from([(20, 20), (30, 12), (12, 30)]),
    st.sampled_from(FLOATS),
    st.sampled_from(["sparse", "positive", "signed", "almost dead"]),
    st.sampled_from(["auto", True, False]),
    st.booleans(),
)
def test_the_chosen_epsilon_equals_the_transcription_of_the_rule(
    seed: int, size: tuple[int, int], dtype: np.dtype, values: str, halves: bool | str, normalize: bool
) -> None:
    h = cast(ORDINARY[values](np.random.default_rng(seed), *size), dtype)
    assume(clear_cut(h, *transcription.AUTO_EPSILONS, normalize=normalize, halves=halves))
    expected = transcription.choose_epsilon(h, halves=halves, normalize=normalize, lower=30, upper=90)
    assert choose_epsilon(h, halves=halves, normalize=normalize, lower=30, upper=90) == expected


def test_a_large_set_is_sampled_by_its_seed_and_the_sample_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AUTO_ROWS", 25)
    h = ORDINARY["sparse"](np.random.default_rng(0), 400, 30) * np.random.default_rng(1).random((400, 30)) ** 4
    chosen = set()
    for seed in range(6):
        rows = ReadRows(h)
        epsilon = choose_epsilon(rows, seed=seed)
        assert len(rows.read) == 25
        assert epsilon == transcription.choose_epsilon(h[sorted(rows.read)])
        again = ReadRows(h)
        assert (choose_epsilon(again, seed=seed), again.read) == (epsilon, rows.read)
        chosen.add(tuple(sorted(rows.read)))
    assert len(chosen) == 6


def test_a_set_at_the_limit_is_looked_at_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AUTO_ROWS", 25)
    rows = ReadRows(ORDINARY["sparse"](np.random.default_rng(0), 25, 30))
    assert choose_epsilon(rows, seed=1) == choose_epsilon(rows, seed=2)
    assert rows.read == set(range(25))


def test_chunks_threads_and_bad_rows_do_not_change_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    h = ORDINARY["signed"](np.random.default_rng(0), 60, 30)
    epsilon = choose_epsilon(h, halves=False)
    assert epsilon == transcription.choose_epsilon(h, halves=False)
    monkeypatch.setattr(chunks_of_rows, "_CHUNK_BYTES", 7 * 30 * 8)
    spoiled = np.insert(h, [0, 33], np.nan, axis=0)
    assert {choose_epsilon(m, halves=False, threads=threads) for m in (h, spoiled) for threads in (1, 3)} == {epsilon}


def test_auto_fits_with_the_chosen_epsilon() -> None:
    h = ORDINARY["signed"](np.random.default_rng(0), 60, 30)
    settings_of_the_choice = {"lower": 20, "upper": 80, "over": "all", "normalize": True}
    fitted = fit_reference(h, epsilon="auto", **settings_of_the_choice)  # type: ignore[arg-type]
    assert fitted.epsilon == choose_epsilon(h, **settings_of_the_choice)  # type: ignore[arg-type]
    np.testing.assert_allclose(fitted.means, column_means(h, normalize=True))
