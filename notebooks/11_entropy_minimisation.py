# %% [markdown]
# # Entropy minimisation: penalised or rewarded?
#
# A prediction with low entropy is sure. Label smoothing (LS) and the confidence penalty (CP), the talk's *output
# regularisation*, work against sureness; label correction (LC) works for it. The talk asks which is right under label noise, and
# defends rewarding it. **Our rows say: low entropy need not be penalised, and it is no merit of its own; it sharpens what is believed by
# then, right or wrong.** Source: the talk, slides 25, 33 and 38; Grandvalet and Bengio 2004 (entropy minimisation);
# Pereyra et al. 2017, [arXiv 1701.06548](https://arxiv.org/abs/1701.06548) (CP); ProSelfLC,
# [arXiv 2005.03788](https://arxiv.org/abs/2005.03788).

# %%
import pandas as pd
import torch
from torch.nn.functional import log_softmax, one_hot, softmax

from robustdl_lib import losses, paths, plots, summary, sweeps, targets
from robustdl_lib.plots import dynamics
from robustdl_lib.registry import METHODS
from robustdl_lib.report import dynamics as rows_dynamics
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
rho: float = 0.4  # rate of symmetric noise that the EM reading assumes, in [0.05, 0.85]

# %% [markdown]
# ## What the losses say
#
# Write each loss $H(\tilde q, p)$ out, with the gradient flowing through the target:
#
# | method | loss | entropy is |
# |---|---|---|
# | LS | $(1-\epsilon)\,H(q,p) + \epsilon\,H(u,p)$, and $H(u,p) = \log C + \mathrm{KL}(u\,\Vert\,p)$ | penalised when low |
# | CP | $(1-\epsilon)\,H(q,p) - \epsilon\,H(p)$ | penalised when low |
# | LC | $(1-\epsilon)\,H(q,p) + \epsilon\,H(p)$ | rewarded when low |
#
# (Facts 2 and 3 of [notebook 07](07_target_modification.ipynb).) Cross entropy is not neutral either: to give a label probability 1
# is to have no entropy. So measure it: by how much does one small gradient step $dz = -\partial L/\partial z$ change the
# entropy, $dH = -\,\partial H/\partial z \cdot \partial L/\partial z$? For a thousand predictions, by whether they agree with
# their label:

# %%
generator = torch.Generator().manual_seed(0)
logits = 3 * torch.randn(1000, 10, generator=generator, dtype=torch.float64)
labels = torch.randint(10, (1000,), generator=generator)
labels[:500] = logits[:500].argmax(dim=1)
probs = softmax(logits, dim=1)
entropy = -(probs * probs.log()).sum(dim=1, keepdim=True)
slope = -probs * (probs.log() + entropy)
compared = ["cce", "ls:eps=0.25", "cp:eps=0.25", "boot_soft:eps=0.5", "boot_soft:eps=0.5,detach=True", "proselflc"]
moves = {spec: -(logit_gradient(spec, logits, labels, 0.9) * slope).sum(dim=1) for spec in compared}
agree = labels == logits.argmax(dim=1)
step = {
    METHODS.parse(s).label: {"agreeing": x[agree].mean(), "contradicted": x[~agree].mean()} for s, x in moves.items()
}
pd.DataFrame(step).T.astype(float).round(3)

# %% [markdown]
# Where label and prediction agree, a step of any of them lowers the entropy: with LS and CP by less than with CCE, with flowing
# label correction by more. Where they contradict each other CCE *raises* it: the label fights the prediction, and the way
# from one belief to another leads through doubt. Label correction takes that back nearly whole, by trusting the
# prediction. Detached Boot-soft has half of CCE's numbers, as it must: it rewards nothing.

# %%
half = torch.allclose(moves["boot_soft:eps=0.5,detach=True"], 0.5 * moves["cce"], atol=1e-12)
label = one_hot(labels, 10).double()
written = {
    "ls:eps=0.25": 0.75 * losses.cce(logits, label) - 0.25 * log_softmax(logits, 1).mean(dim=1),
    "cp:eps=0.25": 0.75 * losses.cce(logits, label) - 0.25 * entropy[:, 0],
    "boot_soft:eps=0.5": 0.5 * losses.cce(logits, label) + 0.5 * entropy[:, 0],
}
equal = {}
for spec, value in written.items():
    parsed = METHODS.parse(spec)
    equal[spec] = torch.allclose(losses.cce(logits, parsed.entry.function(label, logits, **parsed.knobs)), value)
