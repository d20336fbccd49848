"""A callback for Lightning: karat's numbers of the validation set, every epoch, in the logger of any training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.data import DistributedSampler

from .._optional import require
from ..embeddings import Embeddings
from ..errors import InputError, InputTypeError, KaratError
from ..measuring import measure
from ..probing import knn_probe

if TYPE_CHECKING:
    from pytorch_lightning import Callback, LightningModule, Trainer
else:

    def _bases() -> tuple[type, ...]:
        """The class Callback of each Lightning that is installed: the same package goes by two names."""
        found = []
        for name in ("lightning.pytorch", "pytorch_lightning"):
            try:
                found.append(import_module(name).Callback)
            except ImportError:
                continue
        return tuple(found) or (require("pytorch_lightning", "karat.integrations.lightning").Callback,)

    Callback = type("Callback", _bases(), {})

Features = str | Callable[["LightningModule", Any], Tensor]


class KaratCallback(Callback):
    """Logs metrics of the validation set's features after every validation: `karat/mean_q`, `karat/effective_rank`.

    h of each validation batch comes from one more pass of the encoder, without gradient, in the evaluation mode and
    precision of the validation. It is kept in memory (n * d * 4 bytes) and given to `karat.measure` at the end. Where
    the batches have labels of two classes or more, `karat/knn_accuracy` is added: the even rows are classified by the
    odd ones and the other way round (ours). Of Lightning's sanity check nothing is logged.

    Under several processes the rows of all are put together in the order of the data set, without those that a
    DistributedSampler repeats, and the first process computes: the numbers are those of one process. All processes
    log them, so that checkpoints and early stopping can watch them.

    Args:
        features: how h is got. The name of an attribute of the LightningModule ("backbone", "model.encoder"), which is
            called with the images of the batch: the batch itself, or its first element, or the first of that where
            it holds several views. Or a function of (LightningModule, batch). It gives h [n, d], or [n, d, 1, 1].
        labels: a function batch -> class numbers [n], or None; the default takes the second element of the batch where
            that is a vector of n whole numbers.
        metrics: names of metrics that `karat.measure` knows.
        epsilon, normalize: of the Q-Score, see `karat.score`. D is that of the validation set.
        neighbours: k of the kNN accuracy; all of the other half of the rows where that has fewer.
        dataloader: which of several validation sets.

    Raises:
        InputError: features of another shape; NaN or infinity in them (all processes raise); parameters out of range.
        InputTypeError: `features` names no callable attribute, or gives no tensor.

    >>> callback = KaratCallback("backbone", epsilon="auto")  # Trainer(callbacks=[callback])

    Reference: Kalibhat et al., AAAI 2024 (Q-Score). Garrido et al., ICML 2023 (RankMe).
    """

    def __init__(
        self,
        features: Features,
        *,
        labels: Callable[[Any], Any] | None = None,
        metrics: Sequence[str] = ("mean_q", "empty_share", "effective_rank"),
        epsilon: float | Literal["auto"] = 4.0,
        normalize: bool = False,
        neighbours: int = 20,
        dataloader: int = 0,
    ) -> None:
        self.features, self.labels = features, labels
        self.metrics, self.epsilon, self.normalize = tuple(metrics), epsilon, normalize
        self.neighbours, self.dataloader = neighbours, dataloader
        self._seen = _Rows()

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self._seen = _Rows()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Compute and keep h of the batch."""
        if dataloader_idx != self.dataloader:
            return
        with trainer.precision_plugin.forward_context():
            h = matrix_of(self._features_of(pl_module, batch))
        y = second_of(batch, len(h)) if self.labels is None else self.labels(batch)
        self._seen.add(h.detach().float().cpu().numpy(), None if y is None else torch.as_tensor(y).cpu().numpy())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the rows of all processes together, measure them, and log."""
        if trainer.sanity_checking:
            return
        part = self._seen.placed(sampler_of(trainer, self.dataloader))
        self._seen = _Rows()
        values = self._values_for_all(part)
        pl_module.log_dict({f"karat/{name}": value for name, value in values.items()}, sync_dist=True)

    def _features_of(self, pl_module: LightningModule, batch: Any) -> Tensor:
        if not isinstance(self.features, str):
            return self.features(pl_module, batch)
        try:
            encoder = attrgetter(self.features)(pl_module)
        except AttributeError as error:
            raise InputTypeError(
                f"features={self.features!r}, but the LightningModule has no such attribute"
            ) from error
        if not callable(encoder):
            raise InputTypeError(
                f"features={self.features!r} is a {type(encoder).__name__}, but a module or method is needed"
            )
        return encoder(images_of(batch))

    def _values_for_all(self, part: _Part | None) -> dict[str, float]:
        """Metric -> value: computed by the first process, told to the others, its error too."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return self._values([part])
        rank = distributed.get_rank()
        parts: list[Any] | None = [None] * distributed.get_world_size() if rank == 0 else None
        distributed.gather_object(part, parts)
        told: list[Any] = [None]
        if parts is not None:
            try:
                told = [self._values(parts)]
            except KaratError as error:  # else the other processes would wait for ever
                told = [error]
        distributed.broadcast_object_list(told)
        if isinstance(told[0], KaratError):
            raise told[0]
        return told[0]

    def _values(self, parts: Sequence[_Part | None]) -> dict[str, float]:
        h, y = together([part for part in parts if part is not None])
        found = measure(h, metrics=self.metrics, epsilon=self.epsilon, normalize=self.normalize).values
        return dict(found) | ({} if y is None else knn_accuracy(h, y, k=self.neighbours))


