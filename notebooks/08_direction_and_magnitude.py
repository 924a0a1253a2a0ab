# %% [markdown]
# # Direction and magnitude: targets as points of the simplex
#
# A step of training has a direction and a magnitude. **Weighting an example, by a weight or by a loss of $p_y$, changes
# the magnitude alone: the prediction moves towards the given label. Changing its target can change the direction.** With three
# classes all of it can be drawn: targets and predictions are points of a triangle. The picture also unmasks a method
# that looks like label correction and is none: with a detached target, soft bootstrapping is cross entropy in
# disguise, step by step, as training both shows. Source: the talk, slides 18, 19 and 27 to 29;
# Reed et al. 2015 (bootstrapping); ProSelfLC, [arXiv 2005.03788](https://arxiv.org/abs/2005.03788).

# %%
import pandas as pd
import torch
from torch.nn.functional import one_hot, softmax

from robustdl_lib import plots, summary, sweeps, targets
from robustdl_lib.plots import simplex as simplex_plots
from robustdl_lib.plots.rows import CLASSES
from robustdl_lib.registry import METHODS
from robustdl_lib.theory import simplex
from robustdl_lib.theory.gradients import logit_gradient

# %% tags=["parameters"]
profile: str = "quick"  # quick, or smoke (two epochs, for tests of the machinery)
disguise: str = "reference"  # reference: committed rows; runs: trained here, 12 networks
noise: str = ""  # empty: the profile's own
dataset: str = ""  # empty: the profile's own
seeds: list = []  # empty: all seeds of the sweep
epochs: int = 0  # passes over the training set; 0: the profile's own; in [0, 100000]
jobs: int = 0  # processes at a time; 0: one a core; in [0, 1024]
late: float = 0.9  # progress t/T at which methods that look at the time are shown, in [0.85, 1]

# %% [markdown]
# ## Targets are points
#
# A probability distribution over three classes is a point of a triangle: the corners are one-hot, the centre is
# uniform. Here and below the label says *horse*, the corner at the top. The learner believes *deer*. Each method moves
# the label $q$ to a target $\tilde q$:

# %%
plots.FIGURES["simplex_targets"](simplex.target_rows())

# %% [markdown]
# - **LS** goes from $q$ towards the centre, wherever the learner is.
# - **CP** goes *away* from the learner and leaves the simplex: its target $(1-\epsilon)\,q - \epsilon\,p$ sums to
#   $1 - 2\epsilon$ and has negative entries. It is drawn divided by its sum, which for a given target only scales the
#   loss $-\sum_j \tilde q_j \log p_j$.
# - **Boot-soft** and **ProSelfLC** go along the line from $q$ to $p$; **Boot-hard** goes along a side, to the corner of
#   the learner's class. With $\epsilon = 1/2$ both kinds of bootstrapping stop at or before the border.
# - **ProSelfLC** walks that line during training, and crosses the border late.
#
# ## Semantic class and similarity structure
#
# The *semantic class* of a target is its largest entry: the tinted region in which it lies. The *similarity structure*
# is how probable the other classes are (talk, slide 27). Two learners that agree on *deer* and differ in the rest show
# which targets carry it on. CP is rectified for the last columns, as on the talk's slide 28. The last row first sharpens
# what the learner says, $p_T = \mathrm{softmax}(z/T)$ with $T < 1$ ([notebook 09](09_proselflc.ipynb)).

# %%
learners = {"learner 1": simplex.LEARNER, "learner 2": (0.01, 0.96, 0.03)}
shown = ["cce", *simplex.TARGETS, "proselflc", "proselflc:T=0.5,detach=True"]
said = {}
for spec in shown:
    row = said[METHODS.parse(spec).label] = {}
    for name, p in learners.items():
        found = simplex.target(spec, [p], late)[0]
        row |= {(name, word): value for word, value in zip(CLASSES, found.round(3), strict=True)}
        meaning = simplex.meaning(spec, [p], late).iloc[0]
        row[name, "class"] = CLASSES[meaning["semantic"]]
        row[name, "others"] = "alike" if meaning["alike"] else "not alike"
for name, p in learners.items():
    print(f"{name}: " + ", ".join(f"{word} {value:g}" for word, value in zip(CLASSES, p, strict=True)))
pd.DataFrame(said).T

