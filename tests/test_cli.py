"""The command line: every verb, what goes to stdout and what to stderr, exit statuses, help."""

from __future__ import annotations

import inspect
import json
import os
import pty
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cyclopts import ArgumentCollection
from safetensors.numpy import save_file

import karat
from karat import attribution, cli, measuring, runs, scoring, store
from karat.catalog import CATALOG, LABEL_FREE_SCORES
from karat.embeddings import Embeddings
from karat.errors import KaratWarning
from karat.records import Metrics, to_dict
from tests.commands import Command, column, contents, features
from tests.reference import qscore as slow

H, OTHERS = features(), features(50, seed=1)
IDS = [f"image {row}" for row in range(len(H))]
# The command line's own: no parameters of the functions.
OWN = {"out", "run", "json", "require", "overwrite"}
# How embeddings are read.
READING = {"key", "column", "labels", "val_labels", "ids"}
# How an encoder is read.
LOADING = {"arch", "layout", "unsafe_load"}
# What only a Python program has to give: a run has its own probe.
PROGRAMS = {"progress", "group", "correct"}
VERBS = tuple(cli.VERBS)
# Processes import the karat that is tested, from any folder; they write as on a user's terminal.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "PYTHONUNBUFFERED")}
ENVIRONMENT |= {"PYTHONPATH": str(Path(karat.__file__).parents[1]), "TERM": "xterm"}
# What karat probe calls the parameters of karat.knn_probe; its default is not to call it.
KNN = {"k": "knn"}
FUNCTIONS = {"demo": "karat.demo:demo", "report": "karat.reporting:report"} | {
    verb: f"karat:{verb}"
    for verb in (
        *("score", "measure", "extract", "explain", "probe", "evaluate", "compress", "calibrate", "select", "compare"),
        "finetune",
        "explore",
    )
}


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line in a folder of its own, which holds h.npy and others.npy; output is 80 columns wide."""
    np.save(tmp_path / "h.npy", H)
    np.save(tmp_path / "others.npy", OTHERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return Command(capsys)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder of random weights, and two sets of images whose colour mostly tells their class."""
    import torch
    from safetensors.torch import save_file as save_tensors

    from karat.encoders.small_resnet import SmallResNet

    folder = tmp_path_factory.mktemp("pictures")
    torch.manual_seed(0)
    described = {
        "architecture": "small_resnet",
        "arguments": {"widths": [4, 4, 8], "blocks": 1, "dim": 24},
        "input": {"size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    }
    weights = SmallResNet((4, 4, 8), 1, 24).state_dict()
    save_tensors(weights, folder / "encoder.safetensors", {"karat": json.dumps(described)})
    rng = np.random.default_rng(0)
    for name, n in (("train", 90), ("test", 60)):
        y = np.arange(n) % 3
        images = rng.integers(0, 120, (n, 32, 32, 3)).astype(np.uint8)
        images[np.arange(n), :, :, np.where(rng.random(n) < 0.2, 0, y)] += 60
        np.savez(folder / f"{name}.npz", images=images, y=y, classes=np.array(["red", "green", "blue"]))
    return folder


@pytest.fixture(scope="session")
def embedded(pictures: Path) -> Path:
    """The folder of the pictures, now with train.emb and test.emb, and scores of the second."""
    for name in ("train", "test"):
        assert (
            cli.main(
                ["extract", f"{pictures}/encoder.safetensors", f"{pictures}/{name}.npz", "-o", f"{pictures}/{name}.emb"]
            )
            == 0
        )
    assert (
        cli.main(
            ["score", f"{pictures}/test.emb", "--scores", "all", "--epsilon", "1", "-o", f"{pictures}/test.parquet"]
        )
        == 0
    )
    return pictures


@pytest.fixture
def run(embedded: Path, command: Command) -> Path:
    """A run with a probe."""
    assert command("probe", embedded / "train.emb", embedded / "test.emb", "-o", "run").status == 0
    return Path("run")


# score


def test_score_writes_the_scores_of_the_transcription(command: Command) -> None:
    done = command("score", "h.npy", "--epsilon", 2)
    assert done.status == 0
    np.testing.assert_allclose(column(Path("scores.parquet"), "q_score"), slow.q_score(H, epsilon=2).q_score, rtol=1e-6)


def test_score_has_the_papers_parameters_by_default(command: Command) -> None:
    assert command("score", "h.npy").status == 0
    np.testing.assert_allclose(column(Path("scores.parquet"), "q_score"), slow.q_score(H).q_score, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        (("--epsilon", "2", "--lower", "80"), {"epsilon": 2, "lower": 80}),
        (("--epsilon", "2", "--upper", "80"), {"epsilon": 2, "upper": 80}),
        (("--epsilon", "4", "--over", "all"), {"epsilon": 4, "over": "all"}),
        (("--epsilon", "2", "--normalize"), {"epsilon": 2, "normalize": True}),
        (("--epsilon", "2", "--halves", "true"), {"epsilon": 2, "halves": True}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_each_option_of_the_score_reaches_the_formula(
    command: Command, options: tuple[str, ...], parameters: dict[str, Any]
) -> None:
    assert command("score", "h.npy", *options).status == 0
    expected = slow.q_score(H, **parameters).q_score
    assert not np.allclose(expected, slow.q_score(H, epsilon=parameters["epsilon"]).q_score)
    np.testing.assert_allclose(column(Path("scores.parquet"), "q_score"), expected, rtol=1e-6)


def test_signed_features_are_left_whole_where_asked(command: Command) -> None:
    np.save("signed.npy", H - 1)
    for choice in ("auto", "false"):
        assert command("score", "signed.npy", "--epsilon", 2, "--halves", choice, "-o", f"{choice}.parquet").status == 0
        expected = slow.q_score(H - 1, epsilon=2, halves=choice == "auto").q_score
        np.testing.assert_allclose(column(Path(f"{choice}.parquet"), "q_score"), expected, rtol=1e-6)


def test_a_reference_of_its_own_decides_what_is_discriminative(command: Command) -> None:
    assert command("score", "h.npy", "--reference", "others.npy", "--epsilon", 2).status == 0
    expected = slow.q_score(H, OTHERS, epsilon=2).q_score
    np.testing.assert_allclose(column(Path("scores.parquet"), "q_score"), expected, rtol=1e-6)


def save_parquet(path: Path) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(H.reshape(-1)), H.shape[1])
    other = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2 * len(H))), 2)
    pq.write_table(pa.table({"other": other, "vector": vectors}), path)