@dataclass(frozen=True)
class _Part:
    """Rows of one process: their places in the data set [m], h [m, d] and labels [m], or None."""

    places: np.ndarray
    h: np.ndarray
    y: np.ndarray | None


@dataclass
class _Rows:
    """What a process has seen of a validation set, batch by batch."""

    h: list[np.ndarray] = field(default_factory=list)
    y: list[np.ndarray | None] = field(default_factory=list)

    def add(self, h: np.ndarray, y: np.ndarray | None) -> None:
        if y is not None and y.shape != (len(h),):
            raise InputError(f"labels have shape {list(y.shape)}, but one for each of {len(h)} rows of h is needed")
        self.h.append(h)
        self.y.append(y)

    def placed(self, sampler: Any) -> _Part | None:
        """All rows with their places, without the repeated ones; None where there was no batch."""
        if not self.h:
            return None
        h = np.concatenate(self.h)
        known = [y for y in self.y if y is not None]
        y = np.concatenate(known) if len(known) == len(self.y) else None
        if not isinstance(sampler, DistributedSampler):
            return _Part(np.arange(len(h)), h, y)
        # Process r of p has the samples r, r + p, r + 2p ... of the sampler's order, which begins again after the last.
        places = sampler.rank + sampler.num_replicas * np.arange(len(h))
        kept = places < len(sampler.dataset)  # type: ignore[arg-type]
        return _Part(places[kept], h[kept], None if y is None else y[kept])


def sampler_of(trainer: Trainer, dataloader: int) -> Any:
    """The sampler of a validation set; None where its loader has none."""
    given = trainer.val_dataloaders
    loaders = list(given.values()) if isinstance(given, dict) else given
    loader = loaders[dataloader] if isinstance(loaders, list | tuple) else loaders
    return getattr(loader, "sampler", None)


def images_of(batch: Any) -> Any:
    """The batch, or its first element, or the first view in that."""
    while isinstance(batch, list | tuple) and batch:
        batch = batch[0]
    return batch


def second_of(batch: Any, n: int) -> Tensor | None:
    """The labels of a batch: its second element where that is a vector of n whole numbers."""
    if not isinstance(batch, list | tuple) or len(batch) < 2 or not isinstance(batch[1], Tensor):
        return None
    y = batch[1]
    whole = not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)
    return y if whole and y.shape == (n,) else None


def matrix_of(h: Any) -> Tensor:
    """h as [n, d]; a pooled map [n, d, 1, 1] is one.

    Raises:
        InputTypeError: no tensor.
        InputError: another shape.
    """
    if not isinstance(h, Tensor):
        raise InputTypeError(f"features gave a {type(h).__name__}, but a tensor [n, d] is needed: give a function")
    if h.ndim > 2 and h.shape[2:].numel() == 1:
        h = h.flatten(1)
    if h.ndim != 2:
        raise InputError(f"features gave {list(h.shape)}, but h [n, d], after the encoder's pooling, is needed")
    return h


def together(parts: Sequence[_Part]) -> tuple[np.ndarray, np.ndarray | None]:
    """The rows of all processes in the order of their places, and their labels where all have one.

    Raises:
        InputError: no rows at all.
    """
    if not parts:
        raise InputError("the validation set gave no batch, so there is nothing to measure")
    order = np.argsort(np.concatenate([part.places for part in parts]), kind="stable")
    h = np.concatenate([part.h for part in parts])[order]
    known = [part.y for part in parts if part.y is not None]
    return h, np.concatenate(known)[order] if len(known) == len(parts) else None


def knn_accuracy(h: np.ndarray, y: np.ndarray, *, k: int) -> dict[str, float]:
    """`knn_accuracy`: the share of rows that the nearest of the other half classify rightly; nothing for one class."""
    halves = [Embeddings(h[first::2], labels=y[first::2]) for first in (0, 1) if len(h) > first]
    if min(len(np.unique(y[first::2])) for first in (0, 1)) < 2:
        return {}
    pairs = ((halves[0], halves[1]), (halves[1], halves[0]))
    right = sum(knn_probe(bank, judged, k=min(k, bank.n), device="cpu").accuracy * judged.n for bank, judged in pairs)
    return {"knn_accuracy": right / len(h)}
