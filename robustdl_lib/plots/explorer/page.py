"""The explorer: one self-contained HTML page with sliders for what weighs examples and for the trust of ProSelfLC.

Every registered method with a ``formula`` is on it. Its weight becomes JavaScript through sympy, so a loss that is
added to the registry is added to the page. The page computes what :mod:`robustdl_lib.theory.gradients` and
:mod:`robustdl_lib.methods.targets` compute, on the same points, and needs neither a kernel nor a network.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sympy as sp
from pydantic.fields import FieldInfo
from sympy.printing.mathml import MathMLPresentationPrinter
from sympy.printing.pretty.pretty_symbology import pretty_symbol

from robustdl_lib.files import write_all
from robustdl_lib.plots.style import STYLES, Style, order, style
from robustdl_lib.registry import METHODS, Entry, SpecError
from robustdl_lib.theory.gradients import EDGE, GRID

HERE = Path(__file__).parent
SHOWN = ("cce", "mae", "mse", "gce", "imae", "dm")
LETTERS = {"lam": "lambda"}
TALK_LETTERS = {("gce", "q"): "g"}
PAPER, NIGHT = "#ffffff", "#171d26"
READABLE = 4.5
STEPS = 200
B_SPAN = (1.0, 40.0)

p, rest = sp.Symbol("p", positive=True), sp.Symbol("r", positive=True)


@dataclass(frozen=True)
class Slider:
    """A number that a reader can move: its name in the code, its letter, its words, range, step and start."""

    name: str
    letter: str
    words: str
    low: float
    high: float
    step: float
    value: float


def method_names() -> list[str]:
    """Return the names of the methods with a formula in p_y: the talk's first, each part in the figures' order."""
    named = order([name for name, entry in METHODS.entries.items() if entry.facts.formula])
    return sorted(named, key=lambda name: name not in SHOWN)


def sliders(name: str) -> list[Slider]:
    """Return a slider for each knob of a method that is a number with a range.

    The range is the registry's ``spans``, else the limits of the knob's annotation where both are finite.
    """
    entry = METHODS.entry(name)
    spans = {knob: _span(entry, knob, info) for knob, info in entry.knobs.model_fields.items()}
    return [_slider(entry, knob, *span) for knob, span in spans.items() if span]


def trust_sliders() -> list[Slider]:
    """Return the sliders of ProSelfLC's trust: B, time t/T, confidence, temperature T and classes C."""
    own = {slider.name: slider for slider in sliders("proselflc")}
    entry = METHODS.entry("proselflc")
    spread = _slider(entry, "B", *entry.facts.spans.get("B", B_SPAN))
    return [
        Slider("B", "B", "sharpness in time", spread.low, spread.high, spread.step, spread.value),
        Slider("time", "t/T", "time, share of training done", 0.0, 1.0, 0.01, 0.75),
        Slider("confidence", "max p", "confidence, the largest probability", 0.0, 1.0, 0.01, 0.9),
        Slider("T", "T", "temperature of the learner's p", own["T"].low, own["T"].high, 0.01, own["T"].value),
        Slider("C", "C", "number of classes", 2, 100, 1, 10),
    ]


def expression(name: str) -> sp.Expr:
    """Return the registered formula with real knobs and p as symbols: L(p) of a loss, w(p) of a weighting."""
    entry = METHODS.entry(name)
    names = {knob: sp.Symbol(knob, real=True) for knob in entry.knobs.model_fields}
    return sp.sympify(entry.facts.formula, locals={"p": p, **names})


def javascript(name: str) -> str:
    """Return the weight w(p) as a JavaScript function of p, r = 1 - p and the knobs k.

    A loss has w = 2 p (1 - p) |L'(p)| (Talk, eq. 3). The derivative is not simplified: simplifying may leave roots
    of negative numbers and powers that overflow. 1 - p is an argument, to keep its precision near p = 1.
    Raises SpecError for a formula that JavaScript cannot say.
    """
    formula = expression(name)
    loss = METHODS.entry(name).facts.role != "weight"
    weight = 2 * p * rest * sp.Abs(_in_rest(sp.diff(formula, p))) if loss else _in_rest(formula)
    names = {sp.Symbol(knob, real=True): sp.Symbol(f"k.{knob}") for knob in METHODS.entry(name).knobs.model_fields}
    try:
        return f"(p, r, k) => {' '.join(sp.jscode(weight.xreplace(names), strict=True).split())}"
    except NotImplementedError:
        said = METHODS.entry(name).facts.formula
        raise SpecError(f"method {name!r}: its formula {said!r} has no JavaScript") from None


