"""Files: written whole or not at all, checksums, names of unfinished files, and locks between processes."""

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

LEAST_FREE_BYTES = 20 * 2**20
"""The free space below which nothing is started that writes."""


WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system answers that has no locks: nothing is locked there."""


class Busy(BlockingIOError):
    """A lock that another process holds; the message names its file."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a path in the same folder; what the caller writes there, a file or a folder, gets the name ``path``.

    The file is on the disk before it is renamed, so that a crash cannot leave an empty file under the name. If the
    block raises, ``path`` stays as it was and nothing is left. The folder of ``path`` is made. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(unfinished(path.name) + uuid.uuid4().hex)
    try:
        yield part
        sync(part)
        part.replace(path)
    finally:
        remove(part)


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; raises OSError."""
    with whole(path) as part:
        part.write_bytes(content)


def write_all(contents: Mapping[str, bytes], folder: Path) -> None:
    """Write files by name into ``folder``: all are written before the first gets its name. Raises OSError."""
    with contextlib.ExitStack() as stack:
        for name, content in contents.items():
            stack.enter_context(whole(folder / name)).write_bytes(content)


def sync(path: Path) -> None:
    """Push a file, or the files of a folder, to the disk."""
    for file in path.iterdir() if path.is_dir() else [path]:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it; do nothing if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sha256(content: "bytes | str | Path") -> str:
    """Return the SHA-256 of bytes, of a text in UTF-8, or of the file at a path, in hexadecimal digits."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(content.encode(errors="surrogateescape") if isinstance(content, str) else content).hexdigest()


def record(content: Mapping[str, Any], table: bytes) -> bytes:
    """Return what a table or figure was made from as JSON, with the checksum of its rows."""
    return (json.dumps({**content, "sha256": sha256(table)}, indent=1, sort_keys=True) + "\n").encode()


def file_name(text: str) -> str:
    """Return a text as the name of a file: every character except letters, digits and ``. + = - _`` becomes a dash."""
    return re.sub(r"[^\w.+=-]+", "-", text)


def hidden(folder: Path, kind: str, run_id: str) -> Path:
    """Return the path of a run's checkpoint or lock, next to the runs of ``folder``."""
    return folder / f".{kind}-{run_id}"


def unfinished(name: str) -> str:
    """Return the beginning of the name of a file that this process is writing: its name, process and machine."""
    return f".part-{name}-{os.getpid()}-{file_name(platform.node())}-"


def left_by_the_dead(part: Path) -> bool:
    """Return whether a file or folder is :func:`unfinished` and its process, of this machine, has ended."""
    named = re.fullmatch(rf"\.part-.+-(\d+)-{re.escape(file_name(platform.node()))}-[^-]*", part.name)
    return bool(named and not alive(int(named[1])))


def alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended may keep its number until its parent asks for its end."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):  # a system without /proc
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] not in ("Z", "X")
    return True


def require_writable(folder: Path) -> None:
    """Make ``folder`` and write a file in it; raises OSError, in one sentence, if that fails or space is short."""
    probe = folder / f".write-test-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"\0" * 4096)
    except OSError as error:
        raise OSError(f"cannot write to {folder}: {error.strerror or error}; choose another place") from None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        wanted = LEAST_FREE_BYTES // 2**20
        raise OSError(f"too little space in {folder}: {free / 2**20:.1f} MiB free, at least {wanted} MiB are needed")


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file ``path`` inside the block; the system releases it when the process ends, even if killed.

    The file is made, and removed at the end. On a file system without locks nothing is locked. If another process holds
    the lock, this one warns and waits. Raises :class:`Busy` instead of waiting if not ``wait``, and OSError if the file
    cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if not wait:
            raise Busy(f"another process holds {path}") from None
        warnings.warn(f"waiting for the process that holds {path}", stacklevel=4)
        lock.acquire()
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the release: a waiting process sees that the file has no name any more
        lock.release()


def held(path: Path) -> bool:
    """Return whether a process holds the lock file ``path``; nothing is made or removed."""
    if not path.exists():
        return False
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        with lock.acquire(blocking=False):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def remove_free_locks(folder: Path, pattern: str) -> None:
    """Remove the lock files of ``folder`` that match the glob ``pattern`` and that nobody holds."""
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError), locked(path, wait=False):  # it is removed at the end
            pass
