"""Per-example losses: ``(logits [N, C], target [N, C]) -> [N]``.

Each is written over the log-probabilities, so that value and gradient stay finite as p -> 0, and is linear in
the target: with a soft target it is the expected loss of a label drawn from it. With a one-hot target it is a
function L of p_y alone, given as ``formula`` in the registry (the symbol p is p_y), from which the notebooks
derive the example weight w = 2 p (1 - p) |L'(p)|.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import log_softmax

from robustdl_lib.registry import METHODS


def _expected(per_class: Tensor, target: Tensor) -> Tensor:
    """Return sum_j target_j l_j: the loss of each class [N, C], averaged over the target [N, C], as [N]."""
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
    return _expected(-log_softmax(logits, dim=1), target)


@METHODS.register("mae", label="MAE", source="Talk, eq. 1; Ghosh et al. 2017", role="loss", formula="1 - p")
def mae(logits: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error, L = 1 - p_y, in [0, 1].

    logits [N, C] real, target [N, C] on the simplex -> [N]. Weight 2 p_y (1 - p_y), emphasis mode 1/2. This is
    half the L1 distance |p - q|, as in DM; IMAE uses the whole and so twice the weight.
    Source: Talk, eq. 1 to 3. Raises ValueError when the shapes differ.
    """
    return _expected(-torch.expm1(log_softmax(logits, dim=1)), target)


@METHODS.register("mse", label="MSE", source="Talk, eq. 1", role="loss", formula="(1 - p)**2")
def mse(logits: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the given label's probability, L = (1 - p_y)^2, in [0, 1].

    logits [N, C] real, target [N, C] on the simplex -> [N]. Weight 4 p_y (1 - p_y)^2, emphasis mode 1/3. It
    uses p_y alone: the Brier score over all classes has another gradient.
    Source: Talk, eq. 1 to 3. Raises ValueError when the shapes differ.
    """
    return _expected(torch.expm1(log_softmax(logits, dim=1)).square(), target)


@METHODS.register(
    "gce",
    label="GCE",
    source="Talk, eq. 1; Zhang and Sabuncu 2018",
    role="loss",
    formula="(1 - p**q) / q",
    shows=("q",),
)
def gce(logits: Tensor, target: Tensor, *, q: Annotated[float, Field(ge=1e-12, le=1)] = 0.7) -> Tensor:
    """Generalised cross entropy, L = (1 - p_y^q) / q, in [0, 1/q]: CCE as q -> 0, MAE at q = 1.

    logits [N, C] real, target [N, C] on the simplex, q in [1e-12, 1] -> [N]. Weight 2 p_y^q (1 - p_y), emphasis
    mode q / (q + 1). Source: Talk, eq. 1 to 3; Zhang and Sabuncu 2018 (arXiv 1805.07836).
    Raises ValueError when the shapes differ, SpecError when q is out of its range.
    """
    return _expected(-torch.expm1(q * log_softmax(logits, dim=1)) / q, target)
