"""Sweeps on a cluster: the rows of the local engine, one store, and nothing lost when something dies in mid-run."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers.cases import one_sentence, smoke
from helpers.cluster_losses import configs, register, register_waiting
from helpers.fleet import LOOPBACK, Fleet, kill, meanwhile, wait_for

from robustdl_lib import data, paths, store, sweeps
from robustdl_lib.config import ConfigError, RunConfig
from robustdl_lib.data.noise import draw_file
from robustdl_lib.runs import dask_engine, dask_worker
from robustdl_lib.runs.sweeps import SweepFailed

SHORT = {"profile": "smoke", "methods": ["cce", "gce"], "seeds": [0], "epochs": 1, "device": "cpu", "quiet": True}
"""Three runs of one epoch: two methods under noise, and cross entropy on clean labels."""


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a local run one thread, as the workers have, and poll often."""
    monkeypatch.setattr(sweeps, "cpu_count", lambda: 1)
    monkeypatch.setattr(dask_engine, "POLL", 0.1)


@pytest.fixture
def shared(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf of this test's own that the workers see: it lies under their results root."""
    monkeypatch.setenv("ROBUSTDL_RESULTS", str(fleet.results))
    return fleet.results / "runs" / tmp_path.name


def waiting_in(folder: Path) -> list[int]:
    return [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]


def sweep(fleet: Fleet, runs: list[RunConfig], shelf: Path) -> None:
    sweeps.train_all(runs, shelf, quiet=True, engine="dask", address=fleet.address)


def assert_complete(runs: list[RunConfig], shelf: Path) -> None:
    """Every run is whole and is there once, with its noise, and nothing else was left behind."""
    assert {run.config.run_id for run in store.all_runs(shelf)} == {cfg.run_id for cfg in runs}
    names = {path.name for path in shelf.iterdir() if not path.name.startswith(".lock")}
    assert names == {"noise", *(cfg.run_id for cfg in runs)}


def rows(place: Path) -> pd.DataFrame:
    found = sweeps.rows(sorted(store.all_runs(place), key=lambda run: run.config.run_id))
    return found.drop(columns="seconds")


def test_the_rows_are_the_local_engines_bit_for_bit_and_come_home_without_a_shared_folder(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The workers' results root is another, so that every file of a run travels; the noise too."""
    there = sweeps.run(**SHORT, engine="dask", address=fleet.address)
    place = paths.shelf("runs", "smoke_epochs-1")
    runs = [run.config for run in store.all_runs(place)]
    assert_complete(runs, place)
    assert not list(fleet.results.rglob(runs[0].run_id))
    assert fleet.talks_to() == {LOOPBACK}
    monkeypatch.setenv("ROBUSTDL_RESULTS", str(tmp_path / "local"))
    here = sweeps.run(**SHORT, jobs=1)
    pd.testing.assert_frame_equal(*(frame.drop(columns="seconds") for frame in (here, there)), check_exact=True)
    for name in ("digits-none-0", "digits-symmetric_0.4-0"):
        for suffix in (".npz", ".json"):
            files = [folder / "noise" / f"{name}{suffix}" for folder in (place, paths.shelf("runs", place.name))]
            assert files[0].read_bytes() == files[1].read_bytes()


def test_a_worker_stores_its_run_where_it_sees_the_shelf_though_the_caller_dies(
    fleet: Fleet, shared: Path, tmp_path: Path
) -> None:
    script = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from helpers import cluster_losses
cluster_losses.register_waiting(Path({str(tmp_path / "marks")!r}))
from robustdl_lib import sweeps
runs = cluster_losses.configs("waiting")
sweeps.train_all(runs, Path({str(shared)!r}), quiet=True, engine="dask", address={fleet.address!r})
"""
    caller = subprocess.Popen([sys.executable, "-c", script])
    try:
        wait_for(lambda: waiting_in(tmp_path / "marks"))
    finally:
        kill(caller)
    assert not store.all_runs(shared)
    register_waiting(tmp_path / "marks")
    (tmp_path / "marks" / "go").touch()
    [cfg] = configs("waiting")
    wait_for(lambda: (shared / cfg.run_id).is_dir())
    assert store.find(cfg, shared)
    assert store.clear_leftovers(shared) == 1  # the token of the caller that died
    assert_complete([cfg], shared)


def test_a_worker_that_is_killed_costs_no_run_and_none_is_there_twice(
    fleet: Fleet, shared: Path, tmp_path: Path
) -> None:
    register_waiting(tmp_path / "marks")
    runs = configs("waiting", "cce", seeds=(0, 1))

    def kill_one() -> None:
        wait_for(lambda: len(waiting_in(tmp_path / "marks")) == 2 or len(store.all_runs(shared)) == 2)
        victim = next(worker for worker in fleet.workers if worker.pid in waiting_in(tmp_path / "marks"))
        kill(victim)
        (tmp_path / "marks" / "go").touch()

    with meanwhile(kill_one):
        sweep(fleet, runs, shared)
    assert_complete(runs, shared)
    assert [run.provenance["threads"] for run in store.all_runs(shared)] == [1] * 4


def test_a_scheduler_that_is_killed_and_comes_back_costs_no_run(fleet: Fleet, tmp_path: Path) -> None:
    """Its workers end with it; those that come with the next one train what is lacking."""
    register_waiting(tmp_path / "marks")
    runs, shelf = configs("cce", "waiting", seeds=(0, 1)), tmp_path / "shelf"

    def restart() -> None:
        wait_for(lambda: waiting_in(tmp_path / "marks") and store.all_runs(shelf))
        kill(fleet.scheduler)
        (tmp_path / "marks" / "go").touch()
        fleet.stop()
        fleet.start_scheduler()
        fleet.ensure()

    with meanwhile(restart):
        sweep(fleet, runs, shelf)
    assert_complete(runs, shelf)


def test_a_scheduler_that_stays_away_is_a_sweep_that_failed_and_says_what_is_kept(
    fleet: Fleet, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_engine, "RECONNECT_WITHIN", 2.0)
    register_waiting(tmp_path / "marks")

    def end() -> None:
        wait_for(lambda: waiting_in(tmp_path / "marks") and store.all_runs(shared))
        kill(fleet.scheduler)

    with meanwhile(end), pytest.raises(SweepFailed, match="not back within 2 s") as caught:
        sweep(fleet, configs("cce", "waiting"), shared)
    one_sentence(caught.value, fleet.address, "what was finished is kept")
    assert [run.config.method for run in store.all_runs(shared)] == ["cce"]
    fleet.stop()


def test_a_run_that_fails_costs_itself_alone(fleet: Fleet, tmp_path: Path) -> None:
    register("hollow", lambda values: values * float("nan"))
    runs, shelf = configs("hollow", "cce"), tmp_path / "shelf"
    with pytest.raises(SweepFailed, match=r"hollow on symmetric:0\.4, seed 0: the loss is not finite") as caught:
        sweep(fleet, runs, shelf)
    assert "kept" in str(caught.value)
    assert_complete(runs[1:], shelf)


@pytest.mark.parametrize("name", ["git revision", "robustdl_lib", "torch"])
def test_a_worker_with_another_version_is_refused(
    name: str, fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {**dask_worker.version(), name: "another"}
    monkeypatch.setattr(dask_worker, "version", lambda: ours)
    with pytest.raises(SweepFailed, match=f"has {name} .*, the caller another") as caught:
        sweep(fleet, configs("cce"), tmp_path / "shelf")
    one_sentence(caught.value, f"the worker at tcp://{LOOPBACK}", "start it again")
    assert not store.all_runs(tmp_path / "shelf")


def test_a_worker_with_other_data_is_refused(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = data.load_source("digits")
    monkeypatch.setattr(sweeps, "load_source", lambda name: replace(source, labels=source.labels[::-1].copy()))
    with pytest.raises(SweepFailed, match="has other data by the name of digits") as caught:
        sweep(fleet, configs("cce"), tmp_path / "shelf")
    one_sentence(caught.value, f"the worker at tcp://{LOOPBACK}", source.sha256[:12])
    assert not store.all_runs(tmp_path / "shelf")


@pytest.fixture
def parcel(tmp_path: Path) -> tuple[RunConfig, dict[str, bytes]]:
    """A run as it travels."""
    [cfg] = configs("cce")
    assert dask_worker.pack(tmp_path / "away", cfg) == {}
    sweeps.train_one(cfg, tmp_path / "away")
    return cfg, dask_worker.pack(tmp_path / "away", cfg)


def test_a_run_that_travelled_is_the_same_run(parcel: tuple[RunConfig, dict[str, bytes]], tmp_path: Path) -> None:
    cfg, files = parcel
    (tmp_path / "home").mkdir()
    for _ in range(2):  # the second finds it there
        dask_worker.unpack(tmp_path / "home", cfg, files)
    assert_complete([cfg], tmp_path / "home")
    assert dask_worker.pack(tmp_path / "home", cfg) == files


@pytest.mark.filterwarnings("ignore:drawn again")
def test_a_run_that_was_damaged_on_its_way_is_not_stored(
    parcel: tuple[RunConfig, dict[str, bytes]], tmp_path: Path
) -> None:
    cfg, files = parcel
    (tmp_path / "home").mkdir()
    for name in [name for name in files if not name.endswith("json")]:
        with pytest.raises(ValueError, match="as it was written"):
            dask_worker.unpack(tmp_path / "home", cfg, {**files, name: files[name][:-20]})
    assert not store.all_runs(tmp_path / "home")


def test_a_run_of_another_draw_is_not_stored(parcel: tuple[RunConfig, dict[str, bytes]], tmp_path: Path) -> None:
    cfg, files = parcel
    drawn = data.load(cfg.replace(noise_seed=1)).noise
    (tmp_path / "home").mkdir()
    kept = tmp_path / "home" / "noise" / f"{store.noise_name(cfg)}.npz"
    draw_file.keep(kept, drawn, dataset=cfg.dataset, spec=cfg.noise, seed=1)
    with pytest.raises(ValueError, match="another draw"):
        dask_worker.unpack(tmp_path / "home", cfg, files)
    assert not store.all_runs(tmp_path / "home")


def test_a_run_has_the_threads_of_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_engine, "threads", lambda: 3)
    [cfg], source = configs("cce"), data.load_source("digits")
    order = dask_worker.Order(
        lambda cfg, shelf, source: (cfg, torch.get_num_threads()),
        None,
        "",
        dask_worker.version(),
        {"digits": source.sha256},
    )
    assert dask_worker.train(order, cfg) == (3, {})
    assert torch.get_num_threads() == 1


REFUSED = [
    ({"engine": "ray"}, "unknown engine 'ray'"),
    ({"address": "tcp://host:8786"}, "say engine dask"),
    ({"engine": "dask"}, "needs an address"),
    ({"engine": "dask", "address": "host"}, "found 'host'"),
    ({"engine": "dask", "address": "tcp://host:8786", "jobs": 0}, "jobs must be at least 1"),
]


@pytest.mark.parametrize(("where", "words"), REFUSED)
def test_what_cannot_be_is_refused_before_any_work(where: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sweeps.run(**SHORT, **where)
    assert not paths.results().exists()
    assert issubclass(ConfigError, ValueError)


@pytest.mark.parametrize(
    ("devices", "asked"), [(["auto"], None), (["cpu"], False), (["cuda:1", "cpu"], True), (["auto", "cpu"], False)]
)
def test_cuda_asks_for_a_gpu_and_auto_leaves_it_to_the_cluster(devices: list[str], asked: bool | None) -> None:
    calls = [(smoke(device=device), Path(), None) for device in devices]
    assert dask_worker._gpu(calls) is asked
