"""The objective: every method finite, shift-invariant, equivariant; the one reduction over examples."""

import pytest
import torch
from helpers.cases import (
    DETACHED,
    IN_P_ALONE,
    SPECS,
    extreme_batch,
    fact,
    knob_ends,
    one_sentence,
    random_batch,
    specs_of,
)
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot, softmax

from robustdl_lib import losses, models, weights
from robustdl_lib.methods.objective import build
from robustdl_lib.registry import METHODS, SpecError
from robustdl_lib.theory.gradients import logit_gradient, weight_curve

HAMPEL = ["hampel:a=0.1,b=0.2,c=0.20000000000000004", "hampel:a=0.001,b=0.0010000000000000002,c=10"]
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


@pytest.mark.parametrize("spec", SPECS)
def test_value_and_gradient_are_finite_at_extreme_logits(spec: str) -> None:
    for dtype in DTYPES:
        check_finite(spec, *extreme_batch(dtype), 0.0)
        check_finite(spec, *extreme_batch(dtype), 0.999)
    check_finite(spec, *extreme_batch(torch.float32, size=1e4), 0.9)  # far beyond what float32 can exponentiate


@pytest.mark.parametrize(("entry", "knobs"), LIMITS, ids=lambda value: getattr(value, "name", str(value)))
def test_every_knob_that_is_accepted_gives_finite_numbers(entry, knobs) -> None:
    spec = f"{entry.name}:" + ",".join(f"{name}={value!r}" for name, value in knobs.items())
    if entry.facts.increasing and knobs.keys() & set(entry.facts.increasing):
        try:
            METHODS.parse(spec)
        except SpecError as error:  # the others, at their defaults, are on its wrong side
            one_sentence(error, "must be less than")
            return
    for dtype in DTYPES:
        check_finite(spec, *extreme_batch(dtype), 0.9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "spec", [*HAMPEL, "barron:alpha=1e-39", "barron:alpha=-1e-310", "barron:alpha=1.9999999999999998"]
)
def test_knobs_that_all_but_meet_give_finite_numbers(spec: str, dtype: torch.dtype) -> None:
    check_finite(spec, *extreme_batch(dtype), 0.9)


@pytest.mark.parametrize("spec", [*IN_P_ALONE, *DETACHED[:2], *specs_of("weight")])
def test_a_loss_of_p_y_a_weight_and_a_detached_mixture_all_point_along_p_minus_q(spec: str) -> None:
    """They differ in magnitude alone, half the L1 norm over 1 - p_y, which is 0 only where the weight curve is."""
    logits, labels = random_batch(1, classes=7)
    p = softmax(logits, 1)
    gradient, away = logit_gradient(spec, logits, labels), p - one_hot(labels, 7)
    size = gradient.abs().sum(1, keepdim=True)
    torch.testing.assert_close(gradient, size * away / away.abs().sum(1, keepdim=True), rtol=1e-8, atol=1e-10)
    curve = weight_curve(spec, p.gather(1, labels[:, None]).squeeze(1).numpy(), num_classes=7)["weight"].to_numpy()
    assert ((size.squeeze(1).numpy() > 0) == (curve > 0)).all()
    assert (curve > 0).any()


@pytest.mark.parametrize("spec", SPECS)
def test_time_matters_for_the_methods_that_look_at_it_alone(spec: str) -> None:
    """Of a batch with all its labels, and before a memory holds anything, only targets can look at the time."""
    logits, labels = random_batch(4)
    early, late = (logit_gradient(spec, logits, labels, progress) for progress in (0.1, 0.9))
    values = METHODS.parse(spec).values
    if values.get("anneal") or ("B" in values and values.get("trust") != "local"):
        assert not torch.equal(early, late)
    elif fact(spec, "role") != "target" or values.get("trust") == "local":
        assert torch.equal(early, late)


