"""Losses: values, limits, and that they stay finite where probabilities vanish."""

import math

import numpy as np
import pytest
import torch
from helpers.cases import CUT, SHAPES, extreme_batch, one_sentence, random_batch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import kv
from torch.nn.functional import cross_entropy, log_softmax, one_hot, softmax

from robustdl_lib import losses
from robustdl_lib.registry import METHODS, SpecError
from robustdl_lib.theory.gradients import influence, logit_gradient

NAMES = [name for name, entry in METHODS.entries.items() if entry.facts.role == "loss"]
LINEAR = [name for name in NAMES if not METHODS.entry(name).facts.knows_batch]
FORGETFUL = [name for name in NAMES if not METHODS.entry(name).facts.memory]
"""Losses that fall to 0 as the given label becomes certain; with a memory there is more to say than the label."""
A = math.log(1e4)
AT_P = {
    "cce": lambda p: -p.log(),
    "mae": lambda p: 1 - p,
    "mse": lambda p: (1 - p) ** 2,
    "gce": lambda p: (1 - p**0.7) / 0.7,
    "tgce": lambda p: (1 - p.clamp_min(0.5) ** 0.7) / 0.7,
    "sce": lambda p: -0.1 * p.log() + A * (1 - p),
    "barron": lambda p: torch.sqrt(((1 - p) / 0.5) ** 2 + 1) - 1,
    "adaptive": lambda p: torch.sqrt(((1 - p) / 0.5) ** 2 + 1) - 1,
    "hampel": lambda p: hampel_by_hand(1 - p, 0.25, 0.5, 0.9),
}
BARRON = {
    2.0: lambda x: x**2 / 2,
    1.0: lambda x: torch.sqrt(x**2 + 1) - 1,
    0.0: lambda x: torch.log(x**2 / 2 + 1),
    -2.0: lambda x: 2 * x**2 / (x**2 + 4),
    -math.inf: lambda x: 1 - torch.exp(-(x**2) / 2),
    4.0: lambda x: ((x**2 / 2 + 1) ** 2 - 1) / 2,
}
"""rho(x, alpha, 1) written out: L2, Charbonnier, Cauchy, Geman-McClure, Welsch, and the end of the range."""


def hampel_by_hand(x: torch.Tensor, a: float, b: float, c: float) -> torch.Tensor:
    """The integral of the three-part psi: its four pieces, each begun where the last one ended."""
    to_a, to_b, to_c = x.clamp_max(a), x.clamp(a, b), x.clamp(b, c)
    return to_a**2 / 2 + a * (to_b - a) + a / (c - b) * (c * (to_c - b) - (to_c**2 - b**2) / 2)


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


@pytest.mark.parametrize("name", LINEAR)
def test_a_loss_is_linear_in_the_target(name: str) -> None:
    logits, labels = random_batch(3)
    one, other = one_hot(labels, 10).double(), softmax(random_batch(4)[0], 1)
    mixed = METHODS[name](logits, 0.3 * one + 0.7 * other)
    torch.testing.assert_close(mixed, 0.3 * METHODS[name](logits, one) + 0.7 * METHODS[name](logits, other))


@pytest.mark.parametrize("name", FORGETFUL)
def test_a_loss_falls_with_p_wherever_it_teaches_and_ends_at_zero(name: str) -> None:
    """It may be flat (truncated GCE, Hampel), but only where its derivative is 0 too."""
    p = torch.linspace(1e-6, 1 - 1e-12, 500, dtype=torch.float64)
    logits, labels = torch.stack([p.log(), torch.log1p(-p)], 1), torch.zeros(500, dtype=torch.long)
    values = METHODS[name](logits, one_hot(labels, 2).double())
    teaches = logit_gradient(name, logits, labels).abs().sum(1) > 0
    assert (values.diff()[teaches[1:] & teaches[:-1]] < 0).all()
    assert (values.diff() <= 1e-15).all()
    assert teaches.sum() > 50
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


