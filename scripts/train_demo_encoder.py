"""Train the demo's encoder: SimCLR on the 50,000 CIFAR-10 training images, resumable, on two cores or a GPU.

    python scripts/train_demo_encoder.py CIFAR10_TRAIN.npz -o build/encoder --epochs 36

CIFAR10_TRAIN.npz holds encoded image files: `bytes` uint8 [total], `offsets` int64 [n + 1], `y` uint8 [n]. A state is
saved after each epoch and picked up by the next run. At the end encoder.safetensors (float16) and log.json lie in -o.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from karat.encoders.small_resnet import SmallResNet

TEMPERATURE, LEARNING_RATE, WEIGHT_DECAY, BATCH, CLIP = 0.2, 2e-3, 1e-4, 256, 3.0
WIDTHS, BLOCKS, DIM = (40, 80, 160), 1, 512


def decode(path: Path) -> Tensor:
    """Encoded files -> float32 [n, 3, 32, 32] in [0, 1]."""
    archive = np.load(path)
    raw, offsets = archive["bytes"].tobytes(), archive["offsets"]
    images = [np.asarray(Image.open(io.BytesIO(raw[start:stop])).convert("RGB")) for start, stop in pairwise(offsets)]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(255)


def view(images: Tensor, generator: torch.Generator) -> Tensor:
    """One random view of each image: resized crop 0.2 to 1, flip, colour jitter, grey for one in five."""
    n, device = len(images), images.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return (low + (high - low) * torch.rand(n, *shape, generator=generator)).to(device)

    area, ratio = uniform(0.2, 1.0), torch.exp(uniform(math.log(3 / 4), math.log(4 / 3)))
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = width * flip, height
    theta[:, 0, 2] = uniform(-1, 1) * (1 - width)
    theta[:, 1, 2] = uniform(-1, 1) * (1 - height)
    x = F.grid_sample(
        images,
        F.affine_grid(theta, list(images.shape), align_corners=False),
        align_corners=False,
        padding_mode="border",
    )
    x = x * uniform(0.6, 1.4, 1, 1, 1)  # brightness
    middle = x.mean(dim=(1, 2, 3), keepdim=True)
    x = middle + (x - middle) * uniform(0.6, 1.4, 1, 1, 1)  # contrast
    grey = x.mean(dim=1, keepdim=True)
    saturation = torch.where(uniform(0, 1, 1, 1, 1) < 0.2, torch.zeros((), device=device), uniform(0.6, 1.4, 1, 1, 1))
    return (grey + (x - grey) * saturation) * uniform(0.9, 1.1, 3, 1, 1)  # the last factor: one per channel


def standardise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return ((images - mean) / std).to(memory_format=torch.channels_last)


def save_atomically(write, path: Path) -> None:
    temporary = path.with_suffix(".tmp")
    write(temporary)
    os.replace(temporary, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-steps", type=int, default=None, help="stop early (to try the script)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(arguments.seed)
    images = decode(arguments.train).to(device)
    mean = images.mean(dim=(0, 2, 3), keepdim=True)
    std = images.std(dim=(0, 2, 3), keepdim=True)

    encoder = SmallResNet(WIDTHS, BLOCKS, DIM).to(device, memory_format=torch.channels_last)
    projector = SimCLRProjectionHead(DIM, 512, 128).to(device)
    model = nn.ModuleDict({"encoder": encoder, "projector": projector})
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}], lr=LEARNING_RATE
    )
    steps_per_epoch = len(images) // BATCH
    total = steps_per_epoch * arguments.epochs
    warm_up = max(1, total // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * max(0, step - warm_up) / (total - warm_up)))
        ),
    )
    loss_of = NTXentLoss(temperature=TEMPERATURE)

    state_file, log, first = arguments.out / "state.pt", [], 0
    if state_file.exists():
        state = torch.load(state_file, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        log, first = state["log"], state["epoch"] + 1

    for epoch in range(first, arguments.epochs):
        generator = torch.Generator().manual_seed(arguments.seed * 100_003 + epoch)  # the same views after a resume
        order = torch.randperm(len(images), generator=generator).to(device)
        started, losses = time.monotonic(), []
        for step in range(steps_per_epoch):
            batch = images[order[step * BATCH : (step + 1) * BATCH]]
            both = torch.cat([view(batch, generator), view(batch, generator)])
            with torch.autocast(device.type, dtype=torch.bfloat16):
                z = projector(encoder(standardise(both, mean, std)))
            loss = loss_of(*z.float().chunk(2))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
            if arguments.max_steps and step + 1 >= arguments.max_steps:
                print("seconds a step:", (time.monotonic() - started) / (step + 1), loss.item())
                return
        entry = {"epoch": epoch, "loss": torch.stack(losses).mean().item(), "seconds": time.monotonic() - started}
        log.append(entry)
        print(json.dumps(entry), flush=True)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
        save_atomically(lambda path, s=state, e=epoch: torch.save({**s, "epoch": e, "log": log}, path), state_file)

    weights = {
        k: v.half().contiguous() if v.is_floating_point() else v.contiguous() for k, v in encoder.state_dict().items()
    }
    description = {
        "architecture": "small_resnet",
        "arguments": {"widths": WIDTHS, "blocks": BLOCKS, "dim": DIM},
        "input": {"size": 32, "mean": mean.flatten().tolist(), "std": std.flatten().tolist()},
        "training": {
            "method": "simclr",
            "data": "CIFAR-10, 50,000 training images, JPEG",
            "epochs": arguments.epochs,
            "batch": BATCH,
            "temperature": TEMPERATURE,
            "seed": arguments.seed,
        },
    }
    save_atomically(
        lambda path: save_file(weights, path, metadata={"karat": json.dumps(description)}),
        arguments.out / "encoder.safetensors",
    )
    (arguments.out / "log.json").write_text(json.dumps(log, indent=1) + "\n")


if __name__ == "__main__":
    main()
