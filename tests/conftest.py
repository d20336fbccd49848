"""What all tests share: quiet thread pools, unhurried property tests, no GPU tests without a GPU."""

from __future__ import annotations

import os

# Waiting threads sleep: spinning, they would take the cores from the threads that work. Set before any
# library starts its pool.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from hypothesis import settings

# The first call of a compiled function takes seconds; the tests' own time limit holds.
settings.register_profile("karat", deadline=None)
settings.load_profile("karat")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if "gpu" in item.keywords]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="there is no CUDA device"))
