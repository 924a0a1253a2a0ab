"""Methods that remember: what each keeps, step by step and by hand, and that it is at work in training."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cases import one_sentence, random_batch, recalled_for, smoke
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import log_softmax, one_hot, softmax

from robustdl_lib import data, losses, train
from robustdl_lib.methods import stateful
from robustdl_lib.methods.objective import build
from robustdl_lib.methods.stateful import Beginning
from robustdl_lib.registry import METHODS
from robustdl_lib.theory.gradients import logit_gradient

NAMES = [name for name, entry in METHODS.entries.items() if entry.facts.memory]
IMAGES = torch.zeros(1, 1)


def never(**changes: object) -> None:
    raise AssertionError(f"nothing was to be trained, asked for {changes}")


def begun(memory: stateful.Memory, labels: list[int], num_classes: int = 3) -> stateful.Memory:
    memory.begin(Beginning(torch.tensor(labels), num_classes, never))
    return memory


def recall(memory: stateful.Memory, logits: Tensor, target: Tensor, rows: list[int], progress: float = 0.0) -> Tensor:
    return memory.recall(logits, target, rows=torch.tensor(rows), images=IMAGES, progress=progress)


def predictions(seed: int, count: int = 2) -> tuple[Tensor, Tensor]:
    """Return float32 logits [count, 3], as training gives them, and their probabilities."""
    logits = random_batch(seed, count, 3)[0].float()
    return logits, softmax(logits, 1)


# ELR


def test_early_learning_is_the_moving_average_of_the_predictions_row_by_row() -> None:
    memory = begun(stateful.EarlyLearning(lam=3.0, beta=0.7), [0, 1, 2, 0])
    (one, p1), (two, p2), (three, p3) = (predictions(seed) for seed in range(3))
    target = torch.zeros(2, 3)
    torch.testing.assert_close(recall(memory, one, target, [0, 2]), 0.3 * p1)
    torch.testing.assert_close(
        recall(memory, two, target, [2, 3]), torch.stack([0.21 * p1[1] + 0.3 * p2[0], 0.3 * p2[1]])
    )
    third = recall(memory, three, target, [3, 2])
    expected = [0.7 * 0.3 * p2[1] + 0.3 * p3[0], 0.7 * (0.21 * p1[1] + 0.3 * p2[0]) + 0.3 * p3[1]]
    torch.testing.assert_close(third, torch.stack(expected))
    torch.testing.assert_close(memory.targets[0], 0.3 * p1[0])
    assert (memory.targets[1] == 0).all()


def test_early_learning_takes_logits_of_any_type_and_keeps_no_graph() -> None:
    memory = begun(stateful.EarlyLearning(lam=3.0, beta=0.7), [0, 1])
    logits = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert not recall(memory, logits, torch.zeros(2, 3), [0, 1]).requires_grad
    assert not memory.targets.requires_grad


@given(st.integers(0, 2**16), st.floats(0, 100))
def test_the_gradient_of_elr_is_its_closed_form(seed: int, lam: float) -> None:
    """p - q + lam p_j (<t, p> - t_j) / (1 - <t, p>)."""
    logits, labels = random_batch(seed)
    t, p = recalled_for("elr", logits, seed), softmax(logits, 1)
    agreement = (t * p).sum(1, keepdim=True)
    expected = p - one_hot(labels, 10) + lam * p * (agreement - t) / (1 - agreement)
    found = logit_gradient(f"elr:lam={lam!r}", logits, labels, recalled=t)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_elr_holds_where_the_memory_is_sure_and_stays_finite_where_it_is_certain() -> None:
    logits, labels = torch.tensor([[4.0, 0.0, 0.0]]).double(), torch.tensor([1])
    sure = torch.tensor([[0.9, 0.05, 0.05]]).double()
    given_by, held = (
        logit_gradient("elr:lam=7", logits, labels, recalled=t)[0] for t in (torch.zeros(1, 3).double(), sure)
    )
    assert given_by[0] > 0  # cross entropy lowers the logit of class 0, which is not the label
    assert held[0] < 0  # and the memory raises it
    certain = logit_gradient("elr", 100 * logits, labels, recalled=torch.tensor([[1.0, 0.0, 0.0]]).double())
    assert certain.isfinite().all()


# Joint optimisation


def test_the_labels_of_joint_optimisation_are_the_given_until_start_and_then_the_mean_of_the_last_window() -> None:
    memory = begun(stateful.SoftLabels(stage=1, start=0.5, window=2, alpha=1.2, beta=0.8), [0, 1, 2])
    target, seen = torch.eye(3)[:2], [predictions(seed) for seed in range(4)]
    rows = [0, 2]
    assert torch.equal(recall(memory, seen[0][0], target, rows, 0.0), target)
    assert torch.equal(recall(memory, seen[1][0], target, rows, 0.25), target)
    torch.testing.assert_close(recall(memory, seen[2][0], target, rows, 0.5), (seen[0][1] + seen[1][1]) / 2)
    torch.testing.assert_close(recall(memory, seen[3][0], target, rows, 0.75), (seen[1][1] + seen[2][1]) / 2)
    given_labels = torch.eye(3)
    torch.testing.assert_close(memory.labels(given_labels)[rows], (seen[2][1] + seen[3][1]) / 2)
    assert torch.equal(memory.labels(given_labels)[1], given_labels[1])  # of this row nothing was seen


def test_before_the_window_is_full_the_mean_is_over_what_was_seen() -> None:
    memory = begun(stateful.SoftLabels(stage=1, start=0.0, window=10, alpha=1.2, beta=0.8), [0, 1])
    target, (one, p1), (two, p2) = torch.eye(3)[:2], predictions(0), predictions(1)
    assert torch.equal(recall(memory, one, target, [0, 1]), target)
    torch.testing.assert_close(recall(memory, two, target, [1, 0]), p1[[1, 0]])
    torch.testing.assert_close(recall(memory, two, target, [0, 1]), (p1 + p2[[1, 0]]) / 2)


def test_stage_2_trains_stage_1_with_its_knobs_and_keeps_the_labels_that_it_leaves() -> None:
    asked: list[dict[str, object]] = []
    left = softmax(random_batch(5, 4, 3)[0], 1).float()

    class Finished:
        def learn(self, **changes: object) -> "Finished":
            asked.append(changes)
            self.objective, self.memory = self, self
            return self

        def labels(self, given_labels: Tensor) -> Tensor:
            assert torch.equal(given_labels, torch.eye(3)[[0, 1, 2, 0]] * torch.tensor([1.0, 1, 1, 0]).unsqueeze(1))
            return left

    objective = build("joint:stage=2,start=0.2,window=3,alpha=0.8,beta=0.4", 3)
    objective.begin(torch.tensor([0, 1, 2, -1]), Finished().learn)
    assert [METHODS.parse(changes["method"]).values for changes in asked] == [
        {"stage": 1, "start": 0.2, "window": 3, "alpha": 0.8, "beta": 0.4}
    ]
    for progress in (0.0, 0.9):
        logits, log_p = predictions(6)[0], log_softmax(predictions(6)[0], 1)
        value = objective(logits, torch.tensor([2, 0]), progress=progress, rows=torch.tensor([3, 1]), images=IMAGES)
        s = left[[3, 1]]
        torch.testing.assert_close(value, (s * (s.log() - log_p)).sum() / 2)


@given(st.integers(0, 2**16), st.floats(0, 5), st.floats(0, 5))
def test_joint_optimisation_is_its_three_terms_written_out(seed: int, alpha: float, beta: float) -> None:
    """KL(s || p) + alpha KL(u || mean p) + beta H(p); the second term is the batch's, once."""
    logits, labels = random_batch(seed, 8, 5)
    s, p = recalled_for("joint", logits, seed), softmax(logits, 1)
    divergence = (s * (s / p).log()).sum(1)
    prior = sum(0.2 * math.log(0.2 / mean.item()) for mean in p.mean(0))
    entropy = -(p * p.log()).sum(1)
    objective = build(f"joint:alpha={alpha!r},beta={beta!r}", 5)
    found, _ = objective.per_example(logits, labels, recalled=s)
    torch.testing.assert_close(found, divergence + alpha * prior + beta * entropy, rtol=1e-10, atol=1e-12)
    one = build("joint:stage=2", 5).per_example(logits, labels, recalled=s)[0]
    torch.testing.assert_close(one, divergence, rtol=1e-10, atol=1e-12)
    hard = objective(logits, labels)
    cross = -p.log().gather(1, labels[:, None]).squeeze(1)
    torch.testing.assert_close(hard, (cross + beta * entropy).mean() + alpha * prior, rtol=1e-10, atol=1e-12)


