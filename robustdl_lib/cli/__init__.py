"""The command line: ``robustdl COMMAND``. Every refusal is one sentence and a non-zero exit."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from robustdl_lib.cli import console, figures, files, inspect, reproduce, train
from robustdl_lib.cli.figures import draw
from robustdl_lib.registry import FIGURES, STUDIES, TABLES

__all__ = ["FIGURES", "STUDIES", "TABLES", "app", "draw", "main"]
COMMANDS = (*train.COMMANDS, *figures.COMMANDS, *reproduce.COMMANDS, *inspect.COMMANDS, *files.COMMANDS)
REFUSALS = (ValueError, OSError, RuntimeError)
REFUSED, INTERRUPTED, UNREAD = 1, 130, 141


class App(click.Group):
    """All commands; one whose output nobody reads any more, as after ``head``, ends without a message."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the last flush would complain
            raise click.exceptions.Exit(UNREAD) from None


@click.group(
    cls=App,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="robustdl-lib")
@click.pass_context
def app(context: click.Context) -> None:
    """Learning under label noise: train, compare, draw.

    \b
    Examples:
      robustdl list
      robustdl inspect gce:q=0.7
      robustdl train --method gce:q=0.7 --noise symmetric:0.4
      robustdl sweep figures --profile quick --noise symmetric:0.6
      robustdl figures --profile quick --noise symmetric:0.6

    \b
    If no command robustdl is on the path: python -m robustdl_lib.
    COMMAND --help describes each command, with examples.

    \b
    Exit codes:
      0    done
      1    refused, or failed, in one sentence; or the condition of --check or --strict does not hold
      2    a command, option or value that the command line does not know
      130  interrupted; what was finished is kept
      141  nobody reads the output any more
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in COMMANDS:
    app.add_command(command)


def main() -> None:
    """Run the command line; exit with one of the codes in its help."""
    warnings.showwarning = _show_warning
    if code := _run():
        sys.exit(code)


def _run() -> int:
    try:
        return app.main(prog_name=_name(), standalone_mode=False) or 0
    except click.ClickException as error:
        console.error(error.format_message())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; what was finished is kept", err=True)
        return INTERRUPTED
    except REFUSALS as error:
        console.error(str(error))
        return REFUSED


def _name() -> str:
    """Return the program's name as the reader typed it."""
    return "python -m robustdl_lib" if Path(sys.argv[0]).stem == "__main__" else "robustdl"


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    console.warning(message)


if __name__ == "__main__":
    main()
