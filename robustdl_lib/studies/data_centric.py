"""The study behind "AI system = data + model": should one make the data robust, the model, or both?

Networks are trained on noisy labels, suspects are ranked by the networks' predictions, and dropped or corrected; then
networks are trained again on the remaining labels. The number of suspects is decided without the truth: training
dynamics flag the labels that the probabilities averaged over all epochs contradict, confident learning flags its own.
The truth is used only to judge.
"""

import contextlib
import json
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from joblib import cpu_count
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from robustdl_lib import data, files, paths
from robustdl_lib.audit import suspects
from robustdl_lib.config import RunConfig, profile_config
from robustdl_lib.parallel import spread
from robustdl_lib.registry import STUDIES
from robustdl_lib.runs import store
from robustdl_lib.training import cross_validation
from robustdl_lib.training.train import train

NOISE_SPECS = ("symmetric:0.4", "asymmetric:0.4")
PLAIN, ROBUST = "cce", ("gce", "dm:beta=12,lam=0.5")
FOLDS = 3
CURVE = 40
"""Points of a precision-recall curve."""
ACTED = {f"dynamics {PLAIN}": PLAIN, "confident learning": PLAIN, f"dynamics {ROBUST[0]}": ROBUST[0]}
"""The rankings that are acted on, each with the method of the training after it: plain or robust throughout."""


@dataclass(frozen=True)
class Look:
    """Predictions after training on one draw of noisy labels.

    Test accuracy after the last epoch (None for a cross-validation), watched probabilities, and out-of-sample
    probabilities (None for a single training).
    """

    cfg: RunConfig
    test_acc: float | None
    watched: cross_validation.Watched
    probs: NDArray[np.float64] | None

    @property
    def ranker(self) -> str:
        return f"dynamics {self.cfg.method}" if self.probs is None else "confident learning"


@dataclass(frozen=True)
class Ranking:
    """A ranking of the labels: scores [N], which labels are flagged as wrong [N], and suggested classes [N]."""

    score: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    suggested: NDArray[np.int64]


@dataclass(frozen=True)
class Retrain:
    """A training after an action (or none): the beginning of its row, its labels [N], and the examples to keep [N]."""

    cfg: RunConfig
    row: dict[str, Any]
    labels: NDArray[np.int64]
    keep: NDArray[np.bool_]


@STUDIES.register(
    "data_centric",
    label="Wrong labels found, dropped or corrected, against a robust method on the noisy labels, and both together.",
    source="Talk, slides 41 and 43; Swayamdipta et al. 2020; Northcutt, Jiang, Chuang 2021",
)
def data_centric(
    *, profile: str = "quick", model: str = "resnet8", seeds: Annotated[int, Field(ge=1)] = 3
) -> pd.DataFrame:
    """Rank, act, retrain, on 40 % symmetric and 40 % asymmetric noise with the profile's data and epochs.

    The network is smaller than the profile's, so that some 70 trainings take minutes. *Model-centric* is a robust
    method on the noisy labels; *data-centric* is cross entropy throughout, to rank and to train again after the
    action; *both* is a robust method throughout.

    Rows are of three kinds (``part``). ``retraining``: one training of ``method`` after ``ranker`` and ``action``
    (``none``, ``drop``, ``correct``, or ``truth`` for clean labels), its ``approach``, ``test_acc`` after the last
    epoch, number of training ``examples`` and their share of ``wrong`` labels. ``ranking``: precision, recall and more
    (:func:`robustdl_lib.audit.suspects.quality`) of a ranker; ``epochs`` are those that its dynamics average.
    ``curve``: its precision and recall at rank k, all epochs. A seed draws weights, order and noise. The validation set
    keeps its wrong labels and decides nothing.
    """
    table = pd.DataFrame([row for seed in range(seeds) for row in _of_one_seed(profile, model, seed)])
    files.remove(_steps())
    return table.sort_values(["part", "noise", "seed"], kind="stable", ignore_index=True)


def _of_one_seed(profile: str, model: str, seed: int) -> list[dict[str, Any]]:
    """Return the rows of one seed: of trainings on the noisy labels, then of trainings after an action."""
    configs = [profile_config(profile, model=model, noise=noise, seed=seed, noise_seed=seed) for noise in NOISE_SPECS]
    wanted = [(cfg.replace(method=PLAIN), FOLDS) for cfg in configs]
    wanted += [(cfg.replace(method=method), 0) for cfg in configs for method in (PLAIN, *ROBUST)]
    looks = _together(_look, wanted, f"seed {seed}, on the noisy labels")
    retrains = [_on_clean_labels(configs[0]), *(item for look in looks for item in consequences(look))]
    untouched = [row for look in looks if look.test_acc is not None for row in _untouched(look)]
    retrained = _together(_retrain, retrains, f"seed {seed}, after an action")
    return untouched + retrained + [row for look in looks for row in judge(look)]


def find(look: Look, labels: NDArray[np.int64]) -> Ranking:
    """Return the ranking of the given labels [N] by a look, without the truth.

    Training dynamics: the score is p_y averaged over all epochs, flagged is what the mean probabilities contradict, the
    suggestion is their argmax. Confident learning: score and flags of
    :func:`robustdl_lib.audit.suspects.confident_learning`, the suggestion is the argmax out of sample.
    """
    if look.probs is None:
        flagged = suspects.contradicted(labels, look.watched.mean)
        return Ranking(suspects.dynamics(look.watched.p_given), flagged, suspects.suggest(look.watched.mean))
    table = suspects.confident_learning(labels, look.probs)
    flagged = table["flagged"].to_numpy(dtype=bool)
    return Ranking(table["score"].to_numpy(), flagged, suspects.suggest(look.probs))


