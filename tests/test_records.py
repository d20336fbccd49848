"""Records go to JSON and back."""

from __future__ import annotations

import copy
import json
import math
import pickle
from dataclasses import MISSING, Field, FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karat.errors import FileFormatError
from karat.records import (
    Calibration,
    ClassEvaluation,
    Comparison,
    Compression,
    Curve,
    CurvePoint,
    Epoch,
    Estimate,
    Evaluation,
    Finetuning,
    Health,
    Metrics,
    PairedTest,
    ProbeResult,
    ProbeShift,
    Provenance,
    Record,
    ReliabilityBin,
    ScoreEvaluation,
    Scores,
    ScoreShift,
    Selection,
    Summary,
    from_dict,
    to_dict,
)
from karat.records.tables import read_record
from karat.runs import Run, open_run

PROVENANCE = Provenance(
    "score",
    {"epsilon": "auto", "lower": 50, "normalize": False, "scores": ["q_score"], "seed": 0, "nested": {"a": [1, 2.5]}},
    {"embeddings": "0" * 32},
    "0.1.0",
)
HEALTH = Health(100, 20, 0.25, 0.0, False, 3, 7, 1.5, 0.5, 0.1, 0, 0, 2, 100, 0.7, 1, ("look", "here"))
SCORES = Scores(
    provenance=PROVENANCE,
    names=("q_score", "l2_norm"),
    epsilon=3.5,
    health=HEALTH,
    summary={"q_score": Summary(1, 0.5, 0, 0.1, 1, 2, 3), "l2_norm": Summary(*[math.nan] * 7)},
    columns={"id": np.array(["a", "b"]), "q_score": np.array([0.5, np.nan]), "l2_norm": np.array([1.0, 2.0])},
    activation_share=np.array([0.0, 0.25, 1 / 3]),
    discriminative=np.array([False, True, True]),
    lowest=(("a", 0.5), ("b", 1.5)),
)
METRICS = Metrics(
    PROVENANCE,
    100,
    20,
    {"mean_q": 1.5, "effective_rank": math.nan},
    ("few samples",),
    {"lidar": "views"},
    {"mean_q": Curve((50, 100), (1.25, 1.5)), "effective_rank": Curve((9,), (math.nan,), "images")},
)
PROBE = ProbeResult(
    provenance=PROVENANCE,
    accuracy=0.75,
    n_train=10,
    n_val=2,
    classes=("cat", "dog"),
    head={"C": 0.1, "converged": True, "held_out_accuracy": 0.5},
    columns={"id": np.array([0, 1]), "correct": np.array([True, False]), "logits": np.eye(2, dtype=np.float32)},
)
NOTHING = Estimate(math.nan, math.nan, math.nan)
SOME = Estimate(0.6, 0.5, 0.7)
ROW = ScoreEvaluation("q_score", False, SOME, *[NOTHING] * 5, (0.5, 1.0), (0.0, 0.25), SOME, SOME)
TESTS = (PairedTest("q_score", "l2_norm", SOME, 0.01, 0.02), PairedTest("random", "l2_norm", NOTHING, *[math.nan] * 2))
EVALUATION = Evaluation(
    PROVENANCE,
    100,
    0.75,
    (ROW, replace(ROW, score="softmax_entropy", labelled=True)),
    TESTS,
    (ClassEvaluation("cat", 60, 15, 0.75, {"l2_norm": math.nan}), ClassEvaluation("7", 40, 10, 0.75, {"l2_norm": 0.5})),
    ("few errors",),
)
COMPRESSION = Compression(
    provenance=PROVENANCE,
    n=100,
    d=3,
    keep=0.6,
    k=2,
    epsilon=4.0,
    halves=False,
    mask=np.array([True, False, True]),
    order=np.array([2, 0, 1]),
    share=np.array([0.0, 0.25, 1 / 3]),
    curve=(CurvePoint("karat", 0.6, 2, SOME), CurvePoint("random", 0.6, 2, NOTHING)),
    tests=(PairedTest("karat", "random", SOME, 0.01, 0.02),),
    verdict="The selection is better.",
    warnings=("few samples",),
)
CALIBRATION = Calibration(
    provenance=PROVENANCE,
    n=100,
    n_labelled=50,
    using=("q_score", "l2_norm"),
    method="isotonic",
    error_rate=0.25,
    ece=SOME,
    ece_by_chance=0.125,
    brier=SOME,
    brier_of_base_rate=0.1875,
    auroc=NOTHING,
    reliability=(ReliabilityBin(25, 0.2, SOME), ReliabilityBin(25, 0.4, NOTHING)),
    columns={"id": np.array(["a", "b"]), "p_wrong": np.array([0.5, np.nan]), "labelled": np.array([True, False])},
)
SELECTION = Selection(
    provenance=PROVENANCE,
    n=100,
    budget=2,
    strategy="mixed",
    by="q_score",
    columns={
        "id": np.array([3, 1]),
        "q_score": np.array([0.5, 0.25]),
        "percentile": np.array([0.2, 0.1]),
        "distance": np.array([0.0, 1.5]),
        "reason": np.array(["far", "near"]),
    },
)
COMPARISON = Comparison(
    provenance=PROVENANCE,
    names=("old", "new"),
    widths=(512.0, math.nan),
    metrics={"effective_rank": (30.5, math.nan)},
    shifts=(ScoreShift("q_score", "old", "new", 100, SOME, 0.3),),
    probes=(ProbeShift("old", "new", 100, 0.5, 0.75, SOME, 30, 5, 0.001),),
    by="q_score",
    columns={
        "id": np.array(["a", "b"]),
        "percentile:old": np.array([0.5, 1.0]),
        "percentile:new": np.array([1.0, np.nan]),
        "change:new": np.array(["gained", "lost"]),
    },
)
FINETUNING = Finetuning(
    provenance=replace(
        PROVENANCE, parameters={"schedule": "cosine", "lambda1": 0.1, "lambda2": 0.0, "lasso": 0, "seed": 1}
    ),
    method="moco",
    encoder="old",
    from_scratch=False,
    recipe={"epochs": 2, "lr": 1e-5, "optimizer": "adamw", "batch_size": 8, "full_scale": [0.2, 1.0]},
    steps=10,
    n_train=40,
    n_val=5,
    history=(
        Epoch(0, *[math.nan] * 6, metrics={"linear_accuracy": 0.5}),
        Epoch(1, 3.5, 3.0, -0.25, 0.75, 0.9, 1e-5, {"linear_accuracy": 0.75, "effective_rank": math.nan}),
    ),
    weights_digest="0" * 32,
    warnings=("look here",),
)
RECORDS = [SCORES, METRICS, PROBE, EVALUATION, COMPRESSION, CALIBRATION, SELECTION, COMPARISON, FINETUNING]
each_kind = pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kind)


