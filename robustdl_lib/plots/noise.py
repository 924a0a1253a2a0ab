"""Figures of label noise: transition matrices side by side. They are registered as those of ``plots`` are."""

import pandas as pd
from matplotlib.figure import Figure

from robustdl_lib.plots.rows import transition_rows
from robustdl_lib.plots.style import canvas, heatmap
from robustdl_lib.registry import FIGURES

COLUMNS = ("spec", "true", "given", "asked", "realised")


@FIGURES.register(
    "transitions",
    label="What a noise does to the labels of the digits: each given label's share; rates are averages over classes.",
    source="Talk, slide 8; Patrini et al. 2017 for the look-alikes",
    rows=transition_rows,
    columns=COLUMNS,
)
def transitions(rows: pd.DataFrame) -> Figure:
    """Draw the realised transition matrix of each noise as a heat map, with the asked and the realised rate."""
    noises = list(rows["spec"].unique())
    chart, axes = canvas(1, len(noises), (3.9 * len(noises), 4.3))
    for ax, noise in zip(axes, noises, strict=True):
        matrix = rows[rows["spec"] == noise].pivot(index="true", columns="given", values="realised")
        heatmap(ax, 100 * matrix)
        wrong = rows[(rows["spec"] == noise) & (rows["true"] != rows["given"])]
        asked, realised = (100 * wrong[name].sum(skipna=False) / len(matrix) for name in ("asked", "realised"))
        wanted = "" if pd.isna(asked) else f"asked {asked:.1f} %, "  # no matrix is asked for what is drawn by image
        ax.set_title(f"{noise}\n{wanted}realised {realised:.1f} % wrong", fontsize=10)
        ax.set(xlabel="given label", ylabel="true label")
    return chart
