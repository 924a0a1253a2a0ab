"""The same comparison on a GPU, by the same functions: one run, the plain loop beside it, several runs at once."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from benchmarks import ours, stacked
from benchmarks.setting import Budget, Cell, row, there
from benchmarks.throughput import PLAIN, RATE, plainly
from robustdl_lib.config import RunConfig
from robustdl_lib.data import load, load_source
from robustdl_lib.data.raw import Source

THREADS, PROCESSES, STACKED = "ours, threads", "ours, processes", "ours, stacked"
"""Runs that share the GPU: threads with a stream and a graph each, as the library has them; processes; or one stack."""
ABSENT = "note: there is no CUDA device here, so the rows of the GPU say that they were not measured"


def rows(budget: Budget) -> Iterator[dict[str, Any]]:
    """Yield the rates of the plain loop and of 1, 2, ... runs of ours at once on CUDA; without values where it is not.

    Ours computes in bfloat16 where the GPU does, as the library does by default; the plain loop in float32.
    """
    cell = budget.gpu if there(budget.gpu.dataset) else Cell("digits", budget.gpu.model, 1257, 4)
    where = {"dataset": cell.dataset, "model": cell.model, "examples": cell.examples}
    if not torch.cuda.is_available():
        print(ABSENT)
    for (side, count), train in _sides(cell, budget).items():
        rates = _rates(train, budget.repeats) if torch.cuda.is_available() else []
        yield row("gpu", RATE, "1/s", rates, side=side, at_once=count, **where)


def _sides(cell: Cell, budget: Budget) -> dict[tuple[str, int], Callable[[], tuple[int, float]]]:
    def plainly_on_cuda(workers: int) -> tuple[int, float]:
        cfg = cell.config(device="cuda")
        return plainly(cfg, load(cfg), workers)[:2]

    def as_one(cfgs: Sequence[RunConfig], source: Source, _: int) -> list[ours.Timed]:
        return [stacked.stacking(cfgs, source)]

    def at_once(count: int, run: Callable[..., Sequence[ours.Timed]]) -> tuple[int, float]:
        return ours.together(run(cell.sweep(count, device="cuda"), load_source(cell.dataset), count))

    plain = {
        (side, 1): lambda workers=workers: plainly_on_cuda(workers) for side, workers in zip(PLAIN, (0, 2), strict=True)
    }
    mine = {
        (side, count): lambda count=count, run=run: at_once(count, run)
        for side, run in ((THREADS, ours.sharing), (PROCESSES, ours.sweep), (STACKED, as_one))
        for count in budget.gpu_at_once
    }
    return plain | mine


def _rates(train: Callable[[], tuple[int, float]], repeats: int) -> list[float]:
    """Return images a second of each repetition, after a first one that warms up."""
    measured = [train() for _ in range(repeats + 1)][1:]
    return [images / seconds for images, seconds in measured]
