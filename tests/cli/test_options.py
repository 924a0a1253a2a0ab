"""The options that commands share: one for each field, and what they are when nothing is said."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from robustdl_lib.cli.options import checkpoint_option, config_options, setting_options
from robustdl_lib.config import RunConfig
from robustdl_lib.training.checkpoint import EVERY


def told(option: Any, *words: str) -> dict[str, Any]:
    """Return what a command with these options is told by ``words``."""
    seen: dict[str, Any] = {}

    @click.command()
    @option
    def command(**values: Any) -> None:
        seen.update(values)

    result = CliRunner().invoke(command, words)
    assert result.exit_code == 0, result.output
    return seen


def test_every_field_of_a_configuration_has_an_option_that_says_nothing_by_itself() -> None:
    seen = told(config_options)
    assert set(seen) == set(RunConfig.model_fields)
    assert not any(seen.values())


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (("--batch-size", "64"), "batch_size", 64),
        (("--lr", "0.5"), "lr", 0.5),
        (("--no-augment",), "augment", False),
        (("--augment",), "augment", True),
        (("--milestones", "0.3", "--milestones", "0.6"), "milestones", ("0.3", "0.6")),  # the configuration reads them
        (("--method", "gce:q=0.5"), "method", "gce:q=0.5"),
    ],
)
def test_a_field_is_told_in_its_type(words: tuple[str, ...], name: str, value: object) -> None:
    assert told(config_options, *words)[name] == value


def test_a_setting_is_empty_but_for_the_profile() -> None:
    seen = told(setting_options)
    assert seen.pop("profile") == "quick"
    assert set(seen) == {"noise", "methods", "dataset", "seeds", "epochs"}
    assert set(seen.values()) == {""}


def test_a_checkpoint_is_written_every_half_minute_unless_told_otherwise() -> None:
    assert told(checkpoint_option) == {"checkpoint_every": EVERY} == {"checkpoint_every": 30.0}
    assert told(checkpoint_option, "--checkpoint-every", "0") == {"checkpoint_every": 0.0}
