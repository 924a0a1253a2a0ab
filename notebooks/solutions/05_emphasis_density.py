# %% [markdown]
# # Solutions: emphasis density
#
# **Every question at the end of [notebook 05](../05_emphasis_density.ipynb) has an answer here**, by its number. What can be derived is
# derived, what can be computed is computed and asserted next to the words, and what had to be trained is read from
# committed rows. Where the expected answer did not come out, the text says so. Try first, then read.

# %%
import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from robustdl_lib import gradients
from robustdl_lib.studies import exercises

# %% tags=["parameters"]
kept: str = "reference"  # reference: committed rows; runs: trained and computed here
points: int = 401  # of the curves and grids that are computed here, in [101, 5001]

# %%
committed = kept == "reference"
counts = exercises.last_p_y(kept).pivot_table(index="p", columns=["method", "subset"], values="count", aggfunc="sum")

# %% [markdown]
# ## 05.1 [Emphasis density](../05_emphasis_density.ipynb)
#
# > Derive its mode, and its density as $\beta \to \infty$.
#
# Complete the square: $w = e^{\beta\psi^2} e^{-\beta (p - \psi)^2}$, a bell around $\psi$ with variance $1/(2\beta)$, whose height does not matter once it is normalised. So the mode is $\psi$, and as
# $\beta \to \infty$ all emphasis gathers at $\psi$: the density tends to $\delta(p - \psi)$ (for $\psi$ at an end, of half a bell).

# %%
inside = {}
for beta in (1, 10, 60):
    density = gradients.emphasis_density(f"normal:beta={beta},psi=0.3", np.linspace(0.2, 0.4, points))
    inside[beta] = float(np.trapezoid(density["density"], density["p"]))
print("share of the emphasis within 0.1 of psi:", {beta: round(share, 3) for beta, share in inside.items()})
assert abs(gradients.emphasis_mode("normal:beta=10,psi=0.3") - 0.3) < 1e-4
assert inside[1] < inside[10] < inside[60]

# %% [markdown]
# ## 05.2 [Emphasis density](../05_emphasis_density.ipynb)
#
# > Which $\beta$ comes closest to CCE? Why does $\beta \to 0$ weigh all examples alike, and not as CCE does?

# %%
cell = np.linspace(0, 1, points)
stated = {beta: np.exp(beta * (1 - cell)) for beta in (0.5, 1, 2, 4)}
density = {beta: w / np.trapezoid(w, cell) for beta, w in stated.items()}
away = {beta: np.trapezoid(np.abs(h - 2 * (1 - cell)), cell) for beta, h in density.items()}
print("area between the densities:", {beta: round(float(area), 3) for beta, area in away.items()})
assert min(away, key=away.get) == 2

# %% [markdown]
# $\beta = 2$ is the nearest. At $\beta = 0$ the weight is $e^0 = 1$ for all. What DM states is the norm of the derivative *itself*: a weight of 1 is a step of the same length for each example,
# fitted or not. CCE's own weight is $2 (1 - p_y)$; "unweighted cross entropy" weighs.
#
# ## 05.3 [Emphasis density](../05_emphasis_density.ipynb)
#
# > Express the derivative of the share by $\beta$ as a covariance.
#
# With $w = e^{\beta f}$ and $I$ the indicator of *hard* the share is $s = \int I w / \int w$. Since $dw/d\beta = f w$, the quotient rule gives
# $\frac{ds}{d\beta} = E_h[I f] - E_h[I]\,E_h[f] = \mathrm{Cov}_h(I, f)$, with $E_h$ under the emphasis density. For $\lambda = 0$, $f = 1 - p$ is largest among the hard: positive. For
# $\lambda = 2$, $f = p^2 (1 - p)$ is smallest there: negative.

# %%
hard, fine = 0.25, np.linspace(0, 1, 20_001)
for lam, sign in ((0, 1), (2, -1)):
    w = {b: np.exp(b * fine**lam * (1 - fine)) for b in (3.99, 4.0, 4.01)}
    share = {b: np.trapezoid(v * (fine < hard), fine) / np.trapezoid(v, fine) for b, v in w.items()}
    h, f = w[4.0] / np.trapezoid(w[4.0], fine), fine**lam * (1 - fine)
    both, alone = (np.trapezoid(h * f * part, fine) for part in (fine < hard, np.ones_like(fine)))
    covariance, slope = both - share[4.0] * alone, (share[4.01] - share[3.99]) / 0.02
    print(f"lam = {lam}: slope {slope:+.4f}, covariance {covariance:+.4f}")
    assert abs(slope - covariance) < 1e-4
    assert np.sign(slope) == sign

# %% [markdown]
# ## 05.4 [Emphasis density](../05_emphasis_density.ipynb)
#
# > Why can it not be equal? Look at both ends.

# %%
bump = cell * (1 - cell)
area = lambda beta: np.trapezoid(np.exp(beta * bump), cell)
gap = lambda beta: np.trapezoid(np.abs(np.exp(beta * bump) / area(beta) - 6 * bump), cell)
nearest = minimize_scalar(gap, bounds=(1, 30), method="bounded", options={"xatol": 1e-3})
ends = gradients.emphasis_density(f"dm:beta={nearest.x},lam=1", [0.0, 1.0])["density"]
print(
    f"beta = {nearest.x:.1f}: area between the densities {nearest.fun:.3f}; at both ends {ends.iloc[0]:.2f} where MAE has 0"
)
assert ends.min() > 0.1
assert gradients.weight_curve("mae", [0.0, 1.0])["weight"].max() < 1e-6

# %% [markdown]
# DM's weight is an exponential and never 0: a contradicted and a fitted example keep a weight of 1, whatever $\beta$. MAE's vanishes at both ends. To vanish DM would need an infinite $\beta$, which is
# a spike.
#
# ## 05.5 [Emphasis density](../05_emphasis_density.ipynb)
#
# > Does $\sigma$ still tell CCE from DM at the last epoch?

# %%
told = {}
for spec in ("cce", "dm"):
    p_y, how_many = counts.index.to_numpy(), counts[spec].sum(axis=1).astype(int)
    at, now = np.repeat(p_y, how_many), gradients.weight_curve(spec, p_y)["weight"].to_numpy()
    mean = np.average(now, weights=how_many)
    told[spec] = [gradients.emphasis_variance(spec), gradients.emphasis_variance(spec, at)]
    told[spec] += [told[spec][1] / mean**2, 100 * float(np.sum(now * how_many * (p_y < 0.1)) / np.sum(now * how_many))]
columns = ["sigma, p_y uniform", "sigma, last epoch", "sigma / (mean w)^2, last epoch", "emphasis on p_y < 0.1 (%)"]
told = pd.DataFrame(told, index=columns).T
assert not committed or (told.loc["dm"] > told.loc["cce"]).all()
told.round(2)

# %% [markdown]
# Yes, but read it with care: DM's $\sigma$ is still some eighty times CCE's, and most of that is scale. Nearly all clean examples are at $p_y \approx 1$ by now, where DM weighs 1 and CCE next to nothing; divided by the squared mean the two
# are a factor of eight apart. What remains of the shape: a few examples with a middling $p_y$ have weights of a hundred.

# %% [markdown]
# ## Checks
#
# Each answer asserts its claim next to its words.
