"""Made-up mask sets of exactly the published layouts."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = "salient_imagenet_dataset"
COLUMNS = (
    "WorkerId",
    "Input.wordnet_id",
    "Input.class_index",
    "Input.feature_index",
    "Input.feature_rank",
    "Answer.main",
    "Answer.confidence",
    "Answer.reasons",
)


def file_of(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    """An image file; a JPEG is a nearly lossless one."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **({"quality": 100} if kind == "JPEG" else {}))
    return file.getvalue()


def square(top: int, left: int, side: int, size: int = 224, value: int = 255) -> np.ndarray:
    """uint8 [size, size] with a square in it."""
    pixels = np.zeros((size, size), np.uint8)
    pixels[top : top + side, left : left + side] = value
    return pixels


def write_salient(
    path: Path,
    masks: Mapping[tuple[str, int, str], np.ndarray],
    wordnet: Mapping[int, str],
    *,
    extra: Mapping[str, bytes] = {},
    dictionary: str | None = None,
) -> Path:
    """A zip as it is published, from (wnid, feature, image) -> uint8 [224, 224]."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{ROOT}/wordnet_dict.py", repr(dict(wordnet)) if dictionary is None else dictionary)
        for wnid in sorted({wnid for wnid, _, _ in masks}):
            features = sorted({feature for other, feature, _ in masks if other == wnid})
            names = [[image for w, f, image in masks if (w, f) == (wnid, feature)] for feature in features]
            lines = [",".join(map(str, features)), *(",".join(row) for row in zip(*names, strict=False))]
            archive.writestr(f"{ROOT}/{wnid}/image_names_map.csv", "\n".join(lines))
        for (wnid, feature, image), pixels in masks.items():
            archive.writestr(f"{ROOT}/{wnid}/feature_{feature}/{image}.JPEG", file_of(pixels, "JPEG"))
        for name, content in extra.items():
            archive.writestr(name, content)
    return path


def write_answers(path: Path, answers: Mapping[tuple[str, int, int], Sequence[str]]) -> Path:
    """discover_spurious_features.csv, from (wnid, class, feature) -> the five answers."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for (wnid, label, feature), given in answers.items():
            for worker, answer in enumerate(given):
                writer.writerow((f"W{worker}", wnid, label, feature, 1, answer, 4, 'it is, "plainly"'))
    return path


def votes(spurious: int) -> list[str]:
    """Five answers, so many of them that the feature is spurious."""
    return ["background", "separate_object", "background", "separate_object", "background"][:spurious] + [
        "main_object"
    ] * (5 - spurious)
