"""How figures look: one colour, line and marker a method, small multiples, labels beside lines, and their bytes.

A method keeps its style whichever others are drawn with it. Hue is never the only difference: line, marker,
lightness or a label beside the line tells methods apart in grey too. Every drawn line carries its name as gid.
"""

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from robustdl_lib.registry import METHODS, Spec

SAVED_DPI = 130
SHOWN_DPI = 90
INK = "0.25"
LABEL_INCHES = 0.155
DASHED, DOTTED, DASHDOT, LONG = (0, (5, 2)), (0, (1.2, 1.2)), (0, (6, 2, 1.2, 2)), (0, (10, 1.5))
VARIANTS = ("-", DASHED, DASHDOT, DOTTED)


@dataclass(frozen=True)
class Style:
    """What tells one method from another."""

    color: str
    linestyle: Any = "-"
    marker: str = ""

    def line(self, **more: Any) -> dict[str, Any]:
        """Return the keywords of a matplotlib line, without markers, and ``more``."""
        return {"color": self.color, "linestyle": self.linestyle, **more}

    def dot(self, *, hollow: bool = False, **more: Any) -> dict[str, Any]:
        """Return the keywords of a matplotlib marker, filled or ``hollow``, and ``more``."""
        face = "white" if hollow else self.color
        return {"color": self.color, "linestyle": "", "marker": "o", "markerfacecolor": face, **more}


PLAIN = Style(INK)
BACKDROP = Style("0.72")
CLEAN = Style("#000000", DASHED)
STYLES = {
    "cce": Style("#d55e00", "-", "o"),
    "mae": Style("#9a8f00", DASHED, "s"),
    "mse": Style("#56b4e9", DASHDOT, "^"),
    "gce": Style("#009e73", LONG, "D"),
    "tgce": Style("#66a61e", DOTTED, "d"),
    "sce": Style("#b2182b", DOTTED, "h"),
    "nce_rce": Style("#8c510a", DASHDOT, "H"),
    "barron": Style("#1b7837", DASHED, "8"),
    "adaptive": Style("#5aae61", "-", "8"),
    "hampel": Style("#01665e", DASHDOT, "X"),
    "imae": Style("#e78ac3", DASHED, "v"),
    "dm": Style("#0072b2", "-", "P"),
    "normal": Style("#08519c", "-", "X"),
    "exponential": Style("#6baed6", "-", "d"),
    "beta": Style("#41b6c4", DASHED, "D"),
    "ls": Style("#e69f00", DOTTED, "<"),
    "cp": Style("#882255", DASHED, ">"),
    "boot_soft": Style("#44aa99", DASHDOT, "p"),
    "boot_hard": Style("#7a5230", DOTTED, "X"),
    "pseudo": Style("#a6761d", DASHDOT, "8"),
    "proselflc": Style("#332288", "-", "*"),
    "elr": Style("#984ea3", DASHED, "H"),
    "joint": Style("#3f007d", "-", "<"),
    "kd": Style("#9e9ac8", LONG, ">"),
}
SPARE = (
    Style("#cc3377", DASHDOT, "h"),
    Style("#00441b", DOTTED, "d"),
    Style("#8da0cb", DASHED, "8"),
    Style("#67000d", DASHDOT, "H"),
    Style("#f768a1", DOTTED, "o"),
    Style("#555555", LONG, "s"),
)


class Chart(Figure):
    """A figure without pyplot's global state that shows itself when it is the value of a notebook's cell."""

    def _repr_png_(self) -> bytes:
        return render(self, "png", SHOWN_DPI)


def style(spec: str) -> Style:
    """Return the style of a method's spec, the same for all its knobs; raises SpecError for an unknown method.

    Methods that are not in :data:`STYLES` take the spare styles in the order in which they were registered.
    """
    name = METHODS.parse(spec).name
    added = [other for other in METHODS if other not in STYLES]
    return STYLES[name] if name in STYLES else SPARE[added.index(name) % len(SPARE)]


def styles(specs: Iterable[str]) -> dict[str, Style]:
    """Return the style of each spec, in :func:`order`; several of one method share the hue and grow lighter."""
    groups: dict[str, list[str]] = {}
    for spec in order(specs):
        groups.setdefault(METHODS.parse(spec).name, []).append(spec)
    return {spec: _variant(style(spec), i, len(group)) for group in groups.values() for i, spec in enumerate(group)}


