# %% [markdown]
# # Example weighting
#
# A network that is trained long enough fits every label it is given, the wrong ones too: a ResNet-56 on CIFAR-10 with
# 40 % symmetric label noise reaches 83 % test accuracy along the way and ends at 61 % (DM, Table 9). Dozens of
# losses, weightings and modified targets were proposed against this. One idea puts them side by side: **a training
# method is what it does to the derivative of the loss with respect to the logits. Losses and weightings set its
# magnitude for each example, modified targets set its direction.** This notebook derives the magnitude for each loss,
# and then does away with the loss. Source: the talk, slides 14 to 19, equations 1 to 4; DM,
# [arXiv 1905.11233](https://arxiv.org/abs/1905.11233); IMAE, [arXiv 1903.12141](https://arxiv.org/abs/1903.12141).

# %%
import numpy as np
import pandas as pd
import sympy as sp
import torch
from IPython.display import Markdown
from torch.nn.functional import one_hot, softmax

from robustdl_lib import data, gradients, noise, objective, plots, symbols, train, weights
from robustdl_lib.config import RunConfig
from robustdl_lib.plots import rows as frames
from robustdl_lib.plots import standard_practice
from robustdl_lib.registry import METHODS

# %% tags=["parameters"]
methods: list = []  # to compare, such as "cce gce dm"; empty: the losses, IMAE and three DM
num_classes: int = 10  # classes of the random examples, in [2, 1000]
examples: int = 1000  # random examples on which autograd is asked, in [10, 100000]
spread: float = 3.0  # standard deviation of their logits, in [0.1, 20]
seed: int = 0  # of the random labels and logits, in [0, 1000000]

# %% [markdown]
# ## What label noise is
#
# The label $y$ that an example is *given* may not be its *true* class. With symmetric noise of rate $r$ it is, with
# probability $r$, one of the other $C - 1$ classes. Noise is drawn once, before training, and the learner never sees
# which labels it hit:

# %%
true = torch.arange(examples) % num_classes
noisy = noise.corrupt(true, "symmetric:0.4", num_classes=num_classes, seed=seed)
print(f"{noisy.mislabelled.float().mean():.1%} of {examples} labels are wrong; the first ten:")
pd.DataFrame({"true": true[:10], "given": noisy.labels[:10], "wrong": noisy.mislabelled[:10]}).T

# %% [markdown]
# Robustness has a precise meaning here (talk, slide 10): fit the labels that are right, do not fit the wrong ones,
# and so generalise. Notebook 03 watches both happen. Here we ask what a method can do about it at all.
#
# ## One idea: magnitude and direction
#
# A network turns an input into *logits* $z$, and these into *probabilities* $p = \mathrm{softmax}(z)$. Everything
# before the logits is the same network for all methods, and by the chain rule all it ever hears of the loss is
# $\partial L / \partial z$, one vector an example. The notation of the course:
#
# | symbol | in the code | meaning |
# |---|---|---|
# | $z$, $p$ | `logits`, `probs` | before and after softmax, $C$ numbers each |
# | $q$, $p_y$ | `target`, `p_y` | the given label as a one-hot vector; the probability that the learner gives to it |
# | $w$ | `weight` | magnitude: the L1 norm $\lVert \partial L/\partial z \rVert_1$ of an example |
# | $\psi$ | `emphasis_mode` | $\arg\max_{p_y} w$: where the weight is largest |
# | $\sigma$ | `emphasis_variance` | $E[(w - E\,w)^2]$ over examples: how unequal the weights are |
# | $h(p_y)$ | `emphasis_density` | $w(p_y) / \int_0^1 w$: the weight's shape (notebook 05) |
#
# Take one example of three classes, labelled 1, which the learner believes to be class 0. Autograd gives each
# method's derivative; we split it into its L1 norm, the magnitude, and what remains, the direction:

# %%
z, y = torch.tensor([[2.0, 0.5, -1.0]], dtype=torch.float64), torch.tensor([1])
some = ["cce", "mae", "mse", "gce", "dm", "ls:eps=0.25", "boot_hard:eps=0.9"]
rows = {METHODS.parse(spec).label: gradients.logit_gradient(spec, z, y)[0] for spec in some}
split = pd.DataFrame({name: (row / row.abs().sum()).numpy() for name, row in rows.items()}).T
split.columns = [f"class {j}" for j in range(3)]
split.insert(0, "magnitude", [float(row.abs().sum()) for row in rows.values()])
split.round(4)

