"""A folder of mask images, matched to images by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...images.files import open_folder, read_bytes
from .source import Kind, MaskSource, decode_mask, without_suffix

KINDS: tuple[Kind, ...] = ("core", "spurious")


@dataclass(frozen=True, eq=False)
class MaskFolder(MaskSource):
    """Mask images under a folder, each with the pixels of its image.

    Attributes:
        files: "core" or "spurious" -> image -> the files whose union is its mask.
        threshold: share of 255 from which a pixel is inside; None: only masks of two values are read.
    """

    files: dict[Kind, dict[str, list[Path]]] = field(repr=False)
    threshold: float | None

    def read(self, mask_id: str, kind: Kind = "core") -> np.ndarray | None:
        paths = self.files.get(kind, {}).get(mask_id, [])
        parts = [_inside(decode_mask(read_bytes(path, path.name), path.name), path, self.threshold) for path in paths]
        for part, path in zip(parts, paths, strict=True):
            if part.shape != parts[0].shape:
                raise InputError(f"mask {path.name} is {_size(part)} pixels, but {paths[0].name} is {_size(parts[0])}")
        return np.asarray(np.any(parts, axis=0)) if parts else None

    def find(self, image_id: str) -> str | None:
        """The image's own name: masks were matched when the folder was opened."""
        name = without_suffix(image_id)
        return name if name in self._by_name else None


def open_mask_folder(root: Path, image_ids: Sequence[str], *, threshold: float | None = None) -> MaskFolder:
    """A folder of masks. Where it has folders core/ or spurious/, masks of these kinds; else all masks are core.

    A mask belongs to the image of its own path without suffix; or of its own file name, where only one image has it;
    or, if its file name is an image's with "_" and more after it ("dog_2.png", "dog_mask.png"), to that image, the
    longest such name. The mask of an image is the union of all that belong to it.

    Args:
        root: the folder.
        image_ids: of the images.
        threshold: for masks with other values than two: share of 255 from which a pixel is inside, above 0 up to 1.

    Raises:
        InputError: no such folder, no image file in it, or a threshold out of range.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise InputError(f"threshold is {threshold}, but a share above 0 and up to 1 is needed (0.5 is usual)")
    folders: dict[Kind, Path] = {kind: root / kind for kind in KINDS if (root / kind).is_dir()} or {"core": root}
    names = {without_suffix(image_id) for image_id in image_ids}
    by_file_name: dict[str, list[str]] = {}
    for name in names:
        by_file_name.setdefault(_last(name), []).append(name)
    files: dict[Kind, dict[str, list[Path]]] = {}
    for kind, folder in folders.items():
        found = files.setdefault(kind, {})
        for path in open_folder(folder).paths.tolist():
            image = _image_of(without_suffix(path), names, by_file_name)
            found.setdefault(image, []).append(folder / path)
    ids = sorted({image for found in files.values() for image in found})
    return MaskFolder(
        name=root.name,
        ids=np.array(ids),
        kinds=tuple(files),
        space="image",
        crop=None,
        files=files,
        threshold=threshold,
    )


def _image_of(mask: str, names: set[str], by_file_name: dict[str, list[str]]) -> str:
    """The image that a mask belongs to; the mask's own name where there is none."""
    if mask in names:
        return mask
    end = _last(mask)
    while end:
        if len(same := by_file_name.get(end, [])) == 1:
            return same[0]
        end = end.rpartition("_")[0]
    return mask


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _inside(values: np.ndarray, path: Path, threshold: float | None) -> np.ndarray:
    """uint8 -> bool [h, w].

    Raises:
        InputError: other values than 0 and 255, or 0 and 1, and no threshold.
    """
    if threshold is not None:
        return values >= threshold * 255
    found = np.unique(values)
    if not (set(found.tolist()) <= {0, 255} or set(found.tolist()) <= {0, 1}):
        raise InputError(
            f"mask {path.name} has {len(found)} values from {found[0]} to {found[-1]}, but 0 and 255 are needed: "
            "say from which share of 255 a pixel is inside (threshold=0.5 is usual)"
        )
    return values > 0


def _size(mask: np.ndarray) -> str:
    return f"{mask.shape[1]} x {mask.shape[0]}"