def order(specs: Iterable[str]) -> list[str]:
    """Return the specs, each once, in the one order of methods: the known ones, the added ones, then by knobs."""
    names = [*STYLES, *(name for name in METHODS if name not in STYLES)]
    parsed = {spec: METHODS.parse(spec) for spec in dict.fromkeys(specs)}

    def place(spec: str) -> tuple[int, list[Any]]:
        return names.index(parsed[spec].name), list(parsed[spec].values.values())

    return sorted(parsed, key=place)


def labels(specs: Iterable[str]) -> dict[str, str]:
    """Return the words for each spec in a legend; where one method stands several times, with all its knobs."""
    parsed = {spec: METHODS.parse(spec) for spec in dict.fromkeys(specs)}
    names = [found.name for found in parsed.values()]
    return {spec: _all_knobs(found) if names.count(found.name) > 1 else found.label for spec, found in parsed.items()}


def canvas(rows: int, columns: int, size: tuple[float, float], **shared: Any) -> tuple[Chart, list[Axes]]:
    """Return a figure of ``size`` in inches and its axes, row by row; ``shared`` as in ``Figure.subplots``."""
    chart = Chart(figsize=size, layout="constrained")
    axes = list(chart.subplots(rows, columns, squeeze=False, **shared).flat)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="0.92", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.tick_params(labelsize=8, color="0.6")
        ax.xaxis.label.set_size(9)
        ax.yaxis.label.set_size(9)
    return chart, axes


def multiples(specs: Sequence[str], xlabel: str, ylabel: str, across: int = 4) -> tuple[Chart, dict[str, Axes], Axes]:
    """Return a figure with one small panel a spec on shared axes, titled in its colour, and a cell for the key."""
    cells = len(specs) + 1
    columns = min(across + (cells % across == 1), cells)  # no row for the key alone
    rows = math.ceil(cells / columns)
    chart, axes = canvas(rows, columns, (2.75 * columns, 1.95 * rows + 0.5), sharex=True, sharey=True)
    panels, words = dict(zip(specs, axes, strict=False)), labels(specs)
    for index, (spec, ax) in enumerate(panels.items()):
        ax.set_title(words[spec], color=style(spec).color, fontsize=9, fontweight="bold", loc="left", pad=3)
        ax.set_ylabel("" if index % columns else ylabel)
        ax.set_xlabel(xlabel if index // columns == (len(specs) - 1) // columns else "")
        ax.tick_params(labelbottom=index + columns >= len(specs))
    if xlabel == "epoch":
        axes[0].xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))  # no epoch 2.5
    for ax in axes[len(specs) :]:
        ax.set_axis_off()
    return chart, panels, axes[len(specs)]


def key(ax: Axes, handles: Sequence[tuple[str, Any]], **place: Any) -> None:
    """Put a legend of (words, artist) on an axes, by default in the middle of an empty cell."""
    placed = {"loc": "center left", "frameon": False, "fontsize": 8.5, "handlelength": 2.8, **place}
    ax.legend([artist for _, artist in handles], [words for words, _ in handles], **placed)


def sample(words: str, **keywords: Any) -> tuple[str, Line2D]:
    """Return an entry of a key: a short line or marker with the keywords of :class:`Style`'s methods."""
    return words, Line2D([], [], **keywords)


def band(ax: Axes, line: pd.DataFrame, look: Style, gid: str, width: float = 1.6) -> None:
    """Draw the mean as a line and the range from min to max as a band."""
    ax.fill_between(line.index, line["min"], line["max"], color=look.color, alpha=0.2, linewidth=0)
    ax.plot(line["mean"], **look.line(linewidth=width, gid=gid))


def curves(ax: Axes, rows: pd.DataFrame, column: str, looks: dict[str, Style], columns: int = 1) -> None:
    """Draw a curve over p a method, its peak marked and told in a legend under the axes."""
    words = labels(looks)
    for spec in (spec for spec in looks if spec in set(rows["method"])):
        line, look = rows[rows["method"] == spec].reset_index(drop=True), looks[spec]
        peak = int(line[column].idxmax())
        told = f"{words[spec]}, $\\psi$ = {line['p'][peak]:.2f}"
        marked: dict[str, Any] = {"marker": look.marker, "markevery": [peak], "clip_on": False}
        ax.plot(line["p"], line[column], label=told, **look.line(gid=f"{spec}/{column}", **marked))
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17), "ncols": columns}
    ax.legend(frameon=False, fontsize=8, handlelength=2.8, **place)


