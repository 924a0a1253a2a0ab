"""A run that was stopped goes on, and ends with the bits of one that was not; a bad checkpoint is named and ignored."""

import hashlib
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cases import one_sentence, smoke
from torch import Tensor

from robustdl_lib import data, files, losses, parallel, paths, store, sweeps, train
from robustdl_lib.config import ConfigError, RunConfig
from robustdl_lib.methods import stateful
from robustdl_lib.methods.stateful import Beginning
from robustdl_lib.registry import METHODS
from robustdl_lib.training import checkpoint
from robustdl_lib.training.checkpoint import Checkpoint

ORIGIN = {"run_id": "0123", "threads": 1, "git_revision": None, "versions": {"torch": "2"}}
RESUMED = {
    **{name: {"method": name} for name in ("cce", "proselflc", "elr", "kd", "adaptive", "joint:stage=2,window=2")},
    "joint": {"method": "joint:start=0.3,window=2"},
    "pseudo-labels": {"method": "pseudo:weight=1,start=0,end=0.5", "noise": "missing:0.5"},
    **{schedule: {"schedule": schedule} for schedule in ("cosine", "step", "constant")},
    "bfloat16": {"precision": "bfloat16"},
    "plain": {"augment": False, "momentum": 0.0},
}
"""What a run may keep between its steps: every kind of memory, of schedule, of precision and of augmentation."""


class Stop(Exception):
    """What stops a run in these tests."""


def small(**changes: object) -> RunConfig:
    return smoke(**{"epochs": 3, "examples": 256, "batch_size": 64, **changes})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".checkpoint-0123"


def stop_after(epoch: int, seen: list[float] | None = None) -> Callable[[dict[str, float]], None]:
    """Return an ``on_epoch`` that stops a run when the epoch after ``epoch`` ends: its checkpoint is the last."""

    def on_epoch(row: dict[str, float]) -> None:
        if seen is not None:
            seen.append(row["epoch"])
        if row["epoch"] > epoch:
            raise Stop

    return on_epoch


def stopped(cfg: RunConfig, path: Path, epoch: int = 1, loaded: data.Data | None = None, **words: Any) -> None:
    """Leave the checkpoint that a run has when it is stopped in the epoch after ``epoch``."""
    with pytest.raises(Stop):
        train.fit(cfg, loaded or data.load(cfg), stop_after(epoch), checkpoint=Checkpoint(path, ORIGIN, 0, **words))


def go_on(cfg: RunConfig, path: Path, **origin: object) -> tuple[train.Trained, list[float]]:
    """Train with the checkpoint that is there, and return with the run the epochs that were left to train."""
    seen: list[float] = []
    there = Checkpoint(path, {**ORIGIN, **origin}, 0)
    trained = train.fit(cfg, data.load(cfg), lambda row: seen.append(row["epoch"]), checkpoint=there)
    return trained, seen


