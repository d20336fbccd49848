"""How fast are the engines of karat.extract, and does decoding keep up?    python benchmarks/extraction.py

First the forward alone, decoding excluded: each engine and precision beside the module itself in float32 (as one writes
it in a notebook), in the same process in turn, several rounds; the table shows the best of each, their ratios, and how
far h is from the module's own, as ||h - h'|| / ||h'||. Then karat.extract on generated JPEGs, end to end, beside the
forward alone in the same precision. On a machine with a GPU both are of the GPU.

The networks are torchvision's with their initial weights. A machine that does other things blurs the numbers:
`chrt -f 50 python benchmarks/extraction.py` puts it last.
"""

from __future__ import annotations

import argparse
import copy
import io
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads leave the processor to the next variant

import numpy as np
import torch
import torchvision
from kernel import processor
from PIL import Image
from rich.console import Console
from rich.table import Table

from karat.encoders import Encoder, Preprocessing
from karat.errors import InputError
from karat.extraction import choose, extract
from karat.extraction.engines import engine
from karat.images import open_images

VARIANTS = (
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("compile", "float32"),
    ("compile", "bfloat16"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("onnx", "float32"),
)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Case:
    """A network and its images.

    Attributes:
        name: of the network in torchvision.
        side: of its input.
        batch_size: images in a batch.
        photo: height and width of the JPEGs.
        images: how many are extracted.
        target: how many times faster than the module itself the fastest engine must be, on a CPU with bfloat16.
    """

    name: str
    side: int
    batch_size: int
    photo: tuple[int, int]
    images: int
    target: float

    def encoder(self) -> Encoder:
        torch.manual_seed(0)
        module = getattr(torchvision.models, self.name)()
        dim = module.fc.in_features
        module.fc = torch.nn.Identity()
        return Encoder(module.eval(), dim=dim, transform=Preprocessing(self.side, MEAN, STD), name=self.name)


CPU = (Case("resnet18", 32, 256, (32, 32), 8_192, 2.4), Case("resnet50", 224, 32, (375, 500), 256, 3.0))
GPU = (Case("resnet18", 32, 4_096, (32, 32), 262_144, 0), Case("resnet50", 224, 256, (375, 500), 32_768, 0))


def jpegs(case: Case, path: Path) -> None:
    """An .npz of smooth random photographs: 64 different ones again and again."""
    rng = np.random.default_rng(0)
    height, width = case.photo
    files = []
    for _ in range(64):
        coarse = Image.fromarray(rng.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), np.uint8))
        buffer = io.BytesIO()
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    chosen = [files[i % 64] for i in range(case.images)]
    np.savez(path, bytes=np.frombuffer(b"".join(chosen), np.uint8), offsets=np.cumsum([0, *map(len, chosen)]))


def first_batch(case: Case, encoder: Encoder, path: Path) -> torch.Tensor:
    source = open_images(path)
    tensors = [encoder.transform(source.read(i)) for i in range(min(64, case.batch_size))]
    return torch.stack([tensors[i % 64] for i in range(case.batch_size)])


def forward_only(case: Case, encoder: Encoder, batch: torch.Tensor, device: str, rounds: int) -> dict[str, float]:
    """Seconds of a batch by variant, as a table and as numbers."""
    with ExitStack() as stack:
        runs: dict[str, Callable[[], Any]] = {}
        module = copy.deepcopy(encoder.module).to(device)
        there = batch.to(device)
        runs["module, float32"] = lambda: _itself(module, there)
        for name, precision in VARIANTS:
            own = replace(encoder, module=copy.deepcopy(encoder.module))
            try:
                compute = choose(own, device=device, engine=name, precision=precision)
                run = stack.enter_context(engine(own, compute, rows=case.batch_size))
                laid = batch.to(memory_format=torch.channels_last) if name in ("torch", "compile") else batch
                given = laid.to(device) if name in ("torch", "compile") else laid
                run(given)()
            except (InputError, ImportError) as error:
                print(f"{name}, {precision}: {error}")
                continue
            runs[f"{name}, {precision}"] = lambda run=run, given=given: run(given)()
        expected = runs["module, float32"]()
        errors = {name: float((run() - expected).norm() / expected.norm()) for name, run in runs.items()}
        best = dict.fromkeys(runs, float("inf"))
        for _ in range(rounds):
            for name, run in runs.items():
                started = time.perf_counter()
                run()
                best[name] = min(best[name], time.perf_counter() - started)
    title = f"{case.name}, {case.side} x {case.side}, batches of {case.batch_size}: forward only"
    table = Table(title=title, title_justify="left", box=None)
    for column in ("", "seconds", "images/s", "times the module itself", "relative error of h"):
        table.add_column(column, justify="right" if column else "left")
    for name, seconds in best.items():
        ratio = best["module, float32"] / seconds
        table.add_row(
            name, f"{seconds:.4f}", f"{case.batch_size / seconds:,.0f}", f"{ratio:.2f}", f"{errors[name]:.1e}"
        )
    Console(width=120).print(table)
    allowed = [name for name in best if errors[name] <= 1e-2]
    fastest = min(allowed, key=best.__getitem__)
    ratio = best["module, float32"] / best[fastest]
    print(f"fastest within 1e-2: {fastest}, {ratio:.2f} times (target {case.target or 'none'})\n")
    return best


def _itself(module: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return module(images).cpu()


def end_to_end(case: Case, encoder: Encoder, path: Path, device: str, best: dict[str, float]) -> None:
    """karat.extract into a folder, after its first two batches, beside the forward alone."""
    table = Table(
        title=f"{case.name}: {case.images:,} JPEGs of {case.photo}, end to end", title_justify="left", box=None
    )
    for column in ("", "images/s", "waiting for data", "forward only", "share of it"):
        table.add_column(column, justify="right" if column else "left")
    for name in ("torch", "openvino" if device == "cpu" else "compile"):
        precision = choose(encoder, device=device, engine=name).precision
        told: list[tuple[float, int, float]] = []
        with tempfile.TemporaryDirectory() as folder:
            extract(
                encoder,
                path,
                out=f"{folder}/h.emb",
                device=device,
                engine=name,
                batch_size=case.batch_size,
                progress=lambda done, _, waiting, told=told: told.append((time.perf_counter(), done, waiting)),
            )
        (started, before, _), (ended, done, waiting) = told[2], told[-1]
        rate, alone = (done - before) / (ended - started), case.batch_size / best[f"{name}, {precision}"]
        table.add_row(f"{name}, {precision}", f"{rate:,.0f}", f"{waiting:.0%}", f"{alone:,.0f}", f"{rate / alone:.0%}")
    Console(width=120).print(table)
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", choices=[case.name for case in CPU])
    arguments = parser.parse_args()
    device = arguments.device
    what = processor() if device == "cpu" else torch.cuda.get_device_name(device)
    print(f"{what}, torch {torch.__version__}\n")
    for case in CPU if device == "cpu" else GPU:
        if arguments.only not in (None, case.name):
            continue
        encoder = case.encoder()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "jpegs.npz"
            jpegs(case, path)
            batch = first_batch(case, encoder, path)
            best = forward_only(case, encoder, batch, device, arguments.rounds)
            end_to_end(case, encoder, path, device, best)


if __name__ == "__main__":
    main()
