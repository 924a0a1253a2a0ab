"""The site's sources: committed pages copied with their links led on, and generated ones beside them."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from book import dashboard, pieces
from book.links import REPORTS, ROOT, adapt

EXPLORER = "docs/explorer.html"


@dataclass
class Stage:
    """A folder of sources that is written anew, so that only what differs has a new time and Sphinx reads only that.

    ``kept`` holds what was written in this round; :meth:`sweep` removes the rest.
    """

    folder: Path
    kept: set[Path] = field(default_factory=set)

    def write(self, name: str, text: str) -> None:
        """Write a page, unless it is there with these very words."""
        path = self._place(name)
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)

    def copy(self, name: str, target: str | None = None) -> None:
        """Copy a file of the repository to the same place, or to ``target``."""
        path, source = self._place(target or name), ROOT / name
        if not path.is_file() or path.read_bytes() != source.read_bytes():
            shutil.copyfile(source, path)

    def page(self, name: str, at: str | None = None) -> None:
        """Copy a Markdown page of the repository, its links led to the site."""
        self.write(at or name, adapt((ROOT / name).read_text(), name, self.copy, at))

    def notebook(self, path: Path) -> None:
        """Copy a notebook as it is committed, links led to the site, with a line under its title that offers it."""
        book, name = nbformat.read(path, as_version=4), path.relative_to(ROOT).as_posix()
        for cell in (cell for cell in book.cells if cell.cell_type == "markdown"):
            cell.source = adapt(cell.source, name, self.copy)
        book.cells[0].source += "\n\n" + self._offer(path)
        book.cells[0].source = _numbered(book.cells[0].source, path.stem[:2])
        self.write(name, nbformat.writes(book))

    def sweep(self) -> None:
        """Remove what an earlier round wrote and this one did not."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_file() and path not in self.kept:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    def _offer(self, path: Path) -> str:
        """Return the line that offers a notebook and its source; the copies have another name than the page."""
        name = path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()
        for ending in ("ipynb", "py"):
            self.copy(f"notebooks/{name}.{ending}", f"files/{name}.{ending}")
        links = " ".join(f"{{download}}`{e} </files/{name}.{e}>`" for e in ("ipynb", "py"))
        return f":::{{container}} offer\nAs committed: {links}\n:::"

    def _place(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.kept.add(path)
        return path


def stage(folder: Path) -> Stage:
    """Write the sources of the whole site into ``folder``; raises DeadLink for a link that leads nowhere."""
    target = Stage(folder)
    texts, notebooks = pieces.texts(), pieces.course()
    for name in texts:
        target.page(name)
    for path in [*notebooks, *pieces.solutions()]:
        target.notebook(path)
    _figures(target)
    _library(target)
    _tools(target)
    reports = _reports(target)
    target.write("tutorial.md", pieces.tutorial(notebooks))
    target.write("index.md", _landing(target, notebooks, [*texts, *reports]))
    target.sweep()
    return target


def _figures(target: Stage) -> None:
    """Stage the page of every committed figure, with its files and a small picture, and the page of all."""
    figures, readme = dashboard.committed(), (ROOT / "README.md").read_text()
    sources = {path.stem: path.with_suffix(".py").read_text() for path in pieces.course()}
    for figure in figures:
        for path in figure.files:
            target.copy(path.relative_to(ROOT).as_posix())
        target.kept.add(dashboard.thumbnail(figure, target.folder / "_static" / "thumbs"))
        used = dashboard.notebooks(figure.name, sources, readme)
        target.write(f"figures/{figure.folder}/{figure.name}.md", dashboard.page(figure, used))
    target.write("figures/index.md", dashboard.overview(figures))


def _library(target: Stage) -> None:
    described = pieces.modules()
    for name in described:
        target.write(f"reference/{name}.rst", pieces.module(name))
    target.write("reference/index.md", pieces.reference(described))


def _tools(target: Stage) -> None:
    """Stage what is neither text, notebook, figure nor module."""
    readme = (ROOT / "README.md").read_text()
    target.copy(EXPLORER, f"_extra/{EXPLORER}")  # the place that notebook 05 shows in a frame
    target.write("explorer.md", (ROOT / "book" / "explorer.md").read_text())
    target.write("bibliography.md", (ROOT / "book" / "bibliography.md").read_text())
    target.copy("docs/sources.bib")
    target.write("glossary.md", pieces.glossary(readme))
    target.write("commands.md", pieces.commands())
    target.write("rows.md", pieces.rows())
    for path in sorted(pieces.REFERENCE.glob("studies/*.*")):
        target.copy(path.relative_to(ROOT).as_posix())


def _reports(target: Stage, root: Path = ROOT) -> list[str]:
    """Stage the committed reproduction reports, and return the page that shows them: none where there is none yet."""
    found = sorted(path.parent.name for path in (root / REPORTS).glob("*/report.html"))
    for name in found:
        target.copy(f"{REPORTS}/{name}/report.html", f"_static/report/{name}.html")
        target.copy(f"{REPORTS}/{name}/report.csv")
    if found:
        target.write("report.md", pieces.report(found))
    return ["report.md"] if found else []


def _landing(target: Stage, notebooks: list[Path], texts: list[str]) -> str:
    """Return the first page: the README with the tables of contents."""
    readme = adapt((ROOT / "README.md").read_text(), "README.md", target.copy, "index.md")
    course = [f"{pieces.title(path)} <notebooks/{path.stem}>" for path in notebooks]
    answers = [
        f"{path.stem[:2]} {path.stem[3:].replace('_', ' ')} <notebooks/solutions/{path.stem}>" for path in notebooks
    ]
    pages = [name.removesuffix(".md") for name in texts]
    groups = {
        "Tutorial": ["Overview <tutorial>", *course],
        "Solutions": answers,
        "See": ["explorer", "figures/index", *(page for page in pages if page == "report"), "rows"],
        "Look up": [
            "docs/METHODS",
            "docs/SETTINGS",
            "docs/PAPERS",
            "commands",
            "reference/index",
            "glossary",
            "bibliography",
        ],
    }
    listed = {item for group in groups.values() for item in group}
    groups["Behind it"] = [page for page in pages if page not in listed]
    return f"{readme}\n{pieces.contents(groups)}"


def _numbered(text: str, number: str) -> str:
    return text.replace("# ", f"# {number} ", 1)
