"""One process at a time: a lock on a file, which the system gives back when its holder dies, however it dies."""

import contextlib
import errno
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without flock goes without locks
    fcntl = None  # type: ignore[assignment]

WITHOUT = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system says that knows no locks."""


class Busy(BlockingIOError):
    """A lock that another process holds; the message names its file."""


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock whose file is ``path`` inside; the file is made, and removed at the end.

    Where another process holds it, its end is waited for, after a warning that says so. Raises :class:`Busy` then if
    not ``wait``, OSError where the file cannot be made. Where there is no ``flock`` nothing is locked.
    """
    held = _hold(path, wait)
    try:
        yield
    finally:
        if held is not None:
            path.unlink(missing_ok=True)  # before it is given back: who waits sees that the file is another's
            os.close(held)


def held(path: Path) -> bool:
    """Return whether a process holds the lock whose file is ``path``; nothing is made, removed or waited for."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, AttributeError):  # no such file, or a system without locks
        return False
    return False


def sweep_away(folder: Path, pattern: str) -> None:
    """Remove the lock files of ``folder`` that fit the glob ``pattern`` and that nobody holds."""
    for path in folder.glob(pattern):
        with contextlib.suppress(Busy, OSError), locked(path, wait=False):
            pass


def _hold(path: Path, wait: bool) -> int | None:
    """Return the open file that holds the lock, or None where there are no locks.

    The file that was locked may have been removed by its former holder meanwhile, and another process may hold a new
    one of that name: only a lock on the file that bears the name counts.
    """
    while fcntl:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            known = _lock(file, path, wait)
        except BaseException:
            os.close(file)
            raise
        if known and _bears_name(file, path):
            return file
        os.close(file)
        if not known:
            path.unlink(missing_ok=True)
            break
    return None


def _lock(file: int, path: Path, wait: bool) -> bool:
    """Lock an open file; return False where the file system has no locks, raise Busy where another holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in WITHOUT:
            return False
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        if not wait:
            raise Busy(f"another process holds {path}") from None
        warnings.warn(f"waiting for the process that holds {path}", stacklevel=5)
        fcntl.flock(file, fcntl.LOCK_EX)
    return True


def _bears_name(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
