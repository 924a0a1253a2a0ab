"""The trainings and studies of the solutions to the exercises, and the rows that the solutions share.

``notebooks/solutions`` reads the committed rows. Each study names the exercise that asks for it.
"""

import tempfile
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import pandas as pd
from joblib import cpu_count
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from robustdl_lib import data
from robustdl_lib.audit import audit, suspects
from robustdl_lib.config import RunConfig, profile_config
from robustdl_lib.parallel import on_threads, spread
from robustdl_lib.registry import STUDIES, SWEEPS
from robustdl_lib.report import summary
from robustdl_lib.runs import sweeps
from robustdl_lib.runs.sweeps import Setting
from robustdl_lib.studies import adverse
from robustdl_lib.studies.sweeps import TALK_METHODS, WORKED_NOISES
from robustdl_lib.training import cross_validation
from robustdl_lib.training.train import fit

DM = "dm:beta=12,lam=0.5"
MODEL = "resnet8"
"""Smaller than the profile's, so that everything takes minutes."""
NOISE_SPECS = ("symmetric:0.4", "asymmetric:0.2", "asymmetric:0.4")
"""Noises for which rankings are compared; suspects are acted on under the first and the last."""
RANKERS = ("cce", "gce")
SURE = 0.9
"""Average probability from which a suggested class replaces the label (exercise 1 of notebook 13)."""
SWEPT = ("figures", "worked", "talk_noise", "disguise", "relatives", "exercises")
USUAL = {"noise": "symmetric:0.4", "split": "stratified", "epochs": 50, "peak_lr": 0.1, "weight_decay": 5e-4}
"""The setting that most solutions compare in."""
Labels = NDArray[np.int64]


@SWEEPS.register("exercises", label="what exercises ask to train", source="notebooks/solutions", apart=True)
def exercises(*, setting: Setting) -> list[RunConfig]:
    """Return the trainings of the exercises: other noises, splits, rates and budgets.

    The network is ResNet-8, except for other budgets, which are compared with the profile's own runs.
    """
    plain, small = setting.config(), {"model": MODEL}
    return [
        *setting.configs(("cce", DM), **small),  # what the others are compared with
        *setting.configs(("cce", DM), split="clustered:distance=0.3", **small),  # 02.4
        *setting.configs(("cce", DM, "dm:beta=12,lam=2"), noise="symmetric:0.6", **small),  # 03.1
        *setting.configs(("cce",), lr=plain.lr / 2, **small),  # 08.5
        *setting.configs(("cce",), weight_decay=2 * plain.weight_decay, **small),  # 08.5
        *setting.configs(("cce",), noise="asymmetric:0.6", **small),  # 14.1
        *setting.configs(("barron:alpha=0,c=0.3", "adaptive:c=0.3"), **small),  # 16.6
        *setting.configs(("cce", "mae", "gce", DM), epochs=10),  # 14.5
        *setting.configs(TALK_METHODS, noise=WORKED_NOISES[0], epochs=3 * plain.epochs),  # 10.3
    ]


@dataclass(frozen=True)
class TrainedRuns:
    """The runs that the solutions compare: ``history`` has a row an epoch, ``ended`` a row a run in per cent.

    The others are masks over the rows of ``ended``. ``like`` has a column for each field of the usual setting and says
    whether the run has its value; ``usual[name]`` are the runs in the usual setting except for ``name``; ``big`` and
    ``small`` are the networks ResNet-20 and ResNet-8. ``same`` are the rows of ResNet-20 in the usual setting.
    """

    history: pd.DataFrame
    ended: pd.DataFrame
    like: pd.DataFrame
    usual: dict[str, pd.Series]
    big: pd.Series
    small: pd.Series
    same: pd.DataFrame


def trained(kept: str = "reference") -> TrainedRuns:
    """Return the runs of the six sweeps that the solutions read: committed, or with ``kept="runs"`` trained here."""
    history = pd.concat([sweeps.run(name, shelf=kept, quiet=True) for name in SWEPT])
    history = history.drop_duplicates(["run_id", "epoch"])
    settings = history.drop_duplicates("run_id").set_index("run_id")[[*USUAL, "method"]]
    ended = summary.final_readings(history).drop(columns=["noise", "method"]).join(settings, on="run_id")
    like = pd.DataFrame({name: ended[name] == value for name, value in USUAL.items()})
    usual = {name: like.drop(columns=name).all(axis=1) for name in USUAL}
    big, small = (ended["model"] == name for name in ("resnet20", MODEL))
    return TrainedRuns(history, ended, like, usual, big, small, ended[like.all(axis=1) & big])


def last_p_y(kept: str = "reference") -> pd.DataFrame:
    """Return the p_y histograms after epoch 50 of the figures' runs under 40 % symmetric noise."""
    plan, places = sweeps.plan("figures", Setting()), sweeps.shelves("figures", "quick", kept)
    runs = [run for run in sweeps.found(plan, places) if run.config.noise == USUAL["noise"]]
    return pd.concat([run.p_y_frame().query("epoch == 50") for run in runs])


