"""The figure of noise rates in the papers' own setting: published accuracies, and ours beside them where rows exist."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustdl_lib.plots.style import DASHED, INK, Style, canvas, end_labels, key, sample, say_if_empty, style
from robustdl_lib.registry import FIGURES, METHODS, NOISES
from robustdl_lib.report import comparison, published
from robustdl_lib.report.dynamics import TALK
from robustdl_lib.runs.setting import MODIFICATION, WEIGHTING

COLUMNS = ("panel", "method", "rate", "who", "value", "spread", "seeds", "profile")
PANELS = {
    "weighting": ("cifar10", "symmetric", ("cce", "gce", "dm", "proselflc"), "CIFAR-10, ResNet-56, symmetric"),
    "modification": ("cifar100", "symmetric", TALK, "CIFAR-100, ResNet-44, symmetric"),
    "pairs": ("cifar100", "asymmetric_pairs", TALK, "CIFAR-100, ResNet-44, in pairs"),
}
"""The panels of accuracies: data set, noise, methods, title."""
MODE = "mode"
MARKS = dict(zip(comparison.HOMES, ("o", "s"), strict=True))
"""The marker of ours, by profile."""
LR = 0.1
"""The rate of all these tables; DM's Table 7 has another and is left out."""


def rate_rows(shelf: str = "reference") -> pd.DataFrame:
    """Return the published numbers and those of a shelf, columns :data:`COLUMNS`, accuracies in per cent.

    A panel of :data:`PANELS` has a row a method and rate: the last test accuracy, ``who`` published or ours, with the
    standard deviation over seeds. DM is the one of its modes that ends best. The panel ``mode`` holds the emphasis mode
    of that DM. ``profile`` is that of our rows.
    """
    parts = [published_rows(), _ours(comparison.paper_rows(shelf))]
    rows = pd.concat(parts, ignore_index=True).reindex(columns=list(COLUMNS))
    return rows.astype(dict.fromkeys(("rate", "value", "spread", "seeds"), float))


def published_rows() -> pd.DataFrame:
    """Return the published numbers alone, in the same columns."""
    numbers = published.read()
    numbers = numbers[numbers["network"].map(published.ours) & (numbers["noise"] != "")]
    numbers = numbers[numbers["lr"].isna() | np.isclose(numbers["lr"], LR)]
    modes = numbers[numbers["quantity"] == "emphasis_mode"]
    steps = {"panel": MODE, "method": "dm", "rate": modes["noise"].map(_rate), "value": modes["value"]}
    lasts = numbers[numbers["quantity"] == "last"]
    lasts = lasts.assign(name=[METHODS.parse(spec).name for spec in lasts["method"]]).drop_duplicates(
        ["dataset", "noise", "method"]
    )
    best = lasts.groupby(["dataset", "noise", "name"], as_index=False)["value"].max()
    found = [_panel(best.rename(columns={"name": "method"})), pd.DataFrame(steps)]
    return pd.concat(found, ignore_index=True).assign(who="published").reindex(columns=list(COLUMNS))


def _ours(runs: pd.DataFrame) -> pd.DataFrame:
    """Return our rows of each panel, of each profile those that no profile before it has."""
    known = [str(METHODS.parse(spec)) for spec in (*WEIGHTING, *MODIFICATION)]
    specs = {spec: METHODS.parse(str(spec)) for spec in runs["method"].unique()}
    names = runs["method"].map(lambda spec: specs[spec].name)
    shown = runs[(names == "dm") | runs["method"].isin(known)]
    shown = shown[np.isclose(shown["lr"].astype(float), LR)]
    groups = shown.groupby(["dataset", "noise", "method", "home"], as_index=False)
    means = groups["last"].agg(value="mean", spread="std", seeds="size")
    means["first"] = [comparison.HOMES.index(home) for home in means["home"]]
    means["name"] = [specs[spec].name for spec in means["method"]]
    means = means.sort_values(["first", "value"], ascending=[True, False])
    best = means.drop_duplicates(["dataset", "noise", "name"]).rename(columns={"home": "profile"})
    found = [_panel(best.drop(columns="method").rename(columns={"name": "method"})), _modes(means, specs)]
    return pd.concat(found, ignore_index=True).assign(who="ours")


def _modes(means: pd.DataFrame, specs: dict[Any, Any]) -> pd.DataFrame:
    """Return the mode of the DM that ends best, by rate, where several were tried; one that weighs all alike has none.

    means: a row a setting, the best of the first profile first.
    """
    rows = means[(means["name"] == "dm") & (means["dataset"] == "cifar10")]
    knobs = [specs[spec].values for spec in rows["method"]]
    psi = [knob["lam"] / (knob["lam"] + 1) if knob["beta"] else math.nan for knob in knobs]
    rows = rows.assign(panel=MODE, method="dm", rate=rows["noise"].map(_rate), value=psi, spread=np.nan)
    rows = rows.rename(columns={"home": "profile"}).dropna(subset=["rate", "value"])
    tried = rows.groupby(["rate", "profile"])["value"].transform("nunique")
    rows = rows[tried >= comparison.LEAST_MODES].drop_duplicates("rate")
    return rows[[name for name in COLUMNS if name != "who"]].sort_values("rate")


