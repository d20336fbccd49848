"""karat explain"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from karat import runs
from karat.encoders.small_resnet import SmallResNet
from karat.records import to_dict
from tests import report_records as small
from tests.commands import Command


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line in a folder with an encoder, images.npz, and train.emb in a run."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)  # not that of the random copy
    described = {
        "architecture": "small_resnet",
        "arguments": {"widths": [4, 8], "blocks": 1, "dim": 24},
        "input": {"size": 16, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    }
    save_file(SmallResNet((4, 8), 1, 24).state_dict(), "encoder.safetensors", {"karat": json.dumps(described)})
    images = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3), np.uint8)
    np.savez("images.npz", images=images[:20])
    np.savez("train.npz", images=images)
    run = Command(capsys)
    assert run("extract", "encoder.safetensors", "train.npz", "-o", "train.emb", "--workers", 0).status == 0
    return run


ARGUMENTS = ("explain", "encoder.safetensors", "images.npz", "-o", "run", "--workers", 0, "--epsilon", 1)


def test_explain_writes_a_run_and_prints_what_it_drew(command: Command) -> None:
    done = command(*ARGUMENTS, "--reference", "train.emb", "--top", 3)
    assert done.status == 0, done.err
    assert "head, exact: h is its mean" in done.out
    assert "-> run/maps" in done.err
    record = runs.open_run("run").records["explanation"]
    assert (record.n, record.n_mapped, record.method) == (20, 6, "gradcam")
    assert command(*ARGUMENTS, "--reference", "train.emb", "--top", 3).status == 1
    again = command(*ARGUMENTS, "--reference", "train.emb", "--top", 3, "--resume", "--json")
    assert json.loads(again.out)["n_mapped"] == 6


def test_the_reference_may_be_a_run(command: Command) -> None:
    Path("trained/embeddings").mkdir(parents=True)
    Path("train.emb").rename("trained/embeddings/train.emb")
    Path("trained/run.json").write_text('{"schema": 1, "records": []}')
    assert command(*ARGUMENTS, "--reference", "trained", "--top", "all", "--features", "3,27").status == 0
    assert runs.open_run("run").records["explanation"].n_mapped == 20
    Path("trained/embeddings/train.emb").rename("train.emb")
    done = command(*ARGUMENTS, "--reference", "trained", "--overwrite")
    assert (done.status, "without embeddings/train.emb" in done.err) == (1, True)


def test_few_images_without_reference_are_refused(command: Command) -> None:
    done = command(*ARGUMENTS)
    assert (done.status, done.out) == (1, "")
    assert "give a reference" in done.err


@pytest.mark.parametrize("options", [("--top", "0"), ("--features", "a"), ("--method", "saliency")])
def test_options_out_of_range_are_usage_errors(command: Command, options: tuple[str, str]) -> None:
    done = command(*ARGUMENTS, "--reference", "train.emb", *options)
    assert (done.status, done.out) == (2, "")


@pytest.fixture
def masks(command: Command) -> Path:
    """A folder with a mask of each image of images.npz but the first."""
    folder = Path("masks")
    folder.mkdir()
    for row in range(1, 20):
        mask = np.zeros((16, 16), np.uint8)
        mask[row % 8 :, :9] = 255
        Image.fromarray(mask).save(folder / f"{row:02d}.png")
    return folder


def test_with_masks_the_overlap_is_measured_too(command: Command, masks: Path) -> None:
    options = (*ARGUMENTS, "--reference", "train.emb", "--top", 3, "--masks", masks, "--resamples", 20)
    done = command(*options, "--reference-images", "train.npz", "--before", "encoder.safetensors")
    assert done.status == 0, done.err
    for told in ("exact: h is its mean", "random init", "before", "centre prior", "random map", "core masks"):
        assert told in done.out
    run = runs.open_run("run")
    record = run.records["overlap"]
    assert (record.n, record.without_mask, not run.damaged) == (20, 1, True)
    of = {(row.first, row.second): row.iou for row in record.differences}
    assert of["D", "before"].value == 0  # it is the very same encoder
    again = command(*options, "--reference-images", "train.npz", "--resume", "--json", "--require", "D.core.iou>=1.1")
    assert again.status == 3
    found = json.loads(again.out)
    assert found["kind"] == "overlap"
    assert found["measured"][0] == to_dict(record)["measured"][0]


def test_the_probe_of_the_run_tells_correct_from_wrong_samples(command: Command, masks: Path) -> None:
    names = [f"{row:02d}" for row in range(20)]
    columns = {"id": np.array(names), "correct": np.arange(20) < 9, "label": np.zeros(20), "prediction": np.zeros(20)}
    runs.add_record("run", small.probe(columns=columns))
    done = command(*ARGUMENTS, "--reference", "train.emb", "--top", 3, "--masks", masks, "--resamples", 20)
    assert done.status == 0, done.err
    rows = {(row.maps, row.samples): row.n for row in runs.open_run("run").records["overlap"].measured}
    assert (rows["D", "all"], rows["D", "correct"], rows["D", "wrong"]) == (19, 8, 11)


def test_masks_that_cannot_be_read_are_told_before_anything_is_drawn(command: Command) -> None:
    Path("masks").mkdir()
    done = command(*ARGUMENTS, "--reference", "train.emb", "--masks", "masks")
    assert (done.status, done.out) == (1, "")
    assert "masks" in done.err
    assert not Path("run").exists()


@pytest.mark.parametrize("options", [("--before", "a"), ("--reference-images", "a"), ("--resamples", "7")])
def test_what_is_for_masks_is_refused_without_them(command: Command, options: tuple[str, str]) -> None:
    done = command(*ARGUMENTS, "--reference", "train.emb", *options)
    assert (done.status, done.out) == (2, "")
    assert f"{options[0]} is for the overlap with --masks" in done.err
