"""Figures of training: accuracy, what is fitted, p_y, entropy and trust over the epochs of runs."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from robustdl_lib.plots.rows import HISTOGRAM, RUN, endings, last_histograms, over_seeds, split, trust_rows
from robustdl_lib.plots.style import (
    BACKDROP,
    CLEAN,
    DASHED,
    INK,
    PLAIN,
    Style,
    band,
    best_and_last,
    bins,
    canvas,
    end_labels,
    key,
    labels,
    multiples,
    order,
    sample,
    say_if_empty,
    style,
    styles,
)
from robustdl_lib.registry import FIGURES

FITS = {
    "clean_acc": ("Clean labels fitted", "share of the clean subset (%)"),
    "fit_wrong": ("Wrong labels fitted", "share of the mislabelled subset (%)"),
    "corrected": ("Wrong labels corrected", "share of the mislabelled subset (%)"),
}
TRUSTS = {
    "time": ("In time: $g(t)$", "training progress $t/T$"),
    "confidence": ("In confidence: $l(p)$", "largest probability in $p$, the rest alike"),
    "measured": ("Measured: average over the training set", "training progress $t/T$"),
}


@FIGURES.register(
    "learning_curves",
    label="Test accuracy in time: a method that memorises wrong labels is best early and falls from there.",
    source="Talk, slide 11",
    rows="runs",
    columns=(*RUN, "test_acc"),
)
def learning_curves(rows: pd.DataFrame) -> Figure:
    """Draw test accuracy over epochs, a panel a method with CCE behind it and the clean reference dashed."""
    noisy, clean = split(rows)
    chart, panels, cell = multiples(order(noisy["method"]), "epoch", "test accuracy (%)")
    lines, ideal = over_seeds(noisy, "test_acc"), over_seeds(clean, "test_acc")
    for spec, ax in panels.items():
        if "cce" in panels and spec != "cce":
            ax.plot(lines.loc["cce"]["mean"], **BACKDROP.line(linewidth=1.2))
        if len(ideal):
            ax.plot(ideal.loc["cce"]["mean"], **CLEAN.line(linewidth=0.9, gid="clean/test_acc"))
        band(ax, lines.loc[spec], style(spec), f"{spec}/test_acc")
        best_and_last(ax, lines.loc[spec]["mean"], style(spec))
    lowest = lines["mean"].groupby("method").max().min()
    next(iter(panels.values())).set_ylim(max(0.0, 5 * np.floor(lowest / 5) - 35), 101)
    handles = [sample("method of the panel:\nmean, range over seeds", **PLAIN.line(linewidth=1.6))]
    handles += [sample("best epoch of the mean", **PLAIN.dot(hollow=True)), sample("last epoch", **PLAIN.dot())]
    handles += [sample("CCE, for comparison", **BACKDROP.line())] * ("cce" in panels and len(panels) > 1)
    key(cell, handles + [sample("CCE on clean labels", **CLEAN.line())] * bool(len(ideal)))
    chart.suptitle(f"Test accuracy during training, {_noise(noisy)}", fontsize=11)
    return chart


@FIGURES.register(
    "p_y_dynamics",
    label="Average probability of the given label: the clean curve should rise, that of wrong labels should not.",
    source="Talk, slide 11",
    rows="runs",
    columns=(*RUN, "p_clean", "p_wrong"),
)
def p_y_dynamics(rows: pd.DataFrame) -> Figure:
    """Draw the average p_y of the clean and of the mislabelled training examples over epochs."""
    return _subsets(rows, "p", "average $p_y$", "Average probability of the given label")


@FIGURES.register(
    "entropy",
    label="How unsure the network is of clean and of wrong labels: some methods penalise low entropy, some reward it.",
    source="Talk, slide 38",
    rows="runs",
    columns=(*RUN, "entropy_clean", "entropy_wrong"),
)
def entropy(rows: pd.DataFrame) -> Figure:
    """Draw the normalised entropy H(p) / log C of the clean and of the mislabelled subset over epochs."""
    return _subsets(rows, "entropy", "entropy $H(p) / \\log C$", "Entropy of the predictions")


@FIGURES.register(
    "fitting",
    label="What is fitted: clean labels, wrong labels as they are written, and wrong labels as their true class.",
    source="Talk, slides 36 and 37",
    rows="runs",
    columns=(*RUN, *FITS),
)
def fitting(rows: pd.DataFrame) -> Figure:
    """Draw the shares of clean labels fitted, wrong labels fitted, and wrong labels corrected over epochs."""
    noisy, _ = split(rows)
    looks, words = styles(noisy["method"]), labels(noisy["method"])
    chart, axes = canvas(1, 3, (14.4, 4.4), sharex=True)
    chart.set_layout_engine("constrained", wspace=0.05)
    for ax, (column, (title, ylabel)) in zip(axes, FITS.items(), strict=True):
        means = over_seeds(noisy, column)["mean"].dropna()
        top = min(101.0, 1.08 * means.max() + 1) if len(means) else 101.0
        ax.set(xlabel="epoch", ylabel=ylabel, ylim=(0, top))
        ax.set_title(title, fontsize=10, fontweight="bold", loc="left")
        ends = []
        for spec in (spec for spec in looks if spec in means.index.unique("method")):
            line = means[spec]
            ax.plot(line, **looks[spec].line(linewidth=1.4, gid=f"{spec}/{column}"))
            ends.append((f"{words[spec]}  {line.iloc[-1]:.0f}", line.index[-1], line.iloc[-1], looks[spec].color))
        end_labels(ax, ends, height=3.5)
        say_if_empty(ax, len(ends), "no label is wrong")
    chart.suptitle(f"What each method fits, {_noise(noisy)}, mean over seeds", fontsize=11)
    return chart


@FIGURES.register(
    "headline",
    label="Each method's best epoch, which only an oracle finds, and its last: what memorising costs.",
    source="Talk, slide 11; DM, Table 9",
    rows="runs",
    columns=(*RUN, "test_acc"),
)
def headline(rows: pd.DataFrame) -> Figure:
    """Draw each method's best (oracle) and last test accuracy, a small dot a seed, sorted by the last."""
    noisy, clean = split(rows)
    runs, words = endings(noisy), labels(noisy["method"])
    means = runs.groupby("method")[["best", "last"]].mean().sort_values("last")
    chart, (ax,) = canvas(1, 1, (7.6, 0.36 * len(means) + 1.5))
    for place, spec in enumerate(map(str, means.index)):
        _dumbbell(ax, place, spec, means.loc[spec], runs.loc[runs["method"] == spec, "last"])
    ax.set_yticks(range(len(means)), [words[str(spec)] for spec in means.index], fontsize=9)
    ax.set(xlabel="test accuracy (%)", ylabel="method", ylim=(-0.6, len(means) - 0.4))
    handles = [sample("last epoch, mean", **PLAIN.dot(markersize=8))]
    handles += [sample("best epoch (oracle), mean", **PLAIN.dot(hollow=True, markersize=7))]
    handles += [sample("last epoch, a seed", **PLAIN.dot(marker=".", markersize=4))]
    if len(clean):
        ax.axvline(endings(clean)["last"].mean(), **CLEAN.line(linewidth=1, gid="clean/last"))
        handles += [sample("CCE, clean labels", **CLEAN.line())]
    ax.margins(x=0.08)
    key(ax, handles, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=len(handles), handlelength=1.6, fontsize=8)
    chart.suptitle(f"Test accuracy, {_noise(noisy)}", fontsize=11)
    return chart


