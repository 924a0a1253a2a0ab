"""Figures: one function each, data frame in, matplotlib Figure out; only :func:`save` writes files.

A figure is registered with the columns that it reads and with where its rows come from: ``"runs"`` (rows of
:func:`robustdl_lib.store.load_runs`), ``"p_y"`` (histograms of p_y), or a function that returns them. ``prepare``,
where there is one, turns such rows into the columns that are read, and leaves prepared rows as they are.
Accuracies in rows are fractions; figures show them in per cent.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from robustdl_lib import store
from robustdl_lib.gradients import compare, emphasis_density as density_rows, logits_at, weight_curve
from robustdl_lib.registry import FIGURES, METHODS
from robustdl_lib.style import (
    BACKDROP, CLEAN, DASHED, INK, Style, canvas, end_labels, key, label, multiples, order, record, render, sample,
    style, styles, write,
)  # fmt: skip
from robustdl_lib.targets import global_trust, local_trust

POINTS = np.linspace(0.0, 1.0, 301)
TALK = ("cce", "mae", "mse", "gce", "dm:beta=2,lam=0", "dm:beta=8,lam=2")
WEIGHTED = ("cce", "mae", "mse", "gce", "imae", "dm:beta=2,lam=0", "dm:beta=12,lam=0.5", "dm:beta=16,lam=1")
TARGETS = ("ls:eps=0.25", "cp:eps=0.25", "boot_soft:eps=0.5", "boot_hard:eps=0.5", "proselflc")
CLASSES = ("horse", "deer", "dog")
RUN = ("run_id", "noise", "method", "seed", "epoch")
ALIKE = ("dataset", "model", "noise", "epochs")
SETTING = "epoch"


def table(name: str, df: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that a figure reads, prepared, with its columns alone.

    Raises SpecError for an unknown figure and ValueError, in one sentence, for no rows, a missing column, or
    runs of several settings, which would be averaged silently.
    """
    meta = FIGURES.entry(name).meta
    if prepare := meta.get("prepare"):
        df = prepare(df)
    return _columns(name, df, meta["columns"])


def save(name: str, df: pd.DataFrame, folder: Path | str, provenance: dict[str, Any]) -> Path:
    """Draw a figure and write ``<name>.png``, ``.svg``, ``.csv`` (its rows) and ``.json`` (what it rests on).

    It is drawn from the .csv's 6 significant digits, so that the file alone gives the same bytes again. Each
    file is whole or absent. Returns the png's path; raises as :func:`table`, and OSError on a failed write.
    """
    entry = FIGURES.entry(name)
    rows = table(name, df).to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
    chart = entry.function(read(io.BytesIO(rows)))
    said = {"figure": name, "caption": entry.label, "source": entry.source, "provenance": provenance}
    files = {".png": render(chart, "png"), ".svg": render(chart, "svg"), ".csv": rows, ".json": record(said, rows)}
    write({name + ending: content for ending, content in files.items()}, Path(folder))
    return Path(folder) / f"{name}.png"


def read(source: Any) -> pd.DataFrame:
    """Read back the .csv of a saved figure, from a path or a file."""
    return pd.read_csv(source, keep_default_na=False, na_values=[""], float_precision="round_trip")


def draw(name: str, runs: Sequence[store.Run], folder: Path | str) -> Path:
    """Draw and save a figure from finished runs; one whose rows are computed needs none of them."""
    rows = FIGURES.entry(name).meta["rows"]
    if callable(rows):
        return save(name, rows(), folder, store.code_version())
    frames = [run.frame() if rows == "runs" else run.p_y_frame() for run in runs]
    if not frames:
        raise ValueError(f"figure {name!r} needs runs, and there are none")
    return save(name, pd.concat(frames, ignore_index=True), folder, store.sources(runs))


def weight_rows() -> pd.DataFrame:
    """Return the weight curves of the losses, IMAE and three DM: columns p, weight, method."""
    return compare(list(WEIGHTED), weight_curve, p=POINTS)


