"""Weights: closed forms, no gradient, and log odds that are exact at both ends."""

import math

import pytest
import torch
from conftest import extreme_batch, random_batch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import one_hot, softmax

from robustdl_lib import weights
from robustdl_lib.registry import METHODS

NAMES = [name for name, entry in METHODS.entries.items() if entry.meta["role"] == "weight"]


def logits_of(p: torch.Tensor, classes: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    logits = torch.log((1 - p) / (classes - 1)).unsqueeze(1).repeat(1, classes)
    logits[:, 0] = p.log()
    return logits, one_hot(torch.zeros(len(p), dtype=torch.long), classes).double()


@given(st.floats(0, 60), st.floats(0, 10))
def test_dm_is_its_formula(beta: float, lam: float) -> None:
    p = torch.linspace(0.001, 0.999, 99, dtype=torch.float64)
    expected = torch.exp(beta * p**lam * (1 - p))
    torch.testing.assert_close(weights.dm(*logits_of(p), beta=beta, lam=lam), expected, rtol=1e-10, atol=0)


@given(st.floats(0, 200))
def test_imae_is_its_formula(T: float) -> None:
    p = torch.linspace(0.001, 0.999, 99, dtype=torch.float64)
    torch.testing.assert_close(weights.imae(*logits_of(p), T=T), torch.exp(T * p * (1 - p)), rtol=1e-10, atol=0)


def test_dm_at_lambda_one_is_imae() -> None:
    logits, labels = random_batch(0)
    target = one_hot(labels, 10).double()
    torch.testing.assert_close(weights.dm(logits, target, beta=8.0, lam=1.0), weights.imae(logits, target, T=8.0))


@pytest.mark.parametrize(("name", "knobs"), [("dm", {"beta": 0.0}), ("imae", {"T": 0.0})])
def test_a_flat_weight_is_one_everywhere(name: str, knobs: dict[str, float]) -> None:
    logits, labels = extreme_batch()
    assert (METHODS[name](logits, one_hot(labels, 5).double(), **knobs) == 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_is_never_below_zero_and_carries_no_gradient(name: str) -> None:
    logits, labels = random_batch(1)
    weight = METHODS[name](logits.requires_grad_(), one_hot(labels, 10).double())
    assert weight.shape == (64,)
    assert (weight >= 0).all()
    assert not weight.requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_looks_at_p_of_the_given_label_alone(name: str) -> None:
    """Two examples with the same p_y weigh the same, however the other classes share the rest."""
    probs = torch.tensor([[0.3, 0.7, 0.0, 0.0], [0.3, 0.3, 0.2, 0.2]], dtype=torch.float64)
    weight = METHODS[name](probs.log(), torch.eye(4, dtype=torch.float64)[[0, 0]])
    assert weight[0].item() == pytest.approx(weight[1].item(), rel=1e-12)


def test_log_odds_are_exact_where_softmax_rounds_to_one() -> None:
    logits = torch.tensor([[80.0, -80.0], [-80.0, 80.0], [0.0, 0.0]], dtype=torch.float64)
    odds = weights.log_odds_against(logits, torch.eye(2, dtype=torch.float64)[[0, 0, 0]])
    torch.testing.assert_close(odds, torch.tensor([-160.0, 160.0, 0.0], dtype=torch.float64), rtol=1e-15, atol=0)


def test_log_odds_agree_with_the_probabilities_for_hard_and_soft_targets() -> None:
    logits, labels = random_batch(2)
    soft = softmax(random_batch(3)[0], 1)
    for target in (one_hot(labels, 10).double(), soft):
        p = (softmax(logits, 1) * target).sum(1)
        torch.testing.assert_close(weights.log_odds_against(logits, target), torch.log((1 - p) / p))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_any_weight_becomes_a_derivative_of_that_norm(dtype: torch.dtype) -> None:
    """weighted_loss holds for weights that have nothing to do with p_y: the gradient is designed, not derived."""
    logits, labels = random_batch(4)
    leaf, wanted = logits.to(dtype).requires_grad_(), torch.linspace(0, 50, 64, dtype=dtype)
    losses = weights.weighted_loss(wanted, leaf, one_hot(labels, 10).to(dtype))
    norm = torch.autograd.grad(losses.sum(), leaf)[0].abs().sum(1)
    torch.testing.assert_close(norm, wanted, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=0)


def test_the_norm_holds_where_one_minus_p_vanishes() -> None:
    """At p_y -> 1 the direction p - q is 0/0, but the derivative still has the L1 norm w."""
    leaf = torch.tensor([[80.0, -80.0, -75.0]], dtype=torch.float64, requires_grad=True)
    losses = weights.weighted_loss(torch.tensor([3.0]).double(), leaf, torch.eye(3).double()[:1])
    norm = torch.autograd.grad(losses.sum(), leaf)[0].abs().sum()
    assert math.isfinite(losses.item())
    assert norm.item() == pytest.approx(3.0, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_that_differ_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="both must be"):
        METHODS[name](torch.zeros(4, 3), torch.zeros(4, 2))
