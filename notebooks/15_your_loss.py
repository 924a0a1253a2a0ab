# %% [markdown]
# # Every method under the lens
#
# Losses that are bounded, symmetric, truncated or borrowed from robust statistics; weightings; smoothed, corrected and
# distilled targets; memories and teachers. **Whatever it is called, a method reaches the network through one thing, the
# derivative of its loss with respect to the logits. So each can be put under the same lens: derived in symbols, confirmed
# by autograd, drawn as an emphasis density, compared in one table, and so can a loss of your own.** Source: the talk,
# equations 1 to 5; the papers of the methods, named where they appear and in [docs/METHODS.md](../docs/METHODS.md).

# %%
from functools import partial

import numpy as np
import pandas as pd
import sympy as sp
import torch
from IPython.display import Markdown, display
from torch.nn.functional import cross_entropy, one_hot, softmax

from robustdl_lib import gradients, objective, symbols
from robustdl_lib.plots import methods
from robustdl_lib.registry import METHODS
from robustdl_lib.theory import method_card

# %% tags=["parameters"]
examples: int = 200  # random examples on which derivatives are compared, in [10, 10000]
spread: float = 2.0  # standard deviation of their logits, in [0.1, 5]
num_classes: int = 10  # classes of the curves and of the table, in [3, 20]
progress: float = 0.75  # share of training done, for methods that look at the time, in [0, 1]
seed: int = 0  # of the random examples, in [0, 1000000]

# %% [markdown]
# ## Step by step
#
# Most losses are a function $L(p_y)$ of the given label's probability alone. The steps are then always the same. The
# softmax gives $\partial p_y/\partial z = p_y (q - p)$, hence
#
# $$\frac{\partial L}{\partial z} = p_y\,|L'(p_y)|\,(p - q), \qquad w = 2\,p_y (1 - p_y)\,|L'(p_y)|, \qquad
# \psi = \arg\max_{p_y} w ,$$
#
# because $\lVert p - q \rVert_1 = 2 (1 - p_y)$. The registry holds nothing but $L$, or for a weighting $w$, as a line of
# text; sympy takes the steps. Here they are for every method that has such a line ($p$ is $p_y$):

# %% tags=["nbval-ignore-output"]
names = [name for name in METHODS if METHODS.entry(name).facts.formula and name not in ("barron", "hampel")]
lines, greek = [], {symbols.knob("lam"): r"\lambda", symbols.knob("eps"): r"\epsilon"}
for name in names:
    lines.append(f"**{METHODS.entry(name).label}** ({METHODS.entry(name).source})\n")
    for words, expression in symbols.derivation(name):
        shown = sp.latex(expression, symbol_names=greek).replace("log", "ln")
        lines.append(f"- {words}: ${shown}$")
    lines.append("")
Markdown("\n".join(lines))

# %% [markdown]
# Read down the last lines. CCE, DM with $\lambda = 0$ and the exponential family have their mode at 0: contradicted labels
# count most. Every bounded loss moves it away from 0, and truncated GCE puts it where its threshold says.
#
# Barron's general loss $\rho(x, \alpha, c)$ of the residual $x = 1 - p_y$ is a family of such losses. Its knob
# $\alpha$ runs from squares (2) over the Charbonnier (1), Cauchy (0) and Geman-McClure (-2) losses to Welsch's
# ($-\infty$):

# %%
barron = {}
for alpha in ("2", "1", "0", "-2", "-inf"):
    spec = f"barron:alpha={alpha},c=1"
    loss, weight = (sp.simplify(part(spec, values=True)) for part in (symbols.formula, symbols.weight))
    barron[spec] = float(symbols.mode(spec, values=True))
    print(f"alpha = {alpha:>4}: L = {loss},  w = {sp.factor(weight)},  psi = {barron[spec]:.4f}")

