"""What a data set is before noise and splits: pixels as they were stored, true labels, and how to normalise."""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Source:
    """A data set before noise and splits.

    images [N, channels, H, W] uint8, the one copy that all runs share; true labels [N]; ``pool``, the rows that
    train and validate, in the order in which a split is to take them, and ``test``, the rows of the test set that the
    data set comes with (empty where a split has to cut one), increasing; the classes' names; ``scale``, the value of
    a white pixel; ``mean`` and ``std`` of images / scale over the pool, one a channel; ``files``, a name a row where
    the data have such.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    pool: NDArray[np.int64]
    test: NDArray[np.int64]
    classes: tuple[str, ...]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    files: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """The checksum that names the data set: SHA-256 over the stored pixels and the true labels."""
        return sha256(self.images, self.labels)


@dataclass(frozen=True)
class Normal:
    """How pixels become numbers around 0: (x / scale - mean) / std, one mean and deviation a channel."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return uint8 pixels [N, channels, H, W] as float32 of the same shape."""
        mean, std = (_on_device(values, pixels.device) for values in (self.mean, self.std))
        return (pixels.float() / self.scale - mean) / std


@cache
def _on_device(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return numbers, one a channel, as [channels, 1, 1]; sent to the device once, for that makes it wait."""
    return torch.tensor(values, device=device)[:, None, None]


def statistics(images: NDArray[np.uint8], scale: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of images / scale a channel: [N, channels, H, W] -> two tuples.

    Both come from the exact counts of the 256 pixel values, so they are the same on any machine.
    """
    values = np.arange(256) / scale
    counts = np.zeros((images.shape[1], 256))
    for part in (images[start : start + 1000] for start in range(0, len(images), 1000)):  # few casts in memory
        counts += [np.bincount(channel.ravel(), minlength=256) for channel in part.swapaxes(0, 1)]
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    return tuple(map(float, mean)), tuple(map(float, np.sqrt(np.maximum(share @ values**2 - mean**2, 1e-12))))


def sha256(*arrays: NDArray[Any]) -> str:
    """Return the SHA-256 over the bytes of arrays, one after the other, in hexadecimal digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
