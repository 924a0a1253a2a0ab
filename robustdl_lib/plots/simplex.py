"""Figures of the probability simplex: where targets lie and where steps lead. Registered as those of ``plots`` are.

The given label is the class at the top of every triangle.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Polygon

from robustdl_lib.plots.rows import CLASSES, require
from robustdl_lib.plots.style import (
    DASHED,
    PLAIN,
    Chart,
    Style,
    canvas,
    key,
    labels,
    sample,
    say_if_empty,
    style,
)
from robustdl_lib.registry import FIGURES, METHODS
from robustdl_lib.theory.simplex import MOTION, POINT, apart, field_rows, flatten, target_rows

TARGET_COLUMNS = ("series", "progress", *POINT)
FIELD_COLUMNS = ("method", "progress", "kind", *POINT, *MOTION, "cosine", "norm")
TINTS = ("#fdf1e7", "#e9f2f9", "#eff6eb")
TURNED = LinearSegmentedColormap.from_list("turned", ["0.3", "#e69f00", "#d5006a"])
SHADE = LinearSegmentedColormap.from_list("shade", ["white", "#8fbbe0"])
END = Style("#0b4f8a", marker="*")
FAMILIES = (
    "LS and CP: the given class stays\n$(1-\\epsilon)q+\\epsilon u$ and $(1-\\epsilon)q-\\epsilon p$",
    "Bootstrapping: fixed trust\n$(1-\\epsilon)q+\\epsilon p$, $p$ or its largest class",
    "ProSelfLC: trust that grows\n$(1-\\epsilon)q+\\epsilon p$, $\\epsilon=g(t)\\,l(p)$",
)
SIDES = {"ls": (24, 0), "cp": (-10, 0), "boot_soft": (9, 2), "boot_hard": (-9, 4)}
MARKED = {0.25: (-9, -1), 0.5: (-9, 0), 1.0: (9, 0)}
FEW = 1e-5
LEAST = 1e-6  # the rows hold six digits
DISGUISE_COLUMNS = ("arm", "method", "seed", "epoch", "test_acc", "entropy_wrong", "p_wrong")
MEASURED = (
    ("Test accuracy, last epoch", "test accuracy (%)", "arm of the sweep"),
    ("Entropy on wrong labels", "epoch", "entropy $H(p) / \\log C$"),
    ("Distance from the detached arm (dashed)", "epoch", "difference in mean $p_y$ of wrong labels"),
)
PALER, BLACK = "#f2b48a", "#111111"


def triangle(ax: Axes, *, regions: bool = False) -> None:
    """Make an axes the triangle of three classes, the given one at the top; ``regions`` tints where each is largest."""
    corners, middle = flatten(np.eye(3)), flatten(np.full(3, 1 / 3))
    for index, tint in enumerate(TINTS * regions):
        first, second = ((corners[index] + corners[other]) / 2 for other in range(3) if other != index)
        ax.add_patch(Polygon([corners[index], first, middle, second], facecolor=tint, edgecolor="0.88", zorder=0))
    ax.add_patch(Polygon(corners, facecolor="none", edgecolor="0.6", zorder=1, gid="triangle"))
    for name, corner, (x, y) in zip(CLASSES, corners, ((9, 6), (0, -9), (0, -9)), strict=True):
        place: dict[str, Any] = {"textcoords": "offset points", "ha": "left" if x else "center", "va": "center"}
        ax.annotate(name, corner, (x, y), fontsize=8, color="0.4", **place)
    ax.set(aspect=np.sqrt(3), xlim=(-1.15, 1.15), ylim=(-0.13, 1.1), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.grid(visible=False)


@FIGURES.register(
    "simplex_targets",
    label="LS and CP keep to the given class; label correction moves a target towards what the learner believes.",
    source="Talk, slides 27 to 29, as points of the simplex",
    rows=target_rows,
    columns=TARGET_COLUMNS,
)
def simplex_targets(rows: pd.DataFrame) -> Figure:
    """Draw where each method moves the one-hot label of one example, a panel a family; CP divided by its sum."""
    series = {str(name): part.reset_index(drop=True) for name, part in rows.groupby("series", sort=False)}
    label, learner = (_points(series.pop(name))[0] for name in ("label", "learner"))
    chart, axes = canvas(1, 3, (11.4, 5.0))
    chart.set_layout_engine("constrained", h_pad=0.08)
    for ax, title in zip(axes, FAMILIES, strict=True):
        triangle(ax, regions=True)
        ax.set(xlim=(-1.3, 1.3), ylim=(-0.13, 1.58), xlabel=f"$p$({CLASSES[2]}) - $p$({CLASSES[1]})")
        ax.set_title(title, fontsize=9.5, loc="left")
        _spot(ax, "label", label, "label $q$", (-9, 3), **PLAIN.dot(markersize=7, zorder=6))
        _spot(ax, "learner", learner, "learner's $p$", (9, 7), **PLAIN.dot(marker="D"))
    axes[0].set_ylabel(f"$p$({CLASSES[0]}), the given label")
    for spec, words in labels(series).items():
        if series[spec]["progress"].nunique() > 1:
            _path(axes[2], spec, series[spec])
        else:
            _move(axes[METHODS.parse(spec).entry.facts.trust is not None], spec, label, _points(series[spec])[0], words)
    chart.suptitle("From the label to the target; tinted: the class that a target there stands for", fontsize=11)
    return chart


def _points(rows: pd.DataFrame) -> Any:
    return rows[list(POINT)].to_numpy(float)


def _place(point: Any) -> tuple[float, float]:
    x, y = flatten(point)
    return float(x), float(y)


def _spot(ax: Axes, gid: str, point: Any, words: str, offset: tuple[float, float], **look: Any) -> None:
    """Mark a point of the triangle and write beside it what it is."""
    place = _place(point)
    ax.plot(*np.transpose([place]), gid=gid, **{"zorder": 4, **look})
    side: dict[str, Any] = {"textcoords": "offset points", "va": "center", "ha": "left" if offset[0] > 0 else "right"}
    ax.annotate(words, place, offset, **side, fontsize=8.5, color=look["color"], zorder=5)


def _move(ax: Axes, spec: str, label: Any, target: Any, words: str) -> None:
    """Draw an arrow from the label to a target; one whose sum is not 1 is divided by it and drawn hollow."""
    look, total = style(spec), float(target.sum())
    outside = abs(total - 1.0) > FEW
    said = f"{words}: sums to {total:g},\nhere divided by its sum" if outside else words.replace(" (", "\n(")
    arrow = {"arrowstyle": "-|>", "color": look.color, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 3}
    ax.annotate("", _place(target / total), _place(label), arrowprops=arrow, zorder=3)
    dot = look.dot(markersize=6, hollow=outside)
    _spot(ax, spec, target / total, said, SIDES.get(METHODS.parse(spec).name, (9, 0)), **dot)


def _path(ax: Axes, spec: str, rows: pd.DataFrame) -> None:
    """Draw a target's way over training progress, some times of it marked."""
    look, points = style(spec), _points(rows)
    ax.plot(*flatten(points).T, **look.line(linewidth=2.2, gid=spec, zorder=3))
    for time, side in MARKED.items():
        nearest = int((rows["progress"] - time).abs().argmin())
        words = f"$t/T$ = {rows['progress'][nearest]:g}"
        _spot(ax, f"{spec}/{time}", points[nearest], words, side, **look.dot(markersize=5))


