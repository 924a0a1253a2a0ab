"""The page of the reproduction report: one HTML file without a network, every verdict in colour and in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader

from robustdl_lib.report import verdicts

TEMPLATE = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
).get_template("report.html")
DIGITS = {"%": 1, "points": 1, "share": 3, "p": 4, "1": 3}
"""Decimals by unit, on the page and in the table that is printed."""
OPENED = ("claim",)
"""The parts whose groups are unfolded when the page opens; others are where something was compared."""
HEADS = {
    "claim": ("claim", "published", "ours", "clears by", "tolerance", "here", "verdict"),
    "exact": ("number", "written", "computed", "off by", "tolerance", "here", "verdict"),
    "number": ("number", "published", "ours", "ours less published", "tolerance", "here", "verdict"),
    "machine": ("method", "published", "reference", "here less reference", "tolerance", "here", "verdict"),
}
CHOICES = {
    "": "every verdict",
    "bad": "red: does not hold, outside",
    "good": "green: holds, within tolerance",
    "unsure": "amber: within the spread, one seed",
    "open": "grey: no run yet, not comparable",
}
READING = {
    "claim": "Differences in points, mean over seeds, subtracted seed by seed. “Clears by” is how far ours exceeds "
    "what the claim asks for. It holds where that is more than the tolerance, which is what chance can do to a mean of "
    "so few seeds (Student’s t, 95 %, one side); within the tolerance it is called within the spread. Nothing is "
    "corrected for the number of claims: of twenty differences that are none, one holds and one does not hold by "
    "chance. The published difference is of the papers' data and networks: in the profiles quick and small compare "
    "signs, not sizes.",
    "exact": "Computed from the formula now; the tolerance is half of the last digit that is written.",
    "number": "A published number is compared where rows of the same data set, network and noise lie there. The "
    "tolerance is 3 points, by which the papers’ own repeats of one setting differ, or the spread of our seeds if that "
    "is more. Without rows it has no run yet, which is not a pass.",
    "machine": "The tolerance is what chance can do to the difference of two means of so few seeds, from the spread of "
    "both (Student’s t, 95 %, both sides): of twenty such differences one is larger by chance.",
}


def page(rows: pd.DataFrame, *, parts: Mapping[str, str], lead: Sequence[str], facts: Mapping[str, str]) -> str:
    """Return the report as one HTML document, the same text for the same lines.

    rows: lines of :mod:`robustdl_lib.report.report`; parts: their names and headings in order; lead: the sentences at
    the top; facts: what the lines rest on.
    """
    groups = {
        part: [_group(part, str(name), group) for name, group in chosen.groupby("group", sort=False)]
        for part in parts
        for chosen in [rows[rows["part"] == part]]
    }
    return TEMPLATE.render(
        lead=lead, facts=facts, choices=CHOICES, parts=parts, groups=groups, reading=READING, heads=HEADS
    )


def _group(part: str, name: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Return a group of lines for the template: its name, its counts by verdict, whether it is unfolded, its lines."""
    counts = rows["verdict"].value_counts(sort=False)
    kinds = rows["verdict"].map(verdicts.kind)
    compared = (kinds != "open").any()
    return {
        "name": name,
        "tags": [(verdicts.kind(word), f"{count} {verdicts.said(word, count)}") for word, count in counts.items()],
        "unfolded": part in OPENED or (compared and part != "exact") or (kinds == "bad").any(),
        "lines": [_line(part, row) for row in rows.to_dict("records")],
    }


def _line(part: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line for the template: its words, its numbers as text, and its verdicts with their looks."""
    tags = [(verdicts.kind(row["verdict"]), row["verdict"])]
    if row["verdict_here"] != verdicts.NONE and part != "exact":
        tags.append((verdicts.kind(row["verdict_here"]), f"here: {row['verdict_here']}"))
    values = [row[name] for name in ("published", "reference", "difference", "tolerance", "here")]
    given = [word for word in (row["verdict"], row["verdict_here"]) if word != verdicts.NONE]
    return {
        **row,
        "kinds": " ".join(dict.fromkeys(map(verdicts.kind, given))),
        "numbers": [_number(value, row["unit"], signed=index == 2) for index, value in enumerate(values)],
        "tags": tags,
        "setting": "" if part == "machine" else f"{row['setting']}; ",
        "seeds": f", {row['seeds']} seed{'' if row['seeds'] == 1 else 's'}" if row["seeds"] else "",
    }


def _number(value: float, unit: str, *, signed: bool) -> str:
    return "-" if pd.isna(value) else f"{value:{'+' if signed else ''}.{DIGITS[unit]}f}".replace("-", "−")
