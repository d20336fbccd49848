"""The metrics against transcriptions of the formulas, in batches, merged, and on two processes."""

from __future__ import annotations

import pickle
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

import karat
from karat.errors import InputError, InputTypeError, KaratWarning, MissingDependencyError
from karat.integrations.torchmetrics import EffectiveRank, QScoreMetric
from tests.reference import qscore as slow
from tests.reference.spectrum import effective_rank

D = 30
RNG = np.random.default_rng(0)
# Multiples of 1/64, so that float32 and the exact fractions of the transcription hold the same numbers.
H = np.round(RNG.exponential(size=(50, D)) ** 2 * 64) / 64
OTHERS = np.round(RNG.exponential(size=(40, D)) ** 2 * 64) / 64
SIGNED, SIGNED_OTHERS = H - 1, OTHERS - 1


def seen(metric: Any, h: np.ndarray, size: int = 7) -> Any:
    """The metric after the rows, batch by batch, in float32."""
    for batch in torch.from_numpy(h).float().split(size):
        metric.update(batch)
    return metric


def values_of(metric: Metric) -> dict[str, float]:
    found = metric.compute()
    return {name: float(value) for name, value in (found if isinstance(found, dict) else {"value": found}).items()}


def fixed(reference: np.ndarray, **parameters: Any) -> dict[str, Any]:
    """Arguments of a metric whose D is that of a reference."""
    fitted = karat.stats.fit_reference(reference, **parameters)
    return {
        "epsilon": fitted.epsilon,
        "discriminative": fitted.discriminative,
        "means": fitted.means,
        "normalize": fitted.normalize,
    }


@pytest.mark.parametrize(
    "parameters",
    [
        {"epsilon": 2.0},
        {"epsilon": 1.5, "lower": 30, "upper": 80},
        {"epsilon": 3.5, "over": "all"},
        {"epsilon": 2.0, "normalize": True},
    ],
)
def test_without_a_mask_d_is_that_of_the_set(parameters: dict[str, Any]) -> None:
    found = values_of(seen(QScoreMetric(**parameters), H))
    exact = slow.q_score(H, None, **parameters)
    assert found["mean_q"] == pytest.approx(exact.q_score.mean(), rel=1e-12)
    assert found["empty_share"] == np.mean(exact.inside == 0)


@pytest.mark.parametrize(
    ("h", "others", "parameters"),
    [
        (H, OTHERS, {"epsilon": 2.0}),
        (SIGNED, SIGNED_OTHERS, {"epsilon": 2.0}),
        (SIGNED, SIGNED_OTHERS, {"epsilon": 1.5, "normalize": True}),
    ],
    ids=["plain", "halves", "normalised halves"],
)
def test_with_a_mask_d_is_that_of_the_reference(h: np.ndarray, others: np.ndarray, parameters: dict[str, Any]) -> None:
    found = values_of(seen(QScoreMetric(**fixed(others, **parameters)), h))
    exact = slow.q_score(h, others, **parameters)
    assert found["mean_q"] == pytest.approx(exact.q_score.mean(), rel=1e-12)
    assert found["empty_share"] == np.mean(exact.inside == 0)


def test_signed_features_without_a_mask_are_split_around_the_means_given() -> None:
    found = values_of(seen(QScoreMetric(epsilon=2, means=SIGNED.mean(axis=0)), SIGNED))
    assert found["mean_q"] == pytest.approx(karat.stats.q_score(SIGNED, epsilon=2).mean(), rel=1e-12)
    with pytest.raises(InputError, match=r"% of the entries of h are negative.*means="):
        seen(QScoreMetric(epsilon=2), SIGNED).compute()


@pytest.mark.parametrize(
    "h", [H, H[:20], SIGNED, H + 1000, np.ones((40, D)) * 3, np.eye(64)[:, :D]], ids=lambda h: f"{h.shape}"
)
def test_effective_rank_is_that_of_all_rows(h: np.ndarray) -> None:
    found = values_of(seen(EffectiveRank(D), h))["value"]
    assert found == pytest.approx(effective_rank(h), abs=1e-5)
    assert found == pytest.approx(karat.stats.effective_rank(h), abs=1e-6)


