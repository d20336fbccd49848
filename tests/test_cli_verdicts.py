"""The verbs that judge: evaluate, compress, calibrate, select and compare, from files to files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import karat
from karat.cli.requirements import numbers_of
from karat.records import Comparison, Compression, from_dict
from karat.runs import add_record, open_run
from karat.store import load, save
from tests import test_comparison
from tests.commands import Command, column, contents
from tests.test_compression import TRAIN, VAL
from tests.test_records import CALIBRATION, COMPARISON, COMPRESSION, EVALUATION, SELECTION

N = 160
IDS = [f"image {row}" for row in range(N)]
RIGHT = np.random.default_rng(1).random(N) < 0.6


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line in a folder of its own, which holds scores, embeddings and lists of outcomes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    save(TRAIN, "train.emb")
    save(VAL, "val.emb")
    h = np.random.default_rng(0).exponential(size=(N, 40)) ** 2
    h[RIGHT] *= 1.5
    karat.score(karat.Embeddings(h, ids=np.array(IDS)), scores=["q_score", "l2_norm"], epsilon=2, out="scores.parquet")
    np.save("h.npy", h)
    Path("ids.txt").write_text("\n".join(IDS))
    np.save("right.npy", np.where(np.arange(N) < 100, RIGHT, np.nan))
    rows = np.random.default_rng(3).permutation(100)
    lines = [f"{IDS[row]},{int(RIGHT[row])},{str(RIGHT[row]).lower()}" for row in rows]
    Path("right.csv").write_text("\n".join(["id,correct,answer", *lines, f"{IDS[120]},,"]))
    return Command(capsys)


# compress


def test_compress_writes_the_reduced_embeddings_and_the_record(command: Command) -> None:
    done = command("compress", "train.emb", "--keep", 0.3, "--epsilon", 2, "-o", "small.emb", "--run", "run")
    assert done.status == 0
    exact = karat.compress(TRAIN, keep=0.3, epsilon=2)
    small = load("small.emb")
    np.testing.assert_array_equal(small.h[:], np.asarray(TRAIN.h)[:, exact.mask])
    assert small.ids.tolist() == TRAIN.ids.tolist() and small.labels.tolist() == TRAIN.labels.tolist()
    assert small.provenance["compression"]["columns"] == np.flatnonzero(exact.mask).tolist()
    record = open_run("run").records["compression"]
    assert isinstance(record, Compression)
    np.testing.assert_array_equal(record.mask, exact.mask)
    assert "160 samples x 6 features -> small.emb" in done.err and "features kept" in done.out


def test_compress_with_a_validation_set_is_the_function(command: Command) -> None:
    options = ("--keep", 0.3, "--keeps", "0.1,0.6", "--seeds", 2, "--epsilon", 2, "--resamples", 20, "--seed", 1)
    done = command("compress", "train.emb", "--probe-with", "val.emb", *options, "--json")
    exact = karat.compress(
        load("train.emb"),
        probe_with=load("val.emb"),
        keep=0.3,
        keeps=(0.1, 0.6),
        seeds=2,
        epsilon=2,
        resamples=20,
        seed=1,
    )
    assert from_dict(json.loads(done.out)) == exact
    assert command("compress", "train.emb", "--probe-with", "val.emb", *options).out.rstrip().endswith(exact.verdict)


def test_compress_without_output_writes_nothing(command: Command) -> None:
    before = contents(Path())
    assert command("compress", "train.emb", "--epsilon", 2).status == 0
    assert contents(Path()) == before


def test_compress_reads_labels_of_both_sets(command: Command) -> None:
    for name, emb in (("train", TRAIN), ("val", VAL)):
        np.save(f"{name}.npy", emb.h)
        Path(f"{name}.txt").write_text("\n".join(emb.labels.tolist()))
    options = ("--keep", 0.3, "--keeps", 0.3, "--seeds", 1, "--epsilon", 2, "--resamples", 5, "--json")
    given = ("--labels", "train.txt", "--val-labels", "val.txt")
    done = command("compress", "train.npy", "--probe-with", "val.npy", *given, *options)
    other = command("compress", "train.emb", "--probe-with", "val.emb", *options)
    assert json.loads(done.out)["curve"] == json.loads(other.out)["curve"]


# calibrate


@pytest.mark.parametrize("labels", ["right.npy", "right.csv", "right.csv:answer", "right.parquet"])
def test_calibrate_reads_outcomes_in_order_or_by_id(command: Command, labels: str) -> None:
    rows = np.arange(99, -1, -1)
    table = {"id": [IDS[row] for row in rows], "correct": RIGHT[rows]}
    pq.write_table(pa.table(table), "right.parquet")
    done = command("calibrate", "scores.parquet", "--labels", labels, "-o", "run", "--resamples", 20)
    assert done.status == 0
    scores = karat.runs.load_record("scores.parquet")
    exact = karat.calibrate(scores, np.load("right.npy"), resamples=20)
    np.testing.assert_array_equal(column(Path("run/records/calibration.parquet"), "p_wrong"), exact.p_wrong)
    assert open_run("run").records["calibration"] == exact
    assert "-> run/records/calibration.parquet" in done.err


def test_calibrate_passes_its_options_on(command: Command) -> None:
    options = ("--using", "q_score, l2_norm", "--method", "logistic", "--folds", 3, "--bins", 4, "--seed", 2)
    done = command("calibrate", "scores.parquet", "--labels", "right.csv", *options, "--resamples", 20, "--json")
    settings: dict[str, Any] = {"method": "logistic", "folds": 3, "bins": 4, "seed": 2, "resamples": 20}
    scores, right = karat.runs.load_record("scores.parquet"), np.load("right.npy")
    exact = karat.calibrate(scores, right, using=("q_score", "l2_norm"), **settings)
    assert from_dict(json.loads(done.out), exact.columns) == exact
    assert contents(Path()).keys().isdisjoint({"run"})  # without -o, and without a run, nothing is kept


def run_with_probe(folder: Path) -> None:
    columns = {"id": np.array(IDS[:100]), "label": np.array(IDS[:100]), "correct": RIGHT[:100]}
    add_record(folder, test_comparison.report_records.probe(100, columns=columns))


def test_calibrate_takes_the_probe_of_a_run_and_adds_to_it(command: Command) -> None:
    run_with_probe(Path("run"))
    done = command("calibrate", "scores.parquet", "--labels", "run", "--resamples", 20)
    assert done.status == 0
    assert open_run("run").records["calibration"].n_labelled == 100
    assert command("calibrate", "scores.parquet", "--labels", "run", "--resamples", 20).status == 1
    assert command("calibrate", "scores.parquet", "--labels", "run", "--overwrite", "--resamples", 20).status == 0
    assert command("calibrate", "scores.parquet", "--labels", "run", "-o", "other", "--resamples", 20).status == 0
    assert list(open_run("other").records) == ["calibration"]


# select


@pytest.mark.parametrize("suffix", ["csv", "txt", "parquet"])
def test_select_writes_the_ids_of_the_lowest(command: Command, suffix: str) -> None:
    done = command("select", "scores.parquet", "--budget", 12, "--by", "l2_norm", "-o", f"next.{suffix}")
    assert (done.status, "12 ids -> next." in done.err) == (0, True)
    order = np.argsort(column(Path("scores.parquet"), "l2_norm"))[:12]
    wanted = [IDS[row] for row in order]
    if suffix == "parquet":
        assert pq.read_table("next.parquet").column("id").to_pylist() == wanted
    else:
        with Path(f"next.{suffix}").open(newline="") as file:
            lines = list(csv.reader(file))
        assert [line[0] for line in lines[suffix == "csv" :]] == wanted
    assert "12 of 160 samples to label, the first 10" in done.out


def test_select_writes_a_list_by_default_and_does_not_replace_it(command: Command) -> None:
    assert command("select", "scores.parquet", "--budget", 3).status == 0
    assert len(Path("selection.csv").read_text().splitlines()) == 4
    done = command("select", "scores.parquet", "--budget", 4)
    assert done.status == 1 and "selection.csv exists already" in done.err
    assert command("select", "scores.parquet", "--budget", 4, "--overwrite").status == 0


def test_select_and_measure_add_their_records_to_a_run_once(command: Command) -> None:
    Path("run").mkdir()
    select = ("select", "scores.parquet", "--by", "l2_norm", "--budget", 3, "--run", "run")
    measure = ("measure", "train.emb", "--epsilon", 2, "--run", "run")
    assert (command(*select).status, command(*measure).status) == (0, 0)
    records = open_run("run").records
    lowest = np.argsort(column(Path("scores.parquet"), "l2_norm"))[:3]
    assert records["selection"].ids.tolist() == [IDS[row] for row in lowest]
    assert records["metrics"] == karat.measure(TRAIN, epsilon=2)
    for words in (("select", "scores.parquet", "-o", "other.csv", "--run", "run"), measure):
        done = command(*words)
        assert done.status == 1 and "has a record" in done.err and "--overwrite" in done.err
    assert not Path("other.csv").exists()
    assert command(*measure, "--overwrite").status == 0


@pytest.mark.parametrize("strategy", ["diverse", "mixed"])
def test_select_reads_embeddings(command: Command, strategy: Any) -> None:
    options = ("--embeddings", "h.npy", "--ids", "ids.txt", "--budget", 8, "--strategy", strategy, "-o", "next.txt")
    assert command("select", "scores.parquet", *options).status == 0
    scores, emb = karat.runs.load_record("scores.parquet"), load("h.npy", ids="ids.txt")
    exact = karat.select(scores, budget=8, strategy=strategy, embeddings=emb)
    assert Path("next.txt").read_text().split("\n")[:-1] == exact.ids.tolist()


def test_select_warns_where_chance_decides(command: Command) -> None:
    h = np.ones((30, 40))
    h[:, 0] = 50 + np.arange(30)
    np.save("flat.npy", h)
    assert command("score", "flat.npy", "-o", "flat.parquet").status == 0
    done = command("select", "flat.parquet", "--budget", 2, "--by", "n_active")
    assert done.status == 0 and "warning: " in done.err and "which of them were taken is chance" in done.err


# compare


@pytest.fixture
def runs(command: Command) -> tuple[Path, Path]:
    return tuple(test_comparison.run_of(Path(name), seed, 0.7) for name, seed in (("old", 1), ("new", 2)))


def test_compare_is_the_function_and_adds_to_a_run(command: Command, runs: tuple[Path, Path]) -> None:
    done = command("compare", *runs, "--resamples", 20, "--seed", 4, "-o", "both")
    exact = karat.compare(*runs, resamples=20, seed=4)
    assert done.status == 0
    found = open_run("both").records["comparison"]
    assert isinstance(found, Comparison) and found == exact
    assert found.columns["change:new"].tolist() == exact.columns["change:new"].tolist()
    as_json = command("compare", *runs, "--resamples", 20, "--seed", 4, "--json")
    assert from_dict(json.loads(as_json.out), exact.columns) == exact


def test_compare_takes_names_and_a_third_run(command: Command, runs: tuple[Path, Path]) -> None:
    third = test_comparison.run_of(Path("third"), 3, 0.7)
    done = command("compare", *runs, third, "--names", "a,b,c", "--resamples", 5, "--json", "--by", "softmax_entropy")
    assert json.loads(done.out)["names"] == ["a", "b", "c"] and json.loads(done.out)["by"] == "softmax_entropy"


@pytest.mark.parametrize("given", [(), ("old",)])
def test_compare_needs_two_runs(command: Command, runs: tuple[Path, Path], given: tuple[str, ...]) -> None:
    done = command("compare", *given)
    assert done.status == 2 and "needs two runs or more" in done.err


def test_a_gate_can_ask_that_a_checkpoint_is_no_worse(command: Command, runs: tuple[Path, Path]) -> None:
    difference = karat.compare(*runs, resamples=5).probes[0].difference.value
    for bound, status in ((difference - 0.01, 0), (difference + 0.01, 3)):
        require = f"new.difference>={bound}"
        assert command("compare", *runs, "--resamples", 5, "--require", require).status == status


# evaluate


def test_evaluate_reads_embeddings_for_r_auroc(command: Command) -> None:
    h = np.load("h.npy")
    labels = np.arange(N) % 3
    emb = karat.Embeddings(h, ids=np.array(IDS), labels=labels)
    save(emb, "h.emb")
    add_record("run", karat.probe(emb, emb))
    done = command("evaluate", "scores.parquet", "run", "--embeddings", "h.emb", "--resamples", 20, "--json")
    assert done.status == 0
    probe = open_run("run").records["probe"]
    exact = karat.evaluate(karat.runs.load_record("scores.parquet"), probe, embeddings=emb, resamples=20)
    assert from_dict(json.loads(done.out)) == exact
    assert all(f"warning: {warning}" in done.err for warning in exact.warnings)
    assert (
        "R-AUROC"
        in command("evaluate", "scores.parquet", "run", "--embeddings", "h.emb", "--resamples", 5, "--overwrite").out
    )


# numbers for --require


@pytest.mark.parametrize(
    ("record", "numbers"),
    [
        (EVALUATION, {"accuracy": 0.75, "q_score.auroc": 0.6}),
        (COMPRESSION, {"k": 2, "d": 3, "karat.accuracy": 0.6, "random.difference": 0.6}),
        (CALIBRATION, {"error_rate": 0.25, "ece": 0.6, "brier": 0.6}),
        (SELECTION, {"n": 100, "budget": 2}),
        (COMPARISON, {"new.difference": 0.6, "new.gained": 30, "new.lost": 5, "new.p": 0.001,
                      "new.q_score.spearman": 0.6}),
    ],
)  # fmt: skip
def test_the_numbers_of_a_verdict_can_be_required(record: Any, numbers: dict[str, float]) -> None:
    found = numbers_of(record)
    assert {name: found[name] for name in numbers} == numbers


# bad input


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("compress missing.npy", "missing.npy does not exist"),
        ("compress train.emb --probe-with h.npy", "probe_with have none"),
        ("compress train.emb -o val.emb", "val.emb exists already"),
        ("compress train.emb --epsilon 2 -o no/x.emb", "no/x.emb could not be written"),
        ("calibrate scores.parquet --labels missing.csv", "missing.csv does not exist"),
        ("calibrate missing.parquet --labels right.csv", "missing.parquet does not exist"),
        ("calibrate scores.parquet --labels ids.txt", "outcome holds 'image 0', but 1 (right) or 0 (wrong)"),
        ("calibrate scores.parquet --labels right.csv:id", "outcome holds 'image"),
        ("calibrate scores.parquet --labels right.csv:other", "right.csv has no column 'other'; it has id, correct"),
        ("calibrate scores.parquet --labels few.npy", "outcome has 3 entries, but there are 160 samples"),
        ("calibrate scores.parquet --labels ones.npy", "160 are right and 0 wrong, but 5 folds"),
        ("calibrate scores.parquet --labels twice.csv", "1 ids of the twice.csv occur more than once"),
        ("calibrate scores.parquet --labels foreign.csv", "2 of 2 ids of the outcome have no score"),
        ("calibrate scores.parquet --labels val.emb", "val.emb is no run of karat"),
        ("calibrate scores.parquet --labels right.csv --using max_z", "there is no score 'max_z'"),
        ("select scores.parquet --budget 161", "budget is 161, but 160 samples have a score"),
        ("select scores.parquet --budget 5 --by max_z", "there is no score 'max_z': choose from q_score, l2_norm"),
        ("select scores.parquet --budget 5 --strategy diverse", "needs the embeddings of the samples"),
        ("select scores.parquet --budget 5 -o x.json", "x.json is no name for the list"),
        ("select scores.parquet --budget 5 --strategy mixed --embeddings val.emb", "samples are not in the embeddings"),
        ("select h.npy --budget 5", "h.npy is no readable Parquet file"),
        ("compare val.emb train.emb", "val.emb is no run of karat"),
        ("compare missing missing", "missing is no run of karat"),
        ("evaluate scores.parquet missing", "missing is no run of karat"),
    ],
)
def test_bad_input_is_one_sentence(command: Command, line: str, words: str) -> None:
    np.save("few.npy", np.ones(3))
    np.save("ones.npy", np.ones(N))
    Path("twice.csv").write_text("id,correct\nimage 1,1\nimage 1,0\n")
    Path("foreign.csv").write_text("id,correct\nx,1\ny,0\n")
    before = contents(Path())
    done = command(*line.split())
    assert done.status == 1
    assert words in done.err
    assert (done.err.count("\n"), done.err[:7], done.out) == (1, "karat: ", "")
    assert contents(Path()) == before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("compress train.emb --keep 0", "--keep"),
        ("compress train.emb --keep 1.5", "--keep"),
        ("compress train.emb --keeps half", "half is no list of shares"),
        ("compress train.emb --seeds 0", "0 is no whole number of at least 1"),
        ("calibrate scores.parquet", "--labels"),
        ("calibrate scores.parquet --labels right.csv --method platt", "--method"),
        ("calibrate scores.parquet --labels right.csv --folds 1", "1 is no whole number of at least 2"),
        ("select scores.parquet --budget 0", "0 is no whole number of at least 1"),
        ("select scores.parquet --strategy best", "--strategy"),
    ],
)
def test_options_that_cannot_be_are_usage_errors(command: Command, line: str, words: str) -> None:
    done = command(*line.split())
    assert done.status == 2 and words in done.err