# %% [markdown]
# A step goes against the derivative, so a negative entry pushes that logit up. The upper five rows share one
# direction, label 1 up and the others down in proportion to $p$; their magnitudes differ by a factor of up to about 220.
# The two modified targets point elsewhere: smoothing (LS) pushes the third class up as well, and correction (hard
# bootstrapping, with a large share to make it plain) pushes up class 0, what the learner believes, and label 1 down.
# Direction is the subject of notebooks 07 and 08. From here on: magnitude.
#
# ## From a loss to a weight
#
# Let the loss be any function $L(p_y)$ that falls with $p_y$. Three steps lead to the weight.
#
# **Step 1**, the softmax: $\partial p_y / \partial z_j = p_y\,(q_j - p_j)$. Sympy confirms it for three classes and
# label 0; the differences vanish:

# %%
logit = sp.symbols("z0:3", real=True)
prob = [sp.exp(one) / sum(map(sp.exp, logit)) for one in logit]
label = (1, 0, 0)
sp.Matrix([sp.simplify(sp.diff(prob[0], logit[j]) - prob[0] * (label[j] - prob[j])) for j in range(3)]).T

# %% [markdown]
# **Step 2**, the chain rule. With $L' < 0$,
#
# $$\frac{\partial L}{\partial z} = L'(p_y)\,\frac{\partial p_y}{\partial z} = p_y\,|L'(p_y)|\,(p - q) .$$
#
# Cross entropy has $|L'| = 1/p_y$, so its derivative is just $p - q$: **every such loss has the direction of cross
# entropy**, times the factor $p_y |L'(p_y)|$ (talk, eq. 2).
#
# **Step 3**, the norm. $p - q$ is $-(1 - p_y)$ at the label, and the other entries sum to $1 - p_y$. So
# $\lVert p - q \rVert_1 = 2 (1 - p_y)$ and
#
# $$\boxed{\,w(p_y) = 2\,p_y\,(1 - p_y)\,|L'(p_y)|\,}$$
#
# Do it by hand for generalised cross entropy (GCE, Zhang and Sabuncu 2018), with `p` for $p_y$ and $q$ now its knob.
# The mode is where $\log w$ is stationary:

# %%
p, q = symbols.p, symbols.knob("q")
L = (1 - p**q) / q  # the loss
w = sp.powsimp(2 * p * (1 - p) * -sp.diff(L, p))  # the boxed formula
stationary = sp.solve(sp.simplify(sp.diff(sp.log(w), p) * p * (1 - p)), p)
Markdown(f"$$L = {sp.latex(L)}, \\qquad w = {sp.latex(w)}, \\qquad \\psi = {sp.latex(stationary[0])}$$")

# %% [markdown]
# GCE holds two others: as $q \to 0$ its loss tends to $-\log p_y$, cross entropy, and at $q = 1$ it is $1 - p_y$, MAE.
# Its mode runs from 0 to 1/2 with $q$:

# %%
print("loss as q -> 0:", sp.limit(L, q, 0), "  weight:", w.subs(q, 0), "  mode:", stationary[0].subs(q, 0))
print("loss at q = 1: ", L.subs(q, 1), "  weight:", w.subs(q, 1), "  mode:", stationary[0].subs(q, 1))

# %% [markdown]
# The library keeps each loss's formula beside its code, and `symbols` does these steps for all of them. The last two
# rows have a weight but no loss; we come to them below. (`one` only makes sympy print $1 - p$ instead of $p - 1$.)

