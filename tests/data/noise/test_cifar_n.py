"""Human labels: the published file and nothing else is read, in the order of the data set it labels."""

import hashlib
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.cases import one_sentence

from robustdl_lib import noise, paths
from robustdl_lib.data.noise import cifar_n
from robustdl_lib.registry import NOISES, SpecError

COUNT = 60
KEYS = ("worse_label", "aggre_label", "random_label1", "random_label2", "random_label3")
REAL = pytest.mark.skipif(
    not (paths.data() / cifar_n.FOLDER / cifar_n.FILES["cifar10"].file).is_file(),
    reason="no CIFAR-N under the data root: set ROBUSTDL_DATA",
)
ROOT = paths.data()


def arrays(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {key: rng.integers(0, 10, COUNT) for key in ("clean_label", *KEYS)}


def write(path: Path, content: object) -> str:
    """Write ``content`` as the official files are laid out, and return the file's md5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
        archive.writestr("archive/version", "3\n")
    return hashlib.md5(path.read_bytes()).hexdigest()


def publish(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: object) -> Path:
    """Put ``content`` in the place of CIFAR-10N and its checksum in the place of the published one."""
    monkeypatch.setenv("ROBUSTDL_DATA", str(tmp_path))
    path = tmp_path / cifar_n.FOLDER / cifar_n.FILES["cifar10"].file
    known = cifar_n.FILES["cifar10"]
    changed = cifar_n.LabelFile(known.file, write(path, content), COUNT, 10, known.names)
    monkeypatch.setitem(cifar_n.FILES, "cifar10", changed)
    return path


def test_every_label_set_comes_back_as_it_was_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = arrays()
    publish(monkeypatch, tmp_path, written)
    for name, key in cifar_n.FILES["cifar10"].names.items():
        found = cifar_n.labels("cifar10", name, clean=written["clean_label"])
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, written[key])


def test_five_sets_of_cifar10_and_one_of_cifar100() -> None:
    assert list(cifar_n.FILES["cifar10"].names) == ["worst", "aggregate", "random1", "random2", "random3"]
    assert list(cifar_n.FILES["cifar100"].names) == ["fine"]
    assert str(NOISES.parse("human:noisy")) == str(NOISES.parse("human:fine")) == "human:fine"


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html><body>404</body></html>", b"PK\x03\x04 cut short"])
def test_a_file_that_is_not_the_published_one_is_refused_with_both_checksums(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    path = publish(monkeypatch, tmp_path, arrays())
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not the official file") as caught:
        cifar_n.labels("cifar10", "worst")
    found = hashlib.md5(content).hexdigest()
    one_sentence(caught.value, cifar_n.FILES["cifar10"].md5, found, f"{len(content)} bytes")


def test_a_flipped_byte_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = publish(monkeypatch, tmp_path, arrays())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"MD5 .* expected, .* found"):
        cifar_n.labels("cifar10", "worst")


class Runs:
    """A pickle that runs a command when it is trusted."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("nested", [False, True])
def test_a_pickle_that_would_run_a_command_is_refused_and_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nested: bool
) -> None:
    """Even one whose checksum is right."""
    mark = tmp_path / "run"
    path = publish(monkeypatch, tmp_path, {**arrays(), "worse_label": Runs(mark)} if nested else Runs(mark))
    with pytest.raises(ValueError, match="is not read") as caught:
        cifar_n.labels("cifar10", "worst")
    one_sentence(caught.value, path.name, "system")
    assert not mark.exists()


def test_a_missing_file_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ROBUSTDL_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        cifar_n.labels("cifar100", "fine")
    one_sentence(caught.value, "CIFAR-100_human.pt cannot be read", cifar_n.ORIGIN, cifar_n.FILES["cifar100"].md5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"worse_label": np.zeros(COUNT - 1, np.int64)}, ["worse_label", "60 integers", f"({COUNT - 1},)"]),
        ({"worse_label": np.full(COUNT, 10)}, ["from 0 to 9", "10 to 10"]),
        ({"worse_label": np.full(COUNT, -1)}, ["from 0 to 9", "-1 to -1"]),
        ({"clean_label": [0] * COUNT}, ["clean_label", "found list"]),
        ({"random_label2": None}, ["random_label2", "NoneType"]),
    ],
)
def test_arrays_of_another_shape_or_range_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    publish(monkeypatch, tmp_path, {**arrays(), **changes})
    with pytest.raises(ValueError, match="must be") as caught:
        cifar_n.labels("cifar10", "worst")
    one_sentence(caught.value, *words)


