"""docs/TALK.md leads from every slide to a section and to figures that there are."""

import re
from pathlib import Path
from urllib.parse import unquote

import jupytext
import pytest

from robustdl_lib.registry import FIGURES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "TALK.md").read_text()
ROWS = [line.split("|")[1:-1] for line in PAGE.splitlines() if re.match(r"\| \d", line)]
NOTEBOOKS = re.findall(r"\]\(\.\./(notebooks/\w+\.ipynb)(?:#([^)]+))?\)", PAGE)
PICTURES = re.findall(r"\[(\w+)\]\(\.\./(figures/reference/(\w+)/(\w+)\.png)\)", PAGE)
GALLERIES = ("adverse_gallery", "border_pairs")
"""Pictures of photographs: committed studies, which the command ``study`` draws."""


def slides(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def headings(notebook: Path) -> set[str]:
    cells = jupytext.read(notebook.with_suffix(".py")).cells
    lines = [line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    return {line.lstrip("#").strip().replace(" ", "-") for line in lines if re.match(r"#{1,4} ", line)}


def test_every_slide_has_its_row_in_order_and_none_has_two() -> None:
    assert [number for row in ROWS for number in slides(row[0])] == list(range(5, 44))


def test_every_slide_that_is_no_title_leads_to_a_notebook() -> None:
    lost = [row[0] for row in ROWS if "title of a section" not in row[1] and ".ipynb" not in row[2]]
    assert not lost
    assert len([row for row in ROWS if "title of a section" in row[1]]) < 10


@pytest.mark.parametrize(("notebook", "anchor"), sorted(set(NOTEBOOKS)))
def test_a_linked_section_is_there(notebook: str, anchor: str) -> None:
    assert (ROOT / notebook).is_file()
    assert not anchor or unquote(anchor) in headings(ROOT / notebook)


def test_a_section_that_is_not_there_is_noticed() -> None:
    assert "Targets-are-arithmetic" in headings(ROOT / "notebooks" / "07_target_modification.ipynb")
    assert "Targets-are-geometry" not in headings(ROOT / "notebooks" / "07_target_modification.ipynb")


@pytest.mark.parametrize(("words", "path", "folder", "name"), sorted(set(PICTURES)))
def test_a_figure_is_registered_and_committed(words: str, path: str, folder: str, name: str) -> None:
    assert words == name
    assert name in FIGURES if folder == "quick" else name in GALLERIES
    assert (ROOT / path).is_file()


def test_every_figure_that_names_a_slide_stands_beside_it() -> None:
    shown = {name: {number for row in ROWS if f"[{name}]" in row[3] for number in slides(row[0])} for name in FIGURES}
    for name in FIGURES:
        named = re.findall(r"slides? (\d+)(?: (to|and) (\d+))?(?: and (\d+))?", FIGURES.entry(name).source)
        if named:
            wanted = {int(number) for match in named for number in match if number.isdigit()}
            assert wanted & shown[name], f"{name} is of slides {sorted(wanted)} and stands at {sorted(shown[name])}"


def test_every_link_leads_to_a_file() -> None:
    for link in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


@pytest.mark.parametrize("source", sorted((ROOT / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_a_notebook_that_is_named_by_number_is_the_one_that_is_linked(source: Path) -> None:
    wrong = [(n, m) for n, m in re.findall(r"otebook[\s#]+(\d\d)\]\((\d\d)_", source.read_text()) if n != m]
    assert not wrong
    linked = re.findall(r"\]\((\d\d_\w+)\.ipynb\)", source.read_text())
    assert all((source.parent / f"{name}.py").is_file() for name in linked)
