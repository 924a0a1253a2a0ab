"""Noise: what is asked for comes out, at the rate and in the classes asked for, the same on any machine."""

import hashlib
import math

import numpy as np
import pytest
import torch
from conftest import noise_spec, one_sentence
from hypothesis import given
from hypothesis import strategies as st

from robustdl_lib import noise
from robustdl_lib.registry import NOISES, SpecError

SPECS = [
    noise_spec(name, rate) for name in NOISES for rate in ((0.0, 0.2, 0.4, 0.8) if "rate" in noise_spec(name) else (0,))
]
LABELS = np.arange(20_000) % 10
RATES = st.floats(0, 1, exclude_max=True, allow_subnormal=False)


def digest(labels: torch.Tensor) -> str:
    return hashlib.sha256(labels.numpy().astype("<i8").tobytes()).hexdigest()[:16]


def within_three_standard_errors(found: np.ndarray, asked: np.ndarray, count: int) -> bool:
    error = np.sqrt(asked * (1 - asked) / count)
    return bool((np.abs(found - asked) <= 3 * error + 1e-12).all())


@pytest.mark.parametrize("spec", SPECS)
def test_rows_of_a_transition_are_probabilities(spec: str) -> None:
    matrix = noise.transition_matrix(spec, num_classes=10)
    assert matrix.shape == (10, 10)
    assert (matrix >= 0).all()
    labelled = 1.0 - NOISES.parse(spec).values["rate"] if spec.startswith("missing") else 1.0
    np.testing.assert_allclose(matrix.sum(axis=1), labelled, rtol=0, atol=1e-12)