def test_the_gradient_of_joint_optimisation_is_that_of_its_three_terms() -> None:
    """p - s, then alpha p_j (sum_k g_k p_k - g_j) with g = 1 / (C mean p), then -beta p_j (log p_j + H)."""
    logits, labels = random_batch(1, 8, 5)
    s, p = recalled_for("joint", logits), softmax(logits, 1)
    g = 1 / (5 * p.mean(0, keepdim=True))
    entropy = -(p * p.log()).sum(1, keepdim=True)
    expected = p - s + 1.2 * p * ((g * p).sum(1, keepdim=True) - g) - 0.8 * p * (p.log() + entropy)
    torch.testing.assert_close(logit_gradient("joint", logits, labels, recalled=s), expected, rtol=1e-10, atol=1e-12)


def test_joint_optimisation_learns_of_an_example_without_a_label_by_its_other_terms() -> None:
    logits, _ = random_batch(2, 4, 5)
    none = torch.full((4,), -1)
    p = softmax(logits, 1)
    found, _ = build("joint:alpha=0", 5).per_example(logits, none)
    torch.testing.assert_close(found, -0.8 * (p * p.log()).sum(1))


# Knowledge distillation


@given(st.integers(0, 2**16), st.floats(0, 1), st.floats(0.1, 100))
def test_the_gradient_of_distillation_is_its_closed_form(seed: int, alpha: float, T: float) -> None:
    """alpha (p - q) + (1 - alpha) T (p_T - t), and the value alpha H(q, p) + (1 - alpha) T^2 H(t, p_T)."""
    logits, labels = random_batch(seed)
    said = recalled_for("kd", logits, seed)
    q, t, p_t = one_hot(labels, 10).double(), softmax(said / T, 1), softmax(logits / T, 1)
    spec = f"kd:alpha={alpha!r},T={T!r}"
    expected = alpha * (softmax(logits, 1) - q) + (1 - alpha) * T * (p_t - t)
    torch.testing.assert_close(logit_gradient(spec, logits, labels, recalled=said), expected, rtol=1e-9, atol=1e-11)
    value = alpha * losses.cce(logits, q) - (1 - alpha) * T**2 * (t * log_softmax(logits / T, 1)).sum(1)
    torch.testing.assert_close(build(spec).per_example(logits, labels, recalled=said)[0], value, rtol=1e-10, atol=1e-12)


