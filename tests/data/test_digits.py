"""The digits are scikit-learn's, pixel by pixel, with a fixed stratified test set."""

import numpy as np
from sklearn.datasets import load_digits

from robustdl_lib.data.raw import Source
from robustdl_lib.registry import DATASETS


def test_digits_are_the_real_ones() -> None:
    raw, source = load_digits(), DATASETS["digits"]()
    assert isinstance(source, Source)
    assert source.images.dtype == np.uint8
    assert (source.images[:, 0] == raw.images).all()
    assert (source.labels == raw.target).all()
    assert source.classes == tuple("0123456789")


def test_every_digit_is_in_the_pool_or_in_the_test_set() -> None:
    source = DATASETS["digits"]()
    assert sorted([*source.pool, *source.test]) == list(range(1797))
    assert len(source.test) == 360
    assert np.abs(np.bincount(source.labels[source.test]) - 0.2 * np.bincount(source.labels)).max() < 1


def test_mean_and_deviation_are_those_of_the_pool() -> None:
    source = DATASETS["digits"]()
    seen = source.images[source.pool] / 16.0
    np.testing.assert_allclose([*source.mean, *source.std], [seen.mean(), seen.std()], rtol=1e-6)