def judge(look: Look) -> Iterator[dict[str, Any]]:
    """Yield the ``ranking`` and ``curve`` rows of a look: its ranking compared with the known noise."""
    split = data.load(look.cfg).train
    ranking, wrong = find(look, split.labels.numpy()), split.mislabelled.numpy()
    cell = {"noise": look.cfg.noise, "seed": look.cfg.seed, "ranker": look.ranker}
    scores = {"all": ranking.score}
    if look.probs is None:
        scores = {epochs: suspects.dynamics(look.watched.p_given, epochs) for epochs in suspects.EPOCHS}
    table = suspects.quality(scores, wrong, {"all": ranking.flagged}).rename(columns={"ranker": "epochs"})
    for row in table.to_dict("records"):
        yield {"part": "ranking", **cell, **row, "wrong": wrong.mean(), "examples": len(wrong)}
    curve = suspects.precision_recall(ranking.score, wrong)
    for row in curve.iloc[np.linspace(0, len(curve) - 1, CURVE).round().astype(int)].to_dict("records"):
        yield {"part": "curve", **cell, "epochs": "all", **row}


def consequences(look: Look) -> Iterator[Retrain]:
    """Yield the trainings after a look: with its suspects dropped, and with its suspects corrected."""
    if look.ranker not in ACTED:
        return
    split = data.load(look.cfg).train
    labels = split.labels.numpy()
    ranking = find(look, labels)
    corrected = np.where(ranking.flagged, ranking.suggested, labels)
    actions = {"drop": (labels, ~ranking.flagged), "correct": (corrected, np.ones(len(labels), dtype=bool))}
    acted = {"ranker": look.ranker, "acted": int(ranking.flagged.sum())}
    acted |= suspects.hits(ranking.flagged, split.mislabelled.numpy())
    for action, (after, keep) in actions.items():
        method = ACTED[look.ranker]
        row = _row(look.cfg, "data-centric" if method == PLAIN else "both", action, method) | acted
        yield Retrain(look.cfg.replace(method=method), row, after, keep)


def _untouched(look: Look) -> Iterator[dict[str, Any]]:
    """Yield the row of a training on the noisy labels as they are."""
    split = data.load(look.cfg).train
    approach = "neither" if look.cfg.method == PLAIN else "model-centric"
    measured = {
        "test_acc": look.test_acc,
        "examples": len(split.rows),
        "wrong": float(split.mislabelled.double().mean()),
    }
    yield _row(look.cfg, approach, "none", look.cfg.method) | {"ranker": "none", "acted": 0} | measured


def _on_clean_labels(cfg: RunConfig) -> Retrain:
    cfg = cfg.replace(method=PLAIN, noise="none")
    labels = data.load(cfg).train.labels.numpy()
    row = _row(cfg, "clean labels", "truth", PLAIN) | {"ranker": "none"}
    return Retrain(cfg, row, labels, np.ones(len(labels), dtype=bool))


def _row(cfg: RunConfig, approach: str, action: str, method: str) -> dict[str, Any]:
    cell = {"part": "retraining", "noise": cfg.noise, "seed": cfg.seed}
    return cell | {"approach": approach, "action": action, "method": method}


def _look(task: tuple[RunConfig, int]) -> Look:
    cfg, folds = task

    def learn() -> dict[str, Any]:
        loaded = data.load(cfg)
        if folds:
            probs, watched = cross_validation.cross(cfg, loaded, folds)
            return {"p_given": watched.p_given, "mean": watched.mean, "probs": probs}
        history, watched = cross_validation.watch(cfg, loaded)
        return {"p_given": watched.p_given, "mean": watched.mean, "test_acc": history["test_acc"].iloc[-1]}

    arrays = _once(f"{cfg.canonical_json()} {folds}".encode(), learn)
    accuracy = float(arrays["test_acc"]) if "test_acc" in arrays else None
    return Look(cfg, accuracy, cross_validation.Watched(arrays["p_given"], arrays["mean"]), arrays.get("probs"))


def _retrain(task: Retrain) -> dict[str, Any]:
    loaded = data.load(task.cfg)
    kept = cross_validation.take(cross_validation.relabel(loaded.train, task.labels), task.keep)

    def learn() -> dict[str, Any]:
        return {"test_acc": train(task.cfg, replace(loaded, train=kept))["test_acc"].iloc[-1]}

    arrays = _once(task.cfg.canonical_json().encode() + task.labels.tobytes() + task.keep.tobytes(), learn)
    wrong = float(kept.mislabelled.double().mean())
    return task.row | {"test_acc": float(arrays["test_acc"]), "examples": len(kept.rows), "wrong": wrong}


def _steps() -> Path:
    """Return the folder of finished trainings, from which an interrupted study resumes."""
    return paths.cache() / "data_centric"


def _once(key: bytes, learn: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the arrays that ``learn`` computes, or those of a finished training with the same key and code."""
    name = files.sha256(key + json.dumps(store.code_version(), sort_keys=True).encode())
    kept = _steps() / f"{name[:24]}.npz"
    with contextlib.suppress(OSError, ValueError, EOFError, zipfile.BadZipFile), np.load(kept) as arrays:
        return dict(arrays)
    learnt = learn()
    with contextlib.suppress(OSError), files.whole(kept) as part, part.open("wb") as file:  # a full disk is no failure
        np.savez(file, allow_pickle=False, **learnt)
    return learnt


def _together(task: Callable[[Any], Any], items: Sequence[Any], words: str) -> list[Any]:
    """Return the task's result of each item, in their order, computed in one process for each core, one thread each."""
    every = 0.5 if sys.stderr.isatty() else 30.0
    results = spread(task, [(item,) for item in items], cpu_count())
    return list(tqdm(results, total=len(items), desc=words, mininterval=every, maxinterval=every))
