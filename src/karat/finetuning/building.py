"""From what is asked to what the loop needs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor

from ..extraction.compute import Compute
from .asked import Asked, check_batches
from .checkpoints import shapes_of
from .continuing import take_over
from .fresh import description_of, state_digest, weights_digest
from .judging import Judge, features
from .loop import Job, Keeping
from .objectives import objective_of
from .optimizing import optimizer_of
from .processes import accelerator_of
from .randomness import seed_states
from .starting import Start
from .terms import Terms
from .views import Views

_ROWS = 256  # in a batch of a pass without gradient


def job_of(asked: Asked, start: Start, compute: Compute, keeping: Keeping) -> Job:
    """Put together the objective, its optimiser, terms, views and judge, with the random states begun.

    Raises:
        InputError: images or settings that do not go together.
    """
    size = start.preprocessing.size
    recipe = asked.recipe(size)
    accelerator = accelerator_of(compute, accumulate=asked.accumulate)
    epsilon = broadcast_object_list([asked.threshold])[0]  # one for all, were "auto" a close call
    asked = replace(asked, epsilon=epsilon)
    check_batches(recipe, images=len(start.rows), accumulate=asked.accumulate, processes=accelerator.num_processes)
    device, rank = accelerator.device, accelerator.process_index
    module = copy.deepcopy(start.encoder.module).float().to(device)
    module.to(memory_format=torch.channels_last)  # faster: on a CPU by a fifth
    seed_states(asked.seed, rank)
    objective = objective_of(asked.method, module, dim=start.encoder.dim, recipe=recipe, seed=asked.seed)
    if start.heads is not None:
        take_over(objective, start.heads)
    own = start.rows[rank :: accelerator.num_processes]
    terms = Terms(asked.weights(), partial(_whole_pass, module, start, own, device)).to(device)
    judge = Judge(
        start.pictures,
        start.probed,
        start.val,
        start.val_rows,
        start.preprocessing,
        epsilon=asked.threshold,
        device=device,
        threads=compute.threads,
    )
    described = description_of(start.encoder)
    parameters = {**asked.to_dict(), "precision": compute.precision, "size": size, "side": start.pictures.side}
    return Job(
        accelerator=accelerator,
        objective=objective,
        optimizer=optimizer_of(recipe, objective.parameter_groups(weight_decay=recipe.weight_decay)),
        terms=terms,
        views=Views(recipe.views, size=size, mean=start.preprocessing.mean, std=start.preprocessing.std),
        generator=torch.Generator().manual_seed(int(np.random.SeedSequence([asked.seed, rank]).generate_state(1)[0])),
        pictures=start.pictures,
        rows=start.rows,
        recipe=recipe,
        schedule=asked.schedule,
        seed=asked.seed,
        judge=judge if len(start.val_rows) else None,
        judged_every=asked.metrics_every,
        keeping=keeping,
        description=None if described is None else {**described, "name": start.encoder.name},
        identity={
            "method": asked.method,
            "objective": shapes_of(objective),
            "processes": accelerator.num_processes,
            "recipe": recipe.to_dict(),
            "parameters": parameters,
            "inputs": _inputs(start),
        },
    )


def _whole_pass(module: torch.nn.Module, start: Start, rows: np.ndarray, device: torch.device) -> Iterator[Tensor]:
    """h of all images that this process answers for."""
    parts = [rows[first : first + _ROWS] for first in range(0, len(rows), _ROWS)]
    return features(module, start.pictures, parts, start.preprocessing, device)


def _inputs(start: Start) -> dict[str, Any]:
    """Digests of the images, of the encoder's first weights, and of the heads' where they are not new."""
    digests = {"images": start.pictures.source.digest, "encoder": weights_digest(start.encoder.module)}
    if start.heads is not None:
        digests["heads"] = state_digest(start.heads.objective)
    return digests if start.val is start.pictures else {**digests, "val": start.val.source.digest}
