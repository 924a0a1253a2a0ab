"""The command line and the Makefile: what they do, and what they refuse in one sentence."""

import contextlib
import inspect
import json
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
import pandas as pd
import pytest

from robustdl_lib import cli, losses, store, summary, sweeps
from robustdl_lib.cli import train
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


def test_a_results_root_that_cannot_be_written_is_refused(run, monkeypatch, tmp_path):
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("ROBUSTDL_RESULTS", str(blocked))
    code, _, err = run("sweep", "--profile", "smoke", "--methods", "cce", "--seeds", "0")
    assert code == 1
    assert err.startswith("error: cannot write to")
    assert err.count("\n") == 1


def test_figures_that_cannot_be_written_are_refused_before_training(run, monkeypatch, tmp_path):
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("ROBUSTDL_FIGURES", str(blocked))
    code, _, err = run("setting", "--profile", "smoke")
    assert code == 1
    assert err.startswith("error: cannot write to")


def test_a_notebook_is_never_written_over_its_source(run, tmp_path):
    source = tmp_path / "01_small.py"
    source.write_text("# %%\nprint(1)\n")
    code, _, err = run("notebook", str(source), str(source))
    assert code == 1
    assert "the output is a new .ipynb file" in err
    assert source.read_text().startswith("# %%")


def test_a_noise_draw_that_is_no_archive_is_named_and_drawn_again(run, places):
    words = ("sweep", "--profile", "smoke", "--methods", "cce", "--seeds", "0", "--jobs", "1", "--quiet")
    run(*words)
    [kept] = places.rglob("digits-symmetric_0.4-0.npz")
    whole = kept.read_bytes()
    kept.write_text("text")
    code, _, err = run("train", "--profile", "smoke", "--method", "mae")
    assert code == 0
    assert f"drawn again: {kept}" in err
    assert kept.stat().st_size == len(whole)


def test_too_little_space_is_refused(run, monkeypatch):
    monkeypatch.setattr("robustdl_lib.files.LEAST_FREE_BYTES", 2**60)
    code, _, err = run("sweep", "--profile", "smoke", "--methods", "cce", "--seeds", "0")
    assert code == 1
    assert "too little space" in err


def test_train_prints_a_line_an_epoch_and_trains_once(run):
    code, out, _ = run("train", "--profile", "smoke", "--method", "gce:q=0.5", "--noise", "symmetric:0.2")
    assert code == 0
    assert out.count("epoch ") == 2
    code, out, _ = run("train", "--profile", "smoke", "--method", "gce:q=0.50", "--noise", "symmetric:.2")
    assert code == 0
    assert "is there already" in out


def test_sweep_then_figures_then_status(run, places):
    words = ("--profile", "smoke", "--methods", "cce gce", "--seeds", "0", "--noise", "symmetric:0.6")
    code, out, _ = run("sweep", *words, "--jobs", "1", "--quiet")
    assert (code, out) == (0, "")
    shown = ("headline", "p_y_histograms", "weight_curves", "split_scores")  # of each kind of rows
    code, out, _ = run("figures", *words, "--only", " ".join(shown))
    assert code == 0
    assert "no committed reference" in out
    folder = places / "figures" / "smoke_symmetric-0.6_cce+gce_seeds-0"
    for figure in shown:
        assert {path.suffix for path in folder.glob(f"{figure}.*")} == {".png", ".svg", ".csv", ".json"}
    before = {path: path.read_bytes() for path in folder.iterdir()}
    run("figures", *words, "--only", " ".join(shown))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    code, out, _ = run("status", *words)
    assert re.search(r"^figures +3 +3 +0 +0 +0 s$", out, re.MULTILINE)


def test_a_truncated_file_is_named_ignored_and_retrained(run, places):
    words = ("sweep", "--profile", "smoke", "--methods", "cce", "--seeds", "0", "--jobs", "1", "--quiet")
    run(*words)
    [history] = [p for p in places.rglob("history.csv") if "symmetric" in (p.parent / "config.json").read_text()]
    whole = history.read_bytes()
    history.write_bytes(whole[:100])
    code, _, err = run(*words)
    assert code == 0
    assert str(history) in err
    assert "cut short" in err
    assert store.read(history.parent).history.shape == (2, 15)


def test_list_names_every_entry(run):
    code, out, _ = run("list")
    assert code == 0
    assert all(name in out for table in cli.TABLES for name in table)


def test_readme_shows_the_reference_rows(run, tmp_path):
    copy = tmp_path / "README.md"
    copy.write_text((ROOT / "README.md").read_text())
    assert run("readme", str(copy))[0] == 0
    assert copy.read_text() == (ROOT / "README.md").read_text()