def through_json(record: Record) -> dict[str, Any]:
    return json.loads(json.dumps(to_dict(record), allow_nan=False))


@each_kind
def test_a_record_comes_back_from_json(record: Record) -> None:
    content = through_json(record)
    back = from_dict(content)
    assert type(back) is type(record)
    assert back == record  # NaN and all
    assert to_dict(back) == content
    assert (content["kind"], content["schema"]) == (record.kind, 1)


def test_what_equality_does_not_see_comes_back_too() -> None:
    back = from_dict(through_json(SCORES))
    assert isinstance(back, Scores)
    np.testing.assert_array_equal(back.activation_share, SCORES.activation_share)
    np.testing.assert_array_equal(back.discriminative, SCORES.discriminative)
    assert (back.activation_share.dtype, back.discriminative.dtype) == (np.float64, bool)


@each_kind
def test_columns_stay_in_their_own_file_and_are_given_apart(record: Record) -> None:
    content = to_dict(record)
    assert "columns" not in content
    columns = {"id": np.array([7])}
    back = from_dict(content, columns)
    if hasattr(record, "columns"):
        assert back.columns is columns


def test_numpy_numbers_and_arrays_become_plain_json() -> None:
    parameters = {"a": np.float32(0.5), "b": np.array([1, 2]), "c": (np.bool_(True), np.float64("nan")), "d": math.inf}
    content = through_json(replace(METRICS, provenance=replace(PROVENANCE, parameters=parameters)))
    assert content["provenance"]["parameters"] == {"a": 0.5, "b": [1, 2], "c": [True, None], "d": None}


@given(
    st.dictionaries(st.text(), st.floats(allow_infinity=False), max_size=4),
    st.lists(st.text() | st.integers(-(2**63), 2**63 - 1) | st.booleans(), max_size=4),
    st.lists(st.tuples(st.text() | st.integers(), st.floats(allow_nan=False, allow_infinity=False)), max_size=3),
)
def test_values_come_back_to_the_last_bit(values: dict[str, float], classes: list[Any], lowest: list[Any]) -> None:
    metrics = replace(METRICS, values={name: math.nan if math.isnan(x) else x for name, x in values.items()})
    for record in (metrics, replace(PROBE, classes=tuple(classes)), replace(SCORES, lowest=tuple(lowest))):
        assert from_dict(through_json(record)) == record


@pytest.mark.parametrize("content", [{"kind": "verdict"}, {"kind": None}, {"kind": ["scores"]}, {}, [], "scores", None])
def test_what_is_no_record_is_refused_with_the_kinds_there_are(content: Any) -> None:
    with pytest.raises(
        FileFormatError,
        match=r"no record of karat.*calibration, comparison.*evaluation, explanation.*finetuning, metrics",
    ):
        from_dict(content)


