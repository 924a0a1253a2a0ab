"""An audit from the folder to the page: what is found, what is written and where, and what is refused before work."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from helpers.cases import one_sentence
from PIL import Image
from sklearn.datasets import load_digits

from robustdl_lib import cli
from robustdl_lib.audit import audit, suspects
from robustdl_lib.audit.page import AMBIGUOUS, OUTLIER, TWIN, WRONG
from robustdl_lib.config import ConfigError, RunConfig
from robustdl_lib.training import cross_validation

Silent: Callable[[str], None] = lambda line: None  # noqa: E731


def digit_folder(root: Path, per_class: int = 6, classes: int = 3) -> Path:
    """Write a folder of PNGs of digits, a subfolder a class: zero/0.png and so on."""
    raw = load_digits()
    for label, name in enumerate(("zero", "one", "two", "three")[:classes]):
        (root / name).mkdir(parents=True)
        for number, row in enumerate(np.flatnonzero(raw.target == label)[:per_class]):
            Image.fromarray((raw.images[row] * 15.9).astype(np.uint8)).save(root / name / f"{number}.png")
    return root


def swap(root: Path, first: str, second: str) -> None:
    """Exchange two files: both then lie in a wrong class."""
    a, b = (root / first).read_bytes(), (root / second).read_bytes()
    (root / first).write_bytes(b)
    (root / second).write_bytes(a)


def contents(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put an honest learner in place of the trainings: it knows the truth, and is unsure a little."""

    def learn(truth: dict[str, str] | None = None) -> None:
        def cross(cfg: RunConfig, loaded: Any, parts: int, on_epoch: Any = None) -> Any:
            labels, classes = loaded.train.clean_labels.numpy().copy(), list(loaded.classes)
            names = learn.names  # type: ignore[attr-defined]
            for name, true in (truth or {}).items():
                labels[names.index(name)] = classes.index(true)
            logits = np.random.default_rng(0).normal(scale=0.3, size=(len(labels), len(classes)))
            logits[np.arange(len(labels)), labels] += 5
            probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            given = suspects.given(probs, loaded.train.labels.numpy())
            for fold in range(1, parts + 1):
                on_epoch(fold, {"epoch": cfg.epochs, "progress": 1.0, "val_acc": 0.9})
            return probs, cross_validation.Watched(np.stack([given, given]), probs)

        monkeypatch.setattr(cross_validation, "cross", cross)
        load = audit.data.load_source
        monkeypatch.setattr(audit.data, "load_source", lambda spec: _named(learn, load(spec)))

    return learn


def _named(learn: Any, source: Any) -> Any:
    learn.names = list(source.files)
    return source


def test_swapped_labels_are_found_suggested_and_written(tmp_path: Path, oracle: Any) -> None:
    root = digit_folder(tmp_path / "photos")
    swap(root, "zero/2.png", "one/4.png")
    before = contents(root)
    oracle({"zero/2.png": "one", "one/4.png": "zero"})
    lines: list[str] = []
    found = audit.run(f"folder:path={root}", into=tmp_path / "report", say=lines.append)
    assert contents(root) == before
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == sorted(audit.FILES)
    table = pd.read_csv(tmp_path / "report" / "suspects.csv", keep_default_na=False)
    assert table["rank"].tolist() == list(range(1, 19))
    assert set(table["file"][:2]) == {"zero/2.png", "one/4.png"}
    wrong = table[audit.flags_of(table, WRONG)]
    assert set(zip(wrong["file"], wrong["given"], wrong["suggested"], strict=True)) == {
        ("zero/2.png", "zero", "one"),
        ("one/4.png", "one", "zero"),
    }
    assert table["mean_p_y"].is_monotonic_increasing
    page = (tmp_path / "report" / "audit.html").read_text()
    assert "Of 18 images, 2 labels are likely wrong." in page
    assert "Audit of photos" in page
    assert lines[-1].endswith("audit.html")
    assert found.folder == tmp_path / "report"


def test_the_record_names_the_configuration_and_the_checksum_of_the_rows(tmp_path: Path, oracle: Any) -> None:
    oracle()
    found = audit.run(f"folder:path={digit_folder(tmp_path / 'photos')}", seed=3, say=Silent)
    record = json.loads((found.folder / "audit.json").read_text())
    assert record["sha256"] == hashlib.sha256((found.folder / "suspects.csv").read_bytes()).hexdigest()
    assert record["config"]["seed"] == 3
    assert record["counts"]["examples"] == 18
    assert found.folder.parent.name == "audits"
    assert found.folder.name == "photos"


def test_an_audit_written_twice_is_the_same_bytes(tmp_path: Path, oracle: Any) -> None:
    oracle()
    root = digit_folder(tmp_path / "photos")
    kept = []
    for _ in range(2):
        found = audit.run(f"folder:path={root}", say=Silent)
        kept.append([(found.folder / name).read_bytes() for name in audit.FILES[:2]])
    assert kept[0] == kept[1]