def test_reference_shows_what_the_project_claims():
    """The quick profile's result, last epoch, mean over three seeds, 40 % symmetric noise."""
    table = summary.headline(store.load_runs(shelf="reference", profile="quick")).set_index(["noise", "method"])
    noisy = table.loc["symmetric:0.4"]
    assert len(noisy) >= 8
    assert (table["seeds"] == 3).all()
    assert noisy.loc["cce", "lost"] >= 5
    robust = [noisy.loc[[m for m in noisy.index if m.startswith(name)], "last_mean"].max() for name in ("dm", "gce")]
    assert min(robust) >= noisy.loc["cce", "last_mean"] + 5
    assert table.loc[("none", "cce"), "last_mean"] > noisy["last_mean"].max()


def test_reference_is_whole_and_has_every_run_of_the_sweep():
    configs = sweeps.plan("figures", sweeps.Setting(profile="quick"))
    assert sweeps.lacking(configs, [ROOT / "results" / "reference" / "quick"]) == []


def test_make_refuses_a_misspelt_variable():
    made = subprocess.run(["make", "-n", "figures", "NOSIE=symmetric:0.6"], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode != 0
    assert "unknown variable NOSIE" in made.stderr


def test_make_without_a_target_prints_help():
    made = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "make figures" in made.stdout


def test_inspect_prints_a_table_and_draws_a_figure(run, places):
    code, out, err = run("inspect", "gce:q=0.5", "--classes", "3", "--progress", "0.5")
    assert (code, err) == (0, "")
    assert out.startswith("GCE (q = 0.5) (Talk, eq. 1; Zhang and Sabuncu 2018), 3 classes, progress 0.5\n")
    assert re.search(r"emphasis mode psi +0.3333 ", out)
    folder = places / "figures" / "inspect" / "gce-q=0.5"
    assert out.endswith(f"figure: {folder / 'lens.png'}\n")
    assert {path.name for path in folder.iterdir()} == {"lens.png", "lens.svg", "lens.csv", "lens.json"}
    record = json.loads((folder / "lens.json").read_text())
    assert record["provenance"]["method"] == "gce:q=0.5"


def test_inspect_takes_a_loss_from_a_file(run, places):
    source = places / "my_loss.py"
    source.write_text("def my_loss(logits, target):\n    return -2 * (target * logits.log_softmax(1)).sum(1)\n")
    code, out, _ = run("inspect", f"{source}:my_loss")
    assert code == 0
    assert out.startswith("my_loss (my_loss.py), 10 classes")
    assert re.search(r"in the family w\(p\)\(p - q\) +yes ", out)
    rows = pd.read_csv(places / "figures" / "inspect" / "my_loss" / "lens.csv")
    assert set(rows["method"]) == {"my_loss", "cce"}


def test_methods_prints_a_row_for_each_method_also_for_one_added_at_run_time(run):
    METHODS.register("late", label="Late", source="a test", role="loss")(losses.mse)
    _, out, _ = run("methods")
    assert {line.split()[0] for line in out.splitlines()[1:]} == set(METHODS)


def test_the_tables_of_methods_are_in_step(run, places):
    """But for methods that were added since: `make docs` brings them in."""
    committed = (ROOT / "docs" / "METHODS.md").read_text()
    (places / "METHODS.md").write_text(committed)
    run("readme", str(places / "METHODS.md"))
    lines, now = committed.splitlines(), (places / "METHODS.md").read_text().splitlines()
    assert [line for line in lines if line not in now] == [], "renew it: make docs"
    assert sum(line.startswith("| ") for line in lines) > 40


def test_a_page_without_marks_is_refused(run, places):
    (places / "page.md").write_text("nothing")
    code, _, err = run("readme", str(places / "page.md"))
    assert code == 1
    assert "lacks the marks" in err


def test_a_loss_added_at_run_time_is_in_the_figures_the_lens_the_tables_and_the_page(run, places):
    """One decorated function, and no other file is touched."""
    METHODS.register("late", label="Late", source="a test", role="loss", formula="(1 - p)**2 / 2")(
        lambda logits, target: losses.mse(logits, target) / 2
    )
    for figure in ("atlas", "emphasis_density", "weight_curves"):
        cli.draw(figure, [], places)
        assert "late" in set(pd.read_csv(places / f"{figure}.csv")["method"])
        assert 'id="late/' in (places / f"{figure}.svg").read_text()
    assert run("inspect", "late")[1].startswith("Late (a test)")
    assert re.search(r"^ *late +loss +0.3333 ", run("methods")[1], re.MULTILINE)
    assert re.search(r"^  late ", run("list")[1], re.MULTILINE)
    run("explorer", str(places / "explorer.html"))
    assert "Late" in (places / "explorer.html").read_text()


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
                setting = {key: context.params[key] for key in inspect.signature(train.read_setting).parameters}
                assert train.read_setting(**setting).slug
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
