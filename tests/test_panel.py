"""Scores beyond the one pass: those of karat.stats, for all samples or for those that have what a score needs."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import karat
from karat import catalog, stats
from karat.embeddings import Embeddings, LazyRows
from karat.errors import InputError, InputTypeError
from karat.records import Scores
from karat.runs import load_record
from karat.scoring import needs
from karat.scoring.needs import SETTINGS, Given, possible
from tests.commands import Command

N, D = 130, 6
PANEL = tuple(name for name in catalog.LABEL_FREE_SCORES if name not in needs.ONE_PASS)
ALONE = tuple(name for name in PANEL if catalog.ROWS[name].needs == ("h",) and name != "q_score_halves")
FLOAT32 = dict(rtol=2e-5, atol=5e-6)


def made(n: int = N, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.exponential(size=(n, D)) ** 2 * np.linspace(0.5, 2, D)).astype(np.float32)


H, OTHERS = made(), made(140, seed=1)
VIEWS = np.stack([H + 0.3 * made(seed=seed) for seed in (5, 6, 7)], axis=1)
ENSEMBLE = [H[:, :4] + 0.5 * made(seed=8)[:, :4], H + made(seed=9)]
NAMES = np.array([f"image-{row}" for row in range(N)])


@pytest.fixture(autouse=True)
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 17 rows in the one pass, blocks of 40 in the second."""
    monkeypatch.setattr("karat.stats.digest._CHUNK_BYTES", 17 * D * 4)
    monkeypatch.setattr("karat.scoring.panel.BLOCK", 40)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that few samples suffice for."""
    for name, changed in [("neighborhood_consistency", {"k": 15}), ("vote_entropy", {"clusters": [3, 5]})]:
        monkeypatch.setitem(SETTINGS, name, SETTINGS[name] | changed)
    monkeypatch.setitem(SETTINGS, "ensemble_distance", SETTINGS["neighborhood_consistency"])
    monkeypatch.setitem(SETTINGS, "mixture_likelihood", SETTINGS["mixture_likelihood"] | {"components": 3})


def score_of(*arguments: Any, **keywords: Any) -> Scores:
    return karat.score(*arguments, epsilon=1.5, **keywords)


def everything(emb: Any = H, **keywords: Any) -> Scores:
    return score_of(emb, **{"scores": "all", "views": VIEWS, "ensemble": ENSEMBLE} | keywords)


def arguments_of(name: str) -> dict[str, Any]:
    return {key: value for key, value in SETTINGS.get(name, {}).items() if key != "fitted_rows"}


# The numbers


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("reference", [None, OTHERS], ids=["own", "reference"])
def test_each_score_is_that_of_its_function(name: str, reference: np.ndarray | None) -> None:
    found = score_of(H, reference=reference, scores=[name], seed=3)
    function = getattr(stats, name)
    arguments = arguments_of(name)
    if "reference" in inspect.signature(function).parameters:
        arguments["reference"] = reference
    if "seed" in inspect.signature(function).parameters:
        arguments["seed"] = 3
    np.testing.assert_allclose(found.columns[name], function(H, **arguments), **FLOAT32)
    assert found.names == (name,)


@pytest.mark.usefixtures("small")
def test_together_they_are_what_they_are_alone() -> None:
    together = everything()
    assert set(ALONE) < set(together.names)
    for name in together.names:
        part = catalog.ROWS[name].needs
        given = {"views": VIEWS} if "views" in part else {"ensemble": ENSEMBLE} if "ensemble" in part else {}
        alone = score_of(H, scores=[name], **given)
        np.testing.assert_allclose(together.columns[name], alone.columns[name], **FLOAT32, err_msg=name)


@pytest.mark.parametrize("halves", ["auto", True, False])
@pytest.mark.parametrize("shift", [0, 0.7], ids=["non-negative", "signed"])
@pytest.mark.parametrize("reference", [None, OTHERS], ids=["own", "reference"])
def test_halves_are_always_split(halves: Any, shift: float, reference: np.ndarray | None) -> None:
    h, other = H - np.float32(shift), None if reference is None else reference - np.float32(shift)
    found = score_of(h, reference=other, scores=["q_score", "q_score_halves"], halves=halves)
    exact = stats.q_score(h, reference=other, epsilon=1.5, halves=True)
    np.testing.assert_allclose(found.q_score_halves, exact, rtol=1e-6)
    np.testing.assert_allclose(found.q_score, stats.q_score(h, reference=other, epsilon=1.5, halves=halves), rtol=1e-6)
    assert (found.q_score != found.q_score_halves).any() == (halves is False or (halves == "auto" and shift == 0))


def test_scores_of_views_and_of_encoders_are_those_of_their_functions() -> None:
    found = everything()
    np.testing.assert_allclose(found.view_agreement, stats.view_agreement(VIEWS), **FLOAT32)
    np.testing.assert_allclose(found.view_similarity, stats.view_similarity(H, VIEWS), **FLOAT32)
    members = [H, *ENSEMBLE]
    exact = stats.neighborhood_consistency(members)
    np.testing.assert_allclose(found.neighborhood_consistency, exact, **FLOAT32)
    np.testing.assert_allclose(found.ensemble_distance, stats.ensemble_distance(members), **FLOAT32)
    np.testing.assert_allclose(found.ensemble_likelihood, stats.ensemble_likelihood(members), **FLOAT32)
    alike = score_of(H, ensemble=ENSEMBLE[1:], scores=["ensemble_variance"])
    np.testing.assert_allclose(alike.ensemble_variance, stats.ensemble_variance([H, ENSEMBLE[1]]), **FLOAT32)


def test_neighbours_are_those_in_the_reference() -> None:
    near = score_of(H, reference=H, scores=["knn_similarity"])
    far = score_of(H, scores=["knn_similarity"])
    assert (near.knn_similarity > far.knn_similarity).all()  # a reference that is given is taken whole


@pytest.mark.usefixtures("small")
def test_equal_work_gives_equal_bytes(tmp_path: Path) -> None:
    contents = set()
    for threads in (1, 4):
        everything(threads=threads, out=tmp_path / f"{threads}.parquet")
        contents.add((tmp_path / f"{threads}.parquet").read_bytes())
    assert len(contents) == 1
    memory, disk = everything(), load_record(tmp_path / "1.parquet")
    assert memory == disk
    for name in memory.names:
        assert memory.columns[name].tobytes() == disk.columns[name].tobytes()


def test_the_input_is_not_changed() -> None:
    given = [array.copy() for array in (H, VIEWS, *ENSEMBLE)]
    for array in given:
        array.flags.writeable = False
    everything(given[0], views=given[1], ensemble=given[2:])
    for array, before in zip(given, (H, VIEWS, *ENSEMBLE), strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("h", [np.zeros((130, 5)), np.full((130, 5), 0.1), np.tile([1.0, 2, 3], (130, 1))])
@pytest.mark.filterwarnings("ignore::karat.errors.KaratWarning")
def test_equal_rows_have_scores(h: np.ndarray) -> None:
    scores = score_of(h, scores="all", views=np.stack([h, h], axis=1), ensemble=[h])
    for name in scores.names:
        assert np.isfinite(scores.columns[name]).all(), name


def test_progress_of_the_second_reading_is_told() -> None:
    calls: list[tuple[int, int]] = []
    score_of(H, scores=["feature_entropy"], progress=lambda *call: calls.append(call))
    assert calls[-4:] == [(40, N), (80, N), (120, N), (N, N)]
    calls.clear()
    score_of(H, progress=lambda *call: calls.append(call))
    assert len(calls) == 8


# Rows that are not finite


BAD = H.copy()
BAD[[5, 17, 60]] = np.nan
BAD[17, :] = H[17]
BAD[17, 3] = -np.inf
GOOD = np.setdiff1d(np.arange(N), [5, 17, 60])


@pytest.mark.usefixtures("small")
def test_dropped_rows_have_no_scores_and_do_not_touch_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("karat.scoring.panel.BLOCK", 6)
    bad = BAD.copy()
    bad[66:72] = np.inf  # a whole block
    good = np.setdiff1d(GOOD, np.arange(66, 72))
    ensemble = [np.where(np.isfinite(bad).all(axis=1, keepdims=True), member, np.nan) for member in ENSEMBLE]
    found = everything(bad, ensemble=ensemble, on_bad_rows="drop")
    alone = everything(H[good], views=VIEWS[good], ensemble=[h[good] for h in ENSEMBLE])
    assert found.names == alone.names
    for name in PANEL:
        if name in found.names:
            values = found.columns[name]
            assert np.flatnonzero(np.isnan(values)).tolist() == [5, 17, 60, *range(66, 72)], name
            if "view" not in name:  # views of dropped samples still count for the mean of all views
                np.testing.assert_allclose(values[good], alone.columns[name], rtol=1e-4, atol=1e-5, err_msg=name)
    assert found.health.bad_rows == 9


@pytest.mark.usefixtures("small")
def test_bad_rows_of_a_reference_are_dropped_as_well() -> None:
    reference = np.vstack([OTHERS[:70], np.full((2, D), np.nan, np.float32), OTHERS[70:]])
    with pytest.raises(InputError, match="reference contains NaN or infinity, first in rows 70, 71"):
        score_of(H, reference=reference, scores="all")
    found = score_of(H, reference=reference, scores="all", on_bad_rows="drop")
    alone = score_of(H, reference=OTHERS, scores="all")
    for name in alone.names:
        np.testing.assert_allclose(found.columns[name], alone.columns[name], **FLOAT32, err_msg=name)


@pytest.mark.parametrize("reference", [None, OTHERS], ids=["own", "reference"])
def test_bad_rows_are_refused_by_id(reference: np.ndarray | None) -> None:
    with pytest.raises(InputError, match="h contains NaN or infinity, first in ids image-5"):
        score_of(Embeddings(BAD, ids=NAMES), reference=reference, scores="all")


class Noted(LazyRows):
    """Rows that note how many of them are asked for at once."""

    def __init__(self, h: np.ndarray) -> None:
        super().__init__(h.shape, h.dtype)
        self._h, self.most = h, 0

    def _read(self, start: int, stop: int) -> np.ndarray:
        self.most = max(self.most, stop - start)
        return self._h[start:stop]


@pytest.mark.parametrize("scores", ["knn_similarity", "feature_entropy", "cluster_margin", "neighborhood_consistency"])
def test_a_large_set_is_read_in_blocks_whether_rows_are_dropped_or_not(
    scores: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTINGS, "mahalanobis_distance", {"dimensions": 64, "fitted_rows": 500})
    monkeypatch.setitem(SETTINGS, "neighborhood_consistency", {"k": 5, "anchors": 500, "center": True})
    bad = made(6000)
    bad[77] = np.nan
    for h, how in [(made(6000), "error"), (bad, "drop")]:
        rows, other = Noted(h), Noted(made(6000, seed=3))
        ensemble = [other] if scores == "neighborhood_consistency" else None
        score_of(rows, scores=[scores], on_bad_rows=how, ensemble=ensemble)
        assert max(rows.most, other.most) <= 2048


def test_bad_rows_of_views_and_encoders_are_refused_or_have_null_scores() -> None:
    views, encoder = VIEWS.copy(), ENSEMBLE[1].copy()
    views[50, 1, 2], encoder[[3, 90]] = np.nan, np.inf
    with pytest.raises(InputError, match="views contains NaN or infinity, first in views of samples 50"):
        score_of(H, views=views, scores=["view_agreement"])
    for name in ("neighborhood_consistency", "ensemble_variance", "ensemble_likelihood"):
        with pytest.raises(InputError, match=r"ensemble\[0\] contains NaN or infinity, first in rows 3"):
            score_of(H, ensemble=[encoder], scores=[name])
    found = everything(views=views, ensemble=[encoder], on_bad_rows="drop")
    for name in ("view_agreement", "view_similarity"):
        assert np.flatnonzero(np.isnan(found.columns[name])).tolist() == [50]
    for name in ("neighborhood_consistency", "ensemble_distance", "ensemble_variance", "ensemble_likelihood"):
        assert np.flatnonzero(np.isnan(found.columns[name])).tolist() == [3, 90]
    assert not np.isnan(found.knn_similarity).any()


# Joined by id


def shuffled(h: np.ndarray, ids: np.ndarray, seed: int = 0) -> Embeddings:
    order = np.random.default_rng(seed).permutation(len(h))
    return Embeddings(h[order], ids=ids[order])


@pytest.mark.usefixtures("small")
def test_views_and_encoders_join_by_id_whatever_their_order() -> None:
    emb = Embeddings(H, ids=NAMES)
    views = shuffled(VIEWS.reshape(-1, D), np.repeat(NAMES, 3))
    ensemble = [shuffled(member, NAMES, seed) for seed, member in enumerate(ENSEMBLE)]
    by_id, by_position = everything(emb, views=views, ensemble=ensemble), everything(H)
    for name in by_position.names:
        np.testing.assert_allclose(by_id.columns[name], by_position.columns[name], **FLOAT32, err_msg=name)


def test_views_and_encoders_may_hold_other_samples_too() -> None:
    emb = Embeddings(H, ids=NAMES)
    ids = np.concatenate([["other-0", "other-1"], NAMES[::-1]])
    ensemble = [Embeddings(np.vstack([member[:2], member[::-1]]), ids=ids) for member in ENSEMBLE]
    found = everything(emb, ensemble=ensemble)
    exact = everything()
    np.testing.assert_allclose(found.neighborhood_consistency, exact.neighborhood_consistency, **FLOAT32)
    views = Embeddings(np.vstack([H[:3], VIEWS.reshape(-1, D)]), ids=np.concatenate([["x"] * 3, np.repeat(NAMES, 3)]))
    near = score_of(emb, views=views, scores=["view_agreement"]).view_agreement
    assert np.corrcoef(near, exact.view_agreement)[0, 1] > 0.99  # the mean of all views has moved a little


def test_numbers_and_texts_of_one_id_are_one_id() -> None:
    order = np.random.default_rng(0).permutation(N)
    encoder = Embeddings(ENSEMBLE[1][order], ids=order.astype(str))
    found = score_of(Embeddings(H, ids=np.arange(N)), ensemble=[encoder], scores=["ensemble_variance"])
    np.testing.assert_allclose(found.ensemble_variance, stats.ensemble_variance([H, ENSEMBLE[1]]), **FLOAT32)


def test_without_ids_views_join_to_row_numbers() -> None:
    views = shuffled(VIEWS.reshape(-1, D), np.repeat(np.arange(N), 3))
    found = score_of(H, views=views, scores=["view_agreement"])
    np.testing.assert_allclose(found.view_agreement, stats.view_agreement(VIEWS), **FLOAT32)


NUMBERED = Embeddings(H, ids=NAMES)
TWICE = np.where(NAMES == "image-9", "image-8", NAMES)


@pytest.mark.parametrize(
    ("emb", "given", "why"),
    [
        (H, {"ensemble": [H[:50]]}, r"ensemble\[0\] has 50 samples, but 130 are scored"),
        (NUMBERED, {"ensemble": [H, H[:50]]}, r"ensemble\[1\] has 50 samples, but 130 are scored"),
        (
            NUMBERED,
            {"ensemble": [NUMBERED[2:]]},
            r"ensemble\[0\] lacks 2 of the 130 samples \(image-0, image-1\).*--on-bad-rows drop",
        ),
        (NUMBERED, {"ensemble": [Embeddings(H, ids=TWICE)]}, r"1 ids of the ensemble\[0\] occur more than once"),
        (Embeddings(H, ids=TWICE), {"ensemble": [NUMBERED]}, "1 ids of the embeddings occur more than once"),
        (Embeddings(H, ids=TWICE), {"views": shuffled(VIEWS.reshape(-1, D), np.repeat(NAMES, 3))}, "more than once"),
        (NUMBERED, {"views": VIEWS[:50]}, "views has 50 samples, but 130 are scored"),
        (NUMBERED, {"views": shuffled(VIEWS[1:].reshape(-1, D), np.repeat(NAMES[1:], 3))}, r"lacks 1 .*\(image-0\)"),
        (NUMBERED, {"views": Embeddings(VIEWS.reshape(-1, D))}, "views has no ids"),
        (NUMBERED, {"views": VIEWS[:, :1]}, "views has one view"),
        (NUMBERED, {"views": VIEWS[:, :, :4]}, "views has 4 features, but h has 6"),
        (NUMBERED, {"ensemble": [Embeddings(H, ids=np.arange(N))]}, r"ensemble\[0\] lacks 130 of the 130 samples"),
    ],
)
def test_what_cannot_be_joined_is_refused(emb: Any, given: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        score_of(emb, scores="all", **given)


@pytest.mark.parametrize("ensemble", [H, NUMBERED, "other.npy"])
def test_an_ensemble_is_a_list(ensemble: Any) -> None:
    with pytest.raises(InputTypeError, match=r"ensemble is one set of embeddings, .* ensemble=\[other\]"):
        score_of(H, ensemble=ensemble)


def test_samples_that_are_missing_elsewhere_have_null_scores_where_that_is_asked_for() -> None:
    views = shuffled(VIEWS[1:].reshape(-1, D), np.repeat(NAMES[1:], 3))
    found = everything(NUMBERED, views=views, ensemble=[NUMBERED[2:], H], on_bad_rows="drop")
    assert np.flatnonzero(np.isnan(found.view_agreement)).tolist() == [0]
    assert np.flatnonzero(np.isnan(found.neighborhood_consistency)).tolist() == [0, 1]
    assert not np.isnan(found.q_score).any()
    notes = found.health.warnings[-2:]
    assert notes[0].startswith("views lacks 1 of the samples") and notes[1].startswith("ensemble[0] lacks 2")


# What is possible


def given(n: int = 10_000, reference: int | None = None, **changed: Any) -> Given:
    return Given(
        **{"n": n, "reference": n if reference is None else reference, "own": reference is None}
        | {"views": False, "widths": (64,)}
        | changed
    )


def test_all_leaves_out_what_needs_are_not_met_for_and_says_so() -> None:
    names, left_out = possible("all", given())
    assert {name for name in catalog.LABEL_FREE_SCORES if name not in names} == set(left_out)
    assert left_out["view_agreement"] == left_out["view_similarity"] == "augmented views of the samples: --views"
    assert left_out["neighborhood_consistency"] == "other encoders' embeddings: --ensemble"
    assert len(left_out) == 6
    names, left_out = possible("all", given(views=True, widths=(64, 64, 64)))
    assert names == catalog.LABEL_FREE_SCORES and not left_out
    _, left_out = possible("all", given(views=True, widths=(64, 32)))
    assert left_out == {"ensemble_variance": "encoders with equal numbers of features"}


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("knn_similarity", 20),
        ("knn_distance", 20),
        ("whitened_similarity", 20),
        ("neighbor_coherence", 20),
        ("graph_spectral_norm", 20),
        ("cluster_margin", 20),
        ("vote_entropy", 100),
        ("mixture_likelihood", 20 * 64),
    ],
)
def test_all_leaves_out_what_has_too_few_rows(name: str, least: int) -> None:
    itself = 1 if "k" in SETTINGS[name] and name != "vote_entropy" else 0  # a sample is not its own neighbour
    for changed, own in [({}, itself), ({"n": 5, "own": False}, 0)]:
        enough, few = (
            given(**{"n": rows, "reference": rows, "own": True} | changed) for rows in (least + own, least + own - 1)
        )
        assert name in possible("all", enough)[0]
        whose = "samples" if changed == {} else "reference samples"
        assert possible("all", few)[1][name] == f"{least + own:,} or more {whose}"
        with pytest.raises(InputError, match=f"the score '{name}' needs {least + own:,} or more {whose}"):
            possible(name, few)


def test_the_ensembles_scores_need_as_many_samples_whatever_the_reference() -> None:
    for n, enough in [(101, True), (100, False)]:
        found = possible("all", given(n=n, reference=5000, widths=(8, 8)))[0]
        assert ("neighborhood_consistency" in found) == enough


def test_the_least_rows_are_enough() -> None:
    for n in (20, 21, 100, 101, 2 * 10 * D):
        names = score_of(made(n), scores="all", ensemble=[made(n, seed=4)]).names
        assert ("knn_similarity" in names) == ("graph_spectral_norm" in names) == (n > 20)
        assert ("vote_entropy" in names) == (n >= 100)
        assert ("neighborhood_consistency" in names) == (n > 100)
        assert ("mixture_likelihood" in names) == (n >= 120)


def test_all_leaves_out_what_would_take_hours_but_a_name_does_not() -> None:
    for n, left in [(10**5, set()), (10**5 + 1, {"knn_similarity", "knn_distance"})]:
        _, left_out = possible("all", given(n, own=True))
        assert {name for name in left_out if left_out[name].startswith("time")} == left
        assert set(possible(list(left) or "random", given(n, own=True))[0]) == (left or {"random"})
    _, left_out = possible("all", given(10**6 + 1, widths=(8, 8, 8), views=True))
    assert {name for name in left_out if left_out[name].startswith("time")} == {
        "knn_similarity", "knn_distance", *needs.PLACED, "neighborhood_consistency", "ensemble_distance",
    }  # fmt: skip
    assert left_out["knn_similarity"] == "time: 1e+12 pairs"
    assert possible("knn_similarity", given(10**7))[0] == ("knn_similarity",)


def test_what_a_score_needs_is_asked_for() -> None:
    with pytest.raises(InputError, match="'view_agreement' needs augmented views of the samples: --views"):
        score_of(H, scores=["q_score", "view_agreement"])
    with pytest.raises(InputError, match="'ensemble_distance' needs other encoders' embeddings: --ensemble"):
        score_of(H, scores="ensemble_distance", views=VIEWS)
    with pytest.raises(InputError, match=r"views is given, but none of q_score, q_score_v1, .* needs it"):
        score_of(H, views=VIEWS)
    with pytest.raises(InputError, match="ensemble is given, but none of view_agreement needs it"):
        score_of(H, scores="view_agreement", views=VIEWS, ensemble=ENSEMBLE)


# What is recorded


def test_settings_are_the_defaults_of_the_functions() -> None:
    from karat.stats.projection import FITTED_ROWS

    for name, settings in SETTINGS.items():
        parameters = inspect.signature(getattr(stats, name)).parameters
        for key, value in settings.items():
            default = FITTED_ROWS if key == "fitted_rows" else parameters[key].default
            assert value == (list(default) if isinstance(default, tuple) else default), (name, key)


def test_the_record_names_settings_digests_and_what_was_left_out(tmp_path: Path) -> None:
    found = everything(out=tmp_path / "s.parquet")
    parameters = found.provenance.parameters
    assert parameters["settings"]["vote_entropy"] == SETTINGS["vote_entropy"]
    assert set(parameters["settings"]) == set(SETTINGS) & set(found.names)
    inputs = found.provenance.inputs
    assert list(inputs) == ["embeddings", "reference", "views", "ensemble[0]", "ensemble[1]"]
    assert all(len(digest) == 32 for digest in inputs.values())
    assert found.left_out == {"ensemble_variance": "encoders with equal numbers of features"}
    assert load_record(tmp_path / "s.parquet") == found
    assert "left out: ensemble_variance (encoders with equal numbers of features)" in str(found)
    assert "left out" not in str(score_of(H)) and score_of(H).left_out == {}


@pytest.mark.parametrize("name", PANEL)
def test_an_extra_column_with_the_name_of_a_score_is_refused(name: str) -> None:
    emb = Embeddings(H, extra={name: np.arange(N)})
    if name != "ensemble_variance":
        with pytest.raises(InputError, match=f"the column '{name}' has the name of a score"):
            everything(emb)


# The command line


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line in a folder with h.npz, views.npz and two encoders: one.npz with ids, two.npy without."""
    order = np.random.default_rng(0).permutation(N)
    np.savez(tmp_path / "h.npz", h=H, ids=NAMES)
    np.savez(tmp_path / "views.npz", h=VIEWS.transpose(1, 0, 2).reshape(-1, D), ids=np.tile(NAMES, 3))
    np.savez(tmp_path / "one.npz", h=ENSEMBLE[0][order], ids=NAMES[order])
    np.save(tmp_path / "two.npy", ENSEMBLE[1])
    monkeypatch.chdir(tmp_path)
    return Command(capsys)


