"""Classical robust statistics in the same frame: M-estimators of a location, and the alpha that residuals ask for.

An M-estimator minimises sum rho(r_i) over residuals r. Three functions describe it: the loss rho, the influence
psi = rho', and the weight psi(r) / r that iteratively re-weighted least squares gives to a residual. Here they come
from the losses and the gradient lens, so that statistics and training are drawn and tested by one code.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from robustdl_lib.methods.losses import general_robust, negative_log_likelihood
from robustdl_lib.theory.gradients import Method, emphasis_density, influence, integral, loss_curve

RESIDUALS = np.linspace(0.0, 1.0, 401)
ALPHAS = (2.0, 1.0, 0.0, -2.0, -math.inf)
FAMILY = tuple(f"barron:alpha={alpha:g},c=0.3" for alpha in ALPHAS)
CLASSICAL = (*FAMILY, "hampel", "cce", "mae", "gce")
ENDS = (0.001, 1.999)
"""The alphas among which :func:`fit_alpha` chooses: log Z is finite and differentiable between 0 and 2."""

Floats = NDArray[np.float64]


def statistics_rows(methods: Sequence[str] = CLASSICAL, residuals: ArrayLike = RESIDUALS) -> pd.DataFrame:
    """Return loss, influence and emphasis density of each method over the residual x = 1 - p_y, a row a point.

    Columns method, residual, loss, influence, density. A factor of the loss is a learning rate, so loss and influence
    are scaled alike, such that density = 6 p (1 - p) influence: the softmax factor alone has density 6 p (1 - p).
    residuals [N] in [0, 1]. Sources: Hampel et al. 1986; Barron 2019; Talk, eq. 5. Raises ValueError as
    :func:`robustdl_lib.theory.gradients.influence`.
    """
    return pd.concat([_curves(method, residuals).assign(method=method) for method in methods], ignore_index=True)


def location(sample: ArrayLike, alpha: float = 1.0, c: float = 1.0) -> float:
    """Return argmin_m sum_i rho(x_i - m, alpha, c), Barron's loss: the mean at alpha = 2, Welsch's at ``-inf``.

    sample [N] finite, alpha <= 2, c > 0 in the sample's units. Re-weighted least squares from the median; where psi
    redescends there are several minima, and this is the one next to it. Source: Barron 2019.
    Raises ValueError for an empty or infinite sample, and for alpha or c out of range.
    """
    if not (alpha <= 2 and 0 < c < math.inf):
        raise ValueError(f"location needs alpha <= 2 and a finite c > 0, found alpha = {alpha} and c = {c}")

    def weigh(distance: Floats) -> Floats:
        # at a residual of 0 the weight psi(r) / r is 0 / 0; a billionth of c away it has its limit
        leaf = torch.from_numpy(np.maximum(distance, 1e-9 * c)).requires_grad_()
        psi = torch.autograd.grad(general_robust(leaf, alpha, c).sum(), leaf)[0]
        return (psi / leaf).detach().numpy()

    return _reweighted(sample, weigh)


def hampel_location(sample: ArrayLike, a: float = 1.5, b: float = 3.0, c: float = 6.0) -> float:
    """Return the location by Hampel's three-part psi: what is further than c from it counts nothing.

    sample [N] finite, 0 < a < b < c in the sample's units; from the median, as :func:`location`, with the
    weights psi(x) / x. Source: Hampel et al. 1986.
    Raises ValueError for an empty or infinite sample, and when the knobs do not increase.
    """
    if not 0 < a < b < c < math.inf:
        raise ValueError(f"hampel_location needs 0 < a < b < c, found a = {a}, b = {b} and c = {c}")

    def weigh(distance: Floats) -> Floats:
        away = np.maximum(distance, 1e-9 * c)
        return np.interp(away, [0.0, a, b, c], [0.0, a, a, 0.0]) / away

    return _reweighted(sample, weigh)


def fit_alpha(residuals: ArrayLike, counts: ArrayLike | None = None, c: float = 0.3) -> float:
    """Return the alpha in [0.001, 1.999] with the least negative log-likelihood rho + log c + log Z(alpha).

    residuals [N] real, counts [N] >= 0 (how often each occurs; once where None), c > 0 in their units. An end of the
    range means that the data ask for more than it holds. Source: Barron 2019. Raises ValueError where nothing is
    counted, for shapes that differ, and for c <= 0.
    """
    x, weight = _counted(residuals, counts)
    if not 0 < c < math.inf:
        raise ValueError(f"fit_alpha needs a finite c > 0, found {c}")

    def mean(alpha: Tensor) -> Tensor:
        return negative_log_likelihood(x, alpha.unsqueeze(-1), c) @ weight

    grid = torch.linspace(*ENDS, 41, dtype=torch.float64)
    best = int(mean(grid).argmin())
    bounds = float(grid[max(0, best - 1)]), float(grid[min(40, best + 1)])
    found = minimize_scalar(lambda alpha: float(mean(torch.tensor([alpha], dtype=torch.float64))), bounds=bounds)
    ends = {value: float(mean(torch.tensor([value], dtype=torch.float64))) for value in bounds}
    end = min(ends, key=lambda value: ends[value])
    return float(end if ends[end] <= found.fun else found.x)


def rejection_point(method: Method) -> float:
    """Return the residual 1 - p_y from which on psi is 0, to 1/20,000; inf where there is none below 1.

    Source: Hampel et al. 1986. Raises as :func:`robustdl_lib.theory.gradients.influence`.
    """
    found = influence(method)
    alive = np.flatnonzero(found["psi"])
    return float(found["residual"][alive[-1] + 1]) if len(alive) and alive[-1] < len(found) - 2 else math.inf


def _curves(method: str, residuals: ArrayLike) -> pd.DataFrame:
    found = influence(method, residuals)
    p = 1.0 - found["residual"].to_numpy()
    scale = 3 * integral(method)  # 6 p (1 - p) psi is 3 w
    columns = {"residual": found["residual"], "loss": loss_curve(method, p)["loss"] / scale}
    density = emphasis_density(method, p)["density"]
    return pd.DataFrame({**columns, "influence": found["psi"] / scale, "density": density})


def _reweighted(sample: ArrayLike, weigh: Callable[[Floats], Floats]) -> float:
    """Return the fixed point of m = sum w_i x_i / sum w_i with w = weigh(|x - m|), from the median."""
    x = np.asarray(sample, dtype=np.float64).ravel()
    if not len(x) or not np.isfinite(x).all():
        raise ValueError("a location needs a sample of finite numbers, at least one")
    centre = float(np.median(x))
    for _ in range(1000):
        weight = weigh(np.abs(x - centre))
        if not weight.sum() > 0:  # all are too far to count: no step improves on the median
            return centre
        moved = float(weight @ x / weight.sum())
        if abs(moved - centre) <= 1e-12 * (1.0 + abs(centre)):
            return moved
        centre = moved
    return centre


def _counted(residuals: ArrayLike, counts: ArrayLike | None) -> tuple[Tensor, Tensor]:
    """Return residuals and their shares, both [N] in float64."""
    x = np.asarray(residuals, dtype=np.float64).ravel()
    times = np.ones(len(x)) if counts is None else np.asarray(counts, dtype=np.float64).ravel()
    if times.shape != x.shape or not np.isfinite(x).all() or not (times >= 0).all() or not times.sum() > 0:
        raise ValueError("fit_alpha needs finite residuals and as many counts >= 0 that are not all 0")
    return torch.from_numpy(x), torch.from_numpy(times / times.sum())
