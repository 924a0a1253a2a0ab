"""Adverse examples: images in, images out. Inputs of no class, and inputs of two.

Out of distribution: the image shows nothing of its label's kind, nor of any other class; its true label is -1.
Ambiguous: the image shows two objects of two classes and its label names one of them. Source: the talk, slides 7 and 8
(adverse cases: out of distribution, noisy, missing and ambiguous labels).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robustdl_lib.data.noise.labels import MISSING, NO_CLASS
from robustdl_lib.data.raw import Source
from robustdl_lib.registry import DATASETS, NOISES, Spec, SpecError

Share = Annotated[float, Field(ge=0, le=1)]
Images = NDArray[np.uint8]
Rows = NDArray[np.int64]

CHUNK = 512
CORNER = 3 / 8
"""Side of the corner that stands for the background, as a share of the image's side: 12 of 32 pixels."""

NEAR = {
    "cifar100": (
        *("bus", "pickup_truck", "streetcar", "tank", "tractor", "road"),  # automobile, truck
        *("fox", "wolf", "leopard", "lion", "tiger"),  # dog, cat
        "sea",  # ship
    ),
    "cifar10": ("automobile", "truck", "dog", "cat", "ship"),
}
"""Classes of one CIFAR that are near a class of the other and so are never taken for foreign.

No class stands in both data sets (Krizhevsky 2009 kept them apart). Left out all the same is what a person may rightly
call by a name of the other: road vehicles (automobile, truck), the families of dog and cat, and the two scenes in
which automobiles and ships are seen. The relation is read both ways, which leaves 88 classes of CIFAR-100 and five of
CIFAR-10: airplane, bird, deer, frog, horse.
"""


@dataclass(frozen=True)
class Mixed:
    """What an adverse noise makes of N examples: given and true labels [N], kind codes [N], and the changed images.

    A given label of -1 is missing; a true one of -1 says that no class is right. ``kind`` is 0, 1 or 2, see
    :data:`robustdl_lib.data.noise.KINDS`. ``rows`` [K], increasing, says whose images are replaced by ``images``
    [K, channels, H, W].
    """

    labels: Rows
    clean: Rows
    kind: NDArray[np.uint8]
    rows: Rows
    images: Images


@NOISES.register(
    "ood",
    label="out of distribution",
    source="an image is replaced by one of no class and keeps its label: other classes' images, its background, noise",
    changes_images=True,
)
def ood(
    images: Images,
    clean: Rows,
    *,
    rate: Share = 0.1,
    kind: Literal["other", "background", "noise"] = "other",
    rng: np.random.Generator,
    num_classes: int,
    others: Images | None = None,
) -> Mixed:
    """Replace each image with probability r by one that belongs to no class; it keeps its label, no class is right.

    images [N, channels, H, W] uint8, clean [N], rate r in [0, 1] -> :class:`Mixed`. kind ``other``: images of
    ``others`` [M, channels, H, W], none twice while they last; ``background``: see :func:`backgrounds`; ``noise``: see
    :func:`noise_images`. Raises SpecError for kind ``other`` on a data set that names no partner.
    """
    rows = np.flatnonzero(rng.random(len(clean)) < rate)
    return _mixed(clean.copy(), clean, rows, 1, _foreign(images, rows, kind, rng, others))


@NOISES.register(
    "ambiguous",
    label="ambiguous",
    source="two objects of two classes in one image, its label one of the two at random: both are right",
    changes_images=True,
)
def ambiguous(
    images: Images,
    clean: Rows,
    *,
    rate: Share = 0.1,
    how: Literal["halves", "blend"] = "halves",
    rng: np.random.Generator,
    num_classes: int,
    others: Images | None = None,
) -> Mixed:
    """Put with probability r an object of another class into an image; its label is one of the two at random.

    images [N, channels, H, W] uint8, clean [N], rate r in [0, 1] -> :class:`Mixed`. how ``halves``: the left half of
    one and the right half of the other, in random order; ``blend``: their mean. The other image is drawn from all of
    another class. Both classes are right, so the true label is the given one and nothing counts as mislabelled; kind 2
    says that it is not the whole truth. Raises SpecError where all examples are of one class.
    """
    rows, given = np.flatnonzero(rng.random(len(clean)) < rate), clean.copy()
    changed, given[rows] = _pairs(images, clean, rows, how, rng)
    return _mixed(given, given, rows, 2, changed)