def test_a_few_images_are_really_trained_on(tmp_path: Path) -> None:
    root, lines = digit_folder(tmp_path / "photos", per_class=3, classes=2), []
    found = audit.run(f"folder:path={root},size=8", model="resnet8", epochs=2, say=lines.append)
    assert lines[0] == "6 images of 2 classes; 3 trainings of 2 epochs"
    assert sum(line.startswith("training") for line in lines) >= 3
    assert found.table["p_y"].between(0, 1).all()
    assert len(found.table) == 6


def test_labels_that_were_corrupted_on_purpose_are_judged(oracle: Any) -> None:
    oracle()
    lines: list[str] = []
    found = audit.run("digits", noise="symmetric:0.1", say=lines.append)
    assert found.quality["precision"] > 0.95
    assert found.quality["recall"] > 0.95
    assert found.quality["corrected"] > 0.95
    assert "The truth is known here" in lines[-1]
    assert "The truth is known here" in (found.folder / "audit.html").read_text()
    wrong = found.table["true"] != found.table["given"]
    assert wrong.sum() == found.quality["wrong"]
    assert json.loads((found.folder / "audit.json").read_text())["quality"]["acted"] == found.quality["acted"]


def test_a_file_that_is_no_image_is_named_and_left_out_when_asked(tmp_path: Path, oracle: Any) -> None:
    oracle()
    root = digit_folder(tmp_path / "photos")
    (root / "one" / "broken.png").write_text("this is no image")
    with pytest.raises(ValueError, match=r"broken\.png") as refusal:
        audit.run(f"folder:path={root}", say=Silent)
    one_sentence(refusal.value, "skip")
    with pytest.warns(UserWarning, match=r"broken\.png"):
        found = audit.run(f"folder:path={root},unreadable=skip", say=Silent)
    assert len(found.table) == 18
    assert "broken.png" in (found.folder / "audit.html").read_text()


def test_a_copy_in_another_class_is_a_near_duplicate_with_its_label(tmp_path: Path, oracle: Any) -> None:
    oracle()
    root = digit_folder(tmp_path / "photos")
    (root / "one" / "copy.png").write_bytes((root / "zero" / "1.png").read_bytes())
    table = audit.run(f"folder:path={root}", say=Silent).table.set_index("file")
    assert table["twin"]["one/copy.png"] == "zero/1.png, given zero"
    assert table["twin"]["zero/1.png"] == "one/copy.png, given one"
    assert TWIN in table["flags"]["zero/1.png"]


@pytest.mark.parametrize(
    ("probs", "flags"),
    [
        ([0.9, 0.05, 0.05, 0.0], ""),
        ([0.05, 0.9, 0.05, 0.0], WRONG),
        ([0.5, 0.45, 0.05, 0.0], AMBIGUOUS),
        ([0.3, 0.25, 0.25, 0.2], OUTLIER),
        ([0.2, 0.3, 0.25, 0.25], f"{WRONG}; {OUTLIER}"),
        ([0.45, 0.46, 0.09, 0.0], f"{WRONG}; {AMBIGUOUS}"),
    ],
)
def test_flags_by_hand(digits: Any, probs: list[float], flags: str) -> None:
    two = np.array([0, 1])
    few = replace(
        digits,
        train=cross_validation.relabel(cross_validation.take(digits.train, two), np.array([0, 1])),
        num_classes=4,
    )
    few = replace(few, classes=("a", "b", "c", "d"))
    said = np.array([probs, [0.0, 1.0, 0.0, 0.0]])
    watched = cross_validation.Watched(suspects.given(said, np.array([0, 1]))[None], said)
    table = audit.examine(few, ["x", "y"], said, watched).set_index("file")
    assert table["flags"]["x"] == flags
    assert table["flags"]["y"] == ""


def test_the_networks_must_agree_before_a_label_is_called_wrong(digits: Any) -> None:
    few = cross_validation.relabel(cross_validation.take(digits.train, np.array([0, 1])), np.array([0, 1]))
    few = replace(digits, train=few, num_classes=2, classes=("a", "b"))
    over_time = np.array([[0.3, 0.7], [0.3, 0.7]])
    watched = cross_validation.Watched(np.array([[0.3, 0.7]]), over_time)
    table = audit.examine(few, ["x", "y"], np.array([[0.9, 0.1], [0.1, 0.9]]), watched)
    assert not audit.flags_of(table, WRONG).any()


def test_the_page_shows_the_first_of_each_kind() -> None:
    table = pd.DataFrame({"flags": [WRONG] * 6 + [OUTLIER] * 5 + [""] * 30})
    assert audit.to_show(table, 4) == [0, 1, 2, 3, 6]
    assert audit.to_show(table, 100) == list(range(11))
    assert audit.to_show(table.assign(flags=""), 200) == list(range(12))
    assert audit.to_show(table.assign(flags=""), 5) == list(range(5))


