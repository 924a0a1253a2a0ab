"""The committed rows are as they were written: a changed digit fails here before a figure or a table shows it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from robustdl_lib import files, store
from robustdl_lib.data.noise import draw_file

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "reference"
SHELVES = [folder for folder in sorted(RESULTS.iterdir()) if folder.name not in ("report", "studies")]


def damaged_runs(shelf: Path) -> list[str]:
    """Return what is wrong with the runs of a shelf: files that are missing, changed or not part of a run."""
    faults = []
    for folder in sorted(path for path in shelf.iterdir() if path.name != "noise"):
        try:
            store.read(folder)
        except (store.DamagedRun, OSError) as error:
            faults.append(str(error))
        else:
            faults += [str(path) for path in folder.iterdir() if path.name not in (*store.FILES, store.PROVENANCE)]
    return faults


def damaged_draws(shelf: Path) -> list[Path]:
    """Return the noise draws of a shelf whose labels are not those of their checksum; the oldest have none."""
    faults = []
    for path in sorted(shelf.glob("noise/*.npz")):
        with np.load(path, allow_pickle=False) as draw:
            if "sha256" in draw and draw_file.sha256(torch.from_numpy(draw["labels"])) != str(draw["sha256"]):
                faults.append(path)
    return faults


def damaged_tables(root: Path) -> list[Path]:
    """Return the tables (.csv) below ``root`` that do not have the checksum of their record (.json)."""
    records = {path: path.with_suffix(".json") for path in sorted(root.rglob("*.csv"))}
    checksums = {path: json.loads(record.read_text())["sha256"] for path, record in records.items() if record.is_file()}
    assert checksums
    return [path for path, checksum in checksums.items() if files.sha256(path) != checksum]


@pytest.mark.parametrize("shelf", SHELVES, ids=lambda shelf: shelf.name)
def test_every_committed_run_and_draw_is_as_it_was_written(shelf: Path) -> None:
    assert damaged_runs(shelf) == []
    assert damaged_draws(shelf) == []


@pytest.mark.parametrize("folder", ["results/reference/studies", "figures/reference", "benchmarks/results"])
def test_every_committed_table_is_as_it_was_written(folder: str) -> None:
    assert damaged_tables(ROOT / folder) == []


def test_every_number_of_a_figure_or_study_has_a_record() -> None:
    tables = [*(ROOT / "figures" / "reference").rglob("*.csv"), *(RESULTS / "studies").glob("*.csv")]
    assert [path for path in tables if not path.with_suffix(".json").is_file()] == []


def test_a_changed_digit_is_noticed(tmp_path: Path) -> None:
    committed = next(path for path in sorted((RESULTS / "quick").iterdir()) if path.name != "noise")
    history = shutil.copytree(committed, tmp_path / "quick" / committed.name) / "history.csv"
    assert damaged_runs(tmp_path / "quick") == []
    history.write_text(history.read_text()[:-2] + "X\n")
    assert damaged_runs(tmp_path / "quick") == [f"{history} is not as it was written: it was cut short or changed"]
    files.write_all({"table.csv": b"1\n", "table.json": files.record({}, b"1\n")}, tmp_path)
    assert damaged_tables(tmp_path) == []
    (tmp_path / "table.csv").write_text("2\n")
    assert damaged_tables(tmp_path) == [tmp_path / "table.csv"]
