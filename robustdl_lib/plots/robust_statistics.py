"""The figure of classical robust statistics: loss, influence and emphasis in one frame. Registered as in ``plots``."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray

from robustdl_lib.plots.style import BACKDROP, Style, canvas, end_labels, key, labels, sample, styles
from robustdl_lib.registry import FIGURES, METHODS
from robustdl_lib.theory.m_estimators import statistics_rows

COLUMNS = ("method", "residual", "loss", "influence", "density")
PANELS = {
    "loss": ("Loss", "$\\rho(x)$", 1.2),
    "influence": ("Influence: how hard a residual pulls", "$\\psi(x) = \\rho'(x)$", 2.4),
    "density": ("Emphasis: after the softmax", "$h = 6\\,p_y(1 - p_y)\\,\\psi$", 2.4),
}
LIMITS = {2.0: "L2", 1.0: "Charbonnier", 0.0: "Cauchy", -2.0: "Geman-McClure", -math.inf: "Welsch"}
TICKS = {0.0: "0\nlabel agreed with", 0.5: "0.5", 1.0: "1\ncontradicted"}
HEIGHT = 2.9


@FIGURES.register(
    "robust_statistics",
    label="Through the softmax every influence that grows slower than 1/p_y redescends, here all but that of CCE.",
    source="Barron 2019; Hampel et al. 1986; Talk, eq. 2 and 5",
    rows=statistics_rows,
    columns=COLUMNS,
)
def robust_statistics(rows: pd.DataFrame) -> Figure:
    """Draw loss, influence and emphasis over the residual x = 1 - p_y: Barron's family above, other losses below."""
    groups = _groups(list(rows["method"].unique()))
    chart, axes = canvas(len(groups), 3, (13.2, (HEIGHT + 0.45) * len(groups) + 1.1), sharex=True)
    chart.set_layout_engine("constrained", wspace=0.04, hspace=0.06)
    for place, (title, looks, words) in enumerate(groups):
        across = axes[3 * place : 3 * place + 3]
        for ax, column in zip(across, PANELS, strict=True):
            _panel(ax, rows, looks, column)
        across[0].set_ylabel(f"{title}\n\n{PANELS['loss'][1]}")
        _name(across[1], rows, looks, words)
        _modes(across[2], rows, looks)
    _frame(axes)
    chart.suptitle(
        "What grows slower than $1/p_y$ in statistics redescends in training: the softmax brings the factor "
        "$p_y(1 - p_y)$, and the losses differ in the emphasis mode",
        fontsize=11,
    )
    return chart


def _groups(specs: Sequence[str]) -> list[tuple[str, dict[str, Style], dict[str, str]]]:
    """Return title, looks and words of each row of panels: Barron's family by falling alpha, and the others."""
    knobs = {spec: METHODS.parse(spec).values for spec in specs if METHODS.parse(spec).name == "barron"}
    family = sorted(knobs, key=lambda spec: -knobs[spec]["alpha"])
    others = [spec for spec in specs if spec not in knobs]
    ramp = matplotlib.colormaps["viridis"]
    shades = {spec: Style(to_hex(ramp(0.78 * i / max(1, len(family) - 1)))) for i, spec in enumerate(family)}
    scales = ", ".join(f"{c:g}" for c in sorted({values["c"] for values in knobs.values()}))
    told = {spec: _alpha(knobs[spec]["alpha"]) for spec in family}
    groups = [(f"Barron's family, $c$ = {scales}", shades, told), ("Hampel and losses", styles(others), labels(others))]
    return [group for group in groups if group[1]]


def _alpha(alpha: float) -> str:
    number = "-\\infty" if alpha == -math.inf else f"{alpha:g}"
    return f"$\\alpha = {number}$" + (f"  {LIMITS[alpha]}" if alpha in LIMITS else "")


def _panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, Style], column: str) -> None:
    """Draw one quantity of the methods of a row."""
    ax.set(xlim=(0, 1), ylim=(0, PANELS[column][2]), ylabel=PANELS[column][1])
    for spec, look in looks.items():
        line = rows[rows["method"] == spec]
        ax.plot(line["residual"], line[column], **look.line(linewidth=1.7, gid=f"{spec}/{column}"))


def _name(ax: Axes, rows: pd.DataFrame, looks: dict[str, Style], words: dict[str, str]) -> None:
    """Name the lines of an influence panel at their ends, and mark the knobs of Hampel's on its line."""
    ends, top = [], ax.get_ylim()[1]
    for spec, look in looks.items():
        line, method = rows[rows["method"] == spec], METHODS.parse(spec)
        last = line["influence"].iloc[-1]
        said = f"{words[spec]} $\\rightarrow \\infty$" if last > 100 * top else words[spec]
        ends.append((said, 1.0, min(last, top), look.color))
        for knob in method.values if method.name == "hampel" else ():
            x = method.values[knob]
            y = np.interp(x, line["residual"], line["influence"])
            place: dict[str, Any] = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center", "fontsize": 9}
            ax.annotate(f"${knob}$", (x, y), color=look.color, **place)
    end_labels(ax, ends, height=HEIGHT)


def _modes(ax: Axes, rows: pd.DataFrame, looks: dict[str, Style]) -> None:
    """Mark the peak of each density, tell its p_y beside the panel, and draw the softmax factor alone behind."""
    handles = []
    for spec, look in looks.items():
        line = rows[rows["method"] == spec]
        at, height = _peak(line["residual"].to_numpy(), line["density"].to_numpy())
        dot = look.dot(markersize=5, clip_on=False)
        ax.plot([at], [height], **dot, gid=f"{spec}/mode", zorder=3)
        handles.append(sample(f"{1 - at:.2f}", **dot))
    x = rows["residual"].unique()
    ax.plot(x, 6 * x * (1 - x), **BACKDROP.line(linewidth=4, zorder=1, gid="softmax/density"))
    handles.append(sample("factor\nalone", **BACKDROP.line(linewidth=4)))
    place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "title": "mode, at\n$p_y$ =", "title_fontsize": 8.5}
    key(ax, handles, handlelength=1.4, **place)


def _peak(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Return the vertex of the parabola through the highest of equally spaced points and its neighbours."""
    best = int(y.argmax())
    if best in (0, len(y) - 1):
        return float(x[best]), float(y[best])
    below, middle, above = y[best - 1 : best + 2]
    shift = (below - above) / (2 * (below - 2 * middle + above))
    return float(x[best] + shift * (x[1] - x[0])), float(middle - (below - above) * shift / 4)


def _frame(axes: Sequence[Axes]) -> None:
    """Give the columns their titles, p_y above them and the residual below."""
    for ax, (title, _, _) in zip(axes, PANELS.values(), strict=False):
        ax.set_title(title, fontsize=10, fontweight="bold", loc="left")
        above = ax.secondary_xaxis("top", functions=(_other, _other))
        above.set_xticks([1.0, 0.5, 0.0])
        above.tick_params(labelsize=8, color="0.6")
        above.set_xlabel("$p_y$", fontsize=9)
        above.spines["top"].set_visible(False)
    for ax in axes[-3:]:
        ax.set_xticks(list(TICKS), list(TICKS.values()))
        ax.set_xlabel("residual $x = 1 - p_y$")


def _other(values: Any) -> Any:
    """Turn x into p_y, and p_y into x."""
    return 1.0 - values
