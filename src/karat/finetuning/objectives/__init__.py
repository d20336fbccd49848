"""The eight objectives, by name."""

from __future__ import annotations

import torch
from torch import nn

from ..._optional import require
from ...errors import InputError
from ..recipes import Recipe
from .objective import Objective, Outcome

__all__ = ["Objective", "Outcome", "objective_of"]


def objective_of(method: str, encoder: nn.Module, *, dim: int, recipe: Recipe, seed: int) -> Objective:
    """An encoder with the heads, teachers and queues that a method trains it with.

    Args:
        method: one of `karat.finetuning.recipes.METHODS`.
        encoder: images [n, 3, s, s] -> h [n, dim]; its weights stay as they are.
        dim: number of features d.
        recipe: the settings of this method.
        seed: of the heads' first weights and of the queue's.

    Raises:
        InputError: an unknown method, a recipe of another one, an encoder without a parameter that can be trained.
        MissingDependencyError: the extra `train` is not installed.
    """
    require("lightly", "an objective")
    from .asymmetric import BYOLObjective, SimSiamObjective
    from .clustering import DINOObjective, SwAVObjective
    from .contrastive import MoCoObjective, SimCLRObjective
    from .decorrelation import BarlowTwinsObjective, VICRegObjective

    kinds: dict[str, type[Objective]] = {
        "simclr": SimCLRObjective,
        "swav": SwAVObjective,
        "moco": MoCoObjective,
        "byol": BYOLObjective,
        "dino": DINOObjective,
        "simsiam": SimSiamObjective,
        "vicreg": VICRegObjective,
        "barlow": BarlowTwinsObjective,
    }
    if method not in kinds:
        raise InputError(f"method is {method!r}, but {', '.join(kinds)} are known")
    if recipe.method != method:
        raise InputError(f"recipe is of {recipe.method!r}, but method is {method!r}: take recipe_of({method!r}, ...)")
    trained = next((parameter for parameter in encoder.parameters() if parameter.requires_grad), None)
    if trained is None:
        raise InputError(
            "encoder has no parameter that requires gradient, but its own objective trains it: "
            "call encoder.requires_grad_(True)"
        )
    with torch.random.fork_rng(devices=[]):  # heads are made on the CPU: the same weights on every device
        torch.manual_seed(seed)
        objective = kinds[method](encoder, dim=dim, recipe=recipe)
    return objective.to(trained.device)
