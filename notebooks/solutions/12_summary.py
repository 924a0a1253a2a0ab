# %% [markdown]
# # Solutions: summary
#
# **Every question at the end of [notebook 12](../12_summary.ipynb) has an answer here**, by its number. What can be derived is
# derived, what can be computed is computed and asserted next to the words, and what had to be trained is read from
# committed rows. Where the expected answer did not come out, the text says so. Try first, then read.

# %%
import numpy as np
import pandas as pd

from robustdl_lib import gradients, summary
from robustdl_lib.registry import METHODS
from robustdl_lib.report import claims
from robustdl_lib.report.verdicts import HOLDS, half_width, of_claim
from robustdl_lib.studies import exercises

# %% tags=["parameters"]
kept: str = "reference"  # reference: committed rows; runs: trained and computed here

# %%
committed = kept == "reference"
trained = exercises.trained(kept)
history, same = trained.history, trained.same

# %% [markdown]
# ## 12.1 [Summary](../12_summary.ipynb)
#
# > Which two columns of the first table predict the rank in the second best?
#
# $\psi$ and *keeps*. The two methods that keep what the network believed are on top. Of those without a memory $\psi$ says most, and not in the way of "the larger the better": the highest are in the middle.

# %%
ranked = summary.outcomes(history[history["run_id"].isin(same["run_id"])])
forgetful = [spec for spec in ranked.index if not METHODS.parse(spec).entry.facts.memory]
modes = pd.Series({spec: gradients.emphasis_mode(spec, progress=0.75) for spec in forgetful})
place = pd.cut(modes, [-1, 0.15, 0.45, 1], labels=["up to 0.15", "0.15 to 0.45", "above 0.45"])
ended_at = ranked.loc[forgetful, "last"].groupby(place, observed=True).agg(["size", "min", "median", "max"])
assert not committed or ended_at.loc["0.15 to 0.45", "min"] > ended_at["median"].drop("0.15 to 0.45").max()
assert not committed or set(ranked.index[:2]) == {"joint", "elr"}
ended_at.round(1).rename_axis("psi; last test accuracy (%)")

# %% [markdown]
# Near 0 the wrong labels are learnt; near 1/2 are some of the best and all of the failures: MAE, truncated GCE, Hampel's loss and others, which start from $p_y = 1/10$ and give it little weight or none. That is a description of these rows, not a law.
#
# ## 12.2 [Summary](../12_summary.ipynb)
#
# > How many seeds would you want before you believe *holds*?
#
# The mean difference must exceed $t_{.95,n-1}\,s/\sqrt n$, with $s$ the standard deviation of the differences over seeds. With two seeds that is 4.5 times $s$, with three 1.7 times, with five less than $s$, with ten little more than half of it. So two methods that
# differ by as much as a seed does need five seeds; after ten the gain is slow.

# %%
claim = claims.Claim(words="MSE ends above IMAE", quantity="last", first="mse", second="imae")
said = claims.judged({"here": history[history["run_id"].isin(same["run_id"])]}, [claim])
print(said[["claim", "by", "seeds", "verdict"]].round(1).to_string(index=False))
numbers = [2, 3, 5, 10, 20]
spread_one = [np.tile([1.0, -1.0], 50)[:n] for n in numbers]
needed = pd.Series([half_width(list(x / x.std(ddof=1))) for x in spread_one], numbers)
assert not committed or said["verdict"].item() == HOLDS
assert np.allclose(needed[[2, 3, 5, 10]], [4.46, 1.69, 0.95, 0.58], atol=0.01)
needed.round(2).rename_axis("seeds").rename("a difference that holds, in spreads of seeds").to_frame()

# %% [markdown]
# ## 12.3 [Summary](../12_summary.ipynb)
#
# > With three seeds, how often does a claim about two equal methods hold by chance alone?
#
# In one case of twenty, with three seeds as with ten: that is what the level of 95 % says. (That *every* seed says so, without asking by how much, comes in one case of eight with three seeds.) Of a list of thirty claims about equal methods one or two would hold and
# as many would not. So a single *holds* is weak, and the list as a whole is not: if most of it holds, chance is not the reason. Nor are the claims independent: those about one pair of methods share their runs.

# %%
rng = np.random.default_rng(0)
three, ten = (np.mean([of_claim(list(x)) == HOLDS for x in rng.normal(size=(4_000, n))]) for n in (3, 10))
every = (rng.normal(size=(30_000, 3)) > 0).all(axis=1).mean()
print(f"held by chance: {three:.3f} with three seeds, {ten:.3f} with ten; expected of thirty: {30 * three:.1f}")
print(f"every one of three seeds says so: {every:.3f}")
assert np.allclose([three, ten, every], [0.05, 0.05, 1 / 8], atol=0.01)

# %% [markdown]
# ## 12.4 [Summary](../12_summary.ipynb)
#
# > Pick a claim that does not come out and write down what you would train to find the cause.
#
# *DM ends above CCE* does not come out under asymmetric noise: it ends below in the mean, though within the spread. Two causes are possible: its mode was picked for symmetric noise, or no function of $p_y$ can tell a wrong label that look-alikes share from a hard clean one. They predict different things: if it is the
# mode, DM with $\lambda = 0$ or 2 must do better; if it is $p_y$, none does, and DM with more epochs only fits the wrong labels better. So: `make figures NOISE=asymmetric:0.4 METHODS="cce dm:beta=2,lam=0 dm dm:beta=12,lam=2" SEEDS="0 1 2 3 4"`, and the same
# with `EPOCHS=100`. What would decide it is the histogram of $p_y$ of wrong and of hard clean labels in the affected classes, at the epoch before the first is believed.

# %% [markdown]
# ## Checks
#
# Each answer asserts its claim next to its words. Here: the rows are whole, with three seeds of each setting.

# %%
assert (trained.history.groupby("run_id").size() == trained.history.groupby("run_id")["epochs"].first()).all()
assert trained.same.groupby("method")["seed"].nunique().eq(3).all()
assert trained.ended[["last", "oracle", "selected"]].stack().between(0, 100).all()
print(f"{len(trained.ended)} runs, {len(trained.same)} of them in the usual setting")
