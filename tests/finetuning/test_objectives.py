"""The eight objectives against loops over their papers' formulas; teachers, queues, processes, and real images."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightly.utils.scheduler import cosine_schedule
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize

import karat
from karat.encoders.small_resnet import SmallResNet
from karat.errors import InputError
from karat.finetuning.objectives import Objective, objective_of
from karat.finetuning.objectives.queue import Queue
from karat.finetuning.objectives.teachers import half_cosine, teacher_of
from karat.finetuning.recipes import METHODS, recipe_of
from karat.finetuning.views import Views
from tests.reference import objectives as reference

D = 12
SMALLER: dict[str, dict[str, Any]] = {
    "simclr": {"hidden": 10, "output": 6},
    "moco": {"hidden": 10, "output": 6, "queue": 24},
    "byol": {"hidden": 10, "output": 6, "predictor_hidden": 8},
    "simsiam": {"hidden": 10, "output": 6, "predictor_hidden": 8},
    "swav": {"hidden": 10, "output": 6, "prototypes": 5, "queue": 16, "queue_start": 0.5},
    "dino": {"hidden": 10, "output": 6, "prototypes": 5, "teacher_temperature": (0.04, 0.08), "teacher_warmup": 0.5},
    "vicreg": {"hidden": 10, "output": 6},
    "barlow": {"hidden": 10, "output": 6},
}
WITH_TEACHER = ("moco", "byol", "dino")


class Encoder(nn.Module):
    """Images of any side -> h [n, 12]."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.convolution = nn.Conv2d(3, D, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.convolution(images)).mean(dim=(2, 3))


def small(method: str, *, seed: int = 0, double: bool = True, **changes: Any) -> Objective:
    recipe = recipe_of(method, size=32, changes={**SMALLER[method], **changes})
    objective = objective_of(method, Encoder(seed), dim=D, recipe=recipe, seed=seed)
    return objective.double() if double else objective


