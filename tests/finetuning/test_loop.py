"""The loop: what a step is, what is told of it, and what stops it."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import karat
from karat import encoders, probing
from karat.encoders import Encoder
from karat.errors import InputError, InputTypeError, KaratWarning, TrainingError
from karat.finetuning import QScoreRegularizer, building, loop, pictures, telling, terms, threshold
from karat.finetuning.asked import Asked
from karat.finetuning.objectives import Outcome
from karat.finetuning.optimizing import lr_factor
from karat.finetuning.recipes import METHODS
from karat.images import open_images
from karat.records import Finetuning, from_dict, to_dict
from karat.runs import open_run
from tests.finetuning.small import (
    DIM,
    HEADS,
    PREPROCESSING,
    PerImage,
    Plain,
    assert_same_weights,
    encoder,
    images,
    labelled,
    linear_encoder,
    per_image,
    tune,
    weights_of,
)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An objective without randomness, in which images do not depend on each other."""
    monkeypatch.setattr(building, "Views", Plain)
    monkeypatch.setattr(building, "objective_of", per_image)
    return monkeypatch


# the learning rate


@pytest.mark.parametrize("steps", [1, 7, 100])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.3])
def test_the_schedule_is_a_line_and_then_half_a_cosine(steps: int, warmup: float) -> None:
    rising = round(warmup * steps)
    for step in range(steps):
        if step < rising:
            expected = (step + 1) / rising
        else:
            expected = math.cos(math.pi / 2 * (step - rising) / (steps - rising)) ** 2  # = (1 + cos 2x) / 2
        assert lr_factor(step, steps, warmup=warmup, schedule="cosine") == pytest.approx(expected, abs=1e-12)
        constant = lr_factor(step, steps, warmup=warmup, schedule="constant")
        assert constant == (expected if step < rising else 1.0)


# a step


