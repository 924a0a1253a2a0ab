"""Targets, and the four facts that decide whether a label correction is more than a re-scaled cross entropy.

A detached target at temperature 1 that mixes in p only re-scales cross entropy. Flowing through, the loss gains an
entropy term: label correction rewards low entropy, the confidence penalty and label smoothing work against it.
"""

import math

import pytest
import torch
from helpers.cases import extreme_batch, random_batch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot, softmax

from robustdl_lib import targets
from robustdl_lib.methods.objective import build
from robustdl_lib.registry import METHODS
from robustdl_lib.theory.gradients import logit_gradient

NAMES = [name for name, entry in METHODS.entries.items() if entry.facts.role == "target"]
PROGRESS = 0.8
MIXING = {"boot_soft": (0.5, 1), "cp": (0.25, -1), "proselflc": (None, 1)}
"""Methods whose target mixes in the learner's p: their epsilon (None: from the example) and the sign of p's term."""


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    logits, labels = random_batch(0, scale=2.0)
    return logits, labels, softmax(logits, 1), one_hot(labels, 10).double()


def entropy(logits: Tensor) -> Tensor:
    return -(softmax(logits, 1) * log_softmax(logits, 1)).sum(1)


def entropy_gradient(logits: Tensor) -> Tensor:
    """Fact 3: dH/dz_j = -p_j (log p_j + H)."""
    return -softmax(logits, 1) * (log_softmax(logits, 1) + entropy(logits).unsqueeze(1))


def trust_of(name: str, logits: Tensor) -> Tensor:
    eps = MIXING[name][0]
    return targets.proselflc_trust(logits, PROGRESS) if eps is None else torch.full((len(logits),), eps).double()


def spec(name: str, detach: bool) -> str:
    eps = MIXING[name][0]
    return f"{name}:detach={detach}" + (f",eps={eps}" if eps else "")


@pytest.mark.parametrize("name", MIXING)
def test_fact_1_detached_it_is_a_rescaled_cross_entropy(name: str, batch: tuple[Tensor, ...]) -> None:
    logits, labels, p, q = batch
    gradient = logit_gradient(spec(name, True), logits, labels, PROGRESS)
    torch.testing.assert_close(gradient, (1 - trust_of(name, logits)).unsqueeze(1) * (p - q))


@pytest.mark.parametrize("name", MIXING)
def test_fact_1_it_differs_when_the_gradient_flows(name: str, batch: tuple[Tensor, ...]) -> None:
    logits, labels, p, q = batch
    gradient = logit_gradient(spec(name, False), logits, labels, PROGRESS)
    assert (gradient - (1 - trust_of(name, logits)).unsqueeze(1) * (p - q)).abs().max() > 1e-2


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("name", MIXING)
def test_fact_2_the_loss_is_cross_entropy_and_entropy(name: str, detach: bool, batch: tuple[Tensor, ...]) -> None:
    logits, labels, _, q = batch
    trust, sign = trust_of(name, logits), MIXING[name][1]
    losses, _ = build(spec(name, detach)).per_example(logits, labels, progress=PROGRESS)
    cross = -(q * log_softmax(logits, 1)).sum(1)
    torch.testing.assert_close(losses, (1 - trust) * cross + sign * trust * entropy(logits))


@pytest.mark.parametrize("name", MIXING)
def test_fact_2_and_3_the_flowing_gradient_has_the_entropy_term(name: str, batch: tuple[Tensor, ...]) -> None:
    logits, labels, p, q = batch
    trust, sign = trust_of(name, logits).unsqueeze(1), MIXING[name][1]
    expected = (1 - trust) * (p - q) + sign * trust * entropy_gradient(logits)
    torch.testing.assert_close(logit_gradient(spec(name, False), logits, labels, PROGRESS), expected)


def test_fact_3_is_the_derivative_of_the_entropy(batch: tuple[Tensor, ...]) -> None:
    leaf = batch[0].clone().requires_grad_()
    torch.testing.assert_close(torch.autograd.grad(entropy(leaf).sum(), leaf)[0], entropy_gradient(batch[0]))


@pytest.mark.parametrize(("name", "raises"), [("boot_soft", False), ("proselflc", False), ("cp", True), ("ls", True)])
def test_fact_4_who_rewards_low_entropy_and_who_works_against_it(
    name: str, raises: bool, batch: tuple[Tensor, ...]
) -> None:
    """Beside its share of cross entropy, a step of CP or LS raises H(p), one of label correction lowers it."""
    logits, labels, p, q = batch
    share = 1 - (trust_of(name, logits).unsqueeze(1) if name in MIXING else 0.1)
    method = spec(name, False) if name in MIXING else "ls:eps=0.1"
    beside = logit_gradient(method, logits, labels, PROGRESS) - share * (p - q)
    change = (-beside * entropy_gradient(logits)).sum(1)
    assert (change > 0).all() if raises else (change < 0).all()


