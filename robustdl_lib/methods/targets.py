"""Target modification: ``(target [N, C], logits [N, C], *, progress, knobs) -> [N, C]``.

The loss that follows is always H(q~, p) = -sum_j q~_j log p_j, with q~ the modified target. Whether the gradient
flows through q~ decides everything. With a detached target at temperature 1, bootstrapping, the confidence
penalty and ProSelfLC all have the gradient (1 - e)(p - q), a re-scaled cross entropy. Flowing through, the loss
is (1 - e) H(q, p) + e H(p), which rewards low entropy (with the opposite sign for the confidence penalty). So
``detach`` is a knob, and its default is what the published code does.

``trust`` in the registry maps logits, progress and knobs to epsilon [N], the share of the target that the
learner's own prediction supplies; an entry without it does not trust the learner. ``whole`` is the loss in
symbols: S(...) sums over the classes, p and q are the vectors, r is the p that the target takes in (flowing or
detached), m is onehot(argmax p), e the trust, C the number of classes.
"""

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot, softmax

from robustdl_lib.registry import METHODS

Share = Annotated[float, Field(ge=0, lt=1)]
Temperature = Annotated[float, Field(ge=0.01, le=1)]
Sharpness = Annotated[float, Field(gt=0, le=1000)]
Progress = Annotated[float, Field(ge=0, le=1)]
Trust = Literal["both", "global", "local"]
Confidence = Literal["entropy", "max"]


def global_trust(progress: float, *, B: Sharpness = 10.0) -> float:
    """Trust by learning time, g(t) = 1 / (1 + exp(-B (t/T - 1/2))), in (0, 1).

    progress t/T in [0, 1], B > 0 -> float. Source: Talk, eq. 6; ProSelfLC (arXiv 2005.03788).
    """
    centred = 0.5 * B * (progress - 0.5)  # a scalar tensor where a step is captured as a graph
    return 0.5 * (1.0 + (torch.tanh(centred) if isinstance(centred, Tensor) else math.tanh(centred)))


def local_trust(logits: Tensor, *, T: Temperature = 1.0, confidence: Confidence = "entropy") -> Tensor:
    """Trust by confidence, l(p) = 1 - H(p_T) / log C in [0, 1], or max_j p_T,j in [1/C, 1]; p_T = softmax(z / T).

    logits [N, C] real, T in [0.01, 1], confidence by ``entropy`` or ``max`` -> [N]: by entropy it is 0 for the
    uniform, 1 for a one-hot prediction. Source: Talk, eq. 6; ProSelfLC (arXiv 2005.03788); T from arXiv 2207.00118.
    """
    log_probs = log_softmax(logits / T, dim=1)
    if confidence == "max":
        return log_probs.amax(dim=1).exp()
    entropy = -(log_probs.exp() * log_probs).sum(dim=1)
    return (1.0 - entropy / math.log(logits.shape[1])).clamp(0.0, 1.0)


def temperature(progress: float, *, T: Temperature, anneal: bool) -> float:
    """Return T, or when annealed 1 - (1 - T) t/T_end: 1 at the start of training, T at its end."""
    return 1.0 - (1.0 - T) * progress if anneal else T


def proselflc_trust(
    logits: Tensor,
    progress: float,
    *,
    B: Sharpness = 10.0,
    T: Temperature = 1.0,
    anneal: bool = False,
    trust: Trust = "both",
    confidence: Confidence = "entropy",
) -> Tensor:
    """Trust of ProSelfLC, epsilon = g(t) l(p), or one factor alone; in [0, 1], detached: logits [N, C] -> [N].

    Source: Talk, eq. 6; the factors alone are the ablation of ProSelfLC (arXiv 2005.03788).
    """
    in_time = 1.0 if trust == "local" else global_trust(progress, B=B)
    if trust == "global":
        return constant_trust(logits, progress, eps=in_time)
    sharpened = temperature(progress, T=T, anneal=anneal)
    return in_time * local_trust(logits.detach(), T=sharpened, confidence=confidence)


def constant_trust(logits: Tensor, progress: float, *, eps: float) -> Tensor:
    """The same trust for each example at all times: logits [N, C] -> [N] filled with eps."""
    return logits.new_zeros(logits.shape[:1]) + eps


