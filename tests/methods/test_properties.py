"""What holds for every method of the registry, whatever it is: invariances, signs, and finite numbers at extremes."""

import pytest
import torch
from helpers.cases import ALONE, SPECS, fact, random_batch, recalled_for, specs_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor
from torch.nn.functional import one_hot, softmax

from robustdl_lib.methods.objective import build
from robustdl_lib.theory.gradients import logit_gradient

few = settings(max_examples=6)
COUNT, CLASSES = 5, 6
LOGITS = hnp.arrays("float64", (COUNT, CLASSES), elements=st.floats(-80, 80))
LABELS = st.lists(st.integers(-1, CLASSES - 1), min_size=COUNT, max_size=COUNT)
CORNERS = st.sampled_from([0.0, -0.0, 1e-30, 1.0, -1.0, 17.0, 88.0, -88.0, 104.0, -104.0, 1e4, -1e4])
SEEDS = st.integers(0, 2**16)
PROGRESS = st.sampled_from([0.0, 0.5, 0.7, 1.0])


def recollections(spec: str, logits: Tensor) -> list[Tensor | None]:
    """Return what the memory may say: nothing yet, and where there is a memory something random."""
    said = recalled_for(spec, logits)
    return [None] if said is None else [None, said]


def moved(said: Tensor | None, rows: list[int] | slice, columns: list[int] | slice = slice(None)) -> Tensor | None:
    """Return what was recalled, of other rows or columns: a number for the whole batch stays as it is."""
    return said if said is None or said.ndim == 0 else said[rows][:, columns]


@pytest.mark.parametrize("spec", SPECS)
@few
@given(LOGITS, LABELS, PROGRESS)
def test_the_gradient_sums_to_zero_over_the_classes(spec: str, logits, labels: list[int], progress: float) -> None:
    """No method sees a shift of all logits: so for every target, also CP's, whose sum s = 1 - 2 eps is not 1.

    A detached target has the gradient s p - q~, whose sum is s - s = 0. One that flows, and every other loss here, is
    a function of softmax(z), or of softmax(z / T), or of their mean over the batch: none changes when all logits of
    an example move together, so its derivative in that direction is 0. What is recalled is detached.
    """
    leaf = torch.from_numpy(logits)
    for said in recollections(spec, leaf):
        gradient = logit_gradient(spec, leaf, torch.tensor(labels), progress, recalled=said)
        scale = gradient.abs().sum(1).clamp_min(1.0)
        assert (gradient.sum(1).abs() <= 1e-12 * scale).all()


