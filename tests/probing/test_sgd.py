"""probe by SGD: torch's own loop, many heads at once, the protocols and their settings."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from karat.embeddings import Embeddings
from karat.errors import InputError
from karat.probing import probe, sweeps
from karat.probing.devices import Device
from karat.probing.protocols import PROTOCOLS, Lbfgs, Sgd
from karat.probing.samples import Batches, as_float32
from karat.probing.sgd import train_heads
from karat.records import from_dict, to_dict

from ..reference.probes import linear_evaluation
from .mixtures import CORNERS, around, mixture, pair, softmax, standardised, two

TRAIN, VAL = pair(300, around(5, 12))
PUBLISHED = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1)


@pytest.mark.parametrize(("rate", "decay", "batch_size"), [(0.01, 0.0, 256), (0.1, 0.01, 64), (0.3, 0.1, 7)])
def test_logits_are_those_of_a_loop_in_torch(rate: float, decay: float, batch_size: int) -> None:
    """Both differ by the rounding of single precision."""
    settings: dict[str, Any] = {"epochs": 5, "batch_size": batch_size, "seed": 3}
    result = probe(TRAIN, VAL, protocol="kalibhat2024", learning_rates=[rate], weight_decays=[decay], **settings)
    x, x_val = standardised(TRAIN, VAL)
    weight, bias = linear_evaluation(x, np.asarray(TRAIN.labels), 5, rate=rate, decay=decay, **settings)
    np.testing.assert_allclose(result.logits, x_val @ weight + bias, rtol=1e-4, atol=1e-4)


def test_chosen_head_is_trained_again_on_all_samples() -> None:
    result = probe(TRAIN, VAL, protocol="dinov2", epochs=4)
    weight, bias = linear_evaluation(
        np.asarray(TRAIN.h), np.asarray(TRAIN.labels), 5,
        rate=result.head["learning_rate"], decay=0, epochs=4, batch_size=128, seed=0,
    )  # fmt: skip
    np.testing.assert_allclose(result.logits, np.asarray(VAL.h) @ weight + bias, rtol=1e-4, atol=1e-4)


def test_heads_trained_at_once_are_those_trained_alone() -> None:
    heads = [(0.001, 0.0), (0.1, 0.0), (0.1, 0.05)]

    def trained(some: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
        device = Device("cpu", np, 1)
        batches, y = Batches(TRAIN.h, as_float32, device), np.asarray(TRAIN.labels)
        settings = Sgd(learning_rates=(), epochs=3, batch_size=32)
        return train_heads(batches, np.arange(300), y, 5, some, settings, device, seed=0, tick=lambda: None)

    weight, bias = trained(heads)
    for number, head in enumerate(heads):
        part = slice(5 * number, 5 * number + 5)
        alone_weight, alone_bias = trained([head])
        np.testing.assert_allclose(weight[:, part], alone_weight, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(bias[part], alone_bias, rtol=1e-4, atol=1e-6)


def test_heads_in_groups_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    expected = probe(TRAIN, VAL, protocol="dinov2", epochs=2)
    monkeypatch.setattr(sweeps, "WEIGHTS", 5 * 12 * 4 + 1)  # four heads at once
    result = probe(TRAIN, VAL, protocol="dinov2", epochs=2, progress=lambda *state: told.append(state))
    for head, other in zip(result.heads, expected.heads, strict=True):
        assert head["held_out_log_loss"] == pytest.approx(other["held_out_log_loss"], rel=1e-4)
    assert told == [(done, 10) for done in range(1, 11)]  # 13 heads are four groups; two epochs each, and again


def test_the_most_accurate_head_is_chosen_and_of_equal_ones_that_of_the_lowest_loss() -> None:
    result = probe(TRAIN, VAL, protocol="dinov2")
    best = max(head["held_out_accuracy"] for head in result.heads)
    equal = [head for head in result.heads if head["held_out_accuracy"] == best]
    assert result.head == min(equal, key=lambda head: head["held_out_log_loss"])
    assert [head["learning_rate"] for head in result.heads] == list(PUBLISHED)


def test_each_rate_with_each_decay_is_a_head() -> None:
    result = probe(TRAIN, VAL, protocol="dinov2", learning_rates=[0.1, 0.01], weight_decays=[0, 0.1], epochs=1)
    assert [(head["learning_rate"], head["weight_decay"]) for head in result.heads] == [
        (0.01, 0), (0.01, 0.1), (0.1, 0), (0.1, 0.1),
    ]  # fmt: skip


def test_penalised_sgd_ends_near_the_minimum_of_the_penalised_loss() -> None:
    """A weight decay of 1 / (C n) is the penalty of C."""
    x, x_val = standardised(TRAIN, VAL)
    model = LogisticRegression(C=0.1, tol=1e-9).fit(x, TRAIN.labels)
    settings: dict[str, Any] = {"learning_rates": [0.05], "weight_decays": [1 / (0.1 * 300)], "batch_size": 100}
    result = probe(TRAIN, VAL, protocol="kalibhat2024", epochs=300, **settings)
    np.testing.assert_allclose(softmax(result.logits), model.predict_proba(x_val), atol=0.01)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_is_as_accurate_as_bayes(protocol: str) -> None:
    """Phi(1) = 0.841 for two Gaussians at a distance of 2; 10,000 samples tell it to 0.011."""
    result = probe(mixture(3000, two(2), seed=1), mixture(10_000, two(2), seed=2), protocol=protocol, epochs=None)
    assert abs(result.accuracy - 0.8413) < 0.015
    assert result.provenance.parameters["protocol"] == protocol


def test_protocols_are_what_their_papers_say() -> None:
    """Kalibhat et al.: 100 epochs of SGD, one head. Oquab et al.: 13 rates, 10 epochs of batches of 128, no decay."""
    paper, dino = PROTOCOLS["kalibhat2024"], PROTOCOLS["dinov2"]
    assert isinstance(paper, Sgd)
    assert (paper.epochs, len(paper.learning_rates)) == (100, 1)
    assert dino == Sgd(PUBLISHED, (0.0,), epochs=10, batch_size=128, momentum=0.9, standardize=False)
    assert isinstance(PROTOCOLS["lbfgs"], Lbfgs)


def test_only_some_protocols_standardise() -> None:
    """A rate that suits columns of variance 1 does nothing to columns of variance 1e-8 that stay as they are."""
    small = [Embeddings(1e-4 * np.asarray(emb.h), labels=emb.labels) for emb in (TRAIN, VAL)]
    paper, expected = (probe(*pair, protocol="kalibhat2024", epochs=2) for pair in (small, (TRAIN, VAL)))
    np.testing.assert_allclose(paper.logits, expected.logits, rtol=1e-3, atol=1e-3)
    assert np.abs(probe(*small, protocol="dinov2", epochs=2).logits).max() < 0.01


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_progress_goes_up_to_its_end(protocol: str) -> None:
    told: list[tuple[int, int]] = []
    probe(*pair(60, CORNERS), protocol=protocol, progress=lambda *state: told.append(state))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] == {"lbfgs": 10, "kalibhat2024": 100, "dinov2": 20}[protocol]


def test_heads_that_diverge_are_not_chosen() -> None:
    result = probe(TRAIN, VAL, protocol="dinov2", learning_rates=[0.1, 1e38], epochs=2)
    assert result.head["learning_rate"] == 0.1
    assert result.heads[1]["held_out_accuracy"] == 0
    assert result.heads[1]["held_out_log_loss"] is None
    assert from_dict(json.loads(json.dumps(to_dict(result))), result.columns) == result


def test_training_that_diverges_is_refused() -> None:
    with pytest.raises(InputError, match=r"training diverged at a learning rate of 1e\+38: give lower learning_rates"):
        probe(TRAIN, VAL, protocol="kalibhat2024", learning_rates=[1e38], epochs=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "adam"}, "protocol is 'adam', but lbfgs, kalibhat2024, dinov2 are known"),
        ({"epochs": 3}, "epochs is given, but protocol 'lbfgs' has no epochs, only strengths"),
        ({"protocol": "dinov2", "strengths": [1]}, "strengths is given, but protocol 'dinov2' has no strengths, only"),
        ({"protocol": "dinov2", "epochs": 0}, "epochs is 0, but a whole number of at least 1 is needed"),
        ({"protocol": "dinov2", "batch_size": 1.5}, r"batch_size is 1\.5, but a whole number"),
        ({"strengths": []}, r"strengths is \[\], but finite numbers above 0 are needed"),
        ({"strengths": [0.1, 0]}, "finite numbers above 0 are needed"),
        ({"strengths": 0.1}, r"strengths is 0\.1, but numbers are needed, as in \(strengths=\[0\.01, 0\.1\]\)"),
        ({"strengths": [np.nan]}, "finite numbers above 0"),
        ({"protocol": "dinov2", "weight_decays": [-1]}, "weight_decays is .* finite numbers from 0 on are needed"),
        ({"protocol": "dinov2", "learning_rates": [np.inf]}, "learning_rates is .* finite numbers above 0"),
        ({"seed": -1}, "seed is -1, but a whole number of at least 0 is needed"),
    ],
)
def test_settings_that_a_protocol_lacks_or_that_are_out_of_range_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        probe(TRAIN, VAL, **settings)
