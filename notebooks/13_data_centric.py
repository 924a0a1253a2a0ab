# %% [markdown]
# # Data and model: find the wrong labels, act on them, train again
#
# The talk ends with an equation: *AI system = data + model* (slides 41 and 43). Notebooks 03 to 12 make the model robust and
# leave the data as they are. This one asks what the networks themselves can say about the data: **a label that was
# contradicted throughout training is likely wrong**, and can be dropped or corrected before one trains again. Is that
# better than a robust method on the noisy labels, and do the two add up? Sources: the talk, slides 11, 23, 41 and 43;
# Swayamdipta et al. 2020, [arXiv 2009.10795](https://arxiv.org/abs/2009.10795) (training dynamics); Northcutt, Jiang
# and Chuang 2021, [arXiv 1911.00068](https://arxiv.org/abs/1911.00068) (confident learning, by the library cleanlab).

# %%
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits

from robustdl_lib import plots
from robustdl_lib.audit import audit, page, suspects
from robustdl_lib.registry import METHODS
from robustdl_lib.runs import studies
from robustdl_lib.studies import data_centric

# %% tags=["parameters"]
rows: str = "reference"  # reference: committed rows; runs: computed here, in some minutes
live_epochs: int = 15  # epochs of the small trainings of the last part, in [1, 1000]

# %% [markdown]
# All numbers but those of the last part come from one study, whose rows are made anew by
# `.venv/bin/python -m robustdl_lib study data_centric`. It trains on the digits, with 40 % symmetric and 40 %
# asymmetric noise, ResNet-8 for 50 epochs, and keeps rows of three kinds: how well rankings find the wrong labels, at one
# number and as curves, and the test accuracy of every training.

# %%
study = studies.rows("data_centric", shelf=rows)
ranked, trained = (study[study["part"] == part] for part in ("ranking", "retraining"))
noises = [noise for noise in data_centric.NOISE_SPECS if noise in set(ranked["noise"])]
size = ranked.groupby(["noise", "seed"])[["examples", "wrong"]].first().groupby("noise").mean().loc[noises]
print(f"{len(trained)} trainings after or without an action, seeds {sorted(trained['seed'].unique().tolist())}")
print(f"{size['examples'].iloc[0]:.0f} training labels; wrong are")
for noise, share in size["wrong"].items():
    print(f"  {noise:15} {100 * share:.1f} %")

# %% [markdown]
# ## Two ways to suspect a label
#
# **Training dynamics.** One trains once, on all noisy labels, and writes down after each epoch $e$ of $K$ how probable
# the network finds each given label. The score of example $i$ is the average
# $$ s_i = \frac{1}{K} \sum_{e=1}^{K} p_y(i, e). $$
# Low is suspicious: notebook [03](03_training_under_noise.ipynb) showed that right labels are learnt first. A network
# that memorises a wrong label in the end has still contradicted it for most of the time.
#
# **Confident learning.** One cross-validates, so that each label is judged by a network that never saw it. Its score is the
# out-of-sample $p_y$; which labels are taken for wrong follows from an estimate of how many of class $j$ were given as
# $i$, for every pair. The price is a training a fold, each on fewer examples.
#
# How good is a ranking? *AUROC* is the chance that a wrong label is ranked before a right one, *average precision*
# the area under the curves of the next figure.

# %%
names = {ranker: ranker for ranker in ranked["ranker"].unique()}
names |= {name: f"dynamics of {METHODS.parse(name.split()[1]).label}" for name in names if name.startswith("dynamics")}
whole = ranked[ranked["epochs"] == "all"]
measures = {"auroc": "AUROC", "average_precision": "average precision"}
quality = whole.groupby(["noise", "ranker"])[list(measures)].agg(["mean", "std"]).loc[noises]
shown = pd.DataFrame(index=quality.index)
for column, words in measures.items():
    pairs = zip(quality[column]["mean"], quality[column]["std"].fillna(0), strict=True)
    shown[words] = [f"{mean:.3f} ± {std:.3f}" for mean, std in pairs]
shown.unstack("noise").swaplevel(axis=1)[noises].rename(index=names)

# %%
plots.FIGURES["suspects_found"](study)

# %% [markdown]
# **Under symmetric noise every ranking is good, the robust ones nearly perfect.** A wrong label there agrees with no other:
# whatever the network learns from the rest contradicts it. Confident learning is last here, and pays for its folds: its
# networks have learnt from two thirds of the data, have memorised wrong labels of their own, and are less sure of the right ones.
#
# **Under asymmetric noise the order turns round.** Four in ten examples of a class are given its look-alike, always the same
# one. They agree with each other, and a method that trusts what many examples agree on takes sides: where GCE or DM sides with
# the wrong labels it contradicts the right ones, and these stand at the top of its ranking, which is why its curve begins low. Which
# side it takes differs from seed to seed, hence the large deviations. Cross entropy, which looks hardest at whatever it does not fit,
# wavers between both, and its dynamics rank best. **The better learner is not the better detector.**
#
# ### Which epochs?
#
# A network's judgement changes while it learns. The next table averages over all epochs, over one half, or takes the
# last alone (AUROC, mean over seeds). Which column is best can be said here because the truth is known; without it one
# would have to guess.