@pytest.mark.parametrize(
    ("name", "save", "options"),
    [
        ("h.npz", lambda path: np.savez(path, a=H, b=H * 2), ("--key", "a")),
        ("h.parquet", save_parquet, ("--column", "vector")),
        ("h.safetensors", lambda path: save_file({"a": H, "b": H * 2}, path), ("--key", "a")),
        ("h.emb", lambda path: store.save(Embeddings(H), path), ()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_format_is_scored_alike(
    command: Command, name: str, save: Callable[[Path], None], options: tuple[str, ...]
) -> None:
    save(Path(name))
    assert command("score", name, *options, "--epsilon", 2).status == 0
    np.testing.assert_allclose(column(Path("scores.parquet"), "q_score"), slow.q_score(H, epsilon=2).q_score, rtol=1e-6)


def test_the_key_is_for_a_reference_of_the_same_kind_only(command: Command) -> None:
    np.savez("h.npz", a=H, b=OTHERS)
    assert command("score", "h.npz", "--key", "a", "--reference", "others.npy", "--epsilon", 2).status == 0
    expected = slow.q_score(H, OTHERS, epsilon=2).q_score
    np.testing.assert_allclose(column(Path("scores.parquet"), "q_score"), expected, rtol=1e-6)
    np.savez("others.npz", a=OTHERS, c=H)
    assert (
        command("score", "h.npz", "--key", "a", "--reference", "others.npz", "--epsilon", 2, "-o", "b.parquet").status
        == 0
    )
    np.testing.assert_allclose(column(Path("b.parquet"), "q_score"), expected, rtol=1e-6)


def test_ids_and_labels_travel_into_the_scores_and_the_table(command: Command) -> None:
    Path("ids.txt").write_text("\n".join(IDS) + "\n")
    Path("labels.csv").write_text("breed,label\n" + "".join(f"cat,{row % 3}\n" for row in range(len(H))))
    done = command("score", "h.npy", "--ids", "ids.txt", "--labels", "labels.csv:label")
    assert column(Path("scores.parquet"), "id").tolist() == IDS
    assert column(Path("scores.parquet"), "label").tolist() == [row % 3 for row in range(len(H))]
    assert "image " in done.out


def test_all_scores_are_those_of_the_catalogue(command: Command) -> None:
    done = command("score", "h.npy", "--scores", "all")
    computed = pq.read_schema("scores.parquet").names[1:]
    assert computed == [name for name in LABEL_FREE_SCORES if name in computed]
    assert all(f"\n{name} " in done.out for name in computed)
    left_out = done.out.partition("left out: ")[2]
    assert all(name in left_out for name in LABEL_FREE_SCORES if name not in computed)


def test_scores_can_be_named(command: Command) -> None:
    assert command("score", "h.npy", "--scores", "max_z, q_score").status == 0
    assert pq.read_schema("scores.parquet").names == ["id", "q_score", "max_z"]


def test_epsilon_auto_is_chosen_and_recorded(command: Command) -> None:
    record = json.loads(command("score", "h.npy", "--epsilon", "auto", "--json").out)
    assert record["epsilon"] == slow.choose_epsilon(H)
    assert record["provenance"]["parameters"]["epsilon"] == "auto"


def test_kept_activations_are_those_above_the_threshold(command: Command) -> None:
    assert command("score", "h.npy", "--epsilon", 2, "--keep-activations").status == 0
    (part,) = Path("activations").iterdir()
    with np.load(part, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays}
    assert {name: values.dtype.name for name, values in found.items()} == {
        "indptr": "int64",
        "col": "int32",
        "value": "float32",
    }
    expected = slow.q_score(H, epsilon=2)
    rows = np.split(found["col"], found["indptr"][1:-1])
    assert [set(row.tolist()) for row in rows] == expected.members
    listed = pq.read_table("features.parquet").to_pydict()
    assert listed["column"] == list(range(H.shape[1]))
    np.testing.assert_allclose(listed["share"], np.array(expected.counts) / len(H))
    assert {j for j, chosen in enumerate(listed["in_D"]) if chosen} == expected.discriminative


def test_json_is_the_record_that_the_file_holds(command: Command) -> None:
    done = command("score", "h.npy", "--json")
    assert json.loads(done.out) == to_dict(runs.load_record("scores.parquet"))


def test_stdout_holds_tables_and_stderr_the_rest(command: Command) -> None:
    done = command("score", "h.npy", "--epsilon", 2)
    titles = ["health", "scores", "look at these first"]
    assert [line.strip() for line in done.out.splitlines() if line.strip() in titles] == titles
    assert not re.search("warning:|karat|MB|scores.parquet", done.out)
    assert re.search(r"60 samples, 0\.0 MB in \d+\.\d+ s -> scores.parquet\n", done.err)
    assert "warning: the reference has only 60 samples" in done.err


def test_the_table_says_what_to_make_of_the_scores(command: Command) -> None:
    np.save("many.npy", features(400))
    healthy = command("score", "many.npy", "--epsilon", 1)
    assert "of the samples have a Q-Score that rests on discriminative features. Higher is better" in healthy.out
    assert "Read the warnings first" in command("score", "h.npy", "-o", "other.parquet").out


def test_the_samples_to_look_at_are_those_with_the_lowest_scores(command: Command) -> None:
    done = command("score", "h.npy", "--epsilon", 2)
    q = slow.q_score(H, epsilon=2).q_score
    lowest = [row for row in np.argsort(q, kind="stable") if q[row] > 0][:10]
    lines = done.out.split("look at these first")[1].splitlines()[2:12]
    assert [line.split()[0] for line in lines] == [str(row) for row in lowest]


@pytest.mark.parametrize(
    "verb", [("score", "h.npy"), ("measure", "h.npy"), ("catalog",), ("score", "--help")], ids=" ".join
)
def test_nothing_is_coloured_when_piped(command: Command, verb: tuple[str, ...]) -> None:
    done = command(*verb)
    assert "\x1b" not in done.out + done.err


def test_a_table_that_is_piped_is_not_cut(command: Command) -> None:
    done = command("catalog")
    assert len(done.out.splitlines()) == len(CATALOG) + 1
    assert all(row.meaning in done.out for row in CATALOG)


def test_text_in_brackets_is_shown_as_it_is(command: Command) -> None:
    np.save("[bold]h.npy", H)
    assert "[b]h[/b].npy does not exist" in command("score", "[b]h[/b].npy").err
    np.save("ids.npy", np.array([f"[red]{row}" for row in range(len(H))]))
    done = command("score", "[bold]h.npy", "--ids", "ids.npy", "-o", "[i].parquet")
    assert done.status == 0
    assert "-> [i].parquet" in done.err
    assert "[red]" in done.out


# the other verbs


def test_measure_prints_the_metrics_of_the_set(command: Command) -> None:
    done = command("measure", "h.npy", "--epsilon", 2, "--json")
    values = json.loads(done.out)["values"]
    expected = slow.q_score(H, epsilon=2)
    assert values["mean_q"] == pytest.approx(expected.q_score.mean())
    assert values["empty_share"] == pytest.approx((expected.inside == 0).mean())
    table, left_out = command("measure", "h.npy", "--epsilon", 2).out.split("\n\n")
    shown = dict(line.split() for line in table.splitlines()[1:])
    assert left_out.startswith("left out: coherence, ")
    assert {name: float(value) for name, value in shown.items()} == pytest.approx(values, rel=1e-5)


def test_measure_takes_a_reference(command: Command) -> None:
    done = command("measure", "h.npy", "--reference", "others.npy", "--epsilon", 2, "--json")
    expected = slow.q_score(H, OTHERS, epsilon=2).q_score.mean()
    assert json.loads(done.out)["values"]["mean_q"] == pytest.approx(expected)


def test_measure_takes_views_names_and_a_sample(command: Command) -> None:
    rows = features(40, 40, 3)
    with store.EmbeddingsWriter("views.emb", dim=40) as writer:
        writer.append(rows, {"id": np.repeat(np.arange(20), 2), "view": np.tile([0, 1], 20)})
    done = command(
        "measure", "h.npy", "--views", "views.emb", "--metrics", "lidar, alignment,uniformity", "--sample", 30, "--json"
    )
    assert done.status == 0
    values = json.loads(done.out)["values"]
    assert set(values) == {"lidar", "alignment", "uniformity"}
    assert values["lidar"] == pytest.approx(karat.stats.lidar(rows.reshape(20, 2, 40)), rel=1e-9)
    assert json.loads(done.out)["provenance"]["parameters"]["sample"] == 30


def test_measure_shows_convergence(command: Command) -> None:
    done = command("measure", "h.npy", "--metrics", "nesum", "--convergence")
    assert [line.split() for line in done.out.splitlines()[1:2]] == [["samples", "3", "7", "15", "30", "60"]]
    assert len(done.out.splitlines()[2].split()) == 6
    curves = json.loads(command("measure", "h.npy", "--metrics", "nesum", "--convergence", "--json").out)["curves"]
    assert curves["nesum"]["n"] == [3, 7, 15, 30, 60]


def test_measure_refuses_names_that_are_none(command: Command) -> None:
    assert "there is no metric 'ranks'" in command("measure", "h.npy", "--metrics", "alpha,ranks").err
    assert command("measure", "h.npy", "--metrics", "alpha,ranks").status == 2
    done = command("measure", "h.npy", "--metrics", "lidar")
    assert (done.status, "needs views" in done.err) == (1, True)


def test_every_metric_can_be_required(command: Command) -> None:
    for name in (row.name for row in CATALOG if row.kind == "metric" and "views" not in row.needs):
        done = command("measure", "h.npy", "--metrics", name, "--require", f"{name}<-1e9")
        assert (done.status, f"{name} is" in done.err) == (3, True)


def test_extract_writes_the_features_of_every_image(embedded: Path, command: Command) -> None:
    done = command("extract", embedded / "encoder.safetensors", embedded / "test.npz", "-o", "x.emb", "--batch-size", 7)
    assert (done.status, done.out) == (0, "")
    assert "60 images x 24 features -> x.emb" in done.err
    emb = store.load("x.emb")
    assert emb.labels is not None
    assert emb.labels[:4].tolist() == ["red", "green", "blue", "red"]
    expected = karat.extract(karat.load_encoder(embedded / "encoder.safetensors"), embedded / "test.npz")
    np.testing.assert_allclose(emb.h[:], np.asarray(expected.h), rtol=1e-4, atol=1e-5)


def test_probe_adds_its_result_to_a_run(embedded: Path, command: Command) -> None:
    done = command("probe", embedded / "train.emb", embedded / "test.emb", "-o", "run", "--json")
    record = runs.open_run("run").records["probe"]
    assert json.loads(done.out) == to_dict(record)
    assert "-> run" in done.err
    shown = command("probe", embedded / "train.emb", embedded / "test.emb", "-o", "other").out
    assert f"accuracy {record.accuracy:.1%}" in re.sub(" +", " ", shown)  # type: ignore[union-attr]


def test_probe_takes_labels_from_files(command: Command) -> None:
    y = np.arange(len(H)) % 2
    np.save("clear.npy", H + 50 * (np.arange(H.shape[1]) % 2 == y[:, None]).astype(np.float32))
    np.save("y.npy", y)
    Path("names.txt").write_text("\n".join(IDS))
    options = ("--labels", "y.npy", "--val-labels", "y.npy", "--ids", "names.txt", "-o", "run")
    assert command("probe", "clear.npy", "clear.npy", *options, "--require", "accuracy==1").status == 0
    assert column(Path("run/records/probe.parquet"), "id").tolist() == IDS


def test_evaluate_adds_scores_and_table_to_the_run(embedded: Path, run: Path, command: Command) -> None:
    done = command("evaluate", embedded / "test.parquet", run, "--resamples", 50)
    assert done.status == 0
    records = runs.open_run(run).records
    assert list(records) == ["probe", "scores", "evaluation"]
    rows = [line.split("  ")[0] for line in done.out.splitlines()]
    computed = records["scores"].names  # type: ignore[union-attr]
    assert len(computed) > 10
    assert all(name in rows for name in (*computed, "softmax_confidence", "with labels"))
    assert f"{records['evaluation'].accuracy:.3f}" in done.out  # type: ignore[union-attr]
    again = command("evaluate", embedded / "test.parquet", run, "--resamples", 50, "--overwrite", "--json")
    assert json.loads(again.out) == to_dict(records["evaluation"])


def test_evaluate_takes_the_runs_own_scores(embedded: Path, run: Path, command: Command) -> None:
    assert command("score", embedded / "test.emb", "--epsilon", 1, "-o", run / "scores.parquet").status == 0
    assert command("evaluate", run / "scores.parquet", run, "--resamples", 50).status == 0
    assert list(runs.open_run(run).records) == ["probe", "scores", "evaluation"]


def test_evaluate_leaves_other_scores_in_the_run_alone(embedded: Path, run: Path, command: Command) -> None:
    assert command("score", embedded / "test.emb", "--epsilon", 2, "-o", run / "scores.parquet").status == 0
    before = contents(run)
    done = command("evaluate", embedded / "test.parquet", run, "--resamples", 50)
    assert done.status == 1
    assert "run/scores.parquet exists already" in done.err
    assert contents(run) == before


def test_evaluate_needs_scores_and_a_probe(embedded: Path, run: Path, command: Command) -> None:
    assert "holds a probe record, but scores are needed" in command("evaluate", "run/records/probe.json", run).err
    Path("run/records/probe.json").unlink()
    done = command("evaluate", embedded / "test.parquet", run)
    assert (done.status, "run holds no probe" in done.err) == (1, True)


def test_report_is_one_html_page(embedded: Path, run: Path, command: Command) -> None:
    assert command("evaluate", embedded / "test.parquet", run, "--resamples", 50).status == 0
    done = command("report", run, "--images", embedded / "test.npz", "--title", "Three <colours>", "--by", "l2_norm")
    assert (done.status, done.out, done.err) == (0, "", "-> report.html\n")
    page = Path("report.html").read_text()
    assert "Three &lt;colours&gt;</" in page
    assert "data:image/png;base64," in page


def test_demo_tells_the_whole_story(pictures: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = Path("bundle/data")
    bundled.mkdir(parents=True)
    for name in ("encoder.safetensors", "train.npz", "test.npz"):
        (bundled / name).symlink_to(pictures / name)
    monkeypatch.setattr("karat.demo.files", lambda _: bundled.parent)
    done = command("demo", "-o", "story")
    assert done.status == 0
    assert "open story/report.html" in done.err
    assert all(word in done.out for word in ("health", "effective_rank", "linear probe", "softmax_confidence"))
    assert list(runs.open_run("story").records) == ["scores", "probe", "evaluation", "metrics"]
    before = contents(Path("story"))
    assert command("demo", "-o", "story").status == 1
    assert command("demo", "-o", "story", "--overwrite").status == 0
    assert contents(Path("story")) == before  # equal work, equal bytes


def test_catalog_lists_every_row(command: Command) -> None:
    rows = json.loads(command("catalog", "--json").out)
    assert [row["name"] for row in rows] == [row.name for row in CATALOG]
    lines = command("catalog").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [row.name for row in CATALOG]
    assert re.search(r"softmax_entropy +score +lower", "\n".join(lines))


# exit statuses


@pytest.mark.parametrize(
    ("requirement", "status"),
    [
        ("n>=60", 0),
        ("n<=60", 0),
        ("n==60", 0),
        (" n > 59.5 ", 0),
        ("n<6.1e1", 0),
        ("n>60", 3),
        ("n<60", 3),
        ("n>=61", 3),
        ("n<=59", 3),
        ("n==61", 3),
        ("q_score.mean>=0", 0),
        ("n", 2),
        ("n=>60", 2),
        ("n>=many", 2),
        (">=60", 2),
        ("m>=60", 2),
    ],
)
def test_a_requirement_decides_the_status(command: Command, requirement: str, status: int) -> None:
    assert command("score", "h.npy", "--require", requirement).status == status


def test_every_requirement_must_hold(command: Command) -> None:
    held, failed = "empty_share<=1", "mean_q>=1e9"
    assert command("measure", "h.npy", "--require", held, "--require", held).status == 0
    done = command("measure", "h.npy", "--require", held, "--require", failed, "--json")
    assert done.status == 3
    assert re.search(r"^karat: mean_q>=1e9 is required, but mean_q is [\d.]+\n\Z", done.err, re.MULTILINE)
    assert "mean_q" in json.loads(done.out)["values"]


def test_a_requirement_that_cannot_be_read_is_refused_before_the_work(command: Command) -> None:
    done = command("score", "h.npy", "--require", "empty_share")
    assert done.status == 2
    assert "NAME>=NUMBER" in done.err
    assert not Path("scores.parquet").exists()


def test_a_requirement_of_an_unknown_number_names_the_nearest(command: Command) -> None:
    assert "did you mean empty_share?" in command("score", "h.npy", "--require", "empty_shar<=1").err


def test_nothing_fulfils_a_number_that_is_missing(command: Command, embedded: Path, run: Path) -> None:
    np.save("signed.npy", np.zeros((60, 24), np.float32))
    assert command("score", "signed.npy", "--require", "q_score.mean<=0", "-o", "a.parquet").status == 0
    bad = H.copy()
    bad[:, 0] = np.nan
    bad[0] = 0
    np.save("bad.npy", bad)
    options = ("--on-bad-rows", "drop", "--scores", "q_score")
    assert command("score", "bad.npy", *options, "--require", "q_score.std<=0", "-o", "b.parquet").status == 0
    assert command("score", "bad.npy", *options, "--require", "bad_rows==59", "-o", "c.parquet").status == 0


@pytest.mark.parametrize("number", ["n_val==60", "classes>=3", "accuracy>=0"])
def test_a_probes_numbers_can_be_required(command: Command, embedded: Path, number: str) -> None:
    status = command("probe", embedded / "train.emb", embedded / "test.emb", "-o", "run", "--require", number).status
    assert status == (2 if "classes" in number else 0)


def test_an_evaluations_numbers_can_be_required(command: Command, embedded: Path, run: Path) -> None:
    options = ("--resamples", 50, "--require", "random.auroc<=1", "--require", "q_score.aurc>=2")
    done = command("evaluate", embedded / "test.parquet", run, *options)
    assert done.status == 3
    assert "q_score.aurc>=2 is required" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("scroe", "h.npy"), 'Unknown command "scroe". Did you mean "score"?'),
        (("score",), "karat score needs EMBEDDINGS"),
        (("probe", "h.npy"), "karat probe needs VAL"),
        (("extract", "e", "i"), "karat extract needs -o"),
        (("score", "h.npy", "others.npy"), "karat score has no use for others.npy"),
        (("score", "h.npy", "--epsilom", "3"), "Unknown option: --epsilom. Did you mean --epsilon?"),
        (("score", "h.npy", "--no-json"), "Unknown option: --no-json"),
        (("score", "h.npy", "--epsilon"), "--epsilon needs a value"),
        (("score", "h.npy", "--epsilon", "high"), "--epsilon: high is neither a number nor auto"),
        (("score", "h.npy", "--over", "al"), 'Invalid value "al" for --over. Choose from: "active", "all"'),
        (("score", "h.npy", "--seed", "-1"), "--seed: -1 is no whole number of at least 0"),
        (("score", "h.npy", "--seed", "1.5"), "--seed: 1.5 is no whole number"),
        (("score", "h.npy", "--threads", "0"), "--threads: 0 is no whole number of at least 1"),
        (("score", "h.npy", "--upper", "101"), 'Invalid value "101.0" for --upper. Must be <= 100'),
        (("score", "h.npy", "--scores", "q_score,qscore"), "there is no score 'qscore'"),
        (("score", "h.npy", "--scores", "softmax_entropy"), "needs labels"),
        (("score", "h.npy", "--seed", "1", "--seed", "2"), "--seed specified multiple times"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_one_sentence_and_status_2(command: Command, arguments: tuple[str, ...], words: str) -> None:
    before = contents(Path())
    done = command(*arguments)
    verb = f" {arguments[0]}" if arguments[0] in VERBS else ""
    assert (done.status, done.out) == (2, "")
    assert words in done.err
    assert done.err.startswith("karat: ")
    assert done.err.endswith(f" (karat{verb} --help)\n")
    assert done.err.count("\n") == 1
    assert contents(Path()) == before


def test_an_output_that_exists_is_left_alone(embedded: Path, run: Path, command: Command) -> None:
    assert command("score", "h.npy").status == 0
    assert command("extract", embedded / "encoder.safetensors", embedded / "test.npz", "-o", "x.emb").status == 0
    assert command("evaluate", embedded / "test.parquet", run, "--resamples", 50).status == 0
    assert command("report", run).status == 0
    before = contents(Path())
    for arguments in (
        ("score", "h.npy", "--epsilon", 1),
        ("extract", embedded / "encoder.safetensors", embedded / "train.npz", "-o", "x.emb"),
        ("probe", embedded / "train.emb", embedded / "train.emb", "-o", run),
        ("evaluate", embedded / "test.parquet", run, "--resamples", 60),
        ("report", run, "--title", "Another"),
        ("demo", "-o", run),
    ):
        done = command(*arguments)
        assert (done.status, done.out) == (1, "")
        assert "left alone" in done.err
        assert "--overwrite" in done.err
        assert contents(Path()) == before
    for arguments in (
        ("score", "h.npy", "--epsilon", 1),
        ("extract", embedded / "encoder.safetensors", embedded / "train.npz", "-o", "x.emb"),
        ("probe", embedded / "train.emb", embedded / "train.emb", "-o", run),
        ("report", run, "--title", "Another"),
    ):
        assert command(*arguments, "--overwrite").status == 0
    changed = {path for path, digest in contents(Path()).items() if before.get(path) != digest}
    assert {"scores.parquet", "report.html", "x.emb/part-00000.npy", "run/records/probe.json"} <= changed


def test_debug_shows_the_traceback(command: Command) -> None:
    with pytest.raises(karat.KaratError, match=r"missing\.npy does not exist"):
        cli.main(["score", "--debug", "missing.npy"])
    assert command("measure", "h.npy", "--debug").status == 0


def test_an_interruption_ends_with_status_130(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "score", interrupted)
    done = command("score", "h.npy")
    assert (done.status, done.out, done.err) == (130, "", "karat: stopped\n")


def interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ZeroDivisionError("division by zero\nin the kernel"), "unexpected ZeroDivisionError: division by zero in the"),
        (MemoryError(), "there is not enough memory"),
        (OSError(5, "Input/output error", "h.npy"), "h.npy: input/output error"),
        (OSError(28, "No space left on device"), "the disk is full"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_other_error_is_one_sentence_too(
    command: Command, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(scoring, "score", fail)
    done = command("score", "h.npy")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"karat: {words}")
    assert done.err.count("\n") == 1
    with pytest.raises(type(error)):
        cli.main(["score", "h.npy", "--debug"])


def test_of_warnings_only_karats_own_are_shown(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = measuring.measure

    def warned(*arguments: Any, **parameters: Any) -> Metrics:
        warnings.warn("of a library", DeprecationWarning, stacklevel=1)
        warnings.warn("of a library", UserWarning, stacklevel=1)
        warnings.warn("the numbers\nmay mislead", KaratWarning, stacklevel=1)
        return measure(*arguments, **parameters)

    monkeypatch.setattr(measuring, "measure", warned)
    done = command("measure", "h.npy", "--json")
    told = [f"warning: {warning}\n" for warning in json.loads(done.out)["warnings"]]
    assert len(told) == 2
    assert (done.status, done.err) == (0, "".join(["warning: the numbers may mislead\n", *told]))


# processes of their own


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line for bash, in which $karat is the command; its status is that of the whole pipe."""
    setting = f"set -o pipefail; karat='{sys.executable} -m karat'; "
    return subprocess.run(
        ["bash", "-c", setting + line], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=100
    )


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("$karat --version", 0, ""),
        ("$karat catalog | head -1 >/dev/null || true", 0, ""),
        ("$karat catalog | true", 1, ""),
        ("$karat catalog --json | true", 1, ""),
        ("$karat catalog >&-", 0, ""),
        ("$karat catalog --json >&-", 0, ""),
        ("$karat catalog >/dev/null 2>&-", 0, ""),
        ("$karat catalog --json >/dev/full", 1, "karat: the disk is full\n"),
        ("$karat measure h.npy --json 2>/dev/null | true", 1, ""),
        ("$karat score missing.npy", 1, "karat: missing.npy does not exist\n"),
        ("$karat score missing.npy 2>&-", 1, ""),
    ],
)
def test_whatever_becomes_of_the_pipes_there_is_no_traceback(
    command: Command, tmp_path: Path, line: str, status: int, words: str
) -> None:
    done = shell(line, tmp_path)
    assert (done.returncode, done.stderr) == (status, words)


def test_on_a_terminal_there_are_colours_and_a_bar_that_goes_away(command: Command, tmp_path: Path) -> None:
    reading, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "karat", "score", "h.npy"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    with suppress(OSError):  # the terminal is gone when the process is
        while part := os.read(reading, 4096):
            shown += part
    os.close(reading)
    assert process.wait() == 0
    assert b"\x1b[1mhealth" in shown
    bar, result = shown.split(b"\x1b[?25h")  # the cursor is there again
    assert b"60/60" in bar
    assert result.lstrip(b"\r").startswith(b"\x1b[1A\x1b[2K")  # the bar's line is wiped
    assert b"scoring" not in result


def test_help_is_quick_to_load(tmp_path: Path) -> None:
    code = "import sys; from karat.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert {"numba", "torch", "sklearn", "pyarrow", "scipy"}.isdisjoint(done.stderr.split())


# help


def test_version_is_karats(command: Command) -> None:
    assert command("--version").out == f"{karat.__version__}\n"


def test_help_lists_the_verbs_in_the_order_of_the_story(command: Command) -> None:
    lines = command("--help").out.splitlines()
    listed = [line.split()[1] for line in lines if re.match(r"│ [a-z]", line)]
    assert tuple(listed) == VERBS
    assert all(any(f"{verb} " in line and text in line for line in lines) for verb, text in cli.VERBS.items())
    assert "Exit status: 0 fine" in "\n".join(lines)


def arguments_of(verb: str) -> ArgumentCollection:
    """What a verb takes, as the whole command line sees it."""
    with cli.app.app_stack([verb]):
        return cli.app[verb].assemble_argument_collection()


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_explains_every_option(command: Command, verb: str) -> None:
    done = command(verb, "--help")
    assert (done.status, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= 80
    assert cli.VERBS[verb] in done.out
    arguments = arguments_of(verb)
    assert all(argument.parameter.help and argument.parameter.help[-1] == "." for argument in arguments)
    assert all(argument.names[0] in done.out for argument in arguments)
    assert not re.search(r"--no-(?!browser)|Literal|None|False|\bSTR\b|\bPATH\b|\bINT\b|\bFLOAT\b", done.out)


def test_without_a_verb_there_is_help(command: Command) -> None:
    assert command().out == command("--help").out


# options and parameters


def keyword_only(function: Callable[..., Any]) -> dict[str, Any]:
    """Keyword-only parameters and their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("verb", FUNCTIONS)
def test_the_options_of_a_verb_are_the_parameters_of_its_function(verb: str) -> None:
    module, name = FUNCTIONS[verb].split(":")
    parameters = keyword_only(getattr(import_module(module), name))
    if verb == "probe":  # has a second function, whose k is the option that asks for it
        parameters |= {KNN.get(name, name): default for name, default in keyword_only(karat.knn_probe).items()}
    if verb == "finetune":  # so has this one, which is called with --study
        parameters = {"study": False} | keyword_only(import_module("karat.finetuning").study) | parameters
    if verb == "explain":  # the same, where there are masks
        parameters |= {"masks": None} | keyword_only(attribution.mask_overlap)
    options = keyword_only(getattr(import_module(f"karat.cli.{verb}"), verb))
    assert options.keys() - OWN - READING - LOADING == parameters.keys() - OWN - PROGRAMS
    as_option = {"scores": ",".join, "using": ",".join}
    for option in options.keys() & parameters.keys() - OWN - set(KNN.values()):
        assert options[option] == as_option.get(option, lambda value: value)(parameters[option])


@pytest.mark.parametrize("verb", VERBS)
def test_an_option_is_named_as_its_parameter(verb: str) -> None:
    function = cli.app[verb].default_command
    assert function is not None
    options = keyword_only(function)
    names = {name for argument in arguments_of(verb) for name in argument.names}
    assert {f"--{option.replace('_', '-')}" for option in options} == {name for name in names if name.startswith("--")}


def test_a_terminated_score_leaves_nothing_behind(tmp_path: Path) -> None:
    with open(tmp_path / "h.npy", "wb") as file:  # 800 MB, but for its header not on the disk
        header = {"descr": "<f4", "fortran_order": False, "shape": (400_000, 512)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 400_000 * 512 * 4)
    command = [sys.executable, "-m", "karat", "score", "h.npy"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(tmp_path.glob(".scores.parquet.*.spill")):
        time.sleep(0.001)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, "stopped" in errors) == (130, True)
    assert [path.name for path in tmp_path.iterdir()] == ["h.npy"]


# probe --knn


def test_probe_with_knn_is_the_function_and_has_a_record_of_its_own(command: Command) -> None:
    y = np.arange(len(H)) % 3
    np.save("y.npy", y)
    np.save("y_val.npy", y[: len(OTHERS)])
    files = ("h.npy", "others.npy", "--labels", "y.npy", "--val-labels", "y_val.npy", "-o", "run")
    assert command("probe", *files, "--knn", "5", "--temperature", "0.2").status == 0
    record = runs.open_run("run").records["knn_probe"]
    val = karat.Embeddings(OTHERS, labels=y[: len(OTHERS)])
    exact = karat.knn_probe(karat.Embeddings(H, labels=y), val, k=5, temperature=0.2)
    np.testing.assert_array_equal(record.logits, exact.logits)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--knn", "5", "--seed", "1"), "--seed is of a linear probe"),
        (("--knn", "5", "--epochs", "2"), "--epochs is of a linear probe"),
        (("--knn", "5", "--protocol", "dinov2"), "--protocol is of a linear probe"),
        (("--temperature", "0.2"), "--temperature is of the votes of --knn"),
    ],
)
def test_probe_refuses_options_of_the_other_kind(command: Command, options: tuple[str, ...], said: str) -> None:
    done = command("probe", "h.npy", "others.npy", "-o", "run", *options)
    assert done.status == 2 and said in " ".join(done.err.split())
    assert not Path("run").exists()
