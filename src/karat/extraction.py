"""extract: encoder x images -> embeddings."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from . import store
from ._optional import require
from ._version import version
from .embeddings import Embeddings
from .encoders.encoder import Encoder
from .errors import InputError
from .images import ImageSource, open_images

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Progress = Callable[[int, int], None]


def extract(
    encoder: Encoder,
    images: str | os.PathLike[str] | np.ndarray | ImageSource,
    *,
    out: str | os.PathLike[str] | None = None,
    batch_size: int = 256,
    device: str = "auto",
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Embeddings:
    """The encoder's features of every image: h_i = module(transform(image_i)), in evaluation mode.

    Args:
        encoder: module, dim and transform; its module is left as it was.
        images: a folder, an .npz, an array uint8 [n, h, w, 3] or an `ImageSource` (see `karat.images.open_images`).
        out: an embeddings folder to write, batch by batch; None: keep h in memory.
        batch_size: images in one call of the module. It changes h by rounding only.
        device: "auto" (a GPU where there is one), or a name that torch knows: "cpu", "cuda", "cuda:1".
        workers: threads that decode ahead of the module; 0: decode in between.
        overwrite: replace `out` where it exists.
        progress: called with (images done, images in all) after each batch.

    Returns:
        h float32 [n, dim] with ids, labels and paths, in the order of the source.

    Raises:
        InputError: unreadable images, an unknown or missing device, images that cannot be stacked, or an encoder that
            does not return finite numbers [n, dim].
        OutputExistsError: `out` exists and `overwrite` is false.
    """
    source = open_images(images)
    for name, value, least in (("batch_size", batch_size, 1), ("workers", workers, 0)):
        if value < least:
            raise InputError(f"{name} is {value}, but a whole number of at least {least} is needed")
    chosen = _device(device)
    provenance = _provenance(encoder, source, batch_size, chosen.type)
    blocks = _blocks(encoder, source, batch_size, chosen, workers, progress)
    if out is None:
        with _evaluating(encoder.module, chosen):
            h = np.concatenate([block for _, block in blocks])  # [n, dim]
        return Embeddings(h, ids=source.ids, labels=source.labels, extra={"path": source.paths}, provenance=provenance)
    with (
        store.EmbeddingsWriter(out, dim=encoder.dim, provenance=provenance, overwrite=overwrite) as writer,
        _evaluating(encoder.module, chosen),
    ):
        for rows, block in blocks:
            writer.append(block, _columns(source, rows))
    return store.load(out)


def _columns(source: ImageSource, rows: range) -> dict[str, np.ndarray]:
    part = slice(rows.start, rows.stop)
    columns = {"id": source.ids[part], "path": source.paths[part]}
    return columns if source.labels is None else {**columns, "label": source.labels[part]}


def _provenance(encoder: Encoder, source: ImageSource, batch_size: int, device: str) -> dict[str, Any]:
    """What determines the numbers."""
    return {
        "encoder": encoder.name,
        "weights_sha256": encoder.weights_sha256,
        "preprocessing": encoder.preprocessing,
        "source": source.name,
        "batch_size": batch_size,
        "device": device,
        "precision": "float32",
        "versions": {"karat": version(), "torch": str(require("torch", "extract").__version__)},
    }


def _device(name: str) -> torch.device:
    torch = require("torch", "extract")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return device


def _blocks(
    encoder: Encoder, source: ImageSource, size: int, device: torch.device, workers: int, progress: Progress | None
) -> Iterator[tuple[range, np.ndarray]]:
    """Rows and their h, float32 [m, dim], batch by batch."""
    torch = require("torch", "extract")
    for rows, batch in _batches(encoder, source, size, workers):
        try:
            with torch.inference_mode():
                h = encoder.module(batch.to(device))
        except RuntimeError as error:
            raise InputError(f"encoder {encoder.name!r} failed on images {list(batch.shape)}: {error}") from error
        yield rows, _checked(h, encoder, source, rows)
        if progress is not None:
            progress(rows.stop, len(source))


@contextmanager
def _evaluating(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode and exact float32 on `device`; afterwards each part has its own mode and place again."""
    exact = require("torch", "extract").backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    modes = {part: part.training for part in module.modules()}
    homes = {tensor.device for tensor in (*module.parameters(), *module.buffers())} or {device}
    if len(homes) > 1:
        raise InputError(f"the encoder lies on several devices ({', '.join(sorted(map(str, homes)))}): move it to one")
    module.eval().to(device)
    try:
        with exact:
            yield
    finally:
        for part, training in modes.items():
            part.training = training
        module.to(homes.pop())


def _batches(encoder: Encoder, source: ImageSource, size: int, workers: int) -> Iterator[tuple[range, Tensor]]:
    """Transformed images [m, ...], in order; up to workers + 1 batches are made ahead."""
    starts = (range(start, min(start + size, len(source))) for start in range(0, len(source), size))
    if workers == 0:
        yield from ((rows, _batch(encoder, source, rows)) for rows in starts)
        return
    with ThreadPoolExecutor(workers, "karat-images") as pool:
        pending: deque[tuple[range, Future[Tensor]]] = deque()
        try:
            for rows in starts:
                pending.append((rows, pool.submit(_batch, encoder, source, rows)))
                if len(pending) > workers:
                    rows, future = pending.popleft()
                    yield rows, future.result()
            for rows, future in pending:
                yield rows, future.result()
        finally:
            for _, future in pending:
                future.cancel()


def _batch(encoder: Encoder, source: ImageSource, rows: range) -> Tensor:
    torch = require("torch", "extract")
    tensors = [encoder.transform(source.read(i)) for i in rows]
    kinds = {f"{t.dtype} {list(t.shape)}" if isinstance(t, torch.Tensor) else type(t).__name__ for t in tensors}
    if len(kinds) > 1 or not isinstance(tensors[0], torch.Tensor):
        seen = "; ".join(sorted(kinds))
        raise InputError(f"the encoder's transform must give tensors of one shape and type, but it gave {seen}")
    return torch.stack(tensors)


def _checked(h: Any, encoder: Encoder, source: ImageSource, rows: range) -> np.ndarray:
    """h as float32 on the CPU, [m, dim] and finite."""
    shape = list(h.shape) if isinstance(h, require("torch", "extract").Tensor) else f"a {type(h).__name__}"
    if shape != [len(rows), encoder.dim]:
        raise InputError(
            f"encoder {encoder.name!r} returned {shape} for {len(rows)} images, "
            f"but [{len(rows)}, {encoder.dim}] is needed: one vector an image, as long as its dim"
        )
    block: np.ndarray = h.float().cpu().numpy()
    bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
    if len(bad):
        names = ", ".join(str(source.ids[rows[row]]) for row in bad[:5])
        raise InputError(
            f"encoder {encoder.name!r} returned NaN or infinity for {len(bad)} of {len(rows)} images, first {names}: "
            "its weights or its transform are wrong"
        )
    return block
