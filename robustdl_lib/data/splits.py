"""Splits: which examples learn, and which are held back to judge.

A random split is honest when examples are independent. Photographs of one scene, recropped copies and frames of a
film are not: where copies lie on both sides, remembering looks like understanding. ``clustered`` keeps them together.

What ``clustered`` guarantees: no kept and no held example are nearer to each other than the stated distance, in the
descriptor of :func:`features`. What it does not: that look-alikes which the descriptor cannot see (a mirrored, a
rotated, a strongly recropped copy) are kept together, that classes are balanced exactly, and that examples of the
same origin which look different are. A larger distance keeps more together, until one cluster holds nearly all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robustdl_lib.data.near_duplicates import groups_of, linkage
from robustdl_lib.registry import SPLITS

Rows = NDArray[np.int64]
Features = Callable[[], NDArray[Any]]
NEARLY = 0.1
"""A clustered split may miss its size by this share of it, no more."""
ORDERS = 5
"""Orders of the clusters that a split tries; the first nearly always meets its size."""


def cut(
    spec: str, rows: Rows, labels: NDArray[Any], size: int, seed: int, features: Features | None = None
) -> tuple[Rows, Rows]:
    """Part ``rows`` into those kept and those held back, ``size`` of them, and return both, increasing.

    rows [N], labels [N] of these rows, size in [1, N), seed in [0, 2^32); ``features`` returns [N, d] of these rows
    when a split asks for it -> kept, held int64. Raises SpecError for an unknown split, ValueError when there is
    no such split: a size out of range, a class too small to be stratified, one cluster that holds too much.
    """
    parsed = SPLITS.parse(spec)
    if not 0 < size < len(rows):
        raise ValueError(f"a split of {len(rows)} examples holds back 1 to {len(rows) - 1} of them, found {size}")
    if len(labels) != len(rows):
        raise ValueError(f"a split needs a label for each of its {len(rows)} rows, found {len(labels)}")
    held = parsed.entry.function(len(rows), labels=labels, features=features, size=size, seed=seed, **parsed.knobs)
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[held] = True
    ordered = np.asarray(rows, dtype=np.int64)
    return np.sort(ordered[~chosen]), np.sort(ordered[chosen])


@SPLITS.register("stratified", label="stratified", source="scikit-learn's train_test_split, by class")
def stratified(
    count: int, *, labels: NDArray[Any], size: int, seed: int, features: Features | None = None
) -> NDArray[Any]:
    """Hold back at random, each class in proportion: what scikit-learn's ``train_test_split`` draws from the seed."""
    from sklearn.model_selection import train_test_split

    _, smallest = np.unique(labels, return_counts=True)
    if smallest.min() < 2 or min(size, count - size) < len(smallest):
        found = f"{len(smallest)} classes, the smallest of {smallest.min()}, and {size} of {count} to hold back"
        raise ValueError(
            f"a stratified split needs 2 examples of a class and room for each on both sides, found {found}"
        )
    held: NDArray[Any] = train_test_split(np.arange(count), test_size=size, random_state=seed, stratify=labels)[1]
    return held


@SPLITS.register("random", label="random", source="scikit-learn's train_test_split")
def random(count: int, *, labels: NDArray[Any], size: int, seed: int, features: Features | None = None) -> NDArray[Any]:
    """Hold back at random, whatever the classes: what scikit-learn's ``train_test_split`` draws from the seed."""
    from sklearn.model_selection import train_test_split

    held: NDArray[Any] = train_test_split(np.arange(count), test_size=size, random_state=seed)[1]
    return held


@SPLITS.register("stretch", label="stretch", source="scikit-learn MOOC, Sample grouping: the digits' writers")
def stretch(
    count: int, *, labels: NDArray[Any], size: int, seed: int, features: Features | None = None
) -> NDArray[Any]:
    """Hold back a stretch of examples that follow one another, from a place that the seed draws.

    For data whose order means something: a writer's page, the frames of a film, days. At its two ends it still
    parts neighbours.
    """
    return np.arange(size) + np.random.default_rng(seed).integers(count - size + 1)


