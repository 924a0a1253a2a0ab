"""Work spread over processes: each has its share of threads, knows what was registered, and ends with its parent.

On a GPU the runs are threads of this process instead: they share its memory there, and each has a stream of its own.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache
from time import sleep
from typing import Any

import torch
from joblib import Parallel, delayed

from robustdl_lib.registry import Entry, add, additions

BESIDE = "beside"
"""How the names of the threads of :func:`beside` begin."""
STOPPING = threading.Event()
"""Set when those threads are to end before their work is done, until others begin."""


class Stopped(RuntimeError):
    """Work that ended early because its caller was interrupted."""


def spread(
    task: Callable[..., Any], calls: Sequence[tuple[Any, ...]], jobs: int, threads: int = 1, *, ordered: bool = True
) -> Iterator[Any]:
    """Yield ``task(*call)`` of each call, computed in at most ``jobs`` processes of ``threads`` threads at a time.

    Results come in the order of the calls, or as they end where not ``ordered``. With one job everything runs in
    this process. Large arrays in the calls go to the processes as one memory map, which mode ``c`` keeps from
    changing. Raises what a task raises, and BrokenProcessPool where a process was killed.
    """
    kind = "generator" if ordered else "generator_unordered"
    pool = Parallel(n_jobs=min(jobs, len(calls)), batch_size=1, return_as=kind, mmap_mode="c")
    return iter(pool(delayed(_in_process)(task, call, threads, os.getpid(), additions()) for call in calls))


def beside(task: Callable[..., Any], calls: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[Any]:
    """Yield ``task(*call)`` of each call as it ends, computed in at most ``jobs`` threads of this process at a time.

    Each computes on one thread of the processor. Raises what a task raises. A caller that is interrupted, or goes away,
    waits until those at work have heard of it (:func:`stopping`); the others are not begun. Interrupted again it waits
    no longer, and they end by themselves.
    """
    STOPPING.clear()
    with on_threads(1), ThreadPoolExecutor(min(jobs, len(calls)), thread_name_prefix=BESIDE) as pool:
        try:
            for done in as_completed([pool.submit(task, *call) for call in calls]):
                yield done.result()
        except BaseException:
            STOPPING.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def stopping() -> bool:
    """Return whether this is a thread of :func:`beside` whose caller was interrupted."""
    return STOPPING.is_set() and threading.current_thread().name.startswith(BESIDE)


def stop_if_asked() -> None:
    """Raise :class:`Stopped` where :func:`stopping`; what works long calls this now and then."""
    if stopping():
        raise Stopped


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Let torch work on ``count`` threads inside, and on as many as before afterwards, whatever happened."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _in_process(task: Callable[..., Any], call: tuple[Any, ...], threads: int, parent: int, extras: list[Entry]) -> Any:
    _follow(parent)
    add(extras)
    with on_threads(threads):
        return task(*call)


@cache
def _follow(parent: int) -> None:
    """End this process when ``parent`` is gone, however it died, so that no orphan goes on training."""

    def watch() -> None:
        while os.getppid() == parent:
            sleep(1.0)
        os._exit(1)

    if os.getpid() != parent:
        threading.Thread(target=watch, daemon=True).start()
