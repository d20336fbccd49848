"""open_masks: whatever names masks -> a source of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..._files import reason
from ...errors import InputError, InputTypeError
from .folder import open_mask_folder
from .salient_imagenet import open_salient_imagenet
from .source import MaskSource
from .wordnet_files import open_hard_imagenet, open_rival10

_KINDS = "a folder of mask images, salient-imagenet:ZIP:ANSWERS.csv, hard-imagenet:FOLDER or rival10:FOLDER"


def open_masks(
    masks: str | os.PathLike[str] | MaskSource, image_ids: Sequence[str], *, threshold: float | None = None
) -> MaskSource:
    """Open a source of masks.

    Args:
        masks: one of

            * a folder of mask images, named like the images, of the images' own size, 0 outside and 255 inside; with
              folders core/ and spurious/ in it, masks of both kinds (see `open_mask_folder`);
            * `salient-imagenet:ZIP:ANSWERS`: the zip as it is published, and discover_spurious_features.csv;
            * `hard-imagenet:FOLDER`, `rival10:FOLDER`: as they are published;
            * a `MaskSource`, which is returned as it is.
        image_ids: of the images that the masks belong to.
        threshold: for a folder whose masks have other values than two: share of 255 from which a pixel is inside.

    Raises:
        InputError: missing, without masks, of an unknown kind, or with parts that do not fit together.
        FileFormatError: a zip or a table that is truncated, damaged or of another form.
        InputTypeError: none of the above.
    """
    if isinstance(masks, MaskSource):
        return masks
    if not isinstance(masks, str | os.PathLike):
        raise InputTypeError(f"masks is a {type(masks).__name__}, but {_KINDS} is needed")
    text = os.fsdecode(masks)
    prefix, colon, rest = text.partition(":")
    try:
        match prefix if colon else "":
            case "salient-imagenet":
                archive, answers = _two_paths(rest)
                return open_salient_imagenet(archive, answers)
            case "hard-imagenet":
                return open_hard_imagenet(Path(rest))
            case "rival10":
                return open_rival10(Path(rest))
        if Path(text).is_dir():
            return open_mask_folder(Path(text), image_ids, threshold=threshold)
    except OSError as error:
        raise InputError(f"{text} cannot be read: {reason(error)}") from error
    raise InputError(f"{text} is no folder: give {_KINDS}")


def _two_paths(text: str) -> tuple[Path, Path]:
    archive, colon, answers = text.rpartition(":")
    if not colon:
        raise InputError(
            f"salient-imagenet:{text} names one file, but two are needed: the zip, and the answers that say which "
            "features are core (mturk_results/discover_spurious_features.csv): salient-imagenet:ZIP:ANSWERS.csv"
        )
    return Path(archive), Path(answers)
