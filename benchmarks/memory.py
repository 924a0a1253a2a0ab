"""Memory of a run or a sweep: a process of its own does the work, and this one reads what all of its processes hold."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from benchmarks.setting import ROOT, Budget, Cell, cores, row, there
from benchmarks.throughput import PLAIN, SINGLE

INTERVAL = 1.0
"""Seconds between two looks: one takes some 10 ms of each process, which the work itself would lack."""
LONGEST = 900.0
MEBIBYTE = 2**20
FIELDS = ("Pss", "Private_Clean", "Private_Dirty")
MAP = re.compile(r"^[0-9a-f]+-[0-9a-f]+ .*joblib_memmapping.*\n(?:^(?![0-9a-f]+-)\w+:.*\n)*", re.MULTILINE)


class ChildFailed(RuntimeError):
    """A measured process that ended badly or took too long; the message holds its last words."""


@dataclass(frozen=True)
class Held:
    """Bytes that a process and its descendants hold at one moment.

    ``resident`` in the largest one, at its peak so far; ``proportional`` summed over all, where n processes that share
    a page hold 1/n of it each; ``unique`` summed, what no other process shares; ``mapped`` the proportional size of a
    sweep's memory map of the images.
    """

    resident: int
    proportional: int
    unique: int
    mapped: int
    processes: int


def rows(budget: Budget) -> Iterator[dict[str, Any]]:
    """Yield the peak memory of one run of ours and of one plain run without workers, for each cell."""
    for cell in (cell for cell in budget.cells if there(cell.dataset)):
        for side, kind, threads in ((SINGLE, "sweep", 1), (PLAIN[0], "plain", cores())):
            _, peak = watched(kind, cell)
            yield from held_rows("memory", cell, peak, side=side, threads=threads)


def held_rows(part: str, cell: Cell, peak: Held, **where: Any) -> list[dict[str, Any]]:
    """Return the rows that a peak makes, in MiB."""
    quantities = {
        "resident at peak, largest process": peak.resident,
        "all processes (PSS)": peak.proportional,
        "unshared (USS)": peak.unique,
        "shared pixels, all processes (PSS)": peak.mapped,
    }
    where = {"dataset": cell.dataset, "model": cell.model, "examples": cell.examples, **where}
    return [row(part, name, "MiB", [value / MEBIBYTE], **where) for name, value in quantities.items()]


def watched(kind: str, cell: Cell, at_once: int = 1, *, everything: bool = False) -> tuple[Any, Held]:
    """Let a new process train ``cell``, and return what it says and the most that it held.

    ``kind`` is ``sweep`` (ours, ``at_once`` processes) or ``plain``. Every number of the
    result is the largest that was seen of it. Raises ChildFailed where it failed or took a quarter of an hour.
    """
    asked = {"kind": kind, "at_once": at_once, "everything": everything, "cell": vars(cell)}
    command = [sys.executable, "-m", "benchmarks.child", json.dumps(asked)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            peak, deadline = [0] * 5, monotonic() + LONGEST
            while child.poll() is None and monotonic() < deadline:
                peak = [max(pair) for pair in zip(peak, vars(held(child.pid)).values(), strict=True)]
                sleep(INTERVAL)
        finally:
            child.kill()
        said, words = child.communicate()
    if child.returncode:
        raise ChildFailed(f"{kind} of {cell} ended with {child.returncode}: {words.strip().splitlines()[-1:]}")
    return json.loads(said.splitlines()[-1]), Held(*peak)


def held(pid: int) -> Held:
    """Return what a process and its descendants hold now; one that ends meanwhile counts as nothing."""
    found = [sizes for process in family(pid) if (sizes := _sizes(process))]
    total = {name: sum(sizes[name] for sizes in found) for name in (*FIELDS, "mapped")}
    unique = total["Private_Clean"] + total["Private_Dirty"]
    largest = max((sizes["VmHWM"] for sizes in found), default=0)
    return Held(largest, total["Pss"], unique, total["mapped"], len(found))


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    try:
        lists = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [pid, *(process for children in lists for child in children for process in family(int(child)))]


def _sizes(pid: int) -> dict[str, int]:
    """Return a process's sizes in bytes, or nothing where it has ended or cannot be read."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        status = Path(f"/proc/{pid}/status").read_text()
        maps = Path(f"/proc/{pid}/maps").read_text()
        details = Path(f"/proc/{pid}/smaps").read_text() if "joblib_memmapping" in maps else ""
    except OSError:
        return {}
    mapped = sum(_bytes(entry, "Pss") for entry in MAP.findall(details))
    return {**{name: _bytes(rollup, name) for name in FIELDS}, "VmHWM": _bytes(status, "VmHWM"), "mapped": mapped}


def _bytes(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0