def mathml(name: str) -> str:
    """Return the registered formula as presentation MathML, ``L =`` or ``w =`` before it, in the talk's letters."""
    entry = METHODS.entry(name)
    letters = {sp.Symbol(k, real=True): sp.Symbol(_letter(name, k)) for k in entry.knobs.model_fields}
    body = _Printer().doprint(expression(name).xreplace(letters))
    for given, wanted in {"&ExponentialE;": "e", "<mo>-</mo>": "<mo>−</mo>", "<mo><</mo>": "<mo>&lt;</mo>"}.items():
        body = body.replace(given, wanted)
    return f"<math><mi>{'w' if entry.facts.role == 'weight' else 'L'}</mi><mo>=</mo>{body}</math>"


def page() -> str:
    """Return the explorer as one HTML document, built from the registry: the same text every time.

    Raises SpecError for a registered formula that JavaScript cannot say.
    """
    names = method_names()
    weights = ",\n".join(f"{json.dumps(name)}: {javascript(name)}" for name in names)
    data: dict[str, Any] = {"grid": GRID, "edge": EDGE, "methods": [_described(name) for name in names]}
    data["trust"] = [asdict(slider) for slider in trust_sliders()]
    parts = {
        "/*COLOURS*/": _colours(names),
        "/*DRAWING*/": (HERE / "explorer_drawing.js").read_text(encoding="utf-8"),
        "/*SCRIPT*/": (HERE / "explorer.js").read_text(encoding="utf-8"),
        "/*WEIGHTS*/": weights,
        "/*DATA*/": json.dumps(data, ensure_ascii=False, sort_keys=True, indent=1).replace("<", "\\u003c"),
    }
    text = (HERE / "explorer.html").read_text(encoding="utf-8")
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text


def write(path: Path) -> Path:
    """Write the page to ``path``, whole or not at all, and return the path; raises OSError where that cannot be."""
    path = Path(path)
    write_all({path.name: page().encode()}, path.parent)
    return path


class _Printer(MathMLPresentationPrinter):  # type: ignore[misc]
    """MathML with cases in a brace, each with its condition; sympy's own writes the word piecewise."""

    def _print_Piecewise(self, expr: sp.Piecewise) -> Any:  # noqa: N802
        brace, table = self.dom.createElement("mo"), self.dom.createElement("mtable")
        table.setAttribute("displaystyle", "true")
        brace.appendChild(self.dom.createTextNode("{"))
        for value, condition in expr.args:
            row, otherwise = self.dom.createElement("mtr"), self.dom.createElement("mtext")
            otherwise.appendChild(self.dom.createTextNode("otherwise"))
            for item in (self._print(value), otherwise if condition == sp.true else self._print(condition)):
                cell = self.dom.createElement("mtd")
                cell.appendChild(item)
                row.appendChild(cell)
            table.appendChild(row)
        whole = self.dom.createElement("mrow")
        whole.appendChild(brace)
        whole.appendChild(table)
        return whole


def _described(name: str) -> dict[str, Any]:
    """Return what the page has to know of a method."""
    entry, look = METHODS.entry(name), style(name)
    knobs = [asdict(slider) for slider in sliders(name)]
    fixed = {knob: value for knob, value in entry.defaults().items() if _is_number(value)}
    words = {"name": name, "label": entry.label, "source": entry.source, "math": mathml(name)}
    drawn = {"dash": list(_dashes(look)), "marker": look.marker or "o", "shown": name in SHOWN}
    return {**words, **drawn, "knobs": knobs, "fixed": fixed, "increasing": entry.facts.increasing}


