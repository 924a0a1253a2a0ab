"""Commands that train and that report what is stored: what they print, and with which exit code."""

import re

import pytest

from robustdl_lib import store, sweeps
from robustdl_lib.cli import options
from robustdl_lib.config import ConfigError

WORDS = ("--profile", "smoke", "--methods", "cce", "--seeds", "0")
SWEEP = ("sweep", *WORDS, "--jobs", "1", "--quiet")


def row(out: str, sweep: str) -> list[str]:
    return next(line.split() for line in out.splitlines() if line.startswith(f"{sweep} "))


def test_train_prints_a_line_an_epoch_and_trains_once(run, fake_fit) -> None:
    code, out, _ = run("train", "--profile", "smoke", "--method", "gce:q=0.5", "--noise", "symmetric:0.2")
    assert code == 0
    assert out.count("epoch ") == 2
    assert re.search(r"^run [0-9a-f]{16}, \d+\.\d% of its labels wrong: ", out, re.MULTILINE)
    code, out, _ = run("train", "--profile", "smoke", "--method", "gce:q=0.50", "--noise", "symmetric:.2")
    assert code == 0
    assert "is already stored" in out
    assert len(fake_fit) == 1


def test_status_counts_before_and_after_a_sweep_and_its_exit_code_is_for_scripts(run, fake_fit) -> None:
    code, out, err = run("status", *WORDS, "--check", "figures")
    assert code == 1
    assert row(out, "figures")[:5] == ["figures", "2", "0", "0", "2"]
    assert err == "error: the sweep figures lacks 2 runs: robustdl sweep figures trains them\n"
    assert run(*SWEEP) == (0, "", "")
    code, out, err = run("status", *WORDS, "--check", "figures")
    assert (code, err) == (0, "")
    assert row(out, "figures")[:5] == ["figures", "2", "2", "0", "0"]
    assert re.search(r"^runs +smoke +2 +0 +0 +0 ", out, re.MULTILINE)
    assert re.search(r" lacking +will take$", out, re.MULTILINE)


def test_a_truncated_file_is_named_ignored_and_retrained(run, places, fake_fit) -> None:
    run(*SWEEP)
    [history] = [p for p in places.rglob("history.csv") if "symmetric" in (p.parent / "config.json").read_text()]
    history.write_bytes(history.read_bytes()[:100])
    code, _, err = run(*SWEEP)
    assert code == 0
    assert str(history) in err
    assert "cut short" in err
    assert store.read(history.parent).history.shape == (2, 15)
    assert len(fake_fit) == 3


def test_a_noise_draw_that_is_no_archive_is_named_and_drawn_again(run, places, fake_fit) -> None:
    run(*SWEEP)
    [kept] = places.rglob("digits-symmetric_0.4-0.npz")
    size = kept.stat().st_size
    kept.write_text("text")
    code, _, err = run("train", "--profile", "smoke", "--method", "mae")
    assert code == 0
    assert f"drawn again: {kept}" in err
    assert kept.stat().st_size == size


def test_status_refuses_a_sweep_that_does_not_exist(run) -> None:
    code, out, err = run("status", "--check", "figure")
    assert (code, out) == (1, "")
    assert "did you mean 'figures'" in err


def test_status_names_the_sweep_that_a_checked_sweep_waits_for(run) -> None:
    code, out, err = run("status", *WORDS, "--check", "noise_rates_judged")
    assert (code, out) == (1, "")
    assert err == "error: 48 of 48 runs of the sweep noise_rates are missing: train it first\n"


def test_status_takes_at_least_one_job(run) -> None:
    assert run("status", "--jobs", "0")[0] == 2


def test_a_setting_is_read_from_texts() -> None:
    setting = options.read_setting("smoke", "", "cce gce:q=0.5", "", "0 1", "3")
    assert setting == sweeps.Setting("smoke", None, ["cce", "gce:q=0.5"], None, [0, 1], 3)
    with pytest.raises(ConfigError, match="epochs is one number"):
        options.read_setting("smoke", "", "", "", "", "3 4")
