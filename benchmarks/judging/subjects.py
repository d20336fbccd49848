"""The five encoders that are judged, and the images."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import nn

import karat
from karat.encoders import Encoder, Preprocessing, load_encoder
from karat.images import open_images

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
UNIT = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
SIDE, CHANNELS, BLOCKS = 84, 64, 4


def demo(_: Path) -> Encoder:
    """SimCLR, trained by karat on the CIFAR-10 training images: the encoder of karat demo, 512 features."""
    with as_file(files("karat.demo") / "data" / "encoder.safetensors") as path:
        return load_encoder(path)


def conv4(file: str, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Callable[[Path], Encoder]:
    """Four times 3x3 convolution, batch normalisation, ReLU, 2x2 max-pooling at 84 px; h: the flattened last map."""

    def build(data: Path) -> Encoder:
        blocks = []
        for block in range(BLOCKS):
            convolution = nn.Conv2d(CHANNELS if block else 3, CHANNELS, 3, padding=1)
            blocks.append(nn.Sequential(convolution, nn.BatchNorm2d(CHANNELS), nn.ReLU(), nn.MaxPool2d(2)))
        module = nn.Sequential(OrderedDict(encoder=nn.Sequential(*blocks), flatten=nn.Flatten()))
        module.load_state_dict(load_file(data / "weights" / file), strict=True)
        dim = CHANNELS * (SIDE // 2**BLOCKS) ** 2
        return Encoder(module, dim=dim, transform=Preprocessing(SIDE, mean, std), name=Path(file).stem)

    return build


def autoencoder(data: Path) -> Encoder:
    """The convolutional encoder of an autoencoder, trained on CIFAR-10; h: its 64 latent numbers, signed."""
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((3, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 64, 2)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.GELU()]
    module = nn.Sequential(OrderedDict(net=nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 64))))
    module.load_state_dict(load_file(data / "weights" / "uva_autoencoder" / "cifar10_64.safetensors"), strict=True)
    half = (0.5, 0.5, 0.5)
    return Encoder(module, dim=64, transform=Preprocessing(32, half, half), name="cifar10_64")


ENCODERS: dict[str, Callable[[Path], Encoder]] = {
    "demo": demo,
    "protoclr": conv4("conv4_protoclr/mini_1supp_3query_50bs.safetensors", *UNIT),
    "autoencoder": autoencoder,
    "supervised": conv4("conv4_supervised/baseline_aug.safetensors", *IMAGENET),
    "random_init": conv4("conv4_protoclr/random_init_conv4.safetensors", *UNIT),
}
# What each is called in the tables.
TITLES = {
    "demo": "SimCLR (demo)",
    "protoclr": "ProtoCLR",
    "autoencoder": "autoencoder",
    "supervised": "supervised",
    "random_init": "random init",
}
# The encoders without labels: their neighbours are the ensemble of every other one.
LABEL_FREE = ("demo", "protoclr", "autoencoder")


def draw(data: Path, folder: Path, *, train: int, test: int, seed: int) -> dict[str, Path]:
    """The images drawn without replacement, as .npz files: made once, the same for the same seed."""
    parts = {}
    for part, n in (("train", train), ("test", test)):
        parts[part] = folder / f"{part}-{n}-{seed}.npz"
        if parts[part].exists():
            continue
        source = open_images(data / "cifar10" / f"{part}_jpeg.npz")
        if source.labels is None or n > len(source):
            raise SystemExit(f"{part}_jpeg.npz must hold {n} images with labels")
        rows = np.sort(np.random.default_rng(seed).choice(len(source), n, replace=False))
        folder.mkdir(parents=True, exist_ok=True)
        started = folder / f".{part}.npz"
        images = np.stack([source.read(i) for i in rows])
        ids = np.array([f"{part}/{row:05d}" for row in rows])
        with started.open("wb") as file:
            np.savez(file, images=images, y=source.labels[rows], ids=ids)
        started.rename(parts[part])
    return parts


def embeddings(name: str, data: Path, images: dict[str, Path], folder: Path, *, views: int) -> dict[str, Path]:
    """h of the training images, of the test images, and of augmented views of the latter: folders, made once."""
    encoder, found = ENCODERS[name](data), {}
    for part, source, number in (
        ("train", images["train"], None),
        ("val", images["test"], None),
        ("views", images["test"], views),
    ):
        found[part] = folder / "embeddings" / f"{part}.emb"
        found[part].parent.mkdir(parents=True, exist_ok=True)
        # precision: equal bytes on every processor
        karat.extract(encoder, source, out=found[part], views=number, precision="float32", resume=True)
    return found
