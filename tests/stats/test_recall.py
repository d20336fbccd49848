"""Is the nearest neighbour of the same class?"""

from __future__ import annotations

import numpy as np
import pytest

from karat.errors import InputError
from karat.stats.recall import r_auroc, recall_at_1


def test_it_equals_a_search_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    h, y = rng.normal(size=(50, 4)), rng.integers(0, 3, 50)
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    exact = []
    for i in range(50):
        nearest = max((j for j in range(50) if j != i), key=lambda j: float(unit[i] @ unit[j]))
        exact.append(bool(y[i] == y[nearest]))
    assert recall_at_1(h, y).tolist() == exact
    assert recall_at_1(h * rng.uniform(1, 9, (50, 1)), y.astype(str)).tolist() == exact


def test_a_sample_is_not_its_own_neighbour() -> None:
    assert recall_at_1(np.eye(3)[[0, 0, 1]] + 0.01, ["a", "b", "c"]).tolist() == [False] * 3


@pytest.mark.parametrize(
    ("h", "labels", "words"),
    [
        ([[1.0]], ["a"], "one row"),
        ([[1.0], [2.0]], ["a"], "labels has 1 entries"),
        ([[1.0], [np.nan]], ["a", "b"], "NaN or infinity, first in row 1"),
    ],
)
def test_bad_input_is_refused(h: list[list[float]], labels: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        recall_at_1(h, labels)


def test_r_auroc_is_the_auroc_of_a_score_against_it() -> None:
    rng = np.random.default_rng(0)
    h, y, score = rng.normal(size=(60, 3)), rng.integers(0, 3, 60), rng.integers(0, 9, 60)
    right = recall_at_1(h, y)
    pairs = [(a > b) + (a == b) / 2 for a in score[right] for b in score[~right]]
    assert r_auroc(score, h, y) == pytest.approx(np.mean(pairs))
    assert r_auroc(right, h, y) == 1
    assert np.isnan(r_auroc(score[:5], np.eye(5), ["a"] * 5))
