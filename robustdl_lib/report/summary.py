"""From rows to the numbers that are quoted: three ways to read a run, and their spread over seeds.

``last`` is the headline: the network after the last epoch. ``oracle`` is the best epoch on the test set, which
nobody can choose without the answers. ``selected`` is the epoch that the noisy validation set picks,
the earliest of equals. All accuracies here are in per cent.
"""

import math

import pandas as pd

from robustdl_lib.registry import METHODS
from robustdl_lib.report import verdicts

READINGS = ("last", "oracle", "selected")
ENDINGS = ("clean_acc", "fit_wrong", "corrected", "entropy_clean", "entropy_wrong")
COLUMNS = [
    *("run_id", "dataset", "noise", "noise_rate", "method", "model", "seed"),
    *("last", "oracle", "oracle_epoch", "selected", *ENDINGS),
]
ALIKE = (
    "dataset",
    "examples",
    "split",
    "validation",
    "model",
    "epochs",
    "batch_size",
    "peak_lr",
    "momentum",
    "weight_decay",
    "schedule",
)
OUTCOMES = ("last", "sd", "oracle", "selected", "fit_wrong", "corrected")
SPREADS = ("last_std", "seeds", "last_std_reference", "seeds_reference")
SHOWN = {
    "noise": "noise",
    "noise_rate": "wrong",
    "label": "method",
    "seeds": "seeds",
    "last_mean": "last",
    "last_std": "sd",
    "oracle_mean": "best (oracle)",
    "selected_mean": "selected",
    "lost": "lost",
    "fit_wrong": "wrong fitted",
    "corrected": "corrected",
}


def final_readings(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row a run: its configuration, the three readings of test accuracy and the last epoch's dynamics.

    runs: rows of :func:`robustdl_lib.runs.store.load_runs` -> columns run_id, dataset, noise, noise_rate (the realised
    share of wrong labels; NaN where rows do not say), method, model, seed, last, oracle, oracle_epoch, selected,
    clean_acc, fit_wrong, corrected, entropy_clean, entropy_wrong, in per cent.
    """
    rows = [_read(run_id, history.sort_values("epoch")) for run_id, history in runs.groupby("run_id", sort=False)]
    return pd.DataFrame(rows, columns=COLUMNS)


def headline(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row a (noise, method): number of seeds, mean and standard deviation of the three readings.

    Columns noise, method, label, seeds, then ``<reading>_mean`` and ``<reading>_std`` (n - 1; NaN for one seed),
    ``lost`` (oracle minus last), the means of the realised noise rate and of the last epoch's dynamics. Best ``last``
    first within a noise. Runs of a method that differ in more than their seeds have a row each setting, named in its
    label.
    """
    readings = final_readings(runs).merge(_settings(runs), on="run_id")
    readings["lost"] = readings["oracle"] - readings["last"]
    groups = readings.groupby(["noise", "method", "setting"], sort=False)
    spread = groups[list(READINGS)].agg(["mean", "std"])
    spread.columns = [f"{reading}_{statistic}" for reading, statistic in spread.columns]
    table = pd.concat([groups.size().rename("seeds"), spread, groups[["noise_rate", "lost", *ENDINGS]].mean()], axis=1)
    table = table.reset_index().sort_values(["noise", "last_mean"], ascending=[True, False], ignore_index=True)
    table.insert(2, "label", [METHODS.parse(method).label for method in table["method"]] + table.pop("setting"))
    return table


def outcomes(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row a method, best ``last`` first: columns :data:`OUTCOMES` in per cent, mean over seeds.

    ``sd`` is the standard deviation of ``last`` over seeds, NaN for one. runs: rows of one noise.
    """
    groups = final_readings(runs).groupby("method", sort=False)
    table = groups[[name for name in OUTCOMES if name != "sd"]].mean()
    table.insert(1, "sd", groups["last"].std())
    return table.sort_values("last", ascending=False)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of :func:`headline` as text for readers: chosen columns, one decimal, - where there is none."""
    numbers = table[list(SHOWN)].rename(columns=SHOWN)
    return numbers.map(lambda value: value if isinstance(value, str | int) else f"{value:.1f}").replace("nan", "-")


def differences(ours: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each (noise, method) of both tables: last accuracy here, in the reference, and here minus it.

    ours, reference: tables of :func:`headline` -> columns noise, label, here, reference, difference,
    reference_std, and tolerance: how far chance may move the means of so many seeds apart
    (:func:`robustdl_lib.report.verdicts.between`; NaN where one seed stands against one).
    """
    both = ours.merge(reference, on=["noise", "method"], suffixes=("", "_reference"))
    return pd.DataFrame(
        {
            "noise": both["noise"],
            "label": both["label"],
            "here": both["last_mean"],
            "reference": both["last_mean_reference"],
            "difference": both["last_mean"] - both["last_mean_reference"],
            "reference_std": both["last_std_reference"],
            "tolerance": [verdicts.between(*pair) for pair in both[list(SPREADS)].itertuples(index=False, name=None)],
        }
    )


def _settings(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row a run: run_id, and in words what its method's runs do not have in common, seeds apart."""
    first = runs.groupby("run_id", sort=False).first().reset_index()
    words = pd.Series("", index=first.index)
    for field in (name for name in ALIKE if name in runs):
        several = first.groupby(["noise", "method"])[field].transform("nunique") > 1
        words = words.where(~several, words + f", {field} " + first[field].astype(str))
    return pd.DataFrame({"run_id": first["run_id"], "setting": words})


def _read(run_id: object, history: pd.DataFrame) -> dict[str, object]:
    last, best = history.iloc[-1], history.loc[history["test_acc"].idxmax()]
    chosen = history.loc[history["val_acc"].idxmax()]
    names = ("dataset", "noise", "method", "model", "seed")
    return {
        "run_id": run_id,
        **{name: last[name] for name in names},
        "noise_rate": 100 * last.get("noise_rate", math.nan),
        "last": 100 * last["test_acc"],
        "oracle": 100 * best["test_acc"],
        "oracle_epoch": int(best["epoch"]),
        "selected": 100 * chosen["test_acc"],
        **{name: 100 * last[name] for name in ENDINGS},
    }
