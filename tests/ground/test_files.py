"""Locks: one holder at a time, given back by whatever end, and no file left behind."""

import errno
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers.cases import one_sentence

from robustdl_lib import files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shelf" / ".lock-0123"


def take(path: Path) -> None:
    """Take the lock, or say that it is held; either at once."""
    with files.locked(path, wait=False):
        assert path.is_file() or files.fcntl is None


def fail_under(path: Path) -> None:
    with files.locked(path, wait=False):
        raise ValueError("a failure under the lock")


def test_what_is_held_is_busy_and_the_file_goes_with_its_holder(path: Path) -> None:
    with files.locked(path):
        with pytest.raises(files.Busy) as caught:
            take(path)
        one_sentence(caught.value, "another process holds", str(path))
        assert path.is_file()
    assert not path.exists()
    take(path)
    assert not path.exists()


def test_an_error_gives_the_lock_back(path: Path) -> None:
    with pytest.raises(ValueError, match="under the lock"):
        fail_under(path)
    take(path)
    assert not path.exists()


def test_a_holder_that_is_killed_gives_the_lock_back(path: Path) -> None:
    if (child := os.fork()) == 0:
        with files.locked(path):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert path.is_file()
    take(path)
    assert not path.exists()


def test_who_waits_says_so_and_comes_after_the_holder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order, held, waiting = [], threading.Event(), threading.Event()

    def hold() -> None:
        with files.locked(path):
            held.set()
            assert waiting.wait(10)
            order.append("holder")

    def warn(message: str, **_: int) -> None:
        order.append(message)
        waiting.set()

    monkeypatch.setattr(files.warnings, "warn", warn)
    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(hold)
        assert held.wait(10)
        with files.locked(path):
            order.append("waiter")
            with pytest.raises(files.Busy):
                take(path)
        holder.result()
    assert order == [f"waiting for the process that holds {path}", "holder", "waiter"]
    assert not path.exists()


@pytest.mark.filterwarnings("ignore:waiting")
def test_many_take_turns_although_each_removes_the_file(path: Path) -> None:
    """A number that is read, and written a moment later: a second holder in between would be seen."""
    count, inside = [0], []

    def turn(_: int) -> None:
        with files.locked(path):
            inside.append(1)
            assert len(inside) == 1
            seen = count[0]
            threading.Event().wait(0.0005)
            count[0] = seen + 1
            inside.pop()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(turn, range(200)))
    assert count == [200]
    assert not path.exists()


def test_a_lock_on_a_file_that_lost_its_name_does_not_count(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a former holder does between the opening and the locking: it takes the file away."""
    honest, taken = files._lock, []

    def late(file: int, path: Path, wait: bool) -> bool:
        if not taken:
            path.unlink()
        taken.append(file)
        return honest(file, path, wait)

    monkeypatch.setattr(files, "_lock", late)
    with files.locked(path):
        assert len(taken) == 2
        assert path.is_file()
    assert not path.exists()


def test_files_that_nobody_holds_are_swept_away(path: Path) -> None:
    with files.locked(path):
        path.with_name(".lock-free").touch()
        path.with_name("a-run").touch()
        files.sweep_away(path.parent, ".lock-*")
        assert {left.name for left in path.parent.iterdir()} == {path.name, "a-run"}


def test_where_a_system_has_no_locks_nothing_is_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "fcntl", None)
    with files.locked(path):
        take(path)


@pytest.mark.parametrize("code", files.WITHOUT)
def test_where_a_file_system_has_no_locks_nothing_is_locked_nor_left(
    code: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with files.locked(path), files.locked(path, wait=False):
        assert not path.exists()


def test_another_error_of_the_file_system_is_raised(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output"):
        take(path)
