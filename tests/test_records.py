"""Records go to JSON and back."""

from __future__ import annotations

import copy
import json
import math
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karat.errors import FileFormatError
from karat.records import (
    Estimate,
    Evaluation,
    Health,
    Metrics,
    ProbeResult,
    Provenance,
    Record,
    ScoreEvaluation,
    Scores,
    Summary,
    from_dict,
    to_dict,
)
from karat.records.tables import read_record

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
METRICS = Metrics(PROVENANCE, 100, 20, {"mean_q": 1.5, "effective_rank": math.nan})
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
ROW = ScoreEvaluation(
    "q_score", False, Estimate(0.6, 0.5, 0.7), NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, (0.5, 1.0), (0.0, 0.25)
)
EVALUATION = Evaluation(PROVENANCE, 100, 0.75, (ROW, replace(ROW, score="softmax_entropy", labelled=True)))
RECORDS = [SCORES, METRICS, PROBE, EVALUATION]
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
    with pytest.raises(FileFormatError, match=r"no record of karat.*evaluation, metrics, probe, scores"):
        from_dict(content)


@each_kind
@pytest.mark.parametrize("schema", [2, 0, None, "1"])
def test_a_record_of_another_schema_is_refused(record: Record, schema: Any) -> None:
    with pytest.raises(FileFormatError, match=f"{record.kind} record has schema {schema}, this karat reads 1"):
        from_dict(to_dict(record) | {"schema": schema})


@each_kind
def test_each_missing_field_is_named(record: Record) -> None:
    content = to_dict(record)
    for name in content.keys() - {"kind", "schema"}:
        with pytest.raises(FileFormatError, match=f"{record.kind} record is damaged: it lacks {name}$"):
            from_dict({key: value for key, value in content.items() if key != name})


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
    [(SCORES, "provenance"), (SCORES, "health"), (SCORES, "summary"), (SCORES, "lowest"), (EVALUATION, "rows")],
)
def test_a_part_that_lacks_its_own_fields_is_damage(record: Record, part: str) -> None:
    with pytest.raises(FileFormatError, match=f"this {record.kind} record is damaged"):
        from_dict(
            to_dict(record)
            | {part: {"q_score": {}} if part == "summary" else {} if part != "rows" else [{}]}
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


def test_an_estimate_reads_as_value_and_interval() -> None:
    assert str(Estimate(0.61234, 0.5, 0.75)) == "0.612 [0.500, 0.750]"


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kind)
def test_a_record_prints_its_numbers_without_colours(record: Record) -> None:
    text = str(record)
    wanted = {
        "scores": (f"{SCORES.health.n:,} x {SCORES.health.d:,}", *SCORES.names),
        "metrics": tuple(METRICS.values),
        "probe": (f"{PROBE.accuracy:.1%}", f"{PROBE.n_train:,}"),
        "evaluation": tuple(row.score for row in EVALUATION.rows),
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
