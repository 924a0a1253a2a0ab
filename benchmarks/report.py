"""The results on disk: a csv of rows, a json of where they come from, a picture, and the README made of them."""

import datetime
import io
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks import accuracy, chart, tables
from benchmarks.setting import COLUMNS, ROOT, cores
from robustdl_lib import files, store
from robustdl_lib.config import ConfigError
from robustdl_lib.plots import style
from robustdl_lib.report.tables import markdown

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "benchmarks" / "README.md"
MARKS = ("<!-- results: begin -->\n", "<!-- results: end -->")
NOTHING = "No machine has been measured yet: `make bench` does it."
MEBIBYTE = 2**20


def machine() -> dict[str, Any]:
    """Return what the timings depend on: processor, cores, memory, GPU, load before, code, versions and date."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MEBIBYTE
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        **store.code_version(),
        "processor": store.processor(),
        "cores": cores(),
        "memory_mib": memory,
        "gpu": gpu,
        "load_before": round(os.getloadavg()[0], 2),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def title(found: dict[str, Any]) -> str:
    """Return a machine in words."""
    cores = "1 core" if found["cores"] == 1 else f"{found['cores']} cores"
    return ", ".join(filter(None, [found["processor"], cores, found["gpu"]]))


def slug(found: dict[str, Any]) -> str:
    """Return the name of a machine's files, such as ``amd-epyc-2-cores``."""
    return files.file_name(title(found).lower().replace(",", ""))


def keep(rows: pd.DataFrame, origin: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write a machine's csv, json, png and svg into ``folder``, each whole or not at all, and return the csv's path.

    The picture is drawn from the csv's 6 significant digits. Raises ConfigError for rows without a column,
    OSError where the folder cannot be written.
    """
    if missing := [name for name in COLUMNS if name not in rows]:
        raise ConfigError(f"a benchmark's rows have the columns {', '.join(COLUMNS)}: {missing[0]} is missing")
    name = slug(origin)
    table = rows[list(COLUMNS)].to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
    picture = chart.draw(read(io.BytesIO(table)), title(origin))
    contents = {".csv": table, ".json": files.record(origin, table), ".png": style.render(picture, "png")}
    contents[".svg"] = style.render(picture, "svg")
    files.write_all({name + ending: content for ending, content in contents.items()}, folder)
    return folder / f"{name}.csv"


def read(source: Any) -> pd.DataFrame:
    """Return the rows of a csv, from a path or a file: empty texts stay texts, empty numbers are NaN."""
    texts = ["part", "quantity", "unit", "dataset", "model", "side"]
    found = pd.read_csv(source)
    return found.assign(**{name: found[name].fillna("") for name in texts})


def write_page(folder: Path = RESULTS, page: Path = PAGE) -> None:
    """Renew what stands between the marks of ``page`` from the csv files of ``folder``.

    Raises ConfigError for a page without the marks.
    """
    head, begin, rest = page.read_text().partition(MARKS[0])
    tail = rest.partition(MARKS[1])[2]
    if not (begin and rest.count(MARKS[1])):
        raise ConfigError(f"{page} lacks the marks {MARKS[0].strip()} and {MARKS[1]}")
    page.write_text(f"{head}{begin}\n{block(folder)}\n\n{MARKS[1]}{tail}")


def block(folder: Path) -> str:
    """Return the Markdown of all machines that ``folder`` holds, and of the accuracies."""
    found = [machine_block(path) for path in sorted(folder.glob("*.csv")) if path.with_suffix(".png").is_file()]
    return "\n\n".join([*(found or [NOTHING]), *accuracy.blocks(folder)])


def machine_block(path: Path) -> str:
    """Return the Markdown of one machine: what it is, the picture, every table that has rows."""
    rows, origin = read(path), json.loads(path.with_suffix(".json").read_text())
    parts = [f"## {title(origin)}", _origin(path, origin), f"![{title(origin)}]({path.parent.name}/{path.stem}.png)"]
    if origin["load_before"] > origin["cores"] / 2:
        parts.append("**The machine was busy with other work: what rests on time here does not count.**")
    if not (rows["dataset"] == "cifar10").any():
        parts.append("CIFAR-10 was not on this machine: its rows are left out.")
    for name, (heading, make) in tables.TABLES.items():
        if (rows["part"] == tables.PARTS.get(name, name)).any():
            parts.append(f"**{heading}**\n\n{markdown(make(rows))}")
    return "\n\n".join(parts)


def _origin(path: Path, origin: dict[str, Any]) -> str:
    said = f"Measured on {origin['date']}, revision {origin['git_revision']}, torch {origin['versions']['torch']}"
    said += f", Python {origin['versions']['python']}, {origin['memory_mib'] / 1024:.0f} GiB of memory"
    said += f", budget {origin['budget']} ({origin['seconds'] / 60:.0f} min), load before {origin['load_before']}"
    return f"{said}: [{path.name}]({path.parent.name}/{path.name})."
