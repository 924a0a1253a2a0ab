"""The command line: ``python -m robustdl_lib COMMAND``. Every refusal is one sentence and a non-zero exit."""

import importlib
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pandas as pd
from joblib import cpu_count

from robustdl_lib import (
    adverse_studies,
    cifar,
    data_studies,
    dynamics_plots,
    exercises,
    frames,
    human,
    lens,
    lens_plots,
    noise_plots,
    pages,
    paths,
    plots,
    simplex_plots,
    split_studies,
    statistics_plots,
    store,
    studies,
    summary,
    sweeps,
)
from robustdl_lib import audit as _audit
from robustdl_lib import explorer as _explorer
from robustdl_lib.checkpoints import require_interval
from robustdl_lib.config import PROFILES, ConfigError, RunConfig, profile_config
from robustdl_lib.data import load
from robustdl_lib.formats import resolve_device
from robustdl_lib.options import checkpoint_option, config_options, setting_options
from robustdl_lib.registry import FIGURES, METHODS, NOISES, STUDIES, TABLES

MATRIX_SHOWN = 20
REFUSALS = (ValueError, OSError, RuntimeError)
STUDY_FILES = (
    adverse_studies,
    data_studies,
    split_studies,
    exercises,
)  # importing a file of studies enters them in STUDIES
FIGURE_FILES = (
    plots,
    noise_plots,
    lens_plots,
    simplex_plots,
    statistics_plots,
    dynamics_plots,
)  # importing a file of figures enters them in FIGURES


