"""Commands that draw figures from stored rows: of a setting, and of the papers' own setting."""

from collections.abc import Sequence
from pathlib import Path

import click
import pandas as pd

from robustdl_lib import files, paths
from robustdl_lib.cli import console
from robustdl_lib.cli.options import read_setting, setting_options
from robustdl_lib.config import PAPER, ConfigError, RunConfig, profile_config
from robustdl_lib.registry import FIGURES
from robustdl_lib.report import summary, tables
from robustdl_lib.runs import store, studies, sweeps
from robustdl_lib.studies import paper_sweeps

NAMED = 6
"""Settings that a note on missing runs names."""


@click.command(short_help="Draw the figures, compare with the reference.")
@setting_options
@click.option("--shelf", default="runs", show_default=True, help="Whose rows: runs (made here), or reference.")
@click.option("--into", default="", help="Whose figures: runs, or reference to renew them (default: the shelf).")
@click.option("--partial", is_flag=True, help="If rows are missing, name them and draw the rest.")
@click.option("--only", default="", help="Figures separated by spaces, such as 'headline fitting' (default: all).")
@click.option("--quiet", is_flag=True, help="Print only where the figures are.")
def figures_command(shelf: str, into: str, partial: bool, only: str, quiet: bool, **options: str) -> None:
    """Draw every figure from the rows on disk, and print the distance from the reference.

    In the profiles of the papers: every figure of runs, and the figures of published numbers. Figures whose committed
    rows are missing are named at the end; the others are drawn.

    \b
    Examples:
      robustdl figures --shelf reference --only "headline fitting"
      robustdl figures --noise symmetric:0.6 --seeds "0 1"
    """
    setting = read_setting(**options)
    wanted = [FIGURES.entry(name).name for name in only.split()] or _shown(setting.profile)
    configs, read_from = sweeps.plan("figures", setting), paths.shelf(shelf, setting.home)
    folder, runs = _figures_folder(into or shelf) / setting.slug, sweeps.found(configs, [read_from])
    _require_runs(runs, configs, read_from, shelf, partial=partial)
    files.require_writable(folder)
    note, papers_shelf = _note(setting.profile, setting.config()), shelf if setting.profile in PAPER else "reference"
    not_drawn: dict[str, ValueError] = {}
    for figure in console.track(wanted, "drawing", quiet=quiet):
        try:
            draw(figure, runs, folder, note, papers_shelf)
        except (ConfigError, studies.NoStudy) as error:
            not_drawn[figure] = error
    if not quiet:
        _print_comparison(runs, configs, setting.home, shelf)
    click.echo(f"{len(wanted) - len(not_drawn)} figures: {folder}")
    _name_missing(not_drawn, partial=partial)


@click.command(short_help="The papers' own setting: draw its figures.")
@click.option("--profile", default="paper", show_default=True, help=f"One of {', '.join(PAPER)}.")
@click.option("--dataset", default="", help="Draw only this half: cifar10 or cifar100.")
@click.option("--noise", default="", help="Draw only this noise, such as human:worst.")
@click.option("--train", is_flag=True, help="First train all missing runs (needs a GPU).")
@click.option("--jobs", type=click.IntRange(1), default=None, help="Runs at a time (default: up to eight on a GPU).")
@click.option("--into", default="runs", show_default=True, help="Whose figures, and where --train puts its rows.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1.")
@click.option("--quiet", is_flag=True, help="Print only where the figures are.")
def papers_command(
    profile: str, dataset: str, noise: str, train: bool, jobs: int | None, into: str, device: str, quiet: bool
) -> None:
    """Draw the figures of the papers' own data and networks, from the committed rows or, with --train, from new ones.

    The most important sweeps are trained first (docs/PAPERS.md). Stop it at any time: each run is stored when it
    ends, and the same command resumes. Missing results are listed and skipped.

    \b
    Examples:
      robustdl papers --noise human:worst
      robustdl papers --profile paper-short --train --jobs 8
    """
    plans, planned = paper_sweeps.plans(profile, device), paper_sweeps.pictures(profile, dataset, noise)
    root, shelf = _figures_folder(into), into if train else "reference"
    files.require_writable(root)
    failures = _train_papers(plans, jobs, into, quiet=quiet) if train else []
    read_from = paths.shelf(shelf, profile)
    stored = {name: sweeps.found(configs, [read_from]) for name, configs in planned.items()}
    drawn = [name for name, runs in stored.items() if any(run.config.noise != "none" for run in runs)]
    if not drawn and not failures:
        what = f"the profile {profile} in this setting" if dataset or noise else f"the profile {profile}"
        raise ConfigError(f"there is no run of {what} in {read_from}: RETRAIN=1 trains them, on a GPU")
    if missing := [name for name in planned if name not in drawn]:
        click.echo(f"note: no run in {read_from} of {', '.join(missing)}", err=True)
    for name in drawn:
        runs = stored[name]
        _require_runs(runs, planned[name], read_from, shelf, partial=True)
        wanted = [figure for figure in _shown(profile) if _of_runs(figure) or name == profile]
        for figure in console.track(wanted, "drawing", quiet=quiet):
            draw(figure, runs, root / name, _note(profile, runs[0].config), shelf)
        click.echo(f"{len(wanted)} figures: {root / name}")
    if failures:
        raise sweeps.SweepFailed(failures[0])


