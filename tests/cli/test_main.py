"""The command line and the Makefile: what they do, and what they refuse in one sentence."""

import contextlib
import inspect
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from robustdl_lib import cli
from robustdl_lib.cli import options
from robustdl_lib.registry import METHODS, NOISES
from robustdl_lib.report import report

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sweep", "--methods", "gcee"), "unknown method 'gcee': did you mean 'gce'?"),
        (("sweep", "--noise", "symetric:0.4"), "unknown noise 'symetric': did you mean 'symmetric'?"),
        (("sweep", "--dataset", "digit"), "unknown data set 'digit': did you mean 'digits'?"),
        (("sweep", "--profile", "quik"), "unknown profile 'quik': there is smoke, quick"),
        (("sweep", "figure"), "unknown sweep 'figure': did you mean 'figures'?"),
        (("sweep", "--noise", "symmetric:1.2"), "rate = '1.2'"),
        (("sweep", "--noise", "symmetric:-0.1"), "rate = '-0.1'"),
        (("sweep", "--noise", "symmetric:nan"), "rate = 'nan'"),
        (("sweep", "--noise", "symmetric"), "'rate' is missing"),
        (("sweep", "--methods", "gce:w=1"), "no parameter 'w', the parameters are: q"),
        (("sweep", "--methods", "gce:q=2"), "q = '2'"),
        (("sweep", "--seeds", "one"), "seeds are whole numbers"),
        (("sweep", "--seeds", "-1"), "seed = -1"),
        (("sweep", "--jobs", "0"), "jobs must be at least 1"),
        (("sweep", "--checkpoint-every", "-1"), "checkpoint_every is 0 (after every epoch) or more seconds, found -1"),
        (
            ("train", "--checkpoint-every", "nan"),
            "or more seconds, found nan",
        ),
        (("sweep", "--into", "attic"), "unknown shelf 'attic'"),
        (("sweep", "--engine", "ray"), "unknown engine 'ray': there is local, dask"),
        (("sweep", "--engine", "dask"), "needs an address such as tcp://host:8786"),
        (("sweep", "--address", "tcp://host:8786"), "say engine dask with it"),
        (("train", "--profile", "smoke", "--epochs", "0"), "epochs = 0"),
        (("train", "--profile", "smoke", "--device", "cuda:99"), "device 'cuda:99' is not there"),
        (("train", "--profile", "smoke", "--lrr", "0.1"), "--lrr"),
        (("train", "--profile", "smoke", "--batch-size", "many"), "'many' is not a valid integer"),
        (("figures", "--profile", "smoke"), "train them first"),
        (("inspect", "gcee"), "unknown method 'gcee': did you mean 'gce'?"),
        (("inspect", "hampel:a=0.6"), "a must be less than b, found a = 0.6 and b = 0.5"),
        (("inspect", "nowhere.py:my_loss"), "there is no file nowhere.py"),
        (("inspect", "gce", "--classes", "1"), "1 is not in the range"),
        (("inspect", "gce", "--progress", "2"), "2.0 is not in the range"),
        (("notebook", "notebooks/09_none.py", "out.ipynb"), "there is no notebook"),
    ],
)
def test_refusals_are_one_sentence_and_leave_nothing(run, places, words, said):
    code, _, err = run(*words)
    assert code != 0
    assert said in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not list(places.rglob("history.csv"))


@pytest.mark.parametrize(("root", "command"), [("RESULTS", "sweep"), ("RESULTS", "setting"), ("FIGURES", "setting")])
def test_a_root_that_cannot_be_written_is_refused_before_any_work(run, monkeypatch, tmp_path, root, command):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv(f"ROBUSTDL_{root}", str(tmp_path / "a file"))
    code, _, err = run(command, "--profile", "smoke", "--methods", "cce", "--seeds", "0")
    assert code == 1
    assert err.startswith("error: cannot write to")
    assert err.count("\n") == 1


