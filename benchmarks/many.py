"""Many runs on one machine: runs an hour and memory, by the number of processes, and what a longer sweep takes."""

from collections.abc import Iterator
from typing import Any

from benchmarks import ours, stacked
from benchmarks.gpu import STACKED
from benchmarks.memory import held_rows, watched
from benchmarks.setting import Budget, Cell, cores, row, there
from benchmarks.throughput import OURS, RATE
from robustdl_lib.config import PROFILES
from robustdl_lib.data import load_source
from robustdl_lib.parallel import on_threads

EPOCHS = PROFILES["quick"]["epochs"]


def rows(budget: Budget) -> Iterator[dict[str, Any]]:
    """Yield runs an hour and memory of the crowd, and memory with a whole data set, at each number of processes."""
    for count in budget.at_once:
        said, peak = watched("sweep", budget.crowd, count, everything=True)
        yield an_hour(budget.crowd, count, said)
        yield from held_rows("many", budget.crowd, peak, side=OURS[1], at_once=count)
    for count in budget.at_once if there(budget.whole.dataset) else ():
        _, peak = watched("sweep", budget.whole, count)
        yield from held_rows("whole data", budget.whole, peak, side=OURS[0], at_once=count)
    yield from longer(budget)
    yield from as_one(budget)


def an_hour(cell: Cell, count: int, said: dict[str, Any]) -> dict[str, Any]:
    """Return the row of the runs of 50 epochs, as the quick profile has them, that an hour holds."""
    epochs = said["runs"] * cell.epochs
    where = {"dataset": cell.dataset, "model": cell.model, "examples": cell.examples, "at_once": count}
    return row(
        "many",
        f"runs of {EPOCHS} epochs an hour",
        "1/h",
        [3600 * epochs / said["seconds"] / EPOCHS],
        side=OURS[1],
        **where,
    )


def longer(budget: Budget) -> Iterator[dict[str, Any]]:
    """Yield the seconds of sweeps of 2, 4, ... runs on all cores, everything recorded."""
    cell, many = budget.crowd, cores()
    source = load_source(cell.dataset)
    where = {"dataset": cell.dataset, "model": cell.model, "examples": cell.examples, "at_once": many}
    ours.sweep(cell.sweep(many), source, many, everything=True)
    for count in budget.runs:
        _, seconds = ours.together(ours.sweep(cell.sweep(count), source, many, everything=True))
        yield row("growth", f"seconds of {count} runs", "s", [seconds], side=OURS[1], **where)


def as_one(budget: Budget) -> Iterator[dict[str, Any]]:
    """Yield the rates of runs at once: in processes of one thread each, and stacked as one network on all threads."""
    cell, source = budget.crowd, load_source(budget.crowd.dataset)
    for count in budget.at_once:
        where = {"dataset": cell.dataset, "model": cell.model, "examples": cell.examples, "at_once": count}
        sides = {
            OURS[0]: lambda cfgs, count=count: ours.sweep(cfgs, source, count),
            STACKED: lambda cfgs: [stacked.stacking(cfgs, source)],
        }
        for side, train in sides.items():
            with on_threads(cores()):
                rates = [
                    images / seconds for images, seconds in (ours.together(train(cell.sweep(count))) for _ in range(3))
                ]
            yield row("stacking", RATE, "1/s", rates[1:], side=side, **where)
