"""Noises that depend only on the true class: each is a transition matrix [C, C] from true class to given label.

If a row sums to less than 1, the rest is the chance that the label is missing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robustdl_lib.registry import NOISES, SpecError

Rate = Annotated[float, Field(ge=0, lt=1)]


Flips = Mapping[int, int]


CIFAR10_FLIPS: Flips = {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}
"""truck -> automobile, bird -> airplane, deer -> horse, cat <-> dog. Source: Patrini et al. 2017; GCE; ELR."""


DIGIT_FLIPS: Flips = {2: 7, 3: 8, 7: 1, 5: 6, 6: 5}
"""Look-alike digits: 2 -> 7, 3 -> 8, 7 -> 1, 5 <-> 6. Source: Patrini et al. 2017 (MNIST)."""


@NOISES.register("none", label="no noise", source="every given label is the true one")
def none(*, num_classes: int) -> NDArray[np.float64]:
    """No noise: the identity matrix [C, C]."""
    return np.eye(num_classes)


@NOISES.register("symmetric", label="symmetric", source="DM and ProSelfLC: the C - 1 other classes")
def symmetric(*, rate: Rate, num_classes: int) -> NDArray[np.float64]:
    """Symmetric noise over the other classes: T_ij = r / (C - 1) for j != i; the true rate is r.

    rate r in [0, 1) -> [C, C]. Source: the convention of DM (arXiv 1905.11233) and ProSelfLC.
    """
    matrix = np.full((num_classes, num_classes), rate / max(num_classes - 1, 1))
    np.fill_diagonal(matrix, 1.0 - rate)
    return matrix


@NOISES.register("symmetric_all", label="symmetric (all classes)", source="GCE and ELR: drawn from all C classes")
def symmetric_all(*, rate: Rate, num_classes: int) -> NDArray[np.float64]:
    """Symmetric noise over all classes, the own one among them: T = (1 - r) I + r / C; true rate r (C - 1) / C.

    rate r in [0, 1) -> [C, C]. Source: the convention of GCE (arXiv 1805.07836) and ELR (arXiv 2007.00151).
    """
    return (1.0 - rate) * np.eye(num_classes) + rate / num_classes


@NOISES.register("asymmetric", label="asymmetric", source="Patrini et al. 2017: look-alike classes")
def asymmetric(*, rate: Rate, num_classes: int, flips: Flips) -> NDArray[np.float64]:
    """Asymmetric noise: with probability r a class in ``flips`` becomes its look-alike; the others stay.

    rate r in [0, 1), flips {class: look-alike} -> [C, C]. Source: Patrini et al. 2017 (arXiv 1609.03683).
    """
    matrix = np.eye(num_classes)
    for source, look_alike in flips.items():
        matrix[source, source], matrix[source, look_alike] = 1.0 - rate, rate
    return matrix


@NOISES.register("missing", label="missing", source="Lee 2013: few labels, many images")
def missing(*, rate: Rate, num_classes: int) -> NDArray[np.float64]:
    """Missing labels: with probability r an example has none (-1), else the true one: T = (1 - r) I.

    rate r in [0, 1) -> [C, C]. Methods that need a label leave such an example out; ``pseudo`` and ``joint`` use it.
    """
    return (1.0 - rate) * np.eye(num_classes)


@NOISES.register(
    "asymmetric_pairs",
    label="asymmetric (pairs)",
    source="ProSelfLC (arXiv 2005.03788): in each true superclass two classes, drawn by the seed, swap labels",
)
def asymmetric_pairs(
    *, rate: Rate, num_classes: int, superclasses: Sequence[int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Asymmetric noise in pairs: in each superclass two classes A, B are drawn; A -> B and B -> A with probability r.

    rate r in [0, 1), superclasses [C] -> [C, C]. On CIFAR-100 two classes of five are touched: r = .4 makes 16 % of
    the labels wrong. Source: Wang et al. 2021, ProSelfLC (arXiv 2005.03788), section 5. A superclass of one class
    stays as it is. Raises SpecError where the superclasses are not known.
    """
    matrix, order = np.eye(num_classes), rng.random(num_classes)
    for members in _members("asymmetric_pairs", superclasses, num_classes):
        if len(members) > 1:
            first, second = members[np.argsort(order[members], kind="stable")[:2]]
            matrix[[first, second], [first, second]] = 1.0 - rate
            matrix[[first, second], [second, first]] = rate
    return matrix


