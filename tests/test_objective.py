"""The objective: every method finite, shift-invariant, equivariant; the one reduction over examples."""

import pytest
import torch
from conftest import DETACHED, SPECS, extreme_batch, knob_ends, one_sentence, random_batch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot, softmax

from robustdl_lib import losses
from robustdl_lib.gradients import logit_gradient
from robustdl_lib.objective import build
from robustdl_lib.registry import METHODS, SpecError

TIME_DEPENDENT = {"proselflc"}
LIMITS = [(entry, knobs) for entry in METHODS.entries.values() for knobs in knob_ends(entry)]
DTYPES = [torch.float64, torch.float32]


def check_finite(spec: str, logits: Tensor, labels: Tensor, progress: float) -> None:
    objective = build(spec, logits.shape[1])
    leaf = logits.clone().requires_grad_()
    values, weight = objective.per_example(leaf, labels, progress=progress)
    value = objective(leaf, labels, progress=progress)
    gradients = torch.autograd.grad(values.sum(), leaf)[0], torch.autograd.grad(value, leaf)[0]
    for found in (values, weight, value, *gradients):
        assert found.isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("progress", [0.0, 0.999])
@pytest.mark.parametrize("spec", SPECS)
def test_value_and_gradient_are_finite_at_extreme_logits(spec: str, progress: float, dtype: torch.dtype) -> None:
    check_finite(spec, *extreme_batch(dtype), progress)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("entry", "knobs"), LIMITS, ids=lambda value: getattr(value, "name", str(value)))
def test_every_knob_that_is_accepted_gives_finite_numbers(entry, knobs, dtype: torch.dtype) -> None:
    spec = f"{entry.name}:" + ",".join(f"{name}={value!r}" for name, value in knobs.items())
    check_finite(spec, *extreme_batch(dtype), 0.9)


@pytest.mark.parametrize("spec", ["cce", "mae", "gce", "dm:beta=24,lam=2", "imae:T=8", "proselflc", "cp"])
def test_finite_far_beyond_what_float32_can_exponentiate(spec: str) -> None:
    check_finite(spec, *extreme_batch(torch.float32, size=1e4), 0.9)


@pytest.mark.parametrize("spec", SPECS)
@given(hnp.arrays("float64", (4, 6), elements=st.floats(-80, 80)), st.lists(st.integers(0, 5), min_size=4, max_size=4))
def test_the_gradient_sums_to_zero_over_the_classes(spec: str, logits, labels: list[int]) -> None:
    """No method sees a shift of all logits: so for every target, also CP's, whose sum s = 1 - 2 eps is not 1.

    A detached target has the gradient s p - q~, whose sum is s - s = 0; one that flows is a function of p, and p
    does not change when all logits move together.
    """
    gradient = logit_gradient(spec, torch.from_numpy(logits), torch.tensor(labels), 0.7)
    scale = gradient.abs().sum(1).clamp_min(1.0)
    assert (gradient.sum(1).abs() <= 1e-12 * scale).all()


@pytest.mark.parametrize("spec", SPECS)
def test_a_shift_of_all_logits_changes_nothing(spec: str) -> None:
    logits, labels = random_batch(0)
    shifted = logits + torch.linspace(-50, 50, 64).double().unsqueeze(1)
    torch.testing.assert_close(logit_gradient(spec, shifted, labels, 0.7), logit_gradient(spec, logits, labels, 0.7))


@pytest.mark.parametrize("spec", [s for s in SPECS if METHODS.parse(s).entry.meta["role"] != "target"] + DETACHED[:2])
def test_a_loss_a_weight_and_a_detached_mixture_all_point_along_p_minus_q(spec: str) -> None:
    """They differ in magnitude alone, which is half the L1 norm over 1 - p_y."""
    logits, labels = random_batch(1, classes=7)
    gradient, away = logit_gradient(spec, logits, labels), softmax(logits, 1) - one_hot(labels, 7)
    size = gradient.abs().sum(1, keepdim=True)
    torch.testing.assert_close(gradient, size * away / away.abs().sum(1, keepdim=True), rtol=1e-8, atol=1e-10)
    assert (size > 0).all()


@pytest.mark.parametrize("spec", SPECS)
def test_classes_have_no_order(spec: str) -> None:
    logits, labels = random_batch(2)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    moved = logit_gradient(spec, logits[:, order], order.argsort()[labels], 0.7)
    torch.testing.assert_close(moved, logit_gradient(spec, logits, labels, 0.7)[:, order])


