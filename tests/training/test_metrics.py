"""Metrics on cases small enough to work out by hand."""

import math

import pytest
import torch
from helpers.cases import extreme_batch, random_batch
from hypothesis import given
from hypothesis import strategies as st

from robustdl_lib import metrics

LOGITS = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7], [0.4, 0.3, 0.3]]).clamp_min(1e-30).log()
LABELS = torch.tensor([0, 0, 2, 1])
CLEAN = torch.tensor([0, 1, 2, 0])
EMPTY = torch.zeros(4, dtype=torch.bool)


def test_accuracy_on_all_on_a_subset_and_on_nothing() -> None:
    assert metrics.accuracy(LOGITS, LABELS) == 0.5
    assert metrics.accuracy(LOGITS, LABELS, LABELS == 0) == 0.5
    assert metrics.accuracy(LOGITS, CLEAN) == 1.0
    assert math.isnan(metrics.accuracy(LOGITS, LABELS, EMPTY))


def test_share_averages_numbers_and_is_nan_on_nothing() -> None:
    values = torch.tensor([1.0, 2.0, 6.0, 100.0])
    assert metrics.share(values, torch.tensor([True, True, True, False])) == 3.0
    assert math.isnan(metrics.share(values, EMPTY))
    assert math.isnan(metrics.share(values[:0]))


def test_share_of_many_float32_numbers_keeps_its_digits() -> None:
    assert metrics.share(torch.full((3_000_000,), 0.1)) == pytest.approx(torch.tensor(0.1).item(), rel=1e-9)


def test_dynamics_on_a_hand_made_case() -> None:
    """Examples 1 and 3 are mislabelled, both are predicted as their true class."""
    found = metrics.dynamics(LOGITS, LABELS, CLEAN)
    assert found["clean_acc"] == 1.0
    assert found["fit_wrong"] == 0.0
    assert found["corrected"] == 1.0
    assert found["p_clean"] == pytest.approx((0.9 + 0.7) / 2, rel=1e-6)
    assert found["p_wrong"] == pytest.approx((0.2 + 0.3) / 2, rel=1e-6)
    entropies = [-sum(p * math.log(p) for p in row if p) for row in ([0.9, 0.1], [0.1, 0.2, 0.7])]
    assert found["entropy_clean"] == pytest.approx(sum(entropies) / 2 / math.log(3), rel=1e-6)


def test_dynamics_without_a_wrong_label_are_nan_on_that_subset_alone() -> None:
    found = metrics.dynamics(LOGITS, CLEAN, CLEAN)
    wrong = {name for name, value in found.items() if math.isnan(value)}
    assert wrong == {"fit_wrong", "corrected", "entropy_wrong", "p_wrong"}


def test_a_wrong_label_is_fitted_corrected_or_neither_and_never_two_of_them() -> None:
    logits, labels = random_batch(0)
    found = metrics.dynamics(logits, labels, (labels + 1) % 10)
    assert 0 < found["fit_wrong"] + found["corrected"] < 1


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_normalised_entropy_is_one_for_uniform_and_zero_for_certain(classes: int) -> None:
    logits = torch.stack([torch.zeros(classes), 500.0 * torch.eye(classes)[1]])
    torch.testing.assert_close(metrics.normalised_entropy(logits), torch.tensor([1.0, 0.0]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_metrics_are_finite_and_in_range_at_extreme_logits(dtype: torch.dtype) -> None:
    logits, labels = extreme_batch(dtype)
    entropy, p = metrics.normalised_entropy(logits), metrics.p_y(logits, labels)
    assert (entropy >= -1e-6).all()
    assert (entropy <= 1 + 1e-6).all()
    assert (p >= 0).all()
    assert (p <= 1).all()


def test_p_y_is_the_probability_of_the_given_label() -> None:
    torch.testing.assert_close(metrics.p_y(LOGITS, LABELS), torch.tensor([0.9, 0.2, 0.7, 0.3]))


def test_a_histogram_counts_the_subset_into_equal_bins() -> None:
    p = torch.tensor([0.0, 0.019, 0.02, 0.5, 0.99, 1.0])
    counts = metrics.p_y_histogram(p, torch.ones(6, dtype=torch.bool))
    assert {index: int(count) for index, count in enumerate(counts) if count} == {0: 2, 1: 1, 25: 1, 49: 2}
    assert metrics.p_y_histogram(p, p > 0.4).sum() == 3
    assert metrics.p_y_histogram(p, p > 2).tolist() == [0] * 50


@given(st.lists(st.floats(0, 1, width=32), max_size=200), st.integers(1, 60))
def test_a_histogram_loses_no_example(values: list[float], bins: int) -> None:
    p = torch.tensor(values, dtype=torch.float32)
    counts = metrics.p_y_histogram(p, torch.ones(len(p), dtype=torch.bool), bins)
    assert counts.shape == (bins,)
    assert int(counts.sum()) == len(values)
