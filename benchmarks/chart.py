"""The picture of the benchmark: how many times the plain loop's images a sweep of ours trains in the same time."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.tables import KEYS, LABELS, TARGETS
from benchmarks.throughput import OURS, RATE, faster, ratio
from robustdl_lib.plots.style import DASHED, INK, canvas

REACHED, MISSED = "#0072b2", "#d55e00"
HEIGHT = 0.62
RECORDED: dict[str, Any] = {"color": "white", "linewidth": 1.6, "linestyle": DASHED}
SMALL: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8}
MIDDLE: dict[str, Any] = {"ha": "center", "va": "bottom"}
LARGE: dict[str, Any] = {"textcoords": "offset points", "fontsize": 11, "fontweight": "bold"}


def draw(rows: pd.DataFrame, machine: str) -> Figure:
    """Draw a bar a data set and network, its target as a line across it, and dashed how far it goes with all recorded.

    rows as :func:`benchmarks.throughput.rows` makes them. Raises KeyError where a side is missing.
    """
    table = rows[rows["part"] == "throughput"]
    places = list(dict.fromkeys(table[KEYS].itertuples(index=False, name=None)))
    chart, [ax] = canvas(1, 1, (9.0, 0.8 * len(places) + 1.5))
    for place, (dataset, model) in enumerate(places):
        _bar(ax, place, table, dataset, model)
    ax.axvline(1.0, color=INK, linewidth=1.2)
    ax.annotate("plain loop", (1.0, 1.0), (0, 2), xycoords=("data", "axes fraction"), **{**SMALL, **MIDDLE})
    names = [f"{LABELS.get(dataset, dataset)}\n{model.replace('resnet', 'ResNet-')}" for dataset, model in places]
    ax.set_yticks(range(len(places)), names, fontsize=9)
    ax.set(ylim=(len(places) - 0.4, -0.65), xlabel=f"{RATE}, times the plain loop's (dashed: with everything recorded)")
    ax.set_xlim(0, 1.4 * ax.dataLim.x1)
    ax.grid(visible=False, axis="y")
    chart.suptitle(f"A sweep of the library beside a plain PyTorch loop, {machine}", fontsize=11)
    return chart


def _bar(ax: Axes, place: int, table: pd.DataFrame, dataset: str, model: str) -> None:
    """Draw one bar with its words: the ratio and both rates, in another colour where the target is missed."""
    steps, recorded = (ratio(table, dataset, model, side) for side in OURS)
    target = TARGETS.get((dataset, model))
    color = REACHED if target is None or steps["value"] >= target else MISSED
    ax.barh(place, steps["value"], HEIGHT, color=color, gid=f"{dataset}/{model}")
    ax.plot([recorded["value"]] * 2, [place - HEIGHT / 2, place + HEIGHT / 2], **RECORDED)
    if target is not None:
        ax.plot([target] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2.2, gid="target")
        ax.annotate(f"target {target:g}", (target, place - 0.42), (0, 1), **{**SMALL, **MIDDLE})
    end = max(steps["value"], target or 0.0)
    rates = table[(table["dataset"] == dataset) & (table["model"] == model)].set_index("side")["value"]
    said = f"{rates[OURS[0]]:,.0f} against {rates[faster(rates)]:,.0f} images a second"
    ax.annotate(f"{steps['value']:.2f} times", (end, place), (7, 1), va="bottom", color=color, **LARGE)
    ax.annotate(said, (end, place), (7, -2), va="top", color=INK, **SMALL)