# %% [markdown]
# With $\alpha = 2$ it is MSE up to a factor. Notebook 16 sets this family and Hampel's three-part loss among robust
# statistics. The general loss and Hampel's have no closed form of $\psi$: the lens finds it from autograd.
#
# ## More than p_y
#
# A modified target, a memory, a teacher or a normalisation over the classes makes the derivative depend on all of $p$. Its
# loss is written over vectors; $S(\cdot)$ sums over the classes:

# %% tags=["nbval-ignore-output"]
vector = [name for name, entry in METHODS.entries.items() if entry.facts.whole]
Markdown("\n".join(["| method | loss |", "|:--|:--|", *(f"| {name} | `{symbols.whole(name)}` |" for name in vector)]))

# %% [markdown]
# ($q$ label, $r$ what the target takes from the prediction, flowing or detached, $m$ one-hot of the prediction, $t$ what is
# remembered or what a teacher says, $e$ the trust.) sympy differentiates it class by class; here label smoothing,
# with three classes:

# %%
for k, part in enumerate(symbols.logit_gradient("ls", classes=3)):
    expression = sp.simplify(part.subs(symbols.elements(3)["q"][2], 1 - sum(symbols.elements(3)["q"][:2])))
    display(Markdown(f"$\\partial L / \\partial z_{k + 1} = {sp.latex(sp.expand(expression), symbol_names=greek)}$"))

# %% [markdown]
# which is $p - \tilde q$ once $\sum_j p_j = 1$ is used. By hand one gets short forms; the only ingredient beside
# $p - q$ is the derivative of the entropy, $\partial H/\partial z_j = -p_j (\log p_j + H)$:

# %%
generator = torch.Generator().manual_seed(seed)
logits, said = spread * torch.randn(2, examples, 3, generator=generator, dtype=torch.float64)
labels = torch.randint(3, (examples,), generator=generator)
p, q = softmax(logits, dim=1), one_hot(labels, 3).double()
H = -(p * p.log()).sum(dim=1, keepdim=True)
dentropy = -p * (p.log() + H)
m = one_hot(p.argmax(dim=1), 3).double()
t = 0.9 * softmax(said, dim=1)  # a memory that is not full yet
trust = METHODS.entry("proselflc").facts.trust(logits, progress, **METHODS.parse("proselflc").values)[:, None]
agreement = (t * p).sum(dim=1, keepdim=True)
log_sum, log_given = p.log().sum(dim=1, keepdim=True), (q * p.log()).sum(dim=1, keepdim=True)
given = (q * p).sum(dim=1, keepdim=True)

# %%
by_hand = {
    "ls": p - (0.9 * q + 0.1 / 3),
    "cp": 0.9 * (p - q) - 0.1 * dentropy,
    "boot_soft": 0.95 * (p - q) + 0.05 * dentropy,
    "boot_soft:detach=True": 0.95 * (p - q),
    "boot_hard": p - (0.8 * q + 0.2 * m),
    "proselflc": (1 - trust) * (p - q) + trust * dentropy,
    "proselflc:detach=True": (1 - trust) * (p - q),
    "elr": p - q + 3 * p * (agreement - t) / (1 - agreement),
    "kd": 0.1 * (p - q) + 0.9 * 4 * (softmax(logits / 4, dim=1) - softmax(said / 4, dim=1)),
    "nce_rce": (q - p) / log_sum - log_given * (1 - 3 * p) / log_sum**2 + np.log(1e4) * given * (p - q),
    "sce": 0.1 * (p - q) + np.log(1e4) * given * (p - q),
    "gce": given**0.7 * (p - q),
}

# %% [markdown]
# Now three ways to the same derivative, at random logits in double precision: by sympy, by hand, by autograd.

