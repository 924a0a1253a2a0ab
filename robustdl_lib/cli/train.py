"""Commands that train, and that draw and tell from what was trained: from train and sweep to status and study."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pandas as pd

from robustdl_lib import files, paths, plots
from robustdl_lib.cli import console
from robustdl_lib.cli.options import checkpoint_option, config_options, setting_options
from robustdl_lib.config import PAPER, PROFILES, ConfigError, RunConfig, profile_config
from robustdl_lib.registry import FIGURES, STUDIES, SWEEPS
from robustdl_lib.report import summary, tables
from robustdl_lib.runs import status as _status
from robustdl_lib.runs import store, studies, sweeps
from robustdl_lib.studies import paper_sweeps as _papers
from robustdl_lib.training.checkpoint import require_interval
from robustdl_lib.training.compute import resolve_device

NAMED = 6
"""Settings that a note on missing runs names."""
EPOCH_LINE = "epoch {epoch:3d}  loss {train_loss:8.4f}  test {test_acc:6.1%}  wrong labels fitted {fit_wrong:6.1%}"


@click.command(short_help="Train one run.")
@click.option("--profile", default="quick", show_default=True, help=f"One of {', '.join(PROFILES)}.")
@checkpoint_option
@config_options
def train(profile: str, checkpoint_every: float, **fields: Any) -> None:
    """Train one run, print a line an epoch, and keep it under results/runs/PROFILE.

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
        click.echo(f"run {cfg.run_id} is there already: {run.folder}")
        return
    sweeps.train_one(cfg, shelf, lambda row: click.echo(EPOCH_LINE.format(**row)), checkpoint_every=checkpoint_every)
    rate = store.read(shelf / cfg.run_id).provenance["noise_rate"]
    click.echo(f"run {cfg.run_id}, {rate:.1%} of its labels wrong: {shelf / cfg.run_id}")


@click.command(short_help="Train what the store lacks of a sweep.")
@click.argument("name", default="figures")
@setting_options
@click.option("--jobs", type=int, default=None, help="Runs at a time (default: one a core, or a worker).")
@click.option("--into", default="runs", show_default=True, help="Shelf to fill: runs, or reference to renew it.")
@click.option("--engine", default="local", show_default=True, help="Where runs are trained: local, or dask.")
@click.option("--address", default="", help="The scheduler of the engine dask, such as tcp://host:8786.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1.")
@click.option("--quiet", is_flag=True, help="Print nothing but refusals.")
@checkpoint_option
def sweep(
    name: str,
    jobs: int | None,
    into: str,
    engine: str,
    address: str,
    device: str,
    quiet: bool,
    checkpoint_every: float,
    **options: str,
) -> None:
    """Train what the store lacks of the sweep NAME, and print its headline table.

    Stop it at any time: the same command goes on where it was. What there is to do, and for how long, says status.

    \b
    Examples:
      robustdl sweep figures --noise symmetric:0.6 --seeds "0 1"
      robustdl sweep relatives --profile smoke --jobs 2
    """
    setting = replace(read_setting(**options), device=device)
    where: dict[str, Any] = {"shelf": into, "into": into, "engine": engine, "address": address or None}
    how: dict[str, Any] = {"quiet": quiet, "checkpoint_every": checkpoint_every}
    rows = sweeps.run(name, setting.profile, jobs, **where, **how, **setting.changes())
    if not quiet:
        console.table(summary.readable(summary.headline(rows)))


