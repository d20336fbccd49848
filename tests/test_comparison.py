"""Encoders on the same images: what moved."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

import karat
from karat.errors import FileFormatError, InputError, InputTypeError
from karat.records import Comparison, ProbeResult, Scores, from_dict, to_dict
from karat.runs import add_record, open_run
from karat.stats import effective_rank, lowest_overlap, mcnemar
from karat.store import save
from tests import report_records
from tests.reference import resampling

N = 120
IDS = np.array([f"s{row:03d}" for row in range(N)])
LABELS = np.array(["bird", "cat", "frog"])[np.arange(N) % 3]


def scores(seed: int, rows: np.ndarray | slice = slice(None), *, low: str = "softmax_entropy") -> Scores:
    """Scores that agree between seeds in part."""
    rng = np.random.default_rng(seed)
    common = np.random.default_rng(99).normal(size=N)
    columns = {
        "id": IDS, "q_score": common + rng.normal(size=N), "random": rng.random(N), low: rng.random(N) - common / 3
    }  # fmt: skip
    kept = {name: values[rows] for name, values in columns.items()}
    return report_records.scores(len(kept["id"]), names=("q_score", "random", low), columns=kept)


def probe(seed: int, share: float, rows: np.ndarray | slice = slice(None), **changes: Any) -> ProbeResult:
    correct = np.random.default_rng(seed).random(N) < share
    columns = {"id": IDS, "label": LABELS, "prediction": LABELS, "correct": correct, "logits": np.zeros((N, 3))}
    kept = {name: values[rows] for name, values in (columns | changes).items()}
    return report_records.probe(len(kept["id"]), columns=kept)


def embeddings(seed: int, d: int = 40, rows: np.ndarray | slice = slice(None)) -> karat.Embeddings:
    h = np.random.default_rng(seed).exponential(size=(N, d)) ** 2
    return karat.Embeddings(h[rows], ids=IDS[rows], labels=LABELS[rows])


SHUFFLED = np.random.default_rng(7).permutation(N)


@cache
def compared() -> Comparison:
    """The second encoder has its samples in another order."""
    old = (scores(1), probe(1, 0.6))
    new = (scores(2, SHUFFLED), probe(2, 0.8, SHUFFLED))
    return karat.compare(old, new, names=("old", "new"), resamples=60, seed=3)


def test_a_score_is_compared_by_the_ranks_of_the_same_samples() -> None:
    shifts = {shift.score: shift for shift in compared().shifts}
    assert list(shifts) == ["q_score", "softmax_entropy"]  # what chance does is of no interest
    for name, sign in (("q_score", 1), ("softmax_entropy", -1)):
        a, b = getattr(scores(1), name), getattr(scores(2), name)
        shift = shifts[name]
        assert (shift.first, shift.second, shift.n) == ("old", "new", N)
        assert shift.spearman.value == pytest.approx(spearmanr(a, b).statistic)
        drawn = resampling.drawn(resampling.spearman, a.tolist(), b.tolist(), times=60, seed=3)
        assert (shift.spearman.low, shift.spearman.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
        assert shift.lowest == pytest.approx(lowest_overlap(sign * a, sign * b))


def test_the_scale_of_an_encoder_changes_nothing() -> None:
    loud = scores(2)
    loud = replace(loud, columns={**loud.columns, "q_score": np.exp(loud.q_score) * 1000})
    again = karat.compare(scores(1), loud, names=("old", "new"), resamples=60, seed=3)
    assert again.shifts[0] == compared().shifts[0]


def test_probes_are_compared_sample_by_sample() -> None:
    (shift,) = compared().probes
    before, after = probe(1, 0.6).correct, probe(2, 0.8).correct
    assert (shift.first, shift.second, shift.n) == ("old", "new", N)
    assert (shift.accuracy_first, shift.accuracy_second) == pytest.approx((before.mean(), after.mean()))
    assert (shift.gained, shift.lost, shift.p) == mcnemar(before, after)
    gain = (after.astype(float) - before).tolist()
    assert shift.difference.value == pytest.approx(np.mean(gain))
    drawn = resampling.drawn(lambda x: sum(x) / N, gain, times=60, seed=3)
    assert (shift.difference.low, shift.difference.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]))


def test_each_sample_has_its_percentiles_and_what_became_of_it() -> None:
    columns = compared().columns
    assert list(columns) == ["id", "percentile:old", "percentile:new", "change:new"]
    assert columns["id"].tolist() == IDS.tolist()
    words = {(0, 0): "wrong", (0, 1): "gained", (1, 0): "lost", (1, 1): "right"}
    pairs = zip(probe(1, 0.6).correct, probe(2, 0.8).correct, strict=True)
    assert columns["change:new"].tolist() == [words[int(a), int(b)] for a, b in pairs]
    for name, seed in (("old", 1), ("new", 2)):
        values = scores(seed).q_score
        exact = [np.mean(values <= value) for value in values]
        np.testing.assert_allclose(columns[f"percentile:{name}"], exact)


def test_of_a_score_whose_low_values_are_good_the_percentiles_are_turned() -> None:
    found = karat.compare(scores(1), scores(2), by="softmax_entropy", resamples=5)
    values = scores(1).softmax_entropy
    np.testing.assert_allclose(found.columns["percentile:encoder 1"], [np.mean(values >= value) for value in values])


def test_only_samples_that_both_have_count() -> None:
    some = np.sort(SHUFFLED[:80])
    found = karat.compare((scores(1), probe(1, 0.6)), (scores(2, some), probe(2, 0.8, some)), resamples=5)
    assert found.shifts[0].n == found.probes[0].n == len(found.ids) == 80
    exact = spearmanr(scores(1).q_score[some], scores(2).q_score[some]).statistic
    assert found.shifts[0].spearman.value == pytest.approx(exact)
    assert "80 of the 120 samples of encoder 1 are shared: the others were left out" in found.warnings


def test_samples_without_a_score_are_left_out_of_its_comparison() -> None:
    holed = scores(2)
    values = np.where(np.arange(N) < 20, math.nan, holed.q_score)
    found = karat.compare(scores(1), replace(holed, columns={**holed.columns, "q_score": values}), resamples=5)
    assert [shift.n for shift in found.shifts] == [100, N]
    assert np.isnan(found.columns["percentile:encoder 2"]).sum() == 20


def test_several_encoders_are_each_set_against_the_first() -> None:
    sides = [(scores(seed), probe(seed, 0.7)) for seed in (1, 2, 3)]
    found = karat.compare(*sides, names=("a", "b", "c"), resamples=5)
    assert {(shift.first, shift.second) for shift in found.shifts} == {("a", "b"), ("a", "c")}
    assert [(shift.first, shift.second) for shift in found.probes] == [("a", "b"), ("a", "c")]
    assert found.probes[1].gained == mcnemar(probe(1, 0.7).correct, probe(3, 0.7).correct).gained
    assert "change:c" in found.columns and "percentile:c" in found.columns


@pytest.mark.filterwarnings("ignore::karat.errors.KaratWarning")
def test_embeddings_are_measured_on_the_shared_samples_and_scored() -> None:
    some = np.sort(SHUFFLED[:100])
    found = karat.compare(embeddings(1), embeddings(2, 60, some), names=("a", "b"), resamples=5)
    exact = (effective_rank(embeddings(1).h[some]), effective_rank(embeddings(2, 60).h[some]))
    assert found.metrics["effective_rank"] == pytest.approx(exact)
    assert found.widths == (40, 60)
    assert {"q_score", "q_score_v1"} <= {shift.score for shift in found.shifts}
    a, b = (karat.score(emb).q_score_v1 for emb in (embeddings(1), embeddings(2, 60, some)))
    (v1,) = [shift for shift in found.shifts if shift.score == "q_score_v1"]
    assert v1.spearman.value == pytest.approx(spearmanr(a[some], b).statistic)


@pytest.mark.filterwarnings("ignore::karat.errors.KaratWarning")
def test_metrics_in_the_unit_of_h_are_not_set_side_by_side() -> None:
    found = karat.compare(embeddings(1), embeddings(2), resamples=5)
    assert {"mean_q", "std_q"} <= set(karat.measure(embeddings(1)).values)
    assert not {"mean_q", "std_q"} & set(found.metrics)


def test_recorded_metrics_serve_where_there_are_no_embeddings() -> None:
    other = replace(report_records.metrics(), values={"effective_rank": 9.5, "alpha": 1.0})
    found = karat.compare((scores(1), report_records.metrics()), (scores(2), other), resamples=5)
    assert found.metrics["effective_rank"] == (17.2, 9.5)
    assert found.metrics["alpha"][1] == 1.0 and math.isnan(found.metrics["alpha"][0])
    few = replace(other, n=50)
    found = karat.compare((scores(1), report_records.metrics()), (scores(2), few), names=("a", "b"), resamples=5)
    assert "the metrics of b are of 50 samples, not of the 120 shared ones" in found.warnings


def run_of(folder: Path, seed: int, share: float, *, emb: bool = False) -> Path:
    for record in (scores(seed), probe(seed, share), report_records.metrics()):
        add_record(folder, record)
    if emb:
        (folder / "embeddings").mkdir()
        save(embeddings(seed), folder / "embeddings" / "val.emb")
    return folder


def test_runs_are_compared_by_the_names_of_their_folders(tmp_path: Path) -> None:
    old, new = run_of(tmp_path / "old", 1, 0.6), run_of(tmp_path / "new", 2, 0.8)
    found = karat.compare(old, str(new), resamples=60, seed=3)
    assert found.names == ("old", "new")
    assert (found.shifts, found.probes) == (compared().shifts, compared().probes)
    assert found.metrics["effective_rank"] == (17.2, 17.2)
    assert found.provenance.inputs["old.probe.embeddings"] == probe(1, 0.6).provenance.inputs["embeddings"]
    assert karat.compare(open_run(old), open_run(new), resamples=60, seed=3) == found


def test_embeddings_in_a_run_are_measured(tmp_path: Path) -> None:
    sides = [run_of(tmp_path / f"run{seed}", seed, 0.7, emb=True) for seed in (1, 2)]
    found = karat.compare(*sides, resamples=5)
    assert found.metrics["effective_rank"] == pytest.approx([effective_rank(embeddings(s).h) for s in (1, 2)])
    assert found.widths == (40, 40)


def test_runs_of_one_name_are_numbered(tmp_path: Path) -> None:
    first, second = run_of(tmp_path / "a" / "run", 1, 0.6), run_of(tmp_path / "b" / "run", 2, 0.8)
    assert karat.compare(first, second, resamples=5).names == ("run 1", "run 2")


def test_a_damaged_part_of_a_run_is_told_of_and_the_rest_is_compared(tmp_path: Path) -> None:
    old, new = run_of(tmp_path / "old", 1, 0.6), run_of(tmp_path / "new", 2, 0.8)
    (new / "records" / "probe.json").write_text("{}")
    found = karat.compare(old, new, resamples=5)
    assert found.probes == () and len(found.shifts) == 2
    assert any(warning.startswith("probe of new cannot be read:") for warning in found.warnings)
    assert any("new has no probe: there it cannot be compared" in warning for warning in found.warnings)


def test_labels_that_differ_are_told_of() -> None:
    other = LABELS.copy()
    other[:3] = "cat"
    found = karat.compare(probe(1, 0.6), probe(2, 0.8, label=other), resamples=5)
    assert any("2 of 120 samples have another label" in warning for warning in found.warnings)


def test_it_comes_back_from_json_and_a_run(tmp_path: Path) -> None:
    assert from_dict(to_dict(compared()), compared().columns) == compared()
    add_record(tmp_path / "run", compared())
    back = open_run(tmp_path / "run").records["comparison"]
    assert back == compared()
    assert back.columns["change:new"].tolist() == compared().columns["change:new"].tolist()


def test_the_printed_tables_name_samples_that_were_lost_and_gained() -> None:
    text = str(compared())
    change = compared().columns["change:new"]
    assert f"Right with old only: {', '.join(IDS[change == 'lost'][:10])}" in text
    assert f"Right with new only: {', '.join(IDS[change == 'gained'][:10])} ..." in text
    assert "p (McNemar)" in text and "same lowest tenth" in text


def twice(record: Any) -> Any:
    ids = np.append(IDS[:-1], IDS[0])
    return replace(record, columns={**record.columns, "id": ids})


def foreign(record: Any) -> Any:
    return replace(record, columns={**record.columns, "id": np.array([f"x{row}" for row in range(N)])})


@pytest.mark.parametrize(
    ("sides", "settings", "words"),
    [
        ((scores(1), twice(scores(2))), {}, "1 ids of the scores of encoder 2 occur more than once"),
        ((probe(1, 0.5), twice(probe(2, 0.5))), {}, "1 ids of the probe of encoder 2 occur more than once"),
        ((scores(1), foreign(scores(2))), {}, r"no sample in common \(encoder 1: s000, .*encoder 2: x0, x1"),
        ((scores(1), probe(2, 0.5)), {}, "encoder 1 and encoder 2 have no part in common"),
        ((scores(1), scores(2)), {"by": "max_z"}, "no encoder has the score 'max_z': choose from q_score, random"),
        ((scores(1), scores(2)), {"names": ("a",)}, r"names is \['a'\], but 2 different names"),
        ((scores(1), scores(2)), {"names": ("a", "a")}, "2 different names are needed"),
        ((scores(1), ()), {}, "encoder 2 is empty"),
        ((scores(1), (scores(2), scores(3))), {}, "encoder 2 has its scores twice"),
        ((scores(1), scores(2)), {"resamples": 0}, "resamples is 0"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else "",
)
def test_bad_input_is_refused(sides: tuple[Any, Any], settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        karat.compare(*sides, **settings)


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputTypeError, match="encoder 2 is a ndarray, but a run"):
        karat.compare(scores(1), np.eye(3))
    with pytest.raises(FileFormatError, match="is no run of karat"):
        karat.compare(tmp_path, tmp_path)


def test_a_run_with_nothing_to_compare_is_refused(tmp_path: Path) -> None:
    add_record(tmp_path / "empty", report_records.evaluation())
    with pytest.raises(InputError, match="empty has neither scores, nor a probe, metrics or embeddings"):
        karat.compare(tmp_path / "empty", scores(1))
