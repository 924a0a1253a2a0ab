"""The command behind ``make figures``: train what is missing, draw, compare with the reference, run the notebooks."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from robustdl_lib import paths
from robustdl_lib.cli import console
from robustdl_lib.cli.figures import figures_command
from robustdl_lib.cli.files import require_notebooks
from robustdl_lib.cli.options import engine_options, read_setting, setting_options
from robustdl_lib.cli.train import require_setting
from robustdl_lib.runs import sweeps

PACKAGE = Path(__file__).parents[1]
OF_FIGURES = (
    "03_training_under_noise",
    "09_proselflc",
    "10_training_dynamics",
    "11_entropy_minimisation",
    "12_summary",
)
"""Notebooks of the small profile, which read only the figures' runs: a run of it takes a quarter of an hour."""
OF_DISGUISE = "08_direction_and_magnitude"
"""The notebook that reads the sweep ``disguise``."""
REPORT_LINES = 6
"""Lines at the end of the report: the verdicts of each part counted, the red lines, the page."""
Task = tuple[Path, Path, Mapping[str, str]]


@click.command(short_help="Train, draw, compare, run notebooks: make figures.")
@setting_options
@engine_options
@click.option("--disguise", is_flag=True, help="Train notebook 08's sweep in this setting; else committed rows serve.")
@click.option("--quiet", is_flag=True, help="Print only where figures and notebooks are.")
@click.pass_context
def reproduce_command(
    context: click.Context, /, jobs: int | None, engine: str, address: str, disguise: bool, quiet: bool, **options: str
) -> None:
    """Train missing runs, draw every figure, compare with the reference, run the notebooks: what make figures does.

    Notebooks that are newer than their source, the library and the runs are kept. If a notebook fails, the others
    run all the same, its partial copy is kept, and the exit code is 1.

    \b
    Examples:
      robustdl reproduce
      robustdl reproduce --noise symmetric:0.6 --seeds "0 1"
    """
    setting = read_setting(**options)
    require_setting(setting)
    notebooks = require_notebooks(paths.ROOT / "notebooks")
    where: dict[str, Any] = {"engine": engine, "address": address, "quiet": quiet}
    sweeps.run("figures", setting.profile, jobs, **where, **setting.changes())
    context.invoke(figures_command, quiet=quiet, **options)
    if disguise:
        sweeps.run("disguise", setting.profile, jobs, **where, **setting.changes())
    shared = inputs(setting.profile)
    planned = tasks(setting, options, disguise=disguise)
    _execute([task for task in planned if not notebooks.is_current(task[1], [task[0], *shared])], notebooks)
    if setting.slug == setting.profile:
        click.echo("\n".join(_report(setting.profile).splitlines()[-REPORT_LINES:]))


def tasks(setting: sweeps.Setting, options: dict[str, str], *, disguise: bool) -> Iterator[Task]:
    """Yield the source, the output and the settings of each notebook of the course in this setting.

    Without ``disguise`` its notebook has no settings: it shows the committed rows.
    """
    settings = {**options, "shelf": "runs", "disguise": "runs", "budget": options["epochs"]}
    for source in sorted((paths.ROOT / "notebooks").glob("[0-9]*.py")):
        asked = disguise and source.stem == OF_DISGUISE
        if setting.profile == "small" and source.stem not in OF_FIGURES and not asked:
            continue
        output = paths.results() / "notebooks" / setting.slug / f"{source.stem}.ipynb"
        yield source, output, settings if asked or source.stem != OF_DISGUISE else {}


def inputs(profile: str) -> list[Path]:
    """Return what makes an executed notebook old: the files of the library, and a profile's folders of runs."""
    library = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return [*library, *(paths.results() / "runs").glob(f"{profile}*")]


def _execute(due: Sequence[Task], notebooks: ModuleType) -> None:
    """Execute notebooks and print each output; raises RuntimeError at the end if some failed."""
    failed = []
    for output, error in notebooks.execute_all(due) if due else ():
        if error:
            failed.append(output.stem)
            console.error(error)
        else:
            click.echo(f"{output}")
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(due)} notebooks failed: {', '.join(sorted(failed))}")


def _report(profile: str) -> str:
    """Write the report of a profile and return its text."""
    from robustdl_lib.report import report

    texts: list[str] = []
    report.run(profile, say=texts.append)
    return "\n".join(texts)


COMMANDS = (reproduce_command,)