@click.command(short_help="Draw the figures, compare with the reference.")
@setting_options
@click.option("--shelf", default="runs", show_default=True, help="Whose rows: runs (made here), or reference.")
@click.option("--into", default="", help="Whose figures: runs, or reference to renew them (default: the shelf).")
@click.option("--partial", is_flag=True, help="Be content with what is there where rows are missing, and say which.")
@click.option("--only", default="", help="Figures separated by spaces, such as 'headline fitting' (default: all).")
@click.option("--quiet", is_flag=True, help="Print only where the figures are.")
def figures(shelf: str, into: str, partial: bool, only: str, quiet: bool, **options: str) -> None:
    """Draw every figure from the rows on disk, and say how far they lie from the reference.

    In the profiles of the papers every figure of runs, and those that show published numbers. Figures of committed
    rows that are not there keep no other from being drawn; they are named at the end.

    \b
    Examples:
      robustdl figures --shelf reference --only "headline fitting"
      robustdl figures --noise symmetric:0.6 --seeds "0 1"
    """
    setting = read_setting(**options)
    wanted = [FIGURES.entry(name).name for name in only.split()] or _shown(setting.profile)
    configs, place = sweeps.plan("figures", setting), paths.shelf(shelf, setting.home)
    folder, runs = _figures_folder(into or shelf) / setting.slug, sweeps.found(configs, [place])
    _require_runs(runs, configs, place, shelf, partial=partial)
    files.require_writable(folder)
    note, papers_shelf = _note(setting.profile, setting.config()), shelf if setting.profile in PAPER else "reference"
    lacking: dict[str, ValueError] = {}
    for figure in console.track(wanted, "drawing", quiet=quiet):
        try:
            draw(figure, runs, folder, note, papers_shelf)
        except (ConfigError, studies.NoStudy) as error:
            lacking[figure] = error
    if not quiet:
        _print_comparison(runs, configs, setting.home, shelf)
    click.echo(f"{len(wanted) - len(lacking)} figures: {folder}")
    _say_lacking(lacking, partial=partial)


@click.command(short_help="The papers' own setting: draw its figures.")
@click.option("--profile", default="paper", show_default=True, help=f"One of {', '.join(PAPER)}.")
@click.option("--dataset", default="", help="Draw this half alone: cifar10 or cifar100.")
@click.option("--noise", default="", help="Draw this noise alone, such as human:worst.")
@click.option("--train", is_flag=True, help="Train what lacks of all first, which needs a GPU.")
@click.option("--jobs", type=click.IntRange(1), default=None, help="Runs at a time (default: up to eight on a GPU).")
@click.option("--into", default="runs", show_default=True, help="Whose figures, and where --train puts its rows.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1.")
@click.option("--quiet", is_flag=True, help="Print only where the figures are.")
def papers(
    profile: str, dataset: str, noise: str, train: bool, jobs: int | None, into: str, device: str, quiet: bool
) -> None:
    """Draw the figures of the papers' own data and networks, from the committed rows or, with --train, from new ones.

    The sweeps are trained in the order of their weight (docs/PAPERS.md). Stop it at any time: each run is kept when it
    ends, and the same command goes on. What no row is there for is named and left out.

    \b
    Examples:
      robustdl papers --noise human:worst
      robustdl papers --profile paper-short --train --jobs 8
    """
    plans, pictures = _papers.plans(profile, device), _papers.pictures(profile, dataset, noise)
    root, failures = _figures_folder(into), []
    files.require_writable(root)
    for name, setting in plans if train else []:
        try:
            sweeps.run(name, profile, jobs, shelf=into, into=into, quiet=quiet, **setting.changes())
        except sweeps.SweepFailed as error:  # a run that cannot be had keeps no other sweep from its turn
            failures.append(f"{name}: {error}")
    shelf = into if train else "reference"
    place = paths.shelf(shelf, profile)
    there = {name: (configs, sweeps.found(configs, [place])) for name, configs in pictures.items()}
    drawn = {name: found for name, found in there.items() if any(run.config.noise != "none" for run in found[1])}
    if not drawn and not failures:
        what = f"the profile {profile}" + " in this setting" * bool(dataset or noise)
        raise ConfigError(f"there is no run of {what} in {place}: RETRAIN=1 makes them, on a GPU")
    if lacking := [name for name in there if name not in drawn]:
        click.echo(f"note: no run in {place} of {', '.join(lacking)}", err=True)
    for name, (configs, runs) in drawn.items():
        _require_runs(runs, configs, place, shelf, partial=True)
        wanted = [figure for figure in _shown(profile) if _of_runs(figure) or name == profile]
        for figure in console.track(wanted, "drawing", quiet=quiet):
            draw(figure, runs, root / name, _note(profile, runs[0].config), shelf)
        click.echo(f"{len(wanted)} figures: {root / name}")
    if failures:
        raise sweeps.SweepFailed(failures[0])


