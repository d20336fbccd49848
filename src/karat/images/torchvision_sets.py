"""Sets that torchvision knows, from where they lie on disk. Nothing is downloaded or unpacked."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._array import untensor
from .._optional import require
from ..errors import InputError
from .arrays import Pixels
from .decoding import first_line
from .files import Files
from .shards import expand_braces
from .source import ImageSource, row_numbers

# Name -> what ROOT must hold. CIFAR's files are pickles: torchvision reads only those that have the official MD5.
_SETS = {
    "CIFAR10": "cifar-10-batches-py/data_batch_{1..5} cifar-10-batches-py/{test_batch,batches.meta}",
    "CIFAR100": "cifar-100-python/{train,test,meta}",
    "MNIST": "MNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte",
    "FashionMNIST": "FashionMNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte",
    "KMNIST": "KMNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte",
    "STL10": "stl10_binary/{train_X,train_y,unlabeled_X,test_X,test_y}.bin",
    "SVHN": "{train,test,extra}_32x32.mat",
    "USPS": "usps.bz2 usps.t.bz2",
    "ImageFolder": "",  # a folder a class
    "Country211": "country211/{train,valid,test}",
    "DTD": "dtd/dtd/{images,labels}",
    "EuroSAT": "eurosat/2750",
    "FGVCAircraft": "fgvc-aircraft-2013b/data",
    "Flowers102": "flowers-102/{jpg,imagelabels.mat,setid.mat}",
    "Food101": "food-101/{images,meta}",
    "GTSRB": "gtsrb/GTSRB/{Training,Final_Test/Images} gtsrb/GT-final_test.csv",
    "Imagenette": "imagenette2",
    "OxfordIIITPet": "oxford-iiit-pet/{images,annotations}",
    "RenderedSST2": "rendered-sst2/{train,valid,test}",
    "StanfordCars": "stanford_cars/{cars_train,cars_test,devkit,cars_test_annos_withlabels.mat}",
    "SUN397": "SUN397",
}
# Where the classes of torchvision keep (path, label) pairs; paths and labels apart; labels of arrays.
_PAIRS = ("samples", "_samples")
_PATHS = ("_image_files", "_images")
_LABELS = ("targets", "labels", "_labels")


def open_torchvision(name: str) -> ImageSource:
    """NAME:ROOT[:SPLIT] of a set that torchvision knows; see `open_images`.

    Raises:
        InputError: an unknown name (the nearest are named) or split, or files that are missing or not the official.
        MissingDependencyError: torchvision is not installed.
    """
    kind, _, rest = name.partition(":")
    if kind not in _SETS:
        near = difflib.get_close_matches(kind, _SETS, n=3, cutoff=0.4) or list(_SETS)
        raise InputError(
            f"torchvision:{kind} is not known: did you mean {', '.join(near)}? "
            "(Any set of image files can be given as a folder)"
        )
    root, split = _root_and_split(rest)
    if not rest or not root.is_dir():
        raise InputError(f"torchvision:{kind}: there is no folder {rest!r}: torchvision:{kind}:ROOT[:SPLIT] is needed")
    found = _open(kind, root, split)
    title = f"{kind}:{split}" if split else kind
    classes = [name if isinstance(name, str) else ", ".join(name) for name in getattr(found, "classes", [])]
    if hasattr(found, "data"):
        pixels = _pixels(np.asarray(untensor(found.data, "data")))
        rows = row_numbers(len(pixels))
        labels = _names(untensor(_first(found, _LABELS), "labels"), classes)
        return Pixels(name=title, ids=rows, paths=rows, labels=labels, pixels=pixels)
    pairs = _first(found, _PAIRS) or list(zip(_first(found, _PATHS), _first(found, _LABELS), strict=True))
    paths, numbers = zip(*sorted((Path(path).relative_to(root).as_posix(), y) for path, y in pairs), strict=True)
    return Files.below(root, paths, name=title, labels=_names(numbers, classes))


def _root_and_split(text: str) -> tuple[Path, str | None]:
    """ROOT may hold a colon itself: what follows the last one is a split if it is no part of a folder that is there."""
    whole = Path(text).expanduser()
    before, colon, split = text.rpartition(":")
    if not colon or whole.is_dir():
        return whole, None
    return Path(before).expanduser(), split


def _open(kind: str, root: Path, split: str | None) -> Any:
    """torchvision's own object; splits are called as it calls them, or train and test."""
    factory = getattr(require("torchvision.datasets", "torchvision:"), kind)
    parameters = inspect.signature(factory).parameters
    arguments: dict[str, Any] = {}
    if split is not None and "split" in parameters:
        arguments = {"split": split}
    elif split is not None:
        splits = ("train", "test") if "train" in parameters else ()
        if split not in splits:
            raise InputError(f"torchvision:{kind} has no split {split!r}: choose {' or '.join(splits) or 'none'}")
        arguments = {"train": split == "train"}
    try:
        return factory(str(root), **arguments)
    except Exception as error:  # RuntimeError where files are missing; on damaged files nearly anything
        needed = [path for pattern in _SETS[kind].split() for path in expand_braces(pattern)]
        missing = [path for path in needed if not (root / path).exists()]
        why = f"{', '.join(missing)} missing in {root}" if missing else _reason(error)
        raise InputError(f"torchvision:{kind} cannot be opened ({why}); nothing is downloaded") from error


def _reason(error: Exception) -> str:
    text = first_line(error)
    return "its files are not the official ones, or damaged" if "download=True" in text else text


def _pixels(data: np.ndarray) -> np.ndarray:
    """Images as torchvision holds them, grey or with the channel first or last -> uint8 [n, h, w, 3], not copied."""
    if data.ndim == 3:
        return np.broadcast_to(data[..., None], (*data.shape, 3))  # [n, h, w] -> [n, h, w, 3]
    return data.transpose(0, 2, 3, 1) if data.shape[1] == 3 else data  # [n, 3, h, w] -> [n, h, w, 3]


def _names(numbers: Sequence[int] | np.ndarray, classes: list[str]) -> np.ndarray | None:
    """Class numbers by name where there are names; -1 is no label."""
    y = np.array(numbers)
    if y.max() < 0:
        return None
    if not classes:
        return y
    return np.array(["" if number < 0 else classes[number] for number in y])


def _first(found: Any, names: Sequence[str]) -> Any:
    """The first attribute of some names that an object has."""
    return next((value for name in names if (value := getattr(found, name, None)) is not None), None)