@FIGURES.register(
    "p_y_histograms",
    label="How probable each given label is in the end: wrong labels with p_y near 1 have been memorised.",
    source="Talk, slide 11, as histograms",
    rows="p_y",
    prepare=last_histograms,
    columns=HISTOGRAM,
)
def p_y_histograms(rows: pd.DataFrame) -> Figure:
    """Draw how many clean and wrong labels have which p_y after the last epoch, mean over runs, a panel a method."""
    runs = rows.groupby("method")["run_id"].nunique()
    counts = rows.groupby(["method", "subset", "p"])["count"].sum()
    chart, panels, cell = multiples(order(rows["method"]), "$p_y$ of the given label", "examples in a bin")
    for spec, ax in panels.items():
        wrong = counts[spec]["wrong"]
        bins(ax, counts[spec]["clean"] / runs[spec], f"{spec}/clean", color=INK)
        bins(ax, wrong / runs[spec], f"{spec}/wrong", color=style(spec).color, fill=True, alpha=0.75)
        share = wrong[wrong.index > 0.5].sum() / max(1, wrong.sum())
        place: dict[str, Any] = {"transform": ax.transAxes, "fontsize": 8, "ha": "center", "va": "top"}
        ax.text(0.5, 0.95, f"{share:.0%} of the wrong\nabove 1/2", **place)
        ax.set_yscale("symlog", linthresh=1)
    handles = [("clean labels", Patch(facecolor="none", edgecolor=INK)), ("wrong labels", Patch(color="0.5"))]
    key(cell, handles, title="mean over seeds", title_fontsize=8.5)
    chart.suptitle("Probability of the given label after the last epoch", fontsize=11)
    return chart


