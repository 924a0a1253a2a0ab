"""The wheel: what is in it, what it says of itself, and that it works in a folder far from the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from email.parser import HeaderParser
from fnmatch import fnmatch
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement

from robustdl_lib import paths, store

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, SETUPTOOLS = PYPROJECT["project"], PYPROJECT["tool"]["setuptools"]
FILES = {str(path.relative_to(ROOT)) for path in (ROOT / "robustdl_lib").rglob("*.*") if path.suffix != ".pyc"}
"""Every file of the library: code, tables, pages."""
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what it is made of, by the tools that are there and without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "robustdl_lib", source / "robustdl_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    words = ["wheel", "-q", "--no-index", "--no-build-isolation", "--no-deps", "-w", str(folder), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, timeout=300, cwd=folder)
    [built] = folder.glob("*.whl")
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


def outside(tmp_path: Path) -> dict[str, Any]:
    """Return how to run something in an empty folder, a git repository even, where nothing points to the checkout."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ROBUSTDL_", "PYTHON"))}
    env |= {"ROBUSTDL_FORMAT": "usual", "PYTHONDONTWRITEBYTECODE": "1"}
    return {"cwd": folder, "env": env, "capture_output": True, "text": True, "timeout": 900}


def packed(names: set[str]) -> set[str]:
    """Return those of the files that setuptools packs by pyproject.toml: code and data in the packages it finds."""
    packages = set(setuptools.find_packages(str(ROOT), **SETUPTOOLS["packages"]["find"]))
    kinds = ("*.py", *SETUPTOOLS["package-data"]["*"])
    inside = {name for name in names if ".".join(Path(name).parent.parts) in packages}
    return {name for name in inside if any(fnmatch(Path(name).name, kind) for kind in kinds)}


def test_every_room_and_data_file_belongs_to_the_package() -> None:
    assert FILES - packed(FILES) == set()
    assert packed({"robustdl_lib/lost/module.py", "robustdl_lib/lost.png"}) == set()


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_its_data_and_says_only_what_is_true(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    assert {name for name in archive.namelist() if name.startswith("robustdl_lib/")} == FILES
    [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
    metadata = HeaderParser().parsestr(archive.read(name).decode())
    assert (metadata["Name"], metadata["Summary"]) == ("robustdl-lib", PROJECT["description"])
    assert (metadata["License-Expression"], metadata["License-File"]) == ("MIT", "LICENSE")
    assert metadata.get_all("Project-URL") is None  # none is public yet
    assert set(metadata.get_all("Provides-Extra")) == {"book", "cluster", "notebooks", "test"}
    assert {"Typing :: Typed"} <= set(metadata.get_all("Classifier"))
    plain = [text for text in metadata.get_all("Requires-Dist") if "extra ==" not in text]
    assert {Requirement(text).name for text in plain} == {Requirement(text).name for text in PROJECT["dependencies"]}


@pytest.mark.slow
def test_the_wheel_works_in_a_folder_of_ones_own(home: Path, tmp_path: Path) -> None:
    """Tables and pages lie next to the code that reads them: the report, the audit and the explorer are written."""
    how = outside(tmp_path)
    listed = subprocess.run([home / "bin" / "robustdl", "list"], **how)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "\n  gce " in listed.stdout
    setting = "--profile smoke --methods cce --seeds 0"
    commands = [
        "inspect gce:q=0.5",
        "train --profile smoke",
        f"sweep figures {setting} --jobs 2 --quiet",
        f"figures {setting} --only headline --quiet",
        f"status {setting} --check figures",
        "report --profile smoke",
        "audit digits --examples 60 --epochs 1 --model resnet8 --folds 2",
        "explorer explorer.html",
        "figures --shelf reference",
        "notebook notebooks/05_emphasis_density.py out.ipynb",
    ]
    used = subprocess.run([home / "bin" / "python", "-c", USE, *commands], **how)
    assert used.returncode == 0, used.stderr
    said = dict(part.split("\n", 1) for part in used.stdout.split("== ")[1:])
    assert [words for words in commands if re.search("^exit", said[words], re.MULTILINE)] == commands[-2:]
    errors = [line for line in used.stderr.splitlines() if line.startswith("error: ")]
    assert [line.partition(" in the project's checkout, and ")[0] for line in errors] == [
        "error: the committed reference lies",
        "error: the course's notebooks lie",
    ]
    folder = tmp_path / "elsewhere"
    assert {path.name for path in folder.iterdir()} == {".git", "explorer.html", "figures", "results"}
    assert {path.name for path in folder.rglob("*.html")} == {"explorer.html", "report.html", "audit.html"}
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
