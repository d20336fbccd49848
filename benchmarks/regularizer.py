"""What do the Q-Score terms add to a training step?    python benchmarks/regularizer.py

A SimCLR step (forward, backward, AdamW) with and without `QScoreRegularizer`, in turn, in one process: ResNet-18 on
images of 224 pixels in batches of 32 on a CPU, ResNet-50 in batches of 256 with bfloat16 on a GPU. The overhead is the
mean of the differences of neighbouring steps, which a machine that does other things blurs; beside it the terms alone,
forward and backward on an h of the same shape, which it does not.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from karat.finetuning import QScoreRegularizer, recipe_of
from karat.finetuning.objectives import Objective, objective_of
from karat.stats.threads import thread_count


def objective_on(device: torch.device) -> tuple[Objective, int]:
    """SimCLR on a ResNet, with its number of features."""
    encoder = resnet50() if device.type == "cuda" else resnet18()
    dim = encoder.fc.in_features
    encoder.fc = nn.Identity()
    encoder.to(device, memory_format=torch.channels_last)
    recipe = recipe_of("simclr", size=224)
    return objective_of("simclr", encoder, dim=dim, recipe=recipe, seed=0).to(device), dim


def regularizer_of(dim: int, device: torch.device) -> QScoreRegularizer:
    """With half of the features in D; which ones they are takes no time."""
    return QScoreRegularizer(epsilon=2.0, discriminative=torch.arange(dim) % 2 == 0).to(device)


def seconds(run: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measured(device: torch.device, batch: int, rounds: int, dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of the steps [rounds, 2], without and with the terms, and of the terms alone [rounds]."""
    objective, dim = objective_on(device)
    reg = regularizer_of(dim, device)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-5)
    views = [torch.randn(batch, 3, 224, 224, device=device).to(memory_format=torch.channels_last) for _ in range(2)]
    h = [torch.rand(batch, dim, device=device, requires_grad=True) for _ in range(2)]

    def step(terms: Callable[..., Tensor] | None) -> None:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            outcome = objective(views, progress=0.0)
            loss = outcome.loss if terms is None else outcome.loss + terms(*outcome.h)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def alone() -> None:
        reg(*h).backward()

    for run in (lambda: step(None), lambda: step(reg), alone):
        run()
    steps, terms = [], []
    for number in range(rounds):
        order = (None, reg) if number % 2 == 0 else (reg, None)
        took = {part is not None: seconds(lambda part=part: step(part), device) for part in order}
        steps.append((took[False], took[True]))
        terms.append(seconds(alone, device))
    return np.array(steps), np.array(terms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch-size", type=int, default=None, help="32 on a CPU, 256 on a GPU")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    batch = arguments.batch_size or (256 if device.type == "cuda" else 32)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.set_num_threads(thread_count())
    torch.manual_seed(0)
    steps, terms = measured(device, batch, arguments.rounds, dtype)
    plain = float(np.median(steps[:, 0]))
    difference = steps[:, 1] - steps[:, 0]
    error = difference.std(ddof=1) / len(difference) ** 0.5
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {thread_count()} threads"
    table = Table(title=f"{'ResNet-50' if device.type == 'cuda' else 'ResNet-18'}, batch {batch}, {dtype}, {name}")
    for column in ("", "seconds", "of a step"):
        table.add_column(column, justify="right")
    table.add_row("a step without the terms, median", f"{plain:.4f}", "100%")
    table.add_row("the terms alone, median", f"{np.median(terms):.5f}", f"{np.median(terms) / plain:.2%}")
    table.add_row(
        "with them minus without, mean",
        f"{difference.mean():.5f}",
        f"{difference.mean() / plain:.2%} ± {error / plain:.2%}",
    )
    Console().print(table)


if __name__ == "__main__":
    main()
