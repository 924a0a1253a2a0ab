"""Labels that people gave: CIFAR-10N and CIFAR-100N, read without trusting a pickle.

The label files are pickles inside a zip archive, so reading one could run any code. Here a file is read only when
its checksum is the published one, and then by torch's weights-only reader with numpy's array reconstruction allowed
and nothing else. Source: Wei et al. 2022, "Learning with Noisy Labels Revisited" (arXiv 2110.12088), CC BY-NC 4.0.
"""

import _codecs
import io
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct
from numpy.typing import NDArray
from pydantic import BeforeValidator

from robustdl_lib import files, paths
from robustdl_lib.data import downloads
from robustdl_lib.registry import NOISES, SpecError

FOLDER = "cifar-n"
ORIGIN = "https://github.com/UCSC-REAL/cifar-10-100n (folder data)"
OFFICIAL = "https://raw.githubusercontent.com/UCSC-REAL/cifar-10-100n/main/data/"
COMMAND = "python -m robustdl_lib download cifar-n"
CLEAN = "clean_label"
ALIASES = {"noisy": "fine"}
ALLOWED = (
    _reconstruct,
    (_reconstruct, "numpy.core.multiarray._reconstruct"),  # its name before numpy 2
    np.ndarray,
    np.dtype,
    type(np.dtype(np.int64)),
    _codecs.encode,
)
"""What a file may ask for when it is read: an array of integers, its type, and its bytes."""


@dataclass(frozen=True)
class LabelFile:
    """A file of CIFAR-N: its name, its published md5, and what it holds: ``names`` maps a label set to its key."""

    file: str
    md5: str
    count: int
    classes: int
    names: Mapping[str, str]


FILES = {
    "cifar10": LabelFile(
        file="CIFAR-10_human.pt",
        md5="96644db5574813cae939af5f7f2a0aec",
        count=50_000,
        classes=10,
        names={
            "worst": "worse_label",
            "aggregate": "aggre_label",
            "random1": "random_label1",
            "random2": "random_label2",
            "random3": "random_label3",
        },
    ),
    "cifar100": LabelFile(
        file="CIFAR-100_human.pt",
        md5="a67b45c1d7992051865b5c755bd68bb1",
        count=50_000,
        classes=100,
        names={"fine": "noisy_label"},
    ),
}
"""The label sets there are. Worst: one wrong label of three if there is any; aggregate: their majority."""

LabelSet = Annotated[
    Literal["worst", "aggregate", "random1", "random2", "random3", "fine"],
    BeforeValidator(lambda name: ALIASES.get(name, name)),
]


def labels(dataset: str, name: str, clean: NDArray[np.integer] | None = None) -> NDArray[np.int64]:
    """Return the labels [50000] that people gave to the training set of ``dataset``, in its own order.

    dataset ``cifar10`` or ``cifar100``, name ``worst``, ``aggregate``, ``random1`` to ``random3``, or ``fine`` (also
    called ``noisy``). ``clean`` [50000] are the data set's own labels, which the file's true labels must equal.
    Raises SpecError for a name that is not there, OSError for a missing file, ValueError for one that is not as
    published.
    """
    known = FILES.get(dataset)
    if known is None:
        raise SpecError(f"there are no human labels of {dataset!r}: there are those of {', '.join(FILES)}")
    key = known.names.get(ALIASES.get(name, name))
    if key is None:
        raise SpecError(f"there are no human labels {name!r} of {dataset}: there is {', '.join(known.names)}")
    arrays = read(dataset)
    if clean is not None and not np.array_equal(arrays[CLEAN], clean):
        raise ValueError(_another_order(dataset, arrays[CLEAN], np.asarray(clean)))
    return arrays[key]


def read(dataset: str) -> dict[str, NDArray[np.int64]]:
    """Return every label set of a file of CIFAR-N, the true labels (``clean_label``) among them.

    Raises OSError for a missing file; ValueError where the md5 is not the published one (both are named), where
    the file asks for anything but arrays of integers, and for arrays of another shape or range.
    """
    known = FILES[dataset]
    path = paths.data() / FOLDER / known.file
    found = _unpickle(path, downloads.official(path, known.md5, f"{COMMAND} fetches it from {ORIGIN}"))
    return {key: _checked_array(path, found, key, known) for key in (CLEAN, *known.names.values())}


def download() -> Path:
    """Bring the label files of CIFAR-N into the data root and return their folder; what is whole there stays.

    Raises OSError for a data root that cannot be written, before any work, and what
    :func:`robustdl_lib.data.downloads.fetch` raises.
    """
    folder = paths.data() / FOLDER
    lacking = [known for known in FILES.values() if not downloads.holds(folder / known.file, known.md5)]
    if lacking:
        files.require_writable(paths.data())
    for known in lacking:
        downloads.fetch(known.file, known.md5, downloads.addresses(OFFICIAL + known.file), folder)
    return folder