# %%
known = {"p": p, "q": q, "m": m, "r": p, "p_T": p, "t": t}
gaps = []
for spec, closed in by_hand.items():
    values = {symbols.knob(k): v for k, v in METHODS.parse(spec).values.items() if isinstance(v, float)}
    values[symbols.knob("e")] = trust[:, 0].numpy()
    seen = known | ({"p_T": softmax(logits / 4, dim=1), "t": softmax(said / 4, dim=1)} if spec == "kd" else {})
    for name, parts in symbols.elements(3).items():
        values |= {part: seen[name][:, j].numpy() for j, part in enumerate(parts)}
    by_sympy = [sp.lambdify(list(values), part)(*values.values()) for part in symbols.logit_gradient(spec, classes=3)]
    recalled = {"elr": t, "kd": said}.get(METHODS.parse(spec).name)
    by_autograd = gradients.logit_gradient(spec, logits, labels, progress, recalled=recalled)
    gaps.append([spec, np.abs(np.stack(by_sympy, 1) - closed.numpy()).max(), float((by_autograd - closed).abs().max())])
agree = pd.DataFrame(gaps, columns=["method", "sympy - by hand", "autograd - by hand"]).set_index("method")
(agree < 1e-10).rename(columns=lambda words: f"|{words}| < 1e-10")

# %% [markdown]
# ## A loss of your own
#
# The lens takes any callable $(z, q) \mapsto$ one number an example, registered or not. Three strangers: PyTorch's own label
# smoothing, the Brier score over all classes, and cross entropy plus a straight line (the first term of a polynomial
# loss). For each: does it only *weigh* examples, that is, is its derivative $k(p_y)\,(p - q)$, and if not, how far off is
# it, as a share of its L1 norm?

# %%
own = {
    "torch, label_smoothing=0.1": partial(cross_entropy, reduction="none", label_smoothing=0.1),
    "Brier score": lambda z, target: (softmax(z, dim=1) - target).square().sum(dim=1),
    "CE + (1 - p)": lambda z, target: cross_entropy(z, target, reduction="none") + 1 - (target * softmax(z, 1)).sum(1),
}
report = {}
for name, loss in own.items():
    family, facts = (ask(loss, num_classes=num_classes) for ask in (gradients.family, gradients.robustness))
    looks = [ask(loss, num_classes=num_classes) for ask in (gradients.emphasis_mode, gradients.emphasis_variance)]
    report[name] = [family.member, 100 * family.distance, *looks, facts.bounded, facts.symmetric]
columns = ["only weighs", "off by (%)", "psi", "sigma", "bounded", "symmetric"]
report = pd.DataFrame(report, index=columns).T.infer_objects().round(4)
report

# %% [markdown]
# The Brier score looks like MSE on paper. It is not in the family: what the *other* classes do changes its step (errata,
# notebook 17). The third one is, and it listens a little less to contradicted labels than CCE does.
#
# From the command line, with a figure, for a function in a file: `python -m robustdl_lib inspect my_loss.py:my_loss`. What
# that prints for GCE:

# %%
print(method_card.facts("gce", num_classes=num_classes).to_string(index=False, header=False))

# %%
methods.lens(method_card.lens_rows("gce", num_classes=num_classes))

# %% [markdown]
# ## All of them
#
# One panel a method: the emphasis density at its defaults, over CCE in grey.

# %%
methods.atlas(method_card.atlas_rows(progress=progress))

# %% [markdown]
# The upper rows move the emphasis to the right; the targets (LS to pseudo-labels) leave it nearly where CCE has it. They act
# by turning the *direction*, which this figure cannot show; notebook 08 draws it. The table says by how much:

# %% tags=["nbval-ignore-output"]
table = (
    method_card.table(num_classes=num_classes, progress=progress)
    .drop(columns=["formula", "source"])
    .set_index("method")
)
table.sort_values("psi", key=lambda column: column.astype(float), kind="stable")