def by_hand(pixels: np.ndarray, *, epochs: int, batch: int, lr: float, clip: float, seed: int = 0) -> nn.Module:
    """SGD with momentum on mean_i |h_i - 1|^2, written out."""
    module = linear_encoder().module
    weight, bias = module.layer.weight.detach().double(), module.layer.bias.detach().double()
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).double().div(255).mean(dim=(2, 3))  # [n, 3]
    rows = np.sort(np.random.default_rng([seed, len(x)]).permutation(len(x)))
    velocity = [torch.zeros_like(weight), torch.zeros_like(bias)]
    steps, step = epochs * (len(x) // batch), 0
    for epoch in range(epochs):
        order = rows[np.random.default_rng([seed, epoch]).permutation(len(rows))]
        for start in range(0, len(x) // batch * batch, batch):
            c = x[order[start : start + batch]]
            z = c @ weight.T + bias
            slope = 2 * (torch.relu(z) - 1) * (z > 0) / batch  # [n, d]
            gradients = [slope.T @ c, slope.sum(dim=0)]
            norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
            scale = min(1.0, clip / float(norm)) if clip else 1.0
            for values, moving, gradient in zip((weight, bias), velocity, gradients, strict=True):
                moving.mul_(0.9).add_(scale * gradient)
                values.sub_(lr * (1 + math.cos(math.pi * step / steps)) / 2 * moving)
            step += 1
    module.layer.weight.data, module.layer.bias.data = weight.float(), bias.float()
    return module


@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_the_loop_makes_the_steps_that_are_written_out(plain: pytest.MonkeyPatch, clip: float) -> None:
    settings = {"optimizer": "sgd", "warmup": 0.0, "weight_decay": 0.0, "momentum": 0.9, "clip": clip}
    pixels = images(21)
    tuned = tune(linear_encoder(), pixels, epochs=3, lr=0.05, lambda1=0, lambda2=0, settings=settings)
    expected = by_hand(pixels, epochs=3, batch=8, lr=0.05, clip=clip)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(weights_of(tuned)[name], value, rtol=1e-4, atol=1e-5)
    assert tuned.record.steps == 6 and not torch.equal(
        weights_of(tuned)["layer.weight"], linear_encoder().module.layer.weight
    )


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lars"])
def test_two_micro_batches_are_one_batch(plain: pytest.MonkeyPatch, optimizer: str) -> None:
    asked: dict[str, Any] = {
        "batch_size": 16, "settings": {"optimizer": optimizer}, "lambda1": 0, "lambda2": 0, "lr": 1e-2
    }  # fmt: skip
    whole = tune(linear_encoder(), **asked)
    split = tune(linear_encoder(), accumulate=2, **asked)
    for name, value in weights_of(whole).items():
        torch.testing.assert_close(weights_of(split)[name], value, rtol=1e-4, atol=1e-5)
    assert split.record.history[-1].loss == pytest.approx(whole.record.history[-1].loss, rel=1e-5)


class AlwaysOn(terms.Terms):
    """The regulariser with both weights 0, where nothing would be there otherwise."""

    def __init__(self, weights: terms.Weights, look: terms.Pass) -> None:
        super().__init__(weights, look)
        self.q_score = self._fitted()


def test_without_weights_the_run_is_that_without_a_regulariser(monkeypatch: pytest.MonkeyPatch) -> None:
    without = tune(lambda1=0, lambda2=0)
    monkeypatch.setattr(building, "Terms", AlwaysOn)
    assert_same_weights(tune(lambda1=0, lambda2=0), without)
    with_terms = tune(lambda1=1e-2, lambda2=0, epsilon=1)
    assert any(not torch.equal(one, weights_of(without)[name]) for name, one in weights_of(with_terms).items())


def test_the_terms_are_those_of_the_regulariser(plain: pytest.MonkeyPatch) -> None:
    found = []

    class Noted(PerImage):
        def forward(self, views: Any, *, progress: float) -> Outcome:
            outcome = super().forward(views, progress=progress)
            found.append(outcome.h[0].detach())
            return outcome

    plain.setattr(
        building, "objective_of", lambda method, encoder, **asked: Noted(encoder, dim=DIM, recipe=asked["recipe"])
    )
    told = []
    tuned = tune(
        linear_encoder(),
        epochs=1,
        lambda1=0.5,
        lambda2=0.25,
        epsilon=1,
        refresh=None,
        settings={},
        progress=lambda done, total, entry: told.append((done, total, dict(entry))),
    )
    h = linear_encoder().module(_normalised(images())).detach()
    scorer = karat.QScorer(epsilon=1).fit(h.numpy())
    reg = QScoreRegularizer(0.5, 0.25, epsilon=1, discriminative=scorer.discriminative_)
    expected = [reg.terms(part) for part in found]
    for (_, total, entry), (q_term, norm_term) in zip(told, expected, strict=True):
        assert total == 5 and entry["q_term"] == pytest.approx(float(q_term), rel=1e-5)
        assert entry["norm_term"] == pytest.approx(float(norm_term), rel=1e-5)
        assert entry["loss"] == pytest.approx(entry["objective"] + float(q_term + norm_term), rel=1e-5)
        assert entry["q_term"] < 0 < entry["norm_term"]
    last = tuned.record.history[-1]
    assert last.q_term == pytest.approx(np.mean([entry["q_term"] for _, _, entry in told]))


def _normalised(pixels: np.ndarray) -> Tensor:
    return torch.stack([PREPROCESSING(image) for image in pixels])


def test_a_lasso_is_the_sum_of_all_features(plain: pytest.MonkeyPatch) -> None:
    told: list[dict[str, float]] = []
    asked = {"lasso": 0.125, "epochs": 1, "settings": {}, "lr": 1e-12}
    tune(linear_encoder(), progress=lambda done, total, entry: told.append(dict(entry)), **asked)
    h = linear_encoder().module(torch.from_numpy(images()).permute(0, 3, 1, 2).float() / 255)
    assert sum(entry["norm_term"] for entry in told) == pytest.approx(0.125 * float(h.sum().detach()), rel=1e-4)
    assert all(entry["q_term"] == 0 for entry in told)


# D


@pytest.mark.parametrize("refresh", ["counts", "pass", None])
def test_the_discriminative_features_are_made_anew_as_asked(plain: pytest.MonkeyPatch, refresh: Any) -> None:
    masks = []
    original = terms.Terms.refresh

    def noted(self: terms.Terms) -> None:
        assert self.q_score is not None
        before, counts = self.q_score.discriminative.clone().numpy(), self.q_score.counts.clone().numpy()
        h = torch.cat(list(self._look())).numpy()
        original(self)
        masks.append((before, self.q_score.discriminative.clone().numpy(), counts, h))

    plain.setattr(terms.Terms, "refresh", noted)
    settings = {"optimizer": "sgd", "warmup": 0.0}
    tune(linear_encoder(), refresh=refresh, epsilon=1, settings=settings, lr=0.2, lambda1=1e-9, lambda2=0)
    ((before, after, counts, h),) = masks  # two epochs: once between them
    first = karat.QScorer(epsilon=1).fit(linear_encoder().module(_normalised(images())).detach().numpy())
    expected = {
        "counts": karat.stats.discriminative_features(counts),
        "pass": karat.QScorer(epsilon=1).fit(h).discriminative_,
        None: first.discriminative_,
    }
    np.testing.assert_array_equal(before, first.discriminative_)
    assert counts.any() and len({mask.tobytes() for mask in expected.values()}) == 3
    np.testing.assert_array_equal(after, expected[refresh])


def test_signed_features_are_split_in_halves() -> None:
    h = torch.from_numpy(np.random.default_rng(0).standard_t(3, (64, DIM))).float()
    asked = terms.Weights(1, 1, 0, 1.0, 50, 95, "active", "auto", "counts")
    reg = terms.Terms(asked, lambda: iter(h.split(20))).q_score
    assert reg is not None and reg.means is not None
    scorer = karat.QScorer(epsilon=1).fit(h.numpy())
    np.testing.assert_array_equal(reg.discriminative.numpy(), scorer.discriminative_)
    np.testing.assert_allclose(reg.means.numpy(), scorer.reference_.means, rtol=1e-6)


# what a training takes


def asked(**changes: Any) -> Asked:
    values: dict[str, Any] = {
        "method": "simclr", "from_scratch": False, "epochs": None, "lr": None, "batch_size": None, "lambda1": None,
        "lambda2": None, "lasso": 0.0, "epsilon": 4.0, "lower": 50, "upper": 95, "over": "active", "halves": "auto",
        "refresh": "counts", "schedule": "cosine", "settings": {}, "held_out": None, "metrics_every": 1, "seed": 0,
        "accumulate": 1, "precision": "auto",
    }  # fmt: skip
    return Asked(**values | changes)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [32, 224])
def test_a_pretrained_encoder_is_tuned_as_the_paper_says(method: str, size: int) -> None:
    recipe, weights = asked(method=method).recipe(size), asked(method=method).weights()
    assert (recipe.lr, recipe.epochs, recipe.optimizer) == (1e-5, 50, "adamw") and recipe.batch_size <= 256
    assert (weights.lambda1, weights.lambda2, weights.lasso, weights.epsilon) == (1e-4, 1e-4, 0, 4)
    scratch = asked(method=method, from_scratch=True)
    assert scratch.recipe(size) == karat.finetuning.recipe_of(method, size=size)
    assert (scratch.weights().lambda1, scratch.weights().lambda2) == (0, 0)
    given = asked(method=method, lr=0.5, lambda1=3, settings={"lr": 0.1, "momentum": 0.5})
    assert (given.recipe(size).lr, given.recipe(size).momentum, given.weights().lambda1) == (0.5, 0.5, 3)


@pytest.mark.parametrize(
    "method",
    [name if name in ("simclr", "dino") else pytest.param(name, marks=pytest.mark.slow) for name in METHODS],
)
def test_every_method_trains(method: str) -> None:
    tuned = tune(method=method, pixels=images(24), epochs=1)
    assert tuned.record.method == method and math.isfinite(tuned.record.history[-1].loss)
    changed = [
        name for name, value in weights_of(tuned).items() if not torch.equal(value, encoder().module.state_dict()[name])
    ]
    assert "head.0.weight" in changed and not tuned.encoder.module.training


def test_the_callers_encoder_and_generators_are_left_as_they_were() -> None:
    given = encoder()
    given.module.train()
    before = {name: value.clone() for name, value in given.module.state_dict().items()}
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = (torch.rand(1), np.random.rand(), random.random())
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    tune(given, epochs=1)
    assert (torch.rand(1), np.random.rand(), random.random()) == expected
    assert given.module.training and all(
        torch.equal(value, before[name]) for name, value in given.module.state_dict().items()
    )


def test_a_seed_decides_everything() -> None:
    first = tune(seed=4)
    assert_same_weights(first, tune(seed=4))
    assert first.record.weights_digest != tune(seed=5).record.weights_digest


def test_epsilon_is_chosen_as_the_score_chooses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, pixels = encoder(), images(64)
    monkeypatch.setattr(threshold, "AUTO_ROWS", 50)  # of the 60 that are trained on
    found = tune(begun, pixels, epsilon="auto", held_out=4, seed=3).record
    order = np.random.default_rng([3, 64]).permutation(64)
    trained = np.sort(order[4:])
    seen = trained[np.sort(np.random.default_rng(3).permutation(60)[:50])]
    h = karat.extract(begun, pixels[seen], precision="float32", device="cpu").h
    expected = karat.stats.choose_epsilon(np.asarray(h), seed=3)
    assert expected < 4
    assert found.provenance.parameters["epsilon"] == expected
    with pytest.raises(InputError, match="from scratch"):
        tune("small-resnet", pixels, epsilon="auto", from_scratch=True)


def test_images_are_the_same_in_memory_and_read_by_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = images(40, side=48)
    kept = tune(pixels=pixels)
    monkeypatch.setattr(pictures, "_KEPT_BYTES", 0)
    assert_same_weights(kept, tune(pixels=pixels))
    assert_same_weights(kept, tune(pixels=pixels, workers=2))


def test_images_are_squares_with_room_around_what_is_seen() -> None:
    wide = np.zeros((1, 100, 200, 3), np.uint8)
    wide[:, :, 60:140] = 255
    opened = pictures.open_pictures(open_images(wide), size=56, workers=0)
    (batch,) = opened.batches([np.array([0])])
    assert batch.shape == (1, 3, 64, 64) and batch.dtype == torch.uint8
    assert (batch[..., 8:-8] == 255).all() and (batch[..., :4] == 0).all()
    assert pictures.open_pictures(open_images(images(3)), size=224, workers=0).side == 32


def test_each_epoch_has_each_image_at_most_once_and_another_order() -> None:
    first, second = (pictures.shuffled(21, 4, seed=0, epoch=epoch) for epoch in (0, 1))
    assert first.shape == (5, 4) and len(set(first.ravel().tolist())) == 20
    assert first.tolist() != second.tolist()


# from scratch


def test_an_encoder_from_scratch_can_be_loaded_again(tmp_path: Path) -> None:
    tuned = tune("small-resnet", from_scratch=True, epochs=1, out=tmp_path / "run")
    assert tuned.record.from_scratch and tuned.record.provenance.parameters["lambda1"] == 0
    loaded = karat.load_encoder(tmp_path / "run" / "checkpoints" / "encoder.safetensors")
    x = torch.stack([loaded.transform(image) for image in images(5, seed=8)])
    mean = images().reshape(-1, 3).mean(axis=0) / 255
    np.testing.assert_allclose(loaded.transform.mean, mean, atol=1e-5)
    with torch.inference_mode():
        assert torch.equal(loaded.module(x), tuned.encoder.module(x))


@pytest.mark.parametrize("name", ["resnet18-cifar", "resnet18", "vit_tiny_patch16"])
def test_architectures_from_scratch_by_name(name: str) -> None:
    made = karat.finetuning.fresh.fresh_encoder(name, preprocessing=PREPROCESSING, seed=0)
    with torch.inference_mode():
        assert made.module(torch.zeros(2, 3, 32, 32)).shape == (2, made.dim)
    other = karat.finetuning.fresh.fresh_encoder(name, preprocessing=PREPROCESSING, seed=1)
    weights = [next(iter(each.module.parameters())) for each in (made, other)]
    assert not torch.equal(*weights)


def test_a_tuned_encoder_can_be_loaded_again(tmp_path: Path) -> None:
    tuned = tune(epochs=1, out=tmp_path)
    path = tmp_path / "checkpoints" / "encoder.safetensors"
    loaded = karat.load_encoder(path)
    x = _normalised(images(5, seed=8))
    with torch.inference_mode():
        assert torch.equal(loaded.module(x), tuned.encoder.module(x))
    assert (loaded.weights_sha256, loaded.transform) == (tuned.encoder.weights_sha256, PREPROCESSING)


def test_a_module_of_ones_own_is_saved_without_a_description(plain: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.warns(KaratWarning, match="karat did not build the module of 'linear'"):
        tuned = tune(linear_encoder(), epochs=1, out=tmp_path, settings={})
    assert len(tuned.record.warnings) == 1
    with encoders.checkpoint.require("safetensors", "a test").safe_open(
        tmp_path / "checkpoints" / "encoder.safetensors", framework="pt"
    ) as file:
        assert torch.equal(file.get_tensor("layer.weight"), weights_of(tuned)["layer.weight"])


# what is told


def test_held_out_images_are_judged_as_the_verbs_judge(tmp_path: Path) -> None:
    path = labelled(tmp_path / "images.npz")
    tuned = tune(pixels=path, held_out=30, epochs=1, epsilon=1)
    assert (tuned.record.n_train, tuned.record.n_val) == (50, 30)
    order = np.random.default_rng([0, 80]).permutation(80)
    val, train = np.sort(order[:30]), np.sort(order[30:])
    data = np.load(path)
    emb = karat.extract(tuned.encoder, data["images"], device="cpu", precision="float32", threads=1)
    names = data["classes"][data["y"]]
    known, judged = (karat.Embeddings(np.asarray(emb.h)[rows], labels=names[rows]) for rows in (train, val))
    found, last = karat.measure(judged, reference=known, epsilon=1).values, tuned.record.history[-1].metrics
    for name in ("mean_q", "empty_share", "effective_rank"):
        assert last[name] == pytest.approx(found[name], rel=1e-4)
    assert last["knn_accuracy"] == pytest.approx(probing.knn_probe(known, judged).accuracy, abs=0.04)
    assert last["linear_accuracy"] == pytest.approx(karat.probe(known, judged).accuracy, abs=0.04)
    assert [entry.epoch for entry in tuned.record.history] == [0, 1]
    assert "Linear accuracy on the 30 held-out images" in str(tuned.record)


def test_other_images_can_judge(tmp_path: Path) -> None:
    tuned = tune(val=labelled(tmp_path / "val.npz", 20), held_out=None, epochs=3, metrics_every=2)
    assert (tuned.record.n_train, tuned.record.n_val) == (40, 20)
    assert ["mean_q" in entry.metrics for entry in tuned.record.history] == [True, False, True, True]
    assert "linear_accuracy" not in tuned.record.history[-1].metrics  # nobody knows the labels of the training images


def test_the_record_and_the_log_hold_every_epoch(tmp_path: Path) -> None:
    tuned = tune(pixels=images(190), held_out=10, out=tmp_path, epochs=2)
    record = open_run(tmp_path).records["finetuning"]
    assert isinstance(record, Finetuning) and record == tuned.record
    assert from_dict(json.loads(json.dumps(to_dict(record)))) == record
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["of"] == "epoch"]
    assert [line["step"] for line in lines if line["of"] == "step"] == [20, 40]
    assert [line["step"] for line in epochs] == [0, 22, 44] and epochs[0]["loss"] is None
    assert [line["mean_q"] for line in epochs] == [entry.metrics["mean_q"] for entry in record.history]
    assert record.provenance.parameters["seed"] == 0 and record.recipe["lr"] == 1e-2
    assert set(record.provenance.inputs) == {"images", "encoder"}
    assert "fine-tuning" in str(record) and "simclr" in str(record)


def test_tensorboard_has_the_same_numbers_where_it_is_asked_for(tmp_path: Path) -> None:
    event_file_loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    tuned = tune(out=tmp_path, tensorboard=True)
    (path,) = (tmp_path / "tensorboard").iterdir()
    events = [
        (event.step, value.tag, value.tensor.float_val[0])
        for event in event_file_loader.EventFileLoader(str(path)).Load()
        for value in event.summary.value
    ]
    losses = {step: value for step, tag, value in events if tag == "epoch/loss" and step}
    assert losses == {5 * entry.epoch: pytest.approx(entry.loss, rel=1e-5) for entry in tuned.record.history[1:]}
    assert not (tune(out=tmp_path / "other", epochs=1).path / "tensorboard").exists()


def test_the_spread_is_one_on_a_sphere_and_zero_at_a_point() -> None:
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(4000, 16)))
    assert float(telling.spread_of(z)) == pytest.approx(1, abs=0.01)
    assert float(telling.spread_of(torch.ones(8, 16) * torch.arange(1, 9)[:, None])) == pytest.approx(0, abs=1e-6)