def test_half_precision_gives_the_numbers_of_the_same_values() -> None:
    h = torch.from_numpy(H).bfloat16()
    metric = EffectiveRank(D)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        metric.update(h)
    assert float(metric.compute()) == pytest.approx(karat.stats.effective_rank(h.float().numpy()), abs=1e-6)


def made() -> dict[str, Metric]:
    """One metric of each kind."""
    return {
        "own": QScoreMetric(epsilon=2),
        "fixed": QScoreMetric(**fixed(OTHERS, epsilon=2)),
        "rank": EffectiveRank(D),
    }


@pytest.mark.parametrize("name", ["own", "fixed", "rank"])
def test_a_reset_metric_is_as_new(name: str) -> None:
    metric = seen(made()[name], OTHERS)
    before = values_of(metric)
    metric.reset()
    assert values_of(seen(metric, H)) == values_of(seen(made()[name], H)) != before


@pytest.mark.parametrize("name", ["own", "fixed", "rank"])
def test_merged_states_are_those_of_all_rows(name: str) -> None:
    metric = seen(made()[name], H[:20])
    metric.merge_state(seen(made()[name], H[20:]))
    assert values_of(metric) == pytest.approx(values_of(seen(made()[name], H)), rel=1e-12)


@pytest.mark.parametrize("name", ["own", "fixed", "rank"])
def test_called_on_a_batch_it_gives_the_value_of_the_batch(name: str) -> None:
    metric = seen(made()[name], H[:20])
    batch = metric(torch.from_numpy(H[20:]))
    alone = values_of(seen(made()[name], H[20:]))
    assert {k: float(v) for k, v in (batch if name != "rank" else {"value": batch}).items()} == pytest.approx(alone)
    assert values_of(metric) == pytest.approx(values_of(seen(made()[name], H)), rel=1e-12)


@pytest.mark.parametrize("name", ["own", "fixed", "rank"])
def test_a_pickled_metric_goes_on(name: str) -> None:
    metric = pickle.loads(pickle.dumps(seen(made()[name], H[:20])))
    assert values_of(seen(metric, H[20:])) == pytest.approx(values_of(seen(made()[name], H)), rel=1e-12)


def test_a_model_made_half_precision_leaves_the_metrics_exact() -> None:
    halves = fixed(SIGNED_OTHERS, epsilon=2)
    for change in (nn.Module.half, lambda module: module.to(torch.bfloat16)):
        model = nn.ModuleDict({"layer": nn.Linear(2, 2), "rank": EffectiveRank(D), "q": QScoreMetric(**halves)})
        change(model)
        assert float(seen(model["rank"], H).compute()) == pytest.approx(karat.stats.effective_rank(H), abs=1e-6)
        expected = karat.stats.q_score(SIGNED, reference=SIGNED_OTHERS, epsilon=2).mean()
        assert values_of(seen(model["q"], SIGNED))["mean_q"] == pytest.approx(expected, rel=1e-12)


def test_a_collection_gives_all_numbers() -> None:
    collection = seen(MetricCollection({"q": QScoreMetric(epsilon=2), "rank": EffectiveRank(D)}), H)
    measured = karat.measure(H, epsilon=2).values
    found = {name: float(value) for name, value in collection.compute().items()}
    expected = {"mean_q": "mean_q", "empty_share": "empty_share", "rank": "effective_rank"}
    assert found == pytest.approx({name: measured[of] for name, of in expected.items()}, abs=1e-6)


def test_no_graph_is_kept() -> None:
    for metric in made().values():
        metric.update(torch.from_numpy(H).requires_grad_())
        for state in metric.metric_state.values():
            assert not any(part.requires_grad for part in (state if isinstance(state, list) else [state]))


