"""M-estimators behave as robust statistics says, and alpha is what made the data."""

import math

import numpy as np
import pytest
import torch
from helpers.cases import one_sentence
from scipy.optimize import minimize_scalar

from robustdl_lib import gradients, losses
from robustdl_lib.registry import METHODS
from robustdl_lib.theory import m_estimators
from robustdl_lib.theory.m_estimators import fit_alpha, hampel_location, location, rejection_point, statistics_rows

NORMAL = np.random.default_rng(0).normal(size=501)
REDESCENDING = (0.0, -2.0, -math.inf)


def contaminated(share, at):
    return np.where(np.arange(len(NORMAL)) < share * len(NORMAL), at, NORMAL)


@pytest.fixture(scope="module")
def rows():
    return statistics_rows(residuals=np.linspace(0, 1, 51))


def test_rows_are_the_library_s_curves_up_to_one_factor_a_method(rows):
    for spec, part in rows.groupby("method"):
        x = part["residual"].to_numpy()
        inner = (x > 0) & (x < 1)
        factor = part["influence"] / gradients.influence(spec, x)["psi"].to_numpy()
        logits = gradients.logits_at(1 - x, 10)
        method, target = METHODS.parse(spec), torch.eye(10, dtype=torch.float64)[[0] * len(x)]
        loss = method.entry.function(logits, target, **method.knobs).numpy()
        alive = inner & (part["influence"] > 0)
        np.testing.assert_allclose(factor[alive], factor[alive].iloc[0], rtol=1e-9)
        np.testing.assert_allclose(part["loss"][inner], factor[alive].iloc[0] * loss[inner], rtol=1e-9)
        density = gradients.emphasis_density(spec, 1 - x)["density"]
        np.testing.assert_allclose(part["density"], density, rtol=1e-6, atol=1e-9)


def test_density_is_influence_times_the_softmax_factor(rows):
    inner = rows[rows["residual"] < 1]
    factor = 6 * inner["residual"] * (1 - inner["residual"])
    np.testing.assert_allclose(inner["density"], factor * inner["influence"], atol=1e-6)


def test_influence_is_the_slope_of_the_loss(rows):
    part = rows[rows["method"] == "barron:alpha=0,c=0.3"]
    slope = np.gradient(part["loss"], part["residual"])
    np.testing.assert_allclose(slope[2:-2], part["influence"].iloc[2:-2], atol=5e-3)


def test_rows_show_all_of_barron_s_named_members(rows):
    shown = [METHODS.parse(spec) for spec in rows["method"].unique()]
    assert [spec.values["alpha"] for spec in shown if spec.name == "barron"] == list(m_estimators.ALPHAS)
    assert {spec.name for spec in shown} == {"barron", "hampel", "cce", "mae", "gce"}


def test_least_squares_is_the_mean_and_a_tiny_scale_the_median():
    assert location(NORMAL, 2.0, c=0.7) == pytest.approx(NORMAL.mean(), abs=1e-12)
    assert location([1.0, 2.0, 3.0, 50.0, 4.0], 1.0, c=1e-4) == pytest.approx(3.0, abs=1e-3)


@pytest.mark.parametrize("alpha", [1.5, 1.0, 0.5, *REDESCENDING])
def test_a_location_minimises_the_sum_of_losses(alpha):
    sample = torch.from_numpy(contaminated(0.2, 6.0))

    def total(centre):
        return float(losses.general_robust(sample - centre, alpha, 1.5).sum())

    found = location(sample.numpy(), alpha, c=1.5)
    best = minimize_scalar(total, bounds=(found - 0.5, found + 0.5), method="bounded", options={"xatol": 1e-9})
    assert found == pytest.approx(best.x, abs=1e-6)
    assert total(found) <= min(total(centre) for centre in np.linspace(-2, 8, 101))


@pytest.mark.parametrize("alpha", [2.0, 1.0, 0.0, -2.0, -math.inf])
def test_a_location_moves_with_its_sample_and_scales_with_it(alpha):
    base = location(NORMAL, alpha, c=2.0)
    assert location(NORMAL + 7, alpha, c=2.0) == pytest.approx(base + 7, abs=1e-9)
    assert location(-3 * NORMAL, alpha, c=6.0) == pytest.approx(-3 * base, abs=1e-9)
    assert location(np.full(4, 2.5), alpha, c=1.0) == 2.5


def test_what_breaks_and_what_does_not():
    far = contaminated(0.45, 1e6)
    assert location(far, 2.0) > 1e5
    assert 0.5 < location(far, 1.0, c=2.0) < 10
    for alpha in REDESCENDING:
        assert abs(location(far, alpha, c=2.0)) < 0.2
    assert abs(hampel_location(far)) < 0.2