def draw(figure: str, runs: list[store.Run], folder: Path, note: str = "", shelf: str = "reference") -> None:
    """Draw one figure from the rows that its entry names, and write its rows and their origin next to it.

    A figure of the papers' own setting is drawn from a ``shelf`` of it, whatever the ``runs``.
    """
    from robustdl_lib import plots

    facts = FIGURES.entry(figure).facts
    if facts.papers:
        groups = facts.papers(shelf)
        paper_runs = [run for group in groups.values() for run in group]
        origin = store.sources(paper_runs) if paper_runs else store.code_version()
        shortened = f"Ours of the profile {PAPER[1]} if no complete run exists." if groups[PAPER[1]] else ""
        plots.save(figure, facts.rows(shelf), folder, origin, shortened)
    elif (computed := plots.computed(figure)) is not None:
        plots.save(figure, computed, folder, store.code_version())
    elif facts.rows == "runs":
        plots.save(figure, sweeps.rows(runs), folder, store.sources(runs), note)
    else:
        histograms = pd.concat([run.p_y_frame() for run in runs], ignore_index=True)
        plots.save(figure, histograms, folder, store.sources(runs), note)


def _train_papers(
    plans: Sequence[tuple[str, sweeps.Setting]], jobs: int | None, into: str, *, quiet: bool
) -> list[str]:
    """Train the missing runs of the papers' sweeps and return why some failed; a failure ends no other sweep."""
    failures = []
    for name, setting in plans:
        try:
            sweeps.run(name, setting.profile, jobs, shelf=into, into=into, quiet=quiet, **setting.changes())
        except sweeps.SweepFailed as error:
            failures.append(f"{name}: {error}")
    return failures


def _figures_folder(shelf: str) -> Path:
    """Return the folder that holds a shelf's folders of figures; raises ConfigError for another shelf."""
    if shelf not in store.SHELVES:
        raise ConfigError(f"unknown shelf {shelf!r}: there is {', '.join(store.SHELVES)}")
    return paths.figures() / ("reference" if shelf == "reference" else "")


def _note(profile: str, cfg: RunConfig) -> str:
    """Return the text below a figure of runs that have the shape of the papers' runs but are shorter."""
    if profile != "paper-short":
        return ""
    whole = profile_config("paper", dataset=cfg.dataset).epochs
    return f"Profile {profile}: {cfg.epochs} epochs, the rate falling at the same shares of training as in {whole}."


def _name_missing(not_drawn: dict[str, ValueError], *, partial: bool) -> None:
    """Name the figures without rows and the reason of the first: a note with ``partial``, else a ConfigError."""
    if not not_drawn:
        return
    message = f"not drawn, rows are missing: {', '.join(not_drawn)}; the first: {next(iter(not_drawn.values()))}"
    if not partial:
        raise ConfigError(message)
    click.echo(f"note: {message}", err=True)


def _of_runs(figure: str) -> bool:
    return FIGURES.entry(figure).facts.rows in ("runs", "p_y")


def _shown(profile: str) -> list[str]:
    """Return the figures of a profile: all; in the papers' profiles those of runs and those of published numbers."""
    if profile not in PAPER:
        return list(FIGURES)
    return [name for name in FIGURES if _of_runs(name) or FIGURES.entry(name).facts.papers]


def _require_runs(
    runs: list[store.Run], configs: list[RunConfig], read_from: Path, shelf: str, *, partial: bool
) -> None:
    """Raise ConfigError if runs of a setting are missing; with ``partial`` name them, and raise only if all are."""
    stored = {run.config.run_id for run in runs}
    if not (missing := [cfg for cfg in configs if cfg.run_id not in stored]):
        return
    if shelf == "reference" and not read_from.is_dir():
        paths.require_checkout("the committed reference lies")
    count = f"{len(missing)} of {len(configs)} runs are not in {read_from}"
    if not partial or all(run.config.noise == "none" for run in runs):
        command = "sweep figures --into reference" if shelf == "reference" else "sweep figures"
        raise ConfigError(f"{count}: train them first, by the command {command}")
    seeds: dict[str, list[str]] = {}
    for cfg in missing:
        seeds.setdefault(f"{cfg.method} on {cfg.noise}", []).append(str(cfg.seed))
    named = [f"{name}, seed {' '.join(numbers)}" for name, numbers in seeds.items()]
    more = f"; and {len(named) - NAMED} more" if len(named) > NAMED else ""
    click.echo(f"note: {count}: {'; '.join(named[:NAMED])}{more}", err=True)


def _realised(runs: list[store.Run]) -> dict[str, list[float]]:
    """Return the realised rates of each noise, one for each draw, in increasing order."""
    rates: dict[str, set[float]] = {}
    for run in runs:
        rates.setdefault(run.config.noise, set()).add(run.provenance["noise_rate"])
    return {noise: sorted(values) for noise, values in rates.items()}


def _print_comparison(runs: list[store.Run], configs: list[RunConfig], profile: str, shelf: str) -> None:
    ours = summary.headline(sweeps.rows(runs))
    click.echo("Test accuracy in %, mean over seeds; lost = best minus last epoch.")
    console.table(summary.readable(ours))
    for noise, rates in _realised(runs).items():
        click.echo(f"Realised share of wrong labels under {noise}: {', '.join(f'{rate:.1%}' for rate in rates)}")
    reference = sweeps.found(configs, [paths.shelf("reference", profile)])
    if shelf == "reference" or not reference:
        click.echo("There is no committed reference for this setting." if shelf == "runs" else "")
        return
    table = summary.differences(ours, summary.headline(sweeps.rows(reference)))
    click.echo("\nDistance of the last epoch from the committed reference (here minus reference, points):")
    console.table(tables.tenths(table))


COMMANDS = (figures_command, papers_command)
