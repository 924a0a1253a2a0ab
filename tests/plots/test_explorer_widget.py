"""The explorer as a widget, without a browser: sliders are set, the numbers and the picture follow the library."""

import base64
import io
import math

import pytest
from matplotlib.image import imread

from robustdl_lib import gradients, targets
from robustdl_lib.plots.explorer import page, widget
from robustdl_lib.registry import METHODS, SpecError

MOVES = {
    "dm.beta": 3.3,
    "dm.lam": 2.0,
    "gce.q": 0.2,
    "imae.T": 1.5,
    "barron.alpha": -2.0,
    "hampel.c": 1.0,
    "normal.psi": 0.25,
}


@pytest.fixture(scope="module")
def shared() -> widget.Explorer:
    return widget.explorer()


def test_it_starts_with_the_talks_methods_at_their_defaults() -> None:
    shared = widget.explorer()
    assert shared.specs() == list(page.SHOWN)
    assert set(shared.shown) == set(page.method_names())
    wanted = {f"{name}.{slider.name}" for name in shared.shown for slider in page.sliders(name)}
    assert set(shared.knobs) == wanted
    assert list(shared.trust) == [slider.name for slider in page.trust_sliders()]
    for name, slider in shared.knobs.items():
        method, knob = name.split(".")
        assert slider.value == METHODS.entry(method).defaults()[knob]


@pytest.mark.parametrize(("name", "value"), MOVES.items())
def test_a_moved_slider_gives_the_numbers_of_the_library(shared: widget.Explorer, name: str, value: float) -> None:
    method = name.split(".")[0]
    shared.shown[method].value = True
    before, text = shared.figure.value, shared.numbers.value
    shared.knobs[name].value = value
    [spec] = [spec for spec in shared.specs() if METHODS.parse(spec).name == method]
    assert METHODS.parse(spec).values[name.split(".")[1]] == value
    row, curve = shared.readings.loc[spec], gradients.weight_curve(spec)
    assert row["psi"] == pytest.approx(gradients.emphasis_mode(spec), abs=1e-9)
    assert row["sigma"] == gradients.emphasis_variance(spec)
    assert row["integral"] == gradients.integral(spec)
    assert row["largest"] == pytest.approx(curve["weight"].max(), rel=1e-6)
    assert row["peak"] == pytest.approx(gradients.emphasis_density(spec, [row["psi"]])["density"][0], rel=1e-9)
    assert shared.figure.value != before
    assert shared.numbers.value != text
    assert f"{row['sigma']:.4g}" in shared.numbers.value


def test_the_trust_is_the_librarys(shared: widget.Explorer) -> None:
    moves = {"B": 16.0, "time": 0.4, "confidence": 0.55, "T": 0.5, "C": 100}
    for name, value in moves.items():
        shared.trust[name].value = value
    logits = gradients.logits_at([0.55], 100)
    g, local = targets.global_trust(0.4, B=16.0), float(targets.local_trust(logits, T=0.5))
    assert shared.trusted == pytest.approx({"g": g, "l": local, "epsilon": g * local}, rel=1e-12)
    assert f"epsilon = {g * local:.4f}" in shared.numbers.value


def test_the_largest_of_c_probabilities_is_at_least_one_in_c() -> None:
    small = widget.explorer(["cce"], confidence=0.2)
    small.trust["C"].value = 2
    assert small.trust["confidence"].value == 0.5
    assert small.trusted["l"] == pytest.approx(0.0, abs=1e-12)


def test_specs_set_where_it_starts_and_a_flat_weight_has_no_mode() -> None:
    small = widget.explorer(["mae", "dm:beta=0,lam=1"], B=20, C=5)
    assert small.specs() == ["mae", "dm:beta=0,lam=1"]
    assert repr(small) == "explorer(mae, dm:beta=0,lam=1)"
    assert math.isnan(small.readings.loc["dm:beta=0,lam=1", "psi"])
    assert "none" in small.numbers.value
    assert (small.trust["B"].value, small.trust["C"].value) == (20, 5)


def test_nothing_ticked_and_weights_of_zero_are_drawn() -> None:
    small = widget.explorer(["sce:a=0,b=0"])
    assert small.readings.loc["sce:a=0,b=0", "largest"] == 0
    small.shown["sce"].value = False
    assert small.specs() == []
    assert small.readings.empty
    assert "epsilon" in small.numbers.value


def test_knobs_that_must_increase_are_refused_in_words() -> None:
    small = widget.explorer(["hampel"])
    small.knobs["hampel.a"].max = 0.6
    small.knobs["hampel.a"].value = 0.6
    assert "a must be less than b" in small.numbers.value


@pytest.mark.parametrize(
    ("methods", "trust", "words"),
    [
        (["ls"], {}, "no method with a formula in p_y called 'ls'"),
        (["gee"], {}, "unknown method 'gee'"),
        (["dm:beta=99"], {}, "beta = '99'"),
        (["cce"], {"b": 3}, "no slider of the trust called 'b'"),
    ],
)
def test_what_there_is_not_is_refused(methods: list[str], trust: dict[str, float], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        widget.explorer(methods, **trust)


def test_a_reader_without_a_kernel_sees_the_figure(shared: widget.Explorer) -> None:
    bundle = shared._repr_mimebundle_()
    assert bundle["text/plain"] == repr(shared)
    height, width, _ = imread(io.BytesIO(base64.b64decode(bundle["image/png"]))).shape
    assert (width, height) == (1125, 576)


@pytest.mark.parametrize("trust", [{"T": -1}, {"time": 5}, {"confidence": float("nan")}, {"C": "ten"}])
def test_a_value_that_no_slider_has_is_refused_in_one_sentence(trust: dict[str, float]) -> None:
    with pytest.raises(SpecError, match=r"^explorer: \w+ is a number in \[.*\], found "):
        widget.explorer(["cce"], **trust)
