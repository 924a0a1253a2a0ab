"""The training loop: it calls the pieces, one after the other, and writes a row an epoch."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import SGD, lr_scheduler

from robustdl_lib.config import RunConfig
from robustdl_lib.data import Data, Split
from robustdl_lib.methods.objective import Objective, build
from robustdl_lib.parallel import stop_if_asked, stopping
from robustdl_lib.training import metrics, models
from robustdl_lib.training.checkpoint import Checkpoint, Parts
from robustdl_lib.training.compute import Format, own_stream, resolve_device, usual
from robustdl_lib.training.step import Capture, Steps, graph
from robustdl_lib.training.step import TrainingFailed as TrainingFailed

INFERENCE_PIXELS = {"cpu": 2**16, "cuda": 2**22}
"""Pixels in an inference batch: on a CPU what its caches hold, since larger batches of CIFAR take twice as long."""
_DRAWING = threading.Lock()


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
    form: Format | None = None,
) -> Trained:
    """Train as ``cfg`` says, calling ``on_epoch`` with each row.

    ``on_logits`` sees each epoch's number and the logits [N, C] of the training split, in its order, in inference
    mode: what a study of single examples records. With a ``checkpoint`` a run that was stopped goes on from there, and
    both see the epochs that are left; the run ends with the bits that it would have had. ``form`` says how to compute,
    by default as :func:`robustdl_lib.training.compute.usual` does; on a GPU each run has a stream of its own, so that
    several threads train at the same time.

    With ``cfg.record_every`` = k only every k-th epoch and the last are measured: they alone have rows, checkpoints and
    calls. Rows hold ``epoch`` (from 1), ``progress`` (share of training done), ``lr`` of the last step, ``seconds``
    since the row before, the ``train_loss`` of the epoch, accuracies in [0, 1] on the test set and on the noisy
    validation set, the
    training-set dynamics of :func:`robustdl_lib.training.metrics.dynamics`, and ``trust``, the average share of a
    training target that the learner supplies. After each epoch the network is read in inference mode.
    Raises ConfigError for a device that is not there, TrainingFailed when a loss or the network's output is not finite.
    """
    device = resolve_device(cfg.device)
    with own_stream(device):
        capture = graph if device.type == "cuda" else None
        form = form or usual(cfg, device)
        return _fit(cfg, data.to(device), form, on_epoch, on_logits, checkpoint, capture)


def _fit(
    cfg: RunConfig,
    data: Data,
    form: Format,
    on_epoch: Callable[[dict[str, float]], None] | None,
    on_logits: Callable[[int, Tensor], None] | None,
    checkpoint: Checkpoint | None,
    capture: Capture | None,
) -> Trained:
    device = data.train.labels.device
    objective = build(cfg.method, data.num_classes)
    model = untrained(cfg, data, form)
    optimiser = make_optimiser(cfg, model, device, captured=capture is not None)
    steps = Steps(cfg, data, model, objective, optimiser, form, capture=capture)
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
        lambda **changes: fit(cfg.replace(**changes), data, form=form),
        lambda **changes: untrained(cfg.replace(**changes), data, form),
        remembered,
    )
    started = time.perf_counter()
    for epoch in range((int(history[-1]["epoch"]) if history else 0) + 1, cfg.epochs + 1):
        model.train()
        first = (epoch - 1) * steps_per_epoch
        steps.begin_epoch(crops, first)
        for step, rows in enumerate(batches(cfg, data, order), first):
            steps(rows, step / total)
            lr = scheduler.get_last_lr()[0]
            scheduler.step()
        row: dict[str, float] = {"epoch": epoch, "progress": epoch / cfg.epochs, "lr": float(lr)}
        where = f"of {total}, in epoch {epoch} of {cfg.canonical_json()}"
        row["train_loss"] = steps.losses.mean(where)
        if epoch % cfg.record_every and epoch < cfg.epochs:
            continue
        seen = logits_of(cfg, model, data.train, form)
        if not bool(seen.isfinite().all()):  # an epoch's last step can do this, whose losses were finite before it
            raise TrainingFailed(f"the network's logits are not finite after step {epoch * steps_per_epoch} {where}")
        measured, counts = measure(cfg, model, data, objective, epoch / cfg.epochs, seen, form)
        histograms.append(counts)
        history.append({**row, **measured, "seconds": time.perf_counter() - started})
        if on_epoch:
            on_epoch(history[-1])
        if on_logits:
            on_logits(epoch, seen)
        if checkpoint:
            checkpoint.keep(parts, at_once=stopping())
        stop_if_asked()
        started = time.perf_counter()
    stacked = {name: np.stack([counts[name] for counts in histograms]) for name in histograms[0]}
    return Trained(pd.DataFrame(history, columns=COLUMNS), stacked, model, objective)


COLUMNS = [
    *("epoch", "progress", "lr", "seconds", "train_loss", "test_acc", "val_acc"),
    *("clean_acc", "fit_wrong", "corrected", "entropy_clean", "entropy_wrong", "p_clean", "p_wrong", "trust"),
]


def measure(
    cfg: RunConfig,
    model: nn.Module,
    data: Data,
    objective: Objective,
    progress: float,
    train: Tensor | None = None,
    form: Format | None = None,
) -> tuple[dict[str, float], dict[str, NDArray[np.int64]]]:
    """Return a row's measurements and the p_y histograms of the clean and the mislabelled training subset.

    ``train`` are the logits [N, C] of the training split, where they are there already.
    """
    train = logits_of(cfg, model, data.train, form) if train is None else train
    val, test = (logits_of(cfg, model, split, form) for split in (data.val, data.test))
    row = {
        "test_acc": metrics.accuracy(test, data.test.clean_labels),
        "val_acc": metrics.accuracy(val, data.val.labels, data.val.labels >= 0),
        **metrics.dynamics(train, data.train.labels, data.train.clean_labels),
        "trust": metrics.share(objective.trust(train, progress=progress)),
    }
    given, right = metrics.p_y(train, data.train.labels), data.train.labels == data.train.clean_labels
    subsets = {"clean": right, "wrong": data.train.mislabelled}
    return row, {name: metrics.p_y_histogram(given, subset).cpu().numpy() for name, subset in subsets.items()}


def logits_of(cfg: RunConfig, model: nn.Module, split: Split, form: Format | None = None) -> Tensor:
    """Return the logits [N, C] of a split in its order, in inference mode, in float32."""
    size = max(64, INFERENCE_PIXELS[split.pixels.device.type] // math.prod(split.pixels.shape[2:]))
    return torch.cat([predict(cfg, model, images, form) for images in split.batches(size)])


@torch.inference_mode()
def predict(cfg: RunConfig, model: nn.Module, images: Tensor, form: Format | None = None) -> Tensor:
    """Return the logits [N, C] of images [N, channels, H, W] in inference mode, in float32."""
    model.eval()
    return (form or usual(cfg, images.device)).logits(model, images)


def batches(cfg: RunConfig, data: Data, order: torch.Generator) -> tuple[Tensor, ...]:
    """Return the rows of the training set once, in a new order, ``cfg.batch_size`` at a time."""
    labels = data.train.labels
    return torch.randperm(len(labels), generator=order).to(labels.device).split(cfg.batch_size)


def untrained(cfg: RunConfig, data: Data, form: Format) -> nn.Module:
    """Return the network that a training of ``cfg`` starts with, where the data are, in a format's layout."""
    return form.prepare(initial_model(cfg, data).to(data.train.labels.device))


