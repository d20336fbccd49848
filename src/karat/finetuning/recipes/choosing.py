"""From the name of a method to its settings."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ...errors import InputError, InputTypeError
from .kinds import DINO, MoCo, Recipe, SwAV, ViewSettings
from .values import IMAGENET, SMALL

METHODS = ("simclr", "swav", "moco", "byol", "dino", "simsiam", "vicreg", "barlow")
_SMALL_BELOW = 96  # from this side on, images count as ImageNet's
_WORDS = {int: "an integer", float: "a number", bool: "True or False", str: "a text"}
_SHARE, _POSITIVE, _COUNT = (0, 1), (1e-12, math.inf), (1, math.inf)
_RANGES: dict[str, tuple[float, float]] = {  # the others: at least 0
    **dict.fromkeys(
        ("flip", "jitter_probability", "grey", "blur", "local_blur", "solarise", "warmup", "queue_start"), _SHARE
    ),
    **dict.fromkeys(("frozen_prototypes", "teacher_warmup", "teacher_momentum", "centre_momentum", "momentum"), _SHARE),
    **dict.fromkeys(("full_scale", "local_scale"), (1e-12, 1)),
    **dict.fromkeys(("temperature", "student_temperature", "teacher_temperature", "sinkhorn_epsilon"), _POSITIVE),
    **dict.fromkeys(("lr", "blur_sigma"), _POSITIVE),
    **dict.fromkeys(("hidden", "output", "predictor_hidden", "prototypes", "sinkhorn_iterations", "epochs"), _COUNT),
    "jitter": _SHARE,
    "local_size": (8, math.inf),
    "batch_size": (2, math.inf),
}
_RISING = ("full_scale", "local_scale", "blur_sigma")


def recipe_of(method: str, *, size: int, changes: Mapping[str, Any] | None = None) -> Recipe:
    """The settings of one objective for images of one size.

    From 96 pixels on they are those with which the paper trained a ResNet-50 on ImageNet; below, what learns on small
    images in few steps on one machine (ours: AdamW, smaller heads, no blur).

    Args:
        method: one of "simclr", "swav", "moco" (v2), "byol", "dino", "simsiam", "vicreg", "barlow".
        size: side of a full view, in pixels.
        changes: other values, by the name of the setting, of the recipe or of its views.

    Raises:
        InputError: an unknown method or setting, a size below 8, a value that cannot be.
        InputTypeError: a value of another type than the setting's.

    >>> recipe_of("moco", size=224).queue
    65536
    >>> recipe_of("moco", size=32, changes={"queue": 512, "grey": 0.0}).views.grey
    0.0
    """
    if method not in METHODS:
        raise InputError(f"method is {method!r}, but {', '.join(METHODS)} are known{_near(method, METHODS)}")
    if isinstance(size, bool) or not isinstance(size, int) or size < 8:
        raise InputError(f"size is {size!r}, but the side of a view is an integer of at least 8 pixels")
    recipe = (SMALL if size < _SMALL_BELOW else IMAGENET)[method](size)
    return _checked(_changed(recipe, changes or {}))


def _changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with other values, each where it belongs."""
    own: dict[str, Any] = {}
    views: dict[str, Any] = {}
    for name, value in changes.items():
        if name == "method":
            if value != recipe.method:
                raise InputError(f"changes has the method {value!r}, but the recipe is of {recipe.method!r}")
        elif name != "views" and name in (types := get_type_hints(type(recipe))):
            own[name] = _value(name, value, types[name])
        elif name in (types := get_type_hints(ViewSettings)):
            views[name] = _value(name, value, types[name])
        else:
            known = [*vars(recipe.views), *(field for field in vars(recipe) if field not in ("views", "method"))]
            raise InputError(
                f"{recipe.method} has no setting {name!r}{_near(name, known)}; it has {', '.join(sorted(known))}"
            )
    return replace(recipe, views=replace(recipe.views, **views), **own)


def _value(name: str, value: Any, kind: Any) -> Any:
    """The value as the setting's type; integers are numbers too, and lists (of JSON) tuples."""
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise InputError(f"{name} is {value!r}, but {', '.join(get_args(kind))} are possible")
        return value
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        if not isinstance(value, list | tuple) or len(value) != len(parts):
            raise InputTypeError(f"{name} is {value!r}, but {len(parts)} numbers are needed")
        return tuple(_value(name, one, part) for one, part in zip(value, parts, strict=True))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise InputTypeError(f"{name} is {value!r}, but {_WORDS[kind]} is needed")
    return value


def _checked(recipe: Recipe) -> Recipe:
    """The recipe, if every value can be."""
    for name, value in {**vars(recipe), **vars(recipe.views)}.items():
        lowest, highest = _RANGES.get(name, (0, math.inf))
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not (lowest <= number <= highest and math.isfinite(number)):
                limits = f"at least {lowest:g}" if highest == math.inf else f"{lowest:g} to {highest:g}"
                raise InputError(f"{name} is {value!r}, but {limits} is needed")
        if name in _RISING and value[0] > value[1]:
            raise InputError(f"{name} is {value!r}, but the first may not be above the second")
    if recipe.views.local_crops and not isinstance(recipe, SwAV | DINO):
        raise InputError(f"{recipe.method} takes no local crops, but local_crops is {recipe.views.local_crops}")
    if isinstance(recipe, MoCo) and not recipe.queue:
        raise InputError("queue is 0, but moco needs older keys to tell its own from: at least 1")
    return recipe


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
