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
from karat.errors import FileFormatError, InputError, InputTypeError
from karat.evaluating import evaluate
from karat.records import Estimate, ProbeResult, Scores, from_dict, to_dict
from karat.stats import ranking, risk_coverage, softmax_confidence, softmax_entropy, softmax_margin
from tests.reference import confidence as slow_confidence
from tests.reference import ranking as slow_ranking
from tests.reference import resampling as slow_resampling

N = 60
IDS = np.array([f"image-{row}" for row in range(N)])
MEASURES = ("auroc", "auprc", "auprc_error", "fpr95", "aurc", "augrc")
CLASSES = ("a", "b", "c")
LABELS = np.array(CLASSES)[np.arange(N) % 3]


@cache
def scored() -> Scores:
    h = np.random.default_rng(0).exponential(size=(N, 40)) ** 2
    return karat.score(karat.Embeddings(h, ids=IDS), scores=["q_score", "l2_norm", "max_z"], epsilon=2)


def probe_of(ids: np.ndarray, correct: np.ndarray, logits: np.ndarray) -> ProbeResult:
    provenance = karat.records.Provenance("probe", {"seed": 3}, {"train": "1" * 32, "val": "2" * 32}, "0.1.0")
    columns = {"id": ids, "label": LABELS, "prediction": LABELS, "correct": correct, "logits": logits}
    return ProbeResult(provenance, float(correct.mean()), 10, len(ids), CLASSES, {}, columns)


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
    assert "3 samples of the probe lack one score or another: they were left out of all" in table.warnings
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


def test_the_correlation_with_the_loss_is_that_of_the_probes_cross_entropy() -> None:
    table = evaluate(scored(), shuffled(), resamples=5)
    order = [IDS.tolist().index(name) for name in shuffled().ids]
    loss = [
        math.log(sum(map(math.exp, logits))) - logits[CLASSES.index(label)]
        for logits, label in zip(shuffled().logits.tolist(), LABELS[order].tolist(), strict=True)
    ]
    for name in scored().names:
        values = scored().columns[name][order].tolist()
        assert row_of(table, name).spearman.value == pytest.approx(slow_resampling.spearman(values, loss))
    assert row_of(table, "softmax_entropy").spearman.value == pytest.approx(
        slow_resampling.spearman([-slow_confidence.entropy(line) for line in shuffled().logits.tolist()], loss)
    )


def test_the_probes_own_confidence_falls_where_its_loss_rises() -> None:
    sure = np.where(probe().correct, 4.0, 0.1)
    logits = np.eye(3)[np.arange(N) % 3] * sure[:, None]
    table = evaluate(scored(), replace(probe(), columns={**probe().columns, "logits": logits}), resamples=5)
    assert row_of(table, "softmax_confidence").spearman.value < -0.99


def test_samples_of_a_class_that_the_probe_does_not_know_have_the_highest_loss_and_are_told_of() -> None:
    narrower = replace(probe(), classes=("a", "b"), columns={**probe().columns, "logits": probe().logits[:, :2]})
    table = evaluate(scored(), narrower, resamples=5)
    assert any("20 samples are of classes that the probe was not trained on" in told for told in table.warnings)
    two = probe().logits[:, :2].tolist()
    loss = [
        math.inf if label == "c" else math.log(sum(map(math.exp, z))) - z[CLASSES.index(label)]
        for z, label in zip(two, LABELS.tolist(), strict=True)
    ]
    exact = slow_resampling.spearman(scored().q_score.tolist(), loss)
    assert row_of(table, "q_score").spearman.value == pytest.approx(exact)


