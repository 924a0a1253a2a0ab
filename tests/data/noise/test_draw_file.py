"""A noise draw that is handed on says what it is, in arrays and in words, and is always the same file."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.cases import one_sentence

from robustdl_lib import noise
from robustdl_lib.data.noise import draw_file
from robustdl_lib.registry import NOISES

LABELS = np.arange(3000) % 3
WORDS = {"dataset": "digits", "spec": "symmetric:0.40", "seed": 5}


def drawn(spec: str = "symmetric:0.4", seed: int = 5) -> noise.NoisyLabels:
    return noise.corrupt(LABELS, spec, num_classes=3, seed=seed)


def test_the_arrays_and_the_words_are_those_of_the_draw(tmp_path: Path) -> None:
    found = drawn()
    path = draw_file.keep(tmp_path / "noise" / "draw.npz", found, **WORDS)
    with np.load(path, allow_pickle=False) as kept:
        for name in ("labels", "clean", "transition", "kind"):
            np.testing.assert_array_equal(kept[name], getattr(found, name).numpy())
        texts = {name: str(kept[name]) for name in ("dataset", "noise", "convention", "seed", "sha256")}
        assert float(kept["rate"]) == found.rate
    assert texts["noise"] == "symmetric:0.4"
    assert texts["convention"] == "symmetric: DM and ProSelfLC: the C - 1 other classes"
    assert (texts["dataset"], texts["seed"]) == ("digits", "5")
    assert texts["sha256"] == draw_file.sha256(found.labels)


def test_the_record_says_what_was_asked_and_what_came_out(tmp_path: Path) -> None:
    found = drawn()
    path = draw_file.keep(tmp_path / "draw.npz", found, **WORDS)
    text = path.with_suffix(".json").read_text()
    record = json.loads(text)
    assert record["asked"] == {"rate": 0.4, "matrix": [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]]}
    assert record["realised"]["rate"] == round(found.rate, 6)
    np.testing.assert_allclose(record["realised"]["matrix"], found.transition.numpy(), rtol=0, atol=5e-7)
    assert record["kinds"] == {"ordinary": 3000, "out_of_distribution": 0, "ambiguous": 0}
    assert (record["examples"], record["missing"]) == (3000, 0)
    assert "\n   [0.6, 0.2, 0.2],\n" in text  # a row on a line


def test_the_asked_rate_is_that_of_wrong_labels_among_these_true_ones() -> None:
    asymmetric = noise.corrupt([2, 2, 2, 0], "asymmetric:0.4", num_classes=10)
    missing = noise.corrupt(LABELS, "missing:0.4", num_classes=3)
    said = [
        draw_file.record(found, dataset="digits", spec=spec, seed=0)
        for found, spec in ((asymmetric, "asymmetric:0.4"), (missing, "missing:0.4"))
    ]
    assert [record["asked"]["rate"] for record in said] == [0.3, 0.0]
    assert said[1]["missing"] == int((missing.labels == -1).sum()) > 0


def test_a_noise_without_a_matrix_says_its_own_rate_or_none() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3000, 1, 2, 2), dtype=np.uint8)
    found = noise.corrupt(LABELS, "instance:0.4", num_classes=3, images=images)
    record = draw_file.record(found, dataset="digits", spec="instance:0.4", seed=0)
    assert record["asked"] == {"rate": 0.4, "matrix": None}
    people = noise.corrupt(LABELS, "human:worst", num_classes=3, human={"worst": LABELS[::-1].copy()})
    record = draw_file.record(people, dataset="cifar10", spec="human:worst", seed=0)
    assert record["asked"] == {"rate": None, "matrix": None}


def test_the_same_draw_is_the_same_bytes_at_another_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = draw_file.keep(tmp_path / "one.npz", drawn(), **WORDS)
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    other = draw_file.keep(tmp_path / "other.npz", drawn(), **WORDS)
    assert one.read_bytes() == other.read_bytes()
    assert one.with_suffix(".json").read_bytes() == other.with_suffix(".json").read_bytes()


def test_a_file_of_three_arrays_is_accepted_and_gets_its_record(tmp_path: Path) -> None:
    found, path = drawn(), tmp_path / "old.npz"
    arrays = {name: getattr(found, name).numpy() for name in ("labels", "clean", "transition")}
    np.savez_compressed(path, allow_pickle=False, **arrays)
    before = path.read_bytes()
    assert draw_file.keep(path, found, **WORDS) == path
    assert path.read_bytes() == before
    assert json.loads(path.with_suffix(".json").read_text())["sha256"] == draw_file.sha256(found.labels)


@pytest.mark.parametrize("old", [False, True])
def test_another_draw_is_refused_and_left_alone(tmp_path: Path, old: bool) -> None:
    path, found = tmp_path / "draw.npz", drawn()
    if old:
        np.savez_compressed(path, labels=found.labels, clean=found.clean, transition=found.transition)
    else:
        draw_file.keep(path, found, **WORDS)
    before = sorted((file.name, file.read_bytes()) for file in tmp_path.iterdir())
    with pytest.raises(ValueError, match="another draw") as caught:
        draw_file.keep(path, drawn(seed=6), **WORDS)
    one_sentence(caught.value, "draw.npz")
    assert sorted((file.name, file.read_bytes()) for file in tmp_path.iterdir()) == before


def test_a_file_of_something_else_is_another_draw(tmp_path: Path) -> None:
    path = tmp_path / "draw.npz"
    np.savez(path, weights=np.zeros(3))
    with pytest.raises(ValueError, match="another draw"):
        draw_file.keep(path, drawn(), **WORDS)


@pytest.mark.parametrize("keep", [0, 100, -3])
def test_what_cannot_be_read_is_named_and_written_again(tmp_path: Path, keep: int) -> None:
    path = draw_file.keep(tmp_path / "draw.npz", drawn(), **WORDS)
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    with pytest.warns(UserWarning, match="draw.npz"):
        draw_file.keep(path, drawn(), **WORDS)
    assert path.read_bytes() == whole


def test_a_record_that_was_edited_is_written_again(tmp_path: Path) -> None:
    beside = draw_file.keep(tmp_path / "draw.npz", drawn(), **WORDS).with_suffix(".json")
    whole = beside.read_text()
    beside.write_text(whole.replace("0.4", "0.3"))
    draw_file.keep(tmp_path / "draw.npz", drawn(), **WORDS)
    assert beside.read_text() == whole


def test_labels_under_a_licence_are_not_copied_and_their_checksum_is_compared(tmp_path: Path) -> None:
    """What people gave is CIFAR-N's to hand on: the file keeps the matrix and the checksum, not the labels."""
    assert NOISES.entry("human").facts.licence == "CC BY-NC 4.0"
    words = {"dataset": "cifar10", "spec": "human:worst", "seed": 0}
    given, other = LABELS[::-1].copy(), np.roll(LABELS, 1)
    people = [noise.corrupt(LABELS, "human:worst", num_classes=3, human={"worst": each}) for each in (given, other)]
    path = draw_file.keep(tmp_path / "draw.npz", people[0], **words)
    with np.load(path) as kept:
        assert {"labels", "clean"} & set(kept.files) == set()
        assert str(kept["sha256"]) == draw_file.sha256(people[0].labels)
    assert draw_file.keep(path, people[0], **words) == path
    with pytest.raises(ValueError, match="another draw"):
        draw_file.keep(path, people[1], **words)
    assert json.loads(path.with_suffix(".json").read_text())["licence"] == "CC BY-NC 4.0"


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write") as caught:
        draw_file.keep(tmp_path / "file" / "draw.npz", drawn(), **WORDS)
    one_sentence(caught.value, "draw.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
