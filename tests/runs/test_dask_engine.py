"""Work on a cluster of real processes: bounded waits, one task a worker, and nothing but the loopback."""

import importlib
import os
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from helpers.cases import one_sentence
from helpers.fleet import LOOPBACK, Fleet, free_port

from robustdl_lib.registry import METHODS
from robustdl_lib.runs import dask_engine


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_engine, "POLL", 0.1)


def double(value: int) -> tuple[int, int]:
    return 2 * value, os.getpid()


def mistaken(log: Path) -> None:
    with log.open("a") as file:
        file.write("tried\n")
    raise ValueError("a mistake in the task")


def deadly(log: Path) -> None:
    with log.open("a") as file:
        file.write("tried\n")
    os._exit(1)


def known(name: str) -> bool:
    from robustdl_lib.registry import METHODS  # the worker's own, not a copy that travels with the function

    return name in METHODS


def span(seconds: float) -> tuple[float, float]:
    started = time.monotonic()
    time.sleep(seconds)
    return started, time.monotonic()


def place(seconds: float) -> tuple[str, int]:
    time.sleep(seconds)
    return dask_engine.worker(), dask_engine.threads()


@pytest.fixture(autouse=True)
def tests_by_value() -> Iterator[None]:
    """A worker has no path to these tests, so their functions go as they are."""
    cloudpickle, module = importlib.import_module("cloudpickle"), importlib.import_module(__name__)
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


REFUSED = [
    ("ray", None, ["unknown engine 'ray'", "local, dask"]),
    ("local", "tcp://host:8786", ["'tcp://host:8786'", "engine dask"]),
    ("dask", None, ["tcp://host:8786", "found None"]),
    ("dask", "host:8786", ["found 'host:8786'"]),
    ("dask", "http://host:8786", ["found 'http://host:8786'"]),
    ("dask", "tcp://host", ["found 'tcp://host'"]),
    ("dask", "tcp://host:0", ["found 'tcp://host:0'"]),
    ("dask", "tcp://host:65536", ["found 'tcp://host:65536'"]),
]


@pytest.mark.parametrize(("engine", "address", "words"), REFUSED)
def test_what_cannot_be_is_refused(engine: str, address: str | None, words: list[str]) -> None:
    with pytest.raises(ValueError, match="engine") as caught:
        dask_engine.check(engine, address)
    one_sentence(caught.value, *words)


@pytest.mark.parametrize("address", ["tcp://host:8786", "tls://host.a-domain.org:1", "tcp://[::1]:65535"])
def test_an_address_is_accepted(address: str) -> None:
    dask_engine.check("dask", address)
    dask_engine.check("local", None)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(dask_engine.importlib, "import_module", absent)
    with pytest.raises(ValueError, match=r"'distributed': install robustdl-lib\[cluster\]"):
        dask_engine.check("dask", "tcp://host:8786")
    dask_engine.check("local", None)


@pytest.mark.parametrize("silent", [False, True])
def test_an_address_at_which_nothing_answers_is_refused_in_time(silent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody at the port, or one who takes the call and says nothing."""
    monkeypatch.setattr(dask_engine, "CONNECT_WITHIN", 1.0)
    started = time.monotonic()
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1] if silent else free_port()
        with pytest.raises(ConnectionError) as caught:
            list(dask_engine.spread(double, [(1,)], f"tcp://{LOOPBACK}:{port}"))
    one_sentence(caught.value, f"tcp://{LOOPBACK}:{port}", "within 1 s", "dask scheduler")
    assert time.monotonic() - started < 6


def test_every_call_is_answered_once_from_other_processes(fleet: Fleet) -> None:
    found = list(dask_engine.spread(double, [(value,) for value in range(6)], fleet.address))
    assert sorted((call, twice) for call, (twice, _) in found) == [((value,), 2 * value) for value in range(6)]
    assert os.getpid() not in {pid for _, (_, pid) in found}
    assert "libtorch" not in Path(f"/proc/{fleet.scheduler.pid}/maps").read_text(), "the scheduler loads the tasks"
    assert fleet.talks_to() == {LOOPBACK}


def test_a_task_that_asks_for_a_gpu_goes_where_one_is_offered(fleet: Fleet) -> None:
    def hosts(gpu: bool | None, seconds: float) -> set[tuple[str, int]]:
        return {at for _, at in dask_engine.spread(place, [(seconds,)] * 4, fleet.address, gpu=gpu)}

    everywhere = hosts(False, 1.0)
    assert len(everywhere) == 2
    assert hosts(True, 0.0) == hosts(None, 0.0) < everywhere
    assert {threads for _, threads in everywhere} == {1}


def test_a_cluster_without_the_gpu_that_is_asked_for_is_refused(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_engine, "WORKERS_WITHIN", 1.0)
    monkeypatch.setattr(dask_engine, "GPU", {"GPU": 2})
    with pytest.raises(ConnectionError) as caught:
        list(dask_engine.spread(place, [(0.0,)], fleet.address, gpu=True))
    one_sentence(caught.value, fleet.address, "no worker with a GPU", "after 1 s")


def test_no_more_than_the_limit_run_at_a_time(fleet: Fleet) -> None:
    list(dask_engine.spread(place, [(1.0,)] * 2, fleet.address))  # both workers are there
    spans = sorted(found for _, found in dask_engine.spread(span, [(0.3,)] * 4, fleet.address, limit=1))
    assert all(ended <= started for (_, ended), (started, _) in pairwise(spans))


def test_what_was_registered_here_is_known_there(fleet: Fleet) -> None:
    METHODS.register("here", label="Here", source="a test", role="loss")(lambda logits, target: logits[:, 0])
    assert dict(dask_engine.spread(known, [("here",), ("nowhere",)], fleet.address)) == {
        ("here",): True,
        ("nowhere",): False,
    }


def test_a_task_that_raises_is_not_tried_again(fleet: Fleet, tmp_path: Path) -> None:
    [(_, error)] = dask_engine.spread(mistaken, [(tmp_path / "log",)], fleet.address)
    assert isinstance(error, ValueError)
    assert str(error) == "a mistake in the task"
    assert (tmp_path / "log").read_text() == "tried\n"


def test_a_task_that_kills_its_workers_is_given_up_and_a_cluster_without_workers_too(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler allows one death of a task; after the second both workers are gone, and nobody is left to work."""
    list(dask_engine.spread(place, [(1.0,)] * 2, fleet.address))  # both are there
    monkeypatch.setattr(dask_engine, "WORKERS_WITHIN", 3.0)
    work = dask_engine.spread(deadly, [(tmp_path / "log",), (tmp_path / "other",)], fleet.address, limit=1)
    call, error = next(work)
    assert call == (tmp_path / "log",)
    assert str(error) == "each of the 2 workers that took it died"
    assert (tmp_path / "log").read_text() == "tried\ntried\n"
    with pytest.raises(dask_engine.ClusterLost, match="no worker for 3 s") as caught:
        next(work)
    one_sentence(caught.value)
    with pytest.raises(ConnectionError, match="no worker after 3 s") as refused:
        next(dask_engine.spread(double, [(1,)], fleet.address))
    one_sentence(refused.value, fleet.address)