@click.group(
    invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.pass_context
def app(context: click.Context) -> None:
    """Learning under label noise: train, compare, draw.

    \b
    python -m robustdl_lib list
    python -m robustdl_lib inspect gce:q=0.7
    python -m robustdl_lib train --method gce:q=0.7 --noise symmetric:0.4
    python -m robustdl_lib sweep figures --profile quick --noise symmetric:0.6
    python -m robustdl_lib figures --profile quick
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@app.command()
@click.option("--profile", default="quick", show_default=True, help=f"One of {', '.join(PROFILES)}.")
@checkpoint_option
@config_options
def train(profile: str, checkpoint_every: float, **fields: Any) -> None:
    """Train one run, print a line an epoch, and keep it under results/runs/PROFILE."""
    cfg = profile_config(profile, **{name: value for name, value in fields.items() if value not in (None, ())})
    shelf = paths.shelf("runs", profile)
    resolve_device(cfg.device)
    require_interval(checkpoint_every)
    paths.require_writable(shelf)
    if run := store.find(cfg, shelf):
        click.echo(f"run {cfg.run_id} is there already: {run.folder}")
        return
    line = "epoch {epoch:3d}  loss {train_loss:8.4f}  test {test_acc:6.1%}  wrong labels fitted {fit_wrong:6.1%}"
    sweeps.train_one(cfg, shelf, lambda row: click.echo(line.format(**row)), checkpoint_every=checkpoint_every)
    rate = store.read(shelf / cfg.run_id).provenance["noise_rate"]
    click.echo(f"run {cfg.run_id}, {rate:.1%} of its labels wrong: {shelf / cfg.run_id}")


@app.command()
@click.argument("name", default="figures")
@setting_options
@click.option("--jobs", type=int, default=None, help="Runs at a time (default: one a core, or a worker).")
@click.option("--into", default="runs", show_default=True, help="Shelf to fill: runs, or reference to renew it.")
@click.option("--engine", default="local", show_default=True, help="Where runs are trained: local, or dask.")
@click.option("--address", default="", help="The scheduler of the engine dask, such as tcp://host:8786.")
@click.option("--quiet", is_flag=True, help="Print nothing but refusals.")
@checkpoint_option
def sweep(
    name: str,
    jobs: int | None,
    into: str,
    engine: str,
    address: str,
    quiet: bool,
    checkpoint_every: float,
    **options: str,
) -> None:
    """Train what the store lacks of the sweep NAME, and print its headline table."""
    setting = _setting(**options)
    where: dict[str, Any] = {"shelf": into, "into": into, "engine": engine, "address": address or None}
    how: dict[str, Any] = {"quiet": quiet, "checkpoint_every": checkpoint_every}
    rows = sweeps.run(name, setting.profile, jobs, **where, **how, **setting.changes())
    if not quiet:
        click.echo(_headline(summary.headline(rows)))


@app.command()
@setting_options
@click.option("--shelf", default="runs", show_default=True, help="Whose rows: runs (made here), or reference.")
@click.option("--only", default="", help="Figures separated by spaces, such as 'headline fitting' (default: all).")
@click.option("--quiet", is_flag=True, help="Print only where the figures are.")
def figures(shelf: str, only: str, quiet: bool, **options: str) -> None:
    """Draw every figure from the rows on disk, and say how far they lie from the reference."""
    setting, wanted = _setting(**options), [FIGURES.entry(name).name for name in only.split()] or list(FIGURES)
    configs = sweeps.plan("figures", setting)
    place = paths.shelf(shelf, setting.home)
    if missing := sweeps.lacking(configs, [place]):
        raise ConfigError(
            f"{len(missing)} of {len(configs)} runs are not in {place}: train them first, by the command sweep figures"
        )
    runs = sweeps.found(configs, [place])
    folder = paths.figures() / ("reference" if shelf == "reference" else "") / setting.slug
    for figure in wanted:
        draw(figure, runs, folder)
    if not quiet:
        _print_comparison(runs, configs, setting.home, shelf)
    click.echo(f"{len(wanted)} figures: {folder}")


@app.command()
@setting_options
def status(**options: str) -> None:
    """Say what the store holds of the figures' sweep, what it lacks, and how long that will take."""
    setting = _setting(**options)
    configs = sweeps.plan("figures", setting)
    for shelf in store.SHELVES:
        runs = sweeps.found(configs, [paths.shelf(shelf, setting.home)])
        seconds = [run.provenance["seconds"] for run in runs]
        lacking = len(configs) - len(runs)
        minutes = lacking * sum(seconds) / max(len(seconds), 1) / cpu_count() / 60
        guess = f", about {minutes:.0f} min to train" if runs else ""
        click.echo(f"{shelf}: {len(runs)} of {len(configs)} runs of {setting.slug}" + (guess if lacking else ""))


@app.command()
@setting_options
def setting(**options: str) -> None:
    """Check a setting before any work, and print the name of its folders."""
    checked = _setting(**options)
    sweeps.plan("figures", checked)
    for folder in (paths.results(), paths.figures()):
        paths.require_writable(folder)
    click.echo(checked.slug)


@app.command()
@click.argument("name")
@click.option("--into", default="runs", show_default=True, help="Shelf to fill: runs, or reference to renew it.")
def study(name: str, into: str) -> None:
    """Compute the study NAME (see list), keep its rows under results/INTO/studies, and print the first of them."""
    found = studies.run(name, into)
    click.echo(found.head(20).to_string(index=False))
    click.echo(f"{len(found)} rows: {studies.place(into, writing=True) / studies.stem(STUDIES.parse(name))}.csv")


@app.command()
@click.argument("names", nargs=-1, required=True, type=click.Choice([*cifar.ARCHIVES, human.FOLDER]))
def download(names: tuple[str, ...]) -> None:
    """Fetch the official files of NAMES into the data root (ROBUSTDL_DATA), every checksum verified.

    ROBUSTDL_MIRRORS holds addresses to try before the official one, separated by spaces.
    """
    for name in names:
        click.echo(f"{name}: {human.download() if name == human.FOLDER else cifar.download(name)}")


@app.command()
@click.argument("dataset")
@_audit.options
def audit(dataset: str, **options: Any) -> None:
    """Look for wrong labels in DATASET, such as folder:PATH: a ranked csv and a page with pictures of the suspects."""
    _audit.run(dataset, **options, say=click.echo)


@app.command("list")
def list_names() -> None:
    """List every method, noise, data set, split, model, sweep, study and figure with its parameters and source."""
    for table in TABLES:
        click.echo(table.plural)
        for name, entry in table.entries.items():
            knobs = ", ".join(f"{knob}={'...' if value is None else value}" for knob, value in entry.defaults().items())
            click.echo(f"  {name:<18} {knobs:<28} {entry.source}")


@app.command()
@click.argument("method")
@click.option("--classes", default=10, show_default=True, type=click.IntRange(2, 1000), help="Number of classes.")
@click.option(
    "--progress", default=lens.LATE, show_default=True, type=click.FloatRange(0, 1), help="Share of training done."
)
def inspect(method: str, classes: int, progress: float) -> None:
    """Put METHOD under the lens: a table here, and a figure under figures/inspect.

    METHOD is a spec such as gce:q=0.7, or a function (logits, target) -> [N] in a file: path/to/my_loss.py:my_loss.
    """
    spec = lens.method(method, classes)
    found = lens.facts(spec, num_classes=classes, progress=progress)
    name = paths.file_name(spec)
    place = plots.save(
        "lens",
        lens.lens_rows(spec, num_classes=classes, progress=progress),
        paths.figures() / "inspect" / name,
        {**store.code_version(), "method": spec, "num_classes": classes, "progress": progress},
    )
    parsed = METHODS.parse(spec)
    click.echo(f"{parsed.label} ({parsed.entry.source}), {classes} classes, progress {progress:g}")
    click.echo(_aligned(found))
    click.echo(f"figure: {place}")


@app.command()
def methods() -> None:
    """Print the table of all methods: where each looks, and what robust statistics says of it."""
    click.echo(lens.table().drop(columns="formula").to_string(index=False))


@app.command()
@click.argument("spec")
@click.option("--dataset", default="digits", show_default=True, help="A data set, such as cifar10 or folder:PATH.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the draw.")
def noise(spec: str, dataset: str, seed: int) -> None:
    """Draw the noise SPEC, such as instance:0.4, and say what it does to the labels: asked and realised, by class."""
    cfg = RunConfig(dataset=dataset, noise=spec, noise_seed=seed)
    drawn, entry = load(cfg), NOISES.parse(cfg.noise).entry
    table = frames.class_rates(drawn.noise, drawn.classes)
    missing = float((drawn.noise.labels < 0).double().mean())
    click.echo(f"{cfg.noise}, seed {seed}: {entry.label} ({entry.source})")
    click.echo(f"{drawn.noise.rate:.2%} of {len(drawn.noise.labels)} labels wrong, {missing:.2%} missing")
    click.echo(table.to_string(index=False, float_format=lambda value: f"{value:.1f}", na_rep="-"))
    if len(drawn.classes) <= MATRIX_SHOWN:
        matrix = pd.DataFrame(100 * drawn.noise.transition.numpy(), drawn.classes, drawn.classes)
        click.echo("\nrealised transition matrix in %: a row a true class, a column a given label")
        click.echo(matrix.to_string(float_format=lambda value: f"{value:.1f}"))


@app.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("-p", "given", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter of the notebook.")
@click.option("--where-known", nargs=2, multiple=True, metavar="NAME VALUE", help="The same, if it has such a one.")
def notebook(source: Path, output: Path, given: tuple[Any, ...], where_known: tuple[Any, ...]) -> None:
    """Execute the notebook SOURCE (.py or .ipynb) by papermill and write it to OUTPUT."""
    notebooks = _notebooks()
    notebooks.execute(source, output, dict(given), {name: value for name, value in where_known if value})
    click.echo(f"{output}")


@app.command()
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path))
def build(sources: tuple[Path, ...]) -> None:
    """Execute notebook SOURCES (.py) with their defaults and write the committed .ipynb beside each."""
    notebooks = _notebooks()
    for source in sources:
        click.echo(f"{notebooks.build(source)}")


