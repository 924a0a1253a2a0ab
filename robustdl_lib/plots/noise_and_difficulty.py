"""The figure of noise against difficulty: which examples are hard, and where it pays to look when labels are wrong."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustdl_lib.plots.style import DASHED, DOTTED, INK, Style, canvas, end_labels, key, labels, sample, style
from robustdl_lib.registry import FIGURES
from robustdl_lib.report import emphasis_modes
from robustdl_lib.runs import sweeps

COLUMNS = (
    *("kind", "by", "rate", "wrong", "lam", "beta", "psi", "seed", "val", "last", "low", "high", "published"),
    *("method", "epoch", "p_clean", "p_wrong", "test_acc"),
)
SHADES = ("#fdae61", "#f46d43", "#d73027", "#a50026", "#4d0013")
MARKS = ("o", "s", "^", "D", "v")
CHOICES = {
    "val": ("chosen on clean validation", Style("#0072b2", "-", "o")),
    "last": ("oracle: chosen on test", Style("#009e73", DASHED, "s")),
}
TICKS = {0.0: "0", 1 / 3: "1/3", 1 / 2: "1/2", 2 / 3: "2/3"}


def figure_rows(found: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return what the figure draws, told apart by ``kind``; ``found`` as of
    :func:`~robustdl_lib.report.emphasis_modes.readings`, by default the committed.

    curve: p_y and test accuracy over the epochs of CCE and DM under 40 % noise, means over seeds, from the runs of the
    figures; try: each run of the sweep; best: the searched beta of each lambda; choice: the mode chosen at each rate,
    ``by`` val and by last. Raises ConfigError where committed rows are missing.
    """
    tried = emphasis_modes.readings(emphasis_modes.rows()) if found is None else found
    seen = sweeps.rows(emphasis_modes.ideal_runs()).groupby(["method", "epoch"], sort=False)
    curves = seen[["p_clean", "p_wrong", "test_acc"]].mean().reset_index()
    parts = {"curve": curves, "try": tried, "best": emphasis_modes.sharpest(tried)}
    frames = [part.assign(kind=kind) for kind, part in parts.items()]
    frames += [emphasis_modes.chosen(tried, by).assign(kind="choice", by=by) for by in ("val", "last")]
    return pd.concat(frames, ignore_index=True).reindex(columns=list(COLUMNS))


@FIGURES.register(
    "noise_and_difficulty",
    label="Wrong labels are the difficult examples; the emphasis mode of DM that suits each rate, beside the talk's.",
    source="Talk, slides 11 and 23",
    rows=figure_rows,
    columns=COLUMNS,
)
def noise_and_difficulty(rows: pd.DataFrame) -> Figure:
    """Draw p_y and test accuracy in time, the last accuracy against psi, and the chosen psi against the noise rate."""
    chart, (beliefs, tests, modes, steps) = canvas(2, 2, (11.4, 8.0))
    curves = rows[rows["kind"] == "curve"]
    _beliefs(beliefs, curves)
    _tests(tests, curves)
    _modes(modes, rows)
    _steps(steps, rows[rows["kind"] == "choice"])
    chart.suptitle("Wrong labels are the difficult examples: where it pays to look, by how many there are", fontsize=11)
    return chart


def _beliefs(ax: Axes, curves: pd.DataFrame) -> None:
    for method, line in curves.groupby("method", sort=False):
        look = style(str(method))
        ax.plot(line["epoch"], line["p_clean"], **look.line(gid=f"{method}/p_clean"))
        ax.plot(line["epoch"], line["p_wrong"], **{**look.line(), "linestyle": DOTTED, "gid": f"{method}/p_wrong"})
    _title(ax, "1. Noisy examples are believed less (40 % wrong)")
    ax.set(xlabel="epoch", ylabel="average $p_y$ of the given label", ylim=(-0.02, 1.02))
    methods = list(dict.fromkeys(curves["method"]))
    words = labels(methods)
    handles = [sample(words[method], color=style(method).color, linewidth=2) for method in methods]
    handles += [sample("label right", color=INK), sample("label wrong", color=INK, linestyle=DOTTED)]
    key(ax, handles, loc="upper left", fontsize=8)


