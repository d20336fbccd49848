"""Interrupted extractions: what stays, what may go on, and that the bytes are those of an uninterrupted one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from karat import store
from karat.encoders import Encoder
from karat.errors import FileFormatError, InputError, OutputError, OutputExistsError
from karat.extraction import extract, plan
from tests.extraction.small import PIXELS, files, flat, tiny

SETTINGS: dict[str, Any] = {"batch_size": 3, "workers": 0, "threads": 1}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of six rows: four of PIXELS."""
    monkeypatch.setattr(plan, "SHARD_ROWS", 6)


class Stops(nn.Module):
    """A module that fails after some batches."""

    def __init__(self, module: nn.Module, after: int, error: BaseException) -> None:
        super().__init__()
        self.module, self.left, self.error = module, after, error

    def forward(self, images: Tensor) -> Tensor:
        if self.left == 0:
            raise self.error
        self.left -= 1
        return self.module(images)

    def state_dict(self, *args: Any, **settings: Any) -> Any:
        return self.module.state_dict(*args, **settings)


def interrupted(encoder: Encoder, out: Path, after: int, **settings: Any) -> None:
    """An extraction that is stopped by Ctrl-C after so many batches."""
    stops = replace(encoder, module=Stops(encoder.module, after, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        extract(stops, PIXELS, out=out, **{**SETTINGS, **settings})


@pytest.mark.parametrize(("after", "workers"), [(1, 0), (2, 0), (3, 1), (4, 0), (5, 0), (6, 1), (7, 0)])
def test_a_run_that_is_gone_on_with_has_the_bytes_of_an_uninterrupted_one(
    tmp_path: Path, after: int, workers: int
) -> None:
    encoder = tiny()
    extract(encoder, PIXELS, out=tmp_path / "whole.emb", **SETTINGS)
    interrupted(encoder, tmp_path / "parts.emb", after)
    extract(encoder, PIXELS, out=tmp_path / "parts.emb", resume=True, **{**SETTINGS, "workers": workers})
    assert files(tmp_path / "parts.emb") == files(tmp_path / "whole.emb")


def test_finished_shards_are_not_computed_again(tmp_path: Path) -> None:
    interrupted(tiny(), tmp_path / "h.emb", 5)
    before = (tmp_path / "h.emb" / "part-00001.npy").stat().st_mtime_ns
    calls = tiny()
    seen: list[int] = []
    calls.module.register_forward_hook(lambda *_: seen.append(1))
    told: list[tuple[int, int]] = []
    extract(
        calls, PIXELS, out=tmp_path / "h.emb", resume=True, progress=lambda *state: told.append(state[:2]), **SETTINGS
    )
    assert len(seen) == 4
    assert told == [(12, 23), (15, 23), (18, 23), (21, 23), (23, 23)]
    assert (tmp_path / "h.emb" / "part-00001.npy").stat().st_mtime_ns == before


def test_a_folder_without_a_finished_shard_disappears(tmp_path: Path) -> None:
    interrupted(tiny(), tmp_path / "h.emb", 1)
    assert list(tmp_path.iterdir()) == []


def test_what_was_not_begun_is_begun(tmp_path: Path) -> None:
    extract(tiny(), PIXELS, out=tmp_path / "whole.emb", **SETTINGS)
    extract(tiny(), PIXELS, out=tmp_path / "new.emb", resume=True, **SETTINGS)
    assert files(tmp_path / "new.emb") == files(tmp_path / "whole.emb")


def test_of_a_complete_folder_nothing_is_done(tmp_path: Path) -> None:
    extract(tiny(), PIXELS, out=tmp_path / "h.emb", **SETTINGS)
    before = files(tmp_path / "h.emb")
    told: list[tuple[int, int]] = []
    never = replace(tiny(), module=Stops(tiny().module, 0, AssertionError("computed")))
    emb = extract(
        never, PIXELS, out=tmp_path / "h.emb", resume=True, progress=lambda *state: told.append(state[:2]), **SETTINGS
    )
    assert emb.n == 23
    assert told == [(23, 23)]
    assert files(tmp_path / "h.emb") == before


def test_an_incomplete_folder_is_not_loaded_and_resume_is_named(tmp_path: Path) -> None:
    interrupted(tiny(), tmp_path / "h.emb", 5)
    with pytest.raises(FileFormatError, match=r"h\.emb is incomplete: .* after 2 shards \(12 rows\): .*--resume"):
        store.load(tmp_path / "h.emb")


def test_an_incomplete_folder_is_left_alone_without_resume(tmp_path: Path) -> None:
    interrupted(tiny(), tmp_path / "h.emb", 5)
    before = files(tmp_path / "h.emb")
    with pytest.raises(OutputExistsError, match=r"h\.emb exists already, incomplete, .*--resume.*--overwrite"):
        extract(tiny(), PIXELS, out=tmp_path / "h.emb", **SETTINGS)
    assert files(tmp_path / "h.emb") == before


def other_weights() -> Encoder:
    return tiny(seed=1)


@pytest.mark.parametrize(
    ("encoder", "images", "change", "words"),
    [
        (tiny, PIXELS, {"batch_size": 2}, "batch_size was 3, now it is 2"),
        (tiny, PIXELS, {"threads": 2}, "threads was 1, now it is 2"),
        (
            tiny,
            PIXELS,
            {"engine": "onnx"},
            "engine was 'torch', now it is 'onnx'; .*versions.onnxruntime was None, now",
        ),
        (tiny, PIXELS, {"precision": "float16"}, "precision was .*, now it is 'float16'"),
        (tiny, PIXELS, {"dtype": "float16"}, "dtype was 'float32', now it is 'float16'"),
        (tiny, PIXELS, {"views": 2}, "seed was None, now it is 0; views was None, now it is 2"),
        (tiny, PIXELS[::-1], {}, "source_digest was '.{32}', now it is '.{32}'"),
        (tiny, PIXELS[:-1], {}, "images was 23, now it is 22; source_digest"),
        (other_weights, PIXELS, {}, "weights_digest was '.{32}', now it is '.{32}'"),
        (lambda: replace(tiny(), name="other"), PIXELS, {}, "encoder was 'tiny', now it is 'other'"),
    ],
)
@pytest.mark.parametrize("complete", [False, True])
def test_a_run_with_other_settings_is_not_gone_on_with(
    tmp_path: Path,
    encoder: Callable[[], Encoder],
    images: np.ndarray,
    change: dict[str, Any],
    words: str,
    complete: bool,
) -> None:
    if complete:
        extract(tiny(), PIXELS, out=tmp_path / "h.emb", **SETTINGS)
    else:
        interrupted(tiny(), tmp_path / "h.emb", 5)
    before = files(tmp_path / "h.emb")
    with pytest.raises(InputError, match=rf"h\.emb was begun with other settings, .*{words}.*--overwrite"):
        extract(encoder(), images, out=tmp_path / "h.emb", resume=True, **{**SETTINGS, **change})
    assert files(tmp_path / "h.emb") == before


def test_versions_that_changed_are_named(tmp_path: Path) -> None:
    interrupted(tiny(), tmp_path / "h.emb", 5)
    path = tmp_path / "h.emb" / "manifest.json"
    path.write_text(path.read_text().replace(f'"torch": "{torch.__version__}"', '"torch": "1.0"'))
    with pytest.raises(InputError, match=rf"versions\.torch was '1\.0', now it is '{torch.__version__.split('+')[0]}"):
        extract(tiny(), PIXELS, out=tmp_path / "h.emb", resume=True, **SETTINGS)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "part-00001.npy").unlink(),
        lambda folder: (folder / "part-00001.npy").write_bytes(b"\x93NUMPY"),
        lambda folder: (folder / "part-00001.parquet").write_bytes(b"PAR1"),
        lambda folder: (folder / "part-00001.json").write_text('{"rows": 6'),
        lambda folder: (folder / "part-00001.json").unlink(),
        lambda folder: (folder / ".part-00002.npy.0123abcd.tmp").write_bytes(b"part"),
        lambda folder: (folder / ".manifest.json.0123abcd.tmp").write_bytes(b"{"),
    ],
)
def test_what_a_crash_leaves_behind_is_cleared_away(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    extract(tiny(), PIXELS, out=tmp_path / "whole.emb", **SETTINGS)
    interrupted(tiny(), tmp_path / "h.emb", 5)
    damage(tmp_path / "h.emb")
    extract(tiny(), PIXELS, out=tmp_path / "h.emb", resume=True, **SETTINGS)
    assert files(tmp_path / "h.emb") == files(tmp_path / "whole.emb")


def test_a_kill_before_the_manifest_leaves_a_folder_that_can_be_begun(tmp_path: Path) -> None:
    extract(tiny(), PIXELS, out=tmp_path / "whole.emb", **SETTINGS)
    (tmp_path / "h.emb").mkdir()
    (tmp_path / "h.emb" / ".lock").touch()
    (tmp_path / "h.emb" / ".manifest.json.0123abcd.tmp").touch()
    extract(tiny(), PIXELS, out=tmp_path / "h.emb", resume=True, **SETTINGS)
    assert files(tmp_path / "h.emb") == files(tmp_path / "whole.emb")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "h.emb").mkdir()
    (tmp_path / "h.emb" / "notes.txt").write_text("mine")
    for settings in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(OutputExistsError, match=r"h\.emb is no embeddings folder, so it was left alone"):
            extract(tiny(), PIXELS, out=tmp_path / "h.emb", **settings)
    assert files(tmp_path / "h.emb") == {"notes.txt": b"mine"}


