"""Noise: what is asked for comes out, at the rate and in the classes asked for, the same on any machine."""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cases import noise_spec, one_sentence
from hypothesis import given
from hypothesis import strategies as st

from robustdl_lib import noise
from robustdl_lib.registry import NOISES, SpecError

RATED = ["symmetric", "symmetric_all", "asymmetric", "asymmetric_pairs", "asymmetric_cycle", "missing"]
SPECS = ["none", *(noise_spec(name, rate) for name in RATED for rate in (0.0, 0.2, 0.4, 0.8))]
SUPERCLASSES = (0, 1, 0, 2, 1, 0, 2, 0, 3, 1)
"""Four superclasses of ten classes: {0, 2, 5, 7}, {1, 4, 9}, {3, 6} and {8}."""
COARSE = tuple(np.random.default_rng(0).permutation(np.repeat(np.arange(20), 5)).tolist())
"""Twenty superclasses of five classes each, as CIFAR-100 has them, in no order."""
LABELS = np.arange(20_000) % 10
RATES = st.floats(0, 1, exclude_max=True, allow_subnormal=False)


def digest(labels: torch.Tensor) -> str:
    return hashlib.sha256(labels.numpy().astype("<i8").tobytes()).hexdigest()[:16]


def known(spec: str) -> dict[str, Any]:
    """Return what a noise looks at besides the labels."""
    return {"superclasses": SUPERCLASSES} if spec.startswith(("asymmetric_pairs", "asymmetric_cycle")) else {}


def within_three_standard_errors(found: np.ndarray, asked: np.ndarray, count: int) -> bool:
    error = np.sqrt(asked * (1 - asked) / count)
    return bool((np.abs(found - asked) <= 3 * error + 1e-12).all())


@pytest.mark.parametrize("spec", SPECS)
def test_rows_of_a_transition_are_probabilities(spec: str) -> None:
    matrix = noise.transition_matrix(spec, num_classes=10, **known(spec))
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
    drawn = noise.corrupt(LABELS, spec, num_classes=10, seed=seed, **known(spec))
    asked, found = noise.transition_matrix(spec, num_classes=10, seed=seed, **known(spec)), drawn.transition.numpy()
    assert drawn.asked is not None
    assert (drawn.asked.numpy() == asked).all()
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
    one, other = (noise.corrupt(LABELS, spec, num_classes=10, seed=7, **known(spec)) for _ in range(2))
    assert torch.equal(one.labels, other.labels)
    if "rate=" in spec and not spec.endswith("rate=0.0"):
        assert not torch.equal(one.labels, noise.corrupt(LABELS, spec, num_classes=10, seed=8, **known(spec)).labels)


def test_a_draw_is_pinned_so_that_it_is_the_same_on_every_machine() -> None:
    draws = {spec: digest(noise.corrupt(LABELS, spec, num_classes=10, **known(spec)).labels) for spec in PINNED}
    assert draws == PINNED


PINNED = {
    "symmetric:0.4": "53aabafcee031436",
    "symmetric_all:0.4": "b85e1111f8609bfa",
    "asymmetric:0.4": "46c57a6d4c047603",
    "asymmetric_pairs:0.4": "c3c94735dc2e6f10",
    "asymmetric_cycle:0.4": "a8932204fadc9b4d",
    "missing:0.4": "16ae07bb314b9f8d",
}


@pytest.mark.parametrize("name", ["symmetric", "symmetric_all"])
@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("rate", [0.2, 0.4, 0.8])
def test_the_rate_of_every_class_is_within_three_standard_errors(name: str, classes: int, rate: float) -> None:
    """50,000 labels, 20 seeds, every (class, seed) cell; without drawing again some 0.27 % of them lay further off."""
    labels, wrong = np.arange(50_000) % classes, rate if name == "symmetric" else rate * (classes - 1) / classes
    error = math.sqrt(wrong * (1 - wrong) * classes / 50_000)
    drawn = [noise.corrupt(labels, f"{name}:{rate}", num_classes=classes, seed=seed) for seed in range(20)]
    off = np.array([1 - found.transition.diagonal().numpy() - wrong for found in drawn]) / error
    assert np.abs(off).max() <= 3
    assert (off**2).mean() == pytest.approx(1, abs=4 * math.sqrt(2 / off.size))  # as scattered as chance has it


