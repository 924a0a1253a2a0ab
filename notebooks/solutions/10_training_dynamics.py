# %% [markdown]
# # Solutions: training dynamics
#
# **Every question at the end of [notebook 10](../10_training_dynamics.ipynb) has an answer here**, by its number. What can be derived is
# derived, what can be computed is computed and asserted next to the words, and what had to be trained is read from
# committed rows. Where the expected answer did not come out, the text says so. Try first, then read.

# %%
import numpy as np
import pandas as pd

from robustdl_lib.studies import exercises
from robustdl_lib.studies.sweeps import TALK_METHODS
from robustdl_lib.theory import simplex

# %% tags=["parameters"]
kept: str = "reference"  # reference: committed rows; runs: trained and computed here

# %%
committed = kept == "reference"
trained = exercises.trained(kept)
history, ended, usual, big, same = trained.history, trained.ended, trained.usual, trained.big, trained.same

# %% [markdown]
# ## 10.1 [Training dynamics](../10_training_dynamics.ipynb)
#
# > Which curve differs most in its *course*, whatever its end?
#
# Slide 36 (b), wrong fitting: here it stays at the bottom for half of the training and rises at its end. The likely reason in the table is the noise. A label that agrees with a look-alike's is believed from the start; one that
# agrees with nothing is learnt by heart, when the rate falls. The rows of the other noise say so: the share of CCE's final fit of wrong labels that is there at a quarter of training.

# %%
course = history[(history["method"] == "cce") & (history["model"] == "resnet20") & (history["epochs"] == 50)]
course = course[(course["peak_lr"] == 0.1) & course["noise"].isin(["symmetric:0.4", "asymmetric:0.4"])]
risen = course.pivot_table(index="epoch", columns="noise", values="fit_wrong")
early = 100 * risen.loc[[12, 25, 38]] / risen.loc[50]
assert not committed or early.loc[12, "asymmetric:0.4"] > 2 * early.loc[12, "symmetric:0.4"]
early.round(0).rename_axis("share of the final wrong fitting (%), epoch")

# %% [markdown]
# ## 10.2 [Training dynamics](../10_training_dynamics.ipynb)
#
# > At which $\epsilon$ do correct labels suffer?
#
# Beyond 1/2, by the field of 08.3. Where the learner's class is another than the label's the pull is $(1 - \epsilon) - p_y$: it ends at $p_y = 1 - \epsilon$. For $\epsilon < 1/2$ the label has by then overtaken the other class, the target is the label again, and
# the example goes on to 1. For $\epsilon > 1/2$ it stops before: a right label that the learner once contradicts is given up, as a wrong one is. So with 0.3 and 0.5 right labels are only slowed down, with 0.7 those of hard examples are lost. (At 0.5
# the committed runs fit the clean labels as well as CCE does.)

# %%
stops = {e: simplex.attractors(f"boot_hard:eps={e}") for e in (0.3, 0.7)}
print("where steps end, p_y:", {e: sorted({float(end[0]) for end in found}) for e, found in stops.items()})
assert {float(end[0]) for end in stops[0.3]} == {1.0}
assert any(np.allclose(end, [0.3, 0.7, 0], atol=0.02) for end in stops[0.7])
own = same[same["method"].isin(["cce", "boot_hard:eps=0.5"])].groupby("method")["clean_acc"].mean()
print("clean labels fitted (%):", own.round(1).to_dict())

# %% [markdown]
# ## 10.3 [Training dynamics](../10_training_dynamics.ipynb)
#
# > Which orders are left, and why? What does ProSelfLC trust by then?
#
# None is left. Beside the 50 epochs of the notebook:

# %%
flips = ended[big & usual["noise"].where(ended["epochs"] != 150, other=True) & (ended["noise"] == "asymmetric:0.4")]
five = flips[flips["method"].isin(TALK_METHODS)]
table = five.groupby(["epochs", "method"])[["oracle", "last", "fit_wrong"]].mean().unstack("epochs")
long = table.xs(150, axis=1, level="epochs")
assert not committed or (long["fit_wrong"] > 99).all()
assert not committed or np.ptp(long["last"]) < 2.5 < np.ptp(table["last", 50])
table.round(1)

# %% [markdown]
# After 150 epochs every network has learnt the wrong labels by heart, all but a hundredth of them, and the five end within two points of each other: 1,294 images are too few for ResNet-20. On CIFAR-100 ResNet-44 is left with a third of the wrong labels that
# even cross entropy does not fit. ProSelfLC is no exception, since its trust comes by the share of training that is over, and memorising by the number of passes:

# %%
lines = history[history["run_id"].isin(five["run_id"]) & (history["method"] == "proselflc")]
means = lines.groupby(["epochs", "epoch"])[["trust", "fit_wrong"]].mean()
middle = means.loc[[(50, 25), (150, 75)]]
assert not committed or middle["fit_wrong"].loc[150].item() > 0.6 > 0.35 > middle["fit_wrong"].loc[50].item()
middle.round(2)

# %% [markdown]
# In the middle of the longer training, where $g = 1/2$, two thirds of the wrong labels are fitted already, so that what it then trusts is mostly wrong: correction by the learner itself must begin before the learner has been corrupted. A larger
# learning rate for longer, as in the paper's schedule, puts memorising off; so would a $g$ that rises earlier.
#
# ## 10.4 [Training dynamics](../10_training_dynamics.ipynb)
#
# > Which of the six panels can you draw for data of your own, and what do they tell?
#
# None of 36, 37 (a) and 38 as they are, for subsets need the truth; 37 (b) only with a clean test set. What needs no truth is the same for *all* labels together: the share that is predicted as given, and the entropy. At the end of a
# robust training the share that is contradicted is an estimate of the noise rate, and for a memorising method it is a lower bound. From the rows, where the truth is known to us and not used:

# %%
ends = history[history["run_id"].isin(same["run_id"]) & (history["epoch"] == 50)]
ends = ends[ends["method"].isin(["cce", "proselflc", "gce", "dm"])]
contradicted = 1 - (1 - ends["noise_rate"]) * ends["clean_acc"] - ends["noise_rate"] * ends["fit_wrong"]
table = pd.DataFrame({"contradicted (%)": 100 * contradicted, "wrong (%)": 100 * ends["noise_rate"]})
table = table.groupby(ends["method"]).mean()
assert not committed or abs(table.loc["dm"].diff().iloc[1]) < 3
assert not committed or table.loc["cce", "contradicted (%)"] < table.loc["dm", "contradicted (%)"]
table.round(1)

# %% [markdown]
# ## Checks
#
# Each answer asserts its claim next to its words. Here: the rows are whole, with three seeds of each setting.

# %%
assert (trained.history.groupby("run_id").size() == trained.history.groupby("run_id")["epochs"].first()).all()
assert trained.same.groupby("method")["seed"].nunique().eq(3).all()
assert trained.ended[["last", "oracle", "selected"]].stack().between(0, 100).all()
print(f"{len(trained.ended)} runs, {len(trained.same)} of them in the usual setting")
