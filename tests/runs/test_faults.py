"""Whatever hits a sweep, nothing that was finished is lost or trained again, and the same command completes it.

What is hit is a process of its own (``faults.py``), really killed. Then the sweep is completed here, and each run
has the rows of one that nothing hit.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers import faults
from helpers.cases import smoke
from torch import Tensor

from robustdl_lib import cli, losses, paths, store, sweeps
from robustdl_lib.methods.stateful import Beginning
from robustdl_lib.registry import METHODS, SWEEPS

pytestmark = pytest.mark.slow
FRESH = multiprocessing.get_context("forkserver")
"""Starts processes that have imported the library and done nothing else: each would take seconds to import it."""
FRESH.set_forkserver_preload(["robustdl_lib.runs.sweeps"])
WHOLE, LOST = faults.EPOCHS * faults.STEPS, faults.HIT - faults.STEPS
"""The steps of a run, and those since its last checkpoint when it is hit."""


@pytest.fixture(autouse=True)
def registered(unhit: dict[int, store.Run], monkeypatch: pytest.MonkeyPatch) -> None:
    faults.register()
    faults.taken.clear()
    monkeypatch.setattr(sweeps, "cpu_count", lambda: 1)
    monkeypatch.delenv("FAULT", raising=False)
    paths.results().mkdir()


@pytest.fixture(scope="module")
def unhit(tmp_path_factory: pytest.TempPathFactory) -> dict[int, store.Run]:
    """The mortal runs of four seeds that nothing hit, by seed."""
    place = tmp_path_factory.mktemp("unhit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBUSTDL_RESULTS", str(place))
        patch.setattr(sweeps, "cpu_count", lambda: 1)
        faults.register()
        faults.run(1, [0, 1, 2, 3])
        found = {run.config.seed: run for run in store.all_runs(shelf()) if run.config.method == "mortal"}
        del METHODS.entries["mortal"], SWEEPS.entries["faults"]  # a test takes out what it enters itself alone
        return found


def shelf() -> Path:
    return paths.shelf("runs", f"smoke_epochs-{faults.EPOCHS}")


@dataclass
class Hit:
    """A process that is hit, and the end of the pipe through which it says why."""

    process: BaseProcess
    said: Connection

    def outcome(self) -> tuple[int | None, str]:
        """Return how it ended and what it said; one that hangs is killed after two minutes."""
        self.process.join(120)
        self.process.kill()
        self.process.join()
        with open(os.dup(self.said.fileno())) as said:
            return self.process.exitcode, said.read()


def start(fault: str, jobs: int = 1, seeds: tuple[int, ...] = (0,)) -> Hit:
    said, says = FRESH.Pipe(duplex=False)
    process = FRESH.Process(target=faults.main, args=(fault, jobs, seeds, str(paths.results()), says))
    process.start()
    says.close()
    return Hit(process, said)


def steps() -> int:
    return (paths.results() / "steps").stat().st_size


def finished() -> dict[str, int]:
    """Return the runs that count, with the time at which each was finished."""
    return {run.folder.name: (run.folder / store.PROVENANCE).stat().st_mtime_ns for run in store.all_runs(shelf())}


def hidden() -> list[str]:
    """Return what lies beside the runs and is none, without the numbers in it."""
    return sorted(path.name.split("-")[0] for path in shelf().glob(".*"))


def complete(unhit: dict[int, store.Run], seeds: tuple[int, ...] = (0,)) -> None:
    """Complete the sweep, and check that nothing was trained twice, nothing left over, and every bit as it must be."""
    before = finished()
    faults.run(1, list(seeds))
    after = finished()
    assert before.items() <= after.items()
    assert len(after) == len(seeds) + 1
    assert hidden() == []
    for run in store.all_runs(shelf()):
        if run.config.method == "mortal":
            same(run, unhit[run.config.seed])


def same(run: store.Run, other: store.Run) -> None:
    one, two = (found.history.drop(columns="seconds") for found in (run, other))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert all((run.p_y[name] == other.p_y[name]).all() for name in ("clean", "wrong"))


def test_a_worker_that_is_killed_in_mid_run_costs_the_steps_since_its_checkpoint(unhit: dict[int, store.Run]) -> None:
    code, said = start("worker", jobs=2).outcome()
    assert (code, "a training process was killed" in said) == (1, True)
    assert not [run for run in finished() if run == unhit[0].config.run_id]
    assert steps() == faults.HIT
    complete(unhit)
    assert steps() == WHOLE + LOST


def test_a_parent_that_is_killed_takes_its_workers_along_and_nothing_else(unhit: dict[int, store.Run]) -> None:
    code, _ = start("parent", jobs=2).outcome()
    assert code == -signal.SIGKILL
    complete(unhit)  # waits for the lock that the worker holds until it has seen that its parent is gone
    assert steps() == WHOLE + LOST


def test_what_a_worker_was_writing_as_its_parent_was_killed_is_cleared_by_a_sweep_that_began_before_it_ended(
    unhit: dict[int, store.Run],
) -> None:
    code, _ = start("parent in mid-write", jobs=2, seeds=(0, 1)).outcome()
    assert code == -signal.SIGKILL
    assert (paths.results() / "hanging").exists()
    complete(unhit, seeds=(0, 1))
    assert steps() == 2 * WHOLE + LOST + faults.STEPS


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(unhit: dict[int, store.Run]) -> None:
    code, _ = start("checkpoint").outcome()
    assert code == -signal.SIGKILL
    assert hidden() == [".checkpoint", ".lock", ".part"]
    assert finished() == {}
    complete(unhit)
    assert steps() == WHOLE + faults.STEPS


def test_a_kill_while_the_last_file_of_a_run_is_written_leaves_no_run_and_no_step_to_repeat(
    unhit: dict[int, store.Run],
) -> None:
    code, _ = start("last file").outcome()
    assert code == -signal.SIGKILL
    assert hidden() == [".checkpoint", ".lock", ".part"]
    assert finished() == {}
    complete(unhit)
    assert steps() == WHOLE


def test_a_full_disk_fails_the_run_in_words_and_keeps_its_last_checkpoint(unhit: dict[int, store.Run]) -> None:
    code, said = start("disk").outcome()
    assert code == 1
    assert "cannot write the checkpoint" in said
    assert "the sweep is not complete: mortal on symmetric:0.4, seed 0" in said
    assert "File too large" in said
    assert finished() == {}
    assert hidden() == [".checkpoint"]
    complete(unhit)
    assert steps() == WHOLE + WHOLE - faults.STEPS


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A results folder that every user may reach and, once its mode says so, nobody but the superuser may write."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        monkeypatch.setenv("ROBUSTDL_RESULTS", place)
        yield Path(place)
        Path(place).chmod(0o755)


def test_a_read_only_results_folder_is_refused_before_any_work(read_only: Path, unhit: dict[int, store.Run]) -> None:
    code, said = start("read only").outcome()
    assert code == 1
    assert f"cannot write to {shelf()}: Permission denied; choose another place" in said
    assert list(read_only.iterdir()) == []
    read_only.chmod(0o755)
    complete(unhit)
    assert steps() == WHOLE


def test_two_sweeps_on_one_store_train_each_run_once_and_one_takes_up_what_the_other_dies_over(
    unhit: dict[int, store.Run],
) -> None:
    seeds = (0, 1, 2, 3)
    both = [start(fault, seeds=seeds) for fault in ("one of two", "other of two")]
    (died, _), (code, said) = [hit.outcome() for hit in both]
    assert (died, code) == (-signal.SIGKILL, 0), said
    assert len(finished()) == 5
    assert steps() == 4 * WHOLE + LOST
    complete(unhit, seeds)
    assert steps() == 4 * WHOLE + LOST


class Clock:
    """A memory that knows the time alone."""

    def __init__(self) -> None:
        pass

    def begin(self, run: Beginning) -> None:
        pass

    def recall(self, logits: Tensor, target: Tensor, *, rows: Tensor, images: Tensor, progress: float) -> Tensor:
        return torch.tensor(progress)


def test_a_loss_that_is_not_finite_names_the_step_twice_the_same_and_the_sweep_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @METHODS.register("hollow", label="Hollow", source="a test", role="loss", memory=Clock)
    def hollow(logits: Tensor, target: Tensor, *, recalled: Tensor | None = None) -> Tensor:
        """Cross entropy, but for one step in the second epoch."""
        return losses.cce(logits, target) * (torch.nan if recalled is not None and recalled == 13 / 20 else 1.0)

    words = ["sweep", "--profile", "smoke", "--methods", "hollow cce", "--seeds", "0", "--jobs", "1", "--quiet"]
    monkeypatch.setattr(sys, "argv", ["robustdl_lib", *words, "--checkpoint-every", "0"])
    place = paths.shelf("runs", "smoke")
    for _ in range(2):
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr().err
        assert stopped.value.code == 1
        assert "hollow on symmetric:0.4, seed 0: the loss is not finite at step 14 of 20, in epoch 2 of {" in said
        assert '"method":"hollow"' in said
        assert {run.config for run in store.all_runs(place)} == {
            smoke(device="auto"),
            smoke(device="auto", noise="none"),
        }
        assert not list(place.glob(".*"))
