# %% [markdown]
# # Solutions: entropy minimisation
#
# **Every question at the end of [notebook 11](../11_entropy_minimisation.ipynb) has an answer here**, by its number. What can be derived is
# derived, what can be computed is computed and asserted next to the words, and what had to be trained is read from
# committed rows. Where the expected answer did not come out, the text says so. Try first, then read.

# %%
import pandas as pd
import torch
from torch.nn.functional import softmax

from robustdl_lib import gradients
from robustdl_lib.studies import exercises

torch.set_num_threads(1)  # many small computations: threads would wait for each other

# %% tags=["parameters"]
seed: int = 0  # of what is drawn at random, in [0, 1000000]
kept: str = "reference"  # reference: committed rows; runs: trained and computed here

# %%
committed = kept == "reference"
trained = exercises.trained(kept)
history, ended, big, same, like = trained.history, trained.ended, trained.big, trained.same, trained.like
generator = torch.Generator().manual_seed(seed)

# %% [markdown]
# ## 11.1 [Entropy minimisation](../11_entropy_minimisation.ipynb)
#
# > Why does LS then punish a sure prediction more than CP does?
#
# $H(u,p) = -\frac1C \sum_j \log p_j = \log C + \mathrm{KL}(u\Vert p)$: smallest at $p = u$, and any $p_j \to 0$ sends it to infinity. CP's $-H(p)$ lies between $-\log C$ and 0: a bounded punishment, whose derivative vanishes at the
# corners. LS pushes a sure prediction back with $\tilde q_y - 1 = -0.225$; CP's push goes to 0 as the prediction becomes surer.

# %%
sure = gradients.logits_at([0.99, 0.9999, 1 - 1e-8], 10)
push = {
    spec: gradients.logit_gradient(spec, sure, torch.zeros(3, dtype=torch.long))[:, 0]
    for spec in ("ls:eps=0.25", "cp:eps=0.25")
}
print({spec: [round(float(value), 5) for value in row] for spec, row in push.items()})
assert push["ls:eps=0.25"][-1] > 0.22
assert 0 < push["cp:eps=0.25"][-1] < 1e-6

# %% [markdown]
# ## 11.2 [Entropy minimisation](../11_entropy_minimisation.ipynb)
#
# > how much of Boot-soft's gain over CCE is owed to rewarding low entropy?

# %%
arms = ended[big & like.drop(columns=["peak_lr", "weight_decay"]).all(axis=1)]
arms = arms[arms["method"].isin(["cce", "boot_soft:eps=0.5", "boot_soft:eps=0.5,detach=True"])]
by_seed = arms.pivot_table(index=["method", "peak_lr", "weight_decay"], columns="seed", values="last")
gain = {rows[0]: row.to_numpy() for rows, row in by_seed.iterrows() if rows[1] == 0.1}
flows = gain["boot_soft:eps=0.5"] - gain["boot_soft:eps=0.5,detach=True"]
assert not committed or ((flows > 1) & (flows < 5) & (gain["boot_soft:eps=0.5,detach=True"] > gain["cce"])).all()
by_seed.assign(mean=by_seed.mean(axis=1)).round(1)

# %% [markdown]
# Boot-soft ends six points above CCE. Detached, by fact 2 a matter of rate and decay alone (its twin is the second line of CCE), it keeps about half of them. The other half is what the flowing gradient adds; it is there with every
# seed, between one and five points, and that is as much as three seeds say.
#
# ## 11.3 [Entropy minimisation](../11_entropy_minimisation.ipynb)
#
# > Which learners are heard then? What is the risk on each side?
#
# EM changes the class where $p_j / p_y > (1-\rho)(C-1)/\rho$: at 81 for $\rho = 0.1$, at 13.5 for 0.4, at 2.25 for 0.8. Too small a rate hears hardly anyone, and wrong labels stay; too large a one overrules a label at the first doubt,
# right labels of hard examples first, and the learner is then taught its own errors.

# %%
for rho in (0.1, 0.4, 0.8):
    border = (1 - rho) * 9 / rho
    given = torch.full((10,), rho / 9, dtype=torch.float64)
    given[0] = 1 - rho
    said = []
    for ratio in (0.99 * border, 1.01 * border):
        believed = torch.tensor([1.0, ratio, *[0.1] * 8], dtype=torch.float64)
        said.append(int((believed / believed.sum() * given).argmax()))
    print(f"rho = {rho}: the class changes at p_j / p_y = {border:.2f}")
    assert said == [0, 1]

