"""A training step: crop, predict, lose, differentiate, move. On a GPU the whole of it is one captured graph.

All that a step reads lies on the device (pixels, labels, crops, time), and what it finds stays there until the epoch
is over, so that the host never waits within one.
"""

import math
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from robustdl_lib.config import RunConfig
from robustdl_lib.data import Data, crop, draw_crops
from robustdl_lib.methods.objective import Objective
from robustdl_lib.training.compute import Format

Body = Callable[[Tensor, Any], None]
NEVER = 2**62
"""The number of a step that does not come."""
WARM = 3
"""Steps of each batch size that run as they are written before one is captured: what they allocate is there then."""
_CAPTURING = threading.Lock()


class TrainingFailed(RuntimeError):
    """A loss that is not finite; the message names the step, the epoch and the configuration."""


class Steps:
    """The steps of a run: ``begin_epoch``, then a call with the rows of each batch, then what the epoch found.

    ``capture`` turns a body into what replays it (:func:`graph` on a GPU, by default); without one every step runs as
    it is written.
    """

    def __init__(
        self,
        cfg: RunConfig,
        data: Data,
        model: nn.Module,
        objective: Objective,
        optimiser: Optimizer,
        form: Format,
        *,
        capture: "Capture | None" = None,
    ) -> None:
        self.cfg, self.data, self.model, self.form = cfg, data, model, form
        self.objective, self.optimiser = objective, optimiser
        device, count = data.train.labels.device, len(data.train.labels)
        self.offsets = torch.zeros(count, 2, dtype=torch.long, device=device)
        self.mirrored = torch.zeros(count, dtype=torch.bool, device=device)
        self.losses = EpochLoss(device)
        self.run: Body = Replayed(self.body, capture) if capture and capturable(objective) else self.body

    def begin_epoch(self, crops: torch.Generator, step: int) -> None:
        """Draw the epoch's crops and start its sums; ``step`` is the number of its first step, from 0."""
        self.losses.begin(step)
        if self.cfg.augment:
            drawn = draw_crops(
                len(self.mirrored), crops, pad=self.data.pad, flip=self.data.flip, device=self.mirrored.device
            )
            self.offsets.copy_(drawn[0])
            self.mirrored.copy_(drawn[1])

    def __call__(self, rows: Tensor, progress: float) -> None:
        """Take a step on the training examples ``rows`` [N] at ``progress`` in [0, 1)."""
        self.run(rows, progress)

    def body(self, rows: Tensor, progress: Any) -> None:
        """Do what a step is; ``progress`` is a float, or a scalar on the device while it is captured."""
        images, labels = self.data.train.batch(rows), self.data.train.labels[rows]
        if self.cfg.augment:
            images = crop(images, self.offsets[rows], self.mirrored[rows], pad=self.data.pad)
        logits = self.form.logits(self.model, images)
        loss = self.objective(logits, labels, progress=progress, rows=rows, images=images)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.losses.add(loss.detach(), len(rows))


class EpochLoss:
    """The losses of an epoch and the first step at which one was not finite, on their device: read once, at its end."""

    def __init__(self, device: torch.device) -> None:
        self.total = torch.zeros((), device=device)
        self.examples = torch.zeros((), dtype=torch.long, device=device)
        self.step = torch.zeros((), dtype=torch.long, device=device)
        self.bad = torch.full((), NEVER, dtype=torch.long, device=device)

    def begin(self, step: int) -> None:
        """Start an epoch whose first step has this number, from 0 over the whole run."""
        self.total.zero_()
        self.examples.zero_()
        self.step.fill_(step)

    def add(self, loss: Tensor, examples: int) -> None:
        """Add the mean loss of a step, a scalar, over so many examples."""
        self.total += loss * examples
        self.examples += examples
        torch.minimum(self.bad, torch.where(loss.isfinite(), NEVER, self.step), out=self.bad)
        self.step += 1

    def mean(self, where: str) -> float:
        """Return the mean over the examples; raises TrainingFailed, with ``where``, when a loss was not finite."""
        found, bad = float(self.total) / int(self.examples), int(self.bad)
        if bad < NEVER:
            raise TrainingFailed(f"the loss is not finite at step {bad + 1} {where}")
        if not math.isfinite(found):
            raise TrainingFailed(f"the losses, each finite, cannot be added up to step {int(self.step)} {where}")
        return found


Capture = Callable[[Callable[[], None]], Callable[[], None]]


class Replayed:
    """A body whose calls are captured once for each batch size, and replayed with new rows and a new time."""

    def __init__(self, body: Body, capture: Capture) -> None:
        self.body, self.capture = body, capture
        self.taken: dict[int, int] = {}
        self.rows: dict[int, Tensor] = {}
        self.replay: dict[int, Callable[[], None]] = {}
        self.refused = False

    def __call__(self, rows: Tensor, progress: float) -> None:
        """Take the step: as it is written for the first :data:`WARM` of a size, or where it cannot be captured."""
        size = len(rows)
        self.taken[size] = self.taken.get(size, 0) + 1
        if self.refused or self.taken[size] <= WARM or not (size in self.replay or self._captured(rows)):
            self.body(rows, progress)
            return
        self.rows[size].copy_(rows)
        self.progress.fill_(progress)
        self.replay[size]()

    def _captured(self, rows: Tensor) -> bool:
        """Capture the body on batches as long as ``rows``; say so, and go on without, where that cannot be done."""
        if not self.rows:
            self.progress = torch.zeros((), dtype=torch.float64, device=rows.device)
        self.rows[len(rows)] = kept = rows.clone()
        try:
            self.replay[len(rows)] = self.capture(lambda: self.body(kept, self.progress))
        except RuntimeError as error:
            self.refused = True
            words = str(error).partition("\n")[0]
            warnings.warn(f"steps are not captured as a graph, which costs time alone: {words}", stacklevel=4)
        return not self.refused


def capturable(objective: Objective) -> bool:
    """Return whether a method's step is the same work each time: it has no memory, or one that says ``in_graph``."""
    return objective.memory is None or bool(getattr(objective.memory, "in_graph", False))


def graph(body: Callable[[], None]) -> Callable[[], None]:
    """Capture ``body`` as a CUDA graph on the current stream and return what replays it.

    Several threads may train at once, each on a stream of its own; one at a time captures. Raises RuntimeError where
    the body waits for the device.
    """
    captured = torch.cuda.CUDAGraph()
    with _CAPTURING, torch.cuda.graph(captured, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
        body()
    replay: Callable[[], None] = captured.replay
    return replay
