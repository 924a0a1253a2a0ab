"""Figures of splits: what copies across a split do to a score, and what crosses CIFAR's border."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from robustdl_lib.plots.rows import require
from robustdl_lib.plots.style import BACKDROP, DASHED, INK, Chart, Style, canvas, key, sample
from robustdl_lib.registry import FIGURES

SCORES = ("data", "cut", "split_seed", "learner", "test_acc")
BORDER = ("data", "distance", "share", "same", "other", "near_acc", "far_acc", "all_acc")
PAIRS = ("data", "distance", "test_class", "train_class")
TITLES = {
    "copies": "Copies, labels true",
    "copies, 40 % wrong": "Copies, 40 % of labels wrong",
    "copies, labels drawn": "Copies, labels drawn by lot",
    "digits": "The digits as they are",
}
CEILINGS = {"copies, 40 % wrong": 60.0, "copies, labels drawn": 10.0}
"""What the true class, or a guess, scores on labels that are wrong at that rate: more is remembered, not understood."""
LOOKS = {"1-NN": Style("#d55e00", "-", "o"), "resnet8": Style("#0072b2", "-", "s")}
LEARNERS = {"1-NN": "nearest neighbour", "resnet8": "ResNet-8"}
SETS = {"cifar10": ("CIFAR-10", "#0072b2", 3.25), "cifar100": ("CIFAR-100", "#d55e00", 10.0)}
"""Name, colour, and the share in % of test images with a duplicate. Source: Barz and Denzler 2020."""


@FIGURES.register(
    "split_scores",
    label="Copies on both sides of a random split make memorising look like understanding; a clustered split tells.",
    source="Talk, slide 12; after Bileschi et al. 2022",
    rows="study:split_scores",
    columns=SCORES,
)
def split_scores(rows: pd.DataFrame) -> Figure:
    """Draw the test accuracy by split, a panel a kind of data: the mean of each model, and a small dot a seed."""
    kinds = list(dict.fromkeys(rows["data"]))
    counts = [rows.loc[rows["data"] == kind, "cut"].nunique() for kind in kinds]
    chart, axes = canvas(1, len(kinds), (0.82 * sum(counts) + 1.2, 3.9), sharey=True, width_ratios=counts)
    for ax, kind in zip(axes, kinds, strict=True):
        _scores(ax, rows[rows["data"] == kind], kind)
    axes[0].set(ylabel="test accuracy (%)", ylim=(-6, 110))
    handles = [sample(LEARNERS.get(name, name), **look.dot(marker=look.marker)) for name, look in LOOKS.items()]
    handles += [sample("all there is to understand", **Style(INK, DASHED).line())]
    key(axes[-1], handles, loc="lower left", fontsize=8)
    chart.suptitle(
        "One data set, one learner, several splits: copies on both sides hide how little was understood", fontsize=11
    )
    return chart


@FIGURES.register(
    "border",
    label="Some CIFAR test images have a near-duplicate to learn from; on these a nearest neighbour is mostly right.",
    source="Talk, slide 12; after Barz and Denzler 2020",
    rows="study:border",
    columns=BORDER,
)
def border(rows: pd.DataFrame) -> Figure:
    """Draw how many test images have a training image within a distance, and how a nearest neighbour does on them."""
    chart, (left, right) = canvas(1, 2, (11.4, 4.1))
    for name, part in rows.groupby("data", sort=False):
        words, color, published = SETS[str(name)]
        found = part.set_index("distance")
        _counts(left, found, str(name), words, color, published)
        _accuracies(right, found, str(name), color)
    left.set_title("Test images with a training image that near", fontsize=10, fontweight="bold", loc="left")
    left.set(xlabel="distance of 8 x 8 standardised areas", ylabel="share of the test images (%)", yscale="log")
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    left.legend(frameon=False, fontsize=8, loc="lower right", handlelength=2.8)
    right.set_title("Nearest neighbour on these, and on the rest", fontsize=10, fontweight="bold", loc="left")
    right.set(xlabel="distance of 8 x 8 standardised areas", ylabel="accuracy (%)", ylim=(0, 118))
    handles = [sample("a training image that near", **Style(INK).line(marker="o", markersize=4))]
    handles += [sample("none that near", **Style(INK, DASHED).line()), sample("all", **BACKDROP.line())]
    key(right, handles, loc="upper center", fontsize=8, ncols=3)
    return chart


def closest_pairs(images: NDArray[np.uint8], rows: pd.DataFrame, across: int = 20) -> Figure:
    """Draw pairs as thumbnails, the test image above its nearest training image; a pair of two classes in a red box.

    images [K, 2, channels, H, W] (test, training) and rows [K] as of the study ``border_pairs``. Raises ValueError
    where the two are not of one length, and as :func:`robustdl_lib.plots.rows.require`.
    """
    require("closest_pairs", rows, PAIRS)
    if len(images) != len(rows):
        raise ValueError(f"pairs need a row for each two images, found {len(images)} and {len(rows)} rows")
    groups = rows.reset_index(drop=True).groupby("data", sort=False)
    lines = [
        (name, part.iloc[start : start + across]) for name, part in groups for start in range(0, len(part), across)
    ]
    chart = Chart(figsize=(0.68 * across, 1.9 * len(lines)), layout="constrained")
    grid = chart.subplots(len(lines), across, squeeze=False)
    for (name, part), axes in zip(lines, grid, strict=True):
        for ax in axes:
            ax.set_axis_off()
        for ax, (place, row) in zip(axes, part.iterrows(), strict=False):
            _pair(ax, images[int(place)], row)
        axes[0].set_ylabel(SETS[str(name)][0], fontsize=9, fontweight="bold")
    return chart


def _scores(ax: Axes, rows: pd.DataFrame, kind: str) -> None:
    splits = list(dict.fromkeys(rows["cut"]))
    if kind in CEILINGS:
        ax.axhline(CEILINGS[kind], **Style(INK, DASHED).line(linewidth=1.2, gid=f"{kind}/ceiling"))
    for turn, (learner, look) in enumerate(LOOKS.items()):
        means = 100 * rows[rows["learner"] == learner].groupby("cut", sort=False)["test_acc"].mean()
        middle = [place + 0.3 * turn - 0.15 for place in range(len(splits))]
        ax.plot(middle, means.loc[splits], **look.line(linewidth=1, alpha=0.5, gid=f"{kind}/{learner}"))
        for x, split in zip(middle, splits, strict=True):
            values = 100 * rows.loc[(rows["cut"] == split) & (rows["learner"] == learner), "test_acc"]
            gid = f"{kind}/{split}/{learner}"
            ax.plot([x] * len(values), values, **look.dot(marker=".", markersize=4, alpha=0.5, gid=f"{gid}/seeds"))
            ax.plot([x], [values.mean()], **look.dot(marker=look.marker, markersize=7, gid=gid))
            above = 1 - 2 * turn  # the first learner's number stands above its mark, the second's below
            side: dict[str, Any] = {"ha": "center", "va": "bottom" if above > 0 else "top", "fontsize": 7.5}
            place = (x, values.mean())
            ax.annotate(f"{place[1]:.0f}", place, (0, 6 * above), textcoords="offset points", color=look.color, **side)
    ax.set_xticks(range(len(splits)), [split.replace(":distance=", "\n") for split in splits], fontsize=8)
    ax.set_xlim(-0.6, len(splits) - 0.4)
    ax.set_title(TITLES.get(kind, kind), fontsize=10, fontweight="bold", loc="left")
    ax.set_xlabel("split")


def _counts(ax: Axes, found: pd.DataFrame, name: str, words: str, color: str, published: float) -> None:
    total = (found["same"] + found["other"]) / found["share"]
    seen = found[found["share"] > 0]
    ax.plot(100 * seen["share"], color=color, marker="o", markersize=4, label=words, gid=f"{name}/share")
    other = (100 * found["other"] / total)[found["other"] > 0]
    ax.plot(other, color=color, linestyle=DASHED, linewidth=1, label=f"{words}, of another class", gid=f"{name}/other")
    ax.axhline(published, color=color, linewidth=0.8, alpha=0.6, gid=f"{name}/published")
    told = f"{words} by eye: {published:g} %"
    ax.annotate(told, (found.index.min(), published), (0, 2), textcoords="offset points", fontsize=7.5, color=color)


def _accuracies(ax: Axes, found: pd.DataFrame, name: str, color: str) -> None:
    ax.plot(100 * found["near_acc"], color=color, marker="o", markersize=4, gid=f"{name}/near")
    ax.plot(100 * found["far_acc"], color=color, linestyle=DASHED, gid=f"{name}/far")
    ax.plot(100 * found["all_acc"], **BACKDROP.line(linewidth=1, zorder=0, gid=f"{name}/all"))


def _pair(ax: Axes, pair: NDArray[np.uint8], row: pd.Series) -> None:
    ax.imshow(np.concatenate([np.moveaxis(image, 0, -1) for image in pair]), interpolation="nearest")
    ax.set_axis_on()
    ax.set(xticks=[], yticks=[])
    apart = row["test_class"] != row["train_class"]
    for spine in ax.spines.values():
        spine.set(color="#c1121f" if apart else "0.7", linewidth=2.5 if apart else 0.6, visible=True)
    words = f"{row['test_class']}\n{row['train_class']}" if apart else row["test_class"]
    ax.set_xlabel(words.replace("_", " "), fontsize=6, color="#c1121f" if apart else INK, labelpad=2)
    ax.set_title(f"{row['distance']:.2f}", fontsize=6.5, pad=2)
