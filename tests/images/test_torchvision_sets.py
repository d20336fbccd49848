"""Sets of torchvision, made by hand in the layouts that torchvision reads."""

from __future__ import annotations

import hashlib
import inspect
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from karat.errors import InputError
from karat.images import open_images
from karat.images.torchvision_sets import _SETS

from .pictures import BLUE, GREEN, RED, colour, encoded, put

sets = pytest.importorskip("torchvision.datasets")


def listed(values: np.ndarray | None) -> list[Any] | None:
    return None if values is None else values.tolist()


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """CIFAR-10 of two images a batch, which torchvision takes for the official one: [12, 32, 32, 3], 10 to train."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 3, 32, 32), np.uint8)
    folder = tmp_path / "cifar-10-batches-py"

    def batch(name: str, content: dict[str, Any]) -> list[str]:
        put(folder / name, pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    batches = [
        batch(name, {"data": pixels[2 * number : 2 * number + 2].reshape(2, -1), "labels": [number, 9]})
        for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"])
    ]
    name, md5 = batch("batches.meta", {"label_names": [f"class {number}" for number in range(10)]})
    monkeypatch.setattr(sets.CIFAR10, "train_list", batches[:5])
    monkeypatch.setattr(sets.CIFAR10, "test_list", batches[5:])
    monkeypatch.setattr(sets.CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": md5})
    return pixels.transpose(0, 2, 3, 1)


def test_cifar_gives_pixels_class_names_and_splits(tmp_path: Path, cifar: np.ndarray) -> None:
    train, test = (open_images(f"torchvision:CIFAR10:{tmp_path}:{split}") for split in ("train", "test"))
    assert train.name == "CIFAR10:train"
    assert train.ids.tolist() == train.paths.tolist() == list(map(str, range(10)))
    assert listed(train.labels) == [f"class {number}" for number in (0, 9, 1, 9, 2, 9, 3, 9, 4, 9)]
    assert all((train.read(i) == cifar[i]).all() for i in range(10))
    assert [listed(test.labels), len(test)] == [["class 5", "class 9"], 2]
    assert (test.read(1) == cifar[11]).all()
    assert (open_images(f"torchvision:CIFAR10:{tmp_path}").read(0) == cifar[0]).all()


def test_a_pickle_that_is_not_the_official_file_is_never_loaded(tmp_path: Path, cifar: np.ndarray) -> None:
    marker = tmp_path / "ran"

    class Runs:
        def __reduce__(self) -> tuple[Any, tuple[Path]]:
            return Path.touch, (marker,)

    put(tmp_path / "cifar-10-batches-py" / "data_batch_3", pickle.dumps(Runs()))
    with pytest.raises(
        InputError, match=r"CIFAR10 cannot be opened \(its files are not the official ones, or damaged\)"
    ):
        open_images(f"torchvision:CIFAR10:{tmp_path}")
    assert not marker.exists()


def test_missing_files_are_named_and_nothing_is_downloaded(
    tmp_path: Path, cifar: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("asked the network"))
    (tmp_path / "cifar-10-batches-py" / "data_batch_2").unlink()
    (tmp_path / "cifar-10-batches-py" / "test_batch").unlink()
    missing = r"cifar-10-batches-py/data_batch_2, cifar-10-batches-py/test_batch missing in .*; nothing is downloaded"
    with pytest.raises(InputError, match=missing):
        open_images(f"torchvision:CIFAR10:{tmp_path}")


def idx(values: np.ndarray) -> bytes:
    """MNIST's format: two zeros, the type, the number of dimensions, the sizes, the values."""
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def test_grey_sets_have_three_equal_channels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    for part in ("train", "t10k"):
        put(tmp_path / f"MNIST/raw/{part}-images-idx3-ubyte", idx(pixels if part == "train" else pixels[:1]))
        put(
            tmp_path / f"MNIST/raw/{part}-labels-idx1-ubyte",
            idx(np.array([7, 0, 1], np.uint8)[: 3 if part == "train" else 1]),
        )
    source = open_images(f"torchvision:MNIST:{tmp_path}")
    assert source.read(2).shape == (28, 28, 3)
    assert (source.read(2) == pixels[2][..., None]).all()
    assert listed(source.labels) == ["7 - seven", "0 - zero", "1 - one"]
    assert len(open_images(f"torchvision:MNIST:{tmp_path}:test")) == 1


