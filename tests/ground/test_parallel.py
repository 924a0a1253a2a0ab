"""Work over processes: in order, with the threads asked for, with what was registered, and one map of large arrays."""

import os
import threading
from pathlib import Path
from time import sleep

import numpy as np
import pytest
import torch

from robustdl_lib import parallel
from robustdl_lib.parallel import beside, on_threads, spread
from robustdl_lib.registry import METHODS


def double(value: int) -> tuple[int, int, int]:
    return 2 * value, os.getpid(), torch.get_num_threads()


def mapped(array: np.ndarray) -> bool:
    array[0] = 1  # the process may write, and nobody else sees it
    return "joblib_memmapping" in Path("/proc/self/maps").read_text()


def known(name: str) -> bool:
    return name in METHODS


def refuse(value: int) -> None:
    raise ValueError(f"{value} is refused")


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_results_come_in_the_order_of_the_calls(jobs: int) -> None:
    found = list(spread(double, [(value,) for value in range(6)], jobs))
    assert [value for value, _, _ in found] == [0, 2, 4, 6, 8, 10]
    assert {pid == os.getpid() for _, pid, _ in found} == {jobs == 1}


@pytest.mark.slow
def test_unordered_results_are_the_same_ones() -> None:
    assert sorted(value for value, _, _ in spread(double, [(value,) for value in range(6)], 2, ordered=False)) == [
        *range(0, 12, 2)
    ]


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_task_has_its_threads_and_this_process_keeps_its_own(jobs: int) -> None:
    before = torch.get_num_threads()
    assert {threads for _, _, threads in spread(double, [(1,), (2,)], jobs, threads=3)} == {3}
    assert torch.get_num_threads() == before


def test_threads_beside_each_other_share_this_process() -> None:
    before = torch.get_num_threads()
    found = list(beside(double, [(value,) for value in range(6)], 3))
    assert sorted(value for value, _, _ in found) == [*range(0, 12, 2)]
    assert {(pid, threads) for _, pid, threads in found} == {(os.getpid(), 1)}
    with pytest.raises(ValueError, match="2 is refused"):
        list(beside(refuse, [(2,)] * 2, 2))
    assert torch.get_num_threads() == before


def test_threads_are_given_back_even_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match=f"{before + 1} is refused"), on_threads(before + 1):
        refuse(torch.get_num_threads())
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_large_arrays_are_one_map_that_nobody_changes() -> None:
    array = np.zeros(2**20, dtype=np.int64)
    assert list(spread(mapped, [(array,), (array,)], 2)) == [True, True]
    assert not array.any()


@pytest.mark.slow
def test_what_was_registered_here_is_known_there() -> None:
    METHODS.register("here", label="Here", source="a test", role="loss")(lambda logits, target: logits[:, 0])
    assert list(spread(known, [("here",), ("cce",)], 2)) == [True, True]


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_a_task_raises_is_raised(jobs: int) -> None:
    with pytest.raises(ValueError, match="2 is refused"):
        list(spread(refuse, [(2,)] * 2, jobs))


def test_threads_beside_each_other_yield_as_they_end_and_raise_what_a_task_raises() -> None:
    gate = threading.Event()

    def task(name: str) -> str:
        if name == "slow":
            gate.wait(60)
        return name

    found = parallel.beside(task, [("slow",), ("fast",)], 2)
    assert next(found) == "fast"
    gate.set()
    assert list(found) == ["slow"]
    with pytest.raises(ZeroDivisionError):
        list(parallel.beside(lambda number: 1 // number, [(1,), (0,)], 1))
    assert list(parallel.beside(str, [(1,)], 1)) == ["1"]
    assert not parallel.STOPPING.is_set()


@pytest.mark.parametrize("leave", ["close", "throw"])
def test_whoever_leaves_asks_the_threads_to_stop_and_waits_for_them(leave: str) -> None:
    """An interrupt that left threads in the middle of torch's work would end the process by an abort."""
    begun, ended = [], []

    def task(number: int) -> int:
        begun.append(number)
        if number == 0:
            return number
        for _ in range(6000):
            try:
                parallel.stop_if_asked()
            except parallel.Stopped:
                ended.append(number)
                raise
            sleep(0.01)
        return number

    found = parallel.beside(task, [(number,) for number in range(5)], 2)
    assert next(found) == 0
    if leave == "close":
        found.close()  # type: ignore[attr-defined]
    else:
        with pytest.raises(KeyboardInterrupt):
            found.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert sorted(ended) == sorted(number for number in begun if number)
    assert len(begun) < 5
    parallel.stop_if_asked()  # this thread is none of those
