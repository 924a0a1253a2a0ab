"""``python -m benchmarks``: measure this machine, write its rows and its picture, and renew the README."""

from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import pandas as pd

from benchmarks import gpu, many, memory, report, roofline, throughput
from benchmarks.setting import BUDGETS, ROOT, Budget, budget, there
from robustdl_lib import files, paths

TRIED = ROOT / "build" / "benchmarks"
PARTS: dict[str, Callable[[Budget], Iterator[dict[str, Any]]]] = {
    "throughput": throughput.rows,
    "memory": memory.rows,
    "many": many.rows,
    "roofline": roofline.rows,
    "gpu": gpu.rows,
}


def measure(chosen: Budget, say: Callable[[str], None] = print) -> pd.DataFrame:
    """Return the rows of every part, one after the other; ``say`` hears what is on and what is left out."""
    if not all(there(cell.dataset) for cell in chosen.cells):
        say(f"note: CIFAR-10 is not in {paths.data()}, so its rows are left out")
    found = []
    for name, part in PARTS.items():
        started = perf_counter()
        found += list(part(chosen))
        say(f"{name}: {perf_counter() - started:.0f} s")
    return pd.DataFrame(found)


def run(name: str, folder: Path, page: Path, say: Callable[[str], None] = print) -> Path:
    """Measure with a budget, keep the results in ``folder`` and renew ``page``; return the csv's path."""
    chosen, origin, started = budget(name), report.machine(), perf_counter()
    files.require_writable(folder)
    rows = measure(chosen, say)
    path = report.keep(rows, {**origin, "budget": name, "seconds": round(perf_counter() - started)}, folder)
    report.write_page(folder, page)
    return path


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--budget", "name", default="quick", show_default=True, help=f"One of {', '.join(BUDGETS)}.")
@click.option("--page", is_flag=True, help="Measure nothing, renew the README from the rows.")
def main(name: str, page: bool) -> None:
    """Measure this machine: what a budget tries out (tiny) lands in build/, what quick measures in benchmarks/."""
    if page:
        report.write_page()
        return
    try:
        folder, target = (report.RESULTS, report.PAGE) if name != "tiny" else _trial()
        click.echo(f"{run(name, folder, target, click.echo)}")
    except (ValueError, OSError, RuntimeError) as error:
        raise click.ClickException(str(error)) from None


def _trial() -> tuple[Path, Path]:
    """Return a folder and a copy of the README that a trial may fill."""
    TRIED.mkdir(parents=True, exist_ok=True)
    page = TRIED / report.PAGE.name
    page.write_text(report.PAGE.read_text())
    return TRIED / "results", page


if __name__ == "__main__":
    main()