def test_what_can_never_be_active_is_said() -> None:
    h = torch.rand(8, 10)
    metric = QScoreMetric()
    metric.update(h)
    with pytest.warns(KaratWarning, match="with 10 features nothing can exceed"):
        assert values_of(metric) == {"mean_q": 0, "empty_share": 1}
    with pytest.warns(KaratWarning, match="with 10 features"):
        QScoreMetric(discriminative=np.ones(10, bool))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"epsilon": -1}, "epsilon is -1"),
        ({"lower": 96}, "percentiles"),
        ({"discriminative": np.zeros(D)}, "float64, but a mask"),
        ({"discriminative": np.zeros((D, 1), bool)}, r"discriminative has shape \[30, 1\]"),
        ({"discriminative": np.zeros(D, bool), "means": np.zeros(D)}, "30 entries, but means has 30"),
        ({"means": np.zeros(())}, r"means has shape \[\]"),
    ],
)
def test_what_makes_no_metric_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        QScoreMetric(**options)


@pytest.mark.parametrize("dim", [0, 2.0, None])
def test_a_dim_that_is_none_is_refused(dim: Any) -> None:
    with pytest.raises(InputError, match=f"dim is {dim!r}"):
        EffectiveRank(dim)


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (EffectiveRank(D), "h has 29 features, but the metric was made for dim=30"),
        (QScoreMetric(discriminative=np.ones(D, bool)), "h has 29 features, but the mask 30"),
        (QScoreMetric(means=np.ones(D)), "h has 29 features, but means 30"),
        (seen(QScoreMetric(epsilon=2), H), "h has 29 features, but an earlier batch 30"),
    ],
)
def test_another_number_of_features_is_refused(metric: Metric, text: str) -> None:
    with pytest.raises(InputError, match=text):
        metric.update(torch.ones(2, 29))


@pytest.mark.parametrize("name", ["own", "fixed", "rank"])
def test_rows_that_are_not_finite_are_refused(name: str) -> None:
    h = torch.ones(3, D)
    h[1, 2] = float("nan")
    with pytest.raises(InputError, match="NaN or infinity, first in rows 1"):
        made()[name].update(h)
    with pytest.raises(InputTypeError, match="ndarray"):
        made()[name].update(H)


@pytest.mark.parametrize("name", ["own", "fixed", "rank"])
@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
def test_nothing_seen_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no row was given"):
        made()[name].compute()


def test_without_torchmetrics_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "karat.integrations.torchmetrics")
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    with pytest.raises(MissingDependencyError, match=r"needs torchmetrics, .*pip install .karat\[train\]"):
        import_module("karat.integrations.torchmetrics")


def shares(name: str) -> list[Tensor]:
    """Of each process: unequal, or none for the second."""
    h = torch.from_numpy(H)
    return [h, h[:0]] if name == "none" else [h[:33], h[33:]]


def _one_of_two(rank: int, folder: str, name: str) -> None:
    """A process of two: the metrics of its rows, in batches; their values twice, and after more rows of its own."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet-{name}", rank=rank, world_size=2)
    found = {}
    for kind, metric in made().items():
        for batch in shares(name)[rank].split(7):
            if len(batch):
                metric.update(batch)
        values = [metric.compute()]
        metric.update(torch.from_numpy(OTHERS[rank::2]))
        values.append(metric.compute())
        found[kind] = values
    torch.save(found, f"{folder}/{name}-{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unequal", "none"])
def test_two_processes_have_the_values_of_one(tmp_path: Path, name: str) -> None:
    torch.multiprocessing.spawn(_one_of_two, (str(tmp_path), name), nprocs=2)
    both = np.concatenate([H, OTHERS])
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True)
        for kind, metric in made().items():
            for values, h in zip(found[kind], (H, both), strict=True):
                metric.reset()
                torch.testing.assert_close(values, seen(metric, h).compute(), rtol=1e-9, atol=0)
