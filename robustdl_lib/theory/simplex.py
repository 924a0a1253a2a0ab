"""Targets and predictions as points of the probability simplex, and the steps that a method takes there.

Class 1 is the given label throughout: the one-hot label is the vertex q = (1, 0, ..., 0). Three classes make a
triangle, drawn in two coordinates: p_3 - p_2 to the right and p_1, the probability of the given label, upwards.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.functional import one_hot, softmax

from robustdl_lib.methods.targets import semantic_class
from robustdl_lib.registry import METHODS
from robustdl_lib.theory.gradients import EDGE, logit_gradient

Array = NDArray[np.float64]
LATE = 0.9
LEARNER = (0.01, 0.87, 0.12)
POINT = ("p1", "p2", "p3")
MOTION = ("d1", "d2", "d3")
TARGETS = ("ls:eps=0.25", "cp:eps=0.25", "boot_soft:eps=0.5", "boot_hard:eps=0.5")
LENGTHS = ("cce", "mae", "gce", "dm:beta=12,lam=0.5", "boot_soft:eps=0.5,detach=True")
HALF = ("ls:eps=0.5", "cp:eps=0.5", "boot_soft:eps=0.5", "boot_hard:eps=0.5")
DIRECTIONS = (*HALF, "proselflc", "proselflc:T=0.2,detach=True")
PLACES = {"believed": (0.9, 0.07, 0.03), "doubted": (0.3, 0.6, 0.1), "contradicted": LEARNER}


def flatten(points: ArrayLike) -> Array:
    """Return the drawn coordinates (p_3 - p_2, p_1) of points of the triangle: [N, 3] -> [N, 2].

    It is linear, so the motions of points are flattened alike; with y stretched by sqrt 3 the triangle is
    equilateral.
    """
    p = np.asarray(points, dtype=np.float64)
    return np.stack([p[..., 2] - p[..., 1], p[..., 0]], axis=-1)


def grid(count: int = 11, edge: float = 0.025) -> Array:
    """Return points all over the triangle, ``edge`` away from its sides: [(count + 1)(count + 2)/2, 3]."""
    whole = [(i, j, count - i - j) for i in range(count + 1) for j in range(count + 1 - i)]
    return edge + (1 - 3 * edge) * np.array(whole, dtype=np.float64) / count


def target(method: str, points: ArrayLike, progress: float = LATE) -> Array:
    """Return the targets that a method makes of the label q where the learner predicts ``points``: [N, C] -> [N, C].

    A method that is no target leaves the label as it is. Raises SpecError on a bad spec.
    """
    spec, logits = METHODS.parse(method), _logits(points)
    label = one_hot(_labels(logits), logits.shape[1]).to(logits.dtype)
    if spec.entry.facts.role != "target":
        return label.numpy()
    return spec.entry.function(label, logits, progress=progress, **spec.knobs).numpy()


def step(method: str, points: ArrayLike, progress: float = LATE) -> Array:
    """Return minus the logit derivative, the direction in which a step moves the logits: [N, C] -> [N, C]."""
    logits = _logits(points)
    return -logit_gradient(method, logits, _labels(logits), progress).numpy()


def motion(method: str, points: ArrayLike, progress: float = LATE) -> Array:
    """Return how the prediction moves under that step, dp = (diag(p) - p p^T)(-dL/dz): [N, C] -> [N, C].

    This is to first order in the step, in a network whose logits are free. It sums to 0 and keeps to the simplex.
    """
    p, dz = softmax(_logits(points), dim=1).numpy(), step(method, points, progress)
    return p * (dz - (p * dz).sum(axis=1, keepdims=True))


def separation(method: str, points: ArrayLike, progress: float = LATE) -> pd.DataFrame:
    """Return direction and magnitude of the logit derivative: columns ``cosine`` (with p - q) and ``norm`` (L1).

    points [N, C]. The cosine is 1 for cross entropy and for all that only weighs it; NaN where the derivative is 0.
    """
    ours, plain = step(method, points, progress), step("cce", points)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(plain, axis=1)
    with np.errstate(invalid="ignore"):
        cosine = np.clip((ours * plain).sum(axis=1) / lengths, -1.0, 1.0)
    return pd.DataFrame({"cosine": cosine, "norm": np.abs(ours).sum(axis=1)})


def follow(method: str, points: ArrayLike, progress: float = LATE, *, steps: int = 200, stride: float = 3.0) -> Array:
    """Return where small steps lead from each point: [N, C] -> [N, C].

    ``stride`` is the L1 norm of a step where the derivative is largest over ``points``.
    """
    logits = _logits(points)
    scale = stride / np.abs(step(method, points, progress)).sum(axis=1).max()
    with _one_thread():
        for _ in range(steps):
            logits = logits - scale * logit_gradient(method, logits, _labels(logits), progress)
    return softmax(logits, dim=1).numpy()


def attractors(method: str, progress: float = LATE, *, num_classes: int = 3) -> Array:
    """Return the points in which steps end that start all over the triangle, to two decimals: [K, 3], p_1 first.

    With more classes the triangle is the face of the first three, the others having next to no probability.
    """
    starts = grid(6) * np.array([1.0, 1.02, 0.99])  # a little aslant: no start lies on a line between two attractors
    rest = np.full((len(starts), num_classes - 3), 1e-9)
    ends = follow(method, np.hstack([starts / starts.sum(axis=1, keepdims=True), rest]), progress)[:, :3]
    return np.unique(ends.round(2) + 0.0, axis=0)[::-1]


def meaning(method: str, points: ArrayLike, progress: float = LATE) -> pd.DataFrame:
    """Return what the targets say: columns ``semantic``, ``sum`` and ``alike``, a row a point [N, C].

    ``semantic`` is the largest entry's class, from 0; ``alike`` says whether all classes but the given one have the
    same probability, which is no similarity structure, negative entries counting as 0. Source: Talk, slides 27 to 29.
    """
    found = target(method, points, progress)
    others = found[:, 1:].clip(min=0.0)
    alike = np.ptp(others, axis=1) < 1e-9
    return pd.DataFrame(
        {"semantic": semantic_class(torch.from_numpy(found)).numpy(), "sum": found.sum(axis=1), "alike": alike}
    )


def target_rows(learner: Sequence[float] = LEARNER) -> pd.DataFrame:
    """Return label, learner and targets as points of the triangle: columns series, progress and p1, p2, p3.

    ``series`` is ``label``, ``learner`` or a spec; ProSelfLC has a row for each progress t/T from 0 to 1. Coordinates
    are as the method makes them: those of CP sum to 1 - 2 eps. Source: Talk, slides 28 and 29.
    """
    points = [("label", 0.0, np.eye(3)[0]), ("learner", 0.0, np.asarray(learner, dtype=np.float64))]
    points += [(spec, LATE, target(spec, [learner])[0]) for spec in TARGETS]
    points += [("proselflc", t, target("proselflc", [learner], t)[0]) for t in np.linspace(0.0, 1.0, 41)]
    frame = pd.DataFrame([dict(zip(POINT, point, strict=True)) for _, _, point in points])
    frame.insert(0, "progress", [progress for _, progress, _ in points])
    frame.insert(0, "series", [series for series, _, _ in points])
    return frame


def field_rows(methods: Sequence[str] = LENGTHS + DIRECTIONS, progress: float = LATE) -> pd.DataFrame:
    """Return the gradient fields of methods: a row a method and point, and one for each of its attractors.

    Columns method, progress, kind (``step`` or ``end``), p1, p2, p3, the motion d1, d2, d3, and cosine and norm as
    :func:`separation`; the last five are 0 for an end.
    """
    parts = []
    for method in methods:
        points, ends = grid(), attractors(method, progress)
        where = pd.DataFrame(np.vstack([points, ends]), columns=list(POINT))
        where.insert(0, "kind", ["step"] * len(points) + ["end"] * len(ends))
        where[list(MOTION)] = np.vstack([motion(method, points, progress), np.zeros_like(ends)])
        apiece = separation(method, points, progress).reindex(where.index, fill_value=0.0)
        parts.append(where.join(apiece).assign(method=method, progress=progress))
    return pd.concat(parts, ignore_index=True)


def separation_table(methods: Sequence[str], progress: float = LATE) -> pd.DataFrame:
    """Return cosine and norm at the three predictions of PLACES: a row a method, columns (place, quantity)."""
    found = {method: separation(method, list(PLACES.values()), progress) for method in methods}
    rows = {method: frame.set_axis(list(PLACES)).stack() for method, frame in found.items()}
    return pd.DataFrame(rows).T


def arms(rows: pd.DataFrame) -> pd.DataFrame:
    """Return run rows with a column ``arm``: the method and, where it differs from the most frequent, rate and decay.

    The rows are those of the sweep ``disguise``: columns method, peak_lr, weight_decay.
    """
    usual = {name: rows[name].mode()[0] for name in ("peak_lr", "weight_decay")}
    words = {spec: METHODS.parse(spec).label for spec in rows["method"].unique()}
    said = rows["method"].map(words)
    for name, symbol in (("peak_lr", "rate"), ("weight_decay", "decay")):
        times = rows[name] / usual[name]
        said += times.map(lambda ratio, symbol=symbol: "" if math.isclose(ratio, 1) else f", {symbol} x {ratio:g}")
    return rows.assign(arm=said)


def apart(rows: pd.DataFrame, first: str, second: str, column: str) -> pd.Series:
    """Return the mean over seeds of |first - second| in a column, by epoch, of two arms run with the same seeds."""
    wide = rows.pivot(index=["epoch", "seed"], columns="arm", values=column)
    return (wide[first] - wide[second]).abs().groupby("epoch").mean()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: for a few points, threads that wait for each other cost more than they do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _logits(points: ArrayLike) -> Tensor:
    return torch.from_numpy(np.log(np.clip(np.atleast_2d(np.asarray(points, dtype=np.float64)), EDGE, None)))


def _labels(logits: Tensor) -> Tensor:
    return torch.zeros(len(logits), dtype=torch.long)