@STUDIES.register(
    "doubts",
    label="What CCE, GCE and DM say of wrong, foreign and ambiguous digits after 10 and 50 epochs; blends and halves.",
    source="exercises 3 to 5 of notebook 01",
)
def doubts(*, profile: str = "quick", model: str = MODEL, seeds: Annotated[int, Field(ge=1)] = 3) -> pd.DataFrame:
    """Return how well scores separate kinds of training examples from clean ones after the last epoch.

    A row for each training, ``kind`` and ``score``, as in :func:`robustdl_lib.studies.adverse.detect`. ``part`` is
    ``kinds`` for noise of all kinds (CCE, GCE and DM, after 10 epochs and after the profile's own number) and ``blend``
    for CCE with one ambiguous example in ten, as halves or as a blend. One of the scores is the ``product``
    (1 - p_y) (1 - H(p) / log C), which is high if a label is contradicted with confidence.
    """
    plain = profile_config(profile, model=model)
    budgets = dict.fromkeys((min(10, plain.epochs), plain.epochs))
    kinds = [plain.replace(noise=adverse.NOISE, method=m, epochs=n) for m in ("cce", "gce", DM) for n in budgets]
    blends = [plain.replace(noise=f"ambiguous:rate=0.1,how={how}") for how in ("halves", "blend")]
    parts = [*((cfg, "kinds") for cfg in kinds), *((cfg, "blend") for cfg in blends)]
    calls = [(cfg.replace(seed=seed, noise_seed=seed), part) for seed in range(seeds) for cfg, part in parts]
    return pd.concat(spread(_doubted, calls, cpu_count()), ignore_index=True)


@STUDIES.register(
    "longer_mae",
    label="Which digits MAE predicts, epoch by epoch, in 50 epochs and in 200.",
    source="exercise 3 of notebook 03",
)
def longer_mae(
    *, profile: str = "quick", model: str = MODEL, longer: Annotated[int, Field(ge=1)] = 200
) -> pd.DataFrame:
    """Return what MAE predicts for the training set: a row for each budget, epoch and class; seed 1.

    Columns ``epochs``, ``epoch``, ``label``, the ``share`` of the training examples that are predicted as that
    class, and ``test_acc`` of the epoch.
    """
    plain = profile_config(profile, model=model, method="mae", seed=1, noise_seed=1)
    configs = [plain, plain.replace(epochs=longer)]
    return pd.concat(spread(_predicted, [(cfg,) for cfg in configs], cpu_count()), ignore_index=True)


@STUDIES.register(
    "second_look",
    label="Suspects ranked by p_y and by margin, corrected only where sure, and looked for once more.",
    source="exercises of notebook 13; Pleiss et al. 2020",
)
def second_look(*, profile: str = "quick", model: str = MODEL, seeds: Annotated[int, Field(ge=1)] = 3) -> pd.DataFrame:
    """Rank by p_y and by margin, act in one more way, and rank again after correcting.

    Data and network are those of ``data_centric``. Rows are of three kinds (``part``). ``ranking``: the quality
    (:func:`robustdl_lib.audit.suspects.quality`) of the dynamics of ``method`` by ``score`` (``p_y`` or ``margin``,
    averaged over all epochs), under NOISE_SPECS. ``careful``: CCE trained again after its suspects were corrected if
    the suggested class has an average probability of at least SURE, and dropped otherwise: ``test_acc``, ``examples``,
    the share ``wrong``. ``second``: all suspects are corrected and ranked again: the share ``wrong`` before, the labels
    ``left`` wrong; of the second round how many labels it ``acted`` on, ``found`` and ``spoilt``.
    """
    plain = profile_config(profile, model=model)
    configs = [
        plain.replace(noise=noise, method=method, seed=seed, noise_seed=seed)
        for seed in range(seeds)
        for noise in NOISE_SPECS
        for method in RANKERS
    ]
    looks = spread(_looked, [(cfg,) for cfg in configs], cpu_count())
    table = pd.DataFrame([row for rows in looks for row in rows])
    return table.sort_values(["part", "noise", "method", "seed"], kind="stable", ignore_index=True)


@STUDIES.register(
    "digits_audited",
    label="The most suspicious labels of the digits as they are, without added noise.",
    source="exercise 4 of notebook 13",
)
def digits_audited(*, top: Annotated[int, Field(ge=1)] = 12, epochs: Annotated[int, Field(ge=1)] = 40) -> pd.DataFrame:
    """Return the first ``top`` rows of :func:`robustdl_lib.audit.audit.examine` on the digits; ResNet-8, seed 0."""
    with tempfile.TemporaryDirectory() as folder, on_threads(1):
        return audit.run("digits", model=MODEL, epochs=epochs, into=folder, say=lambda _: None).table.head(top)


@dataclass(frozen=True)
class Look:
    """The dynamics of one training: mean probabilities [N, C], and both scores of the labels by name [N]."""

    mean: NDArray[np.float64]
    scores: dict[str, NDArray[np.float64]]


