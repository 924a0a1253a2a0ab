# %% [markdown]
# # Your noise
#
# Which method is best is a question about the noise, not about the method: what holds when wrong labels spread over
# all classes need not hold when they go to one look-alike. **This notebook takes a data set, a noise, some methods and a
# budget, and says what the noise does, whether it can be learnt at all, and which method bears it.** Source: the talk,
# slides 7 and 8 (adverse cases) and 23 (the emphasis mode follows the noise rate); noises after
# [arXiv 1609.03683](https://arxiv.org/abs/1609.03683) (asymmetric) and
# [arXiv 2006.07836](https://arxiv.org/abs/2006.07836) (instance-dependent).

# %%
import pandas as pd

from robustdl_lib import data, gradients, plots, summary, sweeps
from robustdl_lib.plots import noise as noise_plots
from robustdl_lib.plots import rows as frames
from robustdl_lib.registry import METHODS, NOISES

# %% tags=["parameters"]
profile: str = "quick"  # quick, small (CIFAR-10) or smoke: the network and the length of training
rows: str = "reference"  # reference: committed rows where there are such; runs: those trained here alone
dataset: str = "digits"  # digits, cifar10, cifar100, folder:PATH, csv:PATH; empty: the profile's own
noise: str = "asymmetric:0.4"  # what `python -m robustdl_lib list` names, such as instance:0.4 or matrix:PATH
methods: list = ["cce", "gce", "dm", "proselflc"]  # specs, with knobs or without
seeds: list = [0, 1, 2]  # a seed draws the weights, the order and the noise
budget: int = 0  # passes over the training set; 0: the profile's own; in [0, 100000]
jobs: int = 0  # processes at a time; 0: one a core; in [0, 1024]

# %% [markdown]
# To change a word, change the cell above, or leave the file alone and say
#
# ```
# .venv/bin/python -m robustdl_lib notebook notebooks/14_your_noise.py mine.ipynb -p noise instance:0.4 -p methods "cce dm"
# make figures NOISE=instance:0.4 METHODS="cce dm" EPOCHS=25
# ```
#
# The first trains what its table needs and writes `mine.ipynb`, the second redraws every figure. Both refuse what they
# do not know in one sentence, before they start. The committed rows of the default come from
# `make figures NOISE=asymmetric:0.4 METHODS="cce gce dm proselflc"`.
#
# ## What the noise does
#
# The noise in words, the share of labels that it makes wrong (asked where it is a matrix, and realised), class by class.

# %%
setting = sweeps.Setting(
    profile=profile,
    dataset=dataset or None,
    noise=noise,
    methods=methods,
    seeds=seeds,
    epochs=budget or None,
)
config = setting.config(seed=seeds[0], noise_seed=seeds[0])
drawn, entry = data.load(config), NOISES.parse(config.noise).entry
print(f"{config.noise} on {config.dataset}: {entry.label} ({entry.source})")
print(f"{100 * drawn.noise.rate:.1f} % of {len(drawn.noise.labels)} labels are wrong, drawn with seed {seeds[0]}")
rates = frames.class_rates(drawn.noise, drawn.classes).set_index("class")
rates.round(1)

# %% [markdown]
# The whole matrix: a row a true class, a column a given label. Off the diagonal lies what is wrong; where one cell of a
# row stands out there, the noise has a direction, and the wrong labels of that class agree with each other.

# %%
noise_plots.transitions(frames.transition_rows([config.noise], dataset=config.dataset, seed=seeds[0]))

# %% [markdown]
# ## Can it be learnt?
#
# A method that is told nothing of the noise can only believe the majority. So look at the *margin* of each class: the
# share of its examples that have the true label, less the share of the most frequent wrong one. Above 0 the truth is the
# most frequent label; at 0 or below, the best learner of the given labels predicts the wrong class. The margin, not the
# rate, says how hard a noise is: at rate $r$ it is $1 - r - r/(C-1)$ for symmetric noise and $1 - 2r$ for asymmetric.

# %%
margin = (drawn.noise.transition.diagonal().numpy() * 100 - rates["mostly_share"]).rename("margin")
learnable = int((margin > 0).sum())
print(f"the true label is the most frequent one in {learnable} of {len(margin)} classes")
print(f"smallest margin {margin.min():.1f} points (class {margin.idxmin()}), mean {margin.mean():.1f}")
r, classes = drawn.noise.rate, len(margin)
print(
    f"symmetric noise with as many wrong labels ({100 * r:.1f} %) has a margin of {100 * (1 - r - r / (classes - 1)):.1f}"
)

# %% [markdown]
# ## Train
#
# What the store holds is read, what it lacks is trained. Under the table, *wrong* is the realised share of wrong labels,
# *last* the test accuracy after the last epoch, *best (oracle)* the best epoch on the test set, *selected* the epoch that
# the noisy validation set picks; all in per cent.