def emphasis_rows() -> pd.DataFrame:
    """Return the emphasis densities of the talk's slide 21: columns p, density, method."""
    return compare(list(TALK), density_rows, p=POINTS)


@FIGURES.register(
    "weight_curves",
    label="A loss is a weighting: it decides at which p_y an example counts most, and by how much.",
    source="Talk, eq. 3 and 4",
    rows=weight_rows,
    columns=("p", "weight", "method"),
)
def weight_curves(df: pd.DataFrame) -> Figure:
    """Draw w(p) = 2 p (1 - p) |L'(p)|, weightings in a panel of their own with a logarithmic axis."""
    rows = table("weight_curves", df)
    given = [METHODS.parse(spec).entry.meta["role"] == "weight" for spec in rows["method"]]
    parts = [part for part in (rows[np.logical_not(given)], rows[given]) if len(part)]
    chart, axes = canvas(1, len(parts), (5.2 * len(parts), 3.6))
    looks = styles(rows["method"])
    for ax, part in zip(axes, parts, strict=True):
        _curves(ax, part, "weight", looks)
        ax.set(xlabel="$p_y$, probability of the given label", ylabel="weight $w$, L1 norm of the logit derivative")
        lowest, highest = part["weight"].min(), part["weight"].max()
        ax.set_yscale("log" if lowest > 0 and highest > 30 * lowest else "linear")
    chart.suptitle("Example weight against the probability of the given label", fontsize=11)
    return chart


