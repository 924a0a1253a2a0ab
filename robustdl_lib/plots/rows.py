"""What figures read: rows that are computed from formulas, and summaries of the rows of runs.

Accuracies and shares in run rows are fractions; what is summarised here for an axis is in per cent.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from robustdl_lib.config import RunConfig
from robustdl_lib.data import load
from robustdl_lib.data.noise import NoisyLabels
from robustdl_lib.data.raw import Source
from robustdl_lib.methods.targets import global_trust, local_trust
from robustdl_lib.registry import METHODS, additions
from robustdl_lib.theory.gradients import compare, emphasis_density, logits_at, weight_curve

POINTS = np.linspace(0.0, 1.0, 301)
TALK = ("cce", "mae", "mse", "gce", "dm:beta=2,lam=0", "dm:beta=8,lam=2")
WEIGHTED = ("cce", "mae", "mse", "gce", "imae", "dm:beta=2,lam=0", "dm:beta=12,lam=0.5", "dm:beta=16,lam=1")
TARGETS = ("ls:eps=0.25", "cp:eps=0.25", "boot_soft:eps=0.5", "boot_hard:eps=0.5", "proselflc")
CLASSES = ("horse", "deer", "dog")
NOISES_SHOWN = ("symmetric:0.4", "symmetric_all:0.4", "asymmetric:0.4")
RUN = ("run_id", "noise", "method", "seed", "epoch")
HISTOGRAM = ("epoch", "subset", "p", "count", "run_id", "method")
ALIKE = ("dataset", "examples", "split", "validation", "model", "noise", "epochs", "peak_lr", "weight_decay")


def require(figure: str, df: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return ``columns`` of the rows of a figure.

    Raises ValueError, in one sentence, for a missing column, no rows, or runs that differ in a field of ``ALIKE``,
    which would be averaged without a word.
    """
    if missing := [column for column in columns if column not in df]:
        raise ValueError(
            f"figure {figure!r} reads the column {missing[0]!r}, found {', '.join(map(str, df)) or 'none'}"
        )
    if df.empty:
        raise ValueError(f"figure {figure!r} needs rows, and there are none")
    for field in (name for name in ALIKE if name in df):
        found = [str(value) for value in df[field].unique() if value != "none"]
        if len(found) > 1:
            raise ValueError(f"figure {figure!r} shows one {field}, found {', '.join(found)}: choose one of them")
    return df.loc[:, list(columns)]


def with_method(df: pd.DataFrame) -> pd.DataFrame:
    """Return a curve of :mod:`robustdl_lib.theory.gradients` with its method as a column, if it has none yet."""
    return df.assign(method=df.attrs["method"]) if "method" in df.attrs and "method" not in df else df


def weight_rows() -> pd.DataFrame:
    """Return the weight curves of four losses, IMAE, three DM and methods of one's own: columns p, weight, method."""
    return compare([*WEIGHTED, *own()], weight_curve, p=POINTS)


def emphasis_rows() -> pd.DataFrame:
    """Return the emphasis densities of the talk's slide 21 and of methods of one's own: columns p, density, method."""
    return compare([*TALK, *own()], emphasis_density, p=POINTS)


def own() -> list[str]:
    """Return the losses and weightings that were registered outside the package."""
    return [entry.name for entry in additions() if entry.kind == METHODS.kind and entry.facts.role != "target"]


def transition_rows(
    specs: Sequence[str] = NOISES_SHOWN, dataset: str = "digits", seed: int = 0, source: Source | None = None
) -> pd.DataFrame:
    """Return asked and realised transition probabilities: columns spec, true, given, asked, realised.

    They are those of the draw ``seed`` over train and validation of the data set; asked is NaN for a noise that depends
    on more than the class. ``source`` is the data set where it is in memory already.
    """
    frames = []
    for spec in specs:
        drawn = load(RunConfig(dataset=dataset, noise=spec, noise_seed=seed), source)
        realised, asked = drawn.noise.transition.numpy(), drawn.noise.asked
        true, given = np.indices(realised.shape)
        columns = {"true": true.ravel(), "given": given.ravel()}
        columns["asked"] = np.full(realised.size, np.nan) if asked is None else asked.numpy().ravel()
        frames.append(pd.DataFrame(columns).assign(spec=spec, realised=realised.ravel()))
    return pd.concat(frames, ignore_index=True)