def test_small_classes_are_not_drawn_again() -> None:
    """In classes of ten a flip at rate .01 is more than 3 standard errors off, and must happen all the same."""
    labels = np.arange(1000) % 100
    wrong = [noise.corrupt(labels, "symmetric:0.01", num_classes=100, seed=seed).rate for seed in range(40)]
    assert np.mean(wrong) == pytest.approx(0.01, abs=3 * math.sqrt(0.01 * 0.99 / 40_000))


def test_the_first_draw_that_will_do_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(50_000) % 100
    seeds = range(30)
    final = [noise.corrupt(labels, "symmetric:0.4", num_classes=100, seed=seed).labels for seed in seeds]
    monkeypatch.setattr(noise, "DRAWS", 1)
    first = [noise.corrupt(labels, "symmetric:0.4", num_classes=100, seed=seed).labels for seed in seeds]
    same = sum(torch.equal(one, other) for one, other in zip(final, first, strict=True))
    assert 15 <= same < 30


def test_pairs_swap_two_classes_of_every_superclass_and_touch_no_other() -> None:
    """On CIFAR-100's shape: 40 of 100 classes are touched, so .4 makes 16 % of the labels wrong."""
    labels = np.arange(50_000) % 100
    pairs = set()
    for seed in range(5):
        found = noise.corrupt(labels, "asymmetric_pairs:0.4", num_classes=100, superclasses=COARSE, seed=seed)
        assert abs(found.rate - 0.16) <= 3 * math.sqrt(0.16 * 0.6 / 50_000)  # 40 % of the labels may flip, 60 % cannot
        source, wrong = found.clean[found.mislabelled].numpy(), found.labels[found.mislabelled].numpy()
        flips = set(zip(source.tolist(), wrong.tolist(), strict=True))
        assert len(flips) == 40
        assert {(b, a) for a, b in flips} == flips
        assert sorted(COARSE[a] for a, _ in flips) == sorted([*range(20), *range(20)])
        assert all(COARSE[a] == COARSE[b] for a, b in flips)
        pairs.add(frozenset(flips))
    assert len(pairs) == 5


def test_which_classes_are_paired_is_pinned() -> None:
    matrix = noise.transition_matrix("asymmetric_pairs:0.4", num_classes=10, superclasses=SUPERCLASSES, seed=0)
    assert sorted(map(tuple, np.argwhere(matrix == 0.4).tolist())) == [(1, 4), (2, 5), (3, 6), (4, 1), (5, 2), (6, 3)]


def test_the_cycle_moves_every_class_to_the_next_of_its_superclass() -> None:
    labels = np.arange(50_000) % 100
    found = noise.corrupt(labels, "asymmetric_cycle:0.4", num_classes=100, superclasses=COARSE)
    assert abs(found.rate - 0.4) <= 3 * math.sqrt(0.24 / 50_000)
    matrix = noise.transition_matrix("asymmetric_cycle:0.4", num_classes=10, superclasses=SUPERCLASSES)
    moved = sorted(map(tuple, np.argwhere(matrix == 0.4).tolist()))
    assert moved == [(0, 2), (1, 4), (2, 5), (3, 6), (4, 9), (5, 7), (6, 3), (7, 0), (9, 1)]
    assert matrix[8, 8] == 1


@pytest.mark.parametrize("spec", ["asymmetric_pairs:0.4", "asymmetric_cycle:0.4"])
def test_noise_within_superclasses_needs_them(spec: str) -> None:
    for superclasses in (None, (0, 1)):
        with pytest.raises(SpecError) as caught:
            noise.corrupt(LABELS, spec, num_classes=10, superclasses=superclasses)
        one_sentence(caught.value, spec.split(":")[0], "each of the 10 classes")


@pytest.mark.parametrize("flips", [None, {}])
def test_plain_asymmetric_noise_on_superclasses_is_two_things_and_refused(flips: dict[int, int] | None) -> None:
    with pytest.raises(SpecError) as caught:
        noise.corrupt(LABELS, "asymmetric:0.4", num_classes=100, superclasses=COARSE, flips=flips)
    one_sentence(caught.value, "asymmetric_pairs", "asymmetric_cycle")


def test_a_data_set_of_ten_classes_without_look_alikes_is_not_taken_for_cifar10() -> None:
    with pytest.raises(SpecError) as caught:
        noise.corrupt(LABELS, "asymmetric:0.4", num_classes=10, flips={})
    one_sentence(caught.value, "flips=", "no look-alikes")


def write_matrix(path: Path, matrix: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, matrix)
    else:
        np.savetxt(path, matrix, delimiter="," if path.suffix == ".csv" else " ")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".npy"])
