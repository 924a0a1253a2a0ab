"""The command behind make figures: the order of its parts, which notebooks run with which settings, and failures."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from robustdl_lib import paths, sweeps
from robustdl_lib.cli import figures, notebooks, reproduce

OPTIONS = {"profile": "quick", "noise": "", "methods": "", "dataset": "", "seeds": "", "epochs": ""}
WORDS = ("reproduce", "--profile", "smoke", "--methods", "cce", "--jobs", "1")


@pytest.fixture
def course(places: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with three notebooks of its own, of which the second fails; its figures are headline only."""
    for name, line in (("03_a", "print(profile, noise)"), ("05_b", "1 / 0"), ("08_direction_and_magnitude", "2")):
        source = places / "notebooks" / f"{name}.py"
        source.parent.mkdir(exist_ok=True)
        source.write_text(f'# %% tags=["parameters"]\nprofile: str = "quick"\nnoise: str = ""\n# %%\n{line}\n')
    monkeypatch.setattr(paths, "ROOT", places)
    monkeypatch.setattr(figures, "_shown", lambda profile: ["headline"])
    return places


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    """Replace kernels: the list holds the name and the settings of each notebook, and its output is written."""
    seen: list[tuple[str, dict[str, str]]] = []

    def execute(source: Path, output: Path, given: dict[str, str], settings: dict[str, str]) -> None:
        seen.append((source.stem, settings))
        if "1 / 0" in source.read_text():
            raise notebooks.NotebookFailed(f"{source.name} stopped")
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text("executed")

    monkeypatch.setattr(notebooks, "execute", execute)
    monkeypatch.setattr(notebooks, "TOGETHER", 1)
    return seen


def test_figures_are_drawn_before_notebooks_and_a_failing_one_stops_no_other(
    run: Callable[..., Any], course: Path, fake_fit: list[Any], executed: list[Any]
) -> None:
    code, out, err = run(*WORDS, "--noise", "symmetric:0.2")
    folder = course / "results" / "notebooks" / "smoke_symmetric-0.2_cce"
    assert code == 1
    assert re.search(rf"1 figures: .*\n{folder}/03_a.ipynb\n{folder}/08_direction_and_magnitude.ipynb\n$", out)
    assert err.endswith("error: 05_b.py stopped\nerror: 1 of 3 notebooks failed: 05_b\n")
    assert {path.stem for path in folder.iterdir()} == {"03_a", "08_direction_and_magnitude"}
    settings = dict(executed)["03_a"]
    assert (settings["profile"], settings["noise"], settings["shelf"]) == ("smoke", "symmetric:0.2", "runs")
    assert len(fake_fit) == 6
    assert {cfg.method for cfg in fake_fit} == {"cce"}


def test_only_what_is_new_is_trained_and_run_again(
    run: Callable[..., Any], course: Path, fake_fit: list[Any], executed: list[Any]
) -> None:
    source = course / "notebooks" / "05_b.py"
    source.write_text(source.read_text().replace("1 / 0", "1"))
    names = []
    for touched in (None, None, course / "notebooks" / "03_a.py", course / "results" / "runs" / "smoke_more"):
        executed.clear()
        if touched:
            touched.mkdir(exist_ok=True) if not touched.suffix else touched.touch()
            os.utime(touched, (time.time() + 60, time.time() + 60))
        assert run(*WORDS, "--quiet")[0] == 0
        names.append([name[:2] for name, _ in executed])
    assert names == [["03", "05", "08"], [], ["03"], ["03", "05", "08"]]
    assert len(fake_fit) == 6


def test_notebook_08_reads_the_committed_rows_unless_its_runs_are_asked_for(
    run: Callable[..., Any], course: Path, fake_fit: list[Any], executed: list[Any]
) -> None:
    run(*WORDS, "--quiet")
    assert dict(executed)["08_direction_and_magnitude"] == {}
    executed.clear()
    (course / "results" / "notebooks" / "smoke_cce" / "08_direction_and_magnitude.ipynb").unlink()
    run(*WORDS, "--quiet", "--disguise")
    assert dict(executed)["08_direction_and_magnitude"]["disguise"] == "runs"
    assert len(list((course / "results" / "runs" / "smoke_disguise").glob("*/history.csv"))) == 9


