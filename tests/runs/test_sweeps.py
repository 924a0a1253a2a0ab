"""Sweeps: only what is missing is trained, a failure costs its own run alone, and a kill costs nothing finished."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cases import one_sentence, smoke

from robustdl_lib import files, paths, store, summary, sweeps
from robustdl_lib.config import ConfigError, RunConfig
from robustdl_lib.data.raw import Source
from robustdl_lib.parallel import beside
from robustdl_lib.registry import DATASETS, METHODS, SWEEPS, SpecError
from robustdl_lib.runs.sweeps import Setting, SweepFailed

SMALL = {"profile": "smoke", "jobs": 1, "quiet": True, "methods": ["cce", "gce"], "seeds": [0]}
"""Three runs: two methods under noise, and cross entropy on clean labels."""


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a run one thread, whatever this machine has: tests run beside each other."""
    monkeypatch.setattr(sweeps, "cpu_count", lambda: 1)


@pytest.fixture
def shelf() -> Path:
    return paths.shelf("runs", "smoke")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count the configurations that are trained in this process."""
    seen: list[str] = []
    honest = sweeps.train_one

    def counting(cfg: RunConfig, shelf: Path, **more: object) -> float:
        seen.append(f"{cfg.method} {cfg.noise}")
        return honest(cfg, shelf, **more)

    monkeypatch.setattr(sweeps, "train_one", counting)
    return seen


def folders(shelf: Path) -> dict[str, int]:
    """Return the run folders with the time at which each was finished."""
    found = [path for path in shelf.glob("[0-9a-f]*") if path.is_dir()]
    return {path.name: (path / store.PROVENANCE).stat().st_mtime_ns for path in found}


def register(name: str, action) -> None:
    """Enter a loss that behaves like cross entropy after ``action`` has been applied to its values."""

    @METHODS.register(name, label=name.title(), source="a test", role="loss")
    def loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Cross entropy with a flaw."""
        return action(-(target * logits.log_softmax(1)).sum(1))


def raise_error(values: torch.Tensor) -> torch.Tensor:
    raise IndexError("a mistake in a loss of one's own")


def die(values: torch.Tensor) -> torch.Tensor:
    os.kill(os.getpid(), signal.SIGKILL)
    return values


def test_only_what_is_missing_is_trained(shelf: Path, counted: list[str]) -> None:
    first = sweeps.run(**SMALL)
    assert sorted(counted) == ["cce none", "cce symmetric:0.4", "gce symmetric:0.4"]
    finished = folders(shelf)
    second = sweeps.run(**SMALL)
    assert len(counted) == 3
    assert folders(shelf) == finished
    pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.mark.slow
def test_the_processes_of_a_sweep_share_one_copy_of_the_pixels() -> None:
    """A loss that fails where the process has no memory map of the parent's pixels: 3 MB here."""

    @DATASETS.register("large", label="large", source="a test", pad=1, flip=True)
    def large() -> Source:
        images = np.random.default_rng(0).integers(0, 256, (1000, 3, 32, 32), dtype=np.uint8)
        rows, none = np.arange(1000), np.arange(0)
        return Source(images, rows % 2, rows, none, ("a", "b"), 255.0, (0.5,) * 3, (0.3,) * 3)

    def mapped(values: torch.Tensor) -> torch.Tensor:
        if "joblib_memmapping" not in Path("/proc/self/maps").read_text():
            raise ValueError("the pixels are a copy")
        return values

    register("mapped", mapped)
    rows = sweeps.run(**{**SMALL, "jobs": 2, "methods": ["mapped", "cce"], "dataset": "large"})
    assert rows["run_id"].nunique() == 3


def test_a_budget_of_ones_own_is_kept_apart(shelf: Path) -> None:
    rows = sweeps.run(**SMALL, epochs=1)
    assert set(rows["epochs"]) == {1}
    assert not shelf.exists()
    assert len(folders(paths.shelf("runs", "smoke_epochs-1"))) == 3
    with pytest.raises(ConfigError, match="epochs"):
        Setting("smoke", epochs=0)


