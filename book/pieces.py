"""Pages that are generated from the repository: tutorial, rows, glossary, command line, modules."""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import nbformat

from book.links import REPORTS, ROOT, module_name, slug
from robustdl_lib import cli

NOTEBOOKS = ROOT / "notebooks"
REFERENCE = ROOT / "results" / "reference"
WIDTH = 88
"""Of the help texts of commands, in characters."""


def course(folder: Path = NOTEBOOKS) -> list[Path]:
    """Return the built notebooks ``NN_name.ipynb`` in the course's order, whichever there are."""
    return sorted(path for path in folder.glob("[0-9][0-9]_*.ipynb") if re.fullmatch(r"\d\d_\w+", path.stem))


def solutions(folder: Path = NOTEBOOKS) -> list[Path]:
    """Return the built solutions to the exercises, in the course's order."""
    return course(folder / "solutions")


def texts(root: Path = ROOT) -> list[str]:
    """Return the committed pages in Markdown, whichever there are; the README is the first page of the site."""
    found = [path for kind in ("docs/*.md", "benchmarks/*.md", "*.md") for path in sorted(root.glob(kind))]
    return [name for path in found if (name := path.relative_to(root).as_posix()) != "README.md"]


def title(path: Path) -> str:
    """Return a notebook's number and title, such as ``05 Emphasis density``."""
    return f"{path.stem[:2]} {_opening(path).partition(chr(10))[0].removeprefix('# ').strip()}"


def claim(path: Path) -> str:
    """Return what a notebook claims: the words in bold of its first cell, or else its first sentence, on one line."""
    opening = _opening(path)
    found = re.search(r"\*\*(.+?)\*\*", opening, re.DOTALL) or re.search(r"\n\n(.+?)[.:](?=\s|$)", opening, re.DOTALL)
    said = " ".join(found[1].split()).rstrip(".") if found else ""
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def tutorial(notebooks: list[Path]) -> str:
    """Return the page of the tutorial: every notebook with its claim."""
    rows = "\n".join(f"| [{title(path)}](notebooks/{path.name}) | {_cell(claim(path))} |" for path in notebooks)
    said = (
        "The notebooks in the order of the talk, as they are committed, with their outputs. Each begins with its claim "
        "and ends with checks that assert it, a summary and exercises. `make lab` opens them to be changed and run."
    )
    answers = ", ".join(f"[{path.stem[:2]}](notebooks/solutions/{path.name})" for path in notebooks)
    return f"# Tutorial\n\n{said}\n\n| notebook | claim |\n| :-- | :-- |\n{rows}\n\nSolutions: {answers}.\n"


def contents(groups: dict[str, list[str]]) -> str:
    """Return hidden tables of contents, one a caption, for the end of the first page."""
    parts = [f"```{{toctree}}\n:hidden:\n:caption: {name}\n\n" + "\n".join(g) + "\n```" for name, g in groups.items()]
    return "\n\n".join(parts) + "\n"


def report(profiles: list[str]) -> str:
    """Return the page of the committed reproduction reports, one a profile, each in a frame with its rows."""
    said = "Published numbers and claims beside what was computed here, with a verdict for each."
    parts = [
        f"## {name.capitalize()}\n\n{{download}}`its rows (csv) <{REPORTS}/{name}/report.csv>`, "
        f'<a href="_static/report/{name}.html">the page alone</a>\n\n'
        f'<iframe class="whole" src="_static/report/{name}.html" title="Reproduction report, {name}"></iframe>'
        for name in profiles
    ]
    return "\n\n".join(["# Report", said, *parts]) + "\n"


def section(text: str, heading: str) -> str:
    """Return what stands under a heading of level 2, without the heading; raises ValueError where there is none."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if not found:
        raise ValueError(f"there is no section '## {heading}'")
    return found[1].strip()


def glossary(readme: str) -> str:
    """Return the page of words from the README's table."""
    rows = [line.strip("| ").split(" | ", 1) for line in section(readme, "Words").splitlines()[2:]]
    words = "\n\n".join(f"{word.strip()}\n: {meaning.strip()}" for word, meaning in rows)
    return f"# Glossary\n\n{words}\n"