@METHODS.register(
    "ls",
    label="LS",
    source="Szegedy et al. 2016; Talk, slide 28",
    role="target",
    shows=("eps",),
    whole="-S(((1 - eps) * q + eps / C) * log(p))",
)
def ls(target: Tensor, logits: Tensor, *, progress: float = 0.0, eps: Share = 0.1) -> Tensor:
    """Label smoothing, q~ = (1 - eps) q + eps u, with u uniform over the C classes.

    target, logits [N, C], eps in [0, 1) -> [N, C], on the simplex. Logits and progress are not used.
    Source: Szegedy et al. 2016 (eps = 0.1); the talk's grid is 0.125, 0.25, 0.5. Raises SpecError on a bad eps.
    """
    return (1.0 - eps) * target + eps / target.shape[1]


@METHODS.register(
    "cp",
    label="CP",
    source="Pereyra et al. 2017; Talk, slide 28",
    role="target",
    shows=("eps",),
    whole="-S(((1 - eps) * q - eps * r) * log(p))",
    whole_for={"hinge": 1.0, "anneal": False},
)
def cp(
    target: Tensor,
    logits: Tensor,
    *,
    progress: float = 0.0,
    eps: Share = 0.1,
    hinge: Annotated[float, Field(gt=0, le=1)] = 1.0,
    anneal: bool = False,
    detach: bool = False,
) -> Tensor:
    """Confidence penalty, q~ = (1 - e) q - e p, so that the loss is (1 - e) H(q, p) - e H(p).

    It sums to 1 - 2 e: not a distribution. e = eps, or eps t/T when annealed. With a hinge below 1 only predictions
    whose entropy is below hinge log C are penalised, which has the gradient of (1 - e) (CE + b max(0, G - H(p))) with
    b = e / (1 - e) and G = hinge log C. target, logits [N, C], eps in [0, 1), hinge in (0, 1] -> [N, C]. The
    gradient flows through p unless ``detach``. Source: Pereyra et al. 2017 (CE - b H(p), hinge and annealing) in the
    form of the talk, slide 28. Raises SpecError on a bad knob.
    """
    share = eps * progress if anneal else eps
    if hinge < 1:
        confident = 1.0 - local_trust(logits.detach()) < hinge
        return (1.0 - share) * target - share * confident.unsqueeze(1) * _probs(logits, detach)
    return (1.0 - share) * target - share * _probs(logits, detach)


@METHODS.register(
    "boot_soft",
    label="Boot-soft",
    source="Reed et al. 2015; Talk, slide 29",
    role="target",
    shows=("eps",),
    trust=lambda logits, progress, eps, detach: constant_trust(logits, progress, eps=eps),
    whole="-S(((1 - eps) * q + eps * r) * log(p))",
)
def boot_soft(
    target: Tensor, logits: Tensor, *, progress: float = 0.0, eps: Share = 0.05, detach: bool = False
) -> Tensor:
    """Soft bootstrapping, q~ = (1 - eps) q + eps p, so that the loss is (1 - eps) H(q, p) + eps H(p).

    target, logits [N, C], eps in [0, 1) -> [N, C], on the simplex. The gradient flows through p unless
    ``detach``. Source: Reed et al. 2015 (eps = 0.05, their beta = 0.95); the talk's grid is 0.125, 0.25, 0.5.
    Raises SpecError on a bad eps.
    """
    return (1.0 - eps) * target + eps * _probs(logits, detach)


@METHODS.register(
    "boot_hard",
    label="Boot-hard",
    source="Reed et al. 2015",
    role="target",
    shows=("eps",),
    trust=lambda logits, progress, eps: constant_trust(logits, progress, eps=eps),
    whole="-S(((1 - eps) * q + eps * m) * log(p))",
)
def boot_hard(target: Tensor, logits: Tensor, *, progress: float = 0.0, eps: Share = 0.2) -> Tensor:
    """Hard bootstrapping, q~ = (1 - eps) q + eps onehot(argmax p); no gradient flows through the argmax.

    target, logits [N, C], eps in [0, 1) -> [N, C], on the simplex.
    Source: Reed et al. 2015 (eps = 0.2, their beta = 0.8). Raises SpecError on a bad eps.
    """
    return (1.0 - eps) * target + eps * one_hot(logits.argmax(dim=1), target.shape[1]).to(target.dtype)