def test_a_damaged_run_is_named_and_trained_again(shelf: Path, counted: list[str]) -> None:
    sweeps.run(**SMALL)
    cfg = sweeps.plan("figures", Setting("smoke", methods=["gce"], seeds=[0]))[0]
    (shelf / cfg.run_id / "history.csv").write_text("epoch\n")
    with pytest.warns(UserWarning, match="history.csv"):
        rows = sweeps.run(**SMALL)
    assert counted[3:] == ["gce symmetric:0.4"]
    assert rows["run_id"].nunique() == 3


def test_another_seed_adds_its_own_runs_alone(counted: list[str]) -> None:
    sweeps.run(**{**SMALL, "methods": ["cce"]})
    sweeps.run(**{**SMALL, "methods": ["cce"], "seeds": [0, 1]})
    assert len(counted) == 4


def test_committed_rows_serve_where_they_are_asked_for(counted: list[str]) -> None:
    (paths.results() / "reference" / "smoke").mkdir(parents=True)  # else it is the checkout's
    sweeps.run(**SMALL, into="reference", shelf="reference")
    assert len(counted) == 3
    assert sweeps.run(**SMALL, shelf="reference")["run_id"].nunique() == 3
    assert len(counted) == 3
    assert not paths.shelf("runs", "smoke").exists()
    sweeps.run(**SMALL)
    assert len(counted) == 6


def test_the_rows_are_in_the_order_of_the_sweep() -> None:
    configs = sweeps.plan("figures", Setting("smoke", methods=["gce", "cce"], seeds=[1, 0]))
    rows = sweeps.run(**{**SMALL, "methods": ["gce", "cce"], "seeds": [1, 0]})
    assert list(dict.fromkeys(rows["run_id"])) == [cfg.run_id for cfg in configs]
    assert len(rows) == 2 * len(configs) == 12


def test_a_run_of_a_sweep_is_the_run_of_its_configuration(shelf: Path) -> None:
    """A run trained among others has the bits that the same configuration has alone, at the same thread count."""
    sweeps.run(**SMALL)
    cfg = smoke(method="gce", device="auto")
    among = store.find(cfg, shelf)
    torch.set_num_threads(sweeps.cpu_count())
    sweeps.train_one(cfg, paths.results() / "alone")
    alone = store.find(cfg, paths.results() / "alone")
    assert among
    assert alone
    pd.testing.assert_frame_equal(among.history.drop(columns="seconds"), alone.history.drop(columns="seconds"))


