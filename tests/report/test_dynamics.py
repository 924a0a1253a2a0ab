"""The tables of training dynamics next to the published ones."""

import pandas as pd
import pytest
from helpers.run_rows import rows

from robustdl_lib import sweeps
from robustdl_lib.report import dynamics


def test_the_published_table_is_whole_and_in_per_cent():
    table = dynamics.published()
    assert list(table.index) == list(dynamics.TALK)
    assert list(table.columns) == list(dynamics.MEASURED)
    assert table.notna().all(axis=None)
    assert table["fit_wrong"].idxmin() == table["corrected"].idxmax() == "proselflc"
    assert (table["fit_wrong"] + table["corrected"] <= 100).all()


def test_the_five_are_taken_in_the_order_of_the_slides():
    given = ["proselflc", "dm", "cp:eps=0.5", "cce", "boot_hard", "cce"]
    assert dynamics.of_the_talk(given) == ["cce", "cp:eps=0.5", "proselflc"]
    assert dynamics.of_the_talk(["mae"]) == []


def test_the_trust_of_rows_is_time_times_confidence():
    story = dynamics.trust_story(rows(), "proselflc")
    assert list(story.index) == [0.25, 0.5, 0.75, 1.0]
    assert story.loc[0.5, "g"] == 0.5
    mean = rows().query("method == 'proselflc' and progress == 0.5")["entropy_wrong"].mean()
    assert story.loc[0.5, "trust_wrong"] == pytest.approx(0.5 * (1 - mean))
    assert (story["fit_wrong"] > 1).all()


def test_here_and_published_stand_side_by_side_and_orders_are_compared():
    side = dynamics.side_by_side(rows())
    assert list(side.index) == ["cce", "ls:eps=0.25", "proselflc"]
    assert side.loc["ls:eps=0.25", ("published", "fit_wrong")] == 34.0
    assert side.loc["cce", ("here", "test_acc")] == pytest.approx(100 * (0.1 + 0.15 + 0.02 + 0.005))
    order = dynamics.orders(side)  # here everything rises from CCE over LS to ProSelfLC
    assert order["corrected"] == pytest.approx(1.0)
    assert order["fit_wrong"] == pytest.approx(-1.0)
    assert dynamics.orders(side.iloc[:2]).isna().all()


def test_what_stands_side_by_side_is_told_measure_by_measure_and_then_in_orders():
    side = dynamics.side_by_side(sweeps.held("talk_noise"))
    told = dynamics.told(side).splitlines()
    assert told[0].split() == ["CCE", "LS", "CP", "Boot-soft", "ProSelfLC"]
    assert told[1].split()[:2] == ["clean_acc", "here"]
    assert told[2].split() == ["published", "94.0", "93.3", "92.0", "93.5", "89.4"]
    assert told[-1].split() == ["entropy_wrong", f"{dynamics.orders(side)['entropy_wrong']:.1f}"]


def test_what_is_memorised_when():
    table = rows().assign(fit_wrong=lambda df: df["progress"] ** 2)
    found = dynamics.memorised_by(table, "cce", (0.1, 0.5, 0.75))
    assert list(found.index) == [0.5, 0.75]
    assert list(found) == pytest.approx([25.0, 56.25])


def test_sure_and_right_are_shares_of_each_subset():
    found = dynamics.sure_and_right(rows())
    one = found.query("method == 'cce' and subset == 'wrong' and progress == 1")
    mean = 100 * rows().query("method == 'cce' and progress == 1")[["entropy_wrong", "corrected"]].mean()
    assert one["sure"].item() == pytest.approx(100 - mean["entropy_wrong"])
    assert one["right"].item() == pytest.approx(mean["corrected"])
    assert len(found) == 3 * 2 * 4


def test_believed_counts_the_last_epoch_above_the_bound():
    base = {"run_id": "a", "method": "cce", "p": [0.05, 0.95] * 4, "epoch": [1] * 4 + [2] * 4}
    base |= {"subset": ["clean", "clean", "wrong", "wrong"] * 2, "count": [9, 9, 9, 9, 10, 30, 50, 10]}
    found = dynamics.believed(pd.DataFrame(base)).loc["cce"]
    assert found["believed"] == pytest.approx(40.0)
    assert found["wrong_among"] == pytest.approx(25.0)
    assert found["wrong_in_all"] == pytest.approx(60.0)
