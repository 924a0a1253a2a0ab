# %% [markdown]
# # Robust statistics, and what the softmax does to it
#
# Robust statistics has a language for outliers: the loss $\rho$ of a residual, its derivative $\psi = \rho'$, the
# influence, and the weight $\psi(x)/x$. There, robust means that $\psi$ is bounded, or better, that it *redescends*:
# far outliers stop to count. **Take the residual $x = 1 - p_y$ and train by gradient descent, and the softmax
# multiplies $\psi$ by $p_y(1 - p_y)$. This factor makes everything that grows slower than $1/p_y$ redescend; it leaves
# unprotected what grows as fast, of the losses here cross entropy (CCE) and what contains it. So the choice that is left is the emphasis mode.**
# Sources: Hampel et al. 1986 (influence functions); Barron 2019 (a family of losses); the talk, equations 2 to 5.

# %%
import math

import numpy as np
import pandas as pd
import sympy as sp
import torch
from IPython.display import Markdown
from scipy.special import k1

from robustdl_lib import gradients, losses, paths, sweeps, symbols
from robustdl_lib.plots import robust_statistics
from robustdl_lib.plots import rows as frames
from robustdl_lib.registry import METHODS
from robustdl_lib.theory import m_estimators

# %% tags=["parameters"]
profile: str = "quick"  # quick, or smoke (two epochs, for tests of the machinery)
shelf: str = "reference"  # reference: committed rows; runs: trained here
noise: str = ""  # empty: the profile's own
dataset: str = ""  # empty: the profile's own
methods: list = []  # empty: all methods of the sweep
seeds: list = []  # empty: all seeds of the sweep
epochs: int = 0  # passes over the training set; 0: the profile's own; in [0, 100000]
jobs: int = 0  # processes at a time; 0: one a core; in [0, 1024]
alphas: list = [2.0, 1.0, 0.0, -2.0]  # Barron's shapes besides -inf, in [-100, 2]
c: float = 0.3  # scale of the residual 1 - p_y, in [0.02, 10]
scales: list = [0.1, 0.2, 0.3, 0.5, 1.0]  # more of them, for tables, in [0.02, 10]
outliers: list = [0.0, 0.1, 0.2, 0.3, 0.4, 0.45]  # shares in the location example, in [0, 0.49]
distance: float = 8.0  # of these outliers, in standard deviations, in [4, 1000]
seed: int = 0  # of the location example, in [0, 1000000]

# %% [markdown]
# ## Three functions
#
# An *M-estimator* minimises $\sum_i \rho(x_i)$ over residuals. Its *influence* $\psi = \rho'$ is how hard a residual
# pulls. And since $\sum \psi(x_i) = \sum \frac{\psi(x_i)}{x_i}\,x_i$, it is least squares with the *weight*
# $\psi(x)/x$. Barron's family has one knob for the shape, $\alpha$, and one for the scale, $c$; the classical losses
# are its members. Elsewhere in this course the letter $\psi$ is the emphasis
# mode; in this notebook it is the influence, and the mode is named in words. By sympy, from the library's formula:

# %%
x, p, scale = sp.Symbol("x", positive=True), symbols.p, symbols.knob("c")
shape = symbols.knob("alpha", positive=False)
general = symbols.formula("barron").subs(p, 1 - x)
shapes = [*sorted(set(map(float, alphas)), reverse=True), -math.inf]
rho = {alpha: sp.simplify(general.subs(shape, sp.nsimplify(alpha))) for alpha in shapes}
psi = {alpha: sp.factor(sp.simplify(sp.diff(found, x))) for alpha, found in rho.items()}
table = [r"| $\alpha$ | loss $\rho$ | influence $\psi$ | weight $\psi / x$ |", "|---|---|---|---|"]
for alpha in shapes:
    cells = [sp.latex(part) for part in (sp.nsimplify(alpha), rho[alpha], psi[alpha], sp.simplify(psi[alpha] / x))]
    table.append("| " + " | ".join(f"${cell}$" for cell in cells) + " |")
Markdown("\n".join(table))

