"""The emphasis mode against the noise rate: the runs that measure what slide 23 shows, and what they say.

Two questions are kept apart. What DM would choose: lambda and beta by a validation set with clean labels, as the paper
searched them (``val``); and what the test set would have it choose, an oracle (``last``).
"""

import pandas as pd

from robustdl_lib import difficulty_plots, store, summary, sweeps
from robustdl_lib.config import ConfigError, RunConfig
from robustdl_lib.registry import FIGURES, METHODS, NOISES, SWEEPS
from robustdl_lib.sweeps import Setting

RATES = (0.0, 0.2, 0.4, 0.6, 0.8)
BETAS = {0.0: (0.5, 2.0), 0.5: (4.0, 8.0, 12.0), 1.0: (4.0, 8.0, 12.0), 2.0: (8.0, 12.0, 16.0)}
"""The sharpness beta tried for each lambda: the flatter end of the grids of DM (arXiv 1905.11233), and below it."""
PUBLISHED = {0.0: 0.0, 0.2: 0.5, 0.4: 1.0, 0.6: 2.0, 0.8: 2.0}
"""The lambda that DM's final accuracy picks at each rate: CIFAR-10, ResNet-56. Source: Talk, slide 23; DM, Table 9."""
CLOSE = 2.0
"""Points of accuracy within which a mode counts as good as the best: about the standard error of 360 test images."""
SWEPT = ("noise_rates", "noise_rates_judged")
IDEAL = ("cce", "dm")
"""The two methods of slide 11, whose p_y of clean and of wrong labels is shown."""