@FIGURES.register(
    "trust",
    label="ProSelfLC trusts the learner late and where it is confident; bootstrapping trusts it the same always.",
    source="Talk, slides 34 and 35",
    rows="runs",
    prepare=trust_rows,
    columns=("kind", "x", "series", "trust"),
)
def trust(rows: pd.DataFrame) -> Figure:
    """Draw global trust over time, local trust over confidence, and the average trust that runs had."""
    chart, axes = canvas(1, 3, (12.5, 3.5), sharey=True)
    for ax, (kind, (title, xlabel)) in zip(axes, TRUSTS.items(), strict=True):
        part = rows[rows["kind"] == kind]
        names = list(dict.fromkeys(part["series"]))
        shades = {name: Style(f"{0.65 - 0.65 * (i + 1) / len(names):.2f}") for i, name in enumerate(names)}
        looks, words = (
            (styles(names), labels(names)) if kind == "measured" else (shades, {name: name for name in names})
        )
        for name, look in looks.items():
            line = part[part["series"] == name]
            ax.plot(line["x"], line["trust"], label=words[name], **look.line(gid=f"{kind}/{name}"))
        ax.set_title(title, fontsize=10, fontweight="bold", loc="left")
        ax.set(xlabel=xlabel, ylabel="trust in the learner", ylim=(-0.02, 1.02))
        say_if_empty(ax, len(names), "no method here trusts the learner")
        if names:
            ax.legend(frameon=False, fontsize=8, loc="upper left", handlelength=2.8)
    return chart


def _noise(rows: pd.DataFrame) -> str:
    return "clean labels" if (found := rows["noise"].iloc[0]) == "none" else f"label noise {found}"


def _subsets(rows: pd.DataFrame, column: str, ylabel: str, title: str) -> Figure:
    """Draw the clean subset in grey and the mislabelled one in the method's colour, a panel a method."""
    noisy, _ = split(rows)
    clean, wrong = (over_seeds(noisy, f"{column}_{subset}", scale=1) for subset in ("clean", "wrong"))
    chart, panels, cell = multiples(order(noisy["method"]), "epoch", ylabel)
    grey = Style(INK, DASHED)
    for spec, ax in panels.items():
        band(ax, clean.loc[spec], grey, f"{spec}/{column}_clean", width=1.2)
        band(ax, wrong.loc[spec], Style(style(spec).color), f"{spec}/{column}_wrong", width=2)
        ax.set_ylim(-0.02, 1.02)
    handles: list[tuple[str, Any]] = [sample("clean labels", **grey.line(linewidth=1.2))]
    handles += [sample("wrong labels,\nin the method's colour", **Style("0.5").line(linewidth=2))]
    key(cell, [*handles, ("range over seeds", Patch(color="0.85"))])
    chart.suptitle(f"{title}, {_noise(noisy)}", fontsize=11)
    return chart


def _dumbbell(ax: Axes, place: int, spec: str, mean: pd.Series, seeds: pd.Series) -> None:
    """Draw one method's row of the headline: a line from the best to the last mean, the seeds beneath."""
    look = style(spec)
    ax.plot(mean[["last", "best"]], [place, place], color=look.color, linewidth=1.6, alpha=0.6)
    ax.plot(seeds, [place - 0.28] * len(seeds), **look.dot(marker=".", markersize=4, gid=f"{spec}/seeds"))
    ax.plot([mean["best"]], [place], **look.dot(hollow=True, markersize=7, gid=f"{spec}/best"))
    ax.plot([mean["last"]], [place], **look.dot(markersize=8, gid=f"{spec}/last"))
    said: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "va": "center", "fontsize": 8}
    ax.annotate(f"{mean['last']:.1f}", (mean["last"], place), (-8, 0), **said)
