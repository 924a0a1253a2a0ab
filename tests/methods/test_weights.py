"""Weights: closed forms, no gradient, and log odds that are exact at both ends."""

import math

import pytest
import torch
from helpers.cases import extreme_batch, random_batch, specs_of
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from torch.nn.functional import one_hot, softmax

from robustdl_lib import weights
from robustdl_lib.methods.objective import build
from robustdl_lib.registry import METHODS
from robustdl_lib.theory.gradients import logit_gradient, weight_curve

NAMES = [name for name, entry in METHODS.entries.items() if entry.facts.role == "weight"]


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


@given(st.floats(0, 60), st.floats(0, 1))
def test_the_normal_family_is_its_formula_and_a_bell_around_psi(beta: float, psi: float) -> None:
    p = torch.linspace(0.001, 0.999, 99, dtype=torch.float64)
    found = weights.normal(*logits_of(p), beta=beta, psi=psi)
    torch.testing.assert_close(found, torch.exp(-beta * p * (p - 2 * psi)), rtol=1e-10, atol=0)
    bell = torch.exp(-((p - psi) ** 2) / (2 * (1 / (2 * max(beta, 1e-9)))))  # variance 1 / (2 beta)
    torch.testing.assert_close(found, bell * math.exp(max(beta, 1e-9) * psi**2), rtol=1e-6, atol=0)


@given(st.floats(0, 60))
def test_the_exponential_family_is_its_formula_and_dm_with_lambda_zero(beta: float) -> None:
    p = torch.linspace(0.001, 0.999, 99, dtype=torch.float64)
    found = weights.exponential(*logits_of(p), beta=beta)
    torch.testing.assert_close(found, torch.exp(beta * (1 - p)), rtol=1e-10, atol=0)
    torch.testing.assert_close(found, weights.dm(*logits_of(p), beta=beta, lam=0.0), rtol=1e-14, atol=0)


@given(st.floats(1, 20), st.floats(1, 20))
def test_the_beta_family_is_its_formula(a: float, n: float) -> None:
    p = torch.linspace(0.001, 0.999, 99, dtype=torch.float64)
    found = weights.beta(*logits_of(p), a=a, n=n)
    torch.testing.assert_close(found, p ** (a - 1) * (1 - p) ** (n - 1), rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    ("loss", "a", "n", "factor"), [("cce", 1, 2, 2), ("mae", 2, 2, 2), ("mse", 2, 3, 4), ("gce:q=0.7", 1.7, 2, 2)]
)
def test_the_losses_lie_in_the_beta_family(loss: str, a: float, n: float, factor: float) -> None:
    logits, labels = random_batch(8)
    by_loss, by_weight = logit_gradient(loss, logits, labels), logit_gradient(f"beta:a={a},n={n}", logits, labels)
    torch.testing.assert_close(by_loss, factor * by_weight, rtol=1e-9, atol=1e-14)


def test_dm_at_lambda_one_is_imae() -> None:
    logits, labels = random_batch(0)
    target = one_hot(labels, 10).double()
    torch.testing.assert_close(weights.dm(logits, target, beta=8.0, lam=1.0), weights.imae(logits, target, T=8.0))


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        *[("dm", {"beta": 0.0}), ("imae", {"T": 0.0}), ("normal", {"beta": 0.0}), ("exponential", {"beta": 0.0})],
        ("beta", {"a": 1.0, "n": 1.0}),
    ],
)
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


KNOBS = [
    *[("dm", {"beta": beta, "lam": lam}) for beta in (2.0, 60.0) for lam in (0.0, 0.5, 1.0, 30.0)],
    *[("imae", {"T": 0.0}), ("imae", {"T": 200.0}), ("normal", {"beta": 60.0, "psi": 1.0}), ("normal", {})],
    *[("exponential", {"beta": 60.0}), ("beta", {"a": 1.1, "n": 1.1}), ("beta", {"a": 20.0, "n": 3.0}), ("beta", {})],
]


@pytest.mark.parametrize(("name", "knobs"), KNOBS)
def test_the_integral_of_a_weight_is_that_of_its_curve(name: str, knobs: dict[str, float]) -> None:
    def curve(p: float) -> float:
        return METHODS[name](*logits_of(torch.tensor([p], dtype=torch.float64)), **knobs).item()

    expected = quad(curve, 1e-15, 1 - 1e-15, epsabs=0, epsrel=1e-9, limit=300)[0]
    assert weights.integral(METHODS[name], **knobs) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("spec", specs_of("weight"))
