"""The Makefile: each target of the README calls what it says, and notebooks run again when the library has changed."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BASH = "\n".join(re.findall(r"```bash\n(.*?)```", README, re.DOTALL)).splitlines()
MAKE = [line.split("  #")[0].strip().removeprefix("make ") for line in BASH if line.startswith("make ")]
CALLS = {
    "figures": ("robustdl_lib reproduce",),
    "papers": ("robustdl_lib papers --profile paper", "robustdl_lib report --profile paper"),
    "test": ("ruff check .", "ruff format --check", "mypy", "pytest -m not slow -n 2"),
    "test-slow": ("pytest -m slow -n 2", "--nbval --nbval-current-env"),
    "report": ("robustdl_lib report --profile quick",),
    "book": ("-m book",),
}
"""What each target of make calls."""


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """A checkout in which every tool of the environment writes down its words, and ``setting`` says quick."""
    for name in ("Makefile", "requirements.lock", "bootstrap.lock", "notebooks", "robustdl_lib"):
        (tmp_path / name).symlink_to(ROOT / name)
    tool = '#!/bin/sh\necho "$(basename "$0") $*" >> "$LOG"\n[ "$3" != setting ] || echo quick\n'
    for name in ("python", "ruff", "mypy", "pytest"):
        path = tmp_path / ".venv" / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tool)
        path.chmod(0o755)
    (tmp_path / ".venv" / ".ready").touch()
    return tmp_path


def made(folder: Path, *words: str) -> int:
    """Run make in a folder and return its exit code: with ``-q`` 1 if there is something to do."""
    env = {**os.environ, "LOG": str(folder / "log"), "ROBUSTDL_RESULTS": ""}
    return subprocess.run(["make", *words], cwd=folder, env=env, capture_output=True, timeout=120).returncode


@pytest.mark.parametrize("line", MAKE)
def test_a_target_of_make_calls_what_it_says(line: str, recorder: Path) -> None:
    assert made(recorder, *shlex.split(line)) == 0
    called = (recorder / "log").read_text()
    paper = "PROFILE=paper" in line
    assert all(word in called for word in CALLS["papers" if paper else line.split()[0]])
    assert ("--train" in called) == ("RETRAIN=1" in line)
    for value in re.findall(r"=(\"[^\"]*\"|\S+)", line.replace("RETRAIN=1", "")):
        assert value.strip('"') in called
    if line.startswith("figures"):
        assert called.count("-m robustdl_lib ") == (2 if paper else 1)  # each start of Python takes seconds


def test_the_two_tiers_of_tests_leave_nothing_out(recorder: Path) -> None:
    assert (made(recorder, "test"), made(recorder, "test-slow")) == (0, 0)
    called = [line.split(" -n 2 ")[0] for line in (recorder / "log").read_text().splitlines() if "pytest" in line]
    assert called == ["pytest -m not slow", "pytest -m slow", "pytest"]
    assert [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make")] == [
        "make test",
        "make test-slow",
    ]


def test_make_n_trains_nothing(recorder: Path) -> None:
    assert made(recorder, "-n", "figures") == 0
    assert not (recorder / "log").exists()


def test_the_sweep_of_the_disguise_is_trained_only_if_asked_for(recorder: Path) -> None:
    assert (made(recorder, "figures"), made(recorder, "figures", "DISGUISE=1")) == (0, 0)
    assert ["--disguise" in line for line in (recorder / "log").read_text().splitlines()] == [False, True]


def test_make_bench_hands_the_budget_on(recorder: Path) -> None:
    assert made(recorder, "bench", "BUDGET=tiny") == 0
    assert "-m benchmarks --budget tiny" in (recorder / "log").read_text()


def test_every_make_command_of_the_readme_is_looked_at() -> None:
    assert {line.split()[0] for line in MAKE} <= set(CALLS)
