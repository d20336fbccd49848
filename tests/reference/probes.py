"""Probes as one writes them in a notebook: a loop of torch's own SGD, and votes of sorted neighbours."""

from __future__ import annotations

import math

import numpy as np


def linear_evaluation(
    x: np.ndarray, y: np.ndarray, k: int, *, rate: float, decay: float, epochs: int, batch_size: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """W [d, k] and b [k] after the usual loop in torch, in float64; what is drawn is what train_heads draws."""
    import torch

    n, d = x.shape
    generator = np.random.default_rng(seed)
    layer = torch.nn.Linear(d, k, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(generator.standard_normal((d, k), np.float32)).T * 0.01)
        layer.bias.zero_()
    parameters = [{"params": [layer.weight], "weight_decay": decay}, {"params": [layer.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(parameters, lr=rate * batch_size / 256, momentum=0.9)
    batches = math.ceil(n / batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    for _ in range(epochs):
        for rows in np.array_split(generator.permutation(n), batches):
            logits = layer(torch.from_numpy(np.float64(x[rows])))
            loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return layer.weight.detach().numpy().T, layer.bias.detach().numpy()


def knn_shares(
    train: np.ndarray, y: np.ndarray, val: np.ndarray, classes: int, *, k: int, temperature: float
) -> np.ndarray:
    """Each class's share of the votes of the k nearest, [m, classes]."""
    shares = np.zeros((len(val), classes))
    for row, sample in enumerate(val):
        near = sorted(((cosine(sample, other), label) for other, label in zip(train, y, strict=True)), reverse=True)[:k]
        for similarity, label in near:
            shares[row, label] += math.exp(similarity / temperature)
        shares[row] /= shares[row].sum()
    return shares


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
    return float(a @ b) / lengths if lengths > 0 else 0.0