# %%
when = ranked[ranked["ranker"].str.startswith("dynamics")]
table = when.pivot_table(index=["noise", "ranker"], columns="epochs", values="auroc")[list(suspects.EPOCHS)]
table.loc[noises].rename(index=names).round(3)

# %% [markdown]
# For cross entropy the last epoch is the worst choice: by then it has memorised. For the robust methods no choice of epochs
# mends what asymmetric noise breaks. The average over all epochs is never far from the best column, and needs no
# knowledge of when memorising begins: it is what is used from here on.
#
# ### How many to act on?
#
# Nobody hands out the noise rate. Both rankings therefore decide for themselves. Training dynamics act on the labels
# that the *average* prediction contradicts: $\arg\max_j \frac{1}{K} \sum_e p_j(i, e) \ne y_i$. Confident learning acts on what its
# estimate of the joint of given and true classes asks for. Neither has a threshold to tune.

# %%
acted = whole.assign(really=whole["examples"] * whole["wrong"])
acted = acted.groupby(["noise", "ranker"])[["really", "acted", "precision", "recall"]].mean().loc[noises]
acted[["precision", "recall"]] *= 100
acted = acted.rename(columns={"really": "labels that are wrong", "acted": "labels acted on"})
acted.rename(columns={"precision": "precision (%)", "recall": "recall (%)"}).rename(index=names).round(1)

# %% [markdown]
# Under symmetric noise all act on about as many labels as are wrong, and mostly on these. Under asymmetric noise a
# quarter to a half of what is acted on is right: acting there costs good labels. Training dynamics of cross entropy are careful
# (high precision, low recall); confident learning finds more, at more false alarms.
#
# ## Act, and train again
#
# *Dropped*: the suspects are left out. *Corrected*: they get the class that the ranking's own probabilities suggest, and all
# examples stay. Then a fresh network is trained on the changed labels. *Data-centric* is cross entropy throughout, to
# rank and to train again; *model-centric* is a robust method on the noisy labels; *both* is the robust method (GCE)
# throughout. Validation and test data are never touched.

# %%
plots.FIGURES["data_and_model"](study)

# %%
ways = ["approach", "ranker", "action", "method"]
order = ["neither", "model-centric", "data-centric", "both", "clean labels"]
ordered = trained.assign(approach=pd.Categorical(trained["approach"], order))
grouped = ordered.groupby(["noise", *ways], observed=True)
last = 100 * grouped.agg(mean=("test_acc", "mean"), std=("test_acc", "std"), wrong=("wrong", "mean"))
last = last.loc[[*noises, "none"]]
accuracy = [f"{mean:.1f} ± {std:.1f}" for mean, std in zip(last["mean"], last["std"].fillna(0), strict=True)]
pd.DataFrame({"test accuracy (%)": accuracy, "wrong labels after (%)": last["wrong"].round(1)}, last.index)

# %% [markdown]
# Seeds draw other wrong labels, and differ by more than some of the ways do. What can be trusted is what comes out in every
# seed: the gain over cross entropy on the same noisy labels, in points.

# %%
seeds = 100 * ordered[ordered["noise"] != "none"].pivot_table(
    index=["noise", *ways], columns="seed", values="test_acc", observed=True
)
plain = seeds.xs("neither", level="approach").groupby("noise").first()
gains = seeds.sub(plain.reindex(seeds.index.get_level_values("noise")).to_numpy()).drop("neither", level="approach")
gains.loc[noises].round(1)

# %% [markdown]
# - **Symmetric noise: all ways gain, and the model alone gains nearly all there is.** Plain training on what its own dynamics leave
#   over comes as far as a robust method on the noisy labels. Both together reach clean labels within a point: what GCE
#   suspects is wrong, what it suggests is right, and the second training has an easy task.
# - **Asymmetric noise: a robust method alone gains nothing, in no seed; acting on the data gains in every seed**, some points of
#   the sixteen that are lost. Both together are a lottery: a robust method throughout cannot repair what it has taken
#   sides in.
# - **Dropping or correcting?** Correcting keeps all examples but writes the network's errors into the labels, and the next network
#   learns those too: more wrong labels are left than after dropping. With confident learning that costs three points.
#   Correcting pays only where suggestions are nearly always right (dynamics under symmetric noise), and little then.
#
# So neither half of the equation replaces the other: which one pays depends on whether wrong labels agree with each other.
#
# ## Audit a folder of your own
#
# The same as a command, for any folder with a subfolder a class. It cross-validates, so each network says something of labels
# that it was trained on (over time) and of those that it was not (out of sample); a label is called *likely wrong* where
# both prefer other classes. Besides it names images that fit no class, are torn between two, or are there twice.
#
# ```bash
# .venv/bin/python -m robustdl_lib audit folder:path/to/images
# ```
#
# Here a tiny folder is made of digits, a PNG each, and four files are put into a wrong class. A file's name keeps its true one.