@FIGURES.register(
    "simplex_fields",
    label="A weighting changes how strong a step is; a target can change where it leads.",
    source="Talk, slides 21 and 27 to 29, as gradient fields",
    rows=field_rows,
    columns=FIELD_COLUMNS,
)
def simplex_fields(rows: pd.DataFrame) -> Figure:
    """Draw how the prediction moves at each point, a panel a method: in the upper row those parallel to CCE."""
    parallel = rows[rows["kind"] == "step"].groupby("method", sort=False)["cosine"].min() > 1 - FEW
    families = {
        "Losses of $p_y$, weightings, detached targets: the same directions, other strengths": parallel.index[parallel],
        "All other targets: other directions": parallel.index[~parallel],
    }
    across = max(parallel.sum() + 1, (~parallel).sum())
    chart = Chart(figsize=(2.4 * across, 6.4), layout="constrained")
    chart.set_layout_engine("constrained", h_pad=0.07)
    for part, (title, specs) in zip(np.ravel(np.array(chart.subfigures(2, 1))), families.items(), strict=True):
        part.suptitle(title, fontsize=11.5, fontweight="bold", x=0.01, ha="left")
        _row(part, rows, list(specs), across)
    return chart


def _row(part: SubFigure, rows: pd.DataFrame, specs: Sequence[str], across: int) -> None:
    """Draw one panel a method; the cell after the last, where there is one, holds the key."""
    axes = list(part.subplots(1, across, squeeze=False).flat)
    for ax, spec in zip(axes, specs, strict=False):
        _field(ax, spec, rows[rows["method"] == spec])
    if len(specs):
        axes[0].set_ylabel(f"$p$({CLASSES[0]}), the given label", fontsize=8.5)
    for ax in axes[len(specs) :]:
        ax.set_axis_off()
    if len(specs) < across:
        _field_key(part, axes[len(specs)], rows)


