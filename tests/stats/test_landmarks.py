"""Which landmarks a sample lies near, and the scores that follow: similarity, coherence, clusters, communities."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.stats import ortho_group

from karat.errors import InputError
from karat.stats import graph, landmarks
from karat.stats.clustering import cluster_margin, vote_entropy
from karat.stats.graph import graph_spectral_norm
from karat.stats.landmarks import neighbor_coherence, whitened_similarity
from tests.reference import landmarks as reference

Score = Callable[..., np.ndarray]
FLOAT32 = dict(rel=0, abs=5e-6)
NEIGHBOURS: list[Score] = [whitened_similarity, neighbor_coherence]
ORDERLY: list[Score] = [*NEIGHBOURS, partial(graph_spectral_norm, components=3)]  # the order of rows counts for nothing
ALL: list[Score] = [*ORDERLY, partial(vote_entropy, clusters=(2, 4)), partial(cluster_margin, clusters=4)]


def matrix(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * np.linspace(3, 0.5, d) + 1


def named(score: Score) -> str:
    return getattr(score, "func", score).__name__


def groups(sizes: list[int], spread: float = 0.05, seed: int = 0) -> tuple[np.ndarray, list[int]]:
    """Groups around the axes, each row with the number of its group."""
    label = np.repeat(np.arange(len(sizes)), sizes)
    h = np.eye(len(sizes))[label] + spread * np.random.default_rng(seed).normal(size=(len(label), len(sizes)))
    return h, label.tolist()


# Similarity and coherence


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("dimensions", [2, 64])
def test_similarity_and_coherence_equal_their_transcriptions(k: int, dimensions: int) -> None:
    h, other = matrix(11, 4), matrix(15, 4, seed=1)
    for given in (None, other):
        space = reference.Space(h, given, dimensions)
        arguments: dict[str, Any] = {"reference": given, "k": k, "dimensions": dimensions}
        assert whitened_similarity(h, **arguments) == pytest.approx(reference.whitened_similarity(space, k), **FLOAT32)
        assert neighbor_coherence(h, **arguments) == pytest.approx(reference.neighbor_coherence(space, k), **FLOAT32)


def test_coherence_is_that_of_the_neighbours_and_not_of_the_sample() -> None:
    cross = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])  # as wide as high, so that whitening turns nothing
    assert neighbor_coherence([[1.0, 1.0]], reference=cross, k=2) == pytest.approx([0], **FLOAT32)
    assert neighbor_coherence([[1.0, 1.0]], reference=cross, k=4) == pytest.approx([-1 / 3], **FLOAT32)
    twice = np.vstack([cross, cross])
    assert neighbor_coherence([[1.0, 0.9]], reference=twice, k=2) == pytest.approx([1], **FLOAT32)
    assert neighbor_coherence([[1.0, 0.9]], reference=twice, k=4) == pytest.approx([1 / 3], **FLOAT32)


def test_a_sample_is_not_its_own_neighbour_but_its_duplicate_is() -> None:
    h = np.repeat(np.eye(4), [1, 2, 3, 3], axis=0)
    found = whitened_similarity(h, k=2)
    assert found[3:] == pytest.approx([1] * 6, **FLOAT32)
    assert (found[:3] < 0.9).all()
    assert whitened_similarity(h, reference=h, k=1) == pytest.approx([1] * 9, **FLOAT32)
    assert neighbor_coherence(h, k=2)[3:] == pytest.approx([1] * 6, **FLOAT32)


# Clusters


def test_votes_equal_their_transcription() -> None:
    h, label = groups([9, 9, 9, 9], spread=0.3)
    samples = matrix(12, 4, seed=5) - 1
    for given, k in [(None, 6), (samples, 6), (samples, 3)]:
        space = reference.Space(h, None) if given is None else reference.Space(given, h)
        found = vote_entropy(h if given is None else given, reference=None if given is None else h, k=k, clusters=[4])
        exact = reference.vote_entropy(space, k, [kmeans_labels(h, 4)])
        assert found == pytest.approx(exact, abs=1e-12)
    assert len(set(label)) == 4


def kmeans_labels(h: np.ndarray, clusters: int) -> list[int]:
    from sklearn.cluster import KMeans

    unit = np.array([reference.unit_row(row) for row in reference.Space(h, None).landmarks], np.float32)
    return KMeans(clusters, n_init=1, random_state=0).fit(unit).labels_.tolist()


def test_votes_of_neighbours_in_two_clusters_have_the_entropy_of_their_shares() -> None:
    h = np.repeat(np.eye(3), 6, axis=0)
    between = np.array([[1.0, 0.98, 0.0]])
    for k, share in [(8, 6 / 8), (9, 6 / 9), (12, 1 / 2)]:
        exact = -(share * math.log(share) + (1 - share) * math.log(1 - share)) / math.log(3)
        assert vote_entropy(between, reference=h, k=k, clusters=[3]) == pytest.approx([exact])
    assert vote_entropy(between, reference=h, k=12, clusters=[3, 3]) == pytest.approx([math.log(2) / math.log(3)])


def test_margins_equal_their_transcription_where_the_clusters_are_clear() -> None:
    h, label = groups([12, 8, 15], spread=0.02)
    samples = matrix(10, 3, seed=5)
    found = cluster_margin(samples, reference=h, clusters=3)
    assert found == pytest.approx(reference.cluster_margin(reference.Space(samples, h), label), **FLOAT32)
    assert cluster_margin(h, clusters=3) == pytest.approx(
        reference.cluster_margin(reference.Space(h, None), label), **FLOAT32
    )


def test_a_sample_between_two_clusters_has_no_margin() -> None:
    h = np.array([[1.0, 0], [1, 0], [-1, 0], [-1, 0], [0, 1], [0, 1], [0, -1], [0, -1]])
    found = cluster_margin([[1.0, 1.0], [3.0, 0.0]], reference=h, clusters=4)
    assert found == pytest.approx([0, math.sqrt(2)], **FLOAT32)


# Communities


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize(("k", "count", "temperature"), [(3, 2, 0.1), (6, 4, 0.5)])
def test_norms_equal_their_transcription(
    k: int, count: int, temperature: float, dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "_DENSE", 100 if dense else 1)
    h, other = matrix(9, 4), matrix(26, 4, seed=1)
    arguments: dict[str, Any] = {"k": k, "components": count, "temperature": temperature}
    for given in (None, other):
        rows = other if given is None else h
        space = reference.Space(rows, given)
        exact = reference.graph_spectral_norm(space, k, count, temperature)
        assert graph_spectral_norm(rows, reference=given, **arguments) == pytest.approx(exact, rel=1e-4)


def test_two_groups_apart_differ_in_one_direction_by_their_sizes() -> None:
    """Every row has the same weight, so that the eigenvector is constant in each group: sqrt(q / p) and sqrt(p / q)."""
    h = np.repeat([[1.0, 0.0], [-1.0, 0.0]], [6, 12], axis=0)
    h[:, 1] = np.tile([0.001, -0.001], 9)
    found = graph_spectral_norm(h, k=5, components=1, temperature=1e3)
    assert found[:6] == pytest.approx([math.sqrt(12 / 6)] * 6, rel=1e-2)
    assert found[6:].mean() == pytest.approx(math.sqrt(6 / 12), rel=0.1)


def test_the_middle_of_a_community_has_a_larger_norm_than_what_lies_between() -> None:
    h, _ = groups([40, 40, 40, 40], spread=0.1)
    middle, between = np.eye(4), np.array([[1.01, 0.99, 1.02, 1]])
    found = graph_spectral_norm(np.vstack([middle, between]), reference=h, components=3)
    assert found[:4].min() > 1.5 * found[4]


# All


@pytest.mark.parametrize("score", ALL, ids=named)
@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e200])
def test_scale_shift_and_rotation_change_nothing(score: Score, scale: float) -> None:
    h, other = matrix(9, 4), matrix(40, 4, seed=1)
    rotation = ortho_group.rvs(4, random_state=0)
    for given in (None, other):
        rows = other if given is None else h
        found = score(rows, reference=given, k=5) if "k" in code_of(score) else score(rows, reference=given)
        again = partial(score, k=5) if "k" in code_of(score) else score
        for changed in (lambda x: x * scale, lambda x: x + 100, lambda x: x @ rotation):
            moved = again(changed(rows), reference=None if given is None else changed(given))
            assert moved == pytest.approx(found, rel=1e-3, abs=1e-5)


def code_of(score: Score) -> tuple[str, ...]:
    function = getattr(score, "func", score)
    return function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount]


@pytest.mark.parametrize("score", ALL, ids=named)
def test_the_order_of_samples_changes_nothing(score: Score) -> None:
    h, other = matrix(9, 4), matrix(40, 4, seed=1)
    assert score(h[::-1], reference=other) == pytest.approx(score(h, reference=other)[::-1], rel=1e-6)


@pytest.mark.parametrize("score", ORDERLY, ids=named)
def test_the_order_of_the_reference_changes_nothing(score: Score) -> None:
    h, other = matrix(9, 4), matrix(40, 4, seed=1)
    order = np.random.default_rng(0).permutation(40)
    assert score(h, reference=other[order]) == pytest.approx(score(h, reference=other), rel=1e-4)
    assert score(other[order]) == pytest.approx(score(other)[order], rel=1e-4)


@pytest.mark.parametrize("score", ALL, ids=named)
def test_blocks_of_samples_and_of_landmarks_change_nothing(score: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    h = matrix(40, 4)
    whole = score(h)
    for module in ("landmarks", "clustering", "graph"):
        monkeypatch.setattr(f"karat.stats.{module}.BLOCK", 7)
    assert score(h) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("score", ALL, ids=named)
def test_a_large_reference_is_sampled_by_the_seed(score: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = partial(landmarks.Projection.of.__func__, landmarks.Projection, limit=50)  # type: ignore[attr-defined]
    monkeypatch.setattr(landmarks.Projection, "of", limited)
    h = matrix(120, 4)
    found = score(h, seed=1)
    assert len(found) == 120 and np.isfinite(found).all()
    assert (score(h, seed=1) == found).all()
    assert (score(h, seed=2) != found).any()
    drawn = np.sort(np.random.default_rng(1).choice(120, 50, replace=False))
    apart = np.setdiff1d(np.arange(120), drawn)
    alone = score(h[apart], reference=h[drawn], seed=1)
    assert found[apart] == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("score", ALL[3:], ids=named)
def test_the_seed_is_that_of_the_clusters_too(score: Score) -> None:
    h = matrix(60, 4)
    assert any((score(h, seed=seed) != score(h, seed=0)).any() for seed in (1, 2, 3))


@pytest.mark.parametrize("score", ALL, ids=named)
def test_a_reference_of_equal_rows_gives_zero(score: Score) -> None:
    same = np.tile([0.1, 0.2, 0.3], (25, 1))
    assert score(same).tolist() == [0] * 25
    assert score(np.eye(3), reference=same).tolist() == [0] * 3


@pytest.mark.parametrize("score", ALL, ids=named)
def test_repeated_rows_are_taken(score: Score) -> None:
    h = np.repeat(np.eye(2), 15, axis=0)
    assert np.isfinite(score(h)).all()


@pytest.mark.parametrize("score", ALL, ids=named)
def test_bad_rows_are_refused_by_name(score: Score) -> None:
    bad = matrix(30, 3)
    bad[7, 0] = np.nan
    with pytest.raises(InputError, match="reference contains NaN or infinity, first in rows 7"):
        score(matrix(30, 3), reference=bad)
    with pytest.raises(InputError, match="h contains NaN or infinity, first in rows 7"):
        score(bad)
    with pytest.raises(InputError, match="h has 3 features, but reference has 4"):
        score(matrix(30, 3), reference=matrix(30, 4))


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda h: whitened_similarity(h, k=0), "k is 0"),
        (lambda h: whitened_similarity(h, k=12), "k is 12, but only 11"),
        (lambda h: whitened_similarity(h[:3], reference=h, k=13), "k is 13, but only 12"),
        (lambda h: neighbor_coherence(h, k=1), "k is 1, but coherence is between neighbours"),
        (lambda h: vote_entropy(h, k=1), "k is 1, but one neighbour cannot disagree"),
        (lambda h: vote_entropy(h, k=5, clusters=[]), "clusters is empty"),
        (lambda h: vote_entropy(h, k=5, clusters=[13]), "clusters is 13, but a number from 2 to the 12"),
        (lambda h: cluster_margin(h, clusters=1), "clusters is 1, but a number from 2 to the 12"),
        (lambda h: cluster_margin(h), "clusters is 20, but a number from 2 to the 12"),
        (lambda h: graph_spectral_norm(h, k=5, components=12), "components is 12, but a number from 1 to below the 12"),
        (lambda h: graph_spectral_norm(h, k=5, temperature=0), "temperature is 0"),
        (lambda h: graph_spectral_norm(h, k=12), "k is 12, but only 11"),
        (lambda h: whitened_similarity(h, k=2, dimensions=0), "dimensions is 0"),
    ],
)
def test_parameters_out_of_range_are_refused(call: Score, why: str) -> None:
    with pytest.raises(InputError, match=why):
        call(matrix(12, 3))
