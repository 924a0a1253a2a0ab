"""Three readings of a run, their spread over seeds, and the distance from a reference."""

import math

import pandas as pd
import pytest

from robustdl_lib import store, summary
from robustdl_lib.runs.store import no_rows

ENDINGS = {"clean_acc": 0.9, "fit_wrong": 0.2, "corrected": 0.5, "entropy_clean": 0.3, "entropy_wrong": 0.4}


def rows(
    run_id: str, test: list[float], val: list[float], method: str = "cce", seed: int = 0, noise: str = "symmetric:0.4"
):
    """Return a run's rows with the given accuracies by epoch; the dynamics reach ENDINGS at the last epoch."""
    count = len(test)
    config = {"run_id": run_id, "dataset": "digits", "noise": noise, "method": method, "model": "resnet8", "seed": seed}
    dynamics = {name: [0.0] * (count - 1) + [value] for name, value in ENDINGS.items()}
    return pd.DataFrame({**config, "epoch": range(1, count + 1), "test_acc": test, "val_acc": val, **dynamics})


ONE = rows("a", [0.5, 0.9, 0.6], [0.1, 0.2, 0.3])
TWO = rows("b", [0.4, 0.7, 0.8], [0.3, 0.1, 0.2], seed=1)
GCE = rows("c", [0.6, 0.8, 0.9], [0.1, 0.2, 0.3], method="gce:q=0.5")
CLEAN = rows("d", [0.9, 0.95, 1.0], [0.1, 0.2, 0.3], noise="none").assign(fit_wrong=math.nan)


def test_the_three_readings_of_a_run() -> None:
    table = summary.final_readings(pd.concat([ONE, TWO])).set_index("run_id")
    assert table.loc["a", ["last", "oracle", "selected"]].tolist() == pytest.approx([60, 90, 60])
    assert table.loc["b", ["last", "oracle", "selected"]].tolist() == pytest.approx([80, 80, 40])
    assert table["oracle_epoch"].tolist() == [2, 3]
    assert table.loc["a", list(ENDINGS)].tolist() == pytest.approx([100 * value for value in ENDINGS.values()])


def test_the_order_of_the_rows_does_not_matter() -> None:
    shuffled = pd.concat([ONE, TWO]).sample(frac=1, random_state=0)
    by_id = [
        summary.final_readings(frame).set_index("run_id").sort_index() for frame in (pd.concat([ONE, TWO]), shuffled)
    ]
    pd.testing.assert_frame_equal(*by_id)


def test_the_first_of_equal_epochs_is_the_best() -> None:
    table = summary.final_readings(rows("a", [0.9, 0.5, 0.9], [0.2, 0.3, 0.3]))
    assert table["oracle_epoch"].item() == 1
    assert table["selected"].item() == pytest.approx(50)


def test_the_headline_is_mean_and_deviation_over_seeds() -> None:
    table = summary.headline(pd.concat([ONE, TWO, GCE, CLEAN])).set_index(["noise", "method"])
    cce = table.loc[("symmetric:0.4", "cce")]
    assert cce["seeds"] == 2
    assert cce["label"] == "CCE"
    assert cce["last_mean"] == pytest.approx(70)
    assert cce["last_std"] == pytest.approx(20 / math.sqrt(2))
    assert cce["oracle_mean"] == pytest.approx(85)
    assert cce["selected_mean"] == pytest.approx(50)
    assert cce["lost"] == pytest.approx(15)
    assert cce["fit_wrong"] == pytest.approx(20)


def test_one_seed_has_no_deviation_and_clean_labels_no_wrong_fit() -> None:
    table = summary.headline(pd.concat([GCE, CLEAN])).set_index("method")
    assert math.isnan(table.loc["gce:q=0.5", "last_std"])
    assert math.isnan(table.loc["cce", "fit_wrong"])
    assert table.loc["gce:q=0.5", "label"] == "GCE (q = 0.5)"


def test_runs_that_differ_in_more_than_their_seeds_are_not_averaged() -> None:
    slow = [ONE.assign(run_id="e", peak_lr=0.05), TWO.assign(run_id="f", peak_lr=0.05)]
    mixed = pd.concat([ONE.assign(peak_lr=0.1), *slow, GCE.assign(peak_lr=0.05)])
    table = summary.headline(mixed).set_index("label")
    assert table["seeds"].to_dict() == {"GCE (q = 0.5)": 1, "CCE, peak_lr 0.05": 2, "CCE, peak_lr 0.1": 1}
    assert table.loc["CCE, peak_lr 0.1", "last_mean"] == pytest.approx(60)
    assert "setting" not in table


def test_the_headline_is_sorted_best_last_epoch_first_within_a_noise() -> None:
    table = summary.headline(pd.concat([ONE, CLEAN, GCE]))
    assert list(zip(table["noise"], table["method"], strict=True)) == [
        ("none", "cce"),
        ("symmetric:0.4", "gce:q=0.5"),
        ("symmetric:0.4", "cce"),
    ]


def test_differences_are_here_minus_reference_for_what_both_have() -> None:
    ours, reference = summary.headline(pd.concat([ONE, GCE])), summary.headline(pd.concat([ONE, TWO]))
    table = summary.differences(ours, reference)
    assert table["label"].tolist() == ["CCE"]
    assert table[["here", "reference", "difference"]].iloc[0].tolist() == pytest.approx([60, 70, -10])


def test_a_table_does_not_differ_from_itself_and_nothing_in_common_is_no_row() -> None:
    table = summary.headline(pd.concat([ONE, TWO, CLEAN]))
    assert (summary.differences(table, table)["difference"] == 0).all()
    assert summary.differences(summary.headline(GCE), table).empty


def test_the_rows_given_are_not_changed() -> None:
    before = ONE.copy()
    summary.headline(ONE)
    pd.testing.assert_frame_equal(ONE, before)


def test_no_rows_are_an_empty_table() -> None:
    assert summary.headline(no_rows()).empty


def test_the_committed_reference_shows_what_the_project_claims() -> None:
    """At 40 % symmetric noise CCE falls by 5 points from its best epoch; the best DM and GCE end 5 above it."""
    table = summary.headline(store.load_runs(shelf="reference", profile="quick", noise="symmetric:0.4"))
    last = table.set_index("method")["last_mean"]
    assert (table["seeds"] == 3).all()
    assert len(table) >= 8
    assert table.set_index("method").loc["cce", "lost"] >= 5
    for family in ("dm", "gce"):
        assert last[[name for name in last.index if name.startswith(family)]].max() >= last["cce"] + 5
