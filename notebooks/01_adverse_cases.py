# %% [markdown]
# # What goes wrong in real data
#
# A label can be wrong or missing; an image can show none of the classes, or two of them. What can a trained network say
# about it? It gives probabilities $p$ to the classes, and among them $p_y$ to the given label. **Only $p_y$ looks at the
# label, so only $p_y$ can see that a label is wrong; entropy and $\max p$ look at the image alone, so they are what is
# left for an image of no class.** A method that does not learn wrong labels by heart keeps both signals. Source: the talk,
# slide 5 (a gallery of abnormal examples), slide 7 (out of distribution: *know the unknown*) and slide 8 (in
# distribution: *detect, then ignore or correct*); human labels: CIFAR-10N,
# [arXiv 2110.12088](https://arxiv.org/abs/2110.12088).

# %%
import numpy as np
import pandas as pd
from IPython.display import Image

from robustdl_lib import data
from robustdl_lib.config import profile_config
from robustdl_lib.plots import adverse
from robustdl_lib.registry import METHODS
from robustdl_lib.runs import studies
from robustdl_lib.studies import adverse as adverse_studies
from robustdl_lib.studies import gallery

# %% tags=["parameters"]
rows: str = "reference"  # shelf of the studies' rows: reference (committed) or runs (computed here where it lacks them)
seed: int = 0  # of the digits shown and of the live draw; in [0, 1000000]
noise: str = "adverse"  # of the live draw: adverse with its knobs wrong, ood, ambiguous, missing

# %% [markdown]
# Numbers below are rows of studies, committed with the project. Each is made again by one command, named where it is
# used; those about CIFAR-10 need its files, which `python -m robustdl_lib download cifar10 cifar100 cifar-n` fetches.
#
# ## A gallery
#
# These are labels that people gave to photographs. CIFAR-10N asked three people about each of CIFAR-10's 50,000
# training images; its label set *worst* holds a wrong answer wherever one of the three was wrong. As in the talk, what
# is abnormal stands in a red box. Nothing was picked by eye: of the most frequent pairs of classes the first image is
# shown. Picture and rows: `python -m robustdl_lib study adverse_gallery --into reference`.

# %%
Image(filename=str(studies.picture("adverse_gallery", rows)))

# %% [markdown]
# Some errors are slips: one person of three, and the image is clear. Where all three agree on a wrong label the image
# itself often misleads, and now and then one may doubt whether CIFAR-10 is right. What is out of distribution or
# ambiguous was made: a corner of the background enlarged, pixels of noise, an object of CIFAR-100, halves of two images.
#
# The rows say which label sets agree with the label shown:

# %%
shown = studies.rows("adverse_gallery", rows)
errors = shown[shown["kind"] == "mislabelled"]
errors[["index", "true", "given", "agree", "sets"]].astype({"agree": int}).set_index("index")

# %% [markdown]
# The same cases from images that are on every machine, digits of 8x8 pixels, drawn here. The label errors are drawn,
# not human, and there is no other data set whose objects would be foreign.

# %%
digits = data.load_source("digits")
parts = [gallery.drawn_errors(digits, seed), gallery.made(digits, seed=seed)]
images, captions = np.concatenate([part[0] for part in parts]), pd.concat([part[1] for part in parts])
adverse.gallery(images, captions, digits.scale)

# %% [markdown]
# Halves of two digits may make a readable third. Such an image is not between two classes, it is in a wrong one.
#
# As a noise, all of this is one word. `adverse` makes each example one of the cases, or leaves it as it is; it replaces
# images of the training set only, so the test set stays what it was.

# %%
drawn = data.load(profile_config("quick", noise=noise, noise_seed=seed))
kinds = adverse_studies.kinds(drawn.train)
table = pd.DataFrame({"kind": kinds, "label is wrong": drawn.train.mislabelled.numpy()})
counts = table.groupby("kind").agg(examples=("kind", "size"), wrong=("label is wrong", "sum"))
counts.assign(share=(100 * counts["examples"] / len(kinds)).round(1))

