"""ProSelfLC step by step on one example: its trust, its target, and the time at which the target changes class."""

import math
from collections.abc import Sequence

import pandas as pd
import torch

from robustdl_lib.methods.targets import global_trust, local_trust, proselflc, semantic_class
from robustdl_lib.theory.gradients import logit_gradient


def steps(
    p: Sequence[float], times: Sequence[float], *, B: float = 10.0, T: float = 1.0, detach: bool = False
) -> pd.DataFrame:
    """Return what ProSelfLC does to the target of one example whose label is class 0, a row a time t/T.

    p: the learner's C probabilities, positive; B > 0, T in [0.01, 1]. Columns t, g, l, trust, target_0 ...
    target_(C-1), semantic (the target's class) and pull: minus the derivative with respect to the label's logit,
    positive where the step draws the prediction to the label. Source: Talk, eq. 6.
    """
    logits = torch.tensor([list(p)], dtype=torch.float64).log()
    label = torch.zeros_like(logits)
    label[0, 0] = 1.0
    confident = float(local_trust(logits, T=T)[0])
    rows = []
    for t in times:
        target = proselflc(label, logits, progress=t, B=B, T=T)[0]
        spec = f"proselflc:B={B},T={T},detach={detach}"
        pull = -float(logit_gradient(spec, logits, torch.tensor([0]), progress=t)[0, 0])
        row = {"t": t, "g": global_trust(t, B=B), "l": confident}
        row |= {"trust": row["g"] * confident, **{f"target_{j}": float(x) for j, x in enumerate(target)}}
        rows.append(row | {"semantic": int(semantic_class(target[None])[0]), "pull": pull})
    return pd.DataFrame(rows)


def crossing(p: Sequence[float], *, B: float = 10.0, T: float = 1.0) -> float:
    """Return the time t/T at which ProSelfLC's target leaves the label, class 0, for the learner's own class.

    The target's class changes where e (p_j - p_y) > 1 - e, so at the trust e* = 1 / (1 + p_j - p_y), with p_T in the
    place of p; g(t) = e* / l gives t/T = 1/2 + log(x / (1 - x)) / B with x = e* / l(p). inf where it never comes:
    the learner agrees, is not confident enough (x >= 1), or the time is beyond the end. At least 0.
    Source: derived here from Talk, eq. 6.
    """
    logits = torch.tensor([list(p)], dtype=torch.float64).log()
    sharp = torch.softmax(logits / T, dim=1)[0]
    x = float(1 / (1 + sharp[1:].max() - sharp[0]) / local_trust(logits, T=T)[0].clamp_min(1e-12))
    if sharp[1:].max() <= sharp[0] or x >= 1:
        return math.inf
    t = 0.5 + math.log(x / (1 - x)) / B
    return max(0.0, t) if t < 1 else math.inf
