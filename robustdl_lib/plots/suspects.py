"""Figures of suspects: how well rankings find wrong labels, and what acting on them gains beside a robust method."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustdl_lib.plots.style import CLEAN, DASHED, DOTTED, INK, Style, canvas, key, sample, style
from robustdl_lib.registry import FIGURES, METHODS, NOISES

FOUND = ("setting", "seed", "ranker", "part", "k", "precision", "recall", "wrong")
GAINED = ("setting", "seed", "approach", "ranker", "action", "method", "test_acc")
APPROACHES = {
    "neither": Style("0.45"),
    "model-centric": Style("#0072b2"),
    "data-centric": Style("#d55e00"),
    "both": Style("#009e73"),
}
CLEAN_LABELS = "clean labels"
LEARNING = Style("#332288", DASHED, "s")
"""Confident learning."""


def found_rows(df: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of a study ``data_centric``, and where each ranking acts; such rows as they are."""
    if "setting" in df:
        return df
    chosen = df["part"].isin(("curve", "ranking")) & (df["epochs"] == "all")
    return df[chosen].rename(columns={"noise": "setting"})[list(FOUND)]


def gained_rows(df: pd.DataFrame) -> pd.DataFrame:
    """Return the trainings of a study ``data_centric``; rows that are in this form as they are."""
    if "setting" in df:
        return df
    return df[df["part"] == "retraining"].rename(columns={"noise": "setting"})[list(GAINED)]


@FIGURES.register(
    "suspects_found",
    label="Rankings find wrong labels well where noise is symmetric, less well where it follows look-alikes.",
    source="Talk, slides 11 and 43; Swayamdipta et al. 2020; Northcutt, Jiang, Chuang 2021",
    rows="study:data_centric",
    prepare=found_rows,
    columns=FOUND,
)
def suspects_found(rows: pd.DataFrame) -> Figure:
    """Draw precision over recall down each ranking, mean over seeds, with the place up to which it is acted on."""
    settings = _settings(rows)
    chart, axes = canvas(1, len(settings), (5.4 * len(settings), 4.6), sharey=True)
    rankers = sorted(dict.fromkeys(rows["ranker"]), key=_place)
    for ax, setting in zip(axes, settings, strict=True):
        part = rows[rows["setting"] == setting]
        for ranker in rankers:
            _found(ax, part[part["ranker"] == ranker], ranker, setting)
        share = 100 * part.loc[part["part"] == "ranking", "wrong"].mean()
        ax.axhline(share, **Style("0.55", DOTTED).line(linewidth=1.2, gid=f"{setting}/chance"))
        ax.set_title(f"{setting} ({share:.0f} % wrong)", fontsize=10, fontweight="bold", loc="left")
        ax.set(xlabel="wrong labels found: recall (%)", xlim=(-2, 102), ylim=(0, 104))
    axes[0].set_ylabel("of the suspects, truly wrong: precision (%)")
    handles = [sample(_said(ranker), **_look(ranker).line(linewidth=1.8)) for ranker in rankers]
    handles += [sample("acted on, without the truth", **Style(INK).dot(markersize=7))]
    handles += [sample("suspects drawn by lot", **Style("0.55", DOTTED).line())]
    key(axes[-1], handles, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    chart.suptitle("Wrong labels found: what tells them from right ones depends on the noise", fontsize=11)
    return chart


@FIGURES.register(
    "data_and_model",
    label="A robust method on noisy labels, plain training on labels dropped or corrected, and both together.",
    source="Talk, slides 41 and 43",
    rows="study:data_centric",
    prepare=gained_rows,
    columns=GAINED,
)
def data_and_model(rows: pd.DataFrame) -> Figure:
    """Draw the test accuracy of each way to treat wrong labels, a panel a noise, grouped by approach; a dot a seed."""
    clean = 100 * rows.loc[rows["approach"] == CLEAN_LABELS, "test_acc"].mean()
    rows = rows[rows["approach"] != CLEAN_LABELS]
    settings, ways = _settings(rows), _ways(rows)
    chart, axes = canvas(
        1, len(settings), (5.0 * len(settings) + 2.2, 0.36 * len(ways) + 1.7), sharex=True, sharey=True
    )
    for ax, setting in zip(axes, settings, strict=True):
        for place, (way, words) in enumerate(ways.items()):
            part = rows[(rows["setting"] == setting) & (rows[list(GAINED[2:6])] == list(way)).all(axis=1)]
            _gained(ax, place, 100 * part["test_acc"], APPROACHES[way[0]], f"{setting}/{words}")
        ax.axvline(clean, **CLEAN.line(linewidth=1, gid=f"{setting}/clean"))
        ax.set_title(setting, fontsize=10, fontweight="bold", loc="left")
        ax.set(xlabel="test accuracy after the last epoch (%)", ylim=(len(ways) - 0.4, -0.6))
        ax.margins(x=0.12)
    axes[0].set_yticks(range(len(ways)), list(ways.values()), fontsize=9)
    axes[0].set_ylabel("what is changed")
    for tick, way in zip(axes[0].get_yticklabels(), ways, strict=True):
        tick.set_color(APPROACHES[way[0]].color)
    handles = [sample(name, **look.dot(markersize=7)) for name, look in APPROACHES.items()]
    handles += [
        sample("a seed", **Style(INK).dot(marker=".", markersize=4)),
        sample("CCE, clean labels", **CLEAN.line()),
    ]
    below: dict[str, Any] = {"loc": "outside lower center", "ncols": len(handles), "frameon": False, "fontsize": 8.5}
    chart.legend([artist for _, artist in handles], [words for words, _ in handles], **below)
    chart.suptitle("Wrong labels: change the model, the data, or both", fontsize=11)
    return chart


def _found(ax: Axes, rows: pd.DataFrame, ranker: str, setting: str) -> None:
    line = 100 * rows[rows["part"] == "curve"].groupby("k")[["precision", "recall"]].mean()
    ax.plot(line["recall"], line["precision"], **_look(ranker).line(linewidth=1.8, gid=f"{setting}/{ranker}"))
    acted = 100 * rows.loc[rows["part"] == "ranking", ["precision", "recall"]].mean()
    marked = _look(ranker).dot(marker=_look(ranker).marker, markersize=8, zorder=3, gid=f"{setting}/{ranker}/acted")
    ax.plot([acted["recall"]], [acted["precision"]], **marked)


def _gained(ax: Axes, place: int, values: pd.Series, look: Style, gid: str) -> None:
    ax.plot(values, np.full(len(values), place), **look.dot(marker=".", markersize=4))
    ax.plot([values.mean()], [place], **look.dot(markersize=8, gid=gid))
    ax.annotate(
        f"{values.mean():.1f}",
        (values.mean(), place),
        (0, 7),
        textcoords="offset points",
        ha="center",
        fontsize=8,
        color=look.color,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4},
    )


