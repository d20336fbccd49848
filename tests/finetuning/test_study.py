"""A study: four arms, several seeds, and what they come to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import karat
from karat.cli.requirements import numbers_of
from karat.errors import FileFormatError, InputError, InputTypeError, OutputExistsError
from karat.finetuning import study
from karat.finetuning.concluding import arms_of, measured, paired_tests, verdict_of, warnings_of
from karat.finetuning.study_figure import study_figure
from karat.finetuning.studying import ARMS, Arm, Judged
from karat.images import open_images, part_of
from karat.records import Finetuning, Study, from_dict, to_dict
from karat.runs import open_run
from tests.commands import Command
from tests.finetuning.small import HEADS, encoder, images, tune
from tests.reference import study as slow

FEW: dict[str, Any] = {
    "method": "simclr", "seeds": 1, "epochs": 1, "batch_size": 16, "epsilon": 1, "settings": HEADS["simclr"],
    "device": "cpu", "precision": "float32", "threads": 1, "workers": 0, "lr": 1e-2, "lambda1": 0.3, "lambda2": 0.2,
    "lasso": 0.1, "resamples": 50,
}  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore:there is one seed")
N = 100  # images, of which 20 are held out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two classes that are not too easy, a training to go on with, and a study of it."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, N)
    pixels = images(N)
    pixels[y == 1, :, :16] = (pixels[y == 1, :, :16] * 0.8).astype(np.uint8)
    np.savez(folder / "images.npz", images=pixels, y=y, classes=np.array(["cat", "dog"]))
    tune(encoder(), folder / "images.npz", out=folder / "pre", epochs=1)
    study(folder / "pre", folder / "images.npz", out=folder / "study", **FEW)
    return folder


@pytest.fixture(scope="module")
def record(folder: Path) -> Study:
    found = open_run(folder / "study").records["study"]
    assert isinstance(found, Study)
    return found


def parts(folder: Path) -> tuple[Any, Any]:
    """The images that are trained on, and those held out: one in five."""
    source = open_images(folder / "images.npz")
    order = np.random.default_rng([0, N]).permutation(N)
    return part_of(source, np.sort(order[N // 5 :])), part_of(source, np.sort(order[: N // 5]))


def test_each_arm_is_measured_as_the_verbs_measure(folder: Path, record: Study) -> None:
    assert [arm.name for arm in record.arms] == ["baseline", "lambda0", "lasso", "q_score"] == list(ARMS)
    assert (record.n_train, record.n_val, record.d, record.seeds, record.steps) == (80, 20, 24, (0,), 5)
    for arm in record.arms:
        found: dict[str, list[float]] = {}
        for seed in record.seeds:
            place = f"{arm.name}-{seed}"
            train, val = (
                karat.load(folder / "study" / place / "embeddings" / f"{part}.emb") for part in ("train", "val")
            )
            probe = karat.probe(train, val, seed=seed)
            q = karat.QScorer(epsilon=1).fit(train.h).score_samples(val.h)
            kept = karat.compress(train, keep=0.6, epsilon=1).mask
            for measure, value in {
                "linear_accuracy": probe.accuracy,
                "compressed_accuracy": karat.probe(train[:, kept], val[:, kept], seed=seed).accuracy,
                "auroc": roc_auc_score(probe.correct, q),
                "mean_q": q.mean(),
                "empty_share": (q == 0).mean(),
            }.items():
                found.setdefault(measure, []).append(float(value))
        assert arm.accuracies == pytest.approx(found["linear_accuracy"])
        for measure, values in found.items():
            assert getattr(arm, measure).value == pytest.approx(np.mean(values), rel=1e-6), (arm.name, measure)
    assert record.arms[1].mean_q.value != record.arms[3].mean_q.value


def test_the_arms_differ_in_what_is_added_and_in_nothing_else(folder: Path, record: Study) -> None:
    weights = {"lambda0": (0, 0, 0), "lasso": (0, 0, 0.1), "q_score": (0.3, 0.2, 0)}
    train, val = parts(folder)
    for name, (lambda1, lambda2, lasso) in weights.items():
        changes = {key: FEW[key] for key in ("method", "epochs", "batch_size", "epsilon", "settings", "lr")}
        alone = tune(folder / "pre", train, **changes, lambda1=lambda1, lambda2=lambda2, lasso=lasso, seed=0)
        there = open_run(folder / "study" / f"{name}-0").records["finetuning"]
        assert isinstance(there, Finetuning) and there == alone.record and there.heads == "kept"
    h = karat.extract(karat.load_encoder(folder / "pre" / "checkpoints" / "encoder.safetensors"), val, workers=0).h
    baseline = karat.load(folder / "study" / "baseline-0" / "embeddings" / "val.emb")
    np.testing.assert_allclose(np.asarray(baseline.h), np.asarray(h), rtol=0.05, atol=0.05)  # bfloat16 on some machines
    assert baseline.sample_ids.tolist() == val.ids.tolist()


def synthetic(accuracies: Mapping[str, float], *, seeds: int = 3, n: int = 200) -> dict[str, list[Judged]]:
    """Runs whose probes get these shares right, mostly the same images."""
    rng = np.random.default_rng(1)
    hard = rng.random(n)
    return {
        name: [
            Judged(
                ids=np.arange(n),
                correct=(hard + 0.05 * rng.standard_normal(n)) < accuracy,
                compressed=hard < accuracy / 2,
                q=np.maximum(rng.standard_normal(n), 0),
                d=24,
                tuned=None,
            )
            for _ in range(seeds)
        ]
        for name, accuracy in accuracies.items()
    }


ALIKE = {"baseline": 0.5, "lambda0": 0.5, "lasso": 0.5, "q_score": 0.5}


def test_intervals_are_over_seeds_and_samples_at_once() -> None:
    judged = synthetic({**ALIKE, "q_score": 0.55}, n=30)
    found = measured(judged, resamples=40, seed=7)
    arms = {arm.name: arm for arm in arms_of([Arm(name) for name in ARMS], judged, found)}
    tests = {(test.first, test.second): test for test in paired_tests(found)}
    assert len(tests) == 6
    for first, second in tests:
        values = [[each.correct.tolist() for each in judged[name]] for name in (first, second)]
        expected = slow.difference(*values, resamples=40, seed=7)
        difference = tests[first, second].difference
        assert (difference.value, difference.low, difference.high) == pytest.approx(expected, abs=1e-12)
    q = [[each.q.tolist() for each in judged[name]] for name in ("lasso", "baseline")]
    change = arms["lasso"].changes["mean_q"]
    assert (change.value, change.low, change.high) == pytest.approx(
        slow.difference(*q, resamples=40, seed=7), abs=1e-12
    )
    assert arms["baseline"].changes == {} and set(arms["q_score"].changes) == set(found["q_score"])


@pytest.mark.parametrize(
    ("accuracy", "answers"),
    [(0.75, ["Yes", "Yes", "Yes"]), (0.5, ["That is not shown"] * 3), (0.3, ["No, it is worse"] * 3)],
)
def test_the_verdict_answers_both_questions(accuracy: float, answers: list[str]) -> None:
    told = verdict_of(paired_tests(measured(synthetic({**ALIKE, "q_score": accuracy}), resamples=200, seed=0)))
    asked = [part.partition("? ") for part in told.replace(". Does", ".\nDoes").split("\n")]
    assert ["lambda = 0" in asked[0][0], "Lasso" in asked[1][0], "no fine-tuning" in asked[2][0]] == [True] * 3
    assert [answer.partition(":")[0] for _, _, answer in asked] == answers


def test_what_not_to_trust_is_said() -> None:
    judged = synthetic(ALIKE, seeds=1)
    judged["baseline"] = [replace(judged["baseline"][0], q=np.r_[np.ones(50), np.zeros(150)])]
    arms = arms_of([Arm(name) for name in ARMS], judged, measured(judged, resamples=20, seed=0))
    one, empty = warnings_of(arms, judged, 4.0)
    assert "there is one seed" in one and empty.startswith("75% of the validation images have no discriminative")


def test_runs_that_were_judged_on_other_images_are_not_compared() -> None:
    judged = synthetic(ALIKE)
    judged["lasso"][1] = replace(judged["lasso"][1], ids=np.arange(200)[::-1])
    with pytest.raises(InputError, match="the runs of lasso were judged on other images"):
        measured(judged, resamples=5, seed=0)


# interrupted, and gone on with


class Interrupted(Exception):
    """What ends a study in the middle."""


def interrupted(*told: Any) -> None:
    raise Interrupted


def test_an_interrupted_study_goes_on_where_it_was(folder: Path, record: Study, tmp_path: Path) -> None:
    given = (folder / "pre", folder / "images.npz")
    steps: list[tuple[str, int, int]] = []

    def stop(name: str, run: int, runs: int, done: int, total: int, told: Mapping[str, float]) -> None:
        steps.append((name, run, done))
        assert (runs, total) == (4, 5)
        if (name, run, done) == ("lasso", 2, 3):
            raise Interrupted

    def note(name: str, run: int, runs: int, done: int, total: int, told: Mapping[str, float]) -> None:
        steps.append((name, run, done))

    asked = {**FEW, "out": tmp_path / "broken", "checkpoint_steps": 2}
    with pytest.raises(Interrupted):
        study(*given, progress=stop, **asked)
    assert [step for step in steps if step[0] == "lambda0"] == [("lambda0", 1, step) for step in range(1, 6)]
    (tmp_path / "broken" / "lambda0-0" / "records" / "compression.json").write_text("{")  # damaged: made again
    steps.clear()
    again = study(*given, resume=True, progress=note, **asked)
    after = [("lasso", 2, 3), ("lasso", 2, 4), ("lasso", 2, 5)]  # from the checkpoint of the second step
    assert steps == after + [("q_score", 3, step) for step in range(1, 6)]
    assert again == record and to_dict(again) == to_dict(record)


def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder / "study", tmp_path / "study"))


def test_a_study_that_is_done_is_read(folder: Path, record: Study, tmp_path: Path) -> None:
    steps: list[Any] = []
    given = {**FEW, "out": copied(folder, tmp_path), "resume": True, "progress": lambda *told: steps.append(told)}
    assert study(folder / "pre", folder / "images.npz", **given) == record and not steps


@pytest.mark.slow
def test_more_seeds_are_added_to_those_that_are_there(folder: Path, record: Study, tmp_path: Path) -> None:
    steps: list[Any] = []
    given = {**FEW, "out": copied(folder, tmp_path), "resume": True, "progress": lambda *told: steps.append(told)}
    more = study(folder / "pre", folder / "images.npz", **{**given, "seeds": 3})
    assert more.seeds == (0, 1, 2) and {told[1] for told in steps} == {5, 6, 7, 9, 10, 11}
    assert [arm.accuracies[:1] for arm in more.arms] == [arm.accuracies for arm in record.arms]
    there = open_run(given["out"] / "lambda0-2").records["finetuning"]
    assert isinstance(there, Finetuning) and there.provenance.parameters["seed"] == 2
    assert not (given["out"] / "baseline-1" / "embeddings").exists()  # those of baseline-0 are the same


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": 1e-3}, "another study: lr 0.01 there, 0.001 here"),
        ({"lasso": 0.5, "keep": 0.5}, "lasso 0.1 there, 0.5 here; keep 0.6 there, 0.5 here"),
        ({"seed": 4}, "seed 0 there, 4 here"),
        ({"new_heads": True}, "new_heads False there, True here"),
        ({"held_out": 10}, "images [0-9a-f]{32} there"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_another_study_in_the_folder_is_refused(
    changes: dict[str, Any], words: str, folder: Path, tmp_path: Path
) -> None:
    out = copied(folder, tmp_path)
    with pytest.raises(InputError, match=words):
        study(folder / "pre", folder / "images.npz", **{**FEW, "out": out, "resume": True, **changes})


def test_a_study_that_is_there_is_left_alone_or_replaced(folder: Path, record: Study, tmp_path: Path) -> None:
    out = copied(folder, tmp_path)
    given = {**FEW, "out": out}
    with pytest.raises(OutputExistsError, match=r"--resume.*--overwrite"):
        study(folder / "pre", folder / "images.npz", **given)
    with pytest.raises(InputError, match="choose one of them"):
        study(folder / "pre", folder / "images.npz", **given, resume=True, overwrite=True)
    (out / "study.json").write_text("{")
    with pytest.raises(FileFormatError, match=r"study.json is damaged"):
        study(folder / "pre", folder / "images.npz", **given, resume=True)
    with pytest.raises(Interrupted):
        study(folder / "pre", folder / "images.npz", **{**given, "lr": 1e-3}, overwrite=True, progress=interrupted)
    assert json.loads((out / "study.json").read_text())["settings"]["lr"] == 1e-3
    assert not [name for name in ("lasso-0", "q_score-0") if (out / name).exists()]


# what is refused before any work is done


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": 0}, "seeds is 0, but a whole number of at least 1"),
        ({"keep": 0.0}, "keep is 0.0, but a share"),
        ({"resamples": 0}, "resamples is 0"),
        ({"lambda1": 0, "lambda2": 0}, "that arm would be the one with lambda = 0"),
        ({"lasso": 0.0}, "that arm would be the one with lambda = 0"),
        ({"lasso": -1.0}, "lasso is -1.0, but a number of at least 0"),
        ({"held_out": N}, "held_out is 100, but there are 100 images"),
        ({"held_out": 0}, "held_out is 0"),
        ({"batch_size": 128}, "there are 80 images to train on, but batch_size is 128"),
        ({"settings": {"hiden": 3}}, "did you mean 'hidden'"),
        ({"method": "mae"}, "are known"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    changes: dict[str, Any], words: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        study(folder / "pre", folder / "images.npz", **{**FEW, "out": tmp_path / "out", **changes})
    assert not (tmp_path / "out").exists()


def test_labels_an_encoder_and_one_process_are_needed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**FEW, "out": tmp_path / "out"}
    with pytest.raises(InputError, match="images has no labels"):
        study(folder / "pre", images(), **given)
    with pytest.raises(InputError, match="val has no labels"):
        study(folder / "pre", folder / "images.npz", val=images(), **given)
    with pytest.raises(InputError, match="held_out is of images, but val says"):
        study(folder / "pre", folder / "images.npz", val=folder / "images.npz", held_out=3, **given)
    with pytest.raises(InputError, match=r"karat.load_encoder makes one"):
        study("resnet50", folder / "images.npz", **given)
    with pytest.raises(InputTypeError, match="encoder is a int"):
        study(3, folder / "images.npz", **given)  # type: ignore[arg-type]
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="without torchrun"):
        study(folder / "pre", folder / "images.npz", **given)
    assert not (tmp_path / "out").exists()


# the record


def test_a_study_comes_back_from_json_and_prints(record: Study) -> None:
    back = from_dict(json.loads(json.dumps(to_dict(record), allow_nan=False)))
    assert back == record and record.kind == "study"
    text = str(record)
    for part in ("fine-tuned with Q-Score", "accuracy at 60% of the features", "0.3, 0.2", record.verdict):
        assert part in text
    assert f"{record.arms[3].linear_accuracy.value:.4f} [" in text
    undefined = replace(record.arms[0], auroc=replace(record.arms[0].auroc, value=float("nan")))
    assert "nan" not in str(replace(record, arms=(undefined, *record.arms[1:])))


def test_gates_can_name_measures_and_differences(record: Study) -> None:
    numbers = numbers_of(record)
    assert numbers["q_score.linear_accuracy"] == record.arms[3].linear_accuracy.value
    difference = record.arms[3].linear_accuracy.value - record.arms[1].linear_accuracy.value
    assert numbers["q_score.lambda0.difference"] == pytest.approx(difference, abs=1e-12)
    assert {"q_score.lasso.low", "q_score.baseline.p", "baseline.auroc"} <= numbers.keys()


def test_the_figure_has_every_arm_and_stands_alone(folder: Path, record: Study) -> None:
    svg = (folder / "study" / "study.svg").read_text()
    assert svg == study_figure(record) and svg.startswith("<svg")
    for part in ("no fine-tuning", "fine-tuned, lambda = 0", "fine-tuned with Lasso", "against fine-tuned with Lasso"):
        assert part in svg
    assert "var(--" not in svg and "href" not in svg


# the command


SETTINGS = ",".join(f"{name}={value}" for name, value in HEADS["simclr"].items())
LINE = (
    *("finetune", "pre", "images.npz", "--study", "--method", "simclr", "--settings", SETTINGS, "--batch-size", 16),
    *("--seeds", 1, "--epochs", 1, "--epsilon", 1, "--lr", 0.01, "--lambda1", 0.3, "--lambda2", 0.2, "--lasso", 0.1),
    *("--resamples", 50, "--device", "cpu", "--precision", "float32", "--threads", 1, "--workers", 0),
)


def test_the_command_is_the_function(
    folder: Path, record: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copied(folder, tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("pre", "images.npz"):
        Path(name).symlink_to(folder / name)
    command = Command(capsys)
    done = command(*LINE, "-o", "study", "--resume", "--json")
    assert done.status == 0, done.err
    assert from_dict(json.loads(done.out)) == record and "study/study.svg" in done.err
    done = command(*LINE, "-o", "study", "--resume", "--require", "q_score.linear_accuracy>=1.1")
    assert done.status == 3 and "q_score.linear_accuracy>=1.1 is required" in done.err
    assert "Does fine-tuning with the Q-Score beat" in done.out
    done = command(*LINE, "-o", "study")
    assert done.status == 1 and "has a study already" in done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--study", "--tensorboard", "--size", 32), "--size, --tensorboard: not with --study"),
        (("--study", "--from-scratch"), "--from-scratch: not with --study"),
        (("--seeds", 4), "--seeds: needs --study"),
        (("--keep", 0.5), "--keep: needs --study"),
    ],
)
def test_options_of_the_other_function_are_usage_errors(
    options: tuple[Any, ...], words: str, folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = (str(folder / "pre"), str(folder / "images.npz"), "--method", "simclr", "-o", str(tmp_path / "run"))
    done = Command(capsys)("finetune", *given, *options)
    assert done.status == 2 and words in " ".join(done.err.split())
    assert not (tmp_path / "run").exists()