@pytest.mark.parametrize("spec", SPECS)
@few
@given(SEEDS, st.lists(st.floats(-50, 50), min_size=COUNT, max_size=COUNT))
def test_a_shift_of_all_logits_changes_nothing(spec: str, seed: int, shifts: list[float]) -> None:
    logits, labels = random_batch(seed, COUNT, CLASSES)
    shifted = logits + torch.tensor(shifts, dtype=torch.float64).unsqueeze(1)
    for said in recollections(spec, logits):
        one, other = (logit_gradient(spec, z, labels, 0.7, recalled=said) for z in (shifted, logits))
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-10)
        values = [build(spec, CLASSES).per_example(z, labels, progress=0.7, recalled=said) for z in (shifted, logits)]
        torch.testing.assert_close(*values, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("spec", SPECS)
@few
@given(SEEDS, st.permutations(range(CLASSES)), LABELS)
def test_classes_have_no_order(spec: str, seed: int, order: list[int], given_labels: list[int]) -> None:
    logits, labels = random_batch(seed, COUNT, CLASSES)[0], torch.tensor(given_labels)
    renamed = torch.where(labels < 0, -1, torch.tensor(order).argsort()[labels.clamp_min(0)])
    for said in recollections(spec, logits):
        whole = logit_gradient(spec, logits, labels, 0.7, recalled=said)
        permuted = moved(said, slice(None), order)
        turned = logit_gradient(spec, logits[:, order], renamed, 0.7, recalled=permuted)
        torch.testing.assert_close(turned, whole[:, order], rtol=1e-9, atol=1e-13)
        values = build(spec, CLASSES).per_example(logits, labels, progress=0.7, recalled=said)
        others = build(spec, CLASSES).per_example(logits[:, order], renamed, progress=0.7, recalled=permuted)
        torch.testing.assert_close(others, values, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("spec", SPECS)
@few
@given(SEEDS, st.permutations(range(COUNT)), LABELS)
def test_examples_have_no_order(spec: str, seed: int, order: list[int], given_labels: list[int]) -> None:
    """Also for a method that knows its batch: it knows which examples there are, not where."""
    logits, labels = random_batch(seed, COUNT, CLASSES)[0], torch.tensor(given_labels)
    objective = build(spec, CLASSES)
    for said in recollections(spec, logits):
        there = moved(said, order)
        whole = logit_gradient(spec, logits, labels, 0.7, recalled=said)
        turned = logit_gradient(spec, logits[order], labels[order], 0.7, recalled=there)
        torch.testing.assert_close(turned, whole[order], rtol=1e-9, atol=1e-13)
        values = objective.per_example(logits, labels, progress=0.7, recalled=said)
        others = objective.per_example(logits[order], labels[order], progress=0.7, recalled=there)
        for one, other in zip(others, values, strict=True):
            torch.testing.assert_close(one, other[order], rtol=1e-9, atol=1e-13)
    one, other = objective(logits[order], labels[order], progress=0.7), objective(logits, labels, progress=0.7)
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("spec", ALONE)
@few
@given(SEEDS, st.integers(1, COUNT))
def test_an_example_is_taught_the_same_in_any_batch(spec: str, seed: int, count: int) -> None:
    logits, labels = random_batch(seed, COUNT, CLASSES)
    for said in recollections(spec, logits):
        whole = logit_gradient(spec, logits, labels, 0.7, recalled=said)[:count]
        part = logit_gradient(spec, logits[:count], labels[:count], 0.7, recalled=moved(said, slice(count)))
        torch.testing.assert_close(part, whole, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("spec", SPECS)
@few
@given(hnp.arrays("float32", (COUNT, CLASSES), elements=CORNERS), LABELS, PROGRESS)
def test_value_and_gradient_are_finite_in_float32_at_logits_up_to_1e4(
    spec: str, logits, labels: list[int], progress: float
) -> None:
    check_finite(spec, torch.from_numpy(logits), torch.tensor(labels), progress)


@pytest.mark.parametrize("spec", SPECS)
@few
@given(hnp.arrays("float32", (COUNT, CLASSES), elements=CORNERS | st.floats(-100, 100, width=32)), LABELS)
def test_value_and_gradient_are_finite_for_logits_that_a_network_gave_in_bfloat16(
    spec: str, logits, labels: list[int]
) -> None:
    """As training does it: the network computes in bfloat16, the objective in float32; many logits are then equal."""
    leaf = torch.from_numpy(logits).bfloat16().requires_grad_()
    value = build(spec, CLASSES)(leaf.float(), torch.tensor(labels), progress=0.9)
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert torch.autograd.grad(value, leaf)[0].isfinite().all()
    check_finite(spec, leaf.detach().float(), torch.tensor(labels), 0.9)


def check_finite(spec: str, logits: Tensor, labels: Tensor, progress: float) -> None:
    objective = build(spec, CLASSES)
    for said in recollections(spec, logits):
        leaf = logits.clone().requires_grad_()
        values, weights = objective.per_example(leaf, labels, progress=progress, recalled=said)
        gradient = torch.autograd.grad(values.sum(), leaf)[0]
        for found in (values, weights, gradient):
            assert found.isfinite().all()
            assert found.dtype == logits.dtype


@pytest.mark.parametrize("spec", SPECS)
@few
@given(LOGITS, LABELS)
def test_a_weight_is_not_negative_and_is_one_where_nothing_is_weighed(spec: str, logits, labels: list[int]) -> None:
    known = torch.tensor(labels) >= 0
    weights = build(spec, CLASSES).per_example(torch.from_numpy(logits), torch.tensor(labels), progress=0.7)[1]
    assert (weights >= 0).all()
    assert not weights.requires_grad
    if fact(spec, "role") != "weight":
        assert (weights == (known | bool(fact(spec, "missing")))).all()


@pytest.mark.parametrize("spec", specs_of("weight"))
@few
@given(LOGITS, st.lists(st.integers(0, CLASSES - 1), min_size=COUNT, max_size=COUNT))
def test_the_norm_of_a_weighted_derivative_is_the_weight(spec: str, logits, labels: list[int]) -> None:
    leaf, given_labels = torch.from_numpy(logits), torch.tensor(labels)
    weights = build(spec, CLASSES).per_example(leaf, given_labels)[1]
    norm = logit_gradient(spec, leaf, given_labels).abs().sum(1)
    torch.testing.assert_close(norm, weights, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("spec", SPECS)
@few
@given(SEEDS)
def test_what_training_descends_is_the_mean_of_what_the_lens_shows(spec: str, seed: int) -> None:
    """The derivative of the objective is each example's over N, or for a weighting over what its norm says."""
    logits, labels = random_batch(seed, COUNT, CLASSES)
    labels[0] = -1
    objective, leaf = build(spec, CLASSES), logits.clone().requires_grad_()
    value = objective(leaf, labels, progress=0.7)
    losses = objective.per_example(logits, labels, progress=0.7)[0]
    scale = losses.sum() / value.detach() if fact(spec, "role") == "weight" else COUNT
    expected = logit_gradient(spec, logits, labels, 0.7) / scale
    torch.testing.assert_close(torch.autograd.grad(value, leaf)[0], expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("spec", SPECS)
def test_the_lens_and_the_objective_leave_their_input_alone(spec: str) -> None:
    logits, labels = random_batch(0, COUNT, CLASSES)
    labels[0] = -1
    kept = logits.clone(), labels.clone(), one_hot(labels.clamp_min(0), CLASSES).double()
    target = kept[2].clone()
    for said in recollections(spec, logits):
        before = None if said is None else said.clone()
        logit_gradient(spec, logits, labels, 0.7, recalled=said)
        build(spec, CLASSES).per_example(logits, target, progress=0.7, recalled=said)
        assert before is None or torch.equal(said, before)
    assert torch.equal(logits, kept[0])
    assert torch.equal(labels, kept[1])
    assert torch.equal(target, kept[2])


@given(SEEDS, st.floats(1e-9, 1e-3))
def test_the_gradient_of_gce_tends_to_that_of_cce_at_the_rate_q(seed: int, q: float) -> None:
    """p^q (p - q~) against p - q~: they differ by 1 - p^q <= -q log p."""
    logits, labels = random_batch(seed)
    p = softmax(logits, 1).gather(1, labels[:, None])
    near, cce = (logit_gradient(spec, logits, labels) for spec in (f"gce:q={q!r}", "cce"))
    assert ((near - cce).abs() <= -q * p.log() * cce.abs() + 1e-15).all()
    assert torch.equal(logit_gradient("gce:q=1", logits, labels), logit_gradient("mae", logits, labels))


@pytest.mark.parametrize(
    ("spec", "limit"),
    [
        ("tgce:k=1e-12", "gce"),
        ("sce:a=1,b=0", "cce"),
        ("nce_rce:a=0,b=1", "sce:a=0,b=1"),
        ("adaptive:alpha=1.2", "barron:alpha=1.2"),
        ("elr:lam=0", "cce"),
        ("kd:alpha=1", "cce"),
        ("joint:alpha=0,beta=0", "cce"),
        ("joint:stage=2", "cce"),
        ("exponential:beta=5", "dm:beta=5,lam=0"),
        ("imae:T=6", "dm:beta=6,lam=1"),
        ("cp:eps=0.25,hinge=1", "cp:eps=0.25"),
        ("pseudo", "cce"),
        ("ls:eps=0", "cce"),
        ("barron:alpha=2,c=1", "hampel:a=0.99,b=0.995,c=10"),
    ],
)
def test_a_method_is_another_at_the_end_of_its_knobs(spec: str, limit: str) -> None:
    logits, labels = random_batch(3, scale=1.0)
    assert softmax(logits, 1).gather(1, labels[:, None]).min() > 0.005
    kept = softmax(logits, 1).gather(1, labels[:, None]).squeeze(1) > 0.01
    one, other = (logit_gradient(text, logits, labels, 0.7)[kept] for text in (spec, limit))
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-14)
