"""The talk's diagram of standard practice beside derivative manipulation: who makes the gradient, and from what.

It is registered as a ``diagram``: boxes and arrows, without axes to label.
"""

from itertools import pairwise
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from robustdl_lib.plots.style import INK, canvas, key, sample
from robustdl_lib.registry import FIGURES

PRACTICE = ("lane", "kind", "start", "end", "words", "formula")
RED = "#c1121f"
LANES = {
    "standard practice": (
        "softmax + loss",
        "$p \\rightarrow L(p_y)$",
        "derived from a loss: $\\dfrac{\\partial L}{\\partial z} = L'(p_y)\\,\\dfrac{\\partial p_y}{\\partial z}$",
    ),
    "derivative manipulation": (
        "softmax + DM",
        "$p \\rightarrow w(p_y)$",
        "designed for weighting: $\\nabla z = \\dfrac{w(p_y)}{2\\,(1 - p_y)}\\,(p - q)$",
    ),
}
NETWORK = (("input", "$x$", 0.0, 1.2), ("CNN", "", 2.4, 4.0), ("embedding + FC", "logits $z$", 5.2, 7.3))
LAST = (10.9, 13.2)


def practice_rows() -> pd.DataFrame:
    """Return the diagram as rows: lane, kind (box, forward, backward), start and end from left, words, formula.

    Source: Talk, slide 17 and eq. 2 and 4.
    """
    found: list[tuple[Any, ...]] = []
    for lane, (last, makes, gradient) in LANES.items():
        boxes = [*NETWORK, (last, makes, *LAST)]
        found += [(lane, "box", start, end, words, formula) for words, formula, start, end in boxes]
        gaps = [(left[3], right[2]) for left, right in pairwise(boxes)]
        found += [(lane, "forward", start, end, "", "") for start, end in gaps]
        said = [""] * (len(gaps) - 2) + ["by the chain rule", gradient]
        found += [
            (lane, "backward", start, end, words, "")
            for (end, start), words in zip(gaps[1:], said[1:], strict=True)  # the input is not changed
        ]
    return pd.DataFrame(found, columns=PRACTICE)


@FIGURES.register(
    "standard_practice",
    label="Back-propagation starts from a derivative: standard practice derives it from a loss, DM states it.",
    source="Talk, slide 17",
    rows=practice_rows,
    columns=PRACTICE,
    diagram=True,
)
def standard_practice(rows: pd.DataFrame) -> Figure:
    """Draw each lane's boxes from left to right, its forward arrows black above, its backward arrows red below."""
    rows = rows.fillna({"words": "", "formula": ""})
    lanes = list(dict.fromkeys(rows["lane"]))
    chart, axes = canvas(len(lanes), 1, (11.4, 1.75 * len(lanes) + 0.4))
    for ax, lane in zip(axes, lanes, strict=True):
        _lane(ax, rows[rows["lane"] == lane], lane)
    looks = {"forward": "black", "backward: the gradient": RED}
    handles = [sample(words, color=color, linewidth=1.8) for words, color in looks.items()]
    key(axes[0], handles, loc="upper right", fontsize=9, ncols=2, bbox_to_anchor=(1.0, 1.2))
    chart.suptitle("The same network, the same direction: only the right end differs", fontsize=11)
    return chart


def _lane(ax: Axes, rows: pd.DataFrame, lane: str) -> None:
    ax.set_axis_off()
    ax.set(xlim=(-0.2, rows["end"].max() + 0.2), ylim=(-1.05, 0.6))
    ax.set_title(lane.capitalize(), fontsize=10, fontweight="bold", loc="left")
    for row in rows.itertuples(index=False):
        gid = f"{lane}/{row.kind}/{row.words}"
        if row.kind == "box":
            _box(ax, row, gid)
            continue
        back = row.kind == "backward"
        arrow = {"arrowstyle": "-|>", "color": RED if back else "black", "linewidth": 1.8, "shrinkA": 2, "shrinkB": 2}
        height = -0.28 if back else 0.28
        ax.annotate("", (row.end, height), (row.start, height), arrowprops=arrow, gid=gid)
        middle = (row.start + row.end) / 2
        size = 11 if "$" in row.words else 9
        ax.text(middle, -0.62, row.words, ha="center", va="top", fontsize=size, color=RED)


def _box(ax: Axes, row: Any, gid: str) -> None:
    size = (row.end - row.start, 1.1)
    look: dict[str, Any] = {
        "boxstyle": "round,pad=0,rounding_size=0.12",
        "facecolor": "0.95",
        "edgecolor": INK,
        "linewidth": 1.2,
    }
    ax.add_patch(FancyBboxPatch((row.start, -0.55), *size, gid=gid, **look))
    middle = (row.start + row.end) / 2
    ax.text(middle, 0.2 if row.formula else 0.0, row.words, ha="center", va="center", fontsize=9.5)
    ax.text(middle, -0.25, row.formula, ha="center", va="center", fontsize=10)
