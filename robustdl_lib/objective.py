"""From a method's spec to what is minimised: a target, a weight and a loss, then the only reduction over examples."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from robustdl_lib.losses import cce
from robustdl_lib.registry import METHODS, Spec
from robustdl_lib.weights import weighted_loss

Loss = Callable[[Tensor, Tensor], Tensor]


class Objective:
    """A training method on C classes, callable as ``objective(logits, labels, progress=0.5) -> scalar``.

    What a method changes is its role: a *loss* replaces cross entropy, a *weight* sets the L1 norm of each
    example's logit derivative, a *target* replaces the given label.
    """

    def __init__(self, method: Spec, num_classes: int) -> None:
        self.method = method
        self.num_classes = num_classes
        self.role: str = method.entry.meta["role"]

    def one_hot(self, labels: Tensor, like: Tensor) -> Tensor:
        """Return labels [N] (or soft labels [N, C]) as a target [N, C] of ``like``'s type."""
        if like.ndim != 2 or like.shape[1] != self.num_classes:
            raise ValueError(f"logits must be [N, {self.num_classes}], found {tuple(like.shape)}")
        return labels.to(like.dtype) if labels.ndim == 2 else one_hot(labels, self.num_classes).to(like.dtype)

    def per_example(self, logits: Tensor, labels: Tensor, *, progress: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return losses [N] and weights [N]: the derivative of losses.sum() is each example's logit gradient.

        The weights are 1 but for methods that weigh, whose gradient they then norm (derivative normalisation). With a
        soft target a weighting multiplies -log <target, p>, whose derivative has the norm w only where the target is
        one-hot.
        """
        if not 0 <= progress <= 1:
            raise ValueError(f"progress is the share of training done, in [0, 1], found {progress}")
        target = self.one_hot(labels, logits)
        call, knobs = self.method.entry.function, self.method.knobs
        if self.role == "weight":
            weight = call(logits, target, **knobs)
            return weighted_loss(weight, logits, target), weight
        if self.role == "target":
            losses = cce(logits, call(target, logits, progress=progress, **knobs))
        else:
            losses = call(logits, target, **knobs)
        return losses, torch.ones_like(losses)

    def __call__(self, logits: Tensor, labels: Tensor, *, progress: float = 0.0) -> Tensor:
        """Return sum_i loss_i / sum_i w_i: the mean, or for a weighting the batch-normalised sum.

        logits [N, C] real, labels [N] in [0, C) or targets [N, C], progress in [0, 1) -> scalar.
        Source: DM (arXiv 1905.11233), derivative normalisation over the batch. Raises ValueError on a wrong shape.
        """
        losses, weights = self.per_example(logits, labels, progress=progress)
        return losses.sum() / weights.sum() if self.role == "weight" else losses.mean()

    def trust(self, logits: Tensor, *, progress: float) -> Tensor:
        """Return the share of each example's target that the learner supplies: [N], 0 for methods that do not."""
        trust = self.method.entry.meta.get("trust")
        return trust(logits, progress, **self.method.values) if trust else logits.new_zeros(len(logits))


def build(method: str | Loss, num_classes: int = 10) -> Objective:
    """Return the objective of a spec such as ``"dm:beta=16,lam=1"``, or of a loss (logits, target) -> [N].

    Raises :class:`~robustdl_lib.registry.SpecError` for an unknown method, knob or value.
    """
    return Objective(METHODS.parse(method) if isinstance(method, str) else _as_spec(method), num_classes)


def _as_spec(loss: Loss) -> Spec:
    """Wrap a user's own loss as an unregistered method."""
    name = getattr(loss, "__name__", "loss")
    entry = METHODS.describe(name, loss, label=name, source="given by the caller", role="loss")
    return Spec(entry, {})