# %% [markdown]
# Of an image of no class every label is wrong. Of an ambiguous one both labels are right and it has one of them, so
# nothing counts as wrong, and still it teaches that the other half does not matter.
#
# ## Human noise beside synthetic
#
# Rows: `python -m robustdl_lib study transitions_cifar10n --into reference`.

# %%
matrices = studies.rows("transitions_cifar10n", rows)
adverse.noises(matrices)

# %% [markdown]
# One number says how far a noise is from symmetric: the share of the wrong labels that would have to be *other* wrong
# labels for all pairs of classes to be alike,
#
# $$A = \frac{\sum_{i \ne j} |T_{ij} - r/(C-1)|}{2\,C\,r}, \qquad C\,r = \sum_{i \ne j} T_{ij},$$
#
# with $T$ the realised matrix, $C$ classes and $r$ the rate: 0 for symmetric noise (a little more in a finite draw), near
# 1 where few pairs have all the errors.

# %%
found = {spec: adverse.matrix_of(matrices, spec) for spec in matrices["spec"].unique()}
diagonal = np.eye(len(found["human:worst"]), dtype=bool)
off = {spec: matrix.mask(diagonal).stack().dropna().sort_values() for spec, matrix in found.items()}
rate = {spec: 100 * (1 - np.diag(matrix)) for spec, matrix in found.items()}
said = pd.DataFrame({"wrong (%)": {spec: value.mean() for spec, value in rate.items()}})
said["of a class, from"] = [value.min() for value in rate.values()]
said["to"] = [value.max() for value in rate.values()]
said["asymmetry A"] = [adverse.asymmetry(matrix.to_numpy()) for matrix in found.values()]
said["in the 5 worst pairs (% of errors)"] = [100 * pairs[-5:].sum() / pairs.sum() for pairs in off.values()]
said.round(2)

# %%
by_class = pd.DataFrame(rate, index=found["human:worst"].index).round(1)
people = [spec for spec in found if spec.startswith("human")]
often = {spec: ", ".join(f"{a} -> {b} {100 * v:.0f} %" for (a, b), v in off[spec][::-1][:6].items()) for spec in people}
print(*(f"{spec}: {words}" for spec, words in often.items()), sep="\n")
by_class.rename_axis("wrong labels of a class (%)")

# %% [markdown]
# People are neither. Their errors have look-alikes (truck and automobile, cat and dog, deer and horse), as asymmetric
# noise assumes, but the five worst pairs have little more than a quarter of the errors, and both directions are frequent
# where asymmetric noise often has one. No class is spared, and they differ: in the set *worst* cats and deer are wrong nearly
# twice as often as horses. There the errors are in bulk closer to symmetric noise; a majority of three (*aggregate*) removes most slips, and what
# stays is more uneven. The true label stays the most frequent one of every class, as it must for learning to work.
#
# ## What the learner's own output says
#
# Train on digits with all kinds at once (`adverse`: 20 % wrong labels, 10 % out of distribution, 10 % ambiguous), once with
# cross entropy (CCE) and once with derivative manipulation (DM), which turns away from labels that are contradicted
# ([notebook 04](04_example_weighting.ipynb) derives both), and ask after the last epoch three questions about each example: is its label improbable ($1 - p_y$), is the network unsure
# (entropy $H(p) / \log C$), is its best class improbable ($1 - \max p$)? The AUROC is the chance that an example of the
# kind scores higher than an ordinary clean one; 0.5 is a coin. On the right, examples made from test images that the
# network never saw. Rows: `python -m robustdl_lib study know_the_unknown --into reference`.

# %%
measured = studies.rows("know_the_unknown", rows)
adverse.detection(measured)

