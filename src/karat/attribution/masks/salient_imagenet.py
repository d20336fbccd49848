"""Salient ImageNet: masks of what a robust network looks at, core or spurious by the vote of five people."""

from __future__ import annotations

import ast
import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from ..._files import reason
from ...errors import FileFormatError, InputError
from .archive import Archive
from .source import LARGEST_FILE, Kind, MaskSource, decode_mask

RESIZE, SIZE = 256, 224
ANSWERS, NEEDED = 5, 3
_SPURIOUS_ANSWERS = ("separate_object", "background")
_KNOWN_ANSWERS = ("main_object", *_SPURIOUS_ANSWERS)
_COLUMNS = ("Input.class_index", "Input.feature_index", "Input.wordnet_id", "Answer.main")
_MOST_TEXT = 1 << 26


@dataclass(frozen=True, eq=False)
class SalientImageNet(MaskSource):
    """The masks of a Salient ImageNet zip: an image's mask of a kind is the union of its features' masks of that kind.

    The masks are stored in the 224 pixels of Resize(256), CenterCrop(224), and used as stored. (The authors' loader
    sends them through resize and crop a second time: a zoom of 256 / 224 = 1.143 that moves edges by up to 16 pixels.)

    Attributes:
        features: "core" or "spurious" -> image -> the members that show it.
    """

    archive: Archive = field(repr=False)
    features: Mapping[Kind, Mapping[str, tuple[str, ...]]] = field(repr=False)

    def read(self, mask_id: str, kind: Kind = "core") -> np.ndarray | None:
        members = self.features[kind].get(mask_id)
        if members is None:
            return None
        soft = np.zeros((SIZE, SIZE), np.uint8)
        for member in members:
            values = decode_mask(self.archive.read(member, most=LARGEST_FILE), f"{self.name}: {member}")
            if values.shape != soft.shape:
                raise InputError(
                    f"mask {self.name}: {member} has {values.shape[1]} x {values.shape[0]} pixels, "
                    f"but those of Salient ImageNet have {SIZE} x {SIZE}"
                )
            np.maximum(soft, values, out=soft)
        return soft >= 128  # of 255: at least one half


def open_salient_imagenet(archive: Path, answers: Path) -> SalientImageNet:
    """The masks of Salient ImageNet, read from their zip.

    Of each pair of a class and a feature, five people said whether it shows the main object, a separate object or the
    background; the feature is spurious for the class where three or more did not say the main object, else core.

    Args:
        archive: salient_imagenet_dataset.zip: wordnet_dict.py, and for each class image_names_map.csv and
            feature_<index>/<image>.JPEG.
        answers: discover_spurious_features.csv, from the authors' repository (mturk_results/).

    Raises:
        FileFormatError: a zip that is truncated or damaged, or a part of another form.
        InputError: a file that is missing, a path that leads out of the zip, or no mask in it.
    """
    labels = _labels(answers)
    opened = Archive(archive)
    wordnet = _wordnet(opened)
    features: dict[Kind, dict[str, tuple[str, ...]]] = {"core": {}, "spurious": {}}
    for image, kind, member in _members(opened, labels, wordnet):
        features[kind][image] = (*features[kind].get(image, ()), member)
    ids = sorted(features["core"].keys() | features["spurious"].keys())
    if not ids:
        raise InputError(f"{archive} holds no mask <wnid>/feature_<index>/<image>.JPEG of a feature that was judged")
    return SalientImageNet(
        name=archive.name,
        ids=np.array(ids),
        kinds=("core", "spurious"),
        space="crop",
        crop=(RESIZE, SIZE),
        archive=opened,
        features=features,
    )


def _labels(answers: Path) -> dict[tuple[int, int], tuple[str, Kind]]:
    """(class, feature) -> its class's WordNet id, and what it is by vote."""
    votes: dict[tuple[int, int], list[str]] = defaultdict(list)
    wordnet: dict[tuple[int, int], str] = {}
    for line, row in enumerate(_answer_rows(answers), start=2):
        try:
            pair = int(row["Input.class_index"]), int(row["Input.feature_index"])
        except (TypeError, ValueError) as error:
            raise FileFormatError(f"{answers}, line {line}: no number of a class and a feature ({error})") from error
        if row["Answer.main"] not in _KNOWN_ANSWERS:
            raise FileFormatError(
                f"{answers}, line {line}: the answer is {row['Answer.main']!r}, but one of "
                f"{', '.join(_KNOWN_ANSWERS)} is needed"
            )
        votes[pair].append(row["Answer.main"])
        wordnet[pair] = row["Input.wordnet_id"]
    for (label, feature), given in votes.items():
        if len(given) != ANSWERS:
            raise FileFormatError(
                f"{answers}: feature {feature} of class {label} has {len(given)} answers, but {ANSWERS} are needed"
            )
    return {
        pair: (wordnet[pair], "spurious" if sum(vote in _SPURIOUS_ANSWERS for vote in given) >= NEEDED else "core")
        for pair, given in votes.items()
    }


def _answer_rows(answers: Path) -> Iterator[dict[str, str]]:
    try:
        text = answers.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{answers} cannot be read: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{answers} is no text in UTF-8: {error}") from error
    rows = csv.DictReader(io.StringIO(text))
    if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
        raise FileFormatError(
            f"{answers} lacks the columns {', '.join(missing)}: discover_spurious_features.csv has them"
        )
    return rows


def _wordnet(archive: Archive) -> dict[int, str]:
    """Class index -> WordNet id, from the one wordnet_dict.py; read as a literal, never run."""
    found = [name for name in archive.members if PurePosixPath(name).name == "wordnet_dict.py"]
    if len(found) != 1:
        raise FileFormatError(f"{archive.path} holds {len(found)} files wordnet_dict.py, but Salient ImageNet has one")
    text = archive.read(found[0], most=_MOST_TEXT)
    try:
        value = ast.literal_eval(text.decode().strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise FileFormatError(f"{archive.path}: {found[0]} is no literal dict: {error}") from error
    if not isinstance(value, dict) or not all(isinstance(k, int) and isinstance(v, str) for k, v in value.items()):
        raise FileFormatError(f"{archive.path}: {found[0]} is no dict of class numbers and WordNet ids")
    return value


def _members(
    archive: Archive, labels: Mapping[tuple[int, int], tuple[str, Kind]], wordnet: Mapping[int, str]
) -> Iterator[tuple[str, Kind, str]]:
    """(image, kind, member) of every mask whose feature was judged for its class."""
    judged: dict[tuple[str, str], Kind] = {}
    for (label, feature), (wnid, kind) in labels.items():
        if wordnet.get(label, wnid) != wnid:
            raise FileFormatError(
                f"class {label} is {wordnet[label]} in {archive.path}, but {wnid} among the answers: "
                "both must be of the same release"
            )
        judged[wnid, f"feature_{feature}"] = kind
    for name in archive.members:
        parts = PurePosixPath(name).parts
        if len(parts) < 3 or PurePosixPath(name).suffix.lower() not in (".jpeg", ".jpg", ".png"):
            continue
        found = judged.get((parts[-3], parts[-2]))
        if found is not None:
            yield f"{parts[-3]}/{PurePosixPath(name).stem}", found, name
