"""The page of the reproduction report: one HTML file without a network, every verdict in colour and in words."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from robustdl_lib.report import verdicts

TEMPLATE = Path(__file__).parent / "report.html"
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

    rows: lines of :mod:`robustdl_lib.report.report`; parts: their names and headings in order; lead: the sentences at the
    top; facts: what the lines rest on.
    """
    words = {
        "lead": "".join(f"<p>{escape(sentence)}</p>" for sentence in lead),
        "facts": "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items()),
        "choices": "".join(f'<option value="{kind}">{escape(said)}</option>' for kind, said in _choices().items()),
        "parts": "\n".join(_part(part, title, rows[rows["part"] == part]) for part, title in parts.items()),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: words[mark[1]], TEMPLATE.read_text(encoding="utf-8"))


def _choices() -> dict[str, str]:
    return {"": "every verdict", "bad": "red: does not hold, outside", "good": "green: holds, within tolerance"} | {
        "unsure": "amber: within the spread, one seed",
        "open": "grey: no run yet, not comparable",
    }


def _part(part: str, title: str, rows: pd.DataFrame) -> str:
    groups = "\n".join(_group(part, str(name), group) for name, group in rows.groupby("group", sort=False))
    return (
        f'<section id="{part}"><h2>{escape(title)}</h2><p class="soft">{escape(READING[part])}</p>'
        f"{groups or '<p>No rows lie there.</p>'}</section>"
    )


def _group(part: str, name: str, rows: pd.DataFrame) -> str:
    counts = rows["verdict"].value_counts(sort=False)
    tags = "".join(
        f'<span class="tag {verdicts.kind(word)}">{count} {escape(verdicts.said(word, count))}</span>'
        for word, count in counts.items()
    )
    compared = (rows["verdict"].map(verdicts.kind) != "open").any()
    unfolded = part in OPENED or (compared and part != "exact") or (rows["verdict"].map(verdicts.kind) == "bad").any()
    head = "".join(f'<th scope="col">{escape(word)}</th>' for word in HEADS[part])
    body = "\n".join(_row(part, row) for row in rows.to_dict("records"))
    return (
        f"<details{' open' if unfolded else ''}><summary>{escape(name)} {tags}</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></details>"
    )


def _row(part: str, row: Mapping[str, Any]) -> str:
    words = [word for word in (row["verdict"], row["verdict_here"]) if word != verdicts.NONE]
    kinds = " ".join(dict.fromkeys(map(verdicts.kind, words)))
    values = (row["published"], row["reference"], row["difference"], row["tolerance"], row["here"])
    cells = "".join(
        f'<td class="number{" none" if pd.isna(value) else ""}" data-label="{escape(head)}">'
        f"{_number(value, row['unit'], index == 2)}</td>"
        for index, (head, value) in enumerate(zip(HEADS[part][1:6], values, strict=True))
    )
    return (
        f'<tr data-kinds="{kinds}"><th scope="row">{_said(part, row)}</th>{cells}'
        f'<td class="verdicts" data-label="verdict">{_tags(row)}</td></tr>'
    )


def _said(part: str, row: Mapping[str, Any]) -> str:
    source = escape(str(row["source"]))
    linked = f'<a href="{escape(str(row["url"]))}">{source}</a>' if row["url"] else source
    seeds = f", {row['seeds']} seed{'s' * (row['seeds'] != 1)}" if row["seeds"] else ""
    setting = "" if part == "machine" else f"{escape(str(row['setting']))}; "
    note = f" {escape(str(row['note']))}" if row["note"] else ""
    return f'{escape(str(row["claim"]))}<span class="soft">{setting}{linked}{seeds}.{note}</span>'


def _tags(row: Mapping[str, Any]) -> str:
    ours = f'<span class="tag {verdicts.kind(row["verdict"])}">{escape(row["verdict"])}</span>'
    if row["verdict_here"] == verdicts.NONE or row["part"] == "exact":
        return ours
    return f'{ours}<span class="tag {verdicts.kind(row["verdict_here"])}">here: {escape(row["verdict_here"])}</span>'


def _number(value: float, unit: str, signed: bool) -> str:
    return "-" if pd.isna(value) else f"{value:{'+' if signed else ''}.{DIGITS[unit]}f}".replace("-", "−")
