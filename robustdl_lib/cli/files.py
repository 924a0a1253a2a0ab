"""Commands that read or write files of a reader: download, audit, report, notebook, course, build, explorer, readme."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from robustdl_lib import paths
from robustdl_lib.audit import audit as _audit
from robustdl_lib.cli import console, readme_tables
from robustdl_lib.cli.options import audit_options, report_options
from robustdl_lib.config import ConfigError
from robustdl_lib.data import cifar
from robustdl_lib.data.noise import cifar_n
from robustdl_lib.plots.explorer import page as _explorer
from robustdl_lib.report import report as _report


@click.command(short_help="Fetch CIFAR-10, CIFAR-100, CIFAR-N.")
@click.argument("names", nargs=-1, required=True, type=click.Choice([*cifar.ARCHIVES, cifar_n.FOLDER]))
def download(names: tuple[str, ...]) -> None:
    """Fetch the official files of NAMES into the data root (ROBUSTDL_DATA), every checksum verified.

    ROBUSTDL_MIRRORS holds addresses to try before the official one, separated by spaces.

    \b
    Example:
      robustdl download cifar10 cifar-n
    """
    for name in names:
        click.echo(f"{name}: {cifar_n.download() if name == cifar_n.FOLDER else cifar.download(name)}")


@click.command(short_help="Look for wrong labels in images of your own.")
@click.argument("dataset")
@audit_options
def audit(dataset: str, **options: Any) -> None:
    """Look for wrong labels in DATASET, such as folder:PATH: a ranked csv and a page with pictures of the suspects.

    \b
    Examples:
      robustdl audit folder:path/to/images
      robustdl audit digits --noise symmetric:0.1 --examples 300
    """
    _audit.run(dataset, **options, say=click.echo)


@click.command(short_help="Say what was published, and what comes out here.")
@report_options
@click.pass_context
def report(context: click.Context, /, **options: Any) -> None:
    """Compare what was published, the committed reference and this machine: a table here, as csv and as a page.

    The exit code is 0 whatever the verdicts are, unless --strict is given.

    \b
    Examples:
      robustdl report
      robustdl report --profile quick --strict
    """
    context.exit(_report.run(**options, say=click.echo))


@click.command(short_help="Execute a notebook with parameters.")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("-p", "given", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter of the notebook.")
@click.option("--where-known", nargs=2, multiple=True, metavar="NAME VALUE", help="The same, if it has such a one.")
def notebook(source: Path, output: Path, given: tuple[Any, ...], where_known: tuple[Any, ...]) -> None:
    """Execute the notebook SOURCE (.py or .ipynb) by papermill and write it to OUTPUT.

    \b
    Example:
      robustdl notebook notebooks/05_emphasis_density.py my_density.ipynb -p betas "4 8 16"
    """
    _require_source(source)
    _notebooks().execute(source, output, dict(given), {name: value for name, value in where_known if value})
    click.echo(f"{output}")


@click.command(short_help="Execute the notebooks of the course.")
@click.argument("into", type=click.Path(path_type=Path))
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path))
@click.option("--where-known", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter of those that have it.")
@click.option("--rows", multiple=True, type=click.Path(path_type=Path), help="Folders whose change makes copies old.")
def course(into: Path, sources: tuple[Path, ...], where_known: tuple[Any, ...], rows: tuple[Path, ...]) -> None:
    """Execute the notebook SOURCES into the folder INTO, two at a time, except those whose copy there is up to date.

    \b
    Example:
      robustdl course results/notebooks/quick notebooks/*.py --where-known shelf runs
    """
    for source in sources:
        _require_source(source)
    settings = {name: value for name, value in where_known if value}
    library = Path(__file__).parents[1]
    failures = _notebooks().execute_course(sources, into, settings, [library, *rows])
    if failures:
        raise _notebooks().NotebookFailed(f"{len(failures)} of {len(sources)} notebooks stopped: {'; '.join(failures)}")
    click.echo(f"{len(sources)} notebooks: {into}")


@click.command(short_help="Rebuild committed notebooks.")
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path))
def build(sources: tuple[Path, ...]) -> None:
    """Execute notebook SOURCES (.py) with their defaults and write the committed .ipynb beside each.

    \b
    Example:
      robustdl build notebooks/05_emphasis_density.py
    """
    for source in console.track(sources, "building"):
        _require_source(source)
        click.echo(f"{_notebooks().build(source)}")


@click.command(short_help="Write the interactive page.")
@click.argument("path", default="docs/explorer.html", type=click.Path(path_type=Path, dir_okay=False))
def explorer(path: Path) -> None:
    """Build the interactive page from the registry and write it to PATH: one file, opened by a double click.

    \b
    Example:
      robustdl explorer my_explorer.html
    """
    click.echo(f"{_explorer.write(path)}")


@click.command(short_help="Renew the generated tables of a page.")
@click.argument("path", default="README.md", type=click.Path(path_type=Path, dir_okay=False))
def readme(path: Path) -> None:
    """Write the tables between their marks in PATH: the headline of the quick reference, all methods, settings.

    \b
    Example:
      robustdl readme docs/METHODS.md
    """
    paths.require_checkout("the rows of these tables lie")
    if not path.is_file():
        raise ConfigError(f"there is no page {path}: name one that has marks, such as README.md")
    click.echo(f"{path}: {', '.join(readme_tables.write(path))}")


def _require_source(source: Path) -> None:
    """Raise where a notebook is not there since no checkout is: the course's own are not installed."""
    if not source.exists():
        paths.require_checkout("the course's notebooks lie")


def _notebooks() -> ModuleType:
    """Import what runs notebooks: its packages are an extra, which training and drawing do without."""
    try:
        return importlib.import_module("robustdl_lib.cli.notebooks")
    except ModuleNotFoundError as error:
        raise ConfigError(f"notebooks need the package {error.name!r}: install robustdl-lib[notebooks]") from None


COMMANDS = (download, audit, report, notebook, course, build, explorer, readme)