print(f"detached Boot-soft moves the entropy by half of what CCE does: {half}; the losses as written: {equal}")

# %% [markdown]
# ## The EM reading
#
# The talk says that label correction has the principle of expectation maximisation. What would EM do? Take the true
# class $k$ as hidden and the given label $y$ as drawn from it, here with symmetric noise: $P(y|k) = 1-\rho$ for $k = y$ and
# $\rho/(C-1)$ otherwise. The **E-step** asks which class the label came from:
#
# $$r_k = \frac{p_k\,P(y|k)}{\sum_j p_j\,P(y|j)},$$
#
# and the **M-step** fits $p$ to the target $r$, held fixed: its gradient is $p - r$. That is self label correction with a
# *detached* target, and here detaching does not undo it, since $r$ is not a mix of $q$ and $p$ but their product. Both steps
# descend one bound: $-\log \sum_k p_k P(y|k) = H(r,p) - H(r) - \sum_k r_k \log P(y|k)$.

# %%
given = torch.full((10,), rho / 9, dtype=torch.float64)
P = given + (1 - rho - rho / 9) * torch.eye(10, dtype=torch.float64)
leaf = logits.clone().requires_grad_()
evidence = -torch.log((softmax(leaf, 1) * P[labels]).sum(1))
found = torch.autograd.grad(evidence.sum(), leaf)[0]
r = probs * P[labels]
r = r / r.sum(dim=1, keepdim=True)
bound = -(r * probs.log()).sum(1) + (r * r.log()).sum(1) - (r * P[labels].log()).sum(1)
em = torch.allclose(found, probs - r, atol=1e-12), torch.allclose(bound, evidence.detach(), atol=1e-9)
print(f"gradient of the noisy label's likelihood is p - r: {em[0]}; the bound is tight at r: {em[1]}")

# %% [markdown]
# (The same loss is known as *forward correction*, Patrini et al. 2017.) When does EM change the class of a target? Where
# $p_j / p_y > (1-\rho)(C-1)/\rho$, whatever the time. Beside ProSelfLC's target, for a learner that gives *deer* most,
# the label *horse* six tenths of the rest, and ten classes:

# %%
sure = (0.6, 0.8, 0.9, 0.95, 0.99)
ps = torch.tensor([[0.6 * (1 - top), top] + [0.05 * (1 - top)] * 8 for top in sure], dtype=torch.float64)
horse = one_hot(torch.zeros(5, dtype=torch.long), 10).double()
posterior = ps * P[0]
posterior = posterior / posterior.sum(1, keepdim=True)
cases = {"EM, at any time": posterior}
cases |= {f"ProSelfLC, t/T = {t}": targets.proselflc(horse, ps.log(), progress=t) for t in (0.3, 0.5, 0.7, 0.95)}
cases["Boot-soft, eps = 0.5"] = targets.boot_soft(horse, ps.log(), eps=0.5)
print(f"share of the target that deer has; EM changes the class at p_j / p_y > {(1 - rho) * 9 / rho:.1f}")
pd.DataFrame({name: target[:, 1].numpy() for name, target in cases.items()}, index=[f"deer {x}" for x in sure]).T.round(
    2
)

# %% [markdown]
# EM hears a sure learner from the first step on and needs the noise to be known. ProSelfLC knows nothing of the noise and is
# cautious by the clock instead. So the principle is the same, as the talk says, and the difference lies in what
# tells a good belief from a bad one: a noise model there, time and confidence here. Neither can tell a *confident error* from a
# confident truth.
#
# ## Entropy in training
#
# Talk, slide 38: entropy on the clean and on the wrong subset, as a share of its largest value, $\log C$.

# %%
changes = {"noise": noise, "methods": methods, "dataset": dataset, "seeds": seeds, "epochs": epochs}
setting = sweeps.Setting(profile=profile, **{name: value for name, value in changes.items() if value})
rows = sweeps.run("figures", profile=profile, jobs=jobs or None, shelf=shelf, quiet=True, **setting.changes())
config = setting.config()
noisy = rows[rows["noise"] == config.noise]
specs = list(noisy["method"].unique())
print(f"{noisy['run_id'].nunique()} runs of {config.model} on {config.dataset}, {config.noise}")
plots.FIGURES["entropy"](rows)

