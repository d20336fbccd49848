"""Deletion and insertion curves: an encoder whose answer is known, and a slow transcription."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from karat.attribution.faithfulness import faithfulness
from karat.encoders import Encoder, Preprocessing
from karat.errors import InputError
from karat.records import Faithfulness, OrderFaithfulness, from_dict, to_dict
from karat.stats import fit_reference, q_score

from ..reference import overlap as slow

SIDE, N = 8, 6
TRANSFORM = Preprocessing(SIDE, (0, 0, 0), (1, 1, 1))


class Corners(nn.Module):
    """h_j = mean of the image's j-th 2 x 2 block of the red channel, to the fourth power: most features are small."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(images[:, 0], 2).flatten(1) ** 4


ENCODER = Encoder(Corners(), dim=SIDE * SIDE // 4, transform=TRANSFORM, name="corners")


def bright_blocks() -> tuple[np.ndarray, np.ndarray]:
    """Images with one bright block each, and maps that are 1 there and 0 elsewhere."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (N, SIDE, SIDE, 3), np.uint8)
    maps = np.zeros((N, SIDE, SIDE), np.float32)
    for i, block in enumerate([0, 3, 5, 0, 3, 12]):
        y, x = divmod(block, SIDE // 2)
        images[i, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = 255
        maps[i, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = 1
    return images, maps


def h_of(images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return Corners()(torch.stack([TRANSFORM(image) for image in images])).numpy()


IMAGES, MAPS = bright_blocks()
REFERENCE = fit_reference(h_of(IMAGES), epsilon=2, lower=0, upper=100)


def found(maps: np.ndarray = MAPS, **settings: Any) -> Faithfulness:
    chosen = {"baseline": "mean", "steps": 16, "resamples": 50, "device": "cpu", "threads": 1} | settings
    return faithfulness(ENCODER, IMAGES, maps, REFERENCE, **chosen)


def row(record: Faithfulness, order: str, of: str = "q_score") -> OrderFaithfulness:
    return next(each for each in record.orders if (each.order, each.of) == (order, of))


def test_a_map_of_what_the_encoder_sees_beats_a_random_order_and_the_centre_prior() -> None:
    record = found()
    for of in ("q_score", "cosine"):
        for order in ("random order", "centre prior"):
            assert row(record, order, of).deletion_lead.low > 0
            assert row(record, order, of).insertion_lead.low > 0


def test_a_map_of_everything_else_is_worse_than_a_random_order() -> None:
    record = found(1 - MAPS)
    assert row(record, "random order", "cosine").deletion_lead.high < 0
    assert row(record, "random order", "cosine").insertion_lead.high < 0
    assert "deletion is worse with the map" in str(record)


def test_curves_and_areas_are_those_of_the_slow_transcription() -> None:
    maps = np.random.default_rng(1).random((N, SIDE, SIDE), np.float32)  # no ties
    record = found(maps)
    shares = [step / 16 for step in range(17)]
    whole = h_of(IMAGES).astype(np.float64)
    tensors = torch.stack([TRANSFORM(image) for image in IMAGES])
    q_curves, cosines = [], []
    for i in range(N):
        mean = tensors[i].mean(dim=(1, 2))
        ranked = sorted((-maps[i, y, x], y, x) for y in range(SIDE) for x in range(SIDE))
        changed = []
        for share in shares:
            image = tensors[i].clone()
            for _, y, x in ranked[: round(share * SIDE * SIDE)]:
                image[:, y, x] = mean
            changed.append(image)
        h = Corners()(torch.stack(changed)).numpy()
        q_curves.append(q_score(h, reference=h_of(IMAGES), epsilon=2, lower=0, upper=100))
        cosines.append([step @ whole[i] / np.linalg.norm(step) / np.linalg.norm(whole[i]) for step in h.astype(float)])
    for of, curves in (("q_score", q_curves), ("cosine", cosines)):
        np.testing.assert_allclose(row(record, "map", of).deletion_curve, np.mean(curves, axis=0), atol=1e-6)
        area = np.mean([slow.area_under(shares, list(curve)) for curve in curves])
        assert row(record, "map", of).deletion.value == pytest.approx(area, abs=1e-6)


@pytest.mark.parametrize("baseline", ["mean", "blur"])
def test_curves_begin_and_end_with_the_whole_image_and_the_baseline(baseline: str) -> None:
    record = found(baseline=baseline)
    whole = np.mean(q_score(h_of(IMAGES), epsilon=2, lower=0, upper=100))
    for order in ("map", "random order", "centre prior"):
        assert row(record, order).deletion_curve[0] == row(record, order).insertion_curve[-1] == pytest.approx(whole)
        assert row(record, order).deletion_curve[-1] == row(record, order).insertion_curve[0]
        assert row(record, order, "cosine").deletion_curve[0] == pytest.approx(1)
        assert row(record, order, "cosine").insertion_curve[-1] == pytest.approx(1)


def test_the_batch_size_changes_nothing_and_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    records = [found(batch_size=size, progress=lambda *done: told.append(done)) for size in (1, 17 * 4, 1000)]
    curves = [[(each.deletion_curve, each.insertion_curve) for each in record.orders] for record in records]
    np.testing.assert_allclose(curves[1:], [curves[0]] * 2, atol=1e-6)
    assert told[:2] == [(1, N), (2, N)] and told[-1] == (N, N)


def test_zero_maps_have_a_random_order_and_are_said() -> None:
    record = found(np.zeros_like(MAPS))
    assert record.zero_maps == N
    assert f"{N} of the {N} maps are zero everywhere" in record.warnings[0]
    lead = row(record, "random order", "cosine").deletion_lead
    assert lead.low <= 0 <= lead.high


def test_images_without_a_q_score_are_said() -> None:
    reference = fit_reference(h_of(IMAGES)[:1], epsilon=2, lower=0, upper=100)
    record = faithfulness(ENCODER, IMAGES, MAPS, reference, steps=2, resamples=5, device="cpu", threads=1)
    assert "the Q-Score of 4 of the 6 whole images is 0" in record.warnings[0]


def test_the_encoder_is_left_in_the_mode_it_was_in() -> None:
    module = nn.Sequential(nn.Dropout(0.9), Corners()).train()
    encoder = Encoder(module, dim=ENCODER.dim, transform=TRANSFORM, name="dropout")
    first = faithfulness(encoder, IMAGES, MAPS, REFERENCE, steps=2, resamples=5, device="cpu", threads=1)
    assert module.training
    assert row(first, "map", "cosine").deletion_curve[0] == pytest.approx(1)  # no dropout while it ran


def test_a_record_of_faithfulness_goes_to_json_and_back() -> None:
    record = found(steps=2)
    back = from_dict(to_dict(record))
    assert back == record
    assert str(back) == str(record)
    assert "Against the random order, for q_score: deletion is better with the map" in str(record)


@pytest.mark.parametrize(
    ("maps", "settings", "fault"),
    [
        (MAPS[:2], {}, r"maps are \(2, 8, 8\), but \[n, H, W\] with n = 6"),
        (np.zeros((N, 4, 4)), {}, r"maps are \(4, 4\), but the encoder's input is \(8, 8\)"),
        (np.full_like(MAPS, np.nan), {}, "maps hold NaN"),
        (MAPS, {"baseline": "grey"}, "baseline is 'grey', but one of blur, mean"),
        (MAPS, {"steps": 0}, "steps is 0"),
        (MAPS, {"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_what_does_not_fit_is_refused(maps: np.ndarray, settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        found(maps, **settings)
