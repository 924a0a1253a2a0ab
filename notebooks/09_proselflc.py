# %% [markdown]
# # ProSelfLC: how much to trust the learner, and when
#
# Self label correction mixes the learner's own prediction into the target. Bootstrapping does so by a fixed amount from
# the first step on, when the learner knows nothing. **ProSelfLC lets the amount grow with the time of training and with
# the confidence in the example: $\epsilon = g(t)\,l(p)$.** This notebook follows it on one example step by step,
# finds in closed form the moment at which a target changes its class, and reads from rows how much trust real runs had, and why
# that wins less here than in the paper. Source: the talk, slides 34 and 35, equation 6;
# ProSelfLC, [arXiv 2005.03788](https://arxiv.org/abs/2005.03788); with a temperature (AT),
# [arXiv 2207.00118](https://arxiv.org/abs/2207.00118).

# %%
import pandas as pd
import torch
from torch.nn.functional import one_hot, softmax

from robustdl_lib import plots, summary, sweeps, targets
from robustdl_lib.plots.rows import CLASSES
from robustdl_lib.registry import METHODS
from robustdl_lib.report import dynamics
from robustdl_lib.theory import proselflc
from robustdl_lib.theory.gradients import logit_gradient

# %% tags=["parameters"]
profile: str = "quick"  # quick, or smoke (two epochs, for tests of the machinery)
shelf: str = "reference"  # reference: committed rows; runs: trained here
noise: str = ""  # empty: the profile's own
dataset: str = ""  # empty: the profile's own
methods: list = []  # empty: all methods of the sweep
seeds: list = []  # empty: all seeds of the sweep
epochs: int = 0  # passes over the training set; 0: the profile's own; in [0, 100000]
jobs: int = 0  # processes at a time; 0: one a core; in [0, 1024]
B: float = 10.0  # how sharply trust rises in time, in [1, 100]

# %% [markdown]
# ## The formulas
#
# With the label $q$, the prediction $p$ and the share $t/T$ of training that is done,
#
# $$\tilde q = (1-\epsilon)\,q + \epsilon\,p, \qquad \epsilon = g(t)\,l(p), \qquad
# g(t) = \frac{1}{1 + e^{-B(t/T - 1/2)}}, \qquad l(p) = 1 - \frac{H(p)}{\log C},$$
#
# and the loss is $H(\tilde q, p)$. $g$ is the trust in *time*: 1/2 midway, whatever $B$; $B$ says how sharply it rises
# around there. $l$ is the trust in *confidence*: 0 for the uniform prediction, 1 for a one-hot one. It is high for a
# prediction that is sure, whether that agrees with the label or not. The product asks for both:

# %%
largest = [0.3, 0.5, 0.8, 0.95, 0.99]
rest = [[top] + [(1 - top) / 9] * 9 for top in largest]
local = targets.local_trust(torch.tensor(rest, dtype=torch.float64).log())
times = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
product = {f"t/T = {t}": (targets.global_trust(t, B=B) * local).numpy() for t in times}
table = pd.DataFrame(product, index=[f"largest p = {top}" for top in largest])
table.insert(0, "l(p)", local.numpy())
table.round(2)

# %% [markdown]
# Ten classes, the rest shared alike. By the confidence a prediction of 0.5 deserves little trust at any time; by the
# time not even one of 0.99 is trusted in the first quarter. The next figure shows both factors as curves, and on the
# right the trust that runs had, averaged over their training sets.

# %%
changes = {"noise": noise, "methods": methods, "dataset": dataset, "seeds": seeds, "epochs": epochs}
setting = sweeps.Setting(profile=profile, **{name: value for name, value in changes.items() if value})
rows = sweeps.run("figures", profile=profile, jobs=jobs or None, shelf=shelf, quiet=True, **setting.changes())
config = setting.config()
noisy = rows[rows["noise"] == config.noise]
specs = list(noisy["method"].unique())
print(f"{noisy['run_id'].nunique()} runs of {config.model} on {config.dataset}, {config.noise}: {', '.join(specs)}")
plots.FIGURES["trust"](rows)

