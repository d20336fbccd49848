"""Which features are kept, what that costs, and whether it was worth choosing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA

import karat
from karat.compression import ALL, SELECTION, reduced
from karat.errors import InputError, InputTypeError
from karat.records import Compression, from_dict, to_dict
from karat.stats.bootstrap import holm
from karat.store import load, save
from tests.reference import qscore as slow
from tests.reference import resampling

N, D = 160, 20
ROUNDED = np.round(np.random.default_rng(3).exponential(size=(60, 40)) ** 2 * np.linspace(0.2, 2, 40) * 64) / 64


def planted(n: int, seed: int, *, informative: int = 6, labels: bool = True) -> karat.Embeddings:
    """Non-negative features; the first ones rise, rarely and far, with the class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    h = 0.4 + 0.2 * rng.random((n, D))
    for j in range(informative):
        h[:, j] = np.where((y == j % 3) & (rng.random(n) < 0.5), 8 + rng.random(n), 0.2 * rng.random(n))
    names = np.array(["cat", "dog", "emu"])[y]
    return karat.Embeddings(h, ids=np.array([f"{seed}-{row}" for row in range(n)]), labels=names if labels else None)


TRAIN, VAL = planted(N, 0), planted(120, 1)


@cache
def judged() -> Compression:
    return karat.compress(TRAIN, keep=0.3, probe_with=VAL, keeps=(0.1, 0.6), seeds=3, epsilon=2, resamples=50)


def point_of(record: Compression, method: str, keep: float) -> Any:
    (point,) = [point for point in record.curve if (point.method, point.keep) == (method, keep)]
    return point


def right_with(h: np.ndarray, h_val: np.ndarray) -> np.ndarray:
    return karat.probe(replace(TRAIN, h=h), replace(VAL, h=h_val)).correct


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize(("keep", "k"), [(0.001, 1), (0.25, 10), (0.6, 24), (0.99, 40), (1, 40)])
def test_features_are_kept_in_the_order_of_the_transcription(keep: float, k: int, halves: bool) -> None:
    found = karat.compress(ROUNDED, keep=keep, epsilon=2, upper=90, halves=halves)
    rows = slow.exact(ROUNDED)
    if halves:
        means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        rows = [slow.split(row, means) for row in rows]
    counts = slow.count(rows, 2)
    if halves:
        counts = [max(counts[j], counts[j + 40]) for j in range(40)]
    order = slow.ranked(counts, 90)
    assert found.order.tolist() == order
    assert set(np.flatnonzero(found.mask)) == set(order[:k])
    assert (found.k, found.d, found.n, found.halves) == (k, 40, 60, halves)
    np.testing.assert_allclose(found.share, np.array(counts) / 60)


@pytest.mark.parametrize(
    "settings", [{"epsilon": 2.0}, {"epsilon": "auto", "seed": 3}, {"epsilon": 2.0, "halves": True, "upper": 80},
                 {"epsilon": 2.0, "normalize": True, "keep": 0.35}],
)  # fmt: skip
def test_the_selector_for_scikit_learn_keeps_the_same(settings: dict[str, Any]) -> None:
    found, selector = karat.compress(ROUNDED, **settings), karat.DiscriminativeFeatures(**settings).fit(ROUNDED)
    np.testing.assert_array_equal(found.mask, selector.get_support())
    np.testing.assert_array_equal(found.order, selector.order_)
    np.testing.assert_array_equal(found.share, selector.share_)


def test_an_upper_percentile_below_the_usual_lower_one_is_fine() -> None:
    assert karat.compress(ROUNDED, epsilon=2, upper=10).mask.sum() == 24


def test_without_a_validation_set_there_is_no_curve_and_that_is_said() -> None:
    found = karat.compress(planted(N, 0, labels=False), epsilon=2)
    assert (found.curve, found.tests) == ((), ())
    assert "Nothing is known of what this costs" in found.verdict


def test_the_curve_has_each_method_at_each_keep_and_all_features_once() -> None:
    points = {(point.method, point.keep): point.k for point in judged().curve}
    methods = (SELECTION, "random", "variance", "pca", "sparse_projection")
    assert points == {(m, keep): k for m in methods for keep, k in ((0.1, 2), (0.3, 6), (0.6, 12))} | {(ALL, 1.0): D}


