"""How much heatmaps overlap masks: measures of each image, and the table with its controls."""

from __future__ import annotations

import numpy as np

from ..errors import InputError

# Images that are measured at a time.
_BLOCK = 64


def iou(maps: np.ndarray, masks: np.ndarray, *, threshold: float = 0.5) -> np.ndarray:
    """Intersection over union of each map, binarised at 0.5, with its mask: |M ∩ S| / |M ∪ S|, M = {map >= 0.5}.

    Args:
        maps: [n, H, W] in [0, 1].
        masks: bool [n, H, W], none of them empty.
        threshold: from which a map's pixel counts as inside.

    Returns:
        float64 [n], 0 to 1, higher = more overlap; 0 where no pixel reaches the threshold.

    Raises:
        InputError: other shapes, values outside [0, 1], or an empty mask.

    >>> maps = np.array([[[1.0, 0.5], [0.2, 0.0]]])
    >>> iou(maps, np.array([[[True, False], [True, False]]])).tolist()
    [0.3333333333333333]

    Reference: Moayeri et al., NeurIPS 2022 (Hard ImageNet), saliency alignment; they add 1e-10 to both numbers.
    """
    maps, masks = _checked(maps, masks)
    inside = maps >= threshold
    return (inside & masks).sum(axis=(1, 2)) / (inside | masks).sum(axis=(1, 2))


def iou_at_area(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Intersection over union of each mask with as many pixels of highest value: where a map looks, not how widely.

    Equal values at the limit count with the share of them that fits, so that the order of pixels never matters.

    Args:
        maps: [n, H, W] in [0, 1].
        masks: bool [n, H, W], none of them empty.

    Returns:
        float64 [n], 0 to 1, higher = better; a / (2 - a) for a constant map, a = the mask's share of the image.

    Raises:
        InputError: as for `iou`.

    >>> maps = np.array([[[1.0, 0.5], [0.2, 0.0]]])
    >>> iou_at_area(maps, np.array([[[True, True], [False, False]]])).tolist()
    [1.0]
    """
    maps, masks = _checked(maps, masks)
    values, flat = maps.reshape(len(maps), -1), masks.reshape(len(masks), -1)  # [n, H, W] -> [n, H * W]
    area = flat.sum(axis=1)
    limit = np.take_along_axis(np.sort(values, axis=1), (values.shape[1] - area)[:, None], axis=1)  # [n, 1]
    above, equal = values > limit, values == limit
    share = (area - above.sum(axis=1)) / equal.sum(axis=1)
    shared = (above & flat).sum(axis=1) + share * (equal & flat).sum(axis=1)
    return shared / (2 * area - shared)


def mass_difference(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Mean of each map inside its mask minus its mean outside.

    Args:
        maps: [n, H, W] in [0, 1].
        masks: bool [n, H, W], none of them empty; outside a mask of the whole image the mean is 0.

    Returns:
        float64 [n], -1 to 1, higher = better, 0 = the map does not tell the two apart.

    Raises:
        InputError: as for `iou`.

    >>> maps = np.array([[[1.0, 0.5], [0.25, 0.0]]])
    >>> mass_difference(maps, np.array([[[True, True], [False, False]]])).tolist()
    [0.625]

    Reference: Moayeri et al., CVPR 2022 (RIVAL10), "delta saliency density".
    """
    maps, masks = _checked(maps, masks)
    area = masks.sum(axis=(1, 2))
    inside = (maps * masks).sum(axis=(1, 2), dtype=np.float64)
    outside = maps.sum(axis=(1, 2), dtype=np.float64) - inside
    return inside / area - outside / np.maximum(masks[0].size - area, 1)


def pointing_game(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Whether the highest value of each map lies in its mask.

    Where several pixels share the highest value, the share of them in the mask; a zero map scores as chance does.

    Args:
        maps: [n, H, W] in [0, 1].
        masks: bool [n, H, W], none of them empty.

    Returns:
        float64 [n], 0 to 1, higher = better.

    Raises:
        InputError: as for `iou`.

    >>> maps = np.array([[[1.0, 1.0], [0.2, 0.0]]])
    >>> pointing_game(maps, np.array([[[True, False], [False, False]]])).tolist()
    [0.5]

    Reference: Zhang et al., IJCV 2018, "Top-down Neural Attention by Excitation Backprop"; without their tolerance of
    15 pixels.
    """
    maps, masks = _checked(maps, masks)
    highest = maps == maps.max(axis=(1, 2), keepdims=True)
    return (highest & masks).sum(axis=(1, 2)) / highest.sum(axis=(1, 2))


MEASURES = {"iou": iou, "iou_at_area": iou_at_area, "mass": mass_difference, "pointing": pointing_game}


def measured(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """All measures of each image, a few images at a time (maps may be mapped into memory): float64 [4, n].

    The rows are `iou`, `iou_at_area`, `mass_difference`, `pointing_game`.

    Raises:
        InputError: as for `iou`.
    """
    if len(maps) != len(masks):
        raise InputError(f"there are {len(maps)} maps, but {len(masks)} masks: one mask a map is needed")
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(maps), _BLOCK)]
    return np.hstack(
        [np.empty((len(MEASURES), 0))]
        + [np.stack([measure(maps[part], masks[part]) for measure in MEASURES.values()]) for part in blocks]
    )


def _checked(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 (or float64) and bool, both [n, H, W].

    Raises:
        InputError: other shapes or values.
    """
    maps, masks = np.asarray(maps), np.asarray(masks)
    if maps.ndim != 3 or maps.shape != masks.shape:
        raise InputError(f"maps are {maps.shape} and masks {masks.shape}, but both need one shape [n, H, W]")
    if masks.dtype != bool:
        raise InputError(f"masks have values of type {masks.dtype}, but bool is needed")
    if maps.dtype not in (np.float32, np.float64):
        maps = maps.astype(np.float32)
    if not ((maps >= 0) & (maps <= 1)).all():
        raise InputError("maps have values outside [0, 1] or NaN: divide each by its maximum")
    if not masks.any(axis=(1, 2)).all():
        raise InputError("a mask is empty: nothing can overlap it; leave its image out")
    return maps, masks