@FIGURES.register(
    "emphasis_density",
    label="Where training looks: CCE at examples with p_y near 0, MAE at 1/2, DM wherever it is told to.",
    source="Talk, slide 21",
    rows=emphasis_rows,
    columns=("p", "density", "method"),
)
def emphasis_density(df: pd.DataFrame) -> Figure:
    """Draw h(p) = w(p) / integral of w; a grid of one method has a panel for each value of its last knob."""
    rows = table("emphasis_density", df)
    looks = styles(rows["method"])
    panels = _grid_panels(list(looks))
    columns = min(3, len(panels))
    chart, axes = canvas(-(-len(panels) // columns), columns, _panel_size(len(panels)), sharex=True, sharey=True)
    for ax, (title, specs) in zip(axes, panels.items(), strict=False):
        ax.set_title(title, fontsize=9)
        _curves(ax, rows[rows["method"].isin(specs)], "density", looks)
        ax.set(xlabel="$p_y$, probability of the given label", ylabel="emphasis density $h(p)$")
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    chart.suptitle("Emphasis density; the marker is the emphasis mode $\\psi$", fontsize=11)
    return chart


@FIGURES.register(
    "learning_curves",
    label="CCE reaches its best test accuracy early and loses it again; robust methods keep theirs.",
    source="Talk, slide 11",
    rows="runs",
    columns=(*RUN, "test_acc"),
)
def learning_curves(df: pd.DataFrame) -> Figure:
    """Draw test accuracy over epochs, a panel a method with CCE behind it and the clean reference dashed."""
    noisy, clean = _split(table("learning_curves", df))
    chart, panels, cell = multiples(order(noisy["method"]), "epoch", "test accuracy (%)")
    lines, reference = _over_seeds(noisy, "test_acc"), _over_seeds(clean, "test_acc")
    for spec, ax in panels.items():
        if "cce" in panels and spec != "cce":
            ax.plot(lines.loc["cce"]["mean"], color=BACKDROP, linewidth=1.2)
        if len(reference):
            ax.plot(reference.loc["cce"]["mean"], color=CLEAN.color, linestyle=CLEAN.linestyle, linewidth=0.9)
        _band(ax, lines.loc[spec], style(spec), f"{spec}/test_acc")
        _best_and_last(ax, lines.loc[spec]["mean"], style(spec))
    _accuracy_limits(next(iter(panels.values())), lines["mean"])
    look = Style(INK, "-", "")
    handles = [("method of the panel:\nmean, range over seeds", sample(look, linewidth=1.6))]
    handles += [("best epoch of the mean", sample(Style(INK, "", ""), marker="o", markerfacecolor="white"))]
    handles += [("last epoch", sample(Style(INK, "", ""), marker="o"))]
    handles += [("CCE, for comparison", sample(Style(BACKDROP, "-", "")))] * ("cce" in panels)
    handles += [("CCE on clean labels", sample(CLEAN))] * bool(len(reference))
    key(cell, handles)
    chart.suptitle(f"Test accuracy during training, label noise {_noise(noisy)}", fontsize=11)
    return chart


@FIGURES.register(
    "p_y_dynamics",
    label="Every method comes to believe clean labels; what differs is how far it comes to believe wrong ones.",
    source="Talk, slide 11",
    rows="runs",
    columns=(*RUN, "p_clean", "p_wrong"),
)
def p_y_dynamics(df: pd.DataFrame) -> Figure:
    """Draw the average p_y of the clean and of the mislabelled training examples over epochs."""
    return _subsets(
        "p_y_dynamics", df, ("p_clean", "p_wrong"), 1, "average $p_y$", "Average probability of the given label"
    )


@FIGURES.register(
    "entropy",
    label="Robustness does not need high entropy: LS and CP raise it on all examples, the others lower it.",
    source="Talk, slide 38",
    rows="runs",
    columns=(*RUN, "entropy_clean", "entropy_wrong"),
)
def entropy(df: pd.DataFrame) -> Figure:
    """Draw the normalised entropy H(p) / log C of the clean and of the mislabelled subset over epochs."""
    return _subsets(
        "entropy", df, ("entropy_clean", "entropy_wrong"), 1, "normalised entropy", "Entropy of the prediction"
    )


@FIGURES.register(
    "fitting",
    label="On wrong labels CCE fits what is written; robust methods predict the true class instead.",
    source="Talk, slides 36 and 37",
    rows="runs",
    columns=(*RUN, "clean_acc", "fit_wrong", "corrected"),
)
def fitting(df: pd.DataFrame) -> Figure:
    """Draw the shares of clean labels fitted, wrong labels fitted, and wrong labels corrected over epochs."""
    noisy, _ = _split(table("fitting", df))
    looks = styles(noisy["method"])
    titles = {"clean_acc": "Clean labels fitted", "fit_wrong": "Wrong labels fitted", "corrected": "Wrong labels corrected"}
    wholes = {"clean_acc": "clean subset", "fit_wrong": "mislabelled subset", "corrected": "mislabelled subset"}
    chart, axes = canvas(1, 3, (13.5, 4.4), sharex=True)
    for ax, (column, title) in zip(axes, titles.items(), strict=True):
        means = _over_seeds(noisy, column)["mean"]
        for spec, look in looks.items():
            ax.plot(means[spec], color=look.color, linestyle=look.linestyle, linewidth=1.4, gid=f"{spec}/{column}")
        ax.set_title(title, fontsize=10)
        ax.set(xlabel="epoch", ylabel=f"share of the {wholes[column]} (%)", ylim=_limits(means))
        finals = {spec: means[spec].dropna().iloc[-1:] for spec in looks}
        ends = [(f"{label(s)}  {v.iloc[0]:.0f}", v.index[0], v.iloc[0], looks[s].color) for s, v in finals.items() if len(v)]
        end_labels(ax, ends, 3.5)
        _say_if_empty(ax, means)
    chart.suptitle(f"What each method fits, label noise {_noise(noisy)}, mean over seeds", fontsize=11)
    return chart


@FIGURES.register(
    "headline",
    label="Under label noise the last epoch tells methods apart; their best epochs are much closer together.",
    source="DM, Table 9, in this setting",
    rows="runs",
    columns=(*RUN, "test_acc"),
)
def headline(df: pd.DataFrame) -> Figure:
    """Draw each method's best (oracle) and last test accuracy, a small dot a seed, sorted by the last."""
    noisy, clean = _split(table("headline", df))
    ends = _endings(noisy)
    means = ends.groupby("method")[["best", "last"]].mean().sort_values("last")
    chart, (ax,) = canvas(1, 1, (7.6, 0.36 * len(means) + 1.5))
    for place, (spec, row) in enumerate(means.iterrows()):
        look, seeds = style(str(spec)), ends.loc[ends["method"] == spec, "last"]
        ax.plot([row["last"], row["best"]], [place, place], color=look.color, linewidth=1.6, alpha=0.6)
        ax.plot(seeds, [place - 0.28] * len(seeds), ".", color=look.color, markersize=4, gid=f"{spec}/seeds")
        ax.plot(row["best"], place, "o", color=look.color, markerfacecolor="white", markersize=7, gid=f"{spec}/best")
        ax.plot(row["last"], place, "o", color=look.color, markersize=8, gid=f"{spec}/last")
        ax.annotate(f"{row['last']:.1f}", (row["last"], place), (-8, 0), textcoords="offset points", ha="right", va="center", fontsize=8)
    ax.set_yticks(range(len(means)), [label(str(spec)) for spec in means.index], fontsize=9)
    ax.set(xlabel="test accuracy (%)", ylabel="method")
    look = Style(INK, "", "")
    handles = [("last epoch", sample(look, marker="o", markersize=8))]
    handles += [("best epoch (oracle)", sample(look, marker="o", markerfacecolor="white", markersize=7))]
    handles += [("a seed's last epoch", sample(look, marker=".", markersize=4))]
    if len(clean):
        ax.axvline(_endings(clean)["last"].mean(), color=CLEAN.color, linestyle=CLEAN.linestyle, linewidth=1, gid="clean")
        handles += [("CCE on clean labels", sample(CLEAN))]
    key(ax, handles, loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=len(handles), handlelength=1.6)
    chart.suptitle(f"Test accuracy, label noise {_noise(noisy)}", fontsize=11)
    return chart


def last_histograms(df: pd.DataFrame) -> pd.DataFrame:
    """Return the last epoch of each run of p_y histograms, without the runs on clean labels if others are there."""
    rows = _columns("p_y_histograms", df, ("epoch", "subset", "p", "count", "run_id", "method"))
    rows = rows[rows["epoch"] == rows.groupby("run_id")["epoch"].transform("max")]
    wrong = rows["count"].where(rows["subset"] == "wrong", 0).groupby(rows["run_id"]).transform("sum")
    return rows[wrong > 0] if (wrong > 0).any() else rows


@FIGURES.register(
    "p_y_histograms",
    label="At the end CCE has memorised many wrong labels (p_y near 1); DM and GCE leave nearly all of them near 0.",
    source="DM, Figure 3, in this setting",
    rows="p_y",
    prepare=last_histograms,
    columns=("epoch", "subset", "p", "count", "run_id", "method"),
)
def p_y_histograms(df: pd.DataFrame) -> Figure:
    """Draw how many clean and wrong labels have which p_y after the last epoch, mean over runs, a panel a method."""
    rows = table("p_y_histograms", df)
    runs = rows.groupby("method")["run_id"].nunique()
    counts = rows.groupby(["method", "subset", "p"])["count"].sum()
    chart, panels, cell = multiples(order(rows["method"]), "$p_y$ of the given label", "examples in a bin")
    for spec, ax in panels.items():
        for subset, color, filled in (("clean", INK, False), ("wrong", style(spec).color, True)):
            bins = counts[spec][subset] / runs[spec]
            width = 1.0 / len(bins)
            edges = np.append(bins.index - width / 2, 1.0)
            ax.stairs(bins, edges, color=color, fill=filled, alpha=0.75 if filled else 1, gid=f"{spec}/{subset}")
        wrong = counts[spec]["wrong"]
        if wrong.sum():
            share = wrong[wrong.index > 0.5].sum() / wrong.sum()
            ax.text(0.5, 0.93, f"{share:.0%} of wrong\nabove 1/2", transform=ax.transAxes, fontsize=8, ha="center", va="top")
        ax.set_yscale("symlog", linthresh=1)
    handles = [("clean labels", Patch(facecolor="none", edgecolor=INK)), ("wrong labels", Patch(color="0.5"))]
    key(cell, handles)
    chart.suptitle("Probability of the given label after the last epoch", fontsize=11)
    return chart


def trust_rows(df: pd.DataFrame) -> pd.DataFrame:
    """Return trust as columns kind, x, series, trust: g(t) for B = 8 ... 16, l(p) for three C, and as measured.

    df: run rows; x is the progress t/T, or max p with the rest shared alike. Source: Talk, eq. 6.
    """
    if "kind" in df:
        return df
    runs, _ = _split(_columns("trust", df, (*RUN, "progress", "trust")))
    used = runs[runs["trust"].groupby(runs["method"]).transform("max") > 0]
    parts = [_trust("time", POINTS, f"B = {B}", [global_trust(x, B=B) for x in POINTS]) for B in (8, 10, 12, 14, 16)]
    for count in (2, 10, 100):
        top = np.linspace(1 / count, 1.0, 101)
        parts.append(_trust("confidence", top, f"C = {count}", local_trust(logits_at(top, count)).numpy()))
    for spec in order(used["method"]):
        mean = used[used["method"] == spec].groupby("progress")["trust"].mean()
        parts.append(_trust("measured", mean.index, spec, mean.to_numpy()))
    return pd.concat(parts, ignore_index=True)


@FIGURES.register(
    "trust",
    label="ProSelfLC trusts the learner late and where it is confident; bootstrapping trusts it the same always.",
    source="Talk, slides 34 and 35",
    rows="runs",
    prepare=trust_rows,
    columns=("kind", "x", "series", "trust"),
)
def trust(df: pd.DataFrame) -> Figure:
    """Draw global trust over time, local trust over confidence, and the average trust that runs had."""
    rows = table("trust", df)
    chart, axes = canvas(1, 3, (12.5, 3.5), sharey=True)
    titles = {"time": "In time: $g(t)$", "confidence": "In confidence: $l(p)$", "measured": "Measured: average of $g(t)\\,l(p)$"}
    axis = {"confidence": "largest probability of $p$, the rest alike"}
    for ax, (kind, title) in zip(axes, titles.items(), strict=True):
        part = rows[rows["kind"] == kind]
        names = list(dict.fromkeys(part["series"]))
        looks = styles(names) if kind == "measured" else _greys(names)
        for name, look in looks.items():
            line = part[part["series"] == name]
            words = label(name) if kind == "measured" else name
            ax.plot(line["x"], line["trust"], color=look.color, linestyle=look.linestyle, label=words, gid=f"{kind}/{name}")
        ax.set_title(title, fontsize=10)
        ax.set(xlabel=axis.get(kind, "training progress $t/T$"), ylabel="trust in the learner", ylim=(-0.02, 1.02))
        if names:
            ax.legend(frameon=False, fontsize=8, loc="upper left", handlelength=2.8)
        _say_if_empty(ax, part["trust"], "no method here trusts the learner")
    return chart


def target_rows(progress: float = 0.9) -> pd.DataFrame:
    """Return an example's label, the learner's p, and the target of each method at ``progress``.

    Three classes; the given one is wrong and the learner believes the true one. Columns method, klass,
    probability, given.
    """
    like = logits_at([0.5], len(CLASSES))
    learner, given = like.new_tensor([[0.12, 0.80, 0.08]]), like.new_tensor([[1.0, 0.0, 0.0]])
    rows = {"label": given, "learner": learner}
    for spec in map(METHODS.parse, TARGETS):
        rows[str(spec)] = spec.entry.function(given, learner.log(), progress=progress, **spec.knobs)
    frames = [
        pd.DataFrame({"method": name, "klass": CLASSES, "probability": target[0].numpy(), "given": given[0].bool().numpy()})
        for name, target in rows.items()
    ]
    return pd.concat(frames, ignore_index=True)


@FIGURES.register(
    "targets",
    label="LS and CP change how sure a target is, label correction changes what it says.",
    source="Talk, slides 28 and 29",
    rows=target_rows,
    columns=("method", "klass", "probability", "given"),
)
def targets(df: pd.DataFrame) -> Figure:
    """Draw the target of each method as bars, the given class hatched, the largest in the method's colour."""
    rows = table("targets", df)
    names = list(dict.fromkeys(rows["method"]))
    chart, axes = canvas(1, len(names), (1.75 * len(names), 2.9), sharey=True)
    words = {"label": "label $q$", "learner": "learner's $p$"}
    for ax, name in zip(axes, names, strict=True):
        part = rows[rows["method"] == name].reset_index(drop=True)
        color = INK if name in words else style(name).color
        top = part["probability"] == part["probability"].max()
        bars = ax.bar(part["klass"], part["probability"], color=[color if t else "0.8" for t in top])
        for bar, given in zip(bars, part["given"], strict=True):
            bar.set_hatch("///" if given else "")
            bar.set_edgecolor("white")
        ax.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
        ax.set_title(words.get(name) or label(name).replace(" (", "\n("), fontsize=9, color=color)
        ax.set_xlabel("class", fontsize=9)
        ax.axhline(0, color="0.4", linewidth=0.8)
    axes[0].set_ylabel("target probability", fontsize=9)
    axes[0].set_ylim(rows["probability"].min() - 0.12 * (rows["probability"].min() < 0), 1.12)
    return chart


def _columns(name: str, df: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    missing = [column for column in columns if column not in df]
    if missing:
        raise ValueError(f"figure {name!r} reads the column {missing[0]!r}, found {', '.join(map(str, df.columns))}")
    if df.empty:
        raise ValueError(f"figure {name!r} needs rows, and there are none")
    for field in ALIKE:
        found = sorted(set(df[field]) - {"none"}) if field in df else []
        if len(found) > 1:
            raise ValueError(f"figure {name!r} shows one {field}, found {', '.join(map(str, found))}: choose one")
    return df.loc[:, list(columns)]


def _split(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows under label noise (all, where there is none) and those of CCE on clean labels."""
    clean = rows["noise"] == "none"
    return (rows if clean.all() else rows[~clean]), rows[clean & (rows["method"] == "cce")]


def _noise(rows: pd.DataFrame) -> str:
    return str(rows["noise"].iloc[0])


def _over_seeds(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return mean, min and max over seeds in per cent, by (method, epoch)."""
    return 100 * rows.groupby(["method", "epoch"])[column].agg(["mean", "min", "max"])


def _endings(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a run: its method, best and last test accuracy in per cent."""
    runs = rows.sort_values("epoch").groupby("run_id")
    percent = 100 * runs["test_acc"].agg(best="max", last="last")
    return percent.assign(method=runs["method"].first())


def _subsets(name: str, df: pd.DataFrame, columns: tuple[str, str], top: float, ylabel: str, title: str) -> Figure:
    """Draw the clean subset in grey and the mislabelled one in the method's colour, a panel a method."""
    noisy, _ = _split(table(name, df))
    clean, wrong = (_over_seeds(noisy, column) / 100 for column in columns)
    chart, panels, cell = multiples(order(noisy["method"]), "epoch", ylabel)
    for spec, ax in panels.items():
        _band(ax, clean.loc[spec], Style(INK, DASHED, ""), f"{spec}/{columns[0]}", width=1.2)
        _band(ax, wrong.loc[spec], Style(style(spec).color, "-", ""), f"{spec}/{columns[1]}", width=2)
        ax.set_ylim(-0.02 * top, 1.02 * top)
    handles = [("clean labels", sample(Style(INK, DASHED, ""), linewidth=1.2))]
    handles += [("wrong labels,\nin the method's colour", sample(Style("0.5", "-", ""), linewidth=2))]
    handles += [("range over seeds", Patch(color="0.85"))]
    key(cell, handles)
    chart.suptitle(f"{title}, label noise {_noise(noisy)}", fontsize=11)
    return chart


def _band(ax: Axes, line: pd.DataFrame, look: Style, gid: str, width: float = 1.6) -> None:
    ax.fill_between(line.index, line["min"], line["max"], color=look.color, alpha=0.2, linewidth=0)
    ax.plot(line["mean"], color=look.color, linestyle=look.linestyle, linewidth=width, gid=gid)


def _best_and_last(ax: Axes, mean: pd.Series, look: Style) -> None:
    best, last = mean.idxmax(), mean.index[-1]
    ax.plot(best, mean[best], "o", color=look.color, markerfacecolor="white", markersize=5)
    ax.plot(last, mean[last], "o", color=look.color, markersize=5)
    words = f"{mean[best]:.0f} $\\rightarrow$ {mean[last]:.0f}"
    ax.text(0.97, 0.06, words, transform=ax.transAxes, ha="right", fontsize=9, fontweight="bold", color=look.color)


def _curves(ax: Axes, rows: pd.DataFrame, column: str, looks: dict[str, Style]) -> None:
    """Draw a curve over p a method, its peak marked."""
    for spec in (spec for spec in looks if spec in set(rows["method"])):
        line, look = rows[rows["method"] == spec], looks[spec]
        peak = line.loc[line[column].idxmax()]
        words = f"{label(spec)}, $\\psi$ = {peak['p']:.2f}"
        ax.plot(line["p"], line[column], color=look.color, linestyle=look.linestyle, label=words, gid=f"{spec}/{column}")
        ax.plot(peak["p"], peak[column], look.marker, color=look.color, markersize=6, clip_on=False)
    ax.legend(frameon=False, fontsize=8, handlelength=2.8)


def _grid_panels(specs: list[str]) -> dict[str, list[str]]:
    """Group specs by panel: the single ones together, four or more of one method by the value of its last knob."""
    names = [METHODS.parse(spec).name for spec in specs]
    panels: dict[str, list[str]] = {}
    for spec, name in zip(specs, names, strict=True):
        parsed = METHODS.parse(spec)
        knob, value = (list(parsed.values.items()) or [("", 0)])[-1]
        title = f"{parsed.entry.label}, {knob} = {value:g}" if names.count(name) > 3 else ""
        panels.setdefault(title, []).append(spec)
    return panels


def _panel_size(count: int) -> tuple[float, float]:
    return (6.6, 3.8) if count == 1 else (4.2 * min(3, count), 3.2 * -(-count // 3) + 0.4)


def _accuracy_limits(ax: Axes, means: pd.Series) -> None:
    ax.set_ylim(max(0.0, 5 * np.floor(means.groupby("method").max().min() / 5) - 35), 101)


def _limits(values: pd.Series) -> tuple[float, float]:
    top = values.max() if values.notna().any() else 100.0
    return 0.0, min(101.0, 1.08 * top + 1)


def _say_if_empty(ax: Axes, values: pd.Series, words: str = "no label is wrong") -> None:
    if not values.notna().any():
        ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", fontsize=9, color=INK)


def _greys(names: Sequence[str]) -> dict[str, Style]:
    shades = np.linspace(0.65, 0.0, len(names)) if len(names) > 1 else [0.0]
    return {name: Style(f"{shade:.2f}", "-", "") for name, shade in zip(names, shades, strict=True)}


def _trust(kind: str, x: Any, series: str, values: Any) -> pd.DataFrame:
    return pd.DataFrame({"kind": kind, "x": x, "series": series, "trust": values})
