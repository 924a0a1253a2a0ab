# %% [markdown]
# # Training under label noise
#
# Give a network a training set in which four labels in ten are wrong, and watch it. At first it learns what most
# labels agree on, and wrong labels look improbable to it. Later it learns them by heart, and its test accuracy falls.
# **When that happens is decided by the weight that the method gives to an example with a small $p_y$**, the
# probability of the given label. Source: the talk, slide 11 (the ideal learning process) and slide 23 (noise and
# difficulty); derivative manipulation (DM), [arXiv 1905.11233](https://arxiv.org/abs/1905.11233), Table 9.

# %%
import pandas as pd

from robustdl_lib import data, gradients, paths, plots, summary, sweeps
from robustdl_lib.registry import METHODS

# %% tags=["parameters"]
profile: str = "quick"  # quick, or smoke (two epochs, for tests of the machinery)
shelf: str = "reference"  # reference: committed rows; runs: trained here
noise: str = ""  # empty: the profile's own
dataset: str = ""  # empty: the profile's own
methods: list = []  # empty: all methods of the sweep
seeds: list = []  # empty: all seeds of the sweep
epochs: int = 0  # passes over the training set; 0: the profile's own; in [0, 100000]
jobs: int = 0  # processes at a time; 0: one a core; in [0, 1024]

# %% [markdown]
# ## The runs
#
# A *sweep* is a list of configurations. What the store holds is read, what it lacks is trained, so this notebook
# takes seconds with the committed rows and minutes in a new setting. A seed decides everything random in a run: the
# initial weights, the order of the examples, and which labels are wrong.

# %%
changes = {"noise": noise, "methods": methods, "dataset": dataset, "seeds": seeds, "epochs": epochs}
setting = sweeps.Setting(profile=profile, **{name: value for name, value in changes.items() if value})
rows = sweeps.run("figures", profile=profile, jobs=jobs or None, shelf=shelf, quiet=True, **setting.changes())
config = setting.config()
noisy = rows[rows["noise"] == config.noise]
specs = list(noisy["method"].unique())
print(f"{rows['run_id'].nunique()} runs of {config.model} on {config.dataset}, {config.epochs} epochs each")
print(f"label noise {config.noise}: {len(specs)} methods, seeds {sorted(map(int, noisy['seed'].unique()))}")
for spec in specs:
    print(f"  {METHODS.parse(spec).label:22} {METHODS.parse(spec).entry.facts.role}")

# %% [markdown]
# Rows with noise `none` are cross entropy on the true labels: what could be had if every label were right. The last
# word says what a method changes: the *loss*, the example's *weight*, or the *target*. What each method is does not matter
# yet: here they are names beside cross entropy (CCE). [Notebook 04](04_example_weighting.ipynb) derives the losses and
# weights, [notebook 07](07_target_modification.ipynb) the targets.
#
# ## What the noise is
#
# The rate in a noise spec is the one asked for. Each label is drawn by itself, so the rate that comes out differs a
# little, and differs between seeds. The validation set is cut from the same pool: **its labels are wrong as often**,
# because whoever has no clean training set has no clean validation set either. Only the test set is clean. Where no
# label is wrong, whatever is said of wrong labels below is NaN.

# %%
drawn = {seed: data.load(config.replace(seed=seed, noise_seed=seed)) for seed in map(int, noisy["seed"].unique())}
classes = next(iter(drawn.values())).num_classes
rates = pd.DataFrame(index=pd.Index(drawn, name="wrong labels (%), seed"))
if (asked := next(iter(drawn.values())).noise.asked) is not None:
    wrong = asked.sum(dim=1) - asked.diagonal()  # what a row lacks of 1 is missing, not wrong
    rates["asked for"] = [100 * float(wrong[found.noise.clean].mean()) for found in drawn.values()]
rates["all given labels"] = [100 * found.noise.rate for found in drawn.values()]
for part in ("train", "val", "test"):
    rates[part] = [100 * float(getattr(found, part).mislabelled.double().mean()) for found in drawn.values()]
rates.round(1)

# %% [markdown]
# The realised transition matrix says the rest: row $i$ holds how often an example of true class $i$ was given each
# label. Under symmetric noise the wrong labels spread over all other classes, so the diagonal stays far above every
# other entry of its row. That is why learning works at all: **in every class the true label is still the most
# frequent one**, and what the wrong ones say about similar images contradicts itself.

