"""Example weights: ``(logits [N, C], target [N, C], *, knobs) -> [N]``, always detached.

A weight is the L1 norm that the derivative of an example with respect to its logits is to have. There need not
be a loss behind it: :func:`weighted_loss` turns any weight into a surrogate whose derivative is
w / (2 (1 - p_y)) (p - q), of L1 norm w. The symbol p in ``formula`` is p_y.

Every weighting has the knob ``norm``, which sets the scale of a batch of N (derivative normalisation): its summed
derivative is divided by the sum of its weights (``batch``, what the papers ran), by N times the integral of w over
p_y in [0, 1] (``integral``, what DM prints), or by N (``none``). It does not change the weights themselves.
"""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from robustdl_lib.registry import METHODS

Norm = Literal["batch", "integral", "none"]
Sharpness = Annotated[float, Field(ge=0, le=60)]
LARGE = 20.0
"""Log-odds from which on softplus is written out."""


def log_odds_against(logits: Tensor, target: Tensor) -> Tensor:
    """Return a = log((1 - p_y) / p_y) per example [N], with p_y = <target, p>.

    It is computed from the logits as the difference of two log-sum-exp, so p_y = sigmoid(-a) and
    1 - p_y = sigmoid(a) keep their relative precision at both ends, where 1 - softmax has none.
    """
    if logits.shape != target.shape:
        raise ValueError(f"logits are {tuple(logits.shape)} and target is {tuple(target.shape)}: both must be [N, C]")
    against = torch.logsumexp(logits + torch.log1p(-target), dim=1)
    return against - torch.logsumexp(logits + torch.log(target), dim=1)


def weighted_loss(weight: Tensor, logits: Tensor, target: Tensor) -> Tensor:
    """Return stopgrad(w / (2 (1 - p_y))) (-log p_y) per example [N]: its logit derivative has the L1 norm w.

    weight [N] >= 0, logits [N, C] real, target [N, C] one-hot -> [N]. 1 - p_y is held above the smallest normal
    number of the type, so value and gradient are finite at p_y -> 1, where the quotient w / (1 - p_y) diverges.
    (-log p_y = softplus(a) in the log-odds a. PyTorch's slope is off by 2e-9 beyond its usual threshold of 20, and
    overflows for large weights below a higher one, so from 20 on it is a + log(1 + exp(-a)).)
    Source: Talk, eq. 4; DM (arXiv 1905.11233) and its code: a detached weight times cross entropy.
    """
    odds = log_odds_against(logits, target)
    far = odds.clamp_min(LARGE)
    surprise = torch.where(odds > LARGE, far + torch.log1p(torch.exp(-far)), softplus(odds, threshold=2 * LARGE))
    return _share(weight, odds).detach() * surprise