def test_without_a_teacher_only_the_label_teaches() -> None:
    logits, labels = random_batch(3)
    torch.testing.assert_close(logit_gradient("kd", logits, labels), 0.1 * logit_gradient("cce", logits, labels))


def test_the_teacher_is_trained_by_the_named_method_and_network_and_asked_in_inference_mode() -> None:
    asked: list[dict[str, object]] = []

    class Finished:
        model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)).train()

        def learn(self, **changes: object) -> "Finished":
            asked.append(changes)
            return self

    for spec in ("kd", "kd:teacher=gce:q=0.5", "kd:teacher=mae,network=resnet20"):
        objective = build(spec, 3)
        objective.begin(torch.tensor([0, 1, 2, 0]), Finished().learn)
    expected = [{"method": "cce"}, {"method": "gce:q=0.5"}, {"method": "mae", "model": "resnet20"}]
    assert asked == expected
    images = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    logits = torch.zeros(4, 3, dtype=torch.float64)
    said = objective.memory.recall(logits, torch.eye(3)[[0] * 4], rows=torch.arange(4), images=images, progress=0.0)
    assert said.dtype == torch.float64
    assert not said.requires_grad
    torch.testing.assert_close(said, Finished.model[0](images).double())  # no dropout


# Barron with a learned shape