# what stops it


class Broken(PerImage):
    """From the sixth step on, something is wrong."""

    what = "nan"

    def forward(self, views: Any, *, progress: float) -> Outcome:
        outcome = super().forward(views, progress=progress)
        if progress < 0.49:
            return outcome
        if self.what == "nan":
            return Outcome(outcome.loss * float("nan"), outcome.h, outcome.z)
        if self.what == "gradient":  # finite itself
            return Outcome(outcome.loss + torch.sqrt(outcome.h[0].sum() * 0), outcome.h, outcome.z)
        return Outcome(outcome.loss, outcome.h, torch.ones_like(outcome.z))


def broken(plain: pytest.MonkeyPatch, what: str) -> None:
    plain.setattr(Broken, "what", what)
    plain.setattr(
        building, "objective_of", lambda method, encoder, **given: Broken(encoder, dim=DIM, recipe=given["recipe"])
    )


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("nan", r"objective is nan in epoch 2, step 6, at a learning rate of 0\.00\d+: lower it"),
        ("gradient", r"is nan in epoch 2, step 7|weights are not finite"),
        ("collapse", r"collapsed: the spread of z is 0 in epoch 2, step 9, and has been below 0.02 for 4 steps"),
    ],
)
def test_a_training_gone_wrong_stops_and_keeps_the_last_good_checkpoint(
    plain: pytest.MonkeyPatch, tmp_path: Path, what: str, words: str
) -> None:
    broken(plain, what)
    plain.setattr(telling, "PATIENCE", 4)
    with pytest.raises(TrainingError, match=words) as caught:
        tune(linear_encoder(), out=tmp_path, settings={"warmup": 0.0}, checkpoint_steps=1, keep_checkpoints=1)
    assert "The last good checkpoint is" in str(caught.value)
    (left,) = (tmp_path / "checkpoints").glob("step-*.pt")
    assert left.name == "step-00000005.pt" and not (tmp_path / "checkpoints" / "encoder.safetensors").exists()