@torch.no_grad()
def derivative(weight: Tensor, logits: Tensor, target: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Return w / (2 (1 - p_y)) (p - q) / scale per example [N, C]: a derivative that is stated, not that of a loss.

    weight [N] >= 0, logits [N, C] real, target [N, C] one-hot, scale > 0 -> [N, C] of L1 norm w / scale. It is what
    autograd finds for ``weighted_loss(weight, logits, target).sum() / scale``, bit for bit, in float32 and in
    float64: the factors are multiplied in the order in which it comes by them. (p - q) = (1 - p_y) (r - q), r being
    the probabilities among the other classes, so nothing is divided by 0 at p_y = 1.
    Source: Talk, eq. 4 and slide 17. Raises ValueError when the shapes differ.
    """
    odds = log_odds_against(logits, target)
    others = logits + torch.log1p(-target)
    among = torch.exp(others - torch.logsumexp(others, dim=1, keepdim=True))  # r
    pull = torch.ones_like(odds) / scale * _share(weight, odds)
    return _times_away(pull, odds).unsqueeze(1) * (among - target)


def _share(weight: Tensor, odds: Tensor) -> Tensor:
    """Return w / (2 (1 - p_y)), at most the largest number of the type: a weight may be large at p_y = 1."""
    away = torch.sigmoid(odds).clamp_min(torch.finfo(odds.dtype).tiny)
    return (weight / (2 * away)).clamp_max(torch.finfo(odds.dtype).max)


def _times_away(pull: Tensor, odds: Tensor) -> Tensor:
    """Return pull (1 - p_y), where 1 - p_y is the slope of -log p_y in the log-odds, as autograd takes it."""
    near = torch.ops.aten.softplus_backward(pull, odds, 1, 2 * LARGE)  # its exp rounds as no other does
    far = torch.exp(-odds.clamp_min(LARGE))
    return torch.where(odds > LARGE, pull - pull / (1 + far) * far, near)


def integral(weight: Callable[..., Tensor], **knobs: object) -> float:
    """Return the integral of w over p_y in [0, 1], to 1e-6, by Gauss-Legendre quadrature. Source: Talk, eq. 5."""
    nodes, shares = _quadrature()
    logits = torch.from_numpy(np.log(np.stack([nodes, 1.0 - nodes], axis=1)))
    target = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand_as(logits)
    return float(weight(logits, target, **knobs).numpy() @ shares)


@cache
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    nodes, shares = np.polynomial.legendre.leggauss(256)
    return (nodes + 1) / 2, shares / 2


@METHODS.register(
    "imae",
    label="IMAE",
    source="Wang et al. 2019, IMAE",
    role="weight",
    formula="exp(T * p * (1 - p))",
    shows=("T",),
    spans={"T": (0.0, 20.0)},
)
@torch.no_grad()
def imae(
    logits: Tensor, target: Tensor, *, T: Annotated[float, Field(ge=0, le=200)] = 8.0, norm: Norm = "batch"
) -> Tensor:
    """Improved MAE, w = exp(T p_y (1 - p_y)), in [1, exp(T / 4)], emphasis mode 1/2.

    logits [N, C] real, target [N, C] one-hot, T in [0, 200] -> [N], detached. T = 0 weighs all alike.
    Source: IMAE (arXiv 1903.12141). Raises ValueError when the shapes differ, SpecError on a bad T.
    """
    odds = log_odds_against(logits, target)
    return torch.exp(T * torch.sigmoid(odds) * torch.sigmoid(-odds))


@METHODS.register(
    "dm",
    label="DM",
    source="Talk, eq. 4",
    role="weight",
    formula="exp(beta * p**lam * (1 - p))",
    shows=("beta", "lam"),
    spans={"beta": (0.0, 30.0), "lam": (0.0, 4.0)},
)
@torch.no_grad()
def dm(
    logits: Tensor,
    target: Tensor,
    *,
    beta: Sharpness = 12.0,
    lam: Annotated[float, Field(ge=0, le=100)] = 0.5,
    norm: Norm = "batch",
) -> Tensor:
    """Derivative manipulation, w = exp(beta p_y^lam (1 - p_y)), in [1, inf), emphasis mode lam / (lam + 1).

    logits [N, C] real, target [N, C] one-hot, beta in [0, 60], lam in [0, 100] -> [N], detached. beta = 0 weighs
    all alike and has no mode. Source: Talk, eq. 4; DM (arXiv 1905.11233).
    Raises ValueError when the shapes differ, SpecError when a knob is out of its range.
    """
    odds = log_odds_against(logits, target)
    return torch.exp(beta * torch.sigmoid(-odds).pow(lam) * torch.sigmoid(odds))


@METHODS.register(
    "normal",
    label="Normal",
    source="Wang et al. 2019, DM",
    role="weight",
    formula="exp(-beta * p * (p - 2 * psi))",
    shows=("beta", "psi"),
    spans={"beta": (0.0, 30.0), "psi": (0.0, 1.0)},
)
@torch.no_grad()
def normal(
    logits: Tensor,
    target: Tensor,
    *,
    beta: Sharpness = 8.0,
    psi: Annotated[float, Field(ge=0, le=1)] = 0.5,
    norm: Norm = "batch",
) -> Tensor:
    """The normal family, w = exp(-beta p_y (p_y - 2 psi)), a bell around psi of variance 1 / (2 beta).

    logits [N, C] real, target [N, C] one-hot, beta in [0, 60], psi in [0, 1] -> [N], detached; w(0) = 1.
    Emphasis mode psi. Source: DM (arXiv 1905.11233). Raises ValueError when the shapes differ, SpecError on a bad knob.
    """
    p = torch.sigmoid(-log_odds_against(logits, target))
    return torch.exp(-beta * p * (p - 2 * psi))


@METHODS.register(
    "exponential",
    label="Exponential",
    source="Wang et al. 2019, DM",
    role="weight",
    formula="exp(beta * (1 - p))",
    shows=("beta",),
    spans={"beta": (0.0, 10.0)},
)
@torch.no_grad()
def exponential(logits: Tensor, target: Tensor, *, beta: Sharpness = 2.0, norm: Norm = "batch") -> Tensor:
    """The exponential family, w = exp(beta (1 - p_y)), in [1, exp(beta)]: DM with lam = 0; emphasis mode 0.

    logits [N, C] real, target [N, C] one-hot, beta in [0, 60] -> [N], detached.
    Source: DM (arXiv 1905.11233). Raises ValueError when the shapes differ, SpecError on a bad knob.
    """
    return torch.exp(beta * torch.sigmoid(log_odds_against(logits, target)))


@METHODS.register(
    "beta",
    label="Beta",
    source="Wang et al. 2019, DM",
    role="weight",
    formula="p**(a - 1) * (1 - p)**(n - 1)",
    shows=("a", "n"),
    spans={"a": (1.0, 6.0), "n": (1.0, 6.0)},
)
@torch.no_grad()
def beta(
    logits: Tensor,
    target: Tensor,
    *,
    a: Annotated[float, Field(ge=1, le=20)] = 2.0,
    n: Annotated[float, Field(ge=1, le=20)] = 2.0,
    norm: Norm = "batch",
) -> Tensor:
    """The beta family, w = p_y^(a-1) (1 - p_y)^(n-1), in [0, 1], emphasis mode (a - 1) / (a + n - 2).

    logits [N, C] real, target [N, C] one-hot, a and n in [1, 20] -> [N], detached. The losses lie in it: CCE (1, 2),
    MAE (2, 2), MSE (2, 3), GCE (q + 1, 2). Source: DM (arXiv 1905.11233).
    Raises ValueError when the shapes differ, SpecError on a bad knob.
    """
    odds = log_odds_against(logits, target)
    return torch.sigmoid(-odds).pow(a - 1) * torch.sigmoid(odds).pow(n - 1)
