"""Figures of adverse cases: a gallery in red boxes, human noise beside synthetic, and what gives each case away."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from robustdl_lib.plots.rows import require
from robustdl_lib.plots.style import BACKDROP, INK, PLAIN, Chart, canvas, heatmap, labels, sample, styles
from robustdl_lib.registry import DATASETS, FIGURES

RED = "#c1121f"
NOISE_COLUMNS = ("spec", "true", "given", "realised")
GALLERY_COLUMNS = ("group", "kind", "given", "true")
DETECTION_COLUMNS = ("dataset", "method", "seed", "seen", "kind", "score", "auroc")
KINDS = {"mislabelled": "mislabelled", "ambiguous": "ambiguous", "out of distribution": "out of\ndistribution"}
SCORES = {"1 - p_y": "$1 - p_y$", "entropy": "entropy $H(p)$", "1 - max p": "$1 - \\max p$"}
SEEN = {"training": "Trained on", "held out": "Never seen in training"}


def gallery(images: NDArray[np.uint8], rows: pd.DataFrame, white: float = 255.0) -> Figure:
    """Draw examples as thumbnails, a line of them a group, captioned with label and truth, the adverse in red boxes.

    images [K, channels, H, W] and rows [K] with the columns ``group``, ``kind`` (``ordinary`` has no box), ``given``
    and ``true`` in words; ``white``, the value of a white pixel. Source: Talk, slide 5. Raises ValueError where
    the two are not of one length, and as :func:`robustdl_lib.plots.rows.require`.
    """
    if len(images) != len(rows):
        raise ValueError(f"a gallery needs a row for each image, found {len(images)} images and {len(rows)} rows")
    require("gallery", rows, GALLERY_COLUMNS)
    groups = rows.reset_index(drop=True).groupby("group", sort=False)
    across = int(groups.size().max())
    whole = ConstrainedLayoutEngine(rect=(0.0, 0.012, 1.0, 0.988))  # the last captions hang below their axes
    chart = Chart(figsize=(1.22 * across, 1.8 * len(groups)), layout=whole)
    lines = chart.subfigures(len(groups), 1, squeeze=False).flat
    for part, (title, members) in zip(lines, groups, strict=True):
        part.suptitle(str(title), x=0.01, ha="left", fontsize=10, fontweight="bold")
        axes = part.subplots(1, across, squeeze=False).flat
        for ax in axes[len(members) :]:
            ax.set_axis_off()
        for ax, (place, row) in zip(axes, members.iterrows(), strict=False):
            _thumbnail(ax, images[int(place)] / white, row)
    return chart


def asymmetry(matrix: NDArray[np.float64]) -> float:
    """Return how far noise is from symmetric: the share of wrong labels that would have to be other wrong ones.

    A = sum_{i != j} |T_ij - r / (C - 1)| / (2 C r), with C r = sum_{i != j} T_ij, for a matrix T [C, C] -> [0, 1):
    0 where wrong labels spread evenly over all pairs of classes, near 1 where few pairs have them all; NaN where no
    label is wrong.
    """
    wrong = matrix[~np.eye(len(matrix), dtype=bool)]
    return float(np.abs(wrong - wrong.mean()).sum() / (2 * wrong.sum())) if wrong.sum() > 0 else float("nan")


def matrix_of(rows: pd.DataFrame, spec: str) -> pd.DataFrame:
    """Return the realised matrix [C, C] of one noise as a table by true and given class, in the rows' own order."""
    part = rows[rows["spec"] == spec]
    classes = list(dict.fromkeys(part["true"]))
    return part.pivot(index="true", columns="given", values="realised").loc[classes, classes]