@click.command(short_help="Say what is there, what lacks, and how long it will take.")
@setting_options
@click.option("--jobs", type=click.IntRange(1), default=None, help="Runs at a time (default: as a sweep takes).")
@click.option("--check", metavar="SWEEP", default=None, help="Exit with 1 where this sweep lacks a run.")
def status(jobs: int | None, check: str | None, **options: str) -> None:
    """Say what the store holds, which runs are unfinished, what each sweep lacks, and how long that will take.

    The time is estimated from the seconds that stored runs took, those made here before the committed ones.

    \b
    Examples:
      robustdl status
      robustdl status --profile small --jobs 4 --check figures
    """
    setting, checked = read_setting(**options), check and SWEEPS.entry(check).name
    if checked:
        sweeps.plan(checked, setting)  # one that waits for another's rows is in no table below, and says so here
    contents = _status.contents()
    if len(held := _status.stored(contents)):
        click.echo("What the store holds:")
        console.table(held)
    if len(waiting := _status.unfinished(setting)):
        click.echo("\nRuns that go on from a checkpoint:")
        console.table(
            waiting.assign(seconds=waiting["seconds"].map(console.spoken)).rename(columns={"seconds": "took"})
        )
    lacks = _status.lacks(setting, contents, jobs)
    click.echo(f"\nSweeps in the setting {setting.slug}, and what they lack here:")
    console.table(lacks.assign(seconds=lacks["seconds"].map(console.spoken)).rename(columns={"seconds": "will take"}))
    missing = lacks.set_index("sweep")["lacking"]
    if checked and missing[checked]:
        raise ConfigError(f"the sweep {checked} lacks {missing[checked]} runs: robustdl sweep {checked} trains them")


@click.command(short_help="Check a setting before any work.")
@setting_options
def setting(**options: str) -> None:
    """Check a setting before any work, and print the name of its folders.

    \b
    Example:
      robustdl setting --noise asymmetric:0.4 --methods "cce gce:q=0.5"
    """
    checked = read_setting(**options)
    sweeps.plan("figures", checked)
    for folder in (paths.results(), paths.figures()):
        files.require_writable(folder)
    click.echo(checked.slug)


@click.command(short_help="Compute a study and keep its rows.")
@click.argument("name")
@click.option("--into", default="runs", show_default=True, help="Shelf to fill: runs, or reference to renew it.")
def study(name: str, into: str) -> None:
    """Compute the study NAME (see list), keep its rows under results/INTO/studies, and print the first of them.

    \b
    Example:
      robustdl study split_scores
    """
    found = studies.run(name, into)
    console.table(found.head(20))
    click.echo(f"{len(found)} rows: {studies.place(into, writing=True) / studies.stem(STUDIES.parse(name))}.csv")


def read_setting(profile: str, noise: str, methods: str, dataset: str, seeds: str, epochs: str) -> sweeps.Setting:
    """Return the setting that the options of a command say, as texts; raises ConfigError or SpecError for a bad one."""
    numbers, budget = _numbers("seeds", seeds), _numbers("epochs", epochs)
    if len(budget or []) > 1:
        raise ConfigError(f"epochs is one number, found {epochs!r}")
    words = methods.split() or None
    return sweeps.Setting(profile, noise or None, words, dataset or None, numbers, budget[0] if budget else None)


def draw(figure: str, runs: list[store.Run], folder: Path, note: str = "", shelf: str = "reference") -> None:
    """Draw one figure from the rows that its entry names, with where they come from beside it.

    A figure of the papers' own setting is drawn from a ``shelf`` of it, whatever the ``runs``.
    """
    facts = FIGURES.entry(figure).facts
    wanted = facts.rows
    if papers_of := facts.papers:
        groups = papers_of(shelf)
        found = [run for group in groups.values() for run in group]
        shortened = f"Ours of the profile {PAPER[1]} where there is no whole run." if groups[PAPER[1]] else ""
        origin = store.sources(found) if found else store.code_version()
        plots.save(figure, wanted(shelf), folder, origin, shortened)
    elif (computed := plots.computed(figure)) is not None:
        plots.save(figure, computed, folder, store.code_version())
    elif wanted == "runs":
        plots.save(figure, sweeps.rows(runs), folder, store.sources(runs), note)
    else:
        histograms = pd.concat([run.p_y_frame() for run in runs], ignore_index=True)
        plots.save(figure, histograms, folder, store.sources(runs), note)