# %%
talk = ["cce", "mae", "mse", "gce", "imae", "dm"]
has_loss = {name: METHODS.entry(name).facts.role == "loss" for name in talk}
one, names = sp.Symbol("(1 - p)"), {symbols.knob("lam"): r"\lambda"}
table = ["| | loss $L(p)$ | slope $-L'(p)$ | weight $w(p)$ | mode $\\psi$ |", "|---|---|---|---|---|"]
for name in talk:
    weight = symbols.weight(name)
    terms = [symbols.formula(name), symbols.slope(name)] if has_loss[name] else []
    terms += [sp.factor(weight).subs(p - 1, -one) if has_loss[name] else weight, symbols.mode(name)]
    cells = ["none"] * (4 - len(terms)) + [f"${sp.latex(term, symbol_names=names)}$" for term in terms]
    table.append(f"| {METHODS.entry(name).label} | " + " | ".join(cells) + " |")
Markdown("\n".join(table))

# %% [markdown]
# Cross entropy looks hardest at $p_y = 0$, at what the learner least believes. Under label noise these are the wrong
# labels, so CCE works hardest on just what it should not learn. MAE, MSE and GCE look further in: an example with
# $p_y = 0$ does not move them at all. That is their robustness; that it also hides hard examples is its price.
#
# ## Does autograd agree?
#
# The derivation never looked at the code. So ask autograd for the derivative of each method's real loss, at random
# logits in float64, and hold it against the closed form: the norm against $w(p_y)$, and the whole vector against
# $\frac{w}{2 (1 - p_y)} (p - q)$. The largest difference, relative to the largest weight, has to be rounding alone:

# %%
generator = torch.Generator().manual_seed(seed)
logits = spread * torch.randn(examples, num_classes, generator=generator, dtype=torch.float64)
target, probs = one_hot(noisy.labels, num_classes).double(), softmax(logits, dim=1)
p_y, away = (probs * target).sum(dim=1), (probs * (1 - target)).sum(dim=1)
specs, agree = list(dict.fromkeys(methods or frames.WEIGHTED)), {}
for spec in (spec for spec in specs if METHODS.parse(spec).name in talk):
    curve = sp.lambdify(symbols.p, symbols.weight(spec, values=True))
    closed = torch.as_tensor(curve(p_y.numpy())) * torch.ones_like(p_y)
    vector = (closed / (2 * away)).unsqueeze(1) * (probs - target)
    found = gradients.logit_gradient(spec, logits, noisy.labels)
    off = torch.stack([(found.abs().sum(dim=1) - closed).abs().max(), (found - vector).abs().max()]) / closed.max()
    agree[METHODS.parse(spec).label] = (off < 1e-8).tolist()
pd.DataFrame(agree, index=["magnitude, within 1e-8", "direction, within 1e-8"]).T

# %% [markdown]
# Every method here, loss or not, is a weight times one direction. So it can be drawn as a curve of one variable:

# %%
points = np.linspace(0, 1, 301)
curves = gradients.compare(specs, gradients.weight_curve, p=points, num_classes=num_classes)
plots.FIGURES["weight_curves"](curves)

# %% [markdown]
# Left, the losses: CCE falls from 2, MAE is symmetric and low, MSE and GCE lie between. Right, on a logarithmic axis,
# the designed weights: a peak of 7 to 100 where it is wanted, and 1 at $p_y = 1$. Where the peak is and how unequal
# the weights are is summed up by the *emphasis mode* $\psi$ and the *emphasis variance* $\sigma$, here over $p_y$
# uniform on $[0, 1]$:

# %%
shape = pd.DataFrame({"psi": [gradients.emphasis_mode(spec, num_classes=num_classes) for spec in specs]})
shape["largest w"] = curves.groupby("method")["weight"].max()[specs].to_numpy()
shape["mean w"] = [np.trapezoid(curves.loc[curves["method"] == spec, "weight"], points) for spec in specs]
shape["sigma"] = [gradients.emphasis_variance(spec, num_classes=num_classes) for spec in specs]
shape.index = [METHODS.parse(spec).label for spec in specs]
shape.round(6).map("{:.4g}".format)

