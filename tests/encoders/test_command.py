"""karat encoders, karat encoders inspect, karat encoders convert."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from karat.encoders.published import PUBLISHED, PublishedEncoder

from ..commands import Command
from ..test_encoder import save, tiny


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def test_karat_encoders_lists_every_row(command: Command) -> None:
    done = command("encoders")
    assert done.status == 0
    lines = done.out.splitlines()[1:-2]
    assert [line.split()[0] for line in lines] == [row.name for row in PUBLISHED]
    assert all(row.source in line for row, line in zip(PUBLISHED, lines, strict=True))


def test_karat_encoders_as_json_has_null_where_nothing_is_given(command: Command) -> None:
    listed = json.loads(command("encoders", "--json").out)
    assert [entry["name"] for entry in listed] == [row.name for row in PUBLISHED]
    swav = next(entry for entry in listed if entry["name"] == "swav-resnet50")
    assert (swav["licence"], swav["md5"], swav["linear_top1"]) == (None, None, None)
    assert swav["source"] == "facebookresearch/swav: hubconf.py, eval_linear.py, src/resnet50.py"
    assert PublishedEncoder(**swav) in PUBLISHED


def test_inspect_shows_what_becomes_of_every_key(tmp_path: Path, command: Command) -> None:
    done = command("encoders", "inspect", save(tmp_path / "tiny.safetensors", tiny().state_dict()))
    assert (done.status, done.err) == (0, "")
    assert "Every key is accounted for: it can be loaded." in done.out


def test_inspect_of_a_file_that_does_not_fit_shows_it_and_ends_with_1(tmp_path: Path, command: Command) -> None:
    weights = dict(tiny().state_dict())
    weights["head.0.kernel"] = weights.pop("head.0.weight")
    path = save(tmp_path / "tiny.safetensors", weights)
    done = command("encoders", "inspect", path)
    assert done.status == 1
    assert "missing (1)\nhead.0.weight" in "\n".join(line.rstrip() for line in done.out.splitlines())
    assert done.err == f"karat: {path} cannot be loaded as it is: see the report\n"
    as_json = command("encoders", "inspect", path, "--json")
    assert as_json.status == 1
    told = json.loads(as_json.out)
    assert (told["missing"], told["left_over"], told["complete"]) == (["head.0.weight"], ["head.0.kernel"], False)


def test_inspect_passes_architecture_layout_and_unsafe_load_on(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "net.pth"
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in resnet18().state_dict().items()}
    weights = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    torch.save({"state_dict": weights, "net": nn.Identity()}, path)
    done = command("encoders", "inspect", path)
    assert (done.status, done.out) == (1, "")
    assert "torch.nn.modules.linear.Identity" in done.err and "--unsafe-load" in done.err
    assert command("encoders", "inspect", path, "--unsafe-load").out
    for option in ("--arch", "--layout"):
        done = command("encoders", "inspect", path, "--unsafe-load", option, "nonsense")
        assert (done.status, done.out) == (1, "")
        assert "nonsense" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect",), "karat encoders inspect needs FILE (karat encoders inspect --help)"),
        (("convert", "a.pkl"), "karat encoders convert needs -o (karat encoders convert --help)"),
        (("convrt", "a.pkl"), "karat encoders has no use for convrt a.pkl (karat encoders --help)"),
        (("inspect", "a", "--overwrite"), "Unknown option: --overwrite"),
    ],
)
def test_usage_names_the_verb_that_is_meant(command: Command, arguments: tuple[str, ...], message: str) -> None:
    done = command("encoders", *arguments)
    assert (done.status, done.out) == (2, "")
    assert message in " ".join(done.err.split())


def test_convert_refuses_what_is_there_and_what_is_no_checkpoint_of_byol(tmp_path: Path, command: Command) -> None:
    source, out = tmp_path / "a.pkl", tmp_path / "a.safetensors"
    source.write_bytes(pickle.dumps({"weights": 1}))
    assert "there is no experiment_state" in command("encoders", "convert", source, "-o", out).err
    assert not out.exists()
    out.write_bytes(b"mine")
    done = command("encoders", "convert", source, "-o", out)
    assert (done.status, "--overwrite" in done.err, out.read_bytes()) == (1, True, b"mine")


def test_extract_prints_the_report_of_a_file_that_does_not_fit_line_by_line(tmp_path: Path, command: Command) -> None:
    torch.save({"state_dict": {"module.encoder_q.conv1.weight": torch.zeros(64, 3, 7, 7)}}, tmp_path / "part.pth")
    (tmp_path / "images").mkdir()
    done = command("extract", str(tmp_path / "part.pth"), str(tmp_path / "images"), "-o", str(tmp_path / "x.emb"))
    assert done.status == 1
    lines = done.err.splitlines()
    assert lines[0].startswith("karat: ") and lines[0].endswith("is not loaded:")
    assert [line.split()[0] for line in lines[2:5]] == ["part.pth", "sha256", "format"]
