"""karat extract: what reaches the function, and what the terminal sees."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from safetensors.torch import save_file

from karat import extraction, store
from karat.cli import terminal
from karat.extraction import plan
from tests.commands import Command
from tests.extraction.small import PIXELS, files, tiny, write_images


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line in a folder with an encoder and images; shards have six rows."""
    description = {
        "architecture": "small_resnet",
        "arguments": {"widths": [4, 6], "blocks": 1, "dim": 10},
        "input": {"size": 8, "mean": [0.5, 0.4, 0.3], "std": [0.25, 0.2, 0.1]},
    }
    save_file(tiny().module.state_dict(), tmp_path / "encoder.safetensors", {"karat": json.dumps(description)})
    np.savez(tmp_path / "images.npz", images=PIXELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan, "SHARD_ROWS", 6)
    return Command(capsys)


def test_the_options_reach_the_function(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def record(encoder: Any, images: str, **settings: Any) -> Any:
        given.update(settings, images=images)
        raise KeyboardInterrupt

    monkeypatch.setattr(extraction, "extract", record)
    options = (
        "--batch-size 7 --device cpu --precision float32 --engine onnx --threads 1 --workers 2 --views 3 --seed 4 "
    )
    options += "--max-bad 5% --dtype float16 --resume --overwrite"
    assert command("extract", "encoder.safetensors", "images.npz", "-o", "x.emb", *options.split()).status == 130
    assert given.pop("progress") is not None
    assert given == {
        "images": "images.npz",
        "out": Path("x.emb"),
        "batch_size": 7,
        "device": "cpu",
        "precision": "float32",
        "engine": "onnx",
        "threads": 1,
        "workers": 2,
        "views": 3,
        "seed": 4,
        "max_bad": 0.05,
        "dtype": "float16",
        "resume": True,
        "overwrite": True,
        "group": None,
    }


def test_what_computes_and_how_fast_is_said(command: Command) -> None:
    done = command(
        "extract", "encoder.safetensors", "images.npz", "-o", "x.emb", "--precision", "float32", "--threads", 1
    )
    assert done.status == 0
    assert re.search(r"encoder: h is .*; on cpu, engine torch, float32, 1 thread\n", done.err)
    assert re.search(r"23 images x 10 features -> x\.emb \([\d,]+ images/s, \d+% of the time waiting", done.err)


def test_views_are_rows(command: Command) -> None:
    done = command("extract", "encoder.safetensors", "images.npz", "-o", "x.emb", "--views", 2)
    assert "46 rows x 10 features -> x.emb" in done.err
    assert store.load("x.emb").extra["view"].tolist() == [0, 1] * 23


def test_skipped_images_are_told(command: Command) -> None:
    write_images(Path("folder"), 20, bad=(3,))
    done = command("extract", "encoder.safetensors", "folder", "-o", "x.emb")
    assert (done.status, Path("x.emb").exists()) == (1, False)
    assert "1 of 20 images cannot be decoded so far, more than max_bad=0.01 allows: image 003.png" in done.err
    done = command("extract", "encoder.safetensors", "folder", "-o", "x.emb", "--max-bad", "5%")
    assert done.status == 0
    assert "warning: 1 of 20 images cannot be decoded and were skipped: image 003.png cannot be decoded" in done.err
    assert "19 images x 10 features" in done.err


def test_resume_of_a_complete_folder_says_that_there_is_nothing_to_do(command: Command) -> None:
    arguments = ("extract", "encoder.safetensors", "images.npz", "-o", "x.emb")
    assert command(*arguments, "--resume").status == 0
    before = files(Path("x.emb"))
    done = command(*arguments, "--resume")
    assert "x.emb is complete already (23 x 10): nothing to do" in done.err
    assert files(Path("x.emb")) == before
    done = command(*arguments, "--resume", "--batch-size", 5)
    assert (done.status, "batch_size was 256, now it is 5" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--max-bad few", "few is neither a share (0.01) nor a percentage (1%)"),
        ("--engine tensorrt", 'Invalid value "tensorrt" for --engine'),
        ("--precision int8", 'Invalid value "int8" for --precision'),
        ("--views 0", "0 is no whole number of at least 1"),
    ],
)
def test_wrong_options_are_usage_errors(command: Command, options: str, words: str) -> None:
    done = command("extract", "encoder.safetensors", "images.npz", "-o", "x.emb", *options.split())
    assert (done.status, words in done.err) == (2, True)


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("images", r"working .* 1000/1000 [\d,]+ images/s, 25% waiting for data 0:00:\d\d 0:00:00"),
        ("B", r"working .* 1\.0/1\.0 kB \d+ bytes/s 0:00:\d\d 0:00:00"),
        (None, r"working .* 1000/1000 0:00:\d\d 0:00:00"),
    ],
)
def test_the_bar_shows_rate_waiting_and_what_is_left(
    monkeypatch: pytest.MonkeyPatch, unit: str | None, words: str
) -> None:
    shown = io.StringIO()
    now = iter(np.arange(0, 1000, 0.5))
    monkeypatch.setattr(
        terminal, "Console", lambda **_: Console(file=shown, force_terminal=True, width=160, legacy_windows=False)
    )
    monkeypatch.setattr(
        terminal, "Bar", lambda *columns, **settings: Bar(*columns, **settings, get_time=lambda: next(now))
    )
    from rich.progress import Progress as Bar

    with terminal.progress("working", unit=unit) as progress:
        for done in range(0, 1100, 100):
            progress(done, 1000, 0.25)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.getvalue())
    assert re.search(words, text)
