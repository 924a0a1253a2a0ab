"""Locks: one holder at a time, given back by whatever end, and no file left behind."""

import errno
import fcntl
import os
import signal
import threading
import warnings
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
        assert path.is_file()


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
    """A former holder removes the file between the opening and the locking."""
    honest, opened = os.open, []

    def late(place: object, *words: object, **more: object) -> int:
        file = honest(place, *words, **more)  # type: ignore[arg-type]
        if str(place) == str(path) and not opened:
            path.unlink()
        if str(place) == str(path):
            opened.append(file)
        return file

    monkeypatch.setattr(os, "open", late)
    with warnings.catch_warnings(), files.locked(path):
        warnings.simplefilter("ignore")
        assert len(opened) == 2
        assert path.is_file()
    assert not path.exists()


def test_files_that_nobody_holds_are_swept_away(path: Path) -> None:
    with files.locked(path):
        path.with_name(".lock-free").touch()
        path.with_name("a-run").touch()
        files.remove_free_locks(path.parent, ".lock-*")
        assert {left.name for left in path.parent.iterdir()} == {path.name, "a-run"}


@pytest.mark.parametrize("code", files.WITHOUT_LOCKS)
def test_where_a_file_system_has_no_locks_nothing_is_locked_nor_left(
    code: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    with files.locked(path), files.locked(path, wait=False):
        pass
    assert not path.exists()


def test_another_error_of_the_file_system_is_raised(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output"):
        take(path)


def test_a_lock_that_is_held_is_known_without_waiting(path: Path) -> None:
    assert not files.held(path)
    with files.locked(path):
        assert files.held(path)
    assert not files.held(path)


def test_a_file_is_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "folder" / "a.txt"
    files.write(place, b"old")
    with pytest.raises(OSError, match=r"(?i)directory"), files.whole(place) as part:
        part.write_bytes(b"half") and part.parent.read_bytes()
    assert place.read_bytes() == b"old"
    assert [path.name for path in place.parent.iterdir()] == ["a.txt"]


def test_a_folder_is_whole_or_not_at_all(tmp_path: Path) -> None:
    with files.whole(tmp_path / "run") as part:
        part.mkdir()
        (part / "a").write_bytes(b"1")
    assert (tmp_path / "run" / "a").read_bytes() == b"1"
    with pytest.raises(FileExistsError), files.whole(tmp_path / "other") as part:
        part.mkdir() or part.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_files_are_all_written_before_the_first_has_its_name(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "in the way").touch()
    with pytest.raises(OSError, match="irectory"):
        files.write_all({"a": b"1", "b": b"2"}, tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_checksum_is_the_same_of_bytes_text_and_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256(b"abc") == files.sha256("abc") == files.sha256(tmp_path / "a") == known


def test_what_a_dead_process_left_is_known_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    dead = files.unfinished("run-5-x").replace(f"-{os.getpid()}-", f"-{2**22 + 1}-")
    assert files.left_by_the_dead(tmp_path / f"{dead}0a")
    assert not files.left_by_the_dead(tmp_path / f"{files.unfinished('run-5-x')}0a")
    assert not files.left_by_the_dead(tmp_path / ".part-run-5-elsewhere-0a")
