"""CIFAR-10 and CIFAR-100 from their official python files: every checksum verified, then read into one array.

The files are pickles. Nothing in them is unpickled before its MD5 is the official one.
"""

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustdl_lib import paths
from robustdl_lib.noise import CIFAR10_FLIPS
from robustdl_lib.registry import DATASETS
from robustdl_lib.sources import Source, statistics

FILES: dict[str, dict[str, str]] = {
    "cifar-10-batches-py": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    "cifar-100-python": {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
}
"""The official files with their MD5, those of the pool first. Source: torchvision's CIFAR10 and CIFAR100."""


class DamagedData(ValueError):
    """A data file that is missing or not the official one; the message names it and both checksums."""


@DATASETS.register(
    "cifar10",
    label="CIFAR-10",
    source="Krizhevsky 2009, Learning multiple layers of features from tiny images",
    flips=CIFAR10_FLIPS,
    pad=4,
    flip=True,
    human="cifar10",
    partner="cifar100",
    official_test=True,
)
def cifar10() -> Source:
    """60,000 photographs of 32x32 pixels in 10 classes, 6,000 of each: 50,000 in the pool, 10,000 to test.

    Read from ``cifar-10-batches-py`` in the data root. Raises :class:`DamagedData`, in one sentence, for a file that
    is not there or not the official one.
    """
    return _source("cifar-10-batches-py", b"labels", "batches.meta", b"label_names")


COARSE = (
    *(4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7),
    *(6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10),
    *(16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16),
    *(12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13),
)
"""The true superclass, 0 to 19, of each of CIFAR-100's classes. Source: Krizhevsky 2009.

The classes are in alphabetical order, so blocks of five consecutive ones are not superclasses.
"""


@DATASETS.register(
    "cifar100",
    label="CIFAR-100",
    source="Krizhevsky 2009, Learning multiple layers of features from tiny images",
    superclasses=COARSE,
    pad=4,
    flip=True,
    human="cifar100",
    partner="cifar10",
    official_test=True,
)
def cifar100() -> Source:
    """60,000 photographs of 32x32 pixels in 100 classes of 20 superclasses: 50,000 in the pool, 10,000 to test.

    Read from ``cifar-100-python`` in the data root. Raises as :func:`cifar10`.
    """
    return _source("cifar-100-python", b"fine_labels", "meta", b"fine_label_names")


def verify(folder: Path, names: Sequence[str]) -> None:
    """Check the MD5 of each file; raises :class:`DamagedData` for the first that is missing or another."""
    for name in names:
        read(folder, name)


def read(folder: Path, name: str) -> dict[bytes, Any]:
    """Return a file's dictionary once its MD5 is the official one; raises :class:`DamagedData`."""
    path, expected = folder / name, FILES[folder.name][name]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DamagedData(
            f"{path} cannot be read ({error.strerror}): put the official {folder.name} there, or name the folder that"
            " holds it by ROBUSTDL_DATA"
        ) from None
    if (found := hashlib.md5(content, usedforsecurity=False).hexdigest()) != expected:
        raise DamagedData(
            f"{path} ({_looks(content)}) is not the official file: MD5 {expected} expected, {found} found"
        )
    return pickle.loads(content, encoding="bytes")


def _looks(content: bytes) -> str:
    """Say in words what the bytes of a damaged file look like."""
    start = content[:200].lstrip().lower()
    html = start.startswith((b"<!doctype", b"<html"))
    return f"{len(content):,} bytes" + (", a web page" if html else "")


def _source(name: str, key: bytes, meta: str, words: bytes) -> Source:
    """Read the files one at a time into one array, so that little more than it is ever in memory."""
    folder = paths.data() / name
    classes = tuple(word.decode() for word in read(folder, meta)[words])
    images = np.empty((60_000, 3, 32, 32), dtype=np.uint8)
    labels = np.empty(60_000, dtype=np.int64)
    start = 0
    for file in (file for file in FILES[name] if file != meta):
        start = _fill(images, labels, start, read(folder, file), key)
    mean, std = statistics(images[:50_000], 255.0)
    pool, test = np.arange(50_000), np.arange(50_000, 60_000)
    return Source(images, labels, pool, test, classes, 255.0, mean, std)


def _fill(images: NDArray[np.uint8], labels: NDArray[np.int64], start: int, batch: dict[bytes, Any], key: bytes) -> int:
    end = start + len(batch[key])
    images[start:end] = batch[b"data"].reshape(-1, 3, 32, 32)
    labels[start:end] = batch[key]
    return end