def test_labels_in_another_order_than_the_data_sets_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = arrays()
    publish(monkeypatch, tmp_path, written)
    other = written["clean_label"][::-1]
    differ = f"{int((other != written['clean_label']).sum())} of {COUNT} differ"
    with pytest.raises(ValueError, match="own order") as caught:
        cifar_n.labels("cifar10", "worst", clean=other)
    one_sentence(caught.value, "cifar10", differ)
    with pytest.raises(ValueError, match="own order"):
        cifar_n.Rows("cifar10", np.arange(COUNT), other)["worst"]


def test_rows_are_read_for_the_examples_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = arrays()
    publish(monkeypatch, tmp_path, written)
    rows = np.array([40, 3, 17])
    known = cifar_n.Rows("cifar10", rows, written["clean_label"][rows])
    assert list(known) == list(cifar_n.FILES["cifar10"].names)
    assert len(known) == 5
    found = noise.corrupt(written["clean_label"][rows], "human:aggregate", num_classes=10, human=known)
    np.testing.assert_array_equal(found.labels.numpy(), written["aggre_label"][rows])
    with pytest.raises(ValueError, match="rows 0 to 59"):
        cifar_n.Rows("cifar10", rows + 40, written["clean_label"][rows])["worst"]


def test_the_whole_training_set_is_known_by_its_labels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = arrays()
    publish(monkeypatch, tmp_path, written)
    found = noise.corrupt(written["clean_label"], "human:worst", num_classes=10)
    np.testing.assert_array_equal(found.labels.numpy(), written["worse_label"])
    with pytest.raises(SpecError) as caught:
        noise.corrupt(written["clean_label"][1:], "human:worst", num_classes=10)
    one_sentence(caught.value, f"{COUNT - 1} labels", "cifar10 (worst,", "cifar100 (fine)")


@pytest.mark.parametrize(
    ("spec", "known", "words"),
    [
        ("human:fine", {"worst": np.zeros(3, np.int64)}, ["'human:fine'", "there is worst"]),
        ("human:worst", {}, ["it has none"]),
        ("human:best", {}, ["'best'", "'worst'"]),
    ],
)
def test_a_label_set_that_is_not_there_is_refused(spec: str, known: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        noise.corrupt([0, 1, 2], spec, num_classes=10, human=known)
    one_sentence(caught.value, *words)


@pytest.mark.parametrize(("dataset", "name"), [("digits", "worst"), ("cifar10", "fine"), ("cifar100", "worst")])
def test_a_data_set_or_name_without_human_labels_is_refused(dataset: str, name: str) -> None:
    with pytest.raises(SpecError) as caught:
        cifar_n.labels(dataset, name)
    one_sentence(caught.value, dataset, "there")


@REAL
@pytest.mark.parametrize(
    ("dataset", "name", "rate"),
    [
        ("cifar10", "aggregate", 0.090),
        ("cifar10", "random1", 0.172),
        ("cifar10", "random2", 0.181),
        ("cifar10", "random3", 0.176),
        ("cifar10", "worst", 0.402),
        ("cifar100", "fine", 0.402),
    ],
)
def test_the_published_error_rates_of_the_real_labels(
    monkeypatch: pytest.MonkeyPatch, dataset: str, name: str, rate: float
) -> None:
    """Source: Wei et al. 2022, to a tenth of a percent."""
    monkeypatch.setenv("ROBUSTDL_DATA", str(ROOT))
    clean = cifar_n.read(dataset)[cifar_n.CLEAN]
    found = noise.corrupt(clean, f"human:{name}", num_classes=cifar_n.FILES[dataset].classes)
    assert found.rate == pytest.approx(rate, abs=5e-4)
