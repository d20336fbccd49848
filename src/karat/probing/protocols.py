"""Protocols by name: how a linear probe is trained, with every number that a paper fixes or leaves open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import index
from typing import Any

from ..errors import InputError


@dataclass(frozen=True)
class Lbfgs:
    """L2-penalised logistic regression, at its minimum.

    Attributes:
        strengths: inverse penalties C, each a head; scikit-learn's.
    """

    strengths: Sequence[float] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent with momentum; each rate falls to 0 along a half cosine.

    Attributes:
        learning_rates: of a batch of 256; they grow in proportion to the batch. With each decay, each is a head.
        weight_decays: times W (not b) is added to the gradient.
        epochs: looks at the training set.
        batch_size: samples in a step (an epoch has equal batches of at most so many).
        momentum: share of the last step that is kept.
        standardize: whether columns are standardised first.
    """

    learning_rates: Sequence[float]
    weight_decays: Sequence[float] = (0.0,)
    epochs: int = 100
    batch_size: int = 256
    momentum: float = 0.9
    standardize: bool = True


PROTOCOLS: Mapping[str, Lbfgs | Sgd] = {
    "lbfgs": Lbfgs(),
    # The paper says 100 epochs of SGD on a frozen encoder; the rest is ours.
    "kalibhat2024": Sgd(learning_rates=(0.01,)),
    # facebookresearch/dinov2, eval/linear.py: 12,500 steps of 1024 images are 10 epochs of ImageNet.
    "dinov2": Sgd(
        learning_rates=(1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1),
        epochs=10,
        batch_size=128,
        standardize=False,
    ),
}


def protocol_of(name: str, changes: Mapping[str, Any]) -> Lbfgs | Sgd:
    """A protocol with some of its settings changed; None changes nothing.

    Raises:
        InputError: an unknown protocol, a setting that it does not have, or a value out of range.
    """
    if name not in PROTOCOLS:
        raise InputError(f"protocol is {name!r}, but {', '.join(PROTOCOLS)} are known")
    protocol = PROTOCOLS[name]
    given = {key: value for key, value in changes.items() if value is not None}
    settings = [field.name for field in fields(protocol)]
    for key in given:
        if key not in settings:
            raise InputError(f"{key} is given, but protocol {name!r} has no {key}, only {', '.join(settings)}")
    for key in given.keys() & {"epochs", "batch_size"}:
        given[key] = whole(key, given[key], least=1)
    for key in given.keys() & {"strengths", "learning_rates", "weight_decays"}:
        given[key] = _numbers(key, given[key])
    return replace(protocol, **given)


def whole(name: str, value: Any, *, least: int) -> int:
    """A whole number.

    Raises:
        InputError: not one, or too small.
    """
    try:
        number = index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise InputError(f"{name} is {value!r}, but a whole number of at least {least} is needed")
    return number


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    """Distinct numbers above 0 (decays: from 0 on), in rising order."""
    try:
        numbers = tuple(sorted({float(value) for value in values}))
    except (TypeError, ValueError):
        raise InputError(f"{name} is {values!r}, but numbers are needed, as in ({name}=[0.01, 0.1])") from None
    zero = name == "weight_decays"
    if not numbers or not all((number >= 0 if zero else number > 0) and number < float("inf") for number in numbers):
        raise InputError(f"{name} is {values!r}, but finite numbers {'from 0 on' if zero else 'above 0'} are needed")
    return numbers