@pytest.mark.parametrize("name", FORGETFUL)
def test_a_small_loss_keeps_its_relative_precision(name: str) -> None:
    """At p_y = 1 - 1e-13 the difference 1 - p_y has lost three digits; the losses must not have."""
    away = 1e-13
    logits = torch.tensor([[0.0, -torch.log(torch.tensor(1 / away - 1, dtype=torch.float64))]], dtype=torch.float64)
    value = METHODS[name](logits, torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    squared = {"mse": 1.0, "barron": 2.0, "hampel": 0.5}  # times (1 - p_y)^2
    if name in AT_P:
        slope = 0.1 + A if name == "sce" else 1.0
        expected = squared[name] * away**2 if name in squared else slope * away
        assert value.item() == pytest.approx(expected, rel=1e-6)
    assert value.item() > 0


@pytest.mark.parametrize("name", NAMES)
def test_shapes_that_differ_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"\(4, 3\).*\(4, 2\).*both must be \[N, C\]"):
        METHODS[name](torch.zeros(4, 3), torch.zeros(4, 2))


@pytest.mark.parametrize("name", LINEAR)
def test_a_loss_is_one_number_an_example_and_depends_on_its_own_alone(name: str) -> None:
    logits, target, _ = given_probability()
    whole = METHODS[name](logits, target)
    assert whole.shape == (64,)
    torch.testing.assert_close(METHODS[name](logits[7:9], target[7:9]), whole[7:9], rtol=0, atol=1e-15)


def test_sce_is_cross_entropy_and_its_reverse_with_a_floor_for_log_zero() -> None:
    """RCE = -sum_j p_j log q_j with log 0 := log 1e-4, which is A (1 - p_y)."""
    logits, target, p = given_probability()
    reverse = -(softmax(logits, 1) * torch.where(target > 0, 0.0, math.log(1e-4))).sum(1)
    torch.testing.assert_close(losses.sce(logits, target, a=0.0, b=1.0), reverse)
    torch.testing.assert_close(losses.sce(logits, target, a=6.0, b=0.1), -6 * p.log() + 0.1 * reverse)
    torch.testing.assert_close(losses.sce(logits, target, a=1.0, b=0.0), losses.cce(logits, target))


def test_nce_is_the_share_of_the_cross_entropies_of_all_labels() -> None:
    logits, target, p = given_probability()
    all_labels = torch.stack([losses.cce(logits, torch.eye(10).double()[[k] * 64]) for k in range(10)]).sum(0)
    torch.testing.assert_close(losses.nce_rce(logits, target, a=1.0, b=0.0), -p.log() / all_labels)
    torch.testing.assert_close(losses.nce_rce(logits, target, a=0.0, b=2.0), 2 * A * (1 - p))


@given(st.floats(0, 100), st.floats(0, 100))
def test_nce_rce_summed_over_the_labels_is_constant(a: float, b: float) -> None:
    """The symmetry condition of Ghosh et al. 2017: sum_k L(z, k) = a + 9 b A for ten classes."""
    logits, _ = random_batch(5)
    every = torch.stack([losses.nce_rce(logits, torch.eye(10).double()[[y] * 64], a=a, b=b) for y in range(10)])
    torch.testing.assert_close(every.sum(0), torch.full((64,), a + 9 * b * A).double())


@given(st.floats(0.01, 1), st.floats(0.01, 0.99))
def test_truncated_gce_is_gce_above_its_threshold_and_constant_below(q: float, k: float) -> None:
    logits, target, p = given_probability()
    values = losses.tgce(logits, target, q=q, k=k)
    torch.testing.assert_close(values, (1 - p.clamp_min(k) ** q) / q)
    assert torch.equal(values[p > k], losses.gce(logits, target, q=q)[p > k])


def test_truncated_gce_tends_to_gce_as_its_threshold_tends_to_zero() -> None:
    logits, target, p = given_probability()
    assert p.min() > 1e-7
    assert torch.equal(losses.tgce(logits, target, k=1e-7), losses.gce(logits, target))
    one = logit_gradient("tgce:k=1e-300", *(extreme_batch()))
    assert torch.equal(one, logit_gradient("gce", *extreme_batch()))


@pytest.mark.parametrize("c", [0.1, 0.5, 3.0])
@pytest.mark.parametrize("alpha", BARRON)
def test_barron_has_the_losses_that_it_generalises(alpha: float, c: float) -> None:
    logits, target, p = given_probability()
    torch.testing.assert_close(losses.barron(logits, target, alpha=alpha, c=c), BARRON[alpha]((1 - p) / c))
    x = torch.linspace(-9, 9, 181, dtype=torch.float64)
    torch.testing.assert_close(losses.general_robust(x, alpha, c), BARRON[alpha](x / c))