def test_the_integral_is_the_normaliser_of_the_emphasis_density(spec: str) -> None:
    parsed = METHODS.parse(spec)
    curve = weight_curve(spec)
    area = ((curve["weight"][1:].to_numpy() + curve["weight"][:-1].to_numpy()) / 2 * curve["p"].diff()[1:]).sum()
    assert weights.integral(parsed.entry.function, **parsed.knobs) == pytest.approx(area, rel=1e-5)


@pytest.mark.parametrize("spec", [spec for spec in specs_of("weight") if "norm" in METHODS.parse(spec).values])
def test_the_norm_sets_the_scale_of_a_batch_and_nothing_else(spec: str) -> None:
    """batch: over the sum of the weights; integral: over N times their integral; none: over N."""
    logits, labels = random_batch(9)
    name, _, knobs = str(METHODS.parse(spec)).partition(":")
    plain = ",".join(knob for knob in knobs.split(",") if knob and not knob.startswith("norm="))
    specs = {
        norm: f"{name}:" + ",".join(filter(None, [plain, f"norm={norm}"])) for norm in ("batch", "integral", "none")
    }
    pairs = {norm: build(text).per_example(logits, labels) for norm, text in specs.items()}
    for losses, weight in pairs.values():
        assert torch.equal(losses, pairs["batch"][0])
        assert torch.equal(weight, pairs["batch"][1])
    losses, weight = pairs["none"]
    parsed = METHODS.parse(spec)
    whole = 64 * weights.integral(parsed.entry.function, **parsed.knobs)
    for norm, scale in {"batch": weight.sum().item(), "integral": whole, "none": 64}.items():
        assert build(specs[norm])(logits, labels).item() == pytest.approx(losses.sum().item() / scale, rel=1e-12)


def test_normed_by_the_integral_the_beta_family_at_1_2_is_cross_entropy_exactly() -> None:
    """With the integral, as DM prints it, CCE's weight 1 - p over 1/2 is CCE again; with the batch sum it is not."""
    logits, labels = random_batch(10)
    grads = {}
    for spec in ("cce", "beta:a=1,n=2,norm=integral", "beta:a=1,n=2"):
        leaf = logits.clone().requires_grad_()
        value = build(spec)(leaf, labels)
        grads[spec] = value.detach(), torch.autograd.grad(value, leaf)[0]
    for found, expected in zip(grads["beta:a=1,n=2,norm=integral"], grads["cce"], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)
    assert (grads["beta:a=1,n=2"][1] - grads["cce"][1]).abs().max() > 1e-3


def test_a_weight_that_vanishes_on_the_whole_batch_gives_zero_and_not_nan() -> None:
    logits = torch.tensor([[0.0, 4000.0, 0.0]], dtype=torch.float64, requires_grad=True)
    value = build("beta:a=20,n=2", 3)(logits, torch.tensor([0]))
    assert value.item() == 0
    assert (torch.autograd.grad(value, logits)[0] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("count", [1, 2, 7, 31, 128, 1257])
def test_the_stated_derivative_is_autograds_to_the_last_bit(count: int, dtype: torch.dtype) -> None:
    """From p_y near 1 to 1e-100, and in float32 beyond what an exponential can hold; 20 is where softplus changes."""
    for spread in (0.1, 3.0, 12.0, 40.0, 300.0):
        generator = torch.Generator().manual_seed(count)
        leaf = (spread * torch.randn(count, 10, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()
        target = one_hot(torch.randint(0, 10, (count,), generator=generator), 10).to(dtype)
        weight = torch.rand(count, generator=generator, dtype=torch.float64).to(dtype) * 50
        found = torch.autograd.grad(weights.weighted_loss(weight, leaf, target).sum() / 3.7, leaf)[0]
        stated = weights.derivative(weight, leaf, target, torch.tensor(3.7, dtype=dtype))
        assert torch.equal(stated, found)
        assert not stated.requires_grad


def test_the_stated_derivative_is_the_talks_formula() -> None:
    logits, labels = random_batch(5)
    target, probs = one_hot(labels, 10).double(), softmax(logits, 1)
    away = (probs * (1 - target)).sum(1)
    weight = weights.dm(logits, target, beta=8.0, lam=1.0)
    expected = (weight / (2 * away)).unsqueeze(1) * (probs - target)
    torch.testing.assert_close(weights.derivative(weight, logits, target), expected, rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(weights.derivative(weight, logits, target, 4.0), expected / 4, rtol=1e-9, atol=1e-13)


def test_the_stated_derivative_has_its_norm_where_one_minus_p_vanishes() -> None:
    logits = torch.tensor([[80.0, -80.0, -75.0]], dtype=torch.float64)
    stated = weights.derivative(torch.tensor([3.0]).double(), logits, torch.eye(3).double()[:1])
    assert stated.abs().sum().item() == pytest.approx(3.0, rel=1e-9)