def rows(folder: Path = REFERENCE) -> str:
    """Return the page of the committed rows: the runs of each folder, and the studies with their files."""
    parts = ["# Rows", "Every number and figure comes from these rows, which are committed under `results/reference`."]
    for place in sorted({path.parent.parent for path in folder.glob("*/*/config.json")}):
        parts += [f"({slug(place.name)})=\n## {place.name}", _runs(place)]
    return "\n\n".join([*parts, "## Studies", *_studies(folder / "studies")]) + "\n"


def _runs(folder: Path) -> str:
    """Return a table of the runs in a folder, one row a method and noise."""
    configs = [json.loads(path.read_text()) for path in sorted(folder.glob("*/config.json"))]
    count = Counter((item["noise"], item["method"], item["model"], item["dataset"]) for item in configs)
    lines = [f"| `{noise}` | `{m}` | {model} | {data} | {n} |" for (noise, m, model, data), n in sorted(count.items())]
    head = "| noise | method | network | data | runs |\n| :-- | :-- | :-- | :-- | --: |"
    return f"{len(configs)} runs, a folder each.\n\n{head}\n" + "\n".join(lines)


def _studies(folder: Path) -> Iterator[str]:
    """Yield a paragraph for each committed study: what it says, its files, its command."""
    for path in sorted(folder.glob("*.csv")):
        said = json.loads(path.with_suffix(".json").read_text())
        at = path.relative_to(ROOT).with_suffix("").as_posix()
        files = " ".join(f"{{download}}`{kind} <{at}.{kind}>`" for kind in ("csv", "json"))
        command = f"`.venv/bin/python -m robustdl_lib study {said['study']} --into reference`"
        yield f"**{path.stem}.** {said['caption']} Source: {said['source']}. {files}\n\n{command}"


def commands() -> str:
    """Return the page of the command line: what each command says of itself."""
    parts = ["# Command line", f"```text\n{_help(cli.app, 'python -m robustdl_lib')}\n```"]
    for name, command in sorted(cli.app.commands.items()):
        parts += [f"## {name}", f"```text\n{_help(command, f'python -m robustdl_lib {name}')}\n```"]
    return "\n\n".join(parts) + "\n"


def _help(command: click.Command, name: str) -> str:
    return command.get_help(click.Context(command, info_name=name, max_content_width=WIDTH, terminal_width=WIDTH))


def modules() -> dict[str, str]:
    """Return the first sentence of each module of the library, by name."""
    package = ROOT / "robustdl_lib"
    files = sorted(
        path.relative_to(ROOT) for path in package.rglob("*.py") if path.parent != package or path.stem[0] != "_"
    )
    texts = {module_name(path): ast.get_docstring(ast.parse((ROOT / path).read_text())) or "" for path in files}
    return {name: " ".join(text.split("\n\n")[0].split()) for name, text in texts.items()}


def module(name: str) -> str:
    """Return the page of a module, which Sphinx fills from its docstrings."""
    options = "   :members:\n   :ignore-module-all:\n   :member-order: bysource\n"
    return f"{name}\n{'=' * len(name)}\n\n.. automodule:: robustdl_lib.{name}\n{options}"


def reference(described: dict[str, str]) -> str:
    """Return the page that lists the modules; roles of docstrings are left as plain names."""
    plain = {name: re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text.replace("``", "`")) for name, text in described.items()}
    lines = "\n".join(f"| [{name}]({name}.rst) | {_cell(text)} |" for name, text in plain.items())
    said = "From the docstrings. How the modules build on each other: [Design](../docs/DESIGN.md)."
    toctree = "```{toctree}\n:hidden:\n\n" + "\n".join(described) + "\n```"
    return f"# Library\n\n{said}\n\n| module | what it is |\n| :-- | :-- |\n{lines}\n\n{toctree}\n"


def _opening(path: Path) -> str:
    return str(nbformat.read(path, as_version=4).cells[0].source)


def _cell(text: str) -> str:
    """Return a text that a cell of a Markdown table can hold."""
    return text.replace("|", "\\|")