@pytest.mark.parametrize("c", [0.1, 1.0])
@pytest.mark.parametrize(("limit", "near"), [(2.0, 2 - 1e-6), (2.0, 2 + 1e-6), (0.0, -1e-6), (0.0, 1e-6)])
def test_barron_is_continuous_where_its_formula_is_not_defined(limit: float, near: float, c: float) -> None:
    logits, labels = random_batch(6)
    target = one_hot(labels, 10).double()
    one, other = (losses.barron(logits, target, alpha=alpha, c=c) for alpha in (near, limit))
    torch.testing.assert_close(one, other, rtol=2e-5, atol=1e-9)
    slopes = [logit_gradient(f"barron:alpha={alpha!r},c={c}", logits, labels) for alpha in (near, limit)]
    torch.testing.assert_close(*slopes, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("near", [-1e7, -9.9e7, -1.1e8, -1e300])
def test_barron_tends_to_welsch_as_alpha_falls(near: float) -> None:
    logits, labels = random_batch(6)
    target = one_hot(labels, 10).double()
    one, other = (losses.barron(logits, target, alpha=alpha) for alpha in (near, -math.inf))
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-12)
    slopes = [logit_gradient(f"barron:alpha={alpha!r}", logits, labels) for alpha in (near, -math.inf)]
    torch.testing.assert_close(*slopes, rtol=1e-6, atol=1e-12)


@given(st.floats(-20, 4).map(lambda alpha: round(alpha, 6)), st.floats(0.01, 100))
def test_barron_falls_as_alpha_falls_and_is_a_parabola_near_zero(alpha: float, c: float) -> None:
    """rho grows with alpha (Barron 2019), and near x = 0 every shape is (x/c)^2 / 2."""
    x = c * torch.tensor([1e-4, 0.1, 1.0, 10.0], dtype=torch.float64)
    values, lower = (losses.general_robust(x, at, c) for at in (alpha, alpha - 0.5))
    assert (lower <= values * (1 + 1e-12)).all()
    assert values[0].item() == pytest.approx(0.5e-8, rel=1e-6)


@given(st.floats(0.01, 1.99), st.floats(0, 100))
def test_general_robust_takes_alpha_as_a_tensor_and_is_differentiable_in_it(alpha: float, x: float) -> None:
    point, shape = torch.tensor(x, dtype=torch.float64), torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
    value = losses.general_robust(point, shape)
    assert value.item() == pytest.approx(losses.general_robust(point, alpha).item(), rel=1e-12, abs=1e-300)
    (slope,) = torch.autograd.grad(value, shape)
    step = 1e-6
    ends = [losses.general_robust(point, alpha + sign * step).item() for sign in (1, -1)]
    assert slope.item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.01, 0.3, 1.0, 1.5, 1.99])
def test_the_partition_function_is_the_integral_of_exp_minus_rho(alpha: float) -> None:
    def density(s: float) -> float:  # x = sinh s, since the tails are heavy
        rho = abs(alpha - 2) / alpha * ((math.sinh(s) ** 2 / abs(alpha - 2) + 1) ** (alpha / 2) - 1)
        return math.exp(-rho) * math.cosh(s)

    expected = 2 * quad(density, 0, 45, epsabs=1e-11, epsrel=1e-9, limit=400)[0]
    assert losses.log_partition(torch.tensor(alpha, dtype=torch.float64)).exp().item() == pytest.approx(
        expected, rel=2e-9
    )


def test_the_partition_function_has_its_closed_forms() -> None:
    """Z(1) = 2 e K_1(1); towards the ends of (0, 2) Z(0) = pi sqrt 2 and Z(2) = sqrt(2 pi)."""
    z = losses.log_partition(torch.tensor([1e-7, 1.0, 2 - 1e-7], dtype=torch.float64)).exp()
    assert z[1].item() == pytest.approx(2 * math.e * kv(1, 1), rel=1e-9)
    assert z[0].item() == pytest.approx(math.pi * math.sqrt(2), rel=1e-5)
    assert z[2].item() == pytest.approx(math.sqrt(2 * math.pi), rel=1e-5)
    assert z.diff().max() < 0