# %% [markdown]
# - *Symmetric* in the sense of Ghosh et al. (2017), so that symmetric noise below $(C-1)/C$ does not move the minimiser of
#   the risk: MAE and NCE+RCE alone. GCE and SCE lie between them and CCE.
# - *Off* (the distance from $k(p_y)(p - q)$, with $k$ read where the other classes are alike) is 0 for every loss of $p_y$
#   and every weighting. NCE+RCE, the targets, ELR and joint optimisation turn the
#   direction. ProSelfLC late in training is far off: its step depends on how sure the learner is,
#   and where the learner contradicts the label with confidence there is hardly a step left.
# - *Left* is what a contradicted label keeps of the largest weight. (Nearly) all of it: CCE, the exponential family, the
#   targets and the methods that remember. Nothing, or less than half a per cent: the bounded losses. In between, by design: IMAE, the
#   normal family, DM, SCE.
# - Pseudo-labels and distillation stand as CCE does: with every label there, and without a teacher, they are CCE (KD a tenth
#   of it).
#
# ## Weightings
#
# DM's paper names three more families. In the beta family, $w = p^{a-1} (1-p)^{n-1}$, the losses lie at fixed places; the
# ratio of the two curves is constant:

# %%
points = np.linspace(0.05, 0.95, 19)
for name, spec in {"cce": "a=1,n=2", "mae": "a=2,n=2", "mse": "a=2,n=3", "gce": "a=1.7,n=2"}.items():
    loss, stated = (gradients.weight_curve(one, points)["weight"] for one in (name, f"beta:{spec}"))
    print(f"{name:4} / beta:{spec:8} = {(loss / stated).mean():.4f}, constant: {np.ptp(loss / stated) < 1e-10}")

# %% [markdown]
# What is a weight's scale worth? A batch of $N$ is divided by the sum of its weights (`batch`, what was run), by $N$ times
# the integral of $w$ (`integral`, what is printed), or by $N$ alone (`none`). With the integral, the beta family at (1, 2)
# *is* cross entropy; by the sum, the step does not shrink as the batch is fitted:

# %%
scale = {}
for confidence in (0.2, 0.5, 0.9, 0.99):
    batch, zeros = gradients.logits_at(np.full(64, confidence), num_classes), torch.zeros(64, dtype=torch.long)
    leaf, column = batch.requires_grad_(), {}
    for spec in ("cce", "beta:a=1,norm=integral", "beta:a=1,norm=none", "beta:a=1"):
        step = torch.autograd.grad(objective.build(spec, num_classes)(leaf, zeros), leaf)[0]
        column[spec] = float(step.abs().sum())
    scale[f"p_y = {confidence}"] = column
pd.DataFrame(scale).round(4)

# %% [markdown]
# ## Methods that remember
#
# Some methods know more than the batch at hand. They keep it in one place, the *memory* of the objective: told of the run
# before the first step, asked at each step what it recalls.

# %% tags=["nbval-ignore-output"]
for name, entry in METHODS.entries.items():
    if entry.facts.memory:
        print(f"{name:9} {entry.facts.memory.__doc__.splitlines()[0]}")

# %% [markdown]
# ELR (Liu et al. 2020) by hand. One example, given label 0, but the learner is rather sure of class 1. Cross entropy pulls
# towards the label at every step. ELR's memory fills with the learner's own predictions, and its second term holds the
# network there. The table shows minus the derivative: positive, and the logit is raised.

# %%
example = torch.tensor([[0.05, 0.90, 0.05]], dtype=torch.float64).log()
label, where = torch.tensor([0]), torch.tensor([0])
elr = objective.build("elr", num_classes=3)
elr.begin(label, learn=None)
pulls = {}
for step in range(1, 11):
    remembered = elr.memory.recall(example, elr.one_hot(label, example), rows=where, images=example, progress=0.0)
    pull = -gradients.logit_gradient("elr", example, label, recalled=remembered)[0]
    pulls[step] = [float(remembered[0, 1]), float(pull[0]), float(pull[1])]
rows = ["memory of class 1", "pull to the label", "pull to class 1"]
pd.DataFrame(pulls, index=rows).T.rename_axis("step").round(3)

