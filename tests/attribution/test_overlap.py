"""Overlap of maps and masks: closed forms, slow transcriptions, laws, and the table with its controls."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from karat.attribution.controls import centre_prior
from karat.attribution.masks import AlignedMasks
from karat.attribution.overlap import MEASURES, iou, iou_at_area, mass_difference, measured, pointing_game
from karat.attribution.overlap_table import overlap
from karat.errors import InputError
from karat.records import Overlap, from_dict, to_dict
from karat.records.overlap_text import overlap_verdict

from ..reference import overlap as slow

SIDE = 16


def one(mask: np.ndarray) -> np.ndarray:
    return mask[None]


def disc(side: int, y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


@st.composite
def maps_and_masks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    # Few values, so that ties and the limit itself occur.
    maps = draw(arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])))
    masks = draw(arrays(bool, shape))
    masks[:, 0, 0] |= ~masks.any(axis=(1, 2))
    return maps, masks


@settings(max_examples=40)
@given(maps_and_masks())
def test_measures_are_those_of_the_slow_transcription(given_: tuple[np.ndarray, np.ndarray]) -> None:
    maps, masks = given_
    for fast, plain in ((iou, slow.iou), (mass_difference, slow.mass_difference), (pointing_game, slow.pointing_game)):
        expected = [plain(heat, mask) for heat, mask in zip(maps, masks, strict=True)]
        np.testing.assert_allclose(fast(maps, masks), expected, atol=1e-6)


def test_iou_at_area_is_that_of_the_slow_transcription_without_ties() -> None:
    rng = np.random.default_rng(0)
    maps = rng.permuted(np.linspace(0, 1, 30)[None].repeat(8, 0), axis=1).reshape(8, 5, 6)
    masks = rng.random((8, 5, 6)) < rng.uniform(0.1, 1, (8, 1, 1))
    masks[:, 0, 0] = True
    expected = [slow.iou_at_area(heat, mask, rng, 1) for heat, mask in zip(maps, masks, strict=True)]
    np.testing.assert_allclose(iou_at_area(maps, masks), expected)


def test_iou_at_area_with_ties_is_the_mean_over_their_orders() -> None:
    rng = np.random.default_rng(0)
    heat = np.array([[1, 0.5, 0.5], [0.5, 0.5, 0]])
    mask = np.array([[False, True, False], [True, False, True]])
    assert iou_at_area(one(heat), one(mask))[0] == pytest.approx(slow.iou_at_area(heat, mask, rng, 3_000), abs=2e-2)


def test_a_map_that_is_its_mask_scores_one_in_everything() -> None:
    mask = disc(SIDE, 4, 9, 3)
    assert measured(one(mask.astype(np.float32)), one(mask)).tolist() == [[1], [1], [1], [1]]


def test_a_map_beside_its_mask_scores_nothing() -> None:
    mask = disc(SIDE, 4, 4, 3)
    heat = disc(SIDE, 12, 12, 3).astype(np.float32)
    assert measured(one(heat), one(mask))[[0, 1, 3]].tolist() == [[0], [0], [0]]
    assert mass_difference(one(heat), one(mask))[0] == pytest.approx(-heat.sum() / (~mask).sum())


def test_a_constant_map_scores_what_chance_does() -> None:
    mask = disc(SIDE, 8, 8, 4)
    a = mask.mean()
    values = measured(np.ones((1, SIDE, SIDE), np.float32), one(mask))[:, 0]
    np.testing.assert_allclose(values, [a, a / (2 - a), 0, a], atol=1e-6)


def test_a_zero_map_has_an_iou_of_zero_and_else_what_chance_has() -> None:
    mask = disc(SIDE, 8, 8, 4)
    a = mask.mean()
    values = measured(np.zeros((1, SIDE, SIDE), np.float32), one(mask))[:, 0]
    np.testing.assert_allclose(values, [0, a / (2 - a), 0, a], atol=1e-6)


def test_two_squares_shifted_by_half_have_an_iou_of_one_third() -> None:
    heat, mask = np.zeros((2, SIDE, SIDE))
    heat[:4, :4] = 1
    mask[:4, 2:6] = 1
    assert iou(one(heat), one(mask > 0)).tolist() == [1 / 3]
    assert iou_at_area(one(heat), one(mask > 0)).tolist() == [1 / 3]


def test_one_half_is_inside_and_less_is_not() -> None:
    mask = np.array([[True, False]])
    assert iou(one(np.array([[0.5, 0.0]], np.float32)), one(mask)).tolist() == [1]
    assert iou(
        one(np.array([[np.nextafter(np.float32(0.5), np.float32(0)), 0.0]], np.float32)), one(mask)
    ).tolist() == [0]


def test_outside_a_mask_of_the_whole_image_the_mean_is_zero() -> None:
    assert mass_difference(np.full((1, 2, 2), 0.25), np.ones((1, 2, 2), bool)).tolist() == [0.25]


@settings(max_examples=40)
@given(maps_and_masks(), st.integers(0, 2**32 - 1))
def test_the_order_of_pixels_and_of_images_never_matters(given_: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    maps, masks = given_
    order = np.random.default_rng(seed).permutation(maps[0].size)
    shuffled = [values.reshape(len(values), -1)[::-1, order].reshape(maps.shape) for values in (maps, masks)]
    np.testing.assert_allclose(measured(*shuffled), measured(maps, masks)[:, ::-1], atol=1e-6)


def test_half_precision_and_many_blocks_give_the_same() -> None:
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 9, (150, 6, 6)).astype(np.float16) / 8
    masks = rng.random((150, 6, 6)) < 0.5
    masks[:, 0, 0] = True
    expected = np.stack([measure(maps.astype(np.float64), masks) for measure in MEASURES.values()])
    np.testing.assert_allclose(measured(maps, masks), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("maps", "masks", "fault"),
    [
        (np.ones((1, 2, 2)), np.ones((1, 2, 3), bool), "both need one shape"),
        (np.ones((2, 2)), np.ones((2, 2), bool), "both need one shape"),
        (np.ones((1, 2, 2)), np.ones((1, 2, 2)), "bool is needed"),
        (np.full((1, 2, 2), 1.5), np.ones((1, 2, 2), bool), "outside"),
        (np.full((1, 2, 2), np.nan), np.ones((1, 2, 2), bool), "NaN"),
        (np.ones((1, 2, 2)), np.zeros((1, 2, 2), bool), "a mask is empty"),
    ],
)
def test_what_does_not_fit_is_refused(maps: np.ndarray, masks: np.ndarray, fault: str) -> None:
    for measure in MEASURES.values():
        with pytest.raises(InputError, match=fault):
            measure(maps, masks)


def test_another_number_of_masks_is_refused() -> None:
    with pytest.raises(InputError, match="there are 2 maps, but 1 masks"):
        measured(np.ones((2, 2, 2)), np.ones((1, 2, 2), bool))


# The table.

N = 60


def aligned(masks: np.ndarray, spurious: np.ndarray | None = None, *, extra: int = 0) -> AlignedMasks:
    kinds = {"core": masks} | ({} if spurious is None else {"spurious": spurious})
    present = {kind: np.ones(len(masks), bool) for kind in kinds}
    return AlignedMasks(np.arange(len(masks)).astype(str), kinds, present, extra)


def wandering(n: int = N, seed: int = 0) -> np.ndarray:
    """Discs anywhere in the image: nothing that a centre prior could know."""
    places = np.random.default_rng(seed).uniform(3, SIDE - 4, (n, 2))
    return np.stack([disc(SIDE, y, x, 3) for y, x in places])


def noise(n: int = N, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((n, SIDE, SIDE), np.float32)


def row_of(record: Overlap, maps: str, samples: str = "all", mask: str = "core"):  # type: ignore[no-untyped-def]
    return next(r for r in record.measured if (r.maps, r.samples, r.mask) == (maps, samples, mask))


def difference_of(record: Overlap, second: str, mask: str = "core"):  # type: ignore[no-untyped-def]
    return next(d for d in record.differences if (d.second, d.mask) == (second, mask))


def test_the_controls_are_always_in_the_table() -> None:
    record = overlap({"D": noise()}, aligned(wandering()), resamples=20)
    assert [row.maps for row in record.measured] == ["D", "centre prior", "random map"]
    assert [difference.second for difference in record.differences] == ["centre prior", "random map"]
    assert "random init" in record.warnings[0]


def test_means_and_paired_intervals_are_those_of_the_slow_bootstrap() -> None:
    masks = wandering(20)
    maps = {"D": (masks * noise(20)).astype(np.float32), "not D": noise(20, 2)}
    record = overlap(maps, aligned(masks), resamples=50, seed=3)
    values = {name: [slow.iou(heat, mask) for heat, mask in zip(maps[name], masks, strict=True)] for name in maps}
    drawn = np.random.default_rng(3).integers(20, size=(50, 20))
    apart = [np.mean([values["D"][i] - values["not D"][i] for i in rows]) for rows in drawn]
    found = difference_of(record, "not D").iou
    expected = (np.mean(values["D"]) - np.mean(values["not D"]), *np.quantile(apart, [0.025, 0.975]))
    np.testing.assert_allclose((found.value, found.low, found.high), expected)
    alone = [np.mean([values["D"][i] for i in rows]) for rows in drawn]
    found = row_of(record, "D").iou
    np.testing.assert_allclose((found.low, found.high), np.quantile(alone, [0.025, 0.975]))


def test_maps_on_the_object_beat_the_centre_prior_and_the_verdict_says_so() -> None:
    masks = wandering()
    record = overlap({"D": masks.astype(np.float32), "random init": noise()}, aligned(masks), resamples=100)
    assert row_of(record, "D").iou.value == 1
    said = overlap_verdict(record, "core")
    assert "overlap core masks more than the centre prior does" in said
    assert "They overlap more than random init, random map." in said
    assert record.warnings == ()


def test_maps_that_a_centre_prior_beats_are_reported_as_such() -> None:
    masks = np.stack([disc(SIDE, 7.5, 7.5, 5)] * N)
    record = overlap({"D": noise()}, aligned(masks), resamples=100)
    said = str(record)
    assert "D do NOT beat the centre prior on core masks: they overlap less than a blob" in said
    assert "No claim about the object can rest on this overlap." in said


def test_maps_that_cannot_be_told_from_a_centre_prior_are_reported_as_such() -> None:
    masks = wandering()
    prior = centre_prior((SIDE, SIDE), float(masks.mean()))
    record = overlap({"D": np.stack([prior] * N)}, aligned(masks), resamples=50)
    difference = difference_of(record, "centre prior").iou
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert "do NOT beat the centre prior on core masks: they cannot be told from a blob" in overlap_verdict(
        record, "core"
    )


def test_images_with_an_empty_mask_are_left_out_and_counted_and_zero_maps_count_as_no_overlap() -> None:
    masks = wandering(10)
    masks[:4] = False
    maps = masks.astype(np.float32)
    maps[4] = 0
    record = overlap({"D": maps}, replace(aligned(masks, extra=2), present={"core": np.arange(10) > 0}), resamples=20)
    row = row_of(record, "D")
    assert (row.n, row.zero_maps, row.iou.value) == (6, 1, 5 / 6)
    assert (record.n, record.without_mask, record.empty_masks, record.extra_masks) == (10, 1, {"core": 3}, 2)
    difference = difference_of(record, "centre prior")
    assert (difference.n, difference.n_both) == (6, 5)
    assert difference.iou_both.value > difference.iou.value
    assert "1 of the 6 maps are zero" in overlap_verdict(record, "core")
    assert any("only 6 images have a core mask" in warning for warning in record.warnings)


def test_core_and_spurious_have_rows_priors_and_verdicts_of_their_own() -> None:
    core, spurious = wandering(), np.stack([disc(SIDE, 7.5, 7.5, 4)] * N)
    record = overlap({"D": core.astype(np.float32)}, aligned(core, spurious), resamples=50)
    assert row_of(record, "D").iou.value == 1 > row_of(record, "D", mask="spurious").iou.value
    assert row_of(record, "centre prior", mask="spurious").iou.value > 0.9
    assert record.mask_area == pytest.approx({"core": core.mean(), "spurious": spurious.mean()})
    assert str(record).count("centre prior on") == 1 and "overlap with spurious masks" in str(record)


def test_correct_and_wrong_samples_are_told_apart_where_they_are_known() -> None:
    masks = wandering()
    right = (np.arange(N) % 2).astype(float)
    maps = np.where(right[:, None, None] == 1, masks, noise() * 0.4).astype(np.float32)
    right[:4] = np.nan
    record = overlap({"D": maps}, aligned(masks), correct=right, resamples=50)
    assert (row_of(record, "D", "correct").n, row_of(record, "D", "wrong").n) == (28, 28)
    assert row_of(record, "D", "correct").iou.value == 1
    difference = difference_of(record, "D, wrong")
    assert (difference.first, difference.n) == ("D, correct", 56)
    assert difference.iou.low > 0.5
    assert not any("wrong" in row.samples for row in overlap({"D": maps}, aligned(masks), correct=right > 9).measured)


def test_correct_and_wrong_samples_are_drawn_independently() -> None:
    # Each wrong sample is the twin of a correct one: drawn alike, their means would never differ.
    masks, maps = (values.repeat(2, axis=0) for values in (wandering(30), noise(30)))
    record = overlap({"D": maps}, aligned(masks), correct=np.arange(60) % 2 == 0, resamples=300)
    difference = difference_of(record, "D, wrong").iou
    assert difference.value == 0
    assert difference.low < 0 < difference.high


def test_the_same_seed_gives_the_same_record_and_another_gives_other_random_maps() -> None:
    records = [overlap({"D": noise()}, aligned(wandering()), resamples=20, seed=seed) for seed in (0, 0, 1)]
    assert records[0] == records[1]
    assert row_of(records[0], "random map").iou != row_of(records[2], "random map").iou


def test_a_record_of_overlaps_goes_to_json_and_back() -> None:
    maps = noise(8)
    maps[:] = 0
    record = overlap({"D": maps}, aligned(wandering(8)), resamples=5)
    assert math.isnan(record.differences[0].iou_both.value)
    back = from_dict(to_dict(record))
    assert isinstance(back, Overlap)
    assert to_dict(back) == to_dict(record)
    assert str(back) == str(record)


@pytest.mark.parametrize(
    ("maps", "masks", "correct", "fault"),
    [
        ({}, wandering(4), None, "maps is empty"),
        ({"centre prior": noise(4)}, wandering(4), None, "centre prior, but these controls are made here"),
        ({"D": noise(3)}, wandering(4), None, "the maps 'D' are"),
        ({"D": noise(4)}, np.zeros((4, SIDE, SIDE), bool), None, "all masks are empty"),
        ({"D": noise(4)}, wandering(4), np.ones(3), r"correct is \(3,\)"),
        ({"D": noise(4)}, wandering(4), np.full(4, 2), "other values than true, false"),
    ],
)
def test_a_table_of_what_does_not_fit_is_refused(
    maps: dict[str, np.ndarray], masks: np.ndarray, correct: np.ndarray | None, fault: str
) -> None:
    with pytest.raises(InputError, match=fault):
        overlap(maps, aligned(masks), correct=correct)
