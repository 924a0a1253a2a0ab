"""Noise that depends on the image: at the rate asked for, by content, the same on any machine."""

import hashlib
import math

import numpy as np
import pytest
import torch
from helpers.cases import one_sentence
from scipy.stats import truncnorm

from robustdl_lib import noise
from robustdl_lib.data.noise import instance_dependent
from robustdl_lib.registry import SpecError

COUNT = 6000
LABELS = np.arange(COUNT) % 10


def pictures(count: int = COUNT, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 4, 4), dtype=np.uint8)


def drawn(rate: float = 0.4, seed: int = 0, images: np.ndarray | None = None) -> noise.NoisyLabels:
    images = pictures() if images is None else images
    return noise.corrupt(LABELS[: len(images)], f"instance:{rate}", num_classes=10, seed=seed, images=images)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.4, 0.6, 0.9])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_realised_rate_is_within_three_standard_errors_of_the_asked_one(rate: float, seed: int) -> None:
    found = drawn(rate, seed)
    assert abs(found.rate - rate) <= 3 * math.sqrt(rate * (1 - rate) / COUNT)
    assert found.asked is None
    assert int(found.labels.min()) == 0


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4, 0.97])
def test_flip_rates_are_a_normal_cut_on_both_sides_alike(rate: float) -> None:
    uniform = (np.arange(100_000) + 0.5) / 100_000
    found, reach = instance_dependent.flip_rates(rate, uniform), min(rate, 1 - rate)
    assert 0 <= found.min() <= found.max() <= 1
    assert found.mean() == pytest.approx(rate, abs=1e-6)
    if rate:
        expected = truncnorm.ppf(uniform, -reach / 0.1, reach / 0.1, loc=rate, scale=0.1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_the_published_cut_misses_low_rates() -> None:
    """Cut at 0 and 1, a normal around .1 has the mean .129: that is why it is cut on both sides alike here."""
    assert truncnorm.mean(-1, 9, loc=0.1, scale=0.1) == pytest.approx(0.129, abs=5e-4)
    assert truncnorm.mean(-2, 8, loc=0.2, scale=0.1) == pytest.approx(0.206, abs=1e-3)
    assert abs(truncnorm.mean(-4, 6, loc=0.4, scale=0.1) - 0.4) < 2e-5


def test_no_rate_is_no_noise() -> None:
    assert not drawn(0.0).mislabelled.any()


def test_a_draw_is_pinned_so_that_it_is_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(drawn().labels.numpy().astype("<i8").tobytes()).hexdigest()[:16]
    assert digest == "1ad72208bb67d5a4"
    assert torch.equal(drawn().labels, drawn().labels)
    assert not torch.equal(drawn().labels, drawn(seed=1).labels)


@pytest.mark.parametrize("chunk", [1, 7, 100_000])
def test_how_the_work_is_cut_does_not_matter(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    images = pictures(600)
    before = drawn(images=images).labels
    monkeypatch.setattr(instance_dependent, "CHUNK", chunk)
    assert torch.equal(drawn(images=images).labels, before)


def test_sums_are_exact_so_that_no_order_of_adding_matters() -> None:
    """Reversed, shuffled, and in whole numbers without a bound: always the same bits, at CIFAR's size."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    pixels = instance_dependent._Pixels(images).standardised(np.arange(8))
    weights = (
        np.round(rng.standard_normal((3072, 10)) / instance_dependent.WEIGHT_STEP) * instance_dependent.WEIGHT_STEP
    )
    scores, order = pixels @ weights, rng.permutation(3072)
    assert (pixels[:, order] @ weights[order] == scores).all()
    step = instance_dependent.PIXEL_STEP * instance_dependent.WEIGHT_STEP
    whole = (pixels / instance_dependent.PIXEL_STEP).astype(int).astype(object)
    exact = whole.dot((weights / instance_dependent.WEIGHT_STEP).astype(int).astype(object))
    assert (exact == (scores / step).astype(int)).all()
    assert np.abs(exact).max() < 2**53


def test_alike_images_are_mistaken_alike_and_others_otherwise() -> None:
    """Two motifs in one class: each has its favourite wrong label, far above the ninth of a blind draw."""
    motifs = pictures(2, seed=3)
    images = motifs[np.arange(4000) % 2]
    found = noise.corrupt(np.zeros(4000, int), "instance:0.4", num_classes=10, images=images)
    wrong, labels = found.mislabelled.numpy(), found.labels.numpy()
    counts = [np.bincount(labels[wrong & (np.arange(4000) % 2 == motif)], minlength=10) for motif in (0, 1)]
    favourites = [int(count.argmax()) for count in counts]
    assert favourites[0] != favourites[1]
    assert all(count.max() / count.sum() > 0.5 for count in counts)


def test_the_scale_and_the_kind_of_the_numbers_do_not_matter() -> None:
    images = pictures(600)
    before = drawn(images=images).labels
    assert torch.equal(drawn(images=images.astype(np.float64) * 2.0 - 64.0).labels, before)
    assert torch.equal(drawn(images=torch.from_numpy(images)).labels, before)


def test_images_of_one_colour_and_a_single_class_are_borne() -> None:
    flat = np.full((600, 3, 4, 4), 7, dtype=np.uint8)
    assert drawn(images=flat).rate == pytest.approx(0.4, abs=0.06)
    only = noise.corrupt(np.zeros(600, int), "instance:0.4", num_classes=1, images=flat)
    assert not only.mislabelled.any()


@pytest.mark.parametrize(("images", "word"), [(None, "found none"), (pictures(5), "found 5")])
def test_each_label_needs_an_image(images: np.ndarray | None, word: str) -> None:
    with pytest.raises(SpecError) as caught:
        noise.corrupt(LABELS, "instance:0.4", num_classes=10, images=images)
    one_sentence(caught.value, "looks at the images", str(COUNT), word)


def test_images_that_are_no_numbers_are_refused() -> None:
    images = pictures(600).astype(float)
    images[3, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="finite") as caught:
        drawn(images=images)
    one_sentence(caught.value)
