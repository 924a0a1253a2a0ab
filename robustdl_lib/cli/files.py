"""Commands that read or write a reader's files: download, audit, report, notebook, build, explorer, readme."""

from pathlib import Path
from types import ModuleType
from typing import Any

import click

from robustdl_lib import paths
from robustdl_lib.cli import console
from robustdl_lib.cli.options import audit_options, report_options
from robustdl_lib.config import ConfigError
from robustdl_lib.data import cifar
from robustdl_lib.data.noise import cifar_n


@click.command(short_help="Fetch CIFAR-10, CIFAR-100, CIFAR-N.")
@click.argument("names", nargs=-1, required=True, type=click.Choice([*cifar.ARCHIVES, cifar_n.FOLDER]))
def download_command(names: tuple[str, ...]) -> None:
    """Fetch the official files of NAMES into the data root (ROBUSTDL_DATA), every checksum verified.

    ROBUSTDL_MIRRORS holds addresses to try before the official one, separated by spaces.

    \b
    Example:
      robustdl download cifar10 cifar-n
    """
    for name in names:
        click.echo(f"{name}: {cifar_n.download() if name == cifar_n.FOLDER else cifar.download(name)}")


@click.command(short_help="Find wrong labels in your own images.")
@click.argument("dataset")
@audit_options
def audit_command(dataset: str, **options: Any) -> None:
    """Find wrong labels in DATASET, such as folder:PATH: a ranked csv, and a page with pictures of the suspects.

    \b
    Examples:
      robustdl audit folder:path/to/images
      robustdl audit digits --noise symmetric:0.1 --examples 300
    """
    from robustdl_lib.audit import audit

    audit.run(dataset, **options, say=click.echo)


@click.command(short_help="Compare published numbers with ours.")
@report_options
@click.pass_context
def report_command(context: click.Context, /, **options: Any) -> None:
    """Compare published numbers, the committed reference and this machine: a table here, a csv file and a page.

    The exit code is 0 whatever the verdicts are, unless --strict is given.

    \b
    Examples:
      robustdl report
      robustdl report --profile quick --strict
    """
    from robustdl_lib.report import report

    context.exit(report.run(**options, say=click.echo))


@click.command(short_help="Execute a notebook with parameters.")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("-p", "given", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter of the notebook.")
def notebook_command(source: Path, output: Path, given: tuple[Any, ...]) -> None:
    """Execute the notebook SOURCE (.py or .ipynb) by papermill and write it to OUTPUT.

    \b
    Example:
      robustdl notebook notebooks/05_emphasis_density.py my_density.ipynb -p betas "4 8 16"
    """
    require_notebooks(source).execute(source, output, dict(given))
    click.echo(f"{output}")


@click.command(short_help="Rebuild committed notebooks.")
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path))
def build_command(sources: tuple[Path, ...]) -> None:
    """Execute notebook SOURCES (.py) with their defaults and write the committed .ipynb next to each.

    \b
    Example:
      robustdl build notebooks/05_emphasis_density.py
    """
    for source in console.track(sources, "building"):
        click.echo(f"{require_notebooks(source).build(source)}")


@click.command(short_help="Write the interactive page.")
@click.argument("path", default="docs/explorer.html", type=click.Path(path_type=Path, dir_okay=False))
def explorer_command(path: Path) -> None:
    """Build the interactive page from the registry and write it to PATH: one file, opened by a double click.

    \b
    Example:
      robustdl explorer my_explorer.html
    """
    from robustdl_lib.plots.explorer import page

    click.echo(f"{page.write(path)}")


@click.command(short_help="Renew the generated tables of a page.")
@click.argument("path", default="README.md", type=click.Path(path_type=Path, dir_okay=False))
def readme_command(path: Path) -> None:
    """Write the tables between their marks in PATH: the headline of the quick reference, all methods, settings.

    \b
    Example:
      robustdl readme docs/METHODS.md
    """
    from robustdl_lib.cli import readme_tables

    paths.require_checkout("the rows of these tables lie")
    if not path.is_file():
        raise ConfigError(f"there is no page {path}: name one that has marks, such as README.md")
    click.echo(f"{path}: {', '.join(readme_tables.write(path))}")


def require_notebooks(source: Path) -> ModuleType:
    """Return the module that runs notebooks, whose packages are an extra; raises OSError without ``source``."""
    if not source.exists():
        paths.require_checkout("the course's notebooks lie")
    try:
        from robustdl_lib.cli import notebooks
    except ModuleNotFoundError as error:
        raise ConfigError(f"notebooks need the package {error.name!r}: install robustdl-lib[notebooks]") from None
    return notebooks


COMMANDS = (
    *(download_command, audit_command, report_command, notebook_command, build_command),
    *(explorer_command, readme_command),
)
