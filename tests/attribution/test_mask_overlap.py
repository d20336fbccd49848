"""mask_overlap: what it draws and measures, of which encoders, on which images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from karat import extract
from karat.attribution import feature_groups, mask_overlap, reinitialised, sample_maps
from karat.attribution.masks import MaskSource
from karat.attribution.overlap import iou
from karat.encoders import Encoder, Preprocessing
from karat.errors import InputError
from karat.records import MapOverlap, Overlap, ProbeResult, from_dict, to_dict
from karat.stats import fit_reference
from tests import report_records as small

SIDE, N, CHANNELS = 12, 24, 24
TRANSFORM = Preprocessing(SIDE, (0, 0, 0), (1, 1, 1))


class Colours(nn.Module):
    """h_j = mean over space of ReLU(colour_j * pixel - 0.5): dark pixels activate nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, CHANNELS, 1)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.layer.weight.copy_(torch.randn(self.layer.weight.shape, generator=generator))
            self.layer.bias.fill_(-0.5)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images).relu().mean(dim=(2, 3))


def squares(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Dark images, each with a bright square of one colour away from the middle, and where it is."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 30, (n, SIDE, SIDE, 3))
    masks = np.zeros((n, SIDE, SIDE), bool)
    for i in range(n):
        top, left = rng.choice([0, SIDE - 4], 2)
        masks[i, top : top + 4, left : left + 4] = True
        images[i, masks[i]] = rng.choice([0, 255], 3) * [1, 0, 0] + rng.integers(100, 256, 3)
    return np.minimum(images, 255).astype(np.uint8), masks


ENCODER = Encoder(Colours(), dim=CHANNELS, transform=TRANSFORM, name="colours")
IMAGES, MASKS = squares(N, 1)
OTHERS = squares(100, 2)[0]
REFERENCE = np.asarray(extract(ENCODER, OTHERS, workers=0, precision="float32").h)
OPTIONS: dict[str, Any] = {"epsilon": 1, "workers": 0, "threads": 1, "device": "cpu", "resamples": 50}


def write(folder: Path, masks: np.ndarray, names: list[str]) -> Path:
    folder.mkdir()
    for name, mask in zip(names, masks, strict=True):
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for row, pixels in enumerate(IMAGES):
        Image.fromarray(pixels).save(folder / f"{row:02d}.png")
    return folder


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("masks") / "masks", MASKS, [f"{row:02d}" for row in range(N)])


def row(record: Overlap, maps: str, samples: str = "all") -> MapOverlap:
    return next(each for each in record.measured if (each.maps, each.samples) == (maps, samples))


def test_an_encoder_that_sees_the_object_beats_every_control(images: Path, masks: Path) -> None:
    record = mask_overlap(ENCODER, images, masks, reference=REFERENCE, reference_images=OTHERS, **OPTIONS)
    assert [each.maps for each in record.measured] == [
        "D", "not D", "random features", "random init", "centre prior", "random map"
    ]  # fmt: skip
    seen = record.n - row(record, "D").zero_maps
    assert seen > N / 2
    # A map lies exactly on its square, or is zero.
    assert row(record, "D").iou.value == pytest.approx(seen / N)
    assert "The maps of D overlap core masks more than the centre prior does" in str(record)
    assert record.warnings == ("only 24 images have a core mask: intervals of so few images are too narrow",)
    assert from_dict(to_dict(record)) == record


def test_each_kind_of_maps_is_what_its_parts_make_of_it() -> None:
    noise, others = np.random.default_rng(0).integers(0, 256, (2, N, SIDE, SIDE, 3), np.uint8)
    options = {**OPTIONS, "epsilon": 0.5}
    record = mask_overlap(ENCODER, noise, _Given(MASKS), reference_images=others, seed=3, **options)
    found = {}
    for encoder in (ENCODER, reinitialised(ENCODER, seed=3)):
        h, of = (extract(encoder, pixels, workers=0, precision="float32").h for pixels in (noise, others))
        groups = feature_groups(h, fit_reference(of, epsilon=0.5), seed=3)
        found[encoder] = {
            name: iou(sample_maps(encoder, noise, features=groups[name]), MASKS).mean() for name in groups
        }
    learned, random = found.values()
    expected = {**learned, "random init": random["D"]}
    assert len({round(value, 2) for value in expected.values()}) == 4
    for name, value in expected.items():
        assert row(record, name).iou.value == pytest.approx(value, abs=2e-3), name


def test_without_the_reference_s_images_a_random_encoder_has_its_features_from_the_images_themselves(
    images: Path, masks: Path
) -> None:
    record = mask_overlap(ENCODER, images, masks, reference=REFERENCE, **OPTIONS)
    fitted = record.provenance.parameters["fitted"]
    assert {name: each["n"] for name, each in fitted.items()} == {"D": 100, "random init": N}
    assert "of random init were fitted on the 24 images themselves" in record.warnings[0]


def test_the_images_of_the_reference_are_enough(images: Path, masks: Path) -> None:
    whole = mask_overlap(ENCODER, images, masks, reference=REFERENCE, reference_images=OTHERS, **OPTIONS)
    assert mask_overlap(ENCODER, images, masks, reference_images=OTHERS, **OPTIONS) == whole


def test_an_earlier_encoder_has_its_own_row_and_its_own_features(images: Path, masks: Path) -> None:
    before = reinitialised(ENCODER, seed=5)
    record = mask_overlap(ENCODER, images, masks, before=before, reference_images=OTHERS, **OPTIONS)
    alone = mask_overlap(before, images, masks, reference_images=OTHERS, **OPTIONS)
    assert row(record, "before").iou == row(alone, "D").iou
    assert ("D", "before") in {(each.first, each.second) for each in record.differences}
    other = replace(before, transform=Preprocessing(SIDE, (0, 0, 0), (1, 1, 1), resize=20))
    with pytest.raises(InputError, match="same part of an image"):
        mask_overlap(ENCODER, images, masks, before=other, reference_images=OTHERS, **OPTIONS)


