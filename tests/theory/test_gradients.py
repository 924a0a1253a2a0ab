"""The gradient lens: curves, modes and variances have the numbers of the papers."""

import math

import numpy as np
import pytest
import torch
from helpers.cases import ALONE, CUT, GRID, IN_P_ALONE, SPECS, fact, random_batch, specs_of
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import one_hot, softmax

from robustdl_lib import gradients, losses
from robustdl_lib.registry import METHODS

SHAPES = {
    "dm:beta=2,lam=0": (0.0, 7.39, 3.20, 3.20),
    "dm:beta=8,lam=0.5": (0.333, 21.7, 11.4, 50.4),
    "dm:beta=12,lam=0.5": (0.333, 101.4, 44.4, 1258),
    "dm:beta=8,lam=1": (0.5, 7.39, 4.42, 4.55),
    "dm:beta=16,lam=1": (0.5, 54.6, 24.1, 354),
    "dm:beta=12,lam=2": (0.667, 5.92, 3.22, 2.98),
    "dm:beta=20,lam=2": (0.667, 19.4, 8.15, 41.7),
}
"""Peak p, greatest weight, integral and variance for p uniform on [0, 1]."""
A = math.log(1e4)
MODES = {
    **{"cce": 0, "mae": 1 / 2, "mse": 1 / 3, "gce": 0.7 / 1.7, "gce:q=0.3": 0.3 / 1.3, "imae": 1 / 2, "dm": 1 / 3},
    **{"tgce": 0.5, "tgce:q=0.3,k=0.1": 0.3 / 1.3, "tgce:q=1,k=0.8": 0.8, "sce": 1 / 2 - 0.1 / (2 * A)},
    **{"sce:a=6,b=0.1": 0, "normal:psi=0.2": 0.2, "normal:psi=1": 1, "exponential": 0, "beta:a=4,n=1.5": 3 / 3.5},
    **{"beta:a=1,n=2": 0, "beta:a=2,n=1": 1, "barron:alpha=2": 1 / 3, "barron:alpha=-inf": 1 / 2},
}
VARIANCES = {"cce": 1 / 3, "mae": 0.0889 / 4, "mse": 0.0413, "gce": 0.033}
PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@pytest.mark.parametrize("spec", SHAPES)
def test_the_shape_numbers_of_derivative_manipulation(spec: str) -> None:
    peak, greatest, integral, variance = SHAPES[spec]
    curve = gradients.weight_curve(spec)
    assert gradients.emphasis_mode(spec) == pytest.approx(peak, abs=5e-4)
    assert curve["weight"].max() == pytest.approx(greatest, rel=3e-3)
    assert np.trapezoid(curve["weight"], curve["p"]) == pytest.approx(integral, rel=3e-3)
    assert gradients.emphasis_variance(spec) == pytest.approx(variance, rel=3e-3)


@pytest.mark.parametrize("spec", MODES)
def test_the_emphasis_mode_is_the_one_in_the_table(spec: str) -> None:
    assert gradients.emphasis_mode(spec) == pytest.approx(MODES[spec], abs=1e-6)


@pytest.mark.parametrize("spec", VARIANCES)
def test_the_emphasis_variance_is_the_one_in_the_table(spec: str) -> None:
    """MAE's .0889 is that of IMAE's 4 p (1 - p): a quarter for the 2 p (1 - p) of DM and of this library."""
    assert gradients.emphasis_variance(spec) == pytest.approx(VARIANCES[spec], rel=5e-3)


@given(st.floats(0.1, 40), st.floats(0, 5))
def test_the_mode_of_dm_does_not_depend_on_beta(beta: float, lam: float) -> None:
    spec = f"dm:beta={beta!r},lam={lam!r}"
    assert gradients.emphasis_mode(spec) == pytest.approx(lam / (lam + 1), abs=1e-4)


def test_the_variance_grows_with_beta() -> None:
    variances = [gradients.emphasis_variance(f"dm:beta={beta},lam=1") for beta in (0, 2, 8, 12, 16, 20)]
    assert np.diff(variances).min() > 0
    assert variances[0] == pytest.approx(0, abs=1e-18)


@pytest.mark.parametrize("spec", ["dm:beta=0", "imae:T=0", "normal:beta=0", "exponential:beta=0", "beta:a=1,n=1"])
def test_a_flat_curve_has_no_mode(spec: str) -> None:
    assert math.isnan(gradients.emphasis_mode(spec))


@pytest.mark.parametrize("spec", [*METHODS, *GRID, *CUT])
def test_a_density_is_not_negative_and_integrates_to_one_wherever_it_is_shown(spec: str) -> None:
    """The points choose where a density is shown, not its scale."""
    density = gradients.emphasis_density(spec)
    assert (density["density"] >= 0).all()
    assert list(density.columns) == ["p", "density"]
    assert np.trapezoid(density["density"], density["p"]) == pytest.approx(1.0, rel=1e-9)
    some = gradients.emphasis_density(spec, [0.1, 0.50005, 0.9])
    np.testing.assert_allclose(some["density"], density.set_index("p")["density"].loc[some["p"]], rtol=1e-9)


