"""karat extract"""

from __future__ import annotations

import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from .. import extraction
from ..embeddings import Embeddings
from ..encoders import load_encoder
from . import encoding, inputs, terminal


def extract(
    encoder: encoding.EncoderName,
    images: encoding.ImagesName,
    /,
    *,
    out: Annotated[Path, Parameter(name=("-o", "--out"), metavar="EMB", help="Embeddings folder to write, NAME.emb.")],
    arch: encoding.Arch = None,
    layout: encoding.Layout = None,
    unsafe_load: encoding.UnsafeLoad = False,
    batch_size: encoding.BatchSize = 256,
    device: encoding.Device = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        Parameter(help="Of products and convolutions; auto: bfloat16 where the hardware has it, else float32."),
    ] = "auto",
    engine: Annotated[
        Literal["torch", "compile", "openvino", "onnx"],
        Parameter(help="What runs the encoder; compile needs up to a minute before the first batch."),
    ] = "torch",
    threads: inputs.Threads = None,
    workers: encoding.Workers = None,
    views: Annotated[
        int | None,
        Parameter(
            metavar="V",
            converter=inputs.whole(at_least=1),
            help="Write V randomly augmented rows an image; by default one row, of the image itself.",
        ),
    ] = None,
    seed: inputs.Seed = 0,
    max_bad: encoding.MaxBad = 0.01,
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16", "float64"], Parameter(help="Type that the features are stored in.")
    ] = "float32",
    resume: encoding.Resume = False,
    overwrite: inputs.Overwrite = False,
) -> None:
    with extraction.torchrun_group() as group, warnings.catch_warnings():
        team = extraction.Team(group)
        if not team.leads:
            warnings.simplefilter("ignore")  # the leader says it
        with _bar(team, "loading the encoder", "B") as progress:
            loaded = team.leader_first(
                lambda: load_encoder(encoder, arch=arch, layout=layout, unsafe_load=unsafe_load, progress=progress)
            )
        compute = extraction.choose(loaded, device=device, engine=engine, precision=precision, threads=threads)
        if team.leads:
            terminal.say(f"{loaded.name}: h is {loaded.h or f'a vector of {loaded.dim} features'}; on {compute}")
        with _bar(team, "extracting", "images") as progress:
            watch = _Watch(progress)
            emb = extraction.extract(
                loaded,
                images,
                out=out,
                batch_size=batch_size,
                device=device,
                precision=precision,
                engine=engine,
                threads=threads,
                workers=workers,
                views=views,
                seed=seed,
                max_bad=max_bad,
                dtype=dtype,
                resume=resume,
                overwrite=overwrite,
                group=group,
                progress=watch,
            )
        if team.leads:
            terminal.say(watch.said(emb, out))


def _bar(team: extraction.Team, what: str, unit: str) -> AbstractContextManager[terminal.Progress | None]:
    """A progress bar, where this process is the one that shows it."""
    return terminal.progress(what, unit=unit) if team.leads else nullcontext()


class _Watch:
    """Passes progress on, and remembers what the last line tells of it."""

    def __init__(self, progress: terminal.Progress | None) -> None:
        self._progress = progress
        self._started = time.perf_counter()
        self._first: int | None = None
        self._done, self._total, self._waiting = 0, 0, 0.0

    def __call__(self, done: int, total: int, waiting: float) -> None:
        if self._first is None:
            self._started, self._first = time.perf_counter(), done
        self._done, self._total, self._waiting = done, total, waiting
        if self._progress is not None:
            self._progress(done, total, waiting)

    def said(self, emb: Embeddings, out: Path) -> str:
        """What there is now, and how fast it came."""
        if self._first == self._total:
            return f"{out} is complete already ({emb.n:,} x {emb.d:,}): nothing to do"
        seconds = time.perf_counter() - self._started
        rate = (self._done - (self._first or 0)) / seconds
        rows = "rows" if "view" in emb.extra else "images"
        return (
            f"{emb.n:,} {rows} x {emb.d:,} features -> {out} "
            f"({rate:,.0f} images/s, {self._waiting:.0%} of the time waiting for data)"
        )
