"""Memory: a training set on disk is not copied, and 22,000 classes do not make a matrix of all their logits."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ..test_memory import ENVIRONMENT, anonymous_memory

ROWS, COLUMNS = 60_000, 512
CLASSES, SAMPLES = 22_000, 26_000
HEAD = """
import sys
import numpy as np
from karat.embeddings import Embeddings
from karat.probing import devices, knn_probe, probe
train = Embeddings(np.load("train.npy", mmap_mode="r"), labels=np.load("train_y.npy"))
val = Embeddings(np.load("val.npy", mmap_mode="r"), labels=np.load("val_y.npy"))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="/proc is Linux's"),
]


def growth(code: str, folder: Path) -> int:
    """The most anonymous memory (bytes) that a program takes beyond what its imports and labels do."""
    program = f"{HEAD}\nprint(flush=True)\nsys.stdin.readline()\n{code}"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdout.readline()
        before = peak = anonymous_memory(process.pid)
        process.stdin.write("\n")
        process.stdin.close()
        while process.poll() is None:
            peak = max(peak, anonymous_memory(process.pid))
            time.sleep(0.01)
        assert process.stderr is not None
        assert process.returncode == 0, process.stderr.read()
    return peak - before


def write(folder: Path, name: str, means: np.ndarray, y: np.ndarray) -> None:
    h = means[y] + np.random.default_rng(len(y)).standard_normal((len(y), means.shape[1]), np.float32)
    np.save(folder / f"{name}.npy", h.astype(np.float16))
    np.save(folder / f"{name}_y.npy", y)


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half precision: as float32 the training set takes 123 MB."""
    folder, generator = tmp_path_factory.mktemp("rows"), np.random.default_rng(0)
    means = generator.standard_normal((4, COLUMNS)).astype(np.float32) / 8
    for name, n in (("train", ROWS), ("val", 1000)):
        write(folder, name, means, generator.integers(0, 4, n))
    return folder


@pytest.fixture(scope="module")
def many_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every class once, some twice: their logits are 2.3 GB for the training set."""
    folder, generator = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    means = 5 * generator.standard_normal((CLASSES, 16)).astype(np.float32)
    write(folder, "train", means, np.arange(SAMPLES) % CLASSES)
    write(folder, "val", means, generator.integers(0, CLASSES, 500))
    return folder


@pytest.mark.parametrize(
    "code",
    [
        "devices.ROOM = 0; probe(train, val, strengths=[1e-3, 1e-2])",
        "probe(train, val, protocol='kalibhat2024', epochs=2)",
        "probe(train, val, protocol='dinov2', epochs=1)",
        "devices.ROOM = 0; knn_probe(train, val)",
    ],
    ids=["lbfgs", "kalibhat2024", "dinov2", "knn"],
)
def test_a_training_set_on_disk_is_not_copied(on_disk: Path, code: str) -> None:
    """What is held is blocks of it, a sample for the Gram matrix (L-BFGS: 2,048 of the rows at least), and labels."""
    assert growth(code, on_disk) < 4 * ROWS * COLUMNS * 0.75


def test_l_bfgs_keeps_one_copy_where_there_is_room(on_disk: Path) -> None:
    """The same test sees a copy where one is made."""
    taken = growth("probe(train, val, strengths=[1e-3, 1e-2])", on_disk)
    assert 4 * ROWS * COLUMNS < taken < 2 * 4 * ROWS * COLUMNS


@pytest.mark.parametrize(
    ("code", "accuracy"),
    [
        ("probe(train, val, strengths=[0.01])", 0.05),
        ("probe(train, val, protocol='kalibhat2024', learning_rates=[3], epochs=2)", 0.05),
        ("knn_probe(train, val, k=1)", 0.9),
    ],
    ids=["lbfgs", "sgd", "knn"],
)
def test_logits_of_22_000_classes_are_never_all_in_memory(many_classes: Path, code: str, accuracy: float) -> None:
    """Chance is right on one sample in 22,000."""
    check = f"assert found.logits.shape == (500, 22_000) and found.accuracy > {accuracy}, found.accuracy"
    assert growth(f"found = {code}\n{check}", many_classes) < 4 * SAMPLES * CLASSES / 5
