"""Methods that remember: what they keep between the steps of a run, and the losses that look at it.

A *memory* is the one hook by which a method learns more than a batch tells. :meth:`Memory.begin` is called once,
before the first step; :meth:`Memory.recall` at every step, before the loss, which receives what it returns as
``recalled``. Under the gradient lens there is no run: ``recalled`` is None then, and each loss says what stands in
for it. In ``whole`` the symbol t is what is recalled, and p_T the prediction at temperature T.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import torch
from pydantic import AfterValidator, Field
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot, softmax

from robustdl_lib.methods.losses import Scale, cce, expected, general_robust, negative_log_likelihood, residuals
from robustdl_lib.methods.targets import Progress
from robustdl_lib.registry import METHODS, MODELS

FLOOR = 1e-4


def no_network(**changes: Any) -> Any:
    """Stand for ``untrained`` where a memory only begins; raises RuntimeError when it is asked all the same."""
    raise RuntimeError(f"only a memory that is restored asks for a network, asked for {changes}")


def no_teacher(**changes: Any) -> Any:
    """Stand for ``learn`` where nothing trains another network; raises RuntimeError when it is asked all the same."""
    raise RuntimeError(
        f"this method trains another network first, {changes}: give begin a learn that does, as train has"
    )


@dataclass(frozen=True)
class Beginning:
    """What a memory is told before the first step.

    labels [n] as given, -1 where missing; ``learn(method="cce")`` trains another network on the same data, as this
    run is trained but for the fields that it names, and returns what :func:`robustdl_lib.training.train.fit` returns;
    ``untrained(model="resnet20")`` returns the network that such a training would start with.
    """

    labels: Tensor
    num_classes: int
    learn: Callable[..., Any]
    untrained: Callable[..., Any] = no_network


class Memory(Protocol):
    """What a method keeps between steps; built from the values of its knobs, by name.

    One whose ``recall`` does the same work at every step and keeps its tensors in place may say ``in_graph = True``:
    its steps are then captured as a graph on a GPU. The others run as they are written. ``state`` and ``restore`` are
    for runs that are interrupted: a memory of one's own may lack both, and its runs then start anew where others go on
    from a checkpoint. ``described`` says for tables what it keeps, what the target is, and whether that turns the
    direction of the derivative.
    """

    def begin(self, run: Beginning) -> None:
        """Prepare for a run."""

    def recall(self, logits: Tensor, target: Tensor, *, rows: Tensor, images: Tensor, progress: float) -> Tensor:
        """Return what the loss is to see at this step, and remember the step.

        logits [N, C], target [N, C], rows [N] the places of these examples in the training set, images [N, ...] as
        the network saw them.
        """

    def state(self) -> dict[str, Any]:
        """Return all that steps or ``begin`` have left here: tensors, numbers and texts, by name."""

    def restore(self, run: Beginning, state: dict[str, Any]) -> None:
        """Prepare for the rest of a run, in place of ``begin``: take over what ``state`` returned, now on the CPU."""


class EarlyLearning:
    """ELR's targets: for each example the moving average of its predictions, t <- beta t + (1 - beta) p, from 0."""

    in_graph = True
    described = ("predictions, averaged", "q", True)

    def __init__(self, *, lam: float, beta: float) -> None:
        self.beta = beta

    def begin(self, run: Beginning) -> None:
        """Start every target at 0."""
        self.targets = torch.zeros(len(run.labels), run.num_classes, device=run.labels.device)

    def recall(self, logits: Tensor, target: Tensor, *, rows: Tensor, images: Tensor, progress: float) -> Tensor:
        """Move the targets of ``rows`` towards the predictions and return them: [N, C]."""
        moved = self.beta * self.targets[rows] + (1.0 - self.beta) * softmax(logits.detach(), dim=1)
        self.targets[rows] = moved.to(self.targets.dtype)
        return moved

    def state(self) -> dict[str, Any]:
        """Return the averages [n, C]."""
        return {"targets": self.targets}

    def restore(self, run: Beginning, state: dict[str, Any]) -> None:
        """Take the averages over."""
        self.targets = state["targets"].to(run.labels.device)


