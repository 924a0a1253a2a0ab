"""Figures: one function each, data frame in, matplotlib Figure out; only :func:`save` writes files.

A figure is registered with the columns that it reads and with where its rows come from: ``"runs"`` (rows of
:func:`robustdl_lib.runs.store.load_runs`), ``"p_y"`` (histograms of p_y), ``"study:NAME"``, or a function that returns
them. ``prepare`` turns such rows into the columns that are read, and returns prepared rows unchanged. The registry
prepares and checks the rows before it calls the function.
"""

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from robustdl_lib.files import record, write_all
from robustdl_lib.plots.rows import require
from robustdl_lib.plots.style import footnote, render
from robustdl_lib.registry import FIGURES, Entry
from robustdl_lib.runs import studies

__all__ = ["FIGURES", "computed", "read", "save", "table"]


def _on_checked_rows(entry: Entry) -> Callable[..., Figure]:
    """Return the figure's function for any rows: they are prepared, checked, and reduced to its columns first."""

    @functools.wraps(entry.function)
    def drawn(rows: pd.DataFrame) -> Figure:
        return entry.function(_readable(entry, rows))

    return drawn


FIGURES.adapt = _on_checked_rows


def _readable(entry: Entry, rows: pd.DataFrame) -> pd.DataFrame:
    facts = entry.facts
    prepared = facts.prepare(rows) if facts.prepare else rows
    if facts.may_be_empty and prepared.empty:
        return prepared.reindex(columns=list(facts.columns))
    return require(entry.name, prepared, facts.columns)


def computed(name: str) -> pd.DataFrame | None:
    """Return the rows of a figure that reads no runs: those of its study, or what its function computes; else None."""
    rows = FIGURES.entry(name).facts.rows
    if callable(rows):
        return rows()
    return studies.rows(rows.removeprefix("study:")) if rows.startswith("study:") else None


def table(name: str, df: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that a figure reads: prepared, with its columns only.

    Raises SpecError for an unknown figure, and ValueError as :func:`robustdl_lib.plots.rows.require`.
    """
    return _readable(FIGURES.entry(name), df)


def save(name: str, df: pd.DataFrame, folder: Path | str, provenance: dict[str, Any], note: str = "") -> Path:
    """Draw a figure and write ``<name>.png``, ``.svg``, ``.csv`` (its rows) and ``.json`` (what it rests on).

    It is drawn from the .csv's 6 significant digits, so that the file alone gives the same bytes again, and a ``note``
    below. Each file is whole or absent. Returns the png's path; raises as :func:`table`, and OSError on a failed write.
    """
    entry = FIGURES.entry(name)
    rows = table(name, df).to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
    chart = entry.function(read(io.BytesIO(rows)))
    said = {"figure": name, "caption": entry.label, "source": entry.source, "provenance": provenance}
    said |= footnote(chart, note)
    files = {".csv": rows, ".json": record(said, rows), ".png": render(chart, "png")}
    chart.set_layout_engine("none")  # where things lie is settled: the svg needs no second search
    files[".svg"] = render(chart, "svg")
    write_all({name + ending: content for ending, content in files.items()}, Path(folder))
    return Path(folder) / f"{name}.png"


def read(source: Any) -> pd.DataFrame:
    """Read back the .csv of a saved figure, from a path or a file."""
    return pd.read_csv(source, keep_default_na=False, na_values=[""])
