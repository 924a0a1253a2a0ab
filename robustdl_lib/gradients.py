"""The gradient lens: what a training method does to the derivative of the loss with respect to the logits.

``method`` is a spec such as ``"gce:q=0.7"`` or a loss of your own, ``(logits [N, C], target [N, C]) -> [N]``.
Curves are functions of p = p_y in [0, 1] for an example whose other classes share 1 - p alike. They come from
autograd in float64, so they hold for any method; for a method that looks at the time, ``progress`` sets it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from robustdl_lib.objective import Loss, build

GRID = 2001
EDGE = 1e-12
Method = str | Loss


def logit_gradient(method: Method, logits: Tensor, labels: Tensor, progress: float = 0.0) -> Tensor:
    """Return each example's derivative with respect to its logits, before any mean: [N, C].

    logits [N, C] real, labels [N] in [0, C) or targets [N, C], progress in [0, 1). Its L1 norm is the example's
    weight. Source: Talk, eq. 2 and 4. Raises SpecError on a bad spec, ValueError on a wrong shape.
    """
    leaf = logits.detach().clone().requires_grad_()
    losses, _ = build(method, logits.shape[1]).per_example(leaf, labels, progress=progress)
    return torch.autograd.grad(losses.sum(), leaf)[0]


def weight_curve(
    method: Method, p: ArrayLike | None = None, *, num_classes: int = 10, progress: float = 0.0
) -> pd.DataFrame:
    """Return the weight w(p), the L1 norm of the logit derivative, as columns ``p`` and ``weight``.

    p in [0, 1], by default 2,001 points. Source: Talk, eq. 3. Raises ValueError for p outside [0, 1].
    """
    points = _grid(p)
    return _named(method, {"p": points, "weight": _weights(method, points, num_classes, progress)})


def emphasis_density(
    method: Method, p: ArrayLike | None = None, *, num_classes: int = 10, progress: float = 0.0
) -> pd.DataFrame:
    """Return the emphasis density h(p) = w(p) / integral of w over [0, 1], as columns ``p`` and ``density``.

    The integral is the trapezium rule's over the 2,001 points; ``p`` only chooses where h is shown.
    Source: Talk, eq. 5. Raises ValueError for p outside [0, 1].
    """
    whole = weight_curve(method, num_classes=num_classes, progress=progress)
    points = _grid(p)
    weight = _weights(method, points, num_classes, progress)
    return _named(method, {"p": points, "density": weight / np.trapezoid(whole["weight"], whole["p"])})


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
    curve = weight_curve(method, p, num_classes=num_classes, progress=progress)
    weight = curve["weight"].to_numpy()
    if p is not None:
        return float(np.var(weight))
    return float(np.trapezoid((weight - np.trapezoid(weight, curve["p"])) ** 2, curve["p"]))


def compare(methods: list[str], curve: Callable[..., pd.DataFrame], **settings: Any) -> pd.DataFrame:
    """Stack ``curve`` (:func:`weight_curve` or :func:`emphasis_density`) of each method under a ``method`` column."""
    frames = [curve(method, **settings).assign(method=method) for method in methods]
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


def _named(method: Method, columns: dict[str, NDArray[np.float64]]) -> pd.DataFrame:
    """Return the columns as a frame that remembers its method, so that it can be drawn as it is."""
    frame = pd.DataFrame(columns)
    frame.attrs["method"] = method if isinstance(method, str) else getattr(method, "__name__", "loss")
    return frame


def _weights(method: Method, points: NDArray[np.float64], num_classes: int, progress: float) -> NDArray[np.float64]:
    labels = torch.zeros(len(points), dtype=torch.long)
    return logit_gradient(method, logits_at(points, num_classes), labels, progress).abs().sum(dim=1).numpy()


def _grid(p: ArrayLike | None) -> NDArray[np.float64]:
    points = np.linspace(0.0, 1.0, GRID) if p is None else np.atleast_1d(np.asarray(p, dtype=np.float64))
    if points.ndim != 1 or not np.all((points >= 0) & (points <= 1)):
        raise ValueError("p must be a row of probabilities in [0, 1]")
    return points