@each_kind
@pytest.mark.parametrize("schema", [2, 0, None, "1"])
def test_a_record_of_another_schema_is_refused(record: Record, schema: Any) -> None:
    with pytest.raises(FileFormatError, match=f"{record.kind} record has schema {schema}, this karat reads 1"):
        from_dict(to_dict(record) | {"schema": schema})


@each_kind
def test_a_missing_field_is_named_unless_it_has_a_default(record: Record) -> None:
    content = to_dict(record)
    defaults = {field.name: _default(field) for field in fields(record) if _default(field) is not MISSING}
    assert defaults
    for name in content.keys() - {"kind", "schema"}:
        rest = {key: value for key, value in content.items() if key != name}
        if name in defaults:
            assert getattr(from_dict(rest), name) == defaults[name]
        else:
            with pytest.raises(FileFormatError, match=f"{record.kind} record is damaged: it lacks {name}$"):
                from_dict(rest)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def test_a_part_may_lack_what_has_a_default_and_nothing_else() -> None:
    content = through_json(EVALUATION)
    row = content["rows"][0]
    for name in ("spearman", "r_auroc"):
        del row[name]
    (first, second) = from_dict(content).rows
    assert first == replace(ROW, spearman=NOTHING, r_auroc=NOTHING)
    assert second.spearman == SOME
    for name in ("score", "auroc", "risk"):
        damaged = {**content, "rows": [{key: value for key, value in row.items() if key != name}]}
        with pytest.raises(FileFormatError, match=f"evaluation record is damaged: it lacks {name}$"):
            from_dict(damaged)


def test_a_curve_that_does_not_say_what_it_counts_counts_samples() -> None:
    content = through_json(METRICS)
    del content["curves"]["mean_q"]["of"]
    assert from_dict(content) == METRICS


@each_kind
@pytest.mark.parametrize("value", [None, 7, "text", [7], [None], {"a": 7}, [{}], {"a": {}}, [["a"]]])
def test_a_field_of_another_form_is_refused_or_read_but_never_a_crash(record: Record, value: Any) -> None:
    content = to_dict(record)
    for name in content.keys() - {"kind", "schema"}:
        try:
            from_dict(content | {name: value})
        except FileFormatError as error:
            assert f"{record.kind} record is damaged" in str(error)


@pytest.mark.parametrize(
    ("record", "part"),
    [
        (SCORES, "provenance"),
        (SCORES, "health"),
        (SCORES, "summary"),
        (SCORES, "lowest"),
        (EVALUATION, "rows"),
        (EVALUATION, "tests"),
        (COMPRESSION, "curve"),
        (CALIBRATION, "reliability"),
        (COMPARISON, "shifts"),
        (COMPARISON, "probes"),
    ],
)
def test_a_part_that_lacks_its_own_fields_is_damage(record: Record, part: str) -> None:
    with pytest.raises(FileFormatError, match=f"this {record.kind} record is damaged"):
        from_dict(
            to_dict(record)
            | {part: {"q_score": {}} if part == "summary" else {} if part in ("provenance", "health") else [{}]}
            | ({"lowest": [[1]]} if part == "lowest" else {})
        )


def test_a_score_is_an_attribute() -> None:
    np.testing.assert_array_equal(SCORES.q_score, [0.5, np.nan])
    assert SCORES.ids.tolist() == ["a", "b"]
    assert PROBE.correct.tolist() == [True, False]
    assert PROBE.logits.shape == (2, 2)
    with pytest.raises(AttributeError, match="there is no score 'max_z': q_score, l2_norm"):
        SCORES.max_z  # noqa: B018
    assert not hasattr(SCORES, "id")  # a column, but no score


@pytest.mark.parametrize("name", ["q_score", "ids"])
def test_scores_whose_table_is_missing_say_so(name: str) -> None:
    with pytest.raises(FileFormatError, match="table of this scores record lacks the column"):
        getattr(from_dict(to_dict(SCORES)), name)


@pytest.mark.parametrize("name", ["ids", "correct", "logits"])
def test_a_probe_whose_table_is_missing_says_so(name: str) -> None:
    with pytest.raises(FileFormatError, match="table of this probe record lacks the column"):
        getattr(from_dict(to_dict(PROBE)), name)


@each_kind
def test_a_record_is_frozen_and_can_be_copied_and_pickled(record: Record) -> None:
    with pytest.raises(FrozenInstanceError):
        record.provenance = PROVENANCE  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(record)).provenance == record.provenance
    assert copy.deepcopy(record).provenance == record.provenance


