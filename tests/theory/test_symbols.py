"""Three derivations of one derivative agree: by hand, in symbols, and by autograd."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import sympy as sp
import torch
from helpers.cases import CUT, FAMILIES, GRID, MIXED, SHAPES, extreme_batch, one_sentence, random_batch, recalled_for
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot, softmax

from robustdl_lib import symbols, targets
from robustdl_lib.registry import METHODS, SpecError
from robustdl_lib.theory.gradients import emphasis_mode, influence, logit_gradient
from robustdl_lib.theory.symbols import knob, p

WITH_FORMULA = [name for name, entry in METHODS.entries.items() if entry.facts.formula]
ENDS = ["gce:q=1", "gce:q=0.01", "imae:T=200", "dm:beta=60,lam=0", "dm:beta=60,lam=100", "exponential:beta=60"]
SPECS = [
    *WITH_FORMULA,
    *GRID,
    *SHAPES,
    *CUT,
    *MIXED[:1],
    *FAMILIES[:4],
    *ENDS,
    "barron:alpha=1.5,c=2",
    "barron:alpha=-20",
]
BY_HAND = {
    "cce": 2 * (1 - p),
    "mae": 2 * p * (1 - p),
    "mse": 4 * p * (1 - p) ** 2,
    "gce": 2 * p ** knob("q") * (1 - p),
    "imae": sp.exp(knob("T") * p * (1 - p)),
    "dm": sp.exp(knob("beta") * p ** knob("lam") * (1 - p)),
    "sce": 2 * (1 - p) * (knob("a") + knob("b") * sp.log(10000) * p),
    "tgce": sp.Piecewise((0, p <= knob("k")), (2 * p ** knob("q") * (1 - p), True)),
    "normal": sp.exp(-knob("beta") * p * (p - 2 * knob("psi"))),
    "exponential": sp.exp(knob("beta") * (1 - p)),
    "beta": p ** (knob("a") - 1) * (1 - p) ** (knob("n") - 1),
}
MODES = {
    "cce": sp.Integer(0),
    "mae": sp.Rational(1, 2),
    "mse": sp.Rational(1, 3),
    "gce": knob("q") / (knob("q") + 1),
    "imae": sp.Rational(1, 2),
    "dm": knob("lam") / (knob("lam") + 1),
    "sce": sp.Max(0, sp.Rational(1, 2) - knob("a") / (2 * knob("b") * sp.log(10000))),
    "tgce": sp.Max(knob("k"), knob("q") / (knob("q") + 1)),
    "normal": knob("psi"),
    "exponential": sp.Integer(0),
    "beta": sp.Max(0, (knob("a") - 1) / (knob("a") + knob("n") - 2)),
}
BARRON = {
    "barron:alpha=2,c=1": lambda x: x,
    "barron:alpha=1,c=1": lambda x: x / np.sqrt(x**2 + 1),
    "barron:alpha=0,c=1": lambda x: 2 * x / (x**2 + 2),
    "barron:alpha=-2,c=1": lambda x: 16 * x / (x**2 + 4) ** 2,
    "barron:alpha=-inf,c=1": lambda x: x * np.exp(-(x**2) / 2),
    "barron:alpha=1.5,c=2": lambda x: x / 4 * (x**2 / 2 + 1) ** (-0.25),
    "hampel": lambda x: np.interp(x, [0, 0.25, 0.5, 0.9, 1], [0, 0.25, 0.25, 0, 0]),
    "hampel:a=0.3,b=0.9,c=2": lambda x: np.interp(x, [0, 0.3, 0.9, 2], [0, 0.3, 0.3, 0]),
}
"""|L'| in the residual x = 1 - p, by hand, where it is no formula in the knobs."""


@cache
def closed_form(spec: str) -> Callable[[np.ndarray], np.ndarray]:
    return sp.lambdify(p, symbols.weight(spec, values=True), "numpy")