def same_bits(one: train.Trained, other: train.Trained) -> None:
    histories = [run.history.drop(columns="seconds") for run in (one, other)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    assert all(np.array_equal(one.p_y[name], other.p_y[name]) for name in ("clean", "wrong"))
    states = one.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    for name, kept in (one.objective.state() or {}).items():
        if isinstance(kept, Tensor):
            assert torch.equal(kept, other.objective.state()[name])


@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(name: str, path: Path) -> None:
    cfg = small(**RESUMED[name])
    stopped(cfg, path)
    resumed, seen = go_on(cfg, path)
    assert seen == [2, 3]
    same_bits(resumed, train.fit(cfg, data.load(cfg)))


def test_every_memory_of_the_library_is_among_them_and_can_go_on() -> None:
    kept = {METHODS.parse(str(changes.get("method", "cce"))).name for changes in RESUMED.values()}
    remembering = {name: entry.facts.memory for name, entry in METHODS.entries.items() if entry.facts.memory}
    assert set(remembering) <= kept
    assert all(hasattr(memory, "state") and hasattr(memory, "restore") for memory in remembering.values())


def test_a_run_that_is_stopped_again_and_again_is_still_the_same(path: Path) -> None:
    cfg = small(epochs=4)
    for epoch in (1, 2, 3):
        stopped(cfg, path, epoch)
    resumed, seen = go_on(cfg, path)
    assert seen == [4]
    same_bits(resumed, train.fit(cfg, data.load(cfg)))


def test_a_run_whose_rows_are_epochs_apart_resumes_after_the_last_of_them(path: Path) -> None:
    cfg = small(epochs=5, record_every=2)
    stopped(cfg, path, 2)
    resumed, seen = go_on(cfg, path)
    assert seen == [4, 5]
    same_bits(resumed, train.fit(cfg, data.load(cfg)))


def test_a_run_that_only_was_not_stored_has_no_epoch_left(path: Path) -> None:
    cfg = small()
    whole, _ = go_on(cfg, path)
    resumed, seen = go_on(cfg, path)
    assert seen == []
    same_bits(resumed, whole)


def test_what_was_learnt_first_is_not_learnt_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the teacher was trained again")

    cfg = small(method="kd:network=resnet14")
    stopped(cfg, path)
    monkeypatch.setattr(stateful.Teacher, "begin", never)
    assert go_on(cfg, path)[1] == [2, 3]


def test_a_loss_that_draws_from_the_global_generator_goes_on_in_its_numbers(path: Path) -> None:
    @METHODS.register("drawing", label="drawing", source="here", role="loss")
    def drawing(logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy with random weights."""
        return losses.cce(logits, target) * torch.rand(len(logits))

    cfg = small(method="drawing", epochs=4)
    torch.manual_seed(5)
    whole = train.fit(cfg, data.load(cfg))
    torch.manual_seed(5)
    stopped(cfg, path, 1)
    torch.manual_seed(6)
    stopped(cfg, path, 2)
    torch.manual_seed(7)
    resumed, seen = go_on(cfg, path)
    assert seen == [3, 4]
    same_bits(resumed, whole)


def test_what_was_drawn_once_from_the_global_generator_stays_part_of_the_run(path: Path) -> None:
    """Also where a later part draws nothing, and begins where the generator stands already."""
    draws = [True]

    @METHODS.register("drawing", label="drawing", source="here", role="loss")
    def drawing(logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy, with random weights at first."""
        return losses.cce(logits, target) * (torch.rand(len(logits)) if draws[0] else 1.0)

    cfg = small(method="drawing", epochs=4)
    stopped(cfg, path, 1)
    [kept] = Checkpoint(path, ORIGIN)._read()["state"]["global"]
    draws[0] = False
    torch.set_rng_state(kept)
    stopped(cfg, path, 2)
    assert torch.equal(Checkpoint(path, ORIGIN)._read()["state"]["global"][0], kept)


def test_a_run_that_draws_nothing_from_the_global_generators_leaves_them_alone(path: Path) -> None:
    torch.manual_seed(1)
    stopped(small(), path)
    torch.manual_seed(99), np.random.seed(99), random.seed(99)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    go_on(small(), path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]


def test_a_memory_that_cannot_say_what_it_holds_trains_without_checkpoints(path: Path) -> None:
    class Deaf:
        def __init__(self) -> None:
            pass

        def begin(self, run: Beginning) -> None:
            pass

        def recall(self, logits: Tensor, target: Tensor, **known: Tensor) -> Tensor:
            return torch.zeros(())

    @METHODS.register("deaf", label="deaf", source="here", role="loss", memory=Deaf)
    def deaf(logits: Tensor, target: Tensor, *, recalled: Tensor | None = None) -> Tensor:
        """Cross entropy."""
        return losses.cce(logits, target)

    assert go_on(small(method="deaf"), path)[1] == [1, 2, 3]
    assert not path.exists()


@pytest.mark.parametrize(("every", "written"), [(0, [1, 2, 3]), (15, [2]), (20, [2]), (25, [3]), (float("inf"), [])])
def test_a_checkpoint_is_written_when_the_last_is_old_enough(
    every: float, written: list[int], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of epochs of ten seconds each."""
    found: list[int] = []
    now = [100.0]
    monkeypatch.setattr(checkpoint, "perf_counter", lambda: now[0])
    monkeypatch.setattr(Checkpoint, "_write", lambda self, kept: found.append(len(kept["state"]["history"])))

    def ten_seconds(row: dict[str, float]) -> None:
        now[0] += 10

    train.fit(small(), data.load(small()), ten_seconds, checkpoint=Checkpoint(path, ORIGIN, every))
    assert found == written


def test_the_seconds_of_a_run_are_those_of_its_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(checkpoint, "perf_counter", lambda: now[0])

    def ten_seconds(row: dict[str, float]) -> None:
        now[0] += 10
        if row["epoch"] == 2 and now[0] < 500:
            raise Stop

    with pytest.raises(Stop):
        train.fit(small(), data.load(small()), ten_seconds, checkpoint=Checkpoint(path, ORIGIN, 0))
    now[0] = 1000.0
    there = Checkpoint(path, ORIGIN, 0)
    train.fit(small(), data.load(small()), ten_seconds, checkpoint=there)
    now[0] += 3
    assert there.seconds() == 10 + 20 + 3


# What is not gone on from


def anew(cfg: RunConfig, path: Path, *words: str, **origin: object) -> None:
    """Check that the checkpoint is named in a warning, and that the run is the one that was never stopped."""
    with pytest.warns(UserWarning, match="ignored, so that the run starts anew") as caught:
        trained, seen = go_on(cfg, path, **origin)
    one_sentence(caught[0].message, str(path), *words)
    assert len(caught) == 1
    assert seen == [1, 2, 3]
    same_bits(trained, train.fit(cfg, data.load(cfg)))


@pytest.mark.parametrize("size", [0, 10, 32, 1000, -1])
def test_a_checkpoint_that_was_cut_short_is_named_and_ignored(size: int, path: Path) -> None:
    stopped(small(), path)
    path.write_bytes(path.read_bytes()[:size])
    anew(small(), path, "cut short or changed")


@pytest.mark.parametrize("place", [0, 0.3, 0.6, 0.9999])
def test_a_flipped_byte_is_named_and_ignored(place: float, path: Path) -> None:
    stopped(small(), path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    anew(small(), path, "cut short or changed")


def test_a_folder_in_its_place_is_named_and_training_goes_on(path: Path) -> None:
    path.mkdir()
    with pytest.warns(UserWarning, match="cannot write the checkpoint") as caught:
        trained, seen = go_on(small(), path)
    one_sentence(caught[0].message, "starts anew", f"{path} cannot be read: Is a directory")
    assert seen == [1, 2, 3]
    same_bits(trained, train.fit(small(), data.load(small())))


@pytest.mark.parametrize(
    ("name", "value"),
    [("run_id", "4567"), ("threads", 2), ("git_revision", "abc+"), ("versions", {"torch": "3"}), ("precision", "new")],
)
def test_a_checkpoint_of_another_origin_is_named_and_ignored(name: str, value: object, path: Path) -> None:
    stopped(small(), path)
    anew(small(), path, f"with {name} = {ORIGIN.get(name)}, and this one has {value}", **{name: value})


def test_nothing_is_unpickled_that_runs(path: Path) -> None:
    """Not even where the checksum fits."""

    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (path.with_name("ran"),)

    content = pickle.dumps(Runs(), protocol=2)
    path.write_bytes(hashlib.sha256(content).digest() + content)
    anew(small(), path, "cut short or changed")
    assert not path.with_name("ran").exists()


def test_a_checkpoint_that_cannot_be_written_costs_a_warning_and_no_step(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.warns(UserWarning, match=rf"cannot write the checkpoint {path}: No space left on device") as caught:
        trained, seen = go_on(small(), path)
    assert len(caught) == 3
    assert seen == [1, 2, 3]
    assert not list(path.parent.glob(".part-*")) + list(path.parent.glob(".checkpoint-*"))
    same_bits(trained, train.fit(small(), data.load(small())))


def test_a_run_beside_others_that_is_interrupted_keeps_the_epoch_at_hand(path: Path) -> None:
    """However young the last checkpoint is; the run goes on from there to the bits that it would have had."""
    cfg, seen, loaded = small(), [], data.load(small())

    def run(every: float) -> train.Trained:
        def on_epoch(row: dict[str, float]) -> None:
            seen.append(row["epoch"])
            parallel.STOPPING.set()  # as an interrupt of the sweep does

        return train.fit(cfg, loaded, on_epoch, checkpoint=Checkpoint(path, ORIGIN, every))

    with pytest.raises(parallel.Stopped):
        next(parallel.beside(run, [(1e6,)], 1))
    assert seen == [1]
    resumed, rest = go_on(cfg, path)
    assert rest == [2, 3]
    same_bits(train.fit(cfg, loaded), resumed)


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_an_interval_that_is_none_is_refused_before_any_work(seconds: float) -> None:
    with pytest.raises(ConfigError) as caught:
        sweeps.run(profile="smoke", checkpoint_every=seconds)
    one_sentence(caught.value, "checkpoint_every is 0", f"found {seconds:g}")
    assert not paths.results().exists()


# In the store


def test_a_run_of_a_sweep_goes_on_from_its_checkpoint_and_takes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, cfg, seen = paths.shelf("runs", "smoke"), small(), []
    with pytest.raises(Stop):
        sweeps.train_one(cfg, shelf, stop_after(1), checkpoint_every=0)
    kept = files.hidden(shelf, "checkpoint", cfg.run_id)
    assert kept.is_file()
    assert store.all_runs(shelf) == []
    assert store.load_runs(shelf="runs", profile="smoke").empty
    assert store.clear_leftovers(shelf) == 0
    assert kept.is_file()
    sweeps.train_one(cfg, shelf, lambda row: seen.append(row["epoch"]), checkpoint_every=0)
    assert seen == [2, 3]
    assert not list(shelf.glob(".*"))


@pytest.mark.parametrize("damaged", [False, True])
def test_the_checkpoint_of_a_run_that_is_stored_is_cleared_away(damaged: bool) -> None:
    """A kill between the two can leave it; that of a run to be trained again, for it is damaged, stays."""
    shelf, cfg = paths.shelf("runs", "smoke"), small(epochs=1)
    sweeps.train_one(cfg, shelf)
    kept = files.hidden(shelf, "checkpoint", cfg.run_id)
    kept.touch()
    if damaged:
        (shelf / cfg.run_id / "history.csv").write_text("epoch\n")
    store.clear_leftovers(shelf)
    assert kept.exists() == damaged


def test_other_code_is_another_origin() -> None:
    def halved(logits: Tensor, target: Tensor) -> Tensor:
        return losses.cce(logits, target) / (2 if "a" in {"a", "b", "c"} else 1)

    def third(logits: Tensor, target: Tensor) -> Tensor:
        return losses.cce(logits, target) / (3 if "a" in {"a", "b", "c"} else 1)

    def entered(function: Callable[..., Tensor]) -> str:
        METHODS.entries.pop("own", None)
        METHODS.register("own", label="own", source="here", role="loss")(function)
        return checkpoint.code_sha256("own")

    assert entered(halved) == entered(halved) != entered(third)
    assert ["'a'", "'b'", "'c'"] in list(checkpoint._words(halved.__code__))  # a set has no order of its own
