"""karat finetune: what it writes, shows and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import karat
from karat.cli.finetune import _note, _settings
from karat.cli.requirements import numbers_of
from karat.records import Finetuning, from_dict
from karat.runs import open_run
from tests.commands import Command, contents
from tests.finetuning.small import HEADS, labelled, tune

SETTINGS = ",".join(f"{name}={value}" for name, value in HEADS["simclr"].items())
ON_CPU = ("--device", "cpu", "--precision", "float32", "--threads", 1, "--workers", 0)
FEW = ("--method", "simclr", "--settings", SETTINGS, "--batch-size", 8, "--epochs", 2, *ON_CPU)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder and images of two classes."""
    folder = tmp_path_factory.mktemp("start")
    tune(out=folder / "run", epochs=1)
    (folder / "run" / "checkpoints" / "encoder.safetensors").rename(folder / "encoder.safetensors")
    labelled(folder / "images.npz")
    return folder


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("encoder.safetensors", "images.npz"):
        Path(name).symlink_to(start / name)
    return Command(capsys)


def test_the_command_is_the_function(command: Command) -> None:
    options = ("--lr", 0.01, "--lambda1", 0.5, "--epsilon", 1, "--refresh", "never", "--held-out", 20, "--seed", 3)
    done = command("finetune", "encoder.safetensors", "images.npz", *FEW, *options, "-o", "run")
    assert done.status == 0, done.err
    exact = tune(
        karat.load_encoder("encoder.safetensors"), "images.npz", lr=0.01, lambda1=0.5, epsilon=1, refresh=None,
        held_out=20, seed=3,
    )  # fmt: skip
    record = open_run("run").records["finetuning"]
    assert isinstance(record, Finetuning) and record == exact.record
    assert "encoder+simclr -> run/checkpoints/encoder.safetensors" in done.err
    assert "linear accuracy" in done.out and "Linear accuracy on the 20 held-out images" in done.out
    assert karat.load_encoder("run/checkpoints/encoder.safetensors").dim == 24
    assert numbers_of(record)["linear_accuracy"] == record.history[-1].metrics["linear_accuracy"]


def test_a_run_is_left_alone_gone_on_with_or_replaced(command: Command) -> None:
    call: tuple[Any, ...] = ("finetune", "encoder.safetensors", "images.npz", *FEW, "-o", "run")
    assert command(*call, "--held-out", 0).status == 0
    before = contents(Path("run"))
    done = command(*call, "--held-out", 0)
    assert done.status == 1 and "--resume" in done.err and contents(Path("run")) == before
    assert command(*call, "--held-out", 0, "--resume").status == 0
    assert contents(Path("run")) == before
    done = command(*call, "--held-out", 0, "--resume", "--lr", 1)
    assert done.status == 1 and "lr 1e-05 there, 1.0 here" in done.err and done.err.count("\n") == 1
    done = command(*call, "--held-out", 0, "--overwrite", "--seed", 1, "--json")
    assert done.status == 0 and from_dict(json.loads(done.out)) == open_run("run").records["finetuning"]


def test_an_encoder_from_scratch_is_named_by_its_architecture(command: Command) -> None:
    options = ("--epochs", 1, "--held-out", 0, "--method", "simclr", "--batch-size", 40, *ON_CPU)
    done = command("finetune", "small-resnet", "images.npz", "--from-scratch", *options, "-o", "run")
    assert done.status == 0, done.err
    assert "pretraining" in done.out and "small-resnet (from scratch)" in done.out
    assert karat.load_encoder("run/checkpoints/encoder.safetensors").dim == 512


def test_a_gate_can_ask_for_an_accuracy(command: Command) -> None:
    options = ("--held-out", 20)
    done = command(
        "finetune",
        "encoder.safetensors",
        "images.npz",
        *FEW,
        *options,
        "-o",
        "run",
        "--require",
        "linear_accuracy>=1.1",
    )
    assert done.status == 3 and "linear_accuracy>=1.1 is required" in done.err


def test_settings_are_numbers_words_and_pairs() -> None:
    class Token:
        value = "temperature=0.2,queue=512,optimizer=sgd,symmetric=true,full_scale=0.2:1"

    assert _settings(None, [Token()]) == {  # type: ignore[list-item]
        "temperature": 0.2, "queue": 512, "optimizer": "sgd", "symmetric": True, "full_scale": [0.2, 1]
    }  # fmt: skip


def test_the_bar_tells_the_loss_and_both_terms() -> None:
    told = {"epoch": 3, "loss": 4.5678, "objective": 4, "q_term": -0.0123, "norm_term": 0.58, "spread": 1, "lr": 1}
    assert _note(told) == "epoch 3, loss 4.568 (Q term -0.012, norm term 0.58)"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("missing.pth images.npz --method simclr", "missing.pth"),
        ("encoder.safetensors missing.npz --method simclr", "missing.npz does not exist"),
        ("encoder.safetensors images.npz --method simclr --batch-size 512", "but batch_size is 512"),
        ("encoder.safetensors images.npz --method simclr --settings hiden=3", "did you mean 'hidden'"),
        ("encoder.safetensors images.npz --method simclr --lasso 1 --lambda1 1", "give one of both"),
        ("vgg images.npz --method simclr --from-scratch", "small-resnet and resnet18-cifar"),
    ],
)
def test_bad_input_is_one_sentence(command: Command, line: str, words: str) -> None:
    done = command("finetune", *line.split(), *ON_CPU, "-o", "run")
    assert done.status == 1 and words in done.err
    assert (done.err.count("\n"), done.err[:7], done.out) == (1, "karat: ", "")
    assert not Path("run/run.json").exists() and not list(Path().glob("run/checkpoints/*.pt"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("encoder.safetensors images.npz", "--method"),
        ("encoder.safetensors images.npz --method mae", "--method"),
        ("encoder.safetensors images.npz --method simclr --batch-size 1", "1 is no whole number of at least 2"),
        ("encoder.safetensors images.npz --method simclr --refresh daily", "daily is none of counts, pass, never"),
        ("encoder.safetensors images.npz --method simclr --settings hidden", "hidden is no setting"),
        ("encoder.safetensors images.npz --method simclr --precision float16", "--precision"),
    ],
)
def test_options_that_cannot_be_are_usage_errors(command: Command, line: str, words: str) -> None:
    done = command("finetune", *line.split(), "-o", "run")
    assert done.status == 2 and words in done.err
