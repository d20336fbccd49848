"""Interrupted and gone on with: the same weights, bit for bit; and what is refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import karat
from karat.cli import main
from karat.encoders import Encoder
from karat.errors import FileFormatError, InputError, OutputError, OutputExistsError
from karat.finetuning import checkpoints, loop
from tests.finetuning.small import DIM, HEADS, PREPROCESSING, assert_same_weights, encoder, images, tune

# Of 40 images in batches of 8, two epochs: steps 1 to 5 and 6 to 10.
STEPS = 10


class Interrupted(Exception):
    """What ends a training in the middle."""


def interrupted_after(step: int) -> Callable[[int, int, Mapping[str, float]], None]:
    def stop(done: int, total: int, told: Mapping[str, float]) -> None:
        if done == step:
            raise Interrupted

    return stop


def contents(folder: Path) -> dict[str, bytes]:
    """What a run holds, but for the checkpoints, whose archives are compared by what is in them, and the locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pt" and path.name != ".lock"
    }


def assert_same_content(first: Any, second: Any) -> None:
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same_content(first[key], second[key])
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same_content(one, other)
    else:
        assert first == second or first != first


class Dropping(nn.Module):
    """An encoder that draws from the global generator in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.drop = encoder().module, nn.Dropout(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.inner(x))


def dropping() -> Encoder:
    return Encoder(Dropping(), dim=DIM, transform=PREPROCESSING, name="dropping")


@pytest.mark.filterwarnings("ignore:karat did not build")
@pytest.mark.parametrize(
    "method", ["moco", *(pytest.param(name, marks=pytest.mark.slow) for name in ("simclr", "swav", "dino"))]
)
def test_an_interrupted_training_ends_with_the_same_bits(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_LOGGED_EVERY", 1)  # so that the log is ahead of the checkpoint
    asked: dict[str, Any] = {"method": method, "epsilon": 1, "lambda1": 1e-2, "checkpoint_steps": 2, "held_out": 0}
    whole = tune(dropping(), out=tmp_path / "whole", **asked)
    for step in (1, 4, 5, 8):
        with pytest.raises(Interrupted):
            tune(dropping(), out=tmp_path / "broken", resume=True, progress=interrupted_after(step), **asked)
    np.random.seed(5)
    torch.manual_seed(7)  # the generators of another process
    resumed = tune(dropping(), out=tmp_path / "broken", resume=True, **asked)
    assert_same_weights(resumed, whole)
    assert resumed.record == whole.record
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")
    last = [checkpoints.load(checkpoints.found(tmp_path / name)[-1]) for name in ("whole", "broken")]
    assert_same_content(*last)


def test_metrics_between_the_epochs_do_not_disturb_what_is_gone_on_with(tmp_path: Path) -> None:
    whole = tune(out=tmp_path / "whole", pixels=images(60), held_out=20)
    with pytest.raises(Interrupted):
        tune(out=tmp_path / "broken", pixels=images(60), held_out=20, progress=interrupted_after(7))
    assert_same_weights(tune(out=tmp_path / "broken", pixels=images(60), held_out=20, resume=True), whole)
    without = tune(pixels=images(60), held_out=20, metrics_every=2)
    assert_same_weights(without, whole)


def test_a_training_that_is_done_is_gone_on_with_by_doing_nothing(tmp_path: Path) -> None:
    whole = tune(out=tmp_path)
    before = contents(tmp_path)
    steps: list[int] = []
    again = tune(out=tmp_path, resume=True, progress=lambda done, total, told: steps.append(done))
    assert not steps and again.record == whole.record and contents(tmp_path) == before


def test_a_checkpoint_holds_what_the_next_step_depends_on(tmp_path: Path) -> None:
    tune(method="moco", out=tmp_path, checkpoint_steps=3, epochs=1)
    content = checkpoints.load(tmp_path / "checkpoints" / "step-00000003.pt")
    assert {"teacher", "queue", "encoder", "projector"} <= {name.partition(".")[0] for name in content["model"]}
    assert (content["state"]["epoch"], content["state"]["position"], content["state"]["step"]) == (0, 3, 3)
    assert len(content["optimizer"]["state"]) and set(content["random"][0]) == {
        "torch",
        "cuda",
        "numpy",
        "python",
        "views",
    }
    assert content["recipe"]["method"] == "moco" and content["parameters"]["seed"] == 0


def test_the_last_few_checkpoints_stay(tmp_path: Path) -> None:
    tune(out=tmp_path, checkpoint_steps=1, keep_checkpoints=2)
    assert [path.name for path in checkpoints.found(tmp_path)] == ["step-00000009.pt", "step-00000010.pt"]


# what is refused


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training of one epoch leaves, and what one leaves that was broken off."""
    folder = tmp_path_factory.mktemp("left")
    tune(out=folder / "done", epochs=1)
    with pytest.raises(Interrupted):
        tune(out=folder / "broken", progress=interrupted_after(6))
    return folder


