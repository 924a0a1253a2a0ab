"""Data: fixed disjoint splits, noise drawn once and never on the test set, augmentation that only moves pixels."""

import numpy as np
import pytest
import torch
from helpers.cases import one_sentence, smoke

from robustdl_lib import data
from robustdl_lib.config import ConfigError
from robustdl_lib.data.noise import DIGIT_FLIPS
from robustdl_lib.data.raw import Source
from robustdl_lib.registry import DATASETS


@pytest.fixture(scope="module")
def source() -> Source:
    return data.load_source("digits")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Source:
    """A data set with a test set of its own: 300 random images in three classes, 240 of them in the pool."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 3, 6, 6), dtype=np.uint8)
    labels, rows = np.arange(300) % 3, np.arange(300)
    made = Source(images, labels, rows[:240], rows[240:], ("a", "b", "c"), 255.0, (0.5,) * 3, (0.3,) * 3)
    DATASETS.register("benchmark", label="benchmark", source="a test", pad=4, flip=True, official_test=True)(
        lambda: made
    )
    return made


def rows_of(loaded: data.Data) -> list[np.ndarray]:
    return [split.rows.numpy() for split in (loaded.train, loaded.val, loaded.test)]


@pytest.mark.parametrize("split", ["stratified", "random", "clustered:distance=0.3"])
def test_every_digit_is_in_one_split(split: str) -> None:
    found = rows_of(data.load(smoke(split=split)))
    assert sorted(np.concatenate(found)) == list(range(1797))
    assert [len(rows) for rows in found] == pytest.approx([1257, 180, 360], rel=0.02)


def test_stratified_is_the_default_and_the_digits_test_set_is_always_the_same(
    digits: data.Data, source: Source
) -> None:
    for other in (data.load(smoke(split="stratified")), data.load(smoke(split_seed=3))):
        assert (other.test.rows.numpy() == source.test).all()
    assert [len(rows) for rows in rows_of(digits)] == [1257, 180, 360]
    expected = np.bincount(source.labels) / 1797
    for rows in rows_of(digits):
        assert np.abs(np.bincount(source.labels[rows]) - len(rows) * expected).max() < 1.5


def test_the_split_seed_parts_train_and_validation(digits: data.Data) -> None:
    other = data.load(smoke(split_seed=1))
    assert not torch.equal(other.val.rows, digits.val.rows)
    assert torch.equal(other.test.rows, digits.test.rows)


def test_a_benchmarks_own_test_set_stays_whatever_the_split(benchmark: Source) -> None:
    for split in ("stratified", "random", "clustered:distance=0.1"):
        loaded = data.load(smoke(dataset="benchmark", split=split, noise="symmetric:0.4", split_seed=2))
        train, val, test = rows_of(loaded)
        assert (test == benchmark.test).all()
        assert sorted([*train, *val]) == list(range(240))
        assert len(val) == 24


def test_small_images_are_moved_by_an_eighth_at_most(benchmark: Source, digits: data.Data) -> None:
    assert data.load(smoke(dataset="benchmark")).pad == digits.pad == 1


def test_fewer_examples_are_a_stratified_part_with_the_same_noise(benchmark: Source) -> None:
    whole = data.load(smoke(dataset="benchmark"))
    part = data.load(smoke(dataset="benchmark", examples=90))
    assert [len(rows) for rows in rows_of(part)] == [90, 9, 60]
    assert np.bincount(part.train.clean_labels).tolist() == [30, 30, 30]
    assert set(rows_of(part)[0]) <= set(rows_of(whole)[0])
    assert torch.equal(part.noise.labels, whole.noise.labels)
    with pytest.raises(ConfigError) as refusal:
        data.load(smoke(dataset="benchmark", examples=1000))
    one_sentence(refusal.value, "1000", "216")


def test_clean_validation_carries_no_noise_and_changes_nothing_else(digits: data.Data) -> None:
    clean = data.load(smoke(validation="clean"))
    assert not clean.val.mislabelled.any()
    assert torch.equal(clean.val.rows, digits.val.rows)
    assert torch.equal(clean.train.labels, digits.train.labels)


def test_the_pixels_are_one_uint8_tensor_that_all_splits_share(digits: data.Data, source: Source) -> None:
    assert digits.train.pixels.dtype == torch.uint8
    assert digits.train.pixels.data_ptr() == digits.val.pixels.data_ptr() == digits.test.pixels.data_ptr()
    given = data.load(smoke(), source)
    assert given.train.pixels.data_ptr() == source.images.ctypes.data


def test_noise_in_the_images_leaves_the_shared_ones_as_they_are(source: Source) -> None:
    before = source.images.copy()
    loaded = data.load(smoke(noise="adverse:wrong=0.2,ood=0.2,ambiguous=0.2"), source)
    assert (source.images == before).all()
    changed = (loaded.train.pixels.numpy() != source.images).any(axis=(1, 2, 3))
    assert not changed[loaded.test.rows].any()
    assert (changed[loaded.train.rows] <= (loaded.train.kind.numpy() > 0)).all()
    assert changed.sum() > 0.3 * len(loaded.noise.labels)
    assert (loaded.train.clean_labels[loaded.train.kind == 1] == -1).all()


def test_images_are_normalised_over_the_pool(digits: data.Data) -> None:
    seen = torch.cat([digits.train.images, digits.val.images])
    assert abs(seen.mean()) < 1e-5
    assert abs(seen.std() - 1) < 1e-3


def test_a_batch_is_part_of_the_images(digits: data.Data) -> None:
    index = torch.tensor([5, 0, 17])
    assert torch.equal(digits.val.batch(index), digits.val.images[index])
    assert torch.equal(torch.cat(list(digits.val.batches(50))), digits.val.images)
    assert digits.val.batch(index).is_contiguous(memory_format=torch.channels_last)


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


def test_a_split_carries_the_labels_of_its_own_rows(source: Source, digits: data.Data) -> None:
    for split in (digits.train, digits.val, digits.test):
        assert (split.clean_labels.numpy() == source.labels[split.rows]).all()
        assert (split.pixels[split.rows].numpy() == source.images[split.rows]).all()


def test_the_look_alikes_of_digits_are_used_for_asymmetric_noise() -> None:
    noise = data.load(smoke(noise="asymmetric:0.4")).noise
    assert set(noise.clean[noise.mislabelled].tolist()) == set(DIGIT_FLIPS)


def test_clean_is_clean() -> None:
    loaded = data.load(smoke(noise="none"))
    assert loaded.noise.rate == 0
    assert not loaded.train.mislabelled.any()


@pytest.mark.parametrize("name", DATASETS)
def test_a_data_set_says_how_it_may_be_augmented(name: str) -> None:
    facts = DATASETS.entry(name).facts
    assert facts.pad >= 0
    assert isinstance(facts.flip, bool)


def test_on_a_device_there_is_one_copy_of_the_pixels(digits: data.Data) -> None:
    moved = digits.to(torch.device("cpu"))
    assert torch.equal(moved.train.images, digits.train.images)
    assert moved.train.pixels is moved.val.pixels is moved.test.pixels
    assert moved.noise is digits.noise


def test_each_example_is_moved_on_its_own_and_stays_in_its_row() -> None:
    images = torch.arange(1.0, 101.0).reshape(100, 1, 1, 1).repeat(1, 1, 4, 4)
    moved = data.augment(images, torch.Generator().manual_seed(0), pad=1, flip=True)
    assert torch.equal(moved.amax((1, 2, 3)), images.amax((1, 2, 3)))
    assert len({tuple((one > 0).flatten().tolist()) for one in moved}) == 9


def test_the_data_are_pinned_by_their_hashes(digits: data.Data) -> None:
    assert digits.data_sha256[:16] == "65e5b4619795efb4"
    assert digits.labels_sha256[:16] == "0e57303857a1f20a"
