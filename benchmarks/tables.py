"""From the rows of a benchmark to the tables of the README: every number there is one of the rows, or two divided."""

from collections.abc import Callable

import pandas as pd

from benchmarks.throughput import OURS, PLAIN, RATE, SINGLE, faster, ratio

TARGETS = {
    ("digits", "resnet20"): 3.0,
    ("digits", "resnet56"): 2.0,
    ("cifar10", "resnet20"): 1.8,
    ("cifar10", "resnet56"): 1.6,
}
"""How many times the plain loop's images a second a sweep of ours is to train."""
LABELS = {"digits": "digits 8x8", "cifar10": "CIFAR-10 32x32"}
ABSENT = "not measured"
KEYS = ["dataset", "model"]


def throughput(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rates side by side, a row a data set and network, and the ratios beside their targets."""
    found = []
    for (dataset, model), part in rows[rows["part"] == "throughput"].groupby(KEYS, sort=False):
        rates = part.set_index("side")["value"]
        times, recorded = (ratio(rows, dataset, model, side) for side in OURS)
        target = TARGETS.get((dataset, model))
        found.append(
            {
                **_names(dataset, model),
                "plain": number(rates[faster(rates)]),
                "its workers": "2" if faster(rates) == PLAIN[1] else "0",
                "ours": number(rates[OURS[0]]),
                "ratio": f"{times['value']:.2f}",
                "from": f"{times['low']:.2f}",
                "to": f"{times['high']:.2f}",
                "target": f"{target:.1f}" if target else "-",
                "all recorded": number(rates[OURS[1]]),
                "its ratio": f"{recorded['value']:.2f}",
                "one run, one thread": number(rates[SINGLE]),
            }
        )
    return pd.DataFrame(found)


def formats(rows: pd.DataFrame) -> pd.DataFrame:
    """Return forward and backward passes by layout, type of number and threads, beside the usual format, the first."""
    found = rows[rows["part"] == "format"].reset_index(drop=True)
    usual = found.groupby(KEYS, sort=False)["value"].transform("first")
    shown = found[[*KEYS, "side"]].rename(columns={"dataset": "data", "model": "network", "side": "format"})
    shown["data"] = shown["data"].map(lambda name: LABELS.get(name, name))
    return shown.assign(**{RATE: found["value"].map(number), "times": (found["value"] / usual).map(number)})


def dynamics(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what metrics, p_y and histograms take, and what the inference passes take."""
    wide = _wide(rows, "dynamics", [*KEYS])
    return _named(
        wide, {"dynamics, share of an epoch": "dynamics (%)", "inference, share of an epoch": "inference (%)"}
    )


def memory(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the peak memory of one run, ours and plain, in MiB."""
    wide = _wide(rows, "memory", [*KEYS, "side"])
    return _named(wide, {"resident at peak, largest process": "resident (MiB)", "all processes (PSS)": "PSS (MiB)"})


def many(rows: pd.DataFrame) -> pd.DataFrame:
    """Return runs an hour and memory by the number of processes."""
    wide = _wide(rows, "many", [*KEYS, "at_once"])
    hourly = {name: name for name in wide.columns if str(name).endswith("an hour")}
    return _named(wide, {**hourly, "all processes (PSS)": "PSS (MiB)", "unshared (USS)": "USS (MiB)"})


def stacking(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rates of runs at once, as processes and as one stack, by their number."""
    return _named(_wide(rows, "stacking", [*KEYS, "side", "at_once"]), {RATE: RATE})


def whole(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the memory of a sweep that holds a whole data set, by the number of processes."""
    names = {
        "resident at peak, largest process": "largest process (MiB)",
        "all processes (PSS)": "all, PSS (MiB)",
        "unshared (USS)": "all, USS (MiB)",
        "shared pixels, all processes (PSS)": "mapped images, PSS (MiB)",
    }
    return _named(_wide(rows, "whole data", [*KEYS, "at_once"]), names)


def ceilings(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what the machine does at best, by the number of threads."""
    names = {"matrix product": "matrix product (GFLOP/s)", "copy, read and written": "copy (GB/s)"}
    return _named(_wide(rows, "ceiling", ["threads"]), names)


def roofline(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a training step's cost and its shares of the ceilings, on one thread."""
    names = {
        "operations of a step": "GFLOP",
        "bytes of a step": "GB",
        "seconds of a step": "seconds",
        "share of the matrix product": "of the product (%)",
        "share of the copy": "of the copy (%)",
        "bound, share of the time": "bound (%)",
    }
    return _named(_wide(rows, "roofline", KEYS), names)


def growth(rows: pd.DataFrame) -> pd.DataFrame:
    """Return seconds by the number of training images, and of sweeps by the number of runs."""
    wide = rows[rows["part"] == "growth"]
    kept = wide[["quantity", *KEYS, "side", "at_once", "examples"]].rename(
        columns={"dataset": "data", "model": "network", "at_once": "at once"}
    )
    names = kept["data"].map(lambda name: LABELS.get(name, name))
    return kept.assign(data=names, seconds=wide["value"].map(number)).reset_index(drop=True)


def gpu(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rates on the GPU; its cells say where nothing was measured."""
    return _named(_wide(rows, "gpu", [*KEYS, "side", "at_once"]), {RATE: RATE})


def number(value: float) -> str:
    """Return three significant digits, whole numbers from 100 on, or that there is no value."""
    if pd.isna(value):
        return ABSENT
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _names(dataset: str, model: str) -> dict[str, str]:
    return {"data": LABELS.get(dataset, dataset), "network": model}


def _wide(rows: pd.DataFrame, part: str, index: list[str]) -> pd.DataFrame:
    """Return a part with a column a quantity, in the order of the rows."""
    chosen = rows[rows["part"] == part]
    columns, lines = (
        list(dict.fromkeys(found)) for found in (chosen["quantity"], chosen[index].itertuples(index=False))
    )
    wide = chosen.pivot(index=index, columns="quantity", values="value")[columns]
    keys = [tuple(line) if len(index) > 1 else line[0] for line in lines]
    return wide.loc[keys].reset_index()


def _named(wide: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """Return the columns asked for under their short names, numbers as text."""
    keys = [name for name in ("dataset", "model", "side", "at_once", "threads") if name in wide]
    shown = wide[[*keys, *columns]].rename(columns=columns)
    for name in columns.values():
        shown[name] = shown[name].map(number)
    if "dataset" in shown:
        shown["dataset"] = shown["dataset"].map(lambda name: LABELS.get(name, name))
    return shown.rename(columns={"dataset": "data", "model": "network", "at_once": "at once"})


TABLES: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "throughput": ("Training images per second", throughput),
    "formats": ("Formats tried, forward and backward passes on one thread", formats),
    "dynamics": ("What recording takes of an epoch", dynamics),
    "memory": ("Memory of one run", memory),
    "many": ("Many runs", many),
    "stacking": ("Many runs, stacked as one network by torch.func", stacking),
    "whole": ("Many processes, one copy of the images", whole),
    "ceilings": ("What the machine does at best", ceilings),
    "roofline": ("A training step of 128 images on one thread", roofline),
    "growth": ("How cost grows", growth),
    "gpu": ("On a GPU", gpu),
}
"""The tables of a machine, in order: their titles, and what makes them."""
PARTS = {"formats": "format", "whole": "whole data", "ceilings": "ceiling"}
"""The part of the rows that a table shows, where it has another name."""
