"""Label noise: labels in, labels out.

A class-conditional noise is a transition matrix: row i holds the probabilities of the labels that an example of
true class i is given; what a row lacks of 1 is the chance that the label is missing. Its rate is the chance of a
wrong label. Each such noise is a function from its knobs to that matrix; :func:`corrupt` draws from it once and says
what came out. A noise registered with ``draws=True`` looks at more than the class (the image, or what people said)
and returns the given labels themselves; one with ``changes_images=True`` (``adverse.py``) needs ``data.load``.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from robustdl_lib.registry import NOISES, Entry, SpecError

Rate = Annotated[float, Field(ge=0, lt=1)]
Flips = Mapping[int, int]
MISSING = -1
"""The given label of an example that has none."""

NO_CLASS = -1
"""The true label of an example that belongs to no class."""

KINDS = ("ordinary", "out of distribution", "ambiguous")
"""What the codes 0, 1 and 2 of an example's ``kind`` say."""

DRAWS = 1000
"""How often a draw may be repeated until every class's rate is near the asked one; a handful is usual."""

CIFAR10_FLIPS: Flips = {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}
"""truck -> automobile, bird -> airplane, deer -> horse, cat <-> dog. Source: Patrini et al. 2017; GCE; ELR."""

DIGIT_FLIPS: Flips = {2: 7, 3: 8, 7: 1, 5: 6, 6: 5}
"""Look-alike digits: 2 -> 7, 3 -> 8, 7 -> 1, 5 <-> 6. Source: Patrini et al. 2017 (MNIST)."""


@dataclass(frozen=True)
class NoisyLabels:
    """What :func:`corrupt` returns: given and true labels [N], where they differ, and what came out.

    ``transition`` [C, C] is the realised matrix (counts over the row's total, the identity for a class without
    examples) and ``rate`` the realised share of wrong labels. A missing label is -1, and is not wrong. ``kind`` [N]
    uint8 holds codes of :data:`KINDS`. A true label of -1 says that no class is right: it is in no row of the matrix,
    and any label given to it is wrong. ``asked`` [C, C] is the matrix that was drawn from, None for a noise that has
    none.
    """

    labels: Tensor
    clean: Tensor
    mislabelled: Tensor
    transition: Tensor
    rate: float
    kind: Tensor
    asked: Tensor | None = None


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


def class_conditional(spec: str) -> bool:
    """Say whether a noise depends on the true class alone, so that :func:`transition_matrix` knows its matrix."""
    facts = NOISES.parse(spec).entry.facts
    return not (facts.draws or facts.changes_images)