@pytest.mark.parametrize("classes", [2, 100])
@pytest.mark.parametrize("spec", IN_P_ALONE)
def test_a_weight_in_p_alone_is_the_same_for_any_number_of_classes(spec: str, classes: int) -> None:
    p = np.linspace(0.0, 1.0, 1238)  # none is the threshold of a truncated loss, where rounding would decide
    ten, other = (gradients.weight_curve(spec, p, num_classes=count)["weight"] for count in (10, classes))
    np.testing.assert_allclose(other, ten, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("spec", GRID)
def test_the_emphasis_mode_is_the_maximum_of_the_curve(spec: str) -> None:
    curve = gradients.weight_curve(spec)
    assert gradients.emphasis_mode(spec) == pytest.approx(curve["p"][curve["weight"].idxmax()], abs=1 / 20_000)


@pytest.mark.parametrize("spec", SPECS)
def test_every_curve_is_finite_on_the_whole_interval(spec: str) -> None:
    curve = gradients.weight_curve(spec, progress=0.9)
    assert len(curve) == gradients.GRID == 20_001
    assert curve["p"].iloc[[0, -1]].tolist() == [0.0, 1.0]
    assert np.isfinite(curve["weight"]).all()
    assert (curve["weight"] >= 0).all()
    assert 0 <= gradients.emphasis_variance(spec, [0.1, 0.9], progress=0.9) < math.inf


@pytest.mark.parametrize("spec", ALONE)
def test_the_norm_of_a_logit_gradient_is_the_curve(spec: str) -> None:
    logits = gradients.logits_at([0.2, 0.7], 10)
    norm = gradients.logit_gradient(spec, logits, torch.tensor([0, 0]), 0.5).abs().sum(1)
    np.testing.assert_allclose(norm, gradients.weight_curve(spec, [0.2, 0.7], progress=0.5)["weight"], rtol=1e-12)


def test_the_gradient_of_cross_entropy_is_p_minus_q() -> None:
    logits, labels = random_batch(0)
    expected = softmax(logits, 1) - one_hot(labels, 10)
    torch.testing.assert_close(gradients.logit_gradient("cce", logits, labels), expected)
    torch.testing.assert_close(gradients.logit_gradient(losses.cce, logits, one_hot(labels, 10)), expected)


@pytest.mark.parametrize("spec", SPECS)
def test_a_gradient_knows_its_batch_only_where_the_registry_says_so(spec: str) -> None:
    """A label is missing, too: pseudo-labels know how many are."""
    logits, labels = random_batch(1)
    labels[5:9] = -1
    whole, alone = (gradients.logit_gradient(spec, logits[:n], labels[:n], 0.5)[0] for n in (64, 1))
    if fact(spec, "knows_batch") and METHODS.parse(spec).values.get("stage") != 2:
        assert (whole - alone).abs().max() > 1e-3
    else:
        torch.testing.assert_close(whole, alone, rtol=1e-12, atol=1e-15)


def test_a_gradient_leaves_its_input_alone() -> None:
    logits, labels = random_batch(2)
    leaf = logits.clone().requires_grad_()
    assert not gradients.logit_gradient("cce", leaf, labels).requires_grad
    assert leaf.grad is None
    assert torch.equal(leaf, logits)


@given(PROBABILITIES, st.integers(2, 50))
def test_logits_at_give_the_probabilities_asked_for(points: list[float], classes: int) -> None:
    probs = softmax(gradients.logits_at(points, classes), 1).numpy()
    np.testing.assert_allclose(probs[:, 0], points, rtol=0, atol=2e-12)
    assert np.ptp(probs[:, 1:], axis=1).max() < 1e-15


@given(PROBABILITIES)
def test_the_variance_over_examples_is_that_of_their_weights(points: list[float]) -> None:
    weight = 2 * (1 - np.array(points))
    assert gradients.emphasis_variance("cce", points) == pytest.approx(np.var(weight), abs=1e-9)


@pytest.mark.parametrize("points", [[-0.1], [1.1], [float("nan")], [[0.1, 0.2]]])
def test_points_that_are_no_probabilities_are_refused(points: list[float]) -> None:
    for call in (gradients.weight_curve, gradients.emphasis_density, gradients.emphasis_variance):
        with pytest.raises(ValueError, match=r"probabilities in \[0, 1\]"):
            call("cce", points)


def test_compare_stacks_the_curves_under_their_methods() -> None:
    table = gradients.compare(["cce", "gce"], gradients.weight_curve, p=[0.2, 0.4])
    assert table["method"].tolist() == ["cce", "cce", "gce", "gce"]
    assert table["weight"][:2].tolist() == pytest.approx([1.6, 1.2])


@pytest.mark.parametrize("spec", specs_of("weight"))
def test_a_norm_does_not_change_the_lens(spec: str) -> None:
    plain = ",".join(part for part in spec.split(",") if not part.startswith("norm="))
    if spec.partition(":")[2] and plain != spec and ":" in plain:
        one, other = (gradients.weight_curve(text)["weight"] for text in (spec, plain))
        np.testing.assert_array_equal(one, other)