# %% [markdown]
# At first the true class is pushed down, as under CCE. As the memory fills it is pulled *up*, and the pull to the wrong
# label is half of what it was. Nothing was told which label is wrong: the early predictions were right, and they were kept.
#
# Pseudo-labels (Lee 2013) need no memory, but labels that are *missing*, and time: until t/T = 0.1 an example without a
# label counts nothing, from 0.6 on three times one with a label, in its own mean:

# %%
one = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
guess = torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.2, 0.7]], dtype=torch.float64).log()
counts = {time: METHODS["pseudo"](one, guess, progress=time).sum(dim=1) / 2 for time in (0.0, 0.1, 0.35, 0.6, 0.9)}
pd.DataFrame({f"t/T = {k}": v.numpy() for k, v in counts.items()}, index=["labelled", "label missing"]).round(3)

# %% [markdown]
# ## Checks

# %%
assert (agree < 1e-10).all(axis=None)
for name in names:
    closed = sp.lambdify(symbols.p, symbols.weight(name, values=True))(points)
    assert np.allclose(gradients.weight_curve(name, points)["weight"], closed, rtol=1e-10), name
    assert abs(float(symbols.mode(name, values=True)) - gradients.emphasis_mode(name)) < 1e-4, name
for spec, mode in barron.items():
    assert abs(mode - gradients.emphasis_mode(spec)) < 1e-6, spec
squares = [gradients.weight_curve(spec, points)["weight"] for spec in ("barron:alpha=2,c=1", "mse")]
assert np.allclose(squares[0], squares[1] / 2)

# %%
smooth, registered = (
    gradients.logit_gradient(one, logits, labels) for one in (own["torch, label_smoothing=0.1"], "ls:eps=0.1")
)
assert torch.allclose(smooth, registered, atol=1e-12)
assert list(report["only weighs"]) == [False, False, True]
assert set(table.index[table["symmetric"] == "yes"]) == {"mae", "nce_rce"}
turning = {"ls", "cp", "boot_soft", "boot_hard", "proselflc", "nce_rce", "elr", "joint"}
assert set(table.index[table["off"] != "0.0%"]) >= turning
assert all(table.loc[name, "off"] == "0.0%" for name in names)
assert abs(pd.DataFrame(scale).loc["cce"] - pd.DataFrame(scale).loc["beta:a=1,norm=integral"]).max() < 1e-9
assert pulls[1][2] < 0 < pulls[10][2]
assert 0 < pulls[10][1] < pulls[1][1] / 2
assert [round(float(v[1]), 3) for v in counts.values()] == [0.0, 0.0, 1.5, 3.0, 3.0]

# %% [markdown]
# ## Summary
#
# - A line of text, $L(p_y)$ or $w(p_y)$, is enough: the derivative, the weight and the mode follow by symbols, and autograd agrees to 1e-10.
# - A method is a pure weighting exactly when its derivative is $k(p_y)\,(p - q)$; targets, NCE, ELR and joint optimisation are not, and the lens says how far off.
# - The lens takes any callable, so your own loss stands in the same table and figures as all the others.
#
# ## Exercises
#
# Answers: [solutions](solutions/15_your_loss.ipynb).
#
# 1. Derive $\partial L/\partial z$ of the normalised cross entropy $\log p_y / \sum_j \log p_j$ by hand, and find it in `by_hand`.
# 2. Write the focal loss $-(1 - p_y)^\gamma \log p_y$ as a line of text and register it. Where is its mode for $\gamma = 2$? Is that robust?
# 3. For which $a, b$ does SCE keep its mode at 0? Use `symbols.mode("sce")`.
# 4. Show that for three or more classes every symmetric loss of the form $L(p_y)$ is linear in $p_y$, so that MAE is the only one up to scale and shift. Find another one for two classes.
# 5. In the ELR table, how large must `lam` be for the pull to the wrong label to become a push? Does your answer grow with the learner's confidence?
# 6. Train one of the relatives, such as `python -m robustdl_lib train --method elr:lam=7`, and compare with the table in [docs/METHODS.md](../docs/METHODS.md).