# %% [markdown]
# ## One example, step by step
#
# An image of a deer is labelled *horse*, one of ten classes. The learner thinks it is a deer: $p_y = 0.05$ and 0.92.
# In a training $p$ changes too; here it is held, so that one sees what the formula does. `pull` is minus the derivative
# with respect to the logit of the label: positive, and the step draws the prediction to the label.

# %%
p = [0.05, 0.92] + [0.03 / 8] * 8
path = proselflc.steps(p, (0.0, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0), B=B)
shown = path[["t", "g", "l", "trust", "target_0", "target_1", "semantic", "pull"]]
shown = shown.assign(semantic=shown["semantic"].map(lambda j: CLASSES[j] if j < 3 else "other"))
names = {"t": "t/T", "target_0": "target: horse", "target_1": "target: deer", "semantic": "semantic class"}
shown.rename(columns=names).round(3).set_index("t/T")

# %% [markdown]
# Read it downwards. At first the target is the label. Then the learner's belief moves in, until *deer* is the largest
# entry: the target is corrected. The pull shrinks all the way. But **it is still positive when the target changes its class**:
# the learner is pulled towards *horse*, only less. Why? The pull is $(1-\epsilon)(1-p_y) + \epsilon\,p_y(\log p_y + H(p))$.
# The first term, the label's, is large for a small $p_y$; the second, entropy minimisation, is weighed by $p_y$ itself. So a corrected
# target and a step away from the label are two moments. The first has a closed form: class $j$ overtakes where
# $\epsilon (p_j - p_y) > 1 - \epsilon$, so
#
# $$\frac{t^*}{T} = \frac12 + \frac1B \log\frac{x}{1 - x}, \qquad x = \frac{1}{(1 + p_j - p_y)\,l(p)},$$
#
# and never where $x \ge 1$: a learner that is not sure enough corrects no target, however long it trains. (Where $x$ is
# only a little below 1 the moment lies beyond the end of training, which is as good as never.)

# %%
found = {}
for top in (0.6, 0.8, 0.9, 0.95, 0.99):
    doubt = [0.6 * (1 - top), top] + [0.4 * (1 - top) / 8] * 8
    found[f"deer {top}"] = {f"B = {b}": proselflc.crossing(doubt, B=b) for b in (8, 10, 12, 14, 16)}
moments = pd.DataFrame(found).T
print("t/T at which the target becomes deer; inf: never")
moments.round(3)

# %% [markdown]
# ## B and T
#
# All moments lie after 1/2, and a larger $B$ moves them towards it: $B$ decides how *soon after the middle* doubtful
# predictions are heard. Sure ones are corrected just after the middle whatever $B$. **No $B$ corrects a target in the
# first half**, since $g < 1/2$ there and $x > 1/2$ always.
#
# What about the temperature of the 2022 version? It takes $p_T = \mathrm{softmax}(z/T)$ with $T < 1$, which is sharper, in
# target and confidence both:

# %%
sharp = {}
for top in (0.6, 0.8, 0.9, 0.95):
    doubt = [0.6 * (1 - top), top] + [0.4 * (1 - top) / 8] * 8
    sharp[f"deer {top}"] = {f"T = {T}": proselflc.crossing(doubt, B=B, T=T) for T in (1.0, 0.5, 0.2)}
pd.DataFrame(sharp).T.round(3)