# %% [markdown]
# $\alpha = 2$ is least squares, 1 Charbonnier (a smooth relative of Huber's), 0 Cauchy, $-2$ Geman-McClure and
# $-\infty$ Welsch. As $\alpha$ falls, $\psi$ first grows without end, then is bounded ($\alpha = 1$), then redescends
# ($\alpha < 1$).
#
# ## What outliers do to a mean
#
# A thousand draws from a normal distribution around 0, of which a share is moved to `distance`. Each estimator
# minimises its $\sum \rho(x_i - m)$ by re-weighted least squares from the median: compute the weights $\psi(r)/r$,
# take the weighted mean, repeat. ($c = 2$ for Barron's family, $a, b, c = 1.5, 3, 6$ for Hampel's three-part $\psi$,
# all in standard deviations. A redescending $\psi$ has several solutions; starting at the median chooses a good one.)

# %%
rng = np.random.default_rng(seed)
clean, spread = rng.normal(size=1000), rng.normal(scale=0.1, size=1000)
samples = {share: np.where(np.arange(1000) < share * 1000, distance + spread, clean) for share in outliers}
broken = pd.DataFrame(index=pd.Index([f"{100 * share:g} %" for share in outliers], name="outliers"))
broken["mean"] = [sample.mean() for sample in samples.values()]
broken["median"] = [np.median(sample) for sample in samples.values()]
for alpha in shapes:
    broken[f"alpha = {alpha:g}"] = [m_estimators.location(sample, alpha, c=2.0) for sample in samples.values()]
broken["Hampel"] = [m_estimators.hampel_location(sample) for sample in samples.values()]
broken.T.round(2) + 0.0

# %% [markdown]
# The mean moves by the share times the distance. The median and Charbonnier resist, but they too drift as the
# outliers become many. How little a redescending estimator drifts depends on how fast it redescends: Cauchy's $\psi$
# falls as $1/x$ only and does about as well as the median; Welsch and Hampel stay where they were.
#
# *How far* can one be dragged? Three outliers in ten, at growing distances:

# %%
far = [4.0, 8.0, 20.0, 100.0, 1e6]
pulled = pd.DataFrame(index=pd.Index([f"at {place:g}" for place in far], name="30 % outliers"))
moved = [np.where(np.arange(1000) < 300, place, clean) for place in far]
pulled["mean"] = [sample.mean() for sample in moved]
pulled["median"] = [np.median(sample) for sample in moved]
for alpha in shapes:
    pulled[f"alpha = {alpha:g}"] = [m_estimators.location(sample, alpha, c=2.0) for sample in moved]
pulled["Hampel"] = [m_estimators.hampel_location(sample) for sample in moved]
pulled.T.map("{:.4g}".format)

# %% [markdown]
# - $\alpha = 2$, unbounded $\psi$: a single number can move the mean anywhere. Its *breakdown point* is 0.
# - $\alpha = 1$, bounded $\psi$: the drift stops at a finite value, however far the outliers are.
# - $\alpha < 1$, redescending $\psi$: the *further* the outliers are, the *less* they do. Near ones (at 4) are the
#   hard case for everyone: they look like data.
#
# ## Influence is the movement that one more example causes
#
# Hampel's definition: add one observation at $z$ and see how far the estimate moves. For an M-estimator this is
# $\psi(z) / \mathrm{E}\,\psi'$, up to a factor $1/n$. So $n$ times the movement, divided by $\psi$, must be one
# constant for each estimator:

# %%
probes = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
movement, constant = {}, {}
for alpha in shapes:
    base = m_estimators.location(clean, alpha, c=2.0)
    after = np.array([m_estimators.location([*clean, base + z], alpha, c=2.0) for z in probes])
    formula = sp.lambdify(x, psi[alpha].subs(scale, 2))(probes)
    movement[f"alpha = {alpha:g}"] = 1000 * (after - base)
    constant[alpha] = movement[f"alpha = {alpha:g}"][formula > 1e-3] / formula[formula > 1e-3]
pd.DataFrame(movement, index=[f"z = {z:g}" for z in probes]).T.round(2) + 0.0

# %%
bend = {alpha: sp.lambdify(x, sp.diff(found, x).subs(scale, 2)) for alpha, found in psi.items()}
wanted = {alpha: 1 / np.mean(found(np.abs(clean))) for alpha, found in bend.items()}
agree = pd.DataFrame({f"alpha = {a:g}": [k.min(), k.max(), wanted[a]] for a, k in constant.items()}).T
agree.set_axis(["movement / psi, smallest", "largest", "1 / mean psi'"], axis=1).round(2)

