# %% [markdown]
# # Emphasis density
#
# A weight curve divided by its integral is a density over $p_y$: it says which share of the emphasis goes where, and
# nothing about the learning rate. **Two numbers place a method: where training looks (the emphasis mode $\psi$) and
# how sharply (the emphasis variance $\sigma$). A loss is one fixed point; derivative manipulation (DM) has a knob for
# each, $\lambda$ and $\beta$.** The more labels are wrong, says the talk, the easier the examples one should look at. Source: the
# talk, slides 20 to 23, equation 5, definitions 1 and 2; DM, [arXiv 1905.11233](https://arxiv.org/abs/1905.11233).

# %%
import numpy as np
import pandas as pd
import sympy as sp
from IPython.display import IFrame, Markdown
from scipy.stats import beta as beta_distribution

from robustdl_lib import gradients, plots, symbols
from robustdl_lib.plots import rows
from robustdl_lib.registry import METHODS

# %% tags=["parameters"]
betas: list = [2.0, 8.0, 16.0, 24.0]  # DM's beta in the grid, in [0.1, 60]
lams: list = [0.5, 1.0, 2.0]  # DM's lambda in the grid, in [0, 20]
hard: float = 0.25  # examples with a smaller p_y are called hard here, in [0.01, 0.99]
seed: int = 0  # of the random examples in the checks, in [0, 1000000]

# %% [markdown]
# ## From a weight to a density
#
# Notebook 04 found that a method $L(p_y)$ acts through its weight $w(p_y)$. Multiply a loss by 2 and $w$ doubles
# everywhere: that is a larger learning rate, not another view of the examples. The *emphasis density* has no scale
# (talk, eq. 5):
#
# $$h(p_y) = \frac{w(p_y)}{\int_0^1 w(s)\,ds}, \qquad \int_0^1 h = 1 .$$
#
# The four losses can be integrated by hand, or by sympy:

# %%
p = symbols.p
table = ["| | weight $w$ | integral | density $h$ |", "|---|---|---|---|"]
for name in ["cce", "mae", "mse", "gce"]:
    w = symbols.weight(name)
    integral = sp.simplify(sp.integrate(sp.expand(w), (p, 0, 1)))
    cells = [sp.latex(sp.factor(part).subs(p - 1, -sp.Symbol("(1 - p)"))) for part in (w, integral, w / integral)]
    table.append(f"| {METHODS.entry(name).label} | " + " | ".join(f"${cell}$" for cell in cells) + " |")
Markdown("\n".join(table))

# %% [markdown]
# These are Beta distributions, $h \propto p^{a-1} (1-p)^{b-1}$, and their mode $\frac{a-1}{a+b-2}$ is the emphasis
# mode. Check: the library's density, which comes from autograd and knows nothing of this, against scipy's.

# %%
points = np.linspace(0, 1, 301)
family = {"cce": (1, 2), "mae": (2, 2), "mse": (2, 3), "gce": (1.7, 2)}
beta_rows = {}
for name, (a, b) in family.items():
    found = gradients.emphasis_density(name, points)["density"]
    largest = np.abs(found - beta_distribution(a, b).pdf(points)).max()
    beta_rows[METHODS.entry(name).label] = [a, b, (a - 1) / (a + b - 2), gradients.emphasis_mode(name), largest < 1e-3]
columns = ["a", "b", "(a - 1) / (a + b - 2)", "emphasis mode", "densities agree within 1e-3"]
pd.DataFrame(beta_rows, index=columns).T.infer_objects().round(4)

# %% [markdown]
# ## The talk's figure
#
# Slide 21 sets two densities that were *designed*, by DM with $w = \exp(\beta\,p_y^\lambda\,(1 - p_y))$, against the
# four that come with a loss:

# %%
slide = rows.emphasis_rows()
plots.FIGURES["emphasis_density"](slide)

