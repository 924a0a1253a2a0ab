"""How figures look: one colour, line and marker a method, small multiples, labels beside lines, and their bytes.

A method keeps its style whichever others are drawn with it. Hue is never the only difference: line, marker,
lightness or a label beside the line tells methods apart in grey too.
"""

import hashlib
import io
import json
import math
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from robustdl_lib.registry import METHODS

SAVED_DPI = 150
SHOWN_DPI = 90
BACKDROP = "0.72"
INK = "0.25"
DASHED, DOTTED, DASHDOT = (0, (5, 2)), (0, (1.2, 1.2)), (0, (6, 2, 1.2, 2))
VARIANTS = ("-", DASHED, DASHDOT, DOTTED)
Dashes = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Style:
    """What tells one method from another; the keywords of a matplotlib line."""

    color: str
    linestyle: Dashes
    marker: str


CLEAN = Style("#000000", DASHED, "")
STYLES = {
    "cce": Style("#d55e00", "-", "o"),
    "mae": Style("#9a8f00", DASHED, "s"),
    "mse": Style("#56b4e9", DASHDOT, "^"),
    "gce": Style("#009e73", "-", "D"),
    "imae": Style("#e78ac3", DASHED, "v"),
    "dm": Style("#0072b2", "-", "P"),
    "ls": Style("#e69f00", DOTTED, "<"),
    "cp": Style("#882255", DASHED, ">"),
    "boot_soft": Style("#44aa99", DASHDOT, "p"),
    "boot_hard": Style("#7a5230", DOTTED, "X"),
    "proselflc": Style("#332288", "-", "*"),
}
SPARE = (
    Style("#cc3377", DASHDOT, "h"),
    Style("#117733", DOTTED, "d"),
    Style("#6699cc", DASHED, "8"),
    Style("#994f00", DASHDOT, "H"),
    Style("#aa66cc", DOTTED, "o"),
    Style("#555555", DASHED, "s"),
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

    def place(spec: str) -> tuple[int, str]:
        return names.index(parsed[spec].name), str([f"{value:09.3f}" for value in parsed[spec].values.values()])

    return sorted(parsed, key=place)


def label(spec: str) -> str:
    """Return a method's words for a legend; raises SpecError for an unknown method."""
    return METHODS.parse(spec).label


def canvas(rows: int, columns: int, size: tuple[float, float], **shared: Any) -> tuple[Chart, list[Axes]]:
    """Return a figure of ``size`` in inches and its axes, row by row; ``shared`` as in ``Figure.subplots``."""
    chart = Chart(figsize=size, layout="constrained")
    axes = list(chart.subplots(rows, columns, squeeze=False, **shared).flat)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="0.92", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.tick_params(labelsize=8, color="0.6")
    return chart, axes


def multiples(specs: Sequence[str], xlabel: str, ylabel: str) -> tuple[Chart, dict[str, Axes], Axes]:
    """Return a figure with one small panel a spec on shared axes, titled in its colour, and a cell for the key."""
    columns = min(4, len(specs) + 1)
    rows = math.ceil((len(specs) + 1) / columns)
    chart, axes = canvas(rows, columns, (2.75 * columns, 1.95 * rows + 0.5), sharex=True, sharey=True)
    panels = dict(zip(specs, axes, strict=False))
    for index, (spec, ax) in enumerate(panels.items()):
        ax.set_title(label(spec), color=style(spec).color, fontsize=9, fontweight="bold", loc="left", pad=3)
        ax.set_ylabel("" if index % columns else ylabel, fontsize=9)
        if index + columns >= len(specs):
            ax.set_xlabel(xlabel, fontsize=9)
            ax.tick_params(labelbottom=True)
    for ax in axes[len(specs) :]:
        ax.set_axis_off()
    return chart, panels, axes[len(specs)]


def key(ax: Axes, handles: Sequence[tuple[str, Any]], **place: Any) -> None:
    """Put a legend of (words, artist) on an axes, by default in the middle of an empty cell."""
    placed = {"loc": "center left", "frameon": False, "fontsize": 8.5, "handlelength": 2.8, **place}
    ax.legend([artist for _, artist in handles], [words for words, _ in handles], **placed)


def sample(look: Style, **changes: Any) -> Line2D:
    """Return a short line in a style, for a key."""
    return Line2D([], [], color=look.color, linestyle=look.linestyle, **changes)


def end_labels(ax: Axes, ends: Sequence[tuple[str, float, float, str]], height: float) -> None:
    """Write words beside the ends of lines, moved apart where they would overlap.

    ends: (words, x, y, colour) a line, with y in the axes' limits, which must be set; height of the axes in inches.
    """
    low, high = ax.get_ylim()
    places = spread([(y - low) / (high - low) for _, _, y, _ in ends], 0.155 / height)
    for (words, x, y, color), place in zip(ends, places, strict=True):
        arrow = {"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 1}
        ax.annotate(
            words, (x, y), (1.06, float(place)), textcoords="axes fraction", va="center", fontsize=8, color=color,
            arrowprops=arrow, annotation_clip=False,
        )  # fmt: skip


def spread(places: Sequence[float], gap: float) -> NDArray[np.float64]:
    """Return places in [0, 1], in the same order, at least ``gap`` apart and moved as little as possible.

    The least squares move is an isotonic regression of the places less the room that those below them take.
    """
    ranks = np.argsort(np.argsort(places, kind="stable"))
    room = gap * np.arange(len(places))
    free = isotonic_regression(np.sort(places) - room).x if len(places) else room
    return (np.clip(free, 0.0, max(0.0, 1.0 - room[-1:].sum())) + room)[ranks]


def render(chart: Figure, kind: str, dpi: int = SAVED_DPI) -> bytes:
    """Return a figure as ``png`` or ``svg``: the same bytes each time, without date, program or random ids."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[kind]
    buffer = io.BytesIO()
    with matplotlib.style.context(["default", {"svg.hashsalt": "robustdl"}]):
        chart.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def write(files: dict[str, bytes], folder: Path) -> None:
    """Write files by name, each whole or not at all; raises OSError and leaves nothing half-written."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[Path, Path] = {}
    try:
        for name, content in files.items():
            handle, part = tempfile.mkstemp(prefix=f".{name}-", dir=folder)
            parts[Path(part)] = folder / name
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(part, 0o644)
        for part_path, final in parts.items():
            part_path.replace(final)
    finally:
        for part_path in parts:
            part_path.unlink(missing_ok=True)


def record(content: dict[str, Any], table: bytes) -> bytes:
    """Return what a figure was drawn from as JSON, with the checksum of its table."""
    whole = {**content, "sha256": hashlib.sha256(table).hexdigest()}
    return (json.dumps(whole, indent=1, sort_keys=True) + "\n").encode()


def _variant(look: Style, index: int, count: int) -> Style:
    if count == 1:
        return look
    paler = 0.6 * index / (count - 1)
    color = to_hex([(1 - paler) * part + paler for part in to_rgb(look.color)])
    return replace(look, color=color, linestyle=VARIANTS[index % len(VARIANTS)])
