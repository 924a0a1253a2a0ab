"""CIFAR-10 and CIFAR-100 from their official python files: every checksum verified, then read into one array.

The files are pickles. Nothing in them is unpickled before its MD5 is the official one.
"""

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustdl_lib import files, paths
from robustdl_lib.data import downloads
from robustdl_lib.data.noise import CIFAR10_FLIPS
from robustdl_lib.data.raw import Source, statistics
from robustdl_lib.registry import DATASETS

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
ARCHIVES = {
    "cifar10": ("cifar-10-batches-py", "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
    "cifar100": ("cifar-100-python", "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
}
"""The folder of a data set, the official archive of it and its MD5. Source: torchvision's CIFAR10 and CIFAR100."""
POOL, TEST = 50_000, 10_000
OFFICIAL = "https://www.cs.toronto.edu/~kriz/"
NEEDED_BYTES = 400 * 2**20
"""An archive and what it holds, while both are there."""


PHOTOGRAPHS: dict[str, Any] = {
    "source": "Krizhevsky 2009, Learning multiple layers of features from tiny images",
    "pad": 4,
    "flip": True,
    "official_test": True,
}
"""What the two data sets have in common."""


@DATASETS.register(
    "cifar10",
    label="CIFAR-10",
    flips=CIFAR10_FLIPS,
    human="cifar10",
    partner="cifar100",
    **PHOTOGRAPHS,
)
def cifar10() -> Source:
    """60,000 photographs of 32x32 pixels in 10 classes, 6,000 of each: 50,000 in the pool, 10,000 to test.

    Read from ``cifar-10-batches-py`` in the data root. Raises :class:`robustdl_lib.data.downloads.DamagedData`, in
    one sentence, for a file that is not there or not the official one.
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
    superclasses=COARSE,
    human="cifar100",
    partner="cifar10",
    **PHOTOGRAPHS,
)
def cifar100() -> Source:
    """60,000 photographs of 32x32 pixels in 100 classes of 20 superclasses: 50,000 in the pool, 10,000 to test.

    Read from ``cifar-100-python`` in the data root. Raises as :func:`cifar10`.
    """
    return _source("cifar-100-python", b"fine_labels", "meta", b"fine_label_names")


def download(dataset: str) -> Path:
    """Bring ``"cifar10"`` or ``"cifar100"`` into the data root and return its folder; what is whole there stays.

    An official archive that lies in the data root is used; else it is fetched from the mirrors and the official
    address, and removed in the end. Raises OSError for a data root that cannot be written or has too little space,
    before any work, and what :mod:`robustdl_lib.data.downloads` raises.
    """
    name, archive, md5 = ARCHIVES[dataset]
    root = paths.data()
    if all(downloads.holds(root / name / file, md5) for file, md5 in FILES[name].items()):
        return root / name
    files.require_writable(root)
    if (free := shutil.disk_usage(root).free) < NEEDED_BYTES:
        raise OSError(
            f"too little space in {root}: {free / 2**20:.0f} MiB free, {NEEDED_BYTES / 2**20:.0f} MiB are needed"
        )
    was_there = (root / archive).exists()
    fetched = downloads.fetch(archive, md5, downloads.addresses(OFFICIAL + archive), root)
    downloads.unpack(fetched, FILES[name], root / name)
    if not was_there:
        (root / archive).unlink(missing_ok=True)
    return root / name


def read(folder: Path, name: str) -> dict[bytes, Any]:
    """Return a file's dictionary once its MD5 is the official one; raises as :func:`downloads.official`."""
    dataset = next(key for key, known in ARCHIVES.items() if known[0] == folder.name)
    command = f"python -m robustdl_lib download {dataset}"
    remedy = f"the command {command} fetches it, or ROBUSTDL_DATA names the folder that holds {folder.name}"
    return pickle.loads(downloads.official(folder / name, FILES[folder.name][name], remedy), encoding="bytes")


def _source(name: str, key: bytes, meta: str, words: bytes) -> Source:
    """Read the files one at a time into one array, so that little more than it is ever in memory."""
    folder = paths.data() / name
    classes = tuple(word.decode() for word in read(folder, meta)[words])
    images = np.empty((POOL + TEST, 3, 32, 32), dtype=np.uint8)
    labels = np.empty(POOL + TEST, dtype=np.int64)
    start = 0
    for file in (file for file in FILES[name] if file != meta):
        start = _fill(images, labels, start, read(folder, file), key)
    mean, std = statistics(images[:POOL], 255.0)
    return Source(images, labels, np.arange(POOL), np.arange(POOL, POOL + TEST), classes, 255.0, mean, std)


def _fill(images: NDArray[np.uint8], labels: NDArray[np.int64], start: int, batch: dict[bytes, Any], key: bytes) -> int:
    end = start + len(batch[key])
    images[start:end] = batch[b"data"].reshape(-1, 3, 32, 32)
    labels[start:end] = batch[key]
    return end