# %%
first = next(iter(drawn.values())).noise
matrix = pd.DataFrame(first.transition.numpy()).rename_axis("true class").rename_axis("given label", axis=1)
most_frequent = (first.transition.argmax(dim=1).numpy() == matrix.index).sum()
print(f"the true label is the most frequent one in {most_frequent} of {classes} classes")
matrix.round(2)

# %% [markdown]
# ## Cross entropy peaks and falls
#
# Each panel shows one method's test accuracy over the epochs (mean and range over seeds), with cross entropy (CCE)
# behind it and CCE on clean labels dashed. The two numbers are the best and the last epoch of the mean curve.

# %%
plots.FIGURES["learning_curves"](rows)

# %% [markdown]
# In the committed rows CCE climbs in the first half, then loses what it had, while MSE and GCE keep nearly all of
# theirs. DM and IMAE are the least smooth: past the middle they still jump up and down, and only when the learning
# rate falls do they settle, DM above all others. The likely cause is their derivative normalisation: the derivatives of a
# batch are divided by the sum of the weights, so the steps do not become smaller as the examples are fitted.
#
# The next table shows how one can deceive oneself. *Best of each run* picks the best of many jumping values on the test set,
# run by run; *best of the mean* averages the seeds first. The first is what papers call "best" and is flattering.

# %%
curves = 100 * noisy.pivot_table(index="epoch", columns="method", values="test_acc")[specs]
readings = summary.final_readings(noisy).groupby("method", sort=False)
falls = pd.DataFrame(
    {
        "best of each run": readings["oracle"].mean(),
        "best of the mean": curves.max(),
        "at epoch": curves.idxmax(),
        "last": curves.iloc[-1],
        "largest fall in an epoch": (-curves.diff().min()).clip(lower=0),
    }
).rename(index=lambda spec: METHODS.parse(spec).label)
falls.rename_axis("test accuracy (%)").round(1)

# %% [markdown]
# ## What the network believes: $p_y$ of clean and of wrong labels
#
# For every training example we know here whether its label is wrong, though the method does not. The next figure
# averages $p_y$ over both groups (talk, slide 11, left). A good curve for clean labels rises to 1; a good curve for
# wrong labels goes to 0.

# %%
plots.FIGURES["p_y_dynamics"](rows)

# %% [markdown]
# The order in time is the whole story. First the clean curve rises alone: **wrong labels are the examples with a
# small $p_y$** (talk, slide 23). Under CCE the wrong curve then follows. Under DM it does not, and under GCE hardly.
#
# An average hides whether all wrong labels are believed a little or a few of them fully. The histograms of the last
# epoch tell (counts on a logarithmic scale).

# %%
places = [paths.shelf(shelf, setting.home), paths.shelf("runs", setting.home)]
runs = [run for run in sweeps.found(sweeps.plan("figures", setting), places) if run.config.noise == config.noise]
histograms = pd.concat([run.p_y_frame() for run in runs], ignore_index=True)
plots.FIGURES["p_y_histograms"](histograms)

# %% [markdown]
# Wrong labels in the rightmost bins are memorised: the network would write them down itself. Clean labels in the
# leftmost bins are given up. The next cell counts the two ends.

# %%
last = histograms[histograms["epoch"] == histograms.groupby("run_id")["epoch"].transform("max")]
near = pd.cut(last["p"], [0.0, 0.1, 0.9, 1.0], labels=["p_y below 0.1", "between", "p_y above 0.9"])
counts = last.assign(near=near).pivot_table(
    index=["method", "subset"], columns="near", values="count", aggfunc="sum", observed=False
)
ends = (100 * counts.div(counts.sum(axis=1), axis=0)).drop(columns="between").unstack("subset")
ends.loc[specs].rename(index=lambda spec: METHODS.parse(spec).label).rename_axis("share of the subset (%)").round(1)

# %% [markdown]
# Three things in the committed rows do not fit the simple story:
#
# - **CCE has not finished memorising.** Few of its wrong labels stand above 0.9; most are on the way. In the talk's
#   figure, after 100,000 iterations, their average $p_y$ is about 0.75; here are some 500 iterations. The damage is
#   done earlier: a wrong label needs only to be the *largest* probability.
# - **Boot-soft and ProSelfLC hold more wrong labels above 0.9 than CCE does.** They reward confidence, in what is
#   memorised too ([notebook 11](11_entropy_minimisation.ipynb)).
# - **MAE gives up clean labels**: its clean examples are in two piles, at 1 and at 0, with little between.

# %% [markdown]
# ## What each method fits
#
# $p_y$ looks at the given label alone. For a wrong label there are two outcomes of interest: the network predicts
# the *given* class (it has fitted the error) or the *true* class (it has corrected it, without ever being told).

