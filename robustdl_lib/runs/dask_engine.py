"""Work spread over the workers of a dask.distributed cluster: every wait ends, and a lost scheduler costs no result.

A worker is given one task at a time, so that the death of a worker is held against the task that it worked on alone.
What a task returns is handed on the moment it ends; when the scheduler goes away, it is awaited, and what is still
lacking is submitted to the next one at the same address.
"""

import asyncio
import importlib
import pickle
import re
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, sleep
from types import ModuleType
from typing import Any
from uuid import uuid4

from robustdl_lib.registry import Entry, add, additions

ENGINES = ("local", "dask")
ADDRESS = re.compile(r"(tcp|tls)://(\[[\da-fA-F:.]+\]|[\w.-]+):(\d{1,5})")
GPU = {"GPU": 1}
CONNECT_WITHIN = 10.0
"""Seconds in which a scheduler must answer."""
PATIENCE = 3
"""Times that long for which a scheduler may be silent while its connection stands: it may be busy."""
WORKERS_WITHIN = 60.0
"""Seconds in which a cluster must have a worker, at the start and whenever it has lost its last one."""
RECONNECT_WITHIN = 60.0
"""Seconds in which a scheduler that went away must be back."""
LOSSES = 10
"""Times that the scheduler may go away without one result in between."""
POLL = 0.5


class ClusterLost(RuntimeError):
    """A cluster that went away in the middle of the work; the message says for how long it was awaited."""


class _Broken(Exception):
    """The connection to the scheduler is gone, or was gone for a moment: its tasks are no more."""


def check(engine: str, address: str | None) -> None:
    """Check where a sweep is to run: ``local``, or ``dask`` at an address such as ``tcp://host:8786``.

    Raises ValueError for another engine, an address that is none or that the engine does not take, and where the
    package distributed is not installed.
    """
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}: there is {', '.join(ENGINES)}")
    if engine == "local" and address:
        raise ValueError(f"the address {address!r} is of no use to the engine local: say engine dask with it")
    if engine == "dask":
        match = ADDRESS.fullmatch(address or "")
        if not match or not 0 < int(match[3]) < 2**16:
            raise ValueError(f"the engine dask needs an address such as tcp://host:8786, found {address!r}")
        _distributed()


def spread(
    task: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    address: str,
    *,
    gpu: bool | None = False,
    limit: int | None = None,
    lacking: Callable[[tuple[Any, ...]], bool] = lambda call: True,
) -> Generator[tuple[tuple[Any, ...], Any], None, None]:
    """Yield each call with what ``task(*call)`` returned on a worker, or with the exception, as they end.

    At most ``limit`` run at a time, by default one a worker. With ``gpu`` a task asks for the resource GPU=1, and with
    None where a worker offers it when the work begins. A task whose worker dies runs again on another, as often as the
    scheduler allows (its ``allowed-failures``, 3); a task that raises does not. After the scheduler went away only the
    calls that are ``lacking`` are submitted again. Raises ConnectionError where no scheduler answers or no worker is
    there at the start, :class:`ClusterLost` for the same later on.
    """
    client = _connect(address)
    try:
        work = _Work(task, dict(enumerate(calls)), _wanted(client, address, gpu), limit)
        losses = 0
        while work.left and losses < LOSSES:
            try:
                for found in _through(client, work):
                    losses = 0
                    yield found
            except _Broken:
                losses += 1
                _close(client)
                client = _reconnect(address)
                work.left = {key: call for key, call in work.left.items() if lacking(call)}
    finally:
        _close(client)
    if work.left:
        raise ClusterLost(f"the scheduler at {address} went away {LOSSES} times without a result")


def threads() -> int:
    """Return the threads that the worker running this task was given (its ``--nthreads``)."""
    return int(_distributed().get_worker().state.nthreads)


def worker() -> str:
    """Return, in words, which worker runs this task."""
    return f"the worker at {_distributed().get_worker().address}"


@dataclass
class _Work:
    """The calls that are still to be done, by number, what a task asks for, and what was registered at run time."""

    task: Callable[..., Any]
    left: dict[int, tuple[Any, ...]]
    resources: dict[str, int]
    limit: int | None
    extras: bytes = field(default_factory=lambda: _packed(additions()))
    name: str = field(default_factory=lambda: f"robustdl-{uuid4().hex}")

    def submit(self, client: Any, number: int) -> Any:
        """Submit a call; it travels as bytes, so that a scheduler need not know the code of its tasks."""
        payload = _import("cloudpickle").dumps(partial(_in_worker, self.extras, self.task, self.left[number]))
        unpack = lambda payload: pickle.loads(payload)()  # noqa: E731 - a lambda goes by value, a name by reference
        return client.submit(unpack, payload, key=f"{self.name}-{number}", resources=self.resources, pure=False)


