"""The page in a browser: sliders that are really moved, and the numbers of the library; the page's text without one."""

import hashlib
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from helpers.browser import BROWSER, DESK, PHONE, WHY, Tab, in_browser
from pydantic import Field

from robustdl_lib import gradients, targets
from robustdl_lib.plots.explorer import page as explorer
from robustdl_lib.plots.style import STYLES
from robustdl_lib.registry import METHODS, SpecError

ROOT = Path(__file__).parents[3]
NAMES = explorer.method_names()
MOVABLE = [(name, slider) for name in NAMES for slider in explorer.sliders(name)]
P = [0.0, 1e-9, 0.003, 0.1, 0.25, 1 / 3, 0.4999, 0.62, 0.9, 0.999, 1.0]
EXACT = {"rel": 1e-6, "abs": 1e-6, "nan_ok": True}


@pytest.mark.skipif(BROWSER is None, reason=WHY)
def test_the_browser_is_one_that_runs() -> None:
    told = subprocess.run([str(BROWSER), "--version"], capture_output=True, text=True, timeout=30, check=True)
    assert re.search(r"Chrom\w* \d+", told.stdout)


class Page(Tab):
    """The explorer in a tab, with its sliders by their ids."""

    def slider(self, name: str) -> Any:
        return self.tab.locator(f'input[type=range][id="{name}"]')

    def move(self, name: str, value: float) -> None:
        """Set a slider's element to a value, with the events that a reader's hand causes."""
        self.slider(name).fill(f"{value:g}")

    def choose(self, name: str, on: bool = True) -> None:
        self.tab.locator(f'input[type=checkbox][id="show.{name}"]').set_checked(on)

    def __call__(self, script: str, *given: Any) -> Any:
        return self.tab.evaluate(script, *given)

    def spec(self, name: str) -> str:
        """The method's spec with the knobs at which the sliders stand."""
        knobs = self("name => explorer.state.knobs[name]", name)
        moved = ",".join(f"{slider.name}={knobs[slider.name]!r}" for slider in explorer.sliders(name))
        return f"{name}:{moved}" if moved else name


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return explorer.write(tmp_path_factory.mktemp("page") / "explorer.html")


@pytest.fixture(scope="module")
def opened(chromium: Any, built: Path) -> Iterator[Page]:
    page = Page(chromium, built, DESK)
    yield page
    page.context.close()


@pytest.fixture
def page(opened: Page) -> Iterator[Page]:
    """The page as it starts; whatever a test does, it complains of nothing and asks for nothing but itself."""
    opened("explorer.reset()")
    yield opened
    assert opened.complaints == []
    assert opened.requests == [opened.url]


def settings(name: str) -> list[dict[str, float]]:
    """Return a few settings of a method's sliders: its start, one near each end, and one between."""
    sliders = explorer.sliders(name)

    def at(share: float) -> dict[str, float]:
        return {s.name: round(round((s.low + share * (s.high - s.low)) / s.step) * s.step, 9) for s in sliders}

    return [{}, at(0.0), at(0.31), at(1.0)] if sliders else [{}]


def same_as_the_library(page: Page, name: str) -> None:
    spec = page.spec(name)
    got = page("name => explorer.read().methods[name]", name)
    weight = page("([name, ps]) => ps.map(p => explorer.weight(name, p))", [name, P])
    density = page("([name, ps]) => ps.map(p => explorer.density(name, p))", [name, P])
    curve = gradients.weight_curve(spec)
    whole = gradients.emphasis_density(spec)
    doubted, expected = whole[whole["p"] <= 0.25], gradients.emphasis_density(spec, P)["density"]
    low = np.trapezoid(doubted["density"], doubted["p"])
    assert weight == pytest.approx(gradients.weight_curve(spec, P)["weight"].tolist(), **EXACT), spec
    assert density == pytest.approx(expected.tolist(), **EXACT), spec
    assert got["psi"] == pytest.approx(gradients.emphasis_mode(spec), **EXACT), spec
    assert got["sigma"] == pytest.approx(gradients.emphasis_variance(spec), **EXACT), spec
    assert got["integral"] == pytest.approx(gradients.integral(spec), **EXACT), spec
    assert got["largest"] == pytest.approx(curve["weight"].max(), **EXACT), spec
    assert got["low"] == pytest.approx(low, **EXACT), spec


