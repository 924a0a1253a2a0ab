"""Per-example losses: ``(logits [N, C], target [N, C]) -> [N]``.

Each is written over the log-probabilities, so that value and gradient stay finite as p -> 0, and is linear in
the target: with a soft target it is the expected loss of a label drawn from it. With a one-hot target it is a
function L of p_y alone, given as ``formula`` in the registry (the symbol p is p_y), from which the notebooks
derive the example weight w = 2 p (1 - p) |L'(p)|.
"""

import math
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import log_softmax

from robustdl_lib.registry import METHODS

LOG_ZERO = math.log(1e-4)
"""A of reverse cross entropy, which stands for log 0: its code clamps at 1e-4. Source: Wang et al. 2019, SCE."""

Share = Annotated[float, Field(ge=0, le=100)]
Exponent = Annotated[float, Field(ge=1e-12, le=1)]
Threshold = Annotated[float, Field(gt=0, lt=1)]
Corner = Annotated[float, Field(ge=1e-3, le=10)]
Shape = Annotated[float, Field(le=4, allow_inf_nan=True)]
Scale = Annotated[float, Field(ge=0.01, le=100)]


def expected(per_class: Tensor, target: Tensor) -> Tensor:
    """Return sum_j target_j l_j: the loss of each class [N, C], averaged over the target [N, C], as [N].

    Raises ValueError when the shapes differ.
    """
    if per_class.shape != target.shape:
        raise ValueError(
            f"logits are {tuple(per_class.shape)} and target is {tuple(target.shape)}: both must be [N, C]"
        )
    return (target * per_class).sum(dim=1)


@METHODS.register("cce", label="CCE", source="Talk, eq. 1", role="loss", formula="-log(p)")
def cce(logits: Tensor, target: Tensor) -> Tensor:
    """Categorical cross entropy, L = -sum_j target_j log p_j, in [0, inf).

    logits [N, C] real, target [N, C] on the simplex -> [N]. Weight 2 (1 - p_y), emphasis mode 0.
    Source: Talk, eq. 1 to 3. Raises ValueError when the shapes differ.
    """
    return expected(-log_softmax(logits, dim=1), target)