def test_a_matrix_from_a_file_is_drawn_from_as_it_is(tmp_path: Path, suffix: str) -> None:
    """Class 1 loses half of its labels, class 2 goes astray."""
    matrix = np.array([[1, 0, 0], [0, 0.5, 0], [0.3, 0.3, 0.4]])
    path = write_matrix(tmp_path / f"T{suffix}", matrix)
    found = noise.corrupt(np.arange(30_000) % 3, f"matrix:{path}", num_classes=3)
    assert found.asked is not None
    np.testing.assert_allclose(found.asked, matrix, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.transition, matrix, rtol=0, atol=3 * math.sqrt(0.25 / 10_000))
    assert (found.labels == -1).double().mean() == pytest.approx(1 / 6, abs=0.01)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("T.csv", "0.5,0.5\n0,1", ["3 x 3", "found 2 x 2"]),
        ("T.csv", "1,0,0\n0,1.1,0\n0,0,1", ["[0, 1]", "found 1.1"]),
        ("T.csv", "1,0,0\n0,nan,0\n0,0,1", ["[0, 1]", "found nan"]),
        ("T.txt", "1 0 0\n0 1 0\n.5 0 .6", ["row 2", "1.100000"]),
        ("T.txt", "a b c", ["no matrix of numbers", "'a'"]),
        ("T.csv", "1,0,0\n0,1", ["no matrix of numbers"]),
        ("T.csv", "", ["found 0"]),
        ("T.npy", "", ["no matrix of numbers"]),
        ("T.json", "[]", [".csv, .txt or .npy"]),
    ],
)
def test_a_file_without_a_transition_matrix_is_refused(
    tmp_path: Path, name: str, content: str, words: list[str]
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SpecError) as caught:
        noise.corrupt([0, 1, 2], f"matrix:{tmp_path / name}", num_classes=3)
    one_sentence(caught.value, name, *words)


def test_a_matrix_that_is_not_there_or_is_a_pickle_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "pickled.npy", np.array([{}]), allow_pickle=True)
    for name, word in (("missing.csv", "cannot be read"), ("pickled.npy", "allow_pickle")):
        with pytest.raises(SpecError) as caught:
            noise.corrupt([0, 1, 2], f"matrix:{tmp_path / name}", num_classes=3)
        one_sentence(caught.value, name, word)


def test_an_example_of_no_class_is_wrong_whatever_it_is_called_and_in_no_row() -> None:
    given, clean = np.array([0, 1, 1, -1, 2]), np.array([0, 0, -1, -1, 2])
    found = noise.describe(given, clean, 3, kind=np.array([0, 0, 1, 1, 2]))
    assert found.mislabelled.tolist() == [False, True, True, False, False]
    assert found.rate == 0.4
    assert found.transition.tolist() == [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]]
    assert found.kind.tolist() == [0, 0, 1, 1, 2]


def test_a_registered_draw_gets_what_it_takes_and_is_checked() -> None:
    answers: list[Any] = [np.array([2, -1]), np.array([3, 0]), np.array([0.5, 1]), np.array([1])]

    @NOISES.register("answers", label="answers", source="this test", draws=True)
    def draw(clean: np.ndarray, *, turn: int, rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
        assert len(images) == len(clean)
        return answers[turn] if rng.random() == np.random.default_rng(4).random() else clean

    found = noise.corrupt([0, 1], "answers:turn=0", num_classes=3, seed=4, images=np.zeros((2, 1)))
    assert found.labels.tolist() == [2, -1]
    assert found.asked is None
    assert not noise.depends_on_class_only("answers:turn=0")
    for turn, words in ((1, "-1 to 2"), (2, "float64"), (3, "(1,)")):
        with pytest.raises(ValueError, match="answers") as caught:
            noise.corrupt([0, 1], f"answers:turn={turn}", num_classes=3, seed=4, images=np.zeros((2, 1)))
        one_sentence(caught.value, words)
    with pytest.raises(SpecError) as refused:
        noise.transition_matrix("answers:turn=0", num_classes=3)
    one_sentence(refused.value, "realised")


def test_every_noise_states_its_convention() -> None:
    for name, entry in NOISES.entries.items():
        assert entry.label, name
        assert len(entry.source) > 10, name


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
    found = noise.corrupt(torch.from_numpy(LABELS), spec, num_classes=10, seed=3, **known(spec))
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
