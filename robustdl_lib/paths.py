"""Where data, results and figures live; each place can be moved by an environment variable."""

import contextlib
import os
import platform
import re
import shutil
from pathlib import Path

NAMED = re.compile(r'^name = "robustdl-lib"$', re.MULTILINE)
LEAST_FREE_BYTES = 20 * 2**20


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


def file_name(text: str) -> str:
    """Return a text as a file's or folder's name: what is no letter, digit or one of ``. + = - _`` becomes a dash."""
    return re.sub(r"[^\w.+=-]+", "-", text)


def hidden(shelf: Path, kind: str, run_id: str) -> Path:
    """Return the place beside the runs of a shelf of what is no run but belongs to one: its checkpoint, its lock."""
    return shelf / f".{kind}-{run_id}"


def unfinished(run_id: str) -> str:
    """Return how a name begins of what this process is still writing: its run id, process and machine."""
    return f".part-{run_id}-{os.getpid()}-{file_name(platform.node())}-"


def left_by_the_dead(part: Path) -> bool:
    """Return whether a file or folder is :func:`unfinished` of a process of this machine that is no more."""
    named = re.fullmatch(r"\.part-[0-9a-f]+-(\d+)-(.*)-[^-]*", part.name)
    return bool(named and named[2] == file_name(platform.node()) and not alive(int(named[1])))


def alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended is only a name until its parent asks how, if it ever does."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):  # a system without /proc
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] not in ("Z", "X")
    return True


def require_writable(folder: Path) -> None:
    """Make ``folder`` and write a file in it; raises :class:`OSError` in one sentence where that cannot work."""
    probe = folder / f".write-test-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"\0" * 4096)
    except OSError as error:
        raise OSError(f"cannot write to {folder}: {error.strerror or error}; choose another place") from None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        wanted = LEAST_FREE_BYTES // 2**20
        raise OSError(f"too little space in {folder}: {free / 2**20:.1f} MiB free, at least {wanted} MiB are needed")


def _place(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or ROOT / default).expanduser().absolute()
