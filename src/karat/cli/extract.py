"""karat extract"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .. import extraction
from ..encoders import load_encoder
from . import inputs, terminal


def extract(
    encoder: Annotated[Path, Parameter(help="An encoder's weights: a .safetensors file of karat.")],
    images: Annotated[
        str, Parameter(help="A folder of images, or an .npz with `images`, or with `bytes` and `offsets`.")
    ],
    /,
    *,
    out: Annotated[Path, Parameter(name=("-o", "--out"), metavar="EMB", help="Embeddings folder to write, NAME.emb.")],
    batch_size: Annotated[
        int, Parameter(metavar="N", converter=inputs.whole(at_least=1), help="Images in one call of the encoder.")
    ] = 256,
    device: Annotated[
        str, Parameter(metavar="NAME", help="auto (a GPU where there is one), cpu, cuda, cuda:1 ...")
    ] = "auto",
    workers: Annotated[
        int, Parameter(metavar="N", converter=inputs.whole(at_least=0), help="Threads that decode images ahead.")
    ] = 1,
    overwrite: inputs.Overwrite = False,
) -> None:
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
