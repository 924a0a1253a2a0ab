"""Each place can be moved, and a place that cannot be written to is refused before any work."""

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from helpers.cases import one_sentence

from robustdl_lib import files, paths

PLACES = {"ROBUSTDL_DATA": paths.data, "ROBUSTDL_RESULTS": paths.results, "ROBUSTDL_FIGURES": paths.figures}


@pytest.mark.parametrize("variable", PLACES)
def test_an_environment_variable_moves_a_place(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    assert PLACES[variable]() == tmp_path / "elsewhere"


@pytest.mark.parametrize("value", ["", None])
@pytest.mark.parametrize("variable", PLACES)
def test_an_unset_or_empty_variable_means_the_checkout(
    variable: str, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv(variable, raising=False)
    else:
        monkeypatch.setenv(variable, value)
    assert PLACES[variable]() == paths.ROOT / variable.removeprefix("ROBUSTDL_").lower()


def test_a_relative_place_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBUSTDL_RESULTS", "here")
    assert paths.results() == tmp_path / "here"


def test_runs_move_with_the_results_and_the_committed_shelf_stays() -> None:
    assert paths.shelf("runs", "quick") == paths.results() / "runs" / "quick"
    assert paths.shelf("reference", "quick") == paths.ROOT / "results" / "reference" / "quick"
    moved = paths.results() / "reference" / "quick"
    moved.mkdir(parents=True)
    assert paths.shelf("reference", "quick") == moved


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "notebooks").mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "robustdl-lib"\n')
    return folder


def test_the_root_is_the_checkout_of_the_package_wherever_it_is_used(checkout: Path, tmp_path: Path) -> None:
    assert paths.root(checkout / "robustdl_lib", tmp_path) == checkout


def test_an_installed_package_finds_the_checkout_around_the_current_folder(checkout: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site-packages" / "robustdl_lib"
    assert paths.root(installed, checkout) == checkout
    assert paths.root(installed, checkout / "notebooks") == checkout


@pytest.mark.parametrize("text", ["", '[project]\nname = "another"\n', "\xff"])
def test_an_installed_package_elsewhere_takes_the_current_folder(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text, encoding="latin-1")
    assert paths.root(tmp_path / "site-packages" / "robustdl_lib", tmp_path) == tmp_path


def test_what_lies_in_the_checkout_is_asked_for_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.require_checkout("the notebooks lie")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    with pytest.raises(OSError, match="checkout") as caught:
        paths.require_checkout("the notebooks lie")
    one_sentence(caught.value, "the notebooks lie in the project's checkout", str(tmp_path))


def test_an_unknown_shelf_is_refused() -> None:
    with pytest.raises(ValueError, match="shelf") as caught:
        paths.shelf("attic", "quick")
    one_sentence(caught.value, "'attic'", "reference, runs")


def test_the_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    files.require_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_place_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot write") as caught:
        files.require_writable(tmp_path / "file" / "runs")
    one_sentence(caught.value, str(tmp_path / "file" / "runs"), "cannot write", "another place")


def test_a_place_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path, content: bytes) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", denied)
    with pytest.raises(OSError, match="cannot write") as caught:
        files.require_writable(tmp_path)
    one_sentence(caught.value, "Permission denied")


def test_a_full_disk_is_refused_with_what_is_free_and_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(2**30, 2**30, 2**20))
    with pytest.raises(OSError, match="too little space") as caught:
        files.require_writable(tmp_path)
    assert str(caught.value).endswith("1.0 MiB free, at least 20 MiB are needed")


def test_what_is_no_run_has_a_hidden_name_of_its_own(tmp_path: Path) -> None:
    assert files.hidden(tmp_path, "lock", "0123") == tmp_path / ".lock-0123"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc, which says what state a process is in")
def test_a_process_that_ended_is_dead_before_its_parent_has_asked_how() -> None:
    def part(pid: int) -> Path:
        return Path(files.unfinished("0123").replace(f"-{os.getpid()}-", f"-{pid}-") + "abc")

    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    os.kill(ended.pid, 0)  # its number is still taken
    assert files.left_by_the_dead(part(ended.pid))
    ended.wait()
    assert files.left_by_the_dead(part(ended.pid))
    assert not files.left_by_the_dead(part(os.getpid()))
