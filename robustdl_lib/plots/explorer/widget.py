"""The explorer inside a notebook: ipywidgets sliders whose figure and numbers come from the library as they move.

:mod:`robustdl_lib.plots.explorer.page` makes the page with the same sliders that needs no kernel. A notebook that is read
without a kernel shows the figure as it was when the cell ran.
"""

import html
import math
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd

from robustdl_lib.methods.targets import global_trust, local_trust
from robustdl_lib.plots.explorer.figure import panels
from robustdl_lib.plots.explorer.page import SHOWN, Slider, method_names, sliders, trust_sliders
from robustdl_lib.plots.style import SHOWN_DPI, render
from robustdl_lib.registry import METHODS, SpecError
from robustdl_lib.theory.gradients import emphasis_mode, emphasis_variance, integral, logits_at, weight_curve

DRAWN = np.linspace(0.0, 1.0, 301)
TIMES = np.linspace(0.0, 1.0, 61)


def explorer(methods: Sequence[str] = SHOWN, **trust: float) -> "Explorer":
    """Return the explorer as a widget: sliders of methods and of ProSelfLC's trust, a figure and the numbers.

    methods: the specs to show first, at most one of each method, such as ``["cce", "dm:beta=8,lam=1"]``; the others
    stand unticked. trust: where the sliders B, time, confidence, T and C start. Raises SpecError for an unknown
    method, knob or slider, and for a method that has no formula in p_y.
    """
    return Explorer(methods, trust)


