"""The regulariser against loops over the formula, finite differences, and one process against two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from karat import QScorer
from karat.errors import InputError
from karat.finetuning import LassoRegularizer, QScoreRegularizer
from tests.reference.regularizer import terms

D = 24


def features(n: int = 16, seed: int = 0, *, signed: bool = False) -> np.ndarray:
    """Away from 0, where |h| has no derivative."""
    h = np.random.default_rng(seed).standard_t(3, (n, D))
    return h + 0.2 * np.sign(h) if signed else np.abs(h) + 0.2


def mask(seed: int = 1, d: int = D) -> np.ndarray:
    return np.random.default_rng(seed).random(d) < 0.6


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("signed", [False, True])
def test_the_terms_are_those_of_the_formula(seed: int, signed: bool) -> None:
    h = features(seed=seed, signed=signed)
    means = h.mean(axis=0) if signed else None
    chosen = mask(seed, 2 * D if signed else D)
    for lambda1, lambda2 in ((1.0, 0.0), (0.0, 1.0), (0.3, 0.7)):
        reg = QScoreRegularizer(lambda1, lambda2, epsilon=1.5, discriminative=chosen, means=means)
        expected = terms(h, chosen, lambda1=lambda1, lambda2=lambda2, epsilon=1.5, means=means)
        assert float(reg(torch.from_numpy(h))) == pytest.approx(sum(expected), rel=1e-12)
        assert expected[0] != 0 or lambda1 == 0


def test_the_gradient_is_that_of_finite_differences_with_the_selection_held() -> None:
    h = torch.from_numpy(features()).requires_grad_()
    for signed in (False, True):
        means = h.detach().mean(dim=0) if signed else None
        reg = QScoreRegularizer(1, 1, epsilon=1.5, discriminative=mask(1, D * (1 + signed)), means=means)
        assert torch.autograd.gradcheck(reg, (h,))


def test_the_gradient_of_a_badly_represented_sample_raises_its_q_score_only() -> None:
    h = torch.zeros(2, 20, dtype=torch.float64)
    h[0, 3], h[1, 3] = 1, 5
    h.requires_grad_()
    reg = QScoreRegularizer(1.0, 0.0, epsilon=2, discriminative=torch.ones(20, dtype=torch.bool))
    reg(h).backward()
    expected = torch.full((20,), 0.5 / 20, dtype=torch.float64)  # -(1/2) d(h_3 - mean)/dh
    expected[3] -= 0.5
    torch.testing.assert_close(h.grad[0], expected)
    assert not h.grad[1].any()  # its Q-Score is above the mean


def test_views_are_averaged() -> None:
    reg = QScoreRegularizer(1, 1, epsilon=1.5, discriminative=mask())
    first, second = (torch.from_numpy(features(seed=seed)) for seed in (0, 1))
    assert float(reg(first, second)) == pytest.approx((float(reg(first)) + float(reg(second))) / 2, rel=1e-12)


@pytest.mark.parametrize("h", [torch.zeros(4, D), torch.ones(4, D), torch.ones(1, D), torch.full((4, D), 1e-38)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_collapsed_features_give_a_finite_value_and_gradient(h: Tensor, dtype: torch.dtype) -> None:
    leaf = h.clone().to(dtype).detach().requires_grad_()
    value = QScoreRegularizer(1, 1, epsilon=2, discriminative=torch.ones(D, dtype=torch.bool))(leaf)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(leaf.grad).all()


def test_nothing_discriminative_leaves_the_column_norms_alone() -> None:
    h = features()
    reg = QScoreRegularizer(1, 1, epsilon=1.5, discriminative=np.zeros(D, bool))
    expected = terms(h, np.zeros(D, bool), lambda1=1, lambda2=1, epsilon=1.5)
    assert expected[0] == 0
    assert float(reg(torch.from_numpy(h))) == pytest.approx(expected[1], rel=1e-12)


def test_under_autocast_it_computes_in_float32() -> None:
    h = torch.from_numpy(features(64)).float()
    reg = QScoreRegularizer(1, 1, epsilon=1.5, discriminative=mask())
    exact = reg(h)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = reg(h)
    assert found.dtype == torch.float32
    assert torch.equal(found, exact)


def trained(regularizer: nn.Module | None) -> list[Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, D), nn.ReLU())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(5):
        h = net(torch.rand(16, 8))
        loss = h.square().mean()
        if regularizer is not None:
            loss = loss + regularizer(h)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return list(net.parameters())


@pytest.mark.parametrize("regularizer", [QScoreRegularizer(0, 0, discriminative=mask()), LassoRegularizer(0)], ids=repr)
def test_weights_of_zero_leave_training_bit_identical(regularizer: nn.Module) -> None:
    for plain, regularized in zip(trained(None), trained(regularizer), strict=True):
        assert torch.equal(plain, regularized)


def test_training_with_the_terms_differs() -> None:
    reg = QScoreRegularizer(1e-2, 1e-2, epsilon=2, discriminative=mask())
    assert not torch.equal(trained(None)[0], trained(reg)[0])


def test_refresh_takes_d_from_the_rows_seen_in_training_mode() -> None:
    h = features(200)
    reg = QScoreRegularizer(epsilon=1.5, discriminative=np.zeros(D, bool))
    reg.eval()
    reg(torch.from_numpy(h))
    reg.refresh()
    assert not reg.discriminative.any()
    reg.train()
    reg(torch.from_numpy(h[:90]), torch.from_numpy(h[90:]))
    reg.refresh()
    expected = QScorer(epsilon=1.5, halves=False).fit(h).discriminative_
    assert expected.any()
    np.testing.assert_array_equal(reg.discriminative.numpy(), expected)
    assert not reg.counts.any()


def test_its_state_travels_with_the_state_dict() -> None:
    reg = QScoreRegularizer(epsilon=1.5, discriminative=mask(1, 2 * D), means=np.arange(D))
    reg(torch.from_numpy(features()))
    other = QScoreRegularizer(epsilon=1.5, discriminative=mask(2, 2 * D), means=np.zeros(D))
    other.load_state_dict(reg.state_dict())
    assert torch.equal(other.discriminative, reg.discriminative)
    assert torch.equal(other.counts, reg.counts)
    assert other.means.tolist() == list(range(D))


def test_lasso_is_the_sum_of_the_absolute_features() -> None:
    h = torch.from_numpy(features(signed=True)).requires_grad_()
    assert LassoRegularizer(0.5)(h, h).item() == pytest.approx(0.5 * h.abs().sum().item())
    assert torch.autograd.gradcheck(LassoRegularizer(0.5), (h,))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lambda1": -1}, "lambda1 is -1"),
        ({"lambda2": float("nan")}, "lambda2 is nan"),
        ({"epsilon": -1}, "epsilon is -1"),
        ({"discriminative": np.zeros(D)}, r"float64 \[24\], but a mask"),
        ({"discriminative": np.zeros((D, 1), bool)}, r"\[24, 1\]"),
        ({"means": np.zeros(D)}, r"means has shape \[24\], but discriminative has 24"),
        ({"lower": 96}, "percentiles"),
    ],
)
def test_what_makes_no_regulariser_is_refused(options: dict, text: str) -> None:
    with pytest.raises(InputError, match=text):
        QScoreRegularizer(**{"discriminative": mask(), **options})


@pytest.mark.parametrize("h", [torch.zeros(4, D + 1), torch.zeros(D), torch.zeros(0, D)])
def test_features_that_do_not_fit_are_refused(h: Tensor) -> None:
    reg = QScoreRegularizer(discriminative=mask())
    with pytest.raises(InputError, match=rf"\[n, {D}\] is needed"):
        reg(h)
    with pytest.raises(InputError, match="no view"):
        reg()


class _Holding(nn.Module):
    """The regulariser inside what is trained, as a LightningModule has it."""

    def __init__(self, net: nn.Module, reg: nn.Module) -> None:
        super().__init__()
        self.net, self.reg = net, reg

    def forward(self, x: Tensor) -> Tensor:
        return self.reg(self.net(x))


def _one_of_two(rank: int, folder: str, name: str) -> None:
    """A process of two: its half of the batch through DistributedDataParallel; its gradient and value to a file."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet-{name}", rank=rank, world_size=2)
    net, x, reg = parts(name)
    wrapped = nn.parallel.DistributedDataParallel(_Holding(net, reg))
    for batch in (-x, x):  # buffers would be overwritten at the second
        net.zero_grad()
        value = wrapped(batch[:10] if rank == 0 else batch[10:20])
        value.backward()
    reg.refresh() if isinstance(reg, QScoreRegularizer) else None
    torch.save([value.detach(), net.weight.grad, *reg.buffers()], f"{folder}/{name}-{rank}.pt")
    torch.distributed.destroy_process_group()


def parts(name: str) -> tuple[nn.Module, Tensor, nn.Module]:
    torch.manual_seed(3)
    net = nn.Linear(6, D).double()
    reg = QScoreRegularizer(1, 1, epsilon=1.5, discriminative=mask()) if name == "q" else LassoRegularizer(1)
    return net, torch.randn(20, 6, dtype=torch.float64), reg


@pytest.mark.slow
@pytest.mark.parametrize("name", ["q", "lasso"])
def test_two_processes_have_the_value_gradient_and_d_of_one(tmp_path: Path, name: str) -> None:
    torch.multiprocessing.spawn(_one_of_two, (str(tmp_path), name), nprocs=2)
    net, x, reg = parts(name)
    for batch in (-x, x):
        net.zero_grad()
        value = reg(net(batch))
        value.backward()
    reg.refresh() if isinstance(reg, QScoreRegularizer) else None
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True)
        for ours, theirs in zip([value.detach(), net.weight.grad, *reg.buffers()], found, strict=True):
            torch.testing.assert_close(theirs, ours, rtol=1e-10, atol=1e-12)
