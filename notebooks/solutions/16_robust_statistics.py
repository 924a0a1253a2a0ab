# %% [markdown]
# # Solutions: robust statistics, and what the softmax does to it
#
# **Every question at the end of [notebook 16](../16_robust_statistics.ipynb) has an answer here**, by its number. What can be derived is
# derived, what can be computed is computed and asserted next to the words, and what had to be trained is read from
# committed rows. Where the expected answer did not come out, the text says so. Try first, then read.

# %%
import numpy as np
import pandas as pd
import torch
from torch.nn.functional import softmax

from robustdl_lib import gradients, losses, sweeps
from robustdl_lib.studies import exercises
from robustdl_lib.theory import m_estimators

torch.set_num_threads(1)  # many small computations: threads would wait for each other

# %% tags=["parameters"]
kept: str = "reference"  # reference: committed rows; runs: trained and computed here

# %%
setting = sweeps.Setting()
committed = kept == "reference"
trained = exercises.trained(kept)
ended, small, like = trained.ended, trained.small, trained.like
counts = exercises.last_p_y(kept).pivot_table(index="p", columns=["method", "subset"], values="count", aggfunc="sum")

# %% [markdown]
# ## 16.1 [Robust statistics](../16_robust_statistics.ipynb)
#
# > if and only if $p_y\,\psi(1 - p_y) \to 0$
#
# $w = 2\,p_y (1 - p_y)\,\psi(1 - p_y)$ and $2 (1 - p_y) \to 2$: the one tends to 0 exactly if the other does. For $L = -\log(p + 0.01)$, $\psi = 1/(p + 0.01)$ stays below 100, so $w \to 0$: a constant of one per cent in the
# logarithm takes away what CCE gives to the most contradicted labels. Its mode is at $\sqrt{0.01 \cdot 1.01} - 0.01 = 0.09$.

# %%
shifted = lambda z, q: -torch.log((q * softmax(z, 1)).sum(1) + 0.01)
curve = gradients.weight_curve(shifted, [0.0, 0.001, 0.0905])["weight"]
print(f"psi = {gradients.emphasis_mode(shifted):.4f}, w at 0, 0.001 and the mode:", *curve.round(3))
assert abs(gradients.emphasis_mode(shifted) - (np.sqrt(0.01 * 1.01) - 0.01)) < 1e-4
assert curve[0] < 1e-6

# %% [markdown]
# ## 16.2 [Robust statistics](../16_robust_statistics.ipynb)
#
# > Where does the emphasis mode go for $\alpha > 2$
#
# Below MSE's 1/3 and towards 0: $\psi(x)/x$ then *grows* with the residual. That is why `location` refuses: the re-weighting would give the largest weight to the furthest point, move there, and so on; for $\alpha > 2$ it
# need not come to rest.

# %%
steeper = {alpha: gradients.emphasis_mode(f"barron:alpha={alpha},c=0.3") for alpha in (2, 2.5, 3, 4)}
print("psi:", {alpha: round(mode, 3) for alpha, mode in steeper.items()})
refused = False
try:
    m_estimators.location([0.0, 1.0, 2.0], alpha=4.0)
except ValueError as error:
    refused = True
    print(error)
assert refused
assert (np.diff(list(steeper.values())) < 0).all()

# %% [markdown]
# ## 16.3 [Robust statistics](../16_robust_statistics.ipynb)
#
# > Which $c$ gives Welsch the mode 1/2?
#
# $\psi(x) = \frac{x}{c^2} e^{-x^2/(2c^2)}$, so $w \propto p\,(1-p)^2\,e^{-(1-p)^2/(2c^2)}$ and $\frac{d \log w}{dp} = \frac1p - \frac{2}{1-p} + \frac{1-p}{c^2}$. At $p = 1/2$ this is $2 - 4 + \frac{1}{2c^2} = 0$: $c = 1/2$.

# %%
print(f"psi of Welsch with c = 1/2: {gradients.emphasis_mode('barron:alpha=-inf,c=0.5'):.4f}")
assert abs(gradients.emphasis_mode("barron:alpha=-inf,c=0.5") - 0.5) < 1e-4

# %% [markdown]
# ## 16.4 [Robust statistics](../16_robust_statistics.ipynb)
#
# > Which estimators break first, and why is a near outlier harder than a far one?

# %%
rng = np.random.default_rng(0)
sample, jitter, broken = rng.normal(size=1000), rng.normal(scale=0.1, size=1000), {}
for far in (4.0, 8.0):
    moved = {share: np.where(np.arange(1000) < share * 1000, far + jitter, sample) for share in (0.2, 0.4)}
    for share, values in moved.items():
        by = {f"alpha = {alpha:g}": m_estimators.location(values, alpha, c=2.0) for alpha in (2, 1, 0, -2, -np.inf)}
        broken[f"at {far:g}, {100 * share:.0f} %"] = {**by, "Hampel": m_estimators.hampel_location(values)}
