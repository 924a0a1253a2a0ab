"""Figures of the reproduction report: published orders and numbers beside ours, and what became of each claim."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustdl_lib.plots.style import INK, Style, canvas, key, sample, spread, style
from robustdl_lib.registry import FIGURES, METHODS
from robustdl_lib.report import claims, comparison, published, verdicts

ORDERS = {
    "Example weighting": ("dm_table_7", "symmetric:0.4", "published: CIFAR-10,\nResNet-56, symmetric"),
    "Target modification": (
        "proselflc_tables_4_5",
        "asymmetric_pairs:0.4",
        "published: CIFAR-100,\nResNet-44, asymmetric",
    ),
}
"""The published orders that are drawn beside ours: their table, its noise, and in words where they were measured."""
OURS = "ours: digits,\nResNet-20, symmetric"
COLORS = {"good": "#1b7837", "bad": "#b2182b", "unsure": "#b8860b", "open": "0.6"}
MARKS = {"good": "o", "bad": "X", "unsure": "s", "open": "d"}
DATA = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
COMPARED = ("panel", "spec", "label", "published", "ours", "spread", "tolerance", "verdict")
TESTED = ("group", "claim", "published", "measured", "asked", "tolerance", "seeds", "verdict")
ROOM = 0.085


def compared_rows(shelf: str = "reference") -> pd.DataFrame:
    """Return the rows of :func:`published_against_ours`, a row a method of an order and a published number.

    The orders are of the committed digits, the numbers of a shelf's runs of the papers' networks.

    Columns panel, spec, label, published, ours, spread (deviation over seeds), tolerance, verdict; in per cent.
    """
    runs = claims.measures(claims.profile_rows("reference"))
    parts = [_order(panel, table, noise, runs) for panel, (table, noise, _) in ORDERS.items()]
    found = comparison.paper_rows(shelf)
    lines = comparison.compared(found, found.iloc[:0])
    lines = lines[lines["unit"].isin(["%", "share"]) & (lines["verdict"] != verdicts.OTHER)]
    scale = lines["unit"].map({"%": 1.0, "share": 100.0})
    numbers = {"panel": "numbers", "spec": "", "label": lines["id"], "published": scale * lines["published"]}
    numbers |= {"ours": scale * lines["reference"], "spread": np.nan}
    numbers |= {"tolerance": scale * lines["tolerance"], "verdict": lines["verdict"]}
    return pd.concat([*parts, pd.DataFrame(numbers)], ignore_index=True)[list(COMPARED)]


def tested_rows() -> pd.DataFrame:
    """Return the committed rows of :func:`claims_tested`, a row a claim, in points."""
    runs = claims.measures(claims.profile_rows("reference"))
    lines = claims.evaluated(runs, runs.iloc[:0]).rename(columns={"reference": "measured"})
    return lines.assign(asked=lines["measured"] - lines["difference"])[list(TESTED)]


def papers_tested_rows(shelf: str = "reference") -> pd.DataFrame:
    """Return the rows of :func:`claims_in_the_papers_setting`: a row a claim, of the first profile that has runs of it.

    ``claim`` says the profile where it is no setting of a paper, and the data set.
    """
    runs = {home: claims.measures(claims.profile_rows(shelf, home)) for home in comparison.HOMES}
    tables = {home: claims.evaluated(found, found.iloc[:0], home).set_index("id") for home, found in runs.items()}
    whole, *others = tables.values()
    chosen = whole.assign(home=comparison.HOMES[0])
    for home, table in zip(comparison.HOMES[1:], others, strict=True):
        lacking = chosen.index[(chosen["seeds"] == 0) & (table["seeds"] > 0)]
        chosen.loc[lacking] = table.loc[lacking].assign(home=home)
    words = chosen["claim"] + ", " + chosen["setting"].str.partition(",")[0].map(DATA)
    words += chosen["home"].map(lambda home: "" if home == comparison.HOMES[0] else f" ({home})")
    asked = [claim.least for claim in claims.read() if claim.name in set(chosen.index)]
    return chosen.assign(claim=words, measured=chosen["reference"], asked=asked)[list(TESTED)].reset_index(drop=True)


@FIGURES.register(
    "published_against_ours",
    label="Published orders come back on digits where gaps are wide; published numbers wait for runs of their setting.",
    source="Talk, slide 11, by its papers: DM, Table 7; ProSelfLC, Tables 4 and 5; all of published.csv",
    rows=compared_rows,
    columns=COMPARED,
    papers=comparison.paper_runs,
)
def published_against_ours(rows: pd.DataFrame) -> Figure:
    """Draw the published order of methods beside ours, two groups, and the numbers that have a counterpart."""
    chart, axes = canvas(1, 3, (14.0, 5.0), width_ratios=(1, 1, 1.05))
    for ax, (panel, (_, _, where)) in zip(axes, ORDERS.items(), strict=False):
        _slopes(ax, rows[rows["panel"] == panel], panel, where)
    _numbers(axes[2], rows[rows["panel"] == "numbers"])
    chart.suptitle(
        "Test accuracy after training with 40 % noise, published and ours (%, $\\pm$: seeds). Data and networks of the "
        "two left panels differ: compare orders, not values",
        fontsize=11,
    )
    return chart


@FIGURES.register(
    "claims_tested",
    label="Each claim as a difference that should lie right of what it asks for, with what chance can do to it.",
    source="Talk, slides 11, 23 and 36 to 38; DM, IMAE and ProSelfLC, as in claims.csv",
    rows=tested_rows,
    columns=TESTED,
)
def claims_tested(rows: pd.DataFrame) -> Figure:
    """Draw each claim's measured difference with its spread, the published one hollow, coloured by verdict."""
    return _claims(rows, "Claims of the talk and the papers, tested on handwritten digits", "published, elsewhere")