def test_each_score_is_tested_against_q_score_and_against_the_best_on_the_same_resamples() -> None:
    better = scored().q_score + 3 * probe().correct
    names = (*scored().names, "knn_similarity", "random")
    columns = {**scored().columns, "knn_similarity": better, "random": np.arange(N) * 7.0 % 11}
    table = evaluate(replace(scored(), names=names, columns=columns), probe(), seed=2, resamples=40)
    pairs = [(test.first, test.second) for test in table.tests]
    rest = {"l2_norm", "max_z", "random"}
    assert len(pairs) == 7
    assert set(pairs) == {
        *((name, "q_score") for name in rest | {"knn_similarity"}), *((name, "knn_similarity") for name in rest)
    }  # fmt: skip
    correct = probe().correct.tolist()
    for test in table.tests:
        a, b = (columns[name].tolist() for name in (test.first, test.second))
        exact = slow_ranking.auroc(a, correct) - slow_ranking.auroc(b, correct)
        drawn = [slow_resampling.drawn(slow_ranking.auroc, values, correct, times=40, seed=2) for values in (a, b)]
        difference = np.subtract(*drawn)
        assert test.difference.value == pytest.approx(exact)
        assert (test.difference.low, test.difference.high) == pytest.approx(np.quantile(difference, [0.025, 0.975]))
        assert test.p == pytest.approx(math.erfc(abs(exact) / np.std(difference, ddof=1) / math.sqrt(2)))
    assert [test.p_holm for test in table.tests] == pytest.approx(
        slow_resampling.holm([test.p for test in table.tests])
    )
    signs = {test.first: test.sign for test in table.tests if test.second == "q_score"}
    assert signs["knn_similarity"] == 1 and signs["random"] == -1


def test_where_q_score_is_the_best_each_other_score_is_tested_once() -> None:
    table = evaluate(scored(), probe(), resamples=5)
    assert table.rows[0].score == "q_score"
    assert [test.second for test in table.tests] == ["q_score"] * 3


def test_without_q_score_the_best_is_the_only_one_to_beat() -> None:
    rest = replace(scored(), names=("l2_norm", "max_z"))
    table = evaluate(rest, probe(), resamples=5)
    best = next(row.score for row in table.rows if row.score != "random")
    assert {test.second for test in table.tests} == {best}


def test_each_class_has_its_accuracy_and_the_auroc_inside_it() -> None:
    table = evaluate(scored(), shuffled(), resamples=5)
    assert [row.label for row in table.classes] == list(CLASSES)
    assert sum(row.n for row in table.classes) == N
    for row in table.classes:
        members = row.label == LABELS
        correct = probe().correct[members].tolist()
        assert (row.n, row.errors) == (20, correct.count(False))
        assert row.accuracy == pytest.approx(np.mean(correct))
        exact = slow_ranking.auroc(scored().q_score[members].tolist(), correct)
        assert row.auroc["q_score"] == pytest.approx(exact)
        assert row.auroc.keys() == {row.score for row in table.rows}


@pytest.mark.parametrize(("errors", "known"), [(4, False), (5, True), (15, True), (16, False)])
def test_a_class_with_few_right_or_few_wrong_samples_has_no_auroc_and_that_is_said(errors: int, known: bool) -> None:
    correct = probe().correct.copy()
    correct[LABELS == "b"] = np.arange(20) >= errors
    table = evaluate(scored(), replace(probe(), columns={**probe().columns, "correct": correct}), resamples=5)
    (row,) = [row for row in table.classes if row.label == "b"]
    assert all(math.isnan(value) is not known for value in row.auroc.values())
    told = [warning for warning in table.warnings if "fewer than 5 right or 5 wrong samples (b)" in warning]
    assert len(told) == (not known)


def test_a_constant_score_is_chance_and_named() -> None:
    columns = {**scored().columns, "max_z": np.full(N, 3.0)}
    table = evaluate(replace(scored(), columns=columns), probe(), resamples=20)
    assert any(warning.startswith("max_z: the same value for every sample") for warning in table.warnings)
    assert row_of(table, "max_z").auroc == Estimate(0.5, 0.5, 0.5)
    assert math.isnan(row_of(table, "max_z").spearman.value)


@pytest.mark.parametrize(("right", "word"), [(True, "right"), (False, "wrong")])
def test_a_probe_that_is_always_right_or_wrong_is_told_of_and_nothing_is_tested(right: bool, word: str) -> None:
    table = evaluate(scored(), replace(probe(), columns={**probe().columns, "correct": np.full(N, right)}), resamples=5)
    assert any(f"the probe is {word} on every sample" in warning for warning in table.warnings)
    assert table.tests == ()


