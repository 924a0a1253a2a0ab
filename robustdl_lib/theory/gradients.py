"""The gradient lens: what a training method does to the derivative of the loss with respect to the logits.

``method`` is a spec such as ``"gce:q=0.7"`` or a loss of your own, ``(logits [N, C], target [N, C]) -> [N]``.
Curves are functions of p = p_y in [0, 1] for an example whose other classes share 1 - p alike. They come from
autograd in float64, so they hold for any method; for a method that looks at the time, ``progress`` sets it. A method
that remembers is seen as it is before its memory holds anything (:mod:`robustdl_lib.methods.stateful`), and one that
knows its batch in one that holds all classes alike.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import one_hot

from robustdl_lib.methods.objective import Loss, build

GRID = 20_001
EDGE = 1e-12
EXACT = 1e-9
ALIKE = 1e-6
Method = str | Loss


class Family(NamedTuple):
    """Whether a method's logit gradient is k(p_y) (p - q), and how far from it, as a share of the gradient's L1 norm.

    k is read where the other classes are alike; so the distance may exceed 1.
    """

    member: bool
    distance: float


class Robustness(NamedTuple):
    """What robust statistics asks of a method. ``None`` where there is no loss to ask about (a weighting).

    bounded: the loss has an upper bound, ``supremum`` (inf where it has none). symmetric: sum_k L(z, k) is constant.
    sensitivity: sup |psi|, Hampel's gross-error sensitivity. redescending: psi tends to 0 at the residual 1
    (Hampel: no influence left; a psi that only falls, as Welsch's does, is not).
    left_at_zero: w(1e-12) / max w, the share of the largest weight that an example keeps whose label is contradicted.
    """

    bounded: bool | None
    supremum: float | None
    symmetric: bool | None
    sensitivity: float
    redescending: bool
    left_at_zero: float


def logit_gradient(
    method: Method, logits: Tensor, labels: Tensor, progress: float = 0.0, *, recalled: Tensor | None = None
) -> Tensor:
    """Return each example's derivative with respect to its logits, before any mean: [N, C].

    logits [N, C] real, labels [N] in [0, C) or targets [N, C], progress in [0, 1), recalled what a memory says. Its L1
    norm is the example's weight. Source: Talk, eq. 2 and 4. Raises SpecError on a bad spec, ValueError on a wrong
    shape and for a loss that does not depend on the logits.
    """
    leaf = logits.detach().clone().requires_grad_()
    losses, _ = build(method, logits.shape[1]).per_example(leaf, labels, progress=progress, recalled=recalled)
    if not losses.requires_grad:
        raise ValueError(f"loss {named(method)!r} must depend on the logits, found one without a gradient")
    return torch.autograd.grad(losses.sum(), leaf)[0]


def loss_curve(
    method: Method, p: ArrayLike | None = None, *, num_classes: int = 10, progress: float = 0.0
) -> pd.DataFrame:
    """Return the loss L(p) where the other classes share 1 - p alike, as columns ``p`` and ``loss``.

    NaN for a weighting, which has no loss. Source: Talk, eq. 1. Raises ValueError for p outside [0, 1].
    """
    points = _grid(p)
    labels = torch.zeros(len(points), dtype=torch.long)
    found = _losses(method, logits_at(points, num_classes), labels, progress).numpy()
    stated = build(method, num_classes).role == "weight"
    return _named(method, {"p": points, "loss": np.full_like(points, np.nan) if stated else found})


def weight_curve(
    method: Method, p: ArrayLike | None = None, *, num_classes: int = 10, progress: float = 0.0
) -> pd.DataFrame:
    """Return the weight w(p), the L1 norm of the logit derivative, as columns ``p`` and ``weight``.

    p in [0, 1], by default 20,001 points. Source: Talk, eq. 3. Raises ValueError for p outside [0, 1].
    """
    points = _grid(p)
    return _named(method, {"p": points, "weight": _weights(method, points, num_classes, progress)})


def emphasis_density(
    method: Method, p: ArrayLike | None = None, *, num_classes: int = 10, progress: float = 0.0
) -> pd.DataFrame:
    """Return the emphasis density h(p) = w(p) / integral of w over [0, 1], as columns ``p`` and ``density``.

    By default p is a grid of at least 20,001 points, finer where w bends or jumps, over which the trapezium rule
    gives 1 exactly; ``p`` only chooses where h is shown. Source: Talk, eq. 5. Raises ValueError for p outside [0, 1].
    """
    points, weight = _resolved(method, num_classes, progress)
    area = np.trapezoid(weight, points)
    if p is not None:
        points = _grid(p)
        weight = _weights(method, points, num_classes, progress)
    return _named(method, {"p": points, "density": weight / area if area else np.full_like(weight, np.nan)})


def integral(method: Method, *, num_classes: int = 10, progress: float = 0.0) -> float:
    """Return the integral of the weight w over p in [0, 1], to 1e-6 of its value. Source: Talk, eq. 5."""
    points, weight = _resolved(method, num_classes, progress)
    return float(np.trapezoid(weight, points))


def emphasis_mode(method: Method, *, num_classes: int = 10, progress: float = 0.0) -> float:
    """Return psi = argmax_p w(p) in [0, 1], to 1e-6; NaN where all p weigh the same.

    Source: Talk, definition 1 of emphasis mode.
    """
    points = _grid(None)
    weight = _weights(method, points, num_classes, progress)
    if np.ptp(weight) <= 1e-9 * weight.max():
        return math.nan
    best = int(weight.argmax())
    if best in (0, GRID - 1):
        return float(points[best])
    bounds = points[best - 1], points[best + 1]

    def negated(at: float) -> float:
        return -float(_weights(method, np.array([at]), num_classes, progress)[0])

    return float(minimize_scalar(negated, bounds=bounds, method="bounded", options={"xatol": 1e-10}).x)


def emphasis_variance(
    method: Method, p: ArrayLike | None = None, *, num_classes: int = 10, progress: float = 0.0
) -> float:
    """Return sigma = E[(w - E w)^2] over the examples' p, or over p uniform on [0, 1] when none are given.

    Source: Talk, definition 2 of emphasis variance. Raises ValueError for p outside [0, 1].
    """
    if p is not None:
        return float(np.var(_weights(method, _grid(p), num_classes, progress)))
    points, weight = _resolved(method, num_classes, progress)
    return float(np.trapezoid((weight - np.trapezoid(weight, points)) ** 2, points))


def family(method: Method, *, num_classes: int = 10, progress: float = 0.0) -> Family:
    """Say whether the logit gradient is k(p_y) (p - q), as it is for every loss of p_y alone, and how far off it is.

    k is taken where the other classes share 1 - p_y alike; the distance is sum |g - k (p - q)| / sum |g| over 512
    random predictions, in [0, inf). A member acts as an example weighting; any other also turns the direction.
    Source: Talk, eq. 2. Raises as :func:`logit_gradient`.
    """
    logits, labels = _random_predictions(num_classes)
    probs = torch.softmax(logits, dim=1)
    given = probs.gather(1, labels.unsqueeze(1))
    alike = _gradient_at(method, given.squeeze(1).numpy(), num_classes, progress)
    factor = _others(alike) / (1.0 - given.squeeze(1))
    away = probs - one_hot(labels, num_classes)
    found = logit_gradient(method, logits, labels, progress)
    off = float((found - factor.unsqueeze(1) * away).abs().sum())
    distance = off / float(found.abs().sum()) if off else 0.0
    return Family(distance < ALIKE, distance)


def influence(
    method: Method, x: ArrayLike | None = None, *, num_classes: int = 10, progress: float = 0.0
) -> pd.DataFrame:
    """Return Hampel's influence of a residual x = 1 - p_y, psi(x) = dL/dx, as columns ``residual psi weight``.

    x in [0, 1], by default 20,001 points, held 1e-12 away from both ends; ``weight`` is psi(x) / x, the factor by
    which least squares would weigh the residual. For a weighting, which has no loss, psi = w / (2 x (1 - x)).
    Source: Hampel et al. 1986. Raises ValueError for x outside [0, 1].
    """
    residual = _grid(x)
    gradient = _gradient_at(method, 1.0 - residual, num_classes, progress)
    inside = np.clip(residual, EDGE, 1.0 - EDGE)
    psi = _others(gradient).numpy() / (inside * np.clip(1.0 - residual, EDGE, 1.0 - EDGE))
    return _named(method, {"residual": residual, "psi": psi, "weight": psi / inside})


def robustness(method: Method, *, num_classes: int = 10, progress: float = 0.0) -> Robustness:
    """Return what robust statistics asks of a method: see :class:`Robustness`; raises as :func:`logit_gradient`.

    The loss is bounded if it no longer grows as the given logit falls from -1e14 to -1e15. Sources: Ghosh et al. 2017
    for symmetry; Hampel et al. 1986 for sensitivity and redescending.
    """
    psi = influence(method, num_classes=num_classes, progress=progress)["psi"].abs().to_numpy()
    ends = influence(method, [0.0, 1e-6, 1 - 1e-6, 1.0], num_classes=num_classes, progress=progress)["psi"].abs()
    diverges = ends[0] > 1.001 * ends[1] + EXACT or ends[3] > 1.001 * ends[2] + EXACT
    weight = weight_curve(method, num_classes=num_classes, progress=progress)["weight"].to_numpy()
    facts: dict[str, Any] = {
        "sensitivity": math.inf if diverges else float(psi.max()),
        "redescending": bool(ends[3] <= 0.5 * ends[2]),
        "left_at_zero": float(weight[0] / weight.max()) if weight.max() else math.nan,
    }
    if build(method, num_classes).role == "weight":
        return Robustness(None, None, None, **facts)
    supremum = _supremum(method, num_classes, progress)
    return Robustness(math.isfinite(supremum), supremum, _symmetric(method, num_classes, progress), **facts)


def compare(methods: Sequence[Method], curve: Callable[..., pd.DataFrame], **settings: Any) -> pd.DataFrame:
    """Stack ``curve`` (:func:`weight_curve`, :func:`influence` ...) of each method under a ``method`` column."""
    frames = [curve(method, **settings).assign(method=named(method)) for method in methods]
    return pd.concat(frames, ignore_index=True)


def logits_at(p: ArrayLike, num_classes: int) -> Tensor:
    """Return logits [N, C] whose softmax gives class 0 the probability p and the others (1 - p)/(C - 1) each.

    p [N] in [0, 1] is held 1e-12 away from both ends, where logits would be infinite.
    """
    given = np.asarray(p, dtype=np.float64)
    inside, rest = np.clip(given, EDGE, 1.0), np.clip(1.0 - given, EDGE, 1.0)
    logits = np.repeat(np.log(rest / (num_classes - 1))[:, None], num_classes, axis=1)
    logits[:, 0] = np.log(inside)
    return torch.from_numpy(logits)


def named(method: Method) -> str:
    """Return the words for a method: its spec, or the name of a loss of one's own."""
    return method if isinstance(method, str) else getattr(method, "__name__", "loss")


def _named(method: Method, columns: dict[str, NDArray[np.float64]]) -> pd.DataFrame:
    """Return the columns as a frame that remembers its method, so that it can be drawn as it is."""
    frame = pd.DataFrame(columns)
    frame.attrs["method"] = named(method)
    return frame


def _weights(method: Method, points: NDArray[np.float64], num_classes: int, progress: float) -> NDArray[np.float64]:
    return _gradient_at(method, points, num_classes, progress).abs().sum(dim=1).numpy()


def _resolved(method: Method, num_classes: int, progress: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points of [0, 1] and the weights there; cells are halved until the trapezium rule errs by 1e-11 each."""
    points = _grid(None)
    weight = _weights(method, points, num_classes, progress)
    low, high, at_low, at_high = points[:-1], points[1:], weight[:-1], weight[1:]
    small = 1e-11 * np.trapezoid(weight, points)
    while len(low):
        middle = (low + high) / 2
        found = _weights(method, middle, num_classes, progress)
        split = (np.abs(2 * found - at_low - at_high) * (high - low) / 4 > small) & (high - low > 1e-13)
        low, middle, high, at_low, found, at_high = (x[split] for x in (low, middle, high, at_low, found, at_high))
        points, weight = np.append(points, middle), np.append(weight, found)
        low, high = np.append(low, middle), np.append(middle, high)
        at_low, at_high = np.append(at_low, found), np.append(found, at_high)
    order = np.argsort(points)
    return points[order], weight[order]


def _gradient_at(method: Method, points: NDArray[np.float64], num_classes: int, progress: float) -> Tensor:
    """Return the logit gradient [N, C] at p_y = points, the other classes alike, with the given class first."""
    logits = logits_at(points, num_classes)
    labels = torch.zeros(len(points), dtype=torch.long)
    if build(method, num_classes).method.entry.facts.knows_batch:
        parts = [_in_balance(method, part, progress) for part in logits.split(max(1, 4_000_000 // num_classes**2))]
        return torch.cat(parts)
    found = logit_gradient(method, logits, labels, progress)
    some = range(0, len(points), max(1, len(points) // 3))
    alone = torch.cat([logit_gradient(method, logits[k : k + 1], labels[k : k + 1], progress) for k in some])
    _refuse(method, found, found[list(some)], alone, points)
    return found


def _refuse(method: Method, found: Tensor, together: Tensor, alone: Tensor, points: NDArray[np.float64]) -> None:
    """Raise ValueError for a derivative that is no number, or that another example of the batch changes."""
    bad = ~found.isfinite().all(dim=1)
    if bool(bad.any()):
        at = points[int(bad.nonzero()[0])]
        raise ValueError(f"loss {named(method)!r} must have a finite derivative, found none at p_y = {at:.4g}")
    if not torch.allclose(alone, together, rtol=1e-3, atol=1e-6):
        raise ValueError(f"loss {named(method)!r} looks at its batch: register it with knows_batch=True")


def _in_balance(method: Method, logits: Tensor, progress: float) -> Tensor:
    """Return the gradient of logits [N, C] of class 0 in a batch that holds each of them for every class in turn."""
    count, num_classes = logits.shape
    turned = torch.cat([logits.roll(k, dims=1) for k in range(num_classes)])
    labels = torch.arange(num_classes).repeat_interleave(count)
    return logit_gradient(method, turned, labels, progress)[:count]


def _others(gradient: Tensor) -> Tensor:
    """Return -dL/dz_y as the sum over the other classes, which keeps its precision where p_y is near 1."""
    return gradient[:, 1:].sum(dim=1)


def _losses(method: Method, logits: Tensor, labels: Tensor, progress: float) -> Tensor:
    with torch.no_grad():
        return build(method, logits.shape[1]).per_example(logits, labels, progress=progress)[0]


def _supremum(method: Method, num_classes: int, progress: float) -> float:
    depth = -torch.logspace(0, 15, 16, dtype=torch.float64)
    logits = torch.zeros(16, num_classes, dtype=torch.float64)
    logits[:, 0] = depth
    found = _losses(method, logits, torch.zeros(16, dtype=torch.long), progress)
    grown = float(found[-1] - found[-2])
    return float(found.max()) if abs(grown) <= 1e-6 * (1.0 + abs(float(found[-1]))) else math.inf


def _symmetric(method: Method, num_classes: int, progress: float) -> bool:
    logits, _ = _random_predictions(num_classes)
    logits = torch.cat([logits, 8.0 * logits])  # some are as good as certain
    every = [_losses(method, logits, torch.full((len(logits),), k), progress) for k in range(num_classes)]
    total = torch.stack(every).sum(dim=0)
    return bool(total.max() - total.min() <= EXACT * (1.0 + total.abs().max()))


def _random_predictions(num_classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3.0 * torch.randn(512, num_classes, generator=generator, dtype=torch.float64)
    return logits, torch.arange(512) % num_classes


def _grid(p: ArrayLike | None) -> NDArray[np.float64]:
    points = np.linspace(0.0, 1.0, GRID) if p is None else np.atleast_1d(np.asarray(p, dtype=np.float64))
    if points.ndim != 1 or not np.all((points >= 0) & (points <= 1)):
        raise ValueError("p must be a row of probabilities in [0, 1]")
    return points