@pytest.mark.parametrize("spec", SPECS)
def test_the_value_is_the_mean_or_for_a_weighting_the_sum_over_what_its_norm_says(spec: str) -> None:
    logits, labels = random_batch(5)
    values, weight = build(spec).per_example(logits, labels, progress=0.7)
    parsed, total = METHODS.parse(spec), torch.tensor(64.0).double()
    if fact(spec, "role") == "weight":
        norm = parsed.values.get("norm", "batch")
        area = weights.integral(parsed.entry.function, **parsed.knobs)
        total = weight.sum() if norm == "batch" else total * (area if norm == "integral" else 1.0)
    torch.testing.assert_close(build(spec)(logits, labels, progress=0.7), values.sum() / total)


@pytest.mark.parametrize(("beta", "lam"), [(2, 0), (12, 0.5), (16, 1)])
def test_dm_is_the_detached_weight_times_cross_entropy_normed_over_the_batch(beta: float, lam: float) -> None:
    logits, labels = random_batch(6)
    p = softmax(logits, 1).gather(1, labels[:, None]).squeeze(1)
    weight = torch.exp(beta * p**lam * (1 - p))
    expected = (weight / (2 * (1 - p)) * cross_entropy(logits, labels, reduction="none")).sum() / weight.sum()
    torch.testing.assert_close(build(f"dm:beta={beta},lam={lam}")(logits, labels), expected)


@pytest.mark.parametrize(
    "spec", [spec for spec in specs_of("weight") if METHODS.parse(spec).values.get("norm", "batch") == "batch"]
)
def test_derivative_normalisation_makes_the_batch_derivative_one(spec: str) -> None:
    logits, labels = random_batch(7)
    leaf = logits.requires_grad_()
    gradient = torch.autograd.grad(build(spec)(leaf, labels), leaf)[0]
    assert gradient.abs().sum().item() == pytest.approx(1.0, rel=1e-9)


def test_trust_is_zero_for_methods_that_do_not_trust_the_learner() -> None:
    logits, _ = random_batch(8)
    trusts = {name: build(name).trust(logits, progress=0.7) for name in METHODS}
    assert all(trust.shape == (64,) and (trust >= 0).all() and (trust <= 1).all() for trust in trusts.values())
    declared = {name for name, entry in METHODS.entries.items() if entry.facts.trust}
    assert {name for name, trust in trusts.items() if trust.any()} == declared >= {"boot_soft", "proselflc", "joint"}
    assert (trusts["boot_hard"] == 0.2).all()


@pytest.mark.parametrize("spec", [spec for spec in specs_of("target") if fact(spec, "trust")])
def test_trust_is_the_share_of_the_target_that_is_not_the_label(spec: str) -> None:
    """Where the learner gives the label no mass at all, 1 - q~_y is the trust."""
    parsed = METHODS.parse(spec)
    logits, labels = torch.tensor([[0.0, 900.0, 901.0]]).double(), torch.tensor([[1.0, 0.0, 0.0]]).double()
    target = parsed.entry.function(labels, logits, progress=0.7, **parsed.knobs)
    assert 1 - target[0, 0].item() == pytest.approx(build(spec, 3).trust(logits, progress=0.7).item())


@pytest.mark.parametrize(
    ("stage", "progress", "expected"), [(1, 0.3, 0.0), (1, 0.35, 1.0), (1, 0.9, 1.0), (2, 0.0, 1.0)]
)
def test_joint_optimisation_trusts_the_learner_wholly_once_its_labels_move(
    stage: int, progress: float, expected: float
) -> None:
    assert (build(f"joint:stage={stage}").trust(random_batch(8)[0], progress=progress) == expected).all()


def test_one_hot_labels_and_labels_are_the_same_and_soft_labels_are_accepted() -> None:
    logits, labels = random_batch(9)
    for spec in SPECS:
        one, other = (build(spec)(logits, given, progress=0.7) for given in (one_hot(labels, 10), labels))
        assert torch.equal(one, other)
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


MISSING = [spec for spec in SPECS if not fact(spec, "missing")]