@pytest.mark.parametrize("alpha", [2.0, 1.0, *REDESCENDING])
def test_one_more_example_moves_a_location_in_proportion_to_psi(alpha):
    base = location(NORMAL, alpha, c=2.0)
    far = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64, requires_grad=True)
    psi = torch.autograd.grad(losses.general_robust(far, alpha, 2.0).sum(), far)[0].numpy()
    moved = [location([*NORMAL, base + z], alpha, c=2.0) - base for z in far.tolist()]
    ratio = np.array(moved) / psi
    np.testing.assert_allclose(ratio, ratio[0], rtol=0.02)


def test_hampel_s_location_is_the_mean_of_what_lies_within_a():
    assert hampel_location(NORMAL, a=90, b=95, c=100) == pytest.approx(NORMAL.mean(), abs=1e-9)
    assert hampel_location([0.0, 1.0, 2.0, 500.0], a=3, b=4, c=5) == pytest.approx(1.0, abs=1e-9)


def test_where_nothing_counts_the_median_stays():
    assert hampel_location([-10.0, 10.0], a=0.1, b=0.2, c=0.3) == 0.0


@pytest.mark.parametrize(
    ("sample", "alpha", "c", "words"),
    [
        ([], 1.0, 1.0, "at least one"),
        ([1.0, math.nan], 1.0, 1.0, "finite numbers"),
        ([1.0, math.inf], 1.0, 1.0, "finite numbers"),
        ([1.0], 3.0, 1.0, "alpha = 3.0"),
        ([1.0], math.nan, 1.0, "alpha = nan"),
        ([1.0], 1.0, 0.0, "c = 0.0"),
    ],
)
def test_a_location_refuses_what_it_cannot_use(sample, alpha, c, words):
    with pytest.raises(ValueError, match=words) as refusal:
        location(sample, alpha, c)
    one_sentence(refusal.value)


@pytest.mark.parametrize("knobs", [(3, 2, 6), (0, 1, 2), (1, 2, 0), (1, 2, math.inf), (-1, 2, 3)])
def test_hampel_s_knobs_must_increase(knobs):
    with pytest.raises(ValueError, match="0 < a < b < c") as refusal:
        hampel_location(NORMAL, *knobs)
    one_sentence(refusal.value)


@pytest.mark.parametrize(
    ("method", "point"), [("hampel", 0.9), ("tgce:q=0.5,k=0.3", 0.7), ("mae", math.inf), ("cce", math.inf)]
)
def test_the_rejection_point_is_where_psi_ends(method, point):
    assert rejection_point(method) == pytest.approx(point, abs=1e-4)


def test_alpha_is_that_of_the_density_which_drew_the_data():
    draw = np.random.default_rng(1)
    assert fit_alpha(draw.normal(scale=3.0, size=4000), c=3.0) > 1.9
    assert fit_alpha(3 * math.sqrt(2) * draw.standard_cauchy(4000), c=3.0) < 0.1


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.5])
def test_alpha_between_the_ends_is_found_from_weighted_points(alpha):
    x = np.linspace(-4000, 4000, 400_001)
    density = torch.exp(-losses.general_robust(torch.from_numpy(x), alpha, 1.0)).numpy()
    assert fit_alpha(x, density, c=1.0) == pytest.approx(alpha, abs=0.02)


def test_alpha_has_the_least_likelihood_loss_of_all():
    x = torch.tensor([0.05, 0.3, 0.95], dtype=torch.float64)
    counts = np.array([50, 10, 30])
    found = fit_alpha(x.numpy(), counts, c=0.3)
    tried = torch.tensor([[found], *([a] for a in np.linspace(0.002, 1.998, 400))], dtype=torch.float64)
    mean = losses.negative_log_likelihood(x, tried, 0.3) @ torch.from_numpy(counts / counts.sum())
    assert int(mean.argmin()) == 0


def test_counts_stand_for_repeated_residuals():
    assert fit_alpha([0.1, 0.9], [3, 1], c=0.3) == pytest.approx(fit_alpha([0.1, 0.1, 0.1, 0.9], c=0.3), abs=1e-9)
    assert fit_alpha([0.1, 0.9], [0, 1], c=0.3) == pytest.approx(fit_alpha([0.9], c=0.3), abs=1e-9)


def test_outliers_lower_alpha():
    shares = [fit_alpha(contaminated(share, 8.0), c=1.0) for share in (0.0, 0.05, 0.2, 0.4)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] - shares[-1] > 1


@pytest.mark.parametrize(
    ("residuals", "counts", "c", "words"),
    [
        ([0.1, 0.2], [0, 0], 0.3, "not all 0"),
        ([0.1, 0.2], [1], 0.3, "as many counts"),
        ([0.1], [-1], 0.3, "counts >= 0"),
        ([math.nan], None, 0.3, "finite residuals"),
        ([], None, 0.3, "not all 0"),
        ([0.1], None, 0.0, "c > 0, found 0"),
    ],
)
def test_fit_alpha_refuses_what_it_cannot_use(residuals, counts, c, words):
    with pytest.raises(ValueError, match=words) as refusal:
        fit_alpha(residuals, counts, c)
    one_sentence(refusal.value)
