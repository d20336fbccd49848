"""Feature pages, against a naive scan of h."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from karat import score
from karat.attribution import feature_pages, redundant_groups
from karat.attribution.features import read_activations
from karat.embeddings import Embeddings
from karat.errors import FileFormatError, InputError

N, D = 300, 40
H = (np.random.default_rng(3).exponential(size=(N, D)) ** 2).astype(np.float32)
H[:, 7] = H[:, 3] * 2  # redundant
H[:, 20] = H[:, 3] * 0.9
IDS = [f"photographs/{row:03d}.png" for row in range(N)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    score(Embeddings(H, ids=IDS), epsilon=2, out=tmp_path / "scores.parquet", keep_activations=True)
    return tmp_path


def highly_active(h: np.ndarray, epsilon: float) -> np.ndarray:
    exact = h.astype(np.float64)
    return exact > exact.mean(axis=1, keepdims=True) + epsilon * exact.std(axis=1, keepdims=True)


def test_top_images_are_those_of_a_naive_scan(run: Path) -> None:
    active = highly_active(H, 2)
    pages = feature_pages(run, features=range(D), top=5)
    assert [page.feature for page in pages] == list(range(D))
    for page in pages:
        j = page.feature
        rows = sorted(np.flatnonzero(active[:, j]), key=lambda row: (-H[row, j], row))[:5]
        assert page.rows.tolist() == rows
        assert page.ids.tolist() == [IDS[row] for row in rows]
        np.testing.assert_array_equal(page.values, H[rows, j])
        assert page.share == active[:, j].mean()


def test_pages_are_of_the_discriminative_features_by_falling_share(run: Path) -> None:
    share = highly_active(H, 2).mean(axis=0)
    low, high = np.percentile(share[share > 0], [50, 95])
    members = [j for j in range(D) if share[j] > 0 and low <= share[j] <= high]
    pages = feature_pages(run)
    assert [page.feature for page in pages] == sorted(members, key=lambda j: (-share[j], j))
    assert all(page.discriminative for page in pages)


def test_redundant_features_are_grouped_by_the_correlation_of_h(run: Path) -> None:
    pages = {page.feature: page for page in feature_pages(run, features=range(D), embeddings=H)}
    assert pages[3].redundant_with == (7, 20)
    assert pages[7].redundant_with == (3, 20)
    assert all(page.redundant_with == () for j, page in pages.items() if j not in (3, 7, 20))


def test_groups_of_sparse_activations_are_those_of_numpys_correlation(run: Path) -> None:
    kept = read_activations(run, features=D)
    dense = np.where(highly_active(H, 2), H, 0).astype(np.float64)
    np.testing.assert_array_equal(kept.toarray(), dense)
    active = np.flatnonzero(dense.any(axis=0))
    correlation = np.corrcoef(dense[:, active].T)
    for bound in (0.2, 0.5, 0.95):
        near = correlation > bound
        groups: dict[int, set[int]] = {i: {i} for i in range(len(active))}
        for i, j in zip(*np.nonzero(near), strict=True):
            if groups[i] is not groups[j]:
                groups[i] |= groups[j]
                for member in groups[j]:
                    groups[member] = groups[i]
        expected = {tuple(sorted(active[list(group)].tolist())) for group in groups.values() if len(group) > 1}
        assert set(redundant_groups(kept, correlation=bound)) == expected


def test_a_feature_and_the_negative_half_of_its_opposite_are_redundant(tmp_path: Path) -> None:
    h = np.random.default_rng(0).standard_normal((400, 30)).astype(np.float32)
    h[:, 9] = -h[:, 4]
    score(h, epsilon=1.5, out=tmp_path / "scores.parquet", keep_activations=True)
    pages = {page.feature: page for page in feature_pages(tmp_path, features=range(60), embeddings=h)}
    assert pages[4].redundant_with == (30 + 9,)
    assert pages[30 + 4].redundant_with == (9,)


@pytest.mark.parametrize("change", ["missing", "damaged", "short"])
def test_activations_that_cannot_be_read_are_named(run: Path, change: str) -> None:
    file = run / "activations" / "part-00000.npz"
    if change == "missing":
        file.unlink()
    elif change == "damaged":
        file.write_bytes(file.read_bytes()[:100])
    else:
        with np.load(file) as arrays:
            np.savez(file, indptr=arrays["indptr"][:2], col=arrays["col"], value=arrays["value"])
    with pytest.raises(FileFormatError, match="activations"):
        feature_pages(run)


@pytest.mark.parametrize("options", [{"features": [D]}, {"top": 0}, {"correlation": 1.5}, {"embeddings": H[:5]}])
def test_options_out_of_range_are_refused(run: Path, options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        feature_pages(run, **options)  # type: ignore[arg-type]
