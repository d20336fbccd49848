"""Hugging Face data sets from local folders."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from karat.errors import InputError, MissingDependencyError
from karat.images import open_images

from .pictures import BLUE, GREEN, RED, colour, encoded, numbered, put

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing goes to the user's cache, and nothing is asked of the network."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def rows(features: dict[str, Any] | None = None, **columns: list[Any]) -> Any:
    known = {"image": datasets.Image(), **(features or {})}
    inferred = datasets.Dataset.from_dict(columns)
    return inferred.cast(datasets.Features({name: known.get(name, inferred.features[name]) for name in columns}))


def saved(folder: Path, dataset: Any) -> str:
    dataset.save_to_disk(folder)
    return f"hf:{folder}"


def images(files: list[bytes]) -> list[dict[str, Any]]:
    return [{"bytes": file, "path": "same.png"} for file in files]


def listed(values: np.ndarray | None) -> list[Any] | None:
    return None if values is None else values.tolist()


def test_saved_data_set_gives_its_bytes_rows_and_class_names(tmp_path: Path) -> None:
    files = numbered(12)
    classes = datasets.ClassLabel(names=["cat", "dog"])
    source = open_images(saved(tmp_path / "pets", rows({"label": classes}, image=images(files), label=[0, 1, 1] * 4)))
    assert source.name == "pets"
    assert source.ids.tolist() == source.paths.tolist() == [f"{row:02d}" for row in range(12)]
    assert listed(source.labels) == ["cat", "dog", "dog"] * 4
    assert [source.encoded(i) for i in range(12)] == files
    assert source.read(7).tolist() == [[[7, 0, 0]]]


def test_nothing_is_decoded_before_it_is_read(tmp_path: Path) -> None:
    source = open_images(saved(tmp_path / "pets", rows(image=images([b"no image", numbered(2)[1]]))))
    assert source.read(1).tolist() == [[[1, 0, 0]]]
    with pytest.raises(InputError, match="image 0 cannot be decoded"):
        source.read(0)


def test_image_folder_has_its_paths_as_ids(tmp_path: Path) -> None:
    for split, kind, rgb in (
        ("train", "cat", RED),
        ("train", "dog", GREEN),
        ("test", "cat", BLUE),
        ("test", "dog", RED),
    ):
        put(tmp_path / "pets" / split / kind / "0 ü.png", encoded(colour(rgb)))
    source = open_images(f"hf:{tmp_path}/pets:train")
    assert source.name == "pets:train"
    assert source.ids.tolist() == source.paths.tolist() == ["train/cat/0 ü.png", "train/dog/0 ü.png"]
    assert listed(source.labels) == ["cat", "dog"]
    assert source.read(1)[0, 0].tolist() == list(GREEN)
    (tmp_path / "pets/train/dog/0 ü.png").unlink()
    with pytest.raises(InputError, match=r"image train/dog/0 ü\.png cannot be read: no such file"):
        source.read(1)


def test_parquet_folder_is_opened_and_sliced(tmp_path: Path) -> None:
    files = numbered(6)
    for split, part in (("train", files[:4]), ("test", files[4:])):
        (tmp_path / "set").mkdir(exist_ok=True)
        rows(image=images(part)).to_parquet(tmp_path / "set" / f"{split}-00000.parquet")
    assert [open_images(f"hf:{tmp_path}/set:test").encoded(i) for i in range(2)] == files[4:]
    part = open_images(f"hf:{tmp_path}/set:train[1:3]")
    assert [part.encoded(i) for i in range(len(part))] == files[1:3]
    with pytest.raises(InputError, match="has several splits: choose one of train, test, as in hf:NAME:train"):
        open_images(f"hf:{tmp_path}/set")
    with pytest.raises(InputError, match=r'cannot be loaded: Unknown split "val"'):
        open_images(f"hf:{tmp_path}/set:val")


def test_saved_splits_are_chosen_by_name(tmp_path: Path) -> None:
    splits = {name: rows(image=images([file])) for name, file in zip(("train", "val"), numbered(2), strict=True)}
    name = saved(tmp_path / "both", datasets.DatasetDict(splits))
    assert open_images(f"{name}:val").encoded(0) == numbered(2)[1]
    with pytest.raises(InputError, match="several splits: choose one of train, val"):
        open_images(name)
    with pytest.raises(InputError, match="no split 'test': choose one of train, val"):
        open_images(f"{name}:test")
    alone = saved(tmp_path / "one", datasets.DatasetDict({"train": splits["train"]}))
    assert len(open_images(alone)) == 1


def test_one_saved_split_is_itself_and_no_other(tmp_path: Path) -> None:
    name = saved(tmp_path / "one", datasets.DatasetDict({"train": rows(image=images(numbered(1)))})["train"])
    assert len(open_images(name)) == 1
    with pytest.raises(InputError, match="saved as one split"):
        open_images(f"{name}:test")


@pytest.mark.parametrize(("column", "values"), [("id", ["x", "y"]), ("__key__", ["a/0", "a/1"]), ("id", [7, 3])])
def test_column_of_ids_is_taken_where_they_differ(tmp_path: Path, column: str, values: list[Any]) -> None:
    source = open_images(saved(tmp_path / "set", rows(image=images(numbered(2)), **{column: values})))
    assert source.ids.tolist() == list(map(str, values))
    same = open_images(saved(tmp_path / "same", rows(image=images(numbered(2)), **{column: values[:1] * 2})))
    assert same.ids.tolist() == ["0", "1"]


def test_labels_are_those_of_the_column_label_or_of_the_only_classes(tmp_path: Path) -> None:
    two = datasets.ClassLabel(names=["a", "b"])
    files = images(numbered(2))
    kinds = (
        ({"fine": two}, {"fine": [1, 0]}, ["b", "a"]),
        ({"fine": two, "coarse": two}, {"fine": [1, 0], "coarse": [0, 0]}, None),
        ({"fine": two}, {"fine": [1, 0], "label": ["x", None]}, ["x", ""]),
        ({}, {"label": [3, 4]}, [3, 4]),
        ({"label": two}, {"label": [-1, -1]}, None),
        ({"label": two}, {"label": [-1, 1]}, ["", "b"]),
        ({}, {"caption": ["x", "y"]}, None),
    )
    for number, (features, columns, labels) in enumerate(kinds):
        name = saved(tmp_path / str(number), rows(features, image=files, **columns))
        assert listed(open_images(name).labels) == labels


def test_image_column_is_found_by_its_type(tmp_path: Path) -> None:
    picture = {"picture": datasets.Image(), "other": datasets.Image()}
    source = open_images(saved(tmp_path / "a", rows(picture, picture=images(numbered(1)), note=["image"])))
    assert source.encoded(0) == numbered(1)[0]
    both = rows(picture, picture=images(numbered(1)), other=images(numbered(1)))
    with pytest.raises(InputError, match=r"2 columns of type Image.*it has picture \(Image\), other \(Image\)"):
        open_images(saved(tmp_path / "b", both))
    with pytest.raises(InputError, match=r"no columns of type Image.*it has note \(Value\)"):
        open_images(saved(tmp_path / "c", rows(note=["x"])))
    named = rows(picture, picture=images([b"x"]), image=images([b"y"]))
    assert open_images(saved(tmp_path / "d", named)).encoded(0) == b"y"


def test_row_without_an_image_is_one_bad_image(tmp_path: Path) -> None:
    source = open_images(saved(tmp_path / "set", rows(image=[None, *images(numbered(1))])))
    assert source.encoded(1) == numbered(1)[0]
    with pytest.raises(InputError, match="image 0 cannot be read: its row holds neither bytes nor a path"):
        source.read(0)


def test_pickle_holds_paths_not_images(tmp_path: Path) -> None:
    file = np.random.default_rng(0).bytes(500_000)
    source = open_images(saved(tmp_path / "set", rows(image=images([file] * 4))))
    content = pickle.dumps(source)
    assert len(content) < 10_000
    assert pickle.loads(content).encoded(3) == file


def test_digest_changes_with_the_sizes_not_with_the_place(tmp_path: Path) -> None:
    digests = [
        open_images(saved(tmp_path / folder / "set", rows(image=images(files)))).digest
        for folder, files in (("a", [b"12", b"3"]), ("b", [b"12", b"3"]), ("c", [b"1", b"23"]))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_what_is_not_there_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder \./nowhere"):
        open_images("hf:./nowhere:train")
    with pytest.raises(InputError, match=r"cannot be downloaded .*save_to_disk\(FOLDER\), then give hf:FOLDER"):
        open_images("hf:nobody/nothing:train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"hf:.*empty cannot be loaded: .*any data files"):
        open_images(f"hf:{tmp_path}/empty")
    (tmp_path / "one").mkdir()
    rows(image=images(numbered(1))).to_parquet(tmp_path / "one" / "train.parquet")
    with pytest.raises(InputError, match=r"cannot be loaded: .*no data"):
        open_images(f"hf:{tmp_path}/one:train[:0]")


def test_damaged_data_set_is_named(tmp_path: Path) -> None:
    name = saved(tmp_path / "set", rows(image=images(numbered(1))))
    (tmp_path / "set" / "data-00000-of-00001.arrow").write_bytes(b"")
    with pytest.raises(InputError, match=r"hf:.*set cannot be loaded"):
        open_images(name)


def test_extra_is_named_where_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependencyError, match=r"hf: needs datasets.*karat\[data\]"):
        open_images("hf:some/set")