def _figures_folder(shelf: str) -> Path:
    """Return the folder that holds a shelf's folders of figures; raises ConfigError for another shelf."""
    if shelf not in store.SHELVES:
        raise ConfigError(f"unknown shelf {shelf!r}: there is {', '.join(store.SHELVES)}")
    return paths.figures() / ("reference" if shelf == "reference" else "")


def _note(profile: str, cfg: RunConfig) -> str:
    """Return what stands below a figure of runs that are shorter than the papers', though of their shape."""
    if profile != "paper-short":
        return ""
    whole = profile_config("paper", dataset=cfg.dataset).epochs
    return f"Profile {profile}: {cfg.epochs} epochs, the rate falling at the same shares of training as in {whole}."


def _say_lacking(lacking: dict[str, ValueError], *, partial: bool) -> None:
    """Say which figures have no rows, and why the first has none: a note with ``partial``, else a ConfigError."""
    if not lacking:
        return
    words = f"not drawn for want of rows: {', '.join(lacking)}; of the first, {next(iter(lacking.values()))}"
    if not partial:
        raise ConfigError(words)
    click.echo(f"note: {words}", err=True)


def _of_runs(figure: str) -> bool:
    return FIGURES.entry(figure).facts.rows in ("runs", "p_y")


def _shown(profile: str) -> list[str]:
    """Return the figures of a profile: all; of the papers' those of runs, and those of published numbers."""
    if profile not in PAPER:
        return list(FIGURES)
    return [name for name in FIGURES if _of_runs(name) or FIGURES.entry(name).facts.papers]


def _require_runs(runs: list[store.Run], configs: list[RunConfig], place: Path, shelf: str, *, partial: bool) -> None:
    """Refuse to draw without the runs of a setting; with ``partial`` say which lack, and refuse where all do."""
    there = {run.config.run_id for run in runs}
    if not (missing := [cfg for cfg in configs if cfg.run_id not in there]):
        return
    if shelf == "reference" and not place.is_dir():
        paths.require_checkout("the committed reference lies")
    count = f"{len(missing)} of {len(configs)} runs are not in {place}"
    if not partial or all(run.config.noise == "none" for run in runs):
        into = " --into reference" * (shelf == "reference")
        raise ConfigError(f"{count}: train them first, by the command sweep figures{into}")
    seeds: dict[str, list[str]] = {}
    for cfg in missing:
        seeds.setdefault(f"{cfg.method} on {cfg.noise}", []).append(str(cfg.seed))
    words = [f"{name}, seed {' '.join(found)}" for name, found in seeds.items()]
    more = f"; and {len(words) - NAMED} more" if len(words) > NAMED else ""
    click.echo(f"note: {count}: {'; '.join(words[:NAMED])}{more}", err=True)


def _numbers(name: str, text: str) -> list[int] | None:
    try:
        return [int(word) for word in text.split()] or None
    except ValueError:
        raise ConfigError(f"{name} are whole numbers separated by spaces, found {text!r}") from None


def _realised(runs: list[store.Run]) -> dict[str, list[float]]:
    """Return the realised rates of each noise, one a draw, in increasing order."""
    rates: dict[str, set[float]] = {}
    for run in runs:
        rates.setdefault(run.config.noise, set()).add(run.provenance["noise_rate"])
    return {noise: sorted(found) for noise, found in rates.items()}


def _print_comparison(runs: list[store.Run], configs: list[RunConfig], profile: str, shelf: str) -> None:
    ours = summary.headline(sweeps.rows(runs))
    click.echo("Test accuracy in %, mean over seeds; lost = best minus last epoch.")
    console.table(summary.readable(ours))
    for noise, rates in _realised(runs).items():
        click.echo(f"Labels that are wrong under {noise}: {', '.join(f'{100 * rate:.1f}' for rate in rates)} %")
    reference = sweeps.found(configs, [paths.shelf("reference", profile)])
    if shelf == "reference" or not reference:
        click.echo("There is no committed reference for this setting." if shelf == "runs" else "")
        return
    table = summary.differences(ours, summary.headline(sweeps.rows(reference)))
    click.echo("\nDistance of the last epoch from the committed reference (here minus reference, points):")
    console.table(tables.tenths(table))


COMMANDS = (train, sweep, figures, papers, status, setting, study)