# %% [markdown]
# - **Wrong labels**: $p_y$ finds them, after DM almost without error. What does not look at the label should be blind to
#   them, and on unseen images it is, exactly: the images are the clean ones. After CCE entropy does see those *trained on*,
#   because CCE is half-way through learning them by heart and torn between two labels; after DM the network is as sure of
#   them as of the others, and of their *true* class.
# - **Out of distribution**: unsure outputs give them away, after DM clearly better than after CCE.
# - **Ambiguous**: the hardest. CCE has learnt their labels, so nothing contradicts. DM contradicts the label of
#   every second one, which $p_y$ sees; but it does so with confidence, and entropy does not say "two". Of unseen ones either
#   method names the given half in a third of the cases at most, so, as the label is one of both by lot, in another third
#   at least it reads a digit that is neither half.
#
# What the scores are on average, after the last epoch, of the examples trained on:

# %%
names = {spec: METHODS.parse(spec).label.split(" (")[0] for spec in measured["method"].unique()}
main = measured[measured["kind"].isin(["clean", *adverse.KINDS])].replace({"method": names})
means = main.pivot_table(index=["seen", "kind"], columns=["method", "score"], values="mean", sort=False)
means.loc["training"].drop(columns="contradicted", level="score").round(2)

# %% [markdown]
# The unknown has sorts. Never seen, by sort (AUROC, mean over seeds):

# %%
sorts = measured[measured["kind"].str.startswith("out of distribution:")].replace({"method": names})
sorts.pivot_table(index="kind", columns=["method", "score"], values="auroc", sort=False).drop(
    columns="contradicted", level="score"
).round(2)

# %% [markdown]
# An AUROC ranks; it does not say that the number itself can be believed. Of noise, the next cell's network after DM is
# still sure: knowing the unknown means here *less* sure than of a digit, not unsure.

# %%
confident = sorts[sorts["score"] == "1 - max p"]
1 - confident.pivot_table(index="kind", columns="method", values="mean", sort=False).round(2).rename_axis("mean max p")

# %% [markdown]
# ### The same on photographs
#
# CIFAR-10, 5,000 training images, ResNet-8, 10 epochs, one seed; foreign objects are images of CIFAR-100. Rows:
# `python -m robustdl_lib study know_the_unknown_cifar10 --into reference`.

# %%
photographs = studies.rows("know_the_unknown_cifar10", rows)
adverse.detection(photographs)

# %%
foreign = photographs[photographs["kind"].str.startswith("out of distribution:")].replace({"method": names})
accuracy = photographs.query("seen == 'held out' and kind == 'clean'").groupby("method", sort=False)["right"].first()
print("test accuracy (%):", ", ".join(f"{names[spec]} {100 * value:.1f}" for spec, value in accuracy.items()))
foreign.pivot_table(index="kind", columns=["method", "score"], values="auroc", sort=False).drop(
    columns="contradicted", level="score"
).round(2)

# %% [markdown]
# Wrong labels are again seen by $p_y$ alone; the rest does not repeat. After so short a training DM has underfitted, it ends
# ten points below CCE, and here CCE is the one that tells every kind better: **a signal has to be learnt before it can be
# kept**. Nothing is learnt by heart yet, so *trained on* and *never seen* agree.
#
# The sorts of the unknown part ways. CCE's entropy tells noise easily and an object of CIFAR-100 hardly, and an **empty
# background is named with more confidence than an object** (AUROC below 0.5). The likely reason: a plain blue or green goes
# with one or two classes in the training images. Who sets a threshold on entropy here lets backgrounds pass first. That
# $1 - p_y$ does better on all of them is no contradiction: their labels are arbitrary, and $p_y$ sees that.
#
# ## Detect, then ignore or correct
#
# The simplest detector needs no threshold: a label is suspect where the network's best class is another one. *Ignore*:
# leave suspects out. *Correct*: give them the network's class. How many labels are wrong before and after, on the digits
# trained on (an image of no class counts as wrong until it is left out, because no label of it is right):