def embedded(ids: np.ndarray, labels: Any) -> karat.Embeddings:
    """Rows that point mostly in the direction of their class."""
    h = np.random.default_rng(4).normal(size=(N, 3)) + 1.2 * np.eye(3)[np.arange(N) % 3]
    return karat.Embeddings(h, ids=ids, labels=labels)


def nearest_is_alike(emb: karat.Embeddings, rows: list[int]) -> dict[str, bool]:
    unit = np.asarray(emb.h) / np.linalg.norm(emb.h, axis=1, keepdims=True)
    found = {}
    for i in rows:
        nearest = max((j for j in rows if j != i), key=lambda j: float(unit[i] @ unit[j]))
        found[str(emb.sample_ids[i])] = emb.labels[i] == emb.labels[nearest]
    return found


def test_r_auroc_asks_for_the_class_of_the_nearest_neighbour_in_the_place_of_the_probe() -> None:
    order = np.random.default_rng(1).permutation(N)
    emb = embedded(IDS, LABELS)[order]
    table = evaluate(scored(), probe(), embeddings=emb, seed=3, resamples=20)
    alike = nearest_is_alike(emb, list(range(N)))
    correct = [alike[name] for name in IDS.tolist()]
    assert 10 < sum(correct) < 50
    for name in scored().names:
        row, values = row_of(table, name), scored().columns[name].tolist()
        assert row.r_auroc.value == pytest.approx(slow_ranking.auroc(values, correct))
        drawn = slow_resampling.drawn(slow_ranking.auroc, values, correct, times=20, seed=3)
        assert (row.r_auroc.low, row.r_auroc.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
    assert "embeddings" in table.provenance.inputs


def test_samples_without_a_label_or_embedding_have_no_part_in_r_auroc() -> None:
    labels = LABELS.astype(object)
    labels[::4] = None
    emb = embedded(IDS, labels)[: N - 5]
    table = evaluate(scored(), probe(), embeddings=emb, resamples=5)
    alike = nearest_is_alike(emb, [row for row in range(N - 5) if labels[row] is not None])
    rows = [row for row, name in enumerate(IDS.tolist()) if name in alike]
    exact = slow_ranking.auroc(scored().q_score[rows].tolist(), [alike[IDS[row]] for row in rows])
    assert row_of(table, "q_score").r_auroc.value == pytest.approx(exact)


def test_without_embeddings_there_is_no_r_auroc_and_no_column_of_it() -> None:
    table = evaluate(scored(), probe(), resamples=5)
    assert all(math.isnan(row.r_auroc.value) for row in table.rows)
    assert "R-AUROC" not in str(table)
    assert "R-AUROC" in str(evaluate(scored(), probe(), embeddings=embedded(IDS, LABELS), resamples=5))


def test_embeddings_that_cannot_serve_are_refused() -> None:
    with pytest.raises(InputTypeError, match="embeddings is a ndarray"):
        evaluate(scored(), probe(), embeddings=np.eye(3))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="embeddings has no labels"):
        evaluate(scored(), probe(), embeddings=embedded(IDS, None))
    with pytest.raises(InputError, match="1 ids of the embeddings occur more than once"):
        evaluate(scored(), probe(), embeddings=embedded(np.append(IDS[:-1], IDS[0]), LABELS))


def test_the_printed_table_counts_the_tests_and_warns_of_the_choice_of_the_best() -> None:
    names = (*scored().names, "knn_similarity")
    columns = {**scored().columns, "knn_similarity": scored().q_score + 9 * probe().correct}
    text = str(evaluate(replace(scored(), names=names, columns=columns), probe(), resamples=5))
    assert "7 tests on the same samples" in text
    assert "knn_similarity is the best on these very samples, so its lead is a little too large" in text
    assert "the 3 of 3 classes with the lowest accuracy" in text