# %% [markdown]
# In CCE, LS and CP all other classes are alike, whoever learns: a target that says no more than the label did. Boot-hard
# passes on the learner's class, not how it sees the third. Boot-soft and ProSelfLC pass on everything that the learner
# knows, and ProSelfLC more of it, the surer the learner is. Only ProSelfLC changes the semantic class.
#
# ## What a step does
#
# A gradient step moves the logits by $-\partial L/\partial z$, and with them the prediction by
#
# $$dp = \bigl(\mathrm{diag}(p) - p\,p^\top\bigr)\Bigl(-\frac{\partial L}{\partial z}\Bigr).$$
#
# So each method is a field of arrows on the triangle. Arrows show the direction, in grey where it is that of cross
# entropy; the shade shows the magnitude, the L1 norm of the derivative; stars are where the steps lead in the end.

# %%
fields = simplex.field_rows(progress=late)
plots.FIGURES["simplex_fields"](fields)

# %% [markdown]
# **Above, one field of arrows five times.** For every loss of $p_y$ the derivative is a multiple of $p - q$, and so it
# is for a weighting and for a detached soft target. All five end at the label, right or wrong. What they choose is
# *where* on the way they are strong: MAE and DM barely move a prediction that contradicts its label, and that is how
# weights resist noise. It is the only way they have.
#
# **Below, the arrows turn.**
# - LS and CP (here with $\epsilon = 1/2$) stop before the corner and turn back a prediction that is too sure.
# - Boot-soft leads to the corner, by another way: the entropy is pressed down, whichever class is the largest.
# - Boot-hard leads to the middle of a side first, where its strength vanishes; past the border it is cross entropy.
# - ProSelfLC with a sharpened, detached target ($T = 0.2$, as in the 2022 version) has *three* ends: a learner that is
#   sure of *deer* stays there. **This is what label correction means in a field: another end.**
#
# But ProSelfLC as first published has one end in this triangle. It has three when there are more classes: trust in
# confidence is $l(p) = 1 - H(p)/\log C$, and the same doubt between two classes counts less among many. Here the
# triangle is the face of the first three of $C$ classes; the table says how many ends there are.

# %%
trusting = ["boot_soft:eps=0.5", "proselflc", "proselflc:T=0.5,detach=True", "proselflc:T=0.2,detach=True"]
ends = {
    METHODS.parse(spec).label: {
        f"C = {count}": simplex.attractors(spec, late, num_classes=count) for count in (3, 10, 100)
    }
    for spec in trusting
}
p_y = torch.tensor([[0.05, 0.95]], dtype=torch.float64)
doubt = -(p_y * p_y.log()).sum()
trust = {count: float(1 - doubt / torch.tensor(float(count)).log()) for count in (3, 10, 100)}
print("l(p) of p = (0.05, 0.95, 0, ...): " + ", ".join(f"{x:.3f} for C = {count}" for count, x in trust.items()))
pd.DataFrame({name: {count: len(found) for count, found in row.items()} for name, row in ends.items()}).T

# %% [markdown]
# ## Direction and magnitude in numbers
#
# The cosine between a method's derivative and $p - q$ is its direction, the L1 norm its magnitude. Three predictions
# for a label *horse*: one that believes it, one that doubts it, one that contradicts it.

# %%
for name, p in simplex.PLACES.items():
    print(f"{name:13} p = {p}")
numbers = simplex.separation_table(simplex.LENGTHS + simplex.DIRECTIONS, late)
numbers.rename(index=lambda spec: METHODS.parse(spec).label).round(3) + 0.0

# %% [markdown]
# In the upper five rows all cosines are 1 and the norms range over orders of magnitude. In the lower rows the cosine
# leaves 1 where the method does what it is for: LS and CP reverse the step of a label that is *believed*, sharpened
# ProSelfLC that of a label that is *contradicted*.
#
# ## Cross entropy in disguise
#
# Soft bootstrapping with a **detached** target $(1-\epsilon)\,q + \epsilon\,p$ has the derivative
#
# $$p - (1-\epsilon)\,q - \epsilon\,p = (1-\epsilon)(p - q).$$
#
# The learner's own $p$ cancels (fact 2 of [notebook 07](07_target_modification.ipynb)): it asks the network to predict what
# it predicts. So do a detached CP and a detached
# ProSelfLC (at temperature 1), the latter with an $\epsilon$ for each example, which makes it a weighting.

