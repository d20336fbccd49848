"""A third-party encoder through the Python API: ProtoCLR's Conv-4 on CIFAR-10, beside its random initialisation.

    python benchmarks/conv4.py DATA

DATA holds cifar10/{train,test}_jpeg.npz and weights/conv4_protoclr/*.safetensors (indy-lab/ProtoTransfer, MIT). Of the
images, 5,000 for training and 3,000 for the test are drawn, resized to 84 pixels (bilinear) and scaled to [0, 1]; h is
the flattened last map, 1,600 features. The images are JPEG files: the accuracies are no paper's.

"noted" are the accuracies in the notes on the data, of another draw. The linear ones are reproduced within the noise of
a draw. The nearest-neighbour ones are not: the notes do not say how they were computed (k, metric, scaling), so that
column is no test of the encoder; ours is a vote of 20 by cosine, without scaling, chosen before it was compared.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

import karat
from karat.encoders import Preprocessing
from karat.images import open_images

WEIGHTS = {"ProtoCLR": "mini_1supp_3query_50bs", "random initialisation": "random_init_conv4"}
NOTED = {"ProtoCLR": (0.605, 0.506), "random initialisation": (0.487, 0.432)}
TRAIN, TEST = 5000, 3000
SIDE, CHANNELS, BLOCKS = 84, 64, 4


def conv4() -> nn.Module:
    """Four times 3x3 convolution, batch normalisation, ReLU, 2x2 max-pooling; h is the flattened last map."""
    blocks = []
    for block in range(BLOCKS):
        inputs = CHANNELS if block else 3
        convolution = nn.Conv2d(inputs, CHANNELS, 3, padding=1)
        blocks.append(nn.Sequential(convolution, nn.BatchNorm2d(CHANNELS), nn.ReLU(), nn.MaxPool2d(2)))
    return nn.Sequential(OrderedDict(encoder=nn.Sequential(*blocks), flatten=nn.Flatten()))


def encoder(name: str, weights: Path) -> karat.Encoder:
    module = conv4()
    module.load_state_dict(load_file(weights), strict=True)
    return karat.Encoder(
        module,
        dim=CHANNELS * (SIDE // 2**BLOCKS) ** 2,
        transform=Preprocessing(SIDE, (0, 0, 0), (1, 1, 1)),
        name=name,
        h="the flattened last map",
    )


def images(path: Path, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n images, drawn without replacement, uint8 [n, 32, 32, 3], and their classes."""
    source = open_images(path)
    if source.labels is None:
        raise SystemExit(f"{path} has no labels")
    rows = np.sort(np.random.default_rng(seed).choice(len(source), n, replace=False))
    return np.stack([source.read(i) for i in rows]), source.labels[rows]


def embedded(model: karat.Encoder, part: tuple[np.ndarray, np.ndarray]) -> karat.Embeddings:
    pixels, labels = part
    return karat.Embeddings(karat.extract(model, pixels, workers=0).h, labels=labels)


def knn_accuracy(train: karat.Embeddings, test: karat.Embeddings, k: int = 20) -> float:
    """Accuracy of a vote of the k nearest training samples, by cosine."""
    neighbours = KNeighborsClassifier(k, metric="cosine").fit(train.h, train.labels)
    return float(neighbours.score(test.h, test.labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with cifar10/ and weights/")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train = images(arguments.data / "cifar10" / "train_jpeg.npz", TRAIN, arguments.seed)
    test = images(arguments.data / "cifar10" / "test_jpeg.npz", TEST, arguments.seed)
    table = Table("", "linear", "noted", "20 nearest", "noted", "seconds for h", box=None)
    for name, file in WEIGHTS.items():
        start = time.perf_counter()
        model = encoder(name, arguments.data / "weights" / "conv4_protoclr" / f"{file}.safetensors")
        fitted, judged = (embedded(model, part) for part in (train, test))
        seconds = time.perf_counter() - start
        linear, knn = karat.probe(fitted, judged).accuracy, knn_accuracy(fitted, judged)
        noted = NOTED[name]
        cells = (f"{linear:.3f}", f"{noted[0]:.3f}", f"{knn:.3f}", f"{noted[1]:.3f}", f"{seconds:.0f}")
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