def look(cfg: RunConfig, loaded: data.Data) -> Look:
    """Train once and return the dynamics of p_y and of the margin of each given label, averaged over all epochs."""
    labels, margins = loaded.train.labels.numpy(), []
    watcher = cross_validation.Watch(loaded.train.labels)

    def record(epoch: int, logits: Tensor) -> None:
        watcher(epoch, logits)
        margins.append(suspects.margin(logits.cpu().numpy(), labels))

    fit(cfg, loaded, on_logits=record)
    seen = watcher.seen()
    scores = {"p_y": suspects.dynamics(seen.p_given), "margin": suspects.dynamics(np.stack(margins))}
    return Look(seen.mean, scores)


def careful(labels: Labels, mean: NDArray[np.float64]) -> tuple[Labels, NDArray[np.bool_]]:
    """Return new labels [N] and which examples to keep: suspects are corrected if the suggestion is sure, else dropped.

    labels [N], mean probabilities [N, C]. Suspects are the labels that the mean contradicts.
    """
    flagged, sure = suspects.contradicted(labels, mean), mean.max(axis=1) >= SURE
    return np.where(flagged & sure, suspects.suggest(mean), labels), ~flagged | sure


def _looked(cfg: RunConfig) -> list[dict[str, Any]]:
    """Return the rows of one training, and of the trainings after its suspects were acted on."""
    loaded = data.load(cfg)
    seen = look(cfg, loaded)
    wrong, cell = loaded.train.mislabelled.numpy(), {"noise": cfg.noise, "method": cfg.method, "seed": cfg.seed}
    table = suspects.quality(seen.scores, wrong).rename(columns={"ranker": "score"})
    rows = [{"part": "ranking", **cell, **row} for row in table.to_dict("records")]
    if cfg.noise in (NOISE_SPECS[0], NOISE_SPECS[-1]) and cfg.method == RANKERS[0]:
        rows += [{"part": "careful", **cell, **_retrained(cfg, loaded, seen)}]
        rows += [{"part": "second", **cell, **_second_round(cfg, loaded, seen)}]
    return rows


def _retrained(cfg: RunConfig, loaded: data.Data, seen: Look) -> dict[str, Any]:
    labels, keep = careful(loaded.train.labels.numpy(), seen.mean)
    kept = cross_validation.take(cross_validation.relabel(loaded.train, labels), keep)
    test = fit(cfg, replace(loaded, train=kept)).history["test_acc"].iloc[-1]
    return {"test_acc": test, "examples": len(kept.rows), "wrong": float(kept.mislabelled.double().mean())}


def _second_round(cfg: RunConfig, loaded: data.Data, seen: Look) -> dict[str, Any]:
    """Correct all suspects, train and look again, correct again, and count."""
    labels, true = loaded.train.labels.numpy(), loaded.train.clean_labels.numpy()
    once = np.where(suspects.contradicted(labels, seen.mean), suspects.suggest(seen.mean), labels)
    again = look(cfg, replace(loaded, train=cross_validation.relabel(loaded.train, once))).mean
    acted = suspects.contradicted(once, again)
    twice = np.where(acted, suspects.suggest(again), once)
    counts = {"found": (once != true) & (twice == true), "spoilt": (once == true) & (twice != true), "acted": acted}
    totals = {name: int(members.sum()) for name, members in counts.items()}
    return {"wrong": float((labels != true).mean()), "left": int((once != true).sum()), **totals}


def _doubted(cfg: RunConfig, part: str) -> pd.DataFrame:
    """Train, and return how well each score and the product detect each kind of training example in the last epoch."""
    loaded = data.load(cfg)
    last: dict[str, Tensor] = {}
    fit(cfg, loaded, on_logits=lambda _, logits: last.update(logits=logits.cpu()))
    judged = adverse.judge(last["logits"], loaded.train.labels, loaded.train.clean_labels)
    judged = judged.assign(kind=adverse.kinds(loaded.train))
    product = adverse.detect(judged.assign(**{"1 - p_y": judged["1 - p_y"] * (1 - judged["entropy"])}))
    rows = [adverse.detect(judged), product.query("score == '1 - p_y'").assign(score="product")]
    run = {"noise": cfg.noise, "method": cfg.method, "epochs": cfg.epochs, "seed": cfg.seed}
    return pd.concat(rows).assign(**run, part=part)


def _predicted(cfg: RunConfig) -> pd.DataFrame:
    """Train, and return how many training examples are predicted as each class, epoch by epoch."""
    loaded, counts = data.load(cfg), []

    def count(_: int, logits: Tensor) -> None:
        counts.append(logits.argmax(dim=1).bincount(minlength=loaded.num_classes).cpu().numpy())

    test_acc = fit(cfg, loaded, on_logits=count).history["test_acc"].to_numpy()
    shares = np.stack(counts) / len(loaded.train.rows)
    epochs, labels = np.indices(shares.shape)
    columns = {"epochs": cfg.epochs, "epoch": epochs.ravel() + 1, "label": labels.ravel(), "share": shares.ravel()}
    return pd.DataFrame(columns).assign(test_acc=np.repeat(test_acc, loaded.num_classes))