# %%
home = Path(tempfile.mkdtemp())
raw = load_digits()
misplaced = {"zero-03.png": "one", "one-07.png": "four", "four-11.png": "zero", "four-15.png": "one"}
for label, name in {0: "zero", 1: "one", 4: "four"}.items():
    for number, row in enumerate(np.flatnonzero(raw.target == label)[:24]):
        file = f"{name}-{number:02d}.png"
        place = home / "photos" / misplaced.get(file, name)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((raw.images[row] * 15.9).astype(np.uint8)).save(place / file)
pd.Series({folder.name: len(list(folder.iterdir())) for folder in sorted((home / "photos").iterdir())}, name="files")

# %% tags=["nbval-ignore-output"]
lines = []
options = {"model": "resnet8", "epochs": live_epochs, "folds": 3, "into": home / "report", "say": lines.append}
found = audit.run(f"folder:{home / 'photos'}", **options)
print(*lines[:-1], page.lead(audit.counts(found.table)), sep="\n")

# %% [markdown]
# The table is ranked by $p_y$ over time. What is written beside it is the page `audit.html`: one file, with a picture of
# each suspect in a red box, to be filtered by class and sorted by any score.

# %% tags=["nbval-ignore-output"]
columns = ["rank", "file", "given", "suggested", "mean_p_y", "p_y", "entropy", "flags"]
found.table[columns].head(8).set_index("rank").round(3)

# %% [markdown]
# With so few images the networks are poor and the flags are questions, no verdicts: some right labels are among the
# suspects, and one wrong one may not be. What the ranking does is to put most of the four where one looks first, among the
# first dozen of 72. (These numbers are trained live and differ from one processor to another.)
#
# ## Checks

# %%
assert ((whole["precision"] * whole["acted"]).round() <= (whole["wrong"] * whole["examples"]).round()).all()
dropped, corrected = (trained[trained["action"] == action] for action in ("drop", "correct"))
assert (dropped["examples"] == size["examples"].iloc[0] - dropped["acted"]).all()
assert (corrected["examples"] == size["examples"].iloc[0]).all()
assert (trained.loc[trained["approach"] == "clean labels", "wrong"] == 0).all()
assert sorted(path.name for path in found.folder.iterdir()) == sorted(audit.FILES)
assert found.table["mean_p_y"].is_monotonic_increasing
print("examples, actions and files are accounted for")

# %%
means = last["mean"]
auroc = quality["auroc"]["mean"]
if rows == "reference":
    symmetric, asymmetric = gains.loc["symmetric:0.4"], gains.loc["asymmetric:0.4"]
    assert auroc.loc["symmetric:0.4"].min() > 0.95
    assert auroc.loc["asymmetric:0.4"].idxmax() == "dynamics cce"
    assert (symmetric > 3).all(axis=None)
    assert means.loc["symmetric:0.4"].loc["both"].max() > means.loc["none"].max() - 1
    assert (asymmetric.loc["model-centric"] <= 0.5).all(axis=None)
    assert (asymmetric.loc["data-centric"] > 1).all(axis=None)
    assert asymmetric.loc["both"].min(axis=None) < 0
    assert asymmetric.loc["both"].max(axis=None) > 5
    left = last["wrong"]
    assert (left.xs("drop", level="action") < left.xs("correct", level="action")).all()
    print("what the text says of every seed holds in every seed")

# %% [markdown]
# ## Summary
#
# - How long a label was contradicted in training tells wrong from right ones, without a threshold; how well depends on whether wrong labels agree.
# - Symmetric noise: a robust model gains nearly all, and data and model together the rest. Asymmetric noise: only acting on the data gains.
# - Correcting helps where the suggestions are nearly perfect and does harm elsewhere; when in doubt, drop, or better: look.
#
# ## Exercises
#
# Answers: [solutions](solutions/13_data_centric.ipynb).
#
# 1. Correct by `suspects.suggest` only those suspects whose suggested class has an average probability above 0.9, and drop the other suspects. `data_studies.consequences` shows where actions are made. Does it beat both?
# 2. Rank by the area under the margin instead: record `suspects.margin` of the logits through the argument `on_logits` of `train.fit`, and give its epochs to `suspects.dynamics`. For which noise does it rank better than $p_y$?
# 3. `python -m robustdl_lib audit digits --noise asymmetric:0.2` corrupts labels first and judges itself. Its default method is GCE. Compare `--method cce`, at the rates 0.2 and 0.4: from which rate on is the plain learner the better detector?
# 4. Audit `digits` without noise. The digits are thought to be clean: look at the twelve most suspicious, and say for each what you would have written.
# 5. Audit once more after correcting: does a second round find what the first one missed, or does it repeat the errors of the first?
