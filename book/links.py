"""Links of committed pages, led to their place on the site."""

import re
from collections.abc import Callable
from os.path import normpath, relpath
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?P<image>!?)\[(?P<words>[^\]]*)\]\((?P<target>[^)\s]+)\)")
FENCE = re.compile(r"(^```.*?^```$|`[^`\n]*`)", re.MULTILINE | re.DOTALL)
PAGES = {"README.md": "index.md", "docs/explorer.html": "explorer.md", "docs/sources.bib": "bibliography.md"}
REPORTS = "results/reference/report"
FOLDERS = {
    "notebooks": "tutorial.md",
    "notebooks/solutions": "tutorial.md",
    "robustdl_lib": "reference/index.md",
    "figures/reference": "figures/index.md",
}


class DeadLink(ValueError):
    """A link of a committed page to a file that is not there; the message names both."""


def place(target: str) -> str:
    """Return where on the site a file or folder of the repository is shown, both relative to their roots.

    A drawn figure has its page, a module its reference, a folder of rows its section; every other file is itself.
    """
    path = PurePosixPath(target)
    if target in PAGES or target in FOLDERS:
        return PAGES.get(target) or FOLDERS[target]
    if target.startswith(f"{REPORTS}/"):
        return "report.md"
    if target.startswith("results/reference"):
        return "rows.md" + "".join(f"#{slug(part)}" for part in path.parts[2:3])
    if target.startswith("figures/reference/") and path.suffix == ".png":
        return str(PurePosixPath("figures", *path.parts[2:]).with_suffix(".md"))
    if path.parts[0] == "robustdl_lib" and path.suffix == ".py":
        return f"reference/{module_name(path)}.rst"
    return target


def module_name(path: PurePosixPath) -> str:
    """Return a module's name without the package's: ``robustdl_lib/data/noise/__init__.py`` gives ``data.noise``."""
    return ".".join(path.with_suffix("").parts[1:]).removesuffix(".__init__")


def slug(title: str) -> str:
    """Return the anchor of a heading: lower case, spaces as dashes, without other signs (GitHub's rule)."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def adapt(text: str, page: str, needed: Callable[[str], None], at: str | None = None) -> str:
    """Return Markdown of the repository's ``page`` with its links as they are on the site's page ``at``.

    An anchor in a notebook's form (``#The-grid:-how``) becomes the site's. ``needed`` hears of each file that the site
    then needs a copy of. Code is left alone; of a link to a folder that the site does not show its words stay. Raises
    :class:`DeadLink`.
    """

    def lead(found: re.Match[str]) -> str:
        goal = _lead(found, page, at or page, needed)
        return f"{found['image']}[{found['words']}]({goal})" if goal else found["words"]

    parts = FENCE.split(text)
    parts[::2] = [LINK.sub(lead, part) for part in parts[::2]]
    return "".join(parts)


def _lead(found: re.Match[str], page: str, at: str, needed: Callable[[str], None]) -> str:
    """Return where a link leads on the site; empty for a folder that has no page."""
    target, hash_sign, anchor = found["target"].partition("#")
    if not target or re.match(r"\w+:", target):
        return found["target"]
    here = normpath(str(PurePosixPath(page).parent / target))
    if not (ROOT / here).exists():
        raise DeadLink(f"{page} links to {found['target']}, and there is no {here}")
    goal = here if found["image"] else place(here)
    if (ROOT / goal).is_dir():
        return ""
    if goal == here and (ROOT / here).is_file() and PurePosixPath(here).suffix not in (".md", ".ipynb"):
        needed(here)
    if here.endswith(".ipynb"):
        anchor = slug(unquote(anchor))  # in a notebook a heading's anchor keeps its letters and signs
    goal, own, section = goal.partition("#")
    return relpath(goal, str(PurePosixPath(at).parent)) + (hash_sign + slug(unquote(anchor)) or own + section)
