"""What commands print: tables and bars by rich on a terminal, plain aligned lines in a pipe or a file.

A table is a data frame. Colours are left out where ``NO_COLOR`` is set to anything (no-color.org), and wherever the
output is no terminal. The library itself prints through none of this.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TextIO, TypeVar

import click
import pandas as pd

from robustdl_lib.report.tables import NONE, as_text, is_number, plain

Item = TypeVar("Item")


def is_terminal(stream: TextIO) -> bool:
    """Return whether somebody watches ``stream``: a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: str, stream: TextIO) -> str:
    """Return ``text`` in ``colour`` where ``stream`` is a terminal and ``NO_COLOR`` is not set, else as it is."""
    return click.style(text, fg=colour) if is_terminal(stream) and not os.environ.get("NO_COLOR") else text


def error(message: str) -> None:
    """Say what was refused or failed, on standard error."""
    click.echo(f"{coloured('error:', 'red', sys.stderr)} {message}", err=True)


def warning(message: object) -> None:
    """Say on standard error what a reader should know of what goes on all the same."""
    click.echo(f"{coloured('warning:', 'yellow', sys.stderr)} {message}", err=True)


def table(frame: pd.DataFrame, *, header: bool = True) -> None:
    """Print a data frame on standard output: columns of numbers to the right, text to the left, - where is nothing."""
    texts = as_text(frame)
    if is_terminal(sys.stdout):
        _draw(texts, header)
    else:
        click.echo(plain(texts, header=header))


def track(items: Sequence[Item], doing: str, *, quiet: bool = False) -> Iterator[Item]:
    """Yield ``items``, with a bar on standard error where that is a terminal; it goes when all is done."""
    if quiet or not is_terminal(sys.stderr):
        yield from items
        return
    from rich.progress import track as tracked

    yield from tracked(items, description=doing, console=_console(sys.stderr), transient=True)


def spoken(seconds: float) -> str:
    """Return a duration in the unit that suits it: ``40 s``, ``12 min``, ``3.4 h``; - where it is not known."""
    if seconds != seconds:
        return NONE
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _draw(texts: pd.DataFrame, header: bool) -> None:
    """Print a table of text on a terminal, folded where the terminal is narrower; what looks like markup is text."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD if header else None, show_header=header, header_style="cyan", pad_edge=False)
    for name in texts:
        number = is_number(texts[name])
        drawn.add_column(Text(str(name)), justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in texts.itertuples(index=False):
        drawn.add_row(*map(Text, row))
    _console(sys.stdout).print(drawn)


def _console(stream: TextIO) -> Any:
    from rich.console import Console

    return Console(file=stream, force_terminal=True, highlight=False)
