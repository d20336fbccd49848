"""Extraction by processes of their own: killed again and again, several at once, and in little memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.torch import save_file

import karat
from karat import store
from karat.images.decoding import encode_png
from tests.extraction.small import files, tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(karat.__file__).parents[1])}
# A process that has imported everything, and runs each line that it reads as a command in a process of its own.
DRIVER = """
import os, sys
import torch
from karat.cli import main
from karat.encoders import load_encoder
from karat.extraction import plan
import karat.cli.extract
plan.SHARD_ROWS = 64
load_encoder(sys.argv[1])
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        sys.stdin = open(os.devnull)
        os._exit(main(line.split()))
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder, and sets of 12,000 and 4,000 small images, in each of which two are damaged."""
    folder = tmp_path_factory.mktemp("inputs")
    description = (
        '{"architecture": "small_resnet", "arguments": {"widths": [4, 6], "blocks": 1, "dim": 10}, '
        '"input": {"size": 8, "mean": [0.5, 0.4, 0.3], "std": [0.25, 0.2, 0.1]}}'
    )
    save_file(tiny().module.state_dict(), folder / "encoder.safetensors", {"karat": description})
    noise = np.random.default_rng(0).integers(0, 256, (12_000, 8, 8, 3), np.uint8)
    encoded = [encode_png(image) for image in noise]
    encoded[700] = encoded[3_900] = b"no image"
    for name, count in (("many", 12_000), ("few", 4_000)):
        offsets = np.cumsum([0, *map(len, encoded[:count])])
        np.savez(folder / f"{name}.npz", bytes=np.frombuffer(b"".join(encoded[:count]), np.uint8), offsets=offsets)
    return folder


@pytest.fixture
def driver(inputs: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, inputs / "encoder.safetensors"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        yield process
        process.kill()


def begin(driver: subprocess.Popen[str], *arguments: object) -> int:
    """Start a command; returns its process id."""
    assert driver.stdin is not None
    assert driver.stdout is not None
    driver.stdin.write(" ".join(map(str, arguments)) + "\n")
    driver.stdin.flush()
    return int(driver.stdout.readline())


def status(driver: subprocess.Popen[str]) -> int:
    """How the command ended."""
    assert driver.stdout is not None
    return int(driver.stdout.readline())


def marks(folder: Path) -> int:
    """How many shards are finished."""
    return len(list(folder.glob("part-*.json")))


def test_twenty_kills_leave_no_trace(inputs: Path, tmp_path: Path, driver: subprocess.Popen[str]) -> None:
    command = ["extract", inputs / "encoder.safetensors", inputs / "few.npz", "--threads", 1, "--batch-size", 32]
    begin(driver, *command, "-o", tmp_path / "whole.emb")
    assert status(driver) == 0
    started = time.perf_counter()
    begin(driver, *command, "-o", tmp_path / "again.emb")
    assert status(driver) == 0
    whole = time.perf_counter() - started
    rng = np.random.default_rng()
    done = [0]
    while len(done) <= 20:
        process = begin(driver, *command, "-o", tmp_path / "killed.emb", "--resume")
        wanted = done[-1] + rng.choice([0, 0, 1, 1, 2])
        while marks(tmp_path / "killed.emb") < wanted:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, whole / 40))
        os.kill(process, signal.SIGKILL)
        assert status(driver) == -signal.SIGKILL
        done.append(marks(tmp_path / "killed.emb"))
    assert done == sorted(done)
    begin(driver, *command, "-o", tmp_path / "killed.emb", "--resume")
    assert status(driver) == 0
    assert files(tmp_path / "killed.emb") == files(tmp_path / "whole.emb") == files(tmp_path / "again.emb")
    assert store.load(tmp_path / "whole.emb").n == 3_998


def test_torchrun_gives_the_folder_of_one_process(inputs: Path, tmp_path: Path) -> None:
    command = ["-m", "karat", "extract", inputs / "encoder.safetensors", inputs / "many.npz", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, *command, "-o", tmp_path / "one.emb"], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, *command, "-o", tmp_path / "many.emb"], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("11,998 images x 10 features") == 1  # one process tells
    assert done.stderr.count("2 of 12000 images cannot be decoded and were skipped") == 1
    assert files(tmp_path / "many.emb") == files(tmp_path / "one.emb")
    assert len(list((tmp_path / "one.emb").glob("*.npy"))) == 3


def test_all_processes_end_when_the_leader_refuses(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "x.emb").mkdir()
    (tmp_path / "x.emb" / "notes.txt").touch()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [
        "-m",
        "karat",
        "extract",
        inputs / "encoder.safetensors",
        inputs / "many.npz",
        "-o",
        tmp_path / "x.emb",
    ]
    done = subprocess.run([*torchrun, *command], env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "is no embeddings folder" in done.stderr


# h of 1,024 features, 4 kB an image: 16 MB a shard.
MEMORY = """
import sys
import numpy as np
import torch
from karat import Encoder, extract

class Wide(torch.nn.Module):
    def forward(self, images):
        return images.mean(dim=(2, 3)).repeat(1, 341)

encoder = Encoder(Wide(), dim=1023, transform=lambda image: torch.tensor(image).permute(2, 0, 1).float(), name="wide")
extract(encoder, np.zeros((int(sys.argv[1]), 2, 2, 3), np.uint8), out=sys.argv[2])
"""


def peak_memory(count: int, out: Path) -> int:
    """The largest anonymous memory of a process that extracts so many images, in bytes."""
    with subprocess.Popen([sys.executable, "-c", MEMORY, str(count), out], env=ENVIRONMENT) as process:
        watched, peak = psutil.Process(process.pid), 0
        while process.poll() is None:
            try:
                fields = Path(f"/proc/{watched.pid}/status").read_text().split()
                peak = max(peak, int(fields[fields.index("RssAnon:") + 1]) * 1024)
            except (OSError, ValueError):
                break
            time.sleep(0.01)
    assert process.returncode == 0
    return peak


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    few, many = (peak_memory(count, tmp_path / f"{count}.emb") for count in (16_384, 65_536))
    grown = (65_536 - 16_384) * 1023 * 4  # what h has grown by: 201 MB
    assert many - few < grown / 3  # columns, and buffers of the last few shards