# %%
plots.FIGURES["fitting"](rows)

# %% [markdown]
# Clean labels come first for every method. What tells methods apart is the middle panel; the right one is close to
# its mirror image. A method that does not correct what it does not fit, as MAE, knows neither: it underfits. Apart
# from that, it is the fitted wrong labels that go with lost test accuracy:

# %%
ending = summary.final_readings(noisy)
print("over all runs, the last epoch's test accuracy correlates with")
fits = {"clean_acc": "clean labels fitted", "fit_wrong": "wrong labels fitted", "corrected": "wrong ones corrected"}
for column, words in fits.items():
    print(f"  {words:20} {ending['last'].corr(ending[column]):+.2f}")
trained = ending[ending["clean_acc"] > 95]
print(f"in the {len(trained)} of {len(ending)} runs that fit over 95 % of the clean labels, with")
print(f"  {'wrong labels fitted':20} {trained['last'].corr(trained['fit_wrong']):+.2f}")

# %% [markdown]
# ## The headline table
#
# Three readings of one run. *Last* is the headline: what one has after training. *Oracle* is the best epoch on the
# test set, which nobody can choose without the answers. *Selected* is the epoch that the noisy validation set picks.
# Test accuracy in per cent, mean ± standard deviation over seeds.

# %%
table = summary.headline(rows)
shown = pd.DataFrame({"noise": table["noise"], "method": table["label"], "seeds": table["seeds"]})
for reading in summary.READINGS:
    pairs = zip(table[f"{reading}_mean"], table[f"{reading}_std"], strict=True)
    shown[reading] = [f"{mean:.1f} ± {std:.1f}".removesuffix(" ± nan") for mean, std in pairs]
shown["oracle - last"] = table["lost"].round(1)
shown.set_index("method")

# %%
plots.FIGURES["headline"](rows)

# %% [markdown]
# At their best epoch most methods are close together, at the last they are far apart. Robustness is mostly a matter
# of *keeping* what was learnt.
#
# The spread over seeds belongs to the result; a seed also draws its own wrong labels, more of them or fewer. MAE's
# spread is several times that of the others, and it leaves clean labels unfitted too. The likely cause: its weight
# $2 p_y (1 - p_y)$ vanishes with $p_y$, so a class that starts behind gets no push to catch up in so few steps. That
# is a limit of short training, not a proof against MAE (exercise 3).
#
# ### Can one stop early?
#
# *Selected* says: yes, to some extent, even with noisy labels. A perfect network would reach only 100 % minus the
# noise rate on this validation set, yet the noise is the same for all epochs, so the ranking of epochs roughly
# survives, at a price: the difference to the oracle. For a method that does not fall, stopping early gains nothing.

# %%
ceiling = 100 - rates["val"].mean()
print(f"a perfect network reaches {ceiling:.1f} % on the noisy validation set")
gain = table[table["noise"] == config.noise].set_index("label")
stopping = pd.DataFrame({"selected - last": gain["selected_mean"] - gain["last_mean"]})
stopping["selected - oracle"] = gain["selected_mean"] - gain["oracle_mean"]
stopping.rename_axis("points").round(1)

# %% [markdown]
# ## Why: where the emphasis lies
#
# [Notebook 05](05_emphasis_density.ipynb) draws the weight $w(p_y)$ of each method, normalised, as an emphasis
# density. CCE's mode is $\psi = 0$: it looks hardest at the examples with the smallest $p_y$, and those are the wrong
# labels. GCE, MSE and DM put their mode at a middling $p_y$.
#
# The stored histograms allow a direct measurement. Take the moment at which CCE is at its best, with its actual $p_y$
# of clean and of wrong labels, and let each method weigh these examples: **what share of the whole emphasis falls on
# the wrong labels?** (Methods that change the target do more than weigh; they have
# [notebook 07](07_target_modification.ipynb).)

# %%
base = noisy[noisy["method"] == ("cce" if "cce" in specs else specs[0])]
best = base.loc[base.groupby("run_id")["test_acc"].idxmax(), ["run_id", "epoch"]]
moment = histograms.merge(best).pivot_table(index="p", columns="subset", values="count", aggfunc="sum")
weighing = list(dict.fromkeys(["cce", *(spec for spec in specs if METHODS.parse(spec).entry.facts.role != "target")]))
weights = {spec: gradients.weight_curve(spec, moment.index)["weight"].to_numpy() for spec in weighing}
emphasis = pd.DataFrame({spec: moment.mul(weight, axis=0).sum() for spec, weight in weights.items()}).T
on_wrong = 100 * emphasis["wrong"] / emphasis.sum(axis=1)
share = 100 * moment["wrong"].sum() / moment.to_numpy().sum()
print(f"{share:.1f} % of the training labels are wrong")
why = pd.DataFrame({"emphasis mode": {spec: gradients.emphasis_mode(spec) for spec in weighing}})
why["emphasis on wrong labels (%)"] = on_wrong.round(1)
why = why.join(ending.groupby("method")[["clean_acc", "fit_wrong", "last"]].mean().round(1))
why.rename(index=lambda spec: METHODS.parse(spec).label).round(2)

