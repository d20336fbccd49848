"""Deletion and insertion: does the encoder need what a map shows?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from .._files import digest_bytes
from .._optional import require
from .._version import version
from ..encoders import Encoder
from ..errors import InputError
from ..extraction.compute import choose
from ..extraction.engines import settled
from ..images import open_images
from ..records import Estimate, Faithfulness, OrderFaithfulness, Provenance
from ..stats.bootstrap import Resampled, resampled_means
from ..stats.qscore import score_chunks
from ..stats.reference import Reference
from .controls import squared_distance
from .overlap_table import digest_maps

if TYPE_CHECKING:
    from torch import Tensor, nn

Baseline = Literal["blur", "mean"]

_PURPOSE = "deletion and insertion curves"
_ORDERS = ("map", "random order", "centre prior")
_QUANTITIES = ("q_score", "cosine")
_DELETION, _INSERTION = 0, 1
# The blur's standard deviation in parts of the image's side: what is smaller is gone.
_BLUR = 16


def faithfulness(
    encoder: Encoder,
    images: Any,
    maps: np.ndarray,
    reference: Reference,
    *,
    baseline: Baseline = "blur",
    steps: int = 20,
    batch_size: int = 256,
    device: str = "auto",
    threads: int | None = None,
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Faithfulness:
    """Take pixels away from the highest value of a map to the lowest, or put them back so, and watch Q-Score and h.

    At share s of the pixels, deletion replaces the s highest of the image by the baseline, insertion the s highest of
    the baseline by the image. What is watched: the Q-Score, and the cosine of h with the h of the whole image. The area
    under each curve over s from 0 to 1 is by trapezoids. Where a map finds what the encoder needs, deletion falls early
    and insertion rises early. Beside the map's order: a random one, and from the middle of the image outwards.

    Args:
        encoder: the encoder; its transform gives [3, H, W].
        images: n images, in anything that `open_images` takes.
        maps: float [n, H, W], one an image at the size of the encoder's input. Equal values come in random order.
        reference: of the Q-Score (`karat.stats.fit_reference` on the encoder's h).
        baseline: what stands for a pixel taken away: "blur", the image blurred by a Gaussian of a sixteenth of its
            side (ours), or "mean", the mean colour of the image.
        steps: how many the curve has after the first point.
        batch_size: images in one forward.
        device, threads: see `extract`.
        resamples, seed: of the bootstrap over images; `seed` also of the random orders.
        progress: called with images done and all images.

    Returns:
        A `Faithfulness`: areas and curves of each order, and how far the map's order is better.

    Raises:
        InputError: maps that do not fit the images or the encoder's input, or are not finite; a parameter out of range.

    Reference: Petsiuk et al., BMVC 2018 (RISE), deletion and insertion; they watch a class probability.
    """
    source = open_images(images)
    _check(maps, len(source), baseline, steps, batch_size)
    compute = choose(encoder, device=device, precision="float32", threads=threads)
    shares = np.linspace(0, 1, steps + 1)
    at_once = max(1, batch_size // len(shares))
    curves = []  # of each batch [quantities, orders, 2, b, steps + 1]
    with settled(encoder.module, compute):
        watch = _Watch(encoder.module, compute.device, reference, batch_size)
        for start in range(0, len(source), at_once):
            rows = np.arange(start, min(start + at_once, len(source)))
            pixels = _stacked(encoder, [source.read(int(i)) for i in rows], maps.shape[1:])
            curves.append(_curves(watch, pixels, _ranks(maps[rows], rows, seed), baseline, shares))
            if progress is not None:
                progress(int(rows[-1]) + 1, len(source))
    found = np.concatenate(curves, axis=3)
    zero = int((~maps.any(axis=(1, 2))).sum())
    return Faithfulness(
        provenance=Provenance(
            "faithfulness",
            {"baseline": baseline, "steps": steps, "resamples": resamples, "seed": seed, "epsilon": reference.epsilon}
            | {"encoder": encoder.name, "preprocessing": encoder.preprocessing},
            {
                "images": source.digest,
                "maps": digest_maps(maps),
                "discriminative": digest_bytes(reference.discriminative.tobytes()),
            },
            version(),
        ),
        n=len(source),
        zero_maps=zero,
        baseline=baseline,
        shares=tuple(shares.tolist()),
        orders=tuple(_rows(found, shares, resamples, seed)),
        warnings=tuple(_warnings(found, zero)),
    )


class _Watch:
    """From pixels to h, and from h to what is watched."""

    def __init__(self, module: nn.Module, device: Any, reference: Reference, batch_size: int) -> None:
        self._module, self._device, self._reference, self._batch_size = module, device, reference, batch_size

    def h(self, pixels: Tensor) -> np.ndarray:
        torch = require("torch", _PURPOSE)
        with torch.inference_mode():
            parts = [
                self._module(part.to(self._device)).float().cpu() for part in torch.split(pixels, self._batch_size)
            ]
        return np.concatenate([part.numpy() for part in parts])  # [m, 3, H, W] -> [m, d]

    def q_score(self, h: np.ndarray) -> np.ndarray:
        return np.concatenate([scores.q_score for _, scores in score_chunks(h, self._reference)])


def _curves(
    watch: _Watch, pixels: Tensor, ranks: dict[str, np.ndarray], baseline: Baseline, shares: np.ndarray
) -> np.ndarray:
    """Every curve of b images: float64 [quantities, orders, 2, b, steps + 1]."""
    b, _, height, width = pixels.shape
    without = _baseline(pixels, baseline)
    whole = watch.h(pixels).astype(np.float64)  # [b, d]
    counts = np.round(shares * height * width)
    curves = np.empty((len(_QUANTITIES), len(ranks), 2, b, len(shares)))
    for number, rank in enumerate(ranks.values()):
        for mode, (before, after) in {_DELETION: (pixels, without), _INSERTION: (without, pixels)}.items():
            h = watch.h(_changed(before, after, rank, counts))  # [b * s, d]
            curves[0, number, mode] = watch.q_score(h).reshape(b, -1)
            curves[1, number, mode] = _cosine(h.astype(np.float64).reshape(b, len(shares), -1), whole)
    return curves


def _changed(before: Tensor, after: Tensor, rank: np.ndarray, counts: np.ndarray) -> Tensor:
    """Each image with its first pixels, by rank, of `after`, the rest of `before`: [b, 3, H, W] -> [b * s, 3, H, W]."""
    torch = require("torch", _PURPOSE)
    first = torch.from_numpy(rank[:, None] < counts[None, :, None, None])  # [b, s, H, W]
    mixed = torch.where(first[:, :, None], after[:, None], before[:, None])  # [b, s, 3, H, W]
    return mixed.flatten(0, 1)


def _ranks(maps: np.ndarray, rows: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """When each pixel's turn comes, from 0, in each order: int64 [b, H, W]."""
    noise = np.stack([np.random.default_rng([seed, row]).random(maps.shape[1:]) for row in rows.tolist()])
    nearness = np.broadcast_to(-squared_distance((maps.shape[1], maps.shape[2])), maps.shape)
    highest_first = {"map": maps, "random order": noise, "centre prior": nearness}
    # Another noise for ties: where the map is flat, its order is a random one, but not the very same.
    ties = np.stack([np.random.default_rng([seed, row, 1]).random(maps.shape[1:]) for row in rows.tolist()])
    return {order: _rank(highest_first[order], ties) for order in _ORDERS}


def _rank(values: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """The rank of each pixel by falling value, of equal ones by `ties`: [b, H, W] -> int64 [b, H, W]."""
    b, pixels = len(values), values[0].size
    order = np.lexsort((ties.reshape(b, -1), -values.reshape(b, -1).astype(np.float64)), axis=1)
    ranks = np.empty((b, pixels), np.int64)
    np.put_along_axis(ranks, order, np.arange(pixels)[None].repeat(b, 0), axis=1)
    return ranks.reshape(values.shape)


def _baseline(pixels: Tensor, baseline: Baseline) -> Tensor:
    """What stands for pixels that were taken away: [b, 3, H, W]."""
    if baseline == "mean":
        return pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels)
    sigma = min(pixels.shape[2:]) / _BLUR
    kernel = 2 * int(np.ceil(3 * sigma)) + 1
    blur = require("torchvision.transforms.functional", _PURPOSE).gaussian_blur
    blurred: Tensor = blur(pixels, [kernel, kernel], [sigma, sigma])
    return blurred


def _cosine(h: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Cosine of every h [b, s, d] with that of its whole image [b, d]; 0 where one is zero."""
    product = np.linalg.norm(h, axis=2) * np.linalg.norm(whole, axis=1)[:, None]
    dots = np.einsum("bsd,bd->bs", h, whole)
    return np.divide(dots, product, out=np.zeros_like(dots), where=product > 0)


def _rows(found: np.ndarray, shares: np.ndarray, resamples: int, seed: int) -> Iterator[OrderFaithfulness]:
    """The areas of each order and quantity, and the map's lead, from the same resamples of images."""
    areas = np.trapezoid(found, shares, axis=4)  # [quantities, orders, 2, n]
    shape = areas.shape
    means = resampled_means(areas.reshape(-1, shape[3]), resamples=resamples, seed=seed)
    curves = found.mean(axis=3)  # [quantities, orders, 2, s]
    for quantity, of in enumerate(_QUANTITIES):
        rows = [
            [means[(quantity * shape[1] + order) * 2 + mode] for mode in (_DELETION, _INSERTION)]
            for order in range(shape[1])
        ]
        for order, (deletion, insertion) in enumerate(rows):
            yield OrderFaithfulness(
                order=_ORDERS[order],
                of=of,
                deletion=_estimate(deletion),
                insertion=_estimate(insertion),
                deletion_lead=_estimate(deletion - rows[0][_DELETION]),
                insertion_lead=_estimate(rows[0][_INSERTION] - insertion),
                deletion_curve=tuple(curves[quantity, order, _DELETION].tolist()),
                insertion_curve=tuple(curves[quantity, order, _INSERTION].tolist()),
            )


def _estimate(mean: Resampled) -> Estimate:
    return Estimate(*mean.interval())


def _warnings(found: np.ndarray, zero: int) -> Iterator[str]:
    n = found.shape[3]
    if zero:
        yield f"{zero} of the {n} maps are zero everywhere: their order of pixels is random"
    if nothing := int((found[0, 0, _DELETION, :, 0] == 0).sum()):
        yield f"the Q-Score of {nothing} of the {n} whole images is 0: there is nothing to take away"


def _stacked(encoder: Encoder, images: list[np.ndarray], shape: tuple[int, ...]) -> Tensor:
    """The transformed images, [b, 3, H, W].

    Raises:
        InputError: maps of another size.
    """
    pixels = require("torch", _PURPOSE).stack([encoder.transform(image) for image in images])
    if tuple(pixels.shape[2:]) != tuple(shape):
        raise InputError(f"maps are {tuple(shape)}, but the encoder's input is {tuple(pixels.shape[2:])} pixels")
    return pixels


def _check(maps: np.ndarray, n: int, baseline: str, steps: int, batch_size: int) -> None:
    if maps.ndim != 3 or len(maps) != n:
        raise InputError(f"maps are {maps.shape}, but [n, H, W] with n = {n}, one an image, is needed")
    if not np.isfinite(maps).all():
        raise InputError("maps hold NaN or infinity, but an order of pixels needs finite values")
    if baseline not in get_args(Baseline):
        raise InputError(f"baseline is {baseline!r}, but one of {', '.join(get_args(Baseline))} is needed")
    for name, value in (("steps", steps), ("batch_size", batch_size)):
        if value < 1:
            raise InputError(f"{name} is {value}, but at least 1 is needed")
