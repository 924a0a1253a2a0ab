"""Losses: values, limits, and that they stay finite where probabilities vanish."""

import pytest
import torch
from conftest import extreme_batch, random_batch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, one_hot, softmax

from robustdl_lib import losses
from robustdl_lib.registry import METHODS

NAMES = [name for name, entry in METHODS.entries.items() if entry.meta["role"] == "loss"]
AT_P = {
    "cce": lambda p: -p.log(),
    "mae": lambda p: 1 - p,
    "mse": lambda p: (1 - p) ** 2,
    "gce": lambda p: (1 - p**0.7) / 0.7,
}


def given_probability() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logits, labels = random_batch(0)
    return logits, one_hot(labels, 10).double(), softmax(logits, 1).gather(1, labels[:, None]).squeeze(1)


@pytest.mark.parametrize("name", AT_P)
def test_a_loss_has_its_value_from_the_paper(name: str) -> None:
    logits, target, p = given_probability()
    torch.testing.assert_close(METHODS[name](logits, target), AT_P[name](p), rtol=1e-12, atol=1e-12)


def test_cce_is_the_cross_entropy_of_torch_for_hard_and_for_soft_targets() -> None:
    logits, labels = random_batch(1)
    soft = softmax(random_batch(2)[0], 1)
    torch.testing.assert_close(
        losses.cce(logits, one_hot(labels, 10).double()), cross_entropy(logits, labels, reduction="none")
    )
    torch.testing.assert_close(losses.cce(logits, soft), cross_entropy(logits, soft, reduction="none"))


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_is_linear_in_the_target(name: str) -> None:
    logits, labels = random_batch(3)
    one, other = one_hot(labels, 10).double(), softmax(random_batch(4)[0], 1)
    mixed = METHODS[name](logits, 0.3 * one + 0.7 * other)
    torch.testing.assert_close(mixed, 0.3 * METHODS[name](logits, one) + 0.7 * METHODS[name](logits, other))


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_falls_with_p_and_ends_at_zero(name: str) -> None:
    p = torch.linspace(1e-6, 1 - 1e-12, 500, dtype=torch.float64)
    logits = torch.stack([p.log(), torch.log1p(-p)], 1)
    values = METHODS[name](logits, one_hot(torch.zeros(500, dtype=torch.long), 2).double())
    assert (values.diff() < 0).all()
    assert values.min() >= 0
    assert values[-1] < 1e-10


@given(st.floats(1e-9, 1e-6))
def test_gce_tends_to_cce_as_q_tends_to_zero(q: float) -> None:
    logits, target, _ = given_probability()
    cce = losses.cce(logits, target)
    gap = (losses.gce(logits, target, q=q) - cce).abs()
    assert (gap <= q * cce**2).all()  # the next term of the series is q log(p)^2 / 2


def test_gce_at_one_is_mae() -> None:
    logits, target, _ = given_probability()
    torch.testing.assert_close(losses.gce(logits, target, q=1.0), losses.mae(logits, target), rtol=0, atol=0)


@given(st.floats(0.01, 1.0))
def test_gce_lies_between_zero_and_one_over_q(q: float) -> None:
    logits, labels = extreme_batch()
    values = losses.gce(logits, one_hot(labels, 5).double(), q=q)
    assert (values >= 0).all()
    assert (values <= 1 / q).all()


@pytest.mark.parametrize("name", ["mae", "mse"])
def test_a_bounded_loss_stays_in_zero_to_one(name: str) -> None:
    logits, labels = extreme_batch()
    values = METHODS[name](logits, one_hot(labels, 5).double())
    assert (values >= 0).all()
    assert (values <= 1).all()
    assert values.max() > 1 - 1e-12
    assert values.min() < 1e-12


def test_mae_summed_over_the_classes_is_constant() -> None:
    """The symmetry sum_y L(z, y) = C - 1 that makes MAE robust (Ghosh et al. 2017)."""
    logits, _ = random_batch(5)
    every = torch.stack([losses.mae(logits, torch.eye(10, dtype=torch.float64)[[y] * 64]) for y in range(10)])
    torch.testing.assert_close(every.sum(0), torch.full((64,), 9.0, dtype=torch.float64))


@pytest.mark.parametrize("name", NAMES)
def test_a_small_loss_keeps_its_relative_precision(name: str) -> None:
    """At p_y = 1 - 1e-13 the difference 1 - p_y has lost three digits; the losses must not have."""
    away = 1e-13
    logits = torch.tensor([[0.0, -torch.log(torch.tensor(1 / away - 1, dtype=torch.float64))]], dtype=torch.float64)
    value = METHODS[name](logits, torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    if name in AT_P:
        expected = away**2 if name == "mse" else away
        assert value.item() == pytest.approx(expected, rel=1e-6)
    assert value.item() > 0


@pytest.mark.parametrize("name", NAMES)
def test_shapes_that_differ_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"\(4, 3\).*\(4, 2\).*both must be \[N, C\]"):
        METHODS[name](torch.zeros(4, 3), torch.zeros(4, 2))


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_is_one_number_an_example_and_depends_on_its_own_alone(name: str) -> None:
    logits, target, _ = given_probability()
    whole = METHODS[name](logits, target)
    assert whole.shape == (64,)
    torch.testing.assert_close(METHODS[name](logits[7:9], target[7:9]), whole[7:9], rtol=0, atol=1e-15)
