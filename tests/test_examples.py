"""The examples run, and what they add is there."""

from __future__ import annotations

import math
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
pytestmark = [
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning"),  # Lightning's own
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*GPU available but not used"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six noisy images of each of two colours."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name, colour in (("dark", 40), ("light", 180)):
        (root / name).mkdir()
        for i in range(6):
            pixels = colour + rng.integers(0, 70, (32, 32, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i}.png")
    return str(root)


def example(name: str) -> dict[str, Any]:
    torch.manual_seed(0)
    return runpy.run_path(str(EXAMPLES / name))


def refreshed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """|D| after each refresh; that rows were given before it is asserted."""
    from karat.finetuning import QScoreRegularizer

    sizes: list[int] = []
    refresh = QScoreRegularizer.refresh

    def noted(self: QScoreRegularizer) -> None:
        assert self.counts.any()
        refresh(self)
        sizes.append(int(self.discriminative.sum()))

    monkeypatch.setattr(QScoreRegularizer, "refresh", noted)
    return sizes


@pytest.mark.parametrize("name", ["plain_loop.py", "lightly_loop.py"])
def test_a_loop_trains_with_the_regulariser(
    name: str, folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = refreshed(monkeypatch)
    encoder = example(name)["train"](folder, epochs=2, batch_size=6)
    assert encoder(torch.zeros(2, 3, 32, 32).to(next(encoder.parameters()).device)).shape == (2, 512)
    assert len(sizes) == 2 and min(sizes) > 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["epoch 1", "epoch 2"]
    numbers = [float(number) for line in lines for number in re.findall(r"=(\S+)", line)]
    assert numbers and all(math.isfinite(number) for number in numbers)


def test_a_lightning_module_trains_with_the_regulariser_and_the_callback(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = refreshed(monkeypatch)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = example("lightning_module.py")["train"](
        folder, epochs=2, batch_size=6, accelerator="cpu", logger=False, log_every_n_steps=1, **quiet
    )
    assert len(sizes) == 2 and min(sizes) > 0
    logged = trainer.callback_metrics
    for name in ("mean_q", "empty_share", "effective_rank", "knn_accuracy"):
        assert math.isfinite(logged[f"karat/{name}"])
    assert logged["karat/mean_q"] > 0
