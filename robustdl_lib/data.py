"""Data sets as tensors, with their splits, and with noise drawn once for the whole of a data set."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import pad as pad_images

from robustdl_lib.config import RunConfig
from robustdl_lib.noise import DIGIT_FLIPS, NoisyLabels, corrupt
from robustdl_lib.registry import DATASETS


@dataclass(frozen=True)
class Source:
    """A data set before noise: images [N, channels, H, W] float32, true labels [N], and the rows of each split."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]
    num_classes: int


@dataclass(frozen=True)
class Split:
    """Images [N, channels, H, W] float32, normalised; labels as given [N]; true labels [N]."""

    images: Tensor
    labels: Tensor
    clean_labels: Tensor

    @property
    def mislabelled(self) -> Tensor:
        return (self.labels != self.clean_labels) & (self.labels >= 0)

    def to(self, device: torch.device) -> "Split":
        """Return the split on ``device``, its images in channels-last memory."""
        images = self.images.to(device, memory_format=torch.channels_last)
        return Split(images, self.labels.to(device), self.clean_labels.to(device))


@dataclass(frozen=True)
class Data:
    """What a run learns from and is measured on. Train and validation carry the noise, the test set does not.

    ``noise`` holds the draw for train and validation together, in the data set's order; ``pad`` and ``flip`` say
    how its images may be augmented; the two hashes name the images and the given labels.
    """

    train: Split
    val: Split
    test: Split
    num_classes: int
    noise: NoisyLabels
    pad: int
    flip: bool
    data_sha256: str
    labels_sha256: str

    def to(self, device: torch.device) -> "Data":
        """Return the same with its three splits on ``device``."""
        splits = {name: getattr(self, name).to(device) for name in ("train", "val", "test")}
        return Data(**{**self.__dict__, **splits})


@DATASETS.register(
    "digits",
    label="digits",
    source="Alpaydin and Kaynak 1998, UCI optical recognition of handwritten digits, as scikit-learn ships it",
    flips=DIGIT_FLIPS,
    pad=1,
    flip=False,
)
def digits(*, split_seed: int) -> Source:
    """The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn: 1,257 train, 180 validate, 360 test.

    The test set is always the same; ``split_seed`` parts the rest. Both cuts are stratified by the true class.
    """
    raw = load_digits()
    rest, test = train_test_split(np.arange(1797), test_size=360, random_state=0, stratify=raw.target)
    train, val = train_test_split(rest, test_size=180, random_state=split_seed, stratify=raw.target[rest])
    images = (raw.images[:, None] / 16.0).astype(np.float32)
    images = (images - images[np.sort(rest)].mean()) / images[np.sort(rest)].std()
    return Source(images, raw.target.astype(np.int64), np.sort(train), np.sort(val), np.sort(test), 10)


def load(cfg: RunConfig) -> Data:
    """Return the data of a run: loaded, split by ``split_seed``, its labels corrupted by ``noise_seed``.

    The noise is one draw over train and validation together, so it does not depend on the split. Raises SpecError
    for an unknown data set or noise, and what the data set's own loader raises for missing or short files.
    """
    spec = DATASETS.parse(cfg.dataset)
    source: Source = spec.entry.function(**spec.knobs, split_seed=cfg.split_seed)
    pool = np.sort(np.concatenate([source.train, source.val]))
    meta = spec.entry.meta
    noise = corrupt(
        source.labels[pool],
        cfg.noise,
        num_classes=source.num_classes,
        seed=cfg.noise_seed,
        images=torch.from_numpy(source.images[pool]),
        superclasses=meta.get("superclasses"),
        flips=meta.get("flips"),
    )
    given = source.labels.copy()
    given[pool] = noise.labels.numpy()
    return Data(
        train=_split(source, given, source.train),
        val=_split(source, given, source.val),
        test=_split(source, given, source.test),
        num_classes=source.num_classes,
        noise=noise,
        pad=meta["pad"],
        flip=meta["flip"],
        data_sha256=_sha256(source.images, source.labels),
        labels_sha256=_sha256(given),
    )


def augment(images: Tensor, generator: torch.Generator, *, pad: int, flip: bool) -> Tensor:
    """Crop each image at its own random place after padding, and mirror half of them if ``flip``.

    images [N, channels, H, W] -> the same shape, drawn on the images' device by ``generator``. Padded pixels are 0,
    the mean of normalised images.
    """
    count, _, height, width = images.shape
    offsets = torch.randint(0, 2 * pad + 1, (2, count), generator=generator, device=images.device)
    rows = offsets[0].unsqueeze(1) + torch.arange(height, device=images.device)
    columns = offsets[1].unsqueeze(1) + torch.arange(width, device=images.device)
    if flip:
        mirrored = torch.rand(count, generator=generator, device=images.device) < 0.5
        columns = torch.where(mirrored.unsqueeze(1), columns.flip(1), columns)
    channels_last = pad_images(images, (pad, pad, pad, pad)).permute(0, 2, 3, 1)
    which = torch.arange(count, device=images.device)[:, None, None]
    return channels_last[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _split(source: Source, given: NDArray[np.int64], rows: NDArray[np.int64]) -> Split:
    return Split(*(torch.from_numpy(array[rows]) for array in (source.images, given, source.labels)))


def _sha256(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