@in_browser
@pytest.mark.parametrize("name", NAMES)
def test_moved_sliders_give_the_numbers_of_the_library(page: Page, name: str) -> None:
    page.choose(name)
    for setting in settings(name):
        for knob, value in setting.items():
            page.move(f"{name}.{knob}", value)
        knobs = page("name => explorer.state.knobs[name]", name)
        assert {knob: knobs[knob] for knob in setting} == setting
        same_as_the_library(page, name)


@in_browser
def test_flat_weights_have_no_mode(page: Page) -> None:
    page.move("dm.beta", 0)
    page.move("imae.T", 0)
    found = page("explorer.read().methods")
    assert math.isnan(found["dm"]["psi"])
    assert math.isnan(gradients.emphasis_mode("dm:beta=0"))
    assert found["dm"]["sigma"] == pytest.approx(0.0, abs=1e-12)
    assert page.tab.locator('[id="h/dm/psi"]').count() == 0
    assert page.tab.locator('[id="card.imae"] .numbers').inner_text().startswith("ψ none")


@in_browser
@pytest.mark.parametrize("place", [(0.1, 0.4, 10, 1.0), (0.75, 0.9, 10, 0.5), (1.0, 1.0, 100, 0.1), (0.5, 0.5, 2, 1.0)])
@pytest.mark.parametrize("sharpness", [1.0, 10.0, 16.5])
def test_trust_has_the_numbers_of_the_library(page: Page, place: tuple[float, ...], sharpness: float) -> None:
    time, confidence, classes, temperature = place
    moves = {"C": classes, "B": sharpness, "time": time, "confidence": confidence, "T": temperature}
    for name, value in moves.items():
        page.move(f"trust.{name}", value)
    assert page("explorer.state.trust") == moves
    got = page("explorer.read().trust")
    logits = gradients.logits_at([confidence], int(classes))
    label = torch.nn.functional.one_hot(torch.tensor([1]), int(classes)).double()
    target = targets.proselflc(label, logits, progress=time, B=sharpness, T=temperature)[0].tolist()
    log_p = torch.log_softmax(logits / temperature, dim=1)
    expected = {
        "g": targets.global_trust(time, B=sharpness),
        "l": float(targets.local_trust(logits, T=temperature)[0]),
        "epsilon": float(targets.proselflc_trust(logits, time, B=sharpness, T=temperature)[0]),
        "entropy": float(-(log_p.exp() * log_p).sum()),
        "label": target[1],
        "learner": target[0],
        "others": sum(target[2:]),
    }
    assert got == pytest.approx(expected, rel=1e-6, abs=1e-6)
    spot = page.tab.locator('[id="e/at"]')
    assert [float(spot.get_attribute(f"data-{axis}")) for axis in "xy"] == [time, confidence]
    corrected = "label is corrected" in page.tab.locator("#said").inner_text()
    assert corrected == (target[0] > target[1])
    assert page.tab.locator('[id="fact.epsilon"]').inner_text() == f"{expected['epsilon']:.3f}"


@in_browser
def test_keys_move_a_slider_and_what_is_seen_moves_with_it(page: Page) -> None:
    def seen() -> list[str]:
        row = page.tab.locator("#table tbody tr", has_text="DM").inner_text()
        return [row, page.tab.locator('[id="card.dm"] .numbers').inner_text(), curve.get_attribute("d")]

    curve = page.tab.locator('[id="h/dm"]')
    first = seen()
    page.slider("dm.lam").focus()
    for _ in range(25):
        page.tab.keyboard.press("ArrowRight")
    assert page("explorer.state.knobs.dm.lam") == 1.0
    assert [a != b for a, b in zip(first, seen(), strict=True)] == [True] * 3
    assert "λ = 1" in seen()[0]
    assert page.slider("dm.lam").get_attribute("aria-valuetext") == "1"
    page.slider("dm.lam").press("Home")
    assert page("explorer.read().methods.dm.psi") == 0.0
    page.tab.get_by_role("button", name="Reset all").click()
    assert page("explorer.state.knobs.dm") == {"beta": 12, "lam": 0.5}
    assert seen() == first


