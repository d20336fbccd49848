"""Metrics of a whole set equal the functions that compute each alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import karat
from karat.catalog import METRICS, ROWS
from karat.embeddings import Embeddings, Shards
from karat.errors import InputError, InputTypeError, KaratWarning
from karat.records import Curve, from_dict, to_dict
from karat.stats import moments, panel
from tests.reference import qscore as slow
from tests.reference import spectrum as slow_spectrum

RNG = np.random.default_rng(0)
H = np.round(RNG.exponential(size=(50, 30)) ** 2 * 64) / 64
VIEWS = RNG.exponential(size=(24, 1, 30)) + 0.2 * RNG.normal(size=(24, 3, 30))
OTHERS = np.round(RNG.exponential(size=(40, 30)) ** 2 * 64) / 64


@pytest.mark.parametrize(
    ("shift", "with_reference", "parameters"),
    [
        (0, False, {"epsilon": 2.0}),
        (0, True, {"epsilon": 1.5, "lower": 30, "upper": 80}),
        (0, False, {"epsilon": 2.0, "over": "all", "halves": True}),
        (1, True, {"epsilon": 2.0}),
        (0, False, {"epsilon": 2.0, "normalize": True}),
    ],
)
def test_metrics_equal_the_transcriptions(
    shift: float, with_reference: bool, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("karat.stats.digest._CHUNK_BYTES", 7 * 30 * 8)
    h, others = H - shift, OTHERS - shift if with_reference else None
    found = karat.measure(h, reference=others, **parameters)
    exact = slow.q_score(h, others, **parameters)
    assert found.values["mean_q"] == pytest.approx(exact.q_score.mean())
    assert found.values["std_q"] == pytest.approx(exact.q_score.std())
    assert found.values["empty_share"] == pytest.approx(np.mean(exact.inside == 0))
    assert found.values["effective_rank"] == pytest.approx(slow_spectrum.effective_rank(h), rel=1e-6)
    assert (found.n, found.d) == (50, 30)


def test_metrics_equal_what_score_and_stats_say() -> None:
    found = karat.measure(H, epsilon="auto", seed=3)
    scores = karat.score(H, epsilon="auto", seed=3)
    assert found.values["mean_q"] == pytest.approx(karat.stats.q_score(H, epsilon="auto", seed=3).mean())
    assert found.values["mean_q"] == pytest.approx(scores.summary["q_score"].mean)
    assert found.values["empty_share"] == pytest.approx(scores.health.empty_share)
    assert found.values["effective_rank"] == karat.stats.effective_rank(H)
    assert found.provenance.inputs == scores.provenance.inputs


def test_a_record_says_how_it_was_made() -> None:
    found = karat.measure(H - 1, reference=OTHERS - 1, epsilon="auto", seed=3)
    assert found.provenance.function == "measure"
    assert found.provenance.parameters == {
        "metrics": list(found.values), "sample": 5000, "convergence": False,
        "epsilon": "auto", "lower": 50, "upper": 95, "over": "active", "normalize": False, "halves": "auto", "seed": 3,
        "epsilon_used": slow.choose_epsilon(OTHERS - 1), "halves_used": True, "sample_used": 50,
    }  # fmt: skip
    assert found.provenance.inputs["embeddings"] != found.provenance.inputs["reference"]
    assert from_dict(to_dict(found)) == found


def test_threads_and_layout_change_nothing(tmp_path: Any) -> None:
    np.save(tmp_path / "h.npy", H)
    first = karat.measure(H, epsilon=2)
    mapped = np.load(tmp_path / "h.npy", mmap_mode="r")
    for h, threads in [(H, 1), (H, 3), (mapped, None), (np.asfortranarray(H), None), (H.astype(">f8"), None)]:
        assert karat.measure(h, epsilon=2, threads=threads) == first


def test_a_constant_set_is_one_empty_direction() -> None:
    found = karat.measure(np.ones((10, 20)))
    assert found.values["mean_q"] == 0
    assert found.values["empty_share"] == 1
    assert found.values["effective_rank"] == pytest.approx(1, abs=1e-3)


def test_features_too_few_for_the_threshold_are_warned_of() -> None:
    with pytest.warns(KaratWarning, match="with 5 features nothing can exceed epsilon = 4"):
        assert karat.measure(np.eye(5)).values["empty_share"] == 1


@pytest.mark.parametrize("reference", [None, OTHERS], ids=["alone", "with reference"])
def test_rows_that_are_not_finite_are_refused_by_id(reference: Any) -> None:
    h = H.copy()
    h[7, 3] = np.inf
    with pytest.raises(InputError, match="first in ids image-7:"):
        karat.measure(karat.Embeddings(h, ids=[f"image-{row}" for row in range(50)]), reference=reference, epsilon=2)
    with pytest.raises(InputError, match="first in rows 7:"):
        karat.measure(H, reference=h, epsilon=2)


def test_what_is_no_matrix_is_refused() -> None:
    with pytest.raises(InputTypeError, match=r"karat\.load"):
        karat.measure("embeddings.npy")
    with pytest.raises(InputError, match="h has 30 features, but the reference has 29"):
        karat.measure(H, reference=OTHERS[:, 1:], epsilon=2)


def test_what_is_wrong_with_a_set_is_said() -> None:
    collapsed = karat.measure(np.ones((150, 30)))
    assert "has collapsed" in collapsed.warnings[0] and "warning: the representation has collapsed" in str(collapsed)
    assert to_dict(from_dict(to_dict(collapsed))) == to_dict(collapsed)
    healthy = np.random.default_rng(0).exponential(size=(400, 64)) ** 2
    assert karat.measure(healthy, epsilon=2).warnings == ()


def test_to_choose_epsilon_is_no_advice_where_it_was_chosen() -> None:
    weak = np.random.default_rng(0).random((200, 30))  # nothing stands out by 2 deviations
    told = " ".join(karat.measure(weak, epsilon=3.0).warnings)
    assert "every Q-Score is 0: use epsilon='auto'" in told
    with pytest.warns(KaratWarning, match="choose epsilon below 2.00$"):
        told = " ".join(karat.measure(np.ones((200, 5)), epsilon="auto").warnings)
    assert "every Q-Score is 0: use another score" in told and "auto" not in told


# which metrics, and from what


def test_each_metric_is_what_its_function_says() -> None:
    found = karat.measure(H, views=VIEWS, metrics="all", epsilon=2, seed=5).values
    assert tuple(found) == METRICS
    for name in METRICS:
        if name not in ("mean_q", "std_q", "empty_share"):
            function = getattr(karat.stats, ROWS[name].function.rsplit(".", 1)[1])
            seed = {"seed": 5} if name in ("clid", "cluster_learnability") else {}
            given = VIEWS if "views" in ROWS[name].needs else H
            assert found[name] == pytest.approx(function(given, **seed), rel=1e-9), name


def test_quick_leaves_out_what_takes_longer_and_all_what_has_no_views() -> None:
    quick, everything = karat.measure(H, epsilon=2), karat.measure(H, epsilon=2, metrics="all")
    slow_ones = {"coherence", "intrinsic_dimension", "cluster_learnability", "clid"}
    assert set(everything.values) - set(quick.values) == slow_ones
    assert everything.left_out == {"alignment": "views: --views", "lidar": "views: --views"}
    assert quick.left_out == everything.left_out | dict.fromkeys(slow_ones, "more time: --metrics all")
    assert "left out: coherence, " in str(quick) and "alignment, lidar (views: --views)" in str(quick)
    viewed = karat.measure(H, epsilon=2, views=VIEWS)
    assert set(viewed.values) - set(quick.values) == {"alignment", "lidar"}
    assert karat.measure(H, epsilon=2, views=VIEWS, metrics="all").left_out == {}


def test_the_spectrum_is_the_share_of_the_variance_along_each_direction() -> None:
    covariance = np.cov(np.asarray(H, np.float64), rowvar=False)
    expected = np.linalg.eigvalsh(covariance)[::-1] / np.trace(covariance)
    spectrum = karat.measure(H, metrics=["alpha"]).spectrum
    np.testing.assert_allclose(spectrum, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(karat.measure(H * 1e160, metrics=["nesum"]).spectrum, expected, rtol=1e-9, atol=1e-12)
    assert len(karat.measure(H, metrics=["mean_q"]).spectrum) == 0
    assert not any(karat.measure(np.ones((5, 20)), metrics=["nesum"]).spectrum)


def test_names_choose_the_metrics_and_only_these_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> float:
        raise AssertionError

    for name in ("uniformity", "alpha_of", "cluster_learnability", "lidar"):
        monkeypatch.setattr(panel, name, refuse)
    found = karat.measure(H, epsilon=2, metrics=["self_clustering", "mean_q", "stable_rank"])
    assert tuple(found.values) == ("mean_q", "stable_rank", "self_clustering")
    assert found.left_out == {}
    assert tuple(karat.measure(H, epsilon=2, metrics="nesum").values) == ("nesum",)
    assert found.provenance.parameters["metrics"] == ["mean_q", "stable_rank", "self_clustering"]


def test_one_gram_matrix_and_a_decomposition_for_each_centring_give_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def counted(name: str, function: Any) -> Any:
        def call(*arguments: Any, **parameters: Any) -> Any:
            calls.append(name)
            return function(*arguments, **parameters)

        return call

    monkeypatch.setattr(np.linalg, "eigvalsh", counted("eigvalsh", np.linalg.eigvalsh))
    monkeypatch.setattr(np.linalg, "eigh", counted("eigh", np.linalg.eigh))
    monkeypatch.setattr(moments.Moments, "of", counted("block", moments.Moments.of))
    karat.measure(H, epsilon=2)
    assert calls == ["block", "eigvalsh", "eigvalsh"]
    calls.clear()
    karat.measure(H, epsilon=2, metrics="all")
    assert calls == ["block", "eigh", "eigvalsh"]


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_shards_give_the_numbers_of_the_whole(shards: int) -> None:
    whole = karat.measure(H, epsilon=2, metrics="all", views=VIEWS).values
    sharded = karat.measure(Shards(np.array_split(H, shards)), epsilon=2, metrics="all", views=VIEWS).values
    assert sharded == pytest.approx(whole, rel=1e-9)


def test_views_may_be_rows_of_a_file() -> None:
    rows = np.random.default_rng(0).permutation(24 * 3)
    ids = np.repeat([f"image-{i}" for i in range(24)], 3)[rows]
    emb = Embeddings(VIEWS.reshape(-1, 30)[rows], ids=ids, extra={"view": np.tile([0, 1, 2], 24)[rows]})
    found = karat.measure(H, epsilon=2, metrics=["alignment", "lidar"], views=emb)
    whole = karat.measure(H, epsilon=2, metrics=["alignment", "lidar"], views=VIEWS)
    assert found.values == pytest.approx(whole.values, rel=1e-9)
    assert found.provenance.inputs["views"] != whole.provenance.inputs["views"]
    assert "views" not in karat.measure(H, epsilon=2).provenance.inputs


# samples and subsets


def test_metrics_of_pairs_are_those_of_a_seeded_sample() -> None:
    pairs = ["uniformity", "self_clustering", "intrinsic_dimension"]
    whole = karat.measure(H, epsilon=2, metrics=[*pairs, "nesum"])
    first = karat.measure(H, epsilon=2, metrics=[*pairs, "nesum"], sample=20, seed=1)
    assert first.provenance.parameters["sample"] == first.provenance.parameters["sample_used"] == 20
    assert karat.measure(H, epsilon=2, metrics=[*pairs, "nesum"], sample=20, seed=1) == first
    assert first.values["nesum"] == whole.values["nesum"]
    rows = np.sort(np.random.default_rng(1).choice(50, 20, replace=False))
    for name in pairs:
        assert first.values[name] == pytest.approx(getattr(karat.stats, name)(H[rows]), rel=1e-12)
    assert karat.measure(H, epsilon=2, metrics=pairs, sample=20, seed=2).values != first.values


@pytest.mark.parametrize("reference", [None, OTHERS], ids=["alone", "with reference"])
def test_curves_are_the_metrics_of_nested_subsets(reference: Any) -> None:
    found = karat.measure(
        H, reference=reference, epsilon=2, metrics="all", views=VIEWS, sample=32, convergence=True, seed=4
    )
    assert tuple(found.curves) == METRICS
    assert to_dict(from_dict(to_dict(found))) == to_dict(found)
    order = np.random.default_rng(4).permutation(50)
    for name in ("mean_q", "std_q", "empty_share", "nesum", "effective_rank", "coherence"):
        curve = found.curves[name]
        assert (curve.n, curve.of) == ((3, 6, 12, 25, 50), "samples")
        assert curve.values[-1] == found.values[name]
        for size, value in zip(curve.n[:-1], curve.values[:-1], strict=True):
            alone = karat.measure(H[np.sort(order[:size])], reference=reference, epsilon=2, metrics=name)
            assert value == pytest.approx(alone.values[name], rel=1e-9)
    assert found.curves["uniformity"].n == (2, 4, 8, 16, 32)
    assert found.curves["lidar"].n == found.curves["alignment"].n == (3, 6, 12, 24)
    assert found.curves["lidar"].of == "images"
    images = np.sort(np.random.default_rng(4).permutation(24)[:6])
    assert found.curves["lidar"].values[1] == pytest.approx(karat.stats.lidar(VIEWS[images]), rel=1e-9)


def test_curves_keep_the_threshold_and_the_halves_of_the_whole_set() -> None:
    signed = H.copy()
    signed[0, :20] = -1  # one row makes the set signed; few subsets have it
    found = karat.measure(signed, epsilon="auto", metrics="mean_q", convergence=True)
    used = found.provenance.parameters
    order = np.random.default_rng(0).permutation(50)
    assert used["halves_used"] is True and 0 not in order[:25]
    half = karat.measure(signed[np.sort(order[:25])], epsilon=used["epsilon_used"], halves=True, metrics="mean_q")
    assert found.curves["mean_q"].values[-2] == pytest.approx(half.values["mean_q"], rel=1e-9)


def test_curves_of_sets_on_disk_are_those_of_arrays(tmp_path: Any) -> None:
    np.save(tmp_path / "h.npy", H)
    exact = karat.measure(H, epsilon=2, convergence=True)
    for h in (np.load(tmp_path / "h.npy", mmap_mode="r"), Shards([H[:9], H[9:]])):
        found = karat.measure(h, epsilon=2, convergence=True)
        assert found.curves.keys() == exact.curves.keys()
        for name, curve in exact.curves.items():
            assert found.curves[name].values == pytest.approx(curve.values, rel=1e-9, nan_ok=True)


def test_curves_are_shown_against_n() -> None:
    found = karat.measure(H, epsilon=2, views=VIEWS, convergence=True)
    lines = [line.split() for line in str(found).splitlines()]
    assert ["samples", "3", "6", "12", "25", "50"] in lines and ["images", "3", "6", "12", "24"] in lines
    nesum = next(line for line in lines if line[:1] == ["nesum"])
    assert [float(value) for value in nesum[1:]] == pytest.approx(found.curves["nesum"].values, rel=1e-5)


def test_sets_too_small_to_divide_have_the_curve_of_what_can_be() -> None:
    with pytest.warns(KaratWarning, match="nothing can exceed") as told:
        found = karat.measure(np.eye(5), convergence=True, metrics=["stable_rank", "uniformity"])
    assert len(told) == 1  # of the whole set, not of each subset
    assert found.curves["stable_rank"] == Curve((2, 5), (pytest.approx(2), pytest.approx(5)))


# odd sets


def undefined(found: karat.records.Metrics) -> set[str]:
    return {name for name, value in found.values.items() if np.isnan(value)}


def test_what_is_undefined_is_null_in_json_and_explained() -> None:
    found = karat.measure(np.zeros((20, 30)), metrics="all")
    expected = {"condition", "coherence", "alpha", "uniformity", "self_clustering"}
    assert undefined(found) == expected | {"intrinsic_dimension", "cluster_learnability", "clid"}
    assert to_dict(found)["values"]["alpha"] is None
    assert all(any(name in warning for warning in found.warnings) for name in undefined(found))
    assert any(
        warning.startswith("condition, coherence are undefined for this set: h is zero") for warning in found.warnings
    )
    assert undefined(from_dict(to_dict(found))) == undefined(found)  # type: ignore[arg-type]


def test_one_row_and_one_feature_are_measured() -> None:
    one = karat.measure(np.arange(30.0)[None], metrics="all")
    assert undefined(one) == {
        "alpha", "uniformity", "self_clustering", "intrinsic_dimension", "cluster_learnability", "clid"
    }  # fmt: skip
    with pytest.warns(KaratWarning, match="nothing can exceed"):
        column = karat.measure(np.arange(30.0)[:, None] ** 2, metrics="all")
    assert undefined(column) == {"alpha", "self_clustering"}


@pytest.mark.parametrize("n", [50, 12])
def test_repeated_features_lower_the_rank_and_that_is_said(n: int) -> None:
    found = karat.measure(np.hstack([H[:n, :5]] * 6), epsilon=2)
    assert (
        f"h has rank 5, of {min(n, 30)} possible: condition and coherence are those of 5 directions." in found.warnings
    )
    assert not any("has rank" in warning for warning in karat.measure(H[:n], epsilon=2).warnings)


def test_fewer_samples_than_features_are_warned_of() -> None:
    told = "there are fewer samples (29) than features (30)"
    assert any(told in warning for warning in karat.measure(H[:29], epsilon=2).warnings)
    assert not any("fewer samples" in warning for warning in karat.measure(H[:30], epsilon=2).warnings)
    assert not any("fewer samples" in warning for warning in karat.measure(H[:9], epsilon=2, metrics="mean_q").warnings)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"metrics": "ranks"}, "there is no metric 'ranks': choose 'quick', 'all' or from mean_q, "),
        ({"metrics": []}, "metrics is empty"),
        ({"metrics": ["q_score"]}, "there is no metric 'q_score'"),
        ({"metrics": "lidar"}, r"the metric 'lidar' needs views of the images: give views \(--views\)"),
        ({"metrics": "alpha", "views": VIEWS}, "views are given, but none of alpha needs them"),
        ({"sample": 1}, "sample is 1, but at least two rows"),
        ({"views": VIEWS[:, :, 1:]}, "views has 29 features, but h has 30"),
        ({"views": VIEWS[:1]}, "views has one image"),
        ({"views": np.where(VIEWS > 3, np.nan, VIEWS)}, "views contains NaN or infinity, first in image"),
    ],
)
def test_parameters_that_fit_nothing_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        karat.measure(H, epsilon=2, **parameters)


def test_metrics_that_are_no_names_are_refused() -> None:
    with pytest.raises(InputTypeError, match="metrics is 5, but 'quick', 'all', a name or several are needed"):
        karat.measure(H, metrics=5)  # type: ignore[arg-type]
