"""The recipes: the papers' numbers, plain values, and changes that are refused."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from karat.errors import InputError, InputTypeError
from karat.finetuning.recipes import METHODS, recipe_of

# From the papers' sections on implementation.
PUBLISHED: dict[str, dict[str, Any]] = {
    "simclr": {"output": 128, "temperature": 0.1, "batch_size": 4096, "lr": 4.8, "weight_decay": 1e-6},
    "moco": {"queue": 65536, "teacher_momentum": [0.999, 0.999], "temperature": 0.2, "lr": 0.03, "symmetric": False},
    "byol": {"hidden": 4096, "output": 256, "teacher_momentum": [0.996, 1.0], "lr": 3.2, "solarise": [0.0, 0.2]},
    "simsiam": {"output": 2048, "predictor_hidden": 512, "lr": 0.1, "batch_size": 512, "optimizer": "sgd"},
    "swav": {"prototypes": 3000, "sinkhorn_epsilon": 0.05, "queue": 3840, "local_crops": 6, "local_size": 96},
    "dino": {"prototypes": 65536, "student_temperature": 0.1, "centre_momentum": 0.9, "teacher_momentum": [0.996, 1.0]},
    "vicreg": {"output": 8192, "invariance": 25.0, "variance": 25.0, "covariance": 1.0, "solarise": [0.1, 0.1]},
    "barlow": {"output": 8192, "redundancy": 5e-3, "blur": [1.0, 0.1], "weight_decay": 1.5e-6},
}


@pytest.mark.parametrize("method", METHODS)
def test_large_images_get_the_papers_numbers(method: str) -> None:
    found = recipe_of(method, size=224).to_dict()
    assert {name: found[name] for name in PUBLISHED[method]} == PUBLISHED[method]


@pytest.mark.parametrize("method", METHODS)
def test_small_images_get_small_heads_and_adamw_below_96_pixels(method: str) -> None:
    small, large = recipe_of(method, size=95), recipe_of(method, size=96)
    assert small.optimizer == "adamw" and large.optimizer in ("lars", "sgd")
    assert small.to_dict()["hidden"] < large.to_dict()["hidden"]
    assert recipe_of(method, size=32).views.local_size == 16


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [32, 224])
def test_a_recipe_survives_json(method: str, size: int) -> None:
    recipe = recipe_of(method, size=size)
    stored = json.loads(json.dumps(recipe.to_dict()))
    assert stored == recipe.to_dict()
    assert recipe_of(method, size=size, changes=stored) == recipe


def test_changes_reach_the_recipe_and_its_views_and_nothing_else() -> None:
    plain = recipe_of("swav", size=32)
    changed = recipe_of("swav", size=32, changes={"lr": 1, "local_crops": 4, "blur": [1, 0.5], "queue": 256})
    assert (changed.lr, changed.views.local_crops, changed.views.blur) == (1.0, 4, (1.0, 0.5))
    assert isinstance(changed.lr, float)
    different = {name for name, value in changed.to_dict().items() if value != plain.to_dict()[name]}
    assert different == {"lr", "local_crops", "blur", "queue"}


def test_a_recipe_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        recipe_of("byol", size=32).lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        (
            {"temprature": 1.0},
            InputError,
            r"simclr has no setting 'temprature' \(did you mean 'temperature'\?\); it has",
        ),
        ({"queue": 5}, InputError, "simclr has no setting 'queue'"),
        ({"views": {}}, InputError, "simclr has no setting 'views'"),
        ({"method": "moco"}, InputError, "changes has the method 'moco', but the recipe is of 'simclr'"),
        ({"optimizer": "adam"}, InputError, "optimizer is 'adam', but adamw, sgd, lars are possible"),
        ({"lr": "high"}, InputTypeError, "lr is 'high', but a number is needed"),
        ({"epochs": 1.5}, InputTypeError, "epochs is 1.5, but an integer is needed"),
        ({"epochs": True}, InputTypeError, "epochs is True, but an integer is needed"),
        ({"blur": 0.5}, InputTypeError, "blur is 0.5, but 2 numbers are needed"),
        ({"jitter": [1.0]}, InputTypeError, "4 numbers are needed"),
        ({"lr": 0.0}, InputError, "lr is 0.0, but at least 1e-12 is needed"),
        ({"lr": float("nan")}, InputError, "lr is nan"),
        ({"grey": 1.5}, InputError, "grey is 1.5, but 0 to 1 is needed"),
        ({"full_scale": [0.5, 0.2]}, InputError, "the first may not be above the second"),
        ({"batch_size": 1}, InputError, "batch_size is 1, but at least 2 is needed"),
        ({"local_crops": 2}, InputError, "simclr takes no local crops"),
        ({"local_crops": -1}, InputError, "local_crops is -1"),
    ],
)
def test_what_cannot_be_set_is_refused(changes: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        recipe_of("simclr", size=32, changes=changes)


def test_an_unknown_method_or_size_and_an_empty_queue_are_refused() -> None:
    with pytest.raises(InputError, match=r"method is 'mocov2', but simclr, .* are known \(did you mean 'moco'\?\)"):
        recipe_of("mocov2", size=32)
    with pytest.raises(InputError, match="queue is 0, but moco needs"):
        recipe_of("moco", size=32, changes={"queue": 0})
    with pytest.raises(InputError, match="size is 4"):
        recipe_of("moco", size=4)