# %% [markdown]
# A sharpened learner is heard although it doubts, and soon after the middle, but not before it: $g$ and $x > 1/2$ are as
# they were.
#
# ## Detached or not, and sharpened
#
# Is the target a constant for the gradient? The published code of 2021 lets the gradient flow through $p$ and detaches
# only $\epsilon$; that of 2022 detaches the target and sharpens. With $l = l(p_T)$ the three have the gradients
#
# | version | $\partial L/\partial z$ |
# |---|---|
# | 2021: flowing, $T = 1$ | $(1-\epsilon)(p - q) + \epsilon\,\partial H(p)/\partial z$ |
# | detached, $T = 1$ | $(1-\epsilon)(p - q)$ |
# | 2022: detached, $T < 1$ | $(1-\epsilon)(p - q) + \epsilon\,(p - p_T)$ |

# %%
generator = torch.Generator().manual_seed(0)
logits = 3 * torch.randn(1000, 10, generator=generator, dtype=torch.float64)
labels = torch.randint(10, (1000,), generator=generator)
probs, label = softmax(logits, dim=1), one_hot(labels, 10).double()
entropy_gradient = -probs * (probs.log() - (probs * probs.log()).sum(1, keepdim=True))
e = {T: targets.proselflc_trust(logits, 0.9, B=B, T=T).unsqueeze(1) for T in (1.0, 0.5)}
claimed = {
    f"proselflc:B={B}": (1 - e[1.0]) * (probs - label) + e[1.0] * entropy_gradient,
    f"proselflc:B={B},detach=True": (1 - e[1.0]) * (probs - label),
    f"proselflc:B={B},T=0.5,detach=True": (1 - e[0.5]) * (probs - label) + e[0.5] * (probs - softmax(2 * logits, 1)),
}
same = {s: torch.allclose(logit_gradient(s, logits, labels, 0.9), form, atol=1e-12) for s, form in claimed.items()}
for spec, holds in same.items():
    print(f"{METHODS.parse(spec).label:45} as claimed: {holds}")

# %% [markdown]
# Detached at $T = 1$ nothing is corrected: the target changes its class, and the step never turns away from the
# label. It is a weighting that takes less notice of confident predictions, right ones and wrong ones. The other two add a
# term that favours what the learner believes. Here is what that does to the pull, late in training, for a learner that
# gives the label $p_y$ and nearly all the rest to one other class.

# %%
at = torch.tensor([0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.9], dtype=torch.float64)
others = torch.full((7, 8), 0.0005 / 8, dtype=torch.float64)
doubted = torch.cat([at.unsqueeze(1), 1 - at.unsqueeze(1) - 0.0005, others], dim=1).log()
variants = ["cce", *claimed, f"proselflc:B={B},T=0.2,detach=True"]
wrong = torch.zeros(7, dtype=torch.long)
pull = {METHODS.parse(spec).label: -logit_gradient(spec, doubted, wrong, 0.95)[:, 0].numpy() for spec in variants}
pd.DataFrame(pull, index=[f"p_y = {float(x)}" for x in at]).T.round(3) + 0.0

# %% [markdown]
# Negative numbers are label correction at work: the step leaves the label. The flowing version turns around where the
# label is contradicted with confidence, the sharpened ones also where it is merely doubted ($p_y = 0.25$), and harder. All
# of them pull a label that is believed already further in: **what has been memorised is confirmed.** [Notebook
# 08](08_direction_and_magnitude.ipynb) draws the same as fields of arrows.
#
# ## The trust that runs had
#
# Because $l$ is linear in the entropy, rows give the average trust on clean and on wrong labels apart:
# $g(t)\,(1 - \text{mean normalised entropy})$. Here it stands beside what happens to the wrong labels.

