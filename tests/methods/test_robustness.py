"""The gradient lens as robust statistics sees it: the family w(p_y)(p - q), the influence, the facts, by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers.cases import ALONE, SHAPES, SPECS, fact
from torch import Tensor
from torch.nn.functional import one_hot, softmax

from robustdl_lib import gradients, losses
from robustdl_lib.registry import METHODS

A = math.log(1e4)
TWO_CLASSES = [spec for spec in ALONE if fact(spec, "role") != "target" or "progress" not in spec]
PSI = {
    "cce": lambda x: 1 / (1 - x),
    "mae": lambda x: np.ones_like(x),
    "mse": lambda x: 2 * x,
    "gce": lambda x: (1 - x) ** (0.7 - 1),
    "tgce": lambda x: np.where(x < 0.5, (1 - x) ** (0.7 - 1), 0),
    "sce": lambda x: 0.1 / (1 - x) + A,
    "barron": lambda x: 4 * x / np.sqrt(4 * x**2 + 1),
    "barron:alpha=2": lambda x: 4 * x,
    "barron:alpha=0": lambda x: 4 * x / (2 * x**2 + 1),
    "barron:alpha=-2": lambda x: 4 * x / (x**2 + 1) ** 2,
    "barron:alpha=-inf": lambda x: 4 * x * np.exp(-2 * x**2),
    "hampel": lambda x: np.interp(x, [0, 0.25, 0.5, 0.9, 1], [0, 0.25, 0.25, 0, 0]),
    "hampel:a=0.3,b=0.9,c=2": lambda x: np.interp(x, [0, 0.3, 0.9, 2], [0, 0.3, 0.3, 0]),
    "imae": lambda x: np.exp(8 * x * (1 - x)) / (2 * x * (1 - x)),
    "beta:a=1,n=2": lambda x: 1 / (2 * (1 - x)),
}
"""|L'| in the residual x = 1 - p_y; of a weighting w / (2 x (1 - x))."""
FACTS = {
    "cce": (False, math.inf, False, math.inf, False, 1.0),
    "mae": (True, 1.0, True, 1.0, False, 0.0),
    "mse": (True, 1.0, False, 2.0, False, 0.0),
    "gce": (True, 1 / 0.7, False, math.inf, False, 0.0),
    "gce:q=0.01": (True, 100.0, False, math.inf, False, 0.802),  # p^q is that at p = 1e-12, where curves end
    "gce:q=1": (True, 1.0, True, 1.0, False, 0.0),
    "tgce": (True, (1 - 0.5**0.7) / 0.7, False, 0.5 ** (0.7 - 1), True, 0.0),
    "sce": (False, math.inf, False, math.inf, False, 0.0425),
    "sce:a=0,b=1": (True, A, True, A, False, 0.0),
    "nce_rce": (True, 1 + A, True, math.inf, False, 0.00378),
    "barron:alpha=2": (True, 2.0, False, 4.0, False, 0.0),
    "barron:alpha=-2": (True, 1.0, False, 4 * (1 / 3) ** 0.5 / (4 / 3) ** 2, False, 0.0),
    "barron:alpha=-inf": (True, 1 - math.exp(-2), False, 2 * math.exp(-0.5), False, 0.0),
    "hampel": (True, 0.25 * (0.5 + 0.9 - 0.25) / 2, False, 0.25, True, 0.0),
    "hampel:a=0.3,b=0.9,c=2": (True, 0.3 * (2.6 - 1 / 1.1) / 2, False, 0.3, False, 0.0),
    "ls": (False, math.inf, False, math.inf, False, 1.0),
    "imae": (None, None, None, math.inf, False, math.exp(-2)),
    "dm": (None, None, None, math.inf, False, math.exp(-12 * 3**-0.5 * 2 / 3)),
    "beta": (None, None, None, 0.5, False, 0.0),
    "beta:a=2,n=1": (None, None, None, math.inf, False, 0.0),
    "beta:a=2.5,n=2": (None, None, None, 0.5, True, 0.0),
    "normal:beta=60,psi=1": (None, None, None, math.inf, False, math.exp(-60)),
    "exponential": (None, None, None, math.inf, False, 1.0),
}
"""Bounded, supremum, symmetric, sensitivity, redescending, w(0) / max w: by hand."""


@pytest.mark.parametrize("spec", SPECS)
def test_every_loss_of_p_y_and_every_weighting_is_in_the_family(spec: str) -> None:
    found = gradients.family(spec, progress=0.7)
    assert 0 <= found.distance < math.inf
    assert found.member == (found.distance < gradients.EXACT)
    if fact(spec, "formula") or fact(spec, "role") == "weight":
        assert found.member


@pytest.mark.parametrize(
    "spec",
    ["ls", "cp", "boot_soft", "boot_hard", "proselflc", "proselflc:T=0.2,detach=True", "nce_rce", "elr", "joint"],
)
def test_these_turn_the_direction_too(spec: str) -> None:
    found = gradients.family(spec, progress=0.7)
    assert not found.member
    assert found.distance > 1e-3