def test_the_shape_steps_downhill_on_the_negative_log_likelihood() -> None:
    memory = begun(stateful.Shape(alpha=1.0, c=0.5, lr=0.1), [0] * 8, 10)
    logits, labels = random_batch(4, 8, 10)
    target = one_hot(labels, 10).double()
    latent = memory.latent.detach().clone().requires_grad_()
    residual = 1 - softmax(logits, 1).gather(1, labels[:, None]).squeeze(1)
    surprise = losses.negative_log_likelihood(residual, 2 * torch.sigmoid(latent), 0.5)
    (slope,) = torch.autograd.grad(surprise.sum() / 8, latent)
    said = recall(memory, logits, target, list(range(8)))
    torch.testing.assert_close(said, 2 * torch.sigmoid(latent.detach() - 0.1 * slope))
    assert said.ndim == 0
    assert not said.requires_grad


@pytest.mark.parametrize(("sure", "towards"), [(True, 2.0), (False, 0.0)])
def test_the_shape_goes_where_the_residuals_say(sure: bool, towards: float) -> None:
    """Many small residuals among which some are 1 are heavy tails, if the scale is small; all small ones are not."""
    memory = begun(stateful.Shape(alpha=1.0, c=0.1, lr=0.1), [0] * 8)
    logits = torch.zeros(8, 3, dtype=torch.float64)
    logits[:, 0] = 6.0
    logits[:2, 0] += 0.0 if sure else -12.0
    target, start = torch.eye(3).double()[[0] * 8], memory.alpha.item()
    found = [losses.negative_log_likelihood(1 - softmax(logits, 1)[:, 0], memory.alpha.detach(), 0.1).mean().item()]
    for _ in range(20):
        recall(memory, logits, target, list(range(8)))
        surprise = losses.negative_log_likelihood(1 - softmax(logits, 1)[:, 0], memory.alpha.detach(), 0.1)
        found.append(surprise.mean().item())
    assert start == pytest.approx(1.0)
    assert abs(memory.alpha.item() - towards) < abs(start - towards)
    assert all(np.diff(found) < 0)


@pytest.mark.parametrize("sure", [True, False])
def test_the_shape_stays_inside_its_range_and_finite(sure: bool) -> None:
    memory = begun(stateful.Shape(alpha=1.0, c=0.01, lr=10.0), [0] * 8)
    logits = torch.zeros(8, 3)
    logits[:, 0] = 80.0 if sure else -80.0
    for _ in range(50):
        alpha = recall(memory, logits, torch.eye(3)[[0] * 8], list(range(8)))
        assert 0 < alpha < 2
        value = METHODS["adaptive"](logits, torch.eye(3)[[0] * 8], recalled=alpha, c=0.01)
        assert value.isfinite().all()


def test_examples_without_a_label_say_nothing_of_the_shape() -> None:
    logits, labels = random_batch(6, 8, 3)
    target = one_hot(labels, 3).double()
    target[3:] = 0
    one, other = (begun(stateful.Shape(alpha=1.0, c=0.5, lr=1.0), [0] * 8) for _ in range(2))
    first = recall(one, logits, target, list(range(8)))
    torch.testing.assert_close(first, recall(other, logits[:3], target[:3], [0, 1, 2]))


def test_adaptive_is_barron_at_the_shape_that_is_recalled() -> None:
    logits, labels = random_batch(7)
    for alpha in (0.3, 1.0, 1.9):
        said = torch.tensor(alpha, dtype=torch.float64)
        found = logit_gradient("adaptive", logits, labels, recalled=said)
        torch.testing.assert_close(found, logit_gradient(f"barron:alpha={alpha}", logits, labels))


# The hook


def test_a_memory_is_at_work_once_begun_and_then_must_know_the_rows() -> None:
    for name in NAMES:
        objective = build(name)
        logits, labels = random_batch(8, 4)
        assert not objective.begun
        objective(logits, labels)
        objective.begun = True
        for known in ({}, {"rows": torch.arange(4)}, {"images": IMAGES}):
            with pytest.raises(RuntimeError, match="remembers") as caught:
                objective(logits, labels, **known)
            one_sentence(caught.value, repr(name), "rows=", "images=")