@app.command()
@click.argument("path", default="docs/explorer.html", type=click.Path(path_type=Path, dir_okay=False))
def explorer(path: Path) -> None:
    """Build the interactive page from the registry and write it to PATH: one file, opened by a double click."""
    click.echo(f"{_explorer.write(path)}")


@app.command()
@click.argument("path", default="README.md", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def readme(path: Path) -> None:
    """Write the tables between their marks in PATH: the headline of the quick reference, all methods, settings."""
    click.echo(f"{path}: {', '.join(pages.write(path))}")


def _aligned(table: pd.DataFrame) -> str:
    """Return the rows of a table of text in columns, to the left."""
    widths = [table[name].map(len).max() for name in table]
    rows = table.itertuples(index=False)
    return "\n".join("  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in rows)


def _notebooks() -> ModuleType:
    """Import what runs notebooks: its packages are an extra, which training and drawing do without."""
    try:
        return importlib.import_module("robustdl_lib.notebooks")
    except ModuleNotFoundError as error:
        raise ConfigError(f"notebooks need the package {error.name!r}: install robustdl-lib[notebooks]") from None


def _setting(profile: str, noise: str, methods: str, dataset: str, seeds: str, epochs: str) -> sweeps.Setting:
    numbers, budget = _numbers("seeds", seeds), _numbers("epochs", epochs)
    if len(budget or []) > 1:
        raise ConfigError(f"epochs is one number, found {epochs!r}")
    words = methods.split() or None
    return sweeps.Setting(profile, noise or None, words, dataset or None, numbers, budget[0] if budget else None)


def _numbers(name: str, text: str) -> list[int] | None:
    try:
        return [int(word) for word in text.split()] or None
    except ValueError:
        raise ConfigError(f"{name} are whole numbers separated by spaces, found {text!r}") from None


def draw(figure: str, runs: list[store.Run], folder: Path) -> None:
    """Draw one figure from the rows that its entry names, with where they come from beside it."""
    wanted = FIGURES.entry(figure).meta["rows"]
    if callable(wanted):
        plots.save(figure, wanted(), folder, store.code_version())
        return
    rows = sweeps.rows(runs) if wanted == "runs" else pd.concat([run.p_y_frame() for run in runs], ignore_index=True)
    plots.save(figure, rows, folder, store.sources(runs))


def _headline(table: pd.DataFrame) -> str:
    return summary.readable(table).to_string(index=False)


def _realised(runs: list[store.Run]) -> dict[str, list[float]]:
    """Return the realised rates of each noise, one a draw, in increasing order."""
    rates: dict[str, set[float]] = {}
    for run in runs:
        rates.setdefault(run.config.noise, set()).add(run.provenance["noise_rate"])
    return {noise: sorted(found) for noise, found in rates.items()}


def _print_comparison(runs: list[store.Run], configs: list[RunConfig], profile: str, shelf: str) -> None:
    ours = summary.headline(sweeps.rows(runs))
    click.echo("Test accuracy in %, mean over seeds; lost = best minus last epoch.")
    click.echo(_headline(ours))
    for noise, rates in _realised(runs).items():
        click.echo(f"Labels that are wrong under {noise}: {', '.join(f'{100 * rate:.1f}' for rate in rates)} %")
    reference = sweeps.found(configs, [paths.shelf("reference", profile)])
    if shelf == "reference" or not reference:
        click.echo("There is no committed reference for this setting." if shelf == "runs" else "")
        return
    table = summary.differences(ours, summary.headline(sweeps.rows(reference)))
    click.echo("\nDistance of the last epoch from the committed reference (here minus reference, points):")
    click.echo(table.to_string(index=False, float_format=lambda value: f"{value:.1f}", na_rep="-"))


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"warning: {message}", err=True)


def main() -> None:
    """Run the command line; exit 2 for words it does not know, 1 for what it refuses or what failed, else 0."""
    warnings.showwarning = _show_warning
    try:
        app.main(prog_name="robustdl_lib", standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; what was finished is kept", err=True)
        sys.exit(130)
    except REFUSALS as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