@FIGURES.register(
    "human_noise",
    label="Synthetic noise and people's: their errors are neither even nor in a few pairs alone.",
    source="CIFAR-10N, Wei et al. 2022; Talk, slide 8",
    rows="study:transitions_cifar10n",
    columns=NOISE_COLUMNS,
)
def noises(rows: pd.DataFrame) -> Figure:
    """Draw the realised transition matrix of each noise, two a row, with its rate and asymmetry A in the title.

    rows: columns spec, true, given, realised.
    """
    specs = list(dict.fromkeys(rows["spec"]))
    down = -(-len(specs) // 2)
    chart, axes = canvas(down, 2, (9.6, 4.7 * down))
    for ax, spec in zip(axes, specs, strict=False):
        matrix = matrix_of(rows, spec)
        heatmap(ax, 100 * matrix)
        wrong = 100 * (1 - np.diag(matrix))
        said = f"{wrong.mean():.0f} % wrong, {wrong.min():.0f} to {wrong.max():.0f} % by class"
        ax.set_title(f"{spec}\n{said}, A = {asymmetry(matrix.to_numpy()):.2f}", fontsize=10)
        ax.set(xlabel="given label", ylabel="true class")
    for ax in axes[len(specs) :]:
        ax.set_axis_off()
    chart.suptitle("What share of a class (%) is given which label; A: distance from symmetric noise", fontsize=11)
    return chart


@FIGURES.register(
    "know_the_unknown_cifar10",
    label="What 1 - p_y, entropy and 1 - max p say of wrong, foreign and ambiguous photographs after training.",
    source="Talk, slides 7 and 8: know the unknown; detect, then ignore or correct",
    rows="study:know_the_unknown_cifar10",
    columns=DETECTION_COLUMNS,
)
def know_the_unknown_cifar10(rows: pd.DataFrame) -> Figure:
    """Draw :func:`detection` of the study of this name."""
    return detection(rows)


@FIGURES.register(
    "know_the_unknown",
    label="What 1 - p_y, entropy and 1 - max p say of wrong, foreign and ambiguous digits after training.",
    source="Talk, slides 7 and 8: know the unknown; detect, then ignore or correct",
    rows="study:know_the_unknown",
    columns=DETECTION_COLUMNS,
)
def detection(rows: pd.DataFrame) -> Figure:
    """Draw how well each score tells each kind from clean examples: AUROC, a dot a method, a small one a seed.

    rows: columns dataset (one), method, seed, seen, kind, score, auroc; other kinds and scores are left out.
    """
    looks, words = styles(rows["method"]), labels(rows["method"])
    chart, axes = canvas(1, len(SEEN), (10.4, 4.4), sharex=True, sharey=True)
    lines = [(kind, score) for kind in KINDS for score in SCORES]
    for ax, (seen, title) in zip(axes, SEEN.items(), strict=True):
        ax.set_title(title, fontsize=10, fontweight="bold", loc="left")
        ax.axvline(0.5, **BACKDROP.line(linewidth=1.2, gid=f"{seen}/chance"))
        for place, line in enumerate(lines):
            for turn, (method, look) in enumerate(looks.items()):
                found = rows[(rows["seen"] == seen) & (rows["method"] == method)].set_index(["kind", "score"])["auroc"]
                values = found[found.index == line].dropna()
                _dots(ax, values, place + 0.18 * (2 * turn - len(looks) + 1), look, f"{seen}/{method}/{'/'.join(line)}")
        ax.set_xlabel("AUROC against clean examples (0.5: no better than chance)")
    shown = rows.loc[rows["kind"].isin(KINDS) & rows["score"].isin(SCORES), "auroc"]
    axes[0].set_ylabel("what is asked of each kind of example")
    axes[0].yaxis.set_label_coords(-0.36, 0.5)
    axes[0].set_xlim(min(0.4, shown.min() - 0.03), 1.02)
    _name_lines(axes[0], lines)
    handles = [sample(words[method], **look.dot(marker=look.marker, markersize=7)) for method, look in looks.items()]
    handles += [sample("one seed", **PLAIN.dot(marker=".", markersize=4))] * (rows["seed"].nunique() > 1)
    marks = [mark for _, mark in handles]
    chart.legend(marks, [said for said, _ in handles], loc="outside lower center", ncols=len(marks), frameon=False)
    where = DATASETS.parse(rows["dataset"].iloc[0]).entry.label
    chart.suptitle(f"What the network's own output says about each kind of example: {where}", fontsize=11)
    return chart


def _thumbnail(ax: Axes, image: NDArray[np.float64], row: pd.Series) -> None:
    """Show one example without axes, its label and its truth beneath; enlarged smoothly, not in squares."""
    shown = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
    ax.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="lanczos")
    ax.set(xticks=[], yticks=[])
    adverse = row["kind"] != "ordinary"
    for spine in ax.spines.values():
        spine.set(color=RED if adverse else "0.7", linewidth=3 if adverse else 0.8)
    ax.set_xlabel(f"given {row['given']},\nis {row['true']}", fontsize=7.2, color=RED if adverse else INK, labelpad=3)


def _dots(ax: Axes, values: pd.Series, place: float, look: Any, gid: str) -> None:
    """Mark the mean over seeds, and each seed where there are several."""
    if len(values) > 1:
        ax.plot(values, [place] * len(values), **look.dot(marker=".", markersize=4, alpha=0.6, gid=f"{gid}/seeds"))
    ax.plot(
        [values.mean()] * bool(len(values)),
        [place] * bool(len(values)),
        **look.dot(marker=look.marker, markersize=7, gid=gid),
    )


def _name_lines(ax: Axes, lines: list[tuple[str, str]]) -> None:
    """Name each line by its score, and each block of lines by its kind of example, the first on top."""
    ax.set_yticks(range(len(lines)), [SCORES[score] for _, score in lines], fontsize=9)
    ax.set_ylim(len(lines) - 0.4, -0.6)
    for number, words in enumerate(KINDS.values()):
        middle = len(SCORES) * number + (len(SCORES) - 1) / 2
        place: dict[str, Any] = {"ha": "center", "va": "center", "rotation": 90, "fontsize": 9.5, "fontweight": "bold"}
        ax.text(-0.27, middle, words, transform=ax.get_yaxis_transform(), **place)
    for other in ax.figure.axes:
        for number in range(1, len(KINDS)):
            other.axhline(len(SCORES) * number - 0.5, color="0.8", linewidth=0.8)
