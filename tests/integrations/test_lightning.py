"""The callback in a Lightning training: its numbers are karat's, of the encoder and images of that moment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import karat
from karat.errors import InputError, InputTypeError, MissingDependencyError
from karat.integrations.lightning import KaratCallback, knn_accuracy

N, D = 45, 30
pytestmark = [
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning"),  # Lightning's own
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*num_workers"),
    pytest.mark.filterwarnings("ignore:.*using `DistributedSampler`"),
]


def images(n: int = N, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).exponential(size=(n, 3, 4, 4))).float()


def labels(n: int = N) -> Tensor:
    return (images(n).mean(dim=(1, 2, 3)) > 1).long()


class Training(pl.LightningModule):
    """A rectified linear encoder with dropout, which would show where the evaluation mode were forgotten."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Flatten(), nn.Linear(48, D), nn.Dropout(0.5), nn.ReLU())
        self.number = 3

    def features(self, x: Tensor) -> Tensor:
        return 2 * self.backbone(x)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return (self.backbone(batch[0]) - 1).square().mean()

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.5)


class Seen(pl.loggers.logger.DummyLogger):
    """Remembers what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[dict[str, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if karats := {name: value for name, value in metrics.items() if name.startswith("karat/")}:
            self.values.append(karats)


class Remembered(pl.Callback):
    """What the encoder gives for the validation images at the end of each training epoch."""

    def __init__(self) -> None:
        self.h: list[np.ndarray] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.h.append(h_of(pl_module))


@torch.no_grad()
def h_of(module: Any, x: Tensor | None = None) -> np.ndarray:
    training = module.backbone.training
    module.backbone.eval()
    h = module.backbone(images() if x is None else x).numpy()
    module.backbone.train(training)
    return h


def trainer_of(*callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    settings = {"accelerator": "cpu", "devices": 1, "logger": False, "log_every_n_steps": 1, **quiet, **options}
    return pl.Trainer(callbacks=list(callbacks), **settings)


def loader(*tensors: Tensor, batch_size: int = 8) -> DataLoader:
    return DataLoader(TensorDataset(*(tensors or (images(), labels()))), batch_size=batch_size)


def validated(callback: KaratCallback, loaders: Any = None, **options: Any) -> dict[str, float]:
    """What is logged when an untrained encoder is validated."""
    trainer = trainer_of(callback, **options)
    trainer.validate(Training(), loader() if loaders is None else loaders, verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def expected(h: np.ndarray, y: np.ndarray | None = None, **options: Any) -> dict[str, Any]:
    """karat's numbers of h, by name in the log; the log holds float32."""
    found = karat.measure(h, metrics=["mean_q", "empty_share", "effective_rank"], **options).values
    found |= {} if y is None else {"knn_accuracy": np.mean(votes(h, y) == y)}
    return {f"karat/{name}": pytest.approx(value, rel=1e-5) for name, value in found.items()}


def votes(h: np.ndarray, y: np.ndarray, k: int = 20, temperature: float = 0.07) -> np.ndarray:
    """The class of each row by the nearest k of the rows whose number is odd where its own is even: a plain loop."""
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    said = []
    for row in range(len(h)):
        others = np.arange(1 - row % 2, len(h), 2)
        near = sorted(((float(unit[row] @ unit[other]), int(y[other])) for other in others), reverse=True)[:k]
        weights = [sum(np.exp(cos / temperature) for cos, label in near if label == c) for c in range(int(y.max()) + 1)]
        said.append(int(np.argmax(weights)))
    return np.array(said)


def test_each_epoch_the_numbers_of_that_epochs_encoder_are_logged() -> None:
    logger, remembered = Seen(), Remembered()
    trainer = trainer_of(KaratCallback("backbone", epsilon=2), remembered, max_epochs=2, logger=logger)
    trainer.fit(Training(), loader(), loader())
    assert len(logger.values) == 2 and logger.values[0] != logger.values[1]
    for logged, h in zip(logger.values, remembered.h, strict=True):
        found = {name: value for name, value in logged.items() if name != "epoch"}
        assert found == expected(h, labels().numpy(), epsilon=2)


def test_training_is_the_same_with_the_callback() -> None:
    weights = []
    for callbacks in ([], [KaratCallback("backbone", epsilon=2)]):
        module = Training()
        trainer_of(*callbacks, max_epochs=2).fit(module, loader(), loader())
        weights.append(module.backbone[1].weight.detach())
    assert torch.equal(*weights)


def pooled(module: pl.LightningModule, batch: Any) -> Tensor:
    return module.backbone(batch["pixels"])


