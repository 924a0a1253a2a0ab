"""What every test shares: a results folder of its own, one thread, the tables as they were; and slow things made once.

``smoke_runs`` are the 12 runs of the smoke sweep, ``fake_fit`` replaces training, ``run`` calls the command line.
"""

import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from helpers import fake
from helpers.cases import smoke
from hypothesis import HealthCheck, settings

from robustdl_lib import RunConfig, data, sweeps
from robustdl_lib.registry import TABLES, Registry
from robustdl_lib.training import train

settings.register_profile(
    "project",
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("project")
ONE_CORE = {"ROBUSTDL_FORMAT": "usual", "LOKY_MAX_CPU_COUNT": "1", "OMP_NUM_THREADS": "1"}
SLOW_FIXTURES = {"chromium", "fleets"}
"""A test that asks for one of these starts processes, so it is slow without saying so."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def one_core() -> Iterator[None]:
    """Compute on one core in the usual format, here and in child processes.

    The tests share the cores, and on a busy machine another format may be the fastest from test to test.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ONE_CORE.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(autouse=True)
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Send what a test writes to its own folder, on one thread; afterwards remove what it registered."""
    monkeypatch.setenv("ROBUSTDL_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("ROBUSTDL_FIGURES", str(tmp_path / "figures"))
    before = {table.kind: dict(table.entries) for table in TABLES if is_filled(table)}
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)
    for table in filter(is_filled, TABLES):
        kept = before.get(table.kind) or {name: entry for name, entry in table.entries.items() if fake.is_ours(entry)}
        if kept != table.entries:
            table.entries.clear()
            table.entries.update(kept)


def is_filled(table: Registry) -> bool:
    """Return whether a table holds its entries already; asking for them would import the room that fills it."""
    return table._state == "filled"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One browser for all tests of pages; imported here, because other tests do not need it."""
    from helpers.browser import started

    with started() as browser:
        yield browser


@pytest.fixture(scope="session")
def fleets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One cluster of real processes on the loopback for all its tests; imported here, because others do not need it."""
    from helpers.fleet import Fleet

    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    yield fleet
    fleet.stop()


@pytest.fixture
def fleet(fleets: Any) -> Any:
    """The cluster with a scheduler and two workers, whatever the test before has killed; 180 seconds for a test."""
    fleets.ensure()
    with fleets.limited(180):
        yield fleets


@pytest.fixture(scope="session")
def digits() -> data.Data:
    """The digits with 40 % symmetric noise, as the smoke profile loads them."""
    return data.load(smoke())


@pytest.fixture(scope="session")
def smoke_sweep(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder with the runs of ``sweep figures --profile smoke --seeds 0``, trained once a session. Do not write."""
    base = tmp_path_factory.getbasetemp()
    results = (base if worker_id == "master" else base.parent) / "smoke_sweep"
    with FileLock(f"{results}.lock"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBUSTDL_RESULTS", str(results))
        torch.set_num_threads(1)
        sweeps.run("figures", "smoke", 1, seeds=[0], quiet=True)
    return results / "runs" / "smoke"


@pytest.fixture
def smoke_runs(smoke_sweep: Path, places: Path) -> Path:
    """A test's own copy of the smoke sweep in its results: 12 runs, 11 methods and cross entropy without noise."""
    return Path(shutil.copytree(smoke_sweep, places / "results" / "runs" / "smoke"))


@pytest.fixture
def fake_fit(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """Replace training by made-up rows (0.01 s), in this process; the list holds each configuration that was trained.

    For tests of order, folders, missing and damaged runs. The rows are the same for the same configuration.
    """
    trained: list[RunConfig] = []
    fit = fake.fit_into(trained)
    for module in [module for name, module in sys.modules.items() if name.startswith("robustdl_lib.")]:
        if getattr(module, "fit", None) is train.fit and module is not train:
            monkeypatch.setattr(module, "fit", fit)
    monkeypatch.setattr(train, "fit", fit)
    return trained


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """The folder that holds a test's results and figures."""
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, str, str]]:
    """Call the command line in this process: words in; exit code, standard output and standard error out."""
    from robustdl_lib import cli

    def call(*words: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["robustdl", *words])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
