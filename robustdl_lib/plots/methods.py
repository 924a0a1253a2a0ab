"""Figures of methods: weight, emphasis density, targets, the lens on one method, and an atlas of all."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustdl_lib.plots.rows import emphasis_panels, emphasis_rows, target_rows, weight_rows, with_method
from robustdl_lib.plots.style import (
    BACKDROP,
    INK,
    PLAIN,
    Style,
    canvas,
    curves,
    key,
    labels,
    multiples,
    order,
    sample,
    style,
    styles,
)
from robustdl_lib.registry import FIGURES, METHODS
from robustdl_lib.theory.method_card import atlas_rows, lens_rows

P_Y = "$p_y$, probability of the given label"
PANELS = {
    "loss": ("Loss", "$L(p_y)$"),
    "influence": ("Influence of the residual $1 - p_y$", "$\\psi = dL/d(1 - p_y)$"),
    "weight": ("Weight", "$w$, L1 norm of the logit derivative"),
    "density": ("Emphasis density (marker: mode)", "$h(p_y)$"),
}
LENS = ("method", "panel", "p", "value")
ATLAS = ("method", "p", "density", "mode")


@FIGURES.register(
    "weight_curves",
    label="A loss is a weighting: it decides at which p_y an example counts most, and by how much.",
    source="Talk, eq. 3 and 4",
    rows=weight_rows,
    columns=("p", "weight", "method"),
    prepare=with_method,
)
def weight_curves(rows: pd.DataFrame) -> Figure:
    """Draw the weight w(p); methods that are a weighting have a panel of their own."""
    roles = {spec: METHODS.parse(spec).entry.facts.role for spec in set(rows["method"])}
    weighting = rows["method"].map(roles) == "weight"
    parts = [part for part in (rows[~weighting], rows[weighting]) if len(part)]
    chart, axes = canvas(1, len(parts), (5.0 * len(parts), 4.3))
    for ax, part in zip(axes, parts, strict=True):
        curves(ax, part, "weight", styles(part["method"]))
        ax.set(xlabel=P_Y, ylabel="weight $w$, L1 norm of the logit derivative")
        # Weightings are exponentials that never reach 0; losses do, where a logarithm has no end.
        wide = part["weight"].max() > 30 * part["weight"].min()
        ax.set_yscale("log" if wide and weighting[part.index].all() else "linear")
    chart.suptitle(
        "How much an example counts, by the probability of its label (marker: emphasis mode $\\psi$)", fontsize=11
    )
    return chart


@FIGURES.register(
    "emphasis_density",
    label="Where training looks: CCE at examples with p_y near 0, MAE at 1/2, DM wherever it is told to.",
    source="Talk, slide 21",
    rows=emphasis_rows,
    columns=("p", "density", "method"),
    prepare=with_method,
)
def emphasis_density(rows: pd.DataFrame) -> Figure:
    """Draw the emphasis density h(p); a grid of one method has a panel for each value of its last knob."""
    looks = styles(rows["method"])
    panels = emphasis_panels(list(looks))
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    size = (6.8, 4.5) if len(panels) == 1 else (4.0 * across, 4.1 * down + 0.3)
    chart, axes = canvas(down, across, size, sharex=True, sharey=True)
    for ax, (title, specs) in zip(axes, panels.items(), strict=False):
        among = looks if len(panels) == 1 else styles(specs)
        curves(ax, rows[rows["method"].isin(specs)], "density", among, columns=2 if len(panels) == 1 else 1)
        ax.set_title(title, fontsize=9)
        ax.set(xlabel=P_Y, ylabel="emphasis density $h(p)$")
        ax.tick_params(labelbottom=True)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    chart.suptitle("Where the emphasis of training lies (area 1 each; marker: emphasis mode $\\psi$)", fontsize=11)
    return chart


@FIGURES.register(
    "targets",
    label="LS and CP change how sure a target is; label correction can change which class it stands for.",
    source="Talk, slides 28 and 29",
    rows=target_rows,
    columns=("method", "klass", "probability", "given"),
)
def targets(rows: pd.DataFrame) -> Figure:
    """Draw each method's target as bars, the given class hatched, the largest coloured."""
    titles = {"label": "label $q$", "learner": "learner's $p$"}
    specs = [name for name in dict.fromkeys(rows["method"]) if name not in titles]
    titles |= {spec: words.replace(" (", "\n(") for spec, words in labels(specs).items()}
    names = list(dict.fromkeys(rows["method"]))
    chart, axes = canvas(1, len(names), (1.75 * len(names) + 0.4, 3.2), sharey=True)
    for ax, name in zip(axes, names, strict=True):
        color = style(name).color if name in specs else INK
        _bars(ax, rows[rows["method"] == name], color)
        ax.set_title(titles[name], fontsize=9, fontweight="bold", color=color)
    axes[0].set_ylabel("target probability")
    axes[0].set_ylim(min(0.0, 1.6 * rows["probability"].min()), 1.12)
    chart.suptitle(
        "One example and its target: given class hatched, the class that the target stands for coloured", fontsize=11
    )
    return chart