def test_views_and_encoders_are_given_as_files(command: Command) -> None:
    options = ("--scores", "all", "--epsilon", 1.5, "--views", "views.npz", "--ensemble", "one.npz")
    done = command("score", "h.npz", *options, "--ensemble", "two.npy")
    assert done.status == 0, done.err
    assert "left out: ensemble_variance (encoders with equal numbers of features)" in done.out
    exact = everything()
    table = pq.read_table("scores.parquet")
    for name in exact.names:
        np.testing.assert_allclose(table[name].to_numpy(), exact.columns[name], **FLOAT32, err_msg=name)
    again = command("score", "h.npz", *options, "--json", "--overwrite")
    assert json.loads(again.out)["left_out"] == exact.left_out


def test_what_is_left_out_is_said_with_its_option(command: Command) -> None:
    done = command("score", "h.npz", "--scores", "all", "--epsilon", 1.5)
    line = next(line for line in done.out.splitlines() if line.startswith("left out: "))
    assert "view_agreement, view_similarity (augmented views of the samples: --views)" in line
    assert "ensemble_likelihood (other encoders' embeddings: --ensemble)" in line


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--views", "views.npz"), "views is given, but none of q_score, "),
        (("--views", "two.npy", "--scores", "all"), "views has no ids"),
        (("--ensemble", "gone.npy", "--scores", "all"), "gone.npy"),
        (("--scores", "neighborhood_consistency"), "needs other encoders' embeddings: --ensemble"),
    ],
)
def test_what_does_not_fit_ends_with_one_sentence(command: Command, options: tuple[str, ...], why: str) -> None:
    done = command("score", "h.npz", "--epsilon", 1.5, *options)
    assert done.status == 1
    assert why in done.err and done.err.count("\n") == 1
    assert not Path("scores.parquet").exists()


def test_measures_are_listed_with_their_needs(command: Command) -> None:
    rows = {row["name"]: row for row in json.loads(command("catalog", "--json").out)}
    assert rows["r_auroc"]["kind"] == "measure" and rows["r_auroc"]["needs"] == ["scores", "h", "labels"]
    assert rows["view_agreement"]["needs"] == ["views"]


def test_the_libraries_of_other_scores_are_not_loaded_for_the_default_ones(command: Command) -> None:
    code = (
        "import sys, numpy as np; from karat.cli import main; main(['score', 'h.npz', '--epsilon', '1.5']); "
        "print([name for name in ('sklearn', 'scipy.sparse', 'torch') if name in sys.modules])"
    )
    environment = {"PYTHONPATH": str(Path(karat.__file__).parents[1]), "HOME": str(Path.home())}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
