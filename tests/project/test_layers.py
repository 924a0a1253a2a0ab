"""The layers of the design: a module imports only from lower ones, and siblings never import each other."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "robustdl_lib"
LAYERS = (
    "registry paths locks",
    "processes cluster config losses targets weights noise models metrics sources splits image_cache verdicts "
    "downloads",
    "formats digits cifar folders human instance adverse artefacts memories",
    "data summary objective published settings",
    "gradients symbols store checkpoints steps",
    "train workers frames style lens estimators simplex suspects options dynamics claims counterparts console",
    "sweeps studies plots noise_plots lens_plots statistics_plots simplex_plots explorer explorer_plots "
    "split_plots audit_plots adverse_plots galleries folds audit_page dynamics_plots report_page report_plots "
    "practice_plots difficulty_plots rate_plots",
    "notebooks widgets pages audit status split_studies adverse_studies data_studies overview report noise_rates "
    "papers",
    "cli_runs cli_lens cli_files exercises",
    "cli",
    "__main__",
)
LAYER = {name: height for height, names in enumerate(LAYERS) for name in names.split()}
MODULES = sorted(path for path in PACKAGE.glob("**/*.py") if path.name != "__init__.py")
BESIDE = sorted(path for folder in ("tests", "benchmarks", "book") for path in (ROOT / folder).glob("*.py"))
SOURCES = [*MODULES, PACKAGE / "__init__.py", *BESIDE]


def imports(path: Path) -> set[str]:
    """Return the full names of what a module imports anywhere in it, relative imports resolved."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(filter(None, ["robustdl_lib" if node.level else "", node.module]))
            found |= {f"{start}.{alias.name}" for alias in node.names}
    return found


def own_imports(path: Path) -> set[str]:
    names = [name.split(".") for name in imports(path)]
    return {parts[1] for parts in names if parts[0] == "robustdl_lib" and len(parts) > 1 and parts[1] in LAYER}


def outside(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_has_a_layer(path: Path) -> None:
    assert path.stem in LAYER, f"{path.name} is in no layer: give it one here and in the design"


def test_every_name_in_the_layers_is_a_module() -> None:
    assert {path.stem for path in MODULES} == set(LAYER)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_imports_from_lower_layers_alone(path: Path) -> None:
    higher = {name for name in own_imports(path) if LAYER[name] >= LAYER[path.stem]}
    assert not higher, f"{path.stem} (layer {LAYER[path.stem]}) imports {higher}"


def test_the_importer_is_read_in_every_form(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    forms = ["import robustdl_lib.runs.store", "from robustdl_lib import sweeps", "from robustdl_lib.train import fit"]
    source.write_text("\n".join([*forms, "def f():\n    from .plots import save\n    from . import cli"]))
    assert own_imports(source) == {"store", "sweeps", "train", "plots", "cli"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_torch_stops_at_training(path: Path) -> None:
    if path.stem in (
        "plots",
        "frames",
        "style",
        "cli",
        "summary",
        "notebooks",
        "registry",
        "paths",
        "config",
        "symbols",
    ):
        assert not outside(path) & {"torch", "torchvision"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_pandas_starts_above_the_tensors(path: Path) -> None:
    assert "pandas" not in outside(path) or LAYER[path.stem] >= LAYER["data"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_matplotlib_lives_in_the_plots_alone(path: Path) -> None:
    assert not outside(path) & {"matplotlib", "seaborn"} or path.stem == "style" or path.stem.endswith("plots")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_library_knows_nothing_of_what_stands_beside_it(path: Path) -> None:
    assert not outside(path) & {"sphinx", "docutils", "myst_nb", "book", "benchmarks"}


@pytest.mark.parametrize("name", ["losses", "targets", "weights", "metrics", "gradients"])
def test_the_only_mean_over_examples_is_the_objectives(name: str) -> None:
    text = (PACKAGE / f"{name}.py").read_text()
    assert ".mean(" not in text
    assert 'reduction="mean"' not in text
    assert (PACKAGE / "objective.py").read_text().count(".mean(") == 1


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_file_is_short_enough_to_read(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 400
    assert all(len(line) <= 120 for line in lines)


@pytest.mark.parametrize("path", [*MODULES, PACKAGE / "__init__.py"], ids=lambda path: path.name)
def test_what_is_public_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    kinds = ast.FunctionDef | ast.ClassDef
    public = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    silent = [node.name for node in public if not ast.get_docstring(node)]
    assert ast.get_docstring(tree)
    assert not silent


def test_a_test_file_stands_beside_every_module_of_the_library() -> None:
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}
    assert set(LAYER) - tested - {"frames", "style", "__main__"} == set()