@in_browser
def test_a_marker_stands_at_the_mode(page: Page) -> None:
    page.move("gce.q", 0.25)
    marker = page.tab.locator('[id="h/gce/psi"]')
    assert float(marker.get_attribute("data-p")) == pytest.approx(0.2, abs=1e-6)
    across = page("id => { const b = document.getElementById(id).getBBox(); return b.x + b.width / 2; }", "h/gce/psi")
    ends = page(
        "() => { const b = document.querySelector('#h .axis'); return [b.x1, b.x2].map(e => e.baseVal.value); }"
    )
    assert across == pytest.approx(ends[0] + 0.2 * (ends[1] - ends[0]), abs=0.5)


@in_browser
def test_methods_are_shown_as_they_are_chosen(page: Page) -> None:
    def lines() -> set[str]:
        return {path.get_attribute("id") for path in page.tab.locator("#h path.curve").all()}

    assert lines() == {f"h/{name}" for name in explorer.SHOWN}
    page.choose("cce", False)
    page.choose("sce")
    assert lines() == {f"h/{name}" for name in (*explorer.SHOWN, "sce")} - {"h/cce"}
    assert page.tab.locator("#table tbody tr").count() == len(explorer.SHOWN)
    page.tab.get_by_label("linear").check()
    assert page.tab.locator("#w path.curve").count() == len(explorer.SHOWN)


@in_browser
def test_the_largest_of_c_probabilities_is_at_least_one_in_c(page: Page) -> None:
    page.move("trust.confidence", 0.1)
    page.move("trust.C", 2)
    assert page("explorer.state.trust.confidence") == 0.5
    assert page("explorer.read().trust.l") == pytest.approx(0.0, abs=1e-9)


@in_browser
def test_knobs_that_must_increase_do_not_pass_each_other(page: Page) -> None:
    page("explorer.set('hampel.a', 5)")
    knobs = page("explorer.state.knobs.hampel")
    assert knobs["a"] < knobs["b"] < knobs["c"]


@in_browser
def test_every_control_has_a_name_and_is_reached_by_keys(page: Page) -> None:
    for name in NAMES:
        page.choose(name)
    controls = page.tab.locator("input")
    assert controls.count() == len(NAMES) + len(MOVABLE) + len(explorer.trust_sliders()) + 2
    names = [
        page("i => document.querySelectorAll('input')[i].labels[0].textContent", i) for i in range(controls.count())
    ]
    assert all(text.strip() for text in names)
    spoken = [control.get_attribute("aria-label") for control in page.tab.locator("input[type=range]").all()]
    assert len(set(spoken)) == len(spoken)
    page.tab.keyboard.press("Tab")
    assert page("document.activeElement.id") == "reset" or page("document.activeElement.tagName") == "INPUT"


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_on_a_phone(chromium: Any, built: Path, scheme: str) -> None:
    page = Page(chromium, built, PHONE, scheme)
    for name in NAMES:
        page.choose(name)
    page.move("dm.beta", 30)
    width = page("document.documentElement.scrollWidth")
    smallest = page(
        "Math.min(...[...document.querySelectorAll('svg text')].map(t => parseFloat(getComputedStyle(t).fontSize)))"
    )
    slider = page.slider("dm.beta").bounding_box()["width"]
    inside = page(
        "[...document.querySelectorAll('input, svg')].every(e => e.getBoundingClientRect().right <= innerWidth)"
    )
    page.context.close()
    assert width == PHONE["width"]
    assert smallest >= 11
    assert slider >= 120
    assert inside
    assert page.complaints == []


@in_browser
def test_dark_where_the_reader_prefers_it(chromium: Any, built: Path) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        page = Page(chromium, built, DESK, scheme)
        ground, words = page("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
        seen[scheme] = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (ground, words)]
        page.context.close()
    assert seen["light"][0] > 600 > 300 > seen["light"][1]
    assert seen["dark"][1] > 600 > 300 > seen["dark"][0]


@in_browser
def test_a_loss_that_is_registered_now_is_on_the_page_with_its_numbers(chromium: Any, tmp_path: Path) -> None:
    def cubic(logits: torch.Tensor, target: torch.Tensor, *, power: float = 3.0, tail: str = "x") -> torch.Tensor:
        return ((target * (1 - logits.softmax(dim=1))).sum(dim=1)) ** power

    formula = "(1 - p)**power"
    words = {"label": "Cubic </script>", "source": "an example", "role": "loss"}
    METHODS.register("cubic", **words, formula=formula, spans={"power": (1, 5)})(cubic)
    path = explorer.write(tmp_path / "new.html")
    page = Page(chromium, path, DESK)
    page.choose("cubic")
    page.move("cubic.power", 2.5)
    same_as_the_library(page, "cubic")
    row = page.tab.locator("#table").inner_text()
    page.context.close()
    assert "Cubic </script>" in row
    assert "power = 2.5" in row
    assert page.complaints == []


