"""Scores of samples: the transcription's numbers, in memory and streamed to disk alike."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import karat
from karat import scoring, sink
from karat.embeddings import Embeddings
from karat.errors import InputError, InputTypeError, KaratError, KaratWarning, OutputError, OutputExistsError
from karat.records import Scores
from karat.runs import load_record
from karat.sink import Distribution
from karat.spool import DiskSpool, MemorySpool
from karat.stats import highly_activating
from tests.reference import neighbors as slow_neighbors
from tests.reference import qscore as slow

N, D = 90, 40


def exponential(n: int, d: int = D, seed: int = 0) -> np.ndarray:
    """Non-negative, heavy-tailed, columns of different rates, float32 on a grid (so that exact fractions are short)."""
    rng = np.random.default_rng(seed)
    h = rng.exponential(size=(n, d)) ** 2 * np.linspace(0.2, 2, d)
    return (np.round(h * 64) / 64).astype(np.float32)


H, OTHERS = exponential(N), exponential(60, seed=1)
SIGNED = (H - np.float32(1)).astype(np.float32)


@cache
def expected(signed: bool = False, with_reference: bool = False, **parameters: Any) -> slow.Scored:
    h, others = (SIGNED, OTHERS - np.float32(1)) if signed else (H, OTHERS)
    return slow.q_score(h, others if with_reference else None, **parameters)


@pytest.fixture(params=["memory", "disk"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return None if request.param == "memory" else tmp_path / "scores.parquet"


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 7 rows, row groups of about 20."""
    monkeypatch.setattr("karat.stats.digest._CHUNK_BYTES", 7 * D * 4)
    monkeypatch.setattr(sink, "GROUP_ROWS", 20)


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def contents_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def columns_of(scores: Scores) -> dict[str, bytes]:
    return {name: scores.columns[name].tobytes() for name in scores.columns}


# The numbers


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize(
    "parameters",
    [
        {"epsilon": 2.0},
        {"epsilon": 3.0},
        {"epsilon": 2.0, "with_reference": True},
        {"epsilon": 1.0, "lower": 20, "upper": 60},
        {"epsilon": 3.5, "over": "all", "lower": 10},
        {"epsilon": 2.0, "signed": True},
        {"epsilon": 2.0, "signed": True, "with_reference": True},
        {"epsilon": 2.0, "signed": True, "halves": False},
        {"epsilon": 2.0, "halves": True},
        {"epsilon": 2.0, "normalize": True},
        {"epsilon": 2.0, "normalize": True, "signed": True},
    ],
    ids=lambda parameters: "-".join(map(str, parameters)),
)
def test_scores_equal_the_transcription(out: Path | None, parameters: dict[str, Any]) -> None:
    exact = expected(**parameters)
    given = {key: value for key, value in parameters.items() if key not in ("signed", "with_reference")}
    h, others = (SIGNED, OTHERS - np.float32(1)) if parameters.get("signed") else (H, OTHERS)
    scores = karat.score(h, reference=others if parameters.get("with_reference") else None, out=out, **given)
    np.testing.assert_allclose(scores.q_score, exact.q_score, rtol=1e-6)
    np.testing.assert_array_equal(scores.n_active, exact.active)
    np.testing.assert_array_equal(scores.n_discriminative, exact.inside)
    np.testing.assert_allclose(scores.q_score_v1, slow.q_score_v1(h), rtol=1e-6)
    assert set(np.flatnonzero(scores.discriminative)) == exact.discriminative
    n = 60 if parameters.get("with_reference") else N
    np.testing.assert_allclose(scores.activation_share, np.array(exact.counts) / n, rtol=1e-12)
    health = scores.health
    assert (health.n, health.d, health.halves) == (N, D, exact.halves)
    assert health.discriminative_features == len(exact.discriminative) > 0
    assert health.dead_features == exact.counts.count(0)
    assert health.mean_active == pytest.approx(exact.active.mean())
    assert health.mean_discriminative == pytest.approx(exact.inside.mean())
    assert health.empty_share == pytest.approx(np.mean(exact.inside == 0))
    assert scores.epsilon == parameters["epsilon"]
    assert scores.provenance.parameters["epsilon"] == parameters["epsilon"]