def test_a_method_without_a_memory_has_nothing_to_begin() -> None:
    for name in METHODS:
        if name not in NAMES:
            objective = build(name)
            objective.begin(torch.tensor([0]), never)
            assert objective.memory is None
            assert not objective.begun


def test_a_memory_of_ones_own_is_one_class(digits: data.Data) -> None:
    steps: list[float] = []

    class Counter:
        def __init__(self, *, by: float) -> None:
            self.by = by

        def begin(self, run: Beginning) -> None:
            self.seen = torch.zeros(len(run.labels))

        def recall(self, logits: Tensor, target: Tensor, *, rows: Tensor, images: Tensor, progress: float) -> Tensor:
            self.seen[rows] += self.by
            assert len(images) == len(rows) == len(logits)
            steps.append(progress)
            return self.seen[rows]

    @METHODS.register("counted", label="counted", source="here", role="loss", memory=Counter)
    def counted(logits: Tensor, target: Tensor, *, recalled: Tensor | None = None, by: float = 1.0) -> Tensor:
        """Cross entropy over the number of times that an example was seen."""
        return losses.cce(logits, target) / (1.0 if recalled is None else recalled)

    fitted = train.fit(smoke(method="counted:by=2"), digits)
    assert (fitted.objective.memory.seen == 4).all()
    assert steps == pytest.approx(list(np.arange(20) / 20))


# In training


@pytest.fixture(scope="module")
def runs(digits: data.Data) -> dict[str, train.Trained]:
    torch.set_num_threads(1)
    return {name: train.fit(smoke(method=method), digits) for name, method in TRAINED.items()}


TRAINED = {
    **{"elr": "elr", "joint": "joint", "second": "joint:stage=2,window=2", "kd": "kd:teacher=gce:q=0.5"},
    **{"adaptive": "adaptive", "cce": "cce", "gce": "gce:q=0.5"},
}


@pytest.mark.parametrize("name", ["elr", "joint", "kd", "adaptive"])
def test_training_twice_gives_the_same_bits(name: str, runs: dict[str, train.Trained], digits: data.Data) -> None:
    again = train.fit(smoke(method=TRAINED[name]), digits)
    one, other = (run.history.drop(columns="seconds") for run in (again, runs[name]))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert not other.equals(runs["cce"].history.drop(columns="seconds"))


def test_elr_ends_with_a_memory_of_every_example(runs: dict[str, train.Trained]) -> None:
    """Two epochs: the weights 0.3 and 0.7 * 0.3 of two predictions, each of sum 1."""
    kept = runs["elr"].objective.memory.targets
    torch.testing.assert_close(kept.sum(1), torch.full((1257,), 0.3 + 0.21))


def test_joint_optimisation_ends_with_the_mean_prediction_of_every_example(
    runs: dict[str, train.Trained], digits: data.Data
) -> None:
    memory = runs["joint"].objective.memory
    assert (memory.seen == 2).all()
    labels = memory.labels(torch.zeros(1257, 10))
    torch.testing.assert_close(labels.sum(1), torch.ones(1257))
    assert runs["joint"].history["trust"].tolist() == [1.0, 1.0]


def test_stage_2_learns_from_the_labels_that_stage_1_of_the_same_seed_left(
    runs: dict[str, train.Trained], digits: data.Data
) -> None:
    first = train.fit(smoke(method="joint:window=2"), digits)
    given_labels = one_hot(digits.train.labels, 10).float()
    torch.testing.assert_close(runs["second"].objective.memory.fixed, first.objective.memory.labels(given_labels))


def test_the_teacher_of_a_run_is_the_network_that_its_method_trains(
    runs: dict[str, train.Trained], digits: data.Data
) -> None:
    teacher, alone = runs["kd"].objective.memory.model, runs["gce"].model
    assert not teacher.training
    assert all(torch.equal(one, other) for one, other in zip(teacher.parameters(), alone.parameters(), strict=True))


def test_the_shape_moved_in_training(runs: dict[str, train.Trained]) -> None:
    alpha = runs["adaptive"].objective.memory.alpha.item()
    assert 0 < alpha < 2
    assert abs(alpha - 1.0) > 1e-3