@FIGURES.register(
    "lens",
    label="A method under the lens, cross entropy behind it: loss, influence, weight and emphasis density.",
    source="Talk, eq. 1 to 5; Hampel et al. 1986",
    rows=lens_rows,
    columns=LENS,
)
def lens(rows: pd.DataFrame) -> Figure:
    """Draw four curves over p_y of the first method of the rows, with those of CCE in grey behind them."""
    spec = str(rows["method"].iloc[0])
    chart, axes = canvas(1, 4, (14.4, 3.7))
    for ax, (panel, (title, ylabel)) in zip(axes, PANELS.items(), strict=True):
        drawn = rows[(rows["panel"] == panel) & rows["value"].notna()]
        for name in [name for name in dict.fromkeys(rows["method"]) if name != spec] + [spec]:
            line = drawn[drawn["method"] == name]
            look, width = (Style(style(name).color), 2.2) if name == spec else (BACKDROP, 1.4)
            ax.plot(line["p"], line["value"], **look.line(linewidth=width, gid=f"{name}/{panel}"))
        ax.set_title(title, fontsize=10, fontweight="bold", loc="left")
        ax.set(xlabel=P_Y, ylabel=ylabel, xlim=(-0.02, 1.02), ylim=_limits(drawn, "" if panel == "density" else spec))
        if not (drawn["method"] == spec).any():
            ax.text(0.5, 0.5, "none: the weight is stated", transform=ax.transAxes, ha="center", fontsize=9)
    _mode(axes[3], rows[(rows["panel"] == "density") & (rows["method"] == spec)], spec)
    grey = "" if spec == "cce" else " (in grey: CCE)"
    chart.suptitle(f"{labels([spec])[spec]} under the lens{grey}", fontsize=11)
    return chart


@FIGURES.register(
    "atlas",
    label="Which p_y each method looks at: its emphasis density, the mode marked, over that of cross entropy.",
    source="Talk, eq. 5 and slide 21, for all registered methods",
    rows=atlas_rows,
    columns=ATLAS,
)
def atlas(rows: pd.DataFrame) -> Figure:
    """Draw a small panel for each method with its emphasis density, CCE behind it and the mode marked."""
    chart, panels, cell = multiples(order(rows["method"]), P_Y.split(",")[0], "density $h$", across=6)
    plain = rows[rows["method"] == "cce"]
    for spec, ax in panels.items():
        mine = rows[rows["method"] == spec]
        ax.plot(plain["p"], plain["density"], **BACKDROP.line(linewidth=1.2))
        ax.fill_between(mine["p"], mine["density"], color=style(spec).color, alpha=0.18, linewidth=0)
        ax.plot(mine["p"], mine["density"], **Style(style(spec).color).line(linewidth=1.8, gid=f"{spec}/density"))
        _mode(ax, mine.rename(columns={"density": "value"}), spec, mine["mode"].iloc[0])
        ax.set_ylim(0, 4.2)
    handles = [sample("method of the panel", **PLAIN.line(linewidth=1.8))]
    handles += [sample("emphasis mode", **PLAIN.dot()), sample("CCE, for comparison", **BACKDROP.line())]
    key(cell, handles)
    chart.suptitle("Where each method looks: emphasis density at its defaults", fontsize=11)
    return chart


def _limits(drawn: pd.DataFrame, spec: str) -> tuple[float, float]:
    """Return limits that show the method's curve between p = 0.02 and 0.98, whatever diverges at the ends."""
    inside = drawn[drawn["p"].between(0.02, 0.98)]
    mine = inside.loc[inside["method"] == spec, "value"]
    values = mine if len(mine) else inside["value"]
    low, high = min(0.0, float(values.min())), float(values.max())
    return low - 0.03 * (high - low or 1), high + 0.08 * (high - low or 1)


def _mode(ax: Axes, curve: pd.DataFrame, spec: str, at: float | None = None) -> None:
    """Mark the largest value of a curve that is not flat."""
    if len(curve) and np.ptp(curve["value"]) > 1e-9 * curve["value"].max():
        best = curve.loc[curve["value"].idxmax()]
        place: dict[str, Any] = style(spec).dot(markersize=6, gid=f"{spec}/mode")
        ax.plot([best["p"] if at is None else at], [best["value"]], **place)


def _bars(ax: Axes, part: pd.DataFrame, color: str) -> None:
    largest = np.isclose(part["probability"], part["probability"].max())
    bars = ax.bar(part["klass"], part["probability"], color=np.where(largest, color, "0.8"), edgecolor="white")
    for bar, given in zip(bars, part["given"], strict=True):
        bar.set_hatch("///" if given else "")
    ax.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
    ax.axhline(0, color="0.4", linewidth=0.8)
    ax.set_xlabel("class")