@pytest.mark.parametrize(
    "spec", ["boot_soft:eps=0.5,detach=True", "cp:eps=0.25,detach=True", "pseudo", "kd", "adaptive"]
)
def test_what_is_a_rescaled_cross_entropy_or_a_loss_of_p_y_is_found_to_be_one(spec: str) -> None:
    assert gradients.family(spec, progress=0.7).member


def distance_of(gradient: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Return the family's distance of a logit gradient that is given in probabilities and one-hot labels."""
    logits, labels = gradients._random_predictions(10)
    p, q = softmax(logits, 1), one_hot(labels, 10).double()
    given = (p * q).sum(1, keepdim=True)
    alike = torch.where(q > 0, given, (1 - given) / 9)
    factor = (gradient(alike, q) * (1 - q)).sum(1, keepdim=True) / (1 - given)
    found = gradient(p, q)
    return ((found - factor * (p - q)).abs().sum() / found.abs().sum()).item()


def brier(logits: Tensor, target: Tensor) -> Tensor:
    return (softmax(logits, 1) - target).square().sum(1)


def brier_gradient(p: Tensor, q: Tensor) -> Tensor:
    return 2 * p * ((p - q) - (p * (p - q)).sum(1, keepdim=True))


@pytest.mark.parametrize(
    ("method", "gradient"),
    [
        (brier, brier_gradient),
        ("ls:eps=0.25", lambda p, q: p - 0.75 * q - 0.025),
        ("boot_hard:eps=0.5", lambda p, q: p - 0.5 * q - 0.5 * one_hot(p.argmax(1), 10)),
        (lambda z, t: losses.cce(z, t) + (z - z.logsumexp(1, True)).square().sum(1), None),
    ],
    ids=["brier", "ls", "boot_hard", "own"],
)
def test_the_distance_from_the_family_is_what_it_says(method: object, gradient: object) -> None:
    def by_hand(p: Tensor, q: Tensor) -> Tensor:
        log_p = p.log()
        return p - q + 2 * (log_p - p * log_p.sum(1, keepdim=True))

    found = gradients.family(method)
    assert found.distance == pytest.approx(distance_of(gradient or by_hand), rel=1e-9)
    assert not found.member


@pytest.mark.parametrize("spec", TWO_CLASSES)
def test_of_two_classes_there_is_one_direction_alone(spec: str) -> None:
    assert gradients.family(spec, num_classes=2, progress=0.7).member


@pytest.mark.parametrize("spec", PSI)
def test_the_influence_is_the_derivative_by_the_residual_and_the_weight_is_that_over_it(spec: str) -> None:
    x = np.linspace(0.001, 0.999, 997)
    curve = gradients.influence(spec, x)
    assert list(curve.columns) == ["residual", "psi", "weight"]
    np.testing.assert_allclose(curve["psi"], PSI[spec](x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(curve["weight"], PSI[spec](x) / x, rtol=1e-9, atol=1e-9)
    assert curve.attrs["method"] == spec


@pytest.mark.parametrize("spec", [*METHODS, *SHAPES])
def test_influence_and_weight_tell_of_the_same_derivative(spec: str) -> None:
    """w = 2 x (1 - x) psi where the gradient is along p - q: psi has the sign that w has lost."""
    curve = gradients.influence(spec, progress=0.7)
    assert len(curve) == gradients.GRID
    assert np.isfinite(curve.to_numpy()).all()
    if not gradients.family(spec, progress=0.7).member:
        return
    weight = gradients.weight_curve(spec, 1 - curve["residual"], progress=0.7)["weight"].to_numpy()
    inside = curve["residual"].between(0.001, 0.999).to_numpy()
    x = curve["residual"].to_numpy()
    by_psi = np.abs(2 * x * (1 - x) * curve["psi"].to_numpy())
    np.testing.assert_allclose(by_psi[inside], weight[inside], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("points", [[-0.1], [1.1], [float("nan")], [[0.1]]])
def test_residuals_outside_zero_to_one_are_refused(points: list[float]) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        gradients.influence("cce", points)


@pytest.mark.parametrize("spec", FACTS)
def test_the_facts_of_robust_statistics(spec: str) -> None:
    found = gradients.robustness(spec)
    bounded, supremum, symmetric, sensitivity, redescending, left = FACTS[spec]
    assert (found.bounded, found.symmetric, found.redescending) == (bounded, symmetric, redescending)
    assert found.supremum == (supremum if supremum is None else pytest.approx(supremum, rel=1e-9))
    assert found.sensitivity == pytest.approx(sensitivity, rel=1e-4)
    assert found.left_at_zero == pytest.approx(left, rel=1e-2, abs=1e-7)


@pytest.mark.parametrize("spec", METHODS)
def test_every_method_has_its_facts_and_only_a_weighting_has_no_loss(spec: str) -> None:
    found = gradients.robustness(spec, progress=0.7)
    no_loss = fact(spec, "role") == "weight"
    assert [found.bounded is None, found.supremum is None, found.symmetric is None] == [no_loss] * 3
    assert found.sensitivity > 0
    assert 0 <= found.left_at_zero <= 1
    if not no_loss:
        assert found.bounded == math.isfinite(found.supremum)
