"""Near-duplicates: a description of images by a few pixels, the pairs that are near, and clusters of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

SIDE = 8
"""Images are looked at in SIDE x SIDE areas."""


BLOCK = 512
"""Rows of a blocked product: 512 x 60,000 similarities are 123 MB."""


SLACK = 1e-5
"""More than float32 rounds in the similarity of two unit vectors; what lies that near a limit is computed again."""


NEAR_DUPLICATE = 0.25
"""Nearer than that, a pair of CIFAR images is mostly one photograph, recropped or recoloured, or one product twice."""


LOOK_ALIKE = 0.4
"""Nearer than that, a pair of CIFAR images shares its composition: a ship at sea, a bird or an aeroplane in the sky."""


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
    return groups_of(linkage(features, distance), distance, len(features))


def linkage(features: NDArray[Any], distance: float) -> NDArray[np.float64]:
    """Return the shortest steps that link each cluster: rows (i, j, how far) [E, 3], at most one fewer than rows.

    It is the minimum spanning forest of the pairs at most ``distance`` apart, grown block by block, so that it
    gives the clusters at every smaller distance too, in memory for the examples and not for their pairs.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

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


def groups_of(edges: NDArray[np.float64], distance: float, count: int) -> Rows:
    """Return the number of each row's cluster [count], from the edges of :func:`linkage` at most ``distance`` long."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

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