def test_accuracies_are_those_of_probes_on_the_reduced_features() -> None:
    h, h_val, order = np.asarray(TRAIN.h), np.asarray(VAL.h), judged().order
    variance = np.argsort(-h.var(axis=0), kind="stable")
    for columns, method in ((order, SELECTION), (variance, "variance")):
        for keep, k in ((0.1, 2), (0.3, 6), (0.6, 12)):
            kept = np.sort(columns[:k])
            exact = right_with(h[:, kept], h_val[:, kept]).mean()
            assert point_of(judged(), method, keep).accuracy.value == pytest.approx(exact)
    pca = PCA(6).fit(h)
    exact = right_with(pca.transform(h), pca.transform(h_val)).mean()
    assert point_of(judged(), "pca", 0.3).accuracy.value == pytest.approx(exact, abs=2 / 120)
    assert point_of(judged(), ALL, 1.0).accuracy.value == pytest.approx(right_with(h, h_val).mean())


def test_random_is_the_mean_over_subsets_that_grow() -> None:
    h, h_val = np.asarray(TRAIN.h), np.asarray(VAL.h)
    orders = [np.random.default_rng([0, number]).permutation(D) for number in range(3)]
    for keep, k in ((0.1, 2), (0.3, 6)):
        exact = [right_with(h[:, np.sort(o[:k])], h_val[:, np.sort(o[:k])]).mean() for o in orders]
        point = point_of(judged(), "random", keep)
        assert point.accuracy.value == pytest.approx(np.mean(exact))
        assert point.accuracy.low < np.mean(exact) < point.accuracy.high
        assert point.accuracy.high - point.accuracy.low > 0.5 * np.ptp(exact)  # it holds the spread of the subsets


def test_the_selection_is_tested_against_each_control_on_the_same_resamples() -> None:
    tests = {test.second: test for test in judged().tests}
    assert list(tests) == ["random", "variance", "pca", "sparse_projection", ALL]
    assert {test.first for test in judged().tests} == {SELECTION}
    order, h, h_val = np.sort(judged().order[:6]), np.asarray(TRAIN.h), np.asarray(VAL.h)
    gain = right_with(h[:, order], h_val[:, order]).astype(float) - right_with(h, h_val)
    drawn = resampling.drawn(lambda x: sum(x) / len(x), gain.tolist(), times=50, seed=0)
    found = tests[ALL].difference
    assert found.value == pytest.approx(gain.mean())
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
    assert [test.p_holm for test in judged().tests] == pytest.approx(holm([test.p for test in judged().tests]))


def test_a_planted_selection_beats_random_subsets_at_no_cost_and_that_is_said() -> None:
    assert set(np.flatnonzero(judged().mask)) == set(range(6))
    signs = {test.second: test.sign for test in judged().tests}
    assert (signs["random"], signs[ALL]) == (1, 0)
    assert "6 of 20 features: the selection is better than random" in judged().verdict
    assert "no difference that can be told from chance" in judged().verdict


def test_a_selection_that_misses_what_matters_is_said_to_be_worse() -> None:
    # The classes are told apart by features that are rarely the largest of a row: these are dropped first.
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    h = np.hstack([y[:, None] * 0.5 + rng.random((300, 4)), 3 * rng.random((300, 16))])
    emb = karat.Embeddings(h, labels=y)
    found = karat.compress(emb[:200], keep=0.5, probe_with=emb[200:], keeps=(), seeds=3, epsilon=1, resamples=200)
    assert not found.mask[:4].any()
    signs = {test.second: test.sign for test in found.tests}
    assert (signs["random"], signs[ALL]) == (-1, -1)
    assert "worse than random" in found.verdict and "points of accuracy" in found.verdict
    assert found.verdict.endswith(", a difference.")


def test_a_selection_of_noise_is_said_to_be_no_better() -> None:
    train, val = (planted(n, seed, informative=0) for n, seed in ((N, 0), (120, 1)))
    found = karat.compress(train, keep=0.5, probe_with=val, keeps=(), seeds=3, epsilon=1)
    assert {test.sign for test in found.tests} == {0}
    assert "the selection is no better than random, variance, pca and sparse_projection." in found.verdict
    assert "no difference that can be told from chance" in found.verdict


def test_at_keep_1_every_selection_of_columns_is_all_of_them() -> None:
    found = karat.compress(TRAIN, keep=1, probe_with=VAL, keeps=(), seeds=2, epsilon=2, resamples=20)
    tests = {test.second: test for test in found.tests}
    for name in ("random", "variance", ALL):
        assert (tests[name].difference.value, tests[name].p) == (0, 1)


def test_rows_without_a_label_rank_features_but_are_not_probed() -> None:
    holed = VAL.labels.astype(object)
    holed[::3] = None
    found = karat.compress(
        TRAIN, keep=0.3, probe_with=replace(VAL, labels=holed), keeps=(), seeds=1, epsilon=2, resamples=20
    )
    kept = np.sort(found.order[:6])
    right = right_with(np.asarray(TRAIN.h)[:, kept], np.asarray(VAL.h)[:, kept])
    exact = right[np.array([label is not None for label in holed])].mean()
    assert point_of(found, SELECTION, 0.3).accuracy.value == pytest.approx(exact)