def _dashes(look: Style) -> Sequence[float]:
    """Return the dashes of a line in units of its width; none for a solid one."""
    return () if isinstance(look.linestyle, str) else look.linestyle[1]


def _colours(names: Sequence[str]) -> str:
    """Return the CSS of the methods' colours: of lines and of words, on a light and on a dark ground."""
    looks = {**{str(index): style(name).color for index, name in enumerate(names)}, "t": STYLES["proselflc"].color}
    day = [f"--line-{key}:{c};--word-{key}:{readable(c, PAPER)};" for key, c in looks.items()]
    night = [f"--line-{key}:{readable(c, NIGHT)};--word-{key}:{readable(c, NIGHT)};" for key, c in looks.items()]
    dark = "@media (prefers-color-scheme: dark) {\n:root {\n" + "\n".join(night) + "\n}\n}"
    return ":root {\n" + "\n".join(day) + "\n}\n" + dark


def readable(color: str, ground: str) -> str:
    """Return ``color`` moved away from the ground until it has a contrast of 4.5 to 1, as WCAG 2 asks of words."""
    towards = 0.0 if luminance(ground) > 0.5 else 1.0
    channels = _channels(color)
    for share in range(101):
        mixed = [(1 - share / 100) * channel + share / 100 * towards for channel in channels]
        found = "#" + "".join(f"{round(255 * channel):02x}" for channel in mixed)
        low, high = sorted((luminance(found), luminance(ground)))
        if (high + 0.05) / (low + 0.05) >= READABLE:
            return found
    return found


def _channels(color: str) -> list[float]:
    return [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]


def luminance(color: str) -> float:
    """Return the relative luminance of a colour ``#rrggbb``, 0 for black and 1 for white. Source: WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _channels(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _in_rest(expression: sp.Expr) -> sp.Expr:
    """Write every multiple of 1 - p as one of r, which keeps its relative precision near p = 1."""

    def one_less_p(node: sp.Expr) -> bool:
        return bool(node.is_Add and node.is_polynomial(p) and sp.degree(node, p) == 1 and node.subs(p, 1) == 0)

    return expression.replace(one_less_p, lambda node: -sp.expand(node).coeff(p, 1) * rest)


def _span(entry: Entry, knob: str, info: FieldInfo) -> tuple[float, float] | None:
    """Return the range of a knob's slider, or None for one without a finite range of numbers."""
    if knob in entry.facts.spans:
        low, high = entry.facts.spans[knob]
        return float(low), float(high)
    limits = {side: getattr(item, side) for item in info.metadata for side in ("ge", "le") if hasattr(item, side)}
    finite = len(limits) == 2 and all(math.isfinite(limit) for limit in limits.values())
    return (float(limits["ge"]), float(limits["le"])) if finite else None


def _slider(entry: Entry, knob: str, low: float, high: float) -> Slider:
    """Return a slider over [low, high], which starts at the knob's default and steps through round numbers."""
    default = entry.defaults()[knob]
    whole = entry.knobs.model_fields[knob].annotation is int
    step = max(_round_step((high - low) / STEPS), 1.0 if whole else 0.0)
    least = round(math.ceil(low / step - 1e-9) * step, 12)  # the ends, too, are round numbers
    most = round(math.floor(high / step + 1e-9) * step, 12)
    start = float(default) if _is_number(default) else round((least + most) / 2 / step) * step
    letter = pretty_symbol(_letter(entry.name, knob))
    words = "" if letter == knob else f"{knob} in code" if (entry.name, knob) in TALK_LETTERS else knob
    numbers = (min(least, start), max(most, start), step, start)
    return Slider(knob, letter, words, *(map(int, numbers) if whole else numbers))


def _round_step(width: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above ``width``."""
    power = math.floor(math.log10(width) + 1e-9)
    steps = [float(f"{digit}e{power}") for digit in (1, 2, 5)]
    return max(step for step in steps if step <= width * (1 + 1e-9))


def _letter(name: str, knob: str) -> str:
    return TALK_LETTERS.get((name, knob), LETTERS.get(knob, knob))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
