"""Commands that train or compute, and that report what is stored: train, sweep, study, status, setting."""

from dataclasses import replace
from typing import Any

import click

from robustdl_lib import files, paths
from robustdl_lib.cli import console
from robustdl_lib.cli.options import PROFILE, checkpoint_option, config_options, engine_options, setting_options
from robustdl_lib.cli.options import read_setting as read_setting
from robustdl_lib.config import ConfigError, profile_config
from robustdl_lib.registry import STUDIES, SWEEPS
from robustdl_lib.report import summary
from robustdl_lib.runs import status, store, studies, sweeps
from robustdl_lib.training.checkpoint import require_interval
from robustdl_lib.training.compute import resolve_device

EPOCH_LINE = "epoch {epoch:3d}  loss {train_loss:8.4f}  test {test_acc:6.1%}  wrong labels fitted {fit_wrong:6.1%}"
SHOWN_ROWS = 20
"""Rows of a study that are printed."""


@click.command(short_help="Train one run.")
@PROFILE
@checkpoint_option
@config_options
def train_command(profile: str, checkpoint_every: float, **fields: Any) -> None:
    """Train one run, print a line for each epoch, and store it under results/runs/PROFILE.

    \b
    Examples:
      robustdl train --profile smoke
      robustdl train --method gce:q=0.7 --noise symmetric:0.4 --epochs 20
    """
    cfg = profile_config(profile, **{name: value for name, value in fields.items() if value not in (None, ())})
    shelf = paths.shelf("runs", profile)
    resolve_device(cfg.device)
    require_interval(checkpoint_every)
    files.require_writable(shelf)
    if run := store.find(cfg, shelf):
        click.echo(f"run {cfg.run_id} is already stored: {run.folder}")
        return
    sweeps.train_one(cfg, shelf, lambda row: click.echo(EPOCH_LINE.format(**row)), checkpoint_every=checkpoint_every)
    rate = store.read(shelf / cfg.run_id).provenance["noise_rate"]
    click.echo(f"run {cfg.run_id}, {rate:.1%} of its labels wrong: {shelf / cfg.run_id}")


@click.command(short_help="Train the missing runs of a sweep.")
@click.argument("name", default="figures")
@setting_options
@engine_options
@click.option("--into", default="runs", show_default=True, help="Shelf to fill: runs, or reference to renew it.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1.")
@click.option("--quiet", is_flag=True, help="Print nothing but refusals.")
@checkpoint_option
def sweep_command(name: str, into: str, device: str, quiet: bool, **options: Any) -> None:
    """Train the missing runs of the sweep NAME, and print its headline table.

    Stop it at any time: the same command resumes. The command status lists what is missing and estimates the time.

    \b
    Examples:
      robustdl sweep figures --noise symmetric:0.6 --seeds "0 1"
      robustdl sweep relatives --profile smoke --jobs 2
    """
    how = {option: options.pop(option) for option in ("jobs", "engine", "address", "checkpoint_every")}
    setting = replace(read_setting(**options), device=device)
    rows = sweeps.run(name, setting.profile, shelf=into, into=into, quiet=quiet, **how, **setting.changes())
    if not quiet:
        console.table(summary.readable(summary.headline(rows)))


@click.command(short_help="List stored and missing runs, and the time left.")
@setting_options
@click.option("--jobs", type=click.IntRange(1), default=None, help="Runs at a time (default: as a sweep takes).")
@click.option("--check", metavar="SWEEP", default=None, help="Exit with 1 if a run of this sweep is missing.")
def status_command(jobs: int | None, check: str | None, **options: str) -> None:
    """List stored, unfinished and missing runs, with the estimated time.

    The time is estimated from the seconds that stored runs took: runs made here first, then the committed ones.

    \b
    Examples:
      robustdl status
      robustdl status --profile small --jobs 4 --check figures
    """
    setting, checked = read_setting(**options), check and SWEEPS.entry(check).name
    if checked:
        sweeps.plan(checked, setting)  # refuses a sweep that waits for the rows of another: no table below has it
    contents = status.contents()
    if len(stored := status.stored(contents)):
        click.echo("Stored runs:")
        console.table(stored)
    if len(waiting := status.unfinished(setting)):
        click.echo("\nRuns that resume from a checkpoint:")
        spoken = waiting["seconds"].map(console.spoken)
        console.table(waiting.assign(seconds=spoken).rename(columns={"seconds": "took"}))
    lacks = status.lacks(setting, contents, jobs)
    click.echo(f"\nSweeps in the setting {setting.slug}, and their missing runs:")
    console.table(lacks.assign(seconds=lacks["seconds"].map(console.spoken)).rename(columns={"seconds": "will take"}))
    missing = lacks.set_index("sweep")["lacking"]
    if checked and missing[checked]:
        raise ConfigError(f"the sweep {checked} lacks {missing[checked]} runs: robustdl sweep {checked} trains them")


@click.command(short_help="Check a setting before any work.")
@setting_options
def setting_command(**options: str) -> None:
    """Check a setting before any work, and print the name of its folders.

    \b
    Example:
      robustdl setting --noise asymmetric:0.4 --methods "cce gce:q=0.5"
    """
    setting = read_setting(**options)
    require_setting(setting)
    click.echo(setting.slug)


@click.command(short_help="Compute a study and keep its rows.")
@click.argument("name")
@click.option("--into", default="runs", show_default=True, help="Shelf to fill: runs, or reference to renew it.")
def study_command(name: str, into: str) -> None:
    """Compute the study NAME (see list), store its rows under results/INTO/studies, and print the first of them.

    \b
    Example:
      robustdl study split_scores
    """
    rows = studies.run(name, into)
    console.table(rows.head(SHOWN_ROWS))
    click.echo(f"{len(rows)} rows: {studies.place(into, writing=True) / studies.stem(STUDIES.parse(name))}.csv")


def require_setting(setting: sweeps.Setting) -> None:
    """Raise ConfigError or OSError if the figures' runs cannot be planned, or results or figures cannot be written."""
    sweeps.plan("figures", setting)
    for folder in (paths.results(), paths.figures()):
        files.require_writable(folder)


COMMANDS = (train_command, sweep_command, status_command, setting_command, study_command)