# %% [markdown]
# MAE has the least $\sigma$: its weights are nearly alike. That, says the IMAE paper, is why it underfits. IMAE
# (improved MAE) keeps the mode of MAE and raises the variance, by $w = \exp(T p_y (1 - p_y))$. On CIFAR-10 with 40 %
# noise that takes ResNet-56 from 66.9 % to 81.5 % at the end of training (IMAE, Table 6). A constant factor, such as
# MAE's 2 (it is 4 in the IMAE paper, where $L = 2 (1 - p_y)$), only acts as a learning rate; notebook 05 removes it.
#
# ## A loss is not necessary for the gradient
#
# IMAE starts from the wanted weight and has no loss. *Derivative manipulation* (DM, talk, eq. 4) makes it general:
#
# $$\nabla z = \frac{w}{2\,(1 - p_y)}\,(p - q), \qquad w = \exp\!\left(\beta\,p_y^{\lambda}\,(1 - p_y)\right), \qquad
# \psi = \frac{\lambda}{\lambda + 1} .$$
#
# $\lambda$ moves the mode anywhere in $[0, 1)$ and $\beta > 0$ sets the variance. IMAE is the case $\lambda = 1$,
# $\beta = T$:

# %%
T, beta, lam = (symbols.knob(name) for name in ("T", "beta", "lam"))
sp.simplify(symbols.formula("dm").subs({beta: T, lam: 1}) - symbols.formula("imae"))

# %% [markdown]
# Could there be a loss behind DM all the same? By the boxed formula it would have the slope $-w / (2 p_y (1 - p_y))$,
# so $L(p_y) = \int_{p_y}^1 \frac{w(s)}{2 s (1 - s)}\,ds$. Near $s = 1$ that converges only if $w(s)/(2s) \to 0$:

# %%
ends = {METHODS.entry(name).label: sp.limit(symbols.weight(name) / (2 * p), p, 1) for name in talk}
pd.DataFrame({"limit of w/(2p) as p -> 1": ends}).T

# %% [markdown]
# For IMAE and DM the integrand is $\frac12 / (1 - s)$ near 1: **the loss is infinite everywhere.** To see it grow,
# go to the log-odds $a = \log \frac{s}{1-s}$, in which $ds = s (1 - s)\,da$ and the integral is $\frac12 \int w\,da$.
# From $p_y = 1/2$ up to $1 - p_y = 10^{-k}$:

# %%
k = [1, 2, 4, 8, 16]
grid = np.linspace(0, np.log(10.0 ** max(k) - 1), 200_001)
heights = {name: sp.lambdify(p, symbols.weight(name, values=True))(1 / (1 + np.exp(-grid))) for name in talk}
steps = {name: np.cumsum(height[1:] + height[:-1]) * (grid[1] - grid[0]) / 4 for name, height in heights.items()}
at = np.searchsorted(grid, np.log(10.0 ** np.array(k) - 1)) - 1
loss = pd.DataFrame({METHODS.entry(name).label: step[at] for name, step in steps.items()}).T
loss.set_axis([f"1 - p = 1e-{n}" for n in k], axis=1).round(3)

# %% [markdown]
# The four losses stand still, at $L(1/2)$: $\log 2$ for CCE, $1/2$ for MAE, $1/4$ for MSE. IMAE and DM keep growing,
# in the end by $\frac12 \log 10 = 1.151$ a decade, for ever. Yet nothing is wrong with their gradient:
# back-propagation starts from $\partial L/\partial z$ and never asks for $L$.
#
# One point is left open. At $p_y = 1$ the norm is still $w = 1$, but the direction $(p - q) / (1 - p_y)$ is $0/0$; in
# code $1 - p_y$ is held above the smallest normal number.
#
# Frameworks want a scalar to differentiate. Any scalar with the right derivative will do, a *surrogate*: cross
# entropy times a factor through which no gradient flows. By hand, then by the library, which takes $1 - p_y$ from the
# logits because near $p_y = 1$ the subtraction has no digits left:

# %%
leaf = logits.clone().requires_grad_()
at_label = (softmax(leaf, dim=1) * target).sum(dim=1)
wanted = torch.exp(8 * at_label * (1 - at_label)).detach()  # DM with beta = 8, lam = 1
by_hand = (wanted / (2 * (1 - at_label))).detach() * -at_label.log()
library = weights.weighted_loss(weights.dm(logits, target, beta=8, lam=1), leaf, target)
gradient = [torch.autograd.grad(loss.sum(), leaf)[0] for loss in (by_hand, library)]
clear = away > 1e-6
sure = weights.weighted_loss(torch.ones(1), torch.tensor([[80.0, -80.0]]), torch.tensor([[1.0, 0.0]]))
print("by hand, the norm is w:       ", torch.allclose(gradient[0].abs().sum(dim=1)[clear], wanted[clear]))
print("by the library, the norm is w:", torch.allclose(gradient[1].abs().sum(dim=1), wanted))
print("both are the same vector:     ", torch.allclose(gradient[0][clear], gradient[1][clear]))
print("finite where p_y = 1:         ", sure.isfinite().item())

