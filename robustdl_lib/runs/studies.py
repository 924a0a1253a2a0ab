"""Studies: tables that take more than a formula to compute, kept as rows that one command makes again.

A study is a registered function that returns a data frame. Its rows lie in ``results/<shelf>/studies`` as
``<name>.csv`` beside ``<name>.json``, which says what they rest on and holds the checksum of the rows.
"""

import hashlib
import io
import json
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch

from robustdl_lib import paths
from robustdl_lib.files import file_name, record, require_writable, write_all
from robustdl_lib.registry import STUDIES, Spec
from robustdl_lib.runs import store
from robustdl_lib.training.compute import processor


class NoStudy(ValueError):
    """Rows that are not on the shelf or not as they were written; the message says which command makes them."""


def run(spec: str, shelf: str = "runs") -> pd.DataFrame:
    """Compute a study, keep its rows on ``shelf`` (``runs``, or ``reference`` to renew it) and return them as kept.

    Raises SpecError for an unknown study, OSError where the shelf cannot be written, before any work, and what the
    study itself raises.
    """
    parsed, folder = STUDIES.parse(spec), place(shelf, writing=True)
    require_writable(folder)
    started = perf_counter()
    found: pd.DataFrame = parsed.entry.function(**parsed.knobs)
    table = found.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
    said = {
        "study": str(parsed),
        "caption": parsed.entry.label,
        "source": parsed.entry.source,
        "provenance": {**_circumstances(started), **found.attrs.get("provenance", {})},
    }
    name = stem(parsed)
    contents = {f"{name}.csv": table, f"{name}.json": record(said, table)}
    write_all(contents, folder)
    if "picture" in found.attrs:  # of images that are not kept, so that only who has them can draw it
        write_all({**contents, f"{name}.png": found.attrs["picture"]}, _pictures(shelf))
    return _read(io.BytesIO(table))


def rows(spec: str, shelf: str = "reference") -> pd.DataFrame:
    """Return the kept rows of a study; those that ``runs`` lacks are computed and kept there.

    Raises SpecError for an unknown study, :class:`NoStudy` where the reference lacks it or its rows are not as they
    were written.
    """
    parsed = STUDIES.parse(spec)
    path = place(shelf) / f"{stem(parsed)}.csv"
    if not path.is_file() and shelf == "runs":
        return run(spec, shelf)
    try:
        content = path.read_bytes()
        kept = json.loads(path.with_suffix(".json").read_text())["sha256"]
        if hashlib.sha256(content).hexdigest() != kept:
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        if shelf == "runs":
            warnings.warn(f"computed again: {path} is not as it was written", stacklevel=2)
            return run(spec, shelf)
        raise NoStudy(f"{path} is missing or damaged: {command(parsed)} --into reference makes it") from None
    return _read(io.BytesIO(content))


def place(shelf: str, *, writing: bool = False) -> Path:
    """Return the folder of a shelf's studies; raises ValueError for another shelf than ``reference`` or ``runs``."""
    return paths.shelf(shelf, "studies", writing=writing)


def picture(spec: str, shelf: str = "reference") -> Path:
    """Return the picture (png) that a study drew of images which are not kept with its rows; see :func:`command`."""
    name = f"{stem(STUDIES.parse(spec))}.png"
    moved = _pictures(shelf) / name
    return moved if moved.is_file() else paths.ROOT / "figures" / shelf / "studies" / name


def command(spec: Spec | str) -> str:
    """Return the words that compute a study anew, as a notebook names them beside its numbers."""
    return f"python -m robustdl_lib study {spec}"


def stem(spec: Spec) -> str:
    """Return the name of a study's files: its spec in the characters that a file name may have."""
    return file_name(str(spec))


def _pictures(shelf: str) -> Path:
    return paths.figures() / shelf / "studies"


def _circumstances(started: float) -> dict[str, Any]:
    device = f"cpu {processor()}" if not torch.cuda.is_available() else torch.cuda.get_device_name()
    return {**store.code_version(), "device": device, "seconds": round(perf_counter() - started, 1)}


def _read(source: Any) -> pd.DataFrame:
    return pd.read_csv(source, keep_default_na=False, na_values=[""])
