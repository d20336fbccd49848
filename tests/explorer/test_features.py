"""Features, neighbours and heatmaps of a run, against the activations and embeddings themselves."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from karat.attribution.features import read_activations
from karat.errors import InputError
from karat.explorer import neighbors
from karat.explorer.features import Features
from karat.explorer.heatmaps import Heatmaps
from karat.explorer.neighbors import nearest
from karat.explorer.opened import open_run
from karat.explorer.pictures import Pictures
from karat.records.tables import Columns
from karat.store import load

from .small_run import D, N, ids


def test_the_table_is_that_of_the_file_ranked_by_share(small_run: Path) -> None:
    stored, table = Columns(small_run / "features.parquet"), Features(open_run(small_run)).table
    assert [feature.share for feature in table] == stored["share"].tolist()
    assert [feature.in_D for feature in table] == stored["in_D"].tolist()
    assert [feature.column for feature in table] == list(range(len(table)))
    by_rank = sorted(table, key=lambda feature: feature.rank)
    assert [feature.rank for feature in by_rank] == list(range(1, len(table) + 1))
    assert np.all(np.diff([feature.share for feature in by_rank]) <= 0)


def test_features_of_a_sample_and_samples_of_a_feature_are_the_kept_activations(small_run: Path) -> None:
    features = Features(open_run(small_run))
    kept = read_activations(small_run, features=len(features.table)).toarray()
    for row, name in enumerate(ids()):
        expected = sorted(((-h, j) for j, h in enumerate(kept[row].tolist()) if h))
        assert [(j, h) for j, h, _ in features.of_sample(name)] == [(j, -h) for h, j in expected]
    for feature in range(len(features.table)):
        order = sorted((-h, row) for row, h in enumerate(kept[:, feature].tolist()) if h)[:5]
        assert features.samples_of(feature, limit=5) == [(ids()[row], -h) for h, row in order]


def test_a_feature_that_there_is_not_is_refused(small_run: Path) -> None:
    features = Features(open_run(small_run))
    for feature in (-1, len(features.table)):
        with pytest.raises(InputError, match=f"there is no feature {feature}"):
            features.samples_of(feature)
    assert features.of_sample("nobody") == []


def test_a_run_without_activations_has_no_features(copied_run: Path) -> None:
    for file in [*copied_run.glob("activations/*"), copied_run / "features.parquet"]:
        file.unlink()
    features = Features(open_run(copied_run))
    assert (features.table, features.of_sample(ids()[3]), features.problems) == ((), [], [])


def test_damaged_activations_are_named(copied_run: Path) -> None:
    (part,) = copied_run.glob("activations/*")
    part.write_bytes(part.read_bytes()[:200])
    features = Features(open_run(copied_run))
    assert features.of_sample(ids()[3]) == [] and features.samples_of(0) == []
    assert f"activations/{part.name} is damaged" in features.problems[0]
    (copied_run / "features.parquet").write_bytes(b"")
    assert Features(open_run(copied_run)).table == ()


def test_activations_of_other_samples_are_refused(copied_run: Path) -> None:
    (part,) = copied_run.glob("activations/*")
    part.with_name("part-00001.npz").write_bytes(part.read_bytes())
    features = Features(open_run(copied_run))
    assert features.of_sample(ids()[3]) == []
    assert f"has {2 * N} rows, but scores.parquet has {N}" in features.problems[0]


def test_the_nearest_are_those_of_largest_centred_cosine(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "_BLOCK_BYTES", 4 * D * 30)  # several blocks
    h = np.asarray(load(small_run / "embeddings" / "val.emb").h, np.float64)
    centred = h - h.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    for row in (0, 29, 30, N - 1):
        cosine = unit @ unit[row]
        cosine[row] = -2
        order = np.argsort(-cosine)[:7]
        found = nearest(open_run(small_run), ids()[row], 7)
        assert [name for name, _ in found] == [ids()[other] for other in order]
        assert [value for _, value in found] == pytest.approx(cosine[order], abs=1e-5)


def test_there_are_no_neighbours_without_embeddings(copied_run: Path) -> None:
    assert nearest(open_run(copied_run), "nobody") == []
    for file in copied_run.glob("embeddings/val.emb/*.npy"):
        file.unlink()
    assert nearest(open_run(copied_run), ids()[0]) == []
    with pytest.raises(InputError, match="k is 0"):
        nearest(open_run(copied_run), ids()[0], 0)


def test_a_sample_has_fewer_neighbours_than_asked_for_where_there_are_fewer(small_run: Path) -> None:
    assert len(nearest(open_run(small_run), ids()[0], 200)) == N - 1


def test_a_map_is_drawn_over_the_image_by_an_encoder(small_run: Path) -> None:
    import torch

    from karat.encoders import Encoder

    pooling = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    module = torch.nn.Sequential(torch.nn.Conv2d(3, D, 3), torch.nn.ReLU(), *pooling)
    encoder = Encoder(module, dim=D, transform=lambda x: torch.from_numpy(x).permute(2, 0, 1).float(), name="small")
    run = open_run(small_run)
    maps = Heatmaps(run, Pictures(run), encoder)
    content = maps.png(ids()[30], 2)
    assert content is not None and maps.of_features
    image = Image.open(io.BytesIO(content))
    assert (image.format, image.size) == ("PNG", (30, 20))
    assert maps.png(ids()[30], 2) is content  # kept
    assert maps.png(ids()[100], 2) is None  # there is no such image
    with pytest.raises(InputError, match=f"there is no feature {2 * D}"):
        maps.png(ids()[30], 2 * D)
    inside = [name for name in ids()[:40] if maps.has(name)]
    assert inside and maps.png(inside[0]) is not None


def test_without_an_encoder_there_are_the_stored_maps(copied_run: Path) -> None:
    from karat import runs

    from ..report_records import explanation

    made = explanation()
    runs.add_record(copied_run, made)
    name, row = str(made.columns["id"][0]), int(made.columns["row"][0])
    folder = copied_run / "maps"
    folder.mkdir()
    run = open_run(copied_run)
    maps = Heatmaps(run, Pictures(run))
    assert maps.has(name) and not maps.of_features and not maps.has("nobody")
    assert maps.png(name) is None  # the files are gone
    heatmap = np.linspace(0, 1, 12).reshape(1, 3, 4).astype(np.float16)
    np.savez(folder / "part-00000.npz", row=np.array([row]), map=heatmap)
    content = maps.png(name)
    assert content is not None and Image.open(io.BytesIO(content)).size == (4, 3)
    (folder / "overlays").mkdir()
    Image.fromarray(np.full((9, 9, 3), 77, np.uint8)).save(folder / "overlays" / f"{row:06d}.png")
    content = Heatmaps(run, Pictures(run)).png(name)
    assert content is not None and Image.open(io.BytesIO(content)).size == (9, 9)
    assert maps.png(name, 3) is None


def test_a_damaged_map_is_named(copied_run: Path) -> None:
    from karat import runs

    from ..report_records import explanation

    made = explanation()
    runs.add_record(copied_run, made)
    (copied_run / "maps").mkdir()
    (copied_run / "maps" / "part-00000.npz").write_bytes(b"PK")
    run = open_run(copied_run)
    maps = Heatmaps(run, Pictures(run))
    assert maps.png(str(made.columns["id"][0])) is None
    assert "maps/part-00000.npz is damaged" in maps.problems[0]
