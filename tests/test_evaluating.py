"""Scores against a probe's errors: joined by id, with chance and the labelled ceiling."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import karat
from karat.errors import FileFormatError, InputError
from karat.evaluating import evaluate
from karat.records import Estimate, ProbeResult, Scores, from_dict, to_dict
from karat.stats import ranking, risk_coverage, softmax_confidence, softmax_entropy, softmax_margin
from tests.reference import confidence as slow_confidence
from tests.reference import ranking as slow_ranking

N = 60
IDS = np.array([f"image-{row}" for row in range(N)])
MEASURES = ("auroc", "auprc", "auprc_error", "fpr95", "aurc", "augrc")


@cache
def scored() -> Scores:
    h = np.random.default_rng(0).exponential(size=(N, 40)) ** 2
    return karat.score(karat.Embeddings(h, ids=IDS), scores=["q_score", "l2_norm", "max_z"], epsilon=2)


def probe_of(ids: np.ndarray, correct: np.ndarray, logits: np.ndarray) -> ProbeResult:
    provenance = karat.records.Provenance("probe", {"seed": 3}, {"train": "1" * 32, "val": "2" * 32}, "0.1.0")
    columns = {"id": ids, "label": ids, "prediction": ids, "correct": correct, "logits": logits}
    return ProbeResult(provenance, float(correct.mean()), 10, len(ids), ("a", "b", "c"), {}, columns)


@cache
def probe() -> ProbeResult:
    """In the order of the scores; more often right where q_score is high."""
    rng = np.random.default_rng(1)
    correct = scored().q_score + rng.normal(size=N) * 8 > np.median(scored().q_score)
    return probe_of(IDS, correct, rng.normal(size=(N, 3)) * 2 * (1 + correct[:, None]))


def shuffled(seed: int = 0) -> ProbeResult:
    order = np.random.default_rng(seed).permutation(N)
    return replace(probe(), columns={name: values[order] for name, values in probe().columns.items()})


def row_of(evaluation: karat.records.Evaluation, name: str) -> karat.records.ScoreEvaluation:
    (row,) = [row for row in evaluation.rows if row.score == name]
    return row


def test_each_measure_equals_its_transcription() -> None:
    table = evaluate(scored(), probe(), resamples=5)
    correct = probe().correct.tolist()
    for name in scored().names:
        row, values = row_of(table, name), scored().columns[name].tolist()
        assert row.auroc.value == pytest.approx(slow_ranking.auroc(values, correct))
        assert row.fpr95.value == pytest.approx(slow_ranking.fpr95(values, correct))
        assert row.aurc.value == pytest.approx(slow_ranking.aurc(values, correct))
        assert row.augrc.value == pytest.approx(slow_ranking.augrc(values, correct))
        assert not row.labelled
    assert table.n == N and table.accuracy == pytest.approx(np.mean(correct))


def test_values_and_intervals_are_those_of_ranking() -> None:
    table = evaluate(scored(), probe(), seed=7, resamples=50)
    for name in scored().names:
        exact = ranking.intervals(scored().columns[name], probe().correct, resamples=50, seed=7)
        row = row_of(table, name)
        assert {measure: getattr(row, measure) for measure in MEASURES} == {
            measure: Estimate(*exact[measure]) for measure in MEASURES
        }
        coverage, risk = risk_coverage(scored().columns[name], probe().correct)
        assert (row.coverage, row.risk) == (tuple(coverage.tolist()), tuple(risk.tolist()))
        assert row.auroc.low < row.auroc.value < row.auroc.high


def test_samples_join_by_id_in_any_order() -> None:
    assert (
        evaluate(scored(), shuffled(), resamples=5).rows[0].auroc
        != evaluate(scored(), replace(shuffled(), columns={**shuffled().columns, "id": IDS}), resamples=5).rows[0].auroc
    )
    in_order, out_of_order = (evaluate(scored(), p, resamples=5) for p in (probe(), shuffled()))
    for name in (*scored().names, "softmax_margin"):
        for measure in MEASURES:
            assert getattr(row_of(in_order, name), measure).value == pytest.approx(
                getattr(row_of(out_of_order, name), measure).value
            )


def test_the_scores_may_be_of_more_samples() -> None:
    rows = np.arange(N) % 2 == 0
    half = replace(probe(), columns={name: values[rows] for name, values in probe().columns.items()})
    table = evaluate(scored(), half, resamples=5)
    assert table.n == 30
    exact = slow_ranking.auroc(scored().q_score[rows].tolist(), probe().correct[rows].tolist())
    assert row_of(table, "q_score").auroc.value == pytest.approx(exact)


def test_numbers_and_their_digits_are_the_same_id() -> None:
    numbered = replace(scored(), columns={**scored().columns, "id": np.arange(N)})
    table = evaluate(numbered, replace(probe(), columns={**probe().columns, "id": np.arange(N).astype(str)}))
    assert row_of(table, "q_score").auroc == row_of(evaluate(scored(), probe()), "q_score").auroc


@pytest.mark.parametrize("whose", ["scores", "probe"])
def test_ids_that_occur_twice_are_refused(whose: str) -> None:
    ids = IDS.copy()
    ids[[3, 4, 9]] = "image-0"
    ids[20] = "image-21"
    given = {"scores": scored(), "probe": probe()}
    given[whose] = replace(given[whose], columns={**given[whose].columns, "id": ids})
    with pytest.raises(InputError, match=rf"2 ids of the {whose} occur more than once \(image-0, image-21\)"):
        evaluate(given["scores"], given["probe"])


def test_ids_without_a_score_are_refused_and_named() -> None:
    ids = IDS.copy()
    ids[[2, 5, 7, 8]] = "x", "y", "z", "~"
    with pytest.raises(InputError, match=r"4 of the probe's 60 samples have no score \(x, y, z, \.\.\.\)"):
        evaluate(scored(), replace(probe(), columns={**probe().columns, "id": ids}))


def test_chance_and_the_labelled_ceiling_are_always_there() -> None:
    table = evaluate(scored(), probe(), seed=5, resamples=5)
    assert {row.score for row in table.rows} == {
        *scored().names, "random", "softmax_confidence", "softmax_entropy", "softmax_margin"
    }  # fmt: skip
    assert [row.score for row in table.rows if row.labelled] == [row.score for row in table.rows[-3:]]
    for group in (table.rows[:-3], table.rows[-3:]):
        assert all(above.auroc.value >= below.auroc.value for above, below in pairwise(group))
    random = np.random.default_rng(5).random(N)
    assert row_of(table, "random").auroc.value == ranking.auroc(random, probe().correct)


def test_a_random_score_that_was_stored_is_used() -> None:
    stored = np.arange(N) / N
    with_random = replace(scored(), names=(*scored().names, "random"), columns={**scored().columns, "random": stored})
    table = evaluate(with_random, probe(), resamples=5)
    assert row_of(table, "random").auroc.value == ranking.auroc(stored, probe().correct)


def test_labelled_scores_come_from_the_logits_and_are_turned_so_that_high_is_sure() -> None:
    table = evaluate(scored(), probe(), resamples=5)
    logits, correct = probe().logits, probe().correct
    for name, fast, slow, sign in [
        ("softmax_confidence", softmax_confidence, slow_confidence.confidence, 1),
        ("softmax_entropy", softmax_entropy, slow_confidence.entropy, -1),
        ("softmax_margin", softmax_margin, slow_confidence.margin, 1),
    ]:
        row = row_of(table, name)
        assert row.labelled
        assert row.auroc.value == ranking.auroc(sign * fast(logits), correct)
        assert row.aurc.value == pytest.approx(
            slow_ranking.aurc([sign * slow(line) for line in logits.tolist()], correct.tolist())
        )
        assert row.auroc.value > 0.5  # these logits are larger where the probe is right
        assert row.risk == tuple(risk_coverage(sign * fast(logits), correct)[1].tolist())


def test_samples_without_a_score_are_left_out_of_every_row_and_of_n() -> None:
    left_out = np.array([1, 30, 59])
    values = scored().q_score.copy()
    values[left_out] = np.nan
    table = evaluate(replace(scored(), columns={**scored().columns, "q_score": values}), shuffled(), resamples=5)
    rest = np.delete(np.arange(N), left_out)
    assert table.n == 57
    assert table.accuracy == pytest.approx(probe().correct[rest].mean())
    for name in scored().names:
        exact = ranking.auroc(scored().columns[name][rest], probe().correct[rest])
        assert row_of(table, name).auroc.value == pytest.approx(exact)
    exact = ranking.auroc(softmax_confidence(probe().logits)[rest], probe().correct[rest])
    assert row_of(table, "softmax_confidence").auroc.value == pytest.approx(exact)


def test_no_score_at_all_is_refused() -> None:
    empty = replace(scored(), columns={**scored().columns, "q_score": np.full(N, np.nan)})
    with pytest.raises(InputError, match="none of the probe's samples has a score"):
        evaluate(empty, probe())


@pytest.mark.parametrize("right", [True, False])
def test_a_probe_that_is_always_right_or_wrong_has_no_auroc_and_a_record_all_the_same(right: bool) -> None:
    columns = {**probe().columns, "correct": np.full(N, right)}
    table = evaluate(scored(), replace(probe(), columns=columns), resamples=5)
    assert table.accuracy == right
    assert math.isnan(table.rows[0].auroc.value)
    assert table.rows[0].aurc.value == (0 if right else 1)
    assert to_dict(from_dict(to_dict(table))) == to_dict(table)


@pytest.mark.parametrize("missing", ["id", "q_score"])
def test_a_table_of_scores_that_lacks_a_column_is_refused(missing: str) -> None:
    columns = {name: values for name, values in scored().columns.items() if name != missing}
    with pytest.raises(FileFormatError, match=f"scores record lacks the column '{missing}'"):
        evaluate(replace(scored(), columns=columns), probe())


@pytest.mark.parametrize("missing", ["id", "correct", "logits"])
def test_a_table_of_a_probe_that_lacks_a_column_is_refused(missing: str) -> None:
    columns = {name: values for name, values in probe().columns.items() if name != missing}
    with pytest.raises(FileFormatError, match=f"probe record lacks the column '{missing}'"):
        evaluate(scored(), replace(probe(), columns=columns))


def test_equal_work_gives_an_equal_record_that_says_how_it_was_made() -> None:
    table: Any = evaluate(scored(), probe(), seed=3, resamples=20)
    assert table == evaluate(scored(), probe(), seed=3, resamples=20)
    assert table != evaluate(scored(), probe(), seed=4, resamples=20)
    assert table.provenance.function == "evaluate"
    assert table.provenance.parameters == {"seed": 3, "resamples": 20, "scores": scored().provenance.parameters}
    assert table.provenance.inputs == {
        "scores.embeddings": scored().provenance.inputs["embeddings"],
        "scores.reference": scored().provenance.inputs["reference"],
        "probe.train": "1" * 32,
        "probe.val": "2" * 32,
    }


def test_resamples_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="resamples is 0"):
        evaluate(scored(), probe(), resamples=0)
