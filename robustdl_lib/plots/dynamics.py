"""Figures of training dynamics, as the talk's slides 36 to 38. They are registered as those of ``plots`` are."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustdl_lib.plots.rows import RUN, endings, require, split
from robustdl_lib.plots.style import PLAIN, Style, canvas, key, labels, order, sample, say_if_empty, styles
from robustdl_lib.registry import FIGURES, METHODS
from robustdl_lib.report.dynamics import MEASURED, of_the_talk, published, sure_and_right

PROGRESS = "training progress $t/T$"
PANELS = {
    "clean_acc": ("36 (a)  Correct fitting", "clean subset, fitted (%)"),
    "corrected": ("37 (a)  Semantic class correction", "noisy subset, corrected (%)"),
    "entropy_clean": ("38 (a)  Entropy of the clean subset", "$H(p) / \\log C$ (%)"),
    "fit_wrong": ("36 (b)  Wrong fitting", "noisy subset, fitted (%)"),
    "test_acc": ("37 (b)  Generalisation", "test accuracy (%)"),
    "entropy_wrong": ("38 (b)  Entropy of the noisy subset", "$H(p) / \\log C$ (%)"),
}
"""By column of the rows, in the order of the axes: a slide a column, its two panels one below the other."""
DYNAMICS = ("method", "panel", "source", "progress", "value")
SURE = ("method", "kind", "progress", "sure", "right")
BESIDE = 1.09
"""Where on the axis of progress the published values stand."""


def dynamics_rows(df: pd.DataFrame) -> pd.DataFrame:
    """Return the panels of slides 36 to 38 in per cent, mean over seeds, with the published end of training.

    df: run rows; the talk's five methods are taken, or all where none of them is there. Columns method, panel,
    source (here or published), progress, value. Rows in this form are returned as they are.
    Source: Talk, slides 36 to 38; ProSelfLC (arXiv 2005.03788), Figure 3. Raises ValueError as
    :func:`robustdl_lib.plots.rows.require`.
    """
    if "panel" in df:
        return df
    require("dynamics", df, (*RUN, "progress", *MEASURED))
    noisy, _ = split(df)
    specs = of_the_talk(noisy["method"]) or order(noisy["method"])
    mean = 100 * noisy.groupby(["method", "progress"])[list(MEASURED)].mean()
    here = [_long(mean.loc[[spec]].reset_index(), "here") for spec in specs]
    theirs = published()
    beside = [
        _long(theirs.loc[[METHODS.parse(spec).name]].assign(method=spec, progress=1.0), "published")
        for spec in specs
        if METHODS.parse(spec).name in theirs.index
    ]
    return pd.concat([*here, *beside], ignore_index=True)[list(DYNAMICS)]


@FIGURES.register(
    "dynamics",
    label="What targets do in training: which labels are fitted, which corrected, and how unsure the network is.",
    source="Talk, slides 36 to 38; ProSelfLC, Figure 3",
    rows="runs",
    prepare=dynamics_rows,
    columns=DYNAMICS,
)
def dynamics(rows: pd.DataFrame) -> Figure:
    """Draw the six panels of slides 36 to 38, a slide a column, and beside each the published end of training."""
    looks, words = styles(rows["method"]), labels(rows["method"])
    chart, axes = canvas(2, 3, (13.5, 7.4))
    chart.set_layout_engine("constrained", wspace=0.05, hspace=0.05)
    beside = (rows["source"] == "published").any()
    for ax, (panel, (title, ylabel)) in zip(axes, PANELS.items(), strict=True):
        part = rows[(rows["panel"] == panel) & rows["value"].notna()]
        drawn = [_panel(ax, part, spec, look, panel) for spec, look in looks.items()]
        ax.set_title(title, fontsize=10, fontweight="bold", loc="left")
        ax.set(xlabel=PROGRESS, ylabel=ylabel, xlim=(0, BESIDE + 0.06 if beside else 1.03))
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
        say_if_empty(ax, sum(drawn), "no label is wrong")
        if beside:
            ax.axvspan(1.035, BESIDE + 0.06, color="0.94", linewidth=0, zorder=0)
    handles = [sample(words[spec], **looks[spec].line(marker=looks[spec].marker)) for spec in looks]
    handles += [sample("published, end of training (CIFAR-100)", **PLAIN.dot(hollow=True, marker="D"))] * bool(beside)
    below: dict[str, Any] = {"loc": "outside lower center", "ncols": len(handles), "frameon": False, "fontsize": 9}
    chart.legend([artist for _, artist in handles], [said for said, _ in handles], handlelength=2.8, **below)
    chart.suptitle("Training dynamics in the layout of slides 36 to 38, mean over seeds", fontsize=11)
    return chart


def sure_rows(df: pd.DataFrame) -> pd.DataFrame:
    """Return how sure and how right the network is on wrong labels, and what that is worth on the test set.

    df: run rows. Columns method, kind, progress, sure, right, in per cent: ``best`` is the epoch at which most wrong
    labels are corrected, ``last`` the last one, ``test`` the last one with the test accuracy as right. Rows in this
    form are returned as they are. Raises ValueError as :func:`robustdl_lib.plots.rows.require`.
    """
    if "kind" in df:
        return df
    require("sure_and_right", df, (*RUN, "progress", *MEASURED))
    noisy, _ = split(df)
    found = sure_and_right(noisy)
    wrong = found[(found["subset"] == "wrong") & found["right"].notna()]
    best = wrong.loc[wrong.groupby("method", sort=False)["right"].idxmax()].assign(kind="best")
    last = wrong[wrong["progress"] == wrong["progress"].max()]
    test = last.assign(kind="test", right=last["method"].map(endings(noisy).groupby("method")["last"].mean()))
    return pd.concat([best, last.assign(kind="last"), test], ignore_index=True)[list(SURE)]


@FIGURES.register(
    "sure_and_right",
    label="How sure the network is on wrong labels, beside how often it is right about them and on the test set.",
    source="Talk, slides 33 and 38",
    rows="runs",
    prepare=sure_rows,
    columns=SURE,
    may_be_empty=True,  # clean labels leave no row
)
def confidence(rows: pd.DataFrame) -> Figure:
    """Draw each method's best and last epoch on wrong labels, sure against right, and its test accuracy."""
    looks, words = styles(rows["method"]), labels(rows["method"])
    chart, axes = canvas(1, 2, (12.6, 5.0))
    points = rows.set_index(["kind", "method"])
    for spec, look in looks.items():
        mark: dict[str, Any] = {"marker": look.marker or "o", "markersize": 9}
        ends = points.loc[[("best", spec), ("last", spec)]]
        axes[0].plot(ends["sure"], ends["right"], **look.line(linewidth=1.3, gid=f"{spec}/way"))
        axes[0].plot(ends["sure"].head(1), ends["right"].head(1), **look.dot(hollow=True, **mark))
        for ax, kind in zip(axes, ("last", "test"), strict=True):
            end = points.loc[[(kind, spec)]]
            ax.plot(end["sure"], end["right"], **look.dot(gid=f"{spec}/{kind}", **mark))
    titles = ("Wrong labels: from the best epoch (hollow) to the last", "The test set, last epoch")
    for ax, title, ylabel in zip(axes, titles, ("wrong labels corrected (%)", "test accuracy (%)"), strict=True):
        ax.set_title(title, fontsize=10, fontweight="bold", loc="left")
        ax.set(xlabel="how sure on wrong labels: $1 - H(p) / \\log C$ (%)", ylabel=ylabel, xlim=(0, 102))
        say_if_empty(ax, len(rows), "no label is wrong")
    handles = [sample(words[spec], **looks[spec].line(marker=looks[spec].marker or "o")) for spec in looks]
    if handles:
        key(axes[1], handles, bbox_to_anchor=(1.01, 0.5))
    chart.suptitle("Is a confident network right? Mean over seeds", fontsize=11)
    return chart


def _long(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return a row a panel of a table with a column a panel."""
    long = table.melt(["method", "progress"], list(PANELS), var_name="panel", value_name="value")
    return long.assign(source=source)


def _panel(ax: Axes, part: pd.DataFrame, spec: str, look: Style, panel: str) -> int:
    """Draw a method's line and its published end; return how many points the line has."""
    mine = part[part["method"] == spec]
    line, theirs = mine[mine["source"] == "here"], mine[mine["source"] == "published"]
    ax.plot(line["progress"], line["value"], **look.line(linewidth=1.5, gid=f"{spec}/{panel}"))
    ax.plot(line["progress"].tail(1), line["value"].tail(1), **look.dot(marker=look.marker or "o", markersize=6))
    gid = f"{spec}/{panel}/published"
    ax.plot([BESIDE] * len(theirs), theirs["value"], **look.dot(hollow=True, marker="D", markersize=6, gid=gid))
    return len(line)
