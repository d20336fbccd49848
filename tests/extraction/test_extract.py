"""extract: the module's own numbers, in order, whatever the batches; refusals."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from karat import store
from karat.encoders import Encoder
from karat.errors import InputError, InputTypeError, OutputExistsError
from karat.extraction import extract
from karat.images import open_images
from tests.extraction.small import PIXELS, files, flat, tiny, to_tensor


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return tiny()


def by_hand(encoder: Encoder) -> np.ndarray:
    """h of PIXELS, without the transform and the batches."""
    scaled = (PIXELS.astype(np.float64) / 255 - [0.5, 0.4, 0.3]) / [0.25, 0.2, 0.1]
    module = encoder.module.eval()
    with torch.inference_mode():
        h: np.ndarray = module(torch.from_numpy(scaled.transpose(0, 3, 1, 2)).float()).numpy()
    module.train()
    return h


class Returns(nn.Module):
    """Returns what it is told to, whatever the images."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def forward(self, images: Tensor) -> Any:
        return self.value


def test_h_is_what_the_module_returns_for_images_prepared_by_hand(encoder: Encoder) -> None:
    emb = extract(encoder, PIXELS, precision="float32")
    h = np.asarray(emb.h)
    assert h.dtype == np.float32
    assert h.std() > 0.01
    np.testing.assert_allclose(h, by_hand(encoder), atol=1e-5)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (5, 0), (5, 1), (5, 3), (23, 1), (256, 3)])
def test_batches_and_workers_change_neither_order_nor_h(encoder: Encoder, batch_size: int, workers: int) -> None:
    emb = extract(encoder, PIXELS, batch_size=batch_size, workers=workers, precision="float32")
    assert emb.sample_ids.tolist() == [f"{row:02d}" for row in range(23)]
    np.testing.assert_allclose(np.asarray(emb.h), by_hand(encoder), atol=1e-5)


def test_pixels_pass_through_unchanged_in_order() -> None:
    emb = extract(flat(), PIXELS, batch_size=4)
    assert (np.asarray(emb.h) == PIXELS.reshape(23, -1)).all()


def test_written_embeddings_equal_those_in_memory(encoder: Encoder, tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", images=PIXELS, y=np.arange(23) % 2, classes=["cat", "dog"])
    kept = extract(encoder, tmp_path / "some.npz", batch_size=5)
    written = extract(encoder, str(tmp_path / "some.npz"), batch_size=5, out=tmp_path / "some.emb")
    loaded = store.load(tmp_path / "some.emb")
    for emb in (written, loaded):
        assert (np.asarray(emb.h[:]) == np.asarray(kept.h)).all()
        assert emb.sample_ids.tolist() == kept.sample_ids.tolist()
        assert emb.extra["path"].tolist() == kept.extra["path"].tolist() == kept.sample_ids.tolist()
        assert emb.labels is not None
        assert emb.labels.tolist() == ["cat", "dog"] * 11 + ["cat"]
        assert emb.provenance == kept.provenance


def test_equal_work_gives_equal_files(encoder: Encoder, tmp_path: Path) -> None:
    for name in ("a", "b"):
        extract(encoder, PIXELS, out=tmp_path / f"{name}.emb", batch_size=7)
    files = [sorted(p for p in (tmp_path / f"{name}.emb").iterdir() if not p.name.startswith(".")) for name in "ab"]
    assert [p.name for p in files[0]] == ["manifest.json", "part-00000.npy", "part-00000.parquet"]
    assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]


def test_folder_of_images_gives_ids_and_labels(tmp_path: Path) -> None:
    for row, name in enumerate(["cat/b.png", "cat/a.png", "dog/c.png"]):
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[row]).save(tmp_path / "pets" / name)
    emb = extract(flat(), tmp_path / "pets")
    assert emb.sample_ids.tolist() == ["cat/a.png", "cat/b.png", "dog/c.png"]
    assert emb.labels is not None
    assert emb.labels.tolist() == ["cat", "cat", "dog"]
    assert (np.asarray(emb.h) == PIXELS[[1, 0, 2]].reshape(3, -1)).all()