def with_gaps(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    logits, labels = random_batch(seed, count=32)
    known = torch.arange(32) % 4 != 1
    return logits, torch.where(known, labels, -1), known


@pytest.mark.parametrize("spec", MISSING)
def test_an_example_without_a_label_teaches_nothing_and_the_others_are_as_without_it(spec: str) -> None:
    logits, labels, known = with_gaps(12)
    values, weight = build(spec).per_example(logits, labels, progress=0.7)
    gradient = logit_gradient(spec, logits, labels, 0.7)
    assert (values[~known] == 0).all()
    assert (weight[~known] == 0).all()
    assert (gradient[~known] == 0).all()
    kept, kept_weight = build(spec).per_example(logits[known], labels[known], progress=0.7)
    torch.testing.assert_close(values[known], kept, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(weight[known], kept_weight, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient[known], logit_gradient(spec, logits[known], labels[known], 0.7))


@pytest.mark.parametrize("spec", MISSING)
def test_missing_labels_are_rows_left_out_but_for_the_n_of_the_mean(spec: str) -> None:
    """A weighting that is normed over its batch divides by the weights that there are: exactly as without them."""
    logits, labels, known = with_gaps(13)
    parsed = METHODS.parse(spec)
    normed = fact(spec, "role") == "weight" and parsed.values.get("norm", "batch") == "batch"
    share = 1.0 if normed else known.double().mean()
    whole, part = (build(spec)(z, y, progress=0.7) for z, y in ((logits, labels), (logits[known], labels[known])))
    torch.testing.assert_close(whole, share * part, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("spec", SPECS)
def test_a_batch_without_any_label_gives_finite_numbers(spec: str) -> None:
    for dtype in DTYPES:
        logits, labels = extreme_batch(dtype)
        check_finite(spec, logits, torch.full_like(labels, -1), 0.9)


@pytest.mark.parametrize("progress", [-0.1, 1.1])
def test_a_time_outside_the_run_is_refused(progress: float) -> None:
    with pytest.raises(ValueError, match="progress") as caught:
        build("proselflc")(*random_batch(0), progress=progress)
    one_sentence(caught.value, "[0, 1]", str(progress))


STATED = [*specs_of("weight"), "dm:beta=8,lam=1,norm=none", "imae:T=8,norm=integral"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spec", STATED)
def test_a_weighting_states_the_derivative_that_its_surrogate_has(spec: str, dtype: torch.dtype) -> None:
    objective = build(spec, 10)
    for count in (1, 5, 105, 128):
        logits, labels = random_batch(count, count=count)
        labels[::7] = -1
        leaf = logits.to(dtype).requires_grad_()
        objective(leaf, labels).backward()
        assert torch.equal(objective.derivative(leaf.detach(), labels), leaf.grad)


@pytest.mark.parametrize("spec", ["dm:beta=12,lam=0.5", "dm:beta=16,lam=1", "imae", "exponential", "beta:a=2,n=3"])
@pytest.mark.parametrize("batch", [7, 64])
def test_a_network_trained_from_a_derivative_alone_ends_with_the_same_bits(spec: str, batch: int, digits) -> None:
    """A step from a stated derivative, and one from the surrogate that the library differentiates."""
    ends = {}
    for way in ("stated", "surrogate"):
        torch.manual_seed(0)
        model, objective = models.build("resnet8", num_classes=10, in_channels=1), build(spec, 10)
        sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        for rows in torch.arange(8 * batch).split(batch):
            sgd.zero_grad()
            logits, labels = model(digits.train.batch(rows)), digits.train.labels[rows]
            if way == "stated":
                logits.backward(objective.derivative(logits.detach(), labels))
            else:
                objective(logits, labels).backward()
            sgd.step()
        ends[way] = list(model.state_dict().values())
    assert all(torch.equal(one, other) for one, other in zip(*ends.values(), strict=True))
    torch.manual_seed(0)
    start = models.build("resnet8", num_classes=10, in_channels=1).state_dict().values()
    assert not all(torch.equal(one, other) for one, other in zip(start, ends["stated"], strict=True))


@pytest.mark.parametrize("spec", ["cce", "proselflc"])
def test_a_method_with_a_loss_states_no_derivative(spec: str) -> None:
    with pytest.raises(ValueError, match="derivative") as caught:
        build(spec).derivative(*random_batch(0))
    one_sentence(caught.value, "a weighting states its derivative", spec)
