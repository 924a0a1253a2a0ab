"""Figures of the lens: one method beside cross entropy, and an atlas of all. Registered as those of ``plots`` are."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustdl_lib.frames import require
from robustdl_lib.lens import atlas_rows, lens_rows
from robustdl_lib.registry import FIGURES
from robustdl_lib.style import BACKDROP, PLAIN, Style, canvas, key, labels, multiples, order, sample, style

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
    "lens",
    label="A method under the lens, cross entropy behind it: loss, influence, weight and emphasis density.",
    source="Talk, eq. 1 to 5; Hampel et al. 1986",
    rows=lens_rows,
    columns=LENS,
)
def lens(df: pd.DataFrame) -> Figure:
    """Draw four curves over p_y of the first method of the rows, with those of CCE in grey behind them."""
    rows = require("lens", df, LENS)
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
def atlas(df: pd.DataFrame) -> Figure:
    """Draw a small panel for each method with its emphasis density, CCE behind it and the mode marked."""
    rows = require("atlas", df, ATLAS)
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
