"""Where data, results and figures live; each place can be moved by an environment variable."""

import os
import re
from pathlib import Path

NAMED = re.compile(r'^name = "robustdl-lib"$', re.MULTILINE)


def is_checkout(folder: Path) -> bool:
    """Return whether ``folder`` is the root of the project's own tree: its ``pyproject.toml`` names it."""
    try:
        return bool(NAMED.search((folder / "pyproject.toml").read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        return False


def root(package: Path, current: Path) -> Path:
    """Return the folder that places are relative to, for a ``package`` that runs in the folder ``current``.

    The checkout that the package lies in; for an installed one the checkout that the current folder lies in, as for a
    notebook that runs in ``notebooks/``; else the current folder.
    """
    return next((folder for folder in (package.parent, current, *current.parents) if is_checkout(folder)), current)


ROOT = root(Path(__file__).resolve().parent, Path.cwd())
"""The checkout, or the folder in which an installed package was imported; see :func:`root`."""


def require_checkout(what: str) -> None:
    """Raise OSError, in one sentence, where no checkout is there to hold ``what`` and nothing else has it."""
    if not is_checkout(ROOT):
        raise OSError(f"{what} in the project's checkout, and {ROOT} is none: run this inside a checkout")


def data() -> Path:
    """The data root: ``ROBUSTDL_DATA``, else ``data/`` in :data:`ROOT`."""
    return _place("ROBUSTDL_DATA", "data")


def results() -> Path:
    """The results root, with the shelves ``reference`` and ``runs``: ``ROBUSTDL_RESULTS``, else ``results/``."""
    return _place("ROBUSTDL_RESULTS", "results")


def cache() -> Path:
    """Where resized images and a study's finished steps wait: ``ROBUSTDL_CACHE``, else ``cache/`` in the results."""
    return _place("ROBUSTDL_CACHE", str(results() / "cache"))


def figures() -> Path:
    """The figures root: ``ROBUSTDL_FIGURES``, else ``figures/``."""
    return _place("ROBUSTDL_FIGURES", "figures")


def shelf(name: str, profile: str, *, writing: bool = False) -> Path:
    """The folder that holds one profile's runs: ``reference`` (committed with the project) or ``runs`` (made here).

    When ``ROBUSTDL_RESULTS`` moves the results and no reference lies there, the committed one is read all the
    same; ``writing`` asks for the place where new runs go. Raises ValueError for another name.
    """
    if name not in ("reference", "runs"):
        raise ValueError(f"unknown shelf {name!r}: there is reference, runs")
    moved = results() / name / profile
    committed = ROOT / "results" / name / profile
    return committed if name == "reference" and not writing and not moved.is_dir() else moved


def _place(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or ROOT / default).expanduser().absolute()
