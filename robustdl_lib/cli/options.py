"""Options that commands share: of a sweep's setting, of a run's configuration, and of how often a run is kept."""

from collections.abc import Callable
from typing import Any, get_args, get_origin

import click

from robustdl_lib.config import PROFILES, RunConfig
from robustdl_lib.training.checkpoint import EVERY

checkpoint_option = click.option(
    "--checkpoint-every",
    type=float,
    default=EVERY,
    show_default=True,
    metavar="SECONDS",
    help="Least time between two checkpoints of a run; 0: one after every epoch.",
)
"""The option that says how often a run is kept on the way: ``checkpoint_every``."""


def setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that make a :class:`robustdl_lib.runs.sweeps.Setting`; an empty text means the profile's own."""
    options = [
        click.option("--profile", default="quick", show_default=True, help=f"One of {', '.join(PROFILES)}."),
        click.option("--noise", default="", help="A noise, such as symmetric:0.6."),
        click.option("--methods", default="", help="Methods separated by spaces, such as 'cce gce:q=0.5'."),
        click.option("--dataset", default="", help="A data set, such as digits."),
        click.option("--seeds", default="", help="Seeds separated by spaces, such as '0 1 2'."),
        click.option("--epochs", default="", help="Passes over the training set, the budget of each run."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


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