def _field(ax: Axes, spec: str, rows: pd.DataFrame) -> None:
    """Draw a method's directions as arrows coloured by their angle to CCE's, and its magnitudes as a shade."""
    triangle(ax)
    steps = rows[rows["kind"] == "step"]
    tails, heads = flatten(_points(steps)), flatten(steps[list(MOTION)].to_numpy(float))
    heads *= 0.13 / np.maximum(np.hypot(heads[:, 0], np.sqrt(3) * heads[:, 1]), 1e-12)[:, None]
    largest = steps["norm"].max()
    shade: dict[str, Any] = {"levels": np.linspace(0.0, 1.0001, 11), "cmap": SHADE, "zorder": 0.5}
    ax.tricontourf(tails[:, 0], tails[:, 1], steps["norm"] / largest, **shade)
    angles = np.degrees(np.arccos(steps["cosine"].clip(-1, 1)))
    drawn: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "pivot": "mid", "width": 0.012}
    drawn |= {"headwidth": 3.6, "headlength": 3.6, "headaxislength": 3.3, "cmap": TURNED, "clim": (0, 90), "zorder": 3}
    ax.quiver(*tails.T, *heads.T, angles, gid=f"{spec}/steps", **drawn)
    ends = flatten(_points(rows[rows["kind"] == "end"]))
    ax.plot(*ends.T, gid=f"{spec}/ends", clip_on=False, zorder=4, **END.dot(marker="*", markersize=11))
    ax.set_title(labels([spec])[spec].replace(" (", "\n("), fontsize=8.5, loc="left", color=style(spec).color)
    ax.set_xlabel(f"darkest: $\\|\\partial L/\\partial z\\|_1$ = {largest:.3g}", fontsize=8)


def _field_key(part: SubFigure, ax: Axes, rows: pd.DataFrame) -> None:
    """Say what arrows, shades and stars mean."""
    angles = {0.0: "0°", 45.0: "45°", 90.0: "90°+"}
    shares = {0.0: "0", 0.5: "1/2", 1.0: "1"}
    _scale(part, ax, 0.62, "arrow: angle to the step of CCE", TURNED, angles)
    _scale(part, ax, 0.2, "shade: strength of the step,\nshare of the darkest", SHADE, shares)
    key(ax, [sample("where the steps end", **END.dot(marker="*", markersize=10))], loc="upper left", fontsize=8.5)
    words = f"methods that look at the time:\n$t/T$ = {rows['progress'].iloc[0]:g}"
    ax.text(0.08, -0.08, words, fontsize=8, transform=ax.transAxes)


