"""The figure of the explorer inside a notebook: emphasis densities, weights, and the trust of ProSelfLC."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from robustdl_lib.plots.style import PLAIN, STYLES, Chart, Style, canvas, key, labels, sample, styles

P_Y = "$p$, probability of the given label"
LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def panels(curves: pd.DataFrame, readings: pd.DataFrame, trust: pd.DataFrame, at: Mapping[str, float]) -> Chart:
    """Draw the explorer's panels: h(p) and w(p) with markers at psi, then g(t), l(p) and epsilon = g(t) l(p).

    curves: columns method, p, weight, density. readings: a row a method, with psi (NaN: no marker), peak and
    largest, the density and the weight at psi. trust: columns time, confidence, g, l, a row a pair. at: the sliders'
    time, confidence, g, l and epsilon.
    """
    looks = styles(readings.index)
    chart, axes = canvas(2, 3, (12.5, 6.4))
    for ax, (column, top, ylabel) in zip(axes, _WEIGHTING, strict=False):
        _curves(ax, curves, readings, column, top, looks)
        ax.set(xlabel=P_Y, ylabel=ylabel, xlim=(-0.02, 1.02))
    positive = curves["weight"].max() > 0
    axes[1].set(yscale="log" if positive else "linear", ylim=(min(0.01, curves["weight"].max() / 100), None))
    axes[2].set_axis_off()
    key(axes[2], _legend(readings, looks), fontsize=9, title="marker: emphasis mode $\\psi$")
    _trust(axes[3:], trust, at)
    return chart


_WEIGHTING = (("density", "peak", "emphasis density $h(p)$"), ("weight", "largest", "weight $w(p)$"))


def _curves(
    ax: Axes, curves: pd.DataFrame, readings: pd.DataFrame, column: str, top: str, looks: Mapping[str, Style]
) -> None:
    for spec, look in looks.items():
        line = curves[curves["method"] == spec]
        ax.plot(line["p"], line[column], **look.line(gid=f"{spec}/{column}"))
        if pd.notna(readings.loc[spec, "psi"]):
            spot: dict[str, Any] = {"marker": look.marker or "o", "clip_on": False, "zorder": 3}
            ax.plot(readings.loc[[spec], "psi"], readings.loc[[spec], top], **look.dot(gid=f"{spec}/psi", **spot))


def _legend(readings: pd.DataFrame, looks: Mapping[str, Style]) -> list[tuple[str, Any]]:
    words = labels(looks)
    told = {spec: "flat" if pd.isna(psi) else f"$\\psi$ = {psi:.2f}" for spec, psi in readings["psi"].items()}
    return [sample(f"{words[s]}, {told[s]}", **look.line(marker=look.marker or "o")) for s, look in looks.items()]


def _trust(axes: list[Axes], trust: pd.DataFrame, at: Mapping[str, float]) -> None:
    """Draw g over time, l over confidence and bands of their product over both, each marked where the sliders stand."""
    look = Style(STYLES["proselflc"].color)
    product = trust.assign(epsilon=trust["g"] * trust["l"]).pivot(index="confidence", columns="time", values="epsilon")
    in_time, in_confidence = trust.groupby("time")["g"].first(), trust.groupby("confidence")["l"].first()
    axes[0].plot(in_time, **look.line(gid="trust/g"))
    axes[1].plot(in_confidence, **look.line(gid="trust/l"))
    axes[2].contourf(product.columns, product.index, product, levels=list(LEVELS), cmap="Purples")
    places = ((at["time"], at["g"]), (at["confidence"], at["l"]), (at["time"], at["confidence"]))
    titles = (f"$g(t)$ = {at['g']:.3f}", f"$l(p)$ = {at['l']:.3f}", f"$\\epsilon = g(t)\\,l(p)$ = {at['epsilon']:.3f}")
    for ax, (x, y), title in zip(axes, places, titles, strict=True):
        ax.plot([x], [y], **PLAIN.dot(markersize=8, gid="trust/at", clip_on=False, zorder=3))
        ax.set_title(title, fontsize=10, fontweight="bold", loc="left")
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes[0].set(xlabel="time $t/T$", ylabel="trust by time")
    axes[1].set(xlabel="confidence, the largest $p$", ylabel="trust by confidence")
    axes[2].set(xlabel="time $t/T$", ylabel="confidence, the largest $p$")
