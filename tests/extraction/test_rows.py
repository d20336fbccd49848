"""Which rows there are: images that cannot be decoded, and augmented views."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from karat import store
from karat.errors import InputError, KaratWarning
from karat.extraction import extract, folder, plan
from karat.extraction.skipping import Tolerance
from karat.images import open_images
from karat.images.views import augmented
from tests.extraction.small import PIXELS, flat, tiny, write_images


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of six rows."""
    monkeypatch.setattr(plan, "SHARD_ROWS", 6)


# images that cannot be decoded


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_image_beyond_max_bad_is_named_and_nothing_is_written(tmp_path: Path, workers: int) -> None:
    images = write_images(tmp_path / "images", 4, bad=(2,))
    words = r"1 of 4 images cannot be decoded so far, more than max_bad=0.01 allows: image 002\.png cannot be decoded: "
    with pytest.raises(InputError, match=words):
        extract(flat(), images, batch_size=1, workers=workers, out=tmp_path / "bad.emb")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


@pytest.mark.parametrize("workers", [0, 2])
def test_corrupt_images_up_to_max_bad_are_skipped_recorded_and_told(
    tmp_path: Path, workers: int, small_shards: None
) -> None:
    images = write_images(tmp_path / "images", 20, bad=(0, 7, 19))
    reason = "image 007.png cannot be decoded: its content is that of no image file"
    with pytest.warns(KaratWarning, match="3 of 20 images cannot be decoded and were skipped: image 000.png cannot"):
        kept = extract(flat(), images, batch_size=3, workers=workers, max_bad=0.15)
    with pytest.warns(KaratWarning, match="provenance"):
        written = extract(flat(), images, batch_size=3, workers=workers, max_bad=0.15, out=tmp_path / "some.emb")
    good = [row for row in range(20) if row not in (0, 7, 19)]
    for emb in (kept, written):
        assert emb.sample_ids.tolist() == [f"{row:03d}.png" for row in good]
        assert (np.asarray(emb.h[:]) == PIXELS[good].reshape(17, -1)).all()
        assert [entry["id"] for entry in emb.provenance["skipped"]] == ["000.png", "007.png", "019.png"]
        assert emb.provenance["skipped"][1] == {"id": "007.png", "reason": reason}
    manifest = json.loads((tmp_path / "some.emb" / "manifest.json").read_text())
    assert [mark["rows"] for mark in manifest["shards"]] == [5, 5, 6, 1]
    assert manifest["shards"][1]["skipped"] == [{"id": "007.png", "reason": reason}]
    rows = [pq.read_table(tmp_path / "some.emb" / f"part-{k:05d}.parquet")["row"].to_pylist() for k in range(4)]
    assert [*chain(*rows)] == good  # the number of each image in its source


def test_a_shard_of_which_no_image_can_be_decoded_has_no_files(tmp_path: Path, small_shards: None) -> None:
    images = write_images(tmp_path / "images", 20, bad=tuple(range(6, 12)))
    with pytest.warns(KaratWarning, match="6 of 20 .* and 3 more"):
        emb = extract(flat(), images, batch_size=3, max_bad=0.5, out=tmp_path / "some.emb")
    assert (emb.h[:] == PIXELS[[*range(6), *range(12, 20)]].reshape(14, -1)).all()
    names = {path.name for path in (tmp_path / "some.emb").iterdir()}
    assert {"part-00000.npy", "part-00002.npy"} <= names
    assert names.isdisjoint(("part-00001.npy", "part-00001.parquet"))


@pytest.mark.parametrize("out", [None, "bad.emb"])
def test_where_no_image_can_be_decoded_nothing_is_written(tmp_path: Path, out: str | None, small_shards: None) -> None:
    images = write_images(tmp_path / "images", 8, bad=tuple(range(8)))
    with pytest.raises(InputError, match=r"none of the 8 images can be decoded: image 000\.png cannot .*and 5 more"):
        extract(flat(), images, batch_size=3, max_bad=1, out=out and tmp_path / out)
    assert not (out and (tmp_path / out / "part-00000.npy").exists())


def test_an_interrupted_run_of_too_many_bad_images_goes_on_when_more_are_allowed(
    tmp_path: Path, small_shards: None
) -> None:
    images = write_images(tmp_path / "images", 20, bad=(3, 17))
    with pytest.raises(InputError, match="2 of 20"):
        extract(flat(), images, batch_size=3, max_bad=0.05, out=tmp_path / "some.emb")
    assert (tmp_path / "some.emb" / "part-00001.json").exists()
    with pytest.raises(InputError, match="2 of 20"):
        extract(flat(), images, batch_size=3, max_bad=0.05, out=tmp_path / "some.emb", resume=True)
    with pytest.warns(KaratWarning):
        emb = extract(flat(), images, batch_size=3, max_bad=0.1, out=tmp_path / "some.emb", resume=True)
    assert emb.n == 18


