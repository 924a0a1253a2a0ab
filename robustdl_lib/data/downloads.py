"""Files from the network: several addresses tried in order, the checksum verified, nothing left behind by a failure.

pooch streams to a temporary file, checks its MD5 and moves it when whole; here are the addresses, what each of them
did wrong in words, and the bound on how long one may take.
"""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from robustdl_lib import files

MIRRORS = "ROBUSTDL_MIRRORS"
TIMEOUT = 20.0
"""Seconds without a byte after which an address is given up."""
LIMIT = 3600.0
"""Seconds after which an address is given up even if bytes still trickle in."""
CHUNK = 2**18
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOENT, errno.ENOTDIR)
"""What a disk says, and no address can mend."""


class DownloadFailed(OSError):
    """A file that no address gave whole; the message names the addresses and what each did wrong."""


class DamagedArchive(ValueError):
    """An archive that does not hold what it should; the message names it and what is wrong with it."""


def addresses(official: str) -> list[str]:
    """Return where a file may be fetched: from each mirror of ``ROBUSTDL_MIRRORS`` in order, then from ``official``.

    A mirror is a base address to which the file's name is added; several are separated by spaces. Raises ValueError
    for one that is not http or https.
    """
    bases = os.environ.get(MIRRORS, "").split()
    for base in bases:
        if not re.match(r"https?://[^/]", base):
            raise ValueError(
                f"{MIRRORS} holds addresses such as https://host/folder, separated by spaces: found {base!r}"
            )
    name = official.rpartition("/")[2]
    return [*(f"{base.rstrip('/')}/{name}" for base in bases), official]