def test_fewer_samples_than_features_have_all_their_principal_components() -> None:
    few = TRAIN[:12]
    found = karat.compress(few, keep=0.9, probe_with=VAL, keeps=(), seeds=1, epsilon=2, resamples=20)
    assert 0.2 < point_of(found, "pca", 0.9).accuracy.value <= 1


def test_the_same_seed_gives_the_same_record_and_another_another() -> None:
    again, other = (
        karat.compress(TRAIN, keep=0.3, probe_with=VAL, keeps=(0.1, 0.6), seeds=3, epsilon=2, resamples=50, seed=seed)
        for seed in (0, 1)
    )
    assert again == judged() and to_dict(again) == to_dict(judged())
    assert {p.accuracy for p in other.curve if p.method == "random"} != {
        p.accuracy for p in again.curve if p.method == "random"
    }
    assert judged().provenance.inputs.keys() == {"embeddings", "probe_with"}


def test_it_comes_back_from_json_with_its_mask() -> None:
    back = from_dict(to_dict(judged()))
    assert back == judged()
    for name in ("mask", "order", "share"):
        np.testing.assert_array_equal(getattr(back, name), getattr(judged(), name))


def test_progress_counts_the_points_of_the_curve() -> None:
    seen: list[tuple[int, int]] = []
    karat.compress(
        TRAIN, probe_with=VAL, keeps=(), seeds=1, epsilon=2, resamples=5, progress=lambda *at: seen.append(at)
    )
    assert seen == [(done, 6) for done in range(1, 7)]


def test_reduced_embeddings_say_which_columns_of_what_they_are(tmp_path: Path) -> None:
    small = reduced(TRAIN, judged())
    np.testing.assert_array_equal(small.h, np.asarray(TRAIN.h)[:, judged().mask])
    np.testing.assert_array_equal(small.ids, TRAIN.ids)
    np.testing.assert_array_equal(small.labels, TRAIN.labels)
    save(small, tmp_path / "small.emb")
    told = load(tmp_path / "small.emb").provenance["compression"]
    assert told["columns"] == np.flatnonzero(judged().mask).tolist()
    assert (told["keep"], told["of_features"]) == (0.3, D)
    assert told["embeddings"] == judged().provenance.inputs["embeddings"]
    assert told["mask"] != reduced(TRAIN, karat.compress(TRAIN, keep=0.4, epsilon=2)).provenance["compression"]["mask"]
    with pytest.raises(InputError, match="the embeddings have 40 features, but the compression is of 20"):
        reduced(karat.Embeddings(ROUNDED), judged())


@pytest.mark.parametrize("keep", [0, -0.1, 1.01, float("nan")])
def test_a_share_out_of_range_is_refused(keep: float) -> None:
    with pytest.raises(InputError, match="keep is"):
        karat.compress(ROUNDED, keep=keep)
    with pytest.raises(InputError, match="keeps is"):
        karat.compress(ROUNDED, keeps=(0.5, keep))


@pytest.mark.parametrize(
    ("train", "val", "words"),
    [
        (planted(N, 0, labels=False), VAL, "a probe needs labels, and the embeddings have none"),
        (TRAIN, planted(50, 1, labels=False), "a probe needs labels, and probe_with have none"),
        (TRAIN, karat.Embeddings(np.ones((3, 7)), labels=["cat", "dog", "emu"]), "20 features, probe_with 7"),
        (replace(TRAIN, labels=np.full(N, "cat")), VAL, "of class cat, but two classes are needed"),
    ],
    ids=["no labels", "no labels to judge by", "another width", "one class"],
)
def test_sets_that_cannot_be_probed_are_refused(train: karat.Embeddings, val: karat.Embeddings, words: str) -> None:
    with pytest.raises(InputError, match=words):
        karat.compress(train, probe_with=val, epsilon=2)


def test_other_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="seeds is 0"):
        karat.compress(TRAIN, probe_with=VAL, seeds=0)
    with pytest.raises(InputTypeError, match="probe_with is a ndarray"):
        karat.compress(TRAIN, probe_with=np.ones((4, D)))  # type: ignore[arg-type]


def test_kept_features_that_are_dead_are_warned_of() -> None:
    h = ROUNDED.copy()
    h[:, 5:] = 0
    found = karat.compress(h, keep=0.5, epsilon=1)
    assert found.warnings == ("only 5 of 40 features are ever highly active: 15 of the 20 kept are not",)
    assert karat.compress(ROUNDED, epsilon=1).warnings == ()