def test_what_earlier_runs_skipped_counts_before_anything_is_computed(tmp_path: Path, small_shards: None) -> None:
    images = write_images(tmp_path / "images", 20, bad=(3, 17))
    with pytest.raises(InputError, match="2 of 20"):
        extract(flat(), images, batch_size=3, max_bad=0.05, out=tmp_path / "some.emb")
    encoder = flat()
    encoder.module.register_forward_hook(lambda *_: pytest.fail("computed"))
    with pytest.raises(InputError, match="1 of 20 images cannot be decoded so far, more than max_bad=0 allows"):
        extract(encoder, images, batch_size=3, max_bad=0, out=tmp_path / "some.emb", resume=True)


def test_what_each_of_several_processes_skips_is_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_shards: None
) -> None:
    write = folder._write

    def by_two(work: Any, writer: Any, missing: Any, team: Any, tolerance: Any, progress: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(folder, "_skipped", lambda _: [])  # neither sees what the other has finished
            for rank in (1, 0):
                write(work, writer, missing, SimpleNamespace(rank=rank, size=2), Tolerance(20, 0.05), progress)

    monkeypatch.setattr(folder, "_write", by_two)
    images = write_images(tmp_path / "images", 20, bad=(3, 8))
    encoder, batches = flat(), []
    encoder.module.register_forward_hook(lambda *_: batches.append(1))
    with pytest.raises(InputError, match="2 of 20"):
        extract(encoder, images, batch_size=3, max_bad=0.05, out=tmp_path / "some.emb")
    assert not json.loads((tmp_path / "some.emb" / "manifest.json").read_text())["complete"]
    assert len(batches) == 7  # none twice


@pytest.mark.parametrize("max_bad", [-0.1, 1.5, float("nan")])
def test_max_bad_is_a_share(max_bad: float) -> None:
    with pytest.raises(InputError, match=r"max_bad is .*, but a share of the images, from 0 to 1, is needed"):
        extract(flat(), PIXELS, max_bad=max_bad)


# views


@pytest.mark.parametrize("workers", [0, 2])
def test_views_are_the_augmented_images_in_order(tmp_path: Path, workers: int, small_shards: None) -> None:
    settings = {"views": 3, "seed": 5, "batch_size": 7, "workers": workers}
    kept = extract(flat(), PIXELS, **settings)
    written = extract(flat(), PIXELS, **settings, out=tmp_path / "views.emb")
    expected = [
        augmented(PIXELS[row], seed=5, row=row, view=view).reshape(-1) for row in range(23) for view in range(3)
    ]
    for emb in (kept, written):
        assert (np.asarray(emb.h[:]) == expected).all()
        assert emb.extra["view"].tolist() == [0, 1, 2] * 23
        assert emb.sample_ids.tolist() == [f"{row:02d}" for row in range(23) for _ in range(3)]
        assert (emb.provenance["views"], emb.provenance["seed"]) == (3, 5)
    rows = [pq.read_table(path)["row"].to_pylist() for path in sorted((tmp_path / "views.emb").glob("*.parquet"))]
    assert [*chain(*rows)] == list(range(69))


def test_views_of_another_seed_are_others() -> None:
    first, again, other = (extract(flat(), PIXELS, views=2, seed=seed).h for seed in (0, 0, 1))
    assert (np.asarray(first) == np.asarray(again)).all()
    assert not (np.asarray(first) == np.asarray(other)).any(axis=1).all()


def test_all_views_of_a_corrupt_image_are_skipped(tmp_path: Path, small_shards: None) -> None:
    images = write_images(tmp_path / "images", 8, bad=(5,))
    with pytest.warns(KaratWarning, match="1 of 8 images"):
        emb = extract(tiny(), images, views=2, batch_size=4, max_bad=0.2, out=tmp_path / "views.emb")
    assert emb.n == 14
    assert "005.png" not in emb.sample_ids


def test_labels_that_some_images_lack_have_one_type_in_all_shards(tmp_path: Path, small_shards: None) -> None:
    (tmp_path / "list.csv").write_text(
        "path,label\n" + "\n".join(f"images/{row:03d}.png,{'' if row < 12 else row}" for row in range(20))
    )
    write_images(tmp_path / "images", 20)
    source = open_images(tmp_path / "list.csv")
    assert source.labels is not None
    extract(flat(), source, batch_size=3, out=tmp_path / "some.emb")
    labels = store.load(tmp_path / "some.emb").labels
    assert labels is not None
    assert [label or None for label in labels] == [label or None for label in source.labels]
