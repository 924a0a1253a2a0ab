"""Label noise: labels in, labels out.

A class-conditional noise is a transition matrix: row i holds the probabilities of the labels that an example of
true class i is given; what a row lacks of 1 is the chance that the label is missing. Its rate is the chance of a
wrong label. Each such noise is a function from its knobs to that matrix; :func:`corrupt` draws from it once and says
what came out. A noise registered with ``draws=True`` looks at more than the class (the image, or what people said)
and returns the given labels themselves; one with ``changes_images=True`` (``corrupted_images.py``) needs ``data.load``.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robustdl_lib.data.noise.class_conditional import CIFAR10_FLIPS, DIGIT_FLIPS, Flips, matrix_from_file
from robustdl_lib.data.noise.labels import KINDS, MISSING, NO_CLASS, NoisyLabels, describe

from robustdl_lib.data.noise import corrupted_images, cifar_n, instance_dependent  # isort: skip
from robustdl_lib.registry import NOISES, Entry, SpecError

__all__ = [
    "CIFAR10_FLIPS",
    "DIGIT_FLIPS",
    "KINDS",
    "MISSING",
    "NO_CLASS",
    "NoisyLabels",
    "cifar_n",
    "corrupt",
    "corrupted_images",
    "depends_on_class_only",
    "describe",
    "instance_dependent",
    "matrix_from_file",
    "transition_matrix",
]
DRAWS = 1000
"""How often a draw may be repeated until every class's rate is near the asked one; a handful is usual."""


def depends_on_class_only(spec: str) -> bool:
    """Return whether a noise depends only on the true class, so that :func:`transition_matrix` knows its matrix."""
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
    if not depends_on_class_only(spec):
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
