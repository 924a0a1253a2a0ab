"""Options of commands: a sweep's setting and engine, a run's configuration, checkpoints, the audit, the report."""

from collections.abc import Callable, Sequence
from typing import Any, get_args, get_origin

import click

from robustdl_lib.audit.audit import FOLDS, METHOD
from robustdl_lib.config import PROFILES, ConfigError, RunConfig
from robustdl_lib.report.report import RED
from robustdl_lib.runs.sweeps import Setting
from robustdl_lib.training.checkpoint import EVERY

PROFILE = click.option("--profile", default="quick", show_default=True, help=f"One of {', '.join(PROFILES)}.")
checkpoint_option = click.option(
    "--checkpoint-every",
    type=float,
    default=EVERY,
    show_default=True,
    metavar="SECONDS",
    help="Least time between two checkpoints of a run; 0: one after every epoch.",
)
"""The option ``checkpoint_every``: how often the state of a run is written."""


def setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that make a :class:`robustdl_lib.runs.sweeps.Setting`; an empty text means the profile's own."""
    options = [
        PROFILE,
        click.option("--noise", default="", help="A noise, such as symmetric:0.6."),
        click.option("--methods", default="", help="Methods separated by spaces, such as 'cce gce:q=0.5'."),
        click.option("--dataset", default="", help="A data set, such as digits."),
        click.option("--seeds", default="", help="Seeds separated by spaces, such as '0 1 2'."),
        click.option("--epochs", default="", help="Passes over the training set, the budget of each run."),
    ]
    return _with(options, command)


def read_setting(profile: str, noise: str, methods: str, dataset: str, seeds: str, epochs: str) -> Setting:
    """Return the setting that the texts of :func:`setting_options` describe; raises ConfigError or SpecError."""
    numbers, budget = _numbers("seeds", seeds), _numbers("epochs", epochs)
    if len(budget or []) > 1:
        raise ConfigError(f"epochs is one number, found {epochs!r}")
    return Setting(
        profile, noise or None, methods.split() or None, dataset or None, numbers, budget[0] if budget else None
    )


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where runs are trained: ``jobs``, ``engine``, ``address``."""
    options = [
        click.option("--jobs", type=int, default=None, help="Runs at a time (default: one a core, or a worker)."),
        click.option("--engine", default="local", show_default=True, help="Where runs are trained: local, or dask."),
        click.option("--address", default=None, help="The scheduler of the engine dask, such as tcp://host:8786."),
    ]
    return _with(options, command)


def report_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of :func:`robustdl_lib.report.report.run`."""
    shelf_help = "runs; or reference, to renew the committed report."
    options = [
        PROFILE,
        click.option("--shelf", default="runs", show_default=True, help=shelf_help),
        click.option("--every", is_flag=True, help="Print every line, also of numbers that have no run yet."),
        click.option("--strict", is_flag=True, help=f"Exit with {RED} if a claim does not hold or a number is off."),
    ]
    return _with(options, command)


def audit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of :func:`robustdl_lib.audit.audit.run`."""
    number: dict[str, Any] = {"type": click.IntRange(min=1), "default": None}
    options = [
        click.option("--method", default=METHOD, show_default=True, help="Training method, such as cce or gce:q=0.7."),
        click.option("--model", default="resnet20", show_default=True, help="Network, such as resnet8."),
        click.option("--epochs", help="Epochs of each training (default: by the number of images).", **number),
        click.option("--folds", help=f"Trainings, each without one fold (default: {FOLDS}, or fewer).", **number),
        click.option("--seed", default=0, show_default=True, help="Folds, weights, order, and the noise, if any."),
        click.option("--noise", default="none", show_default=True, help="Corrupt labels first, to see what is found."),
        click.option("--examples", help="Look only at that many images.", **number),
        click.option("--top", default=200, show_default=True, help="Suspects on the page, at most."),
        click.option("--into", default=None, help="Folder of the report (default: results/audits/NAME)."),
    ]
    return _with(options, command)


def config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each field of :class:`robustdl_lib.config.RunConfig`."""
    for name, field in reversed(RunConfig.model_fields.items()):
        many = get_origin(field.annotation) is tuple
        kind = get_args(field.annotation)[0] if many else field.annotation
        kind = kind if isinstance(kind, type) else str
        flag = f"--{name.replace('_', '-')}"
        declaration = f"{flag}/--no-{flag[2:]}" if kind is bool else flag
        more: dict[str, Any] = {} if kind is bool else {"type": kind, "multiple": many}
        described = f"{field.description} (default {field.default})"
        command = click.option(declaration, name, default=None, help=described, **more)(command)
    return command


def _numbers(name: str, text: str) -> list[int] | None:
    try:
        return [int(word) for word in text.split()] or None
    except ValueError:
        raise ConfigError(f"{name} are whole numbers separated by spaces, found {text!r}") from None


def _with(options: Sequence[Callable[..., Any]], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command