@given(st.sampled_from(["symmetric", "symmetric_all"]), RATES, st.integers(2, 100))
def test_symmetric_rows_sum_to_one_for_any_rate_and_class_count(name: str, rate: float, classes: int) -> None:
    matrix = noise.transition_matrix(f"{name}:{rate!r}", num_classes=classes)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    wrong = rate if name == "symmetric" else rate * (classes - 1) / classes
    np.testing.assert_allclose(1 - np.diag(matrix), wrong, rtol=0, atol=1e-12)
    rest = matrix[~np.eye(classes, dtype=bool)]
    np.testing.assert_allclose(rest, wrong / (classes - 1), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("spec", SPECS)
def test_every_entry_is_realised_within_three_standard_errors(spec: str, seed: int) -> None:
    """Row by row: the rate of wrong labels of a class, and the three largest gaps of its 90 single entries."""
    asked = noise.transition_matrix(spec, num_classes=10)
    found = noise.corrupt(LABELS, spec, num_classes=10, seed=seed).transition.numpy()
    assert within_three_standard_errors(np.diag(found), np.diag(asked), 2000)
    far = np.abs(found - asked) > 3 * np.sqrt(asked * (1 - asked) / 2000) + 1e-12
    assert far.sum() <= 3
    assert (found[asked == 0] == 0).all()
    assert (found[asked == 1] == 1).all()


@pytest.mark.parametrize(
    ("spec", "rate"),
    [("none", 0.0), ("missing:0.4", 0.0), ("symmetric:0.4", 0.4), ("symmetric_all:0.4", 0.36), ("asymmetric:0.4", 0.2)],
)
def test_the_conventions_have_their_true_rates(spec: str, rate: float) -> None:
    """GCE and ELR draw from all classes: their .4 is a true rate of .36; on CIFAR-10 .4 asymmetric is .2 overall."""
    found = noise.corrupt(LABELS, spec, num_classes=10)
    assert abs(found.rate - rate) <= 3 * math.sqrt(rate * (1 - rate) / 20_000)


@pytest.mark.parametrize(("name", "flips"), [("CIFAR-10", noise.CIFAR10_FLIPS), ("digits", noise.DIGIT_FLIPS)])
def test_asymmetric_noise_touches_its_classes_alone(name: str, flips: noise.Flips) -> None:
    found = noise.corrupt(LABELS, "asymmetric:0.4", num_classes=10, flips=flips)
    wrong = found.labels[found.mislabelled].numpy()
    source = found.clean[found.mislabelled].numpy()
    assert set(source) == set(flips)
    assert all(flips[int(true)] == given for true, given in zip(source, wrong, strict=True))


@pytest.mark.parametrize("flips", [noise.CIFAR10_FLIPS, noise.DIGIT_FLIPS])
def test_a_class_is_never_its_own_look_alike(flips: noise.Flips) -> None:
    assert len(flips) == 5
    assert all(source != target for source, target in flips.items())
    assert set(flips) | set(flips.values()) <= set(range(10))


def test_cifar10_flips_are_the_ones_of_the_papers() -> None:
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    pairs = {(names[a], names[b]) for a, b in noise.CIFAR10_FLIPS.items()}
    one_way = {("truck", "automobile"), ("bird", "airplane"), ("deer", "horse")}
    assert pairs == one_way | {("cat", "dog"), ("dog", "cat")}


@pytest.mark.parametrize("spec", SPECS)
def test_the_same_seed_gives_the_same_labels(spec: str) -> None:
    one, other = (noise.corrupt(LABELS, spec, num_classes=10, seed=7) for _ in range(2))
    assert torch.equal(one.labels, other.labels)
    if "rate=" in spec and not spec.endswith("rate=0.0"):
        assert not torch.equal(one.labels, noise.corrupt(LABELS, spec, num_classes=10, seed=8).labels)


def test_a_draw_is_pinned_so_that_it_is_the_same_on_every_machine() -> None:
    draws = {spec: digest(noise.corrupt(LABELS, spec, num_classes=10, seed=0).labels) for spec in PINNED}
    assert draws == PINNED


PINNED = {
    "symmetric:0.4": "53aabafcee031436",
    "symmetric_all:0.4": "b85e1111f8609bfa",
    "asymmetric:0.4": "46c57a6d4c047603",
}


def test_a_draw_leaves_the_global_generators_alone() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    noise.corrupt(LABELS, "symmetric:0.4", num_classes=10)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()


@pytest.mark.parametrize("rates", [(0.2, 0.4), (0.4, 0.8)])
def test_more_noise_keeps_the_labels_that_less_noise_made_wrong_wrong(rates: tuple[float, float]) -> None:
    """One uniform number an example: for class 0, whose own entry comes first, the wrong sets are nested."""
    zeros = np.zeros(1000, dtype=int)
    less, more = (noise.corrupt(zeros, f"symmetric:{rate}", num_classes=10).mislabelled for rate in rates)
    assert (more | ~less).all()


@pytest.mark.parametrize("spec", SPECS)
def test_what_is_returned_agrees_with_itself(spec: str) -> None:
    found = noise.corrupt(torch.from_numpy(LABELS), spec, num_classes=10, seed=3)
    assert torch.equal(found.clean, torch.from_numpy(LABELS))
    assert found.labels.dtype == torch.int64
    there = found.labels >= 0
    labelled = 1.0 - NOISES.parse(spec).values["rate"] if spec.startswith("missing") else 1.0
    assert torch.equal(found.mislabelled, there & (found.labels != found.clean))
    assert found.rate == pytest.approx(found.mislabelled.double().mean().item())
    assert found.labels.min() == (-1 if labelled < 1 else 0)
    assert found.labels.max() < 10
    shares = [there[found.clean == label].double().mean().item() for label in range(10)]
    np.testing.assert_allclose(found.transition.sum(1), shares)


def test_a_class_without_examples_has_the_identity_row() -> None:
    found = noise.corrupt([0, 0, 2], "symmetric:0.9", num_classes=4)
    assert torch.equal(found.transition[[1, 3]], torch.eye(4, dtype=torch.float64)[[1, 3]])


def test_no_labels_are_no_noise() -> None:
    found = noise.corrupt([], "symmetric:0.4", num_classes=3)
    assert len(found.labels) == 0
    assert found.rate == 0.0


def test_the_input_is_not_changed() -> None:
    labels = torch.zeros(100, dtype=torch.long)
    noise.corrupt(labels, "symmetric:0.8", num_classes=10)
    assert not labels.any()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 10], ["0 to 9 for 10 classes", "0 to 10"]),
        ([-1, 3], ["0 to 9", "-1 to 3"]),
        ([0.0, 1.0], ["integers", "float64"]),
        ([[0, 1]], ["integers", "(1, 2)"]),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels: list, words: list[str]) -> None:
    with pytest.raises(ValueError, match="labels must") as caught:
        noise.corrupt(labels, "symmetric:0.4", num_classes=10)
    one_sentence(caught.value, *words)


@pytest.mark.parametrize("spec", ["symmetric:1", "symmetric:1.2", "symmetric_all:-0.1", "asymmetric:nan", "fog:0.4"])
def test_a_noise_that_cannot_be_is_refused(spec: str) -> None:
    with pytest.raises(SpecError) as caught:
        noise.corrupt(LABELS, spec, num_classes=10)
    one_sentence(caught.value)


def test_look_alikes_must_be_named_and_be_classes() -> None:
    with pytest.raises(SpecError) as caught:
        noise.corrupt([0, 1], "asymmetric:0.4", num_classes=3)
    one_sentence(caught.value, "3 classes", "flips=")
    with pytest.raises(SpecError) as caught:
        noise.corrupt([0, 1], "asymmetric:0.4", num_classes=3, flips={0: 3})
    one_sentence(caught.value, "0 to 2")