def _through(client: Any, work: _Work) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield calls and outcomes until none is left; raises :class:`_Broken` with the others still in ``left``."""
    running: dict[Any, int] = {}
    last_seen = monotonic()
    while work.left:
        with _watched(client):
            workers = len(_workers(client, work.resources))
            waiting = [number for number in work.left if number not in running.values()]
            room = max(0, min(workers, work.limit or workers) - len(running))
            running.update({work.submit(client, number): number for number in waiting[:room]})
            done = _ended(client, running)
        for future in done:
            with _watched(client):
                outcome = _outcome(future)
            yield work.left.pop(running.pop(future)), outcome
        last_seen = monotonic() if workers else last_seen
        if monotonic() - last_seen > WORKERS_WITHIN:
            raise ClusterLost(f"the cluster has had no {_kind(work.resources)} for {WORKERS_WITHIN:g} s")


@contextmanager
def _watched(client: Any) -> Iterator[None]:
    """Raise :class:`_Broken` in place of what dask raises inside once the scheduler does not answer."""
    try:
        if client.status != "running":
            raise _Broken
        yield
    except (OSError, CancelledError, _distributed().client.ClosedClientError) as error:
        raise _Broken from error


def _ended(client: Any, running: dict[Any, int]) -> list[Any]:
    """Return the futures that have ended, after a moment's wait for the first."""
    if not running:
        sleep(POLL)
        return []
    with suppress(TimeoutError), client.as_current():
        _distributed().wait(list(running), timeout=POLL, return_when="FIRST_COMPLETED")
    return [future for future in running if future.done()]


def _outcome(future: Any) -> Any:
    """Return a task's result or exception; a result that went with its worker is computed again meanwhile."""
    if future.status in ("cancelled", "lost"):
        raise _Broken
    error = future.exception(timeout=WORKERS_WITHIN)
    if error is None:
        return future.result(timeout=WORKERS_WITHIN)
    if isinstance(error, _distributed().KilledWorker):
        return RuntimeError(f"each of the {error.allowed_failures + 1} workers that took it died")
    return error


def _wanted(client: Any, address: str, gpu: bool | None) -> dict[str, int]:
    """Wait for a worker that has what is asked for, and return what that is; raises ConnectionError without one."""
    deadline = monotonic() + WORKERS_WITHIN
    asked = GPU if gpu else {}
    while not _present(client, asked):
        if monotonic() > deadline:
            raise ConnectionError(f"the cluster at {address} has no {_kind(asked)} after {WORKERS_WITHIN:g} s")
        sleep(POLL)
    return GPU if gpu is None and _present(client, GPU) else asked


def _present(client: Any, resources: dict[str, int]) -> list[str]:
    """Return the workers with these resources; none where the scheduler does not answer just now."""
    with suppress(_Broken), _watched(client):
        return _workers(client, resources)
    return []


def _workers(client: Any, resources: dict[str, int]) -> list[str]:
    """Return the addresses of the workers that have been started with these resources."""
    there = _identity(client)["workers"]
    return [
        address
        for address, about in there.items()
        if all(about["resources"].get(name, 0) >= count for name, count in resources.items())
    ]


def _identity(client: Any) -> dict[str, Any]:
    """Return what a scheduler says of its cluster; dask's own scheduler_info has no end where it is gone meanwhile."""
    for _ in range(PATIENCE):
        if client.status != "running" or client.scheduler is None:
            break
        with suppress(TimeoutError):
            return client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=CONNECT_WITHIN)
    raise _Broken


def _kind(resources: dict[str, int]) -> str:
    return "worker" + (' with a GPU (dask worker --resources "GPU=1")' if resources else "")


def _connect(address: str) -> Any:
    """Return a client of the scheduler at the address; raises ConnectionError where none answers in time."""
    distributed = _distributed()
    runner = distributed.utils.LoopRunner(asynchronous=False)
    runner.start()
    try:
        runner.run_sync(_greet, address)
        return distributed.Client(address, timeout=CONNECT_WITHIN, set_as_default=False)
    except (OSError, ValueError):
        found = f"no dask scheduler answers at {address} within {CONNECT_WITHIN:g} s"
        raise ConnectionError(f"{found}: start it first, by the command dask scheduler") from None
    finally:
        runner.stop()


async def _greet(address: str) -> None:
    """Ask who answers; the client itself would wait without end for one that takes the call and says nothing."""
    distributed = _distributed()
    security = distributed.Security().get_connection_args("client")
    async with distributed.core.rpc(address, connection_args=security, timeout=CONNECT_WITHIN) as remote:
        found = await asyncio.wait_for(remote.identity(), CONNECT_WITHIN)
    if found["type"] != "Scheduler":
        raise ValueError(f"a {found['type']} answers")


def _reconnect(address: str) -> Any:
    """Return a client of the scheduler that is at the address again, with a worker; raises :class:`ClusterLost`."""
    deadline = monotonic() + RECONNECT_WITHIN
    while monotonic() < deadline:
        with suppress(ConnectionError):
            return _connect(address)
        sleep(POLL)
    raise ClusterLost(f"the scheduler at {address} went away and was not back within {RECONNECT_WITHIN:g} s")


def _close(client: Any) -> None:
    with suppress(OSError, CancelledError):
        client.close(timeout=2)


def _in_worker(extras: bytes, task: Callable[..., Any], call: tuple[Any, ...]) -> Any:
    add(pickle.loads(extras))
    return task(*call)


def _packed(entries: list[Entry]) -> bytes:
    """Return entries as bytes that need nothing of this process: functions go by value, whatever file they are in."""
    cloudpickle = _import("cloudpickle")
    already = {"__main__", *cloudpickle.list_registry_pickle_by_value()}
    modules = [sys.modules[name] for name in {entry.function.__module__ for entry in entries} - already]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(entries))
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _distributed() -> ModuleType:
    return _import("distributed")


def _import(name: str) -> ModuleType:
    """Import a package of the extra, which the other engine does without."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(f"the engine dask needs the package {error.name!r}: install robustdl-lib[cluster]") from None
