"""Label noise: labels in, labels out.

A class-conditional noise is a transition matrix: row i holds the probabilities of the labels that an example of
true class i is given; what a row lacks of 1 is the chance that the label is missing. Its rate is the chance of a
wrong label. Each noise is a function from its knobs to that matrix; :func:`corrupt` draws from it once and says what
came out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from robustdl_lib.registry import NOISES, SpecError

Rate = Annotated[float, Field(ge=0, lt=1)]
Flips = Mapping[int, int]
MISSING = -1

CIFAR10_FLIPS: Flips = {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}
"""truck -> automobile, bird -> airplane, deer -> horse, cat <-> dog. Source: Patrini et al. 2017; GCE; ELR."""

DIGIT_FLIPS: Flips = {2: 7, 3: 8, 7: 1, 5: 6, 6: 5}
"""Look-alike digits: 2 -> 7, 3 -> 8, 7 -> 1, 5 <-> 6. Source: Patrini et al. 2017 (MNIST)."""


@dataclass(frozen=True)
class NoisyLabels:
    """What :func:`corrupt` returns: given and true labels [N], where they differ, and what came out.

    ``transition`` [C, C] is the realised matrix (counts over the row's total, the identity for a class without
    examples) and ``rate`` the realised share of wrong labels. A missing label is -1, and is not wrong.
    """

    labels: Tensor
    clean: Tensor
    mislabelled: Tensor
    transition: Tensor
    rate: float


@NOISES.register("none", label="no noise", source="")
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


def transition_matrix(spec: str, *, num_classes: int, flips: Flips | None = None) -> NDArray[np.float64]:
    """Return the asked-for matrix [C, C] of a noise spec. Raises :class:`SpecError` on a bad spec.

    Rows sum to 1, or to less where a label may be missing.

    ``flips`` names the look-alikes of asymmetric noise; without it ten classes are taken to be CIFAR-10's.
    """
    parsed = NOISES.parse(spec)
    context: dict[str, Any] = {"num_classes": num_classes}
    if parsed.name == "asymmetric":
        context["flips"] = _known_flips(flips, num_classes)
    return parsed.entry.function(**parsed.knobs, **context)


def corrupt(
    labels: Tensor | Sequence[int] | NDArray[np.integer],
    spec: str,
    *,
    num_classes: int,
    seed: int = 0,
    images: Tensor | None = None,
    superclasses: Sequence[int] | None = None,
    flips: Flips | None = None,
) -> NoisyLabels:
    """Draw a noisy label for each true one: y' ~ T[y], one uniform number an example.

    labels [N] integers in [0, C), spec such as ``"symmetric:0.4"``, seed of the draw -> :class:`NoisyLabels`.
    The same labels, spec and seed give the same result on any machine. ``images`` and ``superclasses`` serve
    noises that look at them; those registered so far do not. ``flips`` are the look-alikes of asymmetric noise;
    without them ten classes are taken to be CIFAR-10's.
    Raises ValueError for labels outside [0, C), :class:`SpecError` for an unknown noise or a rate outside [0, 1).
    """
    clean = _checked_labels(labels, num_classes)
    matrix = transition_matrix(spec, num_classes=num_classes, flips=flips)
    drawn = np.random.default_rng(seed).random(len(clean))
    upper = matrix.cumsum(axis=1)
    whole = upper[:, -1] > 1.0 - 1e-9
    upper[whole, -1] = np.inf  # rounding must not leave the last class short of 1
    given = (drawn[:, None] >= upper[clean]).sum(axis=1)
    given[given == num_classes] = MISSING
    return describe(given, clean, num_classes)


def describe(given: NDArray[np.integer], clean: NDArray[np.integer], num_classes: int) -> NoisyLabels:
    """Put given and true labels [N] together with the realised matrix and rate."""
    counts = np.zeros((num_classes, num_classes))
    labelled = given != MISSING
    np.add.at(counts, (clean[labelled], given[labelled]), 1.0)
    totals = np.bincount(clean, minlength=num_classes)[:, None]
    transition = np.where(totals > 0, counts / np.maximum(totals, 1.0), np.eye(num_classes))
    wrong = labelled & (given != clean)
    return NoisyLabels(
        labels=torch.from_numpy(given.astype(np.int64)),
        clean=torch.from_numpy(clean.astype(np.int64)),
        mislabelled=torch.from_numpy(wrong),
        transition=torch.from_numpy(transition),
        rate=float(wrong.sum() / max(len(wrong), 1)),
    )


def _checked_labels(labels: Any, num_classes: int) -> NDArray[np.int64]:
    clean = np.asarray(labels)
    if clean.ndim != 1 or (clean.size and not np.issubdtype(clean.dtype, np.integer)):
        raise ValueError(f"labels must be a row of integers, found {clean.dtype} of shape {clean.shape}")
    if clean.size and (clean.min() < 0 or clean.max() >= num_classes):
        found = f"{clean.min()} to {clean.max()}"
        raise ValueError(f"labels must lie in 0 to {num_classes - 1} for {num_classes} classes, found {found}")
    return clean.astype(np.int64)


def _known_flips(flips: Flips | None, num_classes: int) -> Flips:
    if flips is None and num_classes != 10:
        raise SpecError(f"asymmetric noise on {num_classes} classes needs flips={{class: look-alike}}")
    chosen = CIFAR10_FLIPS if flips is None else flips
    if any(not 0 <= label < num_classes for pair in chosen.items() for label in pair):
        raise SpecError(f"flips names a class outside 0 to {num_classes - 1}: {dict(chosen)}")
    return chosen