def test_stl10_is_turned_upright_and_unlabelled_images_have_no_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
    for part in ("train", "test", "unlabeled"):
        put(tmp_path / f"stl10_binary/{part}_X.bin", pixels.transpose(0, 3, 2, 1).tobytes())  # columns first
        put(tmp_path / f"stl10_binary/{part}_y.bin", bytes([1, 3]))
    put(tmp_path / "stl10_binary/class_names.txt", b"airplane\nbird\ncar\n")
    for name in ("train_list", "test_list"):
        files = [[file, None] for file, _ in getattr(sets.STL10, name)]
        monkeypatch.setattr(sets.STL10, name, files)
    train = open_images(f"torchvision:STL10:{tmp_path}")
    assert (train.read(1) == pixels[1]).all()
    assert listed(train.labels) == ["airplane", "car"]
    assert open_images(f"torchvision:STL10:{tmp_path}:unlabeled").labels is None
    assert listed(open_images(f"torchvision:STL10:{tmp_path}:train+unlabeled").labels) == ["airplane", "car", "", ""]
    with pytest.raises(InputError, match=r"cannot be opened \(Unknown value 'val' for argument split\. Valid values"):
        open_images(f"torchvision:STL10:{tmp_path}:val")


def test_image_folder_gives_files_by_their_paths(tmp_path: Path) -> None:
    for kind, rgb in (("dog", GREEN), ("cat", RED)):
        put(tmp_path / "a:b" / kind / "deep" / "x.png", encoded(colour(rgb)))
    source = open_images(f"torchvision:ImageFolder:{tmp_path}/a:b")
    assert source.name == "ImageFolder"
    assert source.ids.tolist() == ["cat/deep/x.png", "dog/deep/x.png"]
    assert listed(source.labels) == ["cat", "dog"]
    assert source.encoded(1) == encoded(colour(GREEN))


def test_sets_with_lists_of_files_keep_their_splits(tmp_path: Path) -> None:
    for kind, rgb in (("dotted", GREEN), ("banded", BLUE)):
        for number in range(2):
            put(tmp_path / f"dtd/dtd/images/{kind}/{kind}_{number}.jpg", encoded(colour(rgb), "JPEG"))
    put(tmp_path / "dtd/dtd/labels/train1.txt", b"dotted/dotted_1.jpg\nbanded/banded_0.jpg\n")
    source = open_images(f"torchvision:DTD:{tmp_path}:train")
    assert source.ids.tolist() == ["dtd/dtd/images/banded/banded_0.jpg", "dtd/dtd/images/dotted/dotted_1.jpg"]
    assert listed(source.labels) == ["banded", "dotted"]


def test_sets_with_pairs_of_file_and_class_are_read(tmp_path: Path) -> None:
    for number, rgb in enumerate((RED, BLUE)):
        put(tmp_path / f"rendered-sst2/valid/{('negative', 'positive')[number]}/{number}.png", encoded(colour(rgb)))
    source = open_images(f"torchvision:RenderedSST2:{tmp_path}:val")
    assert source.ids.tolist() == ["rendered-sst2/valid/negative/0.png", "rendered-sst2/valid/positive/1.png"]
    assert listed(source.labels) == ["negative", "positive"]


def test_class_of_several_names_is_called_by_all(tmp_path: Path) -> None:
    put(tmp_path / "imagenette2/val/n01440764/a.JPEG", encoded(colour(RED), "JPEG"))
    assert listed(open_images(f"torchvision:Imagenette:{tmp_path}:val").labels) == ["tench, Tinca tinca"]


@pytest.mark.parametrize("name", _SETS)
def test_every_known_set_is_torchvisions_and_takes_no_more_than_a_root_and_a_split(name: str, tmp_path: Path) -> None:
    parameters = inspect.signature(getattr(sets, name)).parameters
    needed = [key for key, value in parameters.items() if value.default is inspect.Parameter.empty]
    assert needed == ["root"]
    with pytest.raises(InputError, match=rf"torchvision:{name} cannot be opened"):
        open_images(f"torchvision:{name}:{tmp_path}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CIFAR-10:.", "torchvision:CIFAR-10 is not known: did you mean CIFAR10"),
        ("imagefolder:.", "did you mean ImageFolder"),
        ("ImageNet:.", "can be given as a folder"),
        ("zzz", r"did you mean CIFAR10, CIFAR100, .*SUN397\?"),
        ("CIFAR10", r"torchvision:CIFAR10:ROOT\[:SPLIT\] is needed"),
        ("CIFAR10:/no/where:train", "there is no folder '/no/where:train'"),
        ("CIFAR10:.:val", r"has no split 'val': choose train or test"),
        ("EuroSAT:.:val", r"has no split 'val': choose none"),
    ],
)
def test_unknown_names_folders_and_splits_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_images(f"torchvision:{name}")