def batch(method: str, *, n: int = 8, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    local = recipe_of(method, size=32).views.local_crops
    return [torch.randn(n, 3, side, side, generator=generator, dtype=torch.float64) for side in [8, 8, *([5] * local)]]


def step(objective: Objective, views: list[Tensor], *, progress: float, lr: float = 0.1) -> float:
    optimizer = torch.optim.SGD(objective.parameter_groups(weight_decay=0.0), lr=lr)
    outcome = objective(views, progress=progress)
    optimizer.zero_grad()
    outcome.loss.backward()
    objective.after_backward(progress=progress)
    optimizer.step()
    objective.after_step(progress=progress)
    return outcome.loss.item()


def lists(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().tolist() for tensor in tensors]


def projected(objective: Objective, views: list[Tensor]) -> list[Tensor]:
    return [objective.projector(objective.encoder(view)) for view in views]


def simclr_loss(o: Objective, views: list[Tensor]) -> float:
    z = o.projector(o.encoder(torch.cat(views)))  # one batch for the batch normalisation
    return reference.nt_xent(*lists(*z.chunk(2)), 0.2)


def moco_loss(o: Objective, views: list[Tensor]) -> float:
    queries, (encoder, projector) = lists(*projected(o, views)), o.teacher
    keys, (queue,) = lists(*(projector(encoder(view)) for view in views)), lists(o.queue.rows)
    both = [reference.info_nce(queries[i], keys[1 - i], queue, 0.2) for i in range(2)]
    return sum(both) / 2


def byol_loss(o: Objective, views: list[Tensor]) -> float:
    encoder, projector = o.teacher
    predictions = [o.predictor(z) for z in projected(o, views)]
    return reference.byol(lists(*predictions), lists(*(projector(encoder(view)) for view in views)))


def simsiam_loss(o: Objective, views: list[Tensor]) -> float:
    z = projected(o, views)
    return reference.simsiam(lists(*map(o.predictor, z)), lists(*z))


def swav_loss(o: Objective, views: list[Tensor], *, queued: bool = False) -> float:
    full, local = (o.projector(o.encoder(torch.cat(part))) for part in (views[:2], views[2:]))
    (prototypes,) = lists(o.prototypes.weight)
    full, local, *queues = (
        [[[reference.dot(row, c) for c in prototypes] for row in part] for part in lists(*normalize(z).split(8))]
        for z in (full, local, *(queue.rows for queue in o.queues))
    )
    queue = [[row for part in rows for row in part] for rows in queues]
    return reference.swav(full, local, temperature=0.1, epsilon=0.05, iterations=3, queue=queue if queued else None)


def dino_scores(o: Objective, head: nn.Module, encoder: nn.Module, images: Tensor) -> list[Any]:
    z = normalize(head.layers(encoder(images)))
    directions = normalize(head.prototypes.parametrizations.weight.original1)
    return lists(*(z @ directions.T).split(8))


def dino_loss(o: Objective, views: list[Tensor]) -> float:
    """At progress 0.2: two fifths of the way from 0.04 to 0.08."""
    encoder, head = o.teacher
    student = [*dino_scores(o, o.head, o.encoder, torch.cat(views[:2]))]
    student += dino_scores(o, o.head, o.encoder, torch.cat(views[2:]))
    teacher = dino_scores(o, head, encoder, torch.cat(views[:2]))
    centre = o.agreement.center.flatten().tolist()
    return reference.dino(teacher, student, centre, teacher_temperature=0.056, student_temperature=0.1)


def vicreg_loss(o: Objective, views: list[Tensor]) -> float:
    return reference.vicreg(*lists(*projected(o, views)), invariance=25, variance=25, covariance=1)


def barlow_loss(o: Objective, views: list[Tensor]) -> float:
    return reference.barlow(*lists(*projected(o, views)), redundancy=5e-3, scale=0.1)


FORMULAS: dict[str, Callable[[Objective, list[Tensor]], float]] = {
    "simclr": simclr_loss,
    "moco": moco_loss,
    "byol": byol_loss,
    "simsiam": simsiam_loss,
    "swav": swav_loss,
    "dino": dino_loss,
    "vicreg": vicreg_loss,
    "barlow": barlow_loss,
}


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_that_of_the_paper_before_and_after_a_step(method: str) -> None:
    objective = small(method)
    for seed in range(2):  # after a step, teacher and student, queue and centre differ from the beginning
        views = batch(method, seed=seed)
        expected = FORMULAS[method](objective, views)
        assert step(objective, views, progress=0.2, lr=0.5) == pytest.approx(expected, rel=1e-6)


def test_moco_of_the_paper_takes_the_first_view_as_query_only() -> None:
    objective, views = small("moco", symmetric=False), batch("moco")
    queries, (encoder, projector) = lists(*projected(objective, views)), objective.teacher
    keys = lists(projector(encoder(views[1])))[0]
    outcome = objective(views, progress=0.0)
    (queue,) = lists(small("moco").queue.rows)  # as it was before
    assert outcome.loss.item() == pytest.approx(reference.info_nce(queries[0], keys, queue, 0.2), rel=1e-6)
    assert len(outcome.h) == 1


def test_swav_uses_its_queue_when_it_is_full_and_late_enough() -> None:
    objective = small("swav")
    for seed in range(2):
        step(objective, batch("swav", seed=seed), progress=0.9)
    views = batch("swav", seed=9)
    with_queue, without = swav_loss(objective, views, queued=True), swav_loss(objective, views)
    objective.eval()  # the queue stays as it is
    objective.projector.train()
    assert objective(views, progress=0.5).loss.item() == pytest.approx(with_queue, rel=1e-6)
    assert objective(views, progress=0.4).loss.item() == pytest.approx(without, rel=1e-6)
    assert abs(with_queue - without) > 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_h_is_the_encoders_output_of_the_full_views_and_z_the_first_views_projection(method: str) -> None:
    objective, views = small(method), batch(method)
    outcome = objective(views, progress=0.0)
    assert len(outcome.h) == 2
    for h, view in zip(outcome.h, views, strict=False):
        torch.testing.assert_close(h, objective.encoder(view))
    assert outcome.z.shape == (8, 6) and not outcome.z.requires_grad
    (gradient,) = torch.autograd.grad(sum(h.sum() for h in outcome.h), objective.encoder.convolution.weight)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_step_moves_the_student_and_no_gradient_reaches_the_teacher(method: str) -> None:
    objective = small(method)
    before = copy.deepcopy(dict(objective.named_parameters()))
    step(objective, batch(method), progress=0.9)
    for name, parameter in objective.named_parameters():
        if parameter.requires_grad and not name.endswith("bias"):
            assert not torch.equal(parameter, before[name]), name
        if name.startswith("teacher"):
            assert parameter.grad is None and not parameter.requires_grad


@pytest.mark.parametrize("method", WITH_TEACHER)
def test_after_a_step_the_teacher_is_the_moving_average_of_the_student(method: str) -> None:
    objective = small(method, teacher_momentum=(0.8, 1.0))
    before = [p.clone() for p in objective.teacher.parameters()]
    step(objective, batch(method), progress=0.25, lr=1.0)
    momentum = 1 - 0.2 * (1 + math.cos(math.pi / 4)) / 2
    head = objective.head if method == "dino" else objective.projector
    students = [*objective.encoder.parameters(), *head.parameters()]
    for old, student, teacher in zip(before, students, objective.teacher.parameters(), strict=True):
        torch.testing.assert_close(teacher, momentum * old + (1 - momentum) * student)
    assert any(not torch.equal(old, new) for old, new in zip(before, objective.teacher.parameters(), strict=True))


def test_momentum_follows_lightlys_half_cosine() -> None:
    for number in range(11):
        expected = cosine_schedule(number, 11, 0.99, 1.0)
        assert half_cosine(0.99, 1.0, progress=number / 10) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("method", ["byol", "simsiam"])
def test_targets_are_constants(method: str) -> None:
    """The gradient is that of finite differences of the loss with the targets held."""
    objective, views = small(method), batch(method)
    objective(views, progress=0.0).loss.backward()
    found = objective.projector.layers[0].weight.grad[0, 0].item()
    held = [z.detach() for z in projected(objective, views)]
    if method == "byol":
        encoder, projector = objective.teacher
        held = [projector(encoder(view)) for view in views]

    def loss_at(shift: float) -> float:
        with torch.no_grad():
            objective.projector.layers[0].weight[0, 0] += shift
            predictions = lists(*(objective.predictor(z) for z in projected(objective, views)))
            objective.projector.layers[0].weight[0, 0] -= shift
        formula = reference.byol if method == "byol" else reference.simsiam
        return formula(predictions, lists(*held))

    assert found == pytest.approx((loss_at(1e-5) - loss_at(-1e-5)) / 2e-5, rel=1e-4)


@pytest.mark.parametrize(("method", "name"), [("swav", "prototypes"), ("dino", "head.prototypes")])
def test_prototypes_are_frozen_at_first_and_keep_length_one(method: str, name: str) -> None:
    objective = small(method, frozen_prototypes=0.1)
    prototypes = objective.get_submodule(name)
    before = prototypes.weight.clone()
    step(objective, batch(method), progress=0.05)
    torch.testing.assert_close(prototypes.weight, before, rtol=0, atol=1e-7)
    step(objective, batch(method), progress=0.1)
    assert (prototypes.weight - before).abs().max() > 1e-5
    torch.testing.assert_close(prototypes.weight.norm(dim=1), torch.ones(5, dtype=torch.float64))


def test_dinos_centre_is_a_running_mean_of_the_teachers_outputs() -> None:
    objective, views = small("dino"), batch("dino")
    encoder, head = objective.teacher
    outputs = np.array(dino_scores(objective, head, encoder, torch.cat(views[:2])))
    objective(views, progress=0.0)
    np.testing.assert_allclose(objective.agreement.center.flatten(), 0.1 * outputs.mean(axis=(0, 1)), rtol=1e-6)


def test_a_queue_holds_the_last_rows_in_a_ring() -> None:
    queue = Queue(5, 1)
    for first in (0, 3, 6):
        queue.push(torch.arange(first, first + 3.0)[:, None])
    assert queue.rows.flatten().tolist() == [5, 6, 7, 8, 4] and int(queue.start) == 4 and queue.full()
    queue.push(torch.arange(20.0)[:, None])
    assert sorted(queue.rows.flatten().tolist()) == [15, 16, 17, 18, 19]


@pytest.mark.parametrize("method", ["moco", "dino", "swav"])
def test_evaluation_leaves_queue_and_centre_alone(method: str) -> None:
    objective = small(method).eval()
    before = copy.deepcopy(objective.state_dict())
    objective(batch(method), progress=0.6)
    for name, value in objective.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("method", METHODS)
def test_a_state_dict_brings_everything_back(method: str) -> None:
    objective = small(method)
    for seed in range(3):
        step(objective, batch(method, seed=seed), progress=0.6)
    other = small(method, seed=1)
    other.load_state_dict(objective.state_dict())
    for seed in (4, 5):
        views = batch(method, seed=seed)
        assert step(other, views, progress=0.6) == step(objective, views, progress=0.6)


@pytest.mark.parametrize("method", METHODS)
def test_heads_come_from_the_seed_and_the_encoder_stays(method: str) -> None:
    encoder = Encoder(3)
    recipe = recipe_of(method, size=32, changes=SMALLER[method])
    before, random = copy.deepcopy(encoder.state_dict()), torch.random.get_rng_state()
    one, two, three = (objective_of(method, copy.deepcopy(encoder), dim=D, recipe=recipe, seed=s) for s in (0, 0, 1))
    same = [torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)]
    other = [torch.equal(a, b) for a, b in zip(one.state_dict().values(), three.state_dict().values(), strict=True)]
    assert all(same) and not all(other)
    assert all(torch.equal(value, before[name]) for name, value in one.encoder.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random)


