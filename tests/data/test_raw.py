"""Pixels and how they become numbers: exact statistics, one mean and deviation a channel."""

import numpy as np
import torch

from robustdl_lib.data.raw import Normal, statistics


def images(count: int = 2500) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 4, 5), dtype=np.uint8) // [[[1]], [[2]], [[3]]]


def test_statistics_are_those_of_each_channel() -> None:
    mean, std = statistics(images().astype(np.uint8), 255.0)
    floats = images() / 255.0
    np.testing.assert_allclose(mean, floats.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, floats.std(axis=(0, 2, 3)), rtol=1e-12)


def test_a_constant_image_has_a_deviation_that_can_be_divided_by() -> None:
    mean, std = statistics(np.full((3, 1, 2, 2), 7, dtype=np.uint8), 255.0)
    assert mean == (7 / 255,)
    assert 0 < std[0] < 1e-5


def test_normalised_pixels_have_mean_0_and_deviation_1() -> None:
    pixels = images().astype(np.uint8)
    found = Normal(255.0, *statistics(pixels, 255.0))(torch.from_numpy(pixels))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)