@NOISES.register(
    "adverse",
    label="adverse cases",
    source="one case an example: out of distribution, ambiguous, wrong (one of the C - 1 others), missing, or ordinary",
    changes_images=True,
)
def adverse(
    images: Images,
    clean: Rows,
    *,
    wrong: Share = 0.2,
    ood: Share = 0.1,
    ambiguous: Share = 0.1,
    missing: Share = 0.0,
    rng: np.random.Generator,
    num_classes: int,
    others: Images | None = None,
) -> Mixed:
    """Mix all adverse cases: each example is one of them, with the chances given, or stays as it is.

    images [N, channels, H, W] uint8, clean [N]; the four chances lie in [0, 1] and sum to 1 at most -> :class:`Mixed`.
    Out of distribution are in equal parts backgrounds, noise images and, where ``others`` is given, other classes'
    images; ambiguous are halves of two images; a wrong label is one of the C - 1 others; a missing one is -1.
    Raises SpecError for chances that sum to more than 1.
    """
    chances = np.array([ood, ambiguous, wrong, missing])
    if chances.sum() > 1 + 1e-9:
        raise SpecError(f"noise 'adverse': its four chances must sum to at most 1, found {chances.sum():g}")
    case = np.searchsorted(chances.cumsum(), rng.random(len(clean)), side="right")
    foreign, double, false, unknown = (np.flatnonzero(case == index) for index in range(4))
    kinds = ("background", "noise") if others is None else ("background", "noise", "other")
    parts = [foreign[np.arange(len(foreign)) % len(kinds) == index] for index in range(len(kinds))]
    replaced = [_foreign(images, rows, kind, rng, others) for kind, rows in zip(kinds, parts, strict=True)]
    given, true = clean.copy(), clean.copy()
    halves, given[double] = _pairs(images, clean, double, "halves", rng)
    true[double] = given[double]
    given[false] = (clean[false] + 1 + _below(num_classes - 1, rng, len(false))) % num_classes
    given[unknown] = MISSING
    rows, kind = np.concatenate([*parts, double]), np.repeat([1, 2], [len(foreign), len(double)])
    return _mixed(given, true, rows, kind, np.concatenate([*replaced, halves]))


def wants_others(spec: Spec) -> bool:
    """Say whether an adverse noise uses the images of another data set, so that these are worth loading."""
    return spec.name == "adverse" or spec.values.get("kind") == "other"


def foreigners(partner: str) -> Images:
    """Return the images [M, channels, H, W] of another data set's pool that are of no class near ours, see NEAR.

    Raises what the partner's own loader raises for missing or damaged files.
    """
    spec = DATASETS.parse(partner)
    source: Source = spec.entry.function(**spec.knobs)
    return source.images[far_rows(spec.name, source, source.pool)]


def far_rows(dataset: str, source: Source, rows: Rows) -> Rows:
    """Return those of ``rows`` of a data set, by its name, whose true class is near none of its partner's, see NEAR."""
    return rows[~np.isin(np.array(source.classes)[source.labels[rows]], NEAR.get(dataset, ()))]


def backgrounds(images: Images) -> Images:
    """Return the background of each image alone: its plainest corner, enlarged to the whole image.

    images [N, channels, H, W] -> the same shape. Objects stand in the middle, so of the four corners of 3/8 of a side
    the one whose pixels differ least (smallest variance, summed over channels) is taken and enlarged bilinearly.
    """
    height, width = images.shape[2:]
    high, wide = max(1, round(CORNER * height)), max(1, round(CORNER * width))
    across, down = _stretch(high, height), _stretch(wide, width).T
    corner_rows, corner_columns = (slice(high), slice(-high, None)), (slice(wide), slice(-wide, None))
    found = np.empty_like(images)
    for part in _chunks(len(images)):
        corners = np.stack([images[part][:, :, y, x] for y in corner_rows for x in corner_columns]).astype(np.float64)
        plainest = corners.var(axis=(3, 4)).sum(axis=2).argmin(axis=0)
        found[part] = np.floor(across @ corners[plainest, np.arange(corners.shape[1])] @ down + 0.5)
    return found