# %% [markdown]
# ## From residuals to labels
#
# Now let the residual be $x = 1 - p_y$: 0 where the network is sure of the given label, 1 where it contradicts it.
# Every loss of $p_y$ is then an M-estimator of $x$ with $\psi(x) = -L'(p_y)$, and Hampel's questions can be put to
# it. *Sensitivity* is the largest $|\psi|$; the *rejection point* is the residual from which on $\psi$ is 0. Both
# come from autograd, here for Barron's family at `c` and for other losses:

# %%
family = [f"barron:alpha={alpha:g},c={c:g}" for alpha in shapes]
asked = [*family, "hampel", "cce", "mae", "mse", "gce", "tgce", "sce"]
facts = pd.DataFrame({spec: gradients.robustness(spec)._asdict() for spec in asked}).T
facts["rejection point"] = [m_estimators.rejection_point(spec) for spec in asked]
facts["w(0) / max w"] = facts["left_at_zero"]
facts["emphasis mode"] = [gradients.emphasis_mode(spec) for spec in asked]
shown = ["bounded", "sensitivity", "rejection point", "w(0) / max w", "emphasis mode"]
named = facts[shown].rename(index=lambda spec: METHODS.parse(spec).label)
named.astype(dict.fromkeys(shown[1:], float)).round(3)

# %% [markdown]
# The classical verdict would be strange: GCE has an unbounded influence, as CCE has, and yet GCE resists wrong labels
# ([notebook 03](03_training_under_noise.ipynb)); MSE is the very loss that breaks the mean, and here its sensitivity
# is finite. Two things are different.
#
# **The residual is bounded.** $x$ never exceeds 1, so every $\psi$ that is continuous on $[0, 1]$ is bounded, that of
# least squares too. Only a pole such as $1/p_y$ diverges. And nothing is ever "far": with $c \ge 1$ all residuals lie
# where $\rho$ is still a parabola, and with $c$ = 0.3 even Welsch keeps a little pull at $x = 1$. Of these, Hampel's
# and truncated GCE alone reject outright.
#
# **The parameters are logits.** A residual is not moved directly, but through the softmax:
# $\partial p_y / \partial z_y = p_y (1 - p_y)$. So the weight of an example, the L1 norm of its derivative, is
#
# $$w = 2\,p_y\,(1 - p_y)\,\psi(1 - p_y) .$$
#
# The factor is 0 at both ends. At $p_y \to 0$, where wrong labels are, it takes away one power of $p_y$: a $\psi$ may
# diverge as $p_y^{q-1}$ and $w$ still vanishes, as in GCE. Only a full $1/p_y$ survives: CCE, and SCE for its
# share of CCE.

# %%
weight = {alpha: 2 * p * (1 - p) * found.subs(x, 1 - p) for alpha, found in psi.items()}
exact = sp.nsimplify(c)
table = [r"| $\alpha$ | weight $w = 2\,p\,(1-p)\,\psi(1-p)$ | mode, by sympy | by autograd |", "|---|---|---|---|"]
modes = {}
for alpha, spec in zip(shapes, family, strict=True):
    modes[alpha] = float(symbols.mode(spec, values=True)), gradients.emphasis_mode(spec)
    cells = [f"${sp.latex(part)}$" for part in (sp.nsimplify(alpha), weight[alpha])]
    table.append("| " + " | ".join([*cells, *(f"{value:.4f}" for value in modes[alpha])]) + " |")
Markdown("\n".join(table))

# %% [markdown]
# ## One frame
#
# Loss, influence and emphasis side by side. As a factor of a loss is only a learning rate, each is scaled such that
# the emphasis density is $h = 6\,p_y (1 - p_y)\,\psi$: **the right column is the middle one times the grey curve.**

# %%
curves = m_estimators.statistics_rows([*family, "hampel", "cce", "mae", "gce"])
robust_statistics.robust_statistics(curves)

# %% [markdown]
# Look at $x = 1$, where the label is contradicted. In the middle the curves end anywhere from 0 to infinity; on the
# right they all end at 0, but for CCE. In classical statistics $\alpha = 2$ and $\alpha = -\infty$ are as far apart as
# can be. After the softmax both redescend, and they differ in *where* they look: the dots.
#
# ## What alpha and c are, after the softmax: the emphasis mode