def test_a_collapse_that_is_suspected_at_the_end_is_told(plain: pytest.MonkeyPatch) -> None:
    broken(plain, "collapse")
    with pytest.warns(KaratWarning, match="spread of z was below 0.02 in the last 5 steps"):
        assert len(tune(linear_encoder(), settings={"warmup": 0.0}).record.warnings) == 1


def frozen() -> Encoder:
    made = encoder()
    made.module.requires_grad_(False)
    return made


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 1}, "batch_size is 1, but a whole number of at least 2 is needed: each image is compared"),
        ({"batch_size": 64}, "there are 40 images to train on, but batch_size is 64"),
        ({"batch_size": 8, "held_out": 33}, "there are 7 images to train on, but batch_size is 8"),
        ({"held_out": 40}, "held_out is 40, but there are 40 images"),
        ({"accumulate": 3}, "batch_size is 8, which 3 micro-batches of 1 processes cannot share evenly"),
        ({"accumulate": 8}, "1 image in each of 8 parts"),
        ({"method": "mae", "settings": {}}, "method is 'mae'"),
        ({"settings": {"hiden": 3}}, "did you mean 'hidden'"),
        ({"lambda1": -1}, "lambda1 is -1, but a number of at least 0"),
        ({"lambda2": math.nan}, "lambda2 is nan"),
        ({"lasso": 1, "lambda1": 1}, "give one of both"),
        ({"epsilon": -1}, "epsilon"),
        ({"lr": -1}, "lr is -1"),
        ({"epochs": 0}, "epochs is 0"),
        ({"refresh": "daily"}, "refresh is 'daily', but one of None, counts, pass"),
        ({"schedule": "step"}, "schedule is 'step'"),
        ({"precision": "float64"}, "precision is 'float64'"),
        ({"precision": "float16"}, "precision is 'float16'"),
        ({"device": "tpu"}, "device 'tpu' cannot be used"),
        ({"resume": True}, "need out"),
        ({"keep_checkpoints": 0}, "keep_checkpoints is 0"),
        ({"size": 64}, "size is of an encoder from scratch"),
        ({"given": "resnet50"}, r"karat.load_encoder\('resnet50'\) makes one"),
        ({"given": "resnet-x", "from_scratch": True}, "small-resnet and resnet18-cifar"),
        ({"given": "timm:resnet18", "from_scratch": True}, "cannot be trained from scratch"),
        ({"given": frozen}, "has no parameter that gradient flows to"),
        ({"pixels": 0 * images(16), "given": "small-resnet", "from_scratch": True}, "the same everywhere"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)  # fmt: skip