# %%
suspect = main[(main["seen"] == "training") & (main["score"] == "contradicted")]
per = suspect.groupby(["kind", "method"], sort=False)[["count", "mean", "right"]].mean()
per["kept"], per["misnamed"] = per["count"] * (1 - per["mean"]), per["count"] * (1 - per["right"].fillna(0))
sums, clean = per.groupby("method").sum(), per.loc["clean"]
bad = per.loc[["mislabelled", "out of distribution"]].groupby("method").sum()
acted = pd.DataFrame({"wrong before": bad["count"] / sums["count"]})
acted["ignored: wrong after"], acted["clean ones lost"] = bad["kept"] / sums["kept"], clean["mean"]
acted["corrected: wrong after"] = (bad["misnamed"] + clean["misnamed"]) / sums["count"]
acted["of which out of distribution"] = per.loc["out of distribution"]["count"] / sums["count"]
(100 * acted).rename_axis("per cent").round(1)

# %%
flagged = per["mean"].unstack("method").rename_axis("share that is suspect (%)")
(100 * flagged).round(1)

# %% [markdown]
# Each kind asks for its own answer. Wrong labels: *correct* them, where the detector is a network that has not learnt them.
# Out of distribution: nothing to correct, they can only be *ignored*; correcting gives each some digit, and they are most of
# what stays wrong after DM. Ambiguous: half of them become suspects though their label is right; here it costs little to
# lose them. With CCE the same rule leaves more than half of the harm, for a wrong label that is learnt by heart is no suspect.
# [Notebook 13](13_data_centric.ipynb) goes on: better rankings, and what training again gains.
#
# ## Missing labels
#
# A missing label has no $p_y$, so a method that needs one leaves the example out. One may predict the label instead;
# *if so, the predicted labels are not 100 % accurate* (talk, slide 8). How far from it? Digits, four labels in five
# missing, three seeds: CCE learns from the labelled fifth alone, pseudo-labels add the network's own predictions.
# *Sure* is a largest probability of 0.95 at least. Rows: `python -m robustdl_lib study missing_labels --into reference`.

# %%
missing = studies.rows("missing_labels", rows)
shares = {
    "test_acc": "test accuracy",
    "right": "predicted label right",
    "sure": "predicted surely",
    "sure_right": "of these right",
}
(100 * missing.groupby("method")[list(shares)].agg(["mean", "std"])).rename(columns=shares).round(1)

# %% [markdown]
# Right about 96 times in a hundred, and not always when the network is sure: predicted labels are noise too, of a low
# rate and with the network's own errors. Pseudo-labels do not pay here: a fifth of the digits' labels is enough, accuracy
# differs by less than the spread over seeds, and the network becomes surer of its predictions without being right more often.
#
# ## Checks
#
# The first cell holds in every setting, the others say what the committed rows show.

# %%
assert (errors["given"] != errors["true"]).all()
assert set(counts.index) <= {"clean", "mislabelled", "missing", "out of distribution", "ambiguous"}
for matrix in found.values():
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-4)
    assert (np.diag(matrix) == matrix.max(axis=1)).all()
errors_in_pairs = said["in the 5 worst pairs (% of errors)"]
assert abs(errors_in_pairs["asymmetric:0.4"] - 100) < 1e-6
assert abs(errors_in_pairs["symmetric:0.4"] - 100 * 5 / 90) < 2
assert 0 <= said["asymmetry A"].min() <= said["asymmetry A"].max() < 1
blind = main[(main["seen"] == "held out") & (main["kind"] == "mislabelled")].set_index("score")["auroc"]
assert (blind[["entropy", "1 - max p"]] == 0.5).all()
print("wrong labels of unseen images: entropy and max p are at 0.5 exactly, for the images are the same")

# %%
if rows == "reference":
    people_far = said.loc[people, "asymmetry A"]
    assert said.loc["symmetric:0.4", "asymmetry A"] < people_far.min() < people_far.max() < 0.5
    assert errors_in_pairs[people].between(25, 30).all()
    assert said.loc["human:aggregate", "asymmetry A"] > said.loc["human:worst", "asymmetry A"]

