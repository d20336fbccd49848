"""Heatmaps: where in an image its features come from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._array import as_rows
from ..embeddings import as_embeddings
from ..encoders import Encoder
from ..errors import InputError
from ..extraction import Progress, extract
from ..extraction.meter import Meter
from ..images import ImageSource, open_images
from ..stats.discriminative import Over
from ..stats.halves import Halves
from ..stats.reference import Reference, fit_reference
from .drawing import Drawing
from .wanted import Features, discriminative_in, given_features

if TYPE_CHECKING:
    from .methods import Name

Images = str | os.PathLike[str] | np.ndarray | ImageSource


def feature_maps(
    encoder: Encoder,
    images: Images,
    features: Features,
    *,
    method: Name = "gradcam",
    layer: str | None = None,
    batch_size: int = 32,
    device: str = "auto",
    threads: int | None = None,
    workers: int | None = 0,
    progress: Progress | None = None,
) -> np.ndarray:
    """Where in each image each feature comes from.

    At the encoder's last spatial layer A (see `karat.attribution.spatial`), before it is upsampled:

        map_j(y, x) = ReLU(sum_c dh_j / dA_c(y, x) * A_c(y, x))

    Where h is the mean of A over space (ResNets), this is ReLU(A_j) up to a factor: exact, and free for all features.

    Args:
        encoder: its module is used in evaluation mode, and left as it was.
        images: see `karat.images.open_images`.
        features: f numbers, from 0 to d - 1, or d + j for the negative half of feature j, whose map is that of -h_j;
            or a list of them for each image, all of one length.
        method: "gradcam": the channels of A where h is their mean, else the gradient; "gradient": always by gradient;
            "integrated": integrated gradients at the pixels; "occlusion": how far h_j falls when a square is hidden
            (needs neither a gradient nor a spatial layer; slow).
        layer: the module to take as A, as `named_modules` calls it; None: the last spatial one that h depends on.
        batch_size, device, threads, workers: see `karat.extract`.
        progress: called with (images done, images in all, share of the time that was spent waiting for images).

    Returns:
        float32 [n, f, H, W] at the size of the encoder's input (the image after its own resize and crop), from 0 to 1:
        each map divided by its maximum (a map of zeros stays one), upsampled bilinearly before.

    Raises:
        InputError: an unknown feature, method or layer; an encoder without spatial layer or gradient (try occlusion);
            an image that cannot be decoded.
        MissingDependencyError: torch, or captum for integrated and occlusion, is not installed.

    >>> import torch
    >>> module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    >>> to_tensor = lambda image: torch.from_numpy(image).permute(2, 0, 1).float()
    >>> encoder = Encoder(module, dim=2, transform=to_tensor, name="one layer")
    >>> feature_maps(encoder, np.zeros((5, 8, 6, 3), np.uint8), [0, 1]).shape
    (5, 2, 8, 6)

    Reference: Selvaraju et al., "Grad-CAM", ICCV 2017; where the gradient differs between places, the element-wise
    product of Draelos & Carin (2020, "HiResCAM") takes the place of Grad-CAM's mean over them.
    """
    source = open_images(images)
    drawing = Drawing(
        encoder,
        method=method,
        layer=layer,
        batch_size=batch_size,
        device=device,
        threads=threads,
        workers=workers,
    )
    wanted = given_features(features, len(source), encoder.dim)
    meter = Meter(progress, total=len(source))
    return np.concatenate([drawn.maps for drawn in drawing.each_map(source, wanted, meter)])


def sample_maps(
    encoder: Encoder,
    images: Images,
    *,
    reference: Any = None,
    features: Features | None = None,
    method: Name = "gradcam",
    layer: str | None = None,
    epsilon: float | Literal["auto"] = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    normalize: bool = False,
    halves: Halves = "auto",
    seed: int = 0,
    batch_size: int = 32,
    device: str = "auto",
    threads: int | None = None,
    workers: int | None = 0,
    progress: Progress | None = None,
) -> np.ndarray:
    """Where in each image its discriminative features come from: the mean of their maps.

    The features are L_i ∩ D: those that the image activates highly among the discriminative ones of the reference. The
    mean is over maps as the layer gives them, so that a feature counts as much as it is activated.

    Args:
        encoder, images, method, layer: see `feature_maps`.
        reference: the set that D is fitted on, [m, d], or a fitted `karat.stats.Reference`.
        features: these instead: a list for all images, a group for example, or one for each image (of any length).
        epsilon, lower, upper, over, normalize, halves, seed: see `karat.stats.fit_reference`.
        batch_size, device, threads, workers, progress: see `feature_maps`.

    Returns:
        float32 [n, H, W] at the size of the encoder's input, from 0 to 1, each divided by its maximum. An image without
        any such feature has a map of zeros.

    Raises:
        InputError: neither or both of reference and features, and what `feature_maps` raises.

    >>> import torch
    >>> module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    >>> to_tensor = lambda image: torch.from_numpy(image).permute(2, 0, 1).float()
    >>> encoder = Encoder(module, dim=2, transform=to_tensor, name="one layer")
    >>> sample_maps(encoder, np.zeros((5, 8, 6, 3), np.uint8), features=[0, 1]).shape
    (5, 8, 6)
    """
    if (reference is None) == (features is None):
        raise InputError("reference and features both say which features to show: give one of them")
    source = open_images(images)
    shared: dict[str, Any] = {"batch_size": batch_size, "device": device, "threads": threads, "workers": workers}
    drawing = Drawing(encoder, method=method, layer=layer, **shared)
    if features is not None:
        wanted = given_features(features, len(source), encoder.dim)
    else:
        fitted = reference
        if not isinstance(reference, Reference):
            fitted = fit_reference(
                as_rows(as_embeddings(reference).h, "reference"),
                epsilon=epsilon,
                lower=lower,
                upper=upper,
                over=over,
                normalize=normalize,
                halves=halves,
                seed=seed,
                threads=threads,
                hashed=False,
                name="reference",
            )
        emb = extract(encoder, source, precision="float32", max_bad=0.0, **shared)
        wanted = discriminative_in(emb.h, fitted, threads=threads)
    meter = Meter(progress, total=len(source))
    return np.concatenate([drawn.maps for drawn in drawing.mean_maps(source, wanted, meter)])