broken = pd.DataFrame(broken)
assert broken.loc["alpha = -inf", "at 4, 40 %"] > broken.loc["alpha = -inf", "at 8, 40 %"]
assert broken.loc["Hampel", "at 4, 40 %"] > broken.loc["Hampel", "at 8, 40 %"]
broken.round(2)

# %% [markdown]
# The mean breaks first, at any distance, and the bounded $\psi$ of $\alpha = 1$ next. At 4 and 40 % the redescending ones drift too: a point four deviations away is within reach of their $\psi$ ($c = 2$; Hampel rejects from 6 on), and
# many of them together pull the estimate towards themselves, where they weigh more still. At 8 they are rejected. A near outlier looks like data; no function of the residual can know better.
#
# ## 16.5 [Robust statistics](../16_robust_statistics.ipynb)
#
# > Does the order of the methods change?

# %%
x, shapes = torch.from_numpy(1 - counts.index.to_numpy()), np.linspace(-4, 1.99, 100)
interval, asked = torch.linspace(0, 1, 2001, dtype=torch.float64), {}
rho = torch.stack([losses.general_robust(x, float(alpha), 0.3) for alpha in shapes])
inside = torch.stack([torch.exp(-losses.general_robust(interval, float(alpha), 0.3)) for alpha in shapes])
log_Z = torch.trapezoid(inside, interval, dim=1).log()
for spec in ("cce", "mae", "mse", "gce", "dm"):
    seen = torch.from_numpy(counts[spec].sum(axis=1).to_numpy(dtype=float))
    cost = rho @ (seen / seen.sum()) + log_Z
    asked[spec] = [m_estimators.fit_alpha(x.numpy(), seen.numpy()), float(shapes[int(cost.argmin())])]
asked = pd.DataFrame(asked, index=["over the real line", "over [0, 1]"]).T
assert not committed or (asked["over [0, 1]"] == shapes[0]).all()
asked.round(2)

# %% [markdown]
# It disappears: over $[0, 1]$ every method asks for the least $\alpha$ that is offered. On the real line $Z$ charges for heavy tails; on an interval there are no tails to charge for, and a loss that is flat beyond $c$ is the nearest the family
# has to residuals in two piles, at 0 and at 1. So the order of notebook 16 owes something to a density that no residual $1 - p_y$ can have.
#
# ## 16.6 [Robust statistics](../16_robust_statistics.ipynb)
#
# > Which $\alpha$ do its last residuals ask for, and was it better to learn $\alpha$ than to fix it?
#
# With ResNet-8:

# %%
pair = ended[small & like.all(axis=1) & ended["method"].str.contains("c=0.3")]
pair = pair.pivot_table(index="method", columns="seed", values="last")
plan = sweeps.found(sweeps.plan("exercises", setting), sweeps.shelves("exercises", "quick", kept))
asks = {}
for spec in pair.index:
    part = pd.concat([run.p_y_frame().query("epoch == 50") for run in plan if run.config.method == spec])
    seen = part.groupby("p")["count"].sum()
    asks[spec] = m_estimators.fit_alpha(1 - seen.index.to_numpy(), seen.to_numpy(), c=0.3)
assert not committed or 0 < (pair.loc["adaptive:c=0.3"] > pair.loc["barron:alpha=0,c=0.3"]).sum() < 3
assert not committed or pair.loc["adaptive:c=0.3"].std() < pair.loc["barron:alpha=0,c=0.3"].std()
pair.assign(mean=pair.mean(axis=1), asked=pd.Series(asks)).rename(columns={"asked": "alpha asked for"}).round(2)

# %% [markdown]
# The residuals of both ask for an $\alpha$ between 0.5 and 0.6 on $[0, 2]$. Learning it was better in the mean, because one of the three runs with $\alpha = 0$ fell behind; with another seed the fixed one is ahead. What three seeds show is the smaller spread, not a better end.

# %% [markdown]
# ## Checks
#
# Each answer asserts its claim next to its words. Here: the rows are whole, with three seeds of each setting.

# %%
assert (trained.history.groupby("run_id").size() == trained.history.groupby("run_id")["epochs"].first()).all()
assert trained.same.groupby("method")["seed"].nunique().eq(3).all()
assert trained.ended[["last", "oracle", "selected"]].stack().between(0, 100).all()
print(f"{len(trained.ended)} runs, {len(trained.same)} of them in the usual setting")