def test_bad_input_is_refused(changes: dict[str, Any], words: str) -> None:
    given = changes.get("given")
    with pytest.raises(InputError, match=words):
        tune(**{"method": "simclr", **changes, "settings": changes.get("settings", HEADS["simclr"]),
                "given": given() if callable(given) else given})  # fmt: skip


def test_an_encoder_whose_views_are_unknown_is_refused() -> None:
    other = Encoder(encoder().module, dim=DIM, transform=lambda image: torch.zeros(3, 32, 32), name="mine")
    with pytest.raises(InputError, match="views need its size, mean and std"):
        tune(other)
    with pytest.raises(InputTypeError, match="encoder is a Linear"):
        tune(nn.Linear(3, 3))


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for row, image in enumerate(images(9)):
        (folder / f"{row}.png").write_bytes(karat.images.decoding.encode_png(image))
    (folder / "4.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"image 4.png cannot be decoded.*leave it out"):
        tune(pixels=folder)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_and_both_terms_train_without_collapse(method: str) -> None:
    tuned = tune(method=method, pixels=images(64), epochs=12, batch_size=32, precision="bfloat16", epsilon=1.5, lr=2e-3)
    losses = [entry.objective for entry in tuned.record.history[1:]]
    assert all(map(math.isfinite, losses)) and tuned.record.history[-1].spread > loop.COLLAPSED_BELOW