@FIGURES.register(
    "claims_in_the_papers_setting",
    label="The same claims on the papers' own data and networks, as far as there are runs.",
    source="Talk, slides 11, 23 and 36 to 38; DM, IMAE and ProSelfLC, as in claims.csv",
    rows=papers_tested_rows,
    columns=TESTED,
    papers=comparison.paper_runs,
)
def claims_in_the_papers_setting(rows: pd.DataFrame) -> Figure:
    """Draw each claim's difference on the rows of the papers' networks, with what was published of the same setting."""
    return _claims(rows, "Claims of the talk and the papers, tested in the papers' own setting", "published")


def _claims(rows: pd.DataFrame, title: str, diamonds: str) -> Figure:
    """Draw a line a claim, group by group; ``diamonds`` says what the hollow marks are."""
    chart, (ax,) = canvas(1, 1, (9.6, 0.235 * (len(rows) + rows["group"].nunique()) + 1.5))
    place, ticks = 0.0, []
    for group, part in rows.groupby("group", sort=False):
        ax.text(
            -0.005,
            place,
            str(group),
            transform=ax.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=8.5,
            fontweight="bold",
        )
        for row in part.to_dict("records"):
            place += 1
            ticks.append((place, row["claim"]))
            _claim(ax, place, row)
        place += 1.2
    ax.axvline(0, color=INK, linewidth=1)
    ax.set_yticks([at for at, _ in ticks], [words for _, words in ticks], fontsize=8)
    ax.set(ylabel="claim", ylim=(place - 0.6, -0.8))
    ax.set_xlabel(
        "difference (points): a claim holds if its bar lies right of the line, or of its own tick", loc="right"
    )
    ax.grid(visible=False, axis="y")
    counts = rows["verdict"].value_counts()
    handles = [
        sample(f"{word}: {counts.get(word, 0)}", **Style(COLORS[kind]).dot(marker=MARKS[kind], markersize=6))
        for word in (verdicts.HOLDS, verdicts.UNSURE, verdicts.FAILS, verdicts.NO_RUN)
        for kind in (verdicts.kind(word),)
    ]
    handles.append(sample(diamonds, **Style(INK).dot(hollow=True, marker="D", markersize=5)))
    key(ax, handles, loc="lower center", bbox_to_anchor=(0.3, 1.0), ncols=len(handles), handlelength=1.2, fontsize=8)
    chart.suptitle(title, fontsize=11)
    return chart