def initial_model(cfg: RunConfig, data: Data) -> nn.Module:
    """Return the network with the weights that ``cfg.seed`` draws; the global generator is left as it was."""
    with _DRAWING, torch.random.fork_rng(devices=[]):  # the generator belongs to all threads
        torch.manual_seed(cfg.seed)
        return models.build(cfg.model, num_classes=data.num_classes, in_channels=data.train.pixels.shape[1])


def make_optimiser(cfg: RunConfig, model: nn.Module, device: torch.device, *, captured: bool = False) -> SGD:
    """Return SGD with momentum; where steps are ``captured``, fused, its rate on the device where a graph reads it."""
    lr = torch.tensor(cfg.lr, device=device) if captured else cfg.lr
    return SGD(model.parameters(), lr=lr, momentum=cfg.momentum, weight_decay=cfg.weight_decay, fused=captured or None)


def make_scheduler(cfg: RunConfig, optimiser: SGD, total: int) -> lr_scheduler.LRScheduler:
    """Return the learning rate in time: one-cycle, cosine, steps of 1/10 at the milestones, or constant."""
    if cfg.schedule == "onecycle":
        return lr_scheduler.OneCycleLR(optimiser, cfg.lr, total_steps=total + 1, cycle_momentum=False)
    if cfg.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimiser, T_max=total)
    if cfg.schedule == "step":
        return lr_scheduler.MultiStepLR(optimiser, [round(share * total) for share in cfg.milestones])
    return lr_scheduler.ConstantLR(optimiser, factor=1.0)