def test_the_gradient_of_smoothing_and_of_hard_bootstrapping_is_p_minus_the_target(batch: tuple[Tensor, ...]) -> None:
    logits, labels, p, q = batch
    smoothed, hard = 0.75 * q + 0.025, 0.8 * q + 0.2 * one_hot(p.argmax(1), 10)
    torch.testing.assert_close(logit_gradient("ls:eps=0.25", logits, labels), p - smoothed)
    torch.testing.assert_close(logit_gradient("boot_hard:eps=0.2", logits, labels), p - hard)


def test_sharpened_and_detached_it_is_no_rescaled_cross_entropy(batch: tuple[Tensor, ...]) -> None:
    """The 2022 version: p_T - p does not vanish, so the learner's own classes are pulled up."""
    logits, labels, p, q = batch
    trust = targets.proselflc_trust(logits, PROGRESS, T=0.5).unsqueeze(1)
    expected = p - ((1 - trust) * q + trust * softmax(logits / 0.5, 1))
    torch.testing.assert_close(logit_gradient("proselflc:T=0.5,detach=True", logits, labels, PROGRESS), expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_is_on_the_simplex_but_for_the_confidence_penalty(name: str, batch: tuple[Tensor, ...]) -> None:
    logits, _, _, q = batch
    target = METHODS[name](q, logits, progress=PROGRESS)
    if name == "cp":
        torch.testing.assert_close(target.sum(1), torch.full((64,), 1 - 2 * 0.1).double())
        assert (target < 0).any()
    else:
        torch.testing.assert_close(target.sum(1), torch.ones(64).double())
        assert (target >= 0).all()


@pytest.mark.parametrize("name", [name for name in NAMES if "eps" in METHODS.entry(name).defaults()])
def test_epsilon_zero_leaves_the_label(name: str, batch: tuple[Tensor, ...]) -> None:
    logits, labels, _, q = batch
    assert torch.equal(METHODS[name](q, logits, progress=PROGRESS, eps=0.0), q)
    expected = logit_gradient("cce", logits, labels)
    torch.testing.assert_close(logit_gradient(f"{name}:eps=0", logits, labels), expected, rtol=0, atol=1e-15)


def test_proselflc_trusts_the_label_first_and_the_learner_last(batch: tuple[Tensor, ...]) -> None:
    logits, _, _, q = batch
    assert torch.allclose(targets.proselflc(q, logits, progress=0.0, B=60.0), q, atol=1e-12)
    late = targets.proselflc(q, logits, progress=1.0, B=60.0)
    trust = targets.local_trust(logits).unsqueeze(1)
    torch.testing.assert_close(late, (1 - trust) * q + trust * softmax(logits, 1))


@given(st.floats(0, 1), st.floats(0.1, 1000))
def test_global_trust_is_the_logistic_curve(progress: float, B: float) -> None:
    trust = targets.global_trust(progress, B=B)
    assert 0 <= trust <= 1
    assert trust == pytest.approx(1 / (1 + math.exp(-B * (progress - 0.5))), rel=1e-9, abs=1e-15)
    assert trust + targets.global_trust(1 - progress, B=B) == pytest.approx(1)


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_local_trust_is_zero_for_uniform_and_one_for_certain(classes: int) -> None:
    logits = torch.stack([torch.zeros(classes), 1000.0 * torch.eye(classes)[0]]).double()
    torch.testing.assert_close(targets.local_trust(logits), torch.tensor([0.0, 1.0]).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("T", [1.0, 0.3, 0.01])
def test_local_trust_stays_in_its_range_at_extreme_logits(T: float, dtype: torch.dtype) -> None:
    trust = targets.local_trust(extreme_batch(dtype)[0], T=T)
    assert (trust >= 0).all()
    assert (trust <= 1).all()


def test_sharpening_raises_trust(batch: tuple[Tensor, ...]) -> None:
    assert (targets.local_trust(batch[0], T=0.5) > targets.local_trust(batch[0])).all()


@pytest.mark.parametrize("name", NAMES)
def test_no_gradient_reaches_the_trust_and_detach_stops_the_rest(name: str, batch: tuple[Tensor, ...]) -> None:
    _, _, _, q = batch
    leaf = batch[0].clone().requires_grad_()
    assert not build(name).trust(leaf, progress=PROGRESS).requires_grad
    if "detach" in METHODS.entry(name).defaults():
        assert METHODS[name](q, leaf, progress=PROGRESS).requires_grad
        assert not METHODS[name](q, leaf, progress=PROGRESS, detach=True).requires_grad


def test_three_classes_as_on_the_slides() -> None:
    q, p = torch.tensor([[1.0, 0.0, 0.0]]).double(), torch.tensor([[0.3, 0.6, 0.1]]).double()
    made = {name: METHODS[name](q, p.log(), progress=0.0, eps=0.5) for name in ("ls", "cp", "boot_soft", "boot_hard")}
    expected = {
        "ls": [2 / 3, 1 / 6, 1 / 6],
        "cp": [0.35, -0.3, -0.05],
        "boot_soft": [0.65, 0.3, 0.05],
        "boot_hard": [0.5, 0.5, 0],
    }
    for name, values in expected.items():
        torch.testing.assert_close(made[name], torch.tensor([values]).double())


def test_the_semantic_class_changes_only_when_the_learner_is_trusted_enough() -> None:
    q, logits = torch.tensor([[1.0, 0.0, 0.0]]).double(), torch.tensor([[0.0, 6.0, 0.0]]).double()
    classes = [targets.semantic_class(METHODS["boot_soft"](q, logits, eps=eps)).item() for eps in (0.1, 0.4, 0.6, 0.9)]
    assert classes == [0, 0, 1, 1]
    assert targets.semantic_class(METHODS["ls"](q, logits, eps=0.99)).item() == 0


@pytest.mark.parametrize("confidence", ["entropy", "max"])
@pytest.mark.parametrize("T", [1.0, 0.3])
def test_each_factor_of_trust_alone_is_that_factor(T: float, confidence: str, batch: tuple[Tensor, ...]) -> None:
    logits = batch[0]
    knobs = {"B": 12.0, "T": T, "confidence": confidence}
    both, in_time, by_confidence = (
        targets.proselflc_trust(logits, PROGRESS, trust=trust, **knobs) for trust in ("both", "global", "local")
    )
    p_t = softmax(logits / T, 1)
    by_hand = p_t.amax(1) if confidence == "max" else 1 + (p_t * p_t.log()).sum(1) / math.log(10)
    torch.testing.assert_close(by_confidence, by_hand, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(in_time, torch.full((64,), 1 / (1 + math.exp(-12 * (PROGRESS - 0.5)))).double())
    torch.testing.assert_close(both, in_time * by_confidence)


@pytest.mark.parametrize("classes", [2, 10])
def test_confidence_by_the_largest_probability_lies_between_one_over_c_and_one(classes: int) -> None:
    logits = torch.stack([torch.zeros(classes), 1000.0 * torch.eye(classes)[0]]).double()
    found = targets.local_trust(logits, confidence="max")
    torch.testing.assert_close(found, torch.tensor([1 / classes, 1.0], dtype=torch.float64), rtol=0, atol=1e-12)


@given(st.floats(0, 1), st.floats(0.01, 1))
def test_an_annealed_temperature_falls_in_a_line_from_one(progress: float, T: float) -> None:
    assert targets.temperature(progress, T=T, anneal=False) == T
    assert targets.temperature(0.0, T=T, anneal=True) == 1
    assert targets.temperature(1.0, T=T, anneal=True) == pytest.approx(T)
    assert targets.temperature(progress, T=T, anneal=True) == pytest.approx(1 - progress + progress * T)


@pytest.mark.parametrize("detach", [True, False])
def test_an_annealed_method_is_the_plain_one_at_the_present_temperature(
    detach: bool, batch: tuple[Tensor, ...]
) -> None:
    logits, labels, _, _ = batch
    now = targets.temperature(PROGRESS, T=0.5, anneal=True)
    one = logit_gradient(f"proselflc:T=0.5,anneal=True,detach={detach}", logits, labels, PROGRESS)
    torch.testing.assert_close(one, logit_gradient(f"proselflc:T={now!r},detach={detach}", logits, labels, PROGRESS))
    penalty = logit_gradient(f"cp:eps=0.25,anneal=True,detach={detach}", logits, labels, PROGRESS)
    now = 0.25 * PROGRESS
    torch.testing.assert_close(penalty, logit_gradient(f"cp:eps={now!r},detach={detach}", logits, labels, PROGRESS))
    start = logit_gradient(f"cp:eps=0.25,anneal=True,detach={detach}", logits, labels, 0.0)
    assert torch.equal(start, logit_gradient("cce", logits, labels))


@pytest.mark.parametrize("trust", ["both", "global", "local"])
@pytest.mark.parametrize("confidence", ["entropy", "max"])
def test_fact_1_holds_for_every_kind_of_trust(trust: str, confidence: str, batch: tuple[Tensor, ...]) -> None:
    logits, labels, p, q = batch
    share = targets.proselflc_trust(logits, PROGRESS, trust=trust, confidence=confidence).unsqueeze(1)
    gradient = logit_gradient(f"proselflc:trust={trust},confidence={confidence},detach=True", logits, labels, PROGRESS)
    torch.testing.assert_close(gradient, (1 - share) * (p - q))


def test_the_global_trust_alone_is_bootstrapping_with_that_share(batch: tuple[Tensor, ...]) -> None:
    logits, labels, _, _ = batch
    share = targets.global_trust(PROGRESS, B=10.0)
    for detach in (True, False):
        one = logit_gradient(f"proselflc:trust=global,detach={detach}", logits, labels, PROGRESS)
        torch.testing.assert_close(one, logit_gradient(f"boot_soft:eps={share!r},detach={detach}", logits, labels))


@pytest.mark.parametrize("hinge", [0.2, 0.5, 0.8])
def test_a_hinged_penalty_has_the_gradient_of_pereyras(hinge: float, batch: tuple[Tensor, ...]) -> None:
    """(1 - e)(CE + b max(0, G - H(p))) with b = e / (1 - e) and G = hinge log C: a plus sign, so it raises H."""
    logits, labels, _, q = batch
    leaf, eps = logits.clone().requires_grad_(), 0.25
    spare = (hinge * math.log(10) - entropy(leaf)).clamp_min(0)
    pereyra = (1 - eps) * (-(q * log_softmax(leaf, 1)).sum(1) + eps / (1 - eps) * spare)
    expected = torch.autograd.grad(pereyra.sum(), leaf)[0]
    torch.testing.assert_close(logit_gradient(f"cp:eps={eps},hinge={hinge}", logits, labels), expected)
    assert 0 < (spare > 0).sum() < 64


def test_a_hinge_of_one_is_no_hinge_and_a_low_one_is_cross_entropy(batch: tuple[Tensor, ...]) -> None:
    logits, labels, p, q = batch
    plain = logit_gradient("cp:eps=0.25", logits, labels)
    assert torch.equal(logit_gradient("cp:eps=0.25,hinge=1", logits, labels), plain)
    torch.testing.assert_close(logit_gradient("cp:eps=0.25,hinge=0.9999999", logits, labels), plain)
    torch.testing.assert_close(logit_gradient("cp:eps=0.25,hinge=1e-9", logits, labels), 0.75 * (p - q))


def some_missing(seed: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Return a batch whose labels are missing, -1, in a third of its rows, and which those are."""
    logits, labels = random_batch(seed, count=30)
    missing = torch.arange(30) % 3 == 0
    return logits, torch.where(missing, -1, labels), missing


@pytest.mark.parametrize(("progress", "ramp"), [(0.0, 0.0), (0.1, 0.0), (0.35, 1.5), (0.6, 3.0), (0.9, 3.0)])
def test_pseudo_labels_give_lees_two_means(progress: float, ramp: float) -> None:
    """(1/n) sum over the labelled + a(t) (1/n') sum over the others, a(t) a ramp from 0 at T1 to 3 at T2."""
    logits, labels, missing = some_missing()
    log_p = log_softmax(logits, 1)
    first = -log_p[~missing].gather(1, labels[~missing].unsqueeze(1)).sum() / 20
    second = -log_p[missing].amax(1).sum() / 10
    value = build("pseudo")(logits, labels, progress=progress)
    torch.testing.assert_close(value, first + ramp * second, rtol=1e-12, atol=0)


def test_pseudo_labels_are_cross_entropy_where_no_label_is_missing_and_no_label_teaches_by_the_guess() -> None:
    logits, labels, _ = some_missing()
    known, none = labels.clamp_min(0), torch.full_like(labels, -1)
    torch.testing.assert_close(build("pseudo")(logits, known, progress=0.9), build("cce")(logits, known))
    guesses = build("cce")(logits, logits.argmax(1))
    torch.testing.assert_close(build("pseudo")(logits, none, progress=0.9), 3 * guesses, rtol=1e-12, atol=0)


def test_the_gradient_of_pseudo_labels_is_p_minus_the_guess_in_lees_shares() -> None:
    logits, labels, missing = some_missing()
    p = softmax(logits, 1)
    hard = one_hot(torch.where(missing, p.argmax(1), labels), 10)
    share = torch.where(missing, 3.0 * 30 / 10, 30 / 20).double().unsqueeze(1)
    torch.testing.assert_close(
        logit_gradient("pseudo", logits, labels, 0.9), share * (p - hard), rtol=1e-12, atol=1e-14
    )