@SPLITS.register("clustered", label="clustered", source="Bileschi et al. 2022: clusters of look-alikes on one side")
def clustered(
    count: int,
    *,
    distance: Annotated[float, Field(gt=0, le=2)],
    labels: NDArray[Any],
    features: Features | None = None,
    size: int,
    seed: int,
) -> NDArray[Any]:
    """Hold back whole clusters: no held example lies within ``distance`` of a kept one.

    Clusters are single linkage (:func:`clusters`); distance in (0, 2] between descriptors. The seed orders the
    clusters; each is held back if its classes have room, first within their share of ``size``, then within twice
    that, so every class keeps most of its examples. The best of a few orders is taken; no further cluster would
    bring it nearer to ``size``. A cluster larger than twice its class's share is always kept.
    Raises ValueError without features, and, saying which distance would do, when whole clusters miss ``size`` by
    more than a tenth of it: in most cases because one cluster holds nearly all.
    """
    if features is None:
        raise ValueError("a clustered split needs the features of the examples: give cut(..., features=...)")
    edges = linkage(features(), distance)
    groups = groups_of(edges, distance, count)
    drawn = _draw(groups, labels, size, seed)
    if not drawn.near:
        raise ValueError(_refusal(edges, distance, labels, size, seed))
    return np.flatnonzero(drawn.held[groups])


@dataclass(frozen=True)
class _Draw:
    """Which clusters a split holds back, by how much they miss its size, and whether that is near enough."""

    held: NDArray[np.bool_]
    miss: int
    near: bool


def _draw(groups: Rows, labels: NDArray[Any], size: int, seed: int) -> _Draw:
    """Return the best of up to ``ORDERS`` draws of whole clusters: the first that misses ``size`` by the least."""
    kinds, classes = np.unique(labels, return_inverse=True)
    content = np.zeros((groups.max() + 1, len(kinds)), dtype=np.int64)
    np.add.at(content, (groups, classes), 1)
    rng, best = np.random.default_rng(seed), _Draw(np.empty(0, dtype=bool), len(groups), False)
    for _ in range(ORDERS):
        held = _fill(content, rng.permutation(len(content)), size)
        miss = abs(int(content[held].sum()) - size)
        if miss < best.miss:
            best = _Draw(held, miss, miss <= NEARLY * min(size, len(groups) - size) and 0 < held.sum() < len(held))
        if not best.miss:
            break
    return best


def _fill(content: Rows, order: Rows, size: int) -> NDArray[np.bool_]:
    """Take clusters in order while each class has room: its share first, then twice that; the last may be one too many.

    content [G, C], the examples of each class in each cluster -> which are held [G].
    """
    sizes, totals = content.sum(axis=1), content.sum(axis=0)
    shares, left, held = _shares(totals, size), size, np.zeros(len(content), dtype=bool)
    room = shares
    for more in (0, np.minimum(shares, (totals - shares) // 2)):
        room = room + more
        for group in order:
            if not held[group] and sizes[group] <= left and (content[group] <= room).all():
                held[group], left, room = True, left - int(sizes[group]), room - content[group]
            if not left:
                return held
    over = [group for group in order if not held[group] and sizes[group] < 2 * left and (content[group] <= room).all()]
    held[min(over, key=lambda group: sizes[group], default=order[:0])] = True
    return held


def _shares(classes: Rows, size: int) -> Rows:
    """Return how many of each class make ``size`` in proportion: rounded down, then up where most is missing."""
    exact = classes * size / classes.sum()
    shares = np.floor(exact).astype(np.int64)
    shares[np.argsort(shares - exact, kind="stable")[: size - shares.sum()]] += 1
    return shares


def _refusal(edges: NDArray[np.float64], distance: float, labels: NDArray[Any], size: int, seed: int) -> str:
    """Say why no split exists at this distance, and at which smaller one it does."""
    groups = groups_of(edges, distance, len(labels))
    smaller = dict.fromkeys(round(distance * step / 20, 3) for step in range(19, 0, -1))
    works = next((d for d in smaller if d and _draw(groups_of(edges, d, len(labels)), labels, size, seed).near), None)
    hint = f"distance={works:g} would do" if works else "random and stratified would do"
    largest = f"the largest of its {groups.max() + 1} clusters holds {np.bincount(groups).max()}"
    return (
        f"no clustered split at distance={distance:g} holds back {size} of {len(groups)} examples, and of no class "
        f"more than twice its share: {largest}; {hint}"
    )
