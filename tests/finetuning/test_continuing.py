"""Trainings that begin with an earlier one: its encoder, its heads, its teacher and its queue."""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import karat
from karat.errors import FileFormatError, InputError
from karat.finetuning import checkpoints
from karat.finetuning.continuing import is_training, read_training
from karat.finetuning.loop import Job, Progress, State
from tests.commands import Command
from tests.finetuning.small import HEADS, encoder, images, linear_encoder, tune


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The state of the objective before the first step of each training."""
    module = import_module("karat.finetuning.finetune")
    train, states = module.train, []

    def noted(job: Job, progress: Progress | None = None) -> State:
        states.append({name: value.clone() for name, value in job.objective.state_dict().items()})
        return train(job, progress)

    monkeypatch.setattr(module, "train", noted)
    return states


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a training by SimCLR."""
    folder = tmp_path_factory.mktemp("written")
    tune(out=folder, epochs=1)
    return folder


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> list[str]:
    """The names of equal tensors, of two states with the same names."""
    assert first.keys() == second.keys()
    return [name for name in first if torch.equal(first[name], second[name])]


@pytest.mark.parametrize(
    "method", ["moco", "dino", *(pytest.param(name, marks=pytest.mark.slow) for name in ("swav", "byol"))]
)
def test_a_training_begins_with_the_whole_state_of_an_earlier_one(
    method: str, begun: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    tune(method=method, out=tmp_path / "first", epochs=1)
    (path,) = checkpoints.found(tmp_path / "first")
    last = checkpoints.load(path)["model"]
    second = tune(tmp_path / "first", method=method, epochs=1, seed=5)
    assert same(begun[1], last) == list(last)
    assert second.record.heads == "kept" and "heads" in second.record.provenance.inputs
    new = tune(tmp_path / "first", method=method, epochs=1, seed=5, new_heads=True)
    assert new.record.heads == "new" and "heads" not in new.record.provenance.inputs
    equal = same(begun[2], last)
    assert {name for name in last if name.startswith("encoder.")} <= set(equal)
    assert not any(name.startswith("projector.") and name.endswith("weight") and last[name].ndim > 1 for name in equal)


def test_a_checkpoint_is_as_good_as_its_run_folder(begun: list[dict[str, Tensor]], tmp_path: Path) -> None:
    tune(out=tmp_path / "first", checkpoint_steps=2, keep_checkpoints=9, epochs=1)
    early, *_, late = checkpoints.found(tmp_path / "first")
    tune(early, epochs=1)
    assert same(begun[1], checkpoints.load(early)["model"]) == list(begun[1])
    assert same(begun[1], checkpoints.load(late)["model"]) != list(begun[1])


def test_the_encoder_is_that_of_the_run(tmp_path: Path) -> None:
    first = tune(out=tmp_path, epochs=1)
    found = read_training(tmp_path)
    x = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(found.encoder.module(x), first.encoder.module(x))
    assert (found.encoder.dim, found.encoder.transform, found.method) == (24, encoder().transform, "simclr")
    written = karat.load_encoder(tmp_path / "checkpoints" / "encoder.safetensors")
    assert (found.encoder.h, found.encoder.architecture) == (written.h, written.architecture)


def test_another_method_and_an_encoder_alone_have_new_heads(written: Path) -> None:
    assert tune(epochs=1).record.heads == "new"
    other = tune(written, method="vicreg", epochs=1)
    assert other.record.heads == "new" and "heads" in str(other.record)


def test_heads_of_other_sizes_are_refused(written: Path) -> None:
    with pytest.raises(InputError, match=r"projector.* there, .* here.*new_heads"):
        tune(written, settings={"hidden": 12, "output": 8}, epochs=1)
    tune(written, settings={"hidden": 12, "output": 8}, epochs=1, new_heads=True)


def test_resuming_with_other_heads_is_refused(written: Path, tmp_path: Path) -> None:
    tune(written, out=tmp_path, epochs=1)
    with pytest.raises(InputError, match=r"another encoder or images: heads [0-9a-f]{32} there, is not here"):
        tune(written, out=tmp_path, epochs=1, new_heads=True, resume=True)


@pytest.mark.filterwarnings("ignore:karat did not build")
def test_what_cannot_be_begun_with_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty has no checkpoint of a training"):
        tune(tmp_path / "empty")
    with pytest.raises(InputError, match=r"step-00000001.pt has no checkpoint"):
        tune(tmp_path / "step-00000001.pt")
    tune(linear_encoder(), out=tmp_path / "foreign", epochs=1)
    with pytest.raises(InputError, match="does not say how to build its encoder, as karat did not build it"):
        tune(tmp_path / "foreign")
    with pytest.raises(InputError, match=r"karat.load_encoder\('resnet50'\) makes one"):
        tune("resnet50")


@pytest.mark.parametrize("kind", ["truncated", "other", "described wrongly"])
def test_a_damaged_training_is_refused(kind: str, written: Path, tmp_path: Path) -> None:
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    (path,) = checkpoints.found(tmp_path)
    content: dict[str, Any] = torch.load(path, weights_only=True)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif kind == "other":
        torch.save({"schema": 99}, path)
    else:
        torch.save({**content, "encoder": {**content["encoder"], "arguments": {"widths": (4, 4, 9)}}}, path)
    with pytest.raises(FileFormatError, match=r"step-00000005.pt is (damaged|no checkpoint)"):
        tune(tmp_path)


def test_paths_of_trainings_are_folders_and_steps(tmp_path: Path) -> None:
    given = [tmp_path, "step-00000010.pt", "a/encoder.safetensors", "moco-v2-resnet50", "step-10.pt"]
    assert [is_training(path) for path in given] == [True, True, False, False, False]


def test_the_command_takes_a_run_folder(
    written: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("images.npz", images=images())
    Path("first").symlink_to(written)
    settings = ",".join(f"{name}={value}" for name, value in HEADS["simclr"].items())
    few = ("--method", "simclr", "--settings", settings, "--batch-size", 8, "--epochs", 1, "--held-out", 0)
    on_cpu = ("--device", "cpu", "--precision", "float32", "--threads", 1, "--workers", 0)
    command = Command(capsys)
    done = command("finetune", "first", "images.npz", *few, *on_cpu, "-o", "second")
    assert done.status == 0, done.err
    assert "small+simclr" in done.err or "+simclr ->" in done.err
    assert next(line for line in done.out.splitlines() if line.startswith("heads")).split() == ["heads", "kept"]
    done = command("finetune", "first", "images.npz", *few, *on_cpu, "-o", "third", "--new-heads")
    assert next(line for line in done.out.splitlines() if line.startswith("heads")).split() == ["heads", "new"]