def best_and_last(ax: Axes, mean: pd.Series, look: Style) -> None:
    """Mark the best and the last epoch of a line and write their values in the corner."""
    best, last = mean.idxmax(), mean.index[-1]
    ax.plot([best], [mean[best]], **look.dot(hollow=True, markersize=5))
    ax.plot([last], [mean[last]], **look.dot(markersize=5))
    words = f"{mean[best]:.0f} $\\rightarrow$ {mean[last]:.0f}"
    ax.text(0.97, 0.06, words, transform=ax.transAxes, ha="right", fontsize=9, fontweight="bold", color=look.color)


def bins(ax: Axes, counts: pd.Series, gid: str, **look: Any) -> None:
    """Draw a histogram over equal bins of [0, 1], given by their middles."""
    ax.stairs(counts.to_numpy(), np.linspace(0.0, 1.0, len(counts) + 1), gid=gid, **look)


def heatmap(ax: Axes, percent: pd.DataFrame) -> None:
    """Draw a table of per cents as a heat map, whole numbers in its cells, those that round to 0 left empty."""
    texts = percent.map(lambda value: f"{value:.0f}").replace("0", "")
    look = {"cmap": "Greys", "vmin": 0, "vmax": 100, "cbar": False, "square": True, "linewidths": 0.5}
    sns.heatmap(percent, ax=ax, annot=texts, fmt="", annot_kws={"fontsize": 8}, **look)


def say_if_empty(ax: Axes, count: int, words: str) -> None:
    """Write in the middle of a panel why nothing is in it."""
    if not count:
        ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", fontsize=9, color=INK)


def end_labels(ax: Axes, ends: Sequence[tuple[str, float, float, str]], height: float) -> None:
    """Write words beside the ends of lines, moved apart where they would overlap.

    ends: (words, x, y, colour) a line, with y in the axes' limits, which must be set; height of the axes in inches.
    """
    low, high = ax.get_ylim()
    places = spread([(y - low) / (high - low) for _, _, y, _ in ends], LABEL_INCHES / height)
    for (words, x, y, color), place in zip(ends, places, strict=True):
        arrow = {"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 1, "relpos": (0, 0.5)}
        said: dict[str, Any] = {"fontsize": 8, "color": color, "va": "center", "annotation_clip": False}
        ax.annotate(words, (x, y), (1.06, float(place)), textcoords="axes fraction", arrowprops=arrow, **said)


def spread(places: Sequence[float], gap: float) -> NDArray[np.float64]:
    """Return places in [0, 1], in the same order, at least ``gap`` apart and moved as little as possible.

    The least squares move is an isotonic regression of the places less the room that those below them take.
    Where not all fit, the gap is narrowed.
    """
    if not len(places):
        return np.empty(0)
    room = min(gap, 1 / max(1, len(places) - 1)) * np.arange(len(places))
    free = isotonic_regression(np.sort(places) - room).x
    return (np.clip(free, 0.0, 1.0 - room[-1]) + room)[np.argsort(np.argsort(places, kind="stable"))]


def render(chart: Figure, kind: str, dpi: int = SAVED_DPI) -> bytes:
    """Return a figure as ``png`` or ``svg``: the same bytes each time, without date, program or random ids."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[kind]
    buffer = io.BytesIO()
    with matplotlib.style.context(["default", {"svg.hashsalt": "robustdl"}]):
        chart.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def footnote(chart: Figure, note: str) -> dict[str, str]:
    """Write a note below a figure, at its left, and return what its record says of it; nothing for an empty one."""
    if not note:
        return {}
    chart.supxlabel(note, fontsize=7.5, x=0.01, ha="left", color=INK)
    return {"note": note}


def _all_knobs(spec: Spec) -> str:
    """Name the spec with its numbers, and with those other knobs that are set."""
    shown = {k: value for k, value in spec.values.items() if isinstance(value, float) or k in spec.knobs}
    knobs = [f"{k} = {value:g}" if isinstance(value, float) else f"{k} = {value}" for k, value in shown.items()]
    return f"{spec.entry.label} ({', '.join(knobs)})"


def _variant(look: Style, index: int, count: int) -> Style:
    """Return the style of the index-th of several specs of one method: paler, with another line."""
    if count == 1:
        return look
    red, green, blue = ((1 - part) * 0.55 * index / (count - 1) + part for part in to_rgb(look.color))
    return replace(look, color=to_hex((red, green, blue)), linestyle=VARIANTS[index % len(VARIANTS)])
