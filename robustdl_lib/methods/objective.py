"""From a method's spec to what is minimised: a target, a weight and a loss, then the only reduction over examples."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor
from torch.nn.functional import one_hot

from robustdl_lib.methods.losses import cce
from robustdl_lib.methods.stateful import Beginning, Memory, no_network, no_teacher
from robustdl_lib.methods.weights import derivative, integral, weighted_loss
from robustdl_lib.registry import METHODS, Entry, MethodFacts, Spec

Loss = Callable[[Tensor, Tensor], Tensor]


class Objective:
    """A training method on C classes, callable as ``objective(logits, labels, progress=0.5) -> scalar``.

    What a method changes is its role: a *loss* replaces cross entropy, a *weight* sets the L1 norm of each
    example's logit derivative, a *target* replaces the given label. What it keeps between steps is its ``memory``
    (:mod:`robustdl_lib.methods.stateful`), which is at work once :meth:`begin` was called.
    """

    def __init__(self, method: Spec, num_classes: int) -> None:
        self.method = method
        self.num_classes = num_classes
        self.role: str = method.entry.facts.role
        kept = method.entry.facts.memory
        self.memory: Memory | None = kept(**method.values) if kept else None
        self.begun = False

    def begin(
        self,
        labels: Tensor,
        learn: Callable[..., Any] = no_teacher,
        untrained: Callable[..., Any] = no_network,
        state: dict[str, Any] | None = None,
    ) -> None:
        """Let the memory, if there is one, prepare for a run: see :class:`~robustdl_lib.methods.stateful.Beginning`.

        With ``state``, what :meth:`state` returned in an earlier part of the run, it goes on from there.
        """
        if self.memory:
            run = Beginning(labels, self.num_classes, learn, untrained)
            self.memory.begin(run) if state is None else self.memory.restore(run, state)
            self.begun = True

    def state(self) -> dict[str, Any] | None:
        """Return what the memory needs to go on, empty without a memory; None where it is one that cannot say."""
        if not self.memory:
            return {}
        said = getattr(self.memory, "state", None)
        return said() if said else None

    def one_hot(self, labels: Tensor, like: Tensor) -> Tensor:
        """Return labels [N] (or soft labels [N, C]) as a target [N, C] of ``like``'s type, zeros where one is -1."""
        if like.ndim != 2 or like.shape[1] != self.num_classes:
            raise ValueError(f"logits must be [N, {self.num_classes}], found {tuple(like.shape)}")
        if labels.ndim == 2:
            return labels.to(like.dtype)
        hot = one_hot(labels.clamp_min(0), self.num_classes).to(like.dtype)
        return hot * (labels >= 0).unsqueeze(1)

    def per_example(
        self, logits: Tensor, labels: Tensor, *, progress: float = 0.0, recalled: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return losses [N] and weights [N]: the derivative of losses.sum() is each example's logit gradient.

        The weights are 1 but for methods that weigh, whose gradient they then norm (derivative normalisation). With a
        soft target a weighting multiplies -log <target, p>, whose derivative has the norm w only where the target is
        one-hot. An example whose label is missing (-1) has loss and weight 0, but for methods that are made for it.
        ``recalled`` is what the method's memory says of these examples.
        """
        if not isinstance(progress, Tensor) and not 0 <= progress <= 1:
            raise ValueError(f"progress is the share of training done, in [0, 1], found {progress}")
        target = self.one_hot(labels, logits)
        known = target.new_ones(len(target), dtype=torch.bool)
        if labels.ndim == 1 and not self.method.entry.facts.missing:
            known = labels >= 0
            target[:, 0] += ~known  # any class will do: what follows is not counted
        losses, weights = self._apply(logits, target, progress, recalled)
        return torch.where(known, losses, 0.0), weights * known

    def _apply(self, logits: Tensor, target: Tensor, progress: float, recalled: Tensor | None) -> tuple[Tensor, Tensor]:
        call, knobs = self.method.entry.function, dict(self.method.knobs)
        if self.role == "weight":
            weight = call(logits, target, **knobs)
            return weighted_loss(weight, logits, target), weight
        if self.role == "target":
            losses = cce(logits, call(target, logits, progress=progress, **knobs))
        else:
            losses = call(logits, target, **knobs, **({"recalled": recalled} if self.memory else {}))
            self._check(losses, len(logits))
        return losses, torch.ones_like(losses)

    def _check(self, losses: Any, count: int) -> None:
        found = list(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        if found != [count]:
            raise ValueError(f"loss {self.method.name!r} must return one number an example, [{count}], found {found}")

    def __call__(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        progress: float = 0.0,
        rows: Tensor | None = None,
        images: Tensor | None = None,
    ) -> Tensor:
        """Return the mean of the losses, or for a weighting their sum over what its ``norm`` says.

        logits [N, C] real, labels [N] in [0, C), -1 where missing, or targets [N, C], progress in [0, 1) -> scalar.
        ``rows`` [N] (places in the training set) and ``images`` are for a method that remembers, once begun.
        Source: DM (arXiv 1905.11233), derivative normalisation over the batch. Raises ValueError on a wrong shape,
        RuntimeError where a method that remembers has begun and is not told the rows.
        """
        recalled = None
        if self.memory and self.begun:
            if rows is None or images is None:
                raise RuntimeError(f"method {self.method.name!r} remembers: it must be given rows= and images=")
            target = self.one_hot(labels, logits)
            recalled = self.memory.recall(logits, target, rows=rows, images=images, progress=progress)
        losses, weights = self.per_example(logits, labels, progress=progress, recalled=recalled)
        return losses.sum() / self._scale(weights) if self.role == "weight" else losses.mean()

    def derivative(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what a weighting states instead of a loss: the derivative with respect to the logits of a batch.

        logits [N, C] real, labels [N] in [0, C), -1 where missing -> [N, C], normalised by the batch as in a call.
        ``logits.backward(objective.derivative(logits, labels))`` takes the step that ``objective(logits,
        labels).backward()`` takes, to the last bit. Source: Talk, slide 17; DM (arXiv 1905.11233).
        Raises ValueError for a method that is no weighting: its derivative comes from its loss.
        """
        if self.role != "weight":
            raise ValueError(f"a weighting states its derivative, {self.method.name!r} has that of its {self.role}")
        known = labels >= 0
        target = self.one_hot(labels.clamp_min(0), logits)
        weights = self.method.entry.function(logits, target, **self.method.knobs)
        stated = derivative(weights, logits, target, self._scale(weights * known))
        return torch.where(known.unsqueeze(1), stated, 0.0)

    def _scale(self, weights: Tensor) -> Tensor | float:
        norm = self.method.values.get("norm", "batch")
        if norm == "batch":
            return weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
        return len(weights) * (self._area if norm == "integral" else 1.0)

    @cached_property
    def _area(self) -> float:
        return integral(self.method.entry.function, **self.method.knobs)

    def trust(self, logits: Tensor, *, progress: float) -> Tensor:
        """Return the share of each example's target that the learner supplies: [N], 0 for methods that do not."""
        trust = self.method.entry.facts.trust
        return trust(logits, progress, **self.method.values) if trust else logits.new_zeros(len(logits))


def build(method: str | Loss, num_classes: int = 10) -> Objective:
    """Return the objective of a spec such as ``"dm:beta=16,lam=1"``, or of a loss (logits, target) -> [N].

    Raises :class:`~robustdl_lib.registry.SpecError` for an unknown method, knob or value.
    """
    return Objective(METHODS.parse(method) if isinstance(method, str) else _as_spec(method), num_classes)


def _as_spec(loss: Loss) -> Spec:
    """Wrap a user's own loss as an unregistered method."""
    name = getattr(loss, "__name__", "loss")
    return Spec(Entry(name, METHODS.kind, loss, name, "given by the caller", BaseModel, MethodFacts(role="loss")), {})
