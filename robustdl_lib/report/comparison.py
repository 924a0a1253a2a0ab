"""Published numbers beside ours: a number has a counterpart where rows have its data set, network, noise and method.

Rows are looked for in the folders of :data:`HOMES` of a shelf; what lies there is compared by itself. A method whose
knobs the paper does not state, such as ``ls``, is compared by that of its settings that ends best, as its table's
were chosen, in all that is read of it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robustdl_lib import paths
from robustdl_lib.config import PAPER, RunConfig, profile_config
from robustdl_lib.registry import METHODS, NOISES
from robustdl_lib.report import published, summary, verdicts
from robustdl_lib.runs import store

HOMES = PAPER
"""The profiles whose rows have the published networks, those that go before the others first.

Folders named after them, such as paper_dm_table_7, count too.
"""
READ_OFF = 0.08
"""How far a share may lie from one that was read off a figure: as far as it may be misread, and runs differ."""
APART = {"noise", "method", "seed", "noise_seed", "lr", "device"}
"""Fields in which a run that is compared may differ from its profile's protocol; DM's Table 7 has a rate of its own."""
LEAST_MODES = 3
"""Emphasis modes that must have been tried under a noise before one is called the best."""


def paper_rows(shelf: str) -> pd.DataFrame:
    """Return a row a run that can be compared, in per cent: :func:`readings` of every folder of :data:`HOMES`."""
    frames = [run.frame().assign(home=home) for home, runs in paper_runs(shelf).items() for run in runs]
    return readings(pd.concat(frames, ignore_index=True) if frames else store.no_rows())


def paper_runs(shelf: str) -> dict[str, list[store.Run]]:
    """Return the runs of a shelf that can be compared, by their profile."""
    found = {home: [run for place in _folders(shelf, home) for run in store.all_runs(place)] for home in HOMES}
    return {home: [run for run in runs if _as_published(run.config, home)] for home, runs in found.items()}


def readings(rows: pd.DataFrame) -> pd.DataFrame:
    """Return :func:`robustdl_lib.report.summary.final_readings` with what published tables hold besides, in per cent.

    ``fit_given`` and ``fit_true`` are the shares of all training labels that are predicted as given and as true, from
    the realised noise rate r: (1 - r) clean_acc + r fit_wrong, and with corrected in its place. ``lr`` is the rate.
    """
    if rows.empty:
        return pd.DataFrame(columns=[*summary.COLUMNS, "fit_given", "fit_true", "p_wrong", "lr", "home", "protocol"])
    found = summary.final_readings(rows)
    last = rows.sort_values("epoch").groupby("run_id", sort=False).last()
    rate = found["noise_rate"].fillna(0.0) / 100
    for name, other in (("fit_given", "fit_wrong"), ("fit_true", "corrected")):
        found[name] = (1 - rate) * found["clean_acc"] + (rate * found[other]).fillna(0.0)
    found["p_wrong"] = 100 * last.loc[found["run_id"], "p_wrong"].to_numpy()
    found["lr"] = last.loc[found["run_id"], "peak_lr"].to_numpy(dtype=float)
    found["home"] = last.loc[found["run_id"], "home"].to_numpy() if "home" in last else HOMES[0]
    return found.assign(protocol=[_protocol(last.loc[run_id]) for run_id in found["run_id"]])


def compared(ours: pd.DataFrame, here: pd.DataFrame) -> pd.DataFrame:
    """Return a line a published number: its counterparts in our rows and in this machine's, and the verdicts.

    ours, here: rows of :func:`readings`; either may be empty. A number of another network is not comparable, one
    without rows has no run yet; neither counts as reproduced.
    """
    numbers = published.read()
    lines = numbers[~numbers["table"].isin(published.EXACT)].to_dict("records")
    return pd.DataFrame([_line(row, *(_counterpart(row, runs) for runs in (ours, here))) for row in lines])


def _line(row: dict[Any, Any], ours: tuple[list[float], str], here: tuple[list[float], str]) -> dict[str, Any]:
    (values, note), (theirs, _) = ours, here
    scale = 1.0 if row["unit"] == "%" else 0.01
    mean, hers = (float(np.mean(found)) if found else np.nan for found in (values, theirs))
    wide, wide_here = (_tolerance(row, found, scale) for found in (values or theirs, theirs))
    known = published.ours(row["network"])
    hints = [note, "Read off a figure." * row["read_off_figure"]]
    return {
        "part": "number",
        "group": published.TITLES[row["table"]],
        "id": row["id"],
        "claim": f"{row['label']}, {row['quantity'].replace('_', ' ')}",
        "setting": row["noise"],
        "unit": row["unit"],
        "published": row["value"],
        "reference": mean,
        "seeds": len(values),
        "here": hers,
        "difference": (hers if np.isnan(mean) else mean) - row["value"],
        "tolerance": wide,
        "verdict": verdicts.of_number(mean - row["value"], wide) if known else verdicts.OTHER,
        "verdict_here": verdicts.of_number(hers - row["value"], wide_here) if theirs else verdicts.NONE,
        "source": row["source"],
        "url": row["url"],
        "note": " ".join(filter(None, hints)) if known else f"{row['network']} is no network of this library.",
    }


def _tolerance(row: dict[Any, Any], found: list[float], scale: float) -> float:
    if row["quantity"] == "emphasis_mode":
        return float(row["digit"]) / 2
    read_off = READ_OFF if row["read_off_figure"] and row["unit"] != "%" else 0.0
    return max(read_off, verdicts.of_published(found, scale))


def _counterpart(row: dict[Any, Any], runs: pd.DataFrame) -> tuple[list[float], str]:
    """Return our values of a published number, one a seed, in its unit, and a note of which of our rows they are."""
    same = (runs["dataset"] == row["dataset"]) & (runs["model"] == row["network"])
    same &= (runs["noise"] == str(NOISES.parse(row["noise"]))) & published.ours(row["network"])
    if not np.isnan(row["lr"]):
        same &= np.isclose(runs["lr"].astype(float), row["lr"])
    runs = runs[same]
    fitting = runs[[_fits(row["method"], spec) for spec in runs["method"]]] if len(runs) else runs
    if fitting.empty:
        return [], ""
    fitting = fitting[fitting["home"] == min(fitting["home"], key=HOMES.index)]
    return _best_mode(fitting) if row["quantity"] == "emphasis_mode" else _best(row, fitting)


def _best(row: dict[Any, Any], fitting: pd.DataFrame) -> tuple[list[float], str]:
    """Return the values of the setting of the largest test accuracy: no other quantity picks a setting of its own."""
    quantity, scale = row["quantity"], 1.0 if row["unit"] == "%" else 0.01
    groups = fitting.groupby(["method", "protocol"])
    method, protocol = groups["oracle" if quantity == "oracle" else "last"].mean().idxmax()
    many = f"the best of {len(groups)} settings, " if len(groups) > 1 else ""
    values = groups.get_group((method, protocol))[quantity]
    short = f"; profile {home}" if (home := fitting["home"].iloc[0]) != HOMES[0] else ""
    return [scale * float(value) for value in values], f"Ours: {many}{method}, {protocol}{short}."


def _best_mode(fitting: pd.DataFrame) -> tuple[list[float], str]:
    """Return the emphasis mode lam / (lam + 1) of the DM that ends best, where several modes were tried."""
    means = fitting.groupby("method")["last"].mean()
    values = {spec: METHODS.parse(str(spec)).values for spec in means.index}
    modes = {spec: float(knobs["lam"] / (knobs["lam"] + 1)) for spec, knobs in values.items() if knobs["beta"] > 0}
    if len({round(mode, 6) for mode in modes.values()}) < LEAST_MODES:
        return [], f"Ours: fewer than {LEAST_MODES} emphasis modes were tried."
    best = max(modes, key=lambda spec: means[spec])
    short = f"; profile {home}" if (home := fitting["home"].iloc[0]) != HOMES[0] else ""
    return [modes[best]], f"Ours: {best} ends best of {len(modes)}{short}."


def _fits(stated: str, spec: str) -> bool:
    """Return whether our spec is what a paper states: equal in each knob it states and, but for numbers, elsewhere."""
    wanted, found = METHODS.parse(stated), METHODS.parse(spec)
    if wanted.name != found.name:
        return False
    if wanted.name == "dm" and wanted.knobs.get("beta") == 0 == found.values["beta"]:
        return True  # every lam weighs all alike then
    free = {knob for knob, value in found.values.items() if isinstance(value, float)} - set(wanted.knobs)
    return all(found.values[knob] == value for knob, value in wanted.values.items() if knob not in free)


def _folders(shelf: str, home: str) -> list[Path]:
    """Return the folders of a shelf that are named after a profile, moved ones before the committed of their name."""
    roots = (paths.shelf(shelf, home).parent, paths.shelf(shelf, home, writing=True).parent)
    names = {folder.name for root in roots for folder in root.glob(f"{home}_*")}
    return [paths.shelf(shelf, name) for name in sorted({home, *names})]


def _as_published(cfg: RunConfig, home: str) -> bool:
    """Return whether a run keeps to the protocol of its profile and data set, so that it is no trial of another one."""
    return cfg.differs(profile_config(home, dataset=cfg.dataset)) <= APART


def _protocol(row: pd.Series) -> str:
    steps = f"{row['epochs']} epochs of batches of {row['batch_size']}"
    return f"{steps}, rate {row['peak_lr']:g}, decay {row['weight_decay']:g}"