# %%
if rows == "reference":
    auroc = main.groupby(["seen", "kind", "score", "method"])["auroc"].mean()
    trained, unseen = auroc["training"], auroc["held out"]
    assert trained["mislabelled", "1 - p_y", "DM"] > 0.98 > trained["mislabelled", "1 - p_y", "CCE"]
    assert trained["mislabelled", "entropy", "CCE"] > 0.8 > 0.6 > trained["mislabelled", "entropy", "DM"]
    for part in (trained, unseen):
        better = part["out of distribution"].unstack("method").loc[["entropy", "1 - max p"]]
        assert (better["DM"] > better["CCE"] + 0.08).all()
        assert (part["ambiguous"] < part["out of distribution"]).all()
    assert acted.loc["DM", "ignored: wrong after"] < 0.1 < acted.loc["CCE", "ignored: wrong after"]
    assert acted.loc["DM", "corrected: wrong after"] > acted.loc["DM", "of which out of distribution"]

# %%
if rows == "reference":
    neither = 1 - 2 * main[(main["seen"] == "held out") & (main["kind"] == "ambiguous")]["right"]
    assert neither.min() > 0.3
    sure = missing.groupby("method")[list(shares)].mean()
    assert sure.loc["pseudo", "sure"] > sure.loc["cce", "sure"] + 0.04
    assert sure.loc["pseudo", "sure_right"] < sure.loc["cce", "sure_right"]
    assert abs(sure.loc["pseudo", "test_acc"] - sure.loc["cce", "test_acc"]) < missing["test_acc"].std()

# %%
if rows == "reference":
    cifar = photographs[photographs["seen"] == "held out"].set_index(["kind", "score", "method"])["auroc"]
    cifar = cifar.rename(index=names, level="method")
    surer = cifar["out of distribution: background"].loc[["entropy", "1 - max p"]]
    assert (surer < 0.5).all()
    assert (cifar["out of distribution: other"].loc[["entropy", "1 - max p"]] < 0.6).all()
    assert cifar["out of distribution: noise", "entropy", "CCE"] > 0.95
    both = cifar["mislabelled"].loc["1 - p_y"]
    assert both["CCE"] > both["DM"] + 0.05
    assert accuracy["cce"] > accuracy.drop("cce").max() + 0.05
    for kind, words in (("background", "backgrounds"), ("other", "objects of CIFAR-100"), ("noise", "noise images")):
        print(f"{words}: entropy's AUROC {cifar[f'out of distribution: {kind}', 'entropy', 'CCE']:.2f} after CCE")

# %% [markdown]
# ## Summary
#
# - People's label errors lie between the synthetic noises: every class has some, and look-alikes have more than their share.
# - Wrong labels are seen by $p_y$, best by a method that does not learn them by heart; entropy and $\max p$ do not look at the label.
# - The unknown is known in part: unsure outputs give foreign digits away, on photographs an empty background is named with more confidence than an object.
#
# ## Exercises
#
# Answers: [solutions](solutions/01_adverse_cases.ipynb).
#
# 1. Let `noise="adverse:wrong=0,ood=0.4,ambiguous=0"` in the live draw. Why is the share of wrong labels 40 % though nobody mislabelled anything?
# 2. Compute $A$ of `human:worst` without the pairs truck-automobile and cat-dog (share their errors evenly). How much of the asymmetry do they make?
# 3. Train with `adverse_studies.measure(profile_config("quick", noise=adverse_studies.NOISE, method="gce", epochs=10))`. Is GCE nearer to CCE or to DM, and does early stopping help entropy?
# 4. Draw ambiguous digits with `how=blend` instead of halves (`ambiguous:rate=0.1,how=blend`). Is the network less sure of a blend than of halves? Predict before you measure.
# 5. Scores add up: rank by `1 - p_y` times `1 - entropy`, which asks for a confident contradiction. Which kind does that single out, and which does it lose?