# %%
generator = torch.Generator().manual_seed(0)
logits = 3 * torch.randn(1000, 10, generator=generator, dtype=torch.float64)
labels = torch.randint(10, (1000,), generator=generator)
plain = softmax(logits, dim=1) - one_hot(labels, 10)
own = targets.proselflc_trust(logits, late).unsqueeze(1)
detached = {
    "boot_soft:eps=0.5,detach=True": 0.5 * plain,
    "cp:eps=0.25,detach=True": 0.75 * plain,
    "proselflc:detach=True": (1 - own) * plain,
}
found = {spec: logit_gradient(spec, logits, labels, late) for spec in detached}
same = {spec: torch.allclose(found[spec], closed, atol=1e-12) for spec, closed in detached.items()}
for spec, holds in same.items():
    print(f"{spec:30} (1 - eps)(p - q): {holds}")

# %% [markdown]
# What does training make of it? SGD with momentum, rate $\eta$ and weight decay $\lambda$ steps along
# $\eta\,(g + \lambda\theta)$. With the gradient $(1-\epsilon)\,g$ that is
#
# $$\eta\,\bigl((1-\epsilon)\,g + \lambda\,\theta\bigr) = (1-\epsilon)\,\eta\,\Bigl(g + \frac{\lambda}{1-\epsilon}\,\theta\Bigr):$$
#
# cross entropy with the rate times $1-\epsilon$ and the decay divided by it. With $\epsilon = 1/2$: half the rate,
# twice the decay. The two should take the same steps, up to rounding. Four arms, with the same seeds:

# %%
setting = sweeps.Setting(
    profile=profile, noise=noise or None, dataset=dataset or None, seeds=seeds or None, epochs=epochs or None
)
rows = sweeps.run("disguise", profile=profile, jobs=jobs or None, shelf=disguise, quiet=True, **setting.changes())
rows = simplex.arms(rows)
config = setting.config()
print(f"{rows['run_id'].nunique()} runs of {config.model} on {config.dataset}, {config.noise}")
simplex_plots.disguise(rows)

# %%
arm = rows.drop_duplicates("run_id").set_index("run_id")["arm"]
readings = summary.final_readings(rows).assign(arm=lambda table: table["run_id"].map(arm))
columns = ["last", "oracle", "selected", "fit_wrong", "corrected", "entropy_wrong"]
table = readings.groupby("arm", sort=False)[columns].mean()
table.insert(1, "sd of last", readings.groupby("arm")["last"].std())
table.rename_axis("mean over seeds (%)").round(1)

# %%
plain_arm, flowing, hidden, twin = arm.unique()
compared = {"its twin: " + twin: twin, plain_arm: plain_arm, flowing: flowing}
drift = pd.DataFrame({words: simplex.apart(rows, hidden, other, "p_wrong") for words, other in compared.items()})
print(f"{hidden}: distance of the average p_y of wrong labels from")
drift.loc[[epoch for epoch in (1, 2, 3, 4, 5, 10, 20, config.epochs) if epoch <= config.epochs]].round(5)

# %% [markdown]
# In the committed rows:
#
# - **The twins begin and end as one.** After the first epoch their average $p_y$ differs by about a hundredth of what
#   separates them from the others. Rounding errors grow, as in every such training: soon the twins are as far apart as
#   from plain cross entropy. After the last epoch the twin is the nearest of the three with every seed.
# - **Only the flowing gradient rewards low entropy.** With it the entropy on wrong labels ends at half of what the
#   three others have; the detached arm stays with cross entropy.
# - **The disguise pays.** After the last epoch, cross entropy with half the rate and twice the decay is above plain
#   cross entropy with every seed. Whoever compares a *detached* bootstrapping with cross entropy at the same rate
#   measures this, and may call it robustness. (Read at the best epoch or at the one that noisy validation selects, it
#   is not there: what a smaller rate changes is how much is memorised at the end.)
# - Flowing Boot-soft ends above plain cross entropy with every seed too. Its lead over its detached form is no larger than
#   the range over seeds, so these rows say little of how much of its gain is owed to the entropy (exercise 2 of [notebook
#   11](11_entropy_minimisation.ipynb) asks seed by seed).
#
# ## Checks
#
# Targets, fields and gradients must hold always. The claims about trained networks belong to the committed setting and
# are asserted only there.

