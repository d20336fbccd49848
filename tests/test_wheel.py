"""The built wheel in a bare virtual environment: no torch, no source tree."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.commands import column, features
from tests.reference import qscore as slow

ROOT = Path(__file__).parents[1]
H = features()

pytestmark = pytest.mark.slow


def uv(*arguments: str | Path) -> None:
    done = subprocess.run([sys.executable, "-m", "uv", "--quiet", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source tree."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--wheel", "--out-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtual environment in which the wheel and its own dependencies are, and nothing else."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    uv("venv", "--python", sys.executable, folder)
    uv("pip", "install", "--python", folder, wheel)
    return folder / "bin"


def call(program: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run([program, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def test_the_wheel_holds_the_package_and_its_data_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    packaged = {f"karat/{path.relative_to(ROOT / 'src/karat').as_posix()}" for path in source_files()}
    assert {name for name in names if ".dist-info/" not in name} == packaged
    assert {
        "karat/py.typed",
        "karat/demo/data/encoder.safetensors",
        "karat/reporting/templates/report.html.j2",
    } <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 15e6


def source_files() -> list[Path]:
    return [path for path in (ROOT / "src/karat").rglob("*") if path.is_file() and "__pycache__" not in path.parts]


@pytest.mark.parametrize("library", ["torch", "torchvision", "jinja2", "altair", "PIL", "pandas", "pytest"])
def test_no_optional_library_comes_with_it(installed: Path, tmp_path: Path, library: str) -> None:
    done = call(installed / "python", "-c", f"import {library}", folder=tmp_path)
    assert f"No module named '{library}'" in done.stderr


@pytest.mark.timeout(300)
def test_score_runs_without_torch_and_equals_the_transcription(installed: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "embeddings.npy", H)
    done = call(installed / "karat", "score", "embeddings.npy", "--epsilon", "2", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = column(tmp_path / "scores.parquet", "q_score")
    np.testing.assert_allclose(found, slow.q_score(H, epsilon=2).q_score, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("extract", "encoder.safetensors", "images", "-o", "x.emb"), "needs torch, which cannot be imported"),
        (("demo", "-o", "run"), "needs torch, which cannot be imported"),
        (("score", "h.pt"), "needs torch, which cannot be imported"),
        (("report", "scores.parquet"), "needs jinja2, which cannot be imported"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_needs_an_optional_library_says_what_to_install(
    installed: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    np.save(tmp_path / "h.npy", H)
    (tmp_path / "h.pt").write_bytes(b"PK\x03\x04")
    save_file({"weight": H}, tmp_path / "encoder.safetensors")
    assert call(installed / "karat", "score", "h.npy", folder=tmp_path).returncode == 0
    before = sorted(tmp_path.rglob("*"))
    done = call(installed / "karat", *arguments, folder=tmp_path)
    extra = "report" if "jinja2" in words else "torch"
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert done.stderr.endswith(f": pip install 'karat[{extra}]'\n")
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_the_installed_command_knows_its_version(installed: Path, wheel: Path, tmp_path: Path) -> None:
    shown = call(installed / "karat", "--version", folder=tmp_path).stdout.strip()
    assert shown == wheel.name.split("-")[1]