def test_too_little_space_is_refused(run, monkeypatch):
    monkeypatch.setattr("robustdl_lib.files.LEAST_FREE_BYTES", 2**60)
    code, _, err = run("sweep", "--profile", "smoke", "--methods", "cce", "--seeds", "0")
    assert code == 1
    assert "too little space" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("figures NOSIE=symmetric:0.6", "unknown variable NOSIE"),
        ("figures DISGUISE=yes", "DISGUISE is 1 or nothing, found yes"),
        ("results DISGUISE=1", "DISGUISE=1 is for make figures"),
        ("figures PROFILE=paper DISGUISE=1", "DISGUISE=1 is for make figures"),
        ("figures RETRAIN=2", "RETRAIN is 1 or nothing, found 2"),
        ("figures RETRAIN=1", "RETRAIN=1 is for make figures with PROFILE=paper"),
    ],
)
def test_make_refuses_a_variable_that_it_would_ignore(words, said):
    made = subprocess.run(["make", "-n", *words.split()], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode != 0
    assert said in made.stderr


def test_make_figures_is_one_process_that_a_dry_run_only_prints():
    words = ["make", "-n", "-o", ".venv/.ready", "figures", "NOISE=symmetric:0.6", "JOBS=3", "QUIET=1", "DISGUISE=1"]
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    made = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, env=alone)
    [line] = made.stdout.splitlines()  # a make that was called by a make says more
    name, *rest = shlex.split(line.partition("robustdl_lib ")[2])
    given = cli.app.commands[name].make_context(name, rest).params
    assert name == "reproduce"
    assert (given["noise"], given["jobs"], given["quiet"], given["disguise"]) == ("symmetric:0.6", 3, True, True)


def test_make_without_a_target_prints_help():
    made = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "make figures" in made.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("swep",), "No such command 'swep'. Did you mean 'sweep'?"),
        (("figure",), "No such command 'figure'. Did you mean 'figures'?"),
        (("sweep", "--noize", "none"), "No such option '--noize'. (Did you mean one of: '--noise', "),
        (("train", "--epoch", "2"), "No such option '--epoch'. Did you mean '--epochs'?"),
    ],
)
def test_an_unknown_word_or_option_suggests_the_nearest(run, words, said):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


def examples(command):
    """Return the examples of a command's help, each as the words of a shell after the program's name."""
    lines = [line.strip() for line in (command.help or "").splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("robustdl ")]


@pytest.mark.parametrize("name", cli.app.commands)
def test_the_help_of_a_command_has_examples_that_are_accepted(name, run):
    shown = examples(cli.app.commands[name])
    assert 1 <= len(shown) <= 2
    for first, *words in shown:
        assert first == name
        with cli.app.commands[name].make_context(name, words) as context:
            for table, word in ((METHODS, "method"), (NOISES, "noise")):
                if context.params.get(word) not in (None, "", ()):
                    table.parse(context.params[word])
            if {"profile", "methods", "seeds"} <= set(context.params):
                setting = {key: context.params[key] for key in inspect.signature(options.read_setting).parameters}
                assert options.read_setting(**setting).slug
    code, out, _ = run(name, "--help")
    assert code == 0
    assert f"  robustdl {name}" in out
    assert len(cli.app.commands[name].get_short_help_str(limit=200)) <= 60


def test_the_examples_of_the_group_are_commands_and_its_help_has_every_exit_code(run):
    assert {words[0] for words in examples(cli.app)} <= set(cli.app.commands)
    _, out, _ = run("--help")
    codes = [int(code) for code in re.findall(r"^ +(\d+) +\w", out.split("Exit codes:")[1], re.MULTILINE)]
    assert codes == [0, cli.REFUSED, 2, cli.INTERRUPTED, cli.UNREAD]
    assert report.RED == cli.REFUSED
    assert run()[1] == out


def test_the_version_is_the_packages(run):
    assert run("--version")[1] == f"robustdl, version {version('robustdl-lib')}\n"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, click.Abort])
def test_an_interrupted_command_says_so_and_exits_with_130(run, monkeypatch, stop):
    def interrupted(**_):
        raise stop

    monkeypatch.setattr(cli.app.commands["methods"], "callback", interrupted)
    code, _, err = run("methods")
    assert code == 130
    assert err.strip() == "stopped; what was finished is kept"


def start(*words, **more):
    """Start the command line in a process of its own, which an interrupt reaches though these tests may ignore it."""
    command = [sys.executable, "-m", "robustdl_lib", *words]
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heed, **more)


@pytest.mark.slow
def test_a_pipe_that_nobody_reads_ends_the_command_quietly():
    process = start("list", stdout=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(120) == 141


@pytest.mark.slow
def test_an_interrupt_in_training_ends_with_130_and_what_was_finished_is_kept():
    process = start("train", "--profile", "smoke", "--epochs", "400", stdout=subprocess.PIPE)
    assert process.stdout.readline().startswith("epoch   1")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=120)[1].strip() == "stopped; what was finished is kept"
    assert process.returncode == 130


@pytest.mark.slow
def test_a_real_terminal_gets_a_drawn_table_and_no_colour_where_none_is_wanted(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    process = start("status", "--profile", "smoke", stdout=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # what a terminal says when its last writer is gone
        while block := os.read(ours, 4096):
            shown += block
    os.close(ours)
    assert process.wait(120) == 0
    assert "─────".encode() in shown
    assert not re.search(rb"\x1b\[[0-9;]*3[0-7]", shown)
