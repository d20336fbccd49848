"""extract: encoder x images -> embeddings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import numpy as np

from .._array import FLOATS
from ..embeddings import Embeddings
from ..encoders import Encoder
from ..errors import InputError
from ..images import ImageSource, open_images
from ..store.folder import with_skipped
from ..store.writing import narrowed
from .compute import Engine, Precision, choose
from .computing import computed
from .folder import in_folder
from .meter import Meter, Progress
from .plan import Plan
from .skipping import Tolerance, warn_of_skipped
from .work import Work

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def extract(
    encoder: Encoder,
    images: str | os.PathLike[str] | np.ndarray | ImageSource,
    *,
    out: str | os.PathLike[str] | None = None,
    batch_size: int = 256,
    device: str = "auto",
    precision: Precision | Literal["auto"] = "auto",
    engine: Engine = "torch",
    threads: int | None = None,
    workers: int | None = None,
    views: int | None = None,
    seed: int = 0,
    max_bad: float = 0.01,
    dtype: str = "float32",
    resume: bool = False,
    overwrite: bool = False,
    group: ProcessGroup | None = None,
    progress: Progress | None = None,
) -> Embeddings:
    """The encoder's features of every image: h_i = module(transform(image_i)), in evaluation mode.

    With `out`, finished shards of about 4,096 rows survive whatever ends the process; with `resume` the same call goes
    on with them, and the folder has the same bytes as if it had never been interrupted. Memory does not grow with h.

    Args:
        encoder: module, dim and transform; its module is left as it was.
        images: a folder, an archive, a list, a named set, an array ... (see `karat.images.open_images`).
        out: an embeddings folder to write, shard by shard; None: keep h in memory.
        batch_size: rows in one call of the module (whole images, where there are views). It changes h by rounding only.
        device: "auto" (a GPU where there is one), or a name that torch knows: "cpu", "cuda", "cuda:1".
        precision: of products and convolutions: "float32", "bfloat16" or "float16"; "auto": bfloat16 where the hardware
            has it, else float32. bfloat16 changes h by 0.3% to 1% of its norm, as a rule.
        engine: what runs the module: "torch", "compile" (torch.compile; compiles for up to a minute first), "openvino"
            or "onnx" (onnxruntime).
        threads: of the module on a CPU (default: KARAT_NUM_THREADS, else all). They change h by rounding only.
        workers: processes that decode ahead of the module; 0: decode in between; None: 1 on a CPU, else one a
            processor, at most 16. They do not change h.
        views: augmented rows an image (see `karat.images.views.augmented`), with the column view from 0; None: one row,
            of the image itself.
        seed: of the views.
        max_bad: the share of the images that may fail to decode; they are skipped, and listed in
            `provenance["skipped"]` with id and reason.
        dtype: that h is stored in: "float32", "float16", "bfloat16" or "float64".
        resume: go on with `out` where it was interrupted; begin it where it is not there. Settings must be the same.
        overwrite: replace `out` where it exists.
        group: processes of torch.distributed that share the work (all of them call this, with `out`); None: this alone.
        progress: called with (images done, images in all, share of the time that was spent waiting for images) at the
            start and after each batch.

    Returns:
        h [n, dim] with ids, labels and paths, in the order of the source.

    Raises:
        InputError: unreadable images, too many that cannot be decoded, settings that do not go together or are not
            those of the folder that is gone on with, or an encoder that does not return finite numbers [n, dim].
        OutputExistsError: `out` exists, and neither `resume` nor `overwrite` is set.
        OutputError: `out` cannot be written, or another process writes there.

    >>> import torch
    >>> flat = Encoder(torch.nn.Flatten(), dim=12, transform=lambda image: torch.tensor(image).float(), name="pixels")
    >>> extract(flat, np.zeros((5, 2, 2, 3), np.uint8))
    Embeddings(n=5, d=12, dtype=float32, ids, path)
    """
    source = open_images(images)
    _check(batch_size=batch_size, workers=workers, views=views, seed=seed, dtype=dtype)
    if resume and overwrite:
        raise InputError("resume goes on with what is there and overwrite replaces it: choose one of them")
    if out is None and (resume or group is not None):
        raise InputError("resume and group need out: a folder is gone on with, or shared")
    plan = Plan(len(source), batch_size, views)
    compute = choose(encoder, device=device, engine=engine, precision=precision, threads=threads)
    work = Work(encoder, source, plan, compute, workers, views, seed)
    kind = np.dtype(dtype)
    tolerance = Tolerance(len(source), max_bad)
    if out is None:
        result = _in_memory(work, kind, tolerance, progress)
    else:
        result = in_folder(
            work,
            out,
            dtype=kind,
            max_bad=max_bad,
            resume=resume,
            overwrite=overwrite,
            group=group,
            progress=progress,
        )
    warn_of_skipped(result.provenance.get("skipped", ()), len(source))
    return result


def _check(*, batch_size: int, workers: int | None, views: int | None, seed: int, dtype: str) -> None:
    least = {"batch_size": (batch_size, 1), "workers": (workers, 0), "views": (views, 1), "seed": (seed, 0)}
    for name, (value, bound) in least.items():
        if value is not None and value < bound:
            raise InputError(f"{name} is {value}, but a whole number of at least {bound} is needed")
    if dtype not in (names := [kind.name for kind in FLOATS]):
        raise InputError(f"dtype is {dtype!r}, but one of {', '.join(names)} is needed")


def _in_memory(work: Work, dtype: np.dtype, tolerance: Tolerance, progress: Progress | None) -> Embeddings:
    meter = Meter(progress, total=len(work.source))
    blocks, images = [], []
    for shard in computed(work, range(work.plan.shards), meter, tolerance):
        blocks.append(narrowed(shard.h, dtype))
        images.append(shard.images)
    columns = work.columns(np.concatenate(images))
    return Embeddings(
        np.concatenate(blocks),  # [n, dim]
        ids=columns.pop("id"),
        labels=columns.pop("label", None),
        extra={name: values for name, values in columns.items() if name != "row"},
        provenance=with_skipped(work.provenance(), tolerance.skipped),
    )