def test_the_likelihood_charges_for_heavy_tails() -> None:
    """A density integrates to 1; of residuals that are all small it says that alpha is large, else small."""
    shape = torch.tensor(1.3).double()

    def density(x: float) -> float:
        return math.exp(-losses.negative_log_likelihood(torch.tensor([x]).double(), shape, 0.5).item())

    assert 2 * quad(density, 0, 1000, limit=400)[0] == pytest.approx(1.0, abs=1e-6)
    shapes = torch.linspace(0.05, 1.95, 39).double()
    normal = torch.special.ndtri((torch.arange(200, dtype=torch.float64) + 0.5) / 200)
    wild = torch.cat([normal / 5, torch.tensor([-60.0, -20.0, -10.0, 10.0, 20.0, 60.0]).double()])
    best = [
        shapes[min(range(39), key=lambda i: losses.negative_log_likelihood(x, shapes[i]).sum())] for x in (normal, wild)
    ]
    assert best[0] > 1.8
    assert best[1] < 0.6


@given(st.lists(st.floats(0.01, 0.99), min_size=3, max_size=3, unique=True))
def test_hampel_is_the_integral_of_its_three_part_psi(knobs: list[float]) -> None:
    a, b, c = sorted(knobs)
    assume(min(b - a, c - b) > 1e-4)  # closer together the formula by hand loses its digits, not the loss
    p = torch.linspace(1e-9, 1 - 1e-9, 301, dtype=torch.float64)
    logits, target = torch.stack([p.log(), torch.log1p(-p)], 1), torch.eye(2).double()[[0] * 301]
    found = losses.hampel(logits, target, a=a, b=b, c=c)
    torch.testing.assert_close(found, hampel_by_hand(1 - p, a, b, c), rtol=1e-9, atol=1e-13)
    assert found.max() <= a * (b + c - a) / 2 + 1e-15


@pytest.mark.parametrize("spec", ["hampel", "hampel:a=0.1,b=0.2,c=0.6", "hampel:a=0.3,b=0.9,c=2"])
def test_hampels_psi_is_the_derivative_of_its_loss_and_both_are_continuous_at_the_corners(spec: str) -> None:
    knobs = METHODS.parse(spec).values
    a, b, c = (float(knobs[name]) for name in "abc")
    corners = np.array([x + step for x in (a, b, c) for step in (-1e-7, 0.0, 1e-7) if x + step < 1])
    psi = influence(spec, corners)["psi"].to_numpy().reshape(-1, 3)
    by_hand = np.interp(corners, [0, a, b, c, 9], [0, a, a, 0, 0]).reshape(-1, 3)
    np.testing.assert_allclose(psi, by_hand, atol=1e-12)
    assert np.ptp(psi, axis=1).max() < 1e-6
    p = 1 - torch.from_numpy(corners)
    values = losses.hampel(torch.stack([p.log(), (1 - p).log()], 1), torch.eye(2).double()[[0] * len(p)], a=a, b=b, c=c)
    slopes = values.reshape(-1, 3).diff(dim=1).numpy() / 1e-7
    np.testing.assert_allclose(slopes, (psi[:, 1:] + psi[:, :-1]) / 2, atol=1e-7)


@pytest.mark.parametrize("knobs", [{"a": 0.6}, {"a": 0.5, "b": 0.5}, {"c": 0.4}, {"b": 0.95}])
def test_knobs_of_hampel_that_do_not_increase_are_refused(knobs: dict[str, float]) -> None:
    logits, target, _ = given_probability()
    with pytest.raises(SpecError) as caught:
        losses.hampel(logits, target, **knobs)
    one_sentence(caught.value, "'hampel'", "must be less than")


@pytest.mark.parametrize("spec", [*SHAPES, *CUT])
def test_a_redescending_loss_is_bounded_and_finite_at_extremes(spec: str) -> None:
    logits, labels = extreme_batch()
    parsed = METHODS.parse(spec)
    values = parsed.entry.function(logits, one_hot(labels, 5).double(), **parsed.knobs)
    sure = log_softmax(logits, 1).gather(1, labels[:, None]).squeeze(1) > -1e-15
    assert values.isfinite().all()
    assert (values[sure] < 1e-12).all()
    assert (values >= 0).all()
