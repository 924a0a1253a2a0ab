"""Random crops and mirror images, drawn in batches on the device."""

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_images


def draw_crops(
    count: int, generator: torch.Generator, *, pad: int, flip: bool, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Draw a place for each of ``count`` crops, [count, 2] in 0 to 2 pad, and whether it is mirrored, [count]."""
    offsets = torch.randint(0, 2 * pad + 1, (2, count), generator=generator, device=device).T
    if not flip:
        return offsets, torch.zeros(count, dtype=torch.bool, device=device)
    return offsets, torch.rand(count, generator=generator, device=device) < 0.5


def crop(images: Tensor, offsets: Tensor, mirrored: Tensor, *, pad: int) -> Tensor:
    """Return each image cut at its own place from its padded self, and mirrored where asked.

    images [N, channels, H, W], offsets [N, 2], mirrored [N] -> the same shape, channels-last. Padded pixels are 0,
    the mean of normalised images.
    """
    height, width = images.shape[2:]
    rows = offsets[:, :1] + torch.arange(height, device=images.device)
    columns = offsets[:, 1:] + torch.arange(width, device=images.device)
    columns = torch.where(mirrored.unsqueeze(1), columns.flip(1), columns)
    channels_last = pad_images(images, (pad, pad, pad, pad)).permute(0, 2, 3, 1)
    which = torch.arange(len(images), device=images.device)[:, None, None]
    return channels_last[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def augment(images: Tensor, generator: torch.Generator, *, pad: int, flip: bool) -> Tensor:
    """Crop each image at its own random place after padding, and mirror half of them if ``flip``.

    images [N, channels, H, W] -> the same shape, drawn on the images' device by ``generator``.
    """
    offsets, mirrored = draw_crops(len(images), generator, pad=pad, flip=flip, device=images.device)
    return crop(images, offsets, mirrored, pad=pad)