def test_the_training_fits_the_number_of_images() -> None:
    cfg = RunConfig(dataset="digits")
    assert audit.fitted(cfg, 1437, 5).batch_size == 114
    assert audit.fitted(cfg, 50_000, 5).batch_size == 128
    assert audit.fitted(cfg, 50_000, 5).epochs == 10
    small = audit.fitted(cfg, 20, 2)
    assert (small.batch_size, small.epochs) == (4, 60)
    assert small.lr < cfg.lr
    assert audit.fitted(cfg, 20, 2, epochs=7).epochs == 7


def test_a_report_never_lies_inside_the_audited_folder_nor_beside_other_files(tmp_path: Path) -> None:
    root = digit_folder(tmp_path / "photos")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("")
    for into, words in {
        root: "inside the audited",
        root / "zero" / "report": "inside the audited",
        root / ".." / "photos" / "new": "inside the audited",
        tmp_path / "taken": "thesis.txt",
        tmp_path / "file": "is a file",
    }.items():
        before = contents(tmp_path)
        with pytest.raises(ConfigError, match=words) as refusal:
            audit.run(f"folder:path={root}", into=into, say=Silent)
        one_sentence(refusal.value)
        assert contents(tmp_path) == before
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(ConfigError, match="inside the audited"):
        audit.run(f"folder:path={root}", into=tmp_path / "link" / "report", say=Silent)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"top": 0}, "top = 0"),
        ({"folds": 7}, "6 labelled"),
        ({"folds": 1}, "2 folds or more"),
        ({"method": "gse"}, "gce"),
        ({"model": "resnet9"}, "resnet"),
        ({"noise": "symmetric:1.2"}, "rate"),
        ({"epochs": 0}, "epochs"),
        ({"noise": "missing:0.5"}, "without one"),
    ],
)
def test_what_cannot_be_audited_is_refused_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], words: str
) -> None:
    root = digit_folder(tmp_path / "photos")
    monkeypatch.setattr(cross_validation, "fit", lambda *_: pytest.fail("trained"))
    with pytest.raises(ValueError, match=words) as refusal:
        audit.run(f"folder:path={root}", into=tmp_path / "report", **{"say": Silent, **options})
    one_sentence(refusal.value)
    assert not (tmp_path / "report").exists()


def test_half_of_a_data_set_can_be_looked_at(oracle: Any) -> None:
    oracle()
    assert len(audit.run("digits", examples=300, say=Silent).table) == 300


def test_the_command_prints_plain_lines_and_where_the_page_is(tmp_path: Path, oracle: Any) -> None:
    oracle()
    root = digit_folder(tmp_path / "photos")
    done = CliRunner().invoke(
        cli.app, ["audit", f"folder:path={root}", "--into", str(tmp_path / "out"), "--folds", "2"]
    )
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "18 images of 3 classes; 2 trainings of 60 epochs"
    assert lines[-1] == str(tmp_path / "out" / "audit.html")
    assert "\r" not in done.output
    assert (tmp_path / "out" / "suspects.csv").read_text().startswith("rank,row,file,given,suggested,p_y,mean_p_y")


def test_a_csv_of_files_is_audited_with_pictures_of_the_files(tmp_path: Path, oracle: Any) -> None:
    root = digit_folder(tmp_path / "photos")
    files = sorted(str(path.relative_to(tmp_path)) for path in root.rglob("*.png"))
    words = ["file,label", *(f"{name},{name.split('/')[1]}" for name in files)]
    (tmp_path / "labels.csv").write_text("\n".join(words))
    oracle({"photos/zero/0.png": "two"})
    found = audit.run(f"csv:path={tmp_path / 'labels.csv'}", into=tmp_path / "report", say=Silent)
    assert found.table["file"][0] == "photos/zero/0.png"
    page = (found.folder / "audit.html").read_text()
    assert base64.b64encode(audit.audit_page.thumbnail(root / "zero" / "0.png")).decode() in page


def test_networks_that_know_little_are_not_to_be_trusted(tmp_path: Path, oracle: Any) -> None:
    root = digit_folder(tmp_path / "photos", classes=2)
    lines: list[str] = []
    for wrong, said in ((4, False), (7, True)):
        names = [f"{name}/{number}.png" for number in range(6) for name in ("zero", "one")][:wrong]
        oracle({name: "one" if name.startswith("zero") else "zero" for name in names})
        found = audit.run(f"folder:path={root}", say=lines.append)
        assert ("the flags mean little" in lines[-1]) == said
        assert ("the flags mean little" in (found.folder / "audit.html").read_text()) == said


def test_evil_names_of_folders_do_no_harm(tmp_path: Path, oracle: Any) -> None:
    root = digit_folder(tmp_path / "photos")
    (root / "one").rename(root / "<script>alert(1)<")
    (root / "zero" / "1.png").rename(root / "zero" / "{{cards}}'\"<img src=x>.png")
    oracle({"zero/{{cards}}'\"<img src=x>.png": "two"})
    found = audit.run(f"folder:path={root}", say=Silent)
    page = (found.folder / "audit.html").read_text()
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    assert "{{cards}}&#39;&#34;&lt;img src=x&gt;.png" in page
    assert "<script>alert(1)<" in set(found.table["given"])
