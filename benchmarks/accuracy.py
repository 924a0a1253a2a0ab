"""The test accuracy of ours and of the plain loop on one setting: a speed that costs accuracy would be none.

``python -m benchmarks.accuracy --profile small --noise symmetric:0.4`` trains both for every seed, a run a process,
and adds a row to ``benchmarks/results/accuracy_<profile>.csv`` the moment a run ends. The same command goes on there.
"""

import csv
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import pandas as pd
import torch

from benchmarks import plain
from benchmarks.setting import ROOT, cores
from robustdl_lib import files, store, train
from robustdl_lib.config import RunConfig, profile_config
from robustdl_lib.data import load, load_source
from robustdl_lib.data.raw import Source
from robustdl_lib.parallel import spread
from robustdl_lib.report.tables import markdown
from robustdl_lib.training.compute import fastest

RESULTS = ROOT / "benchmarks" / "results"
SIDES = ("ours", "plain")
COLUMNS = (
    *("side", "profile", "dataset", "examples", "model", "noise", "method", "epochs", "seed", "test_acc", "seconds"),
    *("run_id", "git_revision", "torch", "device", "threads", "data_sha256", "labels_sha256"),
)


def configs(profile: str, noise: str, seeds: Sequence[int], **changes: Any) -> list[RunConfig]:
    """Return cross entropy in this noise on the processor, once a seed, which draws weights, order and noise."""
    fixed = {"noise": noise, "method": "cce", "device": "cpu", **changes}
    return [profile_config(profile, seed=seed, noise_seed=seed, **fixed) for seed in seeds]


def one(side: str, profile: str, cfg: RunConfig, source: Source) -> dict[str, Any]:
    """Train one run by ``"ours"`` or ``"plain"`` and return its row: the last test accuracy, and its origin."""
    started, data = perf_counter(), load(cfg, source)
    if side == "plain":
        reached = plain.test_accuracy(cfg, data, plain.train(cfg, data).model)
    else:
        form = fastest(cfg, torch.device("cpu"), data.train.pixels.shape[1:], data.num_classes)
        reached = float(train.fit(cfg, data, form=form).history["test_acc"].iloc[-1])
    origin = store.provenance(data, torch.device("cpu"), perf_counter() - started)
    said = {"side": side, "profile": profile, "test_acc": round(reached, 6), "run_id": cfg.run_id}
    known = {**cfg.model_dump(), **origin, "torch": origin["versions"]["torch"], **said}
    return {name: known[name] for name in COLUMNS}


def run(profile: str, cfgs: Sequence[RunConfig], jobs: int, path: Path) -> Iterator[dict[str, Any]]:
    """Train on both sides what ``path`` lacks, ``jobs`` processes at a time, and yield each row once it is on disk."""
    files.require_writable(path.parent)
    done = {(row["side"], row["run_id"]) for row in _read(path)}
    todo = [(side, cfg) for cfg in cfgs for side in SIDES if (side, cfg.run_id) not in done]
    sources = {name: load_source(name) for name in {cfg.dataset for _, cfg in todo}}
    calls = [(side, profile, cfg, sources[cfg.dataset]) for side, cfg in todo]
    for row in spread(one, calls, jobs, ordered=False) if calls else ():
        _add(path, row)
        yield row


def compare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard deviation a side in per cent, the difference, and the difference in standard errors.

    The standard error is that of a difference of two means, sqrt(s1^2 / n1 + s2^2 / n2), from the seeds' own
    deviation; with one seed there is none.
    """
    found = []
    keys = ["profile", "dataset", "noise", "method", "epochs"]
    for values, part in rows.groupby(keys, sort=False):
        sides = part.groupby("side")["test_acc"]
        mean, deviation, count = (100 * sides.mean()), (100 * sides.std()), sides.count()
        if set(mean.index) != set(SIDES):
            continue  # one side has not begun
        gap = mean["ours"] - mean["plain"]
        error = sqrt(sum(deviation[side] ** 2 / count[side] for side in SIDES))
        found.append(
            dict(zip(keys, values, strict=True))
            | {
                f"{side}, {word}": f"{value[side]:.1f}"
                for side in SIDES
                for word, value in (("mean", mean), ("sd", deviation))
            }
            | {
                "seeds": min(count),
                "difference": f"{gap:+.1f}",
                "in standard errors": f"{gap / error:+.1f}" if error else "-",
            }
        )
    return pd.DataFrame(found)


def blocks(folder: Path) -> list[str]:
    """Return the Markdown of the accuracies that ``folder`` holds: nothing, or a heading and a table of all files."""
    results = sorted(folder.glob("accuracy_*.csv"))
    tables = [table for path in results if len(table := compare(pd.read_csv(path)))]
    if not tables:
        return []
    links = ", ".join(f"[{path.name}]({folder.name}/{path.name})" for path in results)
    said = f"Last test accuracy in %, ours against the plain loop, the same seeds, noise and budget: {links}."
    return ["## Accuracy", said, markdown(pd.concat(tables).fillna("-"))]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--profile", default="small", show_default=True, help="A profile, such as small or quick.")
@click.option("--noise", default="symmetric:0.4", show_default=True, help="A noise.")
@click.option("--seeds", default="0 1 2", show_default=True, help="Seeds separated by spaces.")
@click.option("--jobs", default=cores(), type=click.IntRange(1), help="Processes at a time (default: one a core).")
def main(profile: str, noise: str, seeds: str, jobs: int) -> None:
    """Train ours and the plain loop on one setting, each finished run a row on disk, and print the comparison."""
    path = RESULTS / f"accuracy_{profile}.csv"
    try:
        cfgs = configs(profile, noise, [int(seed) for seed in seeds.split()])
        for row in run(profile, cfgs, jobs, path):
            click.echo(f"{row['side']:5s} seed {row['seed']}: {row['test_acc']:.1%} after {row['seconds']:.0f} s")
    except (ValueError, OSError, RuntimeError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(compare(pd.read_csv(path)).to_string(index=False))


def _read(path: Path) -> list[dict[str, str]]:
    """Return the whole rows of a csv: none where there is no file, and a last line that was cut short left out."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if None not in row.values()]


def _add(path: Path, row: dict[str, Any]) -> None:
    """Add a row: the file is the old one or the new one at any time."""
    rows = pd.DataFrame([*_read(path), row], columns=list(COLUMNS))
    files.write_all({path.name: rows.to_csv(index=False, lineterminator="\n").encode()}, path.parent)


if __name__ == "__main__":
    main()