def check_against_autograd(spec: str, logits: torch.Tensor, labels: torch.Tensor) -> None:
    """Compare the closed form at p_y with the L1 norm of the derivative, to 1e-9 of the curve's scale."""
    given_p = log_softmax(logits, 1).gather(1, labels[:, None]).squeeze(1).exp().numpy()
    expected = closed_form(spec)(given_p) * np.ones_like(given_p)
    norm = logit_gradient(spec, logits, labels).abs().sum(1).numpy()
    assert np.isfinite(norm).all()
    np.testing.assert_allclose(norm, expected, rtol=1e-9, atol=1e-12 * max(1.0, expected.max()))


@pytest.mark.parametrize("spec", SPECS)
def test_the_closed_form_is_the_norm_of_the_derivative_at_random_logits(spec: str) -> None:
    for classes in (2, 3, 10, 100):
        check_against_autograd(spec, *random_batch(classes, count=256, classes=classes, scale=4.0))


@pytest.mark.parametrize("spec", SPECS)
def test_the_closed_form_is_the_norm_of_the_derivative_at_extreme_logits(spec: str) -> None:
    logits, labels = extreme_batch()
    p_y = log_softmax(logits, 1).gather(1, labels[:, None]).exp()
    assert p_y.min() < 1e-69
    assert p_y.max() == 1.0
    check_against_autograd(spec, logits, labels)


@pytest.mark.parametrize("spec", WITH_FORMULA)
@settings(max_examples=25)
@given(st.lists(st.floats(-80, 80), min_size=3, max_size=8), st.integers(0, 2))
def test_the_closed_form_is_the_norm_of_the_derivative_anywhere(spec: str, row: list[float], label: int) -> None:
    check_against_autograd(spec, torch.tensor([row], dtype=torch.float64), torch.tensor([label]))


@pytest.mark.parametrize("name", BY_HAND)
def test_the_symbolic_weight_is_the_one_in_the_papers(name: str) -> None:
    assert sp.simplify(sp.piecewise_fold(symbols.weight(name) - BY_HAND[name])) == 0


@pytest.mark.parametrize("name", MODES)
def test_the_symbolic_mode_is_the_one_in_the_papers(name: str) -> None:
    assert sp.simplify(symbols.mode(name) - MODES[name]) == 0


@pytest.mark.parametrize("spec", [*WITH_FORMULA, *GRID, *SHAPES, *CUT[:2], *MIXED[:1], *FAMILIES])
def test_the_symbolic_mode_is_where_the_curve_peaks(spec: str) -> None:
    try:
        closed_form = float(symbols.mode(spec, values=True))
    except SpecError:
        if METHODS.parse(spec).name in MODES:
            raise  # a method of the talk has a closed form; one that was added need not
        return
    assert closed_form == pytest.approx(emphasis_mode(spec), abs=1e-5)


@pytest.mark.parametrize("name", [name for name in WITH_FORMULA if METHODS.entry(name).facts.role == "loss"])
def test_the_registered_formula_is_what_the_loss_computes(name: str) -> None:
    logits, labels = random_batch(0)
    closed = sp.lambdify(p, symbols.formula(name, values=True), "numpy")
    p_y = log_softmax(logits, 1).gather(1, labels[:, None]).squeeze(1).exp().numpy()
    target = torch.eye(10, dtype=torch.float64)[labels]
    np.testing.assert_allclose(METHODS[name](logits, target).numpy(), closed(p_y), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in WITH_FORMULA if METHODS.entry(name).facts.role == "loss"])
def test_the_slope_is_minus_the_derivative(name: str) -> None:
    difference = symbols.slope(name) + sp.diff(symbols.formula(name), p)
    numbers = {symbol: sp.Rational(3, 2) for symbol in difference.free_symbols - {p}}
    values = sp.lambdify(p, difference.subs(numbers))(np.linspace(0.1, 0.9, 9))
    np.testing.assert_allclose(values * np.ones(9), 0, atol=1e-12)


def test_values_put_the_numbers_in() -> None:
    assert symbols.formula("gce:q=0.5", values=True).free_symbols == {p}
    assert symbols.formula("gce").free_symbols == {p, knob("q")}
    assert symbols.mode("dm:beta=8,lam=2", values=True) == sp.Rational(2, 3)