def transition_matrix(
    spec: str,
    *,
    num_classes: int,
    flips: Flips | None = None,
    superclasses: Sequence[int] | None = None,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return the asked-for matrix [C, C] of a noise spec.

    Rows sum to 1, or to less where a label may be missing. ``flips`` names the look-alikes of asymmetric noise;
    without it ten classes are taken to be CIFAR-10's. ``superclasses`` [C] and ``seed`` serve the noises that flip
    within a superclass. Raises :class:`SpecError` on a bad spec, and for a noise that depends on more than the class.
    """
    parsed = NOISES.parse(spec)
    if not class_conditional(spec):
        raise SpecError(f"noise {spec!r} depends on more than the true class, so only a realised matrix is known")
    context: dict[str, Any] = {"num_classes": num_classes, "superclasses": superclasses}
    context["rng"] = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])  # not the stream of the labels
    if parsed.name == "asymmetric":
        context["flips"] = _known_flips(flips, superclasses, num_classes)
    return np.asarray(parsed.entry.function(**parsed.knobs, **_taken(parsed.entry, context)), dtype=np.float64)


def corrupt(
    labels: Tensor | Sequence[int] | NDArray[np.integer],
    spec: str,
    *,
    num_classes: int,
    seed: int = 0,
    images: Tensor | NDArray[Any] | None = None,
    superclasses: Sequence[int] | None = None,
    flips: Flips | None = None,
    human: Mapping[str, NDArray[np.integer]] | None = None,
) -> NoisyLabels:
    """Draw a noisy label for each true one: y' ~ T[y], one uniform number an example.

    For class-conditional noises the realised rate of each class lies within 3 standard errors of the asked one (of
    classes with a variance of at least 9 labels): a draw that misses that, one in four with 100 classes, is drawn
    again.

    labels [N] integers in [0, C), spec such as ``"symmetric:0.4"``, seed of the draw -> :class:`NoisyLabels`.
    The same labels, spec and seed (and images) give the same result on any machine. ``images`` [N, ...] serve
    ``instance``, ``human`` {name: labels [N]} the labels that people gave, ``superclasses`` [C] the asymmetric noises
    within a superclass. ``flips`` are the look-alikes of asymmetric noise; without them ten classes are taken to be
    CIFAR-10's; an empty mapping says that the data set has none.
    Raises ValueError for labels outside [0, C), :class:`SpecError` for an unknown noise, a rate outside [0, 1), and
    a noise that lacks what it looks at or changes images as well.
    """
    clean, parsed = _checked_labels(labels, num_classes), NOISES.parse(spec)
    if parsed.entry.facts.changes_images:
        raise SpecError(f"noise {spec!r} changes images as well as labels: load it with data.load")
    if parsed.entry.facts.draws:
        rng = np.random.default_rng(seed)
        context = {"rng": rng, "num_classes": num_classes, "images": images, "human": human}
        drawn = parsed.entry.function(clean, **parsed.knobs, **_taken(parsed.entry, context))
        return describe(_checked_draw(drawn, spec, len(clean), num_classes), clean, num_classes)
    matrix = transition_matrix(spec, num_classes=num_classes, flips=flips, superclasses=superclasses, seed=seed)
    return describe(_draw(matrix, clean, seed), clean, num_classes, asked=matrix)


def describe(
    given: NDArray[np.integer],
    clean: NDArray[np.integer],
    num_classes: int,
    kind: NDArray[np.integer] | None = None,
    asked: NDArray[np.float64] | None = None,
) -> NoisyLabels:
    """Put given and true labels [N] together with the realised matrix and rate; -1 says missing, or no right class."""
    counts = np.zeros((num_classes, num_classes))
    labelled, classed = given != MISSING, clean != NO_CLASS
    np.add.at(counts, (clean[labelled & classed], given[labelled & classed]), 1.0)
    totals = np.bincount(clean[classed], minlength=num_classes)[:, None]
    transition = np.where(totals > 0, counts / np.maximum(totals, 1.0), np.eye(num_classes))
    wrong = labelled & (given != clean)
    return NoisyLabels(
        labels=torch.from_numpy(given.astype(np.int64)),
        clean=torch.from_numpy(clean.astype(np.int64)),
        mislabelled=torch.from_numpy(wrong),
        transition=torch.from_numpy(transition),
        rate=float(wrong.sum() / max(len(wrong), 1)),
        kind=torch.from_numpy(np.zeros(len(given), np.uint8) if kind is None else kind.astype(np.uint8)),
        asked=None if asked is None else torch.from_numpy(asked),
    )


def _draw(matrix: NDArray[np.float64], clean: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Draw y' ~ T[y]; a draw in which a class's rate is astray is drawn again from the same stream."""
    rng, upper = np.random.default_rng(seed), matrix.cumsum(axis=1)
    whole = upper[:, -1] > 1.0 - 1e-9
    upper[whole, -1] = np.inf  # rounding must not leave the last class short of 1
    for _ in range(DRAWS):
        given = (rng.random(len(clean))[:, None] >= upper[clean]).sum(axis=1)
        given[given == len(matrix)] = MISSING
        if not _astray(given, clean, matrix):
            break
    return given


def _astray(given: NDArray[np.int64], clean: NDArray[np.int64], matrix: NDArray[np.float64]) -> bool:
    """Say whether a class keeps its label more or less often than T_ii, by more than 3 standard errors.

    Only classes with a variance of at least 9 labels are judged: in smaller ones 3 standard errors are less than 9
    labels, chance is not normal, and drawing again would change the rate itself.
    """
    count, chance = np.bincount(clean, minlength=len(matrix)), matrix.diagonal()
    kept = np.bincount(clean[given == clean], minlength=len(matrix))
    variance = count * chance * (1 - chance)
    return bool((np.abs(kept - count * chance) > 3 * np.sqrt(variance))[variance >= 9].any())


def _taken(entry: Entry, context: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of ``context`` the noise's function takes."""
    taken = inspect.signature(entry.function).parameters
    return {name: value for name, value in context.items() if name in taken}


def _checked_labels(labels: Any, num_classes: int) -> NDArray[np.int64]:
    clean = np.asarray(labels)
    if clean.ndim != 1 or (clean.size and not np.issubdtype(clean.dtype, np.integer)):
        raise ValueError(f"labels must be a row of integers, found {clean.dtype} of shape {clean.shape}")
    if clean.size and (clean.min() < 0 or clean.max() >= num_classes):
        found = f"{clean.min()} to {clean.max()}"
        raise ValueError(f"labels must lie in 0 to {num_classes - 1} for {num_classes} classes, found {found}")
    return clean.astype(np.int64)


def _checked_draw(drawn: Any, spec: str, count: int, num_classes: int) -> NDArray[np.int64]:
    given = np.asarray(drawn)
    if given.shape != (count,) or (count and not np.issubdtype(given.dtype, np.integer)):
        found = f"{given.dtype} of shape {given.shape}"
        raise ValueError(f"noise {spec!r} must return {count} integers, found {found}")
    if count and (given.min() < MISSING or given.max() >= num_classes):
        found = f"{given.min()} to {given.max()}"
        raise ValueError(f"noise {spec!r} must give labels in -1 to {num_classes - 1}, found {found}")
    return given.astype(np.int64)


def _known_flips(flips: Flips | None, superclasses: Sequence[int] | None, num_classes: int) -> Flips:
    if superclasses is not None and not flips:
        raise SpecError(
            "asymmetric noise on a data set with superclasses has two definitions, name one: asymmetric_pairs:r (two "
            "classes of a superclass swap labels) or asymmetric_cycle:r (every class to the next of its superclass)"
        )
    if flips is None and num_classes != 10:
        raise SpecError(f"asymmetric noise on {num_classes} classes needs flips={{class: look-alike}}")
    chosen = CIFAR10_FLIPS if flips is None else flips
    if not chosen:
        raise SpecError("asymmetric noise needs flips={class: look-alike}, and the data set names no look-alikes")
    if any(not 0 <= label < num_classes for pair in chosen.items() for label in pair):
        raise SpecError(f"flips names a class outside 0 to {num_classes - 1}: {dict(chosen)}")
    return chosen


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
