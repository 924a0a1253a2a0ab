"""Augmentation only moves pixels, and its generator decides how."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad as pad_images

from robustdl_lib import data


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
