"""Trainings that say something of each of their own examples: over time, and of those that they did not see."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustdl_lib.config import RunConfig
from robustdl_lib.data import Data, Split
from robustdl_lib.training.train import fit, logits_of

Probs = NDArray[np.float64]
OnEpoch = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class Watched:
    """What trainings said of N examples: ``p_given`` [epochs, N], p_y of the given label after each epoch; ``mean``
    [N, C], the probabilities averaged over the epochs; both of examples that were trained on, in inference mode."""

    p_given: Probs
    mean: Probs


class Watch:
    """Adds up, epoch by epoch, the probabilities that a training gives: the ``on_logits`` of :func:`train.fit`."""

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels
        self.given: list[Probs] = []
        self.total: Any = 0.0

    def __call__(self, epoch: int, logits: Tensor) -> None:
        probs = torch.softmax(logits.double().cpu(), dim=1)
        self.given.append(probs.gather(1, self.labels.cpu().unsqueeze(1)).squeeze(1).numpy())
        self.total = self.total + probs.numpy()

    def seen(self) -> Watched:
        """Return what was added up so far."""
        return Watched(np.stack(self.given), self.total / len(self.given))


def watch(cfg: RunConfig, data: Data, on_epoch: OnEpoch | None = None) -> tuple[pd.DataFrame, Watched]:
    """Train once and return the history and what the training said of its own examples, in their order.

    Raises ValueError for a training split with missing labels, which have no p_y, and what :func:`train.fit` raises.
    """
    require_labels(data.train.labels.cpu().numpy())
    watcher = Watch(data.train.labels)
    history = fit(cfg, data, on_epoch, watcher).history
    return history, watcher.seen()


def cross(
    cfg: RunConfig, data: Data, folds: int, on_epoch: Callable[[int, dict[str, float]], None] | None = None
) -> tuple[Probs, Watched]:
    """Cross-validate the training split: train ``folds`` networks, each without one fold, stratified by given label.

    Return the out-of-sample probabilities [N, C], each row from the network that was trained without it, after its
    last epoch; and what the other networks said while they were trained on it, averaged over them. The folds are
    drawn by ``cfg.seed``, which seeds every training too. ``on_epoch`` receives the fold's number, from 1, and the
    epoch's row; its validation split is the fold that is left out.
    Raises ValueError for fewer than two folds, fewer examples of a class than folds, and missing labels.
    """
    from sklearn.model_selection import StratifiedKFold

    labels = data.train.labels.cpu().numpy()
    require_folds(labels, folds)
    probs, mean = np.zeros((2, len(labels), data.num_classes))
    p_given = np.zeros((cfg.epochs, len(labels)))
    parts = StratifiedKFold(folds, shuffle=True, random_state=cfg.seed % 2**32).split(labels, labels)
    for fold, (inside, outside) in enumerate(parts, start=1):
        part = replace(data, train=take(data.train, inside), val=take(data.train, outside))
        watcher = Watch(part.train.labels)
        trained = fit(cfg, part, _told(on_epoch, fold), watcher)
        left_out = take(data.to(next(trained.model.parameters()).device).train, outside)
        probs[outside] = torch.softmax(logits_of(cfg, trained.model, left_out).double(), dim=1).cpu().numpy()
        mean[inside] += watcher.seen().mean / (folds - 1)
        p_given[:, inside] += watcher.seen().p_given / (folds - 1)
    return probs, Watched(p_given, mean)


def require_folds(labels: NDArray[Any], folds: int) -> None:
    """Raise ValueError, in one sentence, where labels [N] cannot be parted into so many folds with every class in each.

    A class needs an example a fold: less, and a network would be asked for a class that it never saw.
    """
    require_labels(labels)
    kinds, counts = np.unique(labels, return_counts=True)
    if folds < 2 or counts.min() < folds:
        found = f"{folds} folds and {counts.min()} of class {kinds[counts.argmin()]}"
        raise ValueError(f"cross-validation needs 2 folds or more and an example of each class a fold, found {found}")


def require_labels(labels: NDArray[Any]) -> None:
    """Raise ValueError, in one sentence, where an example has no given label [N], which is -1 then."""
    if missing := int((labels < 0).sum()):
        raise ValueError(f"suspects are looked for among given labels, found {missing} examples without one")


def take(split: Split, index: NDArray[Any]) -> Split:
    """Return some examples of a split, by their places [n] or by True and False [N]; the pixels stay shared."""
    chosen = torch.from_numpy(np.asarray(index)).to(split.labels.device)
    names = ("rows", "labels", "clean_labels", "kind")
    return replace(split, **{name: getattr(split, name)[chosen] for name in names})


def relabel(split: Split, labels: NDArray[Any]) -> Split:
    """Return a split with other given labels [N]; what is true stays.

    Raises ValueError for another number of labels.
    """
    if len(labels) != len(split.labels):
        raise ValueError(f"a split of {len(split.labels)} examples needs as many labels, found {len(labels)}")
    return replace(split, labels=torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(split.labels.device))


def _told(on_epoch: Callable[[int, dict[str, float]], None] | None, fold: int) -> OnEpoch | None:
    return None if on_epoch is None else lambda row: on_epoch(fold, row)
