"""Commands that train and tell: what status says before, between and after, and with which exit code."""

import re

import pytest

from robustdl_lib import cli, sweeps
from robustdl_lib.cli import train
from robustdl_lib.config import ConfigError

WORDS = ("--profile", "smoke", "--methods", "cce", "--seeds", "0")


def row(out: str, sweep: str) -> list[str]:
    return next(line.split() for line in out.splitlines() if line.startswith(f"{sweep} "))


def test_status_counts_before_and_after_a_sweep_and_its_exit_code_is_for_scripts(run) -> None:
    code, out, err = run("status", *WORDS, "--check", "figures")
    assert code == 1
    assert row(out, "figures")[:5] == ["figures", "2", "0", "0", "2"]
    assert err == "error: the sweep figures lacks 2 runs: robustdl sweep figures trains them\n"
    assert run("sweep", *WORDS, "--jobs", "1", "--quiet")[0] == 0
    code, out, err = run("status", *WORDS, "--check", "figures")
    assert (code, err) == (0, "")
    assert row(out, "figures") == ["figures", "2", "2", "0", "0", "0", "s"]
    assert re.search(r"^runs +smoke +2 +0 +0 +0 ", out, re.MULTILINE)
    assert re.search(r" lacking +will take$", out, re.MULTILINE)


def test_status_refuses_a_sweep_that_there_is_not(run) -> None:
    code, out, err = run("status", "--check", "figure")
    assert (code, out) == (1, "")
    assert "did you mean 'figures'" in err


def test_status_says_of_a_checked_sweep_what_it_waits_for(run) -> None:
    code, out, err = run("status", *WORDS, "--check", "noise_rates_judged")
    assert (code, out) == (1, "")
    assert err == "error: 48 of 48 runs of the sweep noise_rates are missing: train it first\n"


def test_status_takes_at_least_one_job(run) -> None:
    assert run("status", "--jobs", "0")[0] == 2


def test_a_setting_is_read_from_texts() -> None:
    found = train.read_setting("smoke", "", "cce gce:q=0.5", "", "0 1", "3")
    assert found == sweeps.Setting("smoke", None, ["cce", "gce:q=0.5"], None, [0, 1], 3)
    with pytest.raises(ConfigError, match="epochs is one number"):
        train.read_setting("smoke", "", "", "", "", "3 4")


def test_every_command_here_is_a_command() -> None:
    assert (
        set(cli.app.commands)
        > {command.name for command in train.COMMANDS}
        == {
            *("train", "sweep", "figures", "papers", "status", "setting", "study"),
        }
    )
