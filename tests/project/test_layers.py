"""The floors of docs/DESIGN.md: a room imports only from rooms below it, and nothing climbs back."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "robustdl_lib"
GROUND = {"registry", "config", "paths", "files", "parallel"}
FILES = sorted(PACKAGE.rglob("*.py"))
CODE = [*FILES, *(path for beside in ("tests", "benchmarks", "book") for path in sorted((ROOT / beside).rglob("*.py")))]


def floors() -> dict[str, set[str]]:
    """Return for each room the rooms that it may import, as the table in docs/DESIGN.md says."""
    table = (ROOT / "docs" / "DESIGN.md").read_text().partition("| floor | room |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| *\d+ \| (\w+) \| ([\w, -]+) \|", table, re.MULTILINE)
    return {room: set(re.findall(r"\w+", below)) - {"nothing"} for room, below in rows}


def room_of(name: str) -> str:
    """Return the room of a dotted name such as ``robustdl_lib.data.noise``; files at the top are the ground."""
    first = name.split(".")[1] if "." in name else ""
    return "ground" if first in GROUND else first


def module_of(path: Path) -> str:
    """Return the dotted name of a file of the package."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Return the full names of what a file imports anywhere in it, relative imports resolved."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module_of(path).split(".") if node.level else []
            depth = node.level - (path.name == "__init__.py")
            start = ".".join([*above[: len(above) - depth], *filter(None, [node.module])])
            names |= {f"{start}.{alias.name}" for alias in node.names}
    return names


def own_imports(path: Path) -> set[str]:
    """Return the modules of the package that a file imports."""
    modules = {module_of(file) for file in FILES}
    names = {name for name in imports(path) if name.split(".")[0] == "robustdl_lib"}
    return {name if name in modules else name.rpartition(".")[0] for name in names}


def outside(path: Path) -> set[str]:
    """Return the packages that a file imports."""
    return {name.split(".")[0] for name in imports(path)}


def test_the_table_of_the_floors_names_every_room_and_no_other() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert set(floors()) == rooms | {"ground"}
    assert {path.stem for path in PACKAGE.glob("*.py")} == GROUND | {"__init__", "__main__"}


def test_the_floors_form_no_circle() -> None:
    order = list(TopologicalSorter(floors()).static_order())
    assert order[0] == "ground"
    assert order[-1] == "cli"


def test_a_room_imports_only_from_the_rooms_that_the_table_allows() -> None:
    allowed = floors()
    climbing = [
        f"{module_of(path)} imports {name}"
        for path in FILES
        if (room := room_of(module_of(path))) in allowed
        for name in own_imports(path)
        if room_of(name) not in allowed[room] | {room, ""}
    ]
    assert not climbing


def test_files_import_each_other_in_no_circle() -> None:
    """Also inside a room; what a package's ``__init__`` gathers counts as an import of the files."""
    graph = {module_of(path): own_imports(path) - {module_of(path)} for path in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_the_importer_is_read_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    source = PACKAGE / "runs" / "store.py"
    forms = "import robustdl_lib.paths\nfrom robustdl_lib.data import load\ndef f():\n    from . import sweeps\n"
    monkeypatch.setattr(Path, "read_text", lambda self, *_: forms)
    assert own_imports(source) == {"robustdl_lib.paths", "robustdl_lib.data", "robustdl_lib.runs.sweeps"}


@pytest.mark.parametrize(
    ("package", "rooms"),
    [
        ("torch", {"methods", "theory", "data", "training", "runs", "audit", "studies", "parallel", "plots"}),
        ("matplotlib", {"plots"}),
        ("seaborn", {"plots"}),
        ("rich", {"cli"}),
        ("click", {"cli"}),
        ("papermill", {"cli"}),
    ],
)
def test_a_package_is_imported_in_its_rooms_only(package: str, rooms: set[str]) -> None:
    strangers = {module_of(path) for path in FILES if package in outside(path)}
    assert {name.split(".")[1] for name in strangers} <= rooms


def test_the_library_knows_nothing_of_what_stands_beside_it() -> None:
    beside = {"sphinx", "docutils", "myst_nb", "book", "benchmarks", "tests"}
    assert not [module_of(path) for path in FILES if outside(path) & beside]


def test_the_only_mean_over_examples_is_the_objectives() -> None:
    for name in ("methods/losses", "methods/targets", "methods/weights", "training/metrics", "theory/gradients"):
        text = (PACKAGE / f"{name}.py").read_text()
        assert ".mean(" not in text
        assert 'reduction="mean"' not in text
    assert (PACKAGE / "methods" / "objective.py").read_text().count(".mean(") == 1


def test_files_and_folders_are_small_enough_to_read() -> None:
    long = {str(path): len(path.read_text().splitlines()) for path in CODE}
    assert not {path: lines for path, lines in long.items() if lines > 400}
    assert not [str(path) for path in CODE if any(len(line) > 120 for line in path.read_text().splitlines())]
    folders = [PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir() and path.name != "__pycache__")]
    assert not [str(folder) for folder in folders if len([p for p in folder.iterdir() if p.is_file()]) > 20]
    top = [path for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len([path for path in top if path.is_file() and path.suffix == ".py"]) <= 8
    assert len([path for path in top if path.is_dir()]) <= 10


def test_what_is_public_says_what_it_is() -> None:
    silent = []
    for path in FILES:
        tree = ast.parse(path.read_text())
        public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
        silent += [f"{module_of(path)}.{node.name}" for node in public if not ast.get_docstring(node)]
        if not ast.get_docstring(tree):
            silent.append(module_of(path))
    assert not silent


WITHOUT = {"__init__", "__main__", "plots.rows"}
"""Files whose behaviour the tests of others hold."""


def test_tests_mirror_the_rooms() -> None:
    """A file ``<room>/x.py`` has a test file ``tests/<room>/test_x.py``; those of the top are in ``ground``."""
    missing = []
    for path in FILES:
        name = module_of(path).removeprefix("robustdl_lib").removeprefix(".")
        if path.name == "__init__.py" or name in WITHOUT:
            continue
        room, _, leaf = name.rpartition(".")
        folder = ROOT / "tests" / (room.replace(".", "/") or "ground")
        if not (folder / f"test_{leaf}.py").is_file():
            missing.append(name)
    assert not missing
