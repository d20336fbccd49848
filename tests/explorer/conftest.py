"""One small run for all tests that only look at it, and a copy for those that damage it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .small_run import make_run


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("explorer") / "run")


@pytest.fixture
def copied_run(small_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_run, tmp_path / "copied"))