@pytest.mark.parametrize("spec", SPECS)
def test_examples_have_no_order(spec: str) -> None:
    logits, labels = random_batch(3)
    order, objective = torch.randperm(64, generator=torch.Generator().manual_seed(0)), build(spec)
    moved = logit_gradient(spec, logits[order], labels[order], 0.7)
    torch.testing.assert_close(moved, logit_gradient(spec, logits, labels, 0.7)[order])
    one, other = objective(logits[order], labels[order], progress=0.7), objective(logits, labels, progress=0.7)
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("spec", SPECS)
def test_time_matters_for_the_methods_that_look_at_it_alone(spec: str) -> None:
    logits, labels = random_batch(4)
    early, late = (logit_gradient(spec, logits, labels, progress) for progress in (0.1, 0.9))
    if METHODS.parse(spec).name in TIME_DEPENDENT:
        assert not torch.equal(early, late)
    elif METHODS.parse(spec).entry.meta["role"] != "target":
        assert torch.equal(early, late)


@pytest.mark.parametrize("spec", SPECS)
def test_the_value_is_the_mean_or_for_a_weighting_the_sum_over_the_sum_of_weights(spec: str) -> None:
    logits, labels = random_batch(5)
    values, weight = build(spec).per_example(logits, labels, progress=0.7)
    total = weight.sum() if METHODS.parse(spec).entry.meta["role"] == "weight" else len(labels)
    torch.testing.assert_close(build(spec)(logits, labels, progress=0.7), values.sum() / total)


@pytest.mark.parametrize(("beta", "lam"), [(2, 0), (12, 0.5), (16, 1)])
def test_dm_is_the_detached_weight_times_cross_entropy_normed_over_the_batch(beta: float, lam: float) -> None:
    logits, labels = random_batch(6)
    p = softmax(logits, 1).gather(1, labels[:, None]).squeeze(1)
    weight = torch.exp(beta * p**lam * (1 - p))
    expected = (weight / (2 * (1 - p)) * cross_entropy(logits, labels, reduction="none")).sum() / weight.sum()
    torch.testing.assert_close(build(f"dm:beta={beta},lam={lam}")(logits, labels), expected)


@pytest.mark.parametrize("spec", [spec for spec in SPECS if METHODS.parse(spec).entry.meta["role"] == "weight"])
def test_derivative_normalisation_makes_the_batch_derivative_one(spec: str) -> None:
    logits, labels = random_batch(7)
    leaf = logits.requires_grad_()
    gradient = torch.autograd.grad(build(spec)(leaf, labels), leaf)[0]
    assert gradient.abs().sum().item() == pytest.approx(1.0, rel=1e-9)


def test_trust_is_zero_for_methods_that_do_not_trust_the_learner() -> None:
    logits, _ = random_batch(8)
    trusts = {name: build(name).trust(logits, progress=0.7) for name in METHODS}
    assert all(trust.shape == (64,) and (trust >= 0).all() and (trust < 1).all() for trust in trusts.values())
    declared = {name for name, entry in METHODS.entries.items() if entry.meta.get("trust")}
    assert {name for name, trust in trusts.items() if trust.any()} == declared >= {"boot_soft", "proselflc"}
    assert (trusts["boot_hard"] == 0.2).all()


@pytest.mark.parametrize("spec", [spec for spec in SPECS if not spec.startswith("cp")])
def test_trust_is_the_share_of_the_target_that_is_not_the_label(spec: str) -> None:
    """Where the learner gives the label no mass at all, 1 - q~_y is the trust."""
    entry = METHODS.parse(spec).entry
    if "trust" in entry.meta:
        logits, labels = torch.tensor([[0.0, 900.0, 901.0]]).double(), torch.tensor([[1.0, 0.0, 0.0]]).double()
        target = entry.function(labels, logits, progress=0.7, **METHODS.parse(spec).knobs)
        assert 1 - target[0, 0].item() == pytest.approx(build(spec, 3).trust(logits, progress=0.7).item())


def test_one_hot_labels_and_labels_are_the_same_and_soft_labels_are_accepted() -> None:
    logits, labels = random_batch(9)
    for spec in SPECS:
        assert torch.equal(build(spec)(logits, one_hot(labels, 10)), build(spec)(logits, labels))
    soft = softmax(random_batch(10)[0], 1)
    torch.testing.assert_close(build("cce")(logits, soft), cross_entropy(logits, soft))


def test_a_loss_of_your_own_is_an_objective() -> None:
    logits, labels = random_batch(11)

    def own(logits: Tensor, target: Tensor) -> Tensor:
        return 3 * losses.cce(logits, target)

    torch.testing.assert_close(build(own)(logits, labels), 3 * cross_entropy(logits, labels))


@pytest.mark.parametrize("shape", [(4, 3), (4,), (4, 10, 1)])
def test_logits_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="logits must be") as caught:
        build("cce", 10)(torch.zeros(shape), torch.zeros(4, dtype=torch.long))
    one_sentence(caught.value, "[N, 10]", str(shape))


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(SpecError, match="unknown method"):
        build("nothing")