@SWEEPS.register("noise_rates", label="DM's emphasis mode at five noise rates", source="Talk, slide 23", apart=True)
def noise_rates(*, setting: Setting) -> list[RunConfig]:
    """The search: every lambda and beta of DM at each symmetric rate, with the setting's first seed.

    Without noise, where all end about alike, one beta of each lambda is enough.
    The rates are these whatever the setting's own noise. The validation set has clean labels, as where DM's knobs were
    searched: under much noise a noisy one of this size ranks methods by chance. Training does not see it, and ends with
    the bits of a run with noisy validation.
    """
    grid = [(lam, beta) for lam, betas in BETAS.items() for beta in betas]
    middle = [(lam, betas[(len(betas) - 1) // 2]) for lam, betas in BETAS.items()]
    pairs = [(rate, *pair) for rate in RATES for pair in (grid if rate else middle)]
    first = (setting.seeds or sweeps.SEEDS)[0]
    return [_config(setting, *pair, seed=first) for pair in pairs]


@SWEEPS.register("noise_rates_judged", label="the same, judged over seeds", source="Talk, slide 23", apart=True)
def noise_rates_judged(*, setting: Setting) -> list[RunConfig]:
    """The judgement: of each rate and lambda the beta that the search found, with the other seeds of the setting.

    Raises ConfigError where the search is not done.
    """
    plan, places = noise_rates(setting=setting), sweeps.shelves("noise_rates", setting.home, "reference")
    if missing := sweeps.lacking(plan, places):
        raise ConfigError(f"{len(missing)} of {len(plan)} runs of the sweep noise_rates are missing: train it first")
    best = sharpest(readings(sweeps.rows(sweeps.found(plan, places))))
    pairs = best[["rate", "lam", "beta"]].itertuples(index=False, name=None)
    seeds = (setting.seeds or sweeps.SEEDS)[1:]
    return [_config(setting, rate, lam, beta, seed) for rate, lam, beta in pairs for seed in seeds]


def _config(setting: Setting, rate: float, lam: float, beta: float, seed: int) -> RunConfig:
    noise = f"symmetric:{rate:g}" if rate else "none"
    method = f"dm:beta={beta:g},lam={lam:g}"
    return setting.config(noise=noise, method=method, validation="clean", seed=seed, noise_seed=seed)


def readings(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row a run: rate asked, wrong (realised), method, lam, beta, psi, seed, val, last, clean_acc, fit_wrong.

    runs: rows of the sweep. rate and wrong are shares; lam, beta and the emphasis mode psi = lam / (lam + 1) are NaN
    for other methods than DM; val and last are the accuracies after the last epoch in per cent, on the validation set
    (of clean labels) and on the test set.
    """
    found = summary.final_readings(runs)
    last = runs.sort_values("epoch").groupby("run_id")["val_acc"].last()
    specs = [METHODS.parse(method) for method in found["method"]]
    knobs = [spec.values if spec.name == "dm" else {} for spec in specs]
    lam = pd.Series([knob.get("lam") for knob in knobs], dtype=float)
    columns = {
        "rate": [NOISES.parse(noise).values.get("rate", 0.0) for noise in found["noise"]],
        "wrong": found["noise_rate"] / 100,
        "method": found["method"],
        "lam": lam,
        "beta": pd.Series([knob.get("beta") for knob in knobs], dtype=float),
        "psi": lam / (lam + 1),
        "seed": found["seed"],
        "val": 100 * found["run_id"].map(last),
    }
    rest = ["last", "clean_acc", "fit_wrong"]
    return pd.DataFrame({**columns, **found[rest]}).sort_values("rate", kind="stable", ignore_index=True)


def sharpest(found: pd.DataFrame) -> pd.DataFrame:
    """Return a row a rate and lambda: the beta that validation prefers, and its means over all its seeds.

    found: of :func:`readings`. beta is searched by ``val`` over the seeds that have a run of every pair (lambda, beta)
    of their rate, the smallest of equals; then the pair is judged on all of its seeds.
    Columns rate, lam, psi, beta, seeds, wrong, val, last, clean_acc, fit_wrong.
    """
    tried = found.dropna(subset="lam")
    pairs = tried.groupby(["rate", "seed"])["method"].transform("nunique")
    searched = tried[pairs == tried.groupby("rate")["method"].transform("nunique")]
    names = ["rate", "lam", "psi", "beta"]
    search = searched.groupby(names, as_index=False)["val"].mean()
    winners = search.loc[search.groupby(["rate", "lam"])["val"].idxmax(), names]
    judged = tried.groupby(names)
    means = judged[["wrong", "val", "last", "clean_acc", "fit_wrong"]].mean().assign(seeds=judged.size())
    return winners.merge(means.reset_index(), on=names)


def chosen(found: pd.DataFrame, by: str = "val") -> pd.DataFrame:
    """Return a row a rate: the lambda of :func:`sharpest` with the largest ``by``, and how sure its mode is.

    ``by`` is ``val`` (what DM would choose) or ``last`` (an oracle); of equals the smallest lambda. ``low`` and
    ``high`` are the smallest and the largest psi whose ``by`` lies within ``CLOSE`` points of the best; ``published``
    is the psi that the talk's slide 23 shows.
    """
    best = sharpest(found)
    picked = best.loc[best.groupby("rate")[by].idxmax()].reset_index(drop=True)
    near = best[best[by] >= best.groupby("rate")[by].transform("max") - CLOSE]
    ends = near.groupby("rate")["psi"].agg(low="min", high="max").reset_index()
    lam = picked["rate"].map(PUBLISHED)
    return picked.merge(ends, on="rate").assign(published=(lam / (lam + 1)).to_numpy())


def rows(shelf: str = "reference") -> pd.DataFrame:
    """Return the rows of the search and of the judgement, in the quick profile.

    ``reference`` holds the committed ones; with ``runs`` what the shelf lacks is trained first, 88 networks.
    Raises ConfigError where the search is not committed, ValueError for an unknown shelf.
    """
    if shelf == "runs":
        for name in SWEPT:
            sweeps.run(name, "quick", quiet=True)
    found = {run.config: run for name in SWEPT for run in _found(name, shelf)}
    return sweeps.rows(list(found.values()))


def _found(name: str, shelf: str) -> list[store.Run]:
    return sweeps.found(sweeps.plan(name, Setting()), sweeps.shelves(name, "quick", shelf, shelf))


def ideal_runs() -> list[store.Run]:
    """Return the committed runs of the two methods of slide 11 under 40 % symmetric noise, from the figures' sweep."""
    plan, places = sweeps.plan("figures", Setting()), sweeps.shelves("figures", "quick", "reference")
    noisy = [cfg for cfg in plan if cfg.method in IDEAL and cfg.noise != "none"]
    return sweeps.found(noisy, places[:-1])


def figure_rows(found: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return what the figure draws, told apart by ``kind``; ``found`` as of :func:`readings`, by default the committed.

    curve: p_y and test accuracy over the epochs of CCE and DM under 40 % noise, means over seeds, from the runs of the
    figures; try: each run of the sweep; best: the searched beta of each lambda; choice: the mode chosen at each rate,
    ``by`` val and by last. Raises ConfigError where committed rows are missing.
    """
    tried = readings(rows()) if found is None else found
    seen = sweeps.rows(ideal_runs()).groupby(["method", "epoch"], sort=False)
    curves = seen[["p_clean", "p_wrong", "test_acc"]].mean().reset_index()
    parts = {"curve": curves, "try": tried, "best": sharpest(tried)}
    frames = [part.assign(kind=kind) for kind, part in parts.items()]
    frames += [chosen(tried, by).assign(kind="choice", by=by) for by in ("val", "last")]
    return pd.concat(frames, ignore_index=True).reindex(columns=list(difficulty_plots.COLUMNS))


FIGURES.register(
    "noise_and_difficulty",
    label="Wrong labels are the difficult examples; the emphasis mode of DM that suits each rate, beside the talk's.",
    source="Talk, slides 11 and 23",
    rows=figure_rows,
    columns=difficulty_plots.COLUMNS,
)(difficulty_plots.noise_and_difficulty)