class Rows(Mapping[str, NDArray[np.int64]]):
    """The human labels of some rows of a training set: a mapping from a name to labels [M], read when asked for.

    ``rows`` [M] are places in the training set of ``dataset`` and ``clean`` [M] their own labels. Asking for a name
    raises what :func:`labels` raises, and ValueError where the file's true labels are not ``clean``.
    """

    def __init__(self, dataset: str, rows: NDArray[np.integer], clean: NDArray[np.integer]) -> None:
        self.dataset, self.rows, self.clean = dataset, rows, clean

    def __getitem__(self, name: str) -> NDArray[np.int64]:
        """Return the labels called ``name``."""
        if name not in self:
            raise KeyError(name)
        known = FILES[self.dataset]
        if self.rows.size and not 0 <= self.rows.min() <= self.rows.max() < known.count:
            found = f"{self.rows.min()} to {self.rows.max()}"
            raise ValueError(f"human labels of {self.dataset} are of rows 0 to {known.count - 1}, found rows {found}")
        arrays = read(self.dataset)
        if not np.array_equal(arrays[CLEAN][self.rows], self.clean):
            raise ValueError(_another_order(self.dataset, arrays[CLEAN][self.rows], self.clean))
        return arrays[known.names[name]][self.rows]

    def __contains__(self, name: object) -> bool:
        return self.dataset in FILES and name in FILES[self.dataset].names

    def __iter__(self) -> Iterator[str]:
        return iter(FILES[self.dataset].names if self.dataset in FILES else ())

    def __len__(self) -> int:
        return len(FILES[self.dataset].names) if self.dataset in FILES else 0


@NOISES.register(
    "human",
    label="human",
    source="CIFAR-10N and CIFAR-100N (Wei et al. 2022, arXiv 2110.12088): labels given by people, one set of them",
    draws=True,
    licence="CC BY-NC 4.0",
)
def human_labels(
    clean: NDArray[np.int64], *, labels: LabelSet, human: Mapping[str, NDArray[np.int64]] | None = None
) -> NDArray[np.int64]:
    """Return the labels that people gave: nothing is drawn, every seed gives the same.

    clean [N] true labels, ``labels`` the name of a label set, ``human`` the label sets [N] of exactly these examples;
    without it the true labels must be those of the whole training set of CIFAR-10 or CIFAR-100. -> given [N].
    Raises SpecError where there is no such label set, and what :func:`labels` raises.
    """
    known = _whole_training_set(clean) if human is None else human
    if labels not in known:
        there = f"there is {', '.join(known)}" if len(known) else "it has none"
        raise SpecError(f"noise 'human:{labels}': the data set has no human labels of this name, {there}")
    given = np.asarray(known[labels], dtype=np.int64)
    if given.shape != clean.shape:
        raise ValueError(f"human labels must be one an example, {len(clean)} in all, found shape {given.shape}")
    return given


def _whole_training_set(clean: NDArray[np.int64]) -> Rows:
    """Return the human labels of the data set whose training labels ``clean`` are."""
    for dataset, known in FILES.items():
        if len(clean) == known.count and np.array_equal(read(dataset)[CLEAN], clean):
            return Rows(dataset, np.arange(known.count), clean)
    there = " and ".join(f"{name} ({', '.join(known.names)})" for name, known in FILES.items())
    raise SpecError(
        f"noise 'human' knows the whole training sets of {there}, found {len(clean)} labels that are of neither; "
        f"give human= for other rows"
    )


def _unpickle(path: Path, content: bytes) -> dict[str, Any]:
    """Read a dict of arrays; whatever else the pickle asks for is refused and not run."""
    try:
        with torch.serialization.safe_globals(list(ALLOWED)):
            if foreign := torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content)):
                raise ValueError(f"it asks for {', '.join(sorted(foreign))}")
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except ValueError as error:
        raise ValueError(f"{path} holds more than arrays of integers and is not read: {error}") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is not an archive of arrays of integers: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a dict of label arrays, found a {type(found).__name__}")
    return found


def _checked_array(path: Path, found: dict[str, Any], key: str, known: LabelFile) -> NDArray[np.int64]:
    array = found.get(key)
    wanted = f"{known.count} integers from 0 to {known.classes - 1}"
    if not isinstance(array, np.ndarray) or array.dtype != np.int64 or array.shape != (known.count,):
        words = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{path}: {key} must be {wanted}, found {words}")
    if array.min() < 0 or array.max() >= known.classes:
        raise ValueError(f"{path}: {key} must be {wanted}, found {array.min()} to {array.max()}")
    return array


def _another_order(dataset: str, expected: NDArray[Any], found: NDArray[Any]) -> str:
    same = expected.shape == found.shape
    differ = f"{int((expected != found).sum())} of {len(expected)} differ" if same else f"found shape {found.shape}"
    return f"the true labels beside the human ones must be those of {dataset} in its own order, {differ}"