def _scale(part: SubFigure, ax: Axes, height: float, words: str, colors: Any, ticks: dict[float, str]) -> None:
    """Draw a horizontal colour scale at a height of a key's cell; ticks map places to words."""
    bar = part.colorbar(
        ScalarMappable(Normalize(0, max(ticks)), colors),
        cax=ax.inset_axes((0.08, height, 0.8, 0.07)),
        orientation="horizontal",
    )
    bar.set_ticks(list(ticks), labels=list(ticks.values()), fontsize=7.5)
    bar.ax.set_title(words, fontsize=8.5, loc="left")


def disguise(df: pd.DataFrame) -> Figure:
    """Draw the arms of the sweep ``disguise``: final accuracy, entropy on wrong labels, and how far arms drift apart.

    df: run rows with the column ``arm`` of :func:`robustdl_lib.theory.simplex.arms`; the last panel compares the
    detached arm
    with each of the others. Not registered: its rows are not those of the other figures. Raises ValueError for a
    missing column.
    """
    told = df.drop(columns=["peak_lr", "weight_decay"], errors="ignore")  # in which arms may differ
    rows = require("disguise", told, DISGUISE_COLUMNS)
    looks = _looks(rows)
    chart, axes = canvas(1, 3, (13.6, 3.9))
    for ax, (title, xlabel, ylabel) in zip(axes, MEASURED, strict=True):
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.set_title(title, fontsize=10, fontweight="bold", loc="left")
    _endings(axes[0], rows, looks)
    means = rows.groupby(["arm", "epoch"])["entropy_wrong"].mean()
    for arm, look in looks.items():
        axes[1].plot(means[arm], **look.line(**_width(look), gid=f"{arm}/entropy_wrong"))
    _drift(axes[2], rows, looks)
    return chart


def _looks(rows: pd.DataFrame) -> dict[str, Style]:
    """Return a style an arm: the colour of its method, a second arm's paler; the detached arm's dashed and black."""
    looks: dict[str, Style] = {}
    for arm, spec in rows.groupby("arm", sort=False)["method"].first().items():
        color = style(spec).color
        if "detach=True" in spec:
            looks[str(arm)] = Style(BLACK, DASHED)
        else:
            taken = color in [look.color for look in looks.values()]
            looks[str(arm)] = Style(PALER if taken else color)
    return looks


def _width(look: Style) -> dict[str, Any]:
    """Return width and order: the paler arm is broad and lies below, the dashed one thin and above."""
    places = {PALER: {"linewidth": 5.5, "zorder": 2.0}, BLACK: {"linewidth": 1.5, "zorder": 4.0}}
    return places.get(look.color, {"linewidth": 1.8, "zorder": 3.0})


def _endings(ax: Axes, rows: pd.DataFrame, looks: dict[str, Style]) -> None:
    """Draw the last test accuracy of each arm, a small dot a seed, the arm's name in its colour."""
    last = rows[rows["epoch"] == rows["epoch"].max()]
    for place, (arm, look) in enumerate(looks.items()):
        found = 100 * last[last["arm"] == arm].sort_values("seed")["test_acc"]
        ax.plot(found, [-place - 0.2] * len(found), **look.dot(marker=".", gid=f"{arm}/seeds"))
        ax.plot([found.mean()], [-place], **look.dot(markersize=8, gid=f"{arm}/last"))
        said: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 8.5}
        ax.annotate(f"{found.mean():.1f}", (found.mean(), -place), (0, 6), **said)
    ax.set_yticks([-place for place in range(len(looks))], [arm.replace(" (", "\n(") for arm in looks], fontsize=9)
    ax.set_ylim(0.5 - len(looks), 0.6)


def _drift(ax: Axes, rows: pd.DataFrame, looks: dict[str, Style]) -> None:
    """Draw how far each arm's average p_y of the wrong labels is from the detached arm's."""
    hidden = [arm for arm, spec in rows.groupby("arm")["method"].first().items() if "detach=True" in spec]
    others = [arm for arm in looks if hidden and arm != hidden[0]]
    for arm in others:
        gap = apart(rows, arm, hidden[0], "p_wrong")
        ax.plot(gap.clip(lower=LEAST), **looks[arm].line(**_width(looks[arm]), gid=f"{arm}/drift"))
    ax.set_yscale("log")
    say_if_empty(ax, len(others), "no arm here is detached")