def formulas(h: np.ndarray) -> dict[str, np.ndarray]:
    """Each score that needs no reference, on whole matrices in float64."""
    h = h.astype(np.float64)
    mean, std = h.mean(axis=1), h.std(axis=1)
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    return {
        "q_score_v1": (unit.max(axis=1) - unit.mean(axis=1)) / unit.std(axis=1) / np.abs(unit).sum(axis=1),
        "n_active": (h > (mean + 2 * std)[:, None]).sum(axis=1),
        "max_z": (h.max(axis=1) - mean) / std,
        "l1_norm": np.abs(h).sum(axis=1),
        "l2_norm": np.sqrt((h**2).sum(axis=1)),
        "sparsity": (D**0.5 - np.abs(unit).sum(axis=1)) / (D**0.5 - 1),
        "random": np.random.default_rng(3).random(len(h)),
    }


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("h", [H, SIGNED], ids=["non-negative", "signed"])
def test_each_score_equals_its_formula(out: Path | None, h: np.ndarray, dtype: Any) -> None:
    h = h.astype(dtype)
    scores = karat.score(h, scores="all", epsilon=2, seed=3, halves=False, out=out)
    for name, values in formulas(h).items():
        np.testing.assert_allclose(scores.columns[name], values, rtol=1e-9, err_msg=name)
    exact = slow_neighbors.knn_similarity(h.astype(np.float64), None, k=20, center=True)
    np.testing.assert_allclose(scores.knn_similarity, exact, atol=2e-6)


def test_neighbours_are_those_in_the_reference() -> None:
    scores = karat.score(H, reference=OTHERS, scores=["knn_similarity"], epsilon=2)
    assert scores.names == ("knn_similarity",)
    exact = slow_neighbors.knn_similarity(H[:9].astype(np.float64), OTHERS.astype(np.float64), k=20, center=True)
    np.testing.assert_allclose(scores.knn_similarity[:9], exact, atol=2e-6)


@pytest.mark.usefixtures("in_pieces")
def test_a_summary_is_the_distribution_of_its_column(out: Path | None) -> None:
    scores = karat.score(H, scores="all", epsilon=3, out=out)
    assert list(scores.summary) == list(scores.names)
    for name in scores.names:
        values = scores.columns[name]
        p05, median, p95 = np.percentile(values, [5, 50, 95])
        exact = (values.mean(), values.std(), values.min(), p05, median, p95, values.max())
        np.testing.assert_allclose(list(asdict(scores.summary[name]).values()), exact, rtol=1e-9, atol=1e-15)


def test_the_lowest_are_the_ten_lowest_that_have_discriminative_features(out: Path | None) -> None:
    names = np.array([f"image-{row}" for row in range(N)])
    scores = karat.score(Embeddings(H, ids=names), epsilon=3, out=out)
    exact = expected(epsilon=3.0)
    rows = [row for row in np.argsort(exact.q_score, kind="stable") if exact.inside[row]][:10]
    assert [name for name, _ in scores.lowest] == names[rows].tolist()
    np.testing.assert_allclose([value for _, value in scores.lowest], exact.q_score[rows], rtol=1e-9)


# In memory and on disk


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("with_reference", [False, True])
@pytest.mark.parametrize("h", [H, SIGNED], ids=["non-negative", "signed"])
def test_columns_in_memory_and_on_disk_are_bit_identical(tmp_path: Path, h: np.ndarray, with_reference: bool) -> None:
    h = h.copy()
    h[3], h[50] = np.nan, np.inf
    emb = Embeddings(
        h,
        ids=np.array([f"é{row}" for row in range(N)]),
        labels=np.arange(N) % 3,
        extra={"weight": np.where(np.arange(N) % 2, np.nan, np.arange(N)), "a.b": np.array(["x"] * N)},
    )
    settings: dict[str, Any] = {"scores": "all", "epsilon": 2, "on_bad_rows": "drop"}
    settings["reference"] = OTHERS if with_reference else None
    memory = karat.score(emb, **settings)
    disk = karat.score(emb, **settings, out=tmp_path / "s.parquet")
    assert columns_of(memory) == columns_of(disk)
    assert memory == disk == load_record(tmp_path / "s.parquet")
    np.testing.assert_array_equal(memory.activation_share, disk.activation_share)


@pytest.mark.usefixtures("in_pieces")
def test_a_large_set_is_streamed_in_row_groups(tmp_path: Path) -> None:
    karat.score(H, epsilon=2, out=tmp_path / "s.parquet")
    metadata = pq.read_metadata(tmp_path / "s.parquet")
    groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert groups == [21, 21, 21, 21, 6]