def reading(spec: str) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return the drawn curves of a method (p, weight, density, method), and its psi, sigma, integral, largest, peak.

    sigma is for p uniform on [0, 1]; largest and peak are w and h at psi. Raises SpecError for a bad spec.
    """
    whole = weight_curve(spec)
    area, psi = integral(spec), emphasis_mode(spec)
    at_psi = float(weight_curve(spec, [psi])["weight"][0]) if math.isfinite(psi) else float(whole["weight"].max())
    share = 1 / area if area else math.nan
    drawn = weight_curve(spec, np.union1d(DRAWN, [psi] if math.isfinite(psi) else [])).assign(method=spec)
    numbers = {"psi": psi, "sigma": emphasis_variance(spec), "integral": area, "largest": at_psi}
    return drawn.assign(density=drawn["weight"] * share), {**numbers, "peak": at_psi * share}


class Explorer(ipywidgets.VBox):  # type: ignore[misc]
    """Sliders, figure and numbers. ``knobs``, ``trust`` and ``shown`` are the controls by name, such as ``dm.beta``.

    ``readings`` is a data frame with a row a shown method; ``trusted`` holds g, l and epsilon.
    """

    def __init__(self, methods: Sequence[str], trust: dict[str, float]) -> None:
        chosen = {(parsed := METHODS.parse(spec)).name: parsed.values for spec in methods}
        known = {slider.name: slider for slider in trust_sliders()}
        _refuse(chosen, method_names(), "method with a formula in p_y")
        _refuse(trust, known, "slider of the trust")
        _refuse_outside(trust, known)
        self.shown = {name: _tick(name, name in chosen) for name in method_names()}
        starts = {name: chosen.get(name, {}) for name in self.shown}
        pairs = [(name, slider) for name in self.shown for slider in sliders(name)]
        self.knobs = {f"{name}.{s.name}": _moved(s, starts[name].get(s.name, s.value)) for name, s in pairs}
        self.trust = {name: _moved(slider, trust.get(name, slider.value)) for name, slider in known.items()}
        self.readings, self.trusted = pd.DataFrame(), {"g": math.nan, "l": math.nan, "epsilon": math.nan}
        self._known: dict[str, tuple[pd.DataFrame, dict[str, float]]] = {}
        self.figure, self.numbers = ipywidgets.Image(format="png"), ipywidgets.HTML()
        super().__init__(children=[self._controls(), self.figure, self.numbers])
        for control in (*self.shown.values(), *self.knobs.values(), *self.trust.values()):
            control.observe(self._update, "value")
        self._update()

    def specs(self) -> list[str]:
        """Return the specs of the ticked methods, as their sliders stand."""
        return [str(METHODS.parse(self._spec(name))) for name, tick in self.shown.items() if tick.value]

    def _spec(self, name: str) -> str:
        moved = [f"{slider.name}={self.knobs[f'{name}.{slider.name}'].value!r}" for slider in sliders(name)]
        return f"{name}:{','.join(moved)}" if moved else name

    def _controls(self) -> Any:
        """Return the controls: a box a method, side by side as far as there is room, and one for the trust."""
        boxes = []
        for name, tick in self.shown.items():
            own = [self.knobs[f"{name}.{slider.name}"] for slider in sliders(name)]
            boxes.append(ipywidgets.VBox([tick, *own], layout=_layout(width="270px")))
        title = ipywidgets.HTML("<b>Trust of ProSelfLC</b>")
        boxes.append(ipywidgets.VBox([title, *self.trust.values()], layout=_layout(width="270px")))
        return ipywidgets.HBox(boxes, layout=_layout(flex_flow="row wrap"))

    def _update(self, _: Any = None) -> None:
        """Compute and draw what changed."""
        self.trust["confidence"].min = math.ceil(100 / self.trust["C"].value - 1e-9) / 100  # the largest of C
        try:
            found = {spec: self._read(spec) for spec in self.specs()}
        except SpecError as error:
            self.numbers.value = f"<b>{html.escape(str(error))}</b>"
            return
        self.readings = pd.DataFrame.from_dict({spec: row for spec, (_, row) in found.items()}, orient="index")
        grid = self._trust_grid()
        at = {**{name: slider.value for name, slider in self.trust.items()}, **self.trusted}
        self.figure.value = self._draw([curves for curves, _ in found.values()], grid, at)
        self.numbers.value = self._table()

    def _draw(self, curves: list[pd.DataFrame], grid: pd.DataFrame, at: dict[str, float]) -> bytes:
        columns = ["p", "weight", "density", "method"]
        rows = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=columns, dtype=float)
        readings = self.readings if curves else pd.DataFrame(columns=["psi", "peak", "largest"], dtype=float)
        return render(panels(rows, readings, grid, at), "png", SHOWN_DPI)

    def _read(self, spec: str) -> tuple[pd.DataFrame, dict[str, float]]:
        if spec not in self._known:
            self._known[spec] = reading(spec)
        return self._known[spec]

    def _trust_grid(self) -> pd.DataFrame:
        """Return g and l over a grid of times and confidences, and set what they are where the sliders stand."""
        value = {name: slider.value for name, slider in self.trust.items()}
        classes = int(value["C"])
        confidences = np.linspace(1 / classes, 1.0, 81)
        local = local_trust(logits_at([*confidences, value["confidence"]], classes), T=value["T"]).numpy()
        g = global_trust(value["time"], B=value["B"])
        self.trusted = {"g": g, "l": float(local[-1]), "epsilon": g * float(local[-1])}
        in_time = pd.DataFrame({"time": TIMES, "g": [global_trust(t, B=value["B"]) for t in TIMES]})
        return in_time.merge(pd.DataFrame({"confidence": confidences, "l": local[:-1]}), how="cross")

    def _table(self) -> str:
        """Return the numbers as an HTML table and a line on the trust."""
        line = ", ".join(f"{name} = {value:.4f}" for name, value in self.trusted.items())
        if self.readings.empty:
            return f"<p>{line}</p>"
        words = {"psi": "psi", "sigma": "sigma", "integral": "integral of w", "largest": "largest w"}
        table = self.readings[list(words)].rename(columns=words)
        return table.to_html(float_format="{:.4g}".format, na_rep="none", border=0) + f"<p>{line}</p>"

    def _repr_mimebundle_(self, **given: Any) -> Any:
        """Add the figure as a picture, for readers without a kernel."""
        bundle = super()._repr_mimebundle_(**given)
        return {**(bundle or {}), "text/plain": repr(self), "image/png": b64encode(self.figure.value).decode()}

    def __repr__(self) -> str:
        return f"explorer({', '.join(self.specs())})"


def _refuse(given: Any, known: Any, what: str) -> None:
    if unknown := [name for name in given if name not in known]:
        raise SpecError(f"explorer: there is no {what} called {unknown[0]!r}, there is {', '.join(known)}")


def _refuse_outside(trust: dict[str, float], known: dict[str, Slider]) -> None:
    for name, value in trust.items():
        low, high = known[name].low, known[name].high
        if not (isinstance(value, int | float) and low <= value <= high):
            raise SpecError(f"explorer: {name} is a number in [{low:g}, {high:g}], found {value!r}")


def _layout(**given: str) -> Any:
    return ipywidgets.Layout(**given)


def _tick(name: str, ticked: bool) -> Any:
    label = METHODS.entry(name).label
    return ipywidgets.Checkbox(value=ticked, description=label, indent=False)


def _moved(slider: Slider, value: float) -> Any:
    """Return the widget of a slider. It acts when it is let go: each step would be a computation."""
    low, high = min(slider.low, value), max(slider.high, value)
    whole = isinstance(slider.step, int)
    kind, number = (ipywidgets.IntSlider, int) if whole else (ipywidgets.FloatSlider, float)
    more = {} if whole else {"readout_format": f".{max(0, -math.floor(math.log10(slider.step) + 1e-9))}f"}
    ends = {"min": number(low), "max": number(high), "step": number(slider.step), "value": number(value)}
    return kind(**ends, description=slider.letter, tooltip=slider.words, continuous_update=False, **more)