def _settings(rows: pd.DataFrame) -> list[str]:
    """Return the noises of the rows in the order in which they are registered."""
    return sorted(dict.fromkeys(rows["setting"]), key=lambda spec: list(NOISES).index(NOISES.parse(spec).name))


def _place(ranker: str) -> int:
    """Training dynamics come before confident learning; otherwise the order is that of the rows."""
    return int(not ranker.startswith("dynamics"))


def _ways(rows: pd.DataFrame) -> dict[tuple[str, ...], str]:
    """Return each way to train that stands in the rows, by approach, and its words."""
    found = [tuple(map(str, way)) for way in rows[list(GAINED[2:6])].drop_duplicates().itertuples(index=False)]
    found.sort(key=lambda way: (list(APPROACHES).index(way[0]), _place(way[1])))
    return {way: _way(*way) for way in found}


def _way(approach: str, ranker: str, action: str, method: str) -> str:
    label = METHODS.parse(method).entry.label
    if action == "none":
        return f"{label} on the noisy labels"
    acted = {"drop": "dropped", "correct": "corrected"}[action]
    return f"{_said(ranker)}: {acted}, then {label}"


def _said(ranker: str) -> str:
    kind, _, method = ranker.partition(" ")
    return f"dynamics of {METHODS.parse(method).entry.label}" if kind == "dynamics" else ranker


def _look(ranker: str) -> Style:
    kind, _, method = ranker.partition(" ")
    return style(method) if kind == "dynamics" else LEARNING