# %%
grid = pd.DataFrame(index=pd.Index([f"alpha = {alpha:g}" for alpha in shapes], name="emphasis mode"))
for one in sorted(map(float, scales)):
    grid[f"c = {one:g}"] = [gradients.emphasis_mode(f"barron:alpha={alpha:g},c={one:g}") for alpha in shapes]
grid.round(3)

# %% [markdown]
# - A lower $\alpha$ or a smaller $c$ moves the mode up, to examples that the network half believes or believes.
# - $\alpha = 2$ has no scale: its mode is MSE's 1/3 for every $c$. It is also where the others go as $c$ grows. None
#   lies below: $w = 2\,p_y (1 - p_y)^2 \cdot \psi(x)/x$, and for $\alpha \le 2$ the weight $\psi(x)/x$ never falls
#   with $p_y$.
# - With $\alpha = 1$ and a small $c$, $\psi$ is constant but for the smallest residuals: MAE, with the mode 1/2.
#
# So Barron's $\alpha$ does what $\lambda$ does in derivative manipulation ([notebook 05](05_emphasis_density.ipynb)):
# it places the mode, if less directly, since $c$ has a say.
#
# ## Which alpha do the data ask for?
#
# Barron's loss can choose $\alpha$ itself, as the parameter of a density $e^{-\rho(x)} / (c\,Z(\alpha))$: minimise
# the negative log-likelihood $\rho(x, \alpha, c) + \log c + \log Z(\alpha)$. Without $\log Z$ the smallest $\alpha$
# would always win; $Z$ charges for heavy tails. It has to exist, hence $\alpha \ge 0$. Three values are known in
# closed form:

# %%
known = {0.0: math.pi * math.sqrt(2), 1.0: 2 * math.e * k1(1), 2.0: math.sqrt(2 * math.pi)}
near = torch.tensor([1e-9, 1.0, 2 - 1e-9], dtype=torch.float64)
partition = pd.DataFrame({"Z": losses.log_partition(near).exp().numpy(), "closed form": list(known.values())})
partition.set_axis(["alpha = 0: pi sqrt 2", "alpha = 1: 2 e K_1(1)", "alpha = 2: sqrt(2 pi)"]).round(5)

# %% [markdown]
# Does it work? On the sample of the beginning, where the truth is known: pure normal data should ask for 2, Cauchy
# data for 0, and outliers for something lower than 2.

# %%
cauchy = math.sqrt(2) * np.random.default_rng(seed).standard_cauchy(1000)
fitted = {"normal": m_estimators.fit_alpha(clean, c=1.0), "Cauchy": m_estimators.fit_alpha(cauchy, c=1.0)}
for share, sample in samples.items():
    if share > 0:
        fitted[f"normal, {100 * share:g} % outliers"] = m_estimators.fit_alpha(sample, c=1.0)
pd.Series(fitted, name="alpha").to_frame().round(2)

# %% [markdown]
# Now to the residuals $1 - p_y$ of trained networks, from the $p_y$ histograms of the stored runs: the last epoch,
# all seeds together; the examples with a clean label, those with a wrong one, and all, as the method sees them.

# %%
changes = {"noise": noise, "methods": methods, "dataset": dataset, "seeds": seeds, "epochs": epochs}
setting = sweeps.Setting(profile=profile, **{name: value for name, value in changes.items() if value})
rows = sweeps.run("figures", profile=profile, jobs=jobs or None, shelf=shelf, quiet=True, **setting.changes())
config = setting.config()
places = [paths.shelf(shelf, setting.home), paths.shelf("runs", setting.home)]
runs = [run for run in sweeps.found(sweeps.plan("figures", setting), places) if run.config.noise == config.noise]
histograms = pd.concat([run.p_y_frame() for run in runs], ignore_index=True)
last = frames.last_histograms(histograms)
specs = list(last["method"].unique())
print(f"{len(runs)} runs of {config.model} on {config.dataset}, {config.noise}, {config.epochs} epochs")

