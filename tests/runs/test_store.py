"""A run on disk is complete or absent, whatever happens while it is written."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cases import one_sentence, smoke

from robustdl_lib import RunConfig, data, files, paths, store
from robustdl_lib.data.raw import Normal
from robustdl_lib.training.train import COLUMNS

EVERY_FILE = (*store.FILES, store.PROVENANCE)


def history(epochs: int = 2, level: float = 0.5) -> pd.DataFrame:
    values = {name: level + 0.01 * np.arange(epochs) for name in COLUMNS}
    return pd.DataFrame(
        {**values, "epoch": np.arange(1, epochs + 1), "fit_wrong": np.full(epochs, np.nan)}, columns=list(COLUMNS)
    )


def histograms(epochs: int = 2) -> dict[str, np.ndarray]:
    return {"clean": np.arange(epochs * 50).reshape(epochs, 50), "wrong": np.zeros((epochs, 50), dtype=int)}


def save(shelf: Path, cfg: RunConfig, level: float = 0.5) -> store.Run:
    return store.save(shelf, cfg, history(level=level), histograms(), {"seconds": 1.5, "versions": {"torch": "2"}})


@pytest.fixture
def shelf() -> Path:
    return paths.shelf("runs", "smoke")


def left_in(shelf: Path) -> list[str]:
    return sorted(path.name for path in shelf.iterdir())


def rewrite(folder: Path, name: str, text: str) -> None:
    """Change a file and make its checksum fit, as a run written by another version of the library would have it."""
    (folder / name).write_text(text)
    record = json.loads((folder / store.PROVENANCE).read_text())
    record["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / store.PROVENANCE).write_text(json.dumps(record))


def test_what_is_saved_is_read_back(shelf: Path) -> None:
    cfg = smoke(method="gce:q=0.5")
    run = save(shelf, cfg)
    assert run.config == cfg
    assert run.folder == shelf / cfg.run_id
    assert run.provenance["seconds"] == 1.5
    pd.testing.assert_frame_equal(run.history, history())
    for name, counts in histograms().items():
        assert (run.p_y[name] == counts).all()
    assert left_in(shelf) == [cfg.run_id]
    assert left_in(run.folder) == sorted(EVERY_FILE)


def test_found_is_what_was_saved_and_absent_is_none(shelf: Path, no_warnings: None) -> None:
    run, other = save(shelf, smoke()), smoke(seed=1)
    for place in (shelf, None):
        found = store.find(smoke(), place)
        assert found is not None
        assert found.folder == run.folder
        assert store.find(other, place) is None
    assert store.find(smoke(), shelf / "nowhere") is None


def test_numbers_keep_six_digits(shelf: Path) -> None:
    run = store.save(shelf, smoke(), history(level=1 / 3), histograms(), {"seconds": 0})
    np.testing.assert_allclose(run.history["test_acc"], 1 / 3 + np.array([0, 0.01]), rtol=1e-5)


@pytest.mark.parametrize("size", [0, 0.5, -1])
@pytest.mark.parametrize("name", EVERY_FILE)
def test_a_truncated_file_is_named_ignored_and_replaced(shelf: Path, name: str, size: float) -> None:
    whole = save(shelf, smoke()).folder / name
    content = whole.read_bytes()
    whole.write_bytes(content[: int(len(content) * size) if size >= 0 else -3])
    with pytest.raises(store.DamagedRun) as caught:
        store.read(whole.parent)
    one_sentence(caught.value, str(whole), "cut short")
    with pytest.warns(UserWarning, match=f"ignored, as if never trained.*{name}"):
        assert store.find(smoke(), shelf) is None
    with pytest.warns(UserWarning, match=name):
        assert store.all_runs(shelf) == []
    assert save(shelf, smoke(), level=0.7).history["test_acc"][0] == 0.7
    assert store.read(whole.parent).history["test_acc"][0] == 0.7


@pytest.mark.parametrize("name", EVERY_FILE)
def test_a_missing_file_is_named(shelf: Path, name: str) -> None:
    path = save(shelf, smoke()).folder / name
    path.unlink()
    with pytest.raises(store.DamagedRun) as caught:
        store.read(path.parent)
    one_sentence(caught.value, str(path))


@pytest.mark.parametrize("text", ["null", "[]", '{"sha256": []}', "{}", "\xff"])
def test_a_provenance_that_is_no_record_is_damage(shelf: Path, text: str) -> None:
    folder = save(shelf, smoke()).folder
    (folder / store.PROVENANCE).write_bytes(text.encode("latin-1"))
    with pytest.raises(store.DamagedRun, match=store.PROVENANCE):
        store.read(folder)


def test_a_run_under_another_runs_name_is_damage(shelf: Path) -> None:
    folder = save(shelf, smoke()).folder
    folder.rename(shelf / "0123456789abcdef")
    with pytest.raises(store.DamagedRun, match="describes run"):
        store.read(shelf / "0123456789abcdef")


def test_a_run_whose_configuration_is_no_longer_known_is_ignored_and_replaced(shelf: Path) -> None:
    """A field that was renamed since: the run id is the same, for defaults are left out of it."""
    folder = save(shelf, smoke()).folder
    values = {**json.loads((folder / "config.json").read_text()), "field_of_old": 1}
    rewrite(folder, "config.json", json.dumps(values))
    with pytest.warns(UserWarning, match="field_of_old"):
        assert store.find(smoke(), shelf) is None
    assert save(shelf, smoke(), level=0.7).history["test_acc"][0] == 0.7


def test_an_equal_run_that_is_whole_is_kept(shelf: Path) -> None:
    save(shelf, smoke(), level=0.5)
    assert save(shelf, smoke(), level=0.9).history["test_acc"][0] == 0.5
    assert left_in(shelf) == [smoke().run_id]


@pytest.mark.parametrize("attempt", range(5))
@pytest.mark.parametrize("damaged", [False, True])
def test_writers_of_one_run_at_the_same_time_all_get_a_whole_one(shelf: Path, damaged: bool, attempt: int) -> None:
    if damaged:
        (save(shelf, smoke()).folder / "p_y.npz").write_bytes(b"")
    barrier = threading.Barrier(8)

    def write(level: float) -> store.Run:
        barrier.wait()
        return save(shelf, smoke(), level)

    levels = [level / 10 for level in range(8)]
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(write, levels))
    assert {run.config for run in runs} == {smoke()}
    assert left_in(shelf) == [smoke().run_id]
    assert store.read(shelf / smoke().run_id).history["test_acc"][0] in levels


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("where", ["savez_compressed", "to_csv", "fsync", "rename"])
def test_a_stop_in_mid_write_leaves_nothing(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, where: str, stop: BaseException
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise stop

    owner = {"savez_compressed": np, "to_csv": pd.DataFrame, "fsync": os, "rename": Path}[where]
    kind = stop if isinstance(stop, type) else type(stop)
    with monkeypatch.context() as patch:
        patch.setattr(owner, where, stopped)
        with pytest.raises(kind):
            save(shelf, smoke())
    assert left_in(shelf) == []
    assert save(shelf, smoke()).config == smoke()


def test_what_dead_processes_of_this_machine_left_is_cleared_and_what_others_write_is_kept(shelf: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    shelf.mkdir(parents=True)
    here, elsewhere = files.unfinished(smoke().run_id), f".part-{smoke().run_id}-{int(dead.stdout)}-other-host-abc"
    names = [here.replace(f"-{os.getpid()}-", f"-{int(dead.stdout)}-") + "abc", elsewhere, here + "abc"]
    parts = [shelf / name for name in names]
    for part in parts:
        part.mkdir()
        (part / "config.json").write_text("{")
    assert store.all_runs(shelf) == []
    assert store.load_runs(shelf="runs", profile="smoke").empty
    assert store.clear_leftovers(shelf) == 1
    assert sorted(left_in(shelf)) == sorted(names[1:])


def test_rows_carry_the_configuration_and_an_epoch_each(shelf: Path) -> None:
    run = save(shelf, smoke())
    frame = run.frame()
    assert list(frame["epoch"]) == [1, 2]
    assert set(COLUMNS) <= set(frame.columns)
    assert (frame["run_id"] == smoke().run_id).all()
    assert (frame["method"] == "cce").all()


def test_histograms_become_rows_at_the_middle_of_their_bins(shelf: Path) -> None:
    frame = save(shelf, smoke()).p_y_frame()
    assert list(frame.columns) == ["epoch", "subset", "p", "count", "run_id", "method"]
    assert len(frame) == 200
    picked = frame[(frame["subset"] == "clean") & (frame["epoch"] == 2)]
    assert picked["p"].iloc[[0, -1]].tolist() == pytest.approx([0.01, 0.99])
    assert picked["count"].tolist() == list(range(50, 100))


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ({}, 4),
        ({"method": "cce"}, 2),
        ({"method": "gce:q=0.70"}, 2),
        ({"method": ["cce", "gce"], "seed": 1}, 2),
        ({"noise": "symmetric:rate=.4", "seed": [0, 1]}, 4),
        ({"noise": "none"}, 0),
        ({"split": " stratified"}, 4),
        ({"milestones": (0.5, 0.75)}, 4),
    ],
)
def test_load_runs_filters_by_any_field_in_any_spelling(shelf: Path, where: dict[str, object], count: int) -> None:
    for method in ("cce", "gce"):
        for seed in (0, 1):
            save(shelf, smoke(method=method, seed=seed))
    found = store.load_runs(shelf="runs", profile="smoke", **where)
    assert len(found) == 2 * count
    assert {"run_id", "method"} <= set(found.columns)


@pytest.mark.parametrize("where", [{"sede": 1}, {"test_acc": 0.5}])
def test_load_runs_refuses_a_field_that_there_is_not(where: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="seed, noise_seed") as caught:
        store.load_runs(**where)
    one_sentence(caught.value, "unknown field", *where)


def test_a_run_on_both_shelves_is_taken_from_the_runs_made_here(shelf: Path) -> None:
    save(paths.results() / "reference" / "smoke", smoke(), level=0.1)
    assert set(store.load_runs(profile="smoke")["test_acc"]) == {0.1, 0.11}
    save(shelf, smoke(), level=0.9)
    assert set(store.load_runs(profile="smoke")["test_acc"]) == {0.9, 0.91}
    assert store.find(smoke()).history["test_acc"][0] == 0.9


def test_the_committed_reference_is_whole_and_reads_without_a_warning(no_warnings: None) -> None:
    place = paths.ROOT / "results" / "reference" / "quick"
    runs = store.all_runs(place)
    assert len(runs) == sum(path.is_dir() and path.name != "noise" for path in place.iterdir()) >= 27
    loaded = data.load(RunConfig())
    source = data.load_source("digits")
    every = Normal(source.scale, source.mean, source.std)(torch.from_numpy(source.images)).numpy()
    seen = hashlib.sha256(every.tobytes() + source.labels.tobytes()).hexdigest()  # named the data before pixels did
    assert {run.provenance["data_sha256"] for run in runs} <= {loaded.data_sha256, seen}


def test_sources_of_a_figure_name_its_runs_and_add_their_seconds(shelf: Path) -> None:
    runs = [save(shelf, smoke(seed=seed)) for seed in (0, 1)]
    found = store.sources(runs)
    assert set(found["runs"]) == {run.config.run_id for run in runs}
    assert found["seconds"] == 3.0
    assert found["versions"] == [{"torch": "2"}]


def test_a_noise_draw_is_kept_beside_the_runs_and_must_not_change(shelf: Path, digits: data.Data) -> None:
    path = store.keep_noise(shelf, smoke(), digits)
    assert store.keep_noise(shelf, smoke(), digits) == path
    with np.load(path) as kept:
        assert (kept["labels"] == digits.noise.labels.numpy()).all()
    assert left_in(path.parent) == sorted([path.name, path.with_suffix(".json").name])
    with pytest.raises(ValueError, match="another draw") as caught:
        store.keep_noise(shelf, smoke(), data.load(smoke(noise_seed=1)))
    one_sentence(caught.value, path.name)


def test_the_committed_draws_are_the_ones_that_are_drawn_today(tmp_path: Path) -> None:
    """They were kept with three arrays and no record: accepted as they are, and a record is written beside them."""
    place = paths.ROOT / "results" / "reference" / "quick" / "noise"
    shutil.copytree(place, tmp_path / "noise")
    for seed in (0, 1, 2):
        cfg = RunConfig(noise_seed=seed)
        path = store.keep_noise(tmp_path, cfg, data.load(cfg))
        assert (place / path.name).is_file()
        assert path.read_bytes() == (place / path.name).read_bytes()
        assert json.loads(path.with_suffix(".json").read_text())["seed"] == seed


def test_draws_that_differ_have_names_that_differ(shelf: Path, digits: data.Data) -> None:
    cut = {"split": "random", "split_seed": 3}
    configs = [smoke(), smoke(noise="matrix:a/b.csv"), smoke(noise="matrix:a_b.csv"), smoke(**cut), smoke(split_seed=1)]
    configs.append(smoke(noise=f"matrix:{'long/' * 60}T.csv"))
    names = [store.noise_name(cfg) for cfg in configs]
    assert len(set(names)) == len(configs)
    assert names[0] == "digits-symmetric_0.4-0"
    assert all(len(name) <= 120 and "/" not in name for name in names)


@pytest.mark.parametrize("size", [0, 100, 2000, -3])
def test_a_truncated_noise_draw_is_named_and_drawn_again(shelf: Path, digits: data.Data, size: int) -> None:
    path = store.keep_noise(shelf, smoke(), digits)
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    with pytest.warns(UserWarning, match=path.name):
        assert store.keep_noise(shelf, smoke(), digits) == path
    with np.load(path) as kept:
        assert (kept["labels"] == digits.noise.labels.numpy()).all()
