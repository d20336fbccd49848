"""The settings of the papers for ImageNet, and what learns on small images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .kinds import BYOL, DINO, BarlowTwins, MoCo, Recipe, SimCLR, SimSiam, SwAV, VICReg, ViewSettings


def _imagenet_views(size: int, **settings: Any) -> ViewSettings:
    return ViewSettings(local_size=round(size * 96 / 224), **settings)


def _simclr(size: int) -> Recipe:
    views = _imagenet_views(size, jitter=(0.8, 0.8, 0.8, 0.2))
    return SimCLR(views=views, lr=4.8, warmup=0.1, batch_size=4096, epochs=100)


def _moco(size: int) -> Recipe:
    views = _imagenet_views(size, full_scale=(0.2, 1.0), jitter=(0.4, 0.4, 0.4, 0.1))
    return MoCo(views=views, optimizer="sgd", lr=0.03, weight_decay=1e-4, warmup=0.0, batch_size=256, epochs=200)


def _byol(size: int) -> Recipe:
    views = _imagenet_views(size, blur=(1.0, 0.1), solarise=(0.0, 0.2))
    return BYOL(views=views, lr=3.2, weight_decay=1.5e-6, batch_size=4096, epochs=1000)


def _simsiam(size: int) -> Recipe:
    views = _imagenet_views(size, full_scale=(0.2, 1.0), jitter=(0.4, 0.4, 0.4, 0.1))
    return SimSiam(views=views, optimizer="sgd", lr=0.1, weight_decay=1e-4, warmup=0.0, batch_size=512, epochs=100)


def _swav(size: int) -> Recipe:
    """The authors' run with batches of 256, for which they keep a queue."""
    views = _imagenet_views(size, full_scale=(0.14, 1.0), local_crops=6, jitter=(0.8, 0.8, 0.8, 0.2))
    return SwAV(views=views, lr=0.6, warmup=0.0, batch_size=256, epochs=200)


def _dino(size: int) -> Recipe:
    """The authors' run of 100 epochs with a ResNet-50."""
    views = _imagenet_views(
        size, full_scale=(0.14, 1.0), local_crops=8, blur=(1.0, 0.1), local_blur=0.5, solarise=(0.0, 0.2)
    )
    return DINO(
        views=views, optimizer="sgd", lr=0.06, weight_decay=1e-4, warmup=0.1, clip=3.0, batch_size=512, epochs=100
    )


def _vicreg(size: int) -> Recipe:
    views = _imagenet_views(size, solarise=(0.1, 0.1))
    return VICReg(views=views, lr=1.6, batch_size=2048, epochs=1000)


def _barlow(size: int) -> Recipe:
    views = _imagenet_views(size, blur=(1.0, 0.1), solarise=(0.0, 0.2))
    return BarlowTwins(views=views, lr=1.6, weight_decay=1.5e-6, batch_size=2048, epochs=1000)


IMAGENET: dict[str, Callable[[int], Recipe]] = {
    "simclr": _simclr,
    "swav": _swav,
    "moco": _moco,
    "byol": _byol,
    "dino": _dino,
    "simsiam": _simsiam,
    "vicreg": _vicreg,
    "barlow": _barlow,
}


def _small(kind: Callable[..., Recipe], *, local_crops: int = 0, lr: float = 1e-3, **settings: Any) -> Any:
    """A recipe for small images, by their size."""

    def sized(size: int) -> Recipe:
        views = ViewSettings(
            full_scale=(0.2, 1.0),
            local_crops=local_crops,
            local_size=size // 2,
            local_scale=(0.1, 0.4),
            jitter=(0.4, 0.4, 0.4, 0.1),
            blur=(0.0, 0.0),
            local_blur=0.0,
        )
        return kind(
            views=views,
            optimizer="adamw",
            lr=lr,
            weight_decay=1e-4,
            warmup=0.05,
            clip=3.0,
            batch_size=256,
            epochs=100,
            **settings,
        )

    return sized


SMALL: dict[str, Callable[[int], Recipe]] = {
    "simclr": _small(SimCLR, lr=2e-3, hidden=512, temperature=0.2),
    "swav": _small(SwAV, local_crops=2, hidden=512, prototypes=300, frozen_prototypes=0.1, queue=0),
    "moco": _small(MoCo, hidden=512, queue=4096, teacher_momentum=(0.99, 0.99), symmetric=True),
    "byol": _small(BYOL, hidden=1024, predictor_hidden=1024, teacher_momentum=(0.99, 1.0)),
    "dino": _small(
        DINO,
        local_crops=2,
        hidden=512,
        output=128,
        batch_norm=True,  # without it a small head gives every image the same
        prototypes=1024,
        teacher_momentum=(0.99, 1.0),
        frozen_prototypes=0.1,
    ),
    "simsiam": _small(SimSiam, hidden=1024, output=1024, predictor_hidden=256),
    "vicreg": _small(VICReg, hidden=1024, output=1024),
    "barlow": _small(BarlowTwins, hidden=1024, output=1024, scale=0.1),
}
