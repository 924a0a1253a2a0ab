"""CIFAR from files in the official layout: tiny stand-ins that are damaged in every way, and the real ones if there."""

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torchvision
from helpers.cases import one_sentence

from robustdl_lib import cli, files, paths
from robustdl_lib.data import cifar, downloads
from robustdl_lib.data.downloads import DamagedData
from robustdl_lib.data.noise import cifar_n
from robustdl_lib.registry import DATASETS

PAGE = b"<!DOCTYPE html>\n<html>No such file. Log in.</html>"
BATCHES = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
LABELS = {"cifar10": b"labels", "cifar100": b"fine_labels"}
REAL = pytest.mark.skipif(
    not all((paths.data() / folder).is_dir() for folder in BATCHES.values()),
    reason="no CIFAR-10 and CIFAR-100 in the data root: set ROBUSTDL_DATA",
)


def batch(dataset: str, seed: int, count: int) -> dict[bytes, object]:
    drawn = np.random.default_rng(seed)
    data = drawn.integers(0, 256, (count, 3072), dtype=np.uint8)
    classes = 10 if dataset == "cifar10" else 100
    return {b"data": data, LABELS[dataset]: drawn.integers(0, classes, count).tolist(), b"batch_label": b"stand-in"}


def write(place: Path, dataset: str) -> None:
    """Write a stand-in for a data set: 10 images in the pool and 4 to test, in files of the official names."""
    names = [name for name in cifar.FILES[place.name] if "meta" not in name]
    place.mkdir(parents=True)
    for seed, name in enumerate(names):
        count = 4 if "test" in name else 10 // (len(names) - 1)
        (place / name).write_bytes(pickle.dumps(batch(dataset, seed, count)))
    words = [f"class {index}".encode() for index in range(10 if dataset == "cifar10" else 100)]
    meta, key = ("batches.meta", b"label_names") if dataset == "cifar10" else ("meta", b"fine_label_names")
    (place / meta).write_bytes(pickle.dumps({key: words}))


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the archives of two stand-ins, which pass for the official ones; the data root is empty."""
    monkeypatch.setattr(cifar, "POOL", 10)
    monkeypatch.setattr(cifar, "TEST", 4)
    monkeypatch.setenv("ROBUSTDL_DATA", str(tmp_path / "data"))
    monkeypatch.delenv(downloads.MIRRORS, raising=False)
    place, files, archives = tmp_path / "origin", {}, {}
    for dataset, name in BATCHES.items():
        write(place / name, dataset)
        files[name] = {file: downloads.md5_of(place / name / file) for file in cifar.FILES[name]}
        archive = cifar.ARCHIVES[dataset][1]
        with tarfile.open(place / archive, "w:gz") as tar:
            tar.add(place / name, name)
        archives[dataset] = (name, archive, downloads.md5_of(place / archive))
    monkeypatch.setattr(cifar, "FILES", files)
    monkeypatch.setattr(cifar, "ARCHIVES", archives)
    return place


@pytest.fixture
def root(origin: Path) -> Path:
    """Return a data root with both stand-ins."""
    for name in BATCHES.values():
        shutil.copytree(origin / name, paths.data() / name)
    return paths.data()


@pytest.fixture
def mirror(origin: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the archives, in place of the official address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(origin)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{server.server_address[1]}/"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(cifar, "OFFICIAL", base)
    monkeypatch.setattr(cifar_n, "OFFICIAL", base)
    yield base
    server.shutdown()
    server.server_close()
    thread.join(5)


def left() -> list[str]:
    return sorted(path.name for path in paths.data().iterdir())


@pytest.mark.parametrize("dataset", BATCHES)
@pytest.mark.usefixtures("root")
def test_the_files_become_a_source_in_their_order(dataset: str) -> None:
    source = DATASETS[dataset]()
    names = [name for name in cifar.FILES[BATCHES[dataset]] if "meta" not in name]
    parts = [batch(dataset, seed, 4 if "test" in name else 10 // (len(names) - 1)) for seed, name in enumerate(names)]
    assert np.array_equal(source.images.reshape(14, -1), np.concatenate([part[b"data"] for part in parts]))
    assert source.labels.tolist() == [label for part in parts for label in part[LABELS[dataset]]]
    assert source.pool.tolist() == list(range(10))
    assert source.test.tolist() == [10, 11, 12, 13]
    assert source.classes[:2] == ("class 0", "class 1")
    assert source.mean == pytest.approx(source.images[:10].mean(axis=(0, 2, 3)) / 255)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def web_page(path: Path) -> None:
    path.write_bytes(PAGE)


def empty(path: Path) -> None:
    path.write_bytes(b"")


class Bomb:
    """What makes a file when it is unpickled."""

    def __init__(self, reached: Path) -> None:
        self.reached = reached

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.reached,)


def bomb(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb(path.parent.parent / "reached")))


@pytest.mark.parametrize("damage", [cut, flip, web_page, empty, bomb])
@pytest.mark.parametrize("file", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_damaged_file_is_refused_with_both_checksums_and_never_unpickled(
    root: Path, file: str, damage: Callable[[Path], None]
) -> None:
    path = root / "cifar-10-batches-py" / file
    damage(path)
    with pytest.raises(DamagedData) as refusal:
        cifar.cifar10()
    found, size = downloads.md5_of(path), f"{path.stat().st_size:,} bytes"
    expected = cifar.FILES["cifar-10-batches-py"][file]
    one_sentence(refusal.value, str(path), expected, found, size, "download cifar10")
    assert ("a web page" in str(refusal.value)) is (damage is web_page)
    assert not (root / "reached").exists()
    assert not paths.results().exists()  # nothing is cached


@pytest.mark.parametrize("dataset", BATCHES)
def test_a_missing_file_is_refused_with_the_command_that_fetches_it(root: Path, dataset: str) -> None:
    gone = root / BATCHES[dataset] / next(iter(cifar.FILES[BATCHES[dataset]]))
    gone.unlink()
    with pytest.raises(DamagedData) as refusal:
        DATASETS[dataset]()
    one_sentence(refusal.value, str(gone), f"python -m robustdl_lib download {dataset}", "ROBUSTDL_DATA")


def test_loading_needs_no_writing(root: Path) -> None:
    for path in [*root.rglob("*"), root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        before = {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]}
        cifar.cifar10()
        assert {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]} == before
    finally:
        for path in [root, *root.rglob("*")]:
            path.chmod(0o755)


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize("dataset", BATCHES)
def test_a_download_brings_the_files_and_nothing_else(dataset: str) -> None:
    assert cifar.download(dataset) == paths.data() / BATCHES[dataset]
    assert left() == [BATCHES[dataset]]
    assert len(DATASETS[dataset]().images) == 14


def test_what_is_whole_is_not_fetched_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "fetch", None)
    monkeypatch.setattr(files, "require_writable", None)
    assert cifar.download("cifar10") == root / "cifar-10-batches-py"


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize("damage", [cut, flip, web_page, empty, Path.unlink])
def test_a_download_mends_a_damaged_file(root: Path, damage: Callable[[Path], None]) -> None:
    damage(root / "cifar-10-batches-py" / "data_batch_2")
    cifar.download("cifar10")
    assert len(cifar.cifar10().images) == 14
    assert left() == sorted(BATCHES.values())


def test_an_archive_in_the_data_root_is_used_and_stays(origin: Path) -> None:
    paths.data().mkdir()
    archive = cifar.ARCHIVES["cifar10"][1]
    shutil.copy(origin / archive, paths.data())
    cifar.download("cifar10")
    assert left() == ["cifar-10-batches-py", archive]


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize("damage", [cut, flip, web_page, empty, Path.unlink])
def test_an_archive_that_is_not_the_official_one_is_refused(origin: Path, damage: Callable[[Path], None]) -> None:
    damage(origin / cifar.ARCHIVES["cifar10"][1])
    with pytest.raises(downloads.DownloadFailed) as refusal:
        cifar.download("cifar10")
    one_sentence(refusal.value, cifar.OFFICIAL, cifar.ARCHIVES["cifar10"][2], downloads.MIRRORS, str(paths.data()))
    assert left() == []


def test_a_mirror_is_tried_first(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "OFFICIAL", "http://127.0.0.1:9/")
    monkeypatch.setenv(downloads.MIRRORS, f"{mirror}nowhere {mirror}")
    with pytest.warns(UserWarning, match="nowhere/cifar-10-python.tar.gz answered 404"):
        cifar.download("cifar10")
    assert left() == ["cifar-10-batches-py"]


def test_a_data_root_that_cannot_be_written_is_refused_before_any_work(
    origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (origin / "file").write_bytes(b"")
    monkeypatch.setenv("ROBUSTDL_DATA", str(origin / "file"))
    monkeypatch.setattr(downloads, "fetch", None)
    for fetch in (partial(cifar.download, "cifar10"), cifar_n.download):
        with pytest.raises(OSError, match="cannot write to") as refusal:
            fetch()
        one_sentence(refusal.value, str(origin / "file"))


@pytest.mark.usefixtures("origin")
def test_a_data_root_without_room_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "fetch", None)
    monkeypatch.setattr(cifar, "NEEDED_BYTES", 2**62)
    with pytest.raises(OSError, match="too little space") as refusal:
        cifar.download("cifar10")
    one_sentence(refusal.value, str(paths.data()), "are needed")


@pytest.mark.usefixtures("mirror")
def test_the_command_fetches_what_it_is_asked_for(
    origin: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_ins = {}
    for name, known in cifar_n.FILES.items():
        (origin / known.file).write_bytes(name.encode())
        md5 = hashlib.md5(name.encode()).hexdigest()
        stand_ins[name] = cifar_n.LabelFile(known.file, md5, known.count, known.classes, known.names)
    monkeypatch.setattr(cifar_n, "FILES", stand_ins)
    monkeypatch.setattr(sys, "argv", ["robustdl_lib", "download", "cifar10", "cifar-n"])
    cli.main()
    assert capsys.readouterr().out.count(str(paths.data())) == 2
    assert left() == ["cifar-10-batches-py", "cifar-n"]
    assert sorted(path.name for path in (paths.data() / "cifar-n").iterdir()) == [
        "CIFAR-100_human.pt",
        "CIFAR-10_human.pt",
    ]


@pytest.mark.parametrize(("dataset", "known"), [("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")])
def test_the_checksums_are_those_of_torchvision(dataset: str, known: str) -> None:
    theirs = getattr(torchvision.datasets, known)
    folder, archive, md5 = cifar.ARCHIVES[dataset]
    assert (folder, archive, md5) == (theirs.base_folder, theirs.filename, theirs.tgz_md5)
    assert theirs.url == cifar.OFFICIAL + archive
    sums = dict([*theirs.train_list, *theirs.test_list, (theirs.meta["filename"], theirs.meta["md5"])])
    assert cifar.FILES[folder] == sums


@REAL
@pytest.mark.parametrize(("dataset", "known"), [("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")])
def test_the_real_data_are_what_torchvision_reads(dataset: str, known: str) -> None:
    source = DATASETS[dataset]()
    start = 0
    for train in (True, False):
        theirs = getattr(torchvision.datasets, known)(str(paths.data()), train=train, download=False)
        part = slice(start, start + len(theirs.data))
        assert np.array_equal(source.images[part].transpose(0, 2, 3, 1), theirs.data)
        assert source.labels[part].tolist() == theirs.targets
        assert source.classes == tuple(theirs.classes)
        start = part.stop


MEASURE = """
import time
from robustdl_lib import data, RunConfig

def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

before, seconds, busy = peak(), [], []
for _ in range(3):
    start, worked = time.perf_counter(), time.process_time()
    data.load(RunConfig(dataset="cifar10", noise="symmetric:0.4"))
    seconds.append(time.perf_counter() - start)
    busy.append(time.process_time() - worked)
print(peak() - before, min(seconds), max(busy))
"""


@REAL
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="no /proc, which says how much memory was taken")
@pytest.mark.slow
def test_real_data_load_in_three_seconds_and_600_megabytes() -> None:
    said = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, timeout=300)
    megabytes, seconds, busy = map(float, said.stdout.split())
    assert 100 < megabytes < 600  # beyond what the imports take; the pixels alone are 176
    assert busy < 3
    if os.getloadavg()[0] <= (os.cpu_count() or 1):  # where others work too, a clock measures them
        assert seconds < 3
