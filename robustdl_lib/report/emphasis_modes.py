"""DM's emphasis mode against the noise rate, read from the rows of the sweeps ``noise_rates`` and its judgement."""

import pandas as pd

from robustdl_lib.registry import METHODS, NOISES
from robustdl_lib.report import summary
from robustdl_lib.runs import store, sweeps
from robustdl_lib.runs.sweeps import Setting

PUBLISHED = {0.0: 0.0, 0.2: 0.5, 0.4: 1.0, 0.6: 2.0, 0.8: 2.0}
"""The lambda that DM's final accuracy picks at each rate: CIFAR-10, ResNet-56. Source: Talk, slide 23; DM, Table 9."""
CLOSE = 2.0
"""Points of accuracy within which a mode counts as good as the best: about the standard error of 360 test images."""
SWEPT = ("noise_rates", "noise_rates_judged")
IDEAL = ("cce", "dm")
"""The two methods of slide 11, whose p_y of clean and of wrong labels is shown."""


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
