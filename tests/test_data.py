"""Data: fixed disjoint splits, noise drawn once and never on the test set, augmentation that only moves pixels."""

import numpy as np
import pytest
import torch
from conftest import smoke
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import pad as pad_images

from robustdl_lib import data
from robustdl_lib.noise import DIGIT_FLIPS
from robustdl_lib.registry import DATASETS


@pytest.fixture(scope="module")
def source() -> data.Source:
    return DATASETS["digits"](split_seed=0)


def test_digits_are_the_real_ones_and_every_one_is_in_one_split(source: data.Source) -> None:
    raw = load_digits()
    assert source.images.shape == (1797, 1, 8, 8)
    assert source.images.dtype == np.float32
    assert (source.labels == raw.target).all()
    assert [len(rows) for rows in (source.train, source.val, source.test)] == [1257, 180, 360]
    together = np.concatenate([source.train, source.val, source.test])
    assert sorted(together) == list(range(1797))


def test_images_are_the_pixels_up_to_one_shift_and_scale(source: data.Source) -> None:
    raw, ours = load_digits().images.ravel(), source.images.ravel()
    assert np.corrcoef(raw, ours)[0, 1] > 1 - 1e-6
    seen = source.images[np.concatenate([source.train, source.val])]
    assert abs(seen.mean()) < 1e-5
    assert abs(seen.std() - 1) < 1e-5


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_splits_are_stratified(source: data.Source, part: str) -> None:
    rows = getattr(source, part)
    expected = np.bincount(source.labels) * len(rows) / 1797
    assert np.abs(np.bincount(source.labels[rows]) - expected).max() < 1.5


def test_the_split_seed_parts_train_and_validation_and_leaves_the_test_set(source: data.Source) -> None:
    other = DATASETS["digits"](split_seed=1)
    assert (other.test == source.test).all()
    assert (other.val != source.val).any()
    assert (other.images == source.images).all()


def test_the_test_set_is_clean_and_train_and_validation_are_not(digits: data.Data) -> None:
    assert not digits.test.mislabelled.any()
    wrong = digits.train.mislabelled.sum() + digits.val.mislabelled.sum()
    assert wrong == digits.noise.mislabelled.sum()
    for split in (digits.train, digits.val):
        assert 0.3 < split.mislabelled.double().mean() < 0.5


def test_noise_does_not_depend_on_the_split(digits: data.Data) -> None:
    other = data.load(smoke(split_seed=1))
    assert torch.equal(digits.noise.labels, other.noise.labels)
    assert digits.labels_sha256 == other.labels_sha256
    assert digits.data_sha256 == other.data_sha256
    assert not torch.equal(digits.train.clean_labels, other.train.clean_labels)


def test_noise_depends_on_its_own_seed_alone(digits: data.Data) -> None:
    assert data.load(smoke(seed=5)).labels_sha256 == digits.labels_sha256
    other = data.load(smoke(noise_seed=1))
    assert other.labels_sha256 != digits.labels_sha256
    assert other.data_sha256 == digits.data_sha256


def test_a_split_carries_the_labels_of_its_own_rows(source: data.Source, digits: data.Data) -> None:
    for part in ("train", "val", "test"):
        split, rows = getattr(digits, part), getattr(source, part)
        assert (split.clean_labels.numpy() == source.labels[rows]).all()
        assert (split.images.numpy() == source.images[rows]).all()


def test_the_look_alikes_of_digits_are_used_for_asymmetric_noise() -> None:
    noise = data.load(smoke(noise="asymmetric:0.4")).noise
    assert set(noise.clean[noise.mislabelled].tolist()) == set(DIGIT_FLIPS)


def test_clean_is_clean() -> None:
    loaded = data.load(smoke(noise="none"))
    assert loaded.noise.rate == 0
    assert not loaded.train.mislabelled.any()


@pytest.mark.parametrize("name", DATASETS)
def test_a_data_set_says_how_it_may_be_augmented(name: str) -> None:
    meta = DATASETS.entry(name).meta
    assert meta["pad"] >= 0
    assert isinstance(meta["flip"], bool)


def test_on_a_device_the_images_are_channels_last_and_the_same(digits: data.Data) -> None:
    moved = digits.to(torch.device("cpu"))
    assert torch.equal(moved.train.images, digits.train.images)
    assert moved.train.images.is_contiguous(memory_format=torch.channels_last)
    assert moved.noise is digits.noise


def shifts(image: Tensor, pad: int, flip: bool) -> list[Tensor]:
    """Slow reference: every crop of the padded image, then every crop mirrored."""
    _, height, width = image.shape
    padded = pad_images(image, (pad, pad, pad, pad))
    places = [(row, column) for row in range(2 * pad + 1) for column in range(2 * pad + 1)]
    crops = [padded[:, row : row + height, column : column + width] for row, column in places]
    return crops + [crop.flip(2) for crop in crops] * flip


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("pad", [1, 2, 4])
def test_augmentation_is_one_of_the_crops_and_all_of_them_occur(pad: int, flip: bool) -> None:
    image = torch.arange(1.0, 2 * 5 * 7 + 1).reshape(2, 5, 7)
    images = image.repeat(1000, 1, 1, 1)
    moved = data.augment(images, torch.Generator().manual_seed(0), pad=pad, flip=flip)
    assert moved.shape == images.shape
    allowed = {tuple(crop.flatten().tolist()) for crop in shifts(image, pad, flip)}
    found = {tuple(one.flatten().tolist()) for one in moved}
    assert found <= allowed
    assert len(found) > 0.9 * len(allowed)


def test_each_example_is_moved_on_its_own_and_stays_in_its_row() -> None:
    images = torch.arange(1.0, 101.0).reshape(100, 1, 1, 1).repeat(1, 1, 4, 4)
    moved = data.augment(images, torch.Generator().manual_seed(0), pad=1, flip=True)
    assert torch.equal(moved.amax((1, 2, 3)), images.amax((1, 2, 3)))
    assert len({tuple((one > 0).flatten().tolist()) for one in moved}) == 9


def test_without_padding_and_mirroring_it_is_the_identity(digits: data.Data) -> None:
    moved = data.augment(digits.train.images, torch.Generator(), pad=0, flip=False)
    assert torch.equal(moved, digits.train.images)


def test_mirroring_takes_about_half() -> None:
    images = torch.arange(4.0).repeat(4000, 1, 1, 1)
    moved = data.augment(images, torch.Generator().manual_seed(0), pad=0, flip=True)
    mirrored = (moved[:, 0, 0, 0] == 3).double().mean().item()
    assert abs(mirrored - 0.5) < 3 * 0.5 / 4000**0.5


def test_augmentation_is_decided_by_its_generator(digits: data.Data) -> None:
    before = torch.get_rng_state()
    one, same, other = (
        data.augment(digits.val.images, torch.Generator().manual_seed(seed), pad=1, flip=True) for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_data_are_pinned_by_their_hashes(digits: data.Data) -> None:
    assert digits.data_sha256[:16] == "d0dea98adc1fd487"
    assert digits.labels_sha256[:16] == "0e57303857a1f20a"
