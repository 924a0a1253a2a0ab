"""``python -m book``: stage the sources and build the site into build/book; a warning fails."""

import shutil
from pathlib import Path

import click
from sphinx.cmd.build import build_main

from book.links import ROOT
from book.stage import stage

BUILT = ROOT / "build" / "book"
MARKS = {"site": "objects.inv", "sources": "index.md"}
"""The file by which each folder is known to be one of a site."""


def require_own(folder: Path, mark: str) -> None:
    """Raise ValueError for what is there and is no folder of ours: one that is empty or holds the file ``mark``."""
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / mark).is_file())):
        raise ValueError(
            f"the site needs a folder of its own, and {folder} holds other files: name another with --into"
        )


def clear(into: Path) -> None:
    """Remove an earlier site, so that no page of it is left; raises ValueError for a folder that is none."""
    require_own(into, MARKS["site"])
    if into.exists():
        shutil.rmtree(into)


def build(into: Path, jobs: int = 1) -> int:
    """Build the site into a folder, its sources and what Sphinx keeps beside it; return Sphinx's exit status.

    Raises ValueError, before anything is removed, where one of the folders holds files of others.
    """
    beside = into.parent / f"{into.name}.sources"
    require_own(beside, MARKS["sources"])
    clear(into)
    for folder, mark in ((into, MARKS["site"]), (beside, MARKS["sources"])):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / mark).touch()  # a build that is stopped leaves folders that the next one knows
    stage(beside)
    how = ["-b", "html", "-q", "-W", "--keep-going", "-j", str(jobs), "-c", str(ROOT / "book")]
    return build_main([*how, "-d", str(into.parent / f"{into.name}.doctrees"), str(beside), str(into)])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--into", type=click.Path(path_type=Path), default=BUILT, help="Folder of the site (build/book).")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Processes at a time.")
def main(into: Path, jobs: int) -> None:
    """Build the site from what is committed: nothing is trained, executed or fetched."""
    try:
        status = build(into.absolute(), jobs)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if status:
        raise SystemExit(status)
    click.echo(f"{into / 'index.html'}")


if __name__ == "__main__":
    main()
