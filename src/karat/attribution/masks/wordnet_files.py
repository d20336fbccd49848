"""HardImageNet and RIVAL10: masks drawn by people, files that are named <wnid>_<image>."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...images.files import open_folder, read_bytes
from .source import Kind, MaskSource, decode_mask, without_suffix


@dataclass(frozen=True, eq=False)
class WordNetFiles(MaskSource):
    """Masks of ImageNet images in files named <wnid>_<image>; any value above 0 is the object, as in the authors' code.

    Attributes:
        files: "<wnid>/<image>" -> the file.
    """

    files: dict[str, Path] = field(repr=False)

    def read(self, mask_id: str, kind: Kind = "core") -> np.ndarray | None:
        if kind not in self.kinds:
            return None
        path = self.files[mask_id]
        return decode_mask(read_bytes(path, path.name), path.name) > 0

    def _names_of(self, mask_id: str) -> Iterator[str]:
        yield from super()._names_of(mask_id)
        yield mask_id.replace("/", "_")


def open_hard_imagenet(root: Path) -> WordNetFiles:
    """HardImageNet: the masks in {train,val}/<wnid>_<image>.

    The pickles beside them (meta/) say nothing that a mask needs, and are not read.

    Raises:
        InputError: no such folder, or no mask in it.
    """
    return _open(root, [root / split for split in ("train", "val")], "{train,val}/<wnid>_<image>")


def open_rival10(root: Path) -> WordNetFiles:
    """RIVAL10: the masks of whole objects in {train,test}/entire_object_masks/<wnid>_<image>.

    The pickles beside the images (masks of single attributes) are not read.

    Raises:
        InputError: no such folder, or no mask in it.
    """
    folders = [root / split / "entire_object_masks" for split in ("train", "test")]
    return _open(root, folders, "{train,test}/entire_object_masks/<wnid>_<image>")


def _open(root: Path, folders: list[Path], layout: str) -> WordNetFiles:
    files: dict[str, Path] = {}
    for folder in filter(Path.is_dir, folders):
        for path in open_folder(folder).paths.tolist():
            wnid, underscore, image = without_suffix(path).partition("_")
            if underscore and "/" not in path:
                files[f"{wnid}/{image}"] = folder / path
    if not files:
        raise InputError(f"{root} holds no mask {layout}")
    return WordNetFiles(
        name=root.name, ids=np.array(sorted(files)), kinds=("core",), space="image", crop=None, files=files
    )