# %% [markdown]
# - CCE spends most on what is least believed, and falls in a straight line. DM with $\lambda = 0$, $\beta = 2$ does
#   nearly the same, without a loss.
# - MAE, MSE and GCE give nothing to $p_y = 0$; their modes are 1/2, 1/3 and 0.41. All are broad.
# - DM with $\lambda = 2$, $\beta = 8$ looks at 2/3, where none of the losses has its mode.
#
# The area under each curve is 1, so a share can be read off: how much of the emphasis goes to *hard* examples, those
# with $p_y$ below `hard`? Early under label noise the wrong labels are among them (slide 23).

# %%
cell = np.linspace(0, 1, 20_001)
below = cell <= hard
part = {}
for spec in rows.TALK:
    density = gradients.emphasis_density(spec, cell)["density"].to_numpy()
    part[METHODS.parse(spec).label] = np.trapezoid(density[below], cell[below])
pd.DataFrame({f"emphasis on p_y < {hard:g} (%)": pd.Series(part).mul(100).map("{:.5g}".format)})

# %% [markdown]
# These are the shares of the update if $p_y$ were uniform over the examples; equal weights would give 25 %. CCE gives
# 44 % and MSE still 26 %, while MAE gives 16 % and DM with $\lambda = 2$ 14 %.
#
# ## Where: the emphasis mode
#
# For $w = \exp(\beta\,p^{\lambda} (1 - p))$ the mode is where $f = p^\lambda (1 - p)$ is stationary:

# %%
lam, beta = symbols.knob("lam"), symbols.knob("beta")
f = p**lam * (1 - p)
root = sp.solve(sp.expand(sp.simplify(sp.diff(f, p) / p ** (lam - 1))), p)[0]
bend = sp.simplify(sp.diff(f, p, 2).subs(p, root) / root ** (lam - 2))
print("psi =", root, "   f'' at psi, divided by psi^(lam - 2):", bend)

# %% [markdown]
# The second derivative is negative, so it is the maximum, and $\beta$ has dropped out: **$\psi =
# \frac{\lambda}{\lambda+1}$ for every $\beta > 0$**, between 0 and 1. (A transcript of the slides also has
# $1/\lambda$, an artefact of text extraction; at $\lambda = 1/2$ it would be 2.) The numerical maximum of
# autograd's weight curve, for the smallest and the largest $\beta$ of the grid:

# %%
ends = sorted({min(betas), max(betas)})
modes = pd.DataFrame({"lam / (lam + 1)": [one / (one + 1) for one in lams]}, index=pd.Index(lams, name="lam"))
for value in ends:
    modes[f"found, beta = {value:g}"] = [gradients.emphasis_mode(f"dm:beta={value:g},lam={one:g}") for one in lams]
modes.astype(float).round(4)

# %% [markdown]
# ## How sharply: the grid
#
# Now both knobs, a panel for each $\lambda$:

# %%
grid = [f"dm:beta={value:g},lam={one:g}" for one in lams for value in betas]
plots.FIGURES["emphasis_density"](gradients.compare(grid, gradients.emphasis_density, p=points))

# %% [markdown]
# From panel to panel the mode moves to the right, to easier examples. Within a panel $\beta$ draws the density
# together around it; as $\beta \to 0$ all become flat, every $p_y$ weighs the same and no mode is left. With a larger
# $\lambda$ the bump $p^\lambda (1-p)$ is lower, and the same $\beta$ gives less contrast. So **a larger
# $\lambda$ needs a larger $\beta$**; the DM paper searches $\beta$ in 0.5 to 4 for $\lambda = 0$, 4 to 16 for 1/2, 8
# to 20 for 1 and 12 to 24 for 2.
#
# The number for it is the *emphasis variance* $\sigma = E[(w - E\,w)^2]$ (definition 2), here with $p_y$ uniform:

# %%
variance = pd.DataFrame(index=pd.Index(lams, name="lam"), columns=pd.Index(betas, name="beta"), dtype=float)
for one in lams:
    for value in betas:
        variance.loc[one, value] = gradients.emphasis_variance(f"dm:beta={value:g},lam={one:g}")
variance.map("{:.4g}".format)

# %% [markdown]
# Along every row $\sigma$ grows. It has to, for any set of examples: $w = e^{\beta f}$ with $f \ge 0$, so
#
# $$\frac{d\sigma}{d\beta} = 2\,\mathrm{Cov}(w, f\,w) \ge 0,$$
#
# because $w$ and $f\,w$ both increase with $f$ and are therefore never negatively correlated.
#
# $\sigma$ is in the units of $w$, so it also grows by scale. To compare shapes, take the variance of the density,
# $\sigma / (\int w)^2$. The shapes in numbers, for the losses and for the settings of the DM paper:

# %%
paper = ["dm:beta=2,lam=0", "dm:beta=8,lam=0.5", "dm:beta=12,lam=0.5", "dm:beta=8,lam=1", "dm:beta=16,lam=1"]
paper += ["dm:beta=12,lam=2", "dm:beta=20,lam=2"]
shape = {}
for spec in ["cce", "mae", "mse", "gce", *paper]:
    curve = gradients.weight_curve(spec)
    area, sigma = np.trapezoid(curve["weight"], curve["p"]), gradients.emphasis_variance(spec)
    shape[spec] = [gradients.emphasis_mode(spec), curve["weight"].max(), area, sigma, sigma / area**2]
shape = pd.DataFrame(shape, index=["psi", "largest w", "integral", "sigma", "sigma / integral^2"]).T
shape.round(6).map("{:.3g}".format)

# %% [markdown]
# Read the last column. CCE and DM(2, 0) are close, 0.333 and 0.313. MAE, MSE and GCE are *all* at 0.17 to 0.37: the
# losses differ in where they look, much less in how sharply. DM reaches about 0.6 at each of its modes 1/3, 1/2 and
# 2/3: with $\lambda$ fixed, $\beta$ is a knob of its own, which no loss in the table has.
#
# ## Which one to take
#
# Slide 23 gives the answer found by search on CIFAR-10 (the DM paper, validated on clean labels): the more noise, the
# larger the mode.

# %%
searched = pd.DataFrame({"noise rate": [0, 0.2, 0.4, 0.6, 0.8], "lam": [0, 0.5, 1, 2, 2], "beta": [2, 12, 16, 12, 12]})
specs = [f"dm:beta={row.beta:g},lam={row.lam:g}" for row in searched.itertuples()]
searched["psi"] = [gradients.emphasis_mode(spec) for spec in specs]
densities = [gradients.emphasis_density(spec, cell)["density"].to_numpy()[below] for spec in specs]
searched["hard (%)"] = [100 * np.trapezoid(density, cell[below]) for density in densities]
searched.round(2)

# %% [markdown]
# ($\lambda$ as found at the end of training; $\beta$ the paper's where its Table 9 lists one, 2 as on slide 21 for
# clean labels. The last two leave more to hard examples than the third because their $\beta$ is small for their
# $\lambda$.) On clean labels a hard example is one there is most to learn from. With wrong labels about, a hard example
# is likely a wrong one, and the emphasis moves to what the learner already half believes. It is a wager on $p_y$
# telling right from wrong. [Notebook 06](06_noise_and_difficulty.ipynb) measures how well it does, and repeats the search
# on the digits, where less of it comes out.
#
# ## Move the knobs
#
# The page [docs/explorer.html](../docs/explorer.html) has a slider for each knob. It needs neither a kernel nor a network.

# %%
IFrame("../docs/explorer.html", width="100%", height=640)

# %% [markdown]
# In code the same is one call for each number. $\lambda$ moves the mode of DM; at the same $\beta$ it also changes how
# sharply it looks:

# %%
for lam_shown in (0.0, 0.5, 1.0, 2.0):
    spec = f"dm:beta=12,lam={lam_shown:g}"
    mode, sigma = gradients.emphasis_mode(spec), gradients.emphasis_variance(spec)
    peak = gradients.emphasis_density(spec, [mode])["density"].iloc[0]
    print(f"lambda {lam_shown}: psi {mode:.3f}, sigma {sigma:.4g}, density at psi {peak:.3f}")

# %% [markdown]
# ## Checks
#
# The first cell holds for every grid: densities integrate to 1, the mode does not depend on $\beta$, the variance grows
# with $\beta$, also over random examples instead of uniform ones. The second is about the fixed settings.

# %%
steps = np.linspace(0, 1, gradients.GRID)
for spec in grid:
    whole = gradients.emphasis_density(spec)
    assert np.isclose(np.trapezoid(whole["density"], whole["p"]), 1), spec
for column in modes.columns[1:]:
    assert np.allclose(modes[column], modes["lam / (lam + 1)"], atol=1e-3), column
assert (variance.sort_index(axis=1).diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
some = np.random.default_rng(seed).beta(0.5, 0.5, size=500)
for one in lams:
    drawn = [gradients.emphasis_variance(f"dm:beta={value:g},lam={one:g}", some) for value in sorted(betas)]
    assert (np.diff(drawn) >= 0).all(), one
print(f"{len(grid)} densities: area 1, mode lam / (lam + 1), variance growing with beta")

# %%
assert root == lam / (lam + 1)
assert all(row[4] and abs(row[2] - row[3]) < 1e-6 for row in beta_rows.values())
known = {"cce": 1 / 3, "mae": 1 / 45, "dm:beta=12,lam=0.5": 1258, "dm:beta=16,lam=1": 354, "dm:beta=20,lam=2": 41.7}
assert all(abs(shape.loc[spec, "sigma"] / value - 1) < 0.01 for spec, value in known.items())
doubled, density = 2 * gradients.weight_curve("mae")["weight"], gradients.emphasis_density("mae", steps)["density"]
assert np.allclose(doubled / np.trapezoid(doubled, steps), density)
assert part["CCE"] > max(part[METHODS.parse(name).label] for name in ("mae", "gce"))
assert (np.diff(searched["psi"]) > -1e-6).all()

# %% [markdown]
# ## Summary
#
# - The emphasis density is the weight without its scale; those of CCE, MAE, MSE and GCE are Beta distributions.
# - DM's $\lambda$ sets the mode, $\psi = \lambda/(\lambda+1)$, and $\beta$ the variance, each by itself; in a loss they come together.
# - In the DM paper's search on CIFAR-10 the best mode rises with the share of wrong labels, from 0 on clean ones to 2/3 at 60 % noise; notebook 06 asks the digits.
#
# ## Exercises
#
# Answers: [solutions](solutions/05_emphasis_density.ipynb).
#
# 1. The normal family is $w = \exp(-\beta\,p_y\,(p_y - 2\psi))$. Derive its mode, and its density as $\beta \to \infty$.
# 2. Set `betas` to `0.5 1 2 4` and `lams` to `0`, the DM paper's grid for clean labels. Which $\beta$ comes closest to CCE? Why does $\beta \to 0$ weigh all examples alike, and not as CCE does?
# 3. With $\lambda = 0$ a larger $\beta$ gives *more* emphasis to hard examples, with $\lambda = 2$ less. Why? Express the derivative of the share by $\beta$ as a covariance.
# 4. Find $\beta$ for which DM with $\lambda = 1$ comes closest to MAE's density. Why can it not be equal? Look at both ends.
# 5. Take $p_y$ of a real run instead of a uniform one: `store.load_runs(shelf="reference", profile="quick")` has its mean, the run's histogram all of it. Does $\sigma$ still tell CCE from DM at the last epoch?
