"""Draw the demo's images from CIFAR-10: 4,000 of the training split and 2,000 of the test split, files as they are.

    python scripts/make_demo_data.py CIFAR10_TRAIN.npz CIFAR10_TEST.npz -o src/karat/demo/data

The inputs hold encoded image files: `bytes` uint8 [total], `offsets` int64 [n + 1], `y` uint8 [n], `classes`. The rows
are drawn at random without replacement (not balanced over the classes) and kept in their order. The outputs, train.npz
and test.npz, hold the same arrays and `ids` ("train/00123": split and row); equal input gives equal bytes.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np

SEED = 0
SIZES = {"train": 4000, "test": 2000}
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold


def draw(source: Path, split: str, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """A random sample of the images in `source`, as the arrays of an .npz."""
    with np.load(source, allow_pickle=False) as archive:
        data, offsets, y, classes = (archive[name] for name in ("bytes", "offsets", "y", "classes"))
    rows = np.sort(generator.choice(len(y), SIZES[split], replace=False))
    files = [data[offsets[row] : offsets[row + 1]] for row in rows]
    return {
        "bytes": np.concatenate(files),
        "offsets": np.cumsum([0] + [len(file) for file in files]),
        "y": y[rows],
        "classes": classes,
        "ids": np.array([f"{split}/{row:05d}" for row in rows]),
    }


def save(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Write an uncompressed .npz without clock times."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _LONG_AGO), content.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(SEED)
    for split, source in (("train", arguments.train), ("test", arguments.test)):
        arrays = draw(source, split, generator)
        target = arguments.out / f"{split}.npz"
        save(arrays, target)
        counts = np.bincount(arrays["y"], minlength=len(arrays["classes"])).tolist()
        print(f"{target}: {len(arrays['y'])} images, {target.stat().st_size} bytes, per class {counts}")


if __name__ == "__main__":
    main()