def test_a_run_that_is_there_is_left_alone_unless_asked(tmp_path: Path) -> None:
    whole = tune(out=tmp_path, epochs=1)
    before = contents(tmp_path)
    with pytest.raises(OutputExistsError, match=r"--resume.*--overwrite"):
        tune(out=tmp_path, epochs=1)
    assert contents(tmp_path) == before
    with pytest.raises(InputError, match="choose one of them"):
        tune(out=tmp_path, resume=True, overwrite=True)
    other = tune(out=tmp_path, epochs=1, seed=3, overwrite=True)
    assert other.record != whole.record and len(checkpoints.found(tmp_path)) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": 0.5}, "another recipe: lr 0.01 there, 0.5 here"),
        ({"epochs": 3}, "another recipe: epochs 2 there, 3 here"),
        ({"lambda1": 0.5, "seed": 4}, "another setting: lambda1 0.0001 there, 0.5 here; seed 0 there, 4 here"),
        ({"refresh": None}, "refresh counts there, None here"),
        ({"method": "moco", "settings": HEADS["moco"]}, "of the method 'simclr', but 'moco' was asked for"),
        ({"settings": {"hidden": 12, "output": 8}}, "hidden 16 there, 12 here"),
        ({"pixels": images(40, seed=1)}, "another encoder or images: images [0-9a-f]{32} there"),
        ({"given": encoder(1)}, "another encoder or images: encoder [0-9a-f]{32} there"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_checkpoint_of_another_training_is_refused(
    changes: dict[str, Any], words: str, left: Path, tmp_path: Path
) -> None:
    shutil.copytree(left / "broken", tmp_path, dirs_exist_ok=True)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=words):
        tune(**{"out": tmp_path, "resume": True, **changes})
    assert contents(tmp_path) == before


def changed(path: Path, **parts: Any) -> None:
    content = torch.load(path, weights_only=True)
    torch.save({**content, **parts}, path)


def test_another_number_of_processes_is_refused(left: Path, tmp_path: Path) -> None:
    shutil.copytree(left / "done", tmp_path, dirs_exist_ok=True)
    (path,) = checkpoints.found(tmp_path)
    changed(path, processes=4)
    with pytest.raises(InputError, match="written by 4 processes, but there are 1: resume with as many"):
        tune(out=tmp_path, epochs=1, resume=True)


def test_another_architecture_is_refused(left: Path, tmp_path: Path) -> None:
    shutil.copytree(left / "done", tmp_path, dirs_exist_ok=True)
    (path,) = checkpoints.found(tmp_path)
    shapes = checkpoints.load(path)["objective"]
    changed(path, objective={**shapes, "encoder.head.0.weight": "float32 [48, 8, 1, 1]"})
    with pytest.raises(
        InputError, match=r"of another architecture: encoder.head.0.weight float32 \[48, 8, 1, 1\] there"
    ):
        tune(out=tmp_path, epochs=1, resume=True)