def noise_images(images: Images, count: int, rng: np.random.Generator) -> Images:
    """Return images of noise [count, channels, H, W]: each pixel by itself, with the data's own mean and spread.

    Half of them are Gaussian, half uniform over mean +- sqrt(3) deviations, one mean and deviation a channel, over
    ``images``; cut to the data's range.
    """
    mean, spread, top = (value[:, None, None] for value in _statistics(images))
    found = np.empty((count, *images.shape[1:]), dtype=np.uint8)
    uniform = rng.random(count) < 0.5
    for part in _chunks(count):
        shape = found[part].shape
        level = rng.standard_normal(shape)
        level[uniform[part]] = np.sqrt(3) * (2 * rng.random(shape)[uniform[part]] - 1)
        found[part] = np.clip(np.round(mean + spread * level), 0, top)
    return found


def _foreign(images: Images, rows: Rows, kind: str, rng: np.random.Generator, others: Images | None) -> Images:
    if kind == "background":
        return backgrounds(images[rows])
    if kind == "noise":
        return noise_images(images, len(rows), rng)
    if others is None or not len(others):
        raise SpecError(
            "noise 'ood': the data set has no partner to take other images from, so kind=background or kind=noise"
        )
    if others.shape[1:] != images.shape[1:]:
        raise ValueError(f"other images must be of shape {images.shape[1:]}, found {others.shape[1:]}")
    order = np.argsort(rng.random(len(others)), kind="stable")
    return others[np.resize(order, len(rows))]


def _pairs(images: Images, clean: Rows, rows: Rows, how: str, rng: np.random.Generator) -> tuple[Images, Rows]:
    """Return images [K, ...] of two objects, the own and one of another class, and one of the two labels [K]."""
    partners = _of_another_class(clean, rows, rng)
    second, named = rng.random(len(rows)) < 0.5, rng.random(len(rows)) < 0.5
    names = np.where(named, clean[partners], clean[rows])
    if how == "blend":
        return ((images[rows].astype(np.uint16) + images[partners] + 1) // 2).astype(np.uint8), names
    left, right = np.where(second, partners, rows), np.where(second, rows, partners)
    half = images.shape[3] // 2
    return np.concatenate([images[left][..., :half], images[right][..., half:]], axis=3), names


def _of_another_class(clean: Rows, rows: Rows, rng: np.random.Generator) -> Rows:
    """Draw for each row another one, from all whose class is not its own: the own class's block is stepped over."""
    order = np.argsort(clean, kind="stable")
    start, end = (np.searchsorted(clean[order], clean[rows], side=side) for side in ("left", "right"))
    free = len(clean) - (end - start)
    if len(rows) and not free.all():
        raise SpecError("ambiguous examples need two classes at least, found one")
    place = _below(free, rng, len(rows))
    return order[np.where(place < start, place, place + end - start)]


def _below(bound: int | Rows, rng: np.random.Generator, count: int) -> Rows:
    """Draw whole numbers [count] in 0 to bound - 1, one bound for all or one each, from one uniform number each."""
    return (rng.random(count) * bound).astype(np.int64)


def _mixed(given: Rows, true: Rows, rows: Rows, kind: int | Rows, images: Images) -> Mixed:
    """Put the parts together: what the changed rows are, these in order, and no true class where none is right."""
    codes, order = np.zeros(len(given), dtype=np.uint8), np.argsort(rows, kind="stable")
    codes[rows] = kind
    return Mixed(given, np.where(codes == 1, NO_CLASS, true), codes, rows[order], images[order])


def _stretch(short: int, long: int) -> NDArray[np.float64]:
    """Return the matrix [long, short] that enlarges a line linearly, ends held; on a grid, so that sums are exact."""
    place = np.clip((np.arange(long) + 0.5) * short / long - 0.5, 0, short - 1)
    left = np.minimum(place.astype(int), max(short - 2, 0))
    share = np.round((place - left) * 1024) / 1024
    matrix = np.zeros((long, short))
    matrix[np.arange(long), left] += 1 - share
    matrix[np.arange(long), np.minimum(left + 1, short - 1)] += share
    return matrix


def _statistics(images: Images) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return mean, deviation and largest value of each channel."""
    total, squares, top = np.zeros((3, images.shape[1]))
    for rows in _chunks(len(images)):
        part = images[rows].astype(np.float64)
        total += part.sum(axis=(0, 2, 3))
        squares += (part**2).sum(axis=(0, 2, 3))
        top = np.maximum(top, part.max(axis=(0, 2, 3)))
    count = max(images.size // images.shape[1], 1)
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 0)), top


def _chunks(count: int) -> Iterator[slice]:
    """Cut ``count`` images into parts that are small in memory as float64."""
    return (slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK))