# %% [markdown]
# The signs of fact 3 are visible in the committed rows: LS and CP end with the most uncertain predictions, on clean
# labels too; Boot-soft and ProSelfLC end below CCE. For every method the wrong subset stays the more uncertain one. But
# DM and GCE, which only weigh examples and say nothing of entropy, reach the lowest of all: an example whose label is
# contradicted is left alone, so nothing fights the learner's belief.
#
# ## Which labels are believed?
#
# $p_y$ of the wrong labels says what entropy cannot: *which* class the network is sure of. A given label is believed here when
# its $p_y$ is above 0.9 in the end. How many are, and how many of those are wrong?

# %%
places = [paths.shelf(shelf, setting.home), paths.shelf("runs", setting.home)]
runs = [run for run in sweeps.found(sweeps.plan("figures", setting), places) if run.config.noise == config.noise]
belief = rows_dynamics.believed(pd.concat([run.p_y_frame() for run in runs], ignore_index=True))
at_end = noisy[noisy["epoch"] == config.epochs].groupby("method")[
    ["entropy_clean", "entropy_wrong", "p_clean", "p_wrong"]
]
ends = (100 * at_end.mean()).join(belief.drop(columns="wrong_in_all"))
names = {"believed": "labels believed", "wrong_among": "wrong among them"}
print(f"all in per cent; {belief['wrong_in_all'].mean():.1f} % of the labels are wrong")
ends.rename(columns=names, index=lambda spec: METHODS.parse(spec).label).sort_values("wrong among them").round(1)

# %% [markdown]
# This is calibration asked of labels: is a label that the network is sure of a right one? For all methods it is far
# more often right than a label drawn at random, which is why self correction can work at all. But the two rewarding
# methods, Boot-soft and ProSelfLC, have the most errors among the labels that they believe: about one in ten. LS has none, since it
# hardly believes any. **Rewarding confidence makes more labels believed, and believed errors more frequent.**
#
# ## Is a confident network right?

# %%
dynamics.confidence(rows)

# %% [markdown]
# On the left each method goes from the epoch at which it corrects the most wrong labels (hollow) to its last. CCE, LS, CP and both kinds of
# bootstrapping fall nearly straight: they become wrong without becoming less sure. ProSelfLC goes far to the right: it
# becomes very sure, of fewer truths than it knew before. On the right: among the sure are the best network (DM) and the worst (MAE).

# %%
readings = summary.final_readings(noisy)
final = noisy[noisy["epoch"] == config.epochs].set_index("run_id")
table = readings.set_index("run_id")[["method", "last"]].join(final[["entropy_wrong", "p_wrong", "corrected"]])
means = table.groupby("method").mean()
print(f"rank correlation with the last test accuracy, over {len(means)} methods and over {len(table)} runs")
signs = {}
for column in ("entropy_wrong", "p_wrong", "corrected"):
    known = len(means) > 2 and means[column].notna().all()
    signs[column] = means["last"].rank().corr(means[column].rank()) if known else float("nan")
    over_runs = table["last"].rank().corr(table[column].rank()) if known else float("nan")
    print(f"  {column:14} {signs[column]:+.1f}   {over_runs:+.1f}" if known else f"  {column:14} not defined here")

# %% [markdown]
# Low entropy on the wrong labels goes with a better test accuracy, but less closely than a small $p_y$ of them does, and the share that is corrected
# tells the most: what counts is *what* is believed.
#
# ## A careful answer
#
# The talk answers the slide's question: reward low entropy. In our rows:
#
# - **Need it be penalised? No.** The methods that end best have low entropy; LS and CP, which penalise it, gain over CCE
#   and stay far behind them.
# - **Does rewarding it help? Against CCE, yes; against penalising it, not by itself.** Boot-soft rewards it, LS and CP penalise it, and the three end
#   within a standard deviation or so. With ProSelfLC the reward waits for time and confidence, and it ends above all three.
# - **Does low entropy make robust? No.** MAE has it and underfits. Boot-soft has it and holds many errors with
#   confidence. Boot-hard ends above both ProSelfLC and Boot-soft with more entropy than either.
# - **When does it help?** When the learner is right by then. Entropy minimisation keeps what is believed: with an early, still
#   unspoilt belief that is a gain; after memorising has begun, it keeps the errors.
#
# ## Checks
#
# Losses, gradients and the EM reading must hold always. The claims about trained networks belong to the committed
# setting (the reference shelf, quick profile, its own noise, methods and seeds) and are asserted only there.

