"""A page for every committed figure, from the registry and the .json beside it, and one page with all of them."""

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from book.links import ROOT, slug
from robustdl_lib import cli
from robustdl_lib.cli import readme_tables
from robustdl_lib.config import PROFILES
from robustdl_lib.registry import FIGURES, STUDIES, Entry
from robustdl_lib.runs.sweeps import Setting

assert cli.app
COMMITTED = ROOT / "figures" / "reference"
KINDS = ("png", "svg", "csv", "json")
THUMB = 560
"""Width of a small picture in pixels."""
RUN = ".venv/bin/python -m robustdl_lib"
WORDS = {"runs": "training runs", "p_y": "histograms of p_y from training runs"}


@dataclass(frozen=True)
class Figure:
    """A committed figure: its folder under figures/reference, its name, and its entry in the registry."""

    folder: str
    name: str
    entry: Entry

    @property
    def path(self) -> Path:
        return COMMITTED / self.folder / f"{self.name}.png"

    @property
    def files(self) -> list[Path]:
        """What is committed of it, in the order of :data:`KINDS`."""
        found = [self.path.with_suffix(f".{kind}") for kind in KINDS]
        return [path for path in found if path.is_file()]

    @cached_property
    def said(self) -> dict[str, Any]:
        """What the .json beside it says, empty where there is none."""
        path = self.path.with_suffix(".json")
        return json.loads(path.read_text()) if path.is_file() else {}

    @property
    def title(self) -> str:
        words = self.name.replace("p_y_", "p_y ").replace("_", " ")
        title = words if words.startswith("p_y") else words[:1].upper() + words[1:]
        return title if self.folder in ("quick", "studies") else f"{title} ({self.folder.replace('_', ', ')})"

    @property
    def command(self) -> str:
        """The command that draws it again."""
        if self.entry.kind == "study":
            return f"{RUN} study {self.name} --into reference"
        return f"{RUN} figures --only {self.name} --shelf reference{options(self.folder)}"

    @property
    def origin(self) -> str:
        """Where its rows come from, in words."""
        rows = getattr(self.entry.facts, "rows", None)
        if isinstance(rows, str) and rows.startswith("study:"):
            return f"the study [{rows.removeprefix('study:')}](../../rows.md#studies)"
        if isinstance(rows, str):
            home = _settings()[self.folder].home
            return f"{WORDS[rows]} in [results/reference/{home}](../../rows.md#{slug(home)})"
        return "computed when it is drawn; nothing is trained" if callable(rows) else "the study itself"


def committed(root: Path = COMMITTED) -> list[Figure]:
    """Return the figures that are committed and registered (as figures, or as studies with a picture), by folder."""
    found = []
    for path in sorted(root.glob("*/*.png")):
        table = STUDIES if path.parent.name == "studies" else FIGURES
        if path.stem in table:
            found.append(Figure(path.parent.name, path.stem, table.entry(path.stem)))
    return found


def options(folder: str) -> str:
    """Return the options of the command that draws a folder's figures, empty for the quick profile's own.

    Raises KeyError for a folder that is no known setting.
    """
    setting = _settings()[folder]
    given = {**({} if setting.profile == "quick" else {"profile": setting.profile}), **setting.changes()}
    shown = {name: " ".join(value) if isinstance(value, list) else value for name, value in given.items()}
    return "".join(f" --{name} '{value}'" for name, value in shown.items())


def notebooks(name: str, sources: dict[str, str], claims: str) -> list[str]:
    """Return the notebooks that draw a figure, or whose row in the README's table of claims links to it."""
    named = re.compile(rf"""(["'.]){name}["'(\]]""")
    rows = [row for row in claims.splitlines() if f"[{name}](" in row]
    return [stem for stem, code in sources.items() if named.search(code) or any(f"[{stem}]" in row for row in rows)]


def page(figure: Figure, used: Iterable[str]) -> str:
    """Return a figure's page as Markdown."""
    at = f"../../{figure.path.relative_to(ROOT).parent.as_posix()}"
    links = [f"{{download}}`{path.suffix[1:]} <{at}/{path.name}>`" for path in figure.files]
    learnt = ", ".join(f"[{stem}](../../notebooks/{stem}.ipynb)" for stem in used)
    facts = [
        ("Source", figure.entry.source),
        ("Explained in", learnt),
        ("Rows", figure.origin),
        *_circumstances(figure.said),
        ("Files", " ".join(links)),
    ]
    table = "\n".join(f"{name}\n: {value}\n" for name, value in facts if value)
    picture = f"```{{image}} {at}/{figure.path.name}\n:alt: {figure.entry.label}\n:class: drawn\n```"
    said = f":::{{container}} facts\n{table}:::"
    command = f"```bash\n{figure.command}\n```\n"
    return "\n\n".join([f"# {figure.title}", figure.entry.label, picture, said, "Drawn again by", command])


def overview(figures: Iterable[Figure]) -> str:
    """Return the page of all figures as Markdown: small pictures that lead to their pages, folder by folder."""
    figures = list(figures)
    parts = [
        "# Figures",
        "Every figure of the committed reference. Its page says what it shows, where its rows come from and which "
        "command draws it, and has it as png and svg, its rows as csv, and what it rests on as json.",
    ]
    for folder in sorted({figure.folder for figure in figures}, key=lambda name: (name != "quick", name)):
        cards = "\n".join(_card(figure) for figure in figures if figure.folder == folder)
        heading = folder.replace("_", ", ").capitalize()
        parts += [f"## {heading}", f'<div class="cards">\n{cards}\n</div>']
    pages_ = "\n".join(f"{figure.folder}/{figure.name}" for figure in figures)
    return "\n\n".join([*parts, f"```{{toctree}}\n:hidden:\n\n{pages_}\n```\n"])


def thumbnail(figure: Figure, folder: Path) -> Path:
    """Write a figure's small picture under ``folder`` and return its path; one that is newer is kept."""
    small = folder / figure.folder / f"{figure.name}.webp"
    if not small.is_file() or small.stat().st_mtime < figure.path.stat().st_mtime:
        small.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(figure.path) as picture:
            picture.thumbnail((THUMB, THUMB))
            picture.convert("RGB").save(small, quality=82)
    return small


def _card(figure: Figure) -> str:
    with Image.open(figure.path) as picture:
        ratio = picture.height / picture.width
    size = f'width="{THUMB}" height="{round(THUMB * ratio)}"'
    small = f"../_static/thumbs/{figure.folder}/{figure.name}.webp"
    words = f"<strong>{html.escape(figure.title)}</strong><span>{html.escape(figure.entry.label)}</span>"
    where = f"{figure.folder}/{figure.name}.html"
    return f'<a class="card" href="{where}"><img src="{small}" alt="" loading="lazy" {size}>{words}</a>'


def _circumstances(said: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a figure's .json says of its origin, as names and words."""
    found = said.get("provenance", {})
    versions = "; ".join(", ".join(map(" ".join, each.items())) for each in _several(found.get("versions", [])))
    revisions = ", ".join(_several(found.get("git_revision", [])))
    count = len(found.get("runs", ()))
    return [("Runs", str(count) if count else ""), ("Revision", revisions), ("Versions", versions)]


def _several(found: Any) -> list[Any]:
    """Return what a .json holds once, or a list of, as a list: runs can be of several revisions."""
    return found if isinstance(found, list) else [found]


def _settings() -> dict[str, Setting]:
    known = [*map(Setting, PROFILES), *readme_tables.WORKED.values()]
    return {setting.slug: setting for setting in known}