def class_rates(found: NoisyLabels, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row a true class, in per cent: labels asked and found to be wrong, and the most frequent wrong one.

    Columns class, examples, asked (NaN for a noise without a matrix), wrong, mostly, mostly_share.
    """
    realised, index = 100 * found.transition.numpy(), np.arange(len(classes))
    others = np.where(np.eye(len(classes), dtype=bool), -1.0, realised)
    mostly = others.argmax(axis=1)
    asked, clean = np.full(len(classes), np.nan), found.clean.numpy()
    totals = np.bincount(clean[clean >= 0], minlength=len(classes))
    if found.asked is not None:
        asked = 100 * (found.asked.sum(dim=1) - found.asked.diagonal()).numpy()
    shown = others[index, mostly]
    columns = {
        "class": list(classes),
        "examples": [int(count) for count in totals],
        "asked": asked,
        "wrong": realised.sum(axis=1) - realised[index, index],
        "mostly": [classes[label] if share > 0 else "-" for label, share in zip(mostly, shown, strict=True)],
        "mostly_share": shown,
    }
    return pd.DataFrame(columns)


def last_histograms(df: pd.DataFrame) -> pd.DataFrame:
    """Return the last epoch of each run of p_y histograms, without the runs on clean labels if others are there."""
    rows = require("p_y_histograms", df, HISTOGRAM)
    rows = rows[rows["epoch"] == rows.groupby("run_id")["epoch"].transform("max")]
    wrong = rows["count"].where(rows["subset"] == "wrong", 0).groupby(rows["run_id"]).transform("sum")
    return rows[wrong > 0] if (wrong > 0).any() else rows


def trust_rows(df: pd.DataFrame) -> pd.DataFrame:
    """Return trust as columns kind, x, series, trust: g(t) for B = 8 ... 16, l(p) for three C, and as measured.

    df: run rows. x is the progress t/T, or for l(p) the largest probability, the rest shared alike; a measured
    series is a method, averaged over seeds. Rows that are in this form are returned as they are.
    Source: Talk, eq. 6 and slides 34, 35. Raises ValueError as :func:`require`.
    """
    if "kind" in df:
        return df
    runs, _ = split(require("trust", df, (*RUN, "progress", "trust")))
    parts = [_trust("time", POINTS, f"B = {B}", [global_trust(x, B=B) for x in POINTS]) for B in (8, 10, 12, 14, 16)]
    for count in (2, 10, 100):
        largest = np.linspace(1 / count, 1.0, 101)
        parts.append(_trust("confidence", largest, f"C = {count}", local_trust(logits_at(largest, count)).numpy()))
    for spec, rows in runs.groupby("method", sort=False):
        mean = rows.groupby("progress")["trust"].mean()
        if mean.max() > 0:
            parts.append(_trust("measured", mean.index, str(spec), mean.to_numpy()))
    return pd.concat(parts, ignore_index=True)


def target_rows(progress: float = 0.9, learner: Sequence[float] = (0.04, 0.92, 0.04)) -> pd.DataFrame:
    """Return the label, the learner's p, and each method's target for one example: a row a method and class.

    The label says the first of three classes; ``learner`` are the learner's probabilities of them. Columns
    method (``label``, ``learner`` or a spec), klass, probability, given. Source: Talk, slides 28 and 29.
    """
    like = logits_at([0.5], len(CLASSES))
    label, p = like.new_tensor([[1.0, 0.0, 0.0]]), like.new_tensor([list(learner)])
    found = {"label": label, "learner": p}
    for spec in map(METHODS.parse, TARGETS):
        found[str(spec)] = spec.entry.function(label, p.log(), progress=progress, **spec.knobs)
    rows = {name: {"klass": CLASSES, "probability": target[0].numpy()} for name, target in found.items()}
    given = label[0].bool().numpy()
    return pd.concat([pd.DataFrame({"method": n, **row, "given": given}) for n, row in rows.items()], ignore_index=True)


def split(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the run rows under label noise (all, where there is none) and those of CCE on clean labels."""
    clean = rows["noise"] == "none"
    return (rows if clean.all() else rows[~clean]), rows[clean & (rows["method"] == "cce")]


def over_seeds(rows: pd.DataFrame, column: str, scale: float = 100.0) -> pd.DataFrame:
    """Return mean, min and max of a column over seeds, times ``scale``, by (method, epoch)."""
    return scale * rows.groupby(["method", "epoch"])[column].agg(["mean", "min", "max"])


def endings(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a run: its best and its last test accuracy in per cent, and its method."""
    runs = rows.sort_values("epoch").groupby("run_id", sort=False)
    return (100 * runs["test_acc"].agg(best="max", last="last")).assign(method=runs["method"].first())


def emphasis_panels(specs: Sequence[str]) -> dict[str, list[str]]:
    """Group specs into panels: four or more of one method by the value of their last knob, the others together."""
    parsed = {spec: METHODS.parse(spec) for spec in specs}
    names = [found.name for found in parsed.values()]
    panels: dict[str, list[str]] = {}
    for spec, found in parsed.items():
        numbers = [(knob, value) for knob, value in found.values.items() if isinstance(value, float)]
        knob, value = (numbers or [("", 0.0)])[-1]
        title = f"{found.entry.label}, {knob} = {value:g}" if names.count(found.name) > 3 else ""
        panels.setdefault(title, []).append(spec)
    return panels


def _trust(kind: str, x: Any, series: str, values: Any) -> pd.DataFrame:
    return pd.DataFrame({"kind": kind, "x": x, "series": series, "trust": values})