# %%
assert half
assert all(equal.values())
assert all(em)
assert step["CCE"]["agreeing"] < 0 < step["CCE"]["contradicted"]
assert 0 > step["CP (eps = 0.25)"]["agreeing"] > step["CCE"]["agreeing"] > step["ProSelfLC (B = 10)"]["agreeing"]
kinds = {
    "corrected": ["Boot-soft (eps = 0.5)", "ProSelfLC (B = 10)"],
    "smoothed": ["LS (eps = 0.25)", "CP (eps = 0.25)"],
}
raised = {kind: [float(step[name]["contradicted"]) for name in names] for kind, names in kinds.items()}
assert max(raised["corrected"]) < 0.5 * min(raised["smoothed"])
changed = posterior.argmax(1) == 1
assert (changed == (ps[:, 1] / ps[:, 0] > (1 - rho) * 9 / rho)).all()
assert (targets.proselflc(horse, ps.log(), progress=0.3).argmax(1) == 0).all()

# %%
committed = shelf == "reference" and profile == "quick" and not (noise or dataset or methods or seeds or epochs)
if committed:
    punish, reward = ["ls:eps=0.25", "cp:eps=0.25"], ["boot_soft:eps=0.5", "proselflc"]
    assert ends.loc[punish, "entropy_clean"].min() > ends.loc["cce", "entropy_clean"]
    assert ends.loc[reward, "entropy_clean"].max() < ends.loc["cce", "entropy_clean"]
    assert (ends["entropy_wrong"] > ends["entropy_clean"]).all()
    assert set(ends["wrong_among"].nlargest(2).index) == set(reward)
    assert (ends["wrong_among"] < belief["wrong_in_all"] / 3).all()

# %%
if committed:
    assert signs["entropy_wrong"] < 0
    assert abs(signs["entropy_wrong"]) < abs(signs["p_wrong"]) < signs["corrected"]
    assert means.loc["mae", "last"] == means["last"].min()
    assert means.loc["mae", "entropy_wrong"] < 0.1
    assert means.loc["boot_hard:eps=0.5", "last"] > means.loc["proselflc", "last"] > means.loc[punish, "last"].max()
    assert means.loc["boot_hard:eps=0.5", "entropy_wrong"] > means.loc[reward, "entropy_wrong"].max()
    assert means.loc[punish, "last"].min() > means.loc["cce", "last"]
    print("the claims about the committed rows hold")

# %% [markdown]
# ## Summary
#
# - LS and CP penalise low entropy, flowing label correction rewards it, a detached soft target at $T = 1$ does neither; cross entropy lowers entropy where label and prediction agree and raises it where they do not.
# - EM, told the noise, corrects labels with a detached target that is a product; ProSelfLC replaces the noise model by time and confidence.
# - A sure network is right more often than not, and rewarding sureness also makes believed errors more frequent: low entropy helps when the learner is right by then.
#
# ## Exercises
#
# Answers: [solutions](solutions/11_entropy_minimisation.ipynb).
#
# 1. Show that $H(u, p)$ is smallest at $p = u$ and grows without bound as any $p_j \to 0$. Why does LS then punish a sure prediction more than CP does?
# 2. Detach soft bootstrapping (`boot_soft:eps=0.5,detach=True`). By fact 2 it is cross entropy with half the step. Train it: how much of Boot-soft's gain over CCE is owed to rewarding low entropy?
# 3. Give EM the wrong rate: set `rho=0.1` and `rho=0.8`. Which learners are heard then? What is the risk on each side?
# 4. Sharpen the E-step's target, $r \propto p^{1/T}$ without any label. Show that its detached gradient $p - p_T$ lowers the entropy for $T < 1$ and does nothing for $T = 1$ (Grandvalet and Bengio call it deterministic annealing).
# 5. In `sure_and_right`, which method loses the most truths for each point of sureness? Choose an epoch at which you would stop it, without looking at the true labels.