def test_the_report_is_counted_at_the_end_of_a_profile_s_own_setting(
    run: Callable[..., Any], places: Path, smoke_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "run", lambda *_, **__: None)
    monkeypatch.setattr(figures, "_shown", lambda profile: ["headline"])
    monkeypatch.setattr(notebooks, "execute_all", lambda due: iter(()))
    monkeypatch.setattr(figures, "_require_runs", lambda *_, **__: None)
    code, out, _ = run("reproduce", "--profile", "smoke", "--quiet")
    assert code == 0
    assert re.search(r"\nRed lines: .*\nreport: .*/results/report/smoke/report.html\n$", out)
    assert len(out.splitlines()) == 1 + reproduce.REPORT_LINES


def test_the_course_is_planned_without_its_solutions() -> None:
    planned = {source.stem: settings for source, _, settings in _tasks()}
    assert list(planned) == sorted(path.stem for path in (paths.ROOT / "notebooks").glob("*.py"))
    assert [name for name, settings in planned.items() if not settings] == [reproduce.OF_DISGUISE]
    assert {source.stem for source, *_ in _tasks(profile="small")} == set(reproduce.OF_FIGURES)
    assert {source.stem for source, *_ in _tasks(True, profile="small")} == {
        *reproduce.OF_FIGURES,
        reproduce.OF_DISGUISE,
    }
    outputs = [output for _, output, _ in _tasks(noise="symmetric:0.2")]
    assert {output.parent for output in outputs} == {paths.results() / "notebooks" / "quick_symmetric-0.2"}


def test_a_notebook_that_trains_its_own_sweep_is_known() -> None:
    """A sweep other than figures would be trained in a kernel."""
    trains = re.compile(r"sweeps\.run\(\"(?!figures)(\w+)\"")
    sources = sorted((paths.ROOT / "notebooks").glob("[0-9]*.py"))
    found = {path.stem: trains.findall(path.read_text()) for path in sources if trains.search(path.read_text())}
    assert found == {reproduce.OF_DISGUISE: ["disguise"]}


def test_every_file_of_the_library_makes_a_notebook_old(tmp_path: Path) -> None:
    names = {path.relative_to(reproduce.PACKAGE).as_posix() for path in reproduce.inputs("quick")}
    assert {
        "registry.py",
        "report/claims.csv",
        "methods/losses.py",
        "cli/notebooks.py",
        "plots/explorer/explorer.js",
    } & names
    assert not [name for name in names if name.endswith(".pyc")]
    output, older = tmp_path / "out.ipynb", tmp_path / "in.py"
    older.write_text("")
    assert not notebooks.is_current(output, [older])
    output.write_text("")
    assert notebooks.is_current(output, [older])
    os.utime(older, (time.time() + 60, time.time() + 60))
    assert not notebooks.is_current(output, [older])


@pytest.mark.slow
def test_two_kernels_at_a_time_run_in_processes_whose_environment_is_this_one_s(tmp_path: Path) -> None:
    source = tmp_path / "01_small.py"
    source.write_text("# %%\nimport os\nprint(sorted(name for name in os.environ if name.endswith('NUM_THREADS')))\n")
    outputs = [tmp_path / f"{number}.ipynb" for number in range(2)]
    ended = dict(notebooks.execute_all([(source, output, {}) for output in outputs]))
    assert ended == dict.fromkeys(outputs, "")
    printed = {nbformat.read(output, as_version=4).cells[-1].outputs[0].text for output in outputs}
    assert printed == {f"{sorted(name for name in os.environ if name.endswith('NUM_THREADS'))}\n"}


def _tasks(disguise: bool = False, **changes: str) -> list[notebooks.Task]:
    options = {**OPTIONS, **changes}
    return list(reproduce.tasks(reproduce.read_setting(**options), options, disguise=disguise))
