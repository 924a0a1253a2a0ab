"""Many runs on one machine: runs an hour and memory, by the number of processes, and what a longer sweep takes."""

from collections.abc import Iterator
from typing import Any

from benchmarks import ours
from benchmarks.memory import held_rows, watched
from benchmarks.setting import Budget, Cell, cores, row, there
from benchmarks.throughput import OURS
from robustdl_lib.config import PROFILES
from robustdl_lib.data import load_source

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