# %%
progressive = [s for s in specs if METHODS.parse(s).name == "proselflc" and METHODS.parse(s).values["T"] == 1]
for spec in progressive:
    story = dynamics.trust_story(noisy, spec).rename_axis("t/T")
    if "cce" in specs:
        story["fitted by CCE"] = 100 * noisy[noisy["method"] == "cce"].groupby("progress")["fit_wrong"].mean()
    words = {"trust_clean": "trust on clean", "trust_wrong": "on wrong", "fit_wrong": "wrong fitted (%)"}
    every = max(1, len(story) // 10)
    print(METHODS.parse(spec).label)
    print(story.rename(columns=words | {"g": "g(t)"}).iloc[every - 1 :: every].round(2).to_string())
if not progressive:
    print("no ProSelfLC in these rows")

# %% [markdown]
# In the committed rows memorisation and trust arrive together. Wrong labels are fitted in the second half of training,
# as the learning rate falls; midway $g$ is only 1/2, and the trust is always lower on the wrong labels, where
# predictions are less certain. So ProSelfLC fits them about as fast as CCE at first, and slower once the trust is
# there. What was fitted is not given back: by then it is believed, and trusted.
#
# ## Where its lead is smaller than published
#
# The paper's Figure 3 (CIFAR-100, asymmetric noise .4) has ProSelfLC fit less than a quarter of the wrong labels that CCE fits.
# How is it here, and in other noises, seed by seed? Rows of the sweeps `figures` and `worked`
# (asymmetric and instance-dependent noise), and those of the profile `small` (CIFAR-10 with human labels), are read where
# they lie; nothing more is trained.

# %%
alone = bool(methods or dataset or epochs)  # the rows of other noises are of the profile's own data and budget
worked = noisy.iloc[:0] if alone else sweeps.held("worked", profile, shelf=shelf)
small = sweeps.held("figures", "small", shelf="reference", noise="human:worst")
parts = [noisy, worked, small[small["noise"] != "none"]]
readings = summary.final_readings(pd.concat(parts).drop_duplicates(["run_id", "epoch"]))
pair = readings[readings["method"].isin(["cce", *progressive[:1]])].dropna(subset=["fit_wrong"])
fits = pair.pivot_table(index=["dataset", "noise", "seed"], columns="method", values="fit_wrong")
if len(progressive) and fits.shape[1] == 2:
    fits["share of CCE's"] = 100 * fits[progressive[0]] / fits["cce"]
theirs = dynamics.published()["fit_wrong"]
print(f"published: {theirs['proselflc']} against {theirs['cce']}, {100 * theirs['proselflc'] / theirs['cce']:.0f} %")
fits.rename(columns=lambda s: METHODS.parse(s).label if s in METHODS or ":" in s else s).round(1)

# %% [markdown]
# One seed of the asymmetric runs comes near the published share; the others do not, and the human labels show no lead
# at all after 15 epochs. The explanation that the trust table suggests is *timing*: trust must be there before the wrong labels are
# fitted. The next table says when CCE fits them: which share of what it fits in the end it fits already at a quarter, a half and
# three quarters of training.

# %%
frames = {config.noise: noisy, "asymmetric:0.4": worked[worked["noise"] == "asymmetric:0.4"]}
when = {name: dynamics.memorised_by(frame, "cce") for name, frame in frames.items() if "cce" in set(frame["method"])}
early = pd.DataFrame(when).T
early.columns = [f"by t/T = {t}" for t in early.columns]
print("share of CCE's final fit of wrong labels (%)")
early.round(0)

# %% [markdown]
# What fits the explanation, in the committed rows:
#
# - Under asymmetric noise more than half of the damage is done by t/T = 0.25, where $g$ is below 0.1: a look-alike's
#   label is believed from the start. Under symmetric noise it comes later, and the trust is in time for some of it.
# - The schedule differs. Here the rate rises and falls in one cycle, and memorising starts as it falls. The paper keeps a high rate, at which
#   little is memorised, until half of training, and cuts it when $g$ is at 1/2 and rising.
# - Boot-hard, whose trust is there from the first step and needs no confidence, ends above ProSelfLC (next cell).
#
# What speaks against it: nothing here varies the timing alone. That needs trainings with other $B$ (exercise 2).

# %%
compared = [s for s in specs if METHODS.parse(s).name in ("cce", "boot_soft", "boot_hard", "proselflc")] or specs
columns = ["last", "oracle", "fit_wrong", "corrected", "entropy_wrong"]
final = summary.final_readings(noisy).groupby("method")[columns].mean().loc[compared]
final.rename(index=lambda spec: METHODS.parse(spec).label).round(1)

# %% [markdown]
# ## Checks
#
# Formulas, gradients and moments must hold always. The claims about trained networks belong to the committed setting
# (the reference shelf, quick profile, its own noise, methods and seeds) and are asserted only there.

# %%
assert all(same.values())
for doubt_name, row in moments.iterrows():
    top = float(str(doubt_name).split()[1])
    doubt = [0.6 * (1 - top), top] + [0.4 * (1 - top) / 8] * 8
    for b in (8, 16):
        moment = row[f"B = {b}"]
        around = proselflc.steps(doubt, [moment - 1e-6, moment + 1e-6] if moment < 1 else [0.999], B=b)
        assert list(around["semantic"]) == ([0, 1] if moment < 1 else [0])
assert (moments > 0.5).all(axis=None)
assert (path["pull"].diff().dropna() < 0).all()
assert path[path["semantic"] == 1]["pull"].max() > 0 or B > 20
assert (pull[METHODS.parse(f"proselflc:B={B},detach=True").label] > 0).all()
assert all((values[-1] > 0) for values in pull.values())

# %%
for _, row in noisy[noisy["method"].isin(progressive)].dropna(subset=["entropy_wrong"]).iterrows():
    in_time = targets.global_trust(row["progress"], B=METHODS.parse(row["method"]).values["B"])
    ends = sorted(in_time * (1 - row[column]) for column in ("entropy_clean", "entropy_wrong"))
    assert ends[0] - 1e-4 <= row["trust"] <= ends[1] + 1e-4
committed = shelf == "reference" and profile == "quick" and not (noise or dataset or methods or seeds or epochs)
if committed:
    ratio = fits.loc["digits", "share of CCE's"]
    assert ratio.loc["symmetric:0.4"].min() > 100 * theirs["proselflc"] / theirs["cce"]
    assert (ratio < 100).all()
    assert early.loc["asymmetric:0.4", "by t/T = 0.25"] > 50 > early.loc["symmetric:0.4", "by t/T = 0.5"]
    assert final.loc["boot_hard:eps=0.5", "last"] > final.loc["proselflc", "last"] > final.loc["cce", "last"]
    assert story["trust_wrong"].lt(story["trust_clean"] + 1e-9).all()
print("the claims about the committed rows hold" if committed else "another setting: they are not asserted")

# %% [markdown]
# ## Summary
#
# - ProSelfLC trusts the learner by time and by confidence; a target changes its class at a moment with a closed form, never before the middle of training.
# - A corrected target is not yet a step away from the label: with the flowing gradient the step turns only for confident contradiction, with a detached target at $T = 1$ never, with a sharpened one for doubt as well.
# - Here it fits fewer wrong labels than CCE, by less than published; the rows point to the timing of trust, and do not prove it.
#
# ## Exercises
#
# Answers: [solutions](solutions/09_proselflc.ipynb).
#
# 1. Derive the moment $t^*$ from the formulas, and show that $x > 1/2$ always. What is the smallest $l(p)$ that can ever correct a target?
# 2. Run this notebook with `methods=["cce", "proselflc:B=4", "proselflc", "proselflc:B=20", "proselflc:B=40"]`. Is the likely cause above the cause? What does $B$ change, and what can it not change?
# 3. Sharpen and detach as the 2022 version does: `proselflc:T=0.5,detach=True`. Why does fact 2 of [notebook 07](07_target_modification.ipynb) not apply to it? Verify with `logit_gradient`.
# 4. Where does the pull of the flowing version turn? Set it to 0 for two classes and solve for $\epsilon$. How much trust does $p_y = 0.05$ need?
# 5. Each factor alone is a variant, `proselflc:trust=global` and `proselflc:trust=local`. Which one would you expect to fail first, and why? Train both.
