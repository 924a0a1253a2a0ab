"""The wheel: what is in it, what it says of itself, and that it works in a folder far from the checkout."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from email.parser import HeaderParser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from robustdl_lib import paths, store

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
USE = """
import sys
from pathlib import Path
from robustdl_lib import cli, paths, store
assert paths.ROOT == Path.cwd(), paths.ROOT
assert store.code_version()["git_revision"] is None
for words in sys.argv[1:]:
    print(f"== {words}", flush=True)
    sys.argv[1:] = words.split()
    try:
        cli.main()
    except SystemExit as stop:
        print(f"exit {stop.code}", flush=True)
"""


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """The wheel, built from a copy of what it is made of, by the tools that are there and without a network."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "robustdl_lib", source / "robustdl_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    words = ["wheel", "-q", "--no-index", "--no-build-isolation", "--no-deps", "-w", str(tmp_path), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, timeout=300, cwd=tmp_path)
    [built] = tmp_path.glob("*.whl")
    return built


@pytest.fixture
def home(wheel: Path, tmp_path: Path) -> Path:
    """An environment of its own with the wheel, which sees the packages that the project depends on."""
    folder = tmp_path / "env"
    venv.create(folder, with_pip=False)
    python = str(folder / "bin" / "python")
    words = ["install", "-q", "--no-index", "--no-deps", "--no-compile", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *words], check=True, timeout=300)
    [site] = folder.glob("lib/python*/site-packages")
    needed = [Requirement(text).name for text in PROJECT["dependencies"]]
    places = dict.fromkeys(str(distribution(name).locate_file("")) for name in needed)
    (site / "others.pth").write_text("\n".join(places))
    return folder


def outside(tmp_path: Path) -> dict[str, object]:
    """Return how to run something in an empty folder, a git repository even, where nothing points to the checkout."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    left = {name: value for name, value in os.environ.items() if not name.startswith(("ROBUSTDL_", "PYTHON"))}
    env = {**left, "ROBUSTDL_FORMAT": "usual", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {"cwd": folder, "env": env, "capture_output": True, "text": True, "timeout": 900}


def test_the_wheel_holds_the_package_and_its_data_and_says_only_what_is_true(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    inside = {name.removeprefix("robustdl_lib/") for name in archive.namelist() if name.startswith("robustdl_lib/")}
    there = {path.name for path in (ROOT / "robustdl_lib").iterdir() if path.is_file()}
    assert inside == there
    assert "py.typed" in inside
    [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
    said = HeaderParser().parsestr(archive.read(name).decode())
    assert (said["Name"], said["Summary"]) == ("robustdl-lib", PROJECT["description"])
    assert (said["License-Expression"], said["License-File"]) == ("MIT", "LICENSE")
    assert said.get_all("Project-URL") is None  # none is public yet
    assert set(said.get_all("Provides-Extra")) == {"book", "cluster", "notebooks", "test"}
    assert {"Typing :: Typed"} <= set(said.get_all("Classifier"))
    plain = [text for text in said.get_all("Requires-Dist") if "extra ==" not in text]
    assert {Requirement(text).name for text in plain} == {Requirement(text).name for text in PROJECT["dependencies"]}


def test_the_wheel_works_in_a_folder_of_ones_own(home: Path, tmp_path: Path) -> None:
    how = outside(tmp_path)
    listed = subprocess.run([home / "bin" / "robustdl", "list"], **how)  # type: ignore[call-overload]
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "\n  gce " in listed.stdout
    setting = "--profile smoke --methods cce --seeds 0"
    commands = [
        "inspect gce:q=0.5",
        "train --profile smoke",
        f"sweep figures {setting} --jobs 2 --quiet",
        f"figures {setting} --only headline --quiet",
        f"status {setting} --check figures",
        "figures --shelf reference",
        "notebook notebooks/05_emphasis_density.py out.ipynb",
    ]
    used = subprocess.run([home / "bin" / "python", "-c", USE, *commands], **how)  # type: ignore[call-overload]
    assert used.returncode == 0, used.stderr
    said = dict(part.split("\n", 1) for part in used.stdout.split("== ")[1:])
    assert [words for words in commands if "exit" in said[words]] == commands[-2:]
    assert [line.partition(" in the project's checkout, and ")[0] for line in used.stderr.splitlines()] == [
        "error: the committed reference lies",
        "error: the course's notebooks lie",
    ]
    folder = tmp_path / "elsewhere"
    assert {path.name for path in folder.iterdir()} == {".git", "figures", "results"}
    assert (folder / "figures" / "smoke_cce_seeds-0" / "headline.png").is_file()
    record = json.loads((folder / "figures" / "inspect" / "gce-q=0.5" / "lens.json").read_text())
    assert record["provenance"]["git_revision"] is None
    assert len(store.all_runs(folder / "results" / "runs" / "smoke")) == 2


def test_this_package_is_the_checkouts() -> None:
    assert paths.ROOT == ROOT


@pytest.mark.parametrize("folder", ["notebooks", "."])
def test_an_installed_package_finds_the_committed_rows_from_the_notebooks(tmp_path: Path, folder: str) -> None:
    """As on a machine where the checkout was installed, not linked: this module alone, from another place."""
    copy = str(shutil.copy(ROOT / "robustdl_lib" / "paths.py", tmp_path))
    code = f"import runpy; print(runpy.run_path({copy!r})['shelf']('reference', 'quick'))"
    left = {name: value for name, value in os.environ.items() if not name.startswith("ROBUSTDL_")}
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT / folder, env=left, capture_output=True, check=True)
    assert Path(said.stdout.decode().strip()) == ROOT / "results" / "reference" / "quick"