@pytest.mark.usefixtures("in_pieces")
def test_ids_labels_and_extra_columns_travel(out: Path | None) -> None:
    ids = np.arange(N)[::-1] * 10
    labels = np.array([None, "cat", "dog"] * (N // 3), object)
    labels[:40] = None  # the first row groups hold no label at all
    extra = {"path": np.array([f"{row}.png" for row in range(N)]), "weight": np.linspace(0, 1, N)}
    scores = karat.score(Embeddings(H, ids=ids, labels=labels, extra=extra), epsilon=2, out=out)
    assert list(scores.columns)[:4] == ["id", "label", "path", "weight"]
    assert list(scores.columns)[4:] == list(scores.names) == list(karat.catalog.DEFAULT_SCORES)
    assert scores.ids.tolist() == ids.tolist()
    assert scores.columns["label"].tolist() == labels.tolist()
    for name, values in extra.items():
        np.testing.assert_array_equal(scores.columns[name], values)


@pytest.mark.parametrize("kind", ["U", object, np.dtypes.StringDType()])
def test_ids_may_be_strings_of_any_kind(out: Path | None, kind: Any) -> None:
    ids = np.array([f"image-{row}" for row in range(N)])
    scores = karat.score(Embeddings(H, ids=ids.astype(kind)), epsilon=2, out=out)
    assert scores.ids.tolist() == ids.tolist()
    assert {type(name) for name, _ in scores.lowest} == {str}


def test_rows_without_ids_are_numbered(out: Path | None) -> None:
    scores = karat.score(H, epsilon=2, out=out)
    assert scores.ids.tolist() == list(range(N))
    assert {type(name) for name, _ in scores.lowest} == {int}


def test_a_column_that_no_table_can_hold_is_refused_before_the_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "fit_reference", lambda *_, **__: pytest.fail("a pass was begun"))
    emb = Embeddings(H, extra={"mixed": np.array([1, "a"] * (N // 2), object)})
    with pytest.raises(InputError, match="the column 'mixed' holds values that no table can hold"):
        karat.score(emb, out=tmp_path / "s.parquet")


def test_an_extra_column_with_the_name_of_a_score_is_refused() -> None:
    emb = Embeddings(H, extra={"random": np.arange(N)})
    with pytest.raises(InputError, match="the column 'random' has the name of a score"):
        karat.score(emb, scores="all", epsilon=2)
    assert karat.score(emb, epsilon=2).columns["random"].tolist() == list(range(N))


def test_the_input_is_not_changed() -> None:
    h = H.copy()
    h.flags.writeable = False
    karat.score(h, scores="all", epsilon=2, normalize=True, halves=True)
    np.testing.assert_array_equal(h, H)


# The same, however it is given


@pytest.mark.usefixtures("in_pieces")
def test_an_array_a_memory_map_and_other_layouts_give_one_record(tmp_path: Path) -> None:
    np.save(tmp_path / "h.npy", H)
    first = karat.score(H, scores="all", epsilon=2)
    forms = [np.load(tmp_path / "h.npy", mmap_mode="r"), np.asfortranarray(H), H.astype(">f4"), Embeddings(H)]
    for h in (*forms, karat.load(tmp_path / "h.npy")):
        again = karat.score(h, scores="all", epsilon=2)
        assert again == first
        assert columns_of(again) == columns_of(first)


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("h", [H, SIGNED], ids=["non-negative", "signed"])
def test_equal_work_gives_equal_bytes_on_any_number_of_threads(tmp_path: Path, h: np.ndarray) -> None:
    contents = set()
    for threads in (1, 2, 5, None):
        path = tmp_path / f"{threads}.parquet"
        karat.score(h, scores="all", epsilon="auto", threads=threads, out=path)
        contents.add(path.read_bytes())
    assert len(contents) == 1
    assert str(tmp_path).encode() not in contents.pop()


def test_the_digests_change_with_the_data_and_only_with_them() -> None:
    changed = H.copy()
    changed[-1, -1] += 1
    inputs = [
        karat.score(h, reference=reference, epsilon=2).provenance.inputs
        for h, reference in [(H, None), (H, OTHERS), (changed, OTHERS), (H.astype(np.float64), OTHERS), (H, changed)]
    ]
    own, apart, other_data, other_type, other_reference = inputs
    assert own["embeddings"] == own["reference"] == apart["embeddings"] == other_reference["embeddings"]
    assert other_reference["reference"] == other_data["embeddings"]
    assert apart["reference"] == other_data["reference"] == other_type["reference"] != own["reference"]
    assert len({own["embeddings"], other_data["embeddings"], other_type["embeddings"], apart["reference"]}) == 4
    assert all(len(digest) == 32 for digest in own.values())


def test_a_record_says_how_it_was_made() -> None:
    scores = karat.score(H, epsilon=2, lower=40, upper=90, over="all", normalize=True, halves=False, seed=5)
    assert scores.provenance.function == "score"
    assert scores.provenance.karat == karat.__version__
    assert scores.provenance.parameters == {
        "scores": list(scores.names),
        "epsilon": 2,
        "lower": 40,
        "upper": 90,
        "over": "all",
        "normalize": True,
        "halves": False,
        "seed": 5,
        "on_bad_rows": "error",
    }


def test_a_chosen_epsilon_is_recorded(out: Path | None) -> None:
    scores = karat.score(H, epsilon="auto", out=out)
    assert scores.epsilon == slow.choose_epsilon(H) != 4
    assert scores.provenance.parameters["epsilon"] == "auto"
    np.testing.assert_allclose(scores.q_score, expected(epsilon=scores.epsilon).q_score, rtol=1e-6)


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("epsilon", [2, "auto"])
def test_progress_rises_to_the_number_of_rows(epsilon: Any, out: Path | None) -> None:
    calls: list[tuple[int, int]] = []
    karat.score(H, epsilon=epsilon, out=out, progress=lambda done, total: calls.append((done, total)))
    assert {total for _, total in calls} == {N}
    assert calls[-1] == (N, N)
    assert [done for done, _ in calls][-13:] == [*range(7, 85, 7), 90]


# Rows that are not finite


BAD = H.copy()
BAD[[5, 17, 60]] = np.nan
BAD[17] = H[17]
BAD[17, 3] = -np.inf
GOOD = [row for row in range(N) if row not in (5, 17, 60)]


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("with_reference", [False, True])
def test_rows_that_are_not_finite_are_refused_by_id(out: Path | None, with_reference: bool) -> None:
    emb = Embeddings(BAD, ids=np.array([f"image-{row}" for row in range(N)]))
    reference = OTHERS if with_reference else None
    with pytest.raises(InputError, match="NaN or infinity, first in ids image-5"):
        karat.score(emb, reference=reference, epsilon=2, out=out)
    with pytest.raises(InputError, match="NaN or infinity, first in rows 5"):
        karat.score(BAD, reference=reference, epsilon=2, out=out)
    late = H.copy()
    late[60] = np.inf
    with pytest.raises(InputError, match="NaN or infinity, first in rows 60:"):
        karat.score(late, reference=reference, epsilon=2, out=out)
    if out is not None:
        assert list(out.parent.iterdir()) == []


def test_the_first_five_bad_ids_are_listed() -> None:
    h = H.copy()
    h[30:] = np.inf
    with pytest.raises(InputError, match=r"rows 30, 31, 32, 33, 34 \.\.\.: .*--on-bad-rows drop"):
        karat.score(h, epsilon=2)


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("h", [BAD, BAD - np.float32(1)], ids=["non-negative", "signed"])
def test_dropped_rows_have_no_scores_and_do_not_touch_the_others(out: Path | None, h: np.ndarray) -> None:
    scores = karat.score(h, scores="all", epsilon=2, on_bad_rows="drop", out=out)
    alone = karat.score(h[GOOD], scores="all", epsilon=2)
    for name in scores.names:
        values = scores.columns[name]
        assert np.flatnonzero(np.isnan(values)).tolist() == [5, 17, 60]
        if name == "knn_similarity":
            np.testing.assert_allclose(values[GOOD], alone.columns[name], atol=2e-6)
        elif name != "random":
            np.testing.assert_allclose(values[GOOD], alone.columns[name], rtol=1e-12, err_msg=name)
    assert scores.ids.tolist() == list(range(N))
    np.testing.assert_array_equal(scores.discriminative, alone.discriminative)
    assert (scores.health.n, scores.health.bad_rows) == (N, 3)
    assert scores.health.empty_share == pytest.approx(alone.health.empty_share)
    assert scores.health.zero_share == pytest.approx(alone.health.zero_share)
    assert scores.summary["q_score"].mean == pytest.approx(alone.summary["q_score"].mean)
    assert [name for name, _ in scores.lowest] == [GOOD[row] for row, _ in alone.lowest]


def test_bad_rows_of_a_reference_are_dropped_as_well(out: Path | None) -> None:
    reference = np.vstack([OTHERS, np.full((2, D), np.nan, np.float32)])
    with pytest.raises(InputError, match="rows 60, 61"):
        karat.score(H, reference=reference, epsilon=2, out=out)
    scores = karat.score(H, reference=reference, scores="all", epsilon=2, on_bad_rows="drop", out=out)
    np.testing.assert_allclose(scores.q_score, expected(epsilon=2.0, with_reference=True).q_score, rtol=1e-6)
    alone = karat.score(H, reference=OTHERS, scores=["knn_similarity"], epsilon=2)
    np.testing.assert_allclose(scores.knn_similarity, alone.knn_similarity, atol=2e-6)


def test_nothing_but_bad_rows_is_refused(out: Path | None) -> None:
    with pytest.raises(InputError, match="all 5 rows of h contain NaN or infinity"):
        karat.score(np.full((5, D), np.nan), on_bad_rows="drop", out=out)


# Activations that are kept


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("with_reference", [False, True])
def test_kept_activations_are_the_highly_activating_features(
    tmp_path: Path, signed: bool, with_reference: bool
) -> None:
    h, others = (SIGNED, OTHERS - np.float32(1)) if signed else (H, OTHERS)
    exact = expected(epsilon=2.0, signed=signed, with_reference=with_reference)
    reference = others if with_reference else None
    karat.score(h, reference=reference, epsilon=2, out=tmp_path / "s.parquet", keep_activations=True)
    rows, _, _ = slow.prepare(h, reference, False, "auto")
    row = 0
    files = sorted((tmp_path / "activations").iterdir())
    assert [file.name for file in files] == [f"part-{number:05d}.npz" for number in range(13)]
    for file in files:
        with np.load(file, allow_pickle=False) as part:
            assert {name: part[name].dtype for name in part} == {
                "indptr": np.int64, "col": np.int32, "value": np.float32
            }  # fmt: skip
            assert part["indptr"][0] == 0 and part["indptr"][-1] == len(part["col"]) == len(part["value"])
            for start, stop in zip(part["indptr"][:-1], part["indptr"][1:], strict=True):
                columns = part["col"][start:stop].tolist()
                assert len(columns) == len(set(columns)) and set(columns) == exact.members[row]
                np.testing.assert_allclose(part["value"][start:stop], [float(rows[row][j]) for j in columns], rtol=1e-6)
                row += 1
    assert row == N
    features = pq.read_table(tmp_path / "features.parquet")
    assert features.column_names == ["column", "share", "in_D"]
    m = len(others) if with_reference else N
    np.testing.assert_allclose(features.column("share").to_numpy(), np.array(exact.counts) / m)
    assert set(np.flatnonzero(features.column("in_D").to_numpy())) == exact.discriminative
    assert features.column("column").to_pylist() == list(range(len(exact.counts)))
    assert listing(tmp_path)[13:] == ["activations/part-00012.npz", "features.parquet", "s.parquet"]


@pytest.mark.usefixtures("in_pieces")
def test_kept_activations_are_byte_identical_for_equal_work(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        karat.score(H, epsilon=2, out=tmp_path / name / "s.parquet", keep_activations=True)
        contents.append(contents_of(tmp_path / name))
    assert contents[0] == contents[1]


def test_activations_cannot_be_kept_without_a_place() -> None:
    with pytest.raises(InputError, match="keep_activations needs out"):
        karat.score(H, keep_activations=True)


# What may be overwritten, and what stays when something fails


@pytest.fixture
def earlier(tmp_path: Path) -> Iterator[Path]:
    """An output with activations that exists already; when the test ends, all is as it was."""
    karat.score(OTHERS, epsilon=2, out=tmp_path / "s.parquet", keep_activations=True)
    names, contents = listing(tmp_path), contents_of(tmp_path)
    yield tmp_path / "s.parquet"
    assert listing(tmp_path) == names
    assert contents_of(tmp_path) == contents


@pytest.mark.parametrize("gone", [[], ["s.parquet"], ["s.parquet", "activations"], ["s.parquet", "features.parquet"]])
def test_an_output_that_exists_is_refused_before_the_pass(
    earlier: Path, gone: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "fit_reference", lambda *_, **__: pytest.fail("a pass was begun"))
    for name in gone:
        (earlier.parent / name).rename(earlier.parent / f"{name}.aside")
    with pytest.raises(OutputExistsError, match="exists already and was left alone"):
        karat.score(H, out=earlier, keep_activations=True)
    for name in gone:
        (earlier.parent / f"{name}.aside").rename(earlier.parent / name)


@pytest.mark.usefixtures("in_pieces")
def test_an_output_can_be_overwritten_whole(tmp_path: Path) -> None:
    karat.score(H, epsilon=2, out=tmp_path / "s.parquet", keep_activations=True)
    karat.score(OTHERS, epsilon=3, out=tmp_path / "s.parquet", keep_activations=True, overwrite=True)
    scores = load_record(tmp_path / "s.parquet")
    assert isinstance(scores, Scores) and scores.epsilon == 3 and len(scores.q_score) == 60
    assert len(list((tmp_path / "activations").iterdir())) == 9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["activations", "features.parquet", "s.parquet"]


class Stop(BaseException):
    pass


def stop_at(row: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done >= row:
            raise Stop

    return progress


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("reference", [None, OTHERS], ids=["alone", "with reference"])
@pytest.mark.parametrize("row", [1, 50, N])
def test_an_interruption_leaves_what_was_there(earlier: Path, row: int, reference: np.ndarray | None) -> None:
    with pytest.raises(Stop):
        karat.score(
            H,
            reference=reference,
            epsilon=2,
            out=earlier,
            keep_activations=True,
            overwrite=True,
            progress=stop_at(row),
        )


def disk_is_full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize(
    "call",
    ["numpy.save", "numpy.savez", "pyarrow.parquet.ParquetWriter.write_table", "pyarrow.parquet.write_table"],
)
def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(
    earlier: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, disk_is_full)
    with pytest.raises(OutputError, match="could not be written: the disk is full"):
        karat.score(H, epsilon=2, out=earlier, keep_activations=True, overwrite=True)


@pytest.mark.parametrize("reference", [None, OTHERS], ids=["alone", "with reference"])
def test_a_missing_folder_is_refused_before_the_pass(
    tmp_path: Path, reference: np.ndarray | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "fit_reference", lambda *_, **__: pytest.fail("a pass was begun"))
    with pytest.raises(OutputError, match="could not be written: there is no folder"):
        karat.score(H, reference=reference, epsilon=2, out=tmp_path / "missing" / "s.parquet")


# What is refused


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"scores": "quality"}, "there is no score 'quality'"),
        ({"scores": ["q_score", "softmax_margin"]}, "needs labels: karat evaluate"),
        ({"scores": []}, "scores is empty"),
        ({"epsilon": -1}, "epsilon is -1"),
        ({"epsilon": math.nan}, "epsilon is nan"),
        ({"epsilon": "high"}, "epsilon"),
        ({"lower": 60, "upper": 50}, "lower=60 and upper=50"),
        ({"over": "some"}, "over='some'"),
        ({"halves": "maybe"}, "halves='maybe'"),
        ({"on_bad_rows": "keep"}, "on_bad_rows='keep', but 'error' or 'drop'"),
        ({"threads": 0}, "threads is 0"),
        ({"reference": np.ones((30, D + 1))}, f"h has {D} features, but the reference has {D + 1}"),
        ({"reference": np.ones(D)}, r"shape \[40\]"),
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.filterwarnings("ignore::karat.errors.KaratWarning")
def test_parameters_out_of_range_are_refused(out: Path | None, given: dict[str, Any], why: str) -> None:
    with pytest.raises(KaratError, match=why):
        karat.score(H, out=out, **given)
    if out is not None:
        assert list(out.parent.iterdir()) == []


def test_a_path_is_no_matrix() -> None:
    with pytest.raises(InputTypeError, match=r"karat\.load\(path\)"):
        karat.score("embeddings.npy")


# Edges


@pytest.mark.parametrize("shape", [(1, 30), (5, 1), (1, 1)])
def test_a_single_row_or_feature_has_scores(out: Path | None, shape: tuple[int, int]) -> None:
    h = np.arange(1.0, 1 + shape[0] * shape[1]).reshape(shape)
    if shape[1] == 1:
        with pytest.warns(KaratWarning, match="with 1 features nothing can exceed"):
            scores = karat.score(h, scores="all", out=out)
    else:
        scores = karat.score(h, scores="all", out=out)
    assert scores.q_score.tolist() == [0] * shape[0]
    np.testing.assert_allclose(scores.l1_norm, h.sum(axis=1))


@pytest.mark.parametrize("h", [np.zeros((30, 25)), np.full((30, 25), 0.1), np.full((30, 25), -3.0)])
def test_constant_rows_score_zero(out: Path | None, h: np.ndarray) -> None:
    scores = karat.score(h, scores="all", out=out, halves=False)
    for name in ("q_score", "q_score_v1", "n_active", "n_discriminative", "max_z"):
        assert scores.columns[name].tolist() == [0] * 30, name


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e290])
def test_extreme_values_are_scaled_and_nothing_more(out: Path | None, scale: float) -> None:
    plain = karat.score(H.astype(np.float64), epsilon=2)
    scores = karat.score(H.astype(np.float64) * scale, epsilon=2, out=out)
    np.testing.assert_allclose(scores.q_score / scale, plain.q_score, rtol=1e-9)
    for name, value in asdict(scores.summary["q_score"]).items():
        assert value / scale == pytest.approx(getattr(plain.summary["q_score"], name), rel=1e-9), name


# The distribution of a score


def block_sizes(n: int) -> Iterator[slice]:
    start = 0
    for size in (1, 7, 1000, 99_999, 12_345, n):
        yield slice(start, min(start + size, n))
        start = min(start + size, n)
        if start == n:
            return


@pytest.mark.parametrize("n", [1, 999, 100_000, 100_001, 250_003])
@pytest.mark.parametrize("missing", [False, True])
def test_a_distribution_equals_numpy_whatever_the_blocks(n: int, missing: bool) -> None:
    values = np.random.default_rng(n).lognormal(size=n) + 1e4
    if missing:
        values[:: max(2, n // 50)] = np.nan
    found = Distribution(n)
    for rows in block_sizes(n):
        found.add(rows.start, values[rows])
    step = -(-n // 100_000)
    assert n / step <= 100_000
    known = values[np.isfinite(values)]
    if len(known) == 0:
        assert all(math.isnan(value) for value in asdict(found.summary()).values())
        return
    p05, median, p95 = np.nanpercentile(values[::step], [5, 50, 95])
    summary = found.summary()
    np.testing.assert_allclose((summary.mean, summary.std), (known.mean(), known.std()), rtol=1e-10)
    assert (summary.minimum, summary.maximum) == (known.min(), known.max())
    np.testing.assert_allclose((summary.p05, summary.median, summary.p95), (p05, median, p95), rtol=1e-14)


def test_a_distribution_without_values_is_nan() -> None:
    found = Distribution(3)
    found.add(0, np.array([np.nan, np.inf, np.nan]))
    assert all(math.isnan(value) for value in asdict(found.summary()).values())


# The spool


@pytest.mark.parametrize("make", [MemorySpool, None], ids=["memory", "disk"])
def test_a_spool_gives_back_what_it_was_given_in_order(tmp_path: Path, make: Any) -> None:
    kept = make() if make else DiskSpool(tmp_path / "spill", tmp_path / "s.parquet")
    parts = [highly_activating(H[start : start + 30], epsilon=2) for start in (0, 30, 60)]
    for part in parts:
        kept.append(part)
    for _ in range(2):
        for part, back in zip(parts, kept, strict=True):
            for name in ("indptr", "column", "value", "center", "spread", "mean", "std", "l1", "l2", "largest"):
                np.testing.assert_array_equal(getattr(back, name), getattr(part, name))
            assert (back.zeros, back.negatives) == (part.zeros, part.negatives)
    kept.clear()
    assert list(kept) == []
    kept.append(parts[2])
    (back,) = kept
    np.testing.assert_array_equal(back.column, parts[2].column)
    if not make:
        kept.close()


def test_a_spool_on_a_full_disk_is_one_sentence_and_can_be_closed() -> None:
    full = DiskSpool(Path("/dev/full"), Path("s.parquet"))
    with pytest.raises(OutputError, match=r"^s\.parquet could not be written: the disk is full"):
        for _ in range(1000):  # until the buffer is written
            full.append(highly_activating(H, epsilon=1))
    full.close()
