"""Metrics of a whole set equal the functions that compute each alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import karat
from karat.errors import InputError, InputTypeError, KaratWarning
from karat.records import from_dict, to_dict
from tests.reference import qscore as slow
from tests.reference import spectrum as slow_spectrum

RNG = np.random.default_rng(0)
H = np.round(RNG.exponential(size=(50, 30)) ** 2 * 64) / 64
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
        "epsilon": "auto", "lower": 50, "upper": 95, "over": "active", "normalize": False, "halves": "auto", "seed": 3,
        "epsilon_used": slow.choose_epsilon(OTHERS - 1), "halves_used": True,
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
    assert from_dict(to_dict(collapsed)) == collapsed
    healthy = np.random.default_rng(0).exponential(size=(400, 64)) ** 2
    assert karat.measure(healthy, epsilon=2).warnings == ()


def test_to_choose_epsilon_is_no_advice_where_it_was_chosen() -> None:
    weak = np.random.default_rng(0).random((200, 30))  # nothing stands out by 2 deviations
    told = " ".join(karat.measure(weak, epsilon=3.0).warnings)
    assert "every Q-Score is 0: use epsilon='auto'" in told
    with pytest.warns(KaratWarning, match="choose epsilon below 2.00$"):
        told = " ".join(karat.measure(np.ones((200, 5)), epsilon="auto").warnings)
    assert "every Q-Score is 0: use another score" in told and "auto" not in told
