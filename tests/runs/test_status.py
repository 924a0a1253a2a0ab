"""What the store holds, what lacks, and how long that takes: counted against a store made for the purpose."""

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from helpers.cases import smoke

from robustdl_lib import files, paths, store, sweeps
from robustdl_lib.config import RunConfig
from robustdl_lib.runs import status
from robustdl_lib.runs.sweeps import Setting
from robustdl_lib.studies import noise_rates
from robustdl_lib.training import checkpoint

SETTING = Setting(profile="smoke", methods=["cce", "gce"], seeds=[0])


def keep(cfg: RunConfig, seconds: float, folder: str = "smoke") -> Path:
    """Store a run that took so long, trained by nobody."""
    history = pd.DataFrame({"epoch": [1], "test_acc": [0.5], "val_acc": [0.5]})
    shelf = paths.shelf("runs", folder)
    store.save(shelf, cfg, history, {"clean": [[0]]}, {"seconds": seconds, "noise_rate": 0.4})
    return shelf


def keep_checkpoint(cfg: RunConfig, epochs: int, seconds: float) -> Path:
    """Write a checkpoint that says that so many epochs of a run are done."""
    path = files.hidden(paths.shelf("runs", "smoke"), "checkpoint", cfg.run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = checkpoint.Checkpoint(path, {"run_id": cfg.run_id})
    kept._write({"origin": {}, "seconds": seconds, "state": {"history": [{"epoch": 1.0}] * epochs}})
    return path


def of(method: str, **changes: object) -> RunConfig:
    return smoke(method=method, device="auto", **changes)


def here() -> pd.DataFrame:
    rows = status.stored(status.contents())
    return rows[rows["shelf"] == "runs"].set_index("folder")


def test_an_empty_store_holds_the_reference_alone() -> None:
    rows = status.stored(status.contents())
    assert set(rows["shelf"]) == {"reference"}
    quick = rows.set_index("folder").loc["quick"]
    assert quick["runs"] == len(store.all_runs(paths.shelf("reference", "quick")))
    assert quick["hours"] > 0


def test_runs_are_counted_and_so_are_damaged_ones() -> None:
    keep(of("cce"), 3600.0)
    shelf = keep(of("gce"), 1800.0)
    assert here().loc["smoke", ["runs", "damaged", "hours"]].tolist() == [2, 0, 1.5]
    (shelf / of("gce").run_id / "history.csv").write_text("cut")
    with pytest.warns(UserWarning, match="cut short or changed"):
        assert here().loc["smoke", ["runs", "damaged", "hours"]].tolist() == [1, 1, 1.0]


def test_a_run_is_in_training_while_its_lock_is_held() -> None:
    lock = files.hidden(paths.shelf("runs", "smoke"), "lock", of("cce").run_id)
    with files.locked(lock):
        assert here().loc["smoke", "in training"] == 1
    lock.write_text("")
    assert here().loc["smoke", "in training"] == 0
    assert lock.exists()


def test_a_checkpoint_says_how_far_its_run_is() -> None:
    cfg = of("gce")
    keep_checkpoint(cfg, 1, 12.5)
    row = status.unfinished(SETTING).iloc[0]
    assert row.tolist() == ["smoke", cfg.run_id, "gce", "symmetric:0.4", 0, 1, 2, 12.5]
    assert here().loc["smoke", "unfinished"] == 1


def test_a_damaged_checkpoint_has_no_epoch_and_one_of_another_setting_no_name() -> None:
    keep_checkpoint(of("gce"), 1, 12.5).write_bytes(b"cut")
    keep_checkpoint(of("mse"), 1, 1.0)
    rows = status.unfinished(Setting(profile="smoke", methods=["gce"], seeds=[0])).set_index("run")
    assert math.isnan(rows.loc[of("gce").run_id, "epoch"])
    assert pd.isna(rows.loc[of("mse").run_id, "method"])
    assert rows.loc[of("gce").run_id, "method"] == "gce"


def test_what_lacks_is_counted_a_sweep_a_row() -> None:
    rows = status.lacks(SETTING, status.contents()).set_index("sweep")
    papers = {"paper_rates", "paper_noises", "paper_parts", "dm_table_7"}  # of other profiles
    waiting = noise_rates.noise_rates_judged.__name__  # its search is not done
    assert set(sweeps.SWEEPS) - set(rows.index) - papers == {waiting}
    assert rows.loc["figures", ["runs", "made here", "lacking"]].tolist() == [3, 0, 3]
    never = of("cce").replace(model="resnet110")  # no run of this network was ever stored
    assert math.isnan(status.expected(never, status.by_shelf(status.contents())))
    keep(of("cce"), 10.0)
    rows = status.lacks(SETTING, status.contents(), jobs=1).set_index("sweep")
    assert rows.loc["figures", ["made here", "lacking", "seconds"]].tolist() == [1, 2, 20.0]


def test_nothing_lacks_of_a_sweep_that_is_whole() -> None:
    for cfg in sweeps.plan("figures", SETTING):
        keep(cfg, 10.0)
    row = status.lacks(SETTING, status.contents()).set_index("sweep").loc["figures"]
    assert row[["made here", "lacking", "seconds"]].tolist() == [3, 0, 0.0]


def test_the_committed_runs_answer_where_none_was_made_here() -> None:
    row = status.lacks(Setting(profile="quick"), status.contents(), jobs=1).set_index("sweep").loc["figures"]
    runs = sweeps.found(sweeps.plan("figures", Setting()), [paths.shelf("reference", "quick")])
    assert row["in the reference"] == row["lacking"] == row["runs"]
    assert row["seconds"] == pytest.approx(sum(run.provenance["seconds"] for run in runs))


def test_what_a_checkpoint_holds_is_not_counted_again() -> None:
    keep(of("cce"), 10.0)
    keep_checkpoint(of("gce"), 1, 3.0)
    row = status.lacks(SETTING, status.contents(), jobs=1).set_index("sweep").loc["figures"]
    assert row["seconds"] == 10.0 / 2 + 10.0


def test_the_run_most_like_it_answers_and_longer_runs_take_longer() -> None:
    for method, seconds in (("cce", 10.0), ("gce", 30.0)):
        keep(of(method), seconds)
    here = [store.all_runs(paths.shelf("runs", "smoke"))]
    assert status.expected(of("gce", epochs=4, seed=7), here) == 60.0
    assert status.expected(of("mse"), here) == 20.0
    assert math.isnan(status.expected(of("gce", model="resnet20"), here))
    slower = [replace(run, provenance={"seconds": 99.0}) for run in here[0]]
    assert status.expected(of("gce"), [here[0], slower]) == 30.0


@pytest.mark.parametrize(
    ("seconds", "jobs", "end"), [([3, 3, 3], 1, 9), ([3, 3, 3], 2, 6), ([5, 1, 1, 1], 2, 5), ([1], 8, 1)]
)
def test_the_last_run_ends_when_workers_took_each_in_turn(seconds: list[float], jobs: int, end: float) -> None:
    assert status.makespan(seconds, jobs) == end


def test_one_unknown_run_makes_the_whole_unknown() -> None:
    assert math.isnan(status.makespan([1.0, math.nan], 2))
