"""What other tests rely on: made-up training has the form of the real one, and what a test registers goes away."""

from pathlib import Path

import pytest
from helpers import fake
from helpers.cases import smoke

from robustdl_lib import RunConfig, store, sweeps
from robustdl_lib.registry import METHODS, TABLES, SpecError
from robustdl_lib.training.train import COLUMNS


def test_a_made_up_run_is_stored_and_found_like_a_trained_one(fake_fit: list[RunConfig]) -> None:
    for _ in range(2):
        rows = sweeps.run("figures", "smoke", methods=["gce"], seeds=[0], quiet=True)
    assert [(cfg.method, cfg.noise) for cfg in fake_fit] == [("gce", "symmetric:0.4"), ("cce", "none")]
    assert list(rows["epoch"]) == [1, 2, 1, 2]
    assert list(rows[rows["method"] == "gce"]["test_acc"]) == pytest.approx(list(fake.history(fake_fit[0])["test_acc"]))
    assert list(fake.history(smoke()).columns) == COLUMNS
    assert list(fake.history(smoke(epochs=5, record_every=2))["epoch"]) == [2, 4, 5]


def test_the_smoke_sweep_is_a_copy_of_twelve_trained_runs(smoke_runs: Path, smoke_sweep: Path) -> None:
    runs = store.all_runs(smoke_runs)
    assert len(runs) == len({run.config.run_id for run in runs}) == 12
    assert all((smoke_sweep / run.config.run_id / "history.csv").is_file() for run in runs)
    assert smoke_runs != smoke_sweep


@pytest.mark.parametrize("turn", [1, 2])
def test_what_a_test_registers_is_gone_in_the_next(turn: int) -> None:
    METHODS.register("ours", label="Ours", source="a test", role="loss")(lambda logits, target: logits[:, 0])
    with pytest.raises(SpecError, match="twice"):
        METHODS.register("ours", label="Ours", source="a test", role="loss")


def test_the_functions_of_the_library_are_told_from_those_of_a_test() -> None:
    entries = [entry for table in TABLES for entry in table.entries.values()]
    assert [entry.name for entry in entries if not fake.is_ours(entry)] == []
    assert not fake.is_ours(METHODS.describe("x", lambda logits, target: logits, label="X", source="a", role="loss"))
