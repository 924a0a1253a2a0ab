"""The committed notebooks: their form, their step with the sources, and how parameters and failures are treated."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import papermill
import pytest

from robustdl_lib.cli import notebooks
from robustdl_lib.config import ConfigError
from robustdl_lib.registry import SpecError

FOLDER = Path(__file__).parents[2] / "notebooks"
SOURCES = sorted(FOLDER.glob("[0-9]*.py"))
SOLUTIONS = sorted((FOLDER / "solutions").glob("[0-9]*.py"))
FORBIDDEN = re.compile(r"^\s*(def|class)\s|savefig|sys\.path|pip install", re.MULTILINE)

SMALL = """# %% [markdown]
# # A title
# %% tags=["parameters"]
count: int = 3  # how many, in [1, 10]
share: float = 0.5
name: str = "x"
values: list = [1, 2]
# %%
print(count * 2, share, name, values)
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "01_small.py"
    path.write_text(SMALL)
    return path


@pytest.fixture
def no_kernel(monkeypatch):
    """Any attempt to start a kernel fails the test."""
    monkeypatch.setattr(papermill, "execute_notebook", lambda *_, **__: pytest.fail("a kernel was started"))


def test_there_are_numbered_notebooks():
    assert [path.stem[:2] for path in SOURCES] == [f"{n:02d}" for n in range(1, len(SOURCES) + 1)]
    assert len(SOURCES) >= 4


@pytest.mark.parametrize("source", [*SOURCES, *SOLUTIONS], ids=lambda path: f"{path.parent.name}/{path.stem}")
class TestForm:
    def test_built_and_source_are_in_step(self, source):
        built = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
        assert [(c.cell_type, c.source) for c in built.cells] == [
            (c.cell_type, c.source) for c in notebooks.read(source).cells
        ]

    def test_executed_once_from_top_to_bottom_without_errors(self, source):
        code = [c for c in nbformat.read(source.with_suffix(".ipynb"), as_version=4).cells if c.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        kinds = {output.output_type for cell in code for output in cell.outputs}
        assert "error" not in kinds
        streams = [o for cell in code for o in cell.outputs if o.output_type == "stream" and o.name == "stderr"]
        assert not streams, streams[0].text

    def test_thin(self, source):
        cells = [cell.source for cell in jupytext.read(source).cells if cell.cell_type == "code"]
        assert not [text for text in cells if FORBIDDEN.search(text)]
        assert max(len(text.splitlines()) for text in cells) <= 15

    def test_sections(self, source):
        texts = [cell.source for cell in jupytext.read(source).cells if cell.cell_type == "markdown"]
        headings = [line for text in texts for line in text.splitlines() if line.startswith("#")]
        assert headings[0].startswith("# ")
        if source in SOLUTIONS:
            assert headings[-1] == "## Checks"
            return
        assert {"Checks", "Summary", "Exercises"} <= {heading.lstrip("# ") for heading in headings}
        exercises = next(text for text in texts if "Exercises" in text)
        assert 3 <= len(re.findall(r"^\d+\. ", exercises, re.MULTILINE)) <= 6

    def test_checks_assert(self, source):
        cells = jupytext.read(source).cells
        start = 0 if source in SOLUTIONS else next(i for i, cell in enumerate(cells) if "## Checks" in cell.source)
        assert any("assert " in cell.source for cell in cells[start:])

    def test_parameters_are_bare_literals(self, source):
        tagged = [c for c in jupytext.read(source).cells if "parameters" in c.metadata.get("tags", [])]
        assert len(tagged) == 1
        for statement in ast.parse(tagged[0].source).body:
            assert isinstance(statement, ast.AnnAssign)
            ast.literal_eval(statement.value)
        assert len(notebooks.parameters(notebooks.read(source))) == len(ast.parse(tagged[0].source).body)


def test_parameters_are_read(small):
    found = notebooks.parameters(notebooks.read(small))
    assert {name: item.inferred_type_name for name, item in found.items()} == {
        "count": "int",
        "share": "float",
        "name": "str",
        "values": "list",
    }


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("coumt", "3", "no parameter 'coumt'; it has: count (int), share (float), name (str), values (list)"),
        ("count", "three", "count is of type int, found 'three'"),
        ("count", "2.5", "count is of type int"),
        ("count", "11", "count must be in [1, 10], found 11"),
        ("share", "half", "share is of type float"),
    ],
)
def test_bad_parameters_are_refused_before_the_kernel_starts(small, no_kernel, name, text, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        notebooks.execute(small, small.with_suffix(".ipynb"), {name: text})
    assert not small.with_suffix(".ipynb").exists()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("noise", "symetric:0.4", "unknown noise 'symetric': did you mean 'symmetric'?"),
        ("noise", "symmetric:1.2", "less than 1"),
        ("methods", "cce gce:w=1", "no parameter 'w'"),
        ("profile", "quik", "unknown profile 'quik'"),
        ("dataset", "cifar", "unknown data set 'cifar'"),
        ("shelf", "attic", "unknown shelf 'attic'"),
        ("seeds", "-1", "seed"),
        ("seeds", "a b", "seed"),
        ("jobs", "-1", "jobs"),
    ],
)
def test_settings_are_refused_before_the_kernel_starts(no_kernel, tmp_path, name, text, words):
    source = FOLDER / "03_training_under_noise.py"
    with pytest.raises((ConfigError, SpecError, ValueError), match=re.escape(words)) as refusal:
        notebooks.execute(source, tmp_path / "out.ipynb", {name: text})
    assert "\n" not in str(refusal.value)


