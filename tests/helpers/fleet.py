"""A dask cluster of real processes on the loopback: a scheduler and two workers, killed and started again at will."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

LOOPBACK = "127.0.0.1"
QUIET = ("--host", LOOPBACK, "--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0")
"""Nothing is offered but on the loopback; without an address of its own the page of figures would take any."""
ENVIRONMENT = {
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    "DASK_DISTRIBUTED__SCHEDULER__IDLE_TIMEOUT": "120s",  # should the tests be killed, nothing stays behind
    "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "False",
    "OMP_NUM_THREADS": "1",
}


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as server:
        return server.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def wait_for(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait until a condition holds and return what it says; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.05)
    return found


class Fleet:
    """The processes; ``results`` is the folder that the workers see, ``address`` stays the scheduler's own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.results = folder, folder / "results"
        self.results.mkdir()
        self.port = free_port()
        self.address = f"tcp://{LOOPBACK}:{self.port}"
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def ensure(self) -> None:
        """Start what is not there; the second worker offers a GPU, which is only a word."""
        if self.scheduler is None or self.scheduler.poll() is not None:
            self.stop()
            self.start_scheduler()
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        if len(self.workers) < 2:
            self.stop_workers()
            self.workers = [self.worker(), self.worker("--resources", "GPU=1")]

    def start_scheduler(self) -> None:
        """Start a scheduler at the fleet's address, and wait until it listens."""
        self.scheduler = self.start("scheduler", "--port", str(self.port))
        wait_for(lambda: listens(self.port))

    def worker(self, *words: str) -> "subprocess.Popen[bytes]":
        scratch = ("--local-directory", str(self.folder), "--death-timeout", "60")
        return self.start("worker", self.address, "--no-nanny", "--nthreads", "1", *scratch, *words)

    def start(self, kind: str, *words: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words, *QUIET]
        places = {"ROBUSTDL_RESULTS": str(self.results), "PYTHONPATH": ""}
        with (self.folder / f"{kind}.log").open("ab") as log:
            return subprocess.Popen(command, env={**os.environ, **ENVIRONMENT, **places}, stdout=log, stderr=log)

    def stop_workers(self) -> None:
        for worker in self.workers:
            kill(worker)
        self.workers = []

    def stop(self) -> None:
        self.stop_workers()
        if self.scheduler:
            kill(self.scheduler)
        self.scheduler = None

    def talks_to(self) -> set[str]:
        """Return the addresses at which the processes, this one too, listen and to which they are connected."""
        alive = [process.pid for process in (self.scheduler, *self.workers) if process and process.poll() is None]
        found = [talk for pid in (*alive, os.getpid()) for talk in psutil.Process(pid).net_connections("inet")]
        return {end.ip for talk in found for end in (talk.laddr, talk.raddr) if end}

    @contextmanager
    def limited(self, seconds: int) -> Iterator[None]:
        """Fail a test that takes longer; what it waits for may never come."""

        def fail(*_: object) -> None:
            pytest.fail(f"longer than {seconds} s")

        before = signal.signal(signal.SIGALRM, fail)
        signal.alarm(seconds)
        try:
            yield
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)


def kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait(10)


@contextmanager
def meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Do something in a thread beside what is inside; what goes wrong there goes wrong here."""
    errors: list[BaseException] = []

    def act() -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    yield
    thread.join(120)
    assert not thread.is_alive()
    assert not errors, errors