def probe_of(names: list[str], correct: list[bool]) -> ProbeResult:
    return small.probe(columns={"id": np.array(names), "correct": np.array(correct)})


def test_a_probe_s_samples_join_by_id_in_any_order(images: Path, masks: Path) -> None:
    names = [f"{number:02d}.png" for number in range(N)]
    right = np.arange(N) < 10
    order = np.random.default_rng(0).permutation(N)[: N - 1]  # one was not judged
    probe = probe_of([names[i] for i in order], right[order].tolist())
    record = mask_overlap(ENCODER, images, masks, correct=probe, reference_images=OTHERS, **OPTIONS)
    known = np.where(np.isin(np.arange(N), order), right, np.nan)
    given = mask_overlap(ENCODER, images, masks, correct=known, reference_images=OTHERS, **OPTIONS)
    assert record == given
    assert row(record, "D", "correct").n + row(record, "D", "wrong").n == N - 1
    nobody = probe_of(["a", "b"], [True, False])
    record = mask_overlap(ENCODER, images, masks, correct=nobody, reference_images=OTHERS, **OPTIONS)
    assert any("the probe judged none of the images" in line for line in record.warnings)
    with pytest.raises(InputError, match=r"correct is \(2,\), but \(24,\)"):
        mask_overlap(ENCODER, images, masks, correct=np.ones(2), reference_images=OTHERS, **OPTIONS)


def test_images_without_a_mask_and_masks_without_an_image_are_counted(tmp_path: Path, images: Path) -> None:
    names = [f"{number:02d}" for number in range(N)]
    some = write(tmp_path / "some", MASKS[:20], [*names[:19], "nobody"])
    record = mask_overlap(ENCODER, images, some, reference_images=OTHERS, **OPTIONS)
    assert (record.n, record.without_mask, record.extra_masks, row(record, "D").n) == (N, 5, 1, 19)
    alone = mask_overlap(ENCODER, IMAGES[:19], _Given(MASKS[:19]), reference_images=OTHERS, **OPTIONS)
    assert row(record, "D").iou == row(alone, "D").iou
    nothing = write(tmp_path / "nothing", np.zeros_like(MASKS), names)
    with pytest.raises(InputError, match="all masks are empty"):
        mask_overlap(ENCODER, images, nothing, reference_images=OTHERS, **OPTIONS)


class _Given(MaskSource):
    """Masks from an array, for images that are called by their numbers."""

    def __init__(self, masks: np.ndarray) -> None:
        super().__init__("given", np.array([str(i) for i in range(len(masks))]), ("core",), "image", None)
        object.__setattr__(self, "masks", masks)

    def read(self, mask_id: str, kind: str = "core") -> np.ndarray:
        return self.masks[int(mask_id)]

    def find(self, image_id: str) -> str:
        return str(int(image_id))


def test_images_that_cannot_be_decoded_are_left_out_and_said(tmp_path: Path, masks: Path) -> None:
    for number, pixels in enumerate(IMAGES):
        Image.fromarray(pixels).save(tmp_path / f"{number:02d}.png")
    (tmp_path / "05.png").write_bytes(b"no image")
    right = np.arange(N) < N // 2
    with pytest.warns(match="1 of 24 images cannot be decoded"):
        record = mask_overlap(ENCODER, tmp_path, masks, correct=right, max_bad=0.1, reference_images=OTHERS, **OPTIONS)
    assert (record.n, row(record, "D", "wrong").n) == (N - 1, N // 2)
    assert "1 of 24 images cannot be decoded and were left out" in record.warnings


def test_an_encoder_without_weights_has_no_random_copy_and_that_is_said(images: Path, masks: Path) -> None:
    class Fixed(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return nn.functional.avg_pool2d(images[:, 0], 3).flatten(1) ** 2

    encoder = Encoder(Fixed(), dim=16, transform=TRANSFORM, name="fixed")
    record = mask_overlap(encoder, images, masks, reference_images=OTHERS, method="occlusion", **OPTIONS)
    assert "random init" not in [each.maps for each in record.measured]
    assert "fixed has no weights that could be drawn again" in record.warnings[0]
    assert any("nobody can say that the overlap was learned" in line for line in record.warnings)


@pytest.mark.filterwarnings("ignore::karat.errors.KaratWarning")
def test_where_no_feature_is_discriminative_it_is_said(images: Path, masks: Path) -> None:
    record = mask_overlap(ENCODER, images, masks, reference_images=OTHERS, **{**OPTIONS, "epsilon": 4.7})
    assert record.warnings[0].startswith("no feature of D is discriminative at epsilon = 4.7")
    assert row(record, "D").zero_maps == N


def test_too_few_images_without_reference_are_refused(images: Path, masks: Path) -> None:
    with pytest.raises(InputError, match=r"there are 24 images, too few.*reference_images"):
        mask_overlap(ENCODER, images, masks, **OPTIONS)


def test_a_transform_that_masks_cannot_go_through_is_refused(images: Path, masks: Path) -> None:
    encoder = replace(ENCODER, transform=lambda image: torch.zeros(3, SIDE, SIDE))
    with pytest.raises(InputError, match=r"Preprocessing is needed"):
        mask_overlap(encoder, images, masks, reference=REFERENCE, **OPTIONS)
