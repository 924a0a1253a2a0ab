"""The training loop: it calls the pieces, one after the other, and writes a row an epoch."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import SGD, lr_scheduler

from robustdl_lib import metrics, models
from robustdl_lib.checkpoints import Checkpoint, Parts
from robustdl_lib.config import ConfigError, RunConfig
from robustdl_lib.data import Data, Split, crop, draw_crops
from robustdl_lib.objective import Objective, build

INFERENCE_PIXELS = 2**16
"""Pixels in an inference batch: what a CPU's caches hold; larger batches of 32x32 images take twice as long."""


class TrainingFailed(RuntimeError):
    """A loss that is not finite; the message names the step, the epoch and the configuration."""


@dataclass(frozen=True)
class Trained:
    """A finished run: a row an epoch; the p_y histograms [epochs, 50] of both subsets; the network; the objective."""

    history: pd.DataFrame
    p_y: dict[str, NDArray[np.int64]]
    model: nn.Module
    objective: Objective


def train(cfg: RunConfig, data: Data) -> pd.DataFrame:
    """Train as ``cfg`` says and return the history: one row an epoch, as :func:`fit` describes it."""
    return fit(cfg, data).history


def fit(
    cfg: RunConfig,
    data: Data,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    on_logits: Callable[[int, Tensor], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train as ``cfg`` says, calling ``on_epoch`` with each row.

    ``on_logits`` sees each epoch's number and the logits [N, C] of the training split, in its order, in inference
    mode: what a study of single examples records. With a ``checkpoint`` a run that was stopped goes on from there, and
    both see the epochs that are left; the run ends with the bits that it would have had.

    Rows hold ``epoch`` (from 1), ``progress`` (share of training done), ``lr`` of the last step, ``seconds`` of
    the epoch, ``train_loss``, accuracies in [0, 1] on the test set and on the noisy validation set, the
    training-set dynamics of :func:`robustdl_lib.metrics.dynamics`, and ``trust``, the average share of a
    training target that the learner supplies. After each epoch the network is read in inference mode.
    Raises ConfigError for a device that is not there, TrainingFailed when the loss is not finite.
    """
    device = resolve_device(cfg.device)
    data = data.to(device)
    objective = build(cfg.method, data.num_classes)
    model = untrained(cfg, data)
    optimiser = SGD(model.parameters(), lr=cfg.lr, momentum=cfg.momentum, weight_decay=cfg.weight_decay)
    steps_per_epoch = math.ceil(len(data.train.labels) / cfg.batch_size)
    total = cfg.epochs * steps_per_epoch
    scheduler = make_scheduler(cfg, optimiser, total)
    order = torch.Generator().manual_seed(cfg.seed)
    crops = torch.Generator(device).manual_seed(cfg.seed)
    history: list[dict[str, float]] = []
    histograms: list[dict[str, NDArray[np.int64]]] = []
    parts = Parts(model, optimiser, scheduler, objective, (order, crops), history, histograms)
    remembered = checkpoint.resume(parts) if checkpoint else None
    objective.begin(
        data.train.labels,
        lambda **changes: fit(cfg.replace(**changes), data),
        lambda **changes: untrained(cfg.replace(**changes), data),
        remembered,
    )
    for epoch in range(len(history) + 1, cfg.epochs + 1):
        started = time.perf_counter()
        model.train()
        losses = EpochLoss(device)
        for step, (rows, images, labels) in enumerate(batches(cfg, data, order, crops), (epoch - 1) * steps_per_epoch):
            with autocast(cfg, device):
                logits = model(images)
            loss = objective(logits.float(), labels, progress=step / total, rows=rows, images=images)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            lr = float(scheduler.get_last_lr()[0])
            optimiser.step()
            scheduler.step()
            losses.add(loss.detach(), len(labels), step)
        train_loss = losses.mean(f"of {total}, in epoch {epoch} of {cfg.canonical_json()}")
        row: dict[str, float] = {"epoch": epoch, "progress": epoch / cfg.epochs, "lr": lr, "train_loss": train_loss}
        seen = logits_of(cfg, model, data.train)
        measured, counts = measure(cfg, model, data, objective, epoch / cfg.epochs, seen)
        histograms.append(counts)
        history.append({**row, **measured, "seconds": time.perf_counter() - started})
        if on_epoch:
            on_epoch(history[-1])
        if on_logits:
            on_logits(epoch, seen)
        if checkpoint:
            checkpoint.keep(parts)
    stacked = {name: np.stack([counts[name] for counts in histograms]) for name in histograms[0]}
    return Trained(pd.DataFrame(history, columns=COLUMNS), stacked, model, objective)


COLUMNS = [
    *("epoch", "progress", "lr", "seconds", "train_loss", "test_acc", "val_acc"),
    *("clean_acc", "fit_wrong", "corrected", "entropy_clean", "entropy_wrong", "p_clean", "p_wrong", "trust"),
]


class EpochLoss:
    """The losses of an epoch and the first step at which one was not finite, on their device: read once, at its end."""

    def __init__(self, device: torch.device) -> None:
        self.total = torch.zeros((), device=device)
        self.examples = 0
        self.bad = torch.full((), -1, dtype=torch.long, device=device)
        self.last = 0

    def add(self, loss: Tensor, examples: int, step: int) -> None:
        """Add the mean loss of a step, a scalar, over so many examples; ``step`` counts from 0 over the whole run."""
        self.total += loss * examples
        self.examples += examples
        self.last = step
        self.bad = torch.where((self.bad < 0) & ~loss.isfinite(), step, self.bad)

    def mean(self, where: str) -> float:
        """Return the mean over the examples; raises TrainingFailed, with ``where``, when a loss was not finite."""
        found, bad = float(self.total) / self.examples, int(self.bad)
        if bad >= 0:
            raise TrainingFailed(f"the loss is not finite at step {bad + 1} {where}")
        if not math.isfinite(found):
            raise TrainingFailed(f"the losses, each finite, cannot be added up to step {self.last + 1} {where}")
        return found


def measure(
    cfg: RunConfig, model: nn.Module, data: Data, objective: Objective, progress: float, train: Tensor | None = None
) -> tuple[dict[str, float], dict[str, NDArray[np.int64]]]:
    """Return a row's measurements and the p_y histograms of the clean and the mislabelled training subset.

    ``train`` are the logits [N, C] of the training split, where they are there already.
    """
    train = logits_of(cfg, model, data.train) if train is None else train
    val, test = (logits_of(cfg, model, split) for split in (data.val, data.test))
    row = {
        "test_acc": metrics.accuracy(test, data.test.clean_labels),
        "val_acc": metrics.accuracy(val, data.val.labels, data.val.labels >= 0),
        **metrics.dynamics(train, data.train.labels, data.train.clean_labels),
        "trust": metrics.share(objective.trust(train, progress=progress)),
    }
    given, right = metrics.p_y(train, data.train.labels), data.train.labels == data.train.clean_labels
    subsets = {"clean": right, "wrong": data.train.mislabelled}
    return row, {name: metrics.p_y_histogram(given, subset).cpu().numpy() for name, subset in subsets.items()}


def logits_of(cfg: RunConfig, model: nn.Module, split: Split) -> Tensor:
    """Return the logits [N, C] of a split in its order, in inference mode, in float32."""
    size = max(64, INFERENCE_PIXELS // math.prod(split.pixels.shape[2:]))
    return torch.cat([predict(cfg, model, images) for images in split.batches(size)])


@torch.inference_mode()
def predict(cfg: RunConfig, model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits [N, C] of images [N, channels, H, W] in inference mode, in float32."""
    model.eval()
    with autocast(cfg, images.device):
        return model(images).float()


def batches(
    cfg: RunConfig, data: Data, order: torch.Generator, crops: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the training set once, in a new order: rows, images (augmented if ``cfg.augment``), labels."""
    labels, device = data.train.labels, data.train.labels.device
    if cfg.augment:
        offsets, mirrored = draw_crops(len(labels), crops, pad=data.pad, flip=data.flip, device=device)
    for rows in torch.randperm(len(labels), generator=order).to(device).split(cfg.batch_size):
        images = data.train.batch(rows)
        if cfg.augment:
            images = crop(images, offsets[rows], mirrored[rows], pad=data.pad)
        yield rows, images, labels[rows]


def untrained(cfg: RunConfig, data: Data) -> nn.Module:
    """Return the network that a training of ``cfg`` starts with, where the data are, in channels-last memory."""
    return initial_model(cfg, data).to(data.train.labels.device).to(memory_format=torch.channels_last)


def initial_model(cfg: RunConfig, data: Data) -> nn.Module:
    """Return the network with the weights that ``cfg.seed`` draws; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        return models.build(cfg.model, num_classes=data.num_classes, in_channels=data.train.pixels.shape[1])


def make_scheduler(cfg: RunConfig, optimiser: SGD, total: int) -> lr_scheduler.LRScheduler:
    """Return the learning rate in time: one-cycle, cosine, steps of 1/10 at the milestones, or constant."""
    if cfg.schedule == "onecycle":
        return lr_scheduler.OneCycleLR(optimiser, cfg.lr, total_steps=total + 1, cycle_momentum=False)
    if cfg.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimiser, T_max=total)
    if cfg.schedule == "step":
        return lr_scheduler.MultiStepLR(optimiser, [round(share * total) for share in cfg.milestones])
    return lr_scheduler.ConstantLR(optimiser, factor=1.0)


def resolve_device(name: str) -> torch.device:
    """Return the device ``name`` means here: ``auto`` is CUDA where there is one, else the CPU.

    Raises :class:`~robustdl_lib.config.ConfigError` for a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    there = {"cpu": 1, "cuda": torch.cuda.device_count()}
    if (device.index or 0) >= there[device.type]:
        found = ", ".join(kind for kind, count in there.items() if count)
        raise ConfigError(f"device {name!r} is not there: this machine has {found}")
    return device


def precision(cfg: RunConfig, device: torch.device) -> str:
    """Return what the network computes in: ``bfloat16`` when asked for, or by default on a GPU that has it."""
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    wanted = native if cfg.precision == "auto" else cfg.precision == "bfloat16"
    return "bfloat16" if wanted else "float32"


def autocast(cfg: RunConfig, device: torch.device) -> torch.autocast:
    """Return the autocast context of the run's :func:`precision`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision(cfg, device) == "bfloat16")