def _tests(ax: Axes, curves: pd.DataFrame) -> None:
    for method, line in curves.groupby("method", sort=False):
        ax.plot(
            line["epoch"],
            100 * line["test_acc"],
            **{**style(str(method)).line(), "linestyle": "-", "gid": f"{method}/test"},
        )
    _title(ax, "2. Who looks at them, learns them by heart")
    ax.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(0, 102))


def _modes(ax: Axes, rows: pd.DataFrame) -> None:
    best, tries = rows[rows["kind"] == "best"], rows[(rows["kind"] == "try") & rows["psi"].notna()]
    ends = []
    for turn, (rate, line) in enumerate(best.groupby("rate")):
        look = Style(SHADES[turn % len(SHADES)], "-", MARKS[turn % len(MARKS)])
        ax.plot(line["psi"], line["last"], **look.line(marker=look.marker, markersize=6, gid=f"{rate:g}/best"))
        mine = tries[tries["rate"] == rate]
        ax.plot(mine["psi"], mine["last"], **look.dot(marker=".", markersize=5, alpha=0.45, gid=f"{rate:g}/tries"))
        top = line.loc[line["last"].idxmax()]
        ax.plot(
            [top["psi"]],
            [top["last"]],
            **look.dot(marker="o", markersize=13, markerfacecolor="none", gid=f"{rate:g}/top"),
        )
        wrong = mine["wrong"].mean()
        ends.append((f"{100 * wrong:.0f} % wrong", line["psi"].iloc[-1], line["last"].iloc[-1], look.color))
    _title(ax, "3. Last test accuracy by emphasis mode (ring: best)")
    ax.set(xlabel="emphasis mode $\\psi$ of DM", ylabel="test accuracy after the last epoch (%)")
    ax.set_ylim(min(rows["last"].min() - 3, 60), 102)
    _ticks(ax, "x")
    end_labels(ax, ends, 3.2)


def _steps(ax: Axes, choices: pd.DataFrame) -> None:
    shown = choices[choices["by"] == "val"]
    ax.plot(
        shown["rate"],
        shown["published"],
        **Style(INK, DASHED).line(drawstyle="steps-mid", linewidth=1.2, gid="published"),
    )
    for shift, (by, (_, look)) in zip((-0.006, 0.006), CHOICES.items(), strict=True):
        line = choices[choices["by"] == by]
        ax.vlines(
            line["wrong"] + shift,
            line["low"],
            line["high"],
            color=look.color,
            alpha=0.3,
            linewidth=6,
            gid=f"{by}/close",
        )
        ax.plot(line["wrong"] + shift, line["psi"], **look.line(marker=look.marker, markersize=7, gid=f"{by}/psi"))
    _title(ax, "4. The best mode against the noise rate")
    ax.set(xlabel="share of the labels that is wrong", ylabel="emphasis mode $\\psi$", ylim=(-0.05, 0.95))
    _ticks(ax, "y")
    handles: list[tuple[str, Any]] = [sample("talk, slide 23 (CIFAR-10)", **Style(INK, DASHED).line())]
    handles += [sample(words, **look.line(marker=look.marker)) for words, look in CHOICES.values()]
    handles += [sample("as good within 2 points", color=INK, alpha=0.3, linewidth=6)]
    key(ax, handles, loc="upper left", fontsize=8, ncols=2)


def _ticks(ax: Axes, side: str) -> None:
    axis = ax.xaxis if side == "x" else ax.yaxis
    axis.set_ticks(list(TICKS), list(TICKS.values()))


def _title(ax: Axes, words: str) -> None:
    ax.set_title(words, fontsize=10, fontweight="bold", loc="left")
