"""Example weights: ``(logits [N, C], target [N, C], *, knobs) -> [N]``, always detached.

A weight is the L1 norm that the derivative of an example with respect to its logits is to have. There need not
be a loss behind it: :func:`weighted_loss` turns any weight into a surrogate whose derivative is
w / (2 (1 - p_y)) (p - q), of L1 norm w. The symbol p in ``formula`` is p_y.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from robustdl_lib.registry import METHODS


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
    (-log p_y = softplus(a) in the log-odds a; beyond PyTorch's usual threshold of 20 its slope would be off by 2e-9.)
    Source: Talk, eq. 4; DM (arXiv 1905.11233) and its code: a detached weight times cross entropy.
    """
    odds = log_odds_against(logits, target)
    away = torch.sigmoid(odds).clamp_min(torch.finfo(odds.dtype).tiny)
    return (weight / (2 * away)).detach() * softplus(odds, threshold=40.0)


@METHODS.register(
    "imae", label="IMAE", source="Wang et al. 2019, IMAE", role="weight", formula="exp(T * p * (1 - p))", shows=("T",)
)
@torch.no_grad()
def imae(logits: Tensor, target: Tensor, *, T: Annotated[float, Field(ge=0, le=200)] = 8.0) -> Tensor:
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
)
@torch.no_grad()
def dm(
    logits: Tensor,
    target: Tensor,
    *,
    beta: Annotated[float, Field(ge=0, le=60)] = 12.0,
    lam: Annotated[float, Field(ge=0, le=100)] = 0.5,
) -> Tensor:
    """Derivative manipulation, w = exp(beta p_y^lam (1 - p_y)), in [1, inf), emphasis mode lam / (lam + 1).

    logits [N, C] real, target [N, C] one-hot, beta in [0, 60], lam in [0, 100] -> [N], detached. beta = 0 weighs
    all alike and has no mode. Source: Talk, eq. 4; DM (arXiv 1905.11233).
    Raises ValueError when the shapes differ, SpecError when a knob is out of its range.
    """
    odds = log_odds_against(logits, target)
    return torch.exp(beta * torch.sigmoid(-odds).pow(lam) * torch.sigmoid(odds))