# %%
counts = last.pivot_table(index=["subset", "method"], columns="p", values="count", aggfunc="sum")
subsets = {name: counts.loc[name] for name in counts.index.unique("subset")}
subsets = {"clean": subsets["clean"], "wrong": subsets["wrong"], "all": subsets["clean"] + subsets["wrong"]}
chosen = pd.DataFrame(index=specs)
for name, part in subsets.items():
    some = {spec: part.loc[spec] for spec in specs if part.loc[spec].sum()}
    chosen[name] = pd.Series({spec: m_estimators.fit_alpha(1 - found.index, found, c) for spec, found in some.items()})
noisy = rows[(rows["noise"] == config.noise) & (rows["epoch"] == config.epochs)]
chosen["mean p_y of wrong labels"] = noisy.groupby("method")["p_wrong"].mean()
together = chosen["all"].rank().corr(chosen["mean p_y of wrong labels"].rank())
print(f"rank correlation of the last two columns: {together:.2f}")
chosen.rename(index=lambda spec: METHODS.parse(spec).label).rename_axis(f"alpha at c = {c:g}").round(2)

# %% [markdown]
# In the committed rows (1.999 is the upper end of the search, shown as 2):
#
# - **Wrong labels ask for heavier tails than clean ones**, under every method: their residuals are large for this $c$.
# - Over *all* examples the data ask for $\alpha$ between 0.4 and 1, never for 2: the two groups together are no
#   bell.
# - **CCE's residuals ask for the largest $\alpha$ of all, those of DM and GCE for smaller ones.** That is the wrong
#   way round for a protection. The last column says why: the more a network believes its wrong labels, the fewer
#   outliers there are.
#
# The last point can be seen as it happens: $\alpha$ of all examples, epoch by epoch.

# %%
moments = sorted({1, *(max(1, round(config.epochs * part)) for part in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0))})
seen = histograms[histograms["epoch"].isin(moments) & histograms["run_id"].isin(last["run_id"])]
times = seen.pivot_table(index=["method", "epoch"], columns="p", values="count", aggfunc="sum")
course = pd.Series({key: m_estimators.fit_alpha(1 - times.columns, found, c) for key, found in times.iterrows()})
course = course.unstack().loc[specs].rename_axis("alpha after epoch", axis=1)
course.rename(index=lambda spec: METHODS.parse(spec).label).round(2)

# %% [markdown]
# At first nothing is learnt, all residuals are large, and every method's data ask for the same small $\alpha$. Then
# they part: where wrong labels stay outliers, $\alpha$ levels off; where they are memorised, it rises to the end.
# A loss that adapts $\alpha$ to such residuals would *lower* its guard as memorising proceeds. The likelihood describes
# the residuals that are there; it does not know which labels are wrong.
#
# One more caution: how much of this is $\alpha$, and how much $c$?

# %%
confounded = pd.DataFrame(index=specs)
for one in sorted(map(float, scales)):
    whole = subsets["all"]
    confounded[f"c = {one:g}"] = [m_estimators.fit_alpha(1 - whole.columns, whole.loc[spec], one) for spec in specs]
confounded.rename(index=lambda spec: METHODS.parse(spec).label).rename_axis("alpha of all examples").round(2)

# %% [markdown]
# Within a row $\alpha$ goes from one end of its range to the other as $c$ grows. With bounded residuals the two knobs
# say nearly the same thing: a residual of 1 is far in units of $c$ = 0.1 and near in units of 1. A fitted $\alpha$
# without its $c$ means nothing; what can be compared is the *order* of methods or subsets at one $c$. And the density
# itself is no true model: it puts mass below 0 and beyond 1, where no residual can be.
#
# ## Checks
#
# The first two cells hold for every setting; the third for outliers that are far enough; the last for the committed
# runs alone, and there with margins.

# %%
for alpha, spec in zip(shapes, family, strict=True):
    inside = np.linspace(0.01, 0.99, 99)
    by_hand = sp.lambdify(p, weight[alpha].subs(scale, exact))(inside)
    assert np.allclose(by_hand, gradients.weight_curve(spec, inside)["weight"], rtol=1e-6), spec
    assert abs(modes[alpha][0] - modes[alpha][1]) < 1e-6, spec
    assert np.allclose(constant[alpha], wanted[alpha], rtol=0.05), alpha
assert grid.diff().iloc[1:].min(axis=None) > -1e-6
assert grid.min(axis=None) > 1 / 3 - 1e-6
print("the weights are 2 p (1 - p) psi, and no mode lies below 1/3")

