"""Commands that look at one thing and train nothing: list, inspect, methods, noise."""

import click
import pandas as pd

from robustdl_lib import files, paths
from robustdl_lib.cli import console
from robustdl_lib.config import RunConfig
from robustdl_lib.data import load
from robustdl_lib.registry import METHODS, NOISES, TABLES
from robustdl_lib.report import tables
from robustdl_lib.runs import store
from robustdl_lib.theory import method_card

MATRIX_SHOWN = 20
"""Classes up to which the transition matrix is printed."""


@click.command("list", short_help="List methods, noises, data sets, figures and all else.")
def list_command() -> None:
    """List every method, noise, data set, split, model, sweep, study and figure with its parameters and source.

    \b
    Example:
      robustdl list
    """
    for table in TABLES:
        click.echo(table.plural)
        for name, entry in table.entries.items():
            knobs = ", ".join(f"{knob}={'...' if value is None else value}" for knob, value in entry.defaults().items())
            click.echo(f"  {name:<18} {knobs:<28} {entry.source}")


@click.command(short_help="Analyse one method: a table, a figure.")
@click.argument("method")
@click.option("--classes", default=10, show_default=True, type=click.IntRange(2, 1000), help="Number of classes.")
@click.option(
    "--progress",
    default=method_card.LATE,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of training done.",
)
def inspect_command(method: str, classes: int, progress: float) -> None:
    """Analyse METHOD: print a table of its properties, and draw a figure under figures/inspect.

    METHOD is a spec such as gce:q=0.7, or a function (logits, target) -> [N] in a file: path/to/my_loss.py:my_loss.

    \b
    Examples:
      robustdl inspect gce:q=0.7
      robustdl inspect proselflc:B=12 --classes 100 --progress 0.5
    """
    from robustdl_lib import plots

    spec = method_card.method(method, classes)
    figure = plots.save(
        "lens",
        method_card.lens_rows(spec, num_classes=classes, progress=progress),
        paths.figures() / "inspect" / files.file_name(spec),
        {**store.code_version(), "method": spec, "num_classes": classes, "progress": progress},
    )
    parsed = METHODS.parse(spec)
    click.echo(f"{parsed.label} ({parsed.entry.source}), {classes} classes, progress {progress:g}")
    console.table(method_card.facts(spec, num_classes=classes, progress=progress), header=False)
    click.echo(f"figure: {figure}")


@click.command(short_help="Compare all methods in one table.")
def methods_command() -> None:
    """Print the table of all methods: where each looks, and its properties as a robust estimator.

    \b
    Example:
      robustdl methods
    """
    console.table(method_card.table().drop(columns="formula"))


@click.command(short_help="Draw a noise and show its effect on the labels.")
@click.argument("spec")
@click.option("--dataset", default="digits", show_default=True, help="A data set, such as cifar10 or folder:PATH.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the draw.")
def noise_command(spec: str, dataset: str, seed: int) -> None:
    """Draw the noise SPEC, such as instance:0.4, and print its rates in the labels: asked and realised, by class.

    \b
    Examples:
      robustdl noise asymmetric:0.4
      robustdl noise instance:0.4 --seed 1
    """
    from robustdl_lib.plots import rows

    cfg = RunConfig(dataset=dataset, noise=spec, noise_seed=seed)
    drawn, entry = load(cfg), NOISES.parse(cfg.noise).entry
    missing = float((drawn.noise.labels < 0).double().mean())
    click.echo(f"{cfg.noise}, seed {seed}: {entry.label} ({entry.source})")
    click.echo(f"{drawn.noise.rate:.2%} of {len(drawn.noise.labels)} labels wrong, {missing:.2%} missing")
    console.table(tables.tenths(rows.class_rates(drawn.noise, drawn.classes)))
    if len(drawn.classes) <= MATRIX_SHOWN:
        matrix = pd.DataFrame(100 * drawn.noise.transition.numpy(), drawn.classes, drawn.classes)
        click.echo("\nrealised transition matrix in %: a row a true class, a column a given label")
        console.table(tables.tenths(matrix.rename_axis("true").reset_index()))


COMMANDS = (list_command, inspect_command, methods_command, noise_command)
