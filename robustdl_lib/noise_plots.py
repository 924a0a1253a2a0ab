"""Figures of label noise: transition matrices side by side. They are registered as those of ``plots`` are."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from robustdl_lib.frames import require, transition_rows
from robustdl_lib.registry import FIGURES
from robustdl_lib.style import canvas

COLUMNS = ("spec", "true", "given", "asked", "realised")


@FIGURES.register(
    "transitions",
    label="What a noise does to the labels of the digits: each given label's share; rates are averages over classes.",
    source="Talk, slide 8; Patrini et al. 2017 for the look-alikes",
    rows=transition_rows,
    columns=COLUMNS,
)
def transitions(df: pd.DataFrame) -> Figure:
    """Draw the realised transition matrix of each noise as a heat map, with the asked and the realised rate."""
    rows = require("transitions", df, COLUMNS)
    noises = list(rows["spec"].unique())
    chart, axes = canvas(1, len(noises), (3.9 * len(noises), 4.3))
    for ax, noise in zip(axes, noises, strict=True):
        matrix = rows[rows["spec"] == noise].pivot(index="true", columns="given", values="realised")
        _heatmap(ax, 100 * matrix)
        wrong = rows[(rows["spec"] == noise) & (rows["true"] != rows["given"])]
        asked, realised = (100 * wrong[name].sum() / len(matrix) for name in ("asked", "realised"))
        ax.set_title(f"{noise}\nasked {asked:.1f} %, realised {realised:.1f} % wrong", fontsize=10)
        ax.set(xlabel="given label", ylabel="true label")
    return chart


def _heatmap(ax: object, percent: pd.DataFrame) -> None:
    """Fill the cells with whole per cents, those that round to 0 left empty."""
    texts = percent.map(lambda value: f"{value:.0f}" if value >= 0.5 else "")
    style = {"cmap": "Greys", "vmin": 0, "vmax": 100, "cbar": False, "square": True, "linewidths": 0.5}
    sns.heatmap(percent, ax=ax, annot=texts, fmt="", annot_kws={"fontsize": 8}, **style)
