"""The reproduction report: what was published, what our rows say, what this machine's say, and how far apart they are.

A line is a claim (an order or a phenomenon, tested on the rows of a profile), a number of an emphasis curve (computed
now), a published number (compared where rows of its data set, network and noise lie there), or a number of the
committed reference beside this machine's. What was not run is called so and counts for nothing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robustdl_lib import files, paths
from robustdl_lib.files import write_all
from robustdl_lib.report import claims, comparison, published, summary, tables, verdicts
from robustdl_lib.report import page as report_page
from robustdl_lib.runs import store

PARTS = {
    "claim": "Claims of the talk and the papers, tested on our rows",
    "exact": "Numbers of emphasis curves, computed now",
    "number": "Published numbers and their counterparts here",
    "machine": "The committed reference and this machine",
}
"""The parts of the report, in their order."""
COLUMNS = (
    *("part", "group", "id", "claim", "setting", "unit", "published", "reference", "seeds", "here", "difference"),
    *("tolerance", "verdict", "verdict_here", "source", "url", "note"),
)
SHOWN = {"claim": "claim", "setting": "noise", "published": "published", "reference": "ours", "seeds": "seeds"}
SHOWN |= {"here": "here", "difference": "difference", "tolerance": "tolerance", "verdict": "verdict"}
SHOWN |= {"verdict_here": "verdict here"}
NUMBERS = ("published", "reference", "seeds", "here", "difference", "tolerance")
RED = 1
"""The exit code of ``--strict`` where something is red."""
Say = Callable[[str], None]


def run(profile: str = "quick", *, shelf: str = "runs", every: bool = False, strict: bool = False, say: Say) -> int:
    """Write report.csv and report.html, say the table, and return the exit code: 0, or 1 if ``strict`` and red.

    shelf: ``runs`` compares this machine's rows and writes to ``results/report/PROFILE``; ``reference`` leaves them
    out and renews the committed report, ``results/reference/report/PROFILE``. Raises ConfigError for an unknown
    profile, ValueError for another shelf, OSError where the folder cannot be written.
    """
    folder = place(profile, shelf)
    rows = assemble(profile, shelf)
    files.require_writable(folder)
    table = rows.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
    page = report_page.page(rows, parts=PARTS, lead=lead(rows), facts=_facts(rows, profile, shelf))
    write_all({"report.csv": table, "report.html": page.encode()}, folder)
    say(text(rows, every=every))
    say(f"report: {folder / 'report.html'}")
    return RED if strict and len(red(rows)) else 0


def place(profile: str, shelf: str = "runs") -> Path:
    """Return the folder of a report; raises ValueError for a shelf other than ``runs`` and ``reference``."""
    if shelf not in store.SHELVES:
        raise ValueError(f"unknown shelf {shelf!r}: there is {', '.join(store.SHELVES)}")
    return paths.results() / ("reference" if shelf == "reference" else "") / "report" / profile


def assemble(profile: str = "quick", shelf: str = "runs") -> pd.DataFrame:
    """Return the report's lines, columns :data:`COLUMNS`, from the rows on disk; raises as :func:`run`."""

    def both(read: Callable[[str], pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
        ours = read("reference")
        return ours, read("runs") if shelf == "runs" else ours.iloc[:0]

    ours, here = both(lambda name: claims.profile_rows(name, profile))
    rates = both(lambda name: claims.rate_rows(name, profile))
    computed = claims.exact() if shelf == "runs" else claims.exact().assign(here=np.nan, verdict_here=verdicts.NONE)
    tested = claims.evaluated(claims.measures(ours), claims.measures(here), profile)
    papers = comparison.compared(*both(comparison.paper_rows))
    parts = [tested, claims.rising(*rates), computed, papers, machine(ours, here)]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)[list(COLUMNS)]


def machine(ours: pd.DataFrame, here: pd.DataFrame) -> pd.DataFrame:
    """Return a line a (noise, method) of the committed rows: last accuracy here beside it, within chance or not.

    ours, here: rows of :func:`robustdl_lib.report.claims.profile_rows`.
    """
    if ours.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    reference = summary.headline(ours)
    apart = summary.differences(summary.headline(here), reference) if len(here) else pd.DataFrame()
    found = {(row["noise"], row["label"]): row for row in apart.to_dict("records")}
    lines = [_machine(row, found.get((row["noise"], row["label"]), {})) for row in reference.to_dict("records")]
    return pd.DataFrame(lines)


def red(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of a report of which a verdict is bad, ours or this machine's."""
    return rows[rows["verdict"].isin(verdicts.BAD) | rows["verdict_here"].isin(verdicts.BAD)]


def lead(rows: pd.DataFrame) -> list[str]:
    """Return a sentence a part that counts its verdicts, what is red also where it is none."""
    sentences = [f"{words}: {_counted(rows[rows['part'] == part])}." for part, words in PARTS.items()]
    count = len(red(rows))
    return [*sentences, f"Red lines: {count}." if count else "Red lines: none."]


def text(rows: pd.DataFrame, *, every: bool = False) -> str:
    """Return the report as aligned text: claims and compared numbers in full, the rest counted unless ``every``."""
    blocks = []
    for part, words in PARTS.items():
        chosen = rows[rows["part"] == part]
        blocks.append(f"{words}\n" + "\n".join(_block(chosen, every=every or part == "claim")))
    return "\n\n".join([*blocks, "\n".join(lead(rows))])


def readable(rows: pd.DataFrame) -> pd.DataFrame:
    """Return lines of the report as text for readers: the columns of :data:`SHOWN`, - where there is none."""
    shown = rows[list(SHOWN)].astype(object)
    for name in NUMBERS:
        digits = [0 if name == "seeds" else report_page.DIGITS[unit] for unit in rows["unit"]]
        signed = "+" if name == "difference" else ""
        shown[name] = [_number(value, places, signed) for value, places in zip(rows[name], digits, strict=True)]
    return shown.rename(columns=SHOWN)


def _block(rows: pd.DataFrame, *, every: bool) -> list[str]:
    """Return the lines of a part, group by group under one heading, uninteresting ones counted unless ``every``."""
    met = rows["reference"].notna() | rows["here"].notna()
    full = pd.Series(True, index=rows.index) if every else met & (rows["part"] != "exact")
    full |= rows["verdict"].isin(verdicts.BAD) | rows["verdict_here"].isin(verdicts.BAD)
    table = tables.plain(readable(rows[full])).splitlines() if full.any() else []
    lines = [f"  {table[0]}"] if table else []
    written = dict(zip(rows.index[full], table[1:], strict=True))
    for group, part in rows.groupby("group", sort=False):
        told = [written[index] for index in part.index if index in written]
        rest = part[~full[part.index]]
        counted = f": {_counted(rest)}" if len(rest) else ""
        lines += [f"  {group}{counted}", *(f"    {line}" for line in told)]
    return lines


def _counted(rows: pd.DataFrame) -> str:
    """Say how many lines have which verdict, in the order of verdicts; this machine's where there are any."""
    told = verdicts.counted(rows["verdict"])
    here = rows.loc[rows["verdict_here"] != verdicts.NONE, "verdict_here"]
    return told + (f"; this machine: {verdicts.counted(here)}" if len(here) and set(rows["part"]) != {"exact"} else "")


def _machine(row: dict[Any, Any], found: dict[Any, Any]) -> dict[str, Any]:
    difference, tolerance = (found.get(name, np.nan) for name in ("difference", "tolerance"))
    return {
        "part": "machine",
        "group": f"Test accuracy after the last epoch, {row['noise']}",
        "id": f"machine/{row['noise'].replace(':', '-')}/{row['method']}",
        "claim": row["label"],
        "setting": row["noise"],
        "unit": "%",
        "published": np.nan,
        "reference": row["last_mean"],
        "seeds": row["seeds"],
        "here": found.get("here", np.nan),
        "difference": difference,
        "tolerance": tolerance,
        "verdict": verdicts.of_number(difference, tolerance),
        "verdict_here": verdicts.NONE,
        "source": "results/reference",
        "url": "",
        "note": "",
    }


def _number(value: float, digits: int, signed: str) -> str:
    return "-" if pd.isna(value) else f"{value:{signed}.{digits}f}"


def _facts(rows: pd.DataFrame, profile: str, shelf: str) -> dict[str, str]:
    here = int((rows["here"].notna() & (rows["part"] != "exact")).sum())
    return {
        "profile": f"{profile}: claims and reference are of this profile; published numbers are met by rows of "
        f"{', '.join(comparison.HOMES)} alone",
        "this machine": "left out" if shelf == "reference" else f"rows for {here} lines",
        "published numbers": f"{int((rows['part'] == 'number').sum())} from "
        f"{len(published.TITLES) - len(published.EXACT)} tables, each with its source",
        "revision": str(store.code_version()["git_revision"] or "unknown") if shelf == "runs" else "the committed rows",
    }