# %% [markdown]
# CCE spends more of its emphasis on wrong labels than their share of the examples; every other method in the
# committed rows spends less. One moment decides little, but it repeats at every step.
#
# The smallest share does not win, however: MAE and IMAE give wrong labels the least and end below MSE, GCE and DM,
# MAE with far fewer clean labels fitted. Looking away from small $p_y$ also looks away from what is hard and right. The mode
# says where a method looks; how strongly it looks (the emphasis variance) and how long it is trained count as well.
#
# ## Checks
#
# What holds in every setting is asserted always. The claims about CCE, DM and GCE are about the committed setting
# (quick profile, its own noise, methods and seeds): two epochs, other noise or one seed need not show them, so they are
# asserted only there. What has a margin of a few points is asserted of the committed rows alone: rows trained on
# another machine may differ by as much.

# %%
assert (rows.groupby("run_id").size() == config.epochs).all()
assert noisy["fit_wrong"].isna().all() == (max(found.noise.rate for found in drawn.values()) == 0)
assert ((noisy["fit_wrong"] + noisy["corrected"]).dropna() <= 1 + 1e-5).all()
assert (ending[["last", "selected"]].max(axis=1) <= ending["oracle"]).all()
assert (rates["test"] == 0).all()
print(f"{rows['run_id'].nunique()} runs are complete")
if asked is not None:
    chance = float(wrong.mean())
    tolerance = 400 * (chance * (1 - chance) / len(first.labels)) ** 0.5 + 1e-9
    assert ((rates["all given labels"] - rates["asked for"]).abs() <= tolerance).all()
    print(f"no realised rate is off by more than {tolerance:.1f} points")

# %%
names = {spec: METHODS.parse(spec).name for spec in specs}
mean_last = ending.groupby("method")["last"].mean()
own = profile == "quick" and not (noise or dataset or methods or seeds or epochs)
if own:
    fall = (ending["oracle"] - ending["last"])[ending["method"] == "cce"].mean()
    assert fall >= 5, f"CCE lost only {fall:.1f} points"
    print(f"CCE ends {fall:.1f} points below each run's best epoch,")
    print(f"and {curves['cce'].max() - mean_last['cce']:.1f} below the best of its mean curve")
    for name in {"dm", "gce"} & set(names.values()):
        assert mean_last[[s for s in specs if names[s] == name]].max() >= mean_last["cce"] + 5
if own and shelf == "reference":
    assert on_wrong["cce"] > share
    assert on_wrong.drop("cce").max() < share or weighing == ["cce"]
    assert table.loc[table["noise"] == "none", "last_mean"].max() > mean_last.max()

# %% [markdown]
# ## Summary
#
# - Wrong labels are first the examples with a small $p_y$; cross entropy looks hardest at exactly these, and learns them by heart.
# - Methods differ less in their best epoch than in whether they keep it: report the last epoch, and mark the oracle as one.
# - Moving the emphasis away from $p_y = 0$ is what protects; moving it too far (MAE here) costs clean examples that are hard.
#
# ## Exercises
#
# Answers: [solutions](solutions/03_training_under_noise.ipynb).
#
# 1. Run this notebook with `noise="symmetric:0.6"`. Which methods still keep their best? The talk moves DM's mode from 1/2 to 2/3 there: add `dm:beta=12,lam=2` to `methods` and see.
# 2. With `noise="asymmetric:0.4"` only some classes are affected. Look at the transition matrix: by how much does the true label still lead in its row? What happens to `corrected`?
# 3. Train MAE for longer: `train.train(longer, data.load(longer))` with `longer = config.replace(method="mae", seed=1, noise_seed=1, epochs=200)`. Which digits does it never predict after 50 epochs, and do they return?
# 4. Compare `symmetric:0.4` with `symmetric_all:0.4`. Which is the easier one, and what rate is realised?
# 5. Compute the emphasis on wrong labels at the last epoch from each method's own histogram. Why does it exceed their share of the examples even for DM, which fits hardly any of them?
