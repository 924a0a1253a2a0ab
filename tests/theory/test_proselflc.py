"""ProSelfLC step by step, its closed forms, and the tables beside the published dynamics."""

import math

import pytest
import torch

from robustdl_lib import targets
from robustdl_lib.theory import proselflc


def learner(top: float, classes: int = 10) -> list[float]:
    """Return probabilities: a label with six tenths of what the first class leaves, the rest shared alike."""
    return [0.6 * (1 - top), top] + [0.4 * (1 - top) / (classes - 2)] * (classes - 2)


@pytest.mark.parametrize("T", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("B", [4.0, 10.0, 16.0, 100.0])
@pytest.mark.parametrize("top", [0.62, 0.8, 0.95, 0.99])
def test_the_target_changes_its_class_at_the_closed_form_and_nowhere_else(top, B, T):
    moment = proselflc.crossing(learner(top), B=B, T=T)
    if math.isinf(moment):
        assert set(proselflc.steps(learner(top), [0.5, 0.9, 0.9999], B=B, T=T)["semantic"]) == {0}
    else:
        around = proselflc.steps(learner(top), [moment - 1e-6, moment + 1e-6], B=B, T=T)
        assert list(around["semantic"]) == [0, 1]
        assert moment >= 0.5


def test_a_learner_that_agrees_or_doubts_never_corrects():
    assert math.isinf(proselflc.crossing([0.9, 0.05, 0.05]))
    assert math.isinf(proselflc.crossing([0.3, 0.4, 0.3]))


def test_a_moment_after_the_end_never_comes():
    assert proselflc.crossing(learner(0.8), B=10) < 1
    assert math.isinf(proselflc.crossing(learner(0.8), B=2))


def test_steps_are_the_librarys_target_and_the_gradient_of_its_loss():
    p = learner(0.9)
    table = proselflc.steps(p, [0.0, 0.7], B=12, T=0.5, detach=True)
    logits, label = torch.tensor([p], dtype=torch.float64).log(), torch.zeros(1, 10, dtype=torch.float64)
    label[0, 0] = 1
    sharp = torch.softmax(2 * logits, 1)[0]
    for _, row in table.iterrows():
        trust = targets.global_trust(row["t"], B=12) * float(targets.local_trust(logits, T=0.5)[0])
        assert row["trust"] == pytest.approx(trust)
        assert row["target_1"] == pytest.approx(trust * float(sharp[1]))
        pull = (1 - trust) * (1 - p[0]) - trust * (p[0] - float(sharp[0]))
        assert row["pull"] == pytest.approx(pull)
