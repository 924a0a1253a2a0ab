"""The pages of the site before Sphinx: links, figures, generated pages, docstrings. The built site: test_site.py."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from helpers.cases import one_sentence
from pybtex.database import parse_file

from book import __main__ as command
from book import dashboard, docstrings, links, pieces, stage
from robustdl_lib import cli, losses
from robustdl_lib.cli import train
from robustdl_lib.registry import FIGURES, METHODS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ARXIV = re.compile(r"arxiv(?:\.org/abs/| )(\d{4}\.\d{5})", re.IGNORECASE)


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("README.md", "index.md"),
        ("docs/explorer.html", "explorer.md"),
        ("docs/METHODS.md", "docs/METHODS.md"),
        ("notebooks", "tutorial.md"),
        ("robustdl_lib/methods/losses.py", "reference/methods.losses.rst"),
        ("results/reference", "rows.md"),
        ("results/reference/quick_relatives", "rows.md#quick_relatives"),
        ("results/reference/report/quick/report.html", "report.md"),
        ("figures/reference/quick/atlas.png", "figures/quick/atlas.md"),
        ("benchmarks/plain.py", "benchmarks/plain.py"),
    ],
)
def test_a_file_of_the_repository_has_its_place_on_the_site(target: str, shown: str) -> None:
    assert links.place(target) == shown


def test_links_are_led_on_and_code_and_addresses_are_left_alone() -> None:
    text = (
        "[a](docs/METHODS.md#trained) ![b](figures/reference/quick/atlas.png) [c](figures/reference/quick/atlas.png) "
        "[d](https://example.org/x) [e](#words) `[f](nowhere)`\n```\n[g](nowhere)\n```\n[h](LICENSE)"
    )
    copied: list[str] = []
    adapted = links.adapt(text, "README.md", copied.append, "index.md")
    assert "[a](docs/METHODS.md#trained) ![b](figures/reference/quick/atlas.png) [c](figures/quick/atlas.md)" in adapted
    assert "[d](https://example.org/x) [e](#words) `[f](nowhere)`\n```\n[g](nowhere)\n```\n[h](LICENSE)" in adapted
    assert copied == ["figures/reference/quick/atlas.png", "LICENSE"]


def test_links_are_relative_to_the_page_that_has_them() -> None:
    adapted = links.adapt("[a](../README.md) [b](../results/reference/quick)", "docs/DESIGN.md", lambda name: None)
    assert adapted == "[a](../index.md) [b](../rows.md#quick)"


def test_a_notebooks_anchor_is_that_of_the_sites_heading() -> None:
    text = "[a](../notebooks/02_splits.ipynb#CIFAR's-own-border)"
    led = "[a](../notebooks/02_splits.ipynb#cifars-own-border)"
    assert links.adapt(text, "docs/TALK.md", lambda name: None) == led


def test_of_a_link_to_a_folder_without_a_page_the_words_stay() -> None:
    text = "the [tests](tests) and the [notebooks](notebooks)"
    assert links.adapt(text, "README.md", lambda name: None, "index.md") == "the tests and the [notebooks](tutorial.md)"


def test_every_text_is_a_page_from_the_day_on_which_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("README.md", "CONTRIBUTING.md", "docs/TALK.md", "docs/DESIGN.md"):
        (tmp_path / name).write_text("# X\n")
    assert pieces.texts(tmp_path) == ["docs/DESIGN.md", "docs/TALK.md", "CONTRIBUTING.md"]
    assert {"docs/METHODS.md", "docs/SETTINGS.md", "docs/CLUSTER.md", "benchmarks/README.md"} <= set(pieces.texts())


def test_a_dead_link_is_refused_with_its_page() -> None:
    with pytest.raises(links.DeadLink) as caught:
        links.adapt("[a](missing.md)", "docs/DESIGN.md", lambda name: None)
    one_sentence(caught.value, "docs/DESIGN.md", "missing.md")


def test_every_registered_figure_that_is_committed_is_shown() -> None:
    shown = {(figure.folder, figure.name) for figure in dashboard.committed()}
    there = {(path.parent.name, path.stem) for path in (ROOT / "figures" / "reference").glob("*/*.png")}
    assert shown == there
    assert {name for _, name in shown} >= set(FIGURES) & {name for _, name in there}


@pytest.mark.parametrize("figure", dashboard.committed(), ids=lambda figure: f"{figure.folder}/{figure.name}")
def test_a_figures_page_has_what_the_registry_and_its_files_say(figure: dashboard.Figure) -> None:
    page = dashboard.page(figure, ["03_training_under_noise"])
    assert page.startswith(f"# {figure.title}\n")
    for words in (figure.entry.label, figure.entry.source, figure.command, "03_training_under_noise.ipynb"):
        assert words in page
    assert {path.suffix[1:] for path in figure.files} == set(re.findall(r"{download}`(\w+) <", page))
    assert json.loads(figure.path.with_suffix(".json").read_text())["caption"] == figure.entry.label


@pytest.mark.parametrize("figure", dashboard.committed(), ids=lambda figure: f"{figure.folder}/{figure.name}")
def test_a_figures_command_is_one_that_the_command_line_takes(figure: dashboard.Figure) -> None:
    words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", figure.command)]
    assert words[:3] == [".venv/bin/python", "-m", "robustdl_lib"]
    name, *rest = words[3:]
    given = cli.app.commands[name].make_context(name, rest).params
    if name == "figures":
        setting = {key: given[key] for key in ("profile", "noise", "methods", "dataset", "seeds", "epochs")}
        assert given["only"] == figure.name
        assert train.read_setting(**setting).slug == figure.folder


def test_the_notebooks_of_a_figure_are_those_that_draw_it_or_are_named_with_it() -> None:
    sources = {"01_a": 'plots.FIGURES["atlas"](rows)', "02_b": "plots.atlases()", "03_c": ""}
    claims = "| one | [03_c](x) | [atlas](y) |\n| two | [02_b](x) | [lens](y) |"
    assert dashboard.notebooks("atlas", sources, claims) == ["01_a", "03_c"]


def test_a_small_picture_is_small_and_kept(tmp_path: Path) -> None:
    figure = dashboard.committed()[0]
    small = dashboard.thumbnail(figure, tmp_path)
    made = small.stat().st_mtime_ns
    assert small.stat().st_size < figure.path.stat().st_size
    assert dashboard.thumbnail(figure, tmp_path).stat().st_mtime_ns == made


def test_the_course_is_whatever_notebooks_there_are_in_order(tmp_path: Path) -> None:
    for name in ("10_b", "02_a", "xx_c", "3_d", "04_e.part"):
        (tmp_path / f"{name}.ipynb").write_text("")
    assert [path.stem for path in pieces.course(tmp_path)] == ["02_a", "10_b"]
    assert {path.stem for path in pieces.course()} == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}


def test_a_notebook_is_listed_with_its_title_and_claim(tmp_path: Path) -> None:
    path = tmp_path / "07_x.ipynb"
    cell = nbformat.v4.new_markdown_cell("# Losses\n\nWords. **one thing\nis | so**. Source.")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    assert "| [07 Losses](notebooks/07_x.ipynb) | One thing is \\| so. |" in pieces.tutorial([path])
    cell.source = "# Losses\n\nNothing is\nbold. Not here."
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    assert pieces.claim(path) == "Nothing is bold."


@pytest.mark.parametrize("path", pieces.course(), ids=lambda path: path.stem)
def test_a_notebook_is_shown_as_it_is_committed(path: Path, tmp_path: Path) -> None:
    stage.Stage(tmp_path).notebook(path)
    before, after = (nbformat.read(each, as_version=4) for each in (path, tmp_path / "notebooks" / path.name))
    assert [cell for cell in before.cells if cell.cell_type == "code"] == [
        cell for cell in after.cells if cell.cell_type == "code"
    ]
    assert (tmp_path / "files" / path.name).read_bytes() == path.read_bytes()
    assert pieces.claim(path), "the tutorial's table has a claim for each notebook, from its first cell"


def test_every_word_of_the_readme_is_in_the_glossary() -> None:
    table = pieces.section(README, "Words").splitlines()
    page = pieces.glossary(README)
    assert page.count("\n: ") == len(table) - 2
    for line in table[2:]:
        assert all(part.strip() in page for part in line.strip("| ").split(" | "))


def test_a_missing_section_is_refused() -> None:
    with pytest.raises(ValueError, match="no section '## Words'"):
        pieces.glossary("# A page\n")


def test_every_run_and_study_is_counted_among_the_rows() -> None:
    page = pieces.rows()
    runs = sum(map(int, re.findall(r"^(\d+) runs, a folder each", page, re.MULTILINE)))
    assert runs == len(list(pieces.REFERENCE.glob("*/*/config.json")))
    studies = {path.stem for path in pieces.REFERENCE.glob("studies/*.csv")}
    assert studies == set(re.findall(r"^\*\*(\w+)\.\*\*", page, re.MULTILINE))


def test_every_command_and_module_has_its_place() -> None:
    page = pieces.commands()
    assert set(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == set(cli.app.commands)
    modules = pieces.modules()
    package = ROOT / "robustdl_lib"
    files = [path.relative_to(package) for path in package.rglob("*.py")]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in files}
    assert names - {"__init__", "__main__"} == set(modules)
    assert all(modules.values())


def test_the_report_is_shown_from_the_day_on_which_it_is_committed(tmp_path: Path) -> None:
    assert stage._reports(stage.Stage(tmp_path / "site"), tmp_path) == []
    page = pieces.report(["quick"])
    assert "## Quick" in page
    assert 'src="_static/report/quick.html"' in page
    assert "results/reference/report/quick/report.csv" in page


def test_plain_docstrings_lose_no_sign() -> None:
    text = "Return *a_* and |x|, p_y^2.\n\n``z_`` of :func:`robustdl_lib.methods.losses.cce`. Source: b_c. Raises D_e."
    assert docstrings.restructured(text) == [
        r"Return \*a\_\* and \|x\|, p\_y^2.",
        "",
        "``z_`` of :func:`robustdl_lib.methods.losses.cce`.",
        "",
        r":Source: b\_c.",
        r":Raises: D\_e.",
        "",
    ]


def test_a_registered_function_says_its_spec_and_weight() -> None:
    entry = docstrings.registered(losses.gce)
    assert entry is METHODS.entry("gce")
    said = "\n".join(docstrings.about(entry))
    assert "method ``gce:q=0.7``" in said
    assert ".. math::" in said
    assert docstrings.registered(losses.expected) is None


def test_what_is_no_longer_written_goes_and_what_is_the_same_keeps_its_time(tmp_path: Path) -> None:
    first = stage.Stage(tmp_path)
    first.write("a.md", "one")
    first.write("old/b.md", "two")
    made = (tmp_path / "a.md").stat().st_mtime_ns
    second = stage.Stage(tmp_path)
    second.write("a.md", "one")
    second.sweep()
    assert (tmp_path / "a.md").stat().st_mtime_ns == made
    assert list(tmp_path.iterdir()) == [tmp_path / "a.md"]


def test_a_folder_with_other_files_is_not_cleared(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="other files") as caught:
        command.clear(tmp_path)
    one_sentence(caught.value, str(tmp_path), "--into")
    assert (tmp_path / "mine.txt").exists()
    (tmp_path / "objects.inv").write_text("")
    command.clear(tmp_path)
    assert not tmp_path.exists()


def test_a_folder_of_sources_with_other_files_is_not_swept_and_a_stopped_build_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "stage", lambda folder: None)
    monkeypatch.setattr(command, "build_main", lambda words: 0)
    (tmp_path / "site.sources").mkdir()
    (tmp_path / "site.sources" / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="other files"):
        command.build(tmp_path / "site")
    assert not (tmp_path / "site").exists()
    (tmp_path / "site.sources" / "mine.txt").unlink()
    for _ in range(2):  # nothing was finished after the first
        assert command.build(tmp_path / "site") == 0


def test_every_paper_that_is_named_by_its_number_is_in_the_bibliography() -> None:
    sources = [
        path for kind in ("robustdl_lib/*.py", "notebooks/*.py", "docs/*.md", "*.md") for path in ROOT.glob(kind)
    ]
    named = {number for path in sources for number in ARXIV.findall(" ".join(path.read_text().split()))}
    listed = {str(entry.fields.get("eprint")) for entry in parse_file(str(ROOT / "docs/sources.bib")).entries.values()}
    assert named - listed == set()


def test_every_source_of_the_readme_is_in_the_bibliography() -> None:
    entries = parse_file(str(ROOT / "docs/sources.bib")).entries.values()
    listed = {re.sub(r"\W", "", person.last_names[-1]) for entry in entries for person in entry.persons["author"]}
    told = re.findall(r"\b(?:[A-Z]\.-?)+ ([A-Z]\w+)", pieces.section(README, "Sources"))
    assert len(told) > 15
    assert set(told) - listed == set()


def test_an_anchor_in_the_form_of_notebooks_becomes_the_sites():
    text = "[a](../notebooks/05_emphasis_density.ipynb#How-sharply:-the-grid) [b](CLUSTER.md#ssh-hosts)"
    adapted = links.adapt(text, "docs/SETTINGS.md", lambda name: None)
    assert "05_emphasis_density.ipynb#how-sharply-the-grid)" in adapted
    assert adapted.endswith("#ssh-hosts)")