def test_the_committed_page_is_in_step() -> None:
    committed = (ROOT / "docs" / "explorer.html").read_text(encoding="utf-8")
    for name in (name for name in explorer.method_names() if f'"name": "{name}"' not in committed):
        del METHODS.entries[name]  # added since
    assert committed == explorer.page(), "rebuild it: make docs"


@pytest.mark.slow
def test_the_same_page_in_another_process() -> None:
    code = "from hashlib import md5; from robustdl_lib.plots.explorer.page import page\n"
    code += "print(md5(page().encode()).hexdigest())"
    command, here = [sys.executable, "-c", code], hashlib.md5(explorer.page().encode()).hexdigest()
    other = subprocess.run(command, env={"PYTHONHASHSEED": "77"}, capture_output=True, text=True, cwd=ROOT)
    assert other.stdout == f"{here}\n", other.stderr


def test_one_file_that_names_nothing_else() -> None:
    text = explorer.page()
    assert not re.search(
        r"""(src|href)\s*=\s*["'](?!data:,)|@import|url\(|\bimport\s*\(|\bfetch\(|XMLHttp|https?://""", text
    )
    assert re.findall(r"/\*[A-Z]+\*/", text) == []
    assert text.startswith("<!DOCTYPE html>")


def test_every_formula_is_on_the_page_and_the_talks_are_shown() -> None:
    assert set(NAMES) == {name for name, entry in METHODS.entries.items() if entry.facts.formula}
    assert {"cce", "mae", "mse", "gce", "imae", "dm"} <= set(NAMES)
    for name in NAMES:
        assert explorer.javascript(name).startswith("(p, r, k) => ")
        assert explorer.mathml(name).count("<math>") == 1
        assert STYLES.get(name, STYLES["cce"]).color in explorer.page()


@pytest.mark.parametrize(("name", "slider"), MOVABLE, ids=lambda item: getattr(item, "name", item))
def test_a_slider_stays_inside_what_the_library_accepts(name: str, slider: explorer.Slider) -> None:
    assert slider.low <= slider.value <= slider.high
    assert slider.value == METHODS.entry(name).defaults()[slider.name]
    assert slider.step <= (slider.high - slider.low) / 20
    for value in (slider.low, slider.high):
        METHODS.parse(f"{name}:{slider.name}={value!r}")


def test_ranges_come_from_spans_or_from_finite_limits() -> None:
    def bent(
        logits: torch.Tensor,
        target: torch.Tensor,
        *,
        inside: Annotated[float, Field(ge=0, le=1)] = 0.3,
        open_ended: Annotated[float, Field(ge=0)] = 1.0,
        count: Annotated[int, Field(ge=1, le=4)] = 2,
        switch: bool = True,
    ) -> torch.Tensor:
        return target.sum(dim=1)

    METHODS.register("bent", label="Bent", source="an example", role="weight", formula="p**count + inside")(bent)
    found = {slider.name: slider for slider in explorer.sliders("bent")}
    assert set(found) == {"inside", "count"}
    assert (found["inside"].low, found["inside"].high, found["inside"].step) == (0.0, 1.0, 0.005)
    assert (found["count"].low, found["count"].high, found["count"].step) == (1.0, 4.0, 1.0)


def test_a_formula_without_javascript_is_refused() -> None:
    METHODS.register("odd", label="Odd", source="an example", role="weight", formula="zeta(p + 2)")(lambda a, b: a)
    with pytest.raises(SpecError, match=r"'odd'.*has no JavaScript"):
        explorer.page()


def test_words_are_readable_on_their_ground() -> None:
    for name in NAMES:
        color = STYLES.get(name, STYLES["cce"]).color
        for ground in (explorer.PAPER, explorer.NIGHT):
            low, high = sorted(explorer.luminance(c) for c in (explorer.readable(color, ground), ground))
            assert (high + 0.05) / (low + 0.05) >= 4.5