@METHODS.register(
    "pseudo",
    label="Pseudo-label",
    source="Lee 2013",
    role="target",
    says="H(q, p) with a label, a(t) H(m, p) without",
    shows=("weight",),
    increasing=("start", "end"),
    missing=True,
    knows_batch=True,
)
def pseudo(
    target: Tensor,
    logits: Tensor,
    *,
    progress: float = 0.0,
    weight: Annotated[float, Field(ge=0, le=100)] = 3.0,
    start: Progress = 0.1,
    end: Progress = 0.6,
) -> Tensor:
    """Pseudo-label: onehot(argmax p) where the label is missing, weighed by a(t); no gradient through the argmax.

    The mean over a batch is Lee's (1/n) sum over the n labelled + a(t) (1/n') sum over the n' others: rows are scaled
    by N/n and a(t) N/n'. a(t) is 0 until ``start``, then rises in a line to ``weight`` at ``end`` (progress t/T).
    target [N, C], a row of zeros where the label is missing, logits [N, C] -> [N, C].
    Source: Lee 2013 (a = 3, from epoch 100 to 600, read here as shares of 1,000). Raises SpecError on a bad knob, or
    when start >= end.
    """
    labelled = target.sum(dim=1, keepdim=True) > 0
    count = len(target) / labelled.to(target.dtype).sum().clamp_min(1)
    others = len(target) / (~labelled).to(target.dtype).sum().clamp_min(1)
    along = (progress - start) / (end - start)
    ramp = weight * (along.clamp(0.0, 1.0) if isinstance(along, Tensor) else min(max(along, 0.0), 1.0))
    guess = one_hot(logits.argmax(dim=1), target.shape[1]).to(target.dtype)
    return torch.where(labelled, count * target, ramp * others * guess)


@METHODS.register(
    "proselflc",
    label="ProSelfLC",
    source="Talk, eq. 6; Wang et al. 2021",
    role="target",
    shows=("B",),
    spans={"B": (1.0, 30.0), "T": (0.1, 1.0)},
    trust=lambda logits, progress, detach, **knobs: proselflc_trust(logits, progress, **knobs),
    whole="-S(((1 - e) * q + e * r) * log(p))",
    whole_for={"anneal": False},
)
def proselflc(
    target: Tensor,
    logits: Tensor,
    *,
    progress: float,
    B: Sharpness = 10.0,
    T: Temperature = 1.0,
    anneal: bool = False,
    trust: Trust = "both",
    confidence: Confidence = "entropy",
    detach: bool = False,
) -> Tensor:
    """Progressive self label correction, q~ = (1 - e) q + e p_T, with e = g(t) l(p_T) and p_T = softmax(z / T).

    target, logits [N, C], progress t/T in [0, 1), B > 0, T in [0.01, 1] -> [N, C], on the simplex. ``anneal`` lets T
    fall from 1 in a line (a schedule of ours); ``trust`` takes ``both`` factors, g(t) alone (``global``) or l(p) alone
    (``local``); ``confidence`` measures l by ``entropy`` or by the largest probability (``max``). The trust e is
    always detached; p_T is detached only with ``detach``, as in the code of CVPR 2021. The 2022 version detaches and
    sharpens (T < 1). Source: Talk, eq. 6; ProSelfLC (arXiv 2005.03788); T from arXiv 2207.00118.
    Raises SpecError when a knob is out of its range.
    """
    knobs: dict[str, Any] = {"B": B, "T": T, "anneal": anneal, "trust": trust, "confidence": confidence}
    share = proselflc_trust(logits, progress, **knobs).unsqueeze(1)
    return (1.0 - share) * target + share * _probs(logits / temperature(progress, T=T, anneal=anneal), detach)


def _probs(logits: Tensor, detach: bool) -> Tensor:
    probs = softmax(logits, dim=1)
    return probs.detach() if detach else probs


def semantic_class(target: Tensor) -> Tensor:
    """Return the class a target stands for, argmax_j q~_j: target [N, C] -> [N]. Source: Talk, slide 27."""
    return torch.argmax(target, dim=1)
