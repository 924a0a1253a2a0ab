"""Tables as text: aligned lines for a pipe or a file, and Markdown for pages."""

import re
from collections.abc import Iterable
from typing import Any

import pandas as pd
from tabulate import tabulate

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?%?|-|nan|inf|-inf")
"""How a cell of a column of numbers reads; a dash stands where there is none."""
NONE = "-"


def plain(texts: pd.DataFrame, *, header: bool = True) -> str:
    """Return a table of text as aligned lines, two spaces between columns, none at a line's end."""
    names = [str(name) for name in texts] if header else ()
    sides = ["right" if is_number(texts[name]) else "left" for name in texts]
    lines = tabulate(
        texts.to_numpy().tolist(), names, "plain", disable_numparse=True, colalign=sides, preserve_whitespace=True
    )
    return "\n".join(line.rstrip() for line in lines.splitlines())


def markdown(texts: pd.DataFrame) -> str:
    """Return a table of text as Markdown, its columns of numbers to the right."""
    rows = texts.astype(str)
    numbers = [rows[name].str.fullmatch(r"[-+\d.%e]+|unbounded").all() for name in rows]
    sides = ["right" if number else "left" for number in numbers]
    return tabulate(rows.to_numpy().tolist(), list(rows), "pipe", disable_numparse=True, colalign=sides)


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a data frame with each value as a reader sees it: six digits at most, - where there is none."""
    return frame.astype(object).map(_cell)


def tenths(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a data frame with its fractions as text of one decimal, - where there is none."""
    return frame.map(lambda value: f"{value:.1f}" if isinstance(value, float) else value).replace("nan", NONE)


def is_number(cells: Iterable[str]) -> bool:
    """Return whether a column of text holds numbers alone."""
    return all(NUMBER.fullmatch(cell) for cell in cells)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return NONE
    return f"{value:.6g}" if isinstance(value, float) else str(value)