class Named(torch.utils.data.Dataset):
    """Batches that are dictionaries."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"pixels": images()[i], "class": labels()[i]}


def test_features_are_an_attribute_or_a_function() -> None:
    module = Training()
    plain = expected(h_of(module), labels().numpy(), epsilon=2)
    assert validated(KaratCallback("backbone", epsilon=2)) == plain
    assert validated(KaratCallback(lambda module, batch: module.backbone(batch[0]), epsilon=2)) == plain
    doubled = expected(2 * h_of(module), labels().numpy(), epsilon=2)
    assert validated(KaratCallback("features", epsilon=2)) == doubled
    named = KaratCallback(pooled, labels=lambda batch: batch["class"], epsilon=2)
    assert validated(named, DataLoader(Named(), batch_size=8)) == plain


def test_of_several_views_the_first_is_taken_and_no_labels_give_no_knn() -> None:
    views = [[torch.stack([image]), torch.zeros_like(image)[None]] for image in images()]
    loaders = DataLoader(views, batch_size=None)  # type: ignore[arg-type]
    assert validated(KaratCallback("backbone", epsilon=2), loaders) == expected(h_of(Training()), epsilon=2)
    bare = DataLoader(images(), batch_size=8)  # type: ignore[arg-type]
    assert validated(KaratCallback("backbone", epsilon=2), bare) == expected(h_of(Training()), epsilon=2)


def test_one_of_several_validation_sets_is_chosen() -> None:
    other = images(20, seed=5)
    loaders = [loader(), loader(other)]
    found = validated(KaratCallback("backbone", epsilon=2, dataloader=1), loaders)
    assert found == expected(h_of(Training(), other), epsilon=2)


def test_options_reach_the_measures() -> None:
    callback = KaratCallback("backbone", metrics=["mean_q", "stable_rank"], epsilon="auto", normalize=True)
    found = validated(callback, loader(images()))
    h = h_of(Training())
    measured = karat.measure(h, metrics=["mean_q", "stable_rank"], epsilon="auto", normalize=True).values
    assert found == {f"karat/{name}": pytest.approx(value, rel=1e-5) for name, value in measured.items()}


def test_k_of_the_knn_is_what_is_asked() -> None:
    h, y = h_of(Training()), labels().numpy()
    for k in (1, 5, 100):
        assert knn_accuracy(h, y, k=k)["knn_accuracy"] == pytest.approx(np.mean(votes(h, y, k) == y))
    assert knn_accuracy(h, np.zeros(N, int), k=5) == {}


@torch.enable_grad()
def with_graph(module: pl.LightningModule, batch: Any) -> Tensor:
    h = module.backbone(batch[0])
    assert h.requires_grad
    return h


def test_no_graph_is_kept() -> None:
    found = validated(KaratCallback(with_graph, epsilon=2), inference_mode=False)
    assert found == expected(h_of(Training()), labels().numpy(), epsilon=2)


@pytest.mark.parametrize("batch_size", [N, 8])
def test_a_training_with_both_precisions_logs_nearly_the_same(batch_size: int) -> None:
    callback = KaratCallback("backbone", epsilon=2, metrics=["effective_rank"])
    (exact, rounded) = (
        validated(callback, loader(images(), batch_size=batch_size), precision=precision)["karat/effective_rank"]
        for precision in ("32-true", "bf16-mixed")
    )
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=1e-2)


@pytest.mark.parametrize(
    ("callback", "error", "text"),
    [
        (KaratCallback("encoder"), InputTypeError, "features='encoder', but the LightningModule has no such attribute"),
        (KaratCallback("number"), InputTypeError, "features='number' is a int"),
        (KaratCallback(lambda module, batch: None), InputTypeError, "gave a NoneType"),
        (KaratCallback(lambda module, batch: batch[0]), InputError, r"gave \[8, 3, 4, 4\]"),
        (KaratCallback("backbone", labels=lambda batch: torch.zeros(3)), InputError, r"labels have shape \[3\]"),
        (KaratCallback(lambda module, batch: batch[0].flatten(1) / 0), InputError, "NaN or infinity"),
        (KaratCallback("backbone", metrics=["rank"]), InputError, "rank"),
    ],
)
def test_what_cannot_be_measured_is_refused(callback: KaratCallback, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        validated(callback)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], ModuleType]]:
    """Imports the module again."""
    monkeypatch.delitem(sys.modules, "karat.integrations.lightning")
    yield lambda: import_module("karat.integrations.lightning")


def test_it_is_a_callback_of_both_names_of_lightning(
    fresh: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ModuleType("lightning.pytorch")
    other.Callback = type("Callback", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lightning", ModuleType("lightning"))
    monkeypatch.setitem(sys.modules, "lightning.pytorch", other)
    assert issubclass(fresh().KaratCallback, (other.Callback))
    assert issubclass(import_module("karat.integrations.lightning").KaratCallback, pl.Callback)


def test_without_lightning_a_sentence_says_what_to_install(
    fresh: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)
    with pytest.raises(MissingDependencyError, match=r"needs pytorch_lightning, .*pip install .karat\[train\]"):
        fresh()


class Writes(pl.Callback):
    """Each process writes what it would show to its logger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        torch.save(values, self.folder / f"{trainer.global_rank}.pt")


@pytest.mark.slow
def test_two_processes_log_the_numbers_of_one(tmp_path: Path) -> None:
    trainer = trainer_of(KaratCallback("backbone", epsilon=2), Writes(tmp_path), devices=2, strategy="ddp_spawn")
    trainer.validate(Training(), loader(), verbose=False)
    for rank in (0, 1):  # 45 samples: the sampler repeats one
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found == expected(h_of(Training()), labels().numpy(), epsilon=2)


class Caught(KaratCallback):
    """Each process writes the error that it would stop with."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__("backbone", **options)
        self.folder = folder

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        with pytest.raises(InputError) as error:
            super().on_validation_epoch_end(trainer, pl_module)
        (self.folder / f"{trainer.global_rank}.txt").write_text(str(error.value))


@pytest.mark.slow
def test_what_the_first_process_refuses_stops_both(tmp_path: Path) -> None:
    trainer = trainer_of(Caught(tmp_path, epsilon=-1), devices=2, strategy="ddp_spawn")
    trainer.validate(Training(), loader(), verbose=False)
    for rank in (0, 1):
        assert "epsilon is -1" in (tmp_path / f"{rank}.txt").read_text()
