"""Images a second, the library's sweep beside the plain loop, in one run: repetitions take turns."""

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any

import pandas as pd
import torch

from benchmarks import ours, plain
from benchmarks.setting import Budget, Cell, cores, row, shortened, there
from robustdl_lib.config import RunConfig
from robustdl_lib.data import Data, load, load_source
from robustdl_lib.data.raw import Source
from robustdl_lib.parallel import on_threads
from robustdl_lib.training.compute import Format, candidates, measure, pick, usual

PLAIN = ("plain, 0 workers", "plain, 2 workers")
OURS = ("ours, steps alone", "ours, all recorded")
SINGLE = "ours, steps alone, one run"
RATE = "training images per second"
Side = Callable[[], tuple[float, ours.Timed | None]]


def rows(budget: Budget) -> Iterator[dict[str, Any]]:
    """Yield the rates of each cell's sides, and of the sweeps with everything recorded what the recording takes.

    A data set that is not on this machine has no rows. A rate counts training images alone; a side's time runs from
    before its network is made to its last step, the loading of the data left out.
    """
    for cell in (cell for cell in budget.cells if there(cell.dataset)):
        source = load_source(cell.dataset)
        yield from compare(cell, source, budget.repeats)


def compare(cell: Cell, source: Source, repeats: int) -> list[dict[str, Any]]:
    """Return the rows of one cell: every side warmed up, then measured in turn, ``repeats`` times."""
    many, speeds = cores(), formats_tried(cell, source)
    sides = _sides(cell, source, pick(speeds, next(iter(speeds))))
    rates: dict[str, list[float]] = {name: [] for name in sides}
    shares: dict[str, list[float]] = {"dynamics": [], "inference": []}
    for repeat in range(-1, repeats):  # the first round warms up: processes start, kernels are chosen
        for name, side in sides.items():
            images, seconds, runs = side()
            if repeat >= 0:
                rates[name].append(images / seconds)
                if name == OURS[1]:
                    _add_shares(shares, runs)
    threads = dict.fromkeys(OURS, (many, 1)) | {SINGLE: (1, 1)} | dict.fromkeys(PLAIN, (1, many))
    where = {"dataset": cell.dataset, "model": cell.model, "examples": cell.examples}
    found = [
        row("throughput", RATE, "1/s", rates[name], side=name, at_once=count, threads=each, **where)
        for name, (count, each) in threads.items()
    ]
    found += [row("format", RATE, "1/s", [rate], side=form.words, **where) for form, rate in speeds.items()]
    return found + [
        row("dynamics", f"{name}, share of an epoch", "%", shares[name], side=OURS[1], at_once=many, **where)
        for name in shares
    ]


def formats_tried(cell: Cell, source: Source) -> dict[Format, float]:
    """Return forward and backward passes, in images a second, by format on one thread; the usual format first."""
    cfg = cell.config()
    with on_threads(1):
        forms = candidates(cfg, usual(cfg, torch.device("cpu")))
        return measure(cfg, forms, source.images.shape[1:], len(source.classes))


def ratio(table: pd.DataFrame, dataset: str, model: str, side: str = OURS[0]) -> dict[str, float]:
    """Return how many times the plain loop's rate a side has: median by median, and the range that both leave.

    The plain loop is the faster of the two numbers of workers. Raises KeyError where a row is missing.
    """
    found = table[(table["part"] == "throughput") & (table["dataset"] == dataset) & (table["model"] == model)]
    sides = found.set_index("side")
    one, other = sides.loc[side], sides.loc[faster(sides["value"])]
    return {
        "value": one["value"] / other["value"],
        "low": one["low"] / other["high"],
        "high": one["high"] / other["low"],
    }


def faster(rates: "pd.Series[float]") -> str:
    """Return which plain side has the larger rate, of rates by the name of their side."""
    return str(rates.loc[list(PLAIN)].idxmax())


def _sides(
    cell: Cell, source: Source, form: Format
) -> dict[str, Callable[[], tuple[int, float, Sequence[ours.Timed]]]]:
    """Return each side as a function that trains a repetition and returns images, seconds and the library's runs.

    Ours computes in ``form``, which a sweep would choose by itself.
    """
    many, cfg = cores(), cell.config()
    data = shortened(cfg, load(cfg, source))

    def swept(count: int, everything: bool) -> Callable[[], tuple[int, float, Sequence[ours.Timed]]]:
        def train() -> tuple[int, float, Sequence[ours.Timed]]:
            runs = ours.sweep(cell.sweep(count), source, count, everything=everything, form=form)
            return *ours.together(runs), runs

        return train

    return {
        OURS[0]: swept(many, False),
        PLAIN[0]: lambda: plainly(cfg, data, 0),
        OURS[1]: swept(many, True),
        PLAIN[1]: lambda: plainly(cfg, data, 2),
        SINGLE: swept(1, False),
    }


def plainly(cfg: RunConfig, data: Data, workers: int) -> tuple[int, float, Sequence[ours.Timed]]:
    """Train by the plain loop on all threads, and return images and seconds."""
    with on_threads(cores()):
        start = perf_counter()
        plain.train(cfg, data, workers=workers)
        return cfg.epochs * len(data.train.rows), perf_counter() - start, ()


def _add_shares(shares: dict[str, list[float]], runs: Sequence[ours.Timed]) -> None:
    """Add in per cent what inference takes of a run, and what the dynamics take of a run without its inference."""
    total, inference, dynamics = (
        sum(getattr(run, name) for run in runs) for name in ("seconds", "inference", "dynamics")
    )
    shares["inference"].append(100 * inference / total)
    shares["dynamics"].append(100 * dynamics / (total - inference))