def _panel(best: pd.DataFrame) -> pd.DataFrame:
    """Return rows of (dataset, noise, method) with their panel and rate; clean labels belong to each noise."""
    parts = []
    for panel, (dataset, family, methods, _) in PANELS.items():
        mine = best[(best["dataset"] == dataset) & best["method"].isin(methods)]
        mine = mine[mine["noise"].map(lambda noise: NOISES.parse(noise).name).isin([family, "none"])]
        parts.append(mine.assign(panel=panel, rate=mine["noise"].map(_rate)).sort_values(["method", "rate"]))
    return pd.concat(parts, ignore_index=True)


def _rate(noise: str) -> float:
    spec = NOISES.parse(noise)
    return float(spec.values.get("rate", 0.0 if spec.name == "none" else math.nan))


@FIGURES.register(
    "accuracy_by_rate",
    label="The more wrong labels, the more a method matters: published accuracies hollow, ours filled where there are.",
    source="Talk, slides 11 and 23, by its papers: DM, Table 9; ProSelfLC, Tables 4 and 5",
    rows=rate_rows,
    columns=COLUMNS,
    papers=comparison.paper_runs,
)
def accuracy_by_rate(rows: pd.DataFrame) -> Figure:
    """Draw last test accuracy against the noise rate, a panel a data set and noise, and DM's best emphasis mode."""
    chart, axes = canvas(1, 4, (16.0, 4.6), width_ratios=(1, 1, 1, 0.8))
    chart.set_layout_engine("constrained", wspace=0.06)
    for ax, (panel, (*_, methods, title)) in zip(axes, PANELS.items(), strict=False):
        _accuracies(ax, rows[rows["panel"] == panel], methods)
        ax.set_title(title, fontsize=10, fontweight="bold", loc="left")
    _mode(axes[3], rows[rows["panel"] == MODE])
    chart.suptitle(
        "Test accuracy after training against the share of wrong labels, in the papers' own setting", fontsize=11
    )
    return chart


def _accuracies(ax: Axes, rows: pd.DataFrame, methods: tuple[str, ...]) -> None:
    ends = []
    ax.set(xlabel="noise rate", ylabel="test accuracy after the last epoch (%)")
    low, high = rows["value"].min(), rows["value"].max()
    ax.set_ylim(max(-2.0, low - 0.35 * (high - low)), high + 0.08 * (high - low))
    for method in methods:
        look, shown = style(method), rows[rows["method"] == method].sort_values("who", ascending=False, kind="stable")
        for who, line in shown.groupby("who", sort=False):
            _line(ax, line, look, f"{method}/{who}", ours=who == "ours")
        right = shown[shown["rate"] == shown["rate"].max()].sort_values("who").head(1)  # ours, where they reach there
        label = METHODS.parse(method).entry.label
        ends += [(label, row["rate"], row["value"], look.color) for row in right.to_dict("records")]
    end_labels(ax, ends, height=3.6)
    key(ax, _handles(rows), loc="lower left", fontsize=8)


def _line(ax: Axes, line: pd.DataFrame, look: Style, gid: str, *, ours: bool, **more: Any) -> None:
    """Draw published points hollow and dashed; ours filled, with their spread, a marker a profile."""
    if not ours:
        dots = look.dot(hollow=True, markersize=6, gid=gid)
        ax.plot(line["rate"], line["value"], **{**dots, "linestyle": DASHED, "linewidth": 1, **more})
        return
    ax.plot(line["rate"], line["value"], color=look.color, linewidth=1.8, gid=gid, **more)
    for home, points in line.groupby("profile"):
        dots = look.dot(marker=MARKS[str(home)], markersize=6, capsize=3, gid=f"{gid}/{home}")
        ax.errorbar(points["rate"], points["value"], yerr=points["spread"], **dots)


def _mode(ax: Axes, rows: pd.DataFrame) -> None:
    for who, line in rows.groupby("who", sort=False):
        _line(ax, line, style("dm"), f"mode/{who}", ours=who == "ours", drawstyle="steps-mid")
    ax.set(xlabel="noise rate", ylabel="emphasis mode $\\psi$ of the DM that ends best", ylim=(-0.05, 0.95))
    ax.set_yticks([0, 1 / 3, 1 / 2, 2 / 3], ["0", "1/3", "1/2", "2/3"])
    ax.set_title("CIFAR-10: the best mode", fontsize=10, fontweight="bold", loc="left")
    say_if_empty(ax, len(rows), "no mode is known")
    key(ax, _handles(rows), loc="upper left", fontsize=8)


def _handles(rows: pd.DataFrame) -> list[tuple[str, Any]]:
    """Return what the marks of a panel mean: published, ours with the profile where it is not the papers' whole one."""
    handles = [sample("published", **{**Style(INK).dot(hollow=True), "linestyle": DASHED})]
    homes = [home for home in MARKS if home in set(rows.loc[rows["who"] == "ours", "profile"])]
    for home in homes:
        words = "ours, sd over seeds" + (f", {home}" if home != comparison.HOMES[0] else "")
        handles.append(sample(words, **{**Style(INK).dot(marker=MARKS[home]), "linestyle": "-"}))
    return handles if homes else [*handles, sample("ours: no run yet", linestyle="")]