def fetch(
    name: str, md5: str, urls: Sequence[str], folder: Path, *, timeout: float = TIMEOUT, limit: float = LIMIT
) -> Path:
    """Return ``folder / name`` with the checksum ``md5``: the file that is there, else from the first good address.

    An address that fails is named in a warning and the next one is tried. A file of that name with another checksum
    is replaced, by a whole one only. ``timeout`` bounds the seconds without a byte, ``limit`` those in all, for each
    address. Raises :class:`DownloadFailed` in one sentence when no address is left, OSError for a disk that is full
    or not writable.
    """
    final = folder / name
    if holds(final, md5):
        return final
    failures: list[str] = []
    for url in urls:
        try:
            return _fetch_one(final, md5, url, timeout, limit)
        except (ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno in DISK:
                raise OSError(f"cannot write {name} into {folder}: {error.strerror}") from None
            failures.append(f"{url} {_first_line(error)}")
            if len(failures) < len(urls):
                warnings.warn(f"{failures[-1]}; trying {urls[len(failures)]}", stacklevel=2)
    raise DownloadFailed(
        f"could not fetch {name} (MD5 {md5} expected): {'; '.join(failures)}; name a good mirror by {MIRRORS}, or put"
        f" the file into {folder}"
    )


def unpack(archive: Path, members: Mapping[str, str], target: Path) -> None:
    """Bring files of the folder ``target.name`` in a tar archive into ``target``: all of them, checked, or none.

    ``members`` maps each name to its MD5; nothing else is taken out. They are unpacked beside ``target`` and moved
    when all are right. Raises :class:`DamagedArchive`, in one sentence, for an archive that is damaged, lacks a file
    or holds another one, and OSError for a full disk.
    """
    with _part(target) as part:
        try:
            _extract(archive, [f"{target.name}/{name}" for name in members], part)
        except (tarfile.TarError, EOFError, zlib.error, KeyError) as error:
            raise DamagedArchive(
                f"{archive} is damaged or another archive ({_first_line(error)}): fetch it again"
            ) from None
        except OSError as error:
            if error.errno is None:
                raise DamagedArchive(f"{archive} is damaged ({_first_line(error)}): fetch it again") from None
            raise OSError(f"cannot unpack {archive} into {target.parent}: {error.strerror}") from None
        for name, expected in members.items():
            if (found := md5_of(part / target.name / name)) != expected:
                raise DamagedArchive(
                    f"{name} in {archive} is not the official file: MD5 {expected} expected, {found} found"
                )
        _move(part / target.name, target, members)


def holds(path: Path, md5: str) -> bool:
    """Whether a file is there and has this checksum."""
    return path.is_file() and md5_of(path) == md5


class DamagedData(ValueError):
    """A data file that is not the official one; the message names it and both checksums."""


class MissingData(DamagedData, FileNotFoundError):
    """A data file that is not there, or cannot be read."""


def official(path: Path, md5: str, remedy: str) -> bytes:
    """Return the bytes of a file once its MD5 is the official one, so that nothing of another is ever looked into.

    ``remedy`` says what to do. Raises :class:`MissingData` or :class:`DamagedData`, in one sentence that ends with it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingData(f"{path} cannot be read ({error.strerror}), MD5 {md5} expected: {remedy}") from None
    if (found := hashlib.md5(content, usedforsecurity=False).hexdigest()) != md5:
        raise DamagedData(
            f"{path} ({_looks(content)}) is not the official file: MD5 {md5} expected, {found} found; {remedy}"
        )
    return content


def _looks(content: bytes) -> str:
    """Say in words what the bytes of a damaged file look like."""
    html = content[:200].lstrip().lower().startswith((b"<!doctype", b"<html"))
    return f"{len(content):,} bytes" + (", a web page" if html else "")


def md5_of(path: Path) -> str:
    """Return the MD5 of a file as 32 hexadecimal digits, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


class _Wrong(ValueError):
    """An answer that came, and is not the file: a web page, another checksum."""


@dataclass
class _Reader:
    """A downloader for pooch: it shows progress on a terminal, gives up in time, and says what an answer is not."""

    name: str
    md5: str
    timeout: float
    limit: float
    late: bool = False

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        """Stream ``url`` to ``output_file`` and check it; raises :class:`_Wrong`, or what a disk says."""
        timers: list[threading.Timer] = []

        def answered(response: Any, **_: Any) -> None:
            timers.append(threading.Timer(self.limit, self._give_up, [response]))
            timers[-1].daemon = True
            timers[-1].start()

        try:
            with tqdm(total=1, desc=self.name, unit="B", unit_scale=True, disable=None) as bar:
                self._stream(bar, answered)(url, output_file, None)
        except OSError as error:
            if error.errno in DISK:
                raise
            raise _Wrong(self._too_late if self.late else _reason(error, self.timeout)) from None
        finally:
            for timer in timers:
                timer.cancel()
        self._check(Path(output_file))

    def _stream(self, bar: Any, hook: Any) -> Any:
        """Build pooch's own downloader; no server may compress on the way what is compressed already."""
        import pooch

        return pooch.HTTPDownloader(
            progressbar=bar,
            chunk_size=CHUNK,
            timeout=self.timeout,
            headers={"Accept-Encoding": "identity"},
            hooks={"response": hook},
        )

    def _give_up(self, response: Any) -> None:
        self.late = True
        with contextlib.suppress(Exception):  # the answer may just have ended
            response.raw.shutdown()

    @property
    def _too_late(self) -> str:
        return f"took longer than {self.limit:g} s"

    def _check(self, path: Path) -> None:
        if (found := md5_of(path)) != self.md5:
            with path.open("rb") as file:
                start = file.read(200).lstrip().lower()
            page = ", a web page" if start.startswith((b"<!doctype html", b"<html")) else ""
            wrong = f"gave another file ({path.stat().st_size:,} bytes{page}), MD5 {found} found"
            raise _Wrong(self._too_late if self.late else wrong)


def _fetch_one(final: Path, md5: str, url: str, timeout: float, limit: float) -> Path:
    import pooch

    with _part(final) as part, _quiet():
        reader = _Reader(final.name, md5, timeout, limit)
        whole = pooch.retrieve(url, f"md5:{md5}", final.name, part, downloader=reader)
        return Path(whole).replace(final)


def _reason(error: OSError, timeout: float) -> str:
    """Say in words what an address did: requests' own texts run over several lines of a log."""
    if (response := getattr(error, "response", None)) is not None:
        return f"answered {response.status_code} {response.reason}".rstrip()
    if "timed out" in str(error).lower():
        return f"sent nothing for {timeout:g} s"
    if cut := re.search(r"IncompleteRead\((\d+) bytes read, (\d+) more", str(error)):
        return f"was cut off after {int(cut[1]):,} of {int(cut[1]) + int(cut[2]):,} bytes"
    return f"could not be reached ({type(error).__name__})"


def _extract(archive: Path, names: Sequence[str], part: Path) -> None:
    """Take plain files of these names out, in the archive's own order: gzip cannot go back but by starting anew."""
    lacking = set(names)
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name in lacking and member.isfile():
                tar.extract(member, part, filter="data")
                lacking.remove(member.name)
    if lacking:
        raise KeyError(f"no file {min(lacking)} in it")


def _move(found: Path, target: Path, names: Mapping[str, str]) -> None:
    """Give the unpacked folder its place; where one is there already, its files are replaced one by one."""
    with contextlib.suppress(OSError):
        found.rename(target)
        return
    target.mkdir(exist_ok=True)
    for name in names:
        (found / name).replace(target / name)


@contextlib.contextmanager
def _part(final: Path) -> Iterator[Path]:
    """Make a folder beside ``final`` to work in, and remove it at the end, with those of processes that were killed."""
    made = not final.parent.exists()
    final.parent.mkdir(parents=True, exist_ok=True)
    for left in final.parent.glob(f".part-{final.name}-*"):
        if (pid := left.name.split("-")[-2]).isdigit() and not files.alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f".part-{final.name}-{os.getpid()}-", dir=final.parent))
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if made:
            with contextlib.suppress(OSError):  # it is not empty if all went well
                final.parent.rmdir()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep pooch's log off the screen: what matters is said here."""
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _first_line(error: Exception) -> str:
    return str(error).strip("'\"").split("\n", 1)[0].rstrip(".")