@METHODS.register("mae", label="MAE", source="Talk, eq. 1; Ghosh et al. 2017", role="loss", formula="1 - p")
def mae(logits: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error, L = 1 - p_y, in [0, 1].

    logits [N, C] real, target [N, C] on the simplex -> [N]. Weight 2 p_y (1 - p_y), emphasis mode 1/2. This is
    half the L1 distance |p - q|, as in DM; IMAE uses the whole and so twice the weight.
    Source: Talk, eq. 1 to 3. Raises ValueError when the shapes differ.
    """
    return expected(-torch.expm1(log_softmax(logits, dim=1)), target)


@METHODS.register("mse", label="MSE", source="Talk, eq. 1", role="loss", formula="(1 - p)**2")
def mse(logits: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the given label's probability, L = (1 - p_y)^2, in [0, 1].

    logits [N, C] real, target [N, C] on the simplex -> [N]. Weight 4 p_y (1 - p_y)^2, emphasis mode 1/3. It
    uses p_y alone: the Brier score over all classes has another gradient.
    Source: Talk, eq. 1 to 3. Raises ValueError when the shapes differ.
    """
    return expected(torch.expm1(log_softmax(logits, dim=1)).square(), target)


@METHODS.register(
    "gce",
    label="GCE",
    source="Talk, eq. 1; Zhang and Sabuncu 2018",
    role="loss",
    formula="(1 - p**q) / q",
    shows=("q",),
    spans={"q": (0.01, 1.0)},
)
def gce(logits: Tensor, target: Tensor, *, q: Exponent = 0.7) -> Tensor:
    """Generalised cross entropy, L = (1 - p_y^q) / q, in [0, 1/q]: CCE as q -> 0, MAE at q = 1.

    logits [N, C] real, target [N, C] on the simplex, q in [1e-12, 1] -> [N]. Weight 2 p_y^q (1 - p_y), emphasis
    mode q / (q + 1). Source: Talk, eq. 1 to 3; Zhang and Sabuncu 2018 (arXiv 1805.07836).
    Raises ValueError when the shapes differ, SpecError when q is out of its range.
    """
    return expected(-torch.expm1(q * log_softmax(logits, dim=1)) / q, target)


@METHODS.register(
    "tgce",
    label="Truncated GCE",
    source="Zhang and Sabuncu 2018",
    role="loss",
    says="(1 - max(p, k)**q) / q",
    formula="Piecewise(((1 - k**q) / q, p <= k), ((1 - p**q) / q, True))",
    shows=("q", "k"),
    spans={"q": (0.01, 1.0), "k": (0.01, 0.99)},
)
def tgce(logits: Tensor, target: Tensor, *, q: Exponent = 0.7, k: Threshold = 0.5) -> Tensor:
    """Truncated GCE, L = L_q(max(p_y, k)) with L_q(p) = (1 - p^q) / q: an example with p_y <= k teaches nothing.

    logits [N, C] real, target [N, C] on the simplex, q in [1e-12, 1], k in (0, 1) -> [N] in [0, (1 - k^q) / q].
    Weight 2 p_y^q (1 - p_y) above k and 0 below, emphasis mode max(k, q / (q + 1)). The paper prunes by it, in
    rounds; here it is the loss of one round. Source: Zhang and Sabuncu 2018 (arXiv 1805.07836).
    Raises ValueError when the shapes differ, SpecError when a knob is out of its range.
    """
    log_p = log_softmax(logits, dim=1)
    known = log_p > math.log(k)
    return expected(torch.where(known, -torch.expm1(q * log_p) / q, -math.expm1(q * math.log(k)) / q), target)


@METHODS.register(
    "sce",
    label="SCE",
    source="Wang et al. 2019, SCE",
    role="loss",
    formula="-a * log(p) + b * log(10000) * (1 - p)",
    shows=("a", "b"),
    spans={"a": (0.0, 6.0), "b": (0.0, 2.0)},
)
def sce(logits: Tensor, target: Tensor, *, a: Share = 0.1, b: Share = 1.0) -> Tensor:
    """Symmetric cross entropy, L = a CE + b RCE = -a log p_y - b A (1 - p_y), with A = log 1e-4 for log 0.

    logits [N, C] real, target [N, C] on the simplex, a and b in [0, 100] -> [N] in [0, inf). The reverse part RCE
    is MAE times -A = 9.2. The paper's (a, b): CIFAR-10 (0.1, 1), CIFAR-100 (6, 0.1).
    Source: Wang et al. 2019 (SCE). Raises ValueError when the shapes differ, SpecError on a bad knob.
    """
    return a * cce(logits, target) - b * LOG_ZERO * mae(logits, target)


@METHODS.register(
    "nce_rce",
    label="NCE+RCE",
    source="Ma et al. 2020, active-passive losses",
    role="loss",
    whole="a * S(q * log(p)) / S(log(p)) + b * log(10000) * (1 - S(q * p))",
    shows=("a", "b"),
)
def nce_rce(logits: Tensor, target: Tensor, *, a: Share = 1.0, b: Share = 1.0) -> Tensor:
    """Normalised and reverse cross entropy, L = a log p_y / sum_j log p_j - b A (1 - p_y), with A = log 1e-4.

    logits [N, C] real, target [N, C] on the simplex, a and b in [0, 100] -> [N] in [0, a - b A]. The normalised part
    looks at the other classes too, so the loss is no function of p_y alone. Summed over all labels it is constant.
    Source: Ma et al. 2020 (active-passive losses). Raises ValueError when the shapes differ, SpecError on a bad knob.
    """
    log_p = log_softmax(logits, dim=1)
    return a * expected(log_p, target) / log_p.sum(dim=1) - b * LOG_ZERO * mae(logits, target)


@METHODS.register(
    "barron",
    label="Barron",
    source="Barron 2019",
    role="loss",
    says="rho(1 - p, alpha, c), Barron's general robust loss",
    formula="Piecewise(((1 - p)**2 / (2 * c**2), Eq(alpha, 2)), (log((1 - p)**2 / (2 * c**2) + 1), Eq(alpha, 0)),"
    " (1 - exp(-(1 - p)**2 / (2 * c**2)), alpha < -10**8),"
    " (Abs(alpha - 2) / alpha * (((1 - p)**2 / (c**2 * Abs(alpha - 2)) + 1)**(alpha / 2) - 1), True))",
    shows=("alpha", "c"),
    spans={"alpha": (-8.0, 4.0), "c": (0.05, 2.0)},
)
def barron(logits: Tensor, target: Tensor, *, alpha: Shape = 1.0, c: Scale = 0.5) -> Tensor:
    """Barron's general robust loss of the residual x = 1 - p_y, L = rho(x, alpha, c) of :func:`general_robust`.

    logits [N, C] real, target [N, C] on the simplex, alpha in [-inf, 4] (also ``-inf``), c in [0.01, 100] -> [N].
    Source: Barron 2019. Raises ValueError when the shapes differ, SpecError when a knob is out of its range.
    """
    return expected(general_robust(residuals(logits), alpha, c), target)


@METHODS.register(
    "hampel",
    label="Hampel",
    source="Hampel et al. 1986",
    role="loss",
    says="rho(1 - p) with psi(x) = x to a, a to b, a (c - x) / (c - b) to c, then 0",
    formula="Piecewise(((1 - p)**2 / 2, 1 - p <= a), (a * (1 - p) - a**2 / 2, 1 - p <= b),"
    " (a * (b + c - a - (c - 1 + p)**2 / (c - b)) / 2, 1 - p <= c), (a * (b + c - a) / 2, True))",
    shows=("a", "b", "c"),
    increasing=("a", "b", "c"),
    spans={"a": (0.02, 0.3), "b": (0.31, 0.6), "c": (0.61, 1.0)},
)
def hampel(logits: Tensor, target: Tensor, *, a: Corner = 0.25, b: Corner = 0.5, c: Corner = 0.9) -> Tensor:
    """Hampel's three-part redescending M-estimator of the residual x = 1 - p_y, by its psi = rho'.

    psi(x) = x up to a, a up to b, a (c - x) / (c - b) up to c, and 0 beyond: an example with x >= c is taken for an
    outlier and teaches nothing. logits [N, C] real, target [N, C] on the simplex, 0.001 <= a < b < c <= 10 -> [N] in
    [0, a (b + c - a) / 2]. Source: Hampel et al. 1986 (Robust Statistics).
    Raises ValueError when the shapes differ, SpecError when the knobs do not increase.
    """
    x = residuals(logits)
    beyond = torch.full_like(x, a * (b + c - a) / 2)
    falling = a * (b + c - a - (c - x).square() / (c - b)) / 2
    flat = a * x - a * a / 2
    rho = torch.where(x <= a, x.square() / 2, torch.where(x <= b, flat, torch.where(x <= c, falling, beyond)))
    return expected(rho, target)


def general_robust(x: Tensor, alpha: float | Tensor, c: float = 1.0) -> Tensor:
    """Barron's rho(x, alpha, c) = |alpha-2| / alpha (((x/c)^2 / |alpha-2| + 1)^(alpha/2) - 1), elementwise.

    x any shape, c > 0 -> the same shape, >= 0. Its limits: alpha = 2 L2, 1 Charbonnier, 0 Cauchy log((x/c)^2/2 + 1),
    -2 Geman-McClure, -inf Welsch 1 - exp(-(x/c)^2/2), which is also taken below -1e8. A tensor alpha must avoid 0
    and 2; the loss is then differentiable in it. Source: Barron 2019.
    """
    squared = (x / c).square()
    if isinstance(alpha, float | int):
        if alpha == 2:
            return squared / 2
        if abs(alpha) < 1e-12:
            return torch.log1p(squared / 2)
        if alpha < -1e8:
            return -torch.expm1(-squared / 2)
    away: Any = abs(alpha - 2)
    return away / alpha * torch.expm1(alpha / 2 * torch.log1p(squared / away))


def log_partition(alpha: Tensor) -> Tensor:
    """Return log Z(alpha), with Z the integral over the real line of exp(-rho(x, alpha, 1)).

    alpha in (0, 2) -> the same shape. Z(0) = pi sqrt 2, Z(1) = 2 e K_1(1), Z(2) = sqrt(2 pi). The trapezium rule in
    s, with x = sinh s, is exact to 1e-9 and differentiable in alpha. Source: Barron 2019.
    """
    s = torch.arange(0.0, 40.0, 0.05, dtype=torch.float64, device=alpha.device)
    density = torch.exp(-general_robust(torch.sinh(s), alpha.double().unsqueeze(-1))) * torch.cosh(s)
    return torch.log(0.05 * (2 * density.sum(dim=-1) - density[..., 0])).to(alpha.dtype)


def negative_log_likelihood(x: Tensor, alpha: Tensor, c: float = 1.0) -> Tensor:
    """Return rho(x, alpha, c) + log c + log Z(alpha), elementwise: what the data say of alpha.

    x [N] residuals, alpha in (0, 2), c > 0 -> [N]. Without log Z the smallest alpha would always win, since it makes
    rho small; Z charges for the heavy tails that it claims. Source: Barron 2019.
    """
    return general_robust(x, alpha, c) + math.log(c) + log_partition(alpha)


def residuals(logits: Tensor) -> Tensor:
    """Return 1 - p_j of every class [N, C], with its relative precision where p_j is near 1."""
    return -torch.expm1(log_softmax(logits, dim=1))