def test_a_folder_is_replaced_when_the_new_one_is_complete_even_if_that_was_interrupted(tmp_path: Path) -> None:
    extract(tiny(), PIXELS, out=tmp_path / "whole.emb", **SETTINGS)
    extract(flat(), PIXELS, out=tmp_path / "h.emb", batch_size=2)
    (tmp_path / "h.emb" / "notes.txt").write_text("mine")
    interrupted(tiny(), tmp_path / "h.emb", 5, overwrite=True)
    assert store.load(tmp_path / "h.emb").d == 192  # still the old one
    extract(tiny(), PIXELS, out=tmp_path / "h.emb", resume=True, **SETTINGS)
    assert files(tmp_path / "h.emb") == {**files(tmp_path / "whole.emb"), "notes.txt": b"mine"}


def test_a_kill_while_the_old_folder_is_replaced_can_be_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from karat.store import writing

    extract(tiny(), PIXELS, out=tmp_path / "whole.emb", **SETTINGS)
    for moves in range(9):  # two files each of four shards, and the manifest
        out = tmp_path / f"{moves}.emb"
        extract(flat(), PIXELS, out=out, batch_size=2)
        killed_after = iter(range(moves))

        def move(source: Path, target: Path, killed_after: Iterator[int] = killed_after) -> None:
            if Path(source).parent.name == ".new" != Path(target).parent.name and next(killed_after, None) is None:
                raise KeyboardInterrupt
            Path(source).rename(target)

        with monkeypatch.context() as patch:
            patch.setattr(writing.os, "replace", move)
            with pytest.raises(KeyboardInterrupt):
                extract(tiny(), PIXELS, out=out, overwrite=True, **SETTINGS)
        with pytest.raises(FileFormatError, match=r"without manifest\.json"):  # neither the old one nor the new
            store.load(out)
        extract(tiny(), PIXELS, out=out, resume=True, **SETTINGS)
        assert files(out) == files(tmp_path / "whole.emb")


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    class Second(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            for settings in ({"resume": True}, {"overwrite": True}):
                with pytest.raises(OutputError, match="being written by another process"):
                    extract(tiny(), PIXELS, out=tmp_path / "h.emb", **SETTINGS, **settings)
            return images.flatten(1)

    assert extract(flat(module=Second()), PIXELS, out=tmp_path / "h.emb", **SETTINGS).n == 23


def test_resume_and_overwrite_exclude_each_other_and_resume_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose one of them"):
        extract(tiny(), PIXELS, out=tmp_path / "h.emb", resume=True, overwrite=True)
    with pytest.raises(InputError, match="need out"):
        extract(tiny(), PIXELS, resume=True)


def test_marks_are_merged_into_the_manifest(tmp_path: Path) -> None:
    interrupted(tiny(), tmp_path / "h.emb", 5)
    manifest = json.loads((tmp_path / "h.emb" / "manifest.json").read_text())
    assert (manifest["complete"], manifest["n"], manifest["shards"]) == (False, 0, [])
    mark = json.loads((tmp_path / "h.emb" / "part-00001.json").read_text())
    extract(tiny(), PIXELS, out=tmp_path / "h.emb", resume=True, **SETTINGS)
    finished = json.loads((tmp_path / "h.emb" / "manifest.json").read_text())
    assert (finished["complete"], finished["n"], finished["provenance"]) == (True, 23, manifest["provenance"])
    assert finished["shards"][1] == mark
    names = {f"part-{number:05d}.{suffix}" for number in range(4) for suffix in ("npy", "parquet")}
    assert set(files(tmp_path / "h.emb")) == names | {".lock", "manifest.json"}
