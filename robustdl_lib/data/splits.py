"""Splits: which examples learn, and which are held back to judge.

A random split is honest when examples are independent. Photographs of one scene, recropped copies and frames of a
film are not: where copies lie on both sides, remembering looks like understanding. ``clustered`` keeps them together.

What ``clustered`` guarantees: no kept and no held example are nearer to each other than the stated distance, in the
descriptor of :func:`features`. What it does not: that look-alikes which the descriptor cannot see (a mirrored, a
rotated, a strongly recropped copy) are kept together, that classes are balanced exactly, and that examples of the
same origin which look different are. A larger distance keeps more together, until one cluster holds nearly all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from sklearn.model_selection import train_test_split

from robustdl_lib.registry import SPLITS

Rows = NDArray[np.int64]
Features = Callable[[], NDArray[Any]]
SIDE = 8
"""Images are looked at in SIDE x SIDE areas."""
BLOCK = 512
"""Rows of a blocked product: 512 x 60,000 similarities are 123 MB."""
SLACK = 1e-5
"""More than float32 rounds in the similarity of two unit vectors; what lies that near a limit is computed again."""
NEARLY = 0.1
"""A clustered split may miss its size by this share of it, no more."""
ORDERS = 5
"""Orders of the clusters that a split tries; the first nearly always meets its size."""
NEAR_DUPLICATE = 0.25
"""Nearer than that, a pair of CIFAR images is mostly one photograph, recropped or recoloured, or one product twice."""
LOOK_ALIKE = 0.4
"""Nearer than that, a pair of CIFAR images shares its composition: a ship at sea, a bird or an aeroplane in the sky."""


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
    groups = _groups(edges, distance, count)
    drawn = _draw(groups, labels, size, seed)
    if not drawn.near:
        raise ValueError(_refusal(edges, distance, labels, size, seed))
    return np.flatnonzero(drawn.held[groups])


def features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Describe images by a few pixels, without a trained network: 8 x 8 areas, standardised, of length 1.

    images uint8 [N, channels, H, W] -> float32 [N, channels * 64]. Each channel is averaged over 8 x 8 equal areas,
    the image's mean is taken away and the whole divided by its length, so that brightness and contrast change
    nothing. The distance of two is sqrt(2 - 2 r) for a correlation r: 0 the same, sqrt(2) unrelated, 2 a negative.
    An image without any contrast is the vector 0. Raises ValueError for another shape.

    On CIFAR, by looking at pairs across the border of its training and test set: up to 0.15 one photograph, often
    in another colour or crop; up to :data:`NEAR_DUPLICATE` = 0.25 mostly so, else one product photographed twice or
    little but sky; up to :data:`LOOK_ALIKE` = 0.4 the same composition, more and more of another object; beyond,
    what both happen to have in common. The digits are poor in detail: at 0.3 two of one class look alike.
    """
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError(f"features need images uint8 [N, channels, H, W], found {images.dtype} {list(images.shape)}")
    rows, columns = (_areas(length) for length in images.shape[2:])
    found = [_describe(part, rows, columns) for part in np.array_split(images, len(images) // 4096 + 1)]
    return np.concatenate(found)


def near_duplicates(
    a: NDArray[Any], b: NDArray[Any] | None = None, *, distance: float
) -> tuple[Rows, NDArray[np.float64]]:
    """Return every pair at most ``distance`` apart: pairs int64 [P, 2] in increasing order, distances [P] in float64.

    a [N, d] and b [M, d] have rows of length 1 (or 0); without ``b`` the pairs i < j are within ``a``. Distances
    are computed again in float64, so that processors and threads agree on every pair that is not at the limit.
    """
    found = list(_near_blocks(a, b, distance))
    return np.concatenate([pairs for pairs, _ in found]), np.concatenate([apart for _, apart in found])


def nearest(a: NDArray[Any], b: NDArray[Any]) -> tuple[Rows, NDArray[np.float64]]:
    """Return for each row of a [N, d] which row of b [M, d] is nearest [N], the first of equals, and how far [N]."""
    which, apart = np.empty(len(a), dtype=np.int64), np.empty(len(a))
    for start, similar in _similarities(a, b):
        i, j = np.nonzero(similar >= similar.max(axis=1, keepdims=True) - SLACK)
        far = _distances(a, b, i + start, j)
        order = np.lexsort((j, far, i))
        first = order[np.flatnonzero(np.diff(i[order], prepend=-1))]
        which[start + i[first]], apart[start + i[first]] = j[first], far[first]
    return which, apart


def clusters(features: NDArray[Any], distance: float) -> Rows:
    """Return the number of each row's cluster [N], from 0: rows at most ``distance`` apart are of one, and so on.

    Single linkage: two rows are of one cluster if steps of at most ``distance`` lead from one to the other.
    """
    return _groups(linkage(features, distance), distance, len(features))


def linkage(features: NDArray[Any], distance: float) -> NDArray[np.float64]:
    """Return the shortest steps that link each cluster: rows (i, j, how far) [E, 3], at most one fewer than rows.

    It is the minimum spanning forest of the pairs at most ``distance`` apart, grown block by block, so that it
    gives the clusters at every smaller distance too, in memory for the examples and not for their pairs.
    """
    count, forest = len(features), np.empty((0, 3))
    for pairs, apart in _near_blocks(features, None, distance):
        if len(pairs):
            edges = np.concatenate([forest, np.column_stack([pairs, apart])])
            ends = edges[:, :2].astype(np.int64).T
            tree = minimum_spanning_tree(coo_array((1 + edges[:, 2], ends), shape=(count, count)).tocsr()).tocoo()
            forest = np.column_stack([*tree.coords, tree.data - 1])  # 1 + : scipy takes a weight of 0 for no edge
    return forest


def _near_blocks(
    a: NDArray[Any], b: NDArray[Any] | None, distance: float
) -> Iterator[tuple[Rows, NDArray[np.float64]]]:
    other, limit = (a if b is None else b), 1 - distance**2 / 2 - SLACK
    for start, similar in _similarities(a, other, upper=b is None):
        i, j = np.nonzero(similar >= limit)
        i, j = i + start, j + (start if b is None else 0)
        if b is None:
            i, j = i[i < j], j[i < j]
        apart = _distances(a, other, i, j)
        near = apart <= distance
        yield np.column_stack([i[near], j[near]]), apart[near]


def _similarities(a: NDArray[Any], b: NDArray[Any], upper: bool = False) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield 1 - d^2 / 2 block by block, from the row at which the block starts; ``upper``: from that column on.

    For rows of length 1 it is their product; for a row of length 0 it is told by the lengths.
    """
    a, b = (np.ascontiguousarray(x, dtype=np.float32) for x in (a, b))
    short_a, short_b = ((1 - np.einsum("nd,nd->n", x, x)) / 2 for x in (a, b))
    for start in range(0, len(a), BLOCK):
        rows, first = slice(start, start + BLOCK), start if upper else 0
        similar = a[rows] @ b[first:].T
        similar += short_a[rows, None]
        similar += short_b[first:]
        yield start, similar


def _distances(a: NDArray[Any], b: NDArray[Any], i: Rows, j: Rows) -> NDArray[np.float64]:
    """Return the distances of pairs of rows in float64, in parts that fit the memory."""
    found = np.empty(len(i))
    for start in range(0, len(i), 1 << 16):
        part = slice(start, start + (1 << 16))
        step = a[i[part]].astype(np.float64) - b[j[part]]
        found[part] = np.sqrt(np.einsum("nd,nd->n", step, step))
    return found


def _groups(edges: NDArray[np.float64], distance: float, count: int) -> Rows:
    near = edges[edges[:, 2] <= distance, :2].astype(np.int64)
    graph = coo_array((np.ones(len(near)), near.T), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _areas(length: int) -> NDArray[np.float64]:
    """Return how much of each pixel lies in each of SIDE equal stretches of a line: [SIDE, length], rows sum to 1."""
    edges, pixel = np.linspace(0, length, SIDE + 1)[:, None], np.arange(length)
    shared = np.minimum(edges[1:], pixel + 1) - np.maximum(edges[:-1], pixel)
    return np.asarray(shared.clip(min=0) * SIDE / length)


def _describe(
    images: NDArray[np.uint8], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float32]:
    areas = rows @ images.astype(np.float64) @ columns.T
    areas -= areas.mean(axis=(1, 2, 3), keepdims=True)
    flat = areas.reshape(len(images), -1)
    length = np.sqrt(np.einsum("nd,nd->n", flat, flat))[:, None]
    blank = length < 1e-6  # what rounding leaves of an image of one colour
    return np.where(blank, 0, flat / np.where(blank, 1, length)).astype(np.float32)


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
    groups = _groups(edges, distance, len(labels))
    smaller = dict.fromkeys(round(distance * step / 20, 3) for step in range(19, 0, -1))
    works = next((d for d in smaller if d and _draw(_groups(edges, d, len(labels)), labels, size, seed).near), None)
    hint = f"distance={works:g} would do" if works else "random and stratified would do"
    largest = f"the largest of its {groups.max() + 1} clusters holds {np.bincount(groups).max()}"
    return (
        f"no clustered split at distance={distance:g} holds back {size} of {len(groups)} examples, and of no class "
        f"more than twice its share: {largest}; {hint}"
    )