@NOISES.register(
    "asymmetric_cycle",
    label="asymmetric (cycle)",
    source="ELR's flips (arXiv 2007.00151), in the true superclasses: every class to the next one of its superclass",
)
def asymmetric_cycle(*, rate: Rate, num_classes: int, superclasses: Sequence[int]) -> NDArray[np.float64]:
    """Asymmetric noise in a circle: with probability r a class becomes the next of its superclass, the last the first.

    rate r in [0, 1), superclasses [C] -> [C, C]; the overall rate is r. The next class is the one with the next
    number. Source: ELR (arXiv 2007.00151) and SCE (arXiv 1908.06112), whose code takes five consecutive numbers for a
    superclass; here the superclasses are the true ones. A superclass of one class stays as it is. Raises SpecError
    where the superclasses are not known.
    """
    matrix = np.eye(num_classes)
    for members in _members("asymmetric_cycle", superclasses, num_classes):
        if len(members) > 1:
            matrix[members, members] = 1.0 - rate
            matrix[members, np.roll(members, -1)] = rate
    return matrix


@NOISES.register(
    "matrix", label="matrix from a file", source="row: true class, column: given label; the rest of 1: missing"
)
def matrix_from_file(*, path: str, num_classes: int) -> NDArray[np.float64]:
    """Any transition matrix, from a .csv, .txt (numbers parted by commas or blanks) or .npy file.

    Row i holds the probabilities of the labels given to class i, [C, C] in [0, 1]; a row that sums to less than 1
    leaves the rest of the labels missing. Sums within 1e-6 of 1 are scaled to 1. Raises SpecError for a file that
    cannot be read or does not hold such a matrix.
    """
    matrix, where = _read_numbers(Path(path).expanduser()), f"noise 'matrix': {path}"
    if matrix.shape != (num_classes, num_classes):
        found = " x ".join(map(str, matrix.shape))
        raise SpecError(f"{where} must hold {num_classes} x {num_classes} probabilities, found {found}")
    if not ((matrix >= 0) & (matrix <= 1)).all():
        outside = matrix[~((matrix >= 0) & (matrix <= 1))][0]
        raise SpecError(f"{where} must hold probabilities in [0, 1], found {outside:g}")
    sums = matrix.sum(axis=1)
    worst = int(sums.argmax())
    if sums[worst] > 1 + 1e-6:
        raise SpecError(
            f"{where}: a row must sum to 1, or to less where labels are missing, row {worst} sums to {sums[worst]:.6f}"
        )
    return np.where(np.abs(sums - 1)[:, None] <= 1e-6, matrix / np.where(sums > 0, sums, 1)[:, None], matrix)


def _members(name: str, superclasses: Sequence[int] | None, num_classes: int) -> list[NDArray[np.int64]]:
    """Return the classes of each superclass, both in the order of their numbers."""
    if superclasses is None or len(superclasses) != num_classes:
        found = "none" if superclasses is None else str(len(superclasses))
        raise SpecError(f"noise {name!r} needs the superclass of each of the {num_classes} classes, found {found}")
    coarse = np.asarray(superclasses)
    return [np.flatnonzero(coarse == value) for value in np.unique(coarse)]


def _read_numbers(path: Path) -> NDArray[np.float64]:
    readers = {".npy": _read_npy, ".csv": _read_text, ".txt": _read_text}
    if path.suffix not in readers:
        raise SpecError(f"noise 'matrix' reads a .csv, .txt or .npy file, found {str(path)!r}")
    try:
        return readers[path.suffix](path)
    except OSError as error:
        raise SpecError(f"noise 'matrix': {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, TypeError) as error:
        reason = " ".join(str(error).split())[:200].replace(". ", ", ").rstrip(".")
        raise SpecError(f"noise 'matrix': {path} holds no matrix of numbers: {reason}") from None


def _read_npy(path: Path) -> NDArray[np.float64]:
    return np.load(path, allow_pickle=False).astype(np.float64)


def _read_text(path: Path) -> NDArray[np.float64]:
    lines = [line.replace(",", " ").split() for line in path.read_text().splitlines() if line.strip()]
    return np.array([[float(number) for number in line] for line in lines], dtype=np.float64)