@METHODS.register(
    "elr",
    label="ELR",
    source="Liu et al. 2020, ELR",
    role="loss",
    memory=EarlyLearning,
    shows=("lam",),
    whole="-S(q * log(p)) + lam * log(1 - S(t * p))",
)
def elr(
    logits: Tensor,
    target: Tensor,
    *,
    recalled: Tensor | None = None,
    lam: Annotated[float, Field(ge=0, le=100)] = 3.0,
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.7,
) -> Tensor:
    """Early-learning regularisation, L = CE + lam log(1 - <t, p>), t a moving average of the example's predictions.

    logits, target [N, C], lam in [0, 100], beta (of the average) in [0, 1) -> [N]. Its derivative is
    p - q + lam p_j (<t, p> - t_j) / (1 - <t, p>): where the memory is sure of a class, it holds the network there.
    1 - <t, p> is kept above 1e-4; the paper has no such floor, its code clamps p instead. Without a memory t is what
    the first step makes of it, (1 - beta) p.
    Source: Liu et al. 2020 (arXiv 2007.00151): lam 3, beta 0.7 on CIFAR-10. Raises SpecError on a bad knob.
    """
    probs = softmax(logits, dim=1)
    remembered = (1.0 - beta) * probs.detach() if recalled is None else recalled
    agreement = (remembered * probs).sum(dim=1)
    return cce(logits, target) + lam * torch.log((1.0 - agreement).clamp_min(FLOOR))