# %% [markdown]
# ## 11.4 [Entropy minimisation](../11_entropy_minimisation.ipynb)
#
# > Show that its detached gradient $p - p_T$ lowers the entropy for $T < 1$ and does nothing for $T = 1$
#
# For $T = 1$ the gradient is 0. Otherwise a step moves the logits by $g = p_T - p$ and the entropy by $dH = -\sum_j p_j (a_j - \bar a)\,g_j$, with $a_j = \log p_j$ and $\bar a = \sum_j p_j a_j = -H$. Write
# $p_{T,j} = p_j\,p_j^s / Z$ with $s = 1/T - 1 > 0$ and $Z = \sum_j p_j^{1+s}$, and let $a_0 = \frac1s \log Z$ be where $g$ changes its sign. Then $\sum_j p_j (a_j - a_0)\,g_j \ge 0$, for both factors have the same sign;
# $a_0 \ge \bar a$ by Jensen's inequality; and $\sum_j p_j g_j = \mathrm{Cov}_p(p, p^s)/Z \ge 0$, for both rise together. The sum of the first and of $(a_0 - \bar a) \sum_j p_j g_j$ is $-dH$.

# %%
changes = []
for scale in (0.5, 2.0, 6.0):
    z = scale * torch.randn(5000, 10, generator=generator, dtype=torch.float64)
    p = softmax(z, 1)
    H = -(p * p.log()).sum(1, keepdim=True)
    for T in (1.0, 0.9, 0.2):
        changes.append([scale, T, float((-p * (p.log() + H) * (softmax(z / T, 1) - p)).sum(1).max())])
changes = pd.DataFrame(changes, columns=["spread of the logits", "T", "largest dH"])
assert (changes.loc[changes["T"] < 1, "largest dH"] <= 1e-15).all()
assert (changes.loc[changes["T"] == 1, "largest dH"].abs() < 1e-12).all()
print("of", 5000 * len(changes), "steps none raises the entropy")

# %% [markdown]
# ## 11.5 [Entropy minimisation](../11_entropy_minimisation.ipynb)
#
# > which method loses the most truths for each point of sureness? Choose an epoch at which you would stop it, without looking at the true labels.

# %%
courses = history[history["run_id"].isin(same["run_id"])]
mean = 100 * courses.groupby(["method", "epoch"])[["corrected", "entropy_wrong", "val_acc", "test_acc"]].mean()
lost = {}
for spec in ("cce", "ls:eps=0.25", "cp:eps=0.25", "boot_soft:eps=0.5", "boot_hard:eps=0.5", "proselflc", "gce", "dm"):
    way = mean.loc[spec]
    best, stop = way.loc[way["corrected"].idxmax()], way["val_acc"].idxmax()
    changed_by = (best - way.iloc[-1])[["corrected", "entropy_wrong"]]
    lost[spec] = [*changed_by, stop, way.loc[stop, "test_acc"], way["test_acc"].iloc[-1]]

# %%
lost = pd.DataFrame(lost, index=["truths lost", "sureness gained", "stop at", "test there", "test at the end"]).T
gained = lost[lost["sureness gained"] > 0]
assert not committed or (gained["truths lost"] / gained["sureness gained"]).idxmax() == "ls:eps=0.25"
assert not committed or (lost["test there"] > lost["test at the end"]).drop("dm").all()
lost.round(1)

# %% [markdown]
# LS: a third of its truths go, and it is no surer than before; for each point of sureness it pays the most. The two kinds of bootstrapping follow, then CP and CCE; ProSelfLC pays least of those that lose much, GCE and DM lose hardly anything. The epoch in the third column is
# what the *noisy* validation labels pick, of the mean curves: a network that agrees best with labels it was not trained on. It needs no truth, and takes back most of the fall.

# %% [markdown]
# ## Checks
#
# Each answer asserts its claim next to its words. Here: the rows are whole, with three seeds of each setting.

# %%
assert (trained.history.groupby("run_id").size() == trained.history.groupby("run_id")["epochs"].first()).all()
assert trained.same.groupby("method")["seed"].nunique().eq(3).all()
assert trained.ended[["last", "oracle", "selected"]].stack().between(0, 100).all()
print(f"{len(trained.ended)} runs, {len(trained.same)} of them in the usual setting")
