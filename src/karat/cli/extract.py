"""karat extract"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .. import extraction
from ..encoders import load_encoder
from . import terminal


def extract(
    encoder: Path,
    images: str,
    *,
    out: Annotated[Path, Parameter(name=("-o", "--out"), help="Embeddings folder to write, NAME.emb.")],
    batch_size: Annotated[int, Parameter(help="Images in one call of the encoder.")] = 256,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    workers: Annotated[int, Parameter(help="Threads that decode images ahead.")] = 1,
    overwrite: terminal.Overwrite = False,
) -> None:
    """Run ENCODER over IMAGES and keep its features.

    ENCODER is a .safetensors file of karat. IMAGES is a folder, or an .npz (`images`, or `bytes` and
    `offsets`).
    """
    with terminal.progress("extracting") as progress:
        emb = extraction.extract(
            load_encoder(encoder),
            images,
            out=out,
            batch_size=batch_size,
            device=device,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    terminal.say(f"{emb.n:,} images x {emb.d:,} features -> {out}")