def test_execution_takes_the_parameters(small):
    output = small.with_name("out.ipynb")
    notebooks.execute(small, output, {"count": "5", "values": "3 4"}, {"share": "0.25", "unknown": "1"})
    printed = nbformat.read(output, as_version=4).cells[-1].outputs[0].text
    assert printed == "10 0.25 x [3, 4]\n"


@pytest.mark.parametrize(("line", "words"), [("1 / 0", "ZeroDivisionError"), ("import os; os._exit(3)", "DeadKernel")])
def test_a_failing_notebook_leaves_its_partial_copy_and_no_output(small, line, words):
    small.write_text(SMALL + f"# %%\n{line}\n# %%\nprint('never')\n")
    output = small.with_name("out.ipynb")
    output.write_text("an older one")
    with pytest.raises(notebooks.NotebookFailed, match=words):
        notebooks.execute(small, output, {})
    assert not output.exists()
    partial = nbformat.read(output.with_suffix(".failed.ipynb"), as_version=4)
    printed = [output.text for cell in partial.cells for output in cell.get("outputs", []) if "text" in output]
    assert any(text.startswith("6 ") for text in printed)


def test_building_twice_gives_the_same_bytes(small):
    first = notebooks.build(small).read_bytes()
    assert notebooks.build(small).read_bytes() == first


@pytest.mark.slow
def test_a_changed_number_fails_nbval(small):
    built = notebooks.build(small)
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider", "-q"]
    command += ["-c", "/dev/null", str(built)]
    honest = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=built.parent)
    assert honest.returncode == 0, honest.stdout
    built.write_text(built.read_text().replace("6 0.5 x", "7 0.5 x"))
    tampered = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=built.parent)
    assert tampered.returncode == 1
    assert "7 0.5 x" in tampered.stdout


def test_what_was_printed_in_pieces_is_one_piece():
    def piece(text: str, name: str = "stdout") -> nbformat.NotebookNode:
        return nbformat.v4.new_output("stream", name=name, text=text)

    cell = nbformat.v4.new_code_cell("", outputs=[piece("a"), piece("b\n"), piece("!", "stderr"), piece("c")])
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": {"name": "python3", "display_name": "x"}})
    found = notebooks.normalise(notebook).cells[0]["outputs"]
    assert [(output["name"], output["text"]) for output in found] == [
        ("stdout", "ab\n"),
        ("stderr", "!"),
        ("stdout", "c"),
    ]