# %% [markdown]
# The value of a surrogate says nothing, so do not watch it as a training curve: it is no longer what is minimised.
#
# ## Standard practice against DM
#
# Here is the difference in one picture (talk, slide 17). Both run the same network forward (black) and send a gradient
# back through it by the same chain rule (red). Standard practice derives what goes back from a loss; DM designs it:

# %%
plots.FIGURES["standard_practice"](standard_practice.practice_rows())

# %% [markdown]
# The surrogate was a bow to the framework, and it is not needed: `logits.backward(gradient)` starts the lower lane where
# it starts. So train a small network on the digits, 40 % of whose labels are wrong, **from a derivative alone**: the first
# turn of the loop computes no loss and no other scalar. The second trains the same network from the library's form, the
# detached weight times cross entropy, divided by the summed weight:

# %%
cfg, networks = RunConfig(model="resnet8", epochs=3, seed=seed, noise_seed=seed, device="cpu"), {}
digits, dm = data.load(cfg), objective.build("dm:beta=8,lam=1")
steps = [*torch.arange(len(digits.train.labels)).split(cfg.batch_size)] * cfg.epochs
for way in ["derivative", "surrogate"]:
    network = networks[way] = train.initial_model(cfg, digits)
    sgd = train.make_optimiser(cfg, network, torch.device("cpu"))
    for batch in steps:
        out, given = network(digits.train.batch(batch)), digits.train.labels[batch]
        sgd.zero_grad()
        if way == "derivative":
            out.backward(dm.derivative(out.detach(), given))
        else:
            dm(out, given).backward()
        sgd.step()

# %%
start = train.initial_model(cfg, digits).state_dict()
trained, other = (networks[way].state_dict() for way in ["derivative", "surrogate"])
same = [torch.equal(trained[name], other[name]) for name in trained]
moved = [not torch.equal(trained[name], start[name]) for name in trained]
right = train.predict(cfg, networks["derivative"], digits.test.images).argmax(dim=1) == digits.test.labels
print(f"{len(steps)} steps, {len(same)} tensors of weights and statistics, of which {sum(moved)} have moved")
print(f"the same to the last bit: {sum(same)} of {len(same)}")
print("the network trained without a loss beats a guess by far:", right.double().mean().item() > 0.3)

# %% [markdown]
# Not nearly the same, but the same bits, after every step. That takes care, since two formulas that agree on paper round
# differently, and a difference in the last digit of one step is a visible one after some hundred. Three things make it so:
#
# - **No difference of near numbers.** $p - q = (1 - p_y)(r - q)$, where $r$ are the probabilities among the *other*
#   classes, so $\nabla z = \frac{w}{2}\,(r - q)$. Nothing is left to be 0/0 at $p_y = 1$.
# - **One order of operations.** `weights.derivative` multiplies $1/\sum w$, $w / (2 (1 - p_y))$, $1 - p_y$ and $r - q$ in
#   the order in which back-propagation comes by them, and takes $1 - p_y$ from the function that PyTorch itself uses for
#   this slope: another exponential differs in the last bit.
# - **The same circumstances.** The same number of threads, and one precision for both; it holds in float32 and in float64,
#   at any batch size, on a CPU (on a GPU it has not been tried).
#
# A large $\beta$ makes weights of $e^{\beta/4}$ and the like. DM therefore divides a batch by its summed weight
# (*derivative normalisation*): what is left is which **share** of the step each example gets. That is what
# `objective.build` does for a weighting; for a loss it takes the plain mean:

# %%
batch = slice(0, min(128, examples))
share = {}
for spec in ["cce", "mae", "dm:beta=8,lam=1", "dm:beta=16,lam=1"]:
    leaf = logits[batch].clone().requires_grad_()
    objective.build(spec, num_classes)(leaf, noisy.labels[batch], progress=0.0).backward()
    share[METHODS.parse(spec).label] = leaf.grad.abs().sum(dim=1).numpy()