class Bomb:
    """What a pickle could do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch exploded",)


@pytest.mark.parametrize("kind", ["truncated", "empty", "bomb", "other"])
def test_a_damaged_checkpoint_is_refused_and_nothing_in_it_runs(
    kind: str, left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(left / "done", "run")
    (path,) = checkpoints.found(Path("run"))
    if kind == "bomb":
        torch.save({"schema": 1, "model": Bomb()}, path)
    elif kind == "other":
        torch.save({"schema": 99}, path)
    else:
        path.write_bytes(path.read_bytes()[: 1000 if kind == "truncated" else 0])
    with pytest.raises(FileFormatError, match=r"step-00000005.pt is (damaged|no checkpoint)"):
        tune(out="run", epochs=1, resume=True)
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), marks=pytest.mark.slow),
        RuntimeError("PytorchStreamWriter failed writing file"),
    ],
)
def test_a_full_disk_leaves_the_last_good_checkpoint(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tune()
    real, calls = torch.save, []

    def failing(content: Any, path: Path) -> None:
        calls.append(path)
        if len(calls) == 3:
            path.write_bytes(b"half")
            raise error
        real(content, path)

    monkeypatch.setattr(torch, "save", failing)
    with pytest.raises(OutputError, match=r"step-00000005.pt could not be written"):
        tune(out=tmp_path, checkpoint_steps=2, keep_checkpoints=1)
    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert left == [".lock", "step-00000004.pt"]
    monkeypatch.setattr(torch, "save", real)
    assert_same_weights(tune(out=tmp_path, checkpoint_steps=2, keep_checkpoints=1, resume=True), whole)


def test_two_trainings_cannot_write_to_one_run(tmp_path: Path) -> None:
    caught: list[OutputError] = []

    def another(done: int, total: int, told: Mapping[str, float]) -> None:
        if done == 1:
            with pytest.raises(OutputError, match="being written by another process") as error:
                tune(out=tmp_path, resume=True)
            caught.append(error.value)

    tune(out=tmp_path, epochs=1, progress=another)
    assert len(caught) == 1


# killed


def command(folder: Path, out: str) -> list[str]:
    return [
        *(sys.executable, "-m", "karat", "finetune", str(folder / "encoder.safetensors"), str(folder / "images.npz")),
        *("--method", "moco", "--settings", "hidden=16,output=8,queue=24", "--batch-size", "8", "--epochs", "6"),
        *("--lr", "0.01", "--device", "cpu", "--threads", "1", "--workers", "0", "--held-out", "20"),
        *("--checkpoint-steps", "3", "--epsilon", "1", "--precision", "float32", "-o", str(folder / out), "--resume"),
    ]


ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(karat.__file__).parents[1]), "OMP_NUM_THREADS": "1"}


def step_of(run: Path) -> int:
    found = checkpoints.found(run)
    return int(found[-1].stem[5:]) if found else -1


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_killed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    tune(out=tmp_path / "start", epochs=1)
    shutil.copyfile(tmp_path / "start" / "checkpoints" / "encoder.safetensors", tmp_path / "encoder.safetensors")
    np.savez(tmp_path / "images.npz", images=images(400))
    assert main(command(tmp_path, "whole")[3:]) == 0
    kills = 0
    for after in (3, 90, 200):
        with subprocess.Popen(
            command(tmp_path, "killed"), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and step_of(tmp_path / "killed") < after:
                time.sleep(0.002)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
    assert kills >= 2 and step_of(tmp_path / "killed") < step_of(tmp_path / "whole")
    assert main(command(tmp_path, "killed")[3:]) == 0
    assert contents(tmp_path / "whole") == contents(tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_processes_train_together_and_go_on_as_two_only(tmp_path: Path) -> None:
    tune(out=tmp_path / "start", epochs=1)
    shutil.copyfile(tmp_path / "start" / "checkpoints" / "encoder.safetensors", tmp_path / "encoder.safetensors")
    np.savez(tmp_path / "images.npz", images=images(100))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [*launch, *command(tmp_path, "two")[1:]], env=ENVIRONMENT, capture_output=True, text=True, timeout=380
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "two" / "records" / "finetuning.json").read_text())
    assert record["steps"] == 60 and len(record["history"]) == 7
    alone = subprocess.run(command(tmp_path, "two"), env=ENVIRONMENT, capture_output=True, text=True)
    assert alone.returncode == 1 and "written by 2 processes, but there are 1" in alone.stderr