def _order(panel: str, table: str, noise: str, runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row a method of a published table that our rows have: its number there and ours, last epoch."""
    numbers = published.read()
    numbers = numbers[(numbers["table"] == table) & (numbers["noise"] == noise) & (numbers["quantity"] == "last")]
    lines = []
    for row in numbers.to_dict("records"):
        spec = claims.setting(METHODS.parse(row["method"]).name)
        ours = runs.loc[(runs["noise"] == "symmetric:0.4") & (runs["method"] == spec), "last"].astype(float)
        if ours.empty:
            continue
        line = {"panel": panel, "spec": spec, "label": row["label"], "published": row["value"], "ours": ours.mean()}
        lines.append(line | {"spread": ours.std(), "tolerance": np.nan, "verdict": ""})
    return pd.DataFrame(lines)


def _slopes(ax: Axes, rows: pd.DataFrame, panel: str, where: str) -> None:
    """Draw a line a method from its published accuracy to ours, each side on its own scale, labelled at both ends."""
    sides = {name: _scaled(rows[name]) for name in ("published", "ours")}
    words = {name: _places(values) for name, values in sides.items()}
    for index, row in rows.iterrows():
        look, ends = style(row["spec"]), [sides[name][index] for name in sides]
        ax.plot([0, 1], ends, **look.line(linewidth=2, marker="o", markersize=5, gid=f"{panel}/{row['spec']}"))
        said: dict[str, Any] = {"va": "center", "fontsize": 9, "color": look.color, "fontweight": "bold"}
        ax.text(-0.06, words["published"][index], f"{row['label']}  {row['published']:.1f}", ha="right", **said)
        ax.text(
            1.06,
            words["ours"][index],
            f"{row['ours']:.1f} $\\pm$ {row['spread']:.1f}  {row['label']}",
            ha="left",
            **said,
        )
    ax.set(xlim=(-0.84, 2.05), ylim=(-0.06, 1.06), yticks=[], ylabel="test accuracy, from lowest to highest")
    ax.set_xticks([0, 1], [where, OURS], fontsize=8)
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False)
    ax.set_title(f"{panel}: who ends above whom", fontsize=10, fontweight="bold", loc="left")


def _numbers(ax: Axes, rows: pd.DataFrame) -> None:
    """Draw ours over published with the band of the papers' repeats; numbers without a run as ticks at the bottom."""
    met = rows[rows["ours"].notna()]
    ax.plot([0, 100], [0, 100], color=INK, linewidth=1)
    near = verdicts.REPEATS
    ax.fill_between(
        [0, 100], [-near, 100 - near], [near, 100 + near], color="0.85", linewidth=0, label=f"{near:g} points"
    )
    for word in (verdicts.INSIDE, verdicts.OUTSIDE):
        part, kind = met[met["verdict"] == word], verdicts.kind(word)
        dots = Style(COLORS[kind]).dot(marker=MARKS[kind], markersize=5, gid=f"numbers/{kind}")
        ax.plot(part["published"], part["ours"], label=f"{word}: {len(part)}", **dots)
    waiting = rows.loc[rows["ours"].isna(), "published"]
    ticks = Style("0.45").dot(marker="|", markersize=11, gid="numbers/open")
    ax.plot(waiting, np.full(len(waiting), 2.5), label=f"no run yet: {len(waiting)}", **ticks)
    if met.empty:
        ax.text(
            66,
            26,
            f"no run yet:\n0 of {len(rows)} published numbers\nhave a counterpart here",
            ha="center",
            va="center",
            fontsize=10,
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "0.8", "pad": 5},
        )
    ax.set(xlabel="published (%)", ylabel="ours, same data, network and noise (%)", xlim=(0, 100), ylim=(0, 100))
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    ax.set_title("Published numbers, one by one", fontsize=10, fontweight="bold", loc="left")


def _claim(ax: Axes, place: float, row: dict[Any, Any]) -> None:
    kind, value = verdicts.kind(row["verdict"]), row["measured"]
    look = Style(COLORS[kind])
    if row["asked"]:
        ax.plot([row["asked"]] * 2, [place - 0.4, place + 0.4], color=INK, linewidth=2)
    if not np.isnan(row["published"]):
        ax.plot([row["published"]], [place], **Style("0.45").dot(hollow=True, marker="D", markersize=4.5))
    if not np.isnan(row["tolerance"]):
        ax.plot([value - row["tolerance"], value + row["tolerance"]], [place] * 2, **look.line(linewidth=1.8))
    ax.plot([value], [place], **look.dot(marker=MARKS[kind], markersize=6, gid=f"claim/{row['claim']}"))


def _scaled(values: pd.Series) -> pd.Series:
    """Return values spread over [0, 1], the largest at the top."""
    width = float(values.max() - values.min()) or 1.0
    return (values - values.min()) / width


def _places(values: pd.Series) -> pd.Series:
    return pd.Series(spread(list(values), ROOM), index=values.index)
