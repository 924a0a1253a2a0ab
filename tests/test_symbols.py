"""Three derivations of one weight agree: by hand, in symbols, and by autograd."""

import numpy as np
import pytest
import sympy as sp
import torch
from conftest import GRID, extreme_batch, one_sentence, random_batch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import log_softmax

from robustdl_lib import symbols
from robustdl_lib.gradients import emphasis_mode, logit_gradient
from robustdl_lib.registry import METHODS, SpecError
from robustdl_lib.symbols import knob, p

WITH_FORMULA = [name for name, entry in METHODS.entries.items() if "formula" in entry.meta]
SPECS = [*WITH_FORMULA, *GRID, "gce:q=1", "gce:q=0.01", "imae:T=200", "dm:beta=60,lam=0", "dm:beta=60,lam=100"]
BY_HAND = {
    "cce": 2 * (1 - p),
    "mae": 2 * p * (1 - p),
    "mse": 4 * p * (1 - p) ** 2,
    "gce": 2 * p ** knob("q") * (1 - p),
    "imae": sp.exp(knob("T") * p * (1 - p)),
    "dm": sp.exp(knob("beta") * p ** knob("lam") * (1 - p)),
}
MODES = {
    "cce": sp.Integer(0),
    "mae": sp.Rational(1, 2),
    "mse": sp.Rational(1, 3),
    "gce": knob("q") / (knob("q") + 1),
    "imae": sp.Rational(1, 2),
    "dm": knob("lam") / (knob("lam") + 1),
}


def check_against_autograd(spec: str, logits: torch.Tensor, labels: torch.Tensor) -> None:
    """Compare the closed form at p_y with the L1 norm of the derivative, to 1e-9 of the curve's scale."""
    closed = sp.lambdify(p, symbols.weight(spec, values=True), "numpy")
    given_p = log_softmax(logits, 1).gather(1, labels[:, None]).squeeze(1).exp().numpy()
    expected = closed(given_p) * np.ones_like(given_p)
    norm = logit_gradient(spec, logits, labels).abs().sum(1).numpy()
    assert np.isfinite(norm).all()
    np.testing.assert_allclose(norm, expected, rtol=1e-9, atol=1e-12 * max(1.0, expected.max()))


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
@pytest.mark.parametrize("spec", SPECS)
def test_the_closed_form_is_the_norm_of_the_derivative_at_random_logits(spec: str, classes: int) -> None:
    check_against_autograd(spec, *random_batch(classes, count=256, classes=classes, scale=4.0))


@pytest.mark.parametrize("spec", SPECS)
def test_the_closed_form_is_the_norm_of_the_derivative_at_extreme_logits(spec: str) -> None:
    logits, labels = extreme_batch()
    p_y = log_softmax(logits, 1).gather(1, labels[:, None]).exp()
    assert p_y.min() < 1e-69
    assert p_y.max() == 1.0
    check_against_autograd(spec, logits, labels)


@pytest.mark.parametrize("spec", WITH_FORMULA)
@given(st.lists(st.floats(-80, 80), min_size=3, max_size=8), st.integers(0, 2))
def test_the_closed_form_is_the_norm_of_the_derivative_anywhere(spec: str, row: list[float], label: int) -> None:
    check_against_autograd(spec, torch.tensor([row], dtype=torch.float64), torch.tensor([label]))


@pytest.mark.parametrize("name", WITH_FORMULA)
def test_the_symbolic_weight_is_the_one_in_the_papers(name: str) -> None:
    if name in BY_HAND:
        assert sp.simplify(symbols.weight(name) - BY_HAND[name]) == 0


@pytest.mark.parametrize("name", WITH_FORMULA)
def test_the_symbolic_mode_is_the_one_in_the_papers(name: str) -> None:
    if name in MODES:
        assert sp.simplify(symbols.mode(name) - MODES[name]) == 0


@pytest.mark.parametrize("spec", [*WITH_FORMULA, *GRID])
def test_the_symbolic_mode_is_where_the_curve_peaks(spec: str) -> None:
    try:
        closed_form = float(symbols.mode(spec, values=True))
    except SpecError:
        if METHODS.parse(spec).name in MODES:
            raise  # a method of the talk has a closed form; one that was added need not
        return
    assert closed_form == pytest.approx(emphasis_mode(spec), abs=1e-5)


@pytest.mark.parametrize("name", [name for name in WITH_FORMULA if METHODS.entry(name).meta["role"] == "loss"])
def test_the_registered_formula_is_what_the_loss_computes(name: str) -> None:
    logits, labels = random_batch(0)
    closed = sp.lambdify(p, symbols.formula(name, values=True), "numpy")
    p_y = log_softmax(logits, 1).gather(1, labels[:, None]).squeeze(1).exp().numpy()
    target = torch.eye(10, dtype=torch.float64)[labels]
    np.testing.assert_allclose(METHODS[name](logits, target).numpy(), closed(p_y), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in WITH_FORMULA if METHODS.entry(name).meta["role"] == "loss"])
def test_the_slope_is_minus_the_derivative(name: str) -> None:
    difference = symbols.slope(name) + sp.diff(symbols.formula(name), p)
    numbers = {symbol: sp.Rational(3, 2) for symbol in difference.free_symbols - {p}}
    values = sp.lambdify(p, difference.subs(numbers))(np.linspace(0.1, 0.9, 9))
    np.testing.assert_allclose(values * np.ones(9), 0, atol=1e-12)


def test_values_put_the_numbers_in() -> None:
    assert symbols.formula("gce:q=0.5", values=True).free_symbols == {p}
    assert symbols.formula("gce").free_symbols == {p, knob("q")}
    assert symbols.mode("dm:beta=8,lam=2", values=True) == sp.Rational(2, 3)


@pytest.mark.parametrize("name", [name for name, entry in METHODS.entries.items() if entry.meta["role"] == "target"])
def test_a_target_has_no_formula_in_p_alone(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        symbols.weight(name)
    one_sentence(caught.value, repr(name), "no formula")


@pytest.mark.parametrize("name", [name for name in WITH_FORMULA if METHODS.entry(name).meta["role"] == "weight"])
def test_a_weighting_has_no_loss_to_differentiate(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        symbols.slope(name)
    one_sentence(caught.value, repr(name), "no loss")
