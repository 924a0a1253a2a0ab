"""Generated tables in Markdown pages: written between their marks, from committed rows alone."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from robustdl_lib.config import ConfigError
from robustdl_lib.report import summary, tables
from robustdl_lib.runs import store, sweeps
from robustdl_lib.runs.sweeps import Setting
from robustdl_lib.studies.sweeps import WORKED_METHODS, WORKED_NOISES
from robustdl_lib.theory import method_card

MARKS = ("<!-- {}: begin -->\n", "<!-- {}: end -->")
WORKED: dict[str, Setting] = {
    **{noise.partition(":")[0]: Setting(noise=noise, methods=WORKED_METHODS) for noise in WORKED_NOISES},
    "human": Setting("small", noise="human:worst"),
}
"""The settings of docs/SETTINGS.md, by the name of their table."""


def write(path: Path) -> list[str]:
    """Renew the tables between their marks in ``path`` and return their names.

    Raises ConfigError for a page without a mark, OSError where it cannot be written.
    """
    text, written = path.read_text(), []
    for name, table in TABLES.items():
        first, last = (mark.format(name) for mark in MARKS)
        head, begin, rest = text.partition(first)
        tail = rest.partition(last)[2]
        if begin and tail:
            text = f"{head}{begin}\n{tables.markdown(table())}\n\n{last}{tail}"
            written.append(name)
    if not written:
        raise ConfigError(f"{path} lacks the marks of a table, such as {MARKS[0].strip().format('headline')}")
    path.write_text(text)
    return written


def trained(*names: str, setting: Setting | None = None) -> pd.DataFrame:
    """Return the readable headline of the committed runs of sweeps in a setting, by default the quick profile's own."""
    chosen = setting or Setting()
    runs = [run for name in names for run in _committed(name, chosen)]
    return summary.readable(summary.headline(sweeps.rows(runs)))


def _committed(name: str, setting: Setting) -> Sequence[store.Run]:
    return sweeps.found(sweeps.plan(name, setting), sweeps.shelves(name, setting.home, "reference"))


def _worked(name: str) -> Callable[[], pd.DataFrame]:
    return lambda: trained("figures", setting=WORKED[name])


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "headline": lambda: trained("figures"),
    "trained": lambda: trained("figures", "relatives"),
    "small": lambda: trained("figures", setting=Setting("small")),
    "methods": lambda: method_card.table().assign(formula=lambda df: "`" + df["formula"] + "`"),
    **{name: _worked(name) for name in WORKED},
}