# %%
steps = fields[fields["kind"] == "step"].groupby("method")["cosine"].min()
assert (steps[list(simplex.LENGTHS)] > 1 - 1e-9).all()
assert (steps[list(simplex.DIRECTIONS)] < 0.999).all()
assert all(same.values())
alike = {spec: simplex.meaning(spec, list(learners.values()), late)["alike"].all() for spec in shown}
assert [spec for spec in shown if alike[spec]] == ["cce", "ls:eps=0.25", "cp:eps=0.25"]
classes = {spec: set(simplex.meaning(spec, list(learners.values()), late)["semantic"]) for spec in shown}
assert [spec for spec in shown if classes[spec] == {1}] == ["proselflc", "proselflc:T=0.5,detach=True"]
for label, row in ends.items():
    assert all(tuple(found[0]) == (1, 0, 0) for found in row.values()), label
assert [len(found) for found in ends[METHODS.parse("proselflc").label].values()] == [1, 3, 3]
assert numbers.loc["ls:eps=0.5", ("believed", "cosine")] < 0
assert numbers.loc["proselflc:T=0.2,detach=True", ("contradicted", "cosine")] < 0

# %%
committed = disguise == "reference" and profile == "quick" and not (noise or dataset or seeds or epochs)
if committed:
    assert drift.iloc[0, 0] < 0.02 * drift.iloc[0, 1:].min()
    finals = rows[rows["epoch"] == config.epochs].pivot(index="arm", columns="seed", values="p_wrong")
    assert set((finals.drop(hidden) - finals.loc[hidden]).abs().idxmin()) == {twin}
    assert abs(table.loc[hidden, "last"] - table.loc[twin, "last"]) < table.loc[[hidden, twin], "sd of last"].max()
    last, unsure = (readings.groupby("arm")[column].agg(["min", "max"]) for column in ("last", "entropy_wrong"))
    assert unsure.loc[flowing, "max"] < unsure.drop(flowing)["min"].min()
    assert last.loc[flowing, "min"] > last.loc[plain_arm, "max"]
    assert last.loc[twin, "min"] > last.loc[plain_arm, "max"] > last.loc[hidden, "min"]
    assert last.loc[flowing, "min"] < last.loc[hidden, "max"]
    print("the claims about the committed rows hold")
else:
    print("another setting: the claims about the committed rows are not asserted")

# %% [markdown]
# ## Summary
#
# - Losses of $p_y$, weightings and detached soft targets share one field of directions, towards the given label; they choose where to be strong. Of the targets, those that flow, are smoothed, hard or sharpened turn the arrows.
# - LS and CP keep the semantic class and treat all other classes alike; label correction carries the learner's similarity structure, and shows in the field as a second end.
# - Detached soft bootstrapping is cross entropy with another rate and decay: the same steps up to rounding, and an easy way to mistake a knob for a method.
#
# ## Exercises
#
# Answers: [solutions](solutions/08_direction_and_magnitude.ipynb).
#
# 1. Show that $dp$ sums to 0 and vanishes at the corners. Why does a prediction that is sure of the wrong class move slowly whatever the loss?
# 2. Find the end of LS by hand from $\partial L/\partial z = 0$, for $C = 3$ and $\epsilon = 1/2$. That of CP has no closed form: which equation does its $p_1$ solve? Compare both with `simplex.attractors`.
# 3. Draw `simplex.field_rows(["boot_hard:eps=0.4", "boot_hard:eps=0.5", "boot_hard:eps=0.6"])`. At which $\epsilon$ does a second end appear, and why there?
# 4. ProSelfLC's trust has two factors. Draw the fields of `proselflc:trust=global` and `proselflc:trust=local` at $t/T = 0.1$ and $0.9$. What does each factor guard against?
# 5. Which half of the disguise pays, the rate or the decay? Train `cce` with `lr=0.05` alone and with `weight_decay=1e-3` alone (`sweeps.Setting().configs(["cce"], lr=0.05)`).
# 6. Train the twins in float64 with a small network of your own. How much longer do they stay together, and what does that say about the difference at the end?
