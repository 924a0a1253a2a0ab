"""The benchmarks: both sides do the same work, counts are right, and every number of the page is one of the rows.

Nothing here asks how long anything took.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cases import one_sentence, smoke

from benchmarks import __main__ as command
from benchmarks import accuracy, chart, gpu, memory, ours, plain, report, roofline, setting, tables, throughput
from robustdl_lib import data as data_file
from robustdl_lib import models, train
from robustdl_lib.config import ConfigError
from robustdl_lib.data import Data, load_source

TINY = setting.budget("tiny")
CELL = TINY.cells[0]


def rates(**values: float) -> pd.DataFrame:
    """Return rows of the comparison on the digits with these values, each from 10 below to 10 above."""
    names = {"ours": throughput.OURS[0], "recorded": throughput.OURS[1], "single": throughput.SINGLE}
    names |= dict(zip(("alone", "helped"), throughput.PLAIN, strict=True))
    where = {"dataset": "digits", "model": "resnet20"}
    return pd.DataFrame(
        [
            setting.row(
                "throughput", throughput.RATE, "1/s", [value - 10, value, value + 10], side=names[name], **where
            )
            for name, value in values.items()
        ]
    )


FIVE = {"ours": 300.0, "recorded": 200.0, "single": 160.0, "alone": 100.0, "helped": 120.0}


def test_the_plain_loop_learns(digits: Data) -> None:
    found = plain.train(smoke(epochs=4), digits)
    assert found.losses[-1] < 0.8 * found.losses[0]
    assert found.accuracies[-1] > found.accuracies[0]
    assert plain.test_accuracy(smoke(), digits, found.model) > 0.3


def test_the_plain_loop_has_the_librarys_images_labels_and_crops(digits: Data) -> None:
    plainly, cropped = (plain.training_loader(smoke(augment=augment), digits, 0).dataset for augment in (False, True))
    images, labels = zip(*(plainly[index] for index in range(len(plainly))), strict=True)
    assert list(labels) == digits.train.labels.tolist()
    assert (digits.train.labels != digits.train.clean_labels).any()
    torch.testing.assert_close(torch.stack(images), digits.train.images)
    torch.manual_seed(0)
    crops = {(tuple(image.flatten().tolist()), label) for image, label in (cropped[0] for _ in range(100))}
    assert len(crops) == (2 * digits.pad + 1) ** 2


def test_the_plain_loop_takes_as_many_steps_and_ends_at_the_same_rate(digits: Data, monkeypatch) -> None:
    made = []
    honest = plain.make_scheduler
    monkeypatch.setattr(plain, "make_scheduler", lambda *given: made.append(honest(*given)) or made[-1])
    plain.train(smoke(epochs=1), digits)
    [scheduler] = made
    monkeypatch.setattr(train, "make_scheduler", lambda *given: made.append(honest(*given)) or made[-1])
    train.fit(smoke(epochs=1), digits)
    assert scheduler.last_epoch == made[1].last_epoch == math.ceil(len(digits.train.rows) / 128)
    assert scheduler.get_last_lr() == made[1].get_last_lr()


def test_the_plain_loop_refuses_another_method(digits: Data) -> None:
    with pytest.raises(ValueError, match="cross entropy") as caught:
        plain.train(smoke(method="gce"), digits)
    one_sentence(caught.value, "gce")


def test_steps_alone_are_the_same_steps(digits: Data) -> None:
    cfg = smoke(epochs=2)
    with ours.steps_alone():
        alone = train.fit(cfg, digits)
    whole = train.fit(cfg, digits)
    assert np.isnan(alone.history["test_acc"]).all()
    assert np.isfinite(whole.history["test_acc"]).all()
    np.testing.assert_array_equal(alone.history["train_loss"], whole.history["train_loss"])


def test_the_clock_tells_inference_from_dynamics() -> None:
    source = load_source("digits")
    alone, whole = (ours.one(CELL.config(), source, everything) for everything in (False, True))
    assert (alone.inference, alone.dynamics) == (0.0, 0.0)
    assert whole.inference > 0
    assert whole.dynamics > 0
    assert whole.inference + whole.dynamics < whole.seconds
    assert alone.images == whole.images == 256


def test_time_inside_counts_once() -> None:
    clock = ours.Clock()
    inner = clock.timed("inner", lambda: sum(range(200_000)))
    outer = clock.timed("outer", lambda: [inner() for _ in range(20)])
    outer()
    assert clock.seconds["outer"] < clock.seconds["inner"]


def test_runs_that_share_a_process_are_timed_like_the_others() -> None:
    source = load_source("digits")
    timed = ours.sharing(CELL.sweep(2), source, 2)
    assert [run.images for run in timed] == [ours.one(CELL.config(), source).images] * 2
    assert train.logits_of.__name__ == "logits_of"
    assert ours.together([ours.Timed(10.0, 14.0, 100), ours.Timed(11.0, 16.0, 100)]) == (200, 6.0)


def test_fewer_training_images_have_a_test_set_in_proportion() -> None:
    cfg = CELL.config()
    found = setting.shortened(cfg, data_file.load(cfg))
    assert len(found.train.rows) == 256
    assert len(found.test.rows) == len(found.test.labels) == round(256 / 1257 * 360)
    whole = setting.Cell("digits", "resnet8", 1257).config()
    assert len(setting.shortened(whole, data_file.load(whole)).test.rows) == 360


def by_hand(batch: int, channels: int, side: int) -> tuple[int, int]:
    """Return what the convolutions of ResNet-8 and its classifier take on one pass, and its first convolution alone."""
    layers = [(channels, 16, side), (16, 16, side), (16, 16, side)]
    layers += [(16, 32, side // 2), (32, 32, side // 2), (32, 64, side // 4), (64, 64, side // 4)]
    products = [2 * batch * 9 * fan * out * size**2 for fan, out, size in layers]
    return sum(products) + 2 * batch * 64 * 10, products[0]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32)])
def test_the_counted_operations_are_those_of_the_convolutions(shape: tuple[int, int, int]) -> None:
    forward, first = by_hand(4, shape[0], shape[1])
    operations, touched = roofline.counted("resnet8", shape, batch=4)
    assert operations == 3 * forward - first  # nobody asks for the derivative with respect to the images
    weights = sum(p.numel() for p in models.resnet(8, 10, shape[0]).parameters())
    assert touched > 4 * 3 * weights


def test_bytes_are_read_once_and_written_once() -> None:
    tensor = torch.ones(10, 100)
    with roofline.Traffic() as traffic:
        tensor.t().view(100, 10)
    assert traffic.bytes == 0
    with roofline.Traffic() as traffic:
        torch.relu(tensor)
        torch._foreach_mul_([tensor, tensor], 2.0)
    assert traffic.bytes >= 4000 * (2 + 2)


def test_the_rows_of_a_comparison_are_complete() -> None:
    compared = pd.DataFrame(throughput.compare(CELL, load_source("digits"), 2))
    assert tuple(compared.columns) == setting.COLUMNS
    rated = compared[compared["part"] == "throughput"]
    assert set(rated["side"]) == {*throughput.OURS, throughput.SINGLE, *throughput.PLAIN}
    assert set(compared.loc[compared["part"] != "format", "repeats"]) == {2}
    tried = compared[compared["part"] == "format"]
    assert tried["side"].iloc[0] == "channels_last float32 1"
    assert len(tried) == 4
    assert tables.formats(compared)["times"].iloc[0] == "1"
    low, value, high = (compared[name] for name in ("low", "value", "high"))
    assert ((value > 0) & (low <= value) & (value <= high)).all()
    assert set(compared.loc[compared["part"] == "dynamics", "unit"]) == {"%"}


def test_the_rows_of_the_limits_are_complete() -> None:
    rows = pd.DataFrame(roofline.rows(TINY))
    assert tuple(rows.columns) == setting.COLUMNS
    assert set(rows["part"]) == {"ceiling", "roofline", "growth"}
    assert (rows["value"] > 0).all()
    assert list(rows.loc[rows["part"] == "growth", "examples"]) == list(TINY.sizes)
    assert len(roofline.product_rate(32, 2)) == len(roofline.copy_rate(1, 2)) == 10


def test_a_ratio_is_computed_from_its_two_rows() -> None:
    found = throughput.ratio(rates(**FIVE), "digits", "resnet20")
    assert found == pytest.approx({"value": 300 / 120, "low": 290 / 130, "high": 310 / 110})
    slower = rates(**{**FIVE, "helped": 50.0})
    assert throughput.ratio(slower, "digits", "resnet20")["value"] == pytest.approx(300 / 100)
    shown = tables.throughput(rates(**FIVE)).iloc[0]
    assert (shown["ratio"], shown["its ratio"], shown["its workers"], shown["target"]) == ("2.50", "1.67", "2", "3.0")


def test_the_picture_says_the_ratio_and_where_the_target_is() -> None:
    [ax] = chart.draw(rates(**FIVE), "a machine").axes
    said = {text.get_text() for text in ax.texts}
    assert {"2.50 times", "300 against 120 images a second", "target 3"} <= said
    [bar] = ax.patches
    assert bar.get_width() == pytest.approx(2.5)
    [target] = [line for line in ax.lines if line.get_gid() == "target"]
    assert list(target.get_xdata()) == [3.0, 3.0]


def test_without_cuda_the_rows_of_the_gpu_are_there_and_empty(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = pd.DataFrame(gpu.rows(TINY))
    assert capsys.readouterr().out.count("\n") == 1
    assert len(found) == 2 + 3 * len(TINY.gpu_at_once)
    assert found["value"].isna().all()
    assert set(tables.gpu(found)[throughput.RATE]) == {tables.ABSENT}


@pytest.mark.slow
def test_a_process_of_ones_own_is_watched() -> None:
    said, peak = memory.watched("sweep", setting.Cell("digits", "resnet8", 128), everything=True)
    assert said["images"] == 128 * said["runs"]
    assert peak.processes >= 1
    assert 10 * 2**20 < peak.unique <= peak.proportional
    assert peak.resident > peak.unique / peak.processes


def test_a_measured_process_that_fails_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(memory.ChildFailed, match="ended with 1"):
        memory.watched("sweep", CELL)


def test_a_family_holds_its_children() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in memory.family(os.getpid())
        assert memory.held(child.pid).processes == 1
        child.communicate(b"\n")
    assert memory.held(child.pid).processes == 0


def test_the_map_of_the_images_is_found_among_the_others() -> None:
    head = "7f00-7f01 rw-p 0 00:19 5 /dev/shm/joblib_memmapping_folder_1/a.pkl\nSize: 9 kB\nPss: {} kB\nVmFlags: rd\n"
    other = "7f02-7f03 r--p 00000000 00:19 6 /lib/libc.so\nPss: 700 kB\nVmFlags: rd\n"
    found = memory.MAP.findall(other + head.format(12) + other + head.format(30) + other)
    assert [memory._bytes(entry, "Pss") for entry in found] == [12 * 1024, 30 * 1024]


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        setting.budget("huge")
    one_sentence(caught.value, "huge", "tiny", "quick")
    with pytest.raises(TypeError, match="colour"):
        setting.row("part", "quantity", "unit", [1.0], colour="red")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    copy = tmp_path / "README.md"
    copy.write_text(report.PAGE.read_text())
    return copy


def test_a_measurement_is_kept_and_the_page_is_made_of_it(
    tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "PARTS", {"throughput": throughput.rows, "gpu": gpu.rows})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = command.run("tiny", tmp_path / "results", page, say=lambda words: None)
    origin = json.loads(path.with_suffix(".json").read_text())
    assert {"processor", "cores", "versions", "git_revision", "date", "budget", "sha256"} <= set(origin)
    assert {file.suffix for file in path.parent.iterdir()} == {".csv", ".json", ".png", ".svg"}
    text, rows = page.read_text(), report.read(path)
    assert tables.throughput(rows)["ratio"].iloc[0] in text
    assert tables.ABSENT in text
    assert f"(results/{path.stem}.png)" in text
    report.write_page(path.parent, page)
    assert page.read_text() == text


def test_rows_without_a_column_and_a_page_without_marks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        report.keep(rates(**FIVE).drop(columns="repeats"), report.machine(), tmp_path)
    one_sentence(caught.value, "repeats")
    assert not list(tmp_path.iterdir())
    (tmp_path / "page.md").write_text("# Nothing\n")
    with pytest.raises(ConfigError, match="marks"):
        report.write_page(tmp_path, tmp_path / "page.md")


def test_the_committed_page_is_made_of_the_committed_rows(page: Path) -> None:
    report.write_page(report.RESULTS, page)
    assert page.read_text() == report.PAGE.read_text()


def test_accuracies_are_on_disk_run_by_run_and_not_trained_twice(tmp_path: Path) -> None:
    path, cfgs = tmp_path / "accuracy_smoke.csv", accuracy.configs("smoke", "symmetric:0.4", [0, 1])
    steps = accuracy.run("smoke", cfgs, 1, path)
    first = next(steps)
    assert len(accuracy._read(path)) == 1
    steps.close()
    with path.open("a") as file:
        file.write("plain,smoke,dig")  # cut short
    rest = list(accuracy.run("smoke", cfgs, 1, path))
    assert len(rest) == 3
    assert not list(accuracy.run("smoke", cfgs, 1, path))
    rows = pd.read_csv(path)
    assert tuple(rows.columns) == accuracy.COLUMNS
    assert len(rows) == 4
    assert rows.groupby("seed")["labels_sha256"].nunique().eq(1).all()
    assert first["test_acc"] == pytest.approx(train.fit(cfgs[0], data_file.load(cfgs[0])).history["test_acc"].iloc[-1])


def test_a_difference_is_held_against_the_noise_of_the_seeds() -> None:
    fixed = {"profile": "quick", "dataset": "digits", "noise": "symmetric:0.4", "method": "cce", "epochs": 50}
    values = {"ours": [0.80, 0.82, 0.84], "plain": [0.77, 0.80, 0.83]}
    rows = [{**fixed, "side": side, "test_acc": value} for side, found in values.items() for value in found]
    [shown] = accuracy.compare(pd.DataFrame(rows)).to_dict("records")
    sides = [shown[name] for name in ("ours, mean", "ours, sd", "plain, mean", "plain, sd")]
    assert sides == ["82.0", "2.0", "80.0", "3.0"]
    assert shown["difference"] == "+2.0"
    assert float(shown["in standard errors"]) == pytest.approx(2 / math.sqrt(4 / 3 + 9 / 3), abs=0.05)
    assert accuracy.compare(pd.DataFrame([row for row in rows if row["side"] == "ours"])).empty
