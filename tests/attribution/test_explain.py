"""explain: which images get a map, what is written, and going on where it stopped."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from karat import explain, extract, runs
from karat.attribution import feature_pages, read_maps, sample_maps
from karat.attribution.map_files import MapFiles
from karat.errors import FileFormatError, InputError, OutputExistsError
from tests.attribution.networks import coloured_images, encoder, pooled
from tests.extraction.small import files

PIXELS = coloured_images(40, 1)
MODEL = pooled(40)
TRAIN = np.asarray(extract(MODEL, coloured_images(200, 2), workers=0).h)
OPTIONS: dict[str, Any] = {"reference": TRAIN, "epsilon": 2, "batch_size": 8, "workers": 0, "threads": 1}


def test_the_lowest_and_highest_q_scores_get_the_maps_of_their_features() -> None:
    found = explain(MODEL, PIXELS, top=5, **OPTIONS)
    whole = explain(MODEL, PIXELS, top=None, **OPTIONS)
    q, has = whole.columns["q_score"], whole.columns["n_discriminative"] > 0
    order = sorted(np.flatnonzero(has), key=lambda row: q[row])
    assert found.columns["row"].tolist() == sorted(order[:5] + order[-5:])
    ends = dict(zip(found.columns["row"].tolist(), found.columns["end"].tolist(), strict=True))
    assert all(ends[row] == "lowest" for row in order[:5]) and all(ends[row] == "highest" for row in order[-5:])
    expected = sample_maps(MODEL, PIXELS, reference=TRAIN, epsilon=2)
    np.testing.assert_allclose(whole.maps, expected, atol=1e-3)
    np.testing.assert_array_equal(found.maps, whole.maps[found.columns["row"]])


def test_images_without_discriminative_feature_are_counted_and_said() -> None:
    whole = explain(MODEL, PIXELS, top=None, **OPTIONS)
    zero = whole.maps.reshape(40, -1).max(axis=1) == 0
    assert 0 < whole.n_empty < 40
    assert (zero.sum(), whole.n_zero_maps) == (whole.n_empty, whole.n_empty)
    np.testing.assert_array_equal(zero, whole.columns["n_discriminative"] == 0)
    np.testing.assert_array_equal(zero, whole.columns["strongest"] == -1)
    assert f"{whole.n_empty} of 40 images activate no discriminative feature" in str(whole)


@pytest.mark.filterwarnings("ignore::karat.errors.KaratWarning")
def test_where_no_feature_is_discriminative_it_is_said() -> None:
    found = explain(MODEL, PIXELS, top=3, **{**OPTIONS, "epsilon": 10})
    assert found.n_empty == 40
    assert "no feature is discriminative at epsilon = 10" in found.warnings[0]
    assert found.n_zero_maps == found.n_mapped


def test_a_run_holds_record_maps_overlays_and_contact_sheets(tmp_path: Path) -> None:
    found = explain(MODEL, PIXELS, top=4, out=tmp_path / "run", **OPTIONS)
    run = runs.open_run(tmp_path / "run")
    assert not run.damaged
    assert run.records["explanation"] == found
    rows, maps = read_maps(tmp_path / "run")
    assert maps.dtype == np.float16
    np.testing.assert_array_equal(rows, found.columns["row"])
    np.testing.assert_array_equal(maps, found.maps)
    overlays = {path.name for path in (tmp_path / "run" / "maps" / "overlays").iterdir()}
    assert overlays == {f"{row:06d}.png" for row in rows}
    for sheet in ("lowest", "highest", "features"):
        with Image.open(tmp_path / "run" / "maps" / f"{sheet}.png") as image:
            assert image.format == "PNG"
            assert np.ptp(np.array(image)) > 100
    assert feature_pages(tmp_path / "run")


def test_chosen_features_are_drawn_instead(tmp_path: Path) -> None:
    found = explain(MODEL, PIXELS, top=None, features=[3, 5], **OPTIONS)
    np.testing.assert_allclose(found.maps, sample_maps(MODEL, PIXELS, features=[3, 5]), atol=1e-3)


def test_fewer_than_a_thousand_images_need_a_reference() -> None:
    with pytest.raises(InputError, match=r"there are 40 images, too few.*give a reference"):
        explain(MODEL, PIXELS)


def test_a_thousand_images_are_their_own_reference() -> None:
    many = coloured_images(1000, 5)
    h = extract(MODEL, many, workers=0, precision="float32").h
    alone = explain(MODEL, many, top=3, epsilon=2, workers=0)
    given = explain(MODEL, many, top=3, epsilon=2, workers=0, reference=h)
    np.testing.assert_array_equal(alone.columns["row"], given.columns["row"])


def test_resumed_work_has_the_bytes_of_uninterrupted_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("karat.attribution.explaining._PART", 8)
    options = {**OPTIONS, "top": None}
    explain(MODEL, PIXELS, out=tmp_path / "whole", **options)
    write, written = MapFiles.write, []

    def broken(self: MapFiles, part: int, *content: np.ndarray) -> None:
        written.append(part)
        if len(written) == 3:
            raise KeyboardInterrupt
        write(self, part, *content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MapFiles, "write", broken)
        explain(MODEL, PIXELS, out=tmp_path / "resumed", **options)
    assert len(list((tmp_path / "resumed" / "maps").glob("part-*.npz"))) == 2
    drawn: list[tuple[int, int]] = []
    explain(
        MODEL, PIXELS, out=tmp_path / "resumed", resume=True, progress=lambda n, of, _: drawn.append((n, of)), **options
    )
    assert drawn[1:][0] == (16, 40)  # two parts of eight were there
    assert files(tmp_path / "resumed") == files(tmp_path / "whole")


@pytest.mark.parametrize("change", [{"method": "gradient"}, {"top": 2}, {"features": [1]}])
def test_work_with_other_settings_is_not_gone_on_with(tmp_path: Path, change: dict[str, Any]) -> None:
    explain(MODEL, PIXELS, top=3, out=tmp_path / "run", **OPTIONS)
    before = files(tmp_path / "run" / "maps")
    with pytest.raises(InputError, match="other settings or images"):
        explain(MODEL, PIXELS, out=tmp_path / "run", resume=True, **{**OPTIONS, "top": 3, **change})
    assert files(tmp_path / "run" / "maps") == before


def test_an_explanation_that_is_there_is_left_alone(tmp_path: Path) -> None:
    explain(MODEL, PIXELS, top=3, out=tmp_path / "run", **OPTIONS)
    before = files(tmp_path / "run")
    with pytest.raises(OutputExistsError, match="explanation"):
        explain(MODEL, PIXELS, top=3, out=tmp_path / "run", **OPTIONS)
    assert files(tmp_path / "run") == before
    explain(MODEL, PIXELS, top=2, out=tmp_path / "run", overwrite=True, **OPTIONS)
    assert len(read_maps(tmp_path / "run")[0]) == 4


def test_scores_of_other_images_are_left_alone(tmp_path: Path) -> None:
    explain(MODEL, PIXELS, top=3, out=tmp_path / "run", **OPTIONS)
    for part in ("maps", "embeddings"):
        shutil.rmtree(tmp_path / "run" / part)
    with pytest.raises(OutputExistsError, match="scores with other images"):
        explain(MODEL, PIXELS[:30], top=3, out=tmp_path / "run", resume=True, **OPTIONS)


def test_hostile_names_stay_inside_the_run(tmp_path: Path) -> None:
    names = ["..", "../../evil.png", "a\nb", "/etc/passwd", "<b>&", "x" * 300, "-rf", "\u202e"]
    names += [f"plain {row}" for row in range(len(PIXELS) - len(names))]
    np.savez(tmp_path / "images.npz", images=PIXELS, ids=np.array(names))
    (tmp_path / "a").mkdir()
    found = explain(MODEL, tmp_path / "images.npz", top=20, out=tmp_path / "a" / "run", **OPTIONS)
    assert set(found.ids) & set(names[:8])
    assert {path.name for path in tmp_path.iterdir()} == {"a", "images.npz"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"run"}
    assert all(path.stem.isdecimal() for path in (tmp_path / "a" / "run" / "maps" / "overlays").iterdir())


def test_images_that_cannot_be_decoded_are_passed_over(tmp_path: Path) -> None:
    for row, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(tmp_path / f"{row:02d}.png")
    (tmp_path / "05.png").write_bytes(b"no image")
    with pytest.warns(match="1 of 40 images cannot be decoded"):
        found = explain(MODEL, tmp_path, top=None, max_bad=0.1, **OPTIONS)
    assert found.n == 39
    assert "05.png" not in found.ids
    expected = sample_maps(MODEL, PIXELS[found.columns["row"]], reference=TRAIN, epsilon=2)
    np.testing.assert_allclose(found.maps, expected, atol=1e-3)


@pytest.mark.parametrize("options", [{"top": 0}, {"method": "saliency"}, {"batch_size": 0}, {"resume": True}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        explain(MODEL, PIXELS, **{**OPTIONS, **options})


def test_a_record_without_its_maps_says_where_they_are(tmp_path: Path) -> None:
    explain(MODEL, PIXELS, top=3, out=tmp_path / "run", **OPTIONS)
    with pytest.raises(InputError, match="read_maps"):
        _ = runs.open_run(tmp_path / "run").records["explanation"].maps
    part = tmp_path / "run" / "maps" / "part-00000.npz"
    part.write_bytes(part.read_bytes()[:80])
    with pytest.raises(FileFormatError, match=r"part-00000.npz is damaged"):
        read_maps(tmp_path / "run")


def test_grey_transforms_are_drawn_too() -> None:
    from torch import nn

    from tests.attribution.networks import seeded, to_tensor

    model = encoder(seeded(nn.Sequential(nn.Conv2d(1, 40, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())), 40)
    object.__setattr__(model, "transform", lambda image: to_tensor(image)[:1])
    found = explain(model, PIXELS, top=2, **{**OPTIONS, "reference": extract(model, PIXELS, workers=0).h})
    assert found.maps.shape == (4, 8, 8)
