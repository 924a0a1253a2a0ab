"""What every test shares: a results folder of its own, and one thread."""

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.cases import smoke
from hypothesis import HealthCheck, settings

from robustdl_lib import cli, data
from robustdl_lib.registry import TABLES

settings.register_profile(
    "project",
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("project")
os.environ["ROBUSTDL_FORMAT"] = "usual"  # what a probe finds on a machine at work would differ from test to test


@pytest.fixture(autouse=True)
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Send whatever a test writes to its own folder, on one thread; take what it registers out again."""
    monkeypatch.setenv("ROBUSTDL_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("ROBUSTDL_FIGURES", str(tmp_path / "figures"))
    kept = [dict(table.entries) for table in TABLES]
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)
    for table, entries in zip(TABLES, kept, strict=True):
        table.entries.clear()
        table.entries.update(entries)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One browser for all tests of pages; imported here, for the other tests need none."""
    from helpers.browser import started

    with started() as browser:
        yield browser


@pytest.fixture(scope="session")
def fleets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One cluster of real processes on the loopback for all tests of it; imported here, for the others need none."""
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


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """The folder that holds a test's results and figures."""
    return tmp_path


@pytest.fixture
def run(places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Call the command line in this process: words in; exit code, standard output and standard error out."""

    def call(*words: str) -> tuple[int, str, str]:
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
