"""Runs on the workers of a cluster: the same code, the same data, one run at a time, and its files brought home."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from robustdl_lib import files, paths
from robustdl_lib.config import RunConfig
from robustdl_lib.data import load_source
from robustdl_lib.data.noise import draw_file
from robustdl_lib.data.raw import Source
from robustdl_lib.parallel import on_threads
from robustdl_lib.runs import dask_engine, store
from robustdl_lib.training.checkpoint import package_sha256

Attempt = Callable[..., tuple[RunConfig, Any]]
ALONE = threading.Lock()
"""One run at a time in a process: a worker's threads are its run's, and torch's generator is one a process."""


class WorkerRefused(ValueError):
    """A worker whose rows could not be compared with the others'; the message names it and what differs."""


@dataclass(frozen=True)
class Order:
    """What a worker is told of a run: how to train it, where it may be stored, and what code and data are expected.

    ``place`` is the shelf under the results root, ``token`` the name of what lies on it while the sweep goes on.
    """

    attempt: Attempt
    place: Path | None
    token: str
    version: dict[str, str]
    data_sha256: dict[str, str]

    def shelf(self) -> Path | None:
        """Return the shelf where this machine sees it, under its own results root; else None."""
        shelf = None if self.place is None else paths.results() / self.place
        return shelf if shelf and (shelf / self.token).is_dir() else None


def spread(
    attempt: Attempt, calls: Sequence[tuple[RunConfig, Path, Source]], address: str, limit: int | None = None
) -> Iterator[tuple[RunConfig, Any]]:
    """Yield what ``attempt(cfg, shelf, source)`` of each call returns, run on the workers of the cluster at address.

    All calls name one shelf. A worker that sees it stores the run itself; whatever the shelf lacks when a run ends is
    stored from the files that come back with it. A configuration's device says whether a run asks for a GPU: ``cuda``
    does, ``cpu`` does not, ``auto`` where a worker offers one. At most ``limit`` run at a time. Raises
    :class:`WorkerRefused` for a worker with other code or data, and what :func:`robustdl_lib.runs.dask_engine.spread`
    raises.
    """
    shelf, sources = calls[0][1], {cfg.dataset: source for cfg, _, source in calls}
    checksums = {name: source.sha256 for name, source in sources.items()}
    with tempfile.TemporaryDirectory(prefix=files.unfinished("0") + "token_", dir=shelf) as token:
        order = Order(attempt, _under_results(shelf), Path(token).name, version(), checksums)
        orders = [(order, cfg) for cfg, _, _ in calls]
        lacking = partial(_lacking, shelf)
        work = dask_engine.spread(train, orders, address, gpu=_gpu(calls), limit=limit, lacking=lacking)
        with closing(work):  # a refusal leaves nothing submitted
            for (_, cfg), found in work:
                yield cfg, _received(shelf, cfg, found)


def train(order: Order, cfg: RunConfig) -> tuple[Any, dict[str, bytes]]:
    """Train a run in this worker's process; return what ``attempt`` says of it, and the files of :func:`pack`.

    It works on as many threads as the worker was given. Raises :class:`WorkerRefused`.
    """
    if (found := version()) != order.version:
        raise WorkerRefused(_differing(found, order.version))
    source = _source(cfg.dataset, order.data_sha256[cfg.dataset])
    with ALONE, on_threads(dask_engine.threads()), tempfile.TemporaryDirectory(prefix="robustdl-") as folder:
        shelf = order.shelf() or Path(folder)
        _, outcome = order.attempt(cfg, shelf, source)
        return outcome, pack(shelf, cfg)


def version() -> dict[str, str]:
    """Return what code this is: git revision, checksum of the library's files, torch's version."""
    found = store.code_version()
    return {
        "git revision": str(found["git_revision"]),
        "robustdl_lib": package_sha256()[:12],
        "torch": found["versions"]["torch"],
    }


def pack(shelf: Path, cfg: RunConfig) -> dict[str, bytes]:
    """Return the files of a finished run and of its noise draw, by their names under the shelf; none without a run."""
    if not (shelf / cfg.run_id).is_dir():
        return {}
    found = [*(shelf / cfg.run_id).iterdir(), *(shelf / "noise").glob(f"{store.noise_name(cfg)}.*")]
    return {str(path.relative_to(shelf)): path.read_bytes() for path in sorted(found)}


def unpack(shelf: Path, cfg: RunConfig, contents: dict[str, bytes]) -> store.Run:
    """Store what :func:`pack` returned on another machine, every file checked against its checksum.

    Raises ValueError where a file is not as it was written or the shelf holds another draw of the noise, OSError
    where it cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix=files.unfinished("0"), dir=shelf) as folder:
        for name, content in contents.items():
            (path := Path(folder) / name).parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        for draw in Path(folder).glob("noise/*.npz"):
            draw_file.adopt(shelf / "noise" / draw.name, draw)
        run = store.read(Path(folder) / cfg.run_id)
        return store.save(shelf, cfg, run.history, run.p_y, run.provenance)


def _gpu(calls: Sequence[tuple[RunConfig, Path, Source]]) -> bool | None:
    """Return whether runs ask for a GPU; None where their device is ``auto``, which is for the cluster to say."""
    devices = {cfg.device.partition(":")[0] for cfg, _, _ in calls}
    return None if devices == {"auto"} else "cuda" in devices


def _lacking(shelf: Path, call: tuple[Order, RunConfig]) -> bool:
    return store.find(call[1], shelf) is None


def _received(shelf: Path, cfg: RunConfig, found: Any) -> Any:
    """Store what came back of a run, if the shelf lacks it, and return its outcome, or in words why it failed."""
    if isinstance(found, WorkerRefused):
        raise found
    if isinstance(found, ImportError | AttributeError):
        raise WorkerRefused(f"a worker cannot load a run ({found}): it needs the same version of robustdl_lib")
    if isinstance(found, Exception):
        return str(found)
    outcome, contents = found
    try:
        if contents and not store.find(cfg, shelf):
            unpack(shelf, cfg, contents)
    except (ValueError, OSError) as error:
        return str(error)
    return outcome


@lru_cache(maxsize=4)
def _source(dataset: str, sha256: str) -> Source:
    """Return a data set, loaded once a process; raises :class:`WorkerRefused` where it is not the caller's."""
    try:
        source = load_source(dataset)
    except (ValueError, OSError) as error:
        raise WorkerRefused(f"{dask_engine.worker()} cannot load {dataset}: {error}") from None
    if source.sha256 != sha256:
        found = f"its checksum is {source.sha256[:12]}, the caller's {sha256[:12]}"
        raise WorkerRefused(f"{dask_engine.worker()} has other data by the name of {dataset}: {found}")
    return source


def _differing(found: dict[str, str], expected: dict[str, str]) -> str:
    """Return what the code of this worker is and should be, in a sentence."""
    name = next(name for name in expected if found[name] != expected[name])
    said = f"{name} {found[name]}, the caller {expected[name]}"
    return f"{dask_engine.worker()} has {said}: give it the caller's version and start it again"


def _under_results(shelf: Path) -> Path | None:
    return shelf.relative_to(paths.results()) if shelf.is_relative_to(paths.results()) else None