@pytest.mark.parametrize("method", METHODS)
def test_every_trained_parameter_is_in_one_group_and_vectors_do_not_decay(method: str) -> None:
    objective = small(method)
    groups = objective.parameter_groups(weight_decay=0.5)
    found = [id(p) for group in groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in objective.parameters() if p.requires_grad)
    for group in groups:
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] == 0.5}
    constant = {id(p) for group in groups if group["constant_lr"] for p in group["params"]}
    predictor = objective.predictor.parameters() if method == "simsiam" else []
    assert constant == {id(p) for p in predictor}


@pytest.mark.parametrize("method", METHODS)
def test_under_bf16_autocast_the_loss_is_float32_and_close(method: str) -> None:
    objective = small(method, double=False)
    views = [view.float() for view in batch(method)]
    exact = copy.deepcopy(objective)(views, progress=0.2).loss.item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outcome = objective(views, progress=0.2)
    outcome.loss.backward()
    assert outcome.loss.dtype == torch.float32
    assert outcome.loss.item() == pytest.approx(exact, rel=0.05, abs=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_batches_that_no_method_can_use_are_refused(method: str) -> None:
    objective, views = small(method), batch(method)
    with pytest.raises(InputError, match=f"a batch of 1 was given, but {method} needs 2 images or more"):
        objective([view[:1] for view in views], progress=0.0)
    with pytest.raises(InputError, match=f"1 views were given, but {method} needs 2 of full resolution"):
        objective(views[:1], progress=0.0)
    with pytest.raises(InputError, match=r"views have .* images, but all need the same"):
        objective([views[0][:4], *views[1:]], progress=0.0)
    views[-1][0, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        objective(views, progress=0.0)


def test_what_makes_no_objective_is_refused() -> None:
    recipe = recipe_of("byol", size=32)
    with pytest.raises(InputError, match="method is 'mae', but simclr"):
        objective_of("mae", Encoder(0), dim=D, recipe=recipe, seed=0)
    with pytest.raises(InputError, match="recipe is of 'byol', but method is 'moco'"):
        objective_of("moco", Encoder(0), dim=D, recipe=recipe, seed=0)
    with pytest.raises(InputError, match="no parameter that requires gradient"):
        objective_of("byol", Encoder(0).requires_grad_(False), dim=D, recipe=recipe, seed=0)
    objective = objective_of("byol", Encoder(0), dim=D + 1, recipe=recipe, seed=0)
    with pytest.raises(InputError, match=r"encoder gives h of shape \[8, 12\], but \[n, 13\] was promised"):
        objective([view.float() for view in batch("byol")], progress=0.0)


def without_batch_norm(method: str) -> tuple[Objective, list[Tensor]]:
    """Batch normalisation knows its own process only; without it one process and two must agree."""
    objective = small(method, **({"queue_start": 0.0, "local_crops": 0} if method == "swav" else {}))
    objective.projector = nn.Linear(D, 6, bias=False).double()
    nn.init.orthogonal_(objective.projector.weight, generator=torch.Generator().manual_seed(5))
    if method == "moco":
        objective.teacher = teacher_of(objective.encoder, objective.projector)
    if method == "swav":
        for queue in objective.queues:
            queue.push(normalize(torch.randn(16, 6, generator=torch.Generator().manual_seed(7)).double()))
    return objective, batch(method)[:2]


SHARED = ("simclr", "moco", "swav", "vicreg", "barlow")


def _one_of_two(rank: int, folder: str) -> None:
    """A process of two: its half of the batch through DistributedDataParallel; gradients and queues to a file."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = {}
    for method in SHARED:
        objective, views = without_batch_norm(method)
        wrapped = nn.parallel.DistributedDataParallel(objective)
        loss = wrapped([view[rank * 4 :][:4] for view in views], progress=0.9).loss
        loss.backward()
        queues = [module.rows for module in objective.modules() if isinstance(module, Queue)]
        found[method] = [loss.detach(), objective.encoder.convolution.weight.grad, *queues]
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_have_the_loss_gradient_and_queue_of_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_one_of_two, (str(tmp_path),), nprocs=2)
    both = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for method in SHARED:
        objective, views = without_batch_norm(method)
        loss = objective(views, progress=0.9).loss
        loss.backward()
        first, second = both[0][method], both[1][method]
        torch.testing.assert_close((first[0] + second[0]) / 2, loss.detach(), rtol=1e-12, atol=0, msg=method)
        queues = [module.rows for module in objective.modules() if isinstance(module, Queue)]
        for found in (first, second):
            gradient = objective.encoder.convolution.weight.grad
            torch.testing.assert_close(found[1], gradient, rtol=1e-10, atol=1e-14, msg=method)
            for theirs, ours in zip(found[2:], queues, strict=True):
                torch.testing.assert_close(theirs.sort(dim=0).values, ours.sort(dim=0).values)


def bundled_images() -> Tensor:
    archive = np.load(Path(karat.__file__).parent / "demo" / "data" / "train.npz")
    raw, offsets = archive["bytes"].tobytes(), archive["offsets"][:1025]
    images = [np.asarray(Image.open(io.BytesIO(raw[start:stop])).convert("RGB")) for start, stop in pairwise(offsets)]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def trained(method: str, *, steps: int, images: Tensor, n: int = 64) -> tuple[list[float], float]:
    """The losses, and the spread of the normalised projections at the end."""
    torch.manual_seed(0)
    changes = {"hidden": 128, "output": 128} | {"moco": {"queue": 512}, "dino": {"prototypes": 256}}.get(method, {})
    recipe = recipe_of(method, size=32, changes=changes)
    objective = objective_of(method, SmallResNet((8, 16, 32), 1, 128), dim=128, recipe=recipe, seed=0)
    optimizer = torch.optim.AdamW(objective.parameter_groups(weight_decay=recipe.weight_decay), lr=recipe.lr)
    views = Views(recipe.views, size=32, mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26))
    generator = torch.Generator().manual_seed(0)
    losses = []
    for number in range(steps):
        rows, progress = torch.randint(len(images), (n,), generator=generator), number / steps
        outcome = objective(views(images[rows], generator), progress=progress)
        optimizer.zero_grad()
        outcome.loss.backward()
        objective.after_backward(progress=progress)
        nn.utils.clip_grad_norm_(objective.parameters(), recipe.clip)
        optimizer.step()
        objective.after_step(progress=progress)
        losses.append(outcome.loss.item())
    return losses, float(normalize(outcome.z).std(dim=0).mean()) * outcome.z.shape[1] ** 0.5


@pytest.mark.slow
@pytest.mark.timeout(600)  # seconds of a busy machine; alone it takes about 10
@pytest.mark.parametrize("method", METHODS)
def test_on_real_images_the_loss_falls_and_nothing_collapses_in_200_steps(method: str) -> None:
    losses, spread = trained(method, steps=200, images=bundled_images())
    assert np.mean(losses[-30:]) < np.mean(losses[:20])
    assert spread > 0.3
