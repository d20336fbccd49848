"""The catalogue names what there is."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import karat
from karat import catalog
from karat.catalog import CATALOG, DEFAULT_SCORES, LABEL_FREE_SCORES, LABELLED_SCORES, ROWS, score_names
from karat.errors import InputError, InputTypeError

H = np.random.default_rng(0).exponential(size=(700, 30)) ** 2
VIEWS = H[:, None, :] + 0.1 * np.random.default_rng(1).exponential(size=(700, 2, 30))
OTHER = H + np.random.default_rng(2).exponential(size=H.shape)
REFERENCE = (Path(karat.__file__).parents[2] / "docs" / "reference.md").read_text(encoding="utf-8")


def test_names_are_unique_and_each_row_says_what_it_is() -> None:
    assert len(ROWS) == len(CATALOG)
    for row in CATALOG:
        assert row.kind in ("score", "metric", "measure") and row.direction in (-1, 0, 1)
        assert row.meaning and row.source
        assert row.low is None or row.high is None or row.low < row.high
        assert set(row.needs) <= {"h", "views", "ensemble", "probe", "logits", "labels", "scores"}
        assert row.labelled == ("labels" in row.needs)


@pytest.mark.parametrize("row", CATALOG, ids=lambda row: row.name)
def test_each_row_names_a_documented_function_that_exists(row: catalog.CatalogRow) -> None:
    if row.function == "numpy":
        return
    package, name = row.function.rsplit(".", 1)
    assert name in import_module(package).__all__
    assert callable(getattr(import_module(package), name))
    assert f"::: {row.function}\n" in REFERENCE


def test_each_score_has_a_function_of_its_own_name() -> None:
    for name in set(LABEL_FREE_SCORES) - {"q_score_halves", "random"}:
        assert ROWS[name].function == f"karat.stats.{name}"


def test_scores_with_and_without_labels_are_all_scores() -> None:
    scores = {row.name for row in CATALOG if row.kind == "score"}
    assert set(LABEL_FREE_SCORES) | set(LABELLED_SCORES) == scores
    assert not set(LABEL_FREE_SCORES) & set(LABELLED_SCORES)
    assert set(DEFAULT_SCORES) <= set(LABEL_FREE_SCORES)


def test_what_is_computed_is_what_the_catalogue_lists_and_lies_in_its_range() -> None:
    scores = karat.score(H, scores="all", epsilon=2, views=VIEWS, ensemble=[OTHER])
    assert scores.names == LABEL_FREE_SCORES
    assert scores.left_out == {}
    for name in scores.names:
        values, row = scores.columns[name], ROWS[name]
        assert np.isfinite(values).all() and values.std() > 0, name
        assert row.low is None or values.min() >= row.low, name
        assert row.high is None or values.max() <= row.high, name
    metrics = karat.measure(H, epsilon=2, metrics="all", views=VIEWS).values
    assert set(metrics) == {row.name for row in CATALOG if row.kind == "metric"}
    for name, value in metrics.items():
        assert ROWS[name].low is None or value >= ROWS[name].low
        assert ROWS[name].high is None or value <= ROWS[name].high


def test_all_means_every_score_without_labels_and_names_keep_the_order_of_the_catalogue() -> None:
    assert score_names("all") == LABEL_FREE_SCORES
    assert score_names("max_z") == ("max_z",)
    assert score_names(["random", "l2_norm", "q_score", "random"]) == ("q_score", "l2_norm", "random")
    assert score_names(DEFAULT_SCORES) == DEFAULT_SCORES


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ("q_scores", "there is no score 'q_scores': choose 'all' or from q_score, "),
        (["q_score", "mean_q"], "there is no score 'mean_q'"),
        ("softmax_confidence", "needs labels: karat evaluate computes it from a probe"),
        ([], "scores is empty"),
        (["all"], "there is no score 'all'"),
        ("", "there is no score ''"),
        ([5], "there is no score 5"),
    ],
)
def test_names_that_cannot_be_computed_are_refused(scores: Any, why: str) -> None:
    with pytest.raises(InputError, match=why):
        score_names(scores)


def test_what_is_no_list_of_names_is_refused() -> None:
    with pytest.raises(InputTypeError, match="scores is 5, but 'all', a name or several names are needed"):
        score_names(5)  # type: ignore[arg-type]