# %%
runs = sweeps.run("figures", profile=profile, jobs=jobs or None, shelf=rows, quiet=True, **setting.changes())
table = summary.headline(runs)
print(f"{config.model}, {config.epochs} epochs, seeds {', '.join(map(str, seeds))}")
summary.readable(table).set_index("method")

# %%
plots.FIGURES["learning_curves"](runs)

# %% [markdown]
# Each panel is a method, with cross entropy (CCE) behind it and CCE on clean labels dashed. Where a curve falls from its
# best value, wrong labels are being learnt by heart.
#
# ## What each method fits
#
# Of the mislabelled training examples, the share predicted as their given (wrong) and as their true class.

# %%
plots.FIGURES["fitting"](runs)

# %% [markdown]
# ## Emphasis and noise
#
# The emphasis mode $\psi$ is the $p_y$ at which a method looks hardest ([notebook 05](05_emphasis_density.ipynb)). The
# talk's slide 23 says that more noise wants a larger mode. Wrong labels that agree with each other are another matter:
# the network comes to find them probable, and no weighting by $p_y$ tells them from clean ones. Methods that turn the
# direction of the gradient have no mode of their own; theirs is that of the loss they rest on.

# %%
noisy = table[table["noise"] == config.noise]
looks = pd.DataFrame({"method": noisy["label"], "role": [METHODS.parse(m).entry.facts.role for m in noisy["method"]]})
looks["emphasis mode"] = [round(gradients.emphasis_mode(method), 2) for method in noisy["method"]]
looks["last (%)"] = noisy["last_mean"].round(1)
looks["wrong fitted (%)"] = noisy["fit_wrong"].round(1)
looks["clean fitted (%)"] = noisy["clean_acc"].round(1)
looks.set_index("method")

# %% [markdown]
# In the committed rows (asymmetric noise: in five of the ten digits four labels in ten are wrong, a fifth of all) the
# order of [notebook 03](03_training_under_noise.ipynb) is turned around. There, under symmetric noise with twice as many
# wrong labels, DM ended first and CCE next to last; here **DM ends last**, though it loses least from its best epoch: it
# starts late and fits fewest of the clean labels. A likely reason: once the network knows the look-alikes, a wrong label
# that many examples share has a middling $p_y$, and so has a hard clean one; a weight that is a function of $p_y$ cannot
# tell them apart. All methods fit a good part of the wrong labels, and the spread over three seeds is
# as large as most differences, so read the order of the first three with care.
#
# ## Checks

# %%
assert len(drawn.train.labels) + len(drawn.val.labels) <= len(drawn.noise.labels)
assert not drawn.test.mislabelled.any()
assert ((noisy["last_mean"] >= 0) & (noisy["last_mean"] <= 100)).all()
assert (noisy["seeds"] == len(seeds)).all()
assert (noisy["oracle_mean"] >= noisy["last_mean"]).all()
committed = rows == "reference" and profile == "quick" and config.dataset == "digits" and not budget
if committed and methods == ["cce", "gce", "dm", "proselflc"] and seeds == [0, 1, 2] and noise == "asymmetric:0.4":
    last, lost = (noisy.set_index("method")[name] for name in ("last_mean", "lost"))
    assert last.idxmin() == "dm" == lost.idxmin()
    assert (noisy["fit_wrong"] > 30).all()
if config.noise == "asymmetric:0.4" and config.dataset == "digits":
    touched = rates[rates["wrong"] > 0]
    assert set(touched.index) == {"2", "3", "5", "6", "7"}
    assert ((touched["wrong"] - 40).abs() < 3 * (40 * 60 / touched["examples"]) ** 0.5).all()
    assert learnable == 10

# %% [markdown]
# ## Summary
#
# - A noise is its matrix; the margin of each class says whether the truth can be learnt from the labels at all.
# - Change one parameter and everything above is drawn again, from rows that one command trains.
# - Rank methods under your own noise: an order found under another one is a guess.
#
# ## Exercises
#
# Answers: [solutions](solutions/14_your_noise.ipynb).
#
# 1. Set `noise` to `asymmetric:0.6`. What does the margin say, and what do the learning curves do? Which number in the
#    table should now be read upside down?
# 2. Write a 10 x 10 matrix in which every class has a rate of its own to a .csv, and run with `matrix:PATH`.
# 3. `human:worst` needs CIFAR-10: set `profile` to `small` and `dataset` to `cifar10`. Which two classes have the
#    smallest margin, and why would people confuse them?
# 4. Compare `symmetric:0.4` with `symmetric_all:0.4`: which is the easier noise, and by how many points of margin?
# 5. Give the same noise a budget of 10, 50 and 200 epochs. Which method's order changes?
# 6. Point `dataset` at a folder of your own images. Does any method beat CCE without added noise (`none`)? If so, your
#    labels may be wrong: see [notebook 13](13_data_centric.ipynb).