class SoftLabels:
    """Joint optimisation's labels: the given ones, from ``start`` on the mean of an example's last predictions.

    The mean is over ``window`` epochs. In stage 2 a network trained by stage 1 leaves its labels, which then stay.
    """

    described = ("corrected labels", "the kept labels", True)

    def __init__(self, *, stage: int, start: float, window: int, alpha: float, beta: float) -> None:
        self.stage, self.start, self.window = stage, start, window
        self.first = f"joint:stage=1,start={start!r},window={window},alpha={alpha!r},beta={beta!r}"

    def begin(self, run: Beginning) -> None:
        """Make room for the predictions, or train stage 1 and take its labels."""
        known = (run.labels >= 0).unsqueeze(1)
        given = one_hot(run.labels.clamp_min(0), run.num_classes).float() * known
        if self.stage == 2:
            self.fixed: Tensor = run.learn(method=self.first).objective.memory.labels(given)
            return
        self.seen = torch.zeros(len(given), dtype=torch.long, device=given.device)
        self.predictions = torch.zeros(*given.shape[:1], self.window, run.num_classes, device=given.device)

    def recall(self, logits: Tensor, target: Tensor, *, rows: Tensor, images: Tensor, progress: float) -> Tensor:
        """Return the labels of ``rows`` [N, C], and remember the predictions."""
        if self.stage == 2:
            return self.fixed[rows]
        labels = self.labels(target, rows) if progress >= self.start else target
        probs = softmax(logits.detach(), dim=1).to(self.predictions.dtype)
        self.predictions[rows, self.seen[rows] % self.window] = probs
        self.seen[rows] += 1
        return labels

    def labels(self, given: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """Return the mean of the predictions remembered of ``rows`` [N, C], or ``given`` where there are none."""
        count = self.seen[rows].clamp_max(self.window).unsqueeze(1)
        mean = self.predictions[rows].sum(dim=1) / count.clamp_min(1)
        return torch.where(count > 0, mean, given)

    def state(self) -> dict[str, Any]:
        """Return the labels that stay [n, C], or how many predictions were seen [n] and the last [n, window, C]."""
        names = ("fixed",) if self.stage == 2 else ("seen", "predictions")
        return {name: getattr(self, name) for name in names}

    def restore(self, run: Beginning, state: dict[str, Any]) -> None:
        """Take them over: stage 1 is not trained again."""
        for name, tensor in state.items():
            setattr(self, name, tensor.to(run.labels.device))


@METHODS.register(
    "joint",
    label="Joint",
    source="Tanaka et al. 2018",
    role="loss",
    says="KL(s, p) + alpha KL(uniform, mean p) + beta H(p), s the labels it corrects",
    memory=SoftLabels,
    missing=True,
    knows_batch=True,
    shows=("stage",),
    trust=lambda logits, progress, start, stage, **_: logits.new_full(
        logits.shape[:1], float(stage == 2 or progress >= start)
    ),
)
def joint(
    logits: Tensor,
    target: Tensor,
    *,
    recalled: Tensor | None = None,
    stage: Annotated[int, Field(ge=1, le=2)] = 1,
    start: Progress = 0.35,
    window: Annotated[int, Field(ge=1, le=1000)] = 10,
    alpha: Annotated[float, Field(ge=0, le=100)] = 1.2,
    beta: Annotated[float, Field(ge=0, le=100)] = 0.8,
) -> Tensor:
    """Joint optimisation, L = KL(s || p) + alpha KL(u || mean p) + beta H(p), in stage 2 KL(s || p) alone.

    s are the labels: the given ones, from progress ``start`` on the mean prediction of the last ``window`` epochs; u
    is uniform and mean p the batch's, so the second term, the same for each example, knows the batch. Stage 2 trains
    a fresh network on the labels that a run of stage 1 ends with. logits, target [N, C] -> [N]. Without a memory s is
    the target. Source: Tanaka et al. 2018: labels move from epoch 70 (0.35 of 200); alpha 1.2, beta 0.8 and lr 0.08 for
    symmetric noise, 0.8, 0.4, 0.03 for asymmetric. Raises SpecError on a bad knob.
    """
    labels = target if recalled is None else recalled
    log_p = log_softmax(logits, dim=1)
    gap = cce(logits, labels) + torch.special.xlogy(labels, labels).sum(dim=1)
    if stage == 2:
        return gap
    log_mean = torch.logsumexp(log_p, dim=0) - math.log(len(log_p))
    prior = -log_mean.sum() / len(log_mean) - math.log(len(log_mean))
    return gap + alpha * prior - beta * (log_p.exp() * log_p).sum(dim=1)


class Teacher:
    """A network trained first, by this library, that says what it thinks of the images at hand."""

    in_graph = True
    described = ("a trained teacher", "q, and the teacher's", True)

    def __init__(self, *, teacher: str, network: str, alpha: float, T: float) -> None:
        self.changes = {"method": teacher} | ({"model": network} if network else {})

    def begin(self, run: Beginning) -> None:
        """Train the teacher."""
        self.model = run.learn(**self.changes).model.eval()

    @torch.no_grad()
    def recall(self, logits: Tensor, target: Tensor, *, rows: Tensor, images: Tensor, progress: float) -> Tensor:
        """Return the teacher's logits [N, C] on the images that the student sees."""
        return self.model(images).to(logits.dtype)

    def state(self) -> dict[str, Any]:
        """Return the teacher's weights."""
        return {"weights": self.model.state_dict()}

    def restore(self, run: Beginning, state: dict[str, Any]) -> None:
        """Give them to a fresh network: the teacher is not trained again."""
        self.model = run.untrained(**self.changes).eval()
        self.model.load_state_dict(state["weights"])


@METHODS.register(
    "kd",
    label="KD",
    source="Hinton et al. 2015",
    role="loss",
    memory=Teacher,
    shows=("teacher",),
    whole="-alpha * S(q * log(p)) - (1 - alpha) * T**2 * S(t * log(p_T))",
)
def kd(
    logits: Tensor,
    target: Tensor,
    *,
    recalled: Tensor | None = None,
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.1,
    T: Annotated[float, Field(ge=0.1, le=100)] = 4.0,
    teacher: Annotated[str, AfterValidator(lambda spec: str(METHODS.parse(spec)))] = "cce",
    network: Annotated[str, AfterValidator(lambda spec: str(MODELS.parse(spec)) if spec else "")] = "",
) -> Tensor:
    """Knowledge distillation, L = alpha H(q, p) + (1 - alpha) T^2 H(t, p_T), with t = softmax(teacher's logits / T).

    The derivative is alpha (p - q) + (1 - alpha) T (p_T - t); T^2 keeps the share of the teacher as T grows. The
    teacher is trained by the method ``teacher`` (a spec with one knob at most) on the same data, its network is
    ``network``, by default the student's. logits, target [N, C], alpha in [0, 1], T in [0.1, 100] -> [N]. Without a
    teacher the learner's own prediction, detached, stands in for it, so the second term has no derivative.
    Source: Hinton et al. 2015 (arXiv 1503.02531). Raises SpecError on a bad knob.
    """
    said = softmax((logits.detach() if recalled is None else recalled) / T, dim=1)
    return alpha * cce(logits, target) + (1.0 - alpha) * T**2 * cce(logits / T, said)


class Shape:
    """Barron's alpha, one for all examples, learned by gradient descent on the negative log-likelihood."""

    described = ("a learned number", "q", False)

    def __init__(self, *, alpha: float, c: float, lr: float) -> None:
        self.c, self.lr = c, lr
        self.latent = torch.logit(torch.tensor(alpha / 2, dtype=torch.float64)).requires_grad_()

    def begin(self, run: Beginning) -> None:
        """Go to the device of the run."""
        self.latent = self.latent.detach().to(run.labels.device).requires_grad_()

    @property
    def alpha(self) -> Tensor:
        """The shape, in [0.001, 1.999]."""
        return 2 * torch.sigmoid(self.latent)

    def recall(self, logits: Tensor, target: Tensor, *, rows: Tensor, images: Tensor, progress: float) -> Tensor:
        """Return alpha, a scalar, after a step on the residuals 1 - <target, p> of the batch."""
        residual = 1.0 - (target * softmax(logits.detach(), dim=1)).sum(dim=1).double()
        known = target.sum(dim=1).double()
        with torch.enable_grad():
            surprise = negative_log_likelihood(residual, self.alpha, self.c)
            (slope,) = torch.autograd.grad((known * surprise).sum() / known.sum().clamp_min(1.0), self.latent)
        self.latent = (self.latent.detach() - self.lr * slope).clamp(-7.6, 7.6).requires_grad_()
        return self.alpha.detach().to(logits.dtype)

    def state(self) -> dict[str, Any]:
        """Return the shape as it is learned, a number."""
        return {"latent": self.latent.detach()}

    def restore(self, run: Beginning, state: dict[str, Any]) -> None:
        """Take the shape over."""
        self.latent = state["latent"].to(run.labels.device).requires_grad_()


@METHODS.register(
    "adaptive",
    label="Barron, alpha learned",
    source="Barron 2019",
    role="loss",
    says="rho(1 - p, alpha, c), alpha learned by its likelihood",
    memory=Shape,
    shows=("c",),
)
def adaptive(
    logits: Tensor,
    target: Tensor,
    *,
    recalled: Tensor | None = None,
    alpha: Annotated[float, Field(gt=0.001, lt=1.999)] = 1.0,
    c: Scale = 0.5,
    lr: Annotated[float, Field(ge=0, le=10)] = 0.1,
) -> Tensor:
    """Barron's loss of the residual 1 - p_y with alpha in (0, 2) learned from the residuals.

    L = rho(1 - p_y, alpha, c); at each step alpha = 2 sigmoid(latent) moves by gradient descent of rate ``lr`` on the
    negative log-likelihood rho + log c + log Z(alpha), starting at the knob ``alpha``, which also stands where there is
    no memory. logits, target [N, C], c in [0.01, 100] -> [N]. Source: Barron 2019. Raises SpecError on a bad knob.
    """
    shape = alpha if recalled is None else recalled
    return expected(general_robust(residuals(logits), shape, c), target)