@pytest.mark.parametrize("name", [name for name, entry in METHODS.entries.items() if entry.facts.role == "target"])
def test_a_target_has_no_formula_in_p_alone(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        symbols.weight(name)
    one_sentence(caught.value, repr(name), "no formula")


@pytest.mark.parametrize("name", [name for name in WITH_FORMULA if METHODS.entry(name).facts.role == "weight"])
def test_a_weighting_has_no_loss_to_differentiate(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        symbols.slope(name)
    one_sentence(caught.value, repr(name), "no loss")


@pytest.mark.parametrize("spec", BARRON)
def test_the_slope_of_barron_and_of_hampel_is_the_one_in_the_papers(spec: str) -> None:
    """In symbols, by hand, and by autograd, at p that meets no corner."""
    points = np.linspace(0.013, 0.987, 59)
    by_symbols = sp.lambdify(p, symbols.slope(spec, values=True), "numpy")(points)
    np.testing.assert_allclose(by_symbols, BARRON[spec](1 - points), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(influence(spec, 1 - points)["psi"], BARRON[spec](1 - points), rtol=1e-10, atol=1e-12)


def test_hampel_has_a_weight_in_symbols_but_no_mode_in_closed_form() -> None:
    with pytest.raises(SpecError) as caught:
        symbols.mode("hampel")
    one_sentence(caught.value, "'hampel'", "no closed form")
    with pytest.raises(SpecError):
        symbols.mode("barron")
    assert symbols.mode("barron:alpha=-inf", values=True) == sp.Rational(1, 2)


@pytest.mark.parametrize(
    ("spec", "mode"), [("beta:a=3,n=1", 1), ("beta:a=1,n=3", 0), ("normal:psi=1", 1), ("sce:a=6,b=0.1", 0)]
)
def test_a_weight_that_only_rises_or_only_falls_peaks_at_an_end(spec: str, mode: float) -> None:
    assert float(symbols.mode(spec, values=True)) == emphasis_mode(spec) == mode


def test_a_weight_of_ones_own_that_only_rises_peaks_at_one() -> None:
    @METHODS.register("rising", label="rising", source="here", role="weight", formula="p**2")
    def rising(logits: Tensor, target: Tensor) -> Tensor:
        """The square of p_y."""
        return (softmax(logits, 1) * target).sum(1).square().detach()

    assert emphasis_mode("rising") == pytest.approx(1.0)
    assert symbols.mode("rising") == 1


@pytest.mark.parametrize(("q", "k", "mode"), [(0.7, 0.5, 0.5), (0.7, 0.1, 7 / 17), (1.0, 0.3, 0.5), (0.5, 0.9, 0.9)])
def test_the_mode_of_truncated_gce_is_the_larger_of_its_threshold_and_the_mode_of_gce(
    q: float, k: float, mode: float
) -> None:
    assert float(symbols.mode(f"tgce:q={q},k={k}", values=True)) == pytest.approx(mode)


WORDS = [
    "loss L(p)",
    "derivative dL/dp",
    "factor of (p - q) in dL/dz",
    "weight w(p)",
    "d log w / dp",
    "emphasis mode psi",
]


@pytest.mark.parametrize("name", WITH_FORMULA)
def test_a_derivation_goes_step_by_step_and_each_step_follows_from_the_one_before(name: str) -> None:
    steps = dict(symbols.derivation(name))
    order = [WORDS.index(words) for words in steps]
    assert order == sorted(order)
    at = {symbol: sp.Rational(2 + i, 7) for i, symbol in enumerate(sorted(steps["weight w(p)"].free_symbols, key=str))}

    def number(expression: sp.Expr) -> float:
        return float(expression.subs(at))

    if METHODS.entry(name).facts.role == "loss":
        loss, derivative, factor, weight = (steps[words] for words in WORDS[:4])
        assert number(sp.diff(loss, p)) == pytest.approx(number(derivative), rel=1e-12)
        assert number(factor) == pytest.approx(number(-p * derivative), rel=1e-12)
        assert number(weight) == pytest.approx(number(2 * (1 - p) * factor), rel=1e-12)
    else:
        assert WORDS[0] not in steps
    if WORDS[4] in steps:
        expected = sp.diff(steps["weight w(p)"], p) / steps["weight w(p)"]
        assert number(steps[WORDS[4]]) == pytest.approx(number(expected), rel=1e-12)
    if name in MODES:
        assert sp.simplify(steps[WORDS[5]] - MODES[name]) == 0


# Over vectors: what is no function of p_y alone


def entropy_gradient(p: Tensor) -> Tensor:
    return -p * (p.log() - (p * p.log()).sum(1, keepdim=True))


def trusted(spec: str, logits: Tensor) -> Tensor:
    knobs = {name: value for name, value in METHODS.parse(spec).values.items() if name != "detach"}
    return targets.proselflc_trust(logits, 0.7, **knobs).unsqueeze(1)


def proselflc(spec: str, logits: Tensor, p: Tensor, q: Tensor, t: Tensor | None) -> Tensor:
    """p - q~, and where p_T flows also -(e / T) p_T (log p - <p_T, log p>)."""
    knobs, e = METHODS.parse(spec).values, trusted(spec, logits)
    p_t = softmax(logits / knobs["T"], 1)
    through = e / knobs["T"] * p_t * (p.log() - (p_t * p.log()).sum(1, keepdim=True))
    return p - (1 - e) * q - e * p_t - (0 if knobs["detach"] else through)


def nce_rce(spec: str, logits: Tensor, p: Tensor, q: Tensor, t: Tensor | None) -> Tensor:
    """a (q - p - (log p_y / S) (1 - C p)) / S + b log(1e4) p_y (p - q), with S = sum_j log p_j."""
    knobs, log_p = METHODS.parse(spec).values, p.log()
    total, given_p = log_p.sum(1, keepdim=True), (p * q).sum(1, keepdim=True)
    share = (q * log_p).sum(1, keepdim=True) / total
    reverse = knobs["b"] * np.log(1e4) * given_p * (p - q)
    return knobs["a"] * (q - p - share * (1 - p.shape[1] * p)) / total + reverse


def elr(spec: str, logits: Tensor, p: Tensor, q: Tensor, t: Tensor) -> Tensor:
    agreement = (t * p).sum(1, keepdim=True)
    return p - q + METHODS.parse(spec).values["lam"] * p * (agreement - t) / (1 - agreement)


def kd(spec: str, logits: Tensor, p: Tensor, q: Tensor, t: Tensor) -> Tensor:
    alpha, T = (METHODS.parse(spec).values[name] for name in ("alpha", "T"))
    return alpha * (p - q) + (1 - alpha) * T * (softmax(logits / T, 1) - t)


VECTORS = {
    "cce": lambda spec, z, p, q, t: p - q,
    "mae": lambda spec, z, p, q, t: (p * q).sum(1, keepdim=True) * (p - q),
    "gce:q=0.3": lambda spec, z, p, q, t: (p * q).sum(1, keepdim=True) ** 0.3 * (p - q),
    "sce:a=6,b=0.1": lambda spec, z, p, q, t: (6 + 0.1 * np.log(1e4) * (p * q).sum(1, keepdim=True)) * (p - q),
    "ls:eps=0.25": lambda spec, z, p, q, t: p - 0.75 * q - 0.25 / p.shape[1],
    "cp:eps=0.25": lambda spec, z, p, q, t: 0.75 * (p - q) - 0.25 * entropy_gradient(p),
    "cp:eps=0.25,detach=True": lambda spec, z, p, q, t: 0.5 * p - 0.75 * q + 0.25 * p,
    "boot_soft:eps=0.5": lambda spec, z, p, q, t: 0.5 * (p - q) + 0.5 * entropy_gradient(p),
    "boot_soft:eps=0.5,detach=True": lambda spec, z, p, q, t: 0.5 * (p - q),
    "boot_hard:eps=0.5": lambda spec, z, p, q, t: p - 0.5 * q - 0.5 * one_hot(p.argmax(1), p.shape[1]),
    **dict.fromkeys(
        [
            "proselflc",
            "proselflc:detach=True",
            "proselflc:T=0.5",
            "proselflc:T=0.5,detach=True",
            "proselflc:trust=local",
        ],
        proselflc,
    ),
    **dict.fromkeys(["nce_rce", "nce_rce:a=10,b=0.1"], nce_rce),
    **dict.fromkeys(["elr", "elr:lam=7,beta=0.9"], elr),
    **dict.fromkeys(["kd", "kd:alpha=0.5,T=1"], kd),
}
"""dL/dz by hand: of a spec, in logits, p, q and what is recalled."""


@cache
def in_symbols(spec: str, classes: int) -> Callable[..., list[float]]:
    """Return dL/dz as a function of the vectors' elements, the trust and the knobs' values, one example a call."""
    values = METHODS.parse(spec).values
    numbers = {knob(name): value for name, value in values.items() if isinstance(value, float)}
    gradient = [part.subs(numbers) for part in symbols.logit_gradient(spec, classes)]
    parts = [symbol for vector in symbols.elements(classes).values() for symbol in vector]
    return sp.lambdify([*parts, knob("e")], gradient, "numpy")


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("spec", VECTORS)
def test_the_logit_gradient_is_the_same_in_symbols_by_hand_and_by_autograd(spec: str, classes: int) -> None:
    logits, labels = random_batch(classes, 24, classes, scale=2.0)
    parsed = METHODS.parse(spec)
    said = recalled_for(spec, logits)
    T = parsed.values.get("T", 1.0)
    p, q, p_t = softmax(logits, 1), one_hot(labels, classes).double(), softmax(logits / T, 1)
    t = None if said is None else (softmax(said / T, 1) if parsed.name == "kd" else said)
    by_hand = VECTORS[spec](spec, logits, p, q, t)
    by_autograd = logit_gradient(spec, logits, labels, 0.7, recalled=said)
    torch.testing.assert_close(by_autograd, by_hand, rtol=1e-10, atol=1e-12)
    e = trusted(spec, logits) if parsed.name == "proselflc" else torch.zeros(24, 1, dtype=torch.float64)
    guess = one_hot(logits.argmax(1), classes).double()
    vectors = {"p": p, "q": q, "p_T": p_t, "t": q if t is None else t, "m": guess, "r": p_t}
    columns = torch.cat([vectors[name] for name in symbols.VECTORS] + [e], 1).T.numpy()
    found = np.stack([part * np.ones(24) for part in in_symbols(spec, classes)(*columns)], 1)
    np.testing.assert_allclose(found, by_hand.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("spec", ["ls", "cp", "boot_soft", "boot_hard", "nce_rce", "elr", "kd", "proselflc"])
def test_a_method_that_is_no_function_of_p_y_is_written_over_vectors(spec: str) -> None:
    found = symbols.whole(spec)
    assert found.has(symbols.S)
    assert {str(symbol) for symbol in found.free_symbols} & set(symbols.VECTORS)
    with pytest.raises(SpecError, match="no formula in p_y alone"):
        symbols.formula(spec)


def test_a_loss_of_p_y_is_written_over_vectors_with_p_y_as_the_sum_of_q_p() -> None:
    q, probs = sp.symbols("q p")
    assert symbols.whole("cce") == -sp.log(symbols.S(q * probs))
    assert symbols.whole("mae") == 1 - symbols.S(q * probs)


@pytest.mark.parametrize("spec", ["joint", "pseudo", "adaptive", "dm", "imae"])
def test_what_has_no_loss_in_symbols_is_refused_in_one_sentence(spec: str) -> None:
    for call in (symbols.whole, symbols.logit_gradient):
        with pytest.raises(SpecError) as caught:
            call(spec)
        one_sentence(caught.value, repr(spec), "no loss in symbols")


@pytest.mark.parametrize("spec", ["cp:hinge=0.5"])
def test_a_knob_that_the_symbols_do_not_know_is_not_left_out_in_silence(spec: str) -> None:
    with pytest.raises(SpecError) as caught:
        symbols.logit_gradient(spec)
    one_sentence(caught.value, repr(spec))


def test_knobs_that_may_be_negative_are_real_symbols_and_the_others_positive() -> None:
    kinds = {str(symbol): symbol.is_positive for symbol in symbols.formula("barron").free_symbols}
    assert kinds == {"p": True, "c": True, "alpha": None}
    assert symbols.knob("alpha", positive=False).is_real