def test_provenance_says_what_determines_the_numbers(encoder: Encoder, tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", images=PIXELS)
    settings: dict[str, Any] = {"device": "cpu", "batch_size": 9, "precision": "float32", "threads": 2}
    provenance = dict(extract(encoder, tmp_path / "some.npz", **settings).provenance)
    assert provenance.pop("versions")["torch"] == torch.__version__
    assert len(provenance.pop("weights_digest")) == 32
    assert provenance == {
        "encoder": "tiny",
        "h": "pooled, 10 features",
        "layout": None,
        "weights_sha256": "ab" * 32,
        "preprocessing": encoder.preprocessing,
        "source": "some.npz",
        "source_digest": open_images(tmp_path / "some.npz").digest,
        "images": 23,
        "views": None,
        "seed": None,
        "batch_size": 9,
        "device": "cpu",
        "engine": "torch",
        "precision": "float32",
        "threads": 2,
    }
    assert str(tmp_path) not in json.dumps(provenance)


def test_weights_that_were_changed_have_another_digest() -> None:
    encoder = tiny()
    before = extract(encoder, PIXELS).provenance
    assert extract(tiny(), PIXELS).provenance == before
    with torch.no_grad():
        encoder.module.get_parameter("head.0.weight")[0, 0] += 1e-3
    after = extract(encoder, PIXELS).provenance
    assert {name for name in before if before[name] != after[name]} == {"weights_digest"}


def test_a_shard_of_one_process_is_the_same_whatever_the_workers(encoder: Encoder, tmp_path: Path) -> None:
    for workers in (0, 1, 2):
        extract(encoder, PIXELS, batch_size=4, workers=workers, out=tmp_path / f"{workers}.emb")
    assert files(tmp_path / "0.emb") == files(tmp_path / "1.emb") == files(tmp_path / "2.emb")


def test_module_keeps_its_modes_weights_and_statistics() -> None:
    encoder = tiny()
    module = encoder.module
    module.train()
    module.get_submodule("stem").eval()
    modes = [part.training for part in module.modules()]
    state = {name: (value.clone(), value.stride()) for name, value in module.state_dict().items()}
    extract(encoder, PIXELS)
    assert [part.training for part in module.modules()] == modes
    for name, value in module.state_dict().items():
        assert torch.equal(value, state[name][0])
        assert value.stride() == state[name][1]


def test_module_keeps_its_modes_after_an_error() -> None:
    module = Returns(torch.zeros(1)).train()
    with pytest.raises(InputError):
        extract(flat(module=module), PIXELS)
    assert module.training


def test_progress_counts_images() -> None:
    seen: list[tuple[int, int, float]] = []
    extract(flat(), PIXELS, batch_size=10, progress=lambda *told: seen.append(told))
    assert [told[:2] for told in seen] == [(0, 23), (10, 23), (20, 23), (23, 23)]
    assert all(0 <= waiting <= 1 for *_, waiting in seen)


def test_progress_tells_the_share_of_time_that_went_by_waiting_for_images() -> None:
    def slow(image: np.ndarray) -> Tensor:
        time.sleep(0.01)
        return to_tensor(image)

    class Slow(nn.Flatten):
        def forward(self, images: Tensor) -> Tensor:
            time.sleep(0.05)
            return super().forward(images)

    def last_share(encoder: Encoder) -> float:
        seen: list[float] = []
        extract(encoder, PIXELS, batch_size=5, workers=0, progress=lambda *told: seen.append(told[2]))
        return seen[-1]

    assert last_share(flat(transform=slow)) > 0.8
    assert last_share(flat(module=Slow())) < 0.5


def test_the_callers_random_numbers_are_not_touched(encoder: Encoder) -> None:
    state = torch.random.get_rng_state()
    extract(encoder, PIXELS, batch_size=5, workers=1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_callers_threads_are_as_before(encoder: Encoder) -> None:
    before = torch.get_num_threads()
    extract(encoder, PIXELS, threads=before + 1)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_h_is_stored_in_the_type_that_is_asked_for(tmp_path: Path, dtype: str) -> None:
    kept, written = (extract(flat(), PIXELS, dtype=dtype, out=out) for out in (None, tmp_path / "h.emb"))
    assert kept.dtype.name == written.dtype.name == dtype
    for emb in (kept, written):
        assert (np.asarray(emb.h[:]).astype(np.float64) == PIXELS.reshape(23, -1)).all()


@pytest.mark.gpu
def test_gpu_gives_the_numbers_of_the_cpu_and_the_module_comes_back(encoder: Encoder) -> None:
    h = np.asarray(extract(encoder, PIXELS, device="cuda").h)
    np.testing.assert_allclose(h, by_hand(encoder), atol=1e-4)
    assert {parameter.device.type for parameter in encoder.module.parameters()} == {"cpu"}


# refusals


def test_output_that_exists_is_left_alone_unless_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "some.emb"
    extract(flat(), PIXELS[:2], out=out)
    with pytest.raises(OutputExistsError, match=r"some\.emb exists already"):
        extract(flat(), PIXELS, out=out)
    assert store.load(out).n == 2
    assert extract(flat(), PIXELS, out=out, overwrite=True).n == 23


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(23, 5), r"'flat' returned \[23, 5\] for 23 images, but \[23, 192\] is needed"),
        (torch.zeros(23, 192, 1, 1), r"returned \[23, 192, 1, 1\]"),
        (torch.zeros(22, 192), r"returned \[22, 192\]"),
        ((torch.zeros(23, 192),), r"returned a tuple"),
        (
            torch.zeros(23, 192).index_fill(0, torch.tensor([4, 20]), np.nan),
            r"infinity for 2 of 23 images, first 04, 20",
        ),
        (torch.zeros(23, 192).index_fill(1, torch.tensor([7]), np.inf), r"infinity for 23 of 23 images, first 00, 01"),
    ],
)
def test_encoder_that_returns_something_else_is_refused(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        extract(flat(module=Returns(value)), PIXELS, out=tmp_path / "bad.emb")
    assert list(tmp_path.iterdir()) == []


def test_images_that_the_encoder_cannot_take_are_refused() -> None:
    with pytest.raises(InputError, match=r"encoder 'flat' failed on images \[23, 8, 8, 3\]: .*channels"):
        extract(flat(module=nn.Conv2d(3, 4, 3)), PIXELS)


def test_images_of_different_sizes_need_a_transform_that_resizes(tmp_path: Path) -> None:
    for side in (4, 5):
        Image.new("RGB", (side, side)).save(tmp_path / f"{side}.png")
    with pytest.raises(InputError, match=r"one shape and type, but it gave .*\[4, 4, 3\]; .*\[5, 5, 3\]"):
        extract(flat(), tmp_path)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_transform_that_fails_is_told_with_its_image(workers: int) -> None:
    def fails(image: np.ndarray) -> Tensor:
        return to_tensor(image) if image[0, 0, 0] != PIXELS[7, 0, 0, 0] else torch.zeros(2) + torch.zeros(3)

    with pytest.raises(
        InputError, match=r"transform failed on image 07 \[8, 8, 3\]: RuntimeError: The size of"
    ) as told:
        extract(flat(transform=fails), PIXELS, batch_size=5, workers=workers)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_transform_that_gives_no_tensor_is_refused(workers: int) -> None:
    with pytest.raises(InputError, match="but it gave ndarray"):
        extract(flat(transform=np.asarray), PIXELS, batch_size=5, workers=workers)


@pytest.mark.slow
def test_a_decoding_process_that_is_killed_is_told() -> None:
    def dies(image: np.ndarray) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return to_tensor(image)

    with pytest.raises(InputError, match=r"process that decodes images ended: .*workers=0"):
        extract(flat(transform=dies), PIXELS, batch_size=5, workers=1)


@pytest.mark.parametrize("device", ["warp", "cuda:99", "meta"])
def test_unknown_or_missing_device_is_refused(device: str) -> None:
    with pytest.raises(InputError, match=f"device '{device}' cannot be used"):
        extract(flat(), PIXELS, device=device)


@pytest.mark.parametrize(("name", "value"), [("batch_size", 0), ("workers", -1), ("views", 0), ("seed", -1)])
def test_sizes_below_their_least_are_refused(name: str, value: int) -> None:
    with pytest.raises(InputError, match=f"{name} is {value}"):
        extract(flat(), PIXELS, **{name: value})  # type: ignore[arg-type]


def test_images_of_another_type_are_refused() -> None:
    with pytest.raises(InputTypeError, match="images is a NoneType"):
        extract(flat(), None)  # type: ignore[arg-type]
