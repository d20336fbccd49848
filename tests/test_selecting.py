"""Which samples to label next."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import karat
from karat.errors import InputError, InputTypeError, OutputError
from karat.records import Scores, Selection
from karat.records.tables import read_record
from karat.stats import farthest_first
from tests import report_records

N = 90
IDS = np.array([f"s{row:03d}" for row in range(N)])
VALUES = np.random.default_rng(0).permutation(N) / 10 + 0.1


@cache
def scored() -> Scores:
    rng = np.random.default_rng(1)
    columns = {"id": IDS, "q_score": VALUES, "random": rng.random(N), "softmax_entropy": rng.random(N)}
    return report_records.scores(N, names=("q_score", "random", "softmax_entropy"), columns=columns)


@cache
def embedded() -> karat.Embeddings:
    """In another order than the scores, with five samples more."""
    ids = np.random.default_rng(2).permutation([*IDS, "a", "b", "c", "d", "e"])
    return karat.Embeddings(np.random.default_rng(3).normal(size=(N + 5, 6)), ids=ids)


def rows_of(names: np.ndarray) -> np.ndarray:
    """The embeddings of these samples, looked up one by one."""
    place = {name: row for row, name in enumerate(embedded().sample_ids.tolist())}
    return np.stack([embedded().h[place[name]] for name in names.tolist()])


def test_by_score_the_lowest_come_first() -> None:
    found = karat.select(scored(), budget=7)
    assert found.ids.tolist() == [str(IDS[row]) for row in sorted(range(N), key=lambda row: VALUES[row])[:7]]
    assert (found.n, found.budget, found.strategy, found.by, found.warnings) == (N, 7, "score", "q_score", ())
    np.testing.assert_allclose(found.columns["percentile"], np.arange(1, 8) / N)
    assert np.isnan(found.columns["distance"]).all()
    assert found.reasons[1] == "q_score in the lowest 2.2%"


def test_of_a_score_whose_low_values_are_good_the_highest_come_first() -> None:
    found = karat.select(scored(), budget=3, by="softmax_entropy")
    assert found.columns["softmax_entropy"].tolist() == sorted(scored().softmax_entropy, reverse=True)[:3]


def test_diverse_samples_are_those_of_farthest_first_over_all() -> None:
    found = karat.select(scored(), budget=9, strategy="diverse", embeddings=embedded())
    rows, distances = farthest_first(rows_of(IDS), 9)
    assert found.ids.tolist() == IDS[rows].tolist()
    np.testing.assert_allclose(found.columns["distance"], distances)
    assert found.reasons[0] == "nearest to the mean"
    assert found.reasons[1] == f"{distances[1]:.2f} from the nearest before"


def test_mixed_samples_are_diverse_among_five_times_the_budget_of_the_lowest() -> None:
    found = karat.select(scored(), budget=6, strategy="mixed", embeddings=embedded())
    pool = np.argsort(VALUES)[:30]
    rows, distances = farthest_first(rows_of(IDS[pool]), 6)
    assert found.ids.tolist() == IDS[pool][rows].tolist()
    np.testing.assert_allclose(found.columns["distance"], distances)
    assert found.reasons[1].startswith("q_score in the lowest ") and found.reasons[1].endswith(
        "from the nearest before"
    )


@pytest.mark.parametrize("strategy", ["score", "diverse"])
def test_a_smaller_budget_is_the_beginning_of_a_larger_one(strategy: Any) -> None:
    given = None if strategy == "score" else embedded()
    few, many = (karat.select(scored(), budget=b, strategy=strategy, embeddings=given) for b in (5, 20))
    assert few.ids.tolist() == many.ids.tolist()[:5]


@pytest.mark.parametrize("strategy", ["score", "diverse", "mixed"])
def test_the_whole_budget_takes_every_sample_once(strategy: Any) -> None:
    given = None if strategy == "score" else embedded()
    found = karat.select(scored(), budget=N, strategy=strategy, embeddings=given)
    assert sorted(found.ids.tolist()) == IDS.tolist()


@pytest.mark.parametrize("strategy", ["score", "diverse", "mixed"])
def test_samples_without_a_score_are_never_chosen(strategy: Any) -> None:
    values = np.where(np.arange(N) < 30, math.nan, VALUES)
    holed = replace(scored(), columns={**scored().columns, "q_score": values})
    given = None if strategy == "score" else embedded()
    found = karat.select(holed, budget=60, strategy=strategy, embeddings=given)
    assert found.n == 60
    assert sorted(found.ids.tolist()) == IDS[30:].tolist()


def test_equal_scores_are_taken_by_lot_and_that_is_said() -> None:
    tied = replace(scored(), columns={**scored().columns, "q_score": np.where(np.arange(N) < 60, 0.0, VALUES)})
    first, again, other = (karat.select(tied, budget=10, seed=seed) for seed in (0, 0, 1))
    assert first.ids.tolist() == again.ids.tolist() != other.ids.tolist()
    assert set(first.ids) | set(other.ids) <= set(IDS[:60])
    assert "60 of 90 samples share the lowest q_score (0): which of them were taken is chance" in first.warnings[0]
    assert karat.select(tied, budget=60).warnings == ()
    mixed = karat.select(tied, budget=10, strategy="mixed", embeddings=embedded())
    assert len(mixed.warnings) == 1  # 60 tied, a pool of 50
    assert karat.select(tied, budget=10, strategy="diverse", embeddings=embedded()).warnings == ()


def test_all_scores_equal_are_a_random_choice() -> None:
    flat = replace(scored(), columns={**scored().columns, "q_score": np.ones(N)})
    found = [karat.select(flat, budget=30, seed=seed).ids.tolist() for seed in range(40)]
    times = np.array([sum(name in ids for ids in found) for name in IDS.tolist()])
    assert times.min() >= 1 and times.max() < 30


def test_numbers_and_their_digits_are_the_same_id() -> None:
    numbered = replace(scored(), columns={**scored().columns, "id": np.arange(N)})
    emb = karat.Embeddings(rows_of(IDS), ids=np.arange(N).astype(str))
    found = karat.select(numbered, budget=9, strategy="diverse", embeddings=emb)
    assert found.ids.tolist() == farthest_first(rows_of(IDS), 9)[0].tolist()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budget": 91}, "budget is 91, but 90 samples have a score"),
        ({"budget": 0}, "budget is 0"),
        ({"by": "max_z"}, "there is no score 'max_z': choose from q_score"),
        ({"strategy": "best"}, "strategy='best', but one of score, diverse, mixed"),
        ({"strategy": "diverse"}, "strategy='diverse' needs the embeddings"),
        ({"strategy": "mixed"}, "strategy='mixed' needs the embeddings"),
        ({"embeddings": karat.Embeddings(np.eye(3))}, "strategy='score' has no use for embeddings"),
        (
            {"strategy": "diverse", "embeddings": karat.Embeddings(np.eye(3), ids=IDS[:3])},
            r"87 of 90 samples are not in the embeddings \(s003, s004, s005, \.\.\.\)",
        ),
        (
            {"strategy": "diverse", "embeddings": karat.Embeddings(np.eye(3), ids=["a", "a", "b"])},
            "1 ids of the embeddings occur more than once",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_input_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        karat.select(scored(), **{"budget": 5, **change})


def test_an_array_without_ids_is_refused() -> None:
    with pytest.raises(InputTypeError, match="embeddings is a ndarray"):
        karat.select(scored(), budget=5, strategy="diverse", embeddings=np.eye(3))  # type: ignore[arg-type]


def chosen() -> Selection:
    return karat.select(scored(), budget=4, strategy="mixed", embeddings=embedded())


def test_a_list_for_people_has_every_column(tmp_path: Path) -> None:
    chosen().write(tmp_path / "list.csv")
    with open(tmp_path / "list.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == chosen().ids.tolist()
    assert list(rows[0]) == ["id", "q_score", "percentile", "distance", "reason"]
    assert rows[0]["distance"] == ""
    assert float(rows[1]["distance"]) == chosen().columns["distance"][1]
    assert [row["reason"] for row in rows] == chosen().reasons.tolist()


def test_a_list_for_tools_has_the_ids_alone(tmp_path: Path) -> None:
    chosen().write(tmp_path / "list.txt")
    assert (tmp_path / "list.txt").read_text() == "".join(f"{name}\n" for name in chosen().ids.tolist())


def test_a_table_has_the_record_too(tmp_path: Path) -> None:
    chosen().write(tmp_path / "list.parquet")
    again = read_record(tmp_path / "list.parquet")
    assert again == chosen()
    assert again.columns["reason"].tolist() == chosen().reasons.tolist()


def test_a_list_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"list.json is no name for the list: one of \.csv, \.parquet, \.txt"):
        chosen().write(tmp_path / "list.json")
    with pytest.raises(OutputError):
        chosen().write(tmp_path / "no" / "list.csv")
    assert list(tmp_path.iterdir()) == []