# %%
inner, ends = curves[curves["residual"] < 1], curves[curves["residual"] == 1].set_index("method")["density"]
factor = 6 * inner["residual"] * (1 - inner["residual"])
assert np.allclose(inner["density"], factor * inner["influence"], atol=1e-6)
assert ends["cce"] > 1.99
assert ends.drop("cce").max() < 1e-6
assert np.allclose(partition["Z"], partition["closed form"], rtol=1e-6)
assert facts.loc["gce", "sensitivity"] == math.inf
assert facts.loc["cce", "sensitivity"] == math.inf
print("at x = 1 all densities vanish but that of CCE")

# %%
redescending = [f"alpha = {alpha:g}" for alpha in shapes if alpha <= 0]
assert np.allclose(broken["mean"], [share * distance for share in outliers], atol=0.15)
if 2.0 in shapes:
    assert np.allclose(broken["alpha = 2"], broken["mean"])
if 1.0 in shapes:
    assert pulled["alpha = 1"].max() < 3
    assert abs(pulled["alpha = 1"].diff().iloc[-1]) < 0.01
assert pulled.loc["at 1e+06", redescending].abs().max() < 0.2 < 1000 < pulled.loc["at 1e+06", "mean"]
if distance >= 8:
    assert broken[["alpha = -inf", "Hampel"]].abs().max(axis=None) < 0.2
assert fitted["normal"] > 1.9
assert fitted["Cauchy"] < 0.3
print("bounded influence bounds the drift; redescending influence undoes it")

# %%
committed = shelf == "reference" and profile == "quick" and not (noise or dataset or methods or seeds or epochs)
if committed and c == 0.3:
    assert (chosen["wrong"] < chosen["clean"]).all()
    assert chosen["all"].between(chosen["wrong"], chosen["clean"]).all()
    assert chosen["all"].max() < 1.5
    guarded = [spec for spec in specs if METHODS.parse(spec).name in ("dm", "gce", "mse")]
    assert chosen["all"].idxmax() == "cce"
    assert together > 0.5
    assert course[moments[0]].max() - course[moments[0]].min() < 0.1
    assert course.loc["cce", config.epochs] - chosen.loc[guarded, "all"].max() > 0.2
    late = course[config.epochs] - course[moments[-2]]
    assert late["cce"] > late[guarded].max()
if committed:
    assert (confounded.diff(axis=1).iloc[:, 1:] > -1e-2).all(axis=None)
    print("the claims about the committed rows hold")

# %% [markdown]
# ## Summary
#
# - In statistics robust means a bounded or redescending $\psi$; the first bounds the drift, and one that redescends fast keeps its place among 45 % outliers.
# - Through the softmax the weight is $w = 2\,p_y (1 - p_y)\,\psi$: all that grows slower than $1/p_y$ redescends, and what differs is the emphasis mode.
# - A likelihood can choose $\alpha$, but it describes the residuals as they are: the more wrong labels are memorised, the fewer outliers it sees.
#
# ## Exercises
#
# Answers: [solutions](solutions/16_robust_statistics.ipynb).
#
# 1. Show that $w \to 0$ as $p_y \to 0$ if and only if $p_y\,\psi(1 - p_y) \to 0$. What does it say of $L = -\log(p_y + 0.01)$?
# 2. Where does the emphasis mode go for $\alpha > 2$, as in `gradients.emphasis_mode("barron:alpha=4,c=0.3")`? Why does `estimators.location` refuse such an $\alpha$: what would the re-weighting do?
# 3. Which $c$ gives Welsch the mode 1/2? Find it from its weight by hand, then compare with `gradients.emphasis_mode`.
# 4. Set `distance` to 4. Which estimators break first, and why is a near outlier harder than a far one?
# 5. Normalise the density $e^{-\rho}$ over $[0, 1]$ instead of the real line and fit $\alpha$ again. Does the order of the methods change?
# 6. Train `adaptive:c=0.3`, which learns $\alpha$ by this likelihood, next to `barron:alpha=0,c=0.3`: `methods="adaptive:c=0.3 barron:alpha=0,c=0.3"`. Which $\alpha$ do its last residuals ask for, and was it better to learn $\alpha$ than to fix it?