@pytest.mark.slow
def test_runs_that_share_a_process_as_on_a_gpu_are_those_that_processes_make(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {**SMALL, "seeds": [0, 1], "jobs": 3}
    sweeps.run(**{**many, "jobs": 1})
    alone = sweeps.run(**many).drop(columns="seconds")
    shutil.rmtree(shelf)
    monkeypatch.setattr(sweeps, "spread", None)
    monkeypatch.setattr(sweeps, "_spread", lambda attempt, calls, jobs, _: beside(attempt, calls, jobs))
    pd.testing.assert_frame_equal(sweeps.run(**many).drop(columns="seconds"), alone)


def test_a_run_whose_loss_is_no_number_is_named_and_the_others_are_kept(shelf: Path) -> None:
    register("hollow", lambda values: values * float("nan"))
    with pytest.raises(SweepFailed) as caught:
        sweeps.run(**{**SMALL, "methods": ["hollow", "cce"]})
    assert "hollow on symmetric:0.4, seed 0" in str(caught.value)
    assert "kept" in str(caught.value)
    assert {run.config.method for run in store.all_runs(shelf)} == {"cce"}
    assert len(folders(shelf)) == 2


def test_a_mistake_in_a_loss_costs_its_own_run_alone(shelf: Path) -> None:
    register("mistaken", raise_error)
    with pytest.raises(SweepFailed, match=r"mistaken on symmetric:0\.4, seed 0.*a mistake in a loss"):
        sweeps.run(**{**SMALL, "methods": ["mistaken", "cce"]})
    assert len(folders(shelf)) == 2


@pytest.mark.slow
def test_a_loss_registered_at_run_time_trains_in_other_processes_and_is_in_the_headline(shelf: Path) -> None:
    here = os.getpid()
    register("doubled", lambda values: values * (2 if os.getpid() != here else float("nan")))
    rows = sweeps.run(**{**SMALL, "methods": ["doubled", "cce"], "jobs": 2})
    table = summary.headline(rows).set_index("label")
    assert {"Doubled", "CCE"} <= set(table.index)
    assert table["last_mean"].notna().all()
    assert len(folders(shelf)) == 3


def test_a_worker_that_is_killed_is_a_sweep_that_failed_and_goes_on_next_time(shelf: Path) -> None:
    register("deadly", die)
    with pytest.raises(SweepFailed, match="killed"):
        sweeps.run(**{**SMALL, "methods": ["cce", "deadly"], "jobs": 2})
    rows = sweeps.run(**{**SMALL, "methods": ["cce"]})
    assert rows["run_id"].nunique() == 2
    assert len(folders(shelf)) == 2


def test_a_sweep_of_your_own_is_one_function() -> None:
    @SWEEPS.register("rates", label="noise rates", source="a test")
    def rates(*, setting: Setting) -> list[RunConfig]:
        """Cross entropy at three rates, one of them twice."""
        return [cfg for rate in (0.2, 0.6, 0.2) for cfg in setting.configs(["cce"], noise=f"symmetric:{rate}")]

    rows = sweeps.run("rates", "smoke", 1, quiet=True, seeds=[0])
    assert list(dict.fromkeys(rows["noise"])) == ["symmetric:0.2", "symmetric:0.6"]


REFUSED = [
    ({"name": "figure"}, SpecError, ["unknown sweep 'figure'", "figures"]),
    ({"profile": "fast"}, ConfigError, ["unknown profile 'fast'", "quick"]),
    ({"methods": ["cce", "gec"]}, ConfigError, ["unknown method 'gec'", "did you mean 'gce'"]),
    ({"methods": ["gce:w=1"]}, ConfigError, ["no parameter 'w'"]),
    ({"noise": "symmetric:1.2"}, ConfigError, ["1.2"]),
    ({"dataset": "mnist"}, ConfigError, ["unknown data set 'mnist'", "digits"]),
    ({"seeds": [-1]}, ConfigError, ["seed = -1"]),
    ({"methods": []}, ConfigError, ["at least one method"]),
    ({"seeds": []}, ConfigError, ["at least one method and one seed"]),
    ({"device": "cuda:99"}, ConfigError, ["'cuda:99' is not there"]),
    ({"device": "tpu"}, ConfigError, ["device = 'tpu'"]),
    ({"jobs": 0}, ConfigError, ["jobs must be at least 1, found 0"]),
    ({"into": "attic"}, ValueError, ["unknown shelf 'attic'"]),
]


@pytest.mark.parametrize(("changes", "kind", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_bad_setting_is_refused_before_any_work(
    changes: dict[str, object], kind: type[Exception], words: list[str], counted: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        sweeps.run(**{**SMALL, **changes})
    one_sentence(caught.value, *words)
    assert counted == []
    assert not paths.results().exists()


def test_a_store_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, counted: list[str]) -> None:
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(OSError, match="cannot write"):
        sweeps.run(**SMALL)
    assert counted == []


def test_the_disguise_is_kept_apart_and_takes_what_the_profile_has(counted: list[str]) -> None:
    """Cross entropy at half the rate and twice the decay must not be averaged with the profile's cross entropy."""
    sweeps.run("figures", profile="smoke", jobs=1, quiet=True, methods=["cce", "boot_soft:eps=0.5"], seeds=[0])
    trained = len(counted)
    table = sweeps.run("disguise", profile="smoke", jobs=1, quiet=True, seeds=[0])
    assert sorted(counted[trained:]) == ["boot_soft:eps=0.5,detach=True symmetric:0.4", "cce symmetric:0.4"]
    assert {path.parent.name for path in paths.shelf("runs", "smoke_disguise").glob("*/config.json")} == set(
        table.loc[(table["peak_lr"] == 0.05) | table["method"].str.contains("detach"), "run_id"]
    )
    halved = table[(table["method"] == "cce") & (table["peak_lr"] == 0.05)]
    assert set(halved["weight_decay"]) == {1e-3}
    assert set(store.load_runs(shelf="runs", profile="smoke")["peak_lr"]) == {0.1}


def test_a_run_that_a_sweep_names_twice_is_planned_once() -> None:
    assert len(sweeps.plan("figures", Setting("smoke", methods=["gce", "gce:q=0.70"], seeds=[0]))) == 2
    assert len(sweeps.plan("figures", Setting("smoke", noise="none", methods=["cce"], seeds=[0]))) == 1


@pytest.mark.parametrize(
    ("setting", "slug"),
    [
        (Setting(), "quick"),
        (Setting("smoke"), "smoke"),
        (Setting(noise="symmetric:0.6"), "quick_symmetric-0.6"),
        (Setting(methods=["cce", "gce:q=0.5"], seeds=[0, 1]), "quick_cce+gce-q=0.5_seeds-0-1"),
        (Setting(dataset="digits", noise="none"), "quick_digits_none"),
        (Setting(noise="none", epochs=20), "quick_none_epochs-20"),
    ],
)
def test_a_slug_names_what_was_changed(setting: Setting, slug: str) -> None:
    assert setting.slug == slug


def test_a_slug_is_a_plain_folder_name_of_bearable_length() -> None:
    slugs = [Setting(methods=["dm:beta=16,lam=1", *sweeps.METHODS_SHOWN][:count]).slug for count in range(1, 13)]
    assert all(re.fullmatch(r"[\w.+=-]{1,100}", slug) for slug in slugs)
    assert len(set(slugs)) == 12


def test_a_setting_returns_what_differs_from_its_profile() -> None:
    assert Setting("smoke").changes() == {}
    changed = Setting(noise="none", seeds=[1])
    assert changed.changes() == {"noise": "none", "seeds": [1]}
    assert Setting(**changed.changes()) == changed


def test_a_run_that_another_process_trains_comes_last_and_is_looked_for_again(shelf: Path, counted: list[str]) -> None:
    """It is waited for only when all others are done, and not trained when it is there then."""
    configs = sweeps.plan("figures", Setting("smoke", methods=["cce", "gce"], seeds=[0]))
    held = configs[0]
    with files.locked(files.hidden(shelf, "lock", held.run_id)), ThreadPoolExecutor(1) as pool:

        def other() -> None:
            assert wait_for(lambda: len(folders(shelf)) == 2, 60)
            sweeps._trained(held, shelf, None, None, 30.0)

        ended = pool.submit(other)
        calls = [(cfg, shelf, sweeps.load_source("digits")) for cfg in configs]
        outcomes = sweeps._outcomes(partial(sweeps._attempt, every=30.0), calls, 1, "local", None)
        first = [next(outcomes)[0] for _ in range(2)]
        ended.result()
    assert held not in first
    assert [cfg for cfg, _ in outcomes] == [held]
    assert counted.count("cce symmetric:0.4") == 2  # tried, and taken from the store
    assert not list(shelf.glob(".*"))


SCRIPT = """
import sys
from robustdl_lib import sweeps
sweeps.run(profile="smoke", jobs=2, quiet=True, methods={methods!r}, seeds=range(3))
"""
KILLED = {"methods": ["cce", "mse", "gce"], "seeds": range(3)}


def children(pid: int) -> set[int]:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    found = {int(child) for child in listing.read_text().split()} if listing.exists() else set()
    return found.union(*(children(child) for child in found))


def running(pid: int) -> bool:
    """Say whether a process is there and not a corpse that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(condition, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


@pytest.mark.slow
def test_kill_9_in_mid_run_leaves_no_worker_and_nothing_half_done(shelf: Path) -> None:
    script = SCRIPT.format(methods=KILLED["methods"])
    sweep = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        assert wait_for(lambda: len(folders(shelf)) >= 2, 90), "no run was finished"
        workers = children(sweep.pid)
    finally:
        sweep.kill()
        sweep.wait()
    assert workers
    assert wait_for(lambda: not any(running(pid) for pid in workers), 10), "a worker outlived its sweep"
    finished = folders(shelf)
    assert 2 <= len(finished) < 12
    assert {run.config.run_id for run in store.all_runs(shelf)} == set(finished)
    rows = sweeps.run(profile="smoke", jobs=1, quiet=True, **KILLED)
    assert len(rows) == 24
    assert not rows.duplicated(["run_id", "epoch"]).any()
    after = folders(shelf)
    assert len(after) == 12
    assert finished.items() <= after.items()
    assert not list(shelf.glob(".part-*"))


def test_held_trains_nothing_and_refuses_a_bad_setting() -> None:
    assert not len(sweeps.held("figures", "smoke", shelf="runs"))
    with pytest.raises(ConfigError):
        sweeps.held("figures", "quik")