shares = pd.DataFrame(share)
middle = ((p_y[batch] > 0.25) & (p_y[batch] < 0.75)).numpy()
pd.DataFrame({"whole batch": shares.sum(), "share of 0.25 < p_y < 0.75": shares[middle].sum() / shares.sum()}).round(3)

# %% [markdown]
# In this batch most labels are not believed, as at the start of training or under much noise. MAE spends most of what it
# has away from $p_y = 0$, but hardly takes a step. DM always takes a step of 1. Its weight at $p_y = 0$ is 1, not 0, and there the
# crowd is; the larger $\beta$ is what lets the few at $\psi$ outweigh it.
#
# ## Checks
#
# The first cell holds for every choice of parameters. In it, $\psi$ by sympy and by autograd are compared where the
# weight is not the same everywhere (`dm:beta=0` has no mode), for the six methods of the table; others need not have
# a mode in closed form. The second is about the fixed examples above.

# %%
assert all(all(row) for row in agree.values())
for spec in (spec for spec in specs if METHODS.parse(spec).name in talk):
    mode = gradients.emphasis_mode(spec, num_classes=num_classes)
    assert np.isnan(mode) or abs(mode - float(symbols.mode(spec, values=True))) < 1e-3, spec
assert np.allclose(shares.iloc[:, 2:].sum(), 1)
assert torch.allclose(gradient[0][clear], gradient[1][clear])
assert all(same)
assert sum(moved) == len(moved)
assert right.double().mean() > 0.3
tolerance = 4 * (0.4 * 0.6 / examples) ** 0.5
assert abs(noisy.rate - 0.4) < tolerance + 1e-9
print(f"closed forms and autograd agree for {len(agree)} of {len(specs)} methods")

# %%
assert [str(symbols.mode(name)) for name in talk] == ["0", "1/2", "1/3", "q/(q + 1)", "1/2", "lam/(lam + 1)"]
direction = split.drop(columns="magnitude").to_numpy()
assert np.allclose(direction[:5], direction[0])
assert not np.isclose(direction[5:], direction[0]).all(axis=1).any()
assert [ends[METHODS.entry(name).label] == 0 for name in talk] == list(has_loss.values())
assert np.allclose(loss.iloc[:3, -1], [np.log(2), 1 / 2, 1 / 4], atol=1e-4)
assert np.allclose(loss.iloc[4:, -1] - loss.iloc[4:, -2], 8 * np.log(10) / 2, atol=1e-3)

# %% [markdown]
# ## Summary
#
# - A loss $L(p_y)$ acts through $w = 2 p_y (1 - p_y) |L'(p_y)|$ alone; its direction $p - q$ is that of cross entropy.
# - The emphasis mode $\psi$ says at which $p_y$ a method looks, 0 for CCE, and the variance $\sigma$ how unequally.
# - Choose the weight first and no loss is needed: DM and IMAE have none that is finite, and train from a derivative alone.
#
# ## Exercises
#
# Answers: [solutions](solutions/04_example_weighting.ipynb).
#
# 1. Derive $w$ and $\psi$ of $L = (1 - p_y)^n$. For which $n$ is $\psi = 1/10$? Check with `gradients.emphasis_mode` of a function `(logits, target) -> [N]` of your own.
# 2. The Brier score is $\sum_j (q_j - p_j)^2$. Show that its gradient is *not* along $p - q$ when $C > 2$. In which example is the difference largest?
# 3. Symmetric cross entropy is $a\,L_{\mathrm{CCE}} + b A (1 - p_y)$ with $A = 4 \log 10$. Derive its weight. Can its mode leave 0?
# 4. Rerun with `methods` set to `gce:q=0.1 gce:q=0.4 gce:q=0.7 gce:q=1`. What is traded against a larger $\psi$?
# 5. The DM paper prints an integral over $[0, 1]$ where the code divides by the batch sum. Show that with the integral CCE would be left exactly as it is.
# 6. `ls:eps=0.25` in `methods`: what is its "weight" curve, where does it vanish, and why does $\psi$ not tell all about it?