def test_undefined_numbers_are_equal() -> None:
    assert Estimate(float("nan"), 0, float("nan")) == Estimate(float("nan"), 0, float("nan"))


def test_an_estimate_reads_as_value_and_interval() -> None:
    assert str(Estimate(0.61234, 0.5, 0.75)) == "0.612 [0.500, 0.750]"


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kind)
def test_a_record_prints_its_numbers_without_colours(record: Record) -> None:
    text = str(record)
    wanted = {
        "scores": (f"{SCORES.health.n:,} x {SCORES.health.d:,}", *SCORES.names),
        "metrics": tuple(METRICS.values),
        "probe": (f"{PROBE.accuracy:.1%}", f"{PROBE.n_train:,}"),
        "evaluation": (*(row.score for row in EVALUATION.rows), str(SOME), "0.020", "classes", *EVALUATION.warnings),
        "compression": ("2 of 3", "60%", "karat", "0.020", COMPRESSION.verdict, *COMPRESSION.warnings),
        "calibration": ("q_score, l2_norm", "isotonic", str(SOME), "0.125"),
        "selection": ("2 of 100", "q_score", "far"),
        "comparison": ("old, new", "30.5", "512", "30.0%", "Right with old only: b", "Right with new only: a"),
        "finetuning": ("moco", "0.1, 0", "-0.25", "0.75", "50.0% before, 75.0% after", *FINETUNING.warnings),
    }[record.kind]
    assert [part for part in wanted if part not in text] == []
    assert "\x1b" not in text and all(line == line.rstrip() for line in text.splitlines())


def test_printed_scores_say_what_is_wrong_with_them() -> None:
    wrong = replace(SCORES, health=replace(SCORES.health, warnings=("the [encoder] has collapsed.",)))
    assert "warning: the [encoder] has collapsed." in str(wrong)


def test_scores_write_themselves_to_parquet(tmp_path: Path) -> None:
    SCORES.to_parquet(tmp_path / "scores.parquet")
    again = read_record(tmp_path / "scores.parquet")
    assert to_dict(again) == to_dict(SCORES)
    assert again.ids.tolist() == ["a", "b"] and again.l2_norm.tolist() == [1, 2]
    np.testing.assert_array_equal(again.q_score, [0.5, np.nan])


# Records of an older karat: tests/data/first_run was written by the karat of the second issue, which knew four kinds
# with fewer fields.


@pytest.fixture(scope="module")
def first_run() -> Run:
    return open_run(Path(__file__).parent / "data" / "first_run")


def test_a_run_of_an_older_karat_is_read_whole(first_run: Run) -> None:
    assert not first_run.damaged
    assert list(first_run.records) == ["scores", "probe", "evaluation", "metrics"]
    assert {name: record.kind for name, record in first_run.records.items()} == {
        name: name for name in first_run.records
    }
    scores, probe = first_run.records["scores"], first_run.records["probe"]
    assert set(scores.ids) == set(probe.ids) and len(scores.q_score) == probe.n_val == 20


def test_what_an_older_karat_did_not_write_is_not_known_or_none(first_run: Run) -> None:
    scores, probe, evaluation, metrics = first_run.records.values()
    assert scores.left_out == metrics.left_out == metrics.curves == {}
    assert (probe.top5, probe.heads) == (None, ())
    assert evaluation.tests == evaluation.classes == evaluation.warnings == ()
    assert {row.spearman for row in evaluation.rows} == {row.r_auroc for row in evaluation.rows} == {NOTHING}


def test_what_an_older_karat_wrote_has_not_changed(first_run: Run) -> None:
    for name, record in first_run.records.items():
        written = json.loads((first_run.path / "records" / f"{name}.json").read_text())
        again = through_json(record)
        assert {key: again[key] for key in written if key != "rows"} == {
            key: value for key, value in written.items() if key != "rows"
        }
        for old, new in zip(written.get("rows", ()), again.get("rows", ()), strict=True):
            assert {key: new[key] for key in old} == old


def test_records_of_an_older_karat_print_without_what_they_lack(first_run: Run) -> None:
    for record in first_run.records.values():
        assert "nan" not in str(record) and "left out" not in str(record)
    text = str(first_run.records["evaluation"])
    assert "0.380 [0.166, 0.616]" in text
    assert "Spearman" not in text and "correlation" not in text and "differences" not in text


def test_a_column_that_is_known_of_one_score_is_printed() -> None:
    assert "Spearman" in str(EVALUATION) and "-1 is the best" in str(EVALUATION)
    half_known = replace(EVALUATION, rows=(ROW, replace(ROW, score="random", spearman=NOTHING, r_auroc=NOTHING)))
    assert "Spearman" in str(half_known) and "R-AUROC" in str(half_known)
