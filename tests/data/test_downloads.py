"""Downloads against a server on the loopback that cuts off, lies, stalls, and is sometimes right."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from helpers.cases import one_sentence

from robustdl_lib.data import downloads

RIGHT = os.urandom(3) + bytes(range(256)) * 4000
MD5 = hashlib.md5(RIGHT).hexdigest()
PAGE = b"<!DOCTYPE html><html>log in first. Then go on.</html>"


class Server(ThreadingHTTPServer):
    """What lies at /good, /cut, /html, ... ; it counts who asked, and lets a stalled answer go when it is closed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: Counter[str] = Counter()
        self.closing = threading.Event()
        self.base = f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        self.server.asked[kind] += 1
        if kind == "moved":
            self.send_response(302)
            self.send_header("Location", self.path.replace("moved", "good"))
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = {"html": PAGE, "other": RIGHT[:-1] + b"?", "lost": PAGE}.get(kind, RIGHT)
        self.send_response(404 if kind == "lost" else 200)
        self.send_header("Content-Type", "text/html" if body == PAGE else "application/gzip")
        if kind != "endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind == "silent":
            self.wfile.write(body[:1000])
            self.server.closing.wait(20)
        elif kind in ("trickle", "endless"):
            for byte in body[:200]:
                self.wfile.write(bytes([byte]))
                if self.server.closing.wait(0.1):
                    return
        elif kind == "cut":
            self.wfile.write(body[: len(body) // 2])
        else:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.closing.set()
    made.shutdown()
    made.server_close()
    thread.join(5)


def fetch(server: Server, folder: Path, *kinds: str, **limits: float) -> Path:
    return downloads.fetch("data.bin", MD5, [f"{server.base}/{kind}/data.bin" for kind in kinds], folder, **limits)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["good", "moved"])
def test_a_good_address_gives_the_file_and_nothing_else(server: Server, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "not" / "there"
    assert fetch(server, folder, kind).read_bytes() == RIGHT
    assert left(folder) == ["data.bin"]


def test_a_file_that_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    first = fetch(server, tmp_path, "good")
    assert fetch(server, tmp_path, "good") == first
    assert server.asked == {"good": 1}


WRONGS = {
    "lost": ("answered 404",),
    "html": ("a web page", hashlib.md5(PAGE).hexdigest()),
    "other": ("another file", hashlib.md5(RIGHT[:-1] + b"?").hexdigest()),
    "cut": ("cut off after", f"of {len(RIGHT):,} bytes"),
    "silent": ("sent nothing for 0.3 s",),
}


@pytest.mark.parametrize("kind", WRONGS)
def test_a_bad_address_is_refused_by_name_and_leaves_nothing(server: Server, tmp_path: Path, kind: str) -> None:
    with pytest.raises(downloads.DownloadFailed) as refusal:
        fetch(server, tmp_path / "new", kind, timeout=0.3)
    one_sentence(refusal.value, f"{server.base}/{kind}/data.bin", MD5, str(tmp_path), downloads.MIRRORS, *WRONGS[kind])
    assert left(tmp_path) == []


@pytest.mark.parametrize("kind", WRONGS)
def test_after_a_bad_mirror_the_next_one_is_tried(server: Server, tmp_path: Path, kind: str) -> None:
    with pytest.warns(UserWarning, match=f"/{kind}/data.bin .*trying .*/good/data.bin"):
        assert fetch(server, tmp_path, kind, "good", timeout=2).read_bytes() == RIGHT
    assert left(tmp_path) == ["data.bin"]


@pytest.mark.parametrize("kind", ["trickle", "endless"])
def test_an_address_that_trickles_is_given_up_in_time(server: Server, tmp_path: Path, kind: str) -> None:
    start = time.monotonic()
    with pytest.raises(downloads.DownloadFailed) as refusal:
        fetch(server, tmp_path, kind, limit=0.5)
    one_sentence(refusal.value, "took longer than 0.5 s")
    assert time.monotonic() - start < 5
    assert left(tmp_path) == []


def test_an_address_where_nobody_listens_is_named(server: Server, tmp_path: Path) -> None:
    server.server_close()
    with pytest.raises(downloads.DownloadFailed) as refusal:
        fetch(server, tmp_path, "good")
    one_sentence(refusal.value, "could not be reached", server.base)


def test_all_mirrors_are_named_when_none_is_good(server: Server, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="trying"), pytest.raises(downloads.DownloadFailed) as refusal:
        fetch(server, tmp_path, "lost", "cut", "html")
    one_sentence(refusal.value, *(f"/{kind}/data.bin" for kind in ("lost", "cut", "html")))


def test_a_wrong_file_is_replaced_by_a_whole_one_only(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"half")
    with pytest.raises(downloads.DownloadFailed):
        fetch(server, tmp_path, "cut")
    assert (tmp_path / "data.bin").read_bytes() == b"half"
    assert fetch(server, tmp_path, "good").read_bytes() == RIGHT


KILLED = """
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without it
from robustdl_lib.data import downloads
downloads.fetch("data.bin", sys.argv[1], [sys.argv[2]], Path(sys.argv[3]))
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_download_that_is_killed_starts_anew(server: Server, tmp_path: Path, sent: signal.Signals) -> None:
    command = [sys.executable, "-c", KILLED, MD5, f"{server.base}/silent/data.bin", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not server.asked["silent"] and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert any(path.is_file() for path in tmp_path.glob(".part-*/*"))
    process.send_signal(sent)
    assert process.wait(20) != 0
    assert left(tmp_path) == [] or sent == signal.SIGKILL
    fetch(server, tmp_path, "good")
    assert left(tmp_path) == ["data.bin"]


def test_the_part_of_another_process_that_lives_is_left_alone(server: Server, tmp_path: Path) -> None:
    other = tmp_path / f".part-data.bin-{os.getppid()}-abc"
    other.mkdir()
    fetch(server, tmp_path, "good")
    assert other.is_dir()


@pytest.mark.skipif(not Path("/proc/self/fdinfo").is_dir(), reason="there is no /proc, which nobody may write to")
def test_a_disk_that_takes_nothing_is_no_fault_of_the_mirrors(server: Server) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(OSError, match="cannot write") as refusal:
            fetch(server, Path("/proc/self/fdinfo"), "good", "good")
    assert not isinstance(refusal.value, downloads.DownloadFailed)
    one_sentence(refusal.value, "cannot write data.bin")
    assert not server.asked


def test_progress_is_for_terminals(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for screen, shows in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr(sys, "stderr", screen)
        fetch(server, tmp_path / str(shows), "good")
        assert ("data.bin" in screen.getvalue()) is shows
        assert "Downloading data" not in screen.getvalue()


def test_mirrors_come_before_the_official_address(monkeypatch: pytest.MonkeyPatch) -> None:
    official = "https://example.org/a/file.tar.gz"
    monkeypatch.delenv(downloads.MIRRORS, raising=False)
    assert downloads.addresses(official) == [official]
    monkeypatch.setenv(downloads.MIRRORS, " http://one/x/  https://two ")
    assert downloads.addresses(official) == ["http://one/x/file.tar.gz", "https://two/file.tar.gz", official]


@pytest.mark.parametrize("base", ["ftp://host/x", "/a/folder", "host/x", "https:///x"])
def test_a_mirror_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    monkeypatch.setenv(downloads.MIRRORS, f"https://good.org {base}")
    with pytest.raises(ValueError, match=downloads.MIRRORS) as refusal:
        downloads.addresses("https://example.org/file")
    one_sentence(refusal.value, base, downloads.MIRRORS, "https://host/folder")


CONTENT = {"one": b"1" * 5000, "two": b"2" * 70_000}
SUMS = {name: hashlib.md5(content).hexdigest() for name, content in CONTENT.items()}


def archive(path: Path, content: dict[str, bytes], link: str = "") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in {f"box/{name}": data for name, data in content.items()}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        if link:
            info = tarfile.TarInfo("box/two")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    return path


def test_an_archive_is_unpacked_to_what_was_asked_for(tmp_path: Path) -> None:
    made = archive(tmp_path / "a.tar.gz", {**CONTENT, "readme.html": PAGE, "../../evil": b"!"})
    downloads.unpack(made, SUMS, tmp_path / "root" / "box")
    assert {path.name: path.read_bytes() for path in (tmp_path / "root" / "box").iterdir()} == CONTENT
    assert left(tmp_path / "root") == ["box"]
    assert not (tmp_path / "evil").exists()


def test_what_lies_there_is_mended_and_other_files_are_kept(tmp_path: Path) -> None:
    box = tmp_path / "root" / "box"
    box.mkdir(parents=True)
    (box / "one").write_bytes(b"cut")
    (box / "mine").write_bytes(b"mine")
    downloads.unpack(archive(tmp_path / "a.tar.gz", CONTENT), SUMS, box)
    assert {path.name: path.read_bytes() for path in box.iterdir()} == {**CONTENT, "mine": b"mine"}
    assert left(tmp_path / "root") == ["box"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:150])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def web_page(path: Path) -> None:
    path.write_bytes(PAGE)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, flip, web_page, empty])
def test_a_damaged_archive_is_refused_and_nothing_unpacked(tmp_path: Path, damage: object) -> None:
    made = archive(tmp_path / "a.tar.gz", CONTENT)
    damage(made)  # type: ignore[operator]
    with pytest.raises(downloads.DamagedArchive) as refusal:
        downloads.unpack(made, SUMS, tmp_path / "root" / "box")
    one_sentence(refusal.value, str(made))
    assert left(tmp_path) == ["a.tar.gz"]


def test_an_archive_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(downloads.DamagedArchive) as refusal:
        downloads.unpack(archive(tmp_path / "a.tar.gz", {"one": b"1"}), SUMS, tmp_path / "box")
    one_sentence(refusal.value, "box/two")


def test_an_archive_with_another_file_is_refused_with_both_checksums(tmp_path: Path) -> None:
    with pytest.raises(downloads.DamagedArchive) as refusal:
        downloads.unpack(archive(tmp_path / "a.tar.gz", {**CONTENT, "two": b"?"}), SUMS, tmp_path / "box")
    one_sentence(refusal.value, SUMS["two"], hashlib.md5(b"?").hexdigest(), "two")
    assert not (tmp_path / "box").exists()


def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT["two"])
    with pytest.raises(downloads.DamagedArchive) as refusal:
        downloads.unpack(archive(tmp_path / "a.tar.gz", {"one": CONTENT["one"]}, str(secret)), SUMS, tmp_path / "box")
    one_sentence(refusal.value, "box/two")
    assert not (tmp_path / "box").exists()
